"""Every error a user can meet, and the one table of exit codes.

UnstaleError
├── UsageError               what the user typed or wrote can't be used
│   ├── ConfigError          a setting, a compose file or an env file is wrong
│   ├── MissingFile          a file that was named, or looked for, is not there
│   └── UnknownName          no such service, environment or suite
├── TestsFailed              tests ran and failed, or none ran
├── Mismatch                 stale, drifted, different, pattern not found
├── CouldNotTell             the question has an answer, but not from here
├── Unavailable              a part is missing or broke
│   ├── EngineUnavailable    no engine, no permission, plugin missing or too old
│   ├── BuildFailed
│   ├── MigrationFailed
│   ├── NotReady             a service exited or never became ready
│   ├── TimedOut             a step went past its deadline
│   ├── TearDownFailed       objects of the run are still there
│   └── ReceiptFailed        the receipt could not be signed or written
├── Interrupted              SIGINT, SIGTERM or SIGHUP
└── NotDone                  a dry run came to what it would change
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import ClassVar

__all__ = [
    "BuildFailed",
    "ConfigError",
    "CouldNotTell",
    "EngineUnavailable",
    "Fault",
    "Interrupted",
    "MigrationFailed",
    "Mismatch",
    "MissingFile",
    "NotDone",
    "NotReady",
    "Outcome",
    "ReceiptFailed",
    "TearDownFailed",
    "TestsFailed",
    "TimedOut",
    "Unavailable",
    "UnknownName",
    "UnstaleError",
    "UsageError",
    "decisive",
    "exit_code",
    "fault_of",
    "outcome_of",
    "overlooked",
    "worst",
]


class Outcome(Enum):
    """How a command ended, worst first: the order of the members is precedence."""

    HUNG_UP = "hung up"
    TERMINATED = "terminated"
    INTERRUPTED = "interrupted"
    USAGE = "usage"
    UNAVAILABLE = "unavailable"
    TESTS_FAILED = "tests failed"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    TEAR_DOWN_FAILED = "tear-down failed"
    RECEIPT_FAILED = "receipt failed"
    PROVEN = "proven"


class Fault(Enum):
    """What exactly went wrong, in one word: the ``outcome`` of every document.

    Several share an exit code, which says what to do about it; the word says what it was.
    """

    HUNG_UP = "hung up"
    """SIGHUP."""
    TERMINATED = "terminated"
    """SIGTERM."""
    INTERRUPTED = "interrupted"
    """SIGINT."""
    USAGE = "usage"
    """Typed wrongly: an option, a name, a pattern."""
    CONTENT = "content"
    """A file is there and can't be understood."""
    MISSING_FILE = "missing file"
    """One that was named, or looked for."""
    CONFIGURATION = "configuration"
    """A setting, or what a compose file asks for, can't be had here."""
    PERMISSION = "permission"
    """A file or the engine's socket may not be used."""
    ENGINE = "engine"
    """No engine, or one that does not answer."""
    RESOURCES = "resources"
    """Disk, address pool."""
    ARTIFACTS = "artifacts"
    """What a container would hand over is too much or damaged."""
    BUSY = "busy"
    """Somebody else has it: a port, a name."""
    BUILD = "build"
    """An image can't be built."""
    NOT_READY = "not ready"
    """A service ended or never became healthy."""
    MIGRATION = "migration"
    """The migrate command failed."""
    OUT_OF_MEMORY = "out of memory"
    """A process was killed for want of it; the limit is named."""
    SERVICE_DIED = "service died"
    """Under the tests, or because it could not be started at all."""
    TIMED_OUT = "timed out"
    """A part took longer than its deadline."""
    UNAVAILABLE = "unavailable"
    """A part is missing or broke, and no other word fits."""
    TESTS_FAILED = "tests failed"
    """Or none ran."""
    MISMATCH = "mismatch"
    """Stale, drifted, different, or a text is not found."""
    UNKNOWN = "unknown"
    """Could not tell."""
    NO_EVIDENCE = "no evidence"
    """Green, and nothing shows that a test ran."""
    TEAR_DOWN_FAILED = "tear-down failed"
    """Objects of the run are still there."""
    RECEIPT_FAILED = "receipt failed"
    """It could not be signed or written."""
    PROVEN = "proven"
    """All that was asked."""

    @property
    def outcome(self) -> Outcome:
        """Which exit code it has."""
        return _OUTCOMES.get(self) or Outcome(self.value)


