"""What `init` found and would write, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unstale.pipeline.setup import Setup
    from unstale.survey.repository import Finding

__all__ = ["as_document", "as_text", "next_step"]


def as_text(setup: Setup) -> tuple[str, ...]:
    """What was found and where, what is not sure, and the diff."""
    return tuple(_lines(setup))


def _lines(setup: Setup) -> Iterator[str]:
    yield f"Project: {setup.root}"
    yield ""
    yield from _found(setup.found)
    unsure = [f"  {one.what} = {one.value}: {one.unsure}" for one in setup.found if one.unsure]
    if unsure:
        yield from ("", "Not sure of:", *unsure)
    if setup.notes:
        yield from ("", *(f"Note: {note}." for note in setup.notes))
    if setup.missing:
        yield from ("", "[tool.unstale] is left as it is. It lacks:")
        yield from (f"  {one}" for one in setup.missing)
    yield from _advice(setup)
    for change in setup.changes:
        yield from ("", *change.diff)
    if not setup.changes:
        yield from ("", "Nothing is to be written.")


def _found(found: Iterable[Finding]) -> Iterator[str]:
    rows = [(one.what, one.value, one.where) for one in found]
    first = max((len(row[0]) for row in rows), default=0)
    second = min(max((len(row[1]) for row in rows), default=0), 40)
    for what, value, where in rows:
        yield f"{what:<{first}}  {value:<{second}}  {where}".rstrip()


def _advice(setup: Setup) -> Iterator[str]:
    match setup.tasks.state:
        case "done":
            return
        case "add" | "mount":
            yield from ("", "tasks.py is yours and is left as it is. Add to it:")
        case _:
            yield from ("", "tasks.py is left as it is:")
    yield from (f"  {line}" for line in setup.tasks.lines)


def next_step(setup: Setup, *, written: bool) -> str:
    """The one command that comes next."""
    # `inv` knows our tasks only when the lines are added.
    run = f"{'inv' if setup.tasks.state == 'done' else 'unstale'} test.integration"
    if setup.obstacle and not setup.changes:
        return f"{setup.obstacle}, then inv init"
    if setup.changes and not written:
        return "inv init --yes"
    if setup.obstacle:
        return f"{setup.obstacle}, then {run}"
    return run


def as_document(setup: Setup, *, written: bool, step: str) -> dict[str, Any]:
    """The body of ``init``."""
    return {
        "root": str(setup.root),
        "found": [
            {"what": f.what, "value": f.value, "where": f.where or None, "unsure": f.unsure or None}
            for f in setup.found
        ],
        "notes": list(setup.notes),
        "missing": list(setup.missing),
        "changes": [
            {"path": c.path, "new": c.before is None, "diff": "\n".join(c.diff)}
            for c in setup.changes
        ],
        "tasks": {"state": setup.tasks.state, "lines": list(setup.tasks.lines)},
        "written": written,
        "next": step,
    }
