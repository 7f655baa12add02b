"""The options that decide what a run does, once for every task that takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from invoke import Context

from unstale.invocations.boundary import remainder

if TYPE_CHECKING:
    from unstale.pipeline.run import Choices
    from unstale.project import Project

__all__ = ["RUN_HELP", "VIEW_HELP", "RunOptions", "with_run_options"]

RUN_HELP = {
    "build": "build every image first, fresh or not",
    "no-cache": "build without the layer cache; implies --build",
    "allow-stale": "run on what is there; green tests then end with 3",
    "keep": "leave the stack standing at the end",
    "keep-on-failure": "leave the stack standing if the run is red",
    "reuse": "run nothing if a receipt proves the same, and name it",
    "services": "start and migrate the stack, print its ports, and stop there",
    "untrusted": "refuse a stack that reaches out of its containers",
}

VIEW_HELP = {
    "verbose": "stream what builds and tests print",
    "quiet": "show nothing but the end",
    "plain": "plain lines: no colours, nothing is drawn; also UNSTALE_PLAIN=1",
}


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a user typed of them."""

    build: bool = False
    no_cache: bool = False
    allow_stale: bool = False
    keep: bool = False
    keep_on_failure: bool = False
    reuse: bool = False
    services: bool = False
    untrusted: bool = False
    env: str | None = None

    def choices(self, project: Project, ctx: Context) -> Choices:
        """The same as a run takes it, with what follows ``--``."""
        from unstale.pipeline.run import Choices

        return Choices(
            build=self.build or self.no_cache,
            no_cache=self.no_cache,
            allow_stale=self.allow_stale,
            keep=self.keep,
            keep_on_failure=self.keep_on_failure,
            reuse=self.reuse,
            services=self.services,
            arguments=project.integration_arguments(remainder(ctx)),
        )


def with_run_options(body: Callable[..., None]) -> Callable[..., None]:
    """Let the task *body*, whose second argument is `RunOptions`, have an option for each."""
    names = [one.name for one in fields(RunOptions)]

    # Any: what a name holds only its own option says.
    def task(ctx: Context, **given: Any) -> None:
        chosen = {name: given.pop(name) for name in names if name in given}
        body(ctx, RunOptions(**chosen), **given)

    context, _, *own = inspect.signature(body).parameters.values()
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = [
        inspect.Parameter(one.name, kind, default=one.default, annotation=one.type)
        for one in fields(RunOptions)
    ]
    task.__name__, task.__doc__, task.__module__ = body.__name__, body.__doc__, body.__module__
    # Invoke makes options out of a signature.
    task.__signature__ = inspect.Signature([context, *options, *own])  # type: ignore[attr-defined]
    return task
