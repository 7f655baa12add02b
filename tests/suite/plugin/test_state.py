"""A wrong count is explained: uncommitted, stale, another database, truncated."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session
from sqlalchemy.orm import sessionmaker as make

from unstale.errors import UsageError
from unstale.pytest_plugin import state
from unstale.pytest_plugin.facade import AsyncFacade
from unstale.pytest_plugin.state import assert_db_state, assert_db_state_async, diagnose

SECRET = "hunter2secret"


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    verified: Mapped[bool] = mapped_column(default=False)


class Order(Base):
    """A name that must be quoted, in a schema that the search path does not have."""

    __tablename__ = "Order"
    __table_args__ = ({"schema": "shop"},)

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("shop"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def keeping(engine: Engine) -> Iterator[Session]:
    """A session whose objects a commit does not expire."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def surroundings() -> Iterator[Any]:
    """What the plugin would know of a running test; empty again afterwards."""
    yield state._NOW
    state._NOW.variable, state._NOW.fixture = "", None
    state._NOW.starts.clear()


def failure(target: Any, *args: Any, **expected: Any) -> str:
    with pytest.raises(AssertionError) as failed:
        assert_db_state(target, *args, **expected)
    return str(failed.value)


def committed(engine: Engine, *emails: str) -> None:
    with Session(engine) as session:
        session.add_all([User(email=email) for email in emails])
        session.commit()


# What counts


def test_committed_rows_count_whatever_the_target_is(session: Session, engine: Engine) -> None:
    session.add(User(email="ann@example.com"))
    session.commit()
    url = engine.url.render_as_string(hide_password=False)
    registry = scoped_session(make(engine))
    with engine.connect() as connection:
        for target in (session, engine, url, engine.url, connection, registry):
            assert_db_state(target, expected_users=1)
    assert_db_state(AsyncFacade(session), expected_users=1)


def test_a_predicate_is_given_the_number(session: Session, engine: Engine) -> None:
    committed(engine, "ann@example.com", "bob@example.com")

    assert_db_state(session, expected_users=lambda number: number > 1)
    assert "what <function" in failure(session, expected_users=lambda number: number > 2)


def test_tables_classes_and_names_with_a_schema_are_keys(session: Session, engine: Engine) -> None:
    committed(engine, "ann@example.com")
    session.add(Order())
    session.commit()

    assert_db_state(session, {User: 1, Order.__table__: 1, "shop.Order": 1, "users": 1})


def test_several_wrong_tables_are_all_named(session: Session) -> None:
    text = failure(session, {"shop.Order": 2}, expected_users=1)

    assert "shop.Order: expected 2 rows, committed are 0" in text
    assert "users: expected 1 row, committed are 0" in text


def test_a_missing_table_is_named_with_its_database(session: Session, engine: Engine) -> None:
    text = failure(session, expected_accounts=1)

    assert "there is no table accounts" in text
    assert f"current_database() is {engine.url.database}" in text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("user", "Did you mean users? Write expected_users="),
        ("USERS", "Did you mean users? Write expected_users="),
        ("order", 'Did you mean shop.Order? Write {"shop.Order": ...}'),
        ("shop.order", 'Did you mean shop.Order? Write {"shop.Order": ...}'),
        ("nothing", "Known: shop.Order, users."),
        (sa.Table("accounts", sa.MetaData()), "Its migration may not be applied: inv db.status"),
        (sa.Table("user", sa.MetaData()), "Its migration may not be applied: inv db.status"),
        (sa.Table("Order", sa.MetaData()), "Did you mean shop.Order?\n"),
    ],
    ids=str,
)
def test_a_table_that_is_not_there_is_told_from_a_typing_error(
    session: Session, key: object, words: str
) -> None:
    text = failure(session, {key: 1})

    assert words in text
    assert "Apply the migrations" not in text


