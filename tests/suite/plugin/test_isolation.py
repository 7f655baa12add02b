"""Four prices, one promise: what a test wrote is gone after it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url

MODES = ("savepoint", "dirty-delete", "clone", "truncate")

# What an application does: its own sessions, commits and rollbacks.
WRITES = """
import os, pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker
from models import Country, Order, User

def state(database):
    with sessionmaker(**database.session_kwargs)() as session:
        return (
            session.query(User).count(), session.query(Order).count(),
            sorted(session.scalars(text("SELECT code FROM countries"))),
        )

@pytest.mark.parametrize("n", range(3))
def test_it(isolated_database, n):
    assert state(isolated_database) == (0, 0, ["CH", "DE"])
    make = sessionmaker(**isolated_database.session_kwargs)
    with make() as session:
        session.add(User(name="a", country="CH"))
        session.commit()
        session.add(User(name="b"))
        session.rollback()
        session.add(Order(user=session.query(User).one().id, state="open"))
        session.commit()
    with make() as session:
        session.execute(text("INSERT INTO countries VALUES ('FR')"))
        session.execute(text("DELETE FROM countries WHERE code = 'DE'"))
        session.commit()
    assert state(isolated_database) == (1, 1, ["CH", "FR"])
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize("mode", MODES)
def test_each_test_finds_the_rows_of_the_migrations_alone(
    suite: Any, mode: str, workers: tuple[str, ...]
) -> None:
    suite.opts(isolation=mode)
    suite.migrate()
    suite.tests(WRITES)

    result = suite.run(*workers)

    assert result.ret == 0
    result.assert_outcomes(passed=3)
    assert suite.ask('SELECT count(*) FROM "user"') == [0]
    assert sorted(suite.ask("SELECT code FROM countries")) == ["CH", "DE"]
    assert suite.ask("SELECT version_num FROM alembic_version") == ["0001"]
    assert [name for name in suite.databases() if name.startswith("unstale_c_")] == []


@pytest.mark.parametrize("mode", MODES)
def test_a_role_without_rights_gets_all_but_clones(suite: Any, mode: str) -> None:
    role = make_url(suite.url).database
    suite.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'invented-secret'")
    suite.ask(f"ALTER SCHEMA public OWNER TO {role}")
    url = make_url(suite.url).set(username=role, password="invented-secret")
    suite.use(url.render_as_string(hide_password=False))
    suite.opts(isolation=mode)
    suite.migrate()
    suite.tests(WRITES)
    try:
        result = suite.run()
    finally:
        suite.use(suite.given)
        suite.ask(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        suite.ask(f"DROP OWNED BY {role}")
        suite.ask(f"DROP ROLE {role}")

    if mode == "clone":
        assert result.ret == 3
        assert f"ALTER ROLE {role} CREATEDB" in result.stdout.str()
        assert "invented-secret" not in result.stdout.str()
    else:
        assert result.ret == 0
        result.assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["dirty-delete", "truncate"])
def test_a_version_table_of_another_name_and_schema_is_kept(suite: Any, mode: str) -> None:
    suite.ask("CREATE SCHEMA meta")
    suite.env_options('version_table="Applied", version_table_schema="meta"')
    suite.opts(isolation=mode, keep_tables="countries")
    suite.migrate()
    suite.ask('CREATE TABLE meta."user: x%" (id int)')
    suite.ask('INSERT INTO meta."user: x%" VALUES (1)')
    suite.tests("def test_a(isolated_database): pass\n")

    result = suite.run()

    assert result.ret == 0
    assert suite.ask('SELECT version_num FROM meta."Applied"') == ["0001"]
    assert len(suite.ask("SELECT code FROM countries")) == 2
    # It has rows, but is not among those that the suite wants kept.
    assert suite.ask('SELECT id FROM meta."user: x%"') == []


def test_a_kept_table_that_is_not_there_is_named(suite: Any) -> None:
    suite.opts(isolation="truncate", keep_tables="contries")
    suite.migrate()
    suite.tests("def test_a(isolated_database): pass\n")

    result = suite.run()

    assert result.ret == 1
    assert "unstale_keep_tables names 'contries'" in result.stdout.str()
    assert "public.countries" in result.stdout.str()


