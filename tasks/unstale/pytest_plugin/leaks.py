"""Names the test or fixture that leaves something behind, at its own teardown.

Left behind are entries of ``app.dependency_overrides``, open transactions of
SQLAlchemy, and changes of ``os.environ``. What a fixture changes while it is alive
is its own business; what is still changed after its teardown is a leak. Under
savepoint isolation, so are rows that a test committed over another connection.
"""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import pytest

from unstale.pytest_plugin.actors import Actor, Cast
from unstale.pytest_plugin.ground import Ground, workers
from unstale.pytest_plugin.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from unstale.pytest_plugin.commits import Commits

__all__ = ["Ledger", "Trace", "guard", "register"]

_NAME = "unstale-leaks"
_ABSENT = object()
_PLAIN = (str, bytes, int, float, tuple, list, dict, set, type, FunctionType, ModuleType)

Kind = Literal["dependency_overrides", "environment", "transaction"]
_NEXT: dict[Kind, str] = {
    "dependency_overrides": (
        "Every later test gets the override in place of the real dependency."
        " Next: remove that key in the teardown (app.dependency_overrides.pop)."
    ),
    "environment": (
        "Every later test, and every process it starts, sees the change."
        " Next: change it with monkeypatch, which puts it back."
    ),
    "transaction": (
        "It keeps its locks: a TRUNCATE or a migration waits for it."
        " Next: close the session or connection in the teardown."
    ),
}


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that may be left behind; its value is kept apart and never shown."""

    kind: Kind
    holder: int
    """id() of the application; 0 for what the process has once."""
    subject: object
    """The overridden dependency, the variable's name, the transaction's number."""
    shown: str

    def __hash__(self) -> int:
        return hash((self.kind, self.holder, self.subject))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and (self.kind, self.holder, self.subject) == (
            other.kind,
            other.holder,
            other.subject,
        )


State = dict[Trace, object]


class Ledger:
    """Who changed what, and what it was before."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._changes: dict[Trace, list[tuple[Actor | None, object]]] = {}

    def credit(self, state: State, actor: Actor | None) -> None:
        """Note what differs in *state* since the last call as the doing of *actor*."""
        for trace in self._state.keys() | state.keys():
            before, now = self._state.get(trace, _ABSENT), state.get(trace, _ABSENT)
            if not _is_same(before, now):
                self._change(trace, before, now, actor)
        self._state = state

    def begin_with(self, state: State) -> None:
        """Take *state*, new here, as nobody's change."""
        self._state = {**self._state, **state}

    def _change(self, trace: Trace, before: object, now: object, actor: Actor | None) -> None:
        changes = self._changes.setdefault(trace, [])
        for index, (_, original) in enumerate(changes):
            if _is_same(original, now):
                # Put back: that change, and those on top of it, are undone.
                del changes[index:]
                break
        else:
            is_mine = bool(changes) and changes[-1][0] is actor
            # A transaction that ends is nothing left behind, whoever began it.
            has_ended = trace.kind == "transaction" and now is _ABSENT
            if actor is not None and not is_mine and not has_ended:
                changes.append((actor, before))
        if not changes:
            del self._changes[trace]

    def settle(self, ended: Iterable[Actor]) -> tuple[tuple[Trace, Actor], ...]:
        """What *ended* left changed, each only once.

        It is nobody's change from now on, so that who puts it back leaves nothing.
        """
        over = set(ended)
        left: list[tuple[Trace, Actor]] = []
        for trace, changes in self._changes.items():
            left += ((trace, actor) for actor, _ in changes if actor is not None and actor in over)
            changes[:] = [(None if actor in over else actor, was) for actor, was in changes]
        return tuple(left)

    def holds(self, actors: Iterable[Actor]) -> bool:
        """Say whether one of *actors* has a change that is not put back."""
        over = set(actors)
        return any(actor in over for changes in self._changes.values() for actor, _ in changes)


def _is_same(one: object, other: object) -> bool:
    return one is other or (isinstance(one, str) and one == other)


def register(config: pytest.Config) -> None:
    """Guard every test, where the suite asks for it."""
    if config.getini("unstale_leaks"):
        guard(config, lambda _: True)


