"""``plan``: what a run would do, and how long it would take."""

from __future__ import annotations

from invoke import Context, task

from unstale.errors import Outcome
from unstale.invocations.boundary import QuietTask, distrust, entry, finish
from unstale.invocations.options import RUN_HELP, RunOptions, with_run_options

__all__ = ["plan"]


@task(klass=QuietTask, help={**RUN_HELP, "json": "print one JSON document"})
@with_run_options
def plan(ctx: Context, options: RunOptions, json: bool = False) -> None:
    """Say what a run would do, why, and the seconds to expect; start nothing."""
    distrust(untrusted=options.untrusted)
    with entry("plan", as_json=json, is_look=True) as project:
        from unstale.render import console, document, forecast

        found = project.plan(options.choices(project, ctx), options.env)
        if json:
            document.write("plan", forecast.as_document(found))
        else:
            console.print_lines([project.mask(line) for line in forecast.as_text(found)])
        is_unknown = found.error is not None and found.error.outcome is Outcome.UNKNOWN
        finish(Outcome.UNKNOWN if found.unknown or is_unknown else Outcome.PROVEN)
