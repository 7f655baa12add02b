"""The effects the package needs, as protocols, and how commands are given to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from unstale.facts import ArchiveMember, CommitFact, ContainerFact, Death, ImageFact

__all__ = [
    "ANYTHING",
    "Allowance",
    "BuildOptions",
    "Clock",
    "Command",
    "CommandResult",
    "ComposeTarget",
    "ComposeWarning",
    "Docker",
    "Files",
    "Git",
    "Line",
    "Process",
    "Readable",
    "ResolvedModel",
    "RunOptions",
]

Line = Callable[[str], None]
"""Called with each line of output, without its end, in order."""


@dataclass(frozen=True, slots=True)
class Command:
    """One outside command: an argument list, never a shell string."""

    argv: tuple[str, ...]
    deadline_s: float
    """Seconds on a monotonic clock; past it the whole process group is ended."""
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Laid over the inherited environment."""
    stdin: bytes = b""
    """What the command reads before end of file; never the terminal."""
    interactive: bool = False
    """Lend the command the terminal (a database shell); nothing is captured."""
    unset: tuple[str, ...] = ()
    """Names that the command must not inherit."""
    inherits: bool = True
    """False: *env* is all of its environment."""
    changes: bool = False
    """It makes, alters or removes something, or runs the project's code: a dry run
    tells of it and goes no further."""
    tail_bytes: int = 0
    """Only the last lines of each output are kept, of that size; 0: all of it is the
    answer, and more than 64 MiB is an error."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended."""

    returncode: int
    """Negative: the signal that ended it."""
    stdout: str
    stderr: str
    seconds: float


class Process(Protocol):
    """Runs commands, each in a session of its own."""

    def announce(self, argv: Sequence[str], *, changes: bool) -> None:
        """Tell that a command is about to be run, by whatever means.

        Raises:
            NotDone: it changes something, and this is a dry run.

        """
        ...

    def run(self, command: Command, on_line: Line | None = None) -> CommandResult:
        """Run *command* to its end; each line of both outputs goes to *on_line*.

        Raises:
            TimedOut: the deadline passed; nothing that it started is alive.
            Unavailable: there is no such program, or it says too much.
            NotDone: it changes something, and this is a dry run.

        """
        ...

    def started(self, command: Command) -> AbstractContextManager[Callable[[], CommandResult]]:
        """Run *command* while the block goes on; what it gets waits for the end.

        A block that is left before then ends the command. Raises what `run` does.
        """
        ...

    def stream(self, command: Command) -> Iterator[bytes]:
        """Yield the command's standard output in chunks.

        Raises:
            TimedOut: the deadline passed.
            Unavailable: it failed; the message carries its last error line.

        """
        ...


class Git(Protocol):
    """Read-only questions to a repository; all are None or empty without one."""

    def head(self) -> CommitFact | None:
        """The commit that is checked out, or None: no repository, no commit."""
        ...

    def is_dirty(self) -> bool | None:
        """Whether tracked files changed or untracked ones exist; None if it can't be told."""
        ...

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        """Commits reachable from HEAD, newest first, committed after *since*."""
        ...

    def last_commits(self, paths: Sequence[Path]) -> Mapping[Path, CommitFact]:
        """The last commit of each of *paths*, in its own repository.

        For a path that is gone, the commit that removed it. Without an entry:
        what has uncommitted changes or is untracked, and what only the oldest
        commit of a shallow clone has.
        """
        ...

    def uncommitted(self, paths: Sequence[Path]) -> frozenset[Path]:
        """Those of *paths* that no commit has as they are now."""
        ...

    def blamed(
        self, places: Iterable[tuple[Path, int]]
    ) -> Mapping[tuple[Path, int], CommitFact | None]:
        """The commit that brought each line of a file; None for one that no commit has.

        A line of which that can't be told is not among them.
        """
        ...

    def listed(self, suffix: str) -> tuple[Path, ...] | None:
        """Files that end in *suffix* and that git has, or would take, below its folder.

        Sorted; one that is gone may still be among them. None without a repository.
        """
        ...

    def commits_since(self, since: str | datetime) -> tuple[CommitFact, ...] | None:
        """Commits of HEAD that *since*, a commit or a moment, does not have.

        Newest first, at most 1,000. None for a commit that is not known here.
        """
        ...

    def absent_submodules(self) -> tuple[Path, ...]:
        """Where the repository has a submodule that is not checked out: absolute, sorted."""
        ...

    def is_foreign(self) -> bool:
        """Whether git does not answer since the repository belongs to another user."""
        ...


class Readable(Protocol):
    """As much of the file system as settings are read from."""

    def read_text(self, path: Path) -> str:
        """The text of *path* (UTF-8, an optional BOM is dropped).

        Raises:
            MissingFile: it is not there.
            ConfigError: it can't be read or is not UTF-8.

        """
        ...

    def exists(self, path: Path) -> bool:
        """Whether *path* exists."""
        ...

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        """Files under *root* that match *pattern*, sorted."""
        ...


