"""``watch``: on a change, do again only what it made stale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Context, task

from unstale.errors import Interrupted
from unstale.invocations.boundary import QuietTask, entry, remainder

if TYPE_CHECKING:
    from unstale.mask import Mask
    from unstale.watch.rounds import Round

__all__ = ["watch"]

_REMEMBERED = 1000  # rounds of a document


@task(
    klass=QuietTask,
    help={
        "suite": "the suite to run after each change; else the one that has it, or all tests",
        "json": "print one JSON document at the end",
    },
)
def watch(
    ctx: Context, suite: str | None = None, env: str | None = None, json: bool = False
) -> None:
    """Rebuild, restart and test what a change made stale, until Ctrl-C; the stack stays up."""
    with entry("watch", as_json=json) as project:
        from collections import deque

        from unstale.errors import exit_code, outcome_of
        from unstale.render import console, document
        from unstale.watch.rounds import Wish, rounds

        done: deque[Round] = deque(maxlen=_REMEMBERED)
        wish = Wish(env, suite, remainder(ctx))
        tell = console.note if json else lambda text: console.print_lines([text])
        try:
            for one in rounds(project, project.changes(), wish, tell, console.note):
                done.append(one)
                console.note("watching; Ctrl-C ends it, and leaves the stack up")
        except Interrupted as error:
            if json:
                outcome = outcome_of(error)
                ending = {"outcome": outcome.value, "code": exit_code(outcome)}
                told = [_as_document(one, project.mask) for one in done]
                document.write("watch", {**ending, "rounds": told})
            raise


def _as_document(one: Round, mask: Mask) -> dict[str, Any]:
    counts = one.counts
    return {
        "changes": list(one.changes),
        "causes": [
            {"paths": list(c.paths), "what": c.what, "actions": list(c.actions)} for c in one.causes
        ],
        "outcome": one.outcome.value,
        "code": one.code,
        "seconds": round(one.seconds, 3),
        "error": mask(str(one.error)) if one.error else None,
        "tests": {"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped}
        if counts
        else None,
    }
