"""The tree of errors, and the one table of exit codes."""

from __future__ import annotations

import itertools
import signal

import pytest

from unstale import errors
from unstale.errors import (
    BuildFailed,
    ConfigError,
    CouldNotTell,
    Fault,
    Interrupted,
    Outcome,
    TearDownFailed,
    UnknownName,
    UnstaleError,
    exit_code,
    fault_of,
    outcome_of,
    overlooked,
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
    Outcome.RECEIPT_FAILED: 5,
    Outcome.PROVEN: 0,
}


def test_every_outcome_has_the_contracts_exit_code() -> None:
    assert {outcome: exit_code(outcome) for outcome in Outcome} == CODES


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.combinations(CODES, 2)))
def test_the_worse_of_two_outcomes_decides(stronger: Outcome, weaker: Outcome) -> None:
    assert worst([stronger, weaker]) is worst([weaker, stronger]) is stronger


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_each_fault_has_an_outcome(fault: Fault) -> None:
    assert exit_code(fault.outcome) in CODES.values()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_outcome_is_a_fault_by_the_same_word(outcome: Outcome) -> None:
    assert Fault(outcome.value).outcome is outcome


@pytest.mark.parametrize(
    "error",
    [
        one
        for one in vars(errors).values()
        if isinstance(one, type)
        and issubclass(one, UnstaleError)
        and one not in (Interrupted, UnknownName)
    ],
    ids=lambda one: one.__name__,
)
def test_the_word_of_an_error_has_the_errors_exit_code(error: type[UnstaleError]) -> None:
    assert error("It broke.").fault.outcome is error.outcome


def test_the_first_of_the_worst_errors_gives_the_word() -> None:
    tear_down, build = TearDownFailed("left"), BuildFailed("RUN")
    full = CouldNotTell("green", fault=Fault.NO_EVIDENCE)

    assert fault_of([]) is Fault.PROVEN
    assert fault_of([tear_down, full]) is Fault.NO_EVIDENCE
    assert fault_of([full, build, tear_down]) is Fault.BUILD
    assert fault_of([build, Interrupted(signal.SIGTERM)]) is Fault.TERMINATED


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


def test_a_signal_is_not_overlooked() -> None:
    with overlooked():
        raise ConfigError("of which nobody needs to hear")

    with pytest.raises(Interrupted), overlooked():
        raise Interrupted(signal.SIGINT)
