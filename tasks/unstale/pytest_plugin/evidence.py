"""What the database and a session show of their state; facts, no verdicts.

Nothing is changed by reading: it happens over a connection of its own, or inside
a savepoint where a transaction must survive a query that fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, UnboundExecutionError
from sqlalchemy.orm import InstanceState, Session

from unstale.errors import CouldNotTell, UsageError
from unstale.pytest_plugin import asynchronous
from unstale.pytest_plugin.engines import open_engine, sqlstate
from unstale.pytest_plugin.facade import AsyncFacade
from unstale.pytest_plugin.monitor import backend_pid
from unstale.pytest_plugin.sessions import identity, joined

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = [
    "Activity",
    "Churn",
    "Doubt",
    "Reader",
    "Sight",
    "Start",
    "Whereabouts",
    "activity",
    "churn",
    "count",
    "count_earlier",
    "doubts",
    "known",
    "place",
    "sight",
    "start",
]

_LOCK_TIMEOUT = "3s"
_MOST_OBJECTS = 500
_BATCH = 100
_IDLE, _IN_TRANSACTION = 0, 2  # libpq's PQTRANS_*; 1 is busy, 3 is aborted


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection to read from."""

    connection: Connection
    is_guarded: bool
    """Whether a failing query must not end the connection's transaction."""

    def rows(self, statement: sa.Executable, **values: object) -> list[tuple[Any, ...]]:
        """All rows of *statement*."""
        guard: AbstractContextManager[object] = nullcontext()
        if self.is_guarded:
            guard = self.connection.begin_nested()
        with guard:
            return [tuple(row) for row in self.connection.execute(statement, values)]

    def one(self, statement: sa.Executable, **values: object) -> Any:  # noqa: ANN401 - any column
        """The first column of the first row."""
        return self.rows(statement, **values)[0][0]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Which database a connection is in."""

    database: str
    system_identifier: str
    """Of the cluster; empty where the role may not ask."""
    server: str
    """Address and port, as the server has them; ``socket`` without."""
    user: str
    search_path: str

    def is_same(self, other: Whereabouts) -> bool:
        """Whether both are one database."""
        if self.system_identifier and other.system_identifier:
            same = self.system_identifier == other.system_identifier
        else:
            same = self.server == other.server
        return same and self.database == other.database

    def __str__(self) -> str:
        known = self.system_identifier or "not checked: pg_control_system() is not allowed"
        return (
            f"current_database() is {self.database}, system identifier {known}, at {self.server}, "
            f"as {self.user}, search path {self.search_path or 'empty'}"
        )


_PLACE = sa.text(
    """
    SELECT current_database(), coalesce(host(inet_server_addr()) || ':' || inet_server_port(),
           'socket'), current_user::text, array_to_string(current_schemas(false), ', '),
           has_function_privilege('pg_control_system()', 'EXECUTE')
    """
)
_SYSTEM = sa.text("SELECT system_identifier::text FROM pg_control_system()")


def place(reader: Reader) -> Whereabouts:
    """Where *reader* reads."""
    database, server, user, path, may_ask = reader.rows(_PLACE)[0]
    return Whereabouts(database, reader.one(_SYSTEM) if may_ask else "", server, user, path)


def count(reader: Reader, table: sa.FromClause) -> int:
    """How many rows of *table* the reader sees."""
    return int(reader.one(sa.select(sa.func.count()).select_from(table)))


@dataclass(frozen=True, slots=True)
class Churn:
    """What became of a table's rows. Statistics may be 10 s late; the file is not."""

    table: str
    """With its schema, unquoted."""
    inserted: int
    deleted: int
    live: int
    dead: int
    filenode: int
    is_rewritten: bool
    """Whether the table has another file than it was created with."""
    oid: int


_CHURN = sa.text(
    r"""
    SELECT n.nspname || '.' || c.relname, pg_stat_get_tuples_inserted(c.oid),
           pg_stat_get_tuples_deleted(c.oid), pg_stat_get_live_tuples(c.oid),
           pg_stat_get_dead_tuples(c.oid), coalesce(pg_relation_filenode(c.oid), 0)::bigint,
           coalesce(pg_relation_filenode(c.oid), 0) <> c.oid, c.oid::bigint
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\_%'
       AND n.nspname <> 'information_schema'
    """
)
_OF_TABLE = sa.text(f"{_CHURN.text} AND c.oid = to_regclass(:name)")


def churn(reader: Reader, table: sa.FromClause | None = None) -> tuple[Churn, ...]:
    """The statistics of *table*, or of all tables of users."""
    if table is None:
        return tuple(Churn(*row) for row in reader.rows(_CHURN))
    quoted = reader.connection.dialect.identifier_preparer.format_table(cast("sa.Table", table))
    return tuple(Churn(*row) for row in reader.rows(_OF_TABLE, name=quoted))


