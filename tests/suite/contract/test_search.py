"""S6: whatever pattern is typed, the search ends, and the pattern is text to everybody else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from unstale.adapters.process import SystemProcess
from unstale.errors import Fault, UsageError
from unstale.image.verify import _grep

LINES = b"serve(port)\n-f/etc/passwd\n--version\n" + b"a" * 200_000 + b"\n"


def found(pattern: str) -> list[int]:
    return list(_grep(SystemProcess(), pattern, LINES))


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        ("serve\\(p", [1]),
        ("-f/etc/passwd", [2]),
        ("--version", [3]),
        ("-r", []),
        ("--include=*", []),
        ("$(touch mark)|`touch mark`|;touch mark", []),
        ("(a|a)*b", []),
        ("(a+)+$", [4]),
    ],
)
def test_a_pattern_is_searched_for_in_a_time_that_fits_the_text(
    pattern: str, lines: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()

    assert found(pattern) == lines
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "pattern", ["(", "[[:x:]]", "[z-a]", "a{2,1}", "((a{1,255}){1,255}){1,255}"]
)
def test_a_pattern_that_is_none_or_never_ends_is_the_users_mistake(pattern: str) -> None:
    began = time.monotonic()

    with pytest.raises(UsageError, match="can't be searched for") as caught:
        found(pattern)

    assert caught.value.fault is Fault.CONTENT
    assert caught.value.cause
    assert time.monotonic() - began < 7  # four, and the end of grep on a busy machine
