"""Create the tables that are missing, and drop those alone.

`drop_all` after a migration leaves a database that every tool calls migrated.
So what is dropped is a list of the objects that one `create_missing` made,
each by its oid, in the same database of the same server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from unstale.errors import TearDownFailed
from unstale.pytest_plugin.readiness import (
    MIGRATION_LOCK,
    migrations_in_progress,
    wait_for_migrations,
)
from unstale.pytest_plugin.watch import allowed

if TYPE_CHECKING:
    from sqlalchemy import MetaData

__all__ = ["Created", "create_missing", "drop_created"]

_MIGRATED_S = 300.0

# system_identifier tells one server's data from another's, even on one address.
_PLACE = text(
    """
    SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || oid
      FROM pg_database WHERE datname = current_database()
    """
)
_OBJECTS = text(
    r"""
    SELECT oid, kind, name FROM (
        SELECT c.oid, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                                     WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
               format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS space
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                            AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e')
                            AND c.relkind = 'S')
        UNION ALL
        SELECT t.oid, 'TYPE', format('%I.%I', n.nspname, t.typname), n.nspname
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd')
        UNION ALL
        SELECT n.oid, 'SCHEMA', quote_ident(n.nspname), n.nspname FROM pg_namespace n
    ) found
    WHERE space NOT LIKE 'pg\_%' AND space <> 'information_schema'
    ORDER BY oid
    """
)
# One statement for each kind: foreign keys among tables that go together do not matter.
_ORDER = ("VIEW", "MATERIALIZED VIEW", "TABLE", "SEQUENCE", "TYPE", "SCHEMA")
_VERSIONED = text("SELECT count(*) FROM pg_class WHERE relname = 'alembic_version'")


@dataclass(frozen=True, slots=True)
class Created:
    """What one process made, and where."""

    place: str
    """The server's identifier and the database's oid."""
    objects: tuple[tuple[int, str, str], ...]
    """oid, kind in SQL, and quoted name at the time."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Quoted names of the tables among them."""
        return tuple(name for _, kind, name in self.objects if kind == "TABLE")


def create_missing(engine: Engine, metadata: MetaData) -> Created:
    """Create the tables of *metadata* that are not there, beside what is.

    No migration of ours can begin meanwhile: its lock is held in shared mode, on a
    connection of its own. Who calls holds off other processes that do the same.

    Raises:
        TimedOut: a migration was still going on after five minutes.

    """
    # A pg_stat_activity that is asked inside of a transaction never changes.
    outside = engine.execution_options(isolation_level="AUTOCOMMIT")
    while True:
        with engine.connect() as guard:
            guard.execute(text(f"SELECT pg_advisory_xact_lock_shared({MIGRATION_LOCK})"))
            # One that began before the lock was ours; plain Alembic takes no lock at all.
            if not migrations_in_progress(guard):
                return _create(engine, metadata)
        # Without the lock: a migrator that waits for it is in progress, too.
        wait_for_migrations(outside, deadline_s=_MIGRATED_S)


def _create(engine: Engine, metadata: MetaData) -> Created:
    with allowed(), engine.begin() as connection:
        before = set(connection.execute(_OBJECTS).scalars())
        schemas = {table.schema for table in metadata.tables.values() if table.schema}
        for schema in sorted(schemas):
            connection.execute(CreateSchema(schema, if_not_exists=True))
        metadata.create_all(connection)
        rows = connection.execute(_OBJECTS).all()
        made = tuple((row.oid, row.kind, row.name) for row in rows if row.oid not in before)
        return Created(connection.execute(_PLACE).scalar_one(), made)


def drop_created(engine: Engine, created: Created) -> str:
    """Drop the objects of *created* that are still there; a sentence on what was done.

    Nothing is dropped when a version table is there, or the URL leads elsewhere now.

    Raises:
        TearDownFailed: something else depends on them by now.

    """
    if not created.objects:
        return "no table was missing, so none is dropped"
    with allowed(), engine.begin() as connection:
        if connection.execute(_PLACE).scalar_one() != created.place:
            return "nothing is dropped: the URL leads to another database now"
        if connection.execute(_VERSIONED).scalar_one():
            return "nothing is dropped: alembic_version is there, the tables are a migration's"
        left = [r for r in connection.execute(_OBJECTS).all() if _is_ours(r, created)]
        try:
            _drop(connection, left)
        except DBAPIError as error:
            raise TearDownFailed(
                "The tables that were created for the tests could not be dropped.",
                cause=str(error.orig).strip(),
                hint="drop what a test left behind, then the tables",
            ) from error
    return f"dropped the {len(created.tables)} tables that were created"


def _is_ours(row: Row[tuple[int, str, str]], created: Created) -> bool:
    # By oid and kind: one that was dropped and made again is another's.
    return any(row.oid == oid and row.kind == kind for oid, kind, _ in created.objects)


def _drop(connection: Connection, left: list[Row[tuple[int, str, str]]]) -> None:
    for kind in _ORDER:
        names = ", ".join(row.name for row in left if row.kind == kind)
        if names:
            connection.exec_driver_sql(f"DROP {kind} {names}".replace("%", "%%"))
