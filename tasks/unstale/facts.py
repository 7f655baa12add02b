"""What engine and git tell, and what is noted of builds: frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

__all__ = [
    "ArchiveMember",
    "BuildRecord",
    "CommitFact",
    "ContainerConfig",
    "ContainerFact",
    "Death",
    "DiskSpace",
    "EngineRoom",
    "ImageFact",
    "MountFact",
    "Placement",
    "moment",
]


def moment(text: str) -> datetime:
    """The moment that *text* names, as RFC 3339 writes it; with its zone.

    Nanoseconds, which datetime does not have, are cut to microseconds.

    Raises:
        ValueError: it names none, says no zone, or is outside of the years 1 to 9999 in UTC.

    """
    found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    try:
        found.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time that UTC has no year for") from None
    return found


@dataclass(frozen=True, slots=True)
class CommitFact:
    """A git commit."""

    sha: str
    short: str
    committed_at: datetime
    """Committer date, with its zone."""
    subject: str
    authored_at: datetime | None = None
    """When it was written, which a rebase does not change; None: not known."""


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """How much of a disk is left to those who are not root."""

    what: str
    """The folder on it that is written to."""
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """Where an engine keeps what it makes."""

    data_root: str
    """A folder on the engine's machine."""
    pools: tuple[tuple[str, int], ...]
    """Where subnets come from, each with their prefix length; empty: by default."""
    subnets: tuple[str, ...]
    """Those of its networks."""


@dataclass(frozen=True, slots=True)
class ImageFact:
    """A local image, as the engine tells it."""

    id: str
    tags: tuple[str, ...]
    created: datetime | None
    """None where the engine knows no time: an image without layers."""
    labels: Mapping[str, str]
    size_bytes: int
    architecture: str
    os: str
    working_dir: str
    layers: tuple[str, ...]
    environment: tuple[str, ...]
    """``KEY=value`` lines of the image's own ENV."""
    config: str = "{}"
    """The image's whole ``Config``, as JSON with sorted keys."""
    on_build: tuple[str, ...] = ()
    """Its ONBUILD triggers, as written."""
    is_pulled: bool = False
    """Whether a registry knows it: its tag may have moved there."""
    attestations: tuple[str, ...] | None = None
    """The digests of what its builder attested to (SBOM, provenance); None: not told."""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One line of the ledger of builds that `image.build` made in a checkout."""

    service: str
    image_id: str
    inputs: str
    """The digest that was stamped; empty for a build without a stamp."""
    revision: str
    """HEAD at the time; empty without git."""
    dirty: bool | None
    """None: it could not be told."""
    built_at: datetime
    """The wall clock in UTC when the build ended."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A file of the tree that a build copies into an image."""

    source: Path
    """On this machine, absolute."""
    dest: PurePosixPath
    """In the image."""
    derived: bool
    """Whether a later RUN, or another stage, could have read the copy."""


@dataclass(frozen=True, slots=True)
class MountFact:
    """What is mounted over a container's files."""

    kind: str
    """``bind``, ``volume`` or ``tmpfs``."""
    source: str
    target: str
    name: str = ""
    """The volume's name."""
    copies: bool = True
    """Whether the engine fills an empty volume with what the image has there."""


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """What a container was created with; the image's own settings are in it."""

    image: str = ""
    """As it was asked for: a name, or an id."""
    environment: tuple[str, ...] = ()
    """``KEY=value`` lines."""
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    healthcheck: str = "{}"
    """As the engine has it: JSON with sorted keys, times in nanoseconds."""
    ports: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """``8000/tcp`` to the host addresses asked for; ``127.0.0.1:`` takes any port."""
    networks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Network to the names that the container has in it."""


@dataclass(frozen=True, slots=True)
class ContainerFact:
    """A container's state, copied once."""

    id: str
    name: str
    service: str
    """The compose service; empty if compose did not make it."""
    project: str
    image_id: str
    status: str
    """``created``, ``running``, ``paused``, ``restarting``, ``exited``, ``dead``."""
    exit_code: int
    oom_killed: bool
    error: str
    """The engine's own words if it could not be started."""
    health: str | None
    """``starting``, ``healthy``, ``unhealthy``, or None without a health check."""
    health_output: str
    """What the last failing health check printed."""
    started_at: str
    finished_at: str
    restart_count: int
    one_off: bool
    labels: Mapping[str, str]
    mounts: tuple[MountFact, ...] = ()
    ports: tuple[tuple[int, str], ...] = ()
    """Container port and the host address it is published at."""
    config: ContainerConfig = field(default_factory=ContainerConfig, repr=False)
    """Holds secrets: never printed with the rest."""
    memory_bytes: int = 0
    """The limit of its memory; 0: none of its own."""
    failed_checks: tuple[str, ...] = ()
    """When each failed health check began, of the last five that the engine keeps."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs, nor will by itself."""
        return self.status in ("exited", "dead")

    @property
    def memory_words(self) -> str:
        """The limit that an OOM killer enforced: ``limit 64 MiB``."""
        return (
            f"limit {self.memory_bytes >> 20} MiB" if self.memory_bytes else "no limit of its own"
        )


@dataclass(frozen=True, slots=True)
class Death:
    """An end of a container that the engine still remembers, restarted or not."""

    container: str
    """Its id."""
    exit_code: int
    oom_killed: bool
    """Whether a process in it was killed for want of memory before that."""
    at_ns: int
    """By the engine's clock, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A regular file or link out of an image or a container."""

    path: PurePosixPath
    mode: int
    link: str | None
    """Where a symbolic link points; None for a regular file."""
    content: bytes
    modified: int | None = None
    """When it was last written, in seconds since 1970 by the container's clock."""
