"""What a run makes of the comparison of its environments."""

from __future__ import annotations

import pytest

from unstale.config import AllowRule
from unstale.errors import CouldNotTell, Mismatch
from unstale.parity.model import Difference
from unstale.parity.report import AllowedDifference, PairReport, ParityReport, Remark
from unstale.pipeline.parity import describe, require, summary

LEVEL = Difference("file", "LOG_LEVEL", "different", left="WARNING", right="INFO")
IN_APP = Difference("environment", "LOG_LEVEL", "different", ("app",))
FSYNC = Difference("command", "fsync", "missing_right", ("db",))


def report(*open_: Difference, unknown: tuple[str, ...] = ()) -> ParityReport:
    allowed = (AllowedDifference(FSYNC, AllowRule("command:fsync", "fast").reason),)
    return ParityReport((PairReport("ci", "test", open_, allowed, unknown=unknown),))


def test_a_difference_that_nobody_explained_is_named_once_and_without_values() -> None:
    with pytest.raises(Mismatch) as caught:
        require(report(LEVEL, IN_APP))

    assert caught.value.cause == "Nobody explained LOG_LEVEL (ci and test)."
    assert "WARNING" not in str(caught.value)


def test_a_permission_that_nobody_needs_is_a_mismatch_too() -> None:
    unused = Remark("unused", "GONE", "pyproject.toml", 3, "no difference needs it")

    with pytest.raises(Mismatch, match="not what the policy says"):
        require(ParityReport(policy_findings=(unused,)))


def test_what_was_not_compared_is_never_green() -> None:
    with pytest.raises(CouldNotTell, match="could not be compared"):
        require(report(unknown=("test has no compose file",)))


def test_what_is_wrong_wins_over_what_could_not_be_told() -> None:
    with pytest.raises(Mismatch):
        require(report(LEVEL, unknown=("test has no compose file",)))


def test_many_differences_are_counted_and_not_all_listed() -> None:
    many = [Difference("file", f"KEY_{n}", "missing_left") for n in range(20)]

    with pytest.raises(Mismatch) as caught:
        require(report(*many))

    assert "KEY_7 (ci and test) and 12 more." in caught.value.cause


def test_at_parity_nothing_is_raised() -> None:
    require(report())


def test_a_run_says_what_it_found_beside_each_other_environment() -> None:
    found = report(LEVEL, IN_APP)

    assert describe(found, "test", gates=True) == "beside ci: 1 not explained, 1 allowed"
    assert describe(found, "test", gates=False).endswith("there is no policy (inv env.check)")


def test_pairs_of_other_environments_are_not_told_of() -> None:
    assert describe(report(), "dev", gates=True) == ""


def test_a_receipt_holds_names_and_no_values() -> None:
    assert summary(report(LEVEL)) == [
        {
            "left": "ci",
            "right": "test",
            "parity": False,
            "open": ["LOG_LEVEL"],
            "allowed": ["command:fsync"],
            "unknown": [],
        }
    ]