@dataclass(frozen=True, slots=True)
class Start:
    """A database as it was when a test began to use it."""

    tables: Mapping[int, Churn]
    """By oid."""
    transaction: int
    """The number of the next one: what has a lower one began before."""


_NEXT_TRANSACTION = sa.text("SELECT txid_snapshot_xmax(txid_current_snapshot())")


def start(reader: Reader) -> Start:
    """What to compare with later."""
    transaction = int(reader.one(_NEXT_TRANSACTION))
    return Start({one.oid: one for one in churn(reader)}, transaction)


# Ages, since the numbers in rows wrap around.
_IS_EARLIER = "age(xmin) > age(CAST(CAST(:number % 4294967296 AS text) AS xid))"


def count_earlier(reader: Reader, table: sa.FromClause, began: Start) -> int:
    """How many rows of *table* were written before *began*."""
    counted = sa.select(sa.func.count()).select_from(table).where(sa.text(_IS_EARLIER))
    return int(reader.one(counted, number=began.transaction))


_KNOWN = sa.text(
    r"""
    SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
       AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
     ORDER BY 1
    """
)


def known(reader: Reader) -> tuple[str, ...]:
    """Tables and views, with the schema where the search path does not find them."""
    return tuple(row[0] for row in reader.rows(_KNOWN))


@dataclass(frozen=True, slots=True)
class Activity:
    """What the server says of another connection."""

    state: str
    age_ms: int
    has_written: bool
    tables: tuple[str, ...]
    """Those it holds a writer's lock on."""


_ACTIVITY = sa.text(
    """
    SELECT coalesce(a.state, 'not visible'),
           coalesce(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000, 0)::bigint,
           a.backend_xid IS NOT NULL,
           (SELECT coalesce(array_agg(DISTINCT l.relation::regclass::text), '{}')
              FROM pg_locks l JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
             WHERE l.pid = a.pid AND l.granted
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.mode IN ('RowExclusiveLock', 'AccessExclusiveLock'))
      FROM pg_stat_activity a WHERE a.pid = :pid
    """
)


def activity(reader: Reader, pid: int) -> Activity | None:
    """What the backend *pid* is doing; None if it is gone."""
    for state, age_ms, has_written, tables in reader.rows(_ACTIVITY, pid=pid):
        return Activity(state, age_ms, has_written, tuple(sorted(tables)))
    return None


@dataclass(frozen=True, slots=True)
class Sight:
    """From where a target's database is seen."""

    committed: Reader
    """Sees what everybody sees; under savepoint isolation, what the test's transaction sees."""
    is_shared: bool
    """Whether *committed* is the isolating fixture's own connection."""
    session: Session | None
    own: Reader | None
    """The session's connection, if it is in a transaction and can be asked."""
    own_why: str
    """Why *own* is None."""
    pids: tuple[int, ...]
    """Backends of the session's transaction."""


@contextmanager
def sight(
    target: object, *, fixture: Connection | None = None, is_awaited: bool = False
) -> Iterator[Sight]:
    """Open what is needed to look at *target*, and close it.

    *fixture* is the isolating fixture's connection; a transaction of it is none
    of ours. *is_awaited* says that asynchronous drivers can be used here.

    Raises:
        UsageError: *target* is nothing that leads to a database.

    """
    session = _session_of(target)
    fixture = _isolating(target) or fixture
    bound = _bound(session) if session is not None else _engine_or_connection(target)
    own, own_why, pids = _own(session, is_awaited=is_awaited)
    if isinstance(bound, Connection) and (bound is fixture or _is_borrowed(session, bound)):
        yield Sight(Reader(bound, is_guarded=True), True, session, own, own_why, pids)  # noqa: FBT003 - names would repeat the class
        return
    engine = bound.engine
    with _apart(engine, is_awaited=is_awaited) as reader:
        if session is None and isinstance(bound, Connection) and bound.in_transaction():
            own, own_why = Reader(bound, is_guarded=True), ""
            pid = backend_pid(bound)
            pids = () if pid is None else (pid,)
        yield Sight(reader, False, session, own, own_why, pids)  # noqa: FBT003 - likewise


def _session_of(target: object) -> Session | None:
    match target:
        case Session():
            return target
        case AsyncFacade():
            return target._session  # noqa: SLF001 - it has no public attribute, on purpose
    if asynchronous.is_session(target):
        return target.sync_session
    registry = getattr(target, "registry", None)  # scoped_session
    return _session_of(registry()) if callable(registry) else None


