"""What a run would do, as lines of text and as a JSON document. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, assert_never

from unstale.errors import exit_code, fault_of, outcome_of
from unstale.pipeline.forecast import Does, Forecast, Foreseen
from unstale.spoken import as_typed

__all__ = ["as_document", "as_text"]


def as_text(plan: Forecast) -> tuple[str, ...]:
    """A line for each step, the seconds to expect, and what is spared."""
    rows = [
        ("step", "seconds", "would", "why"),
        *((one.name, _seconds(one), _word(one.does), one.why) for one in plan.steps),
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return (
        *(
            f"{name:<{widths[0]}}  {seconds:>{widths[1]}}  {does:<{widths[2]}}  {why}".rstrip()
            for name, seconds, does, why in rows
        ),
        f"{'total':<{widths[0]}}  {_total(plan):>{widths[1]}}  {_from(plan)}".rstrip(),
        "",
        *_after(plan),
    )


def _seconds(one: Foreseen) -> str:
    if one.expected is None:
        return "-" if one.does in (Does.SKIPPED, Does.ENDS) else "?"
    known = f"{one.expected.expected_s:.1f}"
    return f"({known})" if one.does in (Does.SKIPPED, Does.ENDS) else known


def _word(does: Does) -> str:
    match does:
        case Does.RUNS:
            return "run"
        case Does.SKIPPED:
            return "skip"
        case Does.ENDS:
            return "end the run"
        case Does.UNKNOWN:
            return "unknown"
        case _ as never:
            assert_never(never)


def _total(plan: Forecast) -> str:
    return f"{plan.expected_s:.1f}" if _is_timed(plan) else "?"


def _from(plan: Forecast) -> str:
    """How good the total is."""
    runs = max((one.expected.runs for one in plan.steps if one.expected), default=0)
    if not runs:
        return "no earlier run to tell by"
    so_far = f", without {', '.join(plan.untimed)}" if plan.untimed else ""
    whole = f"; such a run took {plan.whole.expected_s:.1f} s" if plan.whole else ""
    return f"by {runs} earlier run{'' if runs == 1 else 's'}{so_far}{whole}"


def _after(plan: Forecast) -> Iterator[str]:
    for why, steps in groupby(plan.saved, key=lambda one: one.why):
        spared = tuple(steps)
        seconds = sum(one.expected.expected_s for one in spared if one.expected)
        yield f"Spared: ~{seconds:.1f} s, {', '.join(one.name for one in spared)}: {why}"
    yield from (f"Unknown: {what}" for what in plan.unknown)
    yield from (f"Note: {remark}." for remark in plan.remarks)
    if plan.error is not None:
        yield f"The run would end with {exit_code(outcome_of(plan.error))}:"
        yield from as_typed(str(plan.error)).splitlines()
    elif plan.unknown:
        yield as_typed(f"Next: {plan.next}")
    else:
        yield as_typed("Nothing was started. Next: inv test.integration, with the same options")


def as_document(plan: Forecast) -> dict[str, Any]:
    """The body of ``plan``."""
    return {
        "environment": plan.environment,
        "steps": [_step(one) for one in plan.steps],
        "expected_seconds": round(plan.expected_s, 3) if _is_timed(plan) else None,
        "untimed": list(plan.untimed),
        "whole_run_seconds": round(plan.whole.expected_s, 3) if plan.whole else None,
        "saved_seconds": round(plan.saved_s, 3),
        "unknown": list(plan.unknown),
        "ends": None
        if plan.error is None
        else {
            "outcome": fault_of([plan.error]).value,
            "code": exit_code(outcome_of(plan.error)),
            "what": plan.error.what,
            "why": plan.error.cause,
            "next": as_typed(plan.error.hint),
        },
        "remarks": list(plan.remarks),
        "next": as_typed(plan.next),
    }


def _is_timed(plan: Forecast) -> bool:
    return any(one.expected for one in plan.steps)


def _step(one: Foreseen) -> dict[str, Any]:
    return {
        "name": one.name,
        "does": one.does.value,
        "why": one.why,
        "spared": one.is_spared,
        "expected_seconds": round(one.expected.expected_s, 3) if one.expected else None,
        "runs": one.expected.runs if one.expected else 0,
    }
