"""Folders that are written to: what a checkout brings can't lead a write out of it.

A state folder, ``.unstale``, comes with a checkout or is shown to containers, and so
may hold links that somebody else made. From it on down no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from unstale.config import STATE_FOLDER
from unstale.errors import Fault, Unavailable

__all__ = ["opened", "refuse_links"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# What a run leaves may quote a project's data: it is for its owner.
_PRIVATE, _USUAL = 0o700, 0o777


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, str]]:
    """The folder of *path*, made if need be, as a descriptor; and the name in it.

    Raises:
        Unavailable: a link is on the way, from the state folder on.

    """
    trusted, parts = _split(path.absolute())
    trusted.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = os.open(trusted, _FOLDER)
        stack.callback(os.close, folder)
        for depth, part in enumerate(parts[:-1]):
            folder = _below(folder, part, trusted.joinpath(*parts[: depth + 1]))
            stack.callback(os.close, folder)
        yield folder, parts[-1]


def refuse_links(state_folder: Path) -> None:
    """Refuse a state folder that is a link, or has one where a folder of ours is.

    Raises:
        Unavailable: naming it.

    """
    if state_folder.is_symlink():
        raise _is_link(state_folder)
    try:
        with os.scandir(state_folder) as entries:
            link = next((e for e in entries if e.is_symlink()), None)
    except OSError:
        return
    if link is not None:
        raise _is_link(Path(link.path))


def _split(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The part of *path* that the user chose, and the rest, from the state folder on."""
    parts = path.parts
    if STATE_FOLDER not in parts[:-1]:
        return path.parent, (path.name,)
    at = len(parts) - 1 - parts[::-1].index(STATE_FOLDER, 1)
    return Path(*parts[:at]), parts[at:]


def _below(folder: int, part: str, path: Path) -> int:
    mode = _PRIVATE if path.parent.name == "runs" else _USUAL
    try:
        os.mkdir(part, mode, dir_fd=folder)
    except FileExistsError:
        if stat.S_ISLNK(os.lstat(part, dir_fd=folder).st_mode):
            raise _is_link(path) from None
    return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)


def _is_link(path: Path) -> Unavailable:
    return Unavailable(
        f"{path} is a link.",
        cause="What unstale writes would go where it leads, and it came with the checkout.",
        hint=f"rm '{path}'",
        fault=Fault.PERMISSION,
    )
