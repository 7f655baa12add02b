"""The facade fails where a real AsyncSession fails: each scenario runs on both."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any
from weakref import ref

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)
from sqlmodel import Session as SQLModelSession
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelAsyncSession

from unstale.errors import UsageError
from unstale.pytest_plugin import facade as facade_module
from unstale.pytest_plugin.facade import AsyncFacade, WrongThread


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    notes: Mapped[str] = mapped_column(default="", deferred=True)
    letters: Mapped[list[Letter]] = relationship()


class Letter(Base):
    __tablename__ = "letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sa.create_engine(database)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(User(email="ann@example.com", letters=[Letter(), Letter()]))
        session.commit()
    yield engine
    engine.dispose()


class RefusedError(Exception):
    """An endpoint's own error."""


def refuse() -> None:
    raise RefusedError


# The scenarios: what an endpoint does with its session, and what comes of it.


async def attribute_after_commit(session: Any) -> Any:
    user = await session.get(User, 1)
    await session.commit()
    return user.email


async def attribute_after_commit_and_refresh(session: Any) -> Any:
    user = await session.get(User, 1)
    await session.commit()
    await session.refresh(user)
    return user.email


async def attribute_of_a_new_object_after_commit(session: Any) -> Any:
    user = User(email="bob@example.com")
    session.add(user)
    await session.commit()
    return user.id


async def attribute_after_rollback(session: Any) -> Any:
    user = await session.get(User, 1)
    await session.rollback()
    return user.email


async def server_default_after_flush(session: Any) -> Any:
    user = User(email="bob@example.com")
    session.add_all([user])
    await session.flush()
    return user.id


async def lazy_relationship(session: Any) -> Any:
    user = await session.get(User, 1)
    return len(user.letters)


async def eager_relationship(session: Any) -> Any:
    result = await session.execute(sa.select(User).options(selectinload(User.letters)))
    return [len(user.letters) for user in result.scalars()]


async def deferred_column(session: Any) -> Any:
    user = await session.get(User, 1)
    return user.notes


async def attribute_after_close(session: Any) -> Any:
    user = await session.get(User, 1)
    await session.commit()
    await session.close()
    return user.email


async def changed_then_lazy_in_merge(session: Any) -> Any:
    user = await session.merge(User(id=1, email="new@example.com"))
    await session.flush()
    return await session.scalar(sa.select(User.email)), user.email


async def begun_and_committed(session: Any) -> Any:
    async with session.begin():
        session.add(User(email="bob@example.com"))
    return await session.scalar(sa.select(sa.func.count()).select_from(User))


async def begun_and_failed(session: Any) -> Any:
    try:
        async with session.begin():
            session.add(User(email="bob@example.com"))
            await session.flush()
            refuse()
    except RefusedError:
        pass
    return await session.scalar(sa.select(sa.func.count()).select_from(User))


async def begun_twice(session: Any) -> Any:
    await session.scalar(sa.select(1))
    await session.begin()


async def begun_by_await(session: Any) -> Any:
    transaction = await session.begin()
    active = transaction.is_active
    await transaction.commit()
    return active


async def never_awaited_begin_does_nothing(session: Any) -> Any:
    session.begin()
    return await session.scalar(sa.select(1))


async def savepoint_rolled_back(session: Any) -> Any:
    session.add(User(email="bob@example.com"))
    await session.flush()
    nested = await session.begin_nested()
    session.add(User(email="eve@example.com"))
    await session.flush()
    await nested.rollback()
    return (await session.scalars(sa.select(User.email).order_by(User.id))).all()


async def unique_violation_then_more(session: Any) -> Any:
    session.add(User(email="ann@example.com"))
    with pytest.raises(sa.exc.IntegrityError):
        await session.flush()
    return await session.scalar(sa.select(1))


async def deleted_and_asked_for(session: Any) -> Any:
    user = (await session.scalars(sa.select(User).where(User.id == 1))).one()
    await session.execute(sa.delete(Letter))
    await session.refresh(user)
    await session.delete(user)
    await session.commit()
    return await session.get(User, 1)


async def entered_and_left(session: Any) -> Any:
    async with session as same:
        user = await same.get(User, 1)
    return user.email


async def objects_are_expired_by_a_failed_savepoint(session: Any) -> Any:
    user = await session.get(User, 1)
    try:
        async with session.begin_nested():
            user.email = "new@example.com"
            await session.flush()
            refuse()
    except RefusedError:
        pass
    return user.email


SCENARIOS: tuple[Callable[[Any], Awaitable[Any]], ...] = (
    attribute_after_commit,
    attribute_after_commit_and_refresh,
    attribute_of_a_new_object_after_commit,
    attribute_after_rollback,
    server_default_after_flush,
    lazy_relationship,
    eager_relationship,
    deferred_column,
    attribute_after_close,
    changed_then_lazy_in_merge,
    begun_and_committed,
    begun_and_failed,
    begun_twice,
    begun_by_await,
    never_awaited_begin_does_nothing,
    savepoint_rolled_back,
    unique_violation_then_more,
    deleted_and_asked_for,
    entered_and_left,
    objects_are_expired_by_a_failed_savepoint,
)


