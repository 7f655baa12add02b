"""What a person sees of a run on the terminal, and is asked there."""

from __future__ import annotations

import io
import os
import pty
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from unstale.adapters.files import DiskFiles
from unstale.errors import Outcome, UsageError
from unstale.mask import Mask
from unstale.pipeline.site import StepResult
from unstale.render.console import confirmed, require_answerable
from unstale.render.progress import ConsoleProgress, View

INFO = "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl."


def end(progress: ConsoleProgress, step: str, outcome: Outcome = Outcome.PROVEN) -> None:
    progress.end(StepResult(step, outcome, 1.0, "what came of it"))


def test_what_a_green_migration_says_is_for_the_log_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ConsoleProgress(Mask(), tmp_path, append=DiskFiles().append, view=View(verbose=True))
    progress.begin("migrate")
    progress.log("migrate")(INFO)

    end(progress, "migrate")

    assert INFO not in capsys.readouterr().err
    assert (tmp_path / "logs/migrate.log").read_text().splitlines() == [
        INFO,
        "proven after 1.0 s: what came of it",
    ]


@pytest.mark.parametrize("verbose", [True, False])
def test_what_a_red_migration_says_is_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    progress = ConsoleProgress(
        Mask(), tmp_path, append=DiskFiles().append, view=View(verbose=verbose)
    )
    progress.log("migrate")(INFO)

    end(progress, "migrate", Outcome.UNAVAILABLE)

    assert capsys.readouterr().err.count(INFO) == 1


@pytest.mark.parametrize("outcome", [Outcome.PROVEN, Outcome.TESTS_FAILED])
def test_what_tests_say_is_streamed_and_not_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: Outcome
) -> None:
    progress = ConsoleProgress(Mask(), tmp_path, append=DiskFiles().append, view=View(verbose=True))
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


def test_each_step_leaves_a_log_with_its_commands(tmp_path: Path) -> None:
    progress = ConsoleProgress(
        Mask(("heron-72",)), tmp_path, append=DiskFiles().append, view=View()
    )
    progress.command("$ between two steps")
    for step in ("sweep", "up"):
        progress.begin(step)
        progress.command(f"$ docker {step} heron-72")
        end(progress, step)

    logs = {path.stem: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs == {
        step: f"$ docker {step} ********\nproven after 1.0 s: what came of it\n"
        for step in ("sweep", "up")
    }


def test_the_log_of_a_flood_has_its_beginning_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstale.render.progress._LONGEST_LOG", 10_000)
    progress = ConsoleProgress(Mask(), tmp_path, append=DiskFiles().append, view=View())
    progress.begin("run_tests")
    line = progress.log("run_tests")
    for number in range(5000):
        line(f"line {number}")

    end(progress, "run_tests")

    text = (tmp_path / "logs/run_tests.log").read_text()
    assert text.startswith("line 0\nline 1\n")
    assert "... lines left out ...\nline 4800\n" in text
    assert text.endswith("line 4999\nproven after 1.0 s: what came of it\n")
    assert len(text) < 15_000


def test_output_is_masked_and_logged_in_linear_time(tmp_path: Path) -> None:
    secrets = tuple(f"secret-{number}-heron" for number in range(40))

    def seconds(lines: int) -> float:
        progress = ConsoleProgress(
            Mask(secrets), tmp_path / str(lines), append=DiskFiles().append, view=View()
        )
        line = progress.log("run_tests")
        began = time.process_time()
        for number in range(lines):
            line(f"{number} {'x' * 50} {secrets[number % 40]}")
        return time.process_time() - began

    once = min(seconds(4_000) for _ in range(2))
    twice = min(seconds(8_000) for _ in range(2))
    assert twice < 3 * once
