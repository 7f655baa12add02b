"""The session monitor: one structured record an event, and nothing at all when off."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from unstale.pytest_plugin.monitor import EVENTS, FIELDS, SessionMonitor, backend_pid, register


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sa.create_engine(database)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


class Kept(logging.Handler):
    """Keeps what is logged, in set-up too, where caplog begins a new list."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[Any]]:
    """What a started monitor logs."""
    monitor, kept = SessionMonitor(), Kept()
    logging.getLogger("unstale.sessions").addHandler(kept)
    monitor.start()
    yield kept.records
    monitor.stop()
    logging.getLogger("unstale.sessions").removeHandler(kept)


def listeners() -> int:
    """How many listeners all sessions have for the monitor's events."""
    return sum(len(getattr(Session.dispatch, name)._clslevel.get(Session, ())) for name in EVENTS)


def of(records: list[Any], event: str) -> Any:
    return next(record for record in records if record.session_event == event)


def test_each_event_is_logged_with_every_field(engine: Engine, records: list[Any]) -> None:
    with Session(engine) as session:
        user = User(email="ann@example.com")
        session.add(user)
        session.commit()
        session.delete(user)
        session.flush()
        session.rollback()

    assert {record.session_event for record in records} == set(EVENTS)
    assert all(hasattr(record, name) for record in records for name in FIELDS)
    assert {record.name for record in records} == {"unstale.sessions"}


def test_an_expired_object_is_counted_as_such_and_stays_in_the_map(
    engine: Engine, records: list[Any]
) -> None:
    """expire_all leaves the size of the identity map as it is, so the size tells nothing."""
    with Session(engine) as session:
        session.add_all([User(email="ann@example.com"), User(email="bob@example.com")])
        held = list(session.new)
        session.commit()

    assert len(held) == 2
    before, after = of(records, "after_commit"), of(records, "after_transaction_end")
    assert (before.session_objects, before.session_expired) == (2, 0)
    assert (after.session_objects, after.session_expired) == (2, 2)


def test_pending_changed_and_deleted_are_counted(engine: Engine, records: list[Any]) -> None:
    with Session(engine, autoflush=False) as session:
        held = [User(email="ann@example.com"), User(email="bob@example.com")]
        session.add_all(held)
        session.commit()
        session.refresh(held[1])
        records.clear()
        held[0].email = "new@example.com"
        session.delete(held[1])
        session.add(User(email="eve@example.com"))
        session.begin_nested()

    begun = of(records, "after_flush")
    assert (begun.session_new, begun.session_dirty, begun.session_deleted) == (1, 1, 1)


def test_the_backend_is_the_one_that_the_server_names(engine: Engine, records: list[Any]) -> None:
    with Session(engine) as session:
        pid = session.scalar(sa.text("SELECT pg_backend_pid()"))

    assert of(records, "after_begin").session_backend_pid == pid


def test_the_age_counts_from_the_transactions_begin(engine: Engine, records: list[Any]) -> None:
    with Session(engine) as session:
        session.execute(sa.text("SELECT pg_sleep(0.05)"))
        session.rollback()
        session.execute(sa.text("SELECT 1"))

    begun = [one for one in records if one.session_event == "after_begin"]
    assert of(records, "after_rollback").session_age_ms >= 50
    assert [one.session_age_ms < 50 for one in begun] == [True, True]


def test_a_savepoint_does_not_make_the_transaction_younger(
    engine: Engine, records: list[Any]
) -> None:
    with Session(engine) as session:
        session.execute(sa.text("SELECT pg_sleep(0.05)"))
        with session.begin_nested():
            session.execute(sa.text("SELECT 1"))
        records.clear()
        session.rollback()

    assert of(records, "after_rollback").session_age_ms >= 50


def test_sessions_and_threads_are_told_apart(engine: Engine, records: list[Any]) -> None:
    def work() -> None:
        with Session(engine) as session:
            session.execute(sa.text("SELECT 1"))

    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()
    work()

    begun = [one for one in records if one.session_event == "after_begin"]
    assert [one.threadName for one in begun] == ["other", "MainThread"]
    assert len({one.session_id for one in begun}) == 2


def test_async_sessions_are_logged_too(engine: Engine, records: list[Any]) -> None:
    async def work() -> int:
        asynchronous = create_async_engine(engine.url, poolclass=sa.NullPool)
        async with AsyncSession(asynchronous) as session:
            return await session.scalar(sa.text("SELECT pg_backend_pid()")) or 0

    assert asyncio.run(work()) == of(records, "after_begin").session_backend_pid


def test_no_value_of_a_row_is_logged(engine: Engine, records: list[Any]) -> None:
    with Session(engine) as session:
        user = User(email="secret@example.com")
        session.add(user)
        session.commit()
        session.delete(user)
        session.commit()

    assert "secret" not in "".join(record.getMessage() for record in records)
    assert "class=User" in of(records, "persistent_to_deleted").getMessage()


def test_a_closed_session_is_forgotten(engine: Engine) -> None:
    monitor = SessionMonitor()
    monitor.start()
    with Session(engine) as session:
        session.execute(sa.text("SELECT 1"))
    monitor.stop()

    assert not monitor._began
    assert not monitor._pids


def test_stopped_it_leaves_no_listener_and_the_level_as_it_was() -> None:
    logger = logging.getLogger("unstale.sessions")
    before, level = listeners(), logger.level
    monitor = SessionMonitor()
    monitor.start()
    during = listeners()
    monitor.stop()

    assert (during - before, listeners(), logger.level) == (len(EVENTS), before, level)


class Config:
    """The part of pytest's configuration that registering needs."""

    def __init__(self, option: bool) -> None:
        self.option = option
        self.pluginmanager = pytest.PytestPluginManager()

    def getini(self, name: str) -> bool:
        assert name == "unstale_session_monitor"
        return self.option


def test_it_is_off_unless_the_suite_asks_for_it() -> None:
    before = listeners()
    off: Any = Config(option=False)
    register(off)
    assert listeners() == before

    on: Any = Config(option=True)
    register(on)
    plugin = on.pluginmanager.get_plugin("unstale-session-monitor")
    assert listeners() == before + len(EVENTS)
    plugin.pytest_unconfigure()

    assert listeners() == before


def test_a_driver_that_names_no_backend_is_no_error() -> None:
    with sa.create_engine("sqlite://").connect() as connection:
        assert backend_pid(connection) is None
