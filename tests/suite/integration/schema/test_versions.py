"""The oldest and the newest that a project's own environment may have.

Each row is a virtual environment with its own Python, Alembic, SQLAlchemy and
driver, and the env.py and alembic.ini that this Alembic writes, with their
``fileConfig``. What can't be had fails a test: one that is skipped proves nothing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from harness import ROOT
from migrated import Database


@dataclass(frozen=True)
class Version:
    """What is installed for a project."""

    packages: tuple[str, ...]
    driver: str
    template: str = "generic"
    """Which env.py of Alembic's it has."""
    python: str = ""
    """Empty: the one that runs this."""


VERSIONS = {
    "the oldest": Version(
        ("alembic==1.9.0", "SQLAlchemy==1.4.0", "psycopg2-binary"), "psycopg2", python="3.8"
    ),
    "async and SQLAlchemy 1.4": Version(
        ("alembic==1.9.4", "SQLAlchemy[asyncio]==1.4.*", "asyncpg"), "asyncpg", "async", "3.8"
    ),
    "async and Alembic 1.13": Version(
        ("alembic==1.13.*", "SQLAlchemy[asyncio]==2.0.*", "asyncpg"), "asyncpg", "async"
    ),
    "the last before Alembic 1.17": Version(
        ("alembic==1.16.*", "SQLAlchemy==2.0.*", "psycopg[binary]"), "psycopg"
    ),
    "the newest": Version(("alembic", "SQLAlchemy", "pg8000"), "pg8000"),
}


