"""The tables of a database, and how they become again what they were.

Names in these statements come from the server, quoted by it (``format('%I')``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from unstale.errors import ConfigError, Unavailable
from unstale.pytest_plugin.engines import sqlstate
from unstale.pytest_plugin.watch import allowed

__all__ = ["Baseline", "Table", "baseline", "catalog", "delete_dirty", "readable", "truncate"]

_LOCK_TIMEOUT_S = 3.0
_LOOK_AFTER_S = 1.0

# Partitions go with their root; what belongs to an extension is not the project's.
_TABLES = text(
    r"""
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
           format('%I.%I', n.nspname, c.relname) AS quoted,
           n.nspname = current_schema() AS is_default,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
              FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
               AND NOT a.attisdropped AND a.attgenerated = '') AS columns
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e'
                        AND (d.classid = 'pg_class'::regclass AND d.objid = c.oid
                             OR d.classid = 'pg_namespace'::regclass AND d.objid = n.oid))
     ORDER BY n.nspname, c.relname
    """
)
_REFERENCES = text(
    "SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid"
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the project."""

    oid: int
    schema: str
    name: str
    quoted: str
    """Schema and name, ready for SQL."""
    columns: str
    """Those that can be written, ready for SQL."""

    @property
    def sql(self) -> str:
        """`quoted`, as SQLAlchemy's text() takes it."""
        return _escaped(self.quoted)

    @property
    def copy(self) -> str:
        """The temporary table with the rows that are kept."""
        return f"pg_temp.unstale_keep_{self.oid}"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Which tables are emptied after a test, and which get their rows back."""

    emptied: tuple[Table, ...]
    """Those that reference others come first."""
    kept: tuple[Table, ...]
    """Their rows at the start are in `Table.copy`; the same order."""
    dependents: Mapping[int, frozenset[int]]
    """oid to the oids of all tables that reference it, however far."""
    can_replicate: bool
    """Whether the role may switch triggers and foreign keys off for itself."""


def baseline(
    connection: Connection,
    *,
    keep: Sequence[str] = (),
    version_table: tuple[str | None, str] | None = None,
) -> Baseline:
    """Note the tables, and the rows that are reference rows, for *connection*.

    The rows of *keep* (``table`` or ``schema.table``) are kept; without it, those of
    each table that has rows now. Alembic's *version_table* (schema and name)
    always is. The copies live as long as the connection.

    Raises:
        ConfigError: a table of *keep* is not there.

    """
    with connection.begin():
        rows = connection.execute(_TABLES).all()
        tables = [Table(r.oid, r.schema, r.name, r.quoted, r.columns or "") for r in rows]
        defaults = frozenset(row.schema for row in rows if row.is_default)
        references = [(r[0], r[1]) for r in connection.execute(_REFERENCES)]
        dependents = _dependents(references)
        ordered = _children_first(tables, dependents)
        filled = _selected(connection, [(t, _has_rows(t)) for t in ordered]) if not keep else ()
        named = {_named(name, tables, defaults) for name in keep}
        kept = tuple(
            table
            for table in ordered
            if table in filled or table in named or _is_version(table, version_table)
        )
        for table in kept:
            copied = f"SELECT {_escaped(table.columns) or '1'} FROM {_sql(table)}"  # noqa: S608
            connection.execute(text(f"CREATE TEMPORARY TABLE unstale_keep_{table.oid} AS {copied}"))
        return Baseline(
            emptied=tuple(table for table in ordered if table not in kept),
            kept=kept,
            dependents=dependents,
            can_replicate=_can_replicate(connection),
        )


def delete_dirty(connection: Connection, base: Baseline) -> None:
    """Find in one query what a test wrote to, and undo that alone.

    Sequences go on: an id that was given is not given again.

    Raises:
        Unavailable: somebody holds a lock; says who.

    """
    with _cleaning(connection, base):
        _restore(connection, base, base.emptied)


def truncate(connection: Connection, base: Baseline) -> None:
    """Empty all tables in one statement, begin their sequences anew, give kept rows back.

    Raises:
        Unavailable: somebody holds a lock; says who.

    """
    with _cleaning(connection, base):
        if base.emptied:
            # CASCADE reaches kept tables that reference emptied ones, and their sequences.
            states = _sequences(connection, base.kept)
            names = ", ".join(_sql(table) for table in base.emptied)
            connection.execute(text(f"TRUNCATE TABLE {names} RESTART IDENTITY CASCADE"))
            for name, last, is_called in states:
                set_back = text("SELECT setval(CAST(:name AS regclass), :last, :is_called)")
                values = {"name": name, "last": last, "is_called": is_called}
                connection.execute(set_back, values)
        _restore(connection, base, ())


def readable(connection: Connection) -> tuple[Table, ...]:
    """The project's tables whose rows the role may read."""
    allowed_to = text("SELECT has_table_privilege(:oid, 'SELECT')")
    tables = (
        Table(r.oid, r.schema, r.name, r.quoted, r.columns or "")
        for r in connection.execute(_TABLES).all()
    )
    return tuple(t for t in tables if connection.execute(allowed_to, {"oid": t.oid}).scalar_one())


