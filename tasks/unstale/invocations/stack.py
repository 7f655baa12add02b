"""``stack.*``: the standing stack of a checkout."""

from __future__ import annotations

from invoke import Collection, Context, task

from unstale.invocations.boundary import QuietTask, entry

__all__ = ["collection"]


@task(klass=QuietTask)
def up(_ctx: Context, env: str | None = None) -> None:
    """Start every service but the test runner, and wait until each is ready."""
    with entry("stack") as project:
        from unstale.render import console

        deployment = project.stack_up(console.echo(project.mask, verbose=False), env)
        console.print_lines([f"{deployment.target.project} is up."])


@task(klass=QuietTask)
def down(_ctx: Context, env: str | None = None) -> None:
    """Remove the standing stack: containers, networks, its own volumes, orphans."""
    with entry("stack") as project:
        from unstale.render import console

        console.print_lines([f"{project.stack_down(env)} objects removed."])


@task(klass=QuietTask)
def status(_ctx: Context, env: str | None = None) -> None:
    """List the standing stack's containers, their states and their ports."""
    with entry("stack") as project:
        from unstale.render import console

        found = project.stack_containers(env)
        lines = [
            f"{c.service:<20} {c.status:<10} {c.health or '-':<10} "
            + ", ".join(f"{port} -> {address}" for port, address in c.ports)
            for c in found
        ]
        console.print_lines(lines or ["No stack is up."])


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
    """Remove what dead runs of this machine left behind, and only that."""
    with entry("stack") as project:
        from unstale.render import console

        runs = project.stack_reap()
        console.print_lines([f"Removed what {len(runs)} dead runs left."])


def collection() -> Collection:
    """The namespace."""
    return Collection("stack", up, down, status, logs, reap)
