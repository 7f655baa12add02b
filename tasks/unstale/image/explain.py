"""Why an image is stale, in words: which commits, and how long before them it was built.

Times explain a verdict and never make one. All of them are compared in UTC:
committer dates, and the moment of the build.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_never

from unstale.facts import BuildRecord, CommitFact
from unstale.image.check import ImageStatus
from unstale.ports import Git
from unstale.verdict import Change, Reason, Stale

__all__ = [
    "Background",
    "BuildTime",
    "background",
    "change_words",
    "clock",
    "commits_of",
    "duration",
    "explain",
    "printable",
    "reason_line",
    "sentence",
    "the_fix",
]


@dataclass(frozen=True, slots=True)
class BuildTime:
    """When an image was built."""

    at: datetime
    is_exact: bool = True
    """False: the engine's ``Created``, when its layers were *first* made. A
    cached build long after gives the same image with the same time."""


@dataclass(frozen=True, slots=True)
class Background:
    """What git and the ledger of builds know beside the verdicts."""

    head: CommitFact | None = None
    commits: Mapping[str, CommitFact] = field(default_factory=dict)
    """Path of a reason to the last commit that touched it."""
    uncommitted: frozenset[str] = frozenset()
    """Paths of reasons that no commit has as they are."""
    builds: Mapping[str, datetime] = field(default_factory=dict)
    """Image id to its last recorded build."""
    log: tuple[CommitFact, ...] = ()
    """The commits after the oldest image, newest first."""

    def build_time(self, image_id: str | None, created: datetime | None) -> BuildTime | None:
        """When the image was built: by the ledger, else by the engine."""
        if image_id is not None and image_id in self.builds:
            return BuildTime(self.builds[image_id])
        return None if created is None else BuildTime(created, is_exact=False)

    def summary(self, status: ImageStatus) -> str:
        """How old the image of *status* is beside what it lacks; empty without an image."""
        built = self.build_time(status.image_id, status.built_at)
        if status.image_id is None:
            return ""
        reasons = status.verdict.reasons if isinstance(status.verdict, Stale) else ()
        behind = [c for c in self.log if built is not None and c.committed_at > built.at]
        changes = {reason.path for reason in reasons} & self.uncommitted
        return sentence(reasons, built, self.head, len(behind), len(changes))


def background(
    git: Git, root: Path, statuses: Sequence[ImageStatus], records: Iterable[BuildRecord]
) -> Background:
    """Ask *git* about the reasons of *statuses*, whose paths are relative to *root*."""
    reasons = [r for s in statuses if isinstance(s.verdict, Stale) for r in s.verdict.reasons]
    oldest = min((s.built_at for s in statuses if s.built_at is not None), default=None)
    is_behind = any(s.commits_behind for s in statuses)
    paths = _paths(root, reasons)
    changed = git.uncommitted(tuple(paths.values()))
    builds: dict[str, datetime] = {}
    for record in records:
        builds[record.image_id] = max(record.built_at, builds.get(record.image_id, record.built_at))
    return Background(
        head=git.head(),
        commits=commits_of(git, root, reasons),
        uncommitted=frozenset(name for name, path in paths.items() if path in changed),
        builds=builds,
        # Where none is behind, the verdicts know already that there is nothing to list.
        log=(git.commits_since(oldest) or ()) if oldest is not None and is_behind else (),
    )


def commits_of(git: Git, root: Path, reasons: Sequence[Reason]) -> Mapping[str, CommitFact]:
    """The last commit of each reason's path."""
    paths = _paths(root, reasons)
    found = git.last_commits(tuple(paths.values()))
    return {name: found[path] for name, path in paths.items() if path in found}


def _paths(root: Path, reasons: Sequence[Reason]) -> Mapping[str, Path]:
    # An absolute path is one in the image: what is there on this machine is another file.
    return {r.path: root / r.path for r in reasons if not Path(r.path).is_absolute()}


def explain(reasons: Sequence[Reason], commits: Mapping[str, CommitFact]) -> tuple[Reason, ...]:
    """*reasons* with the commits that last touched their paths."""
    return tuple(
        replace(reason, commit=commit.short, committed_at=commit.committed_at)
        if (commit := commits.get(reason.path))
        else reason
        for reason in reasons
    )


