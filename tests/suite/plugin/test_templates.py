"""Templates: built once for a key, believed only when finished, dropped when old."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text

from unstale.errors import MigrationFailed, Unavailable
from unstale.pytest_plugin import migrations, templates
from unstale.pytest_plugin.engines import open_engine, server_of
from unstale.pytest_plugin.settings import Settings


@pytest.fixture
def admin(database: str) -> Engine:
    return open_engine(database, autocommit=True)


@pytest.fixture
def build(database: str) -> Callable[[str], None]:
    def fill(name: str) -> None:
        run(server_of(database, name), "CREATE TABLE built (id int)")

    return fill


def run(url: str, sql: str) -> list[Any]:
    with open_engine(url, autocommit=True).connect() as connection:
        found = connection.execute(text(sql))
        return list(found.scalars()) if found.returns_rows else []


def made(admin: Engine) -> list[str]:
    prefix = templates._prefix(admin, "t")
    with admin.connect() as connection:
        sql = text(
            "SELECT datname::text FROM pg_database WHERE starts_with(datname, :p) ORDER BY oid"
        )
        return list(connection.execute(sql, {"p": prefix}).scalars())


def test_a_template_is_built_once(admin: Engine, build: Callable[[str], None]) -> None:
    built: list[str] = []

    def counted(name: str) -> None:
        built.append(name)
        build(name)

    first = templates.ensure_template(admin, "a" * 64, counted)
    second = templates.ensure_template(admin, "a" * 64, counted)

    assert first == second
    assert built == [first]


def test_of_two_that_come_together_one_builds(admin: Engine, build: Callable[[str], None]) -> None:
    built: list[str] = []
    barrier = threading.Barrier(4)

    def counted(name: str) -> None:
        built.append(name)
        build(name)

    def ensure() -> None:
        barrier.wait()
        templates.ensure_template(admin, "a" * 64, counted)

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert built == made(admin)
    assert len(built) == 1


def test_a_finished_template_lets_nobody_in(admin: Engine, build: Callable[[str], None]) -> None:
    name = templates.ensure_template(admin, "a" * 64, build)

    sql = f"SELECT datistemplate AND NOT datallowconn FROM pg_database WHERE datname = '{name}'"
    with admin.connect() as connection:
        assert connection.execute(text(sql)).scalar() is True


def test_a_half_built_template_is_built_anew(
    admin: Engine, build: Callable[[str], None], database: str
) -> None:
    name = templates._prefix(admin, "t") + "a" * 24
    run(database, f'CREATE DATABASE "{name}"')

    templates.ensure_template(admin, "a" * 64, build)
    templates.clone(admin, name, "unstale_c_x_" + name[-30:-20])
    try:
        url = server_of(database, "unstale_c_x_" + name[-30:-20])
        assert run(url, "SELECT to_regclass('built') IS NOT NULL") == [True]
    finally:
        templates.drop(admin, "unstale_c_x_" + name[-30:-20])


def test_what_failed_to_build_is_gone(admin: Engine) -> None:
    def fail(name: str) -> None:
        raise RuntimeError(name)

    with pytest.raises(RuntimeError):
        templates.ensure_template(admin, "a" * 64, fail)

    assert made(admin) == []


def test_a_connection_that_the_builder_forgot_does_not_hold_clones(
    admin: Engine, database: str
) -> None:
    kept = []

    def forgetful(name: str) -> None:
        kept.append(open_engine(server_of(database, name)).connect())

    name = templates.ensure_template(admin, "a" * 64, forgetful)
    clone = templates.clone_name(admin.url.database or "", "forgetfl", "1")
    templates.clone(admin, name, clone)
    templates.drop(admin, clone)
    kept[0].invalidate()


def test_the_newest_three_are_kept_and_those_in_use(
    admin: Engine, build: Callable[[str], None]
) -> None:
    with templates.held_template(admin, "0" * 64, build) as held:
        names = [templates.ensure_template(admin, str(n) * 64, build) for n in range(1, 6)]

        assert made(admin) == [held, *names[-3:]]


def test_a_held_template_that_vanished_is_built_again(
    admin: Engine, build: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    share, calls = templates.share, []

    def late(connection: Any, name: str) -> None:
        if not calls:
            templates.drop(admin, name)
        calls.append(name)
        share(connection, name)

    monkeypatch.setattr(templates, "share", late)

    with templates.held_template(admin, "a" * 64, build) as name:
        assert made(admin) == [name]
    assert len(calls) == 2


def test_settings_of_the_database_and_its_extensions_are_cloned(
    admin: Engine, build: Callable[[str], None], database: str
) -> None:
    base = admin.url.database
    run(database, "CREATE EXTENSION citext")
    run(database, "CREATE SCHEMA app")
    run(database, f'ALTER DATABASE "{base}" SET search_path = app, public')
    run(database, f"ALTER DATABASE \"{base}\" SET TimeZone = 'Europe/Zurich'")
    name = templates.ensure_template(admin, "a" * 64, build)
    clone = templates.clone_name(base or "", "settings", "1")

    templates.clone(admin, name, clone)

    url = server_of(database, clone)
    try:
        assert run(url, "SELECT current_setting('search_path')") == ["app, public"]
        assert run(url, "SELECT current_setting('TimeZone')") == ["Europe/Zurich"]
        assert run(url, "SELECT extname FROM pg_extension WHERE extname = 'citext'") == ["citext"]
        sql = (
            "SELECT count(DISTINCT (encoding, datcollate, datctype, datlocprovider))"
            f" FROM pg_database WHERE datname IN ('{base}', '{clone}')"
        )
        assert run(database, sql) == [1]
    finally:
        templates.drop(admin, clone)


def test_clones_of_the_dead_are_swept_and_those_of_the_living_are_not(
    admin: Engine, build: Callable[[str], None]
) -> None:
    name = templates.ensure_template(admin, "a" * 64, build)
    base = admin.url.database or ""
    dead, living = (templates.clone_name(base, owner, "1") for owner in ("dead0000", "living00"))
    with templates.own_clones(admin, "living00"):
        for clone in (dead, living):
            templates.clone(admin, name, clone)

        assert templates.sweep(admin) == (dead,)
    assert templates.sweep(admin) == (living,)


def test_without_the_right_to_create_databases_the_grant_is_named(
    admin: Engine, build: Callable[[str], None], database: str
) -> None:
    role = f"{admin.url.database}"
    run(database, f"CREATE ROLE {role} LOGIN PASSWORD 'invented-secret'")
    url = make_url(database).set(username=role, password="invented-secret")
    poor = open_engine(url.render_as_string(hide_password=False), autocommit=True)
    name = templates.ensure_template(admin, "a" * 64, build)
    try:
        with pytest.raises(Unavailable) as built:
            templates.ensure_template(poor, "b" * 64, build)
        with pytest.raises(Unavailable) as cloned:
            templates.clone(poor, name, "unstale_c_poor")
    finally:
        run(database, f"DROP ROLE {role}")

    for caught in (built, cloned):
        assert caught.value.hint == f"as a superuser: ALTER ROLE {role} CREATEDB"


# --- The key -----------------------------------------------------------------


def test_the_key_tells_servers_and_seeds_apart(
    admin: Engine, database: str, tmp_path: Path
) -> None:
    seed = tmp_path / "seed.sql"
    seed.write_text("INSERT 1")
    keys = [templates.key(admin, "code"), templates.key(admin, "other code")]
    keys.append(templates.key(admin, "code", seeds=[seed]))
    seed.write_text("INSERT 2")
    keys.append(templates.key(admin, "code", seeds=[seed]))
    run(database, f"ALTER DATABASE \"{admin.url.database}\" SET TimeZone = 'Europe/Zurich'")
    keys.append(templates.key(admin, "code"))
    run(database, "CREATE EXTENSION citext")
    keys.append(templates.key(admin, "code"))

    assert len(set(keys)) == len(keys)
    assert templates.key(admin, "code") == keys[-1]


@pytest.fixture
def settings(suite: Any) -> Settings:
    return Settings(
        root=suite.pytester.path,
        database="APP_URL",
        schema="migrate",
        alembic_ini=suite.pytester.path / "alembic.ini",
        metadata="models:Base.metadata",
        isolation="clone",
        keep_tables=(),
        sessionmaker="",
        app=(),
        leaks=False,
        session_monitor=False,
    )


@pytest.mark.parametrize(
    "path",
    ["models.py", "migrations/env.py", "migrations/versions/first.py", "migrations/rows.sql"],
)
def test_each_file_that_a_migration_may_read_is_in_the_key(
    suite: Any, settings: Settings, path: str
) -> None:
    place = suite.pytester.path / path
    before = migrations.survey(settings, suite.url).digest
    suite.write(path, (place.read_text() if place.exists() else "") + "\n# changed\n")

    assert migrations.survey(settings, suite.url).digest != before


def test_what_a_migration_does_not_read_is_not_in_the_key(suite: Any, settings: Settings) -> None:
    before = migrations.survey(settings, suite.url)
    suite.tests("def test_new(): pass\n")
    suite.write("elsewhere.py", "X = 1\n")

    assert migrations.survey(settings, suite.url) == before
    assert before.version_table == (None, "alembic_version")
    assert suite.table_names() == []


def test_an_option_of_alembic_is_in_the_key(suite: Any, settings: Settings) -> None:
    before = migrations.survey(settings, suite.url).digest
    with settings.alembic_ini.open("a") as file:
        file.write("timezone = UTC\n")

    assert migrations.survey(settings, suite.url).digest != before


def test_an_env_py_that_goes_elsewhere_migrates_nothing(suite: Any, settings: Settings) -> None:
    env = (suite.pytester.path / "migrations/env.py").read_text()
    suite.write("migrations/env.py", env.replace('os.environ["APP_URL"]', repr(suite.url)))
    name = templates.clone_name("x", "elsewher", "1")

    with pytest.raises(MigrationFailed) as caught:
        migrations.build(settings, server_of(suite.url, name))

    assert "it does not take its URL from APP_URL" in caught.value.cause
    assert suite.table_names() == []


def test_a_password_in_the_words_of_env_py_is_hidden(suite: Any, settings: Settings) -> None:
    suite.write("migrations/env.py", "import os\nraise SystemExit(os.environ['APP_URL'])\n")
    url = make_url(suite.url).set(password="not-the-secret").render_as_string(hide_password=False)

    with pytest.raises(MigrationFailed) as caught:
        migrations.survey(settings, url)

    assert "not-the-secret" not in str(caught.value)
    assert "********" in caught.value.cause