class Files(Readable, Protocol):
    """The file system, for the layers that only decide."""

    def read_bytes(self, path: Path) -> bytes:
        """What is in *path*, to the byte. Raises what `read_text` does."""
        ...

    def end_of(self, path: Path, most: int) -> tuple[bytes, int] | None:
        """The last *most* bytes of the file *path*, and its size.

        None if it is not there, can't be read, or is no plain file; from a state
        folder on no link is followed.
        """
        ...

    def newest_first(self, folder: Path) -> tuple[Path, ...]:
        """What is in *folder*, by its last change; nothing if it is a link or not there."""
        ...

    def remove_tree(self, path: Path) -> None:
        """Remove the folder *path* with all that is in it; no link is followed."""
        ...

    def write_atomic(self, path: Path, text: str) -> None:
        """Write *text* so that a reader sees the old file or the new one.

        Bytes that are not UTF-8 are carried by ``surrogateescape``. Like whatever
        writes, it raises `Unavailable` where it can't.
        """
        ...

    def append(self, path: Path, text: str) -> None:
        """Write *text* at the end of *path*, which is made if it is not there."""
        ...

    def locked(self, path: Path, deadline_s: float = 3600.0) -> AbstractContextManager[None]:
        """Hold a lock that *path* stands for; wait for whoever has it, an hour by default.

        Raises:
            TimedOut: somebody has it still.

        """
        ...

    def remove(self, path: Path) -> None:
        """Remove the file or link *path*; nothing happens if there is none."""
        ...

    def link(self, path: Path, target: Path) -> None:
        """Make *path* a symbolic link to *target*, in place of an earlier link."""
        ...


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> datetime:
        """The wall clock in UTC; for records only, never for a verdict."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; for deadlines and durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class ComposeTarget:
    """One compose project as every compose command names it."""

    project: str
    files: tuple[Path, ...]
    env_files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    """``("*",)`` for all."""


@dataclass(frozen=True, slots=True)
class ComposeWarning:
    """What compose warned of while it resolved a project; never its words."""

    kind: Literal["unset", "obsolete", "other"]
    """``unset``: a variable that nothing defines. ``obsolete``: a key it ignores."""
    variable: str = field(default="", repr=False)
    """The name for ``unset``. For finding its place only: behind an unescaped ``$``
    it is the rest of a password, so it is never printed."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What compose makes of a project's files, and what it warned of."""

    model: Mapping[str, object] = field(repr=False)
    """As `docker compose config` prints it; it has secrets in it."""
    warnings: tuple[ComposeWarning, ...] = ()
    """Each once, in the order in which compose told of them."""
    refused: tuple[str, ...] = ()
    """Profiles that compose refuses alone: their services are not in the model."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How `docker compose build` is to run."""

    no_cache: bool = False
    arguments: tuple[str, ...] = ()
    """``KEY=value``, laid over the compose file's."""
    deadline_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """A command in a service's container."""

    argv: tuple[str, ...]
    deadline_s: float
    name: str = ""
    """The one-off container's name."""
    environment: tuple[tuple[str, str], ...] = ()
    stdin: bytes = b""
    user: str | None = None
    entrypoint: str = ""
    """In place of the image's, if there is one; for a new container alone."""
    tail_bytes: int = 0
    """As of a `Command`."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much of a container's files is read, at most."""

    size_bytes: int = 1 << 30
    """Of all together, as they are unpacked."""
    entries: int = 200_000
    """Files, folders and whatever else is listed."""


ANYTHING = Allowance()
"""Enough for any folder that is compared, too little to hurt the machine."""


