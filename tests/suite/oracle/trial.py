"""One mutation before the judge and before us."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from engine import Engine, Outcome, Refused
from images import Library
from ours import Answer, Images, answer
from planted import planted
from scenario import Scenario, Shown, Site

Truth = Literal["stale", "fresh", "refused", "never built"]
Said = Literal["stale", "fresh", "unknown"]


@dataclass(frozen=True, slots=True)
class State:
    """What the judge made of a scenario, and what we say of it."""

    outcome: Outcome
    answer: Answer
    planted: Mapping[str, Answer] = field(default_factory=dict)
    """What we would say with each planted fault."""


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


def caught(before: State, after: State) -> tuple[str, ...]:
    """The planted faults that this mutation shows: they answer, and not as the engine does."""
    found: list[str] = []
    honest = judge(before, after)
    if honest.is_false_fresh or honest.is_false_stale:
        return ()
    for name in before.planted:
        one, two = before.planted[name], after.planted[name]
        finding = judge(replace(before, answer=one), replace(after, answer=two))
        if finding.is_false_fresh or finding.is_false_stale:
            found.append(name)
    return tuple(found)


def states(
    engine: Engine,
    library: Library,
    pairs: Sequence[tuple[Site, Scenario]],
    faults: Sequence[str] = (),
) -> list[State]:
    """Show each scenario at its site, ask us, with each of *faults* too, and build all."""
    sent, answers, others = [], [], []
    for site, scenario in pairs:
        if scenario.moving not in ("", site.tagged):
            engine.move(site.tag, scenario.moving)
            site.tagged = scenario.moving
        images = library.lookup({site.tag: scenario.moving})
        shown = site.show(scenario)
        answers.append(answer(shown, images, site.state))
        others.append({name: _with_fault(name, shown, images, site.state) for name in faults})
        sent.append(site.send(scenario))
    return [State(*all3) for all3 in zip(engine.build(sent), answers, others, strict=True)]


def _with_fault(name: str, shown: Shown, images: Images, state: Path) -> Answer:
    with planted(name) as folder:
        return answer(shown, images, state / folder)


@contextmanager
def sites(engine: Engine, root: Path, count: int) -> Iterator[list[Site]]:
    """Places for *count* scenarios, whose own tags are gone afterwards."""
    names = [uuid.uuid4().hex[:12] for _ in range(count)]
    found = [Site(root / name, f"unstale-oracle-{engine.run}:{name}") for name in names]
    try:
        yield found
    finally:
        engine.remove_tags([site.tag for site in found if site.tagged])
        for site in found:
            site.remove()
