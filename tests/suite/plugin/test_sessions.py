"""Sessions for tests: production's options, new for each request, nothing lost."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from unstale.errors import UsageError
from unstale.pytest_plugin.sessions import (
    DifferentSessionOptions,
    FrozenSnapshot,
    LeakedOverride,
    OpenTransaction,
    RemovedOverride,
    SessionSource,
    UncommittedChanges,
    UnflushedChanges,
    fresh,
    fresh_async,
    request_session,
)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


class AuditedSession(Session):
    """An application's own kind of session."""


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sa.create_engine(database)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def maker(engine: Engine) -> sessionmaker[Session]:
    """Options as production has them: not the defaults."""
    return sessionmaker(engine, expire_on_commit=False, autoflush=False, class_=AuditedSession)


@pytest.fixture
def outer(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is rolled back: savepoint isolation."""
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        assert transaction.is_active, "the code under test ended the isolating transaction"
        transaction.rollback()


def get_session() -> Iterator[Session]:
    """The application's own dependency; tests never run it."""
    raise AssertionError
    yield


SessionDep = Annotated[Session, Depends(get_session)]


def application() -> FastAPI:
    app = FastAPI()

    @app.post("/users")
    def create(session: SessionDep, *, commit: bool = True) -> int:
        session.add(User(email="ann@example.com"))
        session.flush()
        if commit:
            session.commit()
        return id(session)

    @app.post("/refused")
    def refuse(session: SessionDep) -> None:
        session.add(User(email="ann@example.com"))
        session.commit()
        session.add(User(email="bob@example.com"))
        session.flush()
        session.rollback()
        raise HTTPException(409)

    @app.get("/count")
    def count(session: SessionDep) -> int:
        return session.scalar(sa.select(sa.func.count()).select_from(User)) or 0

    @app.get("/identity")
    def identity(session: SessionDep) -> list[int]:
        before = len(session.identity_map)
        users = session.scalars(sa.select(User)).all()  # held: the map is weak
        return [before, len(session.identity_map), len(users)]

    return app


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(User)) or 0


def idle_in_transaction(engine: Engine) -> int:
    asked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
    )
    with engine.connect() as connection:
        return connection.scalar(asked) or 0


# The source


def test_a_source_keeps_the_class_and_every_option_of_the_application(
    maker: sessionmaker[Session], outer: Connection
) -> None:
    maker.configure(info={"tenant": "a"})
    for source in (SessionSource(maker), SessionSource(maker, "savepoint", outer)):
        with source.new() as session:
            assert isinstance(session, AuditedSession)
            assert (session.expire_on_commit, session.autoflush) == (False, False)
            assert session.info == {"tenant": "a"}


def test_listeners_on_the_applications_sessionmaker_hear_the_tests_sessions(
    maker: sessionmaker[Session],
) -> None:
    heard: list[Session] = []
    sa.event.listen(maker, "after_begin", lambda session, *_: heard.append(session))

    with SessionSource(maker).new() as session:
        session.execute(sa.text("SELECT 1"))

    assert heard == [session]


def test_an_option_that_production_does_not_have_is_warned_of_with_both_values(
    maker: sessionmaker[Session],
) -> None:
    with pytest.warns(DifferentSessionOptions) as warned:
        source = SessionSource(maker, options={"expire_on_commit": True})

    assert "expire_on_commit: the application's sessions have False, this test's True" in str(
        warned[0].message
    )
    assert warned[0].filename == __file__
    assert source.new().expire_on_commit


def test_the_option_that_production_has_too_is_not_warned_of(maker: sessionmaker[Session]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SessionSource(maker, options={"autoflush": False, "twophase": False})


@pytest.mark.parametrize("name", ["bind", "binds", "join_transaction_mode"])
def test_the_binding_is_no_option(maker: sessionmaker[Session], name: str) -> None:
    with pytest.raises(UsageError, match="can't be an option"):
        SessionSource(maker, options={name: None})


def test_what_is_no_sessionmaker_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="no session maker"):
        SessionSource(Session(engine))  # type: ignore[arg-type]


