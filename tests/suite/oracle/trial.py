"""One mutation before the judge and before us."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine import Engine, Outcome, Refused
from images import Library
from ours import Answer, answer
from scenario import Scenario, Site

Truth = Literal["stale", "fresh", "refused", "never built"]
Said = Literal["stale", "fresh", "unknown"]


@dataclass(frozen=True, slots=True)
class State:
    """What the judge made of a scenario, and what we say of it."""

    outcome: Outcome
    answer: Answer


@dataclass(frozen=True, slots=True)
class Finding:
    """A mutation judged twice."""

    truth: Truth
    said: Said
    detail: str

    @property
    def is_false_fresh(self) -> bool:
        """The one thing that must never happen."""
        return self.said == "fresh" and self.truth in ("stale", "refused")

    @property
    def is_false_stale(self) -> bool:
        return self.said == "stale" and self.truth == "fresh"


def judge(before: State, after: State) -> Finding:
    """Compare two states, both ways."""
    return Finding(_truth(before, after), _said(before, after), _detail(before, after))


def _truth(before: State, after: State) -> Truth:
    if isinstance(before.outcome, Refused):
        return "never built"
    if isinstance(after.outcome, Refused):
        return "refused"
    return "fresh" if before.outcome == after.outcome else "stale"


def _said(before: State, after: State) -> Said:
    if before.answer.unknown or after.answer.unknown:
        return "unknown"
    return "fresh" if before.answer.digest == after.answer.digest else "stale"


def _detail(before: State, after: State) -> str:
    refusals = [s.outcome.why for s in (before, after) if isinstance(s.outcome, Refused)]
    return "; ".join([*before.answer.unknown, *after.answer.unknown, *refusals])


def states(engine: Engine, library: Library, pairs: Sequence[tuple[Site, Scenario]]) -> list[State]:
    """Show each scenario at its site, ask us, build all in one call."""
    shown = []
    answers = []
    for site, scenario in pairs:
        if scenario.moving:
            engine.move(site.tag, scenario.moving)
            site.moves = True
        here = site.show(scenario)
        shown.append(here)
        answers.append(answer(here, library.lookup({site.tag: scenario.moving})))
    return [State(*both) for both in zip(engine.build(shown), answers, strict=True)]


@contextmanager
def sites(engine: Engine, root: Path, count: int) -> Iterator[list[Site]]:
    """Places for *count* scenarios, whose own tags are gone afterwards."""
    names = [uuid.uuid4().hex[:12] for _ in range(count)]
    found = [Site(root / name, f"unstale-oracle-{engine.run}:{name}") for name in names]
    yield found
    engine.remove_tags([site.tag for site in found if site.moves])
    for site in found:
        site.remove()
