"""Run a command with a deadline, in a session that dies with this process.

    python launcher.py SECONDS PROGRAM [ARGUMENT ...]

It stands in front of commands that a library starts without a deadline, and
needs the standard library alone. This process only waits. A fork of it runs
the command in a session of its own, and ends its group at the deadline or once
the pipe between the two closes: even SIGKILL of this process leaves nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

TIMED_OUT = 124
NOT_FOUND = 127
_PATIENCE_S = 1.5


def main(argv: list[str]) -> int:
    """Run ``argv[1:]`` for at most ``argv[0]`` seconds; its exit code."""
    # Signals are for whoever started us: it kills us if it wants us to stop.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    alive, ours = os.pipe()
    guard = os.fork()
    if guard:
        os.close(alive)
        return os.waitstatus_to_exitcode(os.waitpid(guard, 0)[1])
    os.close(ours)
    os._exit(_guard(alive, float(argv[0]), argv[1:]))


def _guard(alive: int, seconds: float, command: list[str]) -> int:
    os.setsid()
    deadline = time.monotonic() + seconds
    try:
        process = subprocess.Popen(command, start_new_session=True)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        return NOT_FOUND
    pause = 0.001
    while process.poll() is None:
        if time.monotonic() > deadline or select.select([alive], [], [], pause)[0]:
            _end(process)
            return TIMED_OUT
        pause = min(pause * 2, 0.02)
    _signal(process, signal.SIGKILL)  # what it started, and left
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
