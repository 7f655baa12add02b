"""Who listens on a port of this machine, as /proc tells; elsewhere nobody is found."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Listener", "listener"]

_LISTENING = "0A"
_CONTAINER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on a port."""

    pid: int
    """0: it belongs to somebody whose processes we may not look into."""
    program: str
    container: str
    """The id of the container that it runs in; empty for none."""


def listener(port: int, proc: Path = Path("/proc")) -> Listener | None:
    """The process that listens on the TCP *port* of this network; None: nobody does."""
    sockets = {inode for name in ("tcp", "tcp6") for inode in _inodes(proc / "net" / name, port)}
    if not sockets:
        return None
    links = {f"socket:[{inode}]" for inode in sockets}
    for folder in proc.glob("[0-9]*"):
        if links & set(_links(folder / "fd")):
            group = _text(folder / "cgroup")
            found = _CONTAINER.search(group)
            return Listener(
                int(folder.name), _text(folder / "comm").strip(), found[0] if found else ""
            )
    return Listener(0, "", "")


def _inodes(table: Path, port: int) -> Iterator[str]:
    for line in _text(table).splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]


def _links(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
