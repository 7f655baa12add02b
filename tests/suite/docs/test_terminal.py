"""The recorded session of the README: it stands alone, and shows what a run has."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from unstale.pipeline.run import Choices, planned

ROOT = Path(__file__).resolve().parents[3]
PICTURE = ROOT / "docs/terminal.svg"
TEXT = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(scope="module")
def record() -> ModuleType:
    path = Path(__file__).with_name("record.py")
    spec = importlib.util.spec_from_file_location("record", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["record"] = module  # dataclasses ask for it
    spec.loader.exec_module(module)
    return module


def shown(svg: str, *, last: bool) -> list[str]:
    """The lines of the last screen, or those of the ones before."""
    lines = ET.fromstring(svg).iter(TEXT)
    return ["".join(one.itertext()) for one in lines if (one.get("visibility") is None) == last]


def test_its_last_screen_has_the_steps_of_a_run_in_their_order() -> None:
    lines = shown(PICTURE.read_text(encoding="utf-8"), last=True)
    steps = planned(Choices())

    firsts = [line.split()[0] for line in lines if line.strip()]
    assert tuple(one for one in firsts if one in steps) == steps
    assert "PROVEN (exit code 0)" in lines


def test_each_step_of_a_run_was_seen_before_it() -> None:
    before = shown(PICTURE.read_text(encoding="utf-8"), last=False)

    # The last ones may be too quick, as fast as it is shown, to be seen as done.
    first_words = [line.removeprefix("✓").split() for line in before]
    assert set(planned(Choices())) <= {word for words in first_words for word in words[:2]}
    assert any(line.startswith("✓ run") for line in before)


def test_it_needs_nothing_else_and_is_for_light_and_dark() -> None:
    svg = PICTURE.read_text(encoding="utf-8")

    assert set(re.findall(r"https?://[^\"'\s)]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in svg
    assert not re.search(r"/(tmp|home|root|Users)/", svg)
    assert "prefers-color-scheme: dark" in svg


def test_the_readme_shows_it_first() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "](docs/terminal.svg)" in readme.split("\n## ", 1)[0]


def test_rows_are_drawn_as_long_as_they_are_there(record: ModuleType) -> None:
    first, other = (("a", ""),), (("b", "32"),)
    screens = [(0.0, [first]), (1.0, [first, other]), (3.0, [other])]

    found = record.spans(screens, 1.0)

    assert [(s.line, s.row, s.begin, s.end) for s in found] == [
        (0, first, 0.0, 3.0),
        (0, other, 3.0, float("inf")),
        (1, other, 1.0, 3.0),
    ]


def test_a_picture_is_xml_whatever_is_on_the_screen(record: ModuleType) -> None:
    row = (('<&"> ', "1;31"), ("✓ 東京", ""))

    svg = record.drawing("inv <x>", [(0.0, [()]), (40.0, [row])])

    assert shown(svg, last=True)[-1] == '<&"> ✓ 東京'
    assert "40 s, shown 2.5 times as fast" in svg