def test_a_connection_in_commit_mode_is_refused(
    maker: sessionmaker[Session], outer: Connection
) -> None:
    with pytest.raises(UsageError, match="takes Engine or nothing, not a Connection"):
        SessionSource(maker, "commit", outer)


def test_savepoint_mode_of_an_async_maker_needs_an_async_connection(outer: Connection) -> None:
    with pytest.raises(UsageError, match="takes AsyncConnection, not a Connection"):
        SessionSource(async_sessionmaker(), "savepoint", outer)


def test_a_sessionmaker_of_an_async_class_counts_as_async() -> None:
    maker: Any = sessionmaker(class_=AsyncSession)  # type: ignore[type-var]

    assert SessionSource(maker).is_async


def test_savepoint_mode_without_a_transaction_would_leak_and_is_refused(
    maker: sessionmaker[Session], engine: Engine
) -> None:
    with engine.connect() as connection:
        source = SessionSource(maker, "savepoint", connection)

        with pytest.raises(UsageError, match="in no transaction"):
            source.new()


def test_classes_bound_to_one_database_follow_the_connection(
    engine: Engine, outer: Connection
) -> None:
    source = SessionSource(sessionmaker(binds={User: engine}), "savepoint", outer)

    with source.new() as session:
        session.add(User(email="ann@example.com"))
        session.commit()

    assert rows(engine) == 0
    assert outer.scalar(sa.select(User.email)) == "ann@example.com"


def test_classes_bound_to_two_databases_are_refused(
    engine: Engine, outer: Connection, server_url: str
) -> None:
    two = sessionmaker(binds={User: engine, Base: sa.create_engine(server_url)})

    with pytest.raises(UsageError, match="several databases"):
        SessionSource(two, "savepoint", outer).new()


def test_in_savepoint_mode_commit_and_rollback_leave_the_outer_transaction_alone(
    maker: sessionmaker[Session], outer: Connection, engine: Engine
) -> None:
    source = SessionSource(maker, "savepoint", outer)
    with source.new() as session:
        session.add(User(email="kept@example.com"))
        session.commit()
        session.add(User(email="gone@example.com"))
        session.flush()
        session.rollback()

    assert outer.scalars(sa.select(User.email)).all() == ["kept@example.com"]
    assert rows(engine) == 0


# The requests


def test_every_request_gets_a_new_session_and_identity_map(
    maker: sessionmaker[Session], engine: Engine
) -> None:
    app = application()
    with request_session(app, get_session, SessionSource(maker)), TestClient(app) as client:
        client.post("/users").raise_for_status()
        seen = [client.get("/identity").json() for _ in range(3)]

    assert seen == [[0, 1, 1]] * 3
    assert rows(engine) == 1


def test_a_forgotten_commit_stays_missing_in_the_next_request(
    maker: sessionmaker[Session], engine: Engine
) -> None:
    app = application()
    with request_session(app, get_session, SessionSource(maker)), TestClient(app) as client:
        client.post("/users?commit=false").raise_for_status()
        counted = client.get("/count").json()

    assert counted == 0
    assert rows(engine) == 0


def test_a_forgotten_commit_stays_missing_under_savepoint_isolation_too(
    maker: sessionmaker[Session], outer: Connection
) -> None:
    app = application()
    source = SessionSource(maker, "savepoint", outer)
    with request_session(app, get_session, source), TestClient(app) as client:
        client.post("/users?commit=false").raise_for_status()
        assert client.get("/count").json() == 0
        client.post("/users").raise_for_status()
        assert client.get("/count").json() == 1


def test_the_shared_session_that_expires_everything_hides_a_forgotten_commit_and_writes_it_later(
    engine: Engine,
) -> None:
    """What this module replaces: the reason for a session per request."""
    shared = Session(engine)

    async def wrapped() -> AsyncIterator[Session]:
        shared.expire_all()
        yield shared

    app = application()
    app.dependency_overrides[get_session] = wrapped
    with TestClient(app) as client:
        client.post("/users?commit=false").raise_for_status()
        hidden = client.get("/count").json()
        before = rows(engine)
        client.post("/users").raise_for_status()
    shared.close()

    assert (hidden, before, rows(engine)) == (1, 0, 2)


