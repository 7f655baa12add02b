"""What a run works on and works with, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from unstale.compose import Stack
from unstale.config import Environment, Settings
from unstale.errors import Outcome
from unstale.mask import Mask
from unstale.ports import Clock, ComposeTarget, ComposeWarning, Docker, Git, Line, Process

__all__ = ["Deployment", "Ports", "Progress", "Site", "StepResult"]


@dataclass(frozen=True, slots=True)
class Ports:
    """The effects a run needs."""

    docker: Docker
    git: Git
    clock: Clock
    process: Process
    held: Callable[[], AbstractContextManager[None]]
    """Lets a block run to its end whatever signal comes."""
    is_dry: bool = False
    """Whatever changes something only raises `NotDone`."""


@dataclass(frozen=True, slots=True)
class Site:
    """One environment of a project, resolved."""

    settings: Settings
    environment: Environment
    stack: Stack
    target: ComposeTarget
    """The stable project that images are built under."""
    runner: str
    """A built service, or ``host``."""
    database: str | None
    """A service, or None: the project has none."""
    values: tuple[tuple[str, str], ...]
    """The env files' variables, for a runner on the host."""
    mask: Mask
    owner: str
    machine_folder: Path
    """Where is kept what is true of this machine and user, and of no checkout."""
    seal: bytes = field(default=b"", repr=False)
    """A secret of this machine and user, by which we know what we wrote into a checkout."""
    model: Mapping[str, object] = field(default_factory=dict, repr=False)
    """What compose resolved, whole; it has secrets in it."""
    warnings: tuple[ComposeWarning, ...] = ()
    """What compose warned of meanwhile."""

    @property
    def state_folder(self) -> Path:
        """Where unstale keeps what it writes in a checkout."""
        return self.settings.state_folder

    @property
    def started_services(self) -> tuple[str, ...]:
        """Services that `stack.up` starts: active profiles, without the runner."""
        return tuple(
            s.name
            for s in self.stack.services
            if (not s.profiles or set(s.profiles) & set(self.environment.profiles))
            and (s.name != self.runner or self.settings.runner.mode == "exec")
        )


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack of containers: a run's own, or the standing one."""

    run: str
    """The value of the run label."""
    target: ComposeTarget
    labels: tuple[tuple[str, str], ...]
    folder: Path
    """Where its evidence is written."""
    write: Callable[[Path, str], None] = field(repr=False, compare=False)
    """How: a container may see the folder, and put links into it."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step went."""

    name: str
    outcome: Outcome
    seconds: float
    detail: str

    @property
    def is_green(self) -> bool:
        """Whether it did what it is for."""
        return self.outcome is Outcome.PROVEN


class Progress(Protocol):
    """Somebody who watches a run."""

    def begin(self, step: str) -> None:
        """A step begins."""
        ...

    def end(self, result: StepResult) -> None:
        """A step ended."""
        ...

    def command(self, text: str) -> None:
        """A command is run, or has ended, in the step that goes on; no secret is in *text*."""
        ...

    def log(self, step: str) -> Line:
        """Where the lines of *step* go: its log file, and the screen if asked."""
        ...
