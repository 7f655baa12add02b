"""What SystemProcess promises about real processes, signals and time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from unstale.adapters import launcher
from unstale.adapters.output import LONGEST_LINE, Output
from unstale.adapters.process import SystemProcess
from unstale.adapters.signals import Signals
from unstale.errors import Interrupted, NotDone, TimedOut, Unavailable
from unstale.ports import Command

IMMUNE = (
    "import os, signal, sys, time;"
    "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)];"
)


def python(code: str, *arguments: str, deadline_s: float = 30) -> Command:
    return Command((sys.executable, "-c", code, *arguments), deadline_s)


def is_alive(pid: int) -> bool:
    """Whether *pid* runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int) -> bool:
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def with_grandchild(note: Path) -> str:
    """A program that starts an immune child, notes both pids and waits."""
    child = IMMUNE + "time.sleep(60)"
    return IMMUNE + (
        "import pathlib, subprocess;"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "time.sleep(0.3);"
        f"pathlib.Path({str(note)!r}).write_text(f'{{os.getpid()}} {{child.pid}}');"
        "print('ready', flush=True); time.sleep(60)"
    )


def test_deadline_ends_an_immune_grandchild(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = python(with_grandchild(note), deadline_s=2)
    started = time.monotonic()
    with pytest.raises(TimedOut) as caught:
        SystemProcess().run(command)
    assert time.monotonic() - started < 10
    assert "2 s" in caught.value.what
    assert all(gone(int(pid)) for pid in note.read_text().split())


def test_a_command_that_heeds_sigterm_may_clean_up(tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    code = (
        "import pathlib, signal, sys, time;"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(mark)!r}).touch(),"
        "sys.exit()));"
        "time.sleep(60)"
    )
    with pytest.raises(TimedOut):
        SystemProcess().run(python(code, deadline_s=1.5))
    assert mark.exists()


