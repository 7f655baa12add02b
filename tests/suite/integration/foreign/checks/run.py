"""Run the checks with nothing but the standard library; write JUnit XML."""

from __future__ import annotations

import socket
import sys
import unittest
import urllib.request
from typing import Any
from xml.etree import ElementTree as ET


class Checks(unittest.TestCase):
    """The neighbours, by the names that compose gives them."""

    def test_web_answers(self) -> None:
        with urllib.request.urlopen("http://web:8000", timeout=5) as answer:
            assert answer.read() == b"A bird a day."

    def test_ledger_listens(self) -> None:
        socket.create_connection(("ledger", 5432), timeout=5).close()


class Report(unittest.TextTestResult):
    """A result that remembers what passed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.passes: list[unittest.TestCase] = []

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().addSuccess(test)
        self.passes.append(test)


def main() -> int:
    """Run, report, and say whether all is well."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Checks)
    runner = unittest.TextTestRunner(resultclass=Report)
    result = runner.run(suite)
    assert isinstance(result, Report)
    root = ET.Element("testsuite")
    for test in result.passes:
        ET.SubElement(root, "testcase", classname="Checks", name=test.id())
    for test, why in result.failures + result.errors:
        case = ET.SubElement(root, "testcase", classname="Checks", name=test.id())
        ET.SubElement(case, "failure").text = why
    ET.ElementTree(root).write("/srv/reports/junit.xml")
    return not result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
