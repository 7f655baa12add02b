"""A run as it goes on, on a terminal and without one: what is drawn, and what is left of it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest
from screen import Screen
from slowrun import SECRET

from unstale.errors import Outcome
from unstale.pipeline.history import Timing
from unstale.pipeline.run import Choices, planned
from unstale.pipeline.site import StepResult
from unstale.render.live import Live, Picture, change, frame, rows
from unstale.render.terminal import Look, fit, look, marks

SLOW_RUN = str(Path(__file__).with_name("slowrun.py"))
STEPS = planned(Choices())
LINES = 40
UNSET = ("NO_COLOR", "FORCE_COLOR", "UNSTALE_PLAIN", "LC_ALL", "LC_CTYPE", "CI", "GITHUB_ACTIONS")


def environ(**more: str) -> dict[str, str]:
    usual = {k: v for k, v in os.environ.items() if k not in UNSET}
    return {**usual, "TERM": "xterm-256color", "LANG": "C.UTF-8", **more}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.unstale]\n")
    (tmp_path / "compose.test.yml").write_text("services: {}\n")
    return tmp_path


class Session:
    """A command on a terminal, and what it shows there."""

    def __init__(self, folder: Path, words: Sequence[str], columns: int, **more: str) -> None:
        self.screen = Screen(columns, LINES)
        self.sent = ""
        self._child: pexpect.spawn[str] = pexpect.spawn(
            sys.executable,
            [SLOW_RUN, *words],
            cwd=str(folder),
            env=environ(**more),
            dimensions=(LINES, columns),
            encoding="utf-8",
            timeout=60,
        )

    def wait_for(self, pattern: str) -> None:
        """Until *pattern* is in a line of the screen."""
        while not any(re.search(pattern, line) for line in self.screen.text):
            assert self._read(), f"{pattern!r} never came: {self.screen.text}"

    def key(self, char: str) -> None:
        """Press a key."""
        self._child.send(char)

    def kill(self, number: signal.Signals) -> None:
        self._child.kill(number)

    def end(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        while self._read():
            pass
        self._child.close()
        status: int = self._child.exitstatus
        return status if self._child.signalstatus is None else -self._child.signalstatus

    def _read(self) -> bool:
        try:
            sent: str = self._child.read_nonblocking(4096, timeout=60)
        except pexpect.EOF:
            return False
        self.sent += sent
        self.screen.feed(sent)
        return True


def piped(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command without a terminal."""
    return subprocess.run(
        [sys.executable, SLOW_RUN, *words],
        cwd=folder,
        env=environ(**more),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def lines_of(screen: Screen, name: str) -> list[str]:
    return [line for line in screen.text if re.match(rf"(. )?{name}\b", line)]


# --- On a terminal ---


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_at_the_end_there_is_the_report_and_nothing_of_what_was_drawn(
    project: Path, columns: int
) -> None:
    run = Session(project, ["test.integration"], columns)

    assert run.end() == 0
    assert {name: len(lines_of(run.screen, name)) for name in STEPS} == dict.fromkeys(STEPS, 1)
    assert [line for line in run.screen.text if line][-3:] == [
        "PROVEN (exit code 0)",
        "Receipt: .unstale/receipts/latest.json",
        "Evidence: .unstale/runs/00000001",
    ]
    assert run.screen.is_at_line_start
    assert SECRET not in run.sent
    assert "\x1b[?" not in run.sent, "the cursor is never hidden, the screen is never another"


@pytest.mark.parametrize("columns", [40, 80, pytest.param(120, marks=pytest.mark.long)])
def test_while_a_step_goes_on_it_is_shown_with_what_was_said_last(
    project: Path, columns: int
) -> None:
    run = Session(project, ["test.integration"], columns, SLOW_TESTS="20")
    run.wait_for(r"\$ docker run_tests")
    run.wait_for(r"run_tests +[1-9]\d*\.\d s")

    shown = [line for line in run.screen.text if line]
    at = next(
        i for i, line in enumerate(shown) if re.match(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] run_tests +\d+\.\d s", line)
    )
    assert shown[at - 1].startswith("✓ running_image")
    assert shown[at + 1 : at + 5] == [
        "    $ docker run_tests",
        "  verify_in_image",
        "  inputs_unchanged",
        "  down",
    ]
    assert re.fullmatch(r"  11 of 15 steps, \d+ s", shown[at + 5])
    assert all(len(line) < columns for line in shown)
    assert run.screen.is_at_line_start
    run.key("\x03")
    assert run.end() == 130


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("sweep", marks=pytest.mark.long),
        "up: begin",
        pytest.param(r"\$ docker run_tests", marks=pytest.mark.long),
    ],
)
def test_ctrl_c_leaves_whole_lines_and_the_steps_that_were_done(project: Path, step: str) -> None:
    run = Session(project, ["test.integration"], 80, SLOW_TESTS="20", SLOW_SECONDS="0.2")
    run.wait_for(step)
    run.key("\x03")

    assert run.end() == 130
    assert run.screen.is_at_line_start
    assert run.screen.style == ""
    assert "INTERRUPTED (exit code 130)" in run.screen.text
    assert len(lines_of(run.screen, "down")) == 1
    assert not any(line.startswith("^C") for line in run.screen.text)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_whatever_ends_it_a_prompt_has_a_line_of_its_own(
    project: Path, number: signal.Signals
) -> None:
    run = Session(project, ["stack.up"], 80, SLOW_TESTS="20")
    run.wait_for("stack.up: begin")
    run.kill(number)

    assert run.end() == (-9 if number == signal.SIGKILL else 143)
    assert run.screen.is_at_line_start
    assert run.screen.style == ""
    if number == signal.SIGTERM:
        assert [line for line in run.screen.text if line][-1] == "Stopped by a signal."


