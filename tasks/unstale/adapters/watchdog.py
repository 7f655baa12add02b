"""Remove what a run leaves that dies without a word.

    python -I -S watchdog.py FOLDER RUN OWNER DOCKER < PIPE

Started before the run makes its first object. Only the run holds the other end of
the pipe, so the kernel closes it on any death: SIGKILL, a crash, `os._exit`. Unless
the run wrote `DONE`, what is still alive of its commands is ended, and all that
carries both its label and its owner's is removed, until the engine has listed
nothing several times. Then the lease goes, too; if that can't be had, it stays for
the next start to see.

It has a session of its own, ignores what ends a session, and needs the standard
library alone: it must be there in a few milliseconds and outlive a broken venv.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DONE = b"done\n"
TAG = "UNSTALE_RUN_TAG"
"""The variable that the commands of a run carry; its value is the run."""
LABEL_RUN = "dev.unstale.run"
LABEL_OWNER = "dev.unstale.owner"
LOG = "watchdog.log"

_PATIENCE_S = 60.0
_COMMAND_S = 20.0
# What the engine had accepted still lands after an empty listing: the first pause is for
# the proof, the last is for a create that took long on a busy machine.
_PAUSES_S = (0.2, 1.5)
# Between two questions to an engine that gives no answer: twice as long each time.
_AGAIN_S, _AGAIN_MOST_S = 0.25, 4.0
_LOG_BYTES = 64 * 1024

Left = dict[str, list[str]]
"""Kind to ids."""

_LISTED = {
    "container": ("ps", "--all", "--quiet", "--no-trunc"),
    "network": ("network", "ls", "--quiet", "--no-trunc"),
    "volume": ("volume", "ls", "--quiet"),
}
_REMOVED = {
    "container": ("rm", "--force", "--volumes"),
    "network": ("network", "rm"),
    "volume": ("volume", "rm"),
}


class Watchdog:
    """Watches one run."""

    def __init__(self, folder: Path, run: str, owner: str, docker: str) -> None:
        if not (run and owner):
            # An empty value would match what is anybody's.
            message = "BUG: a watchdog without a run or an owner"
            raise AssertionError(message)
        self._folder = folder
        self._run = run
        self._docker = docker
        labels = (f"label={LABEL_RUN}={run}", f"label={LABEL_OWNER}={owner}")
        self._filters = [word for label in labels for word in ("--filter", label)]

    def watch(self, pipe: int) -> None:
        """Wait for the run's end, and reap unless it was a good one."""
        if _said(pipe).endswith(DONE) or self._path("kept").exists():
            return
        died = time.monotonic()
        proven = self.reap(died + _PATIENCE_S)
        if proven is None:
            self._note(f"died; after {_PATIENCE_S:.0f} s something of it may still be there")
            return
        self._note(f"died; nothing of it was left after {proven - died:.2f} s")
        self._path("lease").unlink(missing_ok=True)

    def reap(self, deadline: float) -> float | None:
        """Remove all of the run; when the second empty listing in a row was had.

        None: that was not before *deadline*, on a monotonic clock.
        """
        proven, again, pauses = 0.0, _AGAIN_S, list(_PAUSES_S)
        while time.monotonic() < deadline:
            ended = _end_strays(self._run)
            left = self._list()
            if left is None:  # no engine, or none that answers
                time.sleep(again)
                again = min(2 * again, _AGAIN_MOST_S)
            elif ended or any(left.values()):
                self._remove(left)
                pauses = list(_PAUSES_S)
            elif not pauses:
                return proven
            else:
                if len(pauses) < len(_PAUSES_S):
                    proven = time.monotonic()
                time.sleep(pauses.pop(0))
        return None

    def _list(self) -> Left | None:
        commands = {k: self._start(*words, *self._filters) for k, words in _LISTED.items()}
        answers = {kind: _output(command) for kind, command in commands.items()}
        if any(answer is None for answer in answers.values()):
            return None
        return {kind: answer.split() for kind, answer in answers.items() if answer is not None}

    def _remove(self, left: Left) -> None:
        for kind, words in _REMOVED.items():  # a container holds its networks and volumes
            if left[kind]:
                _output(self._start(*words, *left[kind]))

    def _start(self, *words: str) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(
                (self._docker, *words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None

    def _path(self, kind: str) -> Path:
        return self._folder / f"{self._run}.{kind}"

    def _note(self, text: str) -> None:
        """Write a line down; only deaths make any."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with contextlib.suppress(OSError):
            descriptor = os.open(self._folder / LOG, flags, 0o600)
            try:
                if os.fstat(descriptor).st_size > _LOG_BYTES:
                    os.ftruncate(descriptor, 0)
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                os.write(descriptor, f"{now} {self._run}: {text}\n".encode())
            finally:
                os.close(descriptor)


def _said(pipe: int) -> bytes:
    """All that came out of the pipe until its other end was closed."""
    words = b""
    while chunk := os.read(pipe, 64):
        words = (words + chunk)[-64:]
    return words


def _output(process: subprocess.Popen[bytes] | None) -> str | None:
    """What it wrote; None if it failed or took too long."""
    if process is None:
        return None
    try:
        out, _ = process.communicate(timeout=_COMMAND_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return out.decode(errors="replace") if process.returncode == 0 else None


def _end_strays(run: str) -> int:
    """Kill what is alive of the commands of *run*; how many there were.

    Only where the kernel shows the environment of a process: not on macOS.
    """
    mark = f"{TAG}={run}".encode()
    processes = [path for path in Path("/proc").glob("[0-9]*") if _is_marked(path, mark)]
    return sum(_kill(path, mark) for path in processes)


def _is_marked(process: Path, mark: bytes) -> bool:
    try:
        if process.stat().st_uid != os.geteuid():
            return False
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours to look at
        return False


def _kill(process: Path, mark: bytes) -> bool:
    """Kill it, if the number is still that of the process that was looked at."""
    try:
        descriptor = os.pidfd_open(int(process.name))
    except OSError:
        return False
    try:
        if not _is_marked(process, mark):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def main(argv: list[str]) -> None:
    """Watch in a child that is nobody's: whoever kills a tree of processes does not find it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    # What the run had open from its parent, somebody may wait for the end of.
    os.closerange(3, 1024)
    folder, run, owner, docker = argv
    Watchdog(Path(folder), run, owner, docker).watch(0)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
