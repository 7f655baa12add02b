"""``why``: a verdict explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from invoke import Context, task

from unstale.errors import Outcome, UnknownName, UsageError
from unstale.invocations.boundary import QuietTask, entry, finish

if TYPE_CHECKING:
    from unstale.pipeline.explanation import Explanation, Kind
    from unstale.project import Project

__all__ = ["why"]


@task(
    klass=QuietTask,
    positional=["proof"],
    help={
        "proof": "image, stack, schema or env",
        "service": "only this one",
        "json": "print one JSON document",
    },
)
def why(
    _ctx: Context,
    proof: str,
    service: str | None = None,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Explain the verdict on image, stack, schema or env: by file, line and commit."""
    with entry("why", as_json=json) as project:
        # Before anything else: after a typo Invoke would go on to the next word as a task.
        kind = _known(proof, service)
        from unstale.render import console, document
        from unstale.render import why as rendered

        found = _asked(project, kind, env, service)
        if json:
            document.write("why", rendered.as_document(found))
        else:
            console.print_lines([project.mask(line) for line in rendered.as_text(found)])
        finish(Outcome.PROVEN if found.is_known else Outcome.UNKNOWN)


def _known(proof: str, service: str | None) -> Kind:
    from unstale.pipeline.explanation import KINDS

    if proof not in KINDS:
        raise UnknownName("proof", proof[:80], KINDS, hint="inv why image|stack|schema|env")
    if proof == "schema" and service is not None:
        raise UsageError(
            "A schema has no services.",
            cause="There is one database in an environment.",
            hint="inv why schema",
        )
    return proof


def _asked(project: Project, kind: Kind, env: str | None, service: str | None) -> Explanation:
    match kind:
        case "image":
            return project.why_image(env, service)
        case "stack":
            return project.why_stack(env, service)
        case "schema":
            from unstale.render import console

            return project.why_schema(console.echo(project.mask, verbose=False), env)
        case "env":
            return project.why_env(env, service)
        case _ as never:
            assert_never(never)
