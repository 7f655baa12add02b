"""A structured log of what sessions do, off unless a suite asks for it.

Logger ``unstale.sessions``, level INFO. What is logged of a session is in the
record's own fields: `FIELDS`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session, SessionTransaction

__all__ = ["EVENTS", "FIELDS", "SessionMonitor", "backend_pid", "register"]

LOGGER = logging.getLogger("unstale.sessions")
OPTION = "unstale_session_monitor"

EVENTS = (
    "after_begin",
    "after_commit",
    "after_rollback",
    "after_flush",
    "after_soft_rollback",
    "after_transaction_end",
    "persistent_to_deleted",
)
"""``after_transaction_end`` shows what a commit expired: ``after_commit`` comes before that."""

FIELDS = (
    "session_event",
    "session_id",
    "session_age_ms",
    "session_objects",
    "session_expired",
    "session_new",
    "session_dirty",
    "session_deleted",
    "session_backend_pid",
)
"""Fields of a log record. Its thread is in the record's own ``thread`` and ``threadName``."""


def backend_pid(connection: Connection) -> int | None:
    """The server's process id of *connection*, as its driver knows it; asks no server."""
    driver = connection.connection.driver_connection
    info = getattr(driver, "info", None)
    for source, name in ((info, "backend_pid"), (driver, "get_server_pid")):
        found = getattr(source, name, None)
        if found is not None:
            return int(found() if callable(found) else found)
    return None


class SessionMonitor:
    """Listens to every session of the process while it is registered."""

    def __init__(self, logger: logging.Logger = LOGGER) -> None:
        self._logger = logger
        self._level = logger.level
        self._began: WeakKeyDictionary[Session, float] = WeakKeyDictionary()
        self._pids: WeakKeyDictionary[Session, int | None] = WeakKeyDictionary()
        self._listeners: dict[str, Callable[..., None]] = {
            name: getattr(self, f"_{name}") for name in EVENTS
        }

    def start(self) -> None:
        """Begin to listen."""
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        if self._logger.level == logging.NOTSET:
            self._logger.setLevel(logging.INFO)  # the root's own is WARNING
        for name, listener in self._listeners.items():
            event.listen(Session, name, listener)

    def stop(self) -> None:
        """Leave no listener behind."""
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        for name, listener in self._listeners.items():
            event.remove(Session, name, listener)
        self._logger.setLevel(self._level)

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Stop with the test run."""
        self.stop()

    def _after_begin(self, session: Session, _: SessionTransaction, connection: Connection) -> None:
        self._began.setdefault(session, time.monotonic())
        self._pids[session] = backend_pid(connection)
        self._log("after_begin", session)

    def _after_commit(self, session: Session) -> None:
        self._log("after_commit", session)

    def _after_rollback(self, session: Session) -> None:
        self._log("after_rollback", session)

    def _after_flush(self, session: Session, _: object) -> None:
        self._log("after_flush", session)

    def _after_soft_rollback(self, session: Session, _: SessionTransaction) -> None:
        self._log("after_soft_rollback", session)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        is_inner = transaction.parent is not None and not transaction.nested  # a flush's
        if is_inner or session not in self._began:
            return
        self._log("after_transaction_end", session)
        if transaction.parent is None:
            self._began.pop(session, None)
            self._pids.pop(session, None)

    def _persistent_to_deleted(self, session: Session, instance: object) -> None:
        self._log("persistent_to_deleted", session, type(instance).__name__)

    def _log(self, event: str, session: Session, subject: str = "") -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        fields = self._fields(event, session)
        told = " ".join(
            f"{name.removeprefix('session_')}={value}" for name, value in fields.items()
        )
        self._logger.info("%s%s", told, f" class={subject}" if subject else "", extra=fields)

    def _fields(self, event: str, session: Session) -> dict[str, Any]:
        from sqlalchemy import inspect

        began = self._began.get(session)
        age_ms = None if began is None else round((time.monotonic() - began) * 1000, 1)
        objects = list(session.identity_map.values())
        expired = sum(inspect(one).expired for one in objects)
        values = (
            event,
            session.hash_key,
            age_ms,
            len(objects),
            expired,
            len(session.new),
            len(session.dirty),
            len(session.deleted),
            self._pids.get(session),
        )
        return dict(zip(FIELDS, values, strict=True))


def register(config: pytest.Config) -> None:
    """Start the monitor if the suite has ``unstale_session_monitor = true``."""
    if not config.getini(OPTION):
        return
    monitor = SessionMonitor()
    monitor.start()
    config.pluginmanager.register(monitor, "unstale-session-monitor")
