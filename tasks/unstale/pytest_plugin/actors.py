"""Whose code runs now: the fixture being set up or torn down, else the test."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

__all__ = ["Actor", "Cast", "is_of_project", "place"]

_DEFINITION = re.compile(r"\s*(async\s+)?def\s")
_PLUGIN_NAME = "unstale-cast"


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One set-up of a fixture with its teardown, or one run of a test."""

    kind: Literal["fixture", "test"]
    name: str
    function: Callable[..., object] | None
    root: Path
    is_lasting: bool = False
    """Whether it is a fixture that more than one test may use."""

    def __str__(self) -> str:
        where = place(self.function, self.root) if self.function is not None else None
        return f"{self.kind} {self.name}" + (f" ({where})" if where else "")


def place(function: Callable[..., object], root: Path) -> str | None:
    """``tests/conftest.py:12``: the line of *function*'s ``def``, seen from *root*."""
    function = inspect.unwrap(function)
    try:
        path = Path(inspect.getsourcefile(function) or "")
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None
    # The first line of the source is the decorator's.
    offset = next((n for n, line in enumerate(lines) if _DEFINITION.match(line)), 0)
    shown = path.relative_to(root) if path.is_relative_to(root) else path.name
    return f"{shown}:{first + offset}"


def is_of_project(filename: str, root: Path) -> bool:
    """Say whether *filename* belongs to the project at *root*, not to a library in it."""
    path = Path(filename)
    return path.is_relative_to(root) and "site-packages" not in path.parts


@dataclass(slots=True, eq=False)
class Cast:
    """Keeps the actors on stage; the last one is acting."""

    root: Path
    _stage: list[Actor] = field(default_factory=list)
    _fixtures: dict[object, Actor] = field(default_factory=dict)
    _audience: list[Callable[[Actor | None], None]] = field(default_factory=list)
    _ended: list[Actor] = field(default_factory=list)
    _coming: Actor | None = None

    @staticmethod
    def of(config: pytest.Config) -> Cast:
        """The one cast of this session; it is registered at the first call."""
        cast = config.pluginmanager.get_plugin(_PLUGIN_NAME)
        if not isinstance(cast, Cast):
            cast = Cast(config.rootpath)
            config.pluginmanager.register(cast, _PLUGIN_NAME)
        return cast

    @property
    def acting(self) -> Actor | None:
        """Whose code runs now; None between tests and while tests are collected."""
        return self._stage[-1] if self._stage else None

    @property
    def coming(self) -> Actor | None:
        """Whose turn comes, while the audience is told that another's ends."""
        return self._coming

    def watch(self, ends: Callable[[Actor | None], None]) -> None:
        """Call *ends* with the acting one whenever its turn ends."""
        self._audience.append(ends)

    def turn_ends(self) -> None:
        """Tell the audience that what happened so far was the acting one's doing."""
        for ends in self._audience:
            ends(self.acting)

    def take_ended(self) -> tuple[Actor, ...]:
        """Fixtures torn down since the last call."""
        ended = tuple(self._ended)
        self._ended.clear()
        return ended

    def _enter(self, actor: Actor) -> None:
        self._coming = actor
        self.turn_ends()
        self._coming = None
        self._stage.append(actor)

    def _leave(self, actor: Actor) -> None:
        self.turn_ends()
        if actor in self._stage:
            self._stage.remove(actor)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """The test acts wherever no fixture does."""
        __tracebackhide__ = True
        actor = Actor("test", item.nodeid, None, self.root)
        self._enter(actor)
        try:
            return (yield)
        finally:
            self._leave(actor)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self,
        fixturedef: pytest.FixtureDef[Any],  # of any value
    ) -> Generator[None, object, object]:
        """A fixture acts while it is set up."""
        __tracebackhide__ = True
        is_lasting = fixturedef.scope != "function"
        actor = Actor("fixture", fixturedef.argname, fixturedef.func, self.root, is_lasting)
        self._fixtures[fixturedef] = actor
        self._enter(actor)
        try:
            return (yield)
        finally:
            self._leave(actor)
            # Finalizers run last in, first out: this one runs after those of
            # the fixtures that depend on it and before its own teardown.
            fixturedef.addfinalizer(functools.partial(self._enter, actor))

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """A fixture acts until it is torn down."""
        # pytest 8 calls it for a fixture that is not set up, too.
        actor = self._fixtures.pop(fixturedef, None)
        if actor is not None:
            self._leave(actor)
            self._ended.append(actor)
