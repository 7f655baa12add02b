"""What a JUnit file tells. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from unstale.errors import CouldNotTell

__all__ = ["Case", "Counts", "cases", "parsed", "read"]


@dataclass(frozen=True, slots=True)
class Case:
    """One test and its result."""

    name: str
    """Its owner and its own name, with ``::`` between them."""
    result: Literal["passed", "failed", "skipped"]
    message: str = ""
    """Of a failure, in one line."""
    text: str = ""
    """Of a failure, whole."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests did what, with the names of those that failed."""

    passed: int
    failed: int
    skipped: int
    failures: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()

    @property
    def executed(self) -> int:
        """Tests that ran to a result; skipped ones did not."""
        return self.passed + self.failed


def read(document: bytes) -> Counts:
    """Count the test cases of a JUnit document, one by one.

    The totals in its head are not trusted: writers disagree on what they add up.

    Raises:
        CouldNotTell: it is cut off or no XML.

    """
    found = tuple(cases(parsed(document)))
    failures = tuple(one.name for one in found if one.result == "failed")
    passes = tuple(one.name for one in found if one.result == "passed")
    skipped = len(found) - len(failures) - len(passes)
    return Counts(len(passes), len(failures), skipped, failures, passes)


def parsed(document: bytes) -> ET.Element:
    """The root of a JUnit document.

    Raises:
        CouldNotTell: it is cut off or no XML.

    """
    try:
        # Written by the project's own tests; expat refuses entity bombs.
        return ET.fromstring(document)  # noqa: S314
    # Two more: an encoding that Python does not know, or not for XML.
    except (ET.ParseError, LookupError, ValueError) as error:
        raise CouldNotTell(
            "The JUnit file can't be read.", cause=f"It is cut off or no XML: {error}."
        ) from error


def cases(root: ET.Element) -> Iterator[Case]:
    """Every test case below *root*, in its order."""
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}".strip(":")
        told = case.find("failure")
        told = case.find("error") if told is None else told
        if told is not None:
            yield Case(name, "failed", told.get("message", ""), "".join(told.itertext()))
        elif case.find("skipped") is not None:
            yield Case(name, "skipped")
        else:
            yield Case(name, "passed")
