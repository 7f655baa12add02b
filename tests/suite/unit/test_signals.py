"""What signals do to a process that handles them; each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_HEAD = """
import os, signal, sys
from unstale.adapters.signals import Signals
from unstale.errors import Interrupted
def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
signals = Signals()
"""


def _run(body: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*before, sys.executable, "-c", _HEAD + body),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_raised_and_the_second_does_not_cut_what_is_held_short(
    first: int,
) -> None:
    done = _run(f"""
try:
    with signals.handled(), signals.held():
        send({first}, signal.SIGINT)
        print("cleaned up")
except Interrupted as error:
    print(error.signum)
""")

    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["cleaned up", str(first)])


@pytest.mark.parametrize(
    ("first", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_third_signal_ends_it_at_once_with_the_code_of_the_first(first: int, code: int) -> None:
    done = _run(f"""
signals.last_words = lambda error: os.write(2, b"left")
with signals.handled(), signals.held():
    send({first}, signal.SIGINT, signal.SIGTERM)
    print("not reached", flush=True)
""")

    assert (done.returncode, done.stdout, done.stderr) == (code, "", "left")


def test_nobody_who_reads_its_last_words_keeps_it() -> None:
    done = _run("""
import time
signals.last_words = lambda error: time.sleep(60)
with signals.handled(), signals.held():
    send(signal.SIGINT, signal.SIGINT, signal.SIGINT)
""")

    assert done.returncode == 130


def test_last_words_that_fail_keep_it_neither() -> None:
    done = _run("""
def fail(error):
    raise RuntimeError("reentrant call")
signals.last_words = fail
with signals.handled(), signals.held():
    send(signal.SIGTERM, signal.SIGTERM, signal.SIGTERM)
""")

    assert (done.returncode, done.stderr) == (143, "")


_PACKAGE = {
    "__init__.py": "from half import first",
    # Like python-on-whales: what a submodule needs is there once another one is.
    "first.py": "import half.second\nsend()\nhalf.second.NAME",
    "second.py": "NAME = 1",
}


@pytest.mark.parametrize("held", [False, True], ids=["", "held at its end"])
def test_an_import_goes_through_before_a_signal_is_raised(held: bool, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    for name, text in _PACKAGE.items():
        (tmp_path / "half" / name).write_text(text)

    done = _run(f"""
import builtins, contextlib, time
builtins.send = lambda: (send(signal.SIGTERM), time.sleep(0.1))
sys.path.insert(0, {str(tmp_path)!r})
try:
    with signals.handled():
        import half
        with signals.held() if {held} else contextlib.nullcontext():
            time.sleep(0.2)
            print("slept")
except Interrupted as error:
    import half
    print(half.first.half.second.NAME, error.signum)
""")

    said = ["slept"] if held else []
    assert (done.stdout.splitlines(), done.stderr) == ([*said, "1 15"], "")


def test_a_signal_in_the_last_import_is_raised_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "last.py").write_text("send()")

    done = _run(f"""
import builtins
builtins.send = lambda: send(signal.SIGTERM)
sys.path.insert(0, {str(tmp_path)!r})
try:
    with signals.handled():
        import last
except Interrupted as error:
    print(error.signum)
""")

    assert (done.stdout, done.stderr) == ("15\n", "")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("pass", "Interrupted"),
        ("raise UnstaleError('of another kind')", "Interrupted"),
        ("raise SystemExit(5)", "Interrupted"),
        ("raise SystemExit(143)", "SystemExit"),
    ],
)
def test_a_signal_that_somebody_swallows_is_raised_at_the_end(end: str, said: str) -> None:
    done = _run(f"""
from unstale.errors import UnstaleError
try:
    with signals.handled():
        try:
            send(signal.SIGTERM)
        except UnstaleError:
            print("a note")
        {end}
except BaseException as error:
    print(type(error).__name__)
""")

    assert done.stdout.split("\n")[:2] == ["a note", said]


@pytest.mark.parametrize("late", ["", "signal.setitimer = lambda *_: send(signal.SIGTERM)"])
def test_the_handlers_that_were_there_are_there_again(late: str) -> None:
    """Whatever comes after it in this process has a Ctrl-C of its own."""
    done = _run(f"""
import time
before = signal.getsignal(signal.SIGTERM)
try:
    with signals.handled():
        {late or "pass"}
except Interrupted:
    print("stopped")
assert signal.getsignal(signal.SIGTERM) == before
try:
    send(signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("mine")
""")

    assert done.stdout.split() == (["stopped", "mine"] if late else ["mine"]), done.stderr


def test_at_the_end_of_the_process_a_signal_needs_no_traceback() -> None:
    """Python's own SIGINT would be an exception, which nobody is there for."""
    done = _run("""
from unstale.adapters.signals import end_plainly
end_plainly()
send(signal.SIGINT)
""")

    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_handler_of_somebody_else_stays_to_the_end() -> None:
    done = _run("""
from unstale.adapters.signals import end_plainly
signal.signal(signal.SIGINT, lambda *_: print("theirs"))
end_plainly()
send(signal.SIGINT)
""")

    assert (done.returncode, done.stdout) == (0, "theirs\n")


def test_a_signal_that_the_parent_ignored_is_handled() -> None:
    done = _run(
        """
try:
    with signals.handled():
        send(signal.SIGHUP)
except Interrupted:
    print("stopped")
""",
        before=("nohup",),
    )

    assert done.stdout == "stopped\n"
