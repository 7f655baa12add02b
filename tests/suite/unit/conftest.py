"""An engine, a clock and a file system in memory, behind the package's ports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

# In importlib mode no test folder is importable.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))

import described
from checkout import Checkout
from workshop import TEXT, Workshop

from unstale.errors import Fault, MissingFile, Unavailable
from unstale.facts import ArchiveMember, CommitFact, ContainerFact, Death, ImageFact
from unstale.pipeline.site import Ports
from unstale.ports import (
    ANYTHING,
    Allowance,
    BuildOptions,
    Command,
    CommandResult,
    ComposeTarget,
    ComposeWarning,
    Line,
    ResolvedModel,
    RunOptions,
)

# Before a test module takes a function that makes a document.
described.install()

COMPOSE_PROJECT = "com.docker.compose.project"
DONE = CommandResult(returncode=0, stdout="", stderr="", seconds=0.0)


class FakeClock:
    """Time that passes only where somebody waits; events happen on the way."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._events: list[tuple[float, Callable[[], None]]] = []

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        """Let *event* happen when the clock has reached *seconds*."""
        self._events.append((seconds, event))

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        due = [event for when, event in self._events if when <= self.elapsed]
        self._events = [(when, event) for when, event in self._events if when > self.elapsed]
        for event in due:
            event()


class FakeFiles:
    """A file system of texts."""

    def __init__(self, texts: Mapping[Path, str]) -> None:
        self.texts = dict(texts)
        self.links: dict[Path, Path] = {}
        self.locks: list[Path] = []

    def read_text(self, path: Path) -> str:
        if path not in self.texts:
            raise MissingFile(f"{path} does not exist.")
        return self.texts[path]

    def exists(self, path: Path) -> bool:
        return path in self.texts or any(path in known.parents for known in self.texts)

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        return tuple(sorted(p for p in self.texts if p.parent == root and p.match(pattern)))

    def write_atomic(self, path: Path, text: str) -> None:
        self.texts[path] = text

    def append(self, path: Path, text: str) -> None:
        self.texts[path] = self.texts.get(path, "") + text

    def newest_first(self, folder: Path) -> tuple[Path, ...]:
        known = (*self.texts, *self.links)
        return tuple(sorted((p for p in known if p.parent == folder), reverse=True))

    def remove_tree(self, path: Path) -> None:
        for known in [p for p in self.texts if path in p.parents]:
            del self.texts[known]

    def read_bytes(self, path: Path) -> bytes:
        return self.read_text(path).encode()

    def end_of(self, path: Path, most: int) -> tuple[bytes, int] | None:
        if path not in self.texts:
            return None
        raw = self.texts[path].encode()
        return raw[-most:], len(raw)

    def locked(self, path: Path, deadline_s: float = 0.0) -> AbstractContextManager[None]:
        del deadline_s
        self.locks.append(path)
        return nullcontext()

    def remove(self, path: Path) -> None:
        self.links.pop(path, None)
        self.texts.pop(path, None)

    def link(self, path: Path, target: Path) -> None:
        self.links[path] = target


class FakeGit:
    """No repository."""

    def head(self) -> CommitFact | None:
        return None

    def is_dirty(self) -> bool:
        return False

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        del since, limit
        return ()

    def last_commits(self, paths: Sequence[Path]) -> Mapping[Path, CommitFact]:
        del paths
        return {}

    def uncommitted(self, paths: Sequence[Path]) -> frozenset[Path]:
        del paths
        return frozenset()

    def blamed(
        self, places: Iterable[tuple[Path, int]]
    ) -> Mapping[tuple[Path, int], CommitFact | None]:
        del places
        return {}

    def listed(self, suffix: str) -> tuple[Path, ...] | None:
        del suffix
        return None

    def absent_submodules(self) -> tuple[Path, ...]:
        return ()

    def is_foreign(self) -> bool:
        return False

    def commits_since(self, since: str | datetime) -> tuple[CommitFact, ...] | None:
        return self.log(since) if isinstance(since, datetime) else None


@dataclass
class FakeProcess:
    """Commands that *on_run* answers."""

    on_run: Callable[[Command], CommandResult] = lambda _command: DONE
    commands: list[Command] = field(default_factory=list)

    def run(self, command: Command, on_line: Line | None = None) -> CommandResult:
        del on_line
        self.commands.append(command)
        return self.on_run(command)

    def stream(self, command: Command) -> Iterator[bytes]:
        yield self.run(command).stdout.encode()


def _carries(found: Mapping[str, str], asked: Mapping[str, str]) -> bool:
    return all(key in found and value in ("", found[key]) for key, value in asked.items())