def guard(config: pytest.Config, is_judged: Callable[[pytest.Item], bool]) -> None:
    """Guard the tests that *is_judged* picks; a guard that is there already stays."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(_Guard(config, is_judged), _NAME)


class _Guard:
    """Compares what is there with what was there, turn by turn."""

    def __init__(self, config: pytest.Config, is_judged: Callable[[pytest.Item], bool]) -> None:
        self._is_judged = is_judged
        self._rows = _Rows(config)
        self._cast = Cast.of(config)
        self._apps = _Apps(tuple(config.getini("unstale_app")))
        self._transactions = _Transactions()
        # The plugin itself may point the suite at a clone of its database.
        self._exempt = str(config.getini("unstale_database"))
        self._ledger: Ledger | None = None
        self._cast.watch(self._credit)

    def _now(self) -> State:
        return {
            **_environment(self._exempt),
            **self._apps.overrides(),
            **self._transactions.open(),
        }

    def _credit(self, actor: Actor | None) -> None:
        self._rows.turn_ends(actor, self._cast.coming)
        if self._ledger is None:
            self._ledger = Ledger(self._now())
        else:
            self._ledger.credit(self._now(), actor)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self,
        fixturedef: pytest.FixtureDef[Any],  # of any value
    ) -> Generator[None, object, object]:
        __tracebackhide__ = True
        value = yield
        new = self._apps.provide(value, fixturedef)
        if self._ledger is not None:
            # Nobody else could see it before: what it holds is where it starts.
            self._ledger.begin_with(new)
        if isinstance(value, Ground):
            self._rows.begin(value)
        return value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        __tracebackhide__ = True
        acting = self._cast.acting
        try:
            result = yield
        except BaseException:
            # Its own error is the news; the leak is told beside it.
            if left := self._left(item, acting):
                item.add_report_section("teardown", "unstale: leaks", left)
            raise
        if left := self._left(item, acting):
            pytest.fail(left, pytrace=False)
        return result

    def _left(self, item: pytest.Item, test: Actor | None) -> str:
        """What the test and the fixtures that ended with it left behind; "" if nothing."""
        ended = (*self._cast.take_ended(), *((test,) if test is not None else ()))
        self._credit(test)
        self._apps.release()
        if self._ledger is None:
            return ""
        if self._transactions.open() and self._ledger.holds(ended):
            # A session that nobody holds any more is given back by the collector.
            gc.collect()
        self._ledger.credit(self._now(), None)
        left, rows = self._ledger.settle(ended), self._rows.take(test)
        told = "\n".join(filter(None, (_told(left), rows)))
        return told if self._is_judged(item) else ""

    def pytest_unconfigure(self) -> None:
        self._transactions.stop()
        self._rows.end()


def _told(left: Iterable[tuple[Trace, Actor]]) -> str:
    """One line for each actor and kind, and what to do next."""
    groups: dict[tuple[Kind, Actor], list[str]] = {}
    for trace, actor in left:
        groups.setdefault((trace.kind, actor), []).append(trace.shown)
    lines = (
        f"leaked {kind}: {', '.join(sorted(shown))}, left by {actor}\n{_NEXT[kind]}"
        for (kind, actor), shown in groups.items()
    )
    return "\n".join(lines)


def _environment(exempt: str) -> State:
    return {
        Trace("environment", 0, name, name): value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name != exempt
    }


class _Rows:
    """Rows that a test commits beside the savepoint that isolates it.

    What a fixture for several tests commits is its own business.
    """

    def __init__(self, config: pytest.Config) -> None:
        settings, count = Settings.of(config), workers(config)
        # In a shared database another worker's test may have committed.
        self._is_on = settings.isolation == "savepoint" and (count == 1 or settings.is_apart(count))
        self._commits: Commits | None = None
        self._found: list[str] = []

    def begin(self, ground: Ground) -> None:
        """Look at the database from now on."""
        if self._is_on and self._commits is None:
            from unstale.pytest_plugin.commits import Commits

            self._commits = Commits(ground.url)

    def turn_ends(self, actor: Actor | None, coming: Actor | None) -> None:
        """Keep apart what the test did, and what a fixture does that outlives it."""
        if self._commits is None or actor is None:
            return
        if actor.is_lasting:
            self._commits.changes()
        elif coming is not None and coming.is_lasting:
            self._found += self._commits.changes()
        if coming is not None and coming.name == "unstale_schema_guard":
            self.end()  # its teardown drops what it created

    def take(self, test: Actor | None) -> str:
        """What *test* committed, and what to do next; "" if nothing."""
        if self._commits is not None:
            self._found += self._commits.changes()
        found, self._found = self._found, []
        if not found:
            return ""
        return (
            f"leaked rows: {', '.join(found)}, committed outside of the isolation"
            f" while {test} ran\n"
            "Every later test sees them. Next: let the code under test use sessions of"
            " isolated_database, or set unstale_isolation = dirty-delete."
        )

    def end(self) -> None:
        """Look no longer."""
        if self._commits is not None:
            self._commits.close()
            self._commits = None


class _Apps:
    """Applications whose ``dependency_overrides`` outlive a test."""

    def __init__(self, configured: tuple[str, ...]) -> None:
        self._configured = configured
        self._lasting: dict[int, object] = {}
        self._provided: dict[int, tuple[object, pytest.FixtureDef[Any]]] = {}
        self._modules: set[str] = set()
        self._count = 0

    def overrides(self) -> State:
        """Every override of every application that is known now."""
        self._look_at_new_modules()
        provided = (app for app, _ in self._provided.values())
        return _overrides((*provided, *self._lasting.values()))

    def provide(self, value: object, fixture: pytest.FixtureDef[Any]) -> State:
        """Learn of the applications in a fixture's *value*; the overrides of the new ones."""
        self._look_at_new_modules()
        known = self._lasting.keys() | self._provided.keys()
        new = [app for app in _apps_of(value) if id(app) not in known]
        self._provided.update({id(app): (app, fixture) for app in new})
        return _overrides(new)

    def release(self) -> None:
        """Forget the applications that ended with the fixture that made them."""
        for holder, (_, fixture) in tuple(self._provided.items()):
            if fixture.cached_result is None:
                del self._provided[holder]

    def _look_at_new_modules(self) -> None:
        for dotted in self._configured:
            self._look_at(dotted)
        if len(sys.modules) == self._count:
            return
        self._count = len(sys.modules)
        names = sys.modules.keys() - self._modules
        self._modules |= names
        for name in names:
            for value in tuple(_fields(sys.modules.get(name)).values()):
                if not isinstance(value, _PLAIN) and _table(value) is not _NO_TABLE:
                    self._lasting[id(value)] = value

    def _look_at(self, dotted: str) -> None:
        """Find a configured application, if its module is loaded; import nothing."""
        module, _, attribute = dotted.partition(":")
        value: object = sys.modules.get(module)
        for name in attribute.split(".") if value is not None else ():
            value = getattr(value, name, None)
        for app in _apps_of(value):
            self._lasting[id(app)] = app


