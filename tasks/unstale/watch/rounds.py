"""Round by round: look, decide, tell, do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unstale.errors import (
    Interrupted,
    Mismatch,
    NotDone,
    Outcome,
    UnknownName,
    UnstaleError,
    exit_code,
    outcome_of,
)
from unstale.ports import Line
from unstale.project import Project
from unstale.watch.decision import Cause, Decision, View, decide
from unstale.watch.view import look

if TYPE_CHECKING:
    from unstale.pipeline.junit import Counts

__all__ = ["Round", "Wish", "rounds"]

# A file that changed so often in a row while tests ran is written by them.
_WRITTEN_BY_TESTS = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user wants to be done on each change."""

    env: str | None = None
    suite: str | None = None
    arguments: tuple[str, ...] = ()
    """Of the test command."""


@dataclass(frozen=True, slots=True)
class Round:
    """What became of a change."""

    changes: tuple[str, ...]
    causes: tuple[Cause, ...]
    seconds: float
    error: UnstaleError | None = None
    counts: Counts | None = None

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return outcome_of(self.error) if self.error else Outcome.PROVEN

    @property
    def code(self) -> int:
        """The exit code that the same would have had, typed alone."""
        return exit_code(self.outcome)


@dataclass(slots=True)
class _Echoes:
    """Files that tests write where they are mounted: each run would ask for the next."""

    seen: Counter[str] = field(default_factory=Counter)

    def without(self, changes: Iterable[str], *, under_tests: bool) -> frozenset[str]:
        """*changes* but for those; *under_tests*: they came while tests ran."""
        there = frozenset(changes)
        # Whoever edits code while tests run means it.
        data = {path for path in there if under_tests and not path.endswith(".py")}
        self.seen = Counter({path: self.seen[path] + 1 for path in data})
        return there - {path for path, count in self.seen.items() if count >= _WRITTEN_BY_TESTS}


def rounds(
    project: Project,
    changes: Iterator[frozenset[str]],
    wish: Wish,
    tell: Line,
    line: Line,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Round]:
    """Yield each round; the first brings up what is not.

    *changes* begins with an empty set, and has more of them where nothing changed. *tell*
    hears what is decided and how it went, *line* what tests print.

    Raises:
        UnstaleError: the first look fails: there is nothing to watch for.

    """
    if wish.suite is not None and wish.suite not in project.settings.suites:
        raise UnknownName("suite", wish.suite, project.settings.suites)
    next(changes)  # from here on nothing is missed
    found = _round(project, look(project, wish.env, ()), (), wish, tell, line, now)
    yield found
    echoes, had_tests = _Echoes(), found.counts is not None
    for several in changes:
        if not several:
            had_tests = False
            continue
        wanted = echoes.without(several, under_tests=had_tests)
        if not wanted:
            tell(f"{', '.join(sorted(several))} → written by the tests → ")
            continue
        found = _next(project, tuple(sorted(wanted)), wish, tell, line, now)
        had_tests = found.counts is not None
        yield found


def _next(
    project: Project,
    changes: tuple[str, ...],
    wish: Wish,
    tell: Line,
    line: Line,
    now: Callable[[], float],
) -> Round:
    """A round after *changes*; settings may be among them."""
    begin = now()
    try:
        project = project.reread()
        view = look(project, wish.env, changes)
    except (Interrupted, NotDone):
        raise
    except UnstaleError as error:
        tell(f"✗ {project.mask(str(error))}")
        return Round(changes, (), now() - begin, error)
    return _round(project, view, changes, wish, tell, line, now)


def _round(
    project: Project,
    view: View,
    changes: tuple[str, ...],
    wish: Wish,
    tell: Line,
    line: Line,
    now: Callable[[], float],
) -> Round:
    begin, mask = now(), project.mask
    decision = decide(changes, view, suite=wish.suite, is_first=not changes)
    for cause in decision.causes:
        tell(mask(str(cause)))
    counts, error = _done(project, decision, wish, lambda text: line(mask(text)))
    if error is not None:
        error.hide(mask)
    found = Round(changes, decision.causes, now() - begin, error, counts)
    if not decision.is_idle:
        tell(_result(found))
    return found


def _done(
    project: Project, decision: Decision, wish: Wish, line: Line
) -> tuple[Counts | None, UnstaleError | None]:
    """Do what was decided. A difference of environments ends nothing, and is told last."""
    try:
        differs = _difference(project) if decision.parity else None
        return _do(project, decision, wish, line), differs
    except (Interrupted, NotDone):
        raise
    except UnstaleError as error:
        return None, error


def _do(project: Project, decision: Decision, wish: Wish, line: Line) -> Counts | None:
    """Build, and run tests or bring up what they would have.

    Tests are behind a gate of their own: it migrates what is behind, creates anew what is
    old, and looks whether what runs is what was proven.
    """
    if decision.builds:
        project.image_build(lambda _: None, env=wish.env, services=decision.builds)
    if decision.tests:
        return project.test_run(line, wish.arguments, env=wish.env, suite=decision.suite)
    if decision.migrate:
        project.db_migrate(line, wish.env)
    if decision.up:
        project.stack_up(line, wish.env)
    return None


def _difference(project: Project) -> Mismatch | None:
    """What the policy does not allow, where there is one."""
    settings = project.settings
    if not settings.parity.has_policy or not settings.pairs or project.env_check().parity:
        return None
    return Mismatch(
        "The environments differ where nobody wrote down why.",
        cause="An env file, a compose file or the policy has changed.",
        hint="inv env.check",
    )


def _result(found: Round) -> str:
    if found.error is not None:
        return f"✗ {found.error} ({found.seconds:.1f} s)"
    said = "done"
    if counts := found.counts:
        said = f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
    return f"✓ {said} ({found.seconds:.1f} s)"
