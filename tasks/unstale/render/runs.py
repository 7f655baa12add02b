"""``test.matrix``: the results of several environments, from their receipts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstale.errors import CouldNotTell, Fault, UnstaleError
from unstale.jsontext import narrowed
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
    with narrowed(lambda why: _unreadable(shown or str(found.receipt), why)):
        return _row(env, found, found.receipt, shown)


def _unreadable(receipt: str, why: str) -> UnstaleError:
    return CouldNotTell(
        f"The receipt {receipt} can't be read.",
        cause=f"It is none of unstale's ({why}).",
        hint="remove it, and run again",
    )


def _row(env: str, found: RunReport, receipt: Path, shown: str) -> RunRow:
    document = _document(receipt)
    told = document["predicate"]["annotations"]
    predicate = document["predicate"]
    images = {s["name"]: f"sha256:{s['digest']['sha256']}" for s in document["subject"]}
    passed, failed = len(predicate["passedTests"]), len(predicate["failedTests"])
    is_counted = bool(passed or failed or told["skipped"])
    schema = told.get("schema") or {}
    return RunRow(
        env=env,
        outcome=Fault(told["outcome"]).outcome,
        passed=passed if is_counted else None,
        failed=failed if is_counted else None,
        skipped=told["skipped"] if is_counted else None,
        seconds=sum(step["seconds"] for step in told["steps"]),
        detail=found.errors[0].what if found.errors else _notes(found),
        receipt=shown or str(receipt),
        image=next((i for name, i in sorted(images.items()) if "test" in name), ""),
        migration=", ".join(schema.get("applied") or ()),
    )


def _notes(found: RunReport) -> str:
    return "an earlier run proves the same" if found.state.reused else ""


def _document(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
