from __future__ import annotations

import textwrap
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

MODELS = """
    from sqlalchemy import Column, Integer, MetaData, Table

    metadata = MetaData()
    users = Table("users", metadata, Column("id", Integer, primary_key=True))
    beside = MetaData()
    Table("invoices", beside, Column("id", Integer, primary_key=True))
"""
CONFTEST = """
import os
import pytest
from sqlalchemy import create_engine, text
from models import beside, metadata

engine = create_engine(os.environ["APP_URL"])
"""
ENV = """
    import os
    from alembic import context
    from models import metadata
    from sqlalchemy import create_engine

    url = context.config.get_main_option("sqlalchemy.url") or os.environ["APP_URL"]
    with create_engine(url).connect() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISION = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0001"
    down_revision = None

    def upgrade():
        op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))

    def downgrade():
        op.drop_table("users")
"""
# What the revision above makes; a process of Alembic would cost a second a test.
MIGRATED = (
    "CREATE TABLE users (id serial NOT NULL, PRIMARY KEY (id))",
    (
        "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    ),
    "INSERT INTO alembic_version VALUES ('0001')",
)


class Project:
    """A project whose database is migrated."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite
        url = make_url(suite.url)
        self.address = f"{url.host}:{url.port}/{url.database}"

    def conftest(self, source: str) -> None:
        self._suite.write("conftest.py", CONFTEST + textwrap.dedent(source))

    def tests(self, source: str) -> None:
        self._suite.tests(textwrap.dedent(source).lstrip())

    def opts(self, **options: str) -> None:
        self._suite.opts(**options)

    def run(self, *arguments: str) -> pytest.RunResult:
        run: pytest.RunResult = self._suite.run(*arguments)
        return run

    def tables(self) -> list[str]:
        return list(self._suite.table_names())

    def stops(self, *lines: str, arguments: tuple[str, ...] = ()) -> pytest.RunResult:
        """Run; the session ends with 3, says *lines*, and the tables are as they were."""
        result = self.run(*arguments)
        assert result.ret == 3
        result.stdout.fnmatch_lines([f"*{line}*" for line in lines])
        assert self.tables() == ["alembic_version", "users"]
        return result

    def passes(self) -> pytest.RunResult:
        result = self.run()
        result.assert_outcomes(passed=1)
        assert result.ret == 0
        return result


@pytest.fixture
def project(suite: Any) -> Project:
    for name, source in (
        ("models.py", MODELS),
        ("migrations/env.py", ENV),
        ("migrations/versions/first.py", REVISION),
    ):
        suite.write(name, textwrap.dedent(source))
    for statement in MIGRATED:
        suite.ask(statement)
    suite.opts()
    suite.tests("def test_first(): pass")
    return Project(suite)


def test_drop_all_in_a_session_fixture_after_a_migrate_is_stopped(project: Project) -> None:
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def create_test_tables():
            metadata.create_all(engine)
            yield
            metadata.drop_all(engine)
        """
    )

    result = project.stops(
        "unstale stopped the session: fixture create_test_tables (conftest.py:10) "
        f"at conftest.py:13 was about to drop users in {project.address}",
        "Why: alembic_version stays behind",
        "Next: take the drop out.",
    )
    assert "example@" not in result.stdout.str() + result.stderr.str()


def test_a_stop_before_the_first_test_runs_no_test(project: Project) -> None:
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def clean_slate():
            metadata.drop_all(engine)
            metadata.create_all(engine)
        """
    )

    result = project.stops(
        "fixture clean_slate (conftest.py:10) at conftest.py:11 was about to drop"
    )

    result.stdout.no_fnmatch_line("*1 passed*")


def test_creating_tables_beside_the_migrations_is_stopped(project: Project) -> None:
    project.conftest(
        """
        @pytest.fixture
        def invoices():
            beside.create_all(engine)
        """
    )
    project.tests("def test_first(invoices): pass")

    project.stops(
        "fixture invoices (conftest.py:10) at conftest.py:11 was about to create invoices",
        "Why: the migrations do not make these tables.",
        "Next: *alembic revision --autogenerate",
    )


def test_creating_nothing_is_only_reported(project: Project) -> None:
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def create_test_tables():
            metadata.create_all(engine)
        """
    )

    project.passes().stdout.fnmatch_lines(
        "fixture create_test_tables (conftest.py:10) at conftest.py:11 called create_all*"
        "nothing to create*"
    )


def test_an_asynchronous_fixture_is_named_too(project: Project) -> None:
    project.conftest(
        """
        from sqlalchemy.ext.asyncio import create_async_engine

        @pytest.fixture(scope="session")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="session")
        async def async_tables(anyio_backend):
            engine = create_async_engine(os.environ["APP_URL"])
            yield
            async with engine.begin() as connection:
                await connection.run_sync(metadata.drop_all)
        """
    )
    project.tests(
        """
        import pytest

        @pytest.mark.anyio
        async def test_first(async_tables):
            pass
        """
    )

    project.stops("fixture async_tables (conftest.py:16)*was about to drop users")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TABLE users", "drop users"),
        ("-- tidy\nselect 1; drop table if exists public.users cascade", "drop users"),
        ("DROP SCHEMA public CASCADE", "drop schema public"),
        ('TRUNCATE users, "alembic_version"', "empty alembic_version"),
        ("DELETE FROM alembic_version", "empty alembic_version"),
    ],
)
def test_a_statement_that_does_the_same_is_stopped(
    project: Project, statement: str, said: str
) -> None:
    project.tests(
        f"""
        from conftest import engine, text

        def test_first():
            with engine.begin() as connection:
                connection.execute(text({statement!r}))
        """
    )
    project.conftest("")

    project.stops(f"test test_it.py::test_first at test_it.py:5 was about to {said} in")


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE users",
        "DELETE FROM users",
        "DROP TABLE IF EXISTS nowhere",
        "CREATE TEMP TABLE mine (id int); DROP TABLE mine",
        "SELECT 'it''s; DROP TABLE users'",
    ],
)
def test_a_statement_that_leaves_the_schema_alone_passes(project: Project, statement: str) -> None:
    project.tests(
        f"""
        from conftest import engine, text

        def test_first():
            with engine.begin() as connection:
                connection.execute(text({statement!r}))
        """
    )
    project.conftest("")

    project.passes()
    assert project.tables() == ["alembic_version", "users"]


