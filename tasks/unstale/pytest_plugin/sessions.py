"""Sessions for tests that behave as the application's own do.

What is here replaces a shared session that "expires everything" before each
request: a new session per request has a new identity map, so nothing is stale,
and a commit that the code forgot stays missing.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast
from weakref import WeakSet

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from unstale.errors import ConfigError, Mismatch, UsageError
from unstale.pytest_plugin import asynchronous
from unstale.pytest_plugin.facade import AsyncFacade
from unstale.pytest_plugin.isolation import IsolatedDatabase
from unstale.pytest_plugin.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

__all__ = [
    "DifferentSessionOptions",
    "FrozenSnapshot",
    "LeakedOverride",
    "OpenTransaction",
    "RemovedOverride",
    "RequestSession",
    "SessionSource",
    "UncommittedChanges",
    "UnflushedChanges",
    "fresh",
    "fresh_async",
    "register",
    "request_session",
]

Mode = Literal["commit", "savepoint"]
S_co = TypeVar("S_co", bound="Session | AsyncSession", covariant=True)

# Set by the mode alone: an option of these names would undo the isolation.
_BINDING = ("bind", "binds", "join_transaction_mode")
_SNAPSHOT_LEVELS = ("REPEATABLE READ", "SERIALIZABLE")
_MOST_NAMED = 10


class DifferentSessionOptions(UserWarning):
    """A test asked for session options that production does not have."""


class RemovedOverride(UserWarning):
    """Somebody removed the override while it was in use, usually by ``clear()``."""


class UnflushedChanges(UsageError):
    """Expiring now would throw changes away that were never sent."""


class UncommittedChanges(UsageError):
    """Ending the transaction now would throw away what it wrote."""


class FrozenSnapshot(UsageError):
    """The snapshot belongs to a transaction that the session did not begin."""


class LeakedOverride(Mismatch):
    """Somebody left an override of the session's dependency behind."""


class OpenTransaction(Mismatch):
    """A request's session has a transaction that could not be ended from here."""


class Maker(Protocol[S_co]):
    """What ``sessionmaker`` and ``async_sessionmaker`` have in common."""

    kw: dict[str, Any]  # any option that a session takes
    class_: Any  # invariant in SQLAlchemy's own classes

    def __call__(self, **local_kw: Any) -> S_co:  # noqa: ANN401 - likewise
        """A new session; *local_kw* win over the maker's own options."""
        ...


class HasOverrides(Protocol):
    """An application whose dependencies can be overridden, such as FastAPI's."""

    dependency_overrides: Any  # a dict; FastAPI declares it more narrowly than it is


@dataclass(frozen=True, slots=True)
class SessionSource(Generic[S_co]):
    """New sessions of the application's own kind, for tests.

    They are made by the application's *maker* itself, so that class, events and
    every option are production's. Only the binding differs.

    Raises:
        UsageError: *maker* is no session maker, or mode and connection do not fit.

    Warns:
        DifferentSessionOptions: an option differs from the application's.

    """

    maker: Maker[S_co]
    """The application's ``sessionmaker`` or ``async_sessionmaker``."""
    mode: Mode = "commit"
    """``commit``: a commit is one. ``savepoint``: all work stays in *connection*'s transaction."""
    connection: Connection | AsyncConnection | Engine | AsyncEngine | None = None
    """``savepoint``: a connection in a transaction. ``commit``: an engine, or None for production's
    own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options to differ from the application's in; each one that does is warned of."""

    def __post_init__(self) -> None:
        _check_maker(self.maker)
        _check_binding(self.mode, self.connection, is_async=self.is_async)
        _check_options(self.maker, self.options)

    @property
    def is_async(self) -> bool:
        """Whether the sessions are ``AsyncSession``s."""
        return asynchronous.is_session_class(self.maker.class_)

    def new(self) -> S_co:
        """A new session; the caller closes it.

        Raises:
            UsageError: the savepoint's connection is in no transaction.

        """
        if self.mode == "savepoint":
            return self.maker(
                **{**self.options, **self._bound(), "join_transaction_mode": "create_savepoint"}
            )
        return self.maker(**{**self.options, **self._bound()})

    def __call__(self) -> S_co:
        """Do what `new` does, where code takes a sessionmaker."""
        return self.new()

    def _bound(self) -> dict[str, Any]:
        if self.connection is None:
            return {}
        if self.mode == "savepoint":
            _check_transaction(cast("Connection | AsyncConnection", self.connection))
        binds: Mapping[Any, Any] = self.maker.kw.get("binds") or {}
        if len({str(_url(bind)) for bind in binds.values()}) > 1:
            raise UsageError(
                "The application's sessionmaker binds its classes to several databases.",
                cause="One connection can't stand in for them all.",
                hint="use mode 'commit' without a connection",
            )
        bound: dict[str, Any] = {"bind": self.connection}
        return {**bound, "binds": dict.fromkeys(binds, self.connection)} if binds else bound