def test_a_refused_request_keeps_what_it_committed_and_nothing_else(
    maker: sessionmaker[Session], outer: Connection
) -> None:
    app = application()
    source = SessionSource(maker, "savepoint", outer)
    with request_session(app, get_session, source), TestClient(app) as client:
        assert client.post("/refused").status_code == 409

    assert outer.scalars(sa.select(User.email)).all() == ["ann@example.com"]


def test_a_dependency_that_commits_for_its_endpoints_is_stood_in_for(
    maker: sessionmaker[Session], engine: Engine
) -> None:
    app = application()
    source = SessionSource(maker)
    with request_session(app, get_session, source, commit=True), TestClient(app) as client:
        client.post("/users?commit=false").raise_for_status()

    assert rows(engine) == 1


def test_no_connection_stays_idle_in_transaction(
    maker: sessionmaker[Session], engine: Engine
) -> None:
    app = application()
    with request_session(app, get_session, SessionSource(maker)):
        provide = app.dependency_overrides[get_session]
        abandoned = provide()  # a request that never ended
        next(abandoned).execute(sa.text("SELECT 1"))
        assert idle_in_transaction(engine) == 1

    assert idle_in_transaction(engine) == 0


def test_only_the_one_key_is_touched_and_its_former_override_comes_back(
    maker: sessionmaker[Session],
) -> None:
    def theirs() -> None: ...

    def other() -> None: ...

    app = application()
    app.dependency_overrides = {get_session: theirs}
    with request_session(app, get_session, SessionSource(maker)):
        app.dependency_overrides[other] = theirs

    assert app.dependency_overrides == {get_session: theirs, other: theirs}


def test_a_leaked_override_of_the_key_is_named_and_does_not_live_on(
    maker: sessionmaker[Session],
) -> None:
    def stand_in() -> None: ...

    app = application()
    with (
        pytest.raises(LeakedOverride, match=r"stand_in \(.*test_sessions\.py:\d+\)"),
        request_session(app, get_session, SessionSource(maker)),
    ):
        app.dependency_overrides[get_session] = stand_in

    assert app.dependency_overrides == {}


def test_a_leaked_override_does_not_hide_the_tests_own_failure(
    maker: sessionmaker[Session],
) -> None:
    app = application()

    def run() -> None:
        with request_session(app, get_session, SessionSource(maker)):
            app.dependency_overrides[get_session] = print
            raise ValueError("the test's own")

    with pytest.raises(ValueError, match="the test's own") as failed:
        run()

    assert "was left behind" in failed.value.__notes__[0]


def test_a_cleared_override_is_warned_of(maker: sessionmaker[Session]) -> None:
    app = application()
    with (
        pytest.warns(RemovedOverride, match=r"clear\(\)"),
        request_session(app, get_session, SessionSource(maker)),
    ):
        app.dependency_overrides.clear()


# Asynchronous applications


def async_application() -> FastAPI:
    app = FastAPI()

    @app.post("/users")
    async def create(
        session: Annotated[AsyncSession, Depends(get_session)], *, commit: bool = True
    ) -> bool:
        user = User(email="ann@example.com")
        session.add(user)
        await session.flush()
        if commit:
            await session.commit()
        return session.sync_session.expire_on_commit

    @app.get("/count")
    async def count(session: Annotated[AsyncSession, Depends(get_session)]) -> int:
        return await session.scalar(sa.select(sa.func.count()).select_from(User)) or 0

    return app


