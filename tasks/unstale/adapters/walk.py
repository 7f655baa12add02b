"""The names of a project's files, without what tools keep there."""

from __future__ import annotations

import os
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

    No link is followed. Left out are virtual environments, what is hidden but for a few,
    and folders that others fill.
    """
    found: list[str] = []
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(one for one in inner if _is_entered(os.path.join(folder, one), one))  # noqa: PTH118 - a path a folder
        prefix = "" if folder == str(root) else f"{os.path.relpath(folder, root)}/"
        found += (f"{prefix}{name}" for name in files)
        if len(found) > _MOST:
            return tuple(sorted(found)[:_MOST]), True
    return tuple(sorted(found)), False


def _is_entered(path: str, name: str) -> bool:
    if name in _NOT_ENTERED or (name.startswith(".") and name not in _HIDDEN_BUT_ENTERED):
        return False
    return not os.path.lexists(f"{path}/pyvenv.cfg")