# Permission and configuration stand for 5 where the engine says it, not what the user
# wrote: an error's class decides, this is for words that are read back.
_OUTCOMES = {
    Fault.CONTENT: Outcome.USAGE,
    Fault.MISSING_FILE: Outcome.USAGE,
    Fault.CONFIGURATION: Outcome.USAGE,
    Fault.PERMISSION: Outcome.UNAVAILABLE,
    Fault.ENGINE: Outcome.UNAVAILABLE,
    Fault.RESOURCES: Outcome.UNAVAILABLE,
    Fault.ARTIFACTS: Outcome.UNAVAILABLE,
    Fault.BUSY: Outcome.UNAVAILABLE,
    Fault.BUILD: Outcome.UNAVAILABLE,
    Fault.NOT_READY: Outcome.UNAVAILABLE,
    Fault.MIGRATION: Outcome.UNAVAILABLE,
    Fault.OUT_OF_MEMORY: Outcome.UNAVAILABLE,
    Fault.SERVICE_DIED: Outcome.UNAVAILABLE,
    Fault.TIMED_OUT: Outcome.UNAVAILABLE,
    Fault.NO_EVIDENCE: Outcome.UNKNOWN,
}

_EXIT_CODES = {
    Outcome.HUNG_UP: 129,
    Outcome.TERMINATED: 143,
    Outcome.INTERRUPTED: 130,
    Outcome.USAGE: 2,
    Outcome.UNAVAILABLE: 5,
    Outcome.TESTS_FAILED: 1,
    Outcome.MISMATCH: 3,
    Outcome.UNKNOWN: 4,
    Outcome.TEAR_DOWN_FAILED: 5,
    Outcome.RECEIPT_FAILED: 5,
    Outcome.PROVEN: 0,
}


def exit_code(outcome: Outcome) -> int:
    """The contract's exit code of *outcome*."""
    return _EXIT_CODES[outcome]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that decides the exit code; ``PROVEN`` if there is none.

    A failed tear-down, or receipt, turns green into red and never hides another failure.
    """
    order = list(Outcome)
    return min(outcomes, key=order.index, default=Outcome.PROVEN)


class UnstaleError(Exception):
    """An expected failure: what happened, the likely cause, what to type next."""

    outcome: ClassVar[Outcome] = Outcome.UNAVAILABLE
    usual_fault: ClassVar[Fault] = Fault.UNAVAILABLE

    def __init__(
        self, what: str, *, cause: str = "", hint: str = "", fault: Fault | None = None
    ) -> None:
        super().__init__(what)
        self.fault = fault or self.usual_fault
        self.what = what
        self.cause = cause
        self.hint = hint
        self.is_left = False
        """Whether something may still be there that was to go after it."""

    def leaves(self, failed: UnstaleError) -> None:
        """Tell, too, that a removal *failed* after it."""
        self.is_left = True
        said = " ".join(part for part in (failed.what, failed.cause) if part)
        self.cause = "\n".join(part for part in (self.cause, f"After that: {said}") if part)

    def hide(self, mask: Callable[[str], str]) -> None:
        """Let *mask* go over all that it says, in place."""
        self.what, self.cause, self.hint = mask(self.what), mask(self.cause), mask(self.hint)

    def __str__(self) -> str:
        parts = (self.what, self.cause, self.hint and f"Next: {self.hint}")
        return "\n".join(part for part in parts if part)


class UsageError(UnstaleError):
    """What the user typed or wrote can't be used."""

    outcome = Outcome.USAGE
    usual_fault = Fault.USAGE


