"""What to type next where the error itself does not know."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from unstale.errors import Interrupted, Outcome, UnstaleError, outcome_of

__all__ = ["hinted", "usual_hint"]


def hinted(errors: Iterable[UnstaleError]) -> None:
    """Let each of *errors* say what to type next."""
    for error in errors:
        error.hint = error.hint or usual_hint(error)


def usual_hint(error: UnstaleError) -> str:
    """What to type next where nobody could say it better; only a signal needs nothing."""
    if isinstance(error, Interrupted):
        return ""
    task = _task(sys.argv[1:])
    if not task:
        return "inv --list"
    if outcome_of(error) is Outcome.USAGE:
        return f"mend that, then inv {task}; its options: inv --help {task}"
    # Without its arguments: they may have secrets in them.
    return f"inv {task} --echo"


def _task(words: Iterable[str]) -> str:
    from unstale.invocations import ns

    known = [name for word in words for name in ns.task_names if f".{word}".endswith(f".{name}")]
    return known[0] if known else ""