def _engine_or_connection(target: object) -> Engine | Connection:
    match target:
        case str() | sa.URL():
            url = (
                target if isinstance(target, str) else target.render_as_string(hide_password=False)
            )
            return open_engine(url)
        case Engine() | Connection():
            return target
    if asynchronous.is_engine(target):
        return target.sync_engine
    if asynchronous.is_connection(target):
        return _sync_connection(target)
    for name in ("connection", "url"):  # the fixture isolated_database
        found = getattr(target, name, None)
        if found is not None and not callable(found):
            return _engine_or_connection(found)
    raise UsageError(
        f"A {type(target).__name__} leads to no database.",
        hint="pass a session, an engine, a connection or a URL",
    )


def _isolating(target: object) -> Connection | None:
    """The connection of *target*, if that is the fixture isolated_database."""
    if asynchronous.is_connection(target):
        return None  # has such an attribute, which raises
    found = getattr(target, "connection", None)
    return found if isinstance(found, Connection) else None


def _sync_connection(connection: AsyncConnection) -> Connection:
    if connection.sync_connection is None:
        raise UsageError("The AsyncConnection was not opened.", hint="await it first")
    return connection.sync_connection


def _bound(session: Session) -> Engine | Connection:
    """What *session* is bound to, without connecting."""
    try:
        return session.get_bind()
    except UnboundExecutionError:
        for link in joined(session):
            return link.connection
        for mapped in session.identity_map.values():
            return session.get_bind(sa.inspect(mapped).mapper)
        raise UsageError(
            "The session has several databases, or none.",
            cause="Nothing was read in it that would tell which is meant.",
            hint="pass the engine instead",
        ) from None


def _is_borrowed(session: Session | None, connection: Connection) -> bool:
    """Whether *connection* is in a transaction that *session* did not begin."""
    if session is None or not connection.in_transaction():
        return False
    links = [link for link in joined(session) if link.connection is connection]
    return all(link.is_borrowed for link in links)


