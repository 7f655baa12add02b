"""Thousands of random mutations before the judge: a ledger, a report.

A case is named ``SEED.CHAIN.STEP``. A chain is one scenario that is mutated step
by step; a mutation after which the engine refuses to build is taken back. All
comes from the seed, so a case can be replayed alone.
"""

from __future__ import annotations

import argparse
import difflib
import json
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from engine import Built, Engine
from generator import Chain, chain, mutate
from images import Library
from planted import FAULTS
from scenario import Scenario, Site, to_json
from trial import Finding, State, caught, judge, sites, states

CHAINS = 24
"""So many scenarios are built in one call."""
STEPS = 8
"""Mutations of each."""


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the ledger."""

    name: str
    row: str
    mutation: str
    truth: str
    said: str
    features: Sequence[str] = ()
    detail: str = ""
    before: str = ""
    """The scenario as JSON; only where we and the judge disagree."""
    after: str = ""
    caught: Sequence[str] = ()
    """The planted faults that it shows, if any were planted."""

    @property
    def finding(self) -> Finding:
        return Finding(self.truth, self.said, self.detail)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Track:
    """A chain on its way."""

    name: str
    chain: Chain
    state: State
    refused: list[int] = field(default_factory=list)

    @property
    def scenario(self) -> Scenario:
        return self.chain.draft.scenario()


@dataclass(frozen=True, slots=True)
class Court:
    """Who judges, and by what."""

    engine: Engine
    library: Library
    work: Path
    """A folder for scenarios."""
    faults: Sequence[str] = ()
    """Planted beside our own answer."""

    def states(self, pairs: Iterable[tuple[Site, Scenario]]) -> list[State]:
        return states(self.engine, self.library, tuple(pairs), self.faults)


@contextmanager
def court(jobs: int = 2, faults: Sequence[str] = ()) -> Iterator[Court]:
    """An engine with its base images; what it built is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="unstale-oracle-") as work:
        engine = Engine(uuid.uuid4().hex[:8], Path(work), jobs)
        engine.prepare()
        try:
            yield Court(engine, Library(), Path(work), faults)
        finally:
            engine.remove_images()


def round_of(judges: Court, seed: int, number: int, *, chains: int = CHAINS) -> Iterator[Case]:
    """The cases of round *number*: *chains* scenarios, `STEPS` mutations of each."""
    names = [f"{seed}.{number * CHAINS + at}" for at in range(chains)]
    drafts = [chain(name) for name in names]
    with sites(judges.engine, judges.work, chains) as places:
        first = judges.states(
            (place, one.draft.scenario()) for place, one in zip(places, drafts, strict=True)
        )
        tracks = [_Track(*one) for one in zip(names, drafts, first, strict=True)]
        both = zip(places, tracks, strict=True)
        live = [(at, track) for at, track in both if isinstance(track.state.outcome, Built)]
        yield from _stillborn(tracks)
        for step in range(STEPS):
            yield from _step(judges, live, step)
    judges.engine.remove_images()


def _stillborn(tracks: Iterable[_Track]) -> Iterator[Case]:
    for track in tracks:
        if not isinstance(track.state.outcome, Built):
            yield Case(
                f"{track.name}.-", "-", "-", "never built", "-",
                track.chain.features, track.state.outcome.why, after=to_json(track.scenario),
            )  # fmt: skip


def _step(judges: Court, live: Sequence[tuple[Site, _Track]], step: int) -> Iterator[Case]:
    mutated = [
        mutate(f"{track.name}.{step}", track.chain.draft, track.chain.aims) for _, track in live
    ]
    after = judges.states(
        (site, draft.scenario()) for (site, _), (draft, _, _) in zip(live, mutated, strict=True)
    )
    for (_, track), (draft, row, name), state in zip(live, mutated, after, strict=True):
        yield _case(track, f"{track.name}.{step}", row, name, draft.scenario(), state)
        if isinstance(state.outcome, Built):
            track.chain = replace(track.chain, draft=draft)
            track.state = state
        else:
            track.refused.append(step)