@pytest.mark.parametrize("mode", ["dirty-delete", "truncate"])
def test_partitions_and_foreign_keys_in_a_ring_are_emptied(suite: Any, mode: str) -> None:
    suite.opts(isolation=mode)
    suite.migrate()
    for statement in (
        "CREATE TABLE event (id int, day date) PARTITION BY RANGE (day)",
        (
            "CREATE TABLE event_old PARTITION OF event"
            " FOR VALUES FROM ('2000-01-01') TO ('2020-01-01')"
        ),
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE",
    ):
        suite.ask(statement)
    suite.tests(
        "from sqlalchemy import text\n"
        "def test_a(isolated_database):\n"
        "    with isolated_database.engine.begin() as connection:\n"
        "        for sql in (\"INSERT INTO event VALUES (1, '2010-01-01')\",\n"
        "                    'INSERT INTO a VALUES (1)', 'INSERT INTO b VALUES (1, 1)',\n"
        "                    'UPDATE a SET b = 1'):\n"
        "            connection.execute(text(sql))\n"
    )

    result = suite.run()

    assert result.ret == 0
    for table in ("event", "a", "b"):
        assert suite.ask(f"SELECT count(*) FROM {table}") == [0]


def test_truncate_begins_sequences_anew(suite: Any) -> None:
    suite.opts(isolation="truncate")
    suite.migrate()
    suite.tests(
        "import pytest\nfrom sqlalchemy import text\n"
        "@pytest.mark.parametrize('n', range(2))\n"
        "def test_a(isolated_database, n):\n"
        "    with isolated_database.engine.begin() as connection:\n"
        "        sql = text('INSERT INTO \"user\" (name) VALUES (\\'a\\') RETURNING id')\n"
        "        assert connection.execute(sql).scalar() == 1\n"
    )

    assert suite.run().ret == 0


@pytest.mark.parametrize("mode", ["dirty-delete", "truncate"])
def test_who_holds_a_lock_is_named(suite: Any, mode: str) -> None:
    suite.opts(isolation=mode)
    suite.migrate()
    suite.tests(
        "from sqlalchemy import create_engine, text\n"
        "engine = None\n"
        "def test_a(isolated_database):\n"
        "    global engine, connection\n"
        "    engine = create_engine(isolated_database.url,\n"
        "                           connect_args={'application_name': 'forgetful'})\n"
        "    with isolated_database.engine.begin() as other:\n"
        "        other.execute(text('INSERT INTO \"user\" (name) VALUES (\\'a\\')'))\n"
        "    connection = engine.connect()\n"
        "    connection.execute(text('SELECT * FROM \"user\" FOR UPDATE'))\n"
    )

    result = suite.run()

    assert result.ret == 1
    result.assert_outcomes(passed=1, errors=1)
    assert "could not be cleaned within 3 s: pid " in result.stdout.str()
    assert "(forgetful, idle in transaction) holds a lock" in result.stdout.str()


def test_a_test_that_ends_the_outer_transaction_is_told(suite: Any) -> None:
    suite.opts(isolation="savepoint")
    suite.migrate()
    suite.tests(
        "def test_a(isolated_database):\n"
        "    isolated_database.connection.get_transaction().commit()\n"
    )

    result = suite.run()

    result.assert_outcomes(passed=1, errors=1)
    assert "The test ended the transaction that isolates it" in result.stdout.str()


def test_one_connection_serves_all_tests_and_carries_nothing_over(suite: Any) -> None:
    suite.opts(isolation="savepoint")
    suite.migrate()
    suite.tests(
        "import pytest\nfrom sqlalchemy import create_engine, text\n"
        "pids = set()\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_a(isolated_database, n):\n"
        "    ask = lambda sql: isolated_database.connection.execute(text(sql)).scalar()\n"
        "    assert ask('SHOW TimeZone') != 'Asia/Tokyo'\n"
        "    sql = \"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid =\"\n"
        "    assert ask(sql + ' pg_backend_pid()') == 0\n"
        "    ask(\"SELECT set_config('TimeZone', 'Asia/Tokyo', false)\")\n"
        "    ask('SELECT pg_advisory_lock(7)')\n"
        "    pids.add(ask('SELECT pg_backend_pid()'))\n"
        "    assert len(pids) == 1\n"
        "def test_b(isolated_database):\n"
        "    isolated_database.connection.close()\n"
        "def test_c(isolated_database):\n"
        "    assert isolated_database.connection.execute(text('SELECT 1')).scalar() == 1\n"
    )

    result = suite.run()

    # The transaction that isolates test_b went with its connection: that is told.
    result.assert_outcomes(passed=5, errors=1)


def test_a_clone_is_where_the_environment_leads_during_the_test(suite: Any) -> None:
    suite.opts(isolation="clone")
    suite.migrate()
    suite.tests(
        "import os\n"
        "seen = set()\n"
        "def test_a(isolated_database):\n"
        "    assert os.environ['APP_URL'] == isolated_database.url\n"
        "    seen.add(isolated_database.url)\n"
        "def test_b(isolated_database): seen.add(isolated_database.url)\n"
        "def test_c():\n"
        "    assert len(seen) == 2\n"
        "    assert os.environ['APP_URL'] not in seen\n"
    )

    assert suite.run().ret == 0


