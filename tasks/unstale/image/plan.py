"""What a build does and reads, as values: what `program.resolve` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from unstale.facts import ImageFact

__all__ = ["Copy", "Given", "NamedContext", "Plan", "Reading", "StagePlan", "Step"]


@dataclass(frozen=True, slots=True)
class NamedContext:
    """An additional context: a folder, an image, or neither."""

    kind: Literal["folder", "image", "remote"]
    place: str
    """The image's reference; for a folder its path; else as written."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a build is given besides its Dockerfile."""

    target: str | None
    arguments: Mapping[str, str]
    images: Callable[[str, str], ImageFact | None]
    """The local image of a reference, for a platform; empty: the one built for."""
    platform: Callable[[], str]
    """The platform that is built for, such as ``linux/amd64``; asked if it matters."""
    build_platform: Callable[[], str]
    """The engine's own."""
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    run_options: tuple[str, ...] = ()
    """Options of the build that every RUN sees: its network, hosts, limits."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Something of a context that a step reads."""

    context: str
    """The name of an additional context; empty for the build context."""
    path: str
    """Relative to it and clamped to it; for a COPY, a pattern."""
    is_pattern: bool = False
    is_loose: bool = False
    """With --parents or --exclude: everything that could match is taken for read."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a COPY or ADD puts what it copies."""

    dest: PurePosixPath
    into_folder: bool
    unpacks: bool
    """ADD: a local archive is unpacked."""
    stage: int | None
    """The stage it copies from; None: a context or an image."""
    sources: tuple[str, ...]
    """Patterns, as in `Reading.path`; in a stage's file system for *stage*."""
    writes_more: bool
    """It also writes what is no file of a context, or places files otherwise:
    a heredoc, an image's files, --parents, --exclude."""
    keeps_mode: bool = True
    """Without --chmod."""


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction that makes a layer."""

    verb: Literal["copy", "run", "workdir"]
    line: int
    """In the Dockerfile; 0 for a trigger that an image brought."""
    key: tuple[object, ...]
    reads: tuple[Reading, ...] = ()
    stages: tuple[int, ...] = ()
    """Stages whose files it reads."""
    images: tuple[str, ...] = ()
    """Images whose files it reads."""
    copy: Copy | None = None
    env: tuple[tuple[str, str], ...] = ()
    """The variables that it sees, and the files that it writes itself; part of its
    key, kept apart since a value may be a secret."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage that the target needs."""

    number: int
    parent: int | None
    image: str
    """The image it starts from; empty for a stage and for scratch."""
    platform: str
    steps: tuple[Step, ...]
    config: str
    """What the image's Config would hold if the stage were the target."""
    workdirs: tuple[PurePosixPath, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a build does."""

    stages: Mapping[int, StagePlan]
    """By number; only those that the target needs."""
    target: int
    unknown: tuple[str, ...]
    """Why freshness can't be told; empty if it can."""
    not_covered: tuple[str, ...]
    """Inputs that no digest of local files can hold."""

    @property
    def chain(self) -> tuple[StagePlan, ...]:
        """The target and the stages it is FROM, the target last."""
        found: list[StagePlan] = []
        at: int | None = self.target
        while at is not None:
            found.insert(0, self.stages[at])
            at = self.stages[at].parent
        return tuple(found)

    @property
    def images(self) -> tuple[str, ...]:
        """Every image that is started from or copied from, sorted."""
        starts = {stage.image for stage in self.stages.values() if stage.image}
        steps = (step for stage in self.stages.values() for step in stage.steps)
        return tuple(sorted(starts.union(*(step.images for step in steps))))