def test_a_step_that_fails_shows_its_output_above_the_report(project: Path) -> None:
    run = Session(project, ["test.integration"], 80, SLOW_FAILS="run_tests")

    assert run.end() == 1
    text = run.screen.text
    assert "      run_tests: end" in text
    assert "      up: end" not in text
    assert [line for line in text if line][-1] == "Next: unstale test.integration --echo"
    assert text.index("      run_tests: end") < text.index("TESTS FAILED (exit code 1)")
    assert not lines_of(run.screen, "verify_in_image")


def test_verbose_streams_above_the_table(project: Path) -> None:
    run = Session(project, ["test.integration", "-v"], 80)

    assert run.end() == 0
    streamed = [line for line in run.screen.text if line.startswith("    ")]
    assert [line.strip() for line in streamed if "begin" in line] == [
        "build_if_needed: begin",
        "up: begin",
        "run_tests: begin",
    ]
    assert {name: len(lines_of(run.screen, name)) for name in STEPS} == dict.fromkeys(STEPS, 1)


def test_a_step_that_is_typed_alone_is_drawn_too_and_leaves_a_log(project: Path) -> None:
    run = Session(project, ["stack.up"], 80, SLOW_TESTS="1")
    run.wait_for("stack.up: begin")
    assert run.end() == 0

    shown = [line for line in run.screen.text if line]
    assert re.fullmatch(r"✓ stack\.up +\d\.\d s", shown[0])
    assert shown[1:] == ["demo is up."]
    log = (project / ".unstale/logs/stack.up.log").read_text()
    assert log.startswith("stack.up: begin\n")
    assert "proven after" in log.splitlines()[-1]


def test_with_a_document_on_it_the_table_stays(project: Path) -> None:
    run = Session(project, ["test.integration", "--json"], 80)

    assert run.end() == 0
    assert [line[:1] for line in lines_of(run.screen, "run_tests")] == ["✓"]


