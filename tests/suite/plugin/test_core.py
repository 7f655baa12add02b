"""The guard: what it waits for, what it proves, and what it stops."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from unstale.errors import ConfigError, NotReady, TimedOut
from unstale.pytest_plugin import database as guard
from unstale.pytest_plugin.creation import Created, create_missing
from unstale.pytest_plugin.engines import open_engine, sync_url
from unstale.pytest_plugin.readiness import wait_for_migrations, wait_until_ready

PASSES = "def test_passes(): pass\n"
TABLES = ["Order", "alembic_version", "countries", "user"]


def nobody_ran(result: pytest.RunResult) -> bool:
    return not {"passed", "failed", "errors"} & set(result.parseoutcomes())


def test_a_proven_schema_lets_the_tests_run_and_is_named(suite: Any) -> None:
    suite.opts()
    suite.migrate()
    suite.tests(PASSES)

    result = suite.run("--junit-xml=junit.xml")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["unstale.schema migrate: current, at 0001"])
    properties = ET.parse(suite.pytester.path / "junit.xml").findall(".//property")
    found = {p.get("name"): p.get("value") for p in properties}
    assert found["unstale.schema"] == "migrate: current, at 0001"


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_wrong_schema_stops_before_the_first_test(suite: Any, workers: tuple[str, ...]) -> None:
    suite.opts()
    suite.migrate()
    for table in ('"Order"', '"user"', "countries"):
        suite.ask(f"DROP TABLE {table}")
    suite.tests("import pathlib\ndef test_a(): pathlib.Path('ran').touch()\n" + PASSES)

    result = suite.run(*workers)

    assert result.ret == 3
    assert nobody_ran(result)
    assert not (suite.pytester.path / "ran").exists()
    assert "No test was run. The schema is" in result.stdout.str()
    assert "Next:" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_models_that_only_the_configuration_names_are_compared(suite: Any) -> None:
    suite.opts(metadata="models:Base.metadata")
    env = suite.pytester.path / "migrations/env.py"
    env.write_text(env.read_text().replace("Base.metadata", "None"))
    suite.migrate()
    suite.tests(PASSES)

    assert suite.run().ret == 0


def test_a_probe_without_an_answer_tells_its_last_words(suite: Any) -> None:
    suite.opts()
    suite.write(
        "migrations/env.py",
        "import os, sys\nprint('begun', flush=True)\n"
        "print('lost', os.environ['APP_URL'], file=sys.stderr, flush=True)\nos._exit(1)\n",
    )
    suite.tests(PASSES)

    result = suite.run()

    assert result.ret == 3
    assert nobody_ran(result)
    assert make_url(suite.url).password == "example"
    result.stdout.fnmatch_lines(["*the probe printed no answer*", "*lost *://app:********@*"])
    assert "app:example@" not in result.stdout.str()


def test_a_probe_that_takes_too_long_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_PROBE_S", 0.2)

    with pytest.raises(TimedOut, match="could not be read within") as caught:
        guard._run_probe((sys.executable, "-c", "import time; time.sleep(60)"))

    assert caught.value.cause
    assert caught.value.hint


def test_an_empty_database_is_not_a_migrated_one(suite: Any) -> None:
    suite.opts()
    suite.tests(PASSES)

    result = suite.run()

    assert result.ret == 3
    assert suite.table_names() == []


def test_a_suite_that_did_not_opt_in_does_not_change(suite: Any) -> None:
    suite.write("pytest.ini", "[pytest]\n")
    suite.tests(
        PASSES + "def test_none(request):\n    assert request.fixturenames == ['request']\n"
    )

    result = suite.run("--fixtures")
    assert "unstale_" not in result.stdout.str()

    result = suite.run()
    assert result.ret == 0
    assert "unstale." not in result.stdout.str()
    assert suite.table_names() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schema": "magic"}, "*unstale_schema is 'magic'*Known: migrate, create-all, none*"),
        ({"isolation": "magic"}, "*unstale_isolation is 'magic'*"),
        ({"database": "", "isolation": "truncate"}, "*truncate needs unstale_database*"),
        ({"schema": "create-all"}, "*create-all needs unstale_metadata*"),
        ({"schema": "none", "isolation": "clone"}, "*clone needs a schema to clone*"),
    ],
)
def test_a_wrong_option_is_a_usage_error(suite: Any, options: dict[str, str], words: str) -> None:
    suite.opts(**options)
    suite.tests(PASSES)

    result = suite.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])


def test_a_variable_that_is_not_set_is_named(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.opts()
    suite.tests(PASSES)
    monkeypatch.delenv("APP_URL")

    result = suite.run()

    assert result.ret == 3
    assert "The environment variable APP_URL is not set." in result.stdout.str()


def test_a_refused_password_is_final_and_never_shown(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.opts()
    suite.tests(PASSES)
    wrong = make_url(suite.url).set(password="not-the-secret")
    monkeypatch.setenv("APP_URL", wrong.render_as_string(hide_password=False))

    result = suite.run()

    assert result.ret == 3
    assert "password authentication failed" in result.stdout.str()
    assert "not-the-secret" not in result.stdout.str() + result.stderr.str()


def test_the_deadline_tells_the_last_error() -> None:
    now = iter(range(100))
    url = "postgresql+psycopg://app:not-the-secret@127.0.0.1:1/appdb"

    with pytest.raises(NotReady, match="within 3 s") as caught:
        wait_until_ready(url, deadline_s=3, monotonic=lambda: next(now), sleep=lambda _: None)

    assert "refused" in caught.value.cause
    assert "not-the-secret" not in str(caught.value)


def test_a_long_wait_says_once_what_it_waits_for_and_until_when() -> None:
    now, told = iter(range(100)), list[str]()
    url = "postgresql+psycopg://app:not-the-secret@127.0.0.1:1/appdb"

    with pytest.raises(NotReady):
        wait_until_ready(
            url, deadline_s=9, tell=told.append, monotonic=lambda: next(now), sleep=lambda _: None
        )

    (line,) = told
    assert line.startswith("unstale: waiting for the database at 127.0.0.1:1/appdb (")
    assert "refused" in line
    assert re.search(r" until \d\d:\d\d:\d\d, \d s from now$", line)
    assert "not-the-secret" not in line


@pytest.mark.parametrize("capture", ["fd", "no"])
def test_the_line_of_a_long_wait_is_seen_while_it_waits(suite: Any, capture: str) -> None:
    suite.opts()
    suite.tests(PASSES)
    suite.write("conftest.py", SHORT_WAIT)
    suite.use("postgresql+psycopg://app:example@127.0.0.1:1/appdb")

    result = suite.run(f"--capture={capture}")

    text = result.stdout.str()
    line = text.index("unstale: waiting for the database at 127.0.0.1:1/appdb (")
    assert line < text.index("did not become ready within 1 s")
    assert result.ret == 3


SHORT_WAIT = """
from unstale.pytest_plugin import database, readiness

