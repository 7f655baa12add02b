"""A receipt, and whether it can be believed, as lines of text and as JSON documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unstale.errors import Outcome, exit_code
from unstale.pipeline.receipt import Receipt
from unstale.pipeline.shelf import Found
from unstale.pipeline.vouch import Check, Seal, Verification

__all__ = [
    "revision_words",
    "shown_document",
    "shown_text",
    "tests_words",
    "verified_document",
    "verified_text",
]

_MOST_TESTS = 20
_WORDS = {"holds": "ok", "differs": "DIFFERS", "unknown": "unknown"}


def shown_text(found: Found, seal: Seal) -> tuple[str, ...]:
    """What a receipt says, for people."""
    told = found.receipt
    rows = [
        ("result", f"{told.result} ({told.outcome})"),
        ("signature", seal.detail),
        ("started", told.started),
        ("environment", told.environment),
        ("revision", revision_words(told)),
        *((f"image {name}", image) for name, image in told.images.items()),
        *((f"inputs {name}", digest) for name, digest in told.inputs.items()),
        ("schema", _schema(told)),
        ("tests", tests_words(told)),
        *(("", f"failed: {name}") for name in told.failed[:_MOST_TESTS]),
    ]
    more = len(told.failed) - _MOST_TESTS
    steps = [("step", "seconds", "result")]
    steps += [(s.name, f"{s.seconds:.1f}", _one_line(s.detail) or s.outcome) for s in told.steps]
    return (
        str(found.path),
        "",
        *_columns(rows),
        *([f"... and {more} more failed"] if more > 0 else []),
        "",
        *(f"{name:<17} {seconds:>8}  {detail}".rstrip() for name, seconds, detail in steps),
    )


def revision_words(told: Receipt) -> str:
    """Which commit it is about, and whether there was more."""
    if told.revision is None:
        return "none: no git commit"
    match told.dirty:
        case True:
            return f"{told.revision}, and uncommitted changes"
        case False:
            return told.revision
        case None:
            return f"{told.revision}; whether there was more is not known"


def _schema(told: Receipt) -> str:
    if told.schema is None:
        return "not asked"
    applied = ", ".join(map(str, told.schema.get("applied") or ()))
    return f"{told.schema.get('state')}" + (f": {applied}" if applied else "")


def tests_words(told: Receipt) -> str:
    """How many tests did what."""
    return f"{len(told.passed)} passed, {len(told.failed)} failed, {told.skipped} skipped"


def _one_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def shown_document(found: Found, seal: Seal) -> dict[str, Any]:
    """The body of ``receipt``."""
    return {
        "receipt": str(found.path),
        "signature": _seal(seal),
        "statement": json.loads(found.raw),
    }


def _seal(seal: Seal) -> dict[str, Any]:
    return {
        "state": seal.state,
        "method": seal.method,
        "key_id": seal.key_id,
        "signer": seal.signer,
        "detail": seal.detail,
    }


def verified_text(found: Verification, root: Path) -> tuple[str, ...]:
    """What each check says, and what follows from it."""
    path = found.path
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    unsigned = [("", "signature", found.seal.detail)] if found.seal.state == "none" else []
    rows = [(_WORDS[c.word], _name(c), c.detail) for c in found.checks]
    rows = [*unsigned, *rows] if not any(c.name == "signature" for c in found.checks) else rows
    wide = [max(len(row[at]) for row in rows) for at in (0, 1)]
    words = {
        Outcome.PROVEN: "It holds, for what is here now.",
        Outcome.MISMATCH: "It does not hold for what is here now.",
    }
    return (
        str(shown),
        *(f"  {word:<{wide[0]}}  {name:<{wide[1]}}  {detail}" for word, name, detail in rows),
        words.get(found.outcome, "Whether it holds could not be told."),
    )


def _name(check: Check) -> str:
    return f"{check.name} of {check.about}" if check.about else check.name


def verified_document(found: Verification) -> dict[str, Any]:
    """The body of ``receipt-verify``."""
    return {
        "receipt": str(found.path),
        "outcome": found.outcome.value,
        "code": exit_code(found.outcome),
        "signature": _seal(found.seal),
        "checks": [
            {"name": c.name, "service": c.about or None, "verdict": c.word, "detail": c.detail}
            for c in found.checks
        ],
    }