def _url(bind: Any) -> sa.URL:  # noqa: ANN401 - an engine or a connection, sync or async
    return cast("sa.URL", getattr(bind, "engine", bind).url)


def _check_maker(maker: object) -> None:
    if isinstance(getattr(maker, "class_", None), type) and hasattr(maker, "kw"):
        return
    raise UsageError(
        f"A {type(maker).__name__} is no session maker.",
        cause="The application's sessionmaker or async_sessionmaker is needed, not a session and "
        "not a function that makes one.",
        hint="pass the sessionmaker; of a scoped_session it is .session_factory",
    )


def _check_binding(mode: str, connection: object, *, is_async: bool) -> None:
    """Refuse what could leak, or fail later in words that help nobody."""
    match mode:
        case "commit":
            is_engine = asynchronous.is_engine if is_async else _is_engine
            fits = connection is None or is_engine(connection)
            names = f"{'AsyncEngine' if is_async else 'Engine'} or nothing"
        case "savepoint":
            is_connection = asynchronous.is_connection if is_async else _is_connection
            fits = is_connection(connection)
            names = "AsyncConnection" if is_async else "Connection"
        case _:
            raise UsageError(f"There is no mode {mode!r}.", hint="use 'commit' or 'savepoint'")
    if fits:
        return
    kind = "an asynchronous" if is_async else "a synchronous"
    raise UsageError(
        f"Mode {mode!r} of {kind} sessionmaker takes {names}, not a {type(connection).__name__}.",
        cause="A commit over a connection that is in a test's transaction would be none, and "
        "an AsyncSession can't use a synchronous connection.",
        hint="isolate asynchronous applications by 'clone' or 'dirty-delete', with mode 'commit', "
        "or open an AsyncConnection in the application's event loop",
    )


def _is_engine(value: object) -> bool:
    return isinstance(value, Engine)


def _is_connection(value: object) -> bool:
    return isinstance(value, Connection)


def _check_transaction(connection: Connection | AsyncConnection) -> None:
    if connection.in_transaction():
        return
    raise UsageError(
        "The savepoint's connection is in no transaction.",
        cause="The first commit of a session would be a real one, and leak into other tests.",
        hint="begin() on the connection before the test, and roll back after it",
    )


def _check_options(maker: Maker[Any], options: Mapping[str, Any]) -> None:
    for name, wanted in options.items():
        if name in _BINDING:
            raise UsageError(
                f"{name!r} can't be an option of a SessionSource.",
                cause="How sessions are bound is what the mode decides.",
                hint="use mode= and connection=",
            )
        theirs = maker.kw.get(name, _default_of(name))
        if wanted != theirs:
            warnings.warn(
                f"{name}: the application's sessions have {theirs!r}, this test's {wanted!r}. "
                "The test runs what production does not.",
                DifferentSessionOptions,
                stacklevel=4,  # the caller of SessionSource(...)
            )


def _default_of(option: str) -> object:
    parameter = inspect.signature(Session).parameters.get(option)
    return parameter.default if parameter else None


_ABSENT = object()


@dataclass(slots=True)
class RequestSession(Generic[S_co]):
    """One dependency, overridden for as long as the block runs; see `request_session`."""

    app: HasOverrides
    dependency: Callable[..., Any]
    source: SessionSource[S_co]
    commit: bool = False
    facade: bool = False
    _before: Any = field(init=False, default=_ABSENT)
    _ours: Any = field(init=False, default=None)
    _made: WeakSet[Any] = field(init=False, default_factory=WeakSet)

    def __enter__(self) -> SessionSource[S_co]:
        overrides = self._overrides
        self._before = overrides.get(self.dependency, _ABSENT)
        self._ours = self._provider()
        overrides[self.dependency] = self._ours
        return self.source

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        found: Mismatch | None = self._restored()
        for session in self._open():
            if self.source.is_async:
                found = found or _left_open()
            else:
                session.close()
        _report(found, error)

    async def __aenter__(self) -> SessionSource[S_co]:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        found = self._restored()
        for session in self._open():
            if self.source.is_async:
                await session.close()
            else:
                session.close()
        _report(found, error)

    @property
    def _overrides(self) -> MutableMapping[Any, Any]:
        return cast("MutableMapping[Any, Any]", self.app.dependency_overrides)

    def _open(self) -> tuple[Any, ...]:
        return tuple(session for session in self._made if session.in_transaction())

    def _provider(self) -> Callable[[], Any]:
        """What the framework calls once a request, as a generator."""
        if self.source.is_async:
            return self._provide_async
        return self._provide_facade if self.facade else self._provide

    def _provide(self) -> Iterator[Session]:
        with cast("Session", self._new()) as session:
            yield session
            if self.commit:
                session.commit()

    async def _provide_facade(self) -> AsyncIterator[AsyncFacade]:
        # A coroutine, so that the session is made in the event loop's thread.
        async with AsyncFacade(cast("Session", self._new())) as session:
            yield session
            if self.commit:
                await session.commit()

    async def _provide_async(self) -> AsyncIterator[AsyncSession]:
        async with cast("AsyncSession", self._new()) as session:
            yield session
            if self.commit:
                await session.commit()

    def _new(self) -> Session | AsyncSession:
        session = self.source.new()
        self._made.add(session)
        return session

    def _restored(self) -> LeakedOverride | None:
        """Put the key back as it was; say if it did not hold what we put there."""
        overrides = self._overrides
        now = overrides.get(self.dependency, _ABSENT)
        if self._before is _ABSENT:
            overrides.pop(self.dependency, None)
        else:
            overrides[self.dependency] = self._before
        if now is _ABSENT:
            warnings.warn(_removed(self.dependency), RemovedOverride, stacklevel=3)
        return None if now in (self._ours, _ABSENT) else _leaked(self.dependency, now)


