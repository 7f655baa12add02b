"""What a Settings class said of itself, and how it completes what its text says."""

from __future__ import annotations

from typing import Any

import pytest

from unstale.parity.asked import asked_reads
from unstale.parity.defaults import Default, Known, NoDefault, NotKnown, Read, Required
from unstale.parity.reads import Reads, with_asked


def answer(*fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    base = {
        "file": "app/config.py",
        "line": 7,
        "case_sensitive": False,
        "customised": False,
        "ignores_empty": False,
        "fields": list(fields),
    }
    return {**base, **changes}


def a_field(name: str = "x", **changes: Any) -> dict[str, Any]:
    base = {"names": [name], "rule": "int", "secret": False, "default": {"state": "required"}}
    return {**base, **changes}


def test_a_field_has_the_place_of_its_class_and_capitals() -> None:
    (read,) = asked_reads(answer(a_field()))

    assert (read.name, read.place, read.default) == ("X", "app/config.py:7", Required())


def test_case_matters_where_the_class_says_so() -> None:
    (read,) = asked_reads(answer(a_field("xY"), case_sensitive=True))

    assert (read.name, read.is_case_sensitive) == ("xY", True)


@pytest.mark.parametrize(
    ("default", "rule", "expected"),
    [
        ({"state": "known", "value": 5}, "int", Known("5")),
        ({"state": "known", "value": True}, "bool", Known("true")),
        ({"state": "known", "value": "a"}, None, Known("a")),
        ({"state": "known", "value": 5}, None, NotKnown()),
        ({"state": "none"}, "int", NoDefault()),
        ({"state": "unknown"}, "int", NotKnown()),
        ({"state": "secret"}, "text", NotKnown()),
        ({"state": "known", "value": "postgresql://u:hunter2@db/x"}, "text", NotKnown()),
    ],
)
def test_a_default_is_spelled_as_a_variable_would_be(
    default: dict[str, Any], rule: str | None, expected: Default
) -> None:
    (read,) = asked_reads(answer(a_field(default=default, rule=rule)))

    assert read.default == expected


def test_behind_sources_of_its_own_no_default_is_known() -> None:
    (read,) = asked_reads(answer(a_field(default={"state": "none"}), customised=True))

    assert read.default == NotKnown()


def test_the_text_gives_the_line_and_the_class_the_default() -> None:
    told = Reads((Read("X", "app/config.py", 9, "settings"), Read("X", "app/a.py", 1, "getenv")))
    asked = asked_reads(answer(a_field(default={"state": "known", "value": 5}), a_field("y")))

    both = with_asked(told, asked)

    assert [(read.name, read.place, read.default) for read in both.reads] == [
        ("X", "app/a.py:1", NotKnown()),
        ("Y", "app/config.py:7", Required()),
        ("X", "app/config.py:9", Known("5")),
    ]


def test_what_the_class_does_not_tell_stays_as_the_text_has_it() -> None:
    told = Reads((Read("X", "app/config.py", 9, "settings", Known("hunter2")),))
    asked = asked_reads(answer(a_field(default={"state": "secret"})))

    assert with_asked(told, asked) == told


def test_why_it_could_not_be_asked_is_a_note() -> None:
    assert with_asked(Reads(notes=("a",)), (), "b").notes == ("a", "b")