_NO_TABLE: dict[object, object] = {}


def _fields(value: object) -> dict[str, object]:
    """The object's own attributes; asks for none of them, so that no proxy wakes up."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if isinstance(found, dict) else {}


def _table(app: object) -> dict[object, object]:
    found = _fields(app).get("dependency_overrides")
    return found if isinstance(found, dict) else _NO_TABLE


def _overrides(apps: Iterable[object]) -> State:
    return {
        Trace("dependency_overrides", id(app), dependency, _dotted(dependency)): override
        for app in apps
        for dependency, override in _table(app).items()
    }


def _apps_of(value: object) -> Iterator[object]:
    """*value* if it is an application, and the one that a test client holds."""
    fields = _fields(value)
    behind = (fields.get("app"), _fields(fields.get("_transport")).get("app"))
    for candidate in (value, *behind):
        if _table(candidate) is not _NO_TABLE:
            yield candidate


def _dotted(dependency: object) -> str:
    name = getattr(dependency, "__qualname__", type(dependency).__qualname__)
    return f"{getattr(dependency, '__module__', '?')}.{name}"


class _Transactions:
    """SQLAlchemy's transactions in this process, by the connection that began them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._begun: WeakKeyDictionary[Connection, Trace] = WeakKeyDictionary()
        self._listens = importlib.util.find_spec("sqlalchemy") is not None
        if self._listens:
            from sqlalchemy import Engine, event

            event.listen(Engine, "begin", self._begin)

    def open(self) -> State:
        """Those that are neither committed, nor rolled back, nor given back."""
        return {
            trace: True
            for connection, trace in tuple(self._begun.items())
            if not connection.closed and connection.in_transaction()
        }

    def stop(self) -> None:
        """Listen no longer."""
        if self._listens:
            from sqlalchemy import Engine, event

            event.remove(Engine, "begin", self._begin)

    def _begin(self, conn: Connection) -> None:
        if _commits_by_itself(conn):
            return
        number = next(self._numbers)
        self._begun[conn] = Trace("transaction", 0, number, f"one on {conn.engine.url.database}")


def _commits_by_itself(connection: Connection) -> bool:
    levels = (
        connection.get_execution_options().get("isolation_level"),
        connection.engine.get_execution_options().get("isolation_level"),
        getattr(connection.dialect, "_on_connect_isolation_level", None),
    )
    return next((str(level) for level in levels if level), "").upper() == "AUTOCOMMIT"