@dataclass
class FakeDocker:
    """An engine's objects. Listing them takes time, as it does in the real one."""

    clock: FakeClock
    live: list[ContainerFact] = field(default_factory=list)
    local_images: list[ImageFact] = field(default_factory=list)
    live_networks: dict[str, dict[str, str]] = field(default_factory=dict)
    live_volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    printed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Container id to its log."""
    archives: dict[str, list[ArchiveMember]] = field(default_factory=dict)
    """Container or image id to its files."""
    looked: list[tuple[str, PurePosixPath]] = field(default_factory=list)
    """Image ids and the places that were read in them."""
    models: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """Compose project to what `config` prints for it."""
    raw_models: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """Compose project to the same, as it is written."""
    warnings: dict[str, tuple[ComposeWarning, ...]] = field(default_factory=dict)
    """Compose project to what compose warns of while it resolves it."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Service to what compose would label its container with."""
    hashed: list[Mapping[str, object]] = field(default_factory=list)
    """The models that hashes were asked of."""
    runs: tuple[str, ...] = ("linux/amd64", "linux/386")
    """The platforms of the containers that it can run."""
    holders: dict[int, str] = field(default_factory=dict)
    """Port to who listens on it."""
    podman: bool = False
    """Whether it is Podman."""
    stuck: set[str] = field(default_factory=set)
    """Objects that no request removes."""
    on_run: Callable[[str, RunOptions], CommandResult] = lambda _service, _options: DONE
    on_execute: Callable[[str, RunOptions], CommandResult] = lambda _container, _options: DONE
    listings: int = 0
    started: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    on_build: Callable[[ComposeTarget, Sequence[str], BuildOptions], None] = (
        lambda _target, _services, _options: None
    )
    registry: dict[str, ImageFact] = field(default_factory=dict)
    """What can be pulled."""
    died: tuple[Death, ...] = ()
    """The ends that the engine remembers."""
    pulled: list[str] = field(default_factory=list)
    """What was asked of the registry."""

    def add(self, container: ContainerFact) -> ContainerFact:
        """Put *container* there."""
        self.live.append(container)
        return container

    def change(
        self,
        service: str,
        *,
        status: str = "running",
        health: str | None = None,
        exit_code: int = 0,
    ) -> None:
        """Give *service*'s containers another state."""
        self.live = [
            replace(c, status=status, health=health, exit_code=exit_code)
            if c.service == service
            else c
            for c in self.live
        ]

    def check(self) -> None:
        pass

    def is_local(self) -> bool:
        return True

    def is_podman(self) -> bool:
        return self.podman

    def holder(self, port: int) -> str:
        return self.holders.get(port, "")

    def config(self, target: ComposeTarget) -> ResolvedModel:
        return ResolvedModel(self.models[target.project], self.warnings.get(target.project, ()))

    def resolved(
        self, target: ComposeTarget, *, raw: bool = False, inherited: Sequence[str] = ()
    ) -> ResolvedModel:
        del inherited
        if raw:
            return ResolvedModel(self.raw_models[target.project])
        return ResolvedModel(self.models[target.project], self.warnings.get(target.project, ()))

    def config_hashes(self, model: Mapping[str, object]) -> Mapping[str, str]:
        self.hashed.append(model)
        return self.hashes

    def build(
        self, target: ComposeTarget, services: Sequence[str], options: BuildOptions, on_line: Line
    ) -> None:
        del on_line
        self.built += services
        self.on_build(target, services, options)

    def up(
        self, target: ComposeTarget, services: Sequence[str], on_line: Line, *, deadline_s: float
    ) -> None:
        del target, on_line, deadline_s
        self.started += services

    def run(
        self, target: ComposeTarget, service: str, options: RunOptions, on_line: Line
    ) -> CommandResult:
        del target, on_line
        return self.on_run(service, options)

    def execute(self, container: str, options: RunOptions, on_line: Line) -> CommandResult:
        del on_line
        return self.on_execute(container, options)

    def image(self, reference: str) -> ImageFact | None:
        return next(
            (i for i in self.local_images if reference == i.id or reference in i.tags), None
        )

    def images_called(self, references: Sequence[str]) -> Mapping[str, ImageFact]:
        found = ((name, self.image(name)) for name in references)
        return {name: image for name, image in found if image}

    def images(self, labels: Mapping[str, str]) -> tuple[ImageFact, ...]:
        return tuple(i for i in self.local_images if _carries(i.labels, labels))

    def image_names(self, repository: str) -> tuple[str, ...]:
        tags = (tag for image in self.local_images for tag in image.tags)
        return tuple(tag for tag in tags if tag.startswith(f"{repository}:"))

    def tag(self, image: str, name: str) -> None:
        self.local_images = [
            replace(
                i,
                tags=tuple({*(t for t in i.tags if t != name), *([name] if i.id == image else [])}),
            )
            for i in self.local_images
        ]

    def pull(self, reference: str, platform: str = "") -> bool:
        self.pulled.append(f"{reference} {platform}".strip())
        if reference in self.registry:
            self.local_images = [i for i in self.local_images if reference not in i.tags]
            self.local_images.append(self.registry[reference])
        return reference in self.registry

    def platform(self) -> str:
        return "linux/amd64"

    def history(self, image: str) -> tuple[str, ...]:
        del image
        return ()

    def containers(self, labels: Mapping[str, str]) -> tuple[ContainerFact, ...]:
        self.listings += 1
        self.clock.sleep(0.01)
        return tuple(c for c in self.live if _carries(c.labels, labels))

    def deaths(self, labels: Mapping[str, str], since: str) -> tuple[Death, ...]:
        del labels, since
        return self.died

    def platforms(self) -> tuple[str, ...]:
        return self.runs

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        return {k: v for k, v in self.live_networks.items() if _carries(v, labels)}

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        return {k: v for k, v in self.live_volumes.items() if _carries(v, labels)}

    def remove_containers(self, ids: Sequence[str], deadline_s: float | None = None) -> None:
        del deadline_s
        self.live = [c for c in self.live if c.id not in set(ids) - self.stuck]

    def remove_networks(self, names: Sequence[str]) -> None:
        for name in set(names) - self.stuck:
            self.live_networks.pop(name, None)

    def remove_volumes(self, names: Sequence[str]) -> None:
        for name in set(names) - self.stuck:
            self.live_volumes.pop(name, None)

    def remove_images(self, references: Sequence[str], deadline_s: float | None = None) -> None:
        """By a name an image loses that, and is gone with its last one."""
        del deadline_s
        names = set(references)
        left = [
            replace(i, tags=tuple(t for t in i.tags if t not in names)) for i in self.local_images
        ]
        self.local_images = [
            now
            for now, before in zip(left, self.local_images, strict=True)
            if now.id not in names and (now.tags or not before.tags)
        ]

    def logs(self, container: str, tail: int) -> tuple[str, ...]:
        return self.printed.get(container, ())[-tail:]

    def follow_logs(self, target: ComposeTarget, services: Sequence[str], on_line: Line) -> None:
        for c in self.live:
            if c.project == target.project and c.service in services:
                for line in self.logs(c.id, 1000):
                    on_line(line)

    def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        self.looked.append((image, path))
        return self.files_in_container(image, path)

    def files_in_container(
        self,
        container: str,
        path: PurePosixPath,
        allowance: Allowance = ANYTHING,
        *,
        follow: bool = True,
    ) -> Iterator[ArchiveMember]:
        del follow
        found = [m for m in self.archives.get(container, ()) if m.path.is_relative_to(path)]
        if len(found) > allowance.entries:
            raise Unavailable(f"There is too much under {path} to read.", fault=Fault.ARTIFACTS)
        return iter(found)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def docker(clock: FakeClock) -> FakeDocker:
    return FakeDocker(clock)


