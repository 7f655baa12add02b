"""Finds what was committed beside the transaction that isolates a test.

Rows are counted over a connection of its own, which sees nothing of an isolated
test. It asks for the next transaction's number first: where that did not move,
nobody wrote. What tables had before is told by their number of rows, what was
written over by the age of the rows' transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from unstale.pytest_plugin.engines import open_engine
from unstale.pytest_plugin.tables import Table, readable

__all__ = ["Commits"]

# A test may hold a table locked; its teardown is not to wait for that.
_LOCK_TIMEOUT = text("SET lock_timeout = '500ms'")
_NEXT = text("SELECT txid_snapshot_xmax(txid_current_snapshot())")
_IS_NEW = "age(xmin) <= age(CAST(CAST(:number % 4294967296 AS text) AS xid))"


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was committed at one time."""

    transaction: int
    tables: tuple[Table, ...]
    rows: Mapping[int, int]
    """oid to number."""


class Commits:
    """Compares what is committed in one database with what was there at the last look."""

    def __init__(self, url: str) -> None:
        self._connection: Connection = open_engine(url, autocommit=True).connect()
        self._connection.execute(_LOCK_TIMEOUT)
        self._mark = self._marked()

    def changes(self) -> tuple[str, ...]:
        """Each table that changed since the last look, and how; none where that can't be told."""
        before = self._mark
        if before is None:
            self._mark = self._marked()
            return ()
        try:
            number = self._next()
            if number == before.transaction:
                return ()
            found = self._counted(before.tables, before.transaction)
        except DBAPIError:  # dropped, altered or locked by now
            self._mark = self._marked()
            return ()
        self._mark = _Mark(number, before.tables, {oid: rows for oid, (rows, _) in found.items()})
        changed = (
            (t, found[t.oid][0] - before.rows[t.oid], found[t.oid][1]) for t in before.tables
        )
        return tuple(_told(table, more, new) for table, more, new in changed if more or new)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _marked(self) -> _Mark | None:
        try:
            # The number first: what is committed meanwhile is found by the next look.
            number, tables = self._next(), readable(self._connection)
            found = self._counted(tables, number)
        except DBAPIError:
            return None
        return _Mark(number, tables, {oid: rows for oid, (rows, _) in found.items()})

    def _next(self) -> int:
        return int(self._connection.execute(_NEXT).scalar_one())

    def _counted(self, tables: tuple[Table, ...], since: int) -> dict[int, tuple[int, int]]:
        """By oid the number of rows, and of those that were written after *since*."""
        if not tables:
            return {}
        parts = (
            f"SELECT {t.oid}, count(*), count(*) FILTER (WHERE {_IS_NEW}) FROM {t.sql}"  # noqa: S608 - quoted by the server
            for t in tables
        )
        counted = self._connection.execute(text(" UNION ALL ".join(parts)), {"number": since})
        return {oid: (rows, new) for oid, rows, new in counted}


def _told(table: Table, more: int, new: int) -> str:
    if more > 0:
        return f"{table.quoted} ({more} more)"
    return f"{table.quoted} ({-more} fewer)" if more else f"{table.quoted} ({new} written anew)"
