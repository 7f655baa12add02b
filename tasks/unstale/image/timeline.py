"""Builds beside commits, on one axis of UTC. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from unstale.facts import BuildRecord, CommitFact
from unstale.image.check import ImageStatus
from unstale.image.explain import Background, BuildTime, the_fix
from unstale.image.local import LocalImage
from unstale.verdict import Reason, Stale, word

__all__ = [
    "Build",
    "Built",
    "Event",
    "Fold",
    "Lane",
    "Timeline",
    "events",
    "oldest_build",
    "timeline",
]

_REVISION = "org.opencontainers.image.revision"

# Earlier builds of a service beyond these are counted, not drawn.
_MOST_BUILDS = 6

# Up to so many commits are all shown; of more, runs of so many are folded.
_FEW_COMMITS = 20
_SHORTEST_FOLD = 4


@dataclass(frozen=True, slots=True)
class Build:
    """One build of a service's image."""

    image_id: str
    time: BuildTime
    revision: str
    """What was checked out then; empty if nobody wrote it down."""
    dirty: bool | None
    is_current: bool
    """Whether it made the image that has the service's name now."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What is drawn of one service."""

    service: str
    verdict: str
    sentence: str
    builds: tuple[Build, ...]
    """Oldest first; the last of an image alone counts as its current one."""
    earlier: int
    """How many builds before these are left out."""
    fix: Reason | None
    """The first commit that the current image lacks."""
    reasons: tuple[Reason, ...]

    @property
    def current(self) -> Build | None:
        """The build that made the image in use."""
        return next((build for build in reversed(self.builds) if build.is_current), None)

    @property
    def gap(self) -> timedelta | None:
        """From the build in use to the fix."""
        if self.fix is None or self.fix.committed_at is None or self.current is None:
            return None
        return self.fix.committed_at - self.current.time.at

    @property
    def lacks(self) -> frozenset[str]:
        """Short hashes of the commits behind the reasons."""
        return frozenset(r.commit for r in self.reasons if r.commit)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Builds and commits of one environment."""

    environment: str
    lanes: tuple[Lane, ...]
    commits: tuple[CommitFact, ...]
    """Oldest first."""
    head: CommitFact | None

    @property
    def start(self) -> datetime | None:
        """The first moment that is drawn; None if there is nothing to draw."""
        return min(self._moments(), default=None)

    @property
    def end(self) -> datetime | None:
        """The last one."""
        return max(self._moments(), default=None)

    def fixes(self, commit: CommitFact) -> tuple[Lane, ...]:
        """The services whose image *commit* is the first to be missing from."""
        return tuple(lane for lane in self.lanes if lane.fix and lane.fix.commit == commit.short)

    def lacking(self, commit: CommitFact) -> tuple[Lane, ...]:
        """The services whose image lacks something that *commit* touched last."""
        return tuple(lane for lane in self.lanes if commit.short in lane.lacks)

    def _moments(self) -> Iterable[datetime]:
        yield from (commit.committed_at for commit in self.commits)
        yield from (build.time.at for lane in self.lanes for build in lane.builds)


@dataclass(frozen=True, slots=True)
class Built:
    """A build as an event."""

    lane: Lane
    build: Build

    @property
    def is_in_use(self) -> bool:
        """Whether the service's image is of this build."""
        return self.build == self.lane.current


@dataclass(frozen=True, slots=True)
class Fold:
    """Commits in a row of which there is nothing to say."""

    commits: tuple[CommitFact, ...]


Event = CommitFact | Built | Fold