_SEQUENCES = text(
    """
    SELECT s.oid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND s.relkind = 'S' AND d.deptype IN ('a', 'i') AND d.refobjid = ANY(:tables)
    """
)


def _sequences(connection: Connection, tables: Sequence[Table]) -> list[tuple[str, int, bool]]:
    """The sequences of *tables*, and where each of them is."""
    names = connection.execute(_SEQUENCES, {"tables": [t.oid for t in tables]}).scalars().all()
    found = []
    for name in names:
        sql = text(f"SELECT last_value, is_called FROM {_escaped(name)}")  # noqa: S608
        last, is_called = connection.execute(sql).one()
        found.append((name, last, is_called))
    return found


def catalog(engine: Engine) -> frozenset[str]:
    """Every fact of the catalog and the applied migrations, a line of text each."""
    from unstale.adapters.database import probe

    # Any: the probe has no hints, since it runs on the Python of any project.
    own: Any = probe
    # A connection of its own: its options stay with it.
    with engine.connect() as connection:
        facts = own.fingerprint(_Plain(connection))
    with engine.connect() as connection:
        found = {f"{fact} {words}".strip() for fact, words in facts.items()}
        for row in connection.execute(_TABLES).all():
            # By whatever name Alembic's table goes.
            if row.name == "alembic_version" or row.columns == "version_num":
                sql = f"SELECT version_num FROM {_escaped(row.quoted)}"  # noqa: S608
                found |= {f"migration {one}" for one in connection.execute(text(sql)).scalars()}
    return frozenset(found)


class _Plain:
    """A connection that takes statements as they are: a percent sign is one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection.execution_options(no_parameters=True)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What *sql* returns."""
        return [tuple(row) for row in self._connection.exec_driver_sql(sql)]


def _restore(connection: Connection, base: Baseline, emptied: Sequence[Table]) -> None:
    dirty = _selected(
        connection,
        [*((t, _has_rows(t)) for t in emptied), *((t, _is_changed(t)) for t in base.kept)],
    )
    if not dirty:
        return
    if not base.can_replicate:
        # ON DELETE CASCADE would empty, or a foreign key hold, those that reference them.
        reached = frozenset[int]().union(*(base.dependents.get(t.oid, ()) for t in dirty))
        dirty = (*dirty, *(t for t in base.kept if t.oid in reached and t not in dirty))
        connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
    gone = [table for table in (*base.emptied, *base.kept) if table in dirty]
    for table in _children_first(gone, base.dependents):
        connection.execute(text(f"DELETE FROM {_sql(table)}"))  # noqa: S608
    for table in reversed(_children_first([t for t in gone if t in base.kept], base.dependents)):
        if table.columns:
            columns = _escaped(table.columns)
            rows = f"SELECT {columns} FROM {table.copy}"  # noqa: S608
            into = f"INSERT INTO {_sql(table)} ({columns}) OVERRIDING SYSTEM VALUE"
            connection.execute(text(f"{into} {rows}"))


