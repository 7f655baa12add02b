"""``doctor``: what is missing here, and how to get it."""

from __future__ import annotations

from invoke import Context, task

from unstale.invocations.boundary import QuietTask, edge, finish

__all__ = ["doctor"]


@task(
    klass=QuietTask,
    help={
        "fix": "do what needs no root, each thing shown and asked",
        "yes": "do not ask",
        "print-fix": "print a script of what needs root",
        "strict": "a warning is a failure, too (3)",
        "json": "print one JSON document",
    },
)
def doctor(
    _ctx: Context,
    env: str | None = None,
    fix: bool = False,
    yes: bool = False,
    print_fix: bool = False,
    strict: bool = False,
    json: bool = False,
) -> None:
    """Say what is missing here, why it matters, and the one thing to do about each."""
    with edge("doctor", as_json=json) as shared:
        import os

        from unstale.doctor.command import Options, run

        options = Options(
            env=env,
            json=json,
            strict=strict,
            fix=fix,
            yes=yes,
            print_fix=print_fix,
            dry=shared.is_dry,
        )
        finish(run(options, os.environ, shared.echo))
