"""Templates exist twice: the probe stands alone, so it can't share the plugin's code.

Both are asked here about one project and one migrated database, and must agree.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text

from unstale.pytest_plugin import migrations, templates
from unstale.pytest_plugin.engines import open_engine, server_of
from unstale.pytest_plugin.settings import Settings

_PROBE = Path(__file__).parents[3] / "tasks/unstale/adapters/database/probe.py"
# A process of its own, as always: what env.py loads is in the key.
_ASK = """
import importlib.util, json, sys

path, databases, is_to_be_built = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("probe", path)
probe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(probe)
with probe.Door("unstale-test") as door:
    project = probe.Project("alembic.ini", door)
    project.capture()
    with door.open() as link:
        found = {"key": probe.template_key(project, link, ["seeds/*.sql"])}
        if is_to_be_built:
            made = probe.reference(project, door, link, ["seeds/*.sql"])
            found.update(name=made.name, facts=made.facts, is_new=made.is_new)
    found["databases"] = {}
    for name in databases:
        with door.open(name) as link:
            found["databases"][name] = probe.fingerprint(link)
print(probe.SENTINEL + json.dumps(found))
"""


class Both:
    """The two implementations, on the project of a suite."""

    def __init__(self, suite: Any) -> None:
        self.suite = suite
        self.root: Path = suite.pytester.path
        self.admin: Engine = open_engine(suite.url, autocommit=True)
        self.settings = Settings(
            root=self.root,
            database="APP_URL",
            schema="migrate",
            alembic_ini=self.root / "alembic.ini",
            metadata="models:Base.metadata",
            isolation="clone",
            keep_tables=(),
            sessionmaker="",
            app=(),
            leaks=False,
            session_monitor=False,
        )

    def probe(self, *databases: str, build: bool = True) -> dict[str, Any]:
        """The probe's key, template, and facts of *databases*."""
        request = json.dumps([str(_PROBE), databases, build])
        done = subprocess.run(
            (sys.executable, "-c", _ASK, request),
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.rpartition("unstale-probe:")[2])
        return found

    def key(self) -> str:
        """The plugin's."""
        seeds = (self.root / "seeds").glob("*.sql")
        digest = migrations.survey(self.settings, self.suite.url).digest
        return templates.key(self.admin, digest, seeds=seeds)

    def template(self, built: list[str] | None = None) -> str:
        """The plugin's; whoever builds it is noted."""

        def build(name: str) -> None:
            if built is not None:
                built.append(name)
            migrations.build(self.settings, server_of(self.suite.url, name))

        return templates.ensure_template(self.admin, self.key(), build)

    def keys(self) -> tuple[str, str]:
        """The probe's key, and the plugin's."""
        return self.probe(build=False)["key"], self.key()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.admin.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]


@pytest.fixture
def both(suite: Any) -> Both:
    suite.write("seeds/rows.sql", "INSERT INTO countries VALUES ('AT')")
    suite.migrate()
    return Both(suite)


def _appended(path: str, words: str = "\n# changed\n") -> Callable[[Both], None]:
    def change(both: Both) -> None:
        place = both.root / path
        both.suite.write(path, (place.read_text() if place.exists() else "") + words)

    return change


def _asked(sql: str) -> Callable[[Both], None]:
    return lambda both: both.suite.ask(sql)


CHANGES: dict[str, tuple[Callable[[Both], object], bool]] = {
    "nothing": (lambda _both: None, False),
    "a row of a table": (_asked("INSERT INTO countries VALUES ('FR')"), False),
    "a file that nothing reads": (_appended("elsewhere.py"), False),
    "a migration": (_appended("migrations/versions/first.py"), True),
    "env.py": (_appended("migrations/env.py"), True),
    "SQL beside the migrations": (_appended("migrations/rows.sql"), True),
    "the models": (_appended("models.py"), True),
    "an option of Alembic": (_appended("alembic.ini", "timezone = UTC\n"), True),
    "a seed": (_appended("seeds/rows.sql"), True),
    "an extension": (_asked("CREATE EXTENSION citext"), True),
    "a schema that came after Alembic's table": (_asked("CREATE SCHEMA later"), False),
    "a setting of the database": (
        lambda both: both.suite.ask(
            f"ALTER DATABASE {both.admin.url.database} SET TimeZone = 'Europe/Zurich'"
        ),
        True,
    ),
}
"""What happens to the project or its database, and whether a template depends on it."""


