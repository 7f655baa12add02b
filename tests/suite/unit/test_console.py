"""What a person sees of a run on the terminal, and is asked there."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from unstale.adapters.files import DiskFiles
from unstale.errors import Outcome, UsageError
from unstale.mask import Mask
from unstale.pipeline.site import StepResult
from unstale.render.console import ConsoleProgress, confirmed, require_answerable

INFO = "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl."


def end(progress: ConsoleProgress, step: str, outcome: Outcome = Outcome.PROVEN) -> None:
    progress.end(StepResult(step, outcome, 1.0, "what came of it"))


def test_what_a_green_migration_says_is_for_the_log_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ConsoleProgress(Mask(), tmp_path, append=DiskFiles().append, verbose=True)
    progress.begin("migrate")
    progress.log("migrate")(INFO)

    end(progress, "migrate")

    assert INFO not in capsys.readouterr().err
    assert (tmp_path / "logs/migrate.log").read_text() == f"{INFO}\n"


@pytest.mark.parametrize("verbose", [True, False])
def test_what_a_red_migration_says_is_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    progress = ConsoleProgress(Mask(), tmp_path, append=DiskFiles().append, verbose=verbose)
    progress.log("migrate")(INFO)

    end(progress, "migrate", Outcome.UNAVAILABLE)

    assert capsys.readouterr().err.count(INFO) == 1


@pytest.mark.parametrize("outcome", [Outcome.PROVEN, Outcome.TESTS_FAILED])
def test_what_tests_say_is_streamed_and_not_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: Outcome
) -> None:
    progress = ConsoleProgress(Mask(), tmp_path, append=DiskFiles().append, verbose=True)
    progress.log("run_tests")("1 passed")
    assert "1 passed" in capsys.readouterr().err

    end(progress, "run_tests", outcome)

    assert "1 passed" not in capsys.readouterr().err


# --- Questions ---


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