@contextmanager
def _cleaning(connection: Connection, base: Baseline) -> Iterator[None]:
    """A transaction that waits for locks a short time, and names who holds them."""
    with allowed(), connection.begin():
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        blockers: list[str] = []
        timer = threading.Timer(_LOOK_AFTER_S, _look, (connection.engine, pid, blockers))
        timer.daemon = True
        connection.execute(text(f"SET LOCAL lock_timeout = {int(_LOCK_TIMEOUT_S * 1000)}"))
        if base.can_replicate:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        timer.start()
        try:
            yield
        except DBAPIError as error:
            if sqlstate(error) != "55P03":
                raise
            raise Unavailable(
                f"The tables could not be cleaned within {_LOCK_TIMEOUT_S:g} s: "
                f"{'; '.join(blockers) or 'somebody'} holds a lock on them.",
                cause="Most likely a test or a fixture left a transaction open.",
                hint="end it there with rollback() or close(), then run the test again",
            ) from error
        finally:
            timer.cancel()
            timer.join()


def _look(engine: Engine, pid: int, blockers: list[str]) -> None:
    # While the lock is waited for: pg_blocking_pids knows nobody afterwards.
    sql = text(
        "SELECT 'pid ' || pid || ' (' || coalesce(nullif(application_name, ''), 'no name')"
        " || ', ' || coalesce(state, 'state not shown') || ')' FROM pg_stat_activity"
        " WHERE pid = ANY(pg_blocking_pids(:pid))"
    )
    with engine.connect() as connection:
        blockers += connection.execute(sql, {"pid": pid}).scalars()


def _selected(connection: Connection, conditions: Sequence[tuple[Table, str]]) -> tuple[Table, ...]:
    """The tables whose condition holds, asked in one query."""
    if not conditions:
        return ()
    parts = [f"SELECT {n} WHERE {condition}" for n, (_, condition) in enumerate(conditions)]
    numbers = connection.execute(text(" UNION ALL ".join(parts))).scalars()
    return tuple(conditions[n][0] for n in sorted(numbers))


def _has_rows(table: Table) -> str:
    return f"EXISTS (SELECT FROM {_sql(table)})"


def _is_changed(table: Table) -> str:
    # As text: json and other types have no equality.
    row = f"ROW({_escaped(table.columns)})::text"
    now, then = (f"SELECT {row} FROM {place}" for place in (_sql(table), table.copy))  # noqa: S608
    return f"EXISTS (({now} EXCEPT ALL {then}) UNION ALL ({then} EXCEPT ALL {now}))"


def _dependents(references: Iterable[tuple[int, int]]) -> dict[int, frozenset[int]]:
    """Who references whom, directly or through others; *references* are (child, parent)."""
    direct: dict[int, set[int]] = {}
    for child, parent in references:
        direct.setdefault(parent, set()).add(child)
    found = {}
    for parent, children in direct.items():
        reached, queue = set[int](), list(children)
        while queue:
            child = queue.pop()
            if child not in reached:
                reached.add(child)
                queue.extend(direct.get(child, ()))
        found[parent] = frozenset(reached)
    return found


def _children_first(
    tables: Iterable[Table], dependents: Mapping[int, frozenset[int]]
) -> tuple[Table, ...]:
    # A table has more dependents than each of them, unless they form a cycle.
    return tuple(sorted(tables, key=lambda t: (len(dependents.get(t.oid, ())), t.quoted)))


def _named(name: str, tables: Sequence[Table], defaults: frozenset[str]) -> Table:
    for table in tables:
        if name == f"{table.schema}.{table.name}" or (
            name == table.name and table.schema in defaults
        ):
            return table
    raise ConfigError(
        f"unstale_keep_tables names {name!r}, and there is no such table.",
        cause=f"Known: {', '.join(f'{t.schema}.{t.name}' for t in tables[:20]) or 'none'}.",
    )


def _is_version(table: Table, version_table: tuple[str | None, str] | None) -> bool:
    if table.name == "alembic_version":
        return True
    if version_table is None:
        return False
    schema, name = version_table
    return table.name == name and schema in (None, table.schema)


def _can_replicate(connection: Connection) -> bool:
    attempt = connection.begin_nested()
    try:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    except DBAPIError as error:
        if sqlstate(error) != "42501":
            raise
        return False
    else:
        return True
    finally:
        attempt.rollback()


def _sql(table: Table) -> str:
    return _escaped(table.quoted)


def _escaped(words: str) -> str:
    # A colon in a name would be taken for a parameter of SQLAlchemy.
    return words.replace(":", r"\:")