def _case(track: _Track, name: str, row: str, mutation: str, after: Scenario, state: State) -> Case:
    finding = judge(track.state, state)
    odd = finding.is_false_fresh or finding.is_false_stale or finding.said == "unknown"
    return Case(
        name,
        row,
        mutation,
        finding.truth,
        finding.said,
        (*track.chain.features, *(f"refused:{step}" for step in track.refused)),
        finding.detail,
        to_json(track.scenario) if odd else "",
        to_json(after) if odd else "",
        caught(track.state, state),
    )


@dataclass(slots=True)
class Ledger:
    """The cases so far, and which rounds are complete; a file of JSON lines."""

    path: Path
    cases: list[Case] = field(default_factory=list)
    rounds: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """What a broken-off run left; its last round, if incomplete, is dropped."""
        ledger = cls(path)
        open_cases: list[Case] = []
        for line in path.read_text().splitlines() if path.exists() else ():
            raw = json.loads(line)
            if "round" in raw:
                ledger.rounds.add(raw["round"])
                ledger.cases += open_cases
                open_cases = []
            else:
                open_cases.append(Case(**raw))
        ledger._rewrite()
        return ledger

    def add(self, number: int, cases: Sequence[Case]) -> None:
        self.cases += cases
        self.rounds.add(number)
        with self.path.open("a") as file:
            for case in cases:
                file.write(json.dumps(asdict(case)) + "\n")
            file.write(json.dumps({"round": number}) + "\n")

    def _rewrite(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w") as file:
            for case in self.cases:
                file.write(json.dumps(asdict(case)) + "\n")
            for number in sorted(self.rounds):
                file.write(json.dumps({"round": number}) + "\n")


def run(
    ledger: Ledger, seed: int, wanted: int, tell: Callable[[str], None], *, jobs: int = 2
) -> list[Case]:
    """Go on until the ledger has *wanted* cases."""
    with court(jobs) as judges:
        number = 0
        while len(judged(ledger.cases)) < wanted:
            if number not in ledger.rounds:
                begin = time.monotonic()
                cases = list(round_of(judges, seed, number))
                ledger.add(number, cases)
                tell(_progress(ledger, wanted, time.monotonic() - begin, len(cases)))
                if number % _ROUNDS_A_PRUNE == _ROUNDS_A_PRUNE - 1:
                    judges.engine.prune_cache()
            number += 1
    return ledger.cases


_ROUNDS_A_PRUNE = 2


def hunt(seed: int, most: int, tell: Callable[[str], None], *, jobs: int = 2) -> dict[str, int]:
    """Plant every fault: how many cases it took to find each, none after *most* cases."""
    found: dict[str, int] = {}
    count = number = 0
    with court(jobs, tuple(FAULTS)) as judges:
        while count < most and found.keys() != FAULTS.keys():
            for case in round_of(judges, seed, number):
                count += case.truth != "never built"
                for name in case.caught:
                    if name not in found:
                        found[name] = count
                        tell(f"{count:5} cases: {name} ({case.name}, {case.row}: {case.mutation})")
            number += 1
    return found


def _progress(ledger: Ledger, wanted: int, seconds: float, count: int) -> str:
    found = judged(ledger.cases)
    odd = ", ".join(f"{name} {len(cases)}" for name, cases in disagreements(found).items())
    return f"{len(found)} of {wanted} cases, {seconds / max(count, 1):.2f} s each; {odd}"


def judged(cases: Iterable[Case]) -> list[Case]:
    """Those with a verdict: the scenario could be built before."""
    return [case for case in cases if case.truth != "never built"]


def report(cases: Sequence[Case]) -> list[str]:
    """Figures, hits per row, and each class of disagreement."""
    found = judged(cases)
    total = max(len(found), 1)
    stale = sum(case.truth in ("stale", "refused") for case in found)
    lines = [f"{len(found)} cases, {len(cases) - len(found)} scenarios that never built"]
    lines.append(f"truly stale: {stale} ({100 * stale / total:.1f} %)")
    for name, odd in disagreements(found).items():
        lines.append(f"{name}: {len(odd)} ({100 * len(odd) / total:.2f} %)")
        kinds = Counter(f"{case.row}: {case.mutation}" for case in odd)
        lines += [f"    {count:5}  {kind}" for kind, count in kinds.most_common()]
        lines += [f"           {case.name}  {case.detail[:150]}" for case in odd[:8]]
    rows = Counter(case.row for case in found)
    stales = Counter(case.row for case in found if case.truth in ("stale", "refused"))
    lines += [
        f"{row:18} {count:6} hits, {stales[row]:6} stale" for row, count in sorted(rows.items())
    ]
    return lines


def disagreements(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """The cases in which we and the judge differ, by kind."""
    found = list(cases)
    return {
        "false fresh": [case for case in found if case.finding.is_false_fresh],
        "false stale": [case for case in found if case.finding.is_false_stale],
        # Where the engine refuses too, there is nothing else to say.
        "unknown": [c for c in found if c.said == "unknown" and c.truth != "refused"],
    }


def replay(name: str, refused: Sequence[int] = ()) -> tuple[Scenario, Scenario, str]:
    """The two scenarios of a case and its mutation, from its name alone."""
    seed, number, step = name.split(".")
    one = chain(f"{seed}.{number}")
    draft = one.draft
    for at in range(int(step)):
        if at not in refused:
            draft, _, _ = mutate(f"{seed}.{number}.{at}", draft, one.aims)
    after, row, mutation = mutate(f"{seed}.{number}.{step}", draft, one.aims)
    return draft.scenario(), after.scenario(), f"{row}: {mutation}"


def again(name: str, ledger: Ledger, *, jobs: int = 2) -> Finding:
    """Judge one case of the ledger once more, alone."""
    chain_name, _, step = name.rpartition(".")
    earlier = (
        c for c in ledger.cases if c.name.startswith(f"{chain_name}.") and c.truth == "refused"
    )
    refused = {int(case.name.rpartition(".")[2]) for case in earlier}
    before, after, mutation = replay(name, sorted(refused - {int(step)}))
    _tell("\n\n".join((mutation, _dockerfile(before), _difference(before, after))))
    with court(jobs) as judges, sites(judges.engine, judges.work, 1) as (site,):
        one, two = (judges.states([(site, scenario)])[0] for scenario in (before, after))
    return judge(one, two)


def _dockerfile(scenario: Scenario) -> str:
    name = scenario.dockerfile.removeprefix("../beside/")
    home = scenario.beside if name != scenario.dockerfile else scenario.context
    return scenario.inline if scenario.inline is not None else home[name].text


def _difference(before: Scenario, after: Scenario) -> str:
    return "\n".join(difflib.unified_diff(_lines(before), _lines(after), n=0, lineterm=""))


def _lines(scenario: Scenario) -> list[str]:
    """Every field of every node in a line of its own."""
    return json.dumps(json.loads(to_json(scenario)), indent=1, sort_keys=True).splitlines()


def main(arguments: Sequence[str]) -> int:
    """Run from the command line; ends with 3 if anything was false fresh or not found."""
    parser = argparse.ArgumentParser(prog="oracle")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="the name of one case")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--folder", type=Path, required=True, help="where the ledgers are")
    given = parser.parse_args(arguments)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # what was built is removed all the same
    if given.planted:
        found = hunt(given.seed, given.cases, _tell, jobs=given.jobs)
        lost = [name for name in FAULTS if name not in found]
        _tell("\n".join(f"not found: {name}" for name in lost) or "all were found")
        return 3 if lost else 0
    seed = given.only.partition(".")[0] or given.seed
    ledger = Ledger.open(given.folder / f"seed-{seed}.jsonl")
    if given.only:
        finding = again(given.only, ledger, jobs=given.jobs)
        _tell(str(finding))
        return 3 if finding.is_false_fresh else 0
    cases = run(ledger, given.seed, given.cases, _tell, jobs=given.jobs)
    _tell("\n".join(report(cases)))
    return 3 if any(case.finding.is_false_fresh for case in judged(cases)) else 0


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is what a chore prints


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
