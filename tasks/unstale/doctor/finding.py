"""What a check is, and what it found. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from unstale.errors import Outcome, worst

__all__ = [
    "CHECKS",
    "Check",
    "Copy",
    "Diagnosis",
    "Finding",
    "MakeFolder",
    "Mending",
    "Need",
    "Reap",
    "State",
    "blocked",
    "check",
    "fail",
    "not_asked",
    "ok",
    "untold",
    "warn",
]


class State(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"
    """Nobody looked, and it says why. Never green."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question, by an id that stays."""

    id: str
    name: str
    why: str
    """Why the answer matters."""

    @property
    def page(self) -> str:
        """Where more is written about it."""
        return f"docs/doctor.md#{self.id.lower()}"


# By cause: what is broken makes what is below it look broken, too.
CHECKS = (
    Check("UNS-D01", "docker command", "every stack is built and started through it"),
    Check("UNS-D02", "engine", "without it there is nothing to run tests in"),
    Check("UNS-D03", "permission", "an engine that may not be asked is as good as none"),
    Check("UNS-D04", "context", "DOCKER_HOST and the context decide which engine is asked"),
    Check("UNS-D05", "compose", "it resolves compose files; an old one can't pin a run's images"),
    Check("UNS-D06", "buildx", "images are built with BuildKit, whose inputs the proof follows"),
    Check("UNS-D07", "disk", "a build and a database write gigabytes, and fail half-way"),
    Check("UNS-D08", "clock", "ages are told, and files compared, by time stamps"),
    Check("UNS-D09", "ports", "`docker compose up` fails on a port that somebody has"),
    Check("UNS-D10", "settings", "[tool.unstale] says what is run and how"),
    Check("UNS-D11", "compose files", "a stack that compose refuses can't be started"),
    Check("UNS-D12", "migrations", "several heads: `alembic upgrade head` refuses"),
    Check("UNS-D13", "env files", "without its values a stack starts with blanks, or not at all"),
    Check("UNS-D14", "mounts", "Docker makes an empty folder, of root, where a source is missing"),
    Check("UNS-D15", "bytecode", "without it every command compiles its libraries anew"),
    Check("UNS-D16", "shadowing", "Python imports what lies in the project's folder first"),
    Check("UNS-D17", "hidden tasks", "Invoke takes a collection called ns, and nothing beside it"),
    Check("UNS-D18", "leftovers", "what dead runs left holds memory, disk and addresses"),
    Check("UNS-D19", "images", "what is not here has to be pulled, which takes a registry"),
)  # fmt: skip
_BY_NAME = {one.name: one for one in CHECKS}


def check(name: str) -> Check:
    """The check called *name*."""
    return _BY_NAME[name]


Need = Literal["command", "engine", "start", "compose", "buildx", "group"]
"""What root has to see to: a package, the engine's start, or membership of its group."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy *source* to *target*, where nothing is yet."""

    source: Path
    target: Path

    @property
    def words(self) -> str:
        """In a command's words."""
        return f"cp {self.source} {self.target}"


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Create a folder and those above it."""

    path: Path

    @property
    def words(self) -> str:
        """In a command's words."""
        return f"mkdir -p {self.path}"


@dataclass(frozen=True, slots=True)
class Reap:
    """Remove what dead runs left, by its labels; a kept stack stays."""

    words: str = "remove what dead runs left, and nothing that was kept"


Mending = Copy | MakeFolder | Reap
"""What ``--fix`` does, of itself and without root."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: Check
    state: State
    seen: str
    fix: str = ""
    """One thing to do; empty where nothing has to be done."""
    by: Literal["you", "root", ""] = ""
    """Who must do it."""
    outcome: Outcome = Outcome.PROVEN
    """What the command ends with for it."""
    mendings: tuple[Mending, ...] = ()
    needs: tuple[Need, ...] = ()
    is_idle: bool = False
    """Whether there is nothing to look at, in this project."""


def ok(name: str, seen: str) -> Finding:
    """All is well."""
    return Finding(check(name), State.OK, seen)


def warn(name: str, seen: str, fix: str, *mendings: Mending) -> Finding:
    """It works, and something is odd."""
    return Finding(check(name), State.WARN, seen, fix, "you", mendings=mendings)


def fail(
    name: str,
    seen: str,
    fix: str,
    *mendings: Mending,
    outcome: Outcome = Outcome.UNAVAILABLE,
    needs: Iterable[Need] = (),
) -> Finding:
    """It is broken; *needs* are what root has to see to."""
    needed = tuple(needs)
    by: Literal["you", "root"] = "root" if needed else "you"
    return Finding(check(name), State.FAIL, seen, fix, by, outcome, mendings, needed)


def blocked(name: str, cause: Finding) -> Finding:
    """Nobody looked, since *cause* is broken."""
    return Finding(check(name), State.SKIPPED, f"not checked: {cause.check.id} comes first")


def not_asked(name: str, why: str) -> Finding:
    """The project has nothing of that."""
    return Finding(check(name), State.SKIPPED, f"not asked: {why}", is_idle=True)


def untold(name: str, why: str, fix: str) -> Finding:
    """Somebody looked, and could not tell."""
    seen = f"could not tell: {why}"
    return Finding(check(name), State.SKIPPED, seen, fix, "you", Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What all checks found, in their order."""

    findings: tuple[Finding, ...]

    @property
    def first_cause(self) -> Finding | None:
        """The broken thing to mend first."""
        return next((f for f in self.findings if f.state is State.FAIL), None)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What root has to see to, each once."""
        return tuple(dict.fromkeys(need for f in self.findings for need in f.needs))

    @property
    def mendings(self) -> tuple[tuple[Finding, Mending], ...]:
        """What ``--fix`` can do."""
        return tuple((f, one) for f in self.findings for one in f.mendings)

    def of(self, name: str) -> Finding:
        """What the check called *name* found."""
        return next(f for f in self.findings if f.check.name == name)

    def outcome(self, *, strict: bool) -> Outcome:
        """What the command ends with; with *strict* a warning is a failure, too."""
        warned = strict and any(f.state is State.WARN for f in self.findings)
        return worst((*(f.outcome for f in self.findings), *([Outcome.MISMATCH] if warned else [])))