database._READY_S, readiness._SILENT_S = 1.0, 0.0
"""


def test_an_asynchronous_driver_is_exchanged_for_an_installed_one() -> None:
    url = sync_url("postgresql+asyncpg://app:secret-value@db.example.com/appdb?ssl=require")

    assert url.drivername == "postgresql+psycopg"
    assert url.query == {"sslmode": "require"}
    assert url.password == "secret-value"


def test_no_driver_without_an_event_loop_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unstale.pytest_plugin.engines.find_spec", lambda _: None)

    with pytest.raises(ConfigError, match="asyncpg") as caught:
        sync_url("postgresql+asyncpg://app@db.example.com/appdb")

    assert caught.value.hint == "pip install 'psycopg[binary]'"


def test_another_database_system_is_refused() -> None:
    with pytest.raises(ConfigError, match="sqlite"):
        sync_url("sqlite:///here.db")


# --- Migrations that go on ---------------------------------------------------


def test_a_migration_that_is_not_committed_is_waited_for(database: str) -> None:
    migrating = create_engine(database, poolclass=NullPool).connect()
    migrating.execute(text("CREATE TABLE first (id int)"))
    waiting, done = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        wait_for_migrations(open_engine(database, autocommit=True), deadline_s=60)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    was_done = done.wait(0.5)
    migrating.commit()
    thread.join(60)
    migrating.close()

    assert not was_done
    assert done.is_set()


@pytest.mark.parametrize("sign", ["name", "lock", "table"])
def test_who_migrates_is_named_at_the_deadline(database: str, sign: str) -> None:
    name = "unstale-migrate:7" if sign == "name" else "deploy"
    arguments = {"application_name": name}
    engine = create_engine(database, poolclass=NullPool, connect_args=arguments)
    statement = {
        "name": "SELECT 1",
        "lock": "SELECT pg_advisory_lock(1970170222, 1835625838)",
        "table": "CREATE TABLE first (id int)",
    }[sign]
    with engine.connect() as migrating:
        migrating.execute(text(statement))

        with pytest.raises(Exception, match="still going on") as caught:
            wait_for_migrations(open_engine(database, autocommit=True), deadline_s=0)

    assert f"{name} (pid " in str(caught.value)


@pytest.mark.parametrize("round_", range(int(os.environ.get("UNSTALE_ROUNDS", "1"))))
def test_the_suite_waits_for_a_migration_and_then_runs(suite: Any, round_: int) -> None:
    del round_
    suite.opts()
    suite.tests(PASSES)
    suite.write(
        "conftest.py",
        "def pytest_sessionstart():\n"
        "    import subprocess, sys, time, os\n"
        "    from sqlalchemy import create_engine, text\n"
        "    command = [sys.executable, '-m', 'alembic', 'upgrade', 'heads']\n"
        "    env = {**os.environ, 'PGAPPNAME': 'unstale-migrate:1'}\n"
        "    subprocess.Popen(command, env=env)\n"
        '    sql = text("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '
        "'unstale-migrate%' AND datname = current_database()\")\n"
        "    with create_engine(os.environ['APP_URL'], isolation_level='AUTOCOMMIT')"
        ".connect() as c:\n"
        "        while not c.execute(sql).scalar():\n"
        "            time.sleep(0.005)\n",
    )
    suite.write(
        "migrations/versions/first.py",
        (suite.pytester.path / "migrations/versions/first.py")
        .read_text()
        .replace("def upgrade():", "def upgrade():\n    op.execute('SELECT pg_sleep(1)')"),
    )

    result = suite.run()

    assert result.ret == 0
    result.assert_outcomes(passed=1)


# --- create-all --------------------------------------------------------------

CREATE = {"schema": "create-all", "metadata": "models:Base.metadata"}
TABLES_ARE_THERE = """
import os, time
from sqlalchemy import create_engine, text

