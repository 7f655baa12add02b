"""What ``doctor --fix`` does: each thing shown and asked, none of it as root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from unstale.doctor.finding import Copy, Diagnosis, Finding, MakeFolder, Mending, Reap
from unstale.errors import Fault, Interrupted, Unavailable, UnstaleError

__all__ = ["Mended", "mend"]

Answer = Literal["done", "left", "would", "failed"]


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a mending."""

    check: str
    words: str
    answer: Answer
    """``left``: somebody said no; ``would``: nobody was there to say yes."""
    error: UnstaleError | None = None
    """Why it failed."""


def mend(
    diagnosis: Diagnosis, root: Path, confirm: Callable[[Finding, Mending], Answer]
) -> tuple[Mended, ...]:
    """Do what *confirm* says yes to; one that fails stops none of the others."""
    done = []
    for finding, one in diagnosis.mendings:
        answer, error = confirm(finding, one), None
        if answer == "done" and (error := _tried(one, root)):
            answer = "failed"
        done.append(Mended(finding.check.id, one.words, answer, error))
    return tuple(done)


def _tried(one: Mending, root: Path) -> UnstaleError | None:
    """Do it; returns why it can't be done."""
    try:
        _do(one, root)
    except Interrupted:
        raise
    except UnstaleError as error:
        return error
    return None


def _do(one: Mending, root: Path) -> None:
    match one:
        case Copy(source, target):
            with _told(target):
                _copy(source, target)
        case MakeFolder(path):
            with _told(path):
                path.mkdir(parents=True, exist_ok=True)
        case Reap():
            _reap(root)
        case _:
            assert_never(one)


def _copy(source: Path, target: Path) -> None:
    """Copy, unless there is something by now; nobody else may read what will hold secrets."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with source.open("rb") as read, os.fdopen(os.open(target, flags, 0o600), "wb") as written:
        shutil.copyfileobj(read, written)


def _reap(root: Path) -> None:
    # Here: only a project with an engine gets so far.
    from unstale.project import Project

    # None that was kept: what is removed is what was told, and its checkout may be away.
    for found in Project.open(root).stack_reap(homeless=False):
        if found.error:
            raise found.error


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error of ours."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{path} could not be made.",
            cause=f"{error.strerror}.",
            hint=f"ls -ld {path.parent}",
            fault=Fault.PERMISSION,
        ) from error
