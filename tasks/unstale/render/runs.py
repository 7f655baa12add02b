"""``test.matrix``: the results of several environments, from their receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unstale.errors import CouldNotTell, Fault, UnstaleError, UsageError
from unstale.jsontext import narrowed
from unstale.pipeline.receipt import Receipt, read
from unstale.render.matrix import RunRow

if TYPE_CHECKING:
    from unstale.pipeline.run import RunReport

__all__ = ["run_row"]


def run_row(env: str, found: RunReport | UnstaleError, shown: str = "") -> RunRow:
    """The row of *env*: what its receipt says, or why there is none.

    *shown* is how the receipt's path is to be called.
    """
    if isinstance(found, UnstaleError):
        return RunRow(env, None, detail=f"{found.fault.value}: {found.what}")
    if found.receipt is None:
        return RunRow(env, found.outcome, detail=found.errors[-1].what)
    name = shown or str(found.receipt)
    try:
        told = read(found.receipt.read_bytes(), name)
    except UsageError as error:
        raise _unreadable(name, error.cause) from error
    with narrowed(lambda why: _unreadable(name, f"It is none of unstale's ({why}).")):
        return _row(env, found, told, name)


def _unreadable(receipt: str, cause: str) -> UnstaleError:
    return CouldNotTell(
        f"The receipt {receipt} can't be read.",
        cause=cause,
        hint="remove it, and run again",
    )


def _row(env: str, found: RunReport, told: Receipt, name: str) -> RunRow:
    passed, failed = len(told.passed), len(told.failed)
    is_counted = bool(passed or failed or told.skipped)
    return RunRow(
        env=env,
        outcome=Fault(told.outcome).outcome,
        passed=passed if is_counted else None,
        failed=failed if is_counted else None,
        skipped=told.skipped if is_counted else None,
        seconds=sum(step.seconds for step in told.steps),
        detail=found.errors[0].what if found.errors else _notes(found),
        receipt=name,
        image=next((i for service, i in sorted(told.images.items()) if "test" in service), ""),
        migration=", ".join((told.schema or {}).get("applied") or ()),
    )


def _notes(found: RunReport) -> str:
    return "an earlier run proves the same" if found.state.reused else ""