def test_a_terminal_that_takes_nothing_does_not_stop_the_run(project: Path) -> None:
    """As after Ctrl-S: the report is not kept from its file."""
    reader, terminal = pty.openpty()
    try:
        with (project / "report").open("w") as report:
            run = subprocess.Popen(
                [sys.executable, SLOW_RUN, "test.integration", "-v"],
                cwd=project,
                env=environ(SLOW_TESTS="2"),
                stdout=report,
                stderr=terminal,
            )
            assert run.wait(60) == 0
    finally:
        os.close(reader)
        os.close(terminal)

    assert "PROVEN (exit code 0)" in (project / "report").read_text()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Live, int]]:
    """What draws on a terminal that takes nothing, and the terminal's other end."""
    monkeypatch.setattr("unstale.render.live._BACKLOG", 10)
    reader, terminal = pty.openpty()
    live = Live(terminal, BARE)
    try:
        live.run()
        live.print("x" * 1_000_000)
        deadline = time.monotonic() + 10
        while live._above or not live._events.empty():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield live, reader
    finally:
        os.close(reader)
        live.stop()
        os.close(terminal)


def _says(live: Live, lines: int) -> threading.Thread:
    """What a run says, which must not wait for long."""

    def say() -> None:
        for number in range(lines):
            live.print(f"line {number}")

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    return thread


def test_a_flood_to_a_stopped_terminal_waits_once_and_says_what_it_left_out(
    stopped: tuple[Live, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstale.render.live._PATIENCE_S", 0.3)
    live, reader = stopped

    said = _says(live, 1000)
    said.join(5)
    assert not said.is_alive()

    seen = b""
    while b"line 10\x1b" not in seen:  # as after Ctrl-Q
        seen += os.read(reader, 65536)
    live.print("the last one")
    while b"the last one" not in seen:
        seen += os.read(reader, 65536)
    assert b"... 989 are left out here, the log has them" in seen
    assert b"line 11\x1b" not in seen


def test_what_is_mute_keeps_nobody_waiting(
    stopped: tuple[Live, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstale.render.live._PATIENCE_S", 60.0)
    live, _ = stopped
    live.mute()

    said = _says(live, 1000)
    said.join(5)
    is_waiting = said.is_alive()
    monkeypatch.setattr("unstale.render.live._PATIENCE_S", 0.3)

    assert not is_waiting


# --- Without one, or without colours ---


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ((), {}),
        ((), {"NO_COLOR": "1", "FORCE_COLOR": "1"}),
        (("--plain",), {"FORCE_COLOR": "1"}),
    ],
    ids=["usual", "NO_COLOR wins", "--plain"],
)
def test_without_a_terminal_there_are_plain_lines(
    project: Path, words: Sequence[str], more: Mapping[str, str]
) -> None:
    run = piped(project, "test.integration", *words, **more)

    assert run.returncode == 0
    assert "\x1b" not in run.stdout + run.stderr
    steps = re.findall(r"^  ✓ (\w+) +\d+\.\d s  \w+ is done$", run.stderr, re.MULTILINE)
    assert tuple(steps) == STEPS
    assert "begin" not in run.stderr


def test_force_color_colours_a_pipe_and_moves_no_cursor(project: Path) -> None:
    run = piped(project, "test.integration", FORCE_COLOR="1", TERM="dumb")

    assert "  \x1b[32m✓\x1b[0m sweep" in run.stderr
    assert "\x1b[1;32mPROVEN" in run.stdout
    assert set(re.findall(r"\x1b\[[\d;]*(.)", run.stdout + run.stderr)) == {"m"}


@pytest.mark.parametrize(
    "more",
    [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"UNSTALE_PLAIN": "1"}],
    ids=["TERM=dumb", "NO_COLOR", "UNSTALE_PLAIN"],
)
def test_a_terminal_without_its_arts_gets_lines(project: Path, more: dict[str, str]) -> None:
    run = Session(project, ["test.integration"], 80, **more)

    assert run.end() == 0
    assert "\x1b" not in run.sent
    assert all(f"✓ {name}" in run.sent for name in STEPS)


def test_a_locale_without_the_signs_gets_ascii(project: Path) -> None:
    run = Session(project, ["test.integration"], 80, LC_ALL="C")

    assert run.end() == 0
    assert run.sent.isascii()
    assert any(f"\x1b[36m{turn}\x1b" in run.sent for turn in "|/-\\")
    assert "\x1b[32m+\x1b" in run.sent


@pytest.mark.parametrize("fails", ["", "run_tests"])
def test_quiet_shows_the_end_alone(project: Path, fails: str) -> None:
    run = piped(project, "test.integration", "-q", SLOW_FAILS=fails)

    if fails:
        assert run.stderr.splitlines()[0] == "      run_tests: begin"
        assert "TESTS FAILED (exit code 1)" in run.stdout
    else:
        assert run.stderr == ""
        assert run.stdout.splitlines()[0] == "PROVEN (exit code 0)"


def test_quiet_and_verbose_exclude_each_other(project: Path) -> None:
    run = piped(project, "stack.up", "-q", "-v")

    assert run.returncode == 2
    assert "exclude each other" in run.stderr


def test_without_a_terminal_a_step_alone_says_what_it_said_before(project: Path) -> None:
    assert piped(project, "stack.up").stderr == ""
    assert piped(project, "stack.up", "-v").stderr.startswith("stack.up: begin\n")
    assert piped(project, "image.build").stderr.startswith("stack.up: begin\n")
    assert piped(project, "image.build", "-q").stderr == ""


# --- Every end says what to type next ---


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        ("/usr/bin/unstale", "unstale stack.up --echo"),
        ("/usr/bin/inv", "inv stack.up --echo"),
    ],
)
def test_a_failure_that_knows_no_better_says_how_to_see_more(
    project: Path, program: str, hint: str
) -> None:
    run = piped(project, "stack.up", SLOW_FAILS="stack.up", SLOW_PROGRAM=program)

    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == f"Next: {hint}"


