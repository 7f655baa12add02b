"""A run's steps as test cases: what a dashboard reads, beside the tests' own."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from told import HOSTILE, JUNIT, STATE, UNSIGNED, found, green, red

from unstale.pipeline.report import Report, gathered
from unstale.render.junit import merged

# What the xUnit plug-in of Jenkins (junit-10.xsd), GitLab and GitHub's actions know.
KNOWN: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
        {"testcase", "system-out"},
    ),
    "testcase": (
        {"name", "classname", "time"},
        {"failure", "error", "skipped", "system-out"},
    ),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message", "type"}, set()),
    "system-out": (set(), set()),
}


class Nothing:
    """Neither a file nor a commit."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: ()


class Empty(Nothing):
    def end_of(self, path: object, most: int) -> None:
        del path, most


def told(document: dict[str, Any]) -> Report:
    return gathered(Empty(), Nothing(), STATE, found(document), UNSIGNED, ())[0]  # type: ignore[arg-type]


def suites(text: str) -> dict[str, TestSuite]:
    return {suite.name: suite for suite in JUnitXml.fromstring(text.encode())}


def cases(suite: TestSuite) -> dict[str, TestCase]:
    return {case.name: case for case in suite}


def test_steps_stand_beside_the_tests_which_stay_as_they_are() -> None:
    text = merged(told(green()), ET.fromstring(JUNIT), "")

    both = suites(text)
    assert list(both) == ["unstale", "pytest"]
    assert [case.name for case in both["unstale"]] == [
        *("image_freshness", "build_if_needed", "find_receipt", "run_tests", "down"),
    ]
    (theirs,) = ET.fromstring(JUNIT).iter("testsuite")
    _, copied = ET.fromstring(text).iter("testsuite")
    assert ET.canonicalize(ET.tostring(copied)) == ET.canonicalize(ET.tostring(theirs))


def test_a_step_has_its_seconds_and_its_words() -> None:
    build = cases(suites(merged(told(green()), None, ""))["unstale"])["build_if_needed"]

    assert build.classname == "unstale"
    assert build.time == 9.5
    assert build.is_passed
    assert build.system_out == "built app"


def test_what_is_not_asked_is_skipped_with_its_reason() -> None:
    (why,) = cases(suites(merged(told(green()), None, ""))["unstale"])["find_receipt"].result

    assert isinstance(why, Skipped)
    assert why.message == "not asked: no --reuse"


def test_a_red_step_says_why_and_what_is_next() -> None:
    document = red("plain")

    own = cases(suites(merged(told(document), None, ""))["unstale"])

    (tests,) = own["run_tests"].result
    assert isinstance(tests, Failure)
    assert tests.message == "2 of 3 tests failed."
    assert "Next: inv test.run -- plain" in tests.text
    (later,) = own["verify_in_image"].result
    assert isinstance(later, Skipped)
    assert later.message == "not reached"


def test_what_broke_is_an_error_and_no_failure() -> None:
    document = red("plain")
    document["predicate"]["annotations"]["steps"][1]["outcome"] = "unavailable"

    (result,) = cases(suites(merged(told(document), None, ""))["unstale"])["run_tests"].result

    assert isinstance(result, Error)


def test_what_is_red_in_no_step_is_a_case_of_its_own() -> None:
    own = cases(suites(merged(told(red("plain")), None, ""))["unstale"])

    (stale,) = own["mismatch"].result
    assert isinstance(stale, Failure)
    assert stale.message == "The tests ran on a stale image."


def test_its_totals_are_those_of_its_cases() -> None:
    own = suites(merged(told(red("plain")), None, ""))["unstale"]
    head = (own.tests, own.failures, own.errors, own.skipped, own.time)

    own.update_statistics()

    assert head == (own.tests, own.failures, own.errors, own.skipped, own.time)
    assert head[:4] == (5, 2, 0, 1)


@pytest.mark.parametrize("document", [green(), red()], ids=["green", "red"])
def test_dashboards_know_all_that_is_in_it(document: dict[str, Any]) -> None:
    root = ET.fromstring(merged(told(document), ET.fromstring(JUNIT), ""))

    for element in root.iter():
        attributes, children = KNOWN[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    for suite in root:
        assert {"name", "tests", "failures", "errors"} <= set(suite.attrib)


def test_foreign_text_stays_text_and_can_be_read_again() -> None:
    text = merged(told(red(HOSTILE)), ET.fromstring(JUNIT), HOSTILE)

    own = cases(suites(text)["unstale"])
    assert "<script>alert(1)</script>" in own["build_if_needed"].system_out
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    "tests",
    [None, ET.fromstring("<html/>"), ET.fromstring("<testsuites/>")],
    ids=["no file", "no JUnit", "empty"],
)
def test_without_tests_the_steps_stand_alone_and_say_why(tests: ET.Element | None) -> None:
    own = suites(merged(told(green()), tests, "its JUnit file is not here"))

    assert list(own) == ["unstale"]
    (why,) = cases(own["unstale"])["tests"].result
    assert isinstance(why, Skipped)
    assert why.message == "They are not in here: its JUnit file is not here."


def test_tests_that_are_nested_without_end_are_left_out() -> None:
    deep = ET.fromstring("<testsuite>" * 5000 + "</testsuite>" * 5000)

    own = suites(merged(told(green()), deep, ""))

    assert list(own) == ["unstale"]
    (why,) = cases(own["unstale"])["tests"].result
    assert "nested too deeply" in why.message


def test_a_suite_without_a_frame_is_taken_too() -> None:
    bare = ET.fromstring('<testsuite name="bare"><testcase name="a"/></testsuite>')

    assert list(suites(merged(told(green()), bare, ""))) == ["unstale", "bare"]