def test_without_any_table_the_migrations_are_the_next_step(database: str) -> None:
    assert "nor any other. Apply the migrations" in failure(database, expected_users=1)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"users": 1}, "write expected_users="),
        ({}, "Nothing is expected"),
        ({"expected_users": True}, "a number of rows"),
        ({"expected_users": "1"}, "a number of rows"),
    ],
)
def test_what_can_t_be_an_expectation_is_refused(
    session: Session, expected: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        assert_db_state(session, **expected)


@pytest.mark.parametrize("target", [object(), 7])
def test_what_leads_to_no_database_is_refused(target: object) -> None:
    with pytest.raises(UsageError, match="leads to no database"):
        assert_db_state(target, expected_users=1)


def test_a_key_that_is_no_table_is_refused(session: Session) -> None:
    with pytest.raises(UsageError, match="is no table"):
        assert_db_state(session, {object: 1})


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(UsageError, match="only postgresql"):
        assert_db_state(sa.create_engine("sqlite://"), expected_users=1)


def test_counting_changes_nothing_in_the_session(session: Session, engine: Engine) -> None:
    committed(engine, "ann@example.com")
    user = session.scalars(sa.select(User)).one()
    user.verified = True
    session.add(User(email="bob@example.com"))

    failure(session, expected_users=7)

    assert user in session.dirty
    assert len(session.new) == 1
    assert not sa.inspect(user).expired
    session.commit()
    assert_db_state(session, expected_users=2)


def test_an_idle_session_is_not_drawn_into_a_transaction(session: Session) -> None:
    failure(session, expected_users=7)

    assert not session.in_transaction()


@pytest.mark.usefixtures("engine")
def test_a_pool_of_one_connection_is_enough(database: str) -> None:
    for pool in (
        {"pool_size": 1, "max_overflow": 0, "pool_timeout": 1},
        {"poolclass": sa.StaticPool},
    ):
        small = sa.create_engine(database, **pool)
        with Session(small) as session:
            session.add(User(email="ann@example.com"))
            session.flush()
            assert "the session itself counts 1" in failure(session, expected_users=1)
        small.dispose()


def test_the_copy_of_the_pool_keeps_what_its_listeners_set_up(database: str) -> None:
    tenant = sa.create_engine(database)

    @sa.event.listens_for(tenant, "connect")
    def search(dbapi_connection: Any, _: object) -> None:
        dbapi_connection.execute("SET search_path = shop")
        dbapi_connection.commit()

    with tenant.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA shop"))
        connection.execute(sa.text("CREATE TABLE things (id int)"))

    assert_db_state(tenant, expected_things=0)
    tenant.dispose()


def test_no_connection_is_left_behind(session: Session) -> None:
    def connections() -> int:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return session.scalar(sa.text(asked)) or 0

    before = connections()
    failure(session, expected_users=7)

    # The server ends a backend a moment after its client went away.
    ended = sa.text(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state IS NULL"
    )
    session.execute(ended)
    assert connections() <= before


# Uncommitted


def test_a_forgotten_commit_is_called_uncommitted(session: Session) -> None:
    session.add(User(email="ann@example.com"))
    session.flush()

    text = failure(session, expected_users=1)

    assert "expected 1 row, committed are 0; the session itself counts 1" in text
    assert "uncommitted: the session counts more than is committed" in text
    assert "idle in transaction" in text
    assert "has written to users" in text


def test_a_forgotten_flush_is_called_uncommitted_too(session: Session) -> None:
    session.add(User(email="ann@example.com"))

    text = failure(session, expected_users=1)

    assert "uncommitted: 1 new and not even flushed: User (not yet in the database)" in text


def test_an_uncommitted_delete_is_told(session: Session, engine: Engine) -> None:
    committed(engine, "ann@example.com")
    session.execute(sa.delete(User))

    text = failure(session, expected_users=0)

    assert "the session itself counts 0" in text
    assert "it deleted rows without a commit" in text


def test_an_uncommitted_change_is_told_apart_from_a_stale_object(
    session: Session, engine: Engine
) -> None:
    committed(engine, "ann@example.com")
    user = session.scalars(sa.select(User)).one()
    user.verified = True
    session.flush()

    lines = diagnose(session)

    assert f"  uncommitted: User({user.id}): other values of verified" in lines
    assert not any("stale in" in line for line in lines)


def test_a_failed_transaction_is_named_and_not_asked(session: Session) -> None:
    with pytest.raises(sa.exc.ProgrammingError):
        session.execute(sa.text("SELECT nonsense"))

    text = failure(session, expected_users=1)

    assert "the session itself was not asked: its transaction failed" in text


def test_a_raw_connection_that_did_not_commit_is_told(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(sa.insert(User).values(email="ann@example.com"))

        text = failure(connection, expected_users=1)

    assert "itself counts 1" in text
    assert "has written to users" in text


def test_a_table_locked_by_an_open_truncate_is_not_waited_for_in_vain(session: Session) -> None:
    session.execute(sa.text("TRUNCATE users"))
    pid = session.scalar(sa.text("SELECT pg_backend_pid()"))

    text = failure(session, expected_users=0)

    assert f"users is locked against readers by pid {pid}" in text


# Stale


def test_an_object_that_others_changed_is_stale(keeping: Session, engine: Engine) -> None:
    user = User(email=SECRET)
    keeping.add(user)
    keeping.commit()
    with engine.begin() as connection:
        connection.execute(sa.update(User).values(verified=True, email="new@example.com"))

    lines = diagnose(keeping)

    assert f"  stale in the identity map: User({user.id}): other values of email, verified" in lines
    assert not any(SECRET in line or "new@example.com" in line for line in lines)


def test_an_object_whose_row_others_deleted_is_stale(keeping: Session, engine: Engine) -> None:
    user = User(email="ann@example.com")
    keeping.add(user)
    keeping.commit()
    with engine.begin() as connection:
        connection.execute(sa.delete(User))

    text = failure(keeping, expected_users=1)

    assert f"stale in the identity map: User({user.id}): its row is not there" in text
    assert keeping.get(User, user.id) is user, "a ghost: it is not asked for again"


def test_stale_is_told_in_an_open_transaction_too(keeping: Session, engine: Engine) -> None:
    committed(engine, "ann@example.com")
    user = keeping.scalars(sa.select(User)).one()
    with engine.begin() as connection:
        connection.execute(sa.update(User).values(verified=True))

    assert any("stale in the identity map: User" in line for line in diagnose(keeping))
    assert user.verified is False


def test_an_old_snapshot_is_not_called_stale(engine: Engine) -> None:
    committed(engine, "ann@example.com")
    level = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(level) as session:
        held = session.scalars(sa.select(User)).all()
        with engine.begin() as connection:
            connection.execute(sa.update(User).values(verified=True))

        lines = diagnose(session)

    assert held
    assert any("snapshot is older than what is committed: User" in line for line in lines)


def test_what_is_expired_or_changed_here_is_not_called_stale(
    session: Session, engine: Engine
) -> None:
    committed(engine, "ann@example.com", "bob@example.com")
    expired, changed = session.scalars(sa.select(User)).all()
    session.expire(expired)
    changed.verified = True
    with engine.begin() as connection:
        connection.execute(sa.update(User).where(User.id != changed.id).values(verified=True))

    assert [line for line in diagnose(session) if "stale in" in line] == []


# Another database


def test_another_database_is_named_with_what_is_there(
    session: Session,
    database: str,
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
    surroundings: Any,
) -> None:
    url = sa.make_url(server_url).update_query_dict({"application_name": "elsewhere"})
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    surroundings.variable = "DATABASE_URL"

    text = failure(session, expected_users=1)

    here, there = sa.make_url(database).database, sa.make_url(server_url).database
    assert f"current_database() is {here}" in text
    assert f"another database: $DATABASE_URL names current_database() is {there}" in text
    assert "there users has no table" in text
    assert (sa.make_url(server_url).password or "no password") not in text.replace(here or "", "")


def test_the_same_database_by_another_way_is_no_other(
    session: Session, database: str, monkeypatch: pytest.MonkeyPatch, surroundings: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.replace("127.0.0.1", "localhost"))
    surroundings.variable = "DATABASE_URL"

    text = failure(session, expected_users=1)

    assert "another database" not in text
    assert "system identifier" in text


def test_an_environment_that_does_not_answer_is_not_checked(
    session: Session, monkeypatch: pytest.MonkeyPatch, surroundings: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://app:{SECRET}@127.0.0.1:1/appdb")
    surroundings.variable = "DATABASE_URL"

    text = failure(session, expected_users=1)

    assert "not checked: The environment's database does not answer" in text
    assert SECRET not in text


def test_without_a_named_environment_the_question_is_not_checked(session: Session) -> None:
    assert "not checked: whether it is another database" in failure(session, expected_users=1)


# Truncated, deleted, rolled back, never there


@pytest.mark.usefixtures("surroundings")
def test_a_truncated_table_is_known_by_its_file(session: Session, engine: Engine) -> None:
    committed(engine, "ann@example.com")
    plugin = state.DatabaseState("DATABASE_URL")
    plugin._note_start(engine.url)
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE users"))

    text = failure(session, expected_users=1)

    assert "truncated: public.users got a new file since the test's first session began" in text
    assert any("truncated: public.users" in line for line in diagnose(session))


def left(engine: Engine, *statements: str, commit: bool = True) -> None:
    """Run each in a transaction; the connection is closed, so its statistics are sent."""
    apart = sa.create_engine(engine.url, poolclass=sa.NullPool)
    with apart.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
            connection.commit() if commit else connection.rollback()
        connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        connection.commit()


INSERT = "INSERT INTO users (email, verified) VALUES ('ann@example.com', false)"


@pytest.mark.parametrize(
    ("statements", "commit", "words"),
    [
        ((INSERT, "TRUNCATE users"), True, "truncated: public.users had rows, none was deleted"),
        ((INSERT, "DELETE FROM users"), True, "deleted: rows of public.users were deleted"),
        ((INSERT,), False, "rolled back: rows of public.users were inserted and not committed"),
        ((), True, "no row was inserted into public.users yet"),
    ],
    ids=["truncated", "deleted", "rolled-back", "never-there"],
)
def test_statistics_tell_what_became_of_the_rows(
    session: Session, engine: Engine, statements: tuple[str, ...], commit: bool, words: str
) -> None:
    left(engine, *statements, commit=commit)

    assert words in failure(session, expected_users=1)


@pytest.mark.parametrize(
    ("statements", "commit"),
    [((INSERT,), False), ((INSERT, "DELETE FROM users"), True), ((INSERT, "TRUNCATE users"), True)],
    ids=["rolled-back", "deleted", "truncated"],
)
def test_what_an_earlier_test_did_is_no_cause(
    session: Session, engine: Engine, surroundings: Any, statements: tuple[str, ...], commit: bool
) -> None:
    del surroundings
    left(engine, *statements, commit=commit)
    state.DatabaseState("DATABASE_URL")._note_start(engine.url)

    text = failure(session, expected_users=1)

    assert not any(word in text for word in ("rolled back", "deleted:", "truncated"))


@pytest.mark.usefixtures("surroundings")
def test_what_happened_since_the_test_began_is_a_cause(session: Session, engine: Engine) -> None:
    left(engine, INSERT, INSERT, commit=False)
    state.DatabaseState("DATABASE_URL")._note_start(engine.url)
    left(engine, INSERT, commit=False)

    text = failure(session, expected_users=1)

    assert "rolled back: rows of public.users" in text
    assert "up to 10 s late, so maybe of an earlier test: 1 inserted" in text


# Too many


@pytest.mark.usefixtures("surroundings")
def test_rows_that_were_there_before_the_test_are_told_from_its_own(
    session: Session, engine: Engine
) -> None:
    left(engine, INSERT, commit=False)
    committed(engine, "ann@example.com", "bob@example.com")
    state.DatabaseState("DATABASE_URL")._note_start(engine.url)
    committed(engine, "eve@example.com")

    text = failure(session, expected_users=1)

    assert "committed earlier: 2 rows of users were there before the test's first session" in text
    assert "rolled back" not in text


@pytest.mark.usefixtures("surroundings")
def test_a_test_s_own_surplus_has_no_earlier_cause(session: Session, engine: Engine) -> None:
    state.DatabaseState("DATABASE_URL")._note_start(engine.url)
    committed(engine, "ann@example.com")

    assert "committed" not in failure(session, expected_users=0).partition("\n")[2]


# Savepoint isolation


@pytest.fixture
def outer(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def test_under_savepoint_isolation_the_fixtures_connection_counts(
    outer: Connection, engine: Engine
) -> None:
    with Session(outer, join_transaction_mode="create_savepoint") as session:
        session.add(User(email="ann@example.com"))
        session.commit()

        assert_db_state(session, expected_users=1)
        assert "in the test's transaction are 1." in failure(session, expected_users=2)
    assert_db_state(engine, expected_users=0)


@pytest.mark.usefixtures("surroundings")
def test_under_savepoint_isolation_rows_beside_it_are_told(
    outer: Connection, engine: Engine
) -> None:
    committed(engine, "earlier@example.com")
    outer.execute(sa.insert(User).values(email="own@example.com", verified=False))
    with Session(outer, join_transaction_mode="create_savepoint") as session:
        unknown = failure(session, expected_users=0)
        state.DatabaseState("DATABASE_URL")._note_start(engine.url)
        committed(engine, "beside@example.com")
        known = failure(session, expected_users=0)

    assert "committed outside of the isolation: 1 row of users" in unknown
    assert "committed earlier: 1 row of users was there" in known
    assert "committed outside of the isolation: 1 row of users" in known


def test_a_failing_count_does_not_end_the_isolating_transaction(outer: Connection) -> None:
    with Session(outer, join_transaction_mode="create_savepoint") as session:
        session.add(User(email="ann@example.com"))
        session.commit()
        failure(session, expected_accounts=1)

        assert_db_state(session, expected_users=1)


def test_a_session_that_began_its_connections_transaction_itself_counts_what_is_committed(
    engine: Engine,
) -> None:
    with engine.connect() as connection, Session(connection) as session:
        session.add(User(email="ann@example.com"))
        session.flush()

        assert "uncommitted: the session counts more" in failure(session, expected_users=1)


def test_the_isolated_database_is_a_target(outer: Connection, database: str) -> None:
    outer.execute(sa.insert(User).values(email="ann@example.com", verified=False))

    assert_db_state(Isolated(database, outer), expected_users=1)
    assert_db_state(Isolated(database, None), expected_users=0)


@dataclass
class Isolated:
    """The fixture's shape."""

    url: str
    connection: Connection | None


# Asynchronous


def test_async_targets_are_refused_without_await(database: str) -> None:
    with pytest.raises(UsageError, match="await assert_db_state_async"):
        assert_db_state(create_async_engine(database), expected_users=1)


def test_an_async_session_is_asked_and_explained(database: str, engine: Engine) -> None:
    async def scenario() -> str:
        asynchronous = create_async_engine(database, pool_size=1, max_overflow=0, pool_timeout=1)
        async with AsyncSession(asynchronous) as session:
            session.add(User(email="ann@example.com"))
            await session.flush()
            with pytest.raises(AssertionError) as failed:
                await assert_db_state_async(session, expected_users=1)
            await session.commit()
            await assert_db_state_async(session, expected_users=1)
            await assert_db_state_async(asynchronous, expected_users=1)
        async with asynchronous.connect() as connection:
            await assert_db_state_async(connection, expected_users=1)
        await assert_db_state_async(engine, expected_users=1)
        await asynchronous.dispose()
        return str(failed.value)

    text = asyncio.run(scenario())

    assert "the session itself counts 1" in text
    assert "has written to users" in text


@pytest.mark.usefixtures("engine")
def test_an_async_session_is_diagnosed_from_outside_of_its_event_loop(database: str) -> None:
    async def scenario() -> tuple[str, ...]:
        asynchronous = create_async_engine(database, poolclass=sa.NullPool)
        async with AsyncSession(asynchronous) as session:
            session.add(User(email="ann@example.com"))
            await session.flush()
            return diagnose(session.sync_session)

    lines = asyncio.run(scenario())

    assert any("has written to users" in line for line in lines)


# The section of a failing test

SUITE = """
    import os

    import pytest
    import sqlalchemy as sa
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    engine = sa.create_engine(os.environ["DATABASE_URL"], poolclass=sa.NullPool)

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str]

    @pytest.fixture(autouse=True)
    def tables():
        Base.metadata.create_all(engine)

    @pytest.fixture
    def session():
        with Session(engine) as session:
            yield session

    def test_forgotten_commit(session):
        session.add(User(email="hunter2secret"))
        session.flush()
        assert False

    def test_green(session):
        session.add(User(email="green@example.com"))
        session.commit()

    def test_without_a_session():
        assert False

    def test_truncated(session):
        session.add(User(email="gone@example.com"))
        session.commit()
        with engine.begin() as connection:
            connection.execute(sa.text("TRUNCATE users"))
        assert False

    def test_later_failure(session):
        assert session.scalar(sa.text("SELECT 1")) == 2
"""


def run(pytester: pytest.Pytester, database: str, *options: str) -> str:
    """The report of SUITE, run in a process of its own."""
    pytester.makepyfile(SUITE)
    pytester.makeini("[pytest]\n" + "\n".join(options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider").stdout.str()


def section(report: str, test: str) -> str:
    """The plugin's section in the failure of *test*; empty if there is none."""
    part = report.split(f"_ {test} _", 1)[1]
    part = part.split("\n____", 1)[0].split("\n====", 1)[0]
    return part.partition("unstale: database state")[2]


def test_a_failing_test_gets_the_diagnosis_of_its_own_sessions(
    pytester: pytest.Pytester, database: str
) -> None:
    report = run(pytester, database, "unstale_database = DATABASE_URL", "unstale_schema = none")

    assert "has written to users" in section(report, "test_forgotten_commit")
    assert "truncated: public.users got a new file" in section(report, "test_truncated")
    assert not section(report, "test_without_a_session")
    assert "uncommitted" not in section(report, "test_later_failure")
    assert f"current_database() is {sa.make_url(database).database}" in section(
        report, "test_later_failure"
    )
    assert SECRET not in section(report, "test_forgotten_commit")
    assert "test_green" not in report


def test_a_suite_that_did_not_opt_in_gets_no_section(
    pytester: pytest.Pytester, database: str
) -> None:
    assert "unstale: database state" not in run(pytester, database)


def test_stopped_it_follows_no_session(engine: Engine) -> None:
    plugin = state.DatabaseState("DATABASE_URL")
    plugin.start()
    with Session(engine) as session:
        session.execute(sa.text("SELECT 1"))
        followed = list(plugin._sessions)
    plugin.stop()
    with Session(engine) as other:
        other.execute(sa.text("SELECT 1"))

    assert followed == [session]
    assert other not in plugin._sessions
    assert state._NOW.variable == ""


def test_the_isolating_fixture_is_known_while_its_test_runs(surroundings: Any) -> None:
    plugin = state.DatabaseState("DATABASE_URL")
    isolated = SimpleNamespace(connection=None, url="postgresql://db.example.com/one")
    item: Any = SimpleNamespace(funcargs={"isolated_database": isolated})
    during = plugin.pytest_runtest_call(item)
    next(during)

    assert surroundings.named == (
        "postgresql://db.example.com/one",
        "the fixture isolated_database",
    )
    assert surroundings.connection is None


ISOLATED = """
    import pytest
    from models import User
    from sqlalchemy.orm import sessionmaker
    from unstale.pytest_plugin import SessionSource, assert_db_state

    @pytest.fixture
    def session(isolated_database):
        with sessionmaker(**isolated_database.session_kwargs)() as session:
            yield session

    @pytest.mark.parametrize("turn", [1, 2])
    def test_counts(session, isolated_database, turn):
        session.add(User(name="ann"))
        session.commit()
        assert_db_state(session, expected_user=1)
        assert_db_state(isolated_database, expected_user=1)

    def test_wrong(session, isolated_database):
        session.add(User(name="hunter2secret"))
        session.commit()
        assert_db_state(session, expected_user=2)
"""


@pytest.mark.parametrize(
    ("isolation", "words"),
    [
        ("savepoint", "user: expected 2 rows, in the test's transaction are 1."),
        ("clone", "user: expected 2 rows, committed are 1;"),
        ("dirty-delete", "user: expected 2 rows, committed are 1;"),
    ],
)
def test_it_counts_right_under_each_isolation(suite: Any, isolation: str, words: str) -> None:
    suite.opts(isolation=isolation)
    suite.tests(textwrap.dedent(ISOLATED))
    suite.migrate()

    result = suite.run()

    result.assert_outcomes(passed=2, failed=1)
    report = result.stdout.str()
    assert words in report
    assert "another database" not in report
    assert "stale in" not in report
    assert SECRET not in section(report, "test_wrong")
