"""How long steps took before, and so what may be expected of them: from receipts alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from unstale.errors import Outcome
from unstale.pipeline import shelf
from unstale.pipeline.receipt import Receipt
from unstale.ports import Files

if TYPE_CHECKING:
    from unstale.pipeline.run import Choices

__all__ = [
    "BUILD",
    "TESTS",
    "Building",
    "Past",
    "RunKind",
    "Timing",
    "built",
    "kind",
    "of",
    "past",
    "timings",
    "total",
]

BUILD = "build_if_needed"
TESTS = "run_tests"
_LAST_FEW = 5
# What a look back may cost: a receipt is read in a millisecond or less.
_MOST_READ = 30


class Building(Enum):
    """What a run builds; each takes a time of its own."""

    NONE = "nothing"
    CACHED = "with the layer cache"
    WHOLE = "without the layer cache"


@dataclass(frozen=True, slots=True)
class RunKind:
    """What must be the same for two runs to be compared."""

    environment: str
    building: Building = Building.NONE
    arguments: tuple[str, ...] = ()
    """What pytest is given."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took, in the last few runs that can be compared."""

    expected_s: float
    """The median."""
    last_s: float
    runs: int


def kind(environment: str, choices: Choices) -> RunKind:
    """The kind of a run that begins; what it builds is known only if it was told to."""
    asked = Building.CACHED if choices.build else Building.NONE
    return RunKind(environment, Building.WHOLE if choices.no_cache else asked, choices.arguments)


def past(files: Files, folder: Path) -> tuple[Receipt, ...]:
    """The receipts in *folder* that a look back reads, the newest first."""
    return tuple(found.receipt for found in islice(shelf.newest(files, folder), _MOST_READ))


def timings(receipts: Iterable[Receipt], kind: RunKind) -> Mapping[str, Timing]:
    """Each step's timing, of *receipts* with the newest first.

    Steps that failed or had nothing to do with *kind* say nothing: only a build is compared by
    what was built, only tests by their arguments, and all by their environment.
    """
    found: dict[str, list[float]] = {}
    for one in (r for r in receipts if r.environment == kind.environment):
        for step in one.steps:
            is_other = (step.name == BUILD and built(one) is not kind.building) or (
                step.name == TESTS and one.arguments != kind.arguments
            )
            if step.outcome == Outcome.PROVEN.value and not is_other:
                found.setdefault(step.name, []).append(step.seconds)
    return {name: _timing(seconds) for name, seconds in found.items()}


def total(receipts: Iterable[Receipt], kind: RunKind, steps: Iterable[str]) -> Timing | None:
    """The timing of whole runs of *kind* that were green and had just these *steps*."""
    wanted = set(steps)
    seconds = [
        sum(step.seconds for step in one.steps)
        for one in receipts
        if of(one) == kind
        and {step.name for step in one.steps} == wanted
        and all(step.outcome == Outcome.PROVEN.value for step in one.steps)
    ]
    return _timing(seconds) if seconds else None


def of(receipt: Receipt) -> RunKind:
    """The kind of run that *receipt* tells of."""
    return RunKind(receipt.environment, built(receipt), receipt.arguments)


def built(receipt: Receipt) -> Building:
    """What the run that *receipt* tells of has built."""
    if not receipt.built:
        return Building.NONE
    return Building.WHOLE if receipt.no_cache else Building.CACHED


def _timing(newest_first: list[float]) -> Timing:
    few = newest_first[:_LAST_FEW]
    return Timing(median(few), few[0], len(few))


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier runs tell of one of *kind*."""

    receipts: tuple[Receipt, ...] = ()
    kind: RunKind = RunKind("")

    @property
    def timings(self) -> Mapping[str, Timing]:
        """Each step's timing."""
        return timings(self.receipts, self.kind)

    def total(self, steps: Iterable[str]) -> Timing | None:
        """The timing of runs that had just these *steps*."""
        return total(self.receipts, self.kind, steps)

    def building(self, what: Building) -> Past:
        """The same, of runs that build *what*."""
        return replace(self, kind=replace(self.kind, building=what))