@pytest.fixture
def process() -> FakeProcess:
    return FakeProcess()


@pytest.fixture
def ports(docker: FakeDocker, clock: FakeClock, process: FakeProcess) -> Ports:
    return Ports(docker, FakeGit(), clock, process, nullcontext)


@pytest.fixture
def files() -> Callable[[Mapping[Path, str]], FakeFiles]:
    return FakeFiles


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """An empty build context, and no local image."""
    root = tmp_path / "checkout"
    root.mkdir(mode=0o755)
    return Checkout(root)


@pytest.fixture
def shop(checkout: Checkout, ports: Ports, docker: FakeDocker) -> Workshop:
    """A project with one built service, whose image copies one file."""
    checkout.write({"src/app.py": "v1", "Dockerfile": TEXT, ".dockerignore": ".unstale\n"})
    return Workshop(checkout, ports, docker, FakeFiles({}))


@pytest.fixture
def container() -> ContainerFact:
    """A running container without a health check; tests vary it by `replace`."""
    return ContainerFact(
        id="c-app",
        name="demo-app-1",
        service="app",
        project="demo",
        image_id="sha256:1111",
        status="running",
        exit_code=0,
        oom_killed=False,
        error="",
        health=None,
        health_output="",
        started_at="2026-01-01T00:00:00Z",
        finished_at="0001-01-01T00:00:00Z",
        restart_count=0,
        one_off=False,
        labels={
            COMPOSE_PROJECT: "demo",
            "dev.unstale.run": "r1",
            "dev.unstale.owner": "machine-1000",
        },
    )