def request_session(
    app: HasOverrides,
    dependency: Callable[..., Any],
    source: SessionSource[S_co],
    *,
    commit: bool = False,
    facade: bool = False,
) -> RequestSession[S_co]:
    """Give every request of *app* a new session from *source*, in a ``with`` block.

    One key of ``app.dependency_overrides`` is replaced, and restored at the end;
    no other is touched. Sessions that are still in a transaction then are closed,
    so that no connection stays "idle in transaction". ``async with`` works too,
    and is needed to close an ``AsyncSession`` that a request left open.

    *commit* is for an application whose own dependency commits when the endpoint
    returned. *facade* wraps synchronous sessions for asynchronous endpoints, see
    `AsyncFacade`.

    Raises:
        LeakedOverride: at the end, the key holds an override of somebody else.
        OpenTransaction: at the end of ``with``, an ``AsyncSession`` is still open.

    Warns:
        RemovedOverride: at the end, the override is gone.

    """
    return RequestSession(app, dependency, source, commit, facade)


def _name(function: object) -> str:
    """Where *function* is, as far as it can be told."""
    module = getattr(function, "__module__", type(function).__module__)
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    code = getattr(function, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def _leaked(dependency: object, now: object) -> LeakedOverride:
    return LeakedOverride(
        f"dependency_overrides[{_name(dependency)}] was left behind: it holds {_name(now)}.",
        cause="A fixture or a test set it and did not put it back. Later tests would have got it.",
        hint="restore the key where it was set; the former value was restored here",
    )


def _removed(dependency: object) -> str:
    return (
        f"dependency_overrides[{_name(dependency)}] was removed while request_session was in use, "
        "probably by dependency_overrides.clear(): later requests used the application's own "
        "sessions. Remove single keys instead."
    )


def _left_open() -> OpenTransaction:
    return OpenTransaction(
        "A request left an AsyncSession in a transaction.",
        cause="Its connection stays 'idle in transaction', and blocks TRUNCATE and DROP. A task "
        "that outlives its request is the usual reason.",
        hint="use `async with request_session(...)`, or close the session where it is used",
    )


def _report(found: Mismatch | None, error: BaseException | None) -> None:
    """Raise what was *found*, but never over the *error* of the block itself."""
    if found is None:
        return
    if error is None:
        raise found
    error.add_note(str(found))


def fresh(session: Session, *, flush: bool = False) -> None:
    """Let *session* read anew what it reads next, and lose nothing by it.

    Below REPEATABLE READ all objects are expired. From there on the snapshot
    decides what is seen, so the transaction is ended by a rollback, which also
    expires. *flush* sends pending changes first.

    Nothing calls this implicitly: a session per request needs it not.

    Raises:
        UnflushedChanges: there are new, changed or deleted objects, and no *flush*.
        UncommittedChanges: the transaction to end has written.
        FrozenSnapshot: the transaction to end is not the session's own.

    """
    if flush:
        session.flush()
    _refuse_unflushed(session)
    if session.in_transaction():
        _end_snapshots(session)
    session.expire_all()


async def fresh_async(session: AsyncSession, *, flush: bool = False) -> None:
    """Do what `fresh` does, for an ``AsyncSession``; the same errors."""
    await session.run_sync(fresh, flush=flush)


def _refuse_unflushed(session: Session) -> None:
    named = [f"{word}: {_listed(objects)}" for word, objects in unflushed(session) if objects]
    if not named:
        return
    raise UnflushedChanges(
        f"The session holds changes that were never sent ({'; '.join(named)}).",
        cause="Expiring would throw changed values away without a word.",
        hint="flush() or rollback() first, or fresh(session, flush=True)",
    )


def unflushed(session: Session) -> tuple[tuple[str, list[object]], ...]:
    """The new, changed and deleted objects that *session* did not send yet."""
    changed = [one for one in session.dirty if session.is_modified(one)]
    return (
        ("new", list(session.new)),
        ("changed", changed),
        ("deleted", list(session.deleted)),
    )


def _listed(objects: list[object]) -> str:
    names = sorted(identity(one) for one in objects)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def identity(mapped: object) -> str:
    """The class and primary key of *mapped*; never another value of it."""
    state = sa.inspect(mapped)
    name = type(mapped).__name__
    key = state.identity if state is not None else None
    return f"{name}({', '.join(map(str, key))})" if key else f"{name} (not yet in the database)"


def _end_snapshots(session: Session) -> None:
    """End the session's transaction if its snapshot would hide what others committed."""
    held = [link for link in joined(session) if _is_snapshot(link.connection)]
    if not held:
        return
    for link in held:
        if link.is_borrowed:
            raise FrozenSnapshot(
                "The session's transaction belongs to the connection it was given.",
                cause="At REPEATABLE READ or above nothing that others commit can be seen before "
                "that transaction ends.",
                hint="let the test that needs this use isolation 'clone' or 'dirty-delete'",
            )
        if _has_written(link.connection):
            raise UncommittedChanges(
                "The session's transaction has written, and would have to be ended.",
                cause="At REPEATABLE READ or above only a new transaction sees what others "
                "committed.",
                hint="commit() or rollback(), whichever the test means",
            )
    session.rollback()


def _is_snapshot(connection: Connection) -> bool:
    return connection.get_isolation_level() in _SNAPSHOT_LEVELS


def _has_written(connection: Connection) -> bool:
    # Assigned by the first write; asking does not assign one.
    asked = sa.text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
    return bool(connection.execute(asked).scalar_one())


@dataclass(frozen=True, slots=True)
class Joined:
    """A connection that a session's transaction uses."""

    connection: Connection
    is_borrowed: bool
    """Whether its transaction was begun, and will be ended, by somebody else."""


def joined(session: Session) -> tuple[Joined, ...]:
    """The connections that *session* uses now; asking opens none."""
    transaction = session.get_transaction()
    # SessionTransaction.connections is public since 2.1.7 only, and does not tell
    # whose transaction it is; this mapping is there since 1.4.
    entries = getattr(transaction, "_connections", {})
    found = {id(entry[0]): entry for entry in entries.values()}
    return tuple(
        Joined(connection, connection.get_transaction() is not begun or not should_commit)
        for connection, begun, should_commit, *_ in found.values()
    )


_PART = "unstale-sessions"


def register(config: pytest.Config) -> None:
    """Offer the fixture ``session_source`` to a suite that named its sessionmaker."""
    settings = Settings.of(config)
    if settings.sessionmaker and not config.pluginmanager.has_plugin(_PART):
        config.pluginmanager.register(_SessionPart(settings), _PART)


class _SessionPart:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @pytest.fixture
    def session_source(self, request: pytest.FixtureRequest) -> SessionSource[Any]:
        """The application's sessions, in the database that isolates the test."""
        maker = _configured(self._settings.sessionmaker)
        if self._settings.isolation == "none":
            return SessionSource(maker)
        return _isolated(maker, request.getfixturevalue("isolated_database"))


def _isolated(maker: Maker[Any], database: IsolatedDatabase) -> SessionSource[Any]:
    """A source whose sessions work in *database*."""
    if database.connection is not None:
        return SessionSource(maker, "savepoint", database.connection)
    if SessionSource(maker).is_async:
        from sqlalchemy.ext.asyncio import create_async_engine

        # Without a pool: a test's event loop ends before its connections would.
        engine = create_async_engine(database.url, poolclass=sa.NullPool)
        return SessionSource(maker, "commit", engine)
    return SessionSource(maker, "commit", database.engine)


def _configured(name: str) -> Maker[Any]:
    """The sessionmaker *name*, ``package.module:attribute``, or what it returns.

    Raises:
        ConfigError: it can't be imported.
        UsageError: it is no sessionmaker.

    """
    try:
        found: Any = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"unstale_sessionmaker = {name} can't be imported.",
            cause=f"{type(error).__name__}: {error}",
            hint="write it as package.module:attribute",
        ) from error
    if callable(found) and not hasattr(found, "class_"):
        found = found()
    _check_maker(found)
    return cast("Maker[Any]", found)