def test_what_a_callback_raises_leaves_at_once_and_nothing_survives(tmp_path: Path) -> None:
    note = tmp_path / "pids"

    def stop(line: str) -> None:
        raise LookupError(line)

    started = time.monotonic()
    with pytest.raises(LookupError, match="ready"):
        SystemProcess().run(python(with_grandchild(note)), stop)
    assert time.monotonic() - started < 10
    assert all(gone(int(pid)) for pid in note.read_text().split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_interrupted_and_ends_the_group(tmp_path: Path, number: int) -> None:
    note = tmp_path / "pids"

    def send() -> None:
        while not note.exists() or not note.read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(Interrupted) as caught, Signals().handled():
        SystemProcess().run(python(with_grandchild(note)))
    sender.join()
    assert caught.value.signum == number
    assert all(gone(int(pid)) for pid in note.read_text().split())


def test_a_stream_that_is_closed_early_ends_its_command() -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    chunks = SystemProcess().stream(python(code))
    pid = int(next(chunks))
    chunks.close()  # type: ignore[attr-defined]
    assert gone(pid)


def test_a_child_that_keeps_the_pipe_does_not_keep_the_caller() -> None:
    child = "import time; time.sleep(60)"
    code = (
        "import subprocess, sys;"
        f"print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True)"
    )
    result = SystemProcess().run(python(code))
    assert result.returncode == 0
    assert result.seconds < 15
    assert gone(int(result.stdout))


@pytest.mark.parametrize(("inherits", "expected"), [(True, "inherited own"), (False, "none own")])
def test_a_command_gets_our_environment_or_only_its_own(
    monkeypatch: pytest.MonkeyPatch, expected: str, *, inherits: bool
) -> None:
    monkeypatch.setenv("OURS", "inherited")
    code = "import os; print(os.environ.get('OURS', 'none'), os.environ['OWN'])"
    argv = (sys.executable, "-c", code)

    done = SystemProcess().run(Command(argv, 30, env={"OWN": "own"}, inherits=inherits))

    assert done.stdout.strip() == expected


def test_lines_of_both_outputs_come_in_order() -> None:
    code = (
        "import sys, time\n"
        "for i in range(6):\n"
        "    print(i, file=(sys.stdout, sys.stderr)[i % 2], flush=True); time.sleep(0.15)"
    )
    lines: list[str] = []
    SystemProcess().run(python(code), lines.append)
    assert lines == ["0", "1", "2", "3", "4", "5"]


def seconds_for(mebibytes: int, form: str, tail_bytes: int) -> float:
    code = (
        "import os\n"
        f"chunk = ({form}).encode() * 1024\n"
        f"for _ in range({mebibytes} << 4): os.write(1, chunk)"
    )
    count = 0

    def tell(_line: str) -> None:
        nonlocal count
        count += 1

    command = Command((sys.executable, "-c", code), 120, tail_bytes=tail_bytes)
    result = SystemProcess().run(command, tell)
    assert count == (mebibytes << 14 if "\\n" in form else 1)
    return result.seconds


LINES, ONE_LINE = r"'x' * 63 + '\n'", "'x' * 64"


@pytest.mark.parametrize(
    ("form", "mebibytes", "tail_bytes"),
    [(LINES, 25, 1 << 20), (LINES, 25, 0), (ONE_LINE, 50, 1 << 20), (ONE_LINE, 25, 0)],
    ids=["50 MB of lines", "lines, all kept", "a line of 100 MB", "a line, all kept"],
)
def test_twice_the_output_takes_less_than_three_times_as_long(
    form: str, mebibytes: int, tail_bytes: int
) -> None:
    once = min(seconds_for(mebibytes, form, tail_bytes) for _ in range(2))
    twice = min(seconds_for(2 * mebibytes, form, tail_bytes) for _ in range(2))
    assert twice < 3 * max(once, 0.05)


@pytest.mark.parametrize("form", [LINES, ONE_LINE], ids=["lines", "one line"])
@pytest.mark.parametrize(
    "mebibytes", [256, pytest.param(1024, marks=pytest.mark.long)], ids=["256 MiB", "1 GiB"]
)
def test_of_a_flood_only_the_last_lines_are_held_in_memory(form: str, mebibytes: int) -> None:
    flood = (
        f"import os; chunk = ({form}).encode() * 1024\n"
        f"for _ in range({mebibytes} << 4): os.write(1, chunk)"
    )
    code = (
        "import resource, sys\n"
        "from unstale.adapters.process import SystemProcess\n"
        "from unstale.ports import Command\n"
        f"command = Command((sys.executable, '-c', {flood!r}), 300, tail_bytes=1 << 20)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "result = SystemProcess().run(command, lambda _: None)\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(result.returncode, len(result.stdout), grown // 1024)"
    )
    answer = SystemProcess().run(python(code, deadline_s=300))
    code_, kept, grown_mebibytes = map(int, answer.stdout.split())
    assert code_ == 0
    assert 0 < kept < 3 << 20
    assert grown_mebibytes < 24


def test_an_answer_without_end_is_refused() -> None:
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    with pytest.raises(Unavailable, match="more than 64 MiB") as caught:
        SystemProcess().run(python(code))
    assert caught.value.cause
    assert caught.value.hint.startswith("which python")


def test_a_secret_is_hidden_before_a_long_line_is_cut() -> None:
    secret = "heron-72-" * 20

    def hide(text: str) -> str:
        return text.replace(secret, "********")

    # At each place around the cut.
    for before in range(LONGEST_LINE - 200, LONGEST_LINE + 4300, 83):
        told: list[str] = []
        output = Output(told.append, 1 << 20, hide)
        output.feed(b"x" * before + secret.encode() + b"y" * 9000 + b"\n")
        for text in (hide(told[0]), hide(output.text.rstrip())):
            assert "heron" not in text
            assert text.endswith("characters left out)")


def test_a_child_in_a_session_of_its_own_is_found_when_time_is_up(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    daemon = IMMUNE + (f"open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    code = (
        "import subprocess, sys, time;"
        f"subprocess.Popen(['setsid', '--fork', sys.executable, '-c', {daemon!r}]);"
        "time.sleep(60)"
    )
    with pytest.raises(TimedOut):
        SystemProcess().run(python(code, deadline_s=2))
    assert gone(int(note.read_text()))


def test_a_dry_run_tells_a_change_and_does_not_make_it(tmp_path: Path) -> None:
    told: list[str] = []
    process = SystemProcess(dry=True, echo=told.append)
    ask = Command((sys.executable, "-c", "print('asked')"), 30)
    touch = Command(("touch", str(tmp_path / "a b")), 30, changes=True)

    assert process.run(ask).stdout == "asked\n"
    for do in (
        process.run,
        lambda c: next(process.stream(c)),
        lambda c: process.started(c).__enter__(),
    ):
        with pytest.raises(NotDone, match="would run: touch '"):
            do(touch)
    assert list(tmp_path.iterdir()) == []
    assert len(told) == 1


def test_what_is_echoed_is_masked_and_can_be_typed() -> None:
    told: list[str] = []
    process = SystemProcess(echo=told.append)
    process.hide = lambda text: text.replace("it's heron", "********")
    words = ("echo", "it's heron", "a b", "$(x)", "\x1b[2J", "\n'", "--k=it's heron")

    process.run(Command(words, 30))

    assert "heron" not in told[0]
    assert told[0].isprintable()
    typed = SystemProcess().run(
        Command(("bash", "-c", told[0].replace("echo", "printf '%s|'")), 30)
    )
    assert typed.stdout == "********|a b|$(x)|\x1b[2J|\n'|--k=********|"


def test_an_interactive_command_shares_our_session() -> None:
    code = f"import os, sys; sys.exit(0 if os.getsid(0) == {os.getsid(0)} else 1)"
    command = Command((sys.executable, "-c", code), 30, interactive=True)
    assert SystemProcess().run(command).returncode == 0


def launched(seconds: str, code: str) -> Command:
    script = str(Path(launcher.__file__))
    argv = (sys.executable, "-I", "-S", script, seconds, sys.executable, "-c", code)
    return Command(argv, deadline_s=30)


def test_the_launcher_passes_on_output_and_exit_code() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(9)"
    result = SystemProcess().run(launched("20", code))
    assert (result.returncode, result.stdout, result.stderr) == (9, "out\n", "err\n")


def test_the_launcher_keeps_its_deadline_against_an_immune_group(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    result = SystemProcess().run(launched("1.5", with_grandchild(note)))
    assert result.returncode == launcher.TIMED_OUT
    assert result.seconds < 10
    assert all(gone(int(pid)) for pid in note.read_text().split())


def test_killing_the_launcher_ends_what_it_launched(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    killed: list[int] = []
    code = with_grandchild(note)

    def on_line(_line: str) -> None:
        # As a library does when an exception passes through its `subprocess.run`.
        leader = int(note.read_text().split()[0])
        guard = int(Path(f"/proc/{leader}/stat").read_text().rpartition(")")[2].split()[1])
        parent = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)
        killed.append(parent)

    SystemProcess().run(launched("30", code), on_line)
    assert killed
    assert all(gone(int(pid)) for pid in note.read_text().split())


def test_a_started_command_runs_while_the_block_goes_on(tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = f"import pathlib; pathlib.Path({str(note)!r}).touch(); print('done')"
    with SystemProcess().started(python(code)) as result:
        end = time.monotonic() + 10
        while not note.exists():
            assert time.monotonic() < end
            time.sleep(0.01)

        assert result().stdout == "done\n"


def test_a_block_that_fails_ends_the_command_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        f"import os, pathlib, time; pathlib.Path({str(note)!r}).write_text(str(os.getpid()));"
        "time.sleep(60)"
    )

    def fail_beside_it() -> None:
        with SystemProcess().started(python(code)):
            end = time.monotonic() + 10
            while not note.exists() or not note.read_text():
                assert time.monotonic() < end
                time.sleep(0.01)
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        fail_beside_it()

    assert gone(int(note.read_text()))
