"""What a comparison of environments found, ready to be shown: frozen values. Pure.

Nothing here depends on who found it: hazards, findings and complaints of the
policy are all `Remark`, a place and a sentence. No sentence quotes a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unstale.parity.model import Difference

if TYPE_CHECKING:
    from unstale.parity.sync import SyncPlan

__all__ = [
    "AllowedDifference",
    "Effect",
    "Home",
    "PairReport",
    "ParityReport",
    "Remark",
    "SyncRow",
    "effect",
    "sync_rows",
]

Effect = Literal["behaviour", "value", "place", "none", "identity"]
"""How much a difference matters, most first. ``place``: only a host or a port."""

_PLACE = frozenset({"host", "hosts", "port", "ports"})
_FILLING = frozenset({"only", "the", "and", "differs", "differ"})


@dataclass(frozen=True, slots=True)
class AllowedDifference:
    """A difference that the policy explains."""

    difference: Difference
    reason: str
    rule: str = ""
    """The pattern of the rule that does."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to be said about a name at a place."""

    kind: str
    """``unused``, ``expired``, ``inert``, ``near-miss``, a dialect hazard's kind …"""
    key: str
    file: str = ""
    """Relative to the project, with slashes; empty where no file can be named."""
    line: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one side, where a missing thing would have to be written."""

    env_file: str = ""
    compose_file: str = ""


@dataclass(frozen=True, slots=True)
class PairReport:
    """Two environments, compared and judged by the policy."""

    left: str
    right: str
    open: tuple[Difference, ...] = ()
    """What nobody explained; in the order of `compare.order`."""
    allowed: tuple[AllowedDifference, ...] = ()
    identity: tuple[Difference, ...] = ()
    """Names and published ports, folded away by default."""
    services: tuple[str, ...] = ()
    """All services that were compared; empty where only files were."""
    left_home: Home = Home()
    right_home: Home = Home()
    unknown: tuple[str, ...] = ()
    """Why nobody can say that the two are alike; empty if one can."""
    notes: tuple[str, ...] = ()
    """What else could not be told."""

    @property
    def parity(self) -> bool:
        """Whether all was compared, and every difference has its reason written down."""
        return not self.open and not self.unknown


@dataclass(frozen=True, slots=True)
class ParityReport:
    """All that one command has to say about some pairs of environments."""

    pairs: tuple[PairReport, ...] = ()
    hazards: tuple[Remark, ...] = ()
    """Keys that are read differently by those who read the same file."""
    findings: tuple[Remark, ...] = ()
    """Variables that the code reads and nobody sets, or that reach no container."""
    policy_findings: tuple[Remark, ...] = ()
    """Permissions that are ``unused`` or ``expired``."""
    notes: tuple[str, ...] = ()

    @property
    def parity(self) -> bool:
        """Whether every pair is at parity and every permission is still needed."""
        return all(pair.parity for pair in self.pairs) and not self.policy_findings


@dataclass(frozen=True, slots=True)
class SyncRow:
    """One key that is to be added to an env file, or can't be."""

    file: str
    key: str
    state: Literal["add", "refused"]
    origin: str = ""
    """Where the value is from: ``placeholder``, ``example``."""
    line: int | None = None
    """The line it gets, counted from 1."""
    why: str = ""
    """Why it is refused."""


def sync_rows(name: str, text: str, plan: SyncPlan) -> tuple[SyncRow, ...]:
    """The rows of *plan* for the env file called *name*, which has *text* before it."""
    rows: list[SyncRow] = []
    inserted = 0
    for one in plan.additions:
        inserted += len(one.above)
        line = text.count("\n", 0, one.at) + inserted + 1
        inserted += 1
        origin = "placeholder" if one.line.startswith("#") else "example"
        rows.append(SyncRow(name, one.key, "add", origin, line))
    rows += [SyncRow(name, one.key, "refused", why=one.reason) for one in plan.refused]
    return tuple(rows)


def effect(difference: Difference) -> Effect:
    """How much *difference* matters."""
    if difference.identity:
        return "identity"
    if difference.no_effect:
        return "none"
    if difference.field not in ("file", "environment"):
        return "behaviour"
    return "place" if _is_place(difference.detail) else "value"


def _is_place(detail: str) -> bool:
    words = set(re.findall(r"[a-z]+", detail)) - _FILLING
    return detail.startswith("only ") and bool(words) and words <= _PLACE