def timeline(
    environment: str,
    statuses: Sequence[ImageStatus],
    images: Iterable[LocalImage],
    records: Iterable[BuildRecord],
    commits: Iterable[CommitFact],
    known: Background,
) -> Timeline:
    """Lay out the builds of each service against *commits*, in any order."""
    local, written = tuple(images), tuple(records)
    head = [known.head] if known.head else []
    by_hash = {c.sha: c for c in (*commits, *known.commits.values(), *head)}
    lanes = tuple(_lane(status, local, written, known) for status in statuses)
    drawn = [build.time.at for lane in lanes for build in lane.builds]
    # The last commit before the first build shows what that build was made of.
    before = [c for c in by_hash.values() if drawn and c.committed_at < min(drawn)]
    dropped = {c.sha for c in sorted(before, key=_when)[:-1]}
    return Timeline(
        environment=environment,
        lanes=lanes,
        commits=tuple(sorted((c for c in by_hash.values() if c.sha not in dropped), key=_when)),
        head=known.head,
    )


def _when(commit: CommitFact) -> tuple[datetime, str]:
    return (commit.committed_at, commit.sha)


def _lane(
    status: ImageStatus,
    images: Sequence[LocalImage],
    records: Sequence[BuildRecord],
    known: Background,
) -> Lane:
    builds = sorted(
        (*_recorded(status, records), *_unrecorded(status, images, records)),
        key=lambda build: build.time.at,
    )
    reasons = status.verdict.reasons if isinstance(status.verdict, Stale) else ()
    built = known.build_time(status.image_id, status.built_at)
    return Lane(
        service=status.service,
        verdict=word(status.verdict),
        sentence=known.summary(status),
        builds=tuple(builds[-_MOST_BUILDS:]),
        earlier=max(0, len(builds) - _MOST_BUILDS),
        fix=the_fix(reasons, built.at) if built else None,
        reasons=reasons,
    )


def _recorded(status: ImageStatus, records: Iterable[BuildRecord]) -> Iterable[Build]:
    for record in records:
        if record.service == status.service:
            yield Build(
                image_id=record.image_id,
                time=BuildTime(record.built_at),
                revision=record.revision,
                dirty=record.dirty,
                is_current=record.image_id == status.image_id,
            )


def _unrecorded(
    status: ImageStatus, images: Iterable[LocalImage], records: Iterable[BuildRecord]
) -> Iterable[Build]:
    recorded = {record.image_id for record in records}
    for image in images:
        if image.service != status.service or image.fact.id in recorded:
            continue
        if image.fact.created is not None:
            yield Build(
                image_id=image.fact.id,
                time=BuildTime(image.fact.created, is_exact=False),
                revision=image.fact.labels.get(_REVISION, ""),
                dirty=False,
                is_current=image.fact.id == status.image_id,
            )


def oldest_build(images: Iterable[LocalImage], records: Iterable[BuildRecord]) -> datetime | None:
    """From when on commits are of interest; None if nothing was ever built."""
    created = [i.fact.created for i in images if i.fact.created is not None]
    return min((*created, *(record.built_at for record in records)), default=None)


def events(shown: Timeline) -> tuple[Event, ...]:
    """Builds and commits, oldest first, with long runs of unremarkable commits folded.

    Never folded: HEAD, what an image lacks, and what an image was built from.
    """
    built = [Built(lane, build) for lane in shown.lanes for build in lane.builds]
    rows: list[CommitFact | Built] = [*shown.commits, *built]
    rows.sort(key=_moment)
    if len(shown.commits) <= _FEW_COMMITS:
        return tuple(rows)
    sources = {one.build.revision for one in built}
    found: list[Event] = []
    run: list[CommitFact] = []
    for row in rows:
        plain = isinstance(row, CommitFact) and row != shown.head and row.sha not in sources
        if isinstance(row, CommitFact) and plain and not shown.lacking(row):
            run.append(row)
            continue
        found += (*_fold(run), row)
        run = []
    return (*found, *_fold(run))


def _moment(row: CommitFact | Built) -> tuple[datetime, bool, str]:
    if isinstance(row, CommitFact):
        return (row.committed_at, False, row.sha)
    return (row.build.time.at, True, row.lane.service)


def _fold(run: Sequence[CommitFact]) -> Sequence[Event]:
    return (Fold(tuple(run)),) if len(run) >= _SHORTEST_FOLD else run
