"""Wait for the real server, and for whoever is migrating."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from unstale.errors import NotReady, TimedOut
from unstale.pytest_plugin.engines import masked, open_engine, sync_url

__all__ = ["MIGRATION_LOCK", "migrations_in_progress", "wait_for_migrations", "wait_until_ready"]

MIGRATION_LOCK = "1970170222, 1835625838"
"""The advisory lock that ``inv db.migrate`` holds on a connection of its own."""

_PAUSE_S = 0.1
_SILENT_S = 3.0
_STARTED = text("SELECT pg_postmaster_start_time()::text, pg_is_in_recovery()")
# Waiting would not help. libpq gives no SQLSTATE for a refused connection.
_FINAL = ("password authentication failed", "does not exist", "no pg_hba.conf entry")

# An uncommitted table has a lock that everybody sees, and a row that nobody does.
_IN_PROGRESS = text(
    """
    SELECT DISTINCT coalesce(nullif(a.application_name, ''), 'no name') || ' (pid ' || a.pid || ')'
      FROM pg_stat_activity a
     WHERE a.pid <> pg_backend_pid() AND a.datname = current_database()
       AND (a.application_name LIKE 'unstale-migrate%'
            OR EXISTS (
                SELECT FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation
                 WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation'
                   AND l.mode = 'AccessExclusiveLock' AND c.oid IS NULL
                   AND l.database = (SELECT oid FROM pg_database
                                      WHERE datname = current_database()))
            OR EXISTS (
                SELECT FROM pg_locks l
                 WHERE l.pid = a.pid AND l.granted AND l.locktype = 'advisory'
                   AND l.mode = 'ExclusiveLock' AND l.objsubid = 2
                   AND l.classid = 1970170222 AND l.objid = 1835625838
                   AND l.database = (SELECT oid FROM pg_database
                                      WHERE datname = current_database())))
    """
)


def _told_nobody(_words: str) -> None:
    """Who does not care what is waited for."""


def wait_until_ready(
    url: str,
    *,
    deadline_s: float,
    tell: Callable[[str], None] = _told_nobody,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when two connections in a row were answered by one and the same server.

    After a few seconds, *tell* is called once with what is waited for, and until when.

    Raises:
        NotReady: the server refused for good, or the deadline passed; the cause
            is the last error, without the password.

    """
    end, first, last = monotonic() + deadline_s, "", ""
    mask, waiting = masked(url), _Waiting(tell, end - deadline_s, deadline_s)
    while True:
        try:
            with open_engine(url).connect() as connection:
                started, in_recovery = connection.execute(_STARTED).one()
        except DBAPIError as error:
            first, last = "", mask(str(error.orig).strip())
            if any(words in last for words in _FINAL):
                raise NotReady(
                    "The database refused the connection for good.",
                    cause=last,
                    hint="compare the URL's user, password and database with the server's",
                ) from None
        else:
            if started == first and not in_recovery:
                return
            first, last = started, "the server is in recovery" if in_recovery else last
        if monotonic() >= end:
            raise NotReady(
                f"The database did not become ready within {deadline_s:g} s.",
                cause=f"Last error: {last or 'none'}",
                hint="start it, e.g. inv stack.up",
            )
        waiting.at(monotonic(), f"the database at {_server(url)} ({_first_line(last)})")
        sleep(_PAUSE_S if last else 0)


@dataclass(slots=True)
class _Waiting:
    """Tells once, and late enough that a server that just starts is not spoken of."""

    tell: Callable[[str], None]
    began: float
    deadline_s: float
    is_told: bool = False

    def at(self, now: float, what: str) -> None:
        """Say at the time *now* that *what* is waited for, if that was not said."""
        if self.is_told or now - self.began < _SILENT_S:
            return
        self.is_told = True
        left = max(0.0, self.began + self.deadline_s - now)
        until = datetime.now().astimezone() + timedelta(seconds=left)
        self.tell(f"unstale: waiting for {what} until {until:%H:%M:%S}, {left:.0f} s from now")


def _server(url: str) -> str:
    parsed = sync_url(url)
    return f"{parsed.host or 'a local socket'}:{parsed.port or 5432}/{parsed.database or ''}"


def _first_line(error: str) -> str:
    return next(iter(error.splitlines()), "it answers")


def migrations_in_progress(connection: Connection) -> tuple[str, ...]:
    """Who migrates the connection's database right now: application and pid."""
    return tuple(row[0] for row in connection.execute(_IN_PROGRESS))


def wait_for_migrations(
    engine: Engine, *, deadline_s: float, tell: Callable[[str], None] = _told_nobody
) -> None:
    """Return when nobody migrates the database; *tell* as in `wait_until_ready`.

    A migration that is not committed is invisible in the catalog: a database
    without tables may be one that is being filled.

    Raises:
        TimedOut: somebody still does when the deadline passed.

    """
    began = time.monotonic()
    end, waiting = began + deadline_s, _Waiting(tell, began, deadline_s)
    with engine.connect() as connection:
        while busy := migrations_in_progress(connection):
            if time.monotonic() >= end:
                raise TimedOut(
                    f"A migration was still going on after {deadline_s:g} s.",
                    cause=f"It is run by {', '.join(busy)}.",
                    hint="look at it in pg_stat_activity, then start the tests again",
                )
            waiting.at(time.monotonic(), f"the migration of {', '.join(busy)}")
            time.sleep(_PAUSE_S)
