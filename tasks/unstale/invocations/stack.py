"""``stack.*``: the standing stack of a checkout."""

from __future__ import annotations

from invoke import Collection, Context, task

from unstale.errors import Outcome
from unstale.invocations.boundary import QuietTask, distrust, entry, finish
from unstale.invocations.options import VIEW_HELP

__all__ = ["collection"]


@task(
    klass=QuietTask,
    help={"untrusted": "refuse a stack that reaches out of its containers", **VIEW_HELP},
)
def up(
    _ctx: Context,
    env: str | None = None,
    untrusted: bool = False,
    verbose: bool = False,
    quiet: bool = False,
    plain: bool = False,
) -> None:
    """Start every service but the test runner, and wait until each is ready."""
    distrust(untrusted=untrusted)
    with entry("stack") as project:
        from unstale.render import console
        from unstale.render.progress import View, alone

        for reach in project.reaches(env):
            console.note(project.mask(f"reach  {reach}"))
        view = View(verbose=verbose, quiet=quiet, plain=plain)
        with alone(project, view, "stack.up", streams=False) as line:
            deployment = project.stack_up(line, env)
        console.print_lines([f"{deployment.target.project} is up."])


@task(klass=QuietTask)
def down(_ctx: Context, env: str | None = None) -> None:
    """Remove the standing stack: containers, networks, its own volumes, orphans."""
    with entry("stack") as project:
        from unstale.render import console

        console.print_lines([f"{project.stack_down(env)} objects removed."])


@task(
    klass=QuietTask,
    help={
        "fail-on-stale": "end with 3 if a container is stale or missing",
    },
)
def status(
    _ctx: Context,
    fail_on_stale: bool = False,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Say for each container of the standing stack whether it is what it should be."""
    with entry("stack-status", as_json=json) as project:
        from unstale.render import console, document, stack
        from unstale.verdict import Missing, Stale, Unknown

        found = project.stack_status(env)
        root = project.settings.root
        if json:
            document.write("stack-status", stack.as_document(found, root))
        elif found.containers:
            console.print_lines([project.mask(line) for line in stack.as_text(found, root)])
        else:
            console.print_lines(["No stack is up."])
        if fail_on_stale and isinstance(found.verdict, Stale | Missing):
            finish(Outcome.MISMATCH, "" if found.containers else "Next: inv stack.up")
        if any(isinstance(c.verdict, Unknown) for c in found.containers):
            finish(Outcome.UNKNOWN)


@task(klass=QuietTask, help={"follow": "go on until Ctrl-C"})
def logs(
    _ctx: Context,
    env: str | None = None,
    follow: bool = False,
) -> None:
    """Print the last lines of each service."""
    with entry("stack") as project:
        from unstale.render import console

        project.stack_logs(lambda text: console.print_lines([text]), env, follow=follow)


@task(klass=QuietTask)
def reap(_ctx: Context) -> None:
    """Remove what dead runs of this machine left behind, and only that.

    In this engine, and in every other that one of them used.
    """
    with entry("stack") as project:
        from unstale.render import console

        found = project.stack_reap()
        for one in found:
            words = one.words or "nothing was left over"
            named = words if words.startswith(one.engine) else f"{one.engine}: {words}"
            console.print_lines([f"{named}."])
        console.print_lines([f"removed: {name}" for name in project.image_reap()])
        for error in [one.error for one in found if one.error]:
            raise error


def collection() -> Collection:
    """The namespace."""
    return Collection("stack", up, down, status, logs, reap)