class Docker(Protocol):
    """The engine, through its command line.

    Every method raises `EngineUnavailable` where the engine can't be reached.
    """

    def check(self) -> None:
        """Raise `EngineUnavailable` unless engine and compose will do."""
        ...

    def is_local(self) -> bool:
        """Whether the engine is reached on this machine, and so mounts its files."""
        ...

    def is_podman(self) -> bool:
        """Whether the engine is Podman: it builds by itself, and leaves checks to systemd."""
        ...

    def holder(self, port: int) -> str:
        """Who listens on *port* of this machine: a container or a process, in words.

        Empty: nobody, or it can't be told, or the engine is on another machine.
        """
        ...

    def config(self, target: ComposeTarget) -> ResolvedModel:
        """The resolved compose model, and what compose warned of. Needs no engine.

        Raises:
            ConfigError: compose refuses the files.

        """
        ...

    def resolved(
        self, target: ComposeTarget, *, raw: bool = False, inherited: Sequence[str] = ()
    ) -> ResolvedModel:
        """The model of *target* as nobody's shell decides it, for a comparison.

        Of this process's environment compose gets what docker itself needs, and the
        variables that *inherited* names. *raw* leaves ``${VAR}`` as written, env
        files unread and has the services of all profiles. Where the target asks
        for ``*`` and all profiles together are invalid, each is asked for alone.
        Needs no engine.

        Raises:
            EngineUnavailable: there is no docker command, or no compose plugin.
            ConfigError: compose refuses the files.

        """
        ...

    def resolved_model(self, model: Mapping[str, object]) -> Mapping[str, object]:
        """What compose makes of *model*, as nobody's shell and no ``.env`` decides it.

        Needs no engine.

        Raises:
            EngineUnavailable: there is no docker command, or no compose plugin.
            ConfigError: compose refuses the model; the words name a line at most.

        """
        ...

    def config_hashes(self, model: Mapping[str, object]) -> Mapping[str, str]:
        """Service to the hash that compose would label its container with.

        *model* is what `config` answered, whole or changed. Needs no engine.

        Raises:
            ConfigError: compose refuses the model.

        """
        ...

    def build(
        self, target: ComposeTarget, services: Sequence[str], options: BuildOptions, on_line: Line
    ) -> None:
        """Build *services*.

        Raises:
            BuildFailed: with the last lines of the build.
            EngineUnavailable: buildx is missing, or too old.

        """
        ...

    def up(
        self, target: ComposeTarget, services: Sequence[str], on_line: Line, *, deadline_s: float
    ) -> None:
        """Create and start *services*, detached, without their dependencies.

        Raises:
            NotReady: compose could not start them; its words are the cause.

        """
        ...

    def run(
        self, target: ComposeTarget, service: str, options: RunOptions, on_line: Line
    ) -> CommandResult:
        """Run a command in a new, named container of *service*, which stays."""
        ...

    def execute(self, container: str, options: RunOptions, on_line: Line) -> CommandResult:
        """Run a command in a running container."""
        ...

    def image(self, reference: str) -> ImageFact | None:
        """The local image called *reference*, or None."""
        ...

    def images_called(self, references: Sequence[str]) -> Mapping[str, ImageFact]:
        """The local images among *references*, all in one question."""
        ...

    def images(self, labels: Mapping[str, str]) -> tuple[ImageFact, ...]:
        """Local images that carry all *labels*, dangling ones included."""
        ...

    def image_names(self, repository: str) -> tuple[str, ...]:
        """The names of local images in *repository*, which is before the colon."""
        ...

    def tag(self, image: str, name: str) -> None:
        """Give the image with the id *image* the name *name*, which another one loses."""
        ...

    def pull(self, reference: str, platform: str = "") -> bool:
        """Fetch an image, for the engine's platform if none is given; False if it can't be had."""
        ...

    def platform(self) -> str:
        """What the engine runs on, and builds for if nobody says: ``linux/amd64``."""
        ...

    def history(self, image: str) -> tuple[str, ...]:
        """How each layer of *image* was made, newest first."""
        ...

    def containers(self, labels: Mapping[str, str]) -> tuple[ContainerFact, ...]:
        """Containers in any state that carry all *labels*; "" matches any value."""
        ...

    def deaths(self, labels: Mapping[str, str], since: str) -> tuple[Death, ...]:
        """The ends, since an engine's time, of containers that carry all *labels*; in order.

        The engine forgets all but its last 256 events, health checks among them: some
        may be missing.
        """
        ...

    def platforms(self) -> tuple[str, ...]:
        """What the engine can run, by emulation as well; empty where it does not say."""
        ...

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """Networks that carry all *labels*: name to its labels."""
        ...

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """Volumes that carry all *labels*: name to its labels."""
        ...

    def remove_containers(self, ids: Sequence[str], deadline_s: float | None = None) -> None:
        """Kill and remove containers and their anonymous volumes.

        Within *deadline_s* seconds, or the time that three answers may take.
        """
        ...

    def remove_networks(self, names: Sequence[str]) -> None:
        """Remove networks."""
        ...

    def remove_volumes(self, names: Sequence[str]) -> None:
        """Remove volumes."""
        ...

    def remove_images(self, references: Sequence[str], deadline_s: float | None = None) -> None:
        """Remove images; those in use stay. *deadline_s* as of `remove_containers`."""
        ...

    def logs(self, container: str, tail: int) -> tuple[str, ...]:
        """The last *tail* lines of a container, both streams."""
        ...

    def follow_logs(self, target: ComposeTarget, services: Sequence[str], on_line: Line) -> None:
        """Print the services' logs until they end or a signal comes."""
        ...

    def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        """The files at or under *path* in *image*, without running it.

        Works without a shell in the image: a container is created, never
        started, and removed again. A path that does not exist yields nothing.
        """
        ...

    def files_in_container(
        self,
        container: str,
        path: PurePosixPath,
        allowance: Allowance = ANYTHING,
        *,
        follow: bool = True,
    ) -> Iterator[ArchiveMember]:
        """The files at or under *path* in a container, running or not.

        If *path* itself is a link, it is followed in the container, or told as one.
        Nothing of it is written anywhere. Raises `Unavailable` where it is more
        than *allowance*.
        """
        ...
