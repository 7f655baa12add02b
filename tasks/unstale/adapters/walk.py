"""The names of a project's files, without what tools keep there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["names"]

_MOST = 50_000
_NOT_ENTERED = frozenset(
    {
        *("node_modules", "__pycache__", "site-packages", "venv", "htmlcov", "dist", "target"),
        *("bower_components", "vendor"),
    }
)
_HIDDEN_BUT_ENTERED = frozenset({".envs", ".docker", ".github", ".devcontainer"})


def names(root: Path) -> tuple[tuple[str, ...], bool]:
    """Files below *root*, relative and with slashes, sorted; and whether there are more.

    No link to a folder is followed. Left out are virtual environments, what is hidden but
    for a few, folders that others fill, what is no plain file of the project (pipes, and
    links that lead out of it), and names that are no UTF-8: no TOML can hold them.
    """
    found: list[str] = []
    top = os.path.realpath(root)
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(one for one in inner if _is_entered(os.path.join(folder, one), one))  # noqa: PTH118 - a path a folder
        prefix = "" if folder == str(root) else f"{os.path.relpath(folder, root)}/"
        found += (
            f"{prefix}{name}"
            for name in files
            if _is_text(f"{prefix}{name}") and _is_plain(os.path.join(folder, name), top)  # noqa: PTH118 - a path a file
        )
        if len(found) > _MOST:
            return tuple(sorted(found)[:_MOST]), True
    return tuple(sorted(found)), False


def _is_entered(path: str, name: str) -> bool:
    if name in _NOT_ENTERED or (name.startswith(".") and name not in _HIDDEN_BUT_ENTERED):
        return False
    return not os.path.lexists(f"{path}/pyvenv.cfg")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of a name that are no UTF-8 are told as surrogates
        return False
    return True


def _is_plain(path: str, top: str) -> bool:
    """Whether *path* is a file to read, or a link to one below *top*."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            real = os.path.realpath(path, strict=True)
            if os.path.commonpath((real, top)) != top:
                return False
            mode = os.stat(real).st_mode  # noqa: PTH116 - as above
    except OSError:  # it leads nowhere, or has gone meanwhile
        return False
    return stat.S_ISREG(mode)
