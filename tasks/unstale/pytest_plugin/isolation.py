"""One fixture, one option: what a test writes is gone after it.

savepoint
    A transaction around the test, rolled back. The cheapest. The code under test
    must use the connection, or sessions made with ``session_kwargs``.
dirty-delete
    Afterwards one query finds the tables that were written to; only those are mended.
clone
    A database for each test, cloned from the template of the migrations.
truncate
    Afterwards all tables are emptied in one statement, and sequences begin anew.

dirty-delete and truncate give kept tables the rows back that they had when the
session began; a copy of them is in temporary tables of the plugin's connection.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from unstale.errors import ConfigError, Mismatch, UnstaleError, UsageError
from unstale.pytest_plugin import asynchronous, tables, templates
from unstale.pytest_plugin.engines import open_engine, server_of
from unstale.pytest_plugin.ground import Ground
from unstale.pytest_plugin.settings import Settings

__all__ = ["IsolatedDatabase", "register"]

S = TypeVar("S", bound=Session)


@dataclass(frozen=True, slots=True)
class IsolatedDatabase:
    """The database that a test may write to."""

    url: str = field(repr=False)
    """With the suite's own driver, which may be an asynchronous one."""
    engine: Engine
    """A synchronous one, without a pool."""
    connection: Connection | None = None
    """Under savepoint: the connection whose transaction is rolled back."""

    @property
    def session_kwargs(self) -> Mapping[str, Any]:
        """What a sessionmaker needs, so that its sessions are isolated: ``bind`` and more."""
        if self.connection is None:
            return {"bind": self.engine}
        # The only mode in which the code under test may commit and roll back
        # as it likes, and leaves nothing.
        return {"bind": self.connection, "join_transaction_mode": "create_savepoint"}

    @overload
    def session(self, /, **options: Any) -> Session: ...  # noqa: ANN401 - likewise below

    @overload
    def session(self, maker: Callable[..., S], /, **options: Any) -> S: ...  # noqa: ANN401 - whatever a session takes

    def session(self, maker: Callable[..., Any] = Session, /, **options: Any) -> Any:
        """A new session here, of *maker*: the application's sessionmaker, or a class of sessions.

        The caller closes it, e.g. by ``with isolated_database.session() as session``.

        Raises:
            UsageError: an option would undo the isolation, or *maker* is asynchronous.

        """
        _check_maker(maker)
        for name in ("bind", "binds", "join_transaction_mode"):
            if name in options:
                raise UsageError(
                    f"{name!r} can't be given to isolated_database.session().",
                    cause="It is what isolates the session: session_kwargs has it.",
                    hint="leave it out",
                )
        bound = dict(self.session_kwargs)
        if binds := getattr(maker, "kw", {}).get("binds"):
            bound["binds"] = dict.fromkeys(binds, bound["bind"])  # they would win
        return maker(**{**options, **bound})


def _check_maker(maker: Callable[..., Any]) -> None:
    kind = getattr(maker, "class_", maker)
    if isinstance(kind, type) and asynchronous.is_session_class(kind):
        raise UsageError(
            "isolated_database.session() can't make asynchronous sessions.",
            cause="Its engine and its connection are synchronous.",
            hint="name the sessionmaker in unstale_sessionmaker, and use the fixture "
            "session_source with isolation 'clone' or 'dirty-delete'",
        )


_Isolate = Callable[[], AbstractContextManager[IsolatedDatabase]]


def register(config: pytest.Config) -> None:
    """Offer the fixture to a suite that named its database."""
    if Settings.of(config).database:
        config.pluginmanager.register(sys.modules[__name__], "unstale-isolation")


# Functions of the module: pytest 9.2 warns of session fixtures that are methods.
@pytest.fixture(scope="session")
def unstale_isolation(
    request: pytest.FixtureRequest, unstale_schema_guard: Ground
) -> Iterator[_Isolate]:
    """What isolates each test; made once, when the first test asks."""
    with _told(), ExitStack() as stack:
        yield _isolate(Settings.of(request.config), unstale_schema_guard, stack)


@pytest.fixture
def isolated_database(unstale_isolation: _Isolate) -> Iterator[IsolatedDatabase]:
    """The database for one test; what the test writes is gone after it."""
    with _told(), unstale_isolation() as database:
        yield database


@contextmanager
def _told() -> Iterator[None]:
    """Show the message of an error of ours, without the source of the plugin."""
    try:
        yield
    except UnstaleError as error:
        pytest.fail(str(error), pytrace=False)


def _isolate(settings: Settings, ground: Ground, stack: ExitStack) -> _Isolate:
    engine = open_engine(ground.url)
    match settings.isolation:
        case "savepoint":
            # To connect takes longer than all else that this mode does.
            outer = open_engine(ground.url, keeps_one=True)
            stack.callback(outer.dispose)
            return lambda: _savepoint(ground, engine, outer)
        case "clone":
            admin = open_engine(ground.base, autocommit=True)
            numbers = itertools.count(1)
            return lambda: _clone(settings, ground, admin, str(next(numbers)))
        case "dirty-delete" | "truncate":
            connection = stack.enter_context(engine.connect())
            base = tables.baseline(
                connection, keep=settings.keep_tables, version_table=ground.version_table
            )
            clean = tables.truncate if settings.isolation == "truncate" else tables.delete_dirty
            return lambda: _cleaned(ground, engine, lambda: clean(connection, base))
        case "none":
            raise ConfigError(
                "A test asks for isolated_database, and unstale_isolation is none.",
                cause="Nothing would undo what the test writes.",
                hint="set unstale_isolation to savepoint, dirty-delete, clone or truncate",
            )


@contextmanager
def _savepoint(ground: Ground, engine: Engine, kept: Engine) -> Iterator[IsolatedDatabase]:
    with kept.connect() as connection:
        outer = connection.begin()
        yield IsolatedDatabase(ground.url, engine, connection)
        if not outer.is_active:
            raise Mismatch(
                "The test ended the transaction that isolates it: what it wrote may be there.",
                cause="A session was bound to the connection in another join_transaction_mode.",
                hint="make sessions with **isolated_database.session_kwargs",
            )
        outer.rollback()
        # A rollback leaves these alone, and the connection goes to the next test.
        connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")


@contextmanager
def _cleaned(
    ground: Ground, engine: Engine, clean: Callable[[], None]
) -> Iterator[IsolatedDatabase]:
    try:
        yield IsolatedDatabase(ground.url, engine)
    finally:
        clean()


@contextmanager
def _clone(
    settings: Settings, ground: Ground, admin: Engine, number: str
) -> Iterator[IsolatedDatabase]:
    assert ground.template is not None, "BUG: isolation by clone without a template"  # noqa: S101
    name = templates.clone_name(admin.url.database or "", ground.owner, number)
    templates.clone(admin, ground.template, name)
    url = server_of(ground.base, name)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(settings.database, url)
            yield IsolatedDatabase(url, open_engine(url))
    finally:
        templates.drop(admin, name)