def the_fix(reasons: Iterable[Reason], built_at: datetime) -> Reason | None:
    """The reason whose commit is the first after the image: the oldest thing it lacks."""
    later = {
        reason: reason.committed_at
        for reason in reasons
        if reason.commit and not reason.masked
        if reason.committed_at is not None and reason.committed_at > built_at
    }
    return min(later, key=lambda reason: later[reason], default=None)


def sentence(
    reasons: Sequence[Reason],
    built: BuildTime | None,
    head: CommitFact | None,
    behind: int,
    uncommitted: int = 0,
) -> str:
    """How old the image is beside what it lacks.

    As in "built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD, 3 commits
    behind". The fix is the oldest of the reasons' commits after the build.
    """
    parts = _ages(reasons, built, head)
    if behind:
        parts.append(f"{_count(behind, 'commit')} behind")
    if uncommitted:
        parts.append(f"and {_count(uncommitted, 'uncommitted change')}")
    return ", ".join(parts)


def _ages(reasons: Sequence[Reason], built: BuildTime | None, head: CommitFact | None) -> list[str]:
    if built is None:
        return ["built at an unknown time"]
    word = "built" if built.is_exact else "first built"
    fix = the_fix(reasons, built.at)
    parts: list[str] = []
    if fix is not None and fix.committed_at is not None:
        is_head = head is not None and head.short == fix.commit
        mark = ", which is HEAD" if is_head else ""
        parts.append(
            f"{word} {duration(fix.committed_at - built.at)} before the fix {fix.commit}{mark}"
        )
        if is_head:
            return parts
    if head is not None and head.committed_at > built.at:
        age = f"{duration(head.committed_at - built.at)} before HEAD"
        parts.append(age if parts else f"{word} {age}")
    if parts:
        return parts
    if head is not None:
        return [f"{word} {duration(built.at - head.committed_at)} after HEAD"]
    return [f"{word} {clock(built.at)}"]


def change_words(change: Change) -> str:
    """The kind of a change, in words."""
    match change:
        case "added" | "removed" | "modified":
            return change
        case "mode":
            return "only the mode bits differ"
        case "configuration":
            return "another configuration"
        case _ as never:
            assert_never(never)


def reason_line(reason: Reason, built: BuildTime | None, known: Background) -> str:
    """A reason on one line: path, change, reader, commit and its age."""
    return "  ".join(
        part
        for part in (
            printable(reason.path),
            change_words(reason.change) + (", masked by a bind mount" if reason.masked else ""),
            f"read by {printable(reason.reader)}" if reason.reader else "",
            _commit_words(reason, built, known),
        )
        if part
    )


def _commit_words(reason: Reason, built: BuildTime | None, known: Background) -> str:
    if reason.commit is None:
        return "uncommitted" if reason.path in known.uncommitted else ""
    commit = known.commits.get(reason.path)
    subject = f" {printable(commit.subject)}" if commit and commit.short == reason.commit else ""
    if reason.committed_at is None:
        return f"{reason.commit}{subject}"
    return f"{reason.commit}{subject}, {clock(reason.committed_at)}{_age(reason, built)}"


def _age(reason: Reason, built: BuildTime | None) -> str:
    if built is None or reason.committed_at is None:
        return ""
    gap = reason.committed_at - built.at
    side = "after" if gap > timedelta() else "before"
    return f" ({duration(gap)} {side} the {'' if built.is_exact else 'first '}build)"


def duration(span: timedelta) -> str:
    """*span*, of either sign, as people say it: ``35 min``, ``4 h 30``, ``3 days 4 h``."""
    minutes = int(abs(span).total_seconds()) // 60
    hours, days = minutes // 60, minutes // 1440
    if days:
        rest = f" {hours % 24} h" if hours % 24 else ""
        return _count(days, "day") + rest
    if hours:
        rest = f" {minutes % 60:02}" if minutes % 60 else ""
        return f"{hours} h{rest}"
    return f"{minutes} min" if minutes else "less than a minute"


def clock(moment: datetime) -> str:
    """*moment* in UTC, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """*text* without what would steer a terminal or turn a line around.

    Commit subjects and file names are other people's text.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
