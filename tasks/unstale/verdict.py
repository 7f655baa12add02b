"""What a proof can answer. "Could not tell" is a type, never None."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, assert_never

from unstale.errors import Outcome

__all__ = [
    "Change",
    "Fresh",
    "Missing",
    "NotAsked",
    "Reason",
    "Stale",
    "Unknown",
    "Verdict",
    "combine",
    "outcome",
    "word",
]

Change = Literal["added", "removed", "modified", "mode", "configuration"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that differs between the proof and what is here now."""

    path: str
    """Relative to the project root; an image path for what exists only there."""
    change: Change
    commit: str | None = None
    """Short hash of the commit that last touched it; None if uncommitted."""
    masked: bool = False
    """True if a bind mount lays the current file over the old one."""
    reader: str = ""
    """The line that reads it, such as ``docker/Dockerfile:52``; empty if unknown."""
    committed_at: datetime | None = None
    """Committer date of *commit*."""

    def to_json(self) -> dict[str, object]:
        """As it stands in documents and receipts."""
        when = self.committed_at
        return {
            "path": self.path,
            "change": self.change,
            "commit": self.commit,
            "committed_at": when.astimezone(UTC).isoformat() if when else None,
            "reader": self.reader or None,
            "masked": self.masked,
        }


@dataclass(frozen=True, slots=True)
class Fresh:
    """It is what it should be."""


@dataclass(frozen=True, slots=True)
class Stale:
    """It is not what it should be."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """There is nothing to judge, and there should be."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be told. Never green."""

    why: str


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The project has no such thing, and says so in its configuration."""

    why: str


Verdict = Fresh | Stale | Missing | Unknown | NotAsked


def word(verdict: Verdict) -> str:
    """The contract's word for *verdict*, the same in text and JSON."""
    match verdict:
        case Fresh():
            return "fresh"
        case Stale():
            return "stale"
        case Missing():
            return "missing"
        case Unknown():
            return "unknown"
        case NotAsked():
            return "not asked"
        case _ as never:
            assert_never(never)


def outcome(verdict: Verdict) -> Outcome:
    """How a command ends whose answer is *verdict*."""
    match verdict:
        case Fresh() | NotAsked():
            return Outcome.PROVEN
        case Stale() | Missing():
            return Outcome.MISMATCH
        case Unknown():
            return Outcome.UNKNOWN
        case _ as never:
            assert_never(never)


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict for several: all reasons if any is stale, else the weakest.

    Stale wins over Missing, Missing over Unknown: a certain "no" is worth more
    than a doubt. Nothing to combine is Unknown, not Fresh.
    """
    found = tuple(verdicts)
    reasons = tuple(reason for v in found if isinstance(v, Stale) for reason in v.reasons)
    if any(isinstance(v, Stale) for v in found):
        return Stale(reasons)
    for v in found:
        if isinstance(v, Missing):
            return v
    for v in found:
        if isinstance(v, Unknown):
            return v
    if any(isinstance(v, Fresh) for v in found):
        return Fresh()
    return found[0] if found else Unknown("nothing was checked")