def count():
    with create_engine(os.environ["APP_URL"]).connect() as connection:
        return connection.execute(text('SELECT count(*) FROM "Order"')).scalar()

def test_a(): assert count() == 0
def test_b(): assert count() == 0
def test_c(): assert count() == 0
def test_d(): assert count() == 0
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_create_all_drops_what_it_created_and_no_other(
    suite: Any, workers: tuple[str, ...]
) -> None:
    suite.opts(**CREATE)
    suite.ask("CREATE TABLE countries (code varchar PRIMARY KEY)")
    suite.ask("CREATE TABLE other (id int)")
    suite.tests(TABLES_ARE_THERE)

    result = suite.run(*workers)

    assert result.ret == 0
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["unstale.schema create-all: 2 tables created by this process"])
    result.stdout.fnmatch_lines(["unstale.schema create-all: dropped the 2 tables *"])
    assert suite.table_names() == ["countries", "other"]
    assert suite.ask("SELECT count(*) FROM pg_type WHERE typname = 'order_state'") == [0]


def test_create_all_works_beside_unapplied_migrations(suite: Any) -> None:
    suite.opts(**CREATE)
    suite.tests(TABLES_ARE_THERE)

    result = suite.run()

    assert result.ret == 0
    assert suite.table_names() == []


def test_create_all_lets_a_migration_end_that_began_meanwhile(database: str) -> None:
    metadata = MetaData()
    for name in ("first", "second"):
        Table(name, metadata, Column("id", Integer))
    named = {"application_name": "unstale-migrate:7"}
    migrating = create_engine(database, poolclass=NullPool, connect_args=named).connect()
    migrating.execute(text("SET lock_timeout = '30s'"))
    made: list[Created] = []

    def create() -> None:
        made.append(create_missing(open_engine(database), metadata))

    thread = threading.Thread(target=create)
    thread.start()
    thread.join(0.5)
    was_waiting = thread.is_alive()
    # The lock is free: one that waited for the other would wait forever.
    migrating.execute(text("SELECT pg_advisory_xact_lock(1970170222, 1835625838)"))
    migrating.execute(text("CREATE TABLE first (id int)"))
    migrating.commit()
    migrating.close()
    thread.join(60)

    assert was_waiting
    assert [one.tables for one in made] == [("public.second",)]


def test_create_all_drops_nothing_where_a_version_table_is(suite: Any) -> None:
    suite.opts(**CREATE)
    suite.migrate()
    suite.ask('DROP TABLE "Order"')
    suite.tests(TABLES_ARE_THERE)

    result = suite.run()

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*nothing is dropped: alembic_version is there*"])
    assert suite.table_names() == TABLES


