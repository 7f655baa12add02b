"""The tree of errors, and the one table of exit codes."""

from __future__ import annotations

import itertools
import signal

import pytest

from unstale import errors
from unstale.errors import (
    ConfigError,
    Interrupted,
    Outcome,
    TearDownFailed,
    UnknownName,
    UnstaleError,
    exit_code,
    outcome_of,
    worst,
)

# From the contract, in order of precedence.
CODES = {
    Outcome.HUNG_UP: 129,
    Outcome.TERMINATED: 143,
    Outcome.INTERRUPTED: 130,
    Outcome.USAGE: 2,
    Outcome.UNAVAILABLE: 5,
    Outcome.TESTS_FAILED: 1,
    Outcome.MISMATCH: 3,
    Outcome.UNKNOWN: 4,
    Outcome.TEAR_DOWN_FAILED: 5,
    Outcome.PROVEN: 0,
}


def test_every_outcome_has_the_contracts_exit_code() -> None:
    assert {outcome: exit_code(outcome) for outcome in Outcome} == CODES


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.combinations(CODES, 2)))
def test_the_worse_of_two_outcomes_decides(stronger: Outcome, weaker: Outcome) -> None:
    assert worst([stronger, weaker]) is worst([weaker, stronger]) is stronger


def test_nothing_bad_is_a_proof() -> None:
    assert worst([]) is Outcome.PROVEN


def test_failed_tear_down_never_hides_failed_tests_but_is_no_green() -> None:
    assert exit_code(worst([Outcome.TEAR_DOWN_FAILED, Outcome.TESTS_FAILED])) == 1
    assert exit_code(worst([Outcome.TEAR_DOWN_FAILED, Outcome.PROVEN])) == 5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UsageError", Outcome.USAGE),
        ("ConfigError", Outcome.USAGE),
        ("MissingFile", Outcome.USAGE),
        ("TestsFailed", Outcome.TESTS_FAILED),
        ("Mismatch", Outcome.MISMATCH),
        ("CouldNotTell", Outcome.UNKNOWN),
        ("Unavailable", Outcome.UNAVAILABLE),
        ("EngineUnavailable", Outcome.UNAVAILABLE),
        ("BuildFailed", Outcome.UNAVAILABLE),
        ("MigrationFailed", Outcome.UNAVAILABLE),
        ("NotReady", Outcome.UNAVAILABLE),
        ("TimedOut", Outcome.UNAVAILABLE),
        ("TearDownFailed", Outcome.TEAR_DOWN_FAILED),
    ],
)
def test_every_error_ends_with_its_outcome(name: str, expected: Outcome) -> None:
    assert outcome_of(getattr(errors, name)("it happened")) is expected


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_128_and_its_number(number: signal.Signals) -> None:
    assert exit_code(outcome_of(Interrupted(number))) == 128 + number


def test_an_error_says_what_why_and_what_next() -> None:
    error = ConfigError("It broke.", cause="A typo.", hint="mend it")

    assert str(error) == "It broke.\nA typo.\nNext: mend it"


def test_an_error_without_cause_and_hint_has_no_empty_lines() -> None:
    assert str(UnstaleError("It broke.")) == "It broke."


def test_an_unknown_name_names_the_nearest_and_all_known_ones() -> None:
    text = str(UnknownName("service", "tset-runner", ["test-runner", "app"]))

    assert text == (
        "There is no service called 'tset-runner'.\n"
        "Did you mean 'test-runner'? Known: app, test-runner."
    )


def test_an_unknown_name_far_from_all_suggests_none() -> None:
    assert "Did you mean" not in str(UnknownName("service", "zzz", ["app"]))
    assert "None is known." in str(UnknownName("service", "zzz", []))


def test_tear_down_is_an_outage_to_whoever_catches_outages() -> None:
    assert issubclass(TearDownFailed, errors.Unavailable)
