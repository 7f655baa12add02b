"""A diagnosis as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from unstale.doctor.finding import Diagnosis, Finding, State
from unstale.errors import Outcome, exit_code

__all__ = ["as_document", "as_text"]

_MARKS = {State.OK: "✓", State.WARN: "!", State.FAIL: "✗", State.SKIPPED: "-"}

Hide = Callable[[str], str]


def as_text(diagnosis: Diagnosis, outcome: Outcome, hide: Hide) -> Iterator[str]:
    """A line a check; of what is not well why it matters, what to do, and who."""
    for one in diagnosis.findings:
        yield f"{_MARKS[one.state]} {one.check.id}  {one.check.name:<15} {hide(one.seen)}"
        if one.fix:
            yield from (f"{'':<28}{text}" for text in _advice(one, hide))
    yield ""
    yield _summary(diagnosis, outcome)
    if first := diagnosis.first_cause:
        yield f"Begin with {first.check.id}: {hide(first.fix)}"


def _advice(one: Finding, hide: Hide) -> Iterator[str]:
    yield f"why: {one.check.why}"
    yield f"fix ({one.by}): {hide(one.fix)}"
    yield f"more: {one.check.page}"


def _summary(diagnosis: Diagnosis, outcome: Outcome) -> str:
    counts = {state: sum(f.state is state for f in diagnosis.findings) for state in State}
    said = ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
    return f"{said} (exit code {exit_code(outcome)})"


def as_document(
    diagnosis: Diagnosis, outcome: Outcome, hide: Hide, more: Mapping[str, object]
) -> dict[str, object]:
    """The body of ``doctor``, with *more* that was done or asked for."""
    first = diagnosis.first_cause
    return {
        "outcome": outcome.value,
        "code": exit_code(outcome),
        "first": first.check.id if first else None,
        "checks": [_finding(one, hide) for one in diagnosis.findings],
        **more,
    }


def _finding(one: Finding, hide: Hide) -> dict[str, object]:
    return {
        "id": one.check.id,
        "name": one.check.name,
        "state": one.state.value,
        "seen": hide(one.seen),
        "why": one.check.why,
        "fix": hide(one.fix) or None,
        "by": one.by or None,
        "docs": one.check.page,
    }