def test_create_all_leaves_a_table_that_a_test_made_anew(suite: Any) -> None:
    suite.opts(**CREATE)
    suite.tests(
        TABLES_ARE_THERE + "def test_e():\n"
        "    from models import Base\n"
        "    engine = create_engine(os.environ['APP_URL'])\n"
        "    Base.metadata.tables['Order'].drop(engine)\n"
        "    Base.metadata.tables['Order'].create(engine)\n"
        "    engine.dispose()\n"
    )

    suite.run()

    assert "Order" in suite.table_names()


def test_metadata_that_is_none_is_named(suite: Any) -> None:
    suite.opts(schema="create-all", metadata="models:Base")
    suite.tests(PASSES)

    result = suite.run()

    assert result.ret == 3
    assert "unstale_metadata = models:Base is a " in result.stdout.str()


def test_none_only_waits(suite: Any) -> None:
    suite.opts(schema="none")
    suite.tests(PASSES)

    result = suite.run()

    assert result.ret == 0
    result.stdout.fnmatch_lines(["unstale.schema none: not asked, only waited for the database"])


# --- The end of the session --------------------------------------------------

# By a way that nobody watches: no SQLAlchemy in this process.
DROPS = """
import os, psycopg, pytest

@pytest.fixture(scope="session", autouse=True)
def tables():
    yield
    with psycopg.connect(os.environ["APP_URL"].replace("+psycopg", "")) as connection:
        connection.execute('DROP TABLE IF EXISTS "Order"')

def test_passes(): pass
def test_again(): pass
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_schema_that_a_fixture_dropped_fails_the_session(
    suite: Any, workers: tuple[str, ...]
) -> None:
    suite.opts()
    suite.migrate()
    suite.tests(DROPS)

    result = suite.run(*workers)

    assert result.ret == 3
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*The schema is not what it was*", "*gone: *Order*"])


@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ('CREATE INDEX by_name ON "user" (name)', "index *by_name"),
        ("ALTER TYPE order_state ADD VALUE '100%'", "enum *100%"),
        ("ALTER TABLE \"user\" ALTER COLUMN name SET DEFAULT 'x'", "default 'x'"),
        ('CREATE POLICY own ON "user" USING (true)', "policy *own"),
        ("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function *one("),
    ],
)
def test_what_is_no_table_is_compared_in_the_end_too(suite: Any, statement: str, fact: str) -> None:
    suite.opts()
    suite.migrate()
    suite.tests(
        DROPS.replace('DROP TABLE IF EXISTS "Order"', "%s").replace("'%s'", repr(statement))
    )

    result = suite.run()

    assert result.ret == 3
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"*new: *{fact}*"])


def test_a_version_table_of_another_name_is_compared_at_the_end_too(suite: Any) -> None:
    suite.opts()
    suite.env_options("version_table='applied'")
    suite.migrate()
    suite.tests(
        "import os\n"
        "from sqlalchemy import create_engine, text\n"
        "def test_a():\n"
        "    with create_engine(os.environ['APP_URL']).begin() as connection:\n"
        "        connection.execute(text(\"UPDATE applied SET version_num = 'other'\"))\n"
    )

    result = suite.run()

    assert result.ret == 3
    result.stdout.fnmatch_lines(["*gone: migration 0001*", "*new: migration other*"])


def test_tests_that_failed_are_not_hidden_by_a_changed_schema(suite: Any) -> None:
    suite.opts()
    suite.migrate()
    suite.tests(DROPS + "def test_fails(): assert False\n")

    result = suite.run("-x")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "The schema is not what it was" in result.stdout.str()


def test_a_pytest_inside_of_a_worker_is_no_worker(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.opts(isolation="savepoint")
    suite.migrate()
    suite.tests(
        "import os\ndef test_a():\n"
        f"    assert os.environ['APP_URL'].endswith({make_url(suite.url).database!r})\n"
    )
    for name, value in (("WORKER", "gw0"), ("WORKER_COUNT", "2"), ("TESTRUNUID", "x")):
        monkeypatch.setenv(f"PYTEST_XDIST_{name}", value)

    assert suite.run().ret == 0
    code = "import sys, pytest; sys.exit(pytest.main(['-p', 'no:cacheprovider']))"
    done = subprocess.run((sys.executable, "-c", code), env=os.environ, check=False)
    assert done.returncode == 0