class ConfigError(UsageError):
    """A setting, a compose file or an env file is wrong."""

    usual_fault = Fault.CONFIGURATION


class MissingFile(UsageError):
    """A file that was named, or looked for, is not there."""

    usual_fault = Fault.MISSING_FILE


class UnknownName(UsageError):
    """A name that is not among the known ones; says which is nearest."""

    usual_fault = Fault.CONFIGURATION

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        cause = f"Known: {', '.join(names)}." if names else "None is known."
        super().__init__(
            f"There is no {kind} called {name!r}.",
            cause=f"Did you mean {near[0]!r}? {cause}" if near else cause,
            hint=hint,
        )


class TestsFailed(UnstaleError):
    """Tests ran and failed, or none ran."""

    __test__ = False  # the name begins with Test: pytest must not collect it
    outcome = Outcome.TESTS_FAILED
    usual_fault = Fault.TESTS_FAILED


class Mismatch(UnstaleError):
    """Not what it should be: stale, drifted, different, pattern not found."""

    outcome = Outcome.MISMATCH
    usual_fault = Fault.MISMATCH


class CouldNotTell(UnstaleError):
    """The question has an answer, but it could not be found from here."""

    outcome = Outcome.UNKNOWN
    usual_fault = Fault.UNKNOWN


class Unavailable(UnstaleError):
    """A part is missing or broke."""


class EngineUnavailable(Unavailable):
    """No engine, no permission, or a plugin that is missing or too old."""

    usual_fault = Fault.ENGINE


class BuildFailed(Unavailable):
    """The image could not be built."""

    usual_fault = Fault.BUILD


class MigrationFailed(Unavailable):
    """The migrate command failed."""

    usual_fault = Fault.MIGRATION


class NotReady(Unavailable):
    """A service exited, or did not become ready in time."""

    usual_fault = Fault.NOT_READY


class TimedOut(Unavailable):
    """A step went past its deadline."""

    usual_fault = Fault.TIMED_OUT


class TearDownFailed(Unavailable):
    """Objects of the run are still there after tear-down."""

    outcome = Outcome.TEAR_DOWN_FAILED
    usual_fault = Fault.TEAR_DOWN_FAILED


class ReceiptFailed(Unavailable):
    """The receipt could not be signed or written."""

    outcome = Outcome.RECEIPT_FAILED
    usual_fault = Fault.RECEIPT_FAILED


class Interrupted(UnstaleError):
    """A signal asked the command to stop."""

    def __init__(self, signum: int) -> None:
        super().__init__("Stopped by a signal.")
        self.signum = signum

    @property
    def signal_outcome(self) -> Outcome:
        """The outcome of this signal; codes are 128 + its number."""
        return {1: Outcome.HUNG_UP, 15: Outcome.TERMINATED}.get(self.signum, Outcome.INTERRUPTED)


class NotDone(UnstaleError):
    """A dry run came to what it would change; what follows depends on that."""

    outcome = Outcome.PROVEN
    usual_fault = Fault.PROVEN


@contextmanager
def overlooked() -> Iterator[None]:
    """Go on after a block that failed, but for a signal: there is only one of it."""
    try:
        yield
    except Interrupted:
        raise
    except UnstaleError:
        return


def outcome_of(error: UnstaleError) -> Outcome:
    """The outcome that *error* stands for."""
    return error.signal_outcome if isinstance(error, Interrupted) else error.outcome


def decisive(errors: Iterable[UnstaleError]) -> UnstaleError | None:
    """The error that decides, of *errors*: the first of those that are worst."""
    order = list(Outcome)
    return min(errors, key=lambda one: order.index(outcome_of(one)), default=None)


def fault_of(errors: Iterable[UnstaleError]) -> Fault:
    """The fault that decides, of *errors*."""
    first = decisive(errors)
    if first is None:
        return Fault.PROVEN
    return Fault(outcome_of(first).value) if isinstance(first, Interrupted) else first.fault