def execute(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_migrations_on_a_scratch_database_may_go_both_ways(
    project: Project, database: str, server_url: str
) -> None:
    scratch = f"{make_url(database).database}_scratch"
    execute(server_url, f"CREATE DATABASE {scratch}")
    url = make_url(database).set(database=scratch).render_as_string(hide_password=False)
    project.conftest("")
    project.tests(
        f"""
        from alembic import command
        from alembic.config import Config
        from conftest import create_engine, metadata

        def test_first():
            config = Config("alembic.ini")
            config.set_main_option("sqlalchemy.url", "{url}")
            command.upgrade(config, "head")
            command.downgrade(config, "base")
            command.upgrade(config, "head")
            engine = create_engine("{url}")
            metadata.drop_all(engine)
            engine.dispose()
        """
    )

    try:
        project.passes()
    finally:
        execute(server_url, f"DROP DATABASE {scratch} WITH (FORCE)")


def alembic(command: str) -> str:
    return f"""
        from alembic import command
        from alembic.config import Config

        def test_first():
            command.{command}
    """


def test_a_downgrade_of_the_tests_database_is_stopped(project: Project) -> None:
    project.tests(alembic('downgrade(Config("alembic.ini"), "base")'))

    project.stops("was about to drop users")


def test_an_upgrade_of_the_tests_database_passes(project: Project) -> None:
    project.tests(alembic('upgrade(Config("alembic.ini"), "head")'))

    project.passes()


def test_what_we_allow_ourselves_passes(project: Project) -> None:
    project.conftest(
        """
        from unstale.pytest_plugin.watch import allowed

        @pytest.fixture
        def ours():
            with allowed():
                beside.create_all(engine)
                yield
            with allowed():
                beside.drop_all(engine)
        """
    )
    project.tests("def test_first(ours): pass")

    project.passes()


def test_a_suite_that_swallows_errors_ends_with_3_all_the_same(project: Project) -> None:
    project.conftest(
        """
        import contextlib

        @pytest.fixture
        def tidy():
            with contextlib.suppress(Exception):
                metadata.drop_all(engine)
        """
    )
    project.tests("def test_first(tidy): pass\ndef test_next(): pass")

    project.stops("fixture tidy (conftest.py:12) at conftest.py:14 was about to drop users")


def test_a_worker_stops_the_whole_session(project: Project) -> None:
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def create_test_tables():
            yield
            metadata.drop_all(engine)
        """
    )
    project.tests("def test_a(): pass\ndef test_b(): pass")

    result = project.stops(
        "fixture create_test_tables (conftest.py:10) at conftest.py:12 was about to drop users",
        arguments=("-n", "2"),
    )

    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.no_fnmatch_line("*crashed*")


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_an_idle_session_fixture_that_touches_the_schema_is_reported(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=False)
        def create_test_tables():
            metadata.create_all(engine)

        @pytest.fixture(scope="session")
        def asked_for_later():
            metadata.create_all(engine)

        @pytest.fixture(scope="session")
        def harmless():
            return 1
        """
    )
    project.tests("def test_first(request): request.getfixturevalue('asked_for_later')")

    result = project.run(*arguments)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        "fixture create_test_tables (conftest.py:10) touches the schema (create_all), but it is"
        " neither autouse nor requested*"
    )
    result.stdout.no_fnmatch_line("*asked_for_later*neither*")
    result.stdout.no_fnmatch_line("*harmless*")


def test_without_opt_in_nothing_is_stopped(project: Project) -> None:
    project.opts(database="")
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def create_test_tables():
            metadata.drop_all(engine)
        """
    )

    project.passes()
    assert project.tables() == ["alembic_version"]


def test_a_suite_without_a_schema_is_not_watched(project: Project) -> None:
    project.opts(schema="none")
    project.conftest(
        """
        @pytest.fixture(scope="session", autouse=True)
        def create_test_tables():
            metadata.drop_all(engine)
        """
    )

    project.passes()


def test_dropping_the_tests_database_is_stopped(project: Project, server_url: str) -> None:
    name = project.address.rpartition("/")[2]
    project.conftest(
        f"""
        @pytest.fixture(scope="session", autouse=True)
        def new_database():
            server = create_engine({server_url!r}, isolation_level="AUTOCOMMIT")
            with server.connect() as connection:
                connection.execute(text("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        """
    )

    project.stops(f"fixture new_database*was about to drop database {name} in")


def test_a_statement_through_our_facade_is_still_the_projects(project: Project) -> None:
    project.conftest("")
    project.tests(
        """
        import asyncio
        from conftest import engine, text
        from sqlalchemy.orm import Session
        from unstale.pytest_plugin import AsyncFacade

        def test_first():
            with Session(engine) as session:
                asyncio.run(AsyncFacade(session).execute(text("DROP TABLE users")))
        """
    )

    project.stops("test_it.py::test_first*was about to drop users")
