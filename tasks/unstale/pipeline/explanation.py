"""A verdict explained: what decided it, in which file and line, and by which commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from unstale.facts import CommitFact
from unstale.ports import Git

__all__ = [
    "KINDS",
    "TAKES",
    "Answer",
    "Behind",
    "Cause",
    "Explanation",
    "Kind",
    "Place",
    "blamed",
    "hidden",
]

Kind = Literal["image", "stack", "schema", "env"]

TAKES = "takes in"
"""What a line of a Dockerfile does with a file."""

KINDS: tuple[Kind, ...] = ("image", "stack", "schema", "env")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the project that had a part in a verdict."""

    file: str
    """Relative to the project, with slashes; or what a value came from, such as an image."""
    line: int | None = None
    role: str = ""
    """What it does: ``takes in`` a file, an environment whose value it decides, ``allows it``."""
    text: str = ""
    """What stands there, without secrets."""
    commit: CommitFact | None = None
    """Who brought the line."""
    is_uncommitted: bool = False
    """Whether no commit has the line as it is."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that decided a verdict, or was found and did not."""

    what: str
    """A path, a setting of a container, a migration, a table, a variable."""
    how: str
    """What became of it."""
    places: tuple[Place, ...] = ()
    commit: CommitFact | None = None
    """The last one that touched *what*, if that is a file."""
    is_uncommitted: bool = False
    notes: tuple[str, ...] = ()
    is_accepted: bool = False
    """Whether the verdict does not rest on it: it is masked, or allowed."""


@dataclass(frozen=True, slots=True)
class Behind:
    """How far an image is behind HEAD."""

    commits: int
    hours: float
    """From its build to the newest of them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one image, container, database or pair of environments."""

    subject: str
    verdict: str
    """The contract's word: fresh, stale, missing, unknown, not asked."""
    summary: str = ""
    since: datetime | None = None
    """From when on it is so, as far as commits tell."""
    behind: Behind | None = None
    """Of an image."""
    causes: tuple[Cause, ...] = ()
    evidence: tuple[str, ...] = ()
    """What was looked at, and what it said."""
    redone: str = ""
    """What a rebuild would do."""
    next: str = ""
    """What to type; empty where nothing need be done."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All verdicts of one proof."""

    kind: Kind
    environment: str
    answers: tuple[Answer, ...]

    @property
    def is_known(self) -> bool:
        """Whether every verdict could be told."""
        return all(one.verdict != "unknown" for one in self.answers)


def blamed(git: Git, root: Path, answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """*answers*, in which each line of a file of *root* has the commit that brought it."""
    found = tuple(answers)
    wanted = {
        (root / place.file, place.line)
        for answer in found
        for cause in answer.causes
        for place in cause.places
        if place.line is not None
    }
    commits = git.blamed(sorted(wanted)) if wanted else {}

    def told(place: Place) -> Place:
        at = (root / place.file, place.line or 0)
        if at not in commits:
            return place
        return replace(place, commit=commits[at], is_uncommitted=commits[at] is None)

    return _each_place(found, told)


def hidden(answers: Sequence[Answer], hide: Callable[[str], str]) -> tuple[Answer, ...]:
    """*answers*, with *hide* over all that other people wrote."""
    return tuple(
        replace(
            answer,
            summary=hide(answer.summary),
            evidence=tuple(map(hide, answer.evidence)),
            redone=hide(answer.redone),
            next=hide(answer.next),
            causes=tuple(
                replace(
                    cause,
                    what=hide(cause.what),
                    how=hide(cause.how),
                    notes=tuple(map(hide, cause.notes)),
                    commit=_hidden_commit(hide, cause.commit),
                )
                for cause in answer.causes
            ),
        )
        for answer in _each_place(answers, partial(_hidden_place, hide))
    )


def _hidden_place(hide: Callable[[str], str], place: Place) -> Place:
    return replace(
        place,
        file=hide(place.file),
        role=hide(place.role),
        text=hide(place.text),
        commit=_hidden_commit(hide, place.commit),
    )


def _hidden_commit(hide: Callable[[str], str], commit: CommitFact | None) -> CommitFact | None:
    return replace(commit, subject=hide(commit.subject)) if commit else None


def _each_place(answers: Iterable[Answer], do: Callable[[Place], Place]) -> tuple[Answer, ...]:
    return tuple(
        replace(
            answer,
            causes=tuple(
                replace(cause, places=tuple(map(do, cause.places))) for cause in answer.causes
            ),
        )
        for answer in answers
    )
