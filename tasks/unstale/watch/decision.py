"""What a change asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

__all__ = ["Cause", "Decision", "View", "decide"]

_SETTINGS = "pyproject.toml"
# Suites that do not run in the stack.
_ELSEWHERE = frozenset({"unit", "local", "integration"})
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class View:
    """What is known when files have changed; paths are relative to the project."""

    environment: str
    stale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Services whose image can't be used as it is, each with the paths that say so."""
    words: Mapping[str, str] = field(default_factory=dict)
    """The verdict on each of them: stale, missing, unknown."""
    mounted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Services with the files and folders that are mounted into them."""
    env_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Environments with their env files."""
    compose_files: tuple[str, ...] = ()
    migrations: tuple[str, ...] = ()
    """Their folders."""
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Suites with their words."""
    runner: str | None = None
    """None: no service runs tests."""
    ignored: frozenset[str] = frozenset()
    """Of the changed paths those that git ignores."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is done, and what."""

    paths: tuple[str, ...]
    """Empty: no change of now, but it was so before."""
    what: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        """A line: paths → what → actions."""
        shown = [*self.paths[:_SHOWN], *([f"{len(self.paths) - _SHOWN} more"] if self.more else [])]
        parts = [", ".join(shown) or "start", self.what, ", ".join(self.actions)]
        return " → ".join(part for part in parts if part)

    @property
    def more(self) -> bool:
        """Whether there are more paths than are shown."""
        return len(self.paths) > _SHOWN


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, in the order of the fields."""

    causes: tuple[Cause, ...]
    parity: bool = False
    builds: tuple[str, ...] = ()
    migrate: bool = False
    up: bool = False
    tests: bool = False
    suite: str | None = None
    """The one that is enough; None: all."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.parity or self.builds or self.migrate or self.up or self.tests)


def decide(
    changes: Iterable[str], view: View, *, suite: str | None = None, is_first: bool = False
) -> Decision:
    """What *changes*, paths relative to the project, ask for.

    *suite* is the one that is wanted after every change. *is_first*: the round before any
    change, which brings up what is not.
    """
    changed = tuple(sorted(set(changes)))
    chosen = suite or (None if view.stale else _suite(changed, view))
    causes = tuple(_causes(changed, view, chosen, is_first=is_first))
    actions = {action for cause in causes for action in cause.actions}
    return Decision(
        causes,
        parity="env.check" in actions,
        builds=tuple(view.stale),
        migrate="migrate" in actions,
        up="up" in actions,
        tests=any(action.startswith("test.") for action in actions),
        suite=chosen,
    )


def _causes(
    changed: Sequence[str], view: View, suite: str | None, *, is_first: bool
) -> Iterator[Cause]:
    after = _after(view, suite)
    explained: set[str] = set()
    for found in (_environments(changed, view, after), _files(changed, view, after)):
        for cause in found:
            explained |= set(cause.paths)
            yield cause
    migrations = tuple(p for p in changed if p.endswith(".py") and _under(p, view.migrations))
    for cause in _images(changed, migrations, view, suite):
        explained |= set(cause.paths)
        yield cause
    left = tuple(p for p in migrations if p not in explained)
    if left:
        explained |= set(left)
        yield Cause(left, "migration", ("migrate", *after))
    yield from _mounts([p for p in changed if p not in explained | view.ignored], view, after)
    if is_first and not view.stale:
        yield Cause((), "every image is fresh", ("up", *after))


def _after(view: View, suite: str | None) -> tuple[str, ...]:
    """What follows on whatever was done."""
    return () if view.runner is None else (f"test.run {suite}" if suite else "test.run",)


def _environments(changed: Sequence[str], view: View, after: Sequence[str]) -> Iterator[Cause]:
    """Env files: all are compared, and a stack is made of its own."""
    for name, files in sorted(view.env_files.items()):
        paths = tuple(p for p in changed if p in files)
        if paths:
            stack = ("up", *after) if name == view.environment else ()
            yield Cause(paths, f"env file of {name}", ("env.check", *stack))


def _files(changed: Sequence[str], view: View, after: Sequence[str]) -> Iterator[Cause]:
    """Compose files and settings."""
    for paths, what in (
        (tuple(p for p in changed if p in view.compose_files), "compose file"),
        (tuple(p for p in changed if p == _SETTINGS), "settings"),
    ):
        if paths:
            yield Cause(paths, what, ("env.check", "up", *after))


def _images(
    changed: Sequence[str], migrations: Sequence[str], view: View, suite: str | None
) -> Iterator[Cause]:
    """Images, those together that the same paths made stale."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for service, paths in view.stale.items():
        groups.setdefault(tuple(p for p in changed if p in paths), []).append(service)
    for paths, services in groups.items():
        words = " and ".join(sorted({view.words.get(one, "stale") for one in services}))
        # Nothing is created anew for the runner: each run of tests has a container of its own.
        up = ("up",) if set(services) - {view.runner} else ()
        migrate = ("migrate",) if set(paths) & set(migrations) else ()
        kind = "image" if len(services) == 1 else "images"
        yield Cause(
            paths or _others(view, services),
            f"{kind} {', '.join(services)} {words}",
            ("build", *migrate, *up, *_after(view, suite)),
        )


def _others(view: View, services: Sequence[str]) -> tuple[str, ...]:
    """The paths that made them stale before anybody watched."""
    return tuple(dict.fromkeys(p for one in services for p in view.stale[one]))


def _mounts(left: Sequence[str], view: View, after: Sequence[str]) -> Iterator[Cause]:
    """What no image has: it is mounted, or nothing of a stack reads it."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for path in left:
        users = tuple(s for s, places in sorted(view.mounted.items()) if _under(path, places))
        groups.setdefault(users, []).append(path)
    for users, paths in groups.items():
        if users:
            yield Cause(tuple(paths), f"mounted into {', '.join(users)}", tuple(after))
        else:
            yield Cause(tuple(paths), "nothing here reads it", ())


def _suite(changed: Sequence[str], view: View) -> str | None:
    """The suite that has all of *changed*, if there is one, and only one."""
    found = [
        name
        for name, words in sorted(view.suites.items())
        if name not in _ELSEWHERE and changed and all(_under(path, words) for path in changed)
    ]
    return found[0] if len(found) == 1 else None


def _under(path: str, places: Iterable[str]) -> bool:
    """Whether *path* is one of *places*, or below one."""
    one = PurePosixPath(path)
    return any(place in (".", "") or one.is_relative_to(place) for place in places)
