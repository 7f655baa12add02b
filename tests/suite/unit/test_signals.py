"""What signals do to a process that handles them; each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

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
with signals.handled():
    try:
        with signals.held():
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_last_block_ends_the_process_by_itself(number: int) -> None:
    """Python's own SIGINT would be an exception, which Invoke answers with 1."""
    done = _run(f"""
with signals.handled(is_last=True):
    pass
send({number})
""")

    assert done.returncode == -number
    assert done.stderr == ""


def test_a_signal_that_the_parent_ignored_is_handled() -> None:
    done = _run(
        """
with signals.handled():
    try:
        send(signal.SIGHUP)
    except Interrupted:
        print("stopped")
""",
        before=("nohup",),
    )

    assert done.stdout == "stopped\n"
