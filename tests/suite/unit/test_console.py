"""What a person is asked on the terminal."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator

import pytest

from unstale.errors import UsageError
from unstale.render.console import confirmed, require_answerable


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as the standard input; what is written to it was typed."""
    typing, typed = pty.openpty()
    with os.fdopen(typed) as reader:
        monkeypatch.setattr("sys.stdin", reader)
        yield typing
    os.close(typing)


@pytest.mark.parametrize(
    ("word", "is_yes"),
    [("y", True), ("Yes ", True), ("n", False), ("", False), ("yellow", False)],
)
def test_only_a_yes_is_one(
    terminal: int, capsys: pytest.CaptureFixture[str], word: str, is_yes: bool
) -> None:
    os.write(terminal, f"{word}\n".encode())

    require_answerable("Removing a database", "--yes")
    answer = confirmed(["All its data will be gone."], "Remove it?")

    assert answer is is_yes
    assert capsys.readouterr().err == "All its data will be gone.\nRemove it? [y/N] "


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    with pytest.raises(UsageError, match="Removing a database asks first") as error:
        require_answerable("Removing a database", "inv db.reset --yes")

    assert error.value.hint == "inv db.reset --yes"
