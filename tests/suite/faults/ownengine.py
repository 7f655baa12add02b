"""An engine of our own in a network namespace, which may be killed, stopped and filled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

# The engine's own network needs its loopback device.
_START = 'ip link set lo up && exec dockerd "$@"'


class Engine:
    """A ``dockerd`` with a containerd of its own; *folder* is short, for its sockets' sake."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        (self.folder / "pid").unlink(missing_ok=True)  # it was killed
        name = self.folder.name
        options = {
            "host": self.host,
            "data-root": self.folder / "data",
            "exec-root": self.folder / "exec",
            "pidfile": self.folder / "pid",
            "containerd-namespace": name,
            "containerd-plugins-namespace": f"{name}-plugins",
        }
        argv = [f"--{key}={value}" for key, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ("unshare", "--net", "sh", "-c", _START, "dockerd", *argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while self._ask("version").returncode:
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to the engine alone: its containers go on until it is back."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def lose_power(self) -> None:
        """SIGKILL to the engine, its containerd, the shims, and all containers."""
        for pid in [*self._family()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """Let it hang: it accepts connections and answers none."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def everything(self) -> list[str]:
        """All containers, networks but the engine's own, and volumes."""
        listings = (
            ("ps", "--all", "--format", "{{.Names}}"),
            ("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"),
            ("volume", "ls", "--format", "{{.Name}}"),
        )
        return [name for one in listings for name in self._ask(*one).stdout.split()]

    def load(self, image: str) -> None:
        """Take *image* over from the machine's engine."""
        with subprocess.Popen(("docker", "save", image), stdout=subprocess.PIPE) as saved:
            done = subprocess.run(
                ("docker", "--host", self.host, "load"),
                stdin=saved.stdout,
                capture_output=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        """Leave nothing of it."""
        if self._process is not None and self._process.poll() is None:
            self.lose_power()
        for place in ("data", "exec"):
            self._unmount(self.folder / place)
            shutil.rmtree(self.folder / place, ignore_errors=True)

    def _unmount(self, folder: Path) -> None:
        # The engine mounts its folder upon itself.
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        ours = [m for m in mounts if f"{m}/".startswith(f"{folder}/")]
        for place in sorted(ours, reverse=True):
            subprocess.run(("umount", "--lazy", place), check=False)

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ("docker", "--host", self.host, *arguments),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def _family(self) -> Iterator[int]:
        """Processes of the engine and its shims, and all that the shims started."""
        assert self._process is not None
        parents = _parents()
        mark = str(self.folder / "exec")
        found = {self._process.pid} | {pid for pid in parents if mark in _command(pid)}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        yield from found


def _parents() -> dict[int, int]:
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            found[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
        )
    return ""