def outcome(scenario: Callable[[Any], Awaitable[Any]], session: Callable[[], Any]) -> object:
    """What the scenario returned, or the class of what it raised; the session is closed.

    A real AsyncSession raises MissingGreenlet as it is when it would have to
    connect, and inside of a StatementError when it has a connection.
    """

    async def run() -> object:
        made = session()
        try:
            return await scenario(made)
        except Exception as error:  # noqa: BLE001 - whatever it is, is compared
            return type(getattr(error, "orig", None) or error)
        finally:
            await made.close()

    with warnings.catch_warnings():
        # psycopg's coroutine, which the real MissingGreenlet left unawaited.
        warnings.simplefilter("ignore", RuntimeWarning)
        came_to = asyncio.run(run())
        gc.collect()
    return came_to


def restored(engine: Engine) -> None:
    """The rows that the fixture wrote, with the same keys."""
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE letters, users RESTART IDENTITY"))
    with Session(engine) as session:
        session.add(User(email="ann@example.com", letters=[Letter(), Letter()]))
        session.commit()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_facade_comes_to_what_a_real_async_session_comes_to(
    scenario: Callable[[Any], Awaitable[Any]], engine: Engine
) -> None:
    asynchronous = create_async_engine(engine.url, poolclass=sa.NullPool)
    for expire in (True, False):
        real = partial(AsyncSession, asynchronous, expire_on_commit=expire)
        adapted = partial(Session, engine, expire_on_commit=expire)
        wanted = outcome(scenario, real)
        restored(engine)
        found = outcome(scenario, lambda make=adapted: AsyncFacade(make()))
        restored(engine)

        assert found == wanted, f"expire_on_commit={expire}"


def test_the_scenarios_do_meet_the_error_that_the_facade_is_about(engine: Engine) -> None:
    adapted = outcome(attribute_after_commit, lambda: AsyncFacade(Session(engine)))

    assert adapted is MissingGreenlet


def test_without_strict_the_attribute_loads_as_the_wrapper_of_the_story_let_it(
    engine: Engine,
) -> None:
    adapted = outcome(attribute_after_commit, lambda: AsyncFacade(Session(engine), strict=False))

    assert adapted == "ann@example.com"


def test_sqlmodels_exec_is_there_where_the_session_has_it(engine: Engine) -> None:
    async def scenario(session: Any) -> Any:
        return (await session.exec(sa.select(User.email))).all()

    asynchronous = create_async_engine(engine.url, poolclass=sa.NullPool)
    real = outcome(scenario, lambda: SQLModelAsyncSession(asynchronous))
    adapted = outcome(scenario, lambda: AsyncFacade(SQLModelSession(engine)))
    plain = outcome(scenario, lambda: AsyncFacade(Session(engine)))

    assert adapted == real
    assert plain is AttributeError


@pytest.mark.parametrize("name", ["stream", "run_sync", "connection", "no_autoflush", "query"])
def test_what_is_not_supported_is_an_attribute_error_that_says_what_to_use(
    engine: Engine, name: str
) -> None:
    with pytest.raises(AttributeError, match=f"no '{name}'.*async_sessionmaker"):
        getattr(AsyncFacade(Session(engine)), name)


def test_another_thread_gets_a_clear_error(engine: Engine) -> None:
    shared = AsyncFacade(Session(engine))
    raised: list[BaseException] = []

    def use() -> None:
        try:
            asyncio.run(shared.scalar(sa.select(1)))
        except WrongThread as error:
            raised.append(error)

    thread = threading.Thread(target=use, name="client")
    thread.start()
    thread.join()

    assert "'MainThread' and was used in 'client'" in str(raised[0])


def test_a_closed_facade_leaves_the_session_as_it_was(engine: Engine) -> None:
    session = Session(engine)
    asyncio.run(AsyncFacade(session).close())

    user = session.scalars(sa.select(User)).one()
    session.commit()

    assert user.email == "ann@example.com"
    session.close()


def test_of_two_facades_over_one_session_the_last_to_close_ends_the_strictness(
    engine: Engine,
) -> None:
    session = Session(engine)
    first, second = AsyncFacade(session), AsyncFacade(session)
    asyncio.run(first.close())
    user = session.scalars(sa.select(User)).one()
    session.commit()
    with pytest.raises(MissingGreenlet):
        _ = user.email

    asyncio.run(second.close())

    assert session.scalars(sa.select(User)).one().email == "ann@example.com"
    session.close()


def test_closing_twice_is_allowed_as_it_is_for_a_session(engine: Engine) -> None:
    async def twice() -> None:
        async with AsyncFacade(Session(engine)) as session:
            await session.close()

    asyncio.run(twice())


def test_a_transaction_that_was_not_awaited_can_t_be_committed(engine: Engine) -> None:
    async def scenario() -> None:
        async with AsyncFacade(Session(engine)) as session:
            await session.begin().commit()

    with pytest.raises(UsageError, match="not begun"):
        asyncio.run(scenario())


def test_no_session_is_kept_alive(engine: Engine) -> None:
    session = Session(engine)
    facade = AsyncFacade(session)
    asyncio.run(facade.close())
    gone = ref(session)

    del session, facade
    gc.collect()

    assert gone() is None
    assert not facade_module._GUARDS


def test_it_says_what_it_is(engine: Engine) -> None:
    assert "compatibility adapter over Session" in repr(AsyncFacade(Session(engine)))
