"""What services mount of this machine. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from unstale.compose import Service

__all__ = ["absent_sources"]

# An engine's own may be in the virtual machine alone that it runs in.
_SOCKET = ".sock"


def absent_sources(services: Iterable[Service]) -> Iterator[tuple[str, str]]:
    """Each service with a file or folder that it mounts and that is not there."""
    for service in services:
        sources = [m.source for m in service.mounts if m.kind == "bind"]
        for source in (*sources, *service.files):
            if not source.endswith(_SOCKET) and _is_absent(source):
                yield service.name, source


def _is_absent(path: str) -> bool:
    """Whether *path* is not there; what can't be looked at is, as far as is known."""
    try:
        os.stat(path)  # noqa: PTH116 - as the engine has it
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
