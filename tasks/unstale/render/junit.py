"""A run's own steps as test cases beside those of the project, for any CI dashboard. Pure.

The tests' own document is copied case by case and not judged: what counts as evidence
is the file that they wrote.

Source of what readers take: the xUnit plug-in of Jenkins, ``junit-10.xsd``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from unstale.errors import Outcome
from unstale.pipeline.receipt import Step
from unstale.pipeline.report import Report, Trouble
from unstale.render.page import lines
from unstale.spoken import as_typed

__all__ = ["merged"]

_SUITE = "unstale"
# What is not as it should be failed; what broke is an error.
_FAILURES = {Outcome.MISMATCH.value, Outcome.TESTS_FAILED.value, Outcome.UNKNOWN.value}


def merged(shown: Report, tests: ET.Element | None, why_not: str) -> str:
    """The document: our steps, then the suites of *tests*; *why_not* if there are none."""
    suites = _suites(tests)
    try:
        return _document([_steps(shown, "" if suites else why_not), *suites])
    except RecursionError:
        return _document([_steps(shown, "its JUnit file is nested too deeply")])


def _suites(tests: ET.Element | None) -> list[ET.Element]:
    if tests is None:
        return []
    return [tests] if tests.tag == "testsuite" else tests.findall("testsuite")


def _document(suites: list[ET.Element]) -> str:
    root = ET.Element("testsuites", name=_SUITE)
    root.extend(suites)
    ET.indent(suites[0])
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _steps(shown: Report, why_not: str) -> ET.Element:
    told = shown.receipt
    are_missing = why_not and any(step.name == "run_tests" for step in told.steps)
    missing = [f"They are not in here: {why_not}."] if are_missing else []
    cases = [
        *(_step(step, shown) for step in told.steps),
        *(_case(name, 0.0, "skipped", "not reached") for name in shown.unreached),
        *(_case("tests", 0.0, "skipped", why) for why in missing),
        *_others(shown),
    ]
    counts = {
        kind: str(sum(case.find(kind) is not None for case in cases))
        for kind in ("failure", "error", "skipped")
    }
    suite = ET.Element(
        "testsuite",
        name=_SUITE,
        tests=str(len(cases)),
        failures=counts["failure"],
        errors=counts["error"],
        skipped=counts["skipped"],
        time=f"{sum(step.seconds for step in told.steps):.3f}",
        timestamp=lines(told.started),
    )
    suite.extend(cases)
    return suite


def _step(step: Step, shown: Report) -> ET.Element:
    first, _, rest = step.detail.partition("\n")
    if step.outcome == Outcome.PROVEN.value:
        kind = "skipped" if step.detail.startswith("not asked") else ""
        return _case(step.name, step.seconds, kind, first)
    known = next((one for one in shown.errors if one.what == step.detail), None)
    body = _words(known) if known else rest
    kind = "failure" if step.outcome in _FAILURES else "error"
    return _case(step.name, step.seconds, kind, first, body, step.outcome)


def _others(shown: Report) -> Iterator[ET.Element]:
    """What went wrong in no step: staleness that was allowed, a receipt that was not kept."""
    details = {step.detail for step in shown.receipt.steps}
    for one in shown.errors:
        if one.what not in details:
            kind = "failure" if one.outcome in _FAILURES else "error"
            yield _case(one.outcome, 0.0, kind, one.what, _words(one), one.outcome)


def _words(one: Trouble) -> str:
    hint = f"Next: {as_typed(one.hint)}" if one.hint else ""
    return "\n".join(filter(None, (one.what, one.cause, hint)))


def _case(
    name: str, seconds: float, kind: str, message: str, body: str = "", word: str = ""
) -> ET.Element:
    case = ET.Element("testcase", classname=_SUITE, name=lines(name), time=f"{seconds:.3f}")
    if not kind:
        if message:
            ET.SubElement(case, "system-out").text = lines(message)
        return case
    found = ET.SubElement(case, kind, message=lines(message))
    if word:
        found.set("type", lines(word))
    found.text = lines(body) or None
    return case
