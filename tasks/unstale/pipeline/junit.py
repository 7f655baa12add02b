"""What a JUnit file tells. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from unstale.errors import CouldNotTell

__all__ = ["Counts", "read"]


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
    try:
        # Written by the project's own tests; expat refuses entity bombs.
        root = ET.fromstring(document)  # noqa: S314
    # Two more: an encoding that Python does not know, or not for XML.
    except (ET.ParseError, LookupError, ValueError) as error:
        raise CouldNotTell(
            "The JUnit file can't be read.", cause=f"It is cut off or no XML: {error}."
        ) from error
    failures: list[str] = []
    passes: list[str] = []
    skipped = 0
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}".strip(":")
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(name)
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passes.append(name)
    return Counts(len(passes), len(failures), skipped, tuple(failures), tuple(passes))