def test_async_requests_get_the_applications_own_async_sessions(
    database: str, engine: Engine
) -> None:
    asynchronous = create_async_engine(database, poolclass=sa.NullPool)
    source = SessionSource(async_sessionmaker(asynchronous, expire_on_commit=False))
    app = async_application()
    with request_session(app, get_session, source), TestClient(app) as client:
        assert client.post("/users").json() is False
        client.post("/users?commit=false").raise_for_status()
        counted = client.get("/count").json()

    assert counted == rows(engine) == 1
    assert idle_in_transaction(engine) == 0


@pytest.mark.parametrize(("expire", "status"), [(True, 500), (False, 200)])
def test_the_facade_answers_500_where_production_would(
    engine: Engine, expire: bool, status: int
) -> None:
    app = FastAPI()

    @app.post("/users")
    async def create(session: Annotated[Any, Depends(get_session)]) -> str:
        user = User(email="ann@example.com")
        session.add(user)
        await session.commit()
        return user.email

    source = SessionSource(sessionmaker(engine, expire_on_commit=expire))
    with (
        request_session(app, get_session, source, facade=True),
        TestClient(app, raise_server_exceptions=False) as client,
    ):
        answered = client.post("/users").status_code

    assert answered == status
    assert rows(engine) == 1


def test_the_facade_stands_in_for_a_dependency_that_commits(engine: Engine) -> None:
    app = FastAPI()

    @app.post("/users")
    async def create(session: Annotated[Any, Depends(get_session)]) -> None:
        session.add(User(email="ann@example.com"))

    source = SessionSource(sessionmaker(engine))
    with (
        request_session(app, get_session, source, commit=True, facade=True),
        TestClient(app) as client,
    ):
        client.post("/users").raise_for_status()

    assert rows(engine) == 1


def test_an_async_savepoint_survives_commit_and_rollback(database: str, engine: Engine) -> None:
    async def scenario() -> list[str]:
        asynchronous = create_async_engine(database, poolclass=sa.NullPool)
        async with asynchronous.connect() as connection:
            transaction = await connection.begin()
            source = SessionSource(async_sessionmaker(), "savepoint", connection)
            app = async_application()
            async with request_session(app, get_session, source):
                provide = app.dependency_overrides[get_session]
                async for session in provide():
                    session.add(User(email="kept@example.com"))
                    await session.commit()
                    session.add(User(email="gone@example.com"))
                    await session.flush()
            emails = list((await connection.scalars(sa.select(User.email))).all())
            await transaction.rollback()
            return emails

    assert asyncio.run(scenario()) == ["kept@example.com"]
    assert rows(engine) == 0


def test_async_with_closes_the_session_that_a_request_left_open(
    database: str, engine: Engine
) -> None:
    async def scenario() -> tuple[int, int]:
        asynchronous = create_async_engine(database, poolclass=sa.NullPool)
        app = async_application()
        async with request_session(
            app, get_session, SessionSource(async_sessionmaker(asynchronous))
        ):
            abandoned = app.dependency_overrides[get_session]()
            session = await anext(abandoned)
            await session.execute(sa.text("SELECT 1"))
            during = idle_in_transaction(engine)
        after = idle_in_transaction(engine)
        await abandoned.aclose()
        return during, after

    assert asyncio.run(scenario()) == (1, 0)


def test_with_alone_names_an_async_session_that_it_cannot_close(database: str) -> None:
    async def scenario() -> None:
        asynchronous = create_async_engine(database, poolclass=sa.NullPool)
        app = async_application()
        abandoned = None
        try:
            with request_session(app, get_session, SessionSource(async_sessionmaker(asynchronous))):
                abandoned = app.dependency_overrides[get_session]()
                await (await anext(abandoned)).execute(sa.text("SELECT 1"))
        finally:
            if abandoned is not None:
                await abandoned.aclose()

    with pytest.raises(OpenTransaction, match="left an AsyncSession"):
        asyncio.run(scenario())


# Reading anew


def change(engine: Engine, email: str) -> None:
    """Another transaction's committed change."""
    with engine.begin() as connection:
        connection.execute(sa.update(User).values(email=email))


