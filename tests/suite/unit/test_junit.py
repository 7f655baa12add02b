"""What a JUnit file tells, case by case."""

from __future__ import annotations

import pytest

from unstale.errors import CouldNotTell
from unstale.pipeline.junit import Counts, read

# As pytest writes it, but for a head that adds up wrongly.
RECORDED = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="0" failures="0" skipped="0" tests="99">
<testcase classname="tests.test_a" name="test_good" time="0.001" />
<testcase classname="tests.test_a" name="test_bad[x]"><failure message="assert 0">...</failure>
</testcase>
<testcase classname="tests.test_a" name="test_set_up"><error message="fixture">...</error>
</testcase>
<testcase classname="tests.test_a" name="test_later"><skipped type="pytest.skip" /></testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">...</error>
</testcase>
</testsuite></testsuites>"""


def test_cases_are_counted_and_the_head_is_not_believed() -> None:
    counts = read(RECORDED)

    assert (counts.passed, counts.failed, counts.skipped) == (1, 3, 1)
    assert counts.executed == 4


def test_an_error_in_a_fixture_or_in_collection_is_a_failure() -> None:
    assert read(RECORDED).failures == (
        "tests.test_a::test_bad[x]",
        "tests.test_a::test_set_up",
        "tests.test_b",
    )


def test_passes_are_named() -> None:
    assert read(RECORDED).passes == ("tests.test_a::test_good",)


def test_a_case_that_failed_and_was_skipped_counts_as_failed() -> None:
    both = b'<testsuite><testcase name="t"><skipped/><error/></testcase></testsuite>'

    assert read(both) == Counts(0, 1, 0, ("t",))


def test_only_skipped_tests_are_no_executed_test() -> None:
    document = b'<testsuite><testcase name="t"><skipped/></testcase></testsuite>'

    assert read(document).executed == 0


def test_a_suite_without_a_case_counts_nothing() -> None:
    assert read(b"<testsuites/>") == Counts(0, 0, 0)


@pytest.mark.parametrize("size", [0, 1, len(RECORDED) // 2, len(RECORDED) - 1])
def test_a_file_cut_off_anywhere_could_not_tell(size: int) -> None:
    with pytest.raises(CouldNotTell, match="cut off or no XML"):
        read(RECORDED[:size])
