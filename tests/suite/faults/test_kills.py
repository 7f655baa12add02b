"""Random kills as the campaign's: `inv faults` makes hundreds, and of others beside."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import Ledger
from kills import SIGNALS, Kill, Witness, is_right, length, scene, strike, victims
from tables import kill_table

OURS = victims()["unstale"]
_STRATA = 8


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    one = Witness()
    yield one
    one.close()


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    return length(tmp_path_factory.mktemp("length"), OURS, None, runs=1)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("INT", "group"),
        ("TERM", "leader"),
        ("HUP", "group"),
        ("KILL", "leader"),
        ("INT", "leader"),
        ("TERM", "group"),
        ("KILL", "group"),
        ("INT2", "group"),
    ],
)
def test_a_kill_at_a_random_moment_leaves_nothing(
    name: str,
    target: str,
    seconds: float,
    tmp_path: Path,
    witness: Witness,
) -> None:
    """Each in another eighth of the run, but not in the start of the interpreter."""
    order = ("INT", "TERM", "HUP", "KILL", "INT2")
    stratum = (order.index(name) * 2 + (target == "leader")) % _STRATA
    moment = max(0.3, seconds * (stratum + random.random()) / _STRATA)

    with scene(tmp_path, witness=witness) as place:
        kill = strike(place, OURS, name, target, moment)

        assert kill.late or kill.right, f"{kill}\n{place.printed()}"
        assert not kill.is_leaky, f"{kill}\n{place.printed()}"


@pytest.mark.parametrize(
    ("code", "name", "right"),
    [
        (130, "INT", True),
        (-2, "INT", True),
        (0, "INT", False),
        (1, "INT", False),
        (143, "INT", False),
        (None, "TERM", False),
        (-15, "TERM", True),
        (129, "HUP", True),
    ],
)
def test_which_code_tells_of_a_signal(code: int | None, name: str, right: bool) -> None:
    assert is_right(code, SIGNALS[name][0]) is right


def test_a_ledger_is_gone_on_with_after_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "seed-1.jsonl"
    ledger = Ledger.open(path)
    ledger.add_length("unstale", 4.5)
    ledger.add_kill(Kill("unstale", "INT", "group", 1.0, code=130))
    ledger.add_kill(Kill("unstale", "INT", "group", 9.0, late=True))
    with path.open("a") as file:
        file.write('{"kill": {"vic')

    again = Ledger.open(path)

    assert again.lengths == {"unstale": 4.5}
    assert again.kills == ledger.kills
    assert len(again.counted("unstale", "INT")) == 1


def test_a_row_counts_what_was_left_and_wrong_codes() -> None:
    kills = [
        Kill("bash-run", "INT", "group", 1.0, code=0, right=False, gone=1.0),
        Kill("bash-run", "INT", "group", 2.0, code=130, gone=3.0, containers=2, networks=1),
        Kill("bash-run", "INT", "group", 9.0, late=True),
    ]

    row = kill_table(kills)[-1]

    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "bash-run", "INT", "2", "1 (50 %)", "2 / 1 / 0", "1", "1", "0", "2.0 / 3.0", "-",
    ]  # fmt: skip