@contextmanager
def _apart(engine: Engine, *, is_awaited: bool) -> Iterator[Reader]:
    """A connection of our own, which sees only what is committed.

    It is made by a copy of the engine's pool: a pool of one would make us wait
    for the session, and a StaticPool would hand out the session's own connection.
    The copy keeps what the pool's listeners do to a new connection.
    """
    if engine.dialect.name != "postgresql":
        raise UsageError(f"The database is {engine.dialect.name}; only postgresql is known.")
    if engine.dialect.is_async and not is_awaited:
        apart = open_engine(engine.url.render_as_string(hide_password=False))
    else:
        apart = Engine(
            engine.pool.recreate(),
            engine.dialect,
            engine.url,
            execution_options=engine.get_execution_options(),
        )
    try:
        with apart.connect() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(sa.text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
            yield Reader(connection, is_guarded=False)
    finally:
        apart.dispose()


def _own(
    session: Session | None, *, is_awaited: bool
) -> tuple[Reader | None, str, tuple[int, ...]]:
    """The session's connection, why it can't be asked, and its backends."""
    links = joined(session) if session is not None else ()
    pids = tuple(pid for link in links if (pid := backend_pid(link.connection)) is not None)
    if not links:
        return None, "it is in no transaction", pids
    connection = links[0].connection
    if connection.dialect.is_async and not is_awaited:
        return None, "its driver needs the event loop", pids
    info = getattr(connection.connection.driver_connection, "info", None)
    status = getattr(info, "transaction_status", _IN_TRANSACTION)
    if status not in {_IDLE, _IN_TRANSACTION}:
        return None, "its connection is busy" if status == 1 else "its transaction failed", pids
    return Reader(connection, is_guarded=True), "", pids


@dataclass(frozen=True, slots=True)
class Doubt:
    """An object of a session that the database does not show as it is."""

    kind: str
    """``stale``, ``uncommitted``, ``snapshot``; ``differs`` if the session could not be asked."""
    what: str
    """Class, primary key and names of columns; no other value."""


def doubts(seen: Sight) -> tuple[Doubt, ...]:
    """The objects of the session whose row is gone, or has other values.

    Attributes that are expired, or changed and not flushed, are left out.
    """
    if seen.session is None:
        return ()
    objects = list(seen.session.identity_map.values())[:_MOST_OBJECTS]
    by_mapper: dict[Any, list[InstanceState[Any]]] = {}
    for mapped in objects:
        state = sa.inspect(mapped)
        if not state.expired:
            by_mapper.setdefault(state.mapper, []).append(state)
    own = None if seen.is_shared else seen.own
    is_snapshot = own is not None and _is_snapshot(own)
    return tuple(
        doubt
        for mapper, states in by_mapper.items()
        for start in range(0, len(states), _BATCH)
        for doubt in _compared(
            mapper, states[start : start + _BATCH], seen, own, is_snapshot=is_snapshot
        )
    )


def _is_snapshot(reader: Reader) -> bool:
    return str(reader.one(sa.text("SHOW transaction_isolation"))) != "read committed"


def _compared(
    mapper: Any,  # noqa: ANN401 - Mapper[Any]
    states: Sequence[InstanceState[Any]],
    seen: Sight,
    own: Reader | None,
    *,
    is_snapshot: bool,
) -> Iterator[Doubt]:
    committed = _read(mapper, states, seen.committed)
    mine = None if own is None else _read(mapper, states, own)
    for state in states:
        differs = _difference(state, committed)
        if not differs:
            continue
        if mine is None:
            is_open = seen.session is not None and seen.session.in_transaction()
            kind = "differs" if is_open and not seen.is_shared else "stale"
        elif _difference(state, mine):
            kind = "stale"
        else:
            kind = "snapshot" if is_snapshot else "uncommitted"
        yield Doubt(kind, f"{identity(state.obj())}: {differs}")


_Rows = Mapping[tuple[Any, ...], Mapping[str, tuple[Any, Any]]]


def _columns(mapper: Any) -> dict[str, sa.Column[Any]]:  # noqa: ANN401 - Mapper[Any]
    """Attribute name to column, without what is computed by an expression."""
    return {
        prop.key: prop.columns[0]
        for prop in mapper.column_attrs
        if isinstance(prop.columns[0], sa.Column)
    }


def _read(mapper: Any, states: Sequence[InstanceState[Any]], reader: Reader) -> _Rows:  # noqa: ANN401 - Mapper[Any]
    """Primary key to attribute to (column's type, value), of the rows that there are."""
    columns = _columns(mapper)
    keys = mapper.primary_key
    wanted = sa.or_(
        *(
            sa.and_(*(key == value for key, value in zip(keys, state.identity or (), strict=True)))
            for state in states
        )
    )
    chosen = sa.select(*keys, *columns.values()).select_from(mapper.persist_selectable)
    found: dict[tuple[Any, ...], Mapping[str, tuple[Any, Any]]] = {}
    for row in reader.rows(chosen.where(wanted)):
        values = row[len(keys) :]
        found[row[: len(keys)]] = {
            name: (column.type, value)
            for (name, column), value in zip(columns.items(), values, strict=True)
        }
    return found


def _difference(state: InstanceState[Any], rows: _Rows) -> str:
    """How the object differs from its row; empty if it does not."""
    row = rows.get(tuple(state.identity or ()))
    if row is None:
        return "its row is not there"
    loaded = state.unmodified.intersection(state.dict).difference(state.expired_attributes)
    names = sorted(
        name
        for name in loaded.intersection(row)
        if not row[name][0].compare_values(state.dict[name], row[name][1])
    )
    return f"other values of {', '.join(names)}" if names else ""


@lru_cache(maxsize=8)
def _observing(url: str) -> Engine:
    # Kept: a new engine asks the server four questions before the first query.
    # It has no pool, so it holds no connection.
    return open_engine(url, autocommit=True)


@contextmanager
def environment(url: str) -> Iterator[Reader]:
    """A reader of the database that the environment names.

    Raises:
        CouldNotTell: it does not answer, or the URL is none.

    """
    try:
        connection = _observing(url).connect()
    except DBAPIError as error:
        raise CouldNotTell(
            f"The environment's database does not answer ({type(error.orig).__name__})."
        ) from None
    with connection:
        yield Reader(connection, is_guarded=False)


def is_missing(error: DBAPIError) -> bool:
    """Whether *error* says that there is no such table or schema."""
    return sqlstate(error) in {"42P01", "3F000"}


def is_locked(error: DBAPIError) -> bool:
    """Whether *error* says that a lock was waited for in vain."""
    return sqlstate(error) == "55P03"


_LOCKING = sa.text(
    """
    SELECT a.pid, coalesce(nullif(a.application_name, ''), 'no name'), coalesce(a.state, '?')
      FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.relation = to_regclass(:name) AND l.granted AND l.mode = 'AccessExclusiveLock'
    """
)


def blockers(reader: Reader, table: sa.FromClause) -> tuple[str, ...]:
    """Who holds a lock on *table* that keeps readers out."""
    quoted = reader.connection.dialect.identifier_preparer.format_table(cast("sa.Table", table))
    return tuple(
        f"pid {pid} ({name}, {state})" for pid, name, state in reader.rows(_LOCKING, name=quoted)
    )