# --- What is drawn, without a process ---

BARE = Look(is_live=True)


def drawn(picture: Picture, now: float = 100.0, height: int = 40) -> list[str]:
    return [fit(row, 79, BARE) for row in rows(picture, now, "said last", BARE, height)]


def done(name: str, seconds: float = 1.0, outcome: Outcome = Outcome.PROVEN) -> StepResult:
    return StepResult(name, outcome, seconds, "what came of it")


TIMINGS = {name: Timing(expected_s=8.0, last_s=4.0, runs=3) for name in ("a", "b", "c")}


def test_what_is_expected_is_shown_of_each_step_and_of_all() -> None:
    picture = Picture(("a", "b", "c"), TIMINGS, began=80.0).end(done("a", 3.0)).begin("b", 95.0)

    assert drawn(picture) == [
        "✓ a                    3.0 s   -1.0  what came of it",
        "⠋ b                    5.0 s  of about 8.0 s".replace(
            "⠋", marks(BARE).turns[int(100.0 / 0.12) % 10]
        ),
        "    said last",
        "  c                    8.0 s",
        "  1 of 3 steps, 20 s of about 31 s",
    ]


def test_a_step_that_takes_longer_than_expected_moves_the_end() -> None:
    picture = Picture(("b", "c"), TIMINGS, began=80.0).begin("b", 80.0)

    assert drawn(picture)[-1] == "  0 of 2 steps, 20 s of about 28 s"


def test_nothing_is_expected_of_all_where_a_step_is_unknown() -> None:
    picture = Picture(("b", "new"), TIMINGS, began=80.0).begin("b", 95.0)

    assert drawn(picture)[-1] == "  0 of 2 steps, 20 s"


def test_after_a_red_step_only_the_last_comes() -> None:
    picture = Picture(("a", "b", "c"), {}).end(done("a", outcome=Outcome.UNAVAILABLE))

    assert drawn(picture)[:2] == ["✗ a                    1.0 s  what came of it", "  c"]


@pytest.mark.parametrize("height", [3, 6, 10, 30])
def test_a_low_terminal_gets_what_goes_on_and_no_line_too_many(height: int) -> None:
    names = tuple(f"s{number}" for number in range(20))
    picture = Picture(names)
    for name in names[:10]:
        picture = picture.end(done(name))
    shown = drawn(picture.begin("s10", 99.0), height=height)

    assert len(shown) <= height
    assert any("s10" in line for line in shown)


@pytest.mark.parametrize(
    ("seconds", "last", "text"),
    [(3.0, None, ""), (3.0, 3.04, "="), (3.0, 1.5, "+1.5"), (1.0, 3.0, "-2.0")],
)
def test_the_change_since_the_last_run(seconds: float, last: float | None, text: str) -> None:
    assert change(seconds, last) == text


