"""Names of compose projects. Pure."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

__all__ = ["STANDING", "build_lock", "image_project", "locked_by", "run_project", "standing_run"]

STANDING = "standing-"
"""Run labels that begin so belong to no process and are never swept."""

_LOCK = "build-"


def image_project(root: Path, environment: str) -> str:
    """The project that images of *environment* are built under.

    Stable, since compose writes the project's name into the image: a project
    per run would make a new, soon dangling, image each time. The real path
    keeps two checkouts of one folder name apart.
    """
    return f"unstale-{_slug(root.name)}-{_digest(root)}-{_own_slug(environment)}"


def build_lock(folder: Path, root: Path) -> Path:
    """The lock in *folder* that a build of the checkout *root* holds."""
    return folder / f"{_LOCK}{_digest(root)}.lock"


def locked_by(lock: Path, name: str) -> bool:
    """Whether *name*, with an `image_project` in it, is of the checkout whose lock *lock* is."""
    return f"-{lock.stem.removeprefix(_LOCK)}-" in name


def run_project(root: Path, run: str) -> str:
    """The project of one run's containers."""
    return f"unstale-{_slug(root.name)}-{run}"


def standing_run(root: Path, environment: str) -> str:
    """The run label of a checkout's standing stack."""
    return f"{STANDING}{_digest(root)}-{_own_slug(environment)}"


def _digest(root: Path) -> str:
    return _short_digest(str(root.resolve()))


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _own_slug(name: str) -> str:
    """A slug that no other *name* has, although it is folded and cut."""
    slug = _slug(name)
    return slug if slug == name else f"{slug}-{_short_digest(name)}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "project"
