"""What a run works on and works with, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from unstale.compose import Stack
from unstale.config import Environment, Settings
from unstale.errors import ConfigError, Outcome, UnknownName
from unstale.mask import Mask
from unstale.ports import Clock, ComposeTarget, ComposeWarning, Docker, Git, Line, Process

__all__ = [
    "Deployment",
    "Ports",
    "Progress",
    "Site",
    "StepResult",
    "candidates",
    "runner_of",
]


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
    runner: str | None
    """A service, or ``host``; None: it is not clear which, and most tasks need none."""
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
        """Services that `stack.up` starts: active profiles, without the runner.

        Without any that may be the runner, where that is not clear: its tests would run.
        """
        testers = self._testers
        switched_on = set(self.environment.profiles)
        return tuple(
            s.name
            for s in self.stack.services
            if (not s.profiles or set(s.profiles) & switched_on or "*" in switched_on)
            and (s.name not in testers or self.settings.runner.mode == "exec")
        )

    @property
    def _testers(self) -> tuple[str, ...]:
        return candidates(self.stack) if self.runner is None else (self.runner,)

    @property
    def in_play(self) -> frozenset[str]:
        """The services that have a container in a stack, the runner's too.

        And those whose image is looked into. All but what waits for a profile that is
        not switched on.
        """
        looked_into = (rule.service for rule in self.settings.verify)
        named = (*self._testers, self.database, self.settings.schema.service, *looked_into)
        found = {*self.started_services, *(name for name in named if name)}
        queue = list(found)
        while queue:
            service = self.stack.service(queue.pop())
            new = set(service.depends_on) - found if service else set()
            found |= new
            queue += new
        return frozenset(found)

    def require_runner(self) -> str:
        """The runner: a service, or ``host``.

        Raises:
            ConfigError: it is not clear which.

        """
        if self.runner is not None:
            return self.runner
        found, names = candidates(self.stack), [s.name for s in self.stack.services]
        raise ConfigError(
            "It is not clear which service runs the tests.",
            cause=f"Built services whose name says test: {', '.join(found) or 'none'}.",
            hint=f"set runner in [tool.unstale.environments.{self.environment.name}]"
            f" to one of: {', '.join(names)}, host",
        )


def candidates(stack: Stack) -> tuple[str, ...]:
    """The services that may be the one that runs the tests, by their names."""
    return tuple(s.name for s in stack.built if "test" in s.name)


def runner_of(environment: Environment, stack: Stack) -> str | None:
    """Where the tests run: as configured, else the one built service whose name says test.

    Raises:
        UnknownName: what is configured is no service.

    """
    wanted, names = environment.runner, [s.name for s in stack.services]
    if wanted is None:
        found = candidates(stack)
        return found[0] if len(found) == 1 else None
    if wanted not in (*names, "host"):
        where = f"[tool.unstale.environments.{environment.name}]"
        raise UnknownName("service", wanted, names, hint=f"mend runner in {where}")
    return wanted


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
