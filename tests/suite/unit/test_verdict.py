"""A verdict's word, how a command ends with it, and one verdict for several."""

from __future__ import annotations

import typing

import pytest

from unstale.errors import Outcome
from unstale.verdict import (
    Fresh,
    Missing,
    NotAsked,
    Reason,
    Stale,
    Unknown,
    Verdict,
    combine,
    outcome,
    word,
)

A = Reason("a.py", "modified")
B = Reason("b.py", "added")
EVERY = {
    Fresh(): ("fresh", Outcome.PROVEN),
    Stale((A,)): ("stale", Outcome.MISMATCH),
    Missing(): ("missing", Outcome.MISMATCH),
    Unknown("no engine"): ("unknown", Outcome.UNKNOWN),
    NotAsked("no database"): ("not asked", Outcome.PROVEN),
}


def test_the_table_below_knows_every_kind_of_verdict() -> None:
    assert {type(verdict) for verdict in EVERY} == set(typing.get_args(Verdict))


@pytest.mark.parametrize(("verdict", "expected"), list(EVERY.items()))
def test_each_verdict_has_its_word_and_its_ending(
    verdict: Verdict, expected: tuple[str, Outcome]
) -> None:
    assert (word(verdict), outcome(verdict)) == expected


@pytest.mark.parametrize("verdict", list(EVERY))
def test_one_verdict_alone_stays_what_it_is(verdict: Verdict) -> None:
    assert combine([verdict]) == verdict


def test_nothing_checked_is_not_green() -> None:
    assert combine([]) == Unknown("nothing was checked")


# From the one that wins over all others to the one that wins over none.
PRECEDENCE: list[Verdict] = [Stale((A,)), Missing(), Unknown("?"), Fresh(), NotAsked("none")]


@pytest.mark.parametrize("stronger", range(len(PRECEDENCE)))
def test_a_certain_no_wins_over_doubt_and_doubt_over_green(stronger: int) -> None:
    for weaker in PRECEDENCE[stronger + 1 :]:
        pair = [PRECEDENCE[stronger], weaker]
        assert combine(pair) == combine(reversed(pair)) == PRECEDENCE[stronger]


def test_the_reasons_of_all_stale_ones_are_kept_in_order() -> None:
    assert combine([Stale((A,)), Fresh(), Stale((B,))]) == Stale((A, B))


def test_stale_without_a_reason_is_still_stale() -> None:
    assert combine([Fresh(), Stale(())]) == Stale(())