def test_only_lines_that_changed_are_written_again() -> None:
    assert frame([], ["a", "b"], ["a", "c"], 2) == "\r\x1b[2A\nc\x1b[K\n\x1b[J"


def test_a_terminal_that_became_narrower_has_more_lines_of_it() -> None:
    reader, terminal = pty.openpty()
    try:
        live = Live(terminal, BARE)
        live._old_columns = [79, 20, 0]

        assert [live._rows_above(width) for width in (80, 40, 20)] == [3, 4, 6]
    finally:
        os.close(reader)
        os.close(terminal)


@pytest.mark.parametrize(
    ("width", "shown"),
    [(40, "ab 東京 cd"), (7, "ab 東京"), (6, "ab 東…"), (5, "ab … "), (1, "…"), (0, "")],
)
def test_a_line_is_cut_by_columns(width: int, shown: str) -> None:
    text = fit([("ab ", ""), ("東京", ""), (" cd", "")], width, BARE)

    assert text.rstrip() == shown.rstrip() or text == fit([("ab 東京 cd", "")], width, BARE)


class Stream:
    """Something to write to."""

    def __init__(self, *, is_terminal: bool, encoding: str = "utf-8") -> None:
        self.encoding = encoding
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


XTERM = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("is_terminal", "environ", "plain", "wanted"),
    [
        (True, XTERM, False, (True, True)),
        (False, XTERM, False, (False, False)),
        (True, {}, False, (False, False)),
        (True, {"TERM": "dumb"}, False, (False, False)),
        (True, {**XTERM, "NO_COLOR": ""}, False, (True, True)),
        (True, {**XTERM, "NO_COLOR": "1"}, False, (False, False)),
        (True, {**XTERM, "NO_COLOR": "1", "FORCE_COLOR": "1"}, False, (False, False)),
        (False, {**XTERM, "FORCE_COLOR": "1"}, False, (True, False)),
        (False, {**XTERM, "FORCE_COLOR": "0"}, False, (False, False)),
        (True, {"TERM": "dumb", "FORCE_COLOR": "3"}, False, (True, False)),
        (True, {**XTERM, "UNSTALE_PLAIN": "1"}, False, (False, False)),
        (True, {**XTERM, "UNSTALE_PLAIN": "0"}, False, (True, True)),
        (True, {**XTERM, "FORCE_COLOR": "1"}, True, (False, False)),
    ],
)
def test_what_a_stream_may_be_given(
    is_terminal: bool, environ: dict[str, str], plain: bool, wanted: tuple[bool, bool]
) -> None:
    stream: Any = Stream(is_terminal=is_terminal)

    found = look(stream, environ, plain=plain)

    assert (found.has_colour, found.is_live) == wanted


@pytest.mark.parametrize(
    ("encoding", "environ", "sign"),
    [
        ("utf-8", {}, "✓"),
        ("utf-8", {"LANG": "C"}, "+"),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, "+"),
        ("utf-8", {"LC_ALL": "C.UTF-8", "LANG": "C"}, "✓"),
        ("iso8859-1", {"LANG": "en_US"}, "+"),
        ("ascii", {}, "+"),
    ],
)
def test_the_signs_are_those_that_the_stream_has(
    encoding: str, environ: dict[str, str], sign: str
) -> None:
    stream: Any = Stream(is_terminal=True, encoding=encoding)

    assert marks(look(stream, environ)).good == sign


def test_what_a_stream_lacks_is_written_with_ascii() -> None:
    assert fit([("Größe 東", "")], 79, Look(encoding="iso8859-1")) == "Größe \\u6771"


def test_drawing_takes_next_to_no_time_of_the_run() -> None:
    reader, terminal = pty.openpty()
    live = Live(terminal, BARE)
    try:
        began = time.process_time()
        for number in range(10_000):
            live.last = f"line {number}"
        assert time.process_time() - began < 0.5
    finally:
        os.close(reader)
        os.close(terminal)