def test_workers_work_apart_from_the_first_import_on(suite: Any) -> None:
    suite.opts(isolation="truncate")
    suite.migrate()
    suite.write("conftest.py", "import os\nAT_IMPORT = os.environ['APP_URL']\n")
    suite.tests(
        "import os, pytest\nfrom conftest import AT_IMPORT\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_a(isolated_database, n):\n"
        f"    assert isolated_database.url == AT_IMPORT != {suite.url!r}\n"
        "    assert os.environ['APP_URL'] == AT_IMPORT\n"
    )

    assert suite.run("-n", "2").ret == 0


def test_create_all_gives_each_worker_tables(suite: Any) -> None:
    suite.opts(isolation="truncate", schema="create-all", metadata="models:Base.metadata")
    suite.tests(
        WRITES.replace('["CH", "DE"]', "[]")
        .replace('["CH", "FR"]', '["FR"]')
        .replace('country="CH"', "country=None")
    )

    result = suite.run("-n", "2")

    assert result.ret == 0
    assert suite.table_names() == []


@pytest.mark.parametrize("mode", ["dirty-delete", "truncate"])
def test_workers_never_empty_one_database_together(suite: Any, mode: str) -> None:
    suite.opts(isolation=mode, schema="none")
    suite.tests("def test_a(isolated_database): pass\n")

    result = suite.run("-n", "2")

    assert result.ret == 3
    assert "would empty the tables of another" in result.stdout.str()


def test_asking_for_isolation_without_one_fails(suite: Any) -> None:
    suite.opts()
    suite.migrate()
    suite.tests("def test_a(isolated_database): pass\n")

    result = suite.run()

    result.assert_outcomes(errors=1)
    lines = result.stdout.lines
    start = lines.index(next(line for line in lines if "ERROR at setup of test_a" in line))
    assert lines[start + 1].startswith("A test asks for isolated_database, and unstale_isolation")
    assert ".py" not in "\n".join(lines[start + 1 : start + 4])


FAILING_FIXTURES = """
import pytest

@pytest.fixture
def broken(isolated_database):
    raise RuntimeError("of the fixture")

@pytest.fixture
def breaking(isolated_database):
    yield
    raise RuntimeError("of the teardown")

def test_a(broken): pass
def test_b(breaking): pass

def test_c(isolated_database):
    isolated_database.connection.rollback()

@pytest.mark.ci_sensitive
def test_d(broken): pass
"""


def test_the_traceback_of_a_failing_fixture_shows_no_frame_of_the_plugin(suite: Any) -> None:
    suite.opts(isolation="savepoint", leaks="true", session_monitor="true")
    suite.migrate()
    suite.tests(FAILING_FIXTURES)

    result = suite.run()

    result.assert_outcomes(passed=2, errors=4)
    text = result.stdout.str()
    assert "ended the transaction that isolates it" in text
    assert "pytest_plugin" not in text


KEPT_SEQUENCE = """
from sqlalchemy import text

def count(database):
    with database.engine.begin() as connection:
        connection.execute(text("INSERT INTO seeded (name) VALUES ('x')"))

def test_a(isolated_database): count(isolated_database)
def test_b(isolated_database): count(isolated_database)
"""


def test_truncate_leaves_the_sequence_of_a_kept_table_behind_its_rows(suite: Any) -> None:
    suite.opts(isolation="truncate")
    suite.migrate()
    suite.env_options("include_object=lambda o, name, *rest: name != 'seeded'")
    suite.ask('CREATE TABLE seeded (id serial PRIMARY KEY, name text, by int REFERENCES "user")')
    suite.ask("INSERT INTO seeded (name) VALUES ('one'), ('two')")
    suite.tests(KEPT_SEQUENCE)

    result = suite.run()

    result.assert_outcomes(passed=2)
    assert suite.ask("SELECT id FROM seeded ORDER BY 1") == [1, 2]


REFUSED = """
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from unstale.errors import UsageError

@pytest.mark.parametrize("options", [{"bind": None}, {"join_transaction_mode": "rollback_only"}])
def test_options(isolated_database, options):
    with pytest.raises(UsageError, match="session_kwargs has it"):
        isolated_database.session(**options)

@pytest.mark.parametrize("maker", [AsyncSession, async_sessionmaker()])
def test_async(isolated_database, maker):
    with pytest.raises(UsageError, match="asynchronous sessions") as error:
        isolated_database.session(maker)
    assert "session_source" in str(error.value)

def test_binds(isolated_database):
    from models import User
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker
    elsewhere = sessionmaker(binds={User: create_engine("postgresql+psycopg://nowhere/")})
    with isolated_database.session(elsewhere) as session:
        assert session.query(User).count() == 0
"""


def test_a_session_can_t_be_made_that_is_not_isolated(suite: Any) -> None:
    suite.opts(isolation="savepoint")
    suite.migrate()
    suite.tests(REFUSED)

    suite.run().assert_outcomes(passed=5)