@pytest.fixture
def loaded(engine: Engine) -> Iterator[tuple[Session, User]]:
    """A session that holds a user, in an open transaction."""
    with Session(engine, expire_on_commit=False) as session:
        user = User(email="old@example.com")
        session.add(user)
        session.commit()
        session.scalars(sa.select(User)).all()
        yield session, user


def test_fresh_shows_what_another_transaction_committed(
    loaded: tuple[Session, User], engine: Engine
) -> None:
    session, user = loaded
    change(engine, "new@example.com")
    assert session.scalars(sa.select(User)).one().email == "old@example.com"

    fresh(session)

    assert user.email == "new@example.com"


def test_fresh_refuses_to_drop_what_was_not_flushed_and_names_it_without_values(
    loaded: tuple[Session, User],
) -> None:
    session, user = loaded
    user.email = "secret@example.com"
    session.add(User(email="hidden@example.com"))

    with pytest.raises(UnflushedChanges) as refused:
        fresh(session)

    assert f"changed: User({user.id})" in str(refused.value)
    assert "new: User (not yet in the database)" in str(refused.value)
    assert "example.com" not in str(refused.value)
    assert user.email == "secret@example.com"


def test_fresh_names_a_deleted_object(loaded: tuple[Session, User]) -> None:
    session, user = loaded
    session.delete(user)

    with pytest.raises(UnflushedChanges, match=rf"deleted: User\({user.id}\)"):
        fresh(session)


def test_expire_all_drops_unflushed_work_without_a_word(loaded: tuple[Session, User]) -> None:
    """What `fresh` refuses to do."""
    session, user = loaded
    user.email = "lost@example.com"

    session.expire_all()

    assert not session.dirty
    assert user.email == "old@example.com"


def test_fresh_with_flush_sends_the_work_first(
    loaded: tuple[Session, User], engine: Engine
) -> None:
    session, user = loaded
    user.email = "kept@example.com"

    fresh(session, flush=True)
    session.commit()

    with engine.connect() as connection:
        assert connection.scalar(sa.select(User.email)) == "kept@example.com"


def test_an_assignment_of_the_same_value_is_no_change(loaded: tuple[Session, User]) -> None:
    session, user = loaded
    user.email = str(user.email)
    assert user in session.dirty

    fresh(session)