class Aged(Database):
    """A database of a project that has an environment of its own."""

    def alembic(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            ("python", "-m", "alembic", *arguments),
            cwd=self.root,
            env={**os.environ, **self.environ, "UNSTALE_DB_5432": self.address},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make the environment of a row once, and what its Alembic writes for a new project."""
    made: dict[str, Path] = {}

    def environment(row: str) -> Path:
        if row not in made:
            made[row] = _installed(VERSIONS[row], tmp_path_factory.mktemp("version"))
        return made[row]

    return environment


def _installed(version: Version, folder: Path) -> Path:
    python = folder / "venv" / "bin" / "python"
    _run(folder, _python(version.python), "-m", "venv", "venv")
    _run(folder, str(python), "-m", "pip", "install", "--quiet", *version.packages)
    _run(folder, str(python), "-m", "alembic", "init", "-t", version.template, "migrations")
    return folder


def _run(folder: Path, *argv: str) -> None:
    done = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        pytest.fail(f"{' '.join(argv)}: {done.stderr.strip()[-2000:]}", pytrace=False)


def _python(version: str) -> str:
    """The path of Python *version*, on the PATH or one of pyenv's."""
    if not version:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")]
    for place in filter(None, places):
        # pyenv's own is on the PATH for each version, and starts those that are chosen.
        if not subprocess.run((place, "--version"), capture_output=True, check=False).returncode:
            return str(place)
    pytest.fail(f"These tests need Python {version}. Next: pyenv install {version}", pytrace=False)


@pytest.fixture
def aged(row: str, database: Database, install: Callable[[str], Path]) -> Aged:
    """A new database, and the project in the environment of *row*."""
    folder = install(row)
    path = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = Aged(
        database.checkout, database.container, database.address, database.name, {"PATH": path}
    )
    for name in ("alembic.ini", "migrations/env.py"):
        shutil.copy(folder / name, found.root / name)
    found.replace(
        "migrations/env.py",
        "target_metadata = None",
        "import os\n\nimport models\n\n"
        "print('noise')\n"
        f"URL = 'postgresql+{VERSIONS[row].driver}://app:only-for-tests'\n"
        "URL += f\"@{os.environ['UNSTALE_DB_5432']}/{os.environ['STATE_DB']}\"\n"
        "config.set_main_option('sqlalchemy.url', URL)\n"
        "target_metadata = models.metadata",
    )
    return found


OTHER = '''"""Another head."""

revision = "0003"
down_revision = "0001"


def upgrade():
    pass


def downgrade():
    pass
'''


def _current(db: Database) -> None:
    db.alembic("upgrade", "heads")


def _dropped(db: Database) -> None:
    _current(db)
    db.sql('DROP TABLE users, "Order"')


def _altered(db: Database) -> None:
    _current(db)
    db.sql("ALTER TABLE users DROP CONSTRAINT users_have_a_name")


def _drifted(db: Database) -> None:
    _current(db)
    db.replace("models.py", 'Column("name"', 'Column("age", Integer),\n    Column("name"')


def _multiple_heads(db: Database) -> None:
    _current(db)
    db.write("migrations/versions/0003_other.py", OTHER)


STATES: dict[str, Callable[[Database], object]] = {
    "empty": lambda _db: None,
    "behind": lambda db: db.alembic("upgrade", "0001"),
    "current": _current,
    "stamped": lambda db: db.alembic("stamp", "head"),
    "dropped": _dropped,
    "multiple-heads": _multiple_heads,
    "drifted": _drifted,
    "altered": _altered,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", VERSIONS)
def test_each_version_tells_each_state_and_writes_nothing(state: str, aged: Aged) -> None:
    STATES[state](aged)
    before = aged.content()

    status = aged.unstale("db.status", "--json").document()
    check = aged.unstale("db.check", "--json").document()

    # Only the reference sees a constraint.
    assert status["state"] == ("current" if state == "altered" else state)
    assert check["state"] == state
    assert aged.content() == before


@pytest.mark.parametrize("row", VERSIONS)
def test_each_version_migrates_and_proves_it_with_four_witnesses(aged: Aged) -> None:
    document = aged.unstale("db.migrate", "--json").must(0).document()

    assert document["state"] == "current"
    assert {one["verdict"] for one in document["witnesses"].values()} == {"ok"}
    assert aged.unstale("db.check", "--history").must(0)
    assert not [name for name in aged.others() if name.startswith("unstale_s_")]


@pytest.mark.parametrize("row", VERSIONS)
def test_each_version_knows_several_locations_and_both_heads(aged: Aged) -> None:
    ini = (aged.root / "alembic.ini").read_text().splitlines()
    replaced = ("version_path_separator", "path_separator", "version_locations")
    ini = [line for line in ini if not line.startswith(replaced)]
    # The second is the first one's name since Alembic 1.16.
    own = [
        "version_path_separator = os",
        "path_separator = os",
        "version_locations = %(here)s/migrations/versions:%(here)s/more",
    ]
    at = ini.index("[alembic]") + 1
    aged.write("alembic.ini", "\n".join([*ini[:at], *own, *ini[at:]]) + "\n")
    aged.write("more/0003_other.py", OTHER)
    aged.checkout.append(
        "pyproject.toml",
        '\n[tool.unstale.schema]\nmigrate-command = ["alembic", "upgrade", "heads"]\n',
    )

    document = aged.unstale("db.migrate", "--json").must(0).document()

    assert document["state"] == "current"
    assert document["heads"] == ["0002", "0003"]


@pytest.mark.parametrize("row", VERSIONS)
def test_each_version_names_the_migration_that_fails(aged: Aged) -> None:
    aged.replace(
        "migrations/versions/0002_orders.py", 'op.create_table("Order"', 'op.create_table("users"'
    )

    answer = aged.unstale("db.migrate").must(5)

    assert "In revision 0001 -> 0002" in answer.err
    assert 'relation "users" already exists' in answer.err


@pytest.fixture
def probe() -> ModuleType:
    """The file that is piped to the project's Python, as a module."""
    path = ROOT / "tasks" / "unstale" / "adapters" / "database" / "probe.py"
    spec = importlib.util.spec_from_file_location("probe", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("driver", "key"),
    [
        ("psycopg2", "database"),  # of SQLAlchemy 1.4
        ("psycopg2", "dbname"),
        ("psycopg", "dbname"),
        ("psycopg_async", "dbname"),
        ("asyncpg", "database"),
        ("pg8000", "database"),
    ],
)
def test_a_driver_is_told_one_database(driver: str, key: str, probe: ModuleType) -> None:
    door = probe.Door("unstale-look")
    dialect = SimpleNamespace(name="postgresql", driver=driver)
    parameters = {"host": "db.example.com", key: "app"}
    door._connecting(dialect, None, [], parameters)
    door.database = "scratch"

    door._connecting(dialect, None, [], parameters)

    names = {name: parameters.get(name) for name in ("database", "dbname") if name in parameters}
    assert names == {key: "scratch"}
