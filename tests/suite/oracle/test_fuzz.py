"""A slice of the differential fuzzing, and the faults planted in us, for CI.

`inv oracle` runs as many cases as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import Court, Ledger, disagreements, judged, replay, report, round_of
from engine import Engine
from generator import chain, mutate
from images import Library
from scenario import from_json, to_json

# Its cases were chosen for none of their answers.
_SEED = 20


@pytest.fixture(scope="session")
def court(judge_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Court:
    return Court(judge_engine, Library(), tmp_path_factory.mktemp("fuzz"))


def test_a_slice_of_random_mutations_is_judged_as_the_engine_does(court: Court) -> None:
    cases = judged(round_of(court, _SEED, 0))

    odd = disagreements(cases)
    stale = sum(case.truth in ("stale", "refused") for case in cases)
    assert not odd["false fresh"], report(cases)
    assert len(odd["false stale"]) <= 0.01 * len(cases), report(cases)
    assert len(odd["unknown"]) <= 0.01 * len(cases), report(cases)
    assert stale >= 0.3 * len(cases), "such a slice proves little"


def test_a_case_can_be_replayed_from_its_name() -> None:
    one = chain("1.7")
    first, _, _ = mutate("1.7.0", one.draft, one.aims)
    second, row, name = mutate("1.7.1", first, one.aims)

    before, after, mutation = replay("1.7.1")

    assert (before, after) == (first.scenario(), second.scenario())
    assert mutation == f"{row}: {name}"


def test_a_scenario_survives_the_ledger() -> None:
    for number in range(50):
        scenario = chain(f"1.{number}").draft.scenario()

        assert from_json(to_json(scenario)) == scenario


def test_a_broken_off_round_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = '{"name": "1.0.0", "row": "r", "mutation": "m", "truth": "fresh", "said": "fresh"}\n'
    path.write_text(f'{whole}{{"round": 0}}\n{whole.replace("1.0.0", "1.24.0")}')

    ledger = Ledger.open(path)

    assert ledger.rounds == {0}
    assert [case.name for case in ledger.cases] == ["1.0.0"]
    assert "1.24.0" not in path.read_text()