def test_the_same_inputs_make_both_keys_new(both: Both) -> None:
    known, probe, plugin = both.keys(), set(), set()

    # One after the other: to ask both for a key takes seconds.
    for name, (change, _) in CHANGES.items():
        change(both)
        before, known = known, both.keys()
        probe |= {name} if known[0] != before[0] else set()
        plugin |= {name} if known[1] != before[1] else set()

    inputs = {name for name, (_, is_input) in CHANGES.items() if is_input}
    assert probe == inputs
    assert plugin == inputs


def test_both_templates_have_the_facts_of_the_migrated_database(both: Both) -> None:
    base = both.admin.url.database or ""
    clone = templates.clone_name(base, "parity00", "1")
    templates.clone(both.admin, both.template(), clone)

    found = both.probe(base, clone)

    assert found["databases"][clone] == found["facts"]
    assert found["databases"][base] == found["facts"]
    assert {"relation public.Order", "enum public.order_state"} <= set(found["facts"])


def test_both_templates_are_sealed_alike_and_built_once(both: Both) -> None:
    built: list[str] = []
    base = both.admin.url.database
    names = [both.probe()["name"], both.template(built)]

    again = both.probe()

    assert (again["name"], again["is_new"]) == (names[0], False)
    assert (both.template(built), built) == (names[1], [names[1]])
    seal = "SELECT datname::text, datistemplate, datallowconn FROM pg_database"
    chosen = " WHERE datname IN ('{}', '{}')".format(*names)
    assert {row[0]: row[1:] for row in both.rows(seal + chosen)} == dict.fromkeys(
        names, (True, False)
    )
    like = "SELECT DISTINCT encoding, datcollate, datctype, datlocprovider FROM pg_database"
    assert len(both.rows(f"{like}{chosen} OR datname = '{base}'")) == 1


def test_both_drop_what_was_left_half_built(both: Both) -> None:
    names = [both.probe()["name"], both.template()]
    for name in names:
        both.suite.ask(f'ALTER DATABASE "{name}" WITH IS_TEMPLATE false')

    built: list[str] = []

    assert both.probe()["is_new"] is True
    assert both.template(built) == names[1]
    assert built == [names[1]]


_IN_APP = """
from alembic import op

revision = "0001"
down_revision = None

def upgrade():
    {first}
    op.execute("CREATE TABLE app.notes (id int PRIMARY KEY, title citext)")
    op.execute("CREATE TABLE words (id int)")
"""
_CREATES = "op.execute('CREATE SCHEMA app')"


@pytest.mark.parametrize("maker", ["init script", "migration", "restored dump"])
def test_both_templates_have_the_schemas_and_settings_that_migrations_rely_on(
    maker: str, suite: Any
) -> None:
    name = make_url(suite.url).database
    suite.ask("CREATE EXTENSION citext")
    suite.ask(f"ALTER DATABASE {name} SET search_path = app, public")
    body = _IN_APP.format(first="pass" if maker == "init script" else _CREATES)
    suite.write("migrations/versions/first.py", body)
    if maker == "init script":
        suite.ask("CREATE SCHEMA app")
    suite.migrate()
    if maker == "restored dump":  # it makes schemas first, then tables
        suite.ask("DROP TABLE alembic_version")
        suite.ask(
            "CREATE TABLE public.alembic_version"
            " (version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY)"
        )
        suite.ask("INSERT INTO public.alembic_version VALUES ('0001')")
    both = Both(suite)
    clone = templates.clone_name(name or "", "parity00", "1")

    templates.clone(both.admin, both.template(), clone)

    found = both.probe(name or "", clone)
    wanted = {"relation app.notes", "relation app.words"}
    assert wanted <= found["databases"][clone].keys() & found["facts"].keys()
    assert found["databases"][clone] == found["facts"]
    if maker != "restored dump":
        assert found["databases"][clone] == found["databases"][name]
    with open_engine(server_of(suite.url, clone)).connect() as connection:
        assert connection.execute(text("SHOW search_path")).scalar_one() == "app, public"