@pytest.fixture(params=["REPEATABLE READ", "SERIALIZABLE"])
def snapshot(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        session.add(User(email="old@example.com"))
        session.commit()
    level = engine.execution_options(isolation_level=request.param)
    with Session(level) as session:
        assert session.scalars(sa.select(User)).one().email == "old@example.com"
        yield session


def test_expire_all_changes_nothing_under_a_snapshot_and_fresh_does(
    snapshot: Session, engine: Engine
) -> None:
    change(engine, "new@example.com")
    snapshot.expire_all()
    assert snapshot.scalars(sa.select(User)).one().email == "old@example.com"

    fresh(snapshot)

    assert snapshot.scalars(sa.select(User)).one().email == "new@example.com"


def test_fresh_does_not_roll_back_what_a_snapshot_transaction_wrote(snapshot: Session) -> None:
    snapshot.add(User(email="work@example.com"))
    snapshot.flush()

    with pytest.raises(UncommittedChanges):
        fresh(snapshot)

    snapshot.commit()
    assert len(snapshot.scalars(sa.select(User)).all()) == 2


def test_fresh_says_so_if_the_snapshot_is_not_the_sessions_own(engine: Engine) -> None:
    level = engine.execution_options(isolation_level="REPEATABLE READ")
    with level.connect() as connection, connection.begin():
        source = SessionSource(sessionmaker(), "savepoint", connection)
        with source.new() as session:
            session.scalars(sa.select(User)).all()

            with pytest.raises(FrozenSnapshot):
                fresh(session)


def test_fresh_async_does_the_same(database: str, engine: Engine) -> None:
    async def scenario() -> str:
        asynchronous = create_async_engine(database, poolclass=sa.NullPool)
        async with AsyncSession(asynchronous, expire_on_commit=False) as session:
            user = User(email="old@example.com")
            session.add(user)
            await session.commit()
            user.email = "unsent@example.com"
            with pytest.raises(UnflushedChanges):
                await fresh_async(session)
            await session.rollback()
            await session.refresh(user)
            change(engine, "new@example.com")
            await fresh_async(session)
            await session.refresh(user)
            return user.email

    assert asyncio.run(scenario()) == "new@example.com"


# The fixture of a suite that names its sessionmaker

DATABASE = """
import os
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

engine = sa.create_engine(os.environ["APP_URL"], poolclass=sa.NullPool)
maker = sessionmaker(engine, expire_on_commit=False)
asynchronous = async_sessionmaker(
    create_async_engine(os.environ["APP_URL"], poolclass=sa.NullPool), expire_on_commit=False
)

def later():
    return maker
"""
COMMITS = """
import pytest
import sqlalchemy as sa
from models import User

@pytest.mark.parametrize("turn", [1, 2])
def test_commits(session_source, turn):
    with session_source.new() as session:
        session.add(User(name="ann"))
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 1
        assert session.expire_on_commit is False
"""
COMMITS_ASYNC = """
import asyncio
import pytest
import sqlalchemy as sa
from models import User

@pytest.mark.parametrize("turn", [1, 2])
def test_commits(session_source, turn):
    async def work():
        async with session_source.new() as session:
            session.add(User(name="ann"))
            await session.commit()
            return await session.scalar(sa.select(sa.func.count()).select_from(User))

    assert asyncio.run(work()) == 1
"""


@pytest.mark.parametrize(
    ("name", "isolation", "tests"),
    [
        ("maker", "savepoint", COMMITS),
        ("later", "dirty-delete", COMMITS),
        ("asynchronous", "dirty-delete", COMMITS_ASYNC),
    ],
)
def test_a_suite_that_names_its_sessionmaker_gets_isolated_sessions(
    suite: Any, name: str, isolation: str, tests: str
) -> None:
    suite.opts(isolation=isolation, sessionmaker=f"app_database:{name}")
    suite.write("app_database.py", DATABASE)
    suite.tests(tests)
    suite.migrate()

    suite.run().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("app_database:nobody", "can't be imported"),
        ("app_database:engine", "no session maker"),
    ],
)
def test_what_is_no_sessionmaker_is_named(suite: Any, name: str, words: str) -> None:
    suite.opts(sessionmaker=name, schema="none")
    suite.write("app_database.py", DATABASE)
    suite.tests("def test_it(session_source): ...")

    result = suite.run()

    result.assert_outcomes(errors=1)
    assert words in result.stdout.str()


_NO_GREENLET = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "greenlet":
            raise ImportError("greenlet is not installed")

sys.meta_path.insert(0, Blocked())
"""
_SYNC_SUITE = """
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from models import Base, User
from unstale.pytest_plugin import assert_db_state, fresh, request_session

maker = sessionmaker(create_engine("{url}"))

class App:
    def __init__(self):
        self.dependency_overrides = {{}}

def test_counts(session_source, isolated_database):
    with session_source.new() as session:
        session.add(User(id=1, name="Ann"))
        session.commit()
        fresh(session)
        assert_db_state(session, expected_user=1)
    with request_session(App(), maker, session_source):
        pass

def test_fails(session_source):
    with session_source.new() as session:
        session.connection()
        assert_db_state(session, expected_user=7)
"""


@pytest.mark.parametrize("isolation", ["savepoint", "dirty-delete"])
def test_a_sync_suite_needs_no_greenlet(suite: Any, isolation: str) -> None:
    suite.migrate()
    suite.opts(
        isolation=isolation,
        sessionmaker="test_it:maker",
        leaks="true",
        session_monitor="true",
    )
    suite.write("no_greenlet.py", _NO_GREENLET)
    suite.tests(_SYNC_SUITE.format(url=suite.url))

    result = suite.run("-p", "no_greenlet")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*user: expected 7 rows*"])
    assert "INTERNALERROR" not in result.stdout.str()
