"""One PostgreSQL for these tests, and a new database in it for each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

pytest_plugins = ["pytester"]

# Loads psycopg now. pytester forgets what was first imported during a test, and a
# second psycopg raises errors that SQLAlchemy does not know as the driver's.
create_engine("postgresql+psycopg://")

ROOT = Path(__file__).resolve().parents[3]
_READY_S = 120


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a database of a real server; that of UNSTALE_TEST_POSTGRES, if it is set."""
    given = os.environ.get("UNSTALE_TEST_POSTGRES")
    if given:
        yield given
        return
    name = f"unstale-plugin-{uuid.uuid4().hex[:8]}"
    docker(
        *("run", "--detach", "--rm", "--name", name, "--publish", "127.0.0.1::5432"),
        *("--tmpfs", "/var/lib/postgresql/data", "--env", "POSTGRES_USER=app"),
        *("--env", "POSTGRES_PASSWORD=example", "--env", "POSTGRES_DB=appdb", image()),
        *("-c", "fsync=off", "-c", "max_connections=200"),
    )
    try:
        ports = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", name))
        port = ports["5432/tcp"][0]["HostPort"]
        url = f"postgresql+psycopg://app:example@127.0.0.1:{port}/appdb"
        wait_for(url)
        yield url
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture
def database(server_url: str) -> Iterator[str]:
    """The URL of a new, empty database; what was made beside it is dropped with it."""
    name = f"plugin_{uuid.uuid4().hex[:12]}"
    server = create_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            for one in [name, *beside(connection, name)]:
                connection.execute(text(f'ALTER DATABASE "{one}" WITH IS_TEMPLATE false'))
                connection.execute(text(f'DROP DATABASE "{one}" WITH (FORCE)'))


def beside(connection: Connection, name: str) -> list[str]:
    """Templates and clones that the plugin made for the database *name*."""
    from hashlib import sha256

    sql = "SELECT datname FROM pg_database WHERE datname ~ :pattern ORDER BY 1"
    pattern = f"^unstale_[crt]_{sha256(name.encode()).hexdigest()[:8]}_"
    return list(connection.execute(text(sql), {"pattern": pattern}).scalars())


def image() -> str:
    """The image that ./bootstrap found or made, else the official one."""
    written = ROOT / ".unstale" / "images.env"
    for line in written.read_text().splitlines() if written.exists() else ():
        name, _, value = line.partition("=")
        if name == "UNSTALE_POSTGRES_IMAGE":
            return value.strip("'\"")
    return os.environ.get("UNSTALE_POSTGRES_IMAGE", "postgres:17")


def docker(*arguments: str) -> str:
    """Run docker, or fail with its own words."""
    try:
        done = subprocess.run(
            ("docker", *arguments), capture_output=True, text=True, timeout=300, check=False
        )
    except FileNotFoundError:
        pytest.fail("These tests need Docker. Next: ./bootstrap --with-docker", pytrace=False)
    if done.returncode:
        pytest.fail(f"docker {arguments[0]}: {done.stderr.strip()}", pytrace=False)
    return done.stdout


def wait_for(url: str) -> None:
    """Return when the server answers a query over TCP, as the tests will ask."""
    engine, end = create_engine(url, poolclass=NullPool), time.monotonic() + _READY_S
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine, pool
from models import Base

engine = create_engine(os.environ["APP_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata{options})
    with context.begin_transaction():
        context.run_migrations()
"""
_MODELS = """
from sqlalchemy import Enum, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Country(Base):
    __tablename__ = "countries"
    code: Mapped[str] = mapped_column(primary_key=True)

class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str | None] = mapped_column(ForeignKey("countries.code"))

class Order(Base):
    __tablename__ = "Order"
    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[int] = mapped_column(ForeignKey("user.id"))
    state: Mapped[str] = mapped_column(Enum("open", "paid", name="order_state"))
"""
_REVISION = """
from alembic import op
from models import Base

revision = "0001"
down_revision = None

def upgrade():
    Base.metadata.create_all(op.get_bind())
    op.execute("INSERT INTO countries VALUES ('CH'), ('DE')")

def downgrade():
    Base.metadata.drop_all(op.get_bind())
"""


class Suite:
    """A small project with migrations, in the folder where its tests run."""

    def __init__(self, pytester: pytest.Pytester, patch: pytest.MonkeyPatch, url: str) -> None:
        self.pytester = pytester
        self.given = url
        self._patch = patch
        # A run inside of a worker of ours is no worker, and measures nothing.
        for name in [name for name in os.environ if name.startswith("PYTEST_")]:
            patch.delenv(name)
        self.use(url)
        self.write("alembic.ini", "[alembic]\nscript_location = migrations\nprepend_sys_path = .\n")
        self.write("models.py", _MODELS)
        self.write("migrations/env.py", _ENV.format(options=""))
        self.write("migrations/versions/first.py", _REVISION)

    def use(self, url: str) -> None:
        """Let the project, and `ask`, use *url*."""
        self.url = url
        self._patch.setenv("APP_URL", url)

    def write(self, path: str, words: str) -> None:
        """Write a file of the project."""
        place = self.pytester.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(words)

    def env_options(self, words: str) -> None:
        """Add arguments to the call of context.configure in env.py."""
        self.write("migrations/env.py", _ENV.format(options=f", {words}"))

    def opts(self, **options: str) -> None:
        """Opt in: each option without its prefix."""
        options = {"database": "APP_URL", **options}
        lines = [f"unstale_{name} = {value}" for name, value in options.items()]
        self.write("pytest.ini", "\n".join(["[pytest]", "pythonpath = .", *lines]) + "\n")

    def migrate(self, revision: str = "heads") -> None:
        """Run `alembic upgrade`, as a step before the tests would."""
        command = (sys.executable, "-m", "alembic", "upgrade", revision)
        subprocess.run(command, cwd=self.pytester.path, check=True, capture_output=True)

    def tests(self, words: str) -> None:
        """Write the test module."""
        self.write("test_it.py", words)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest there, in a process of its own."""
        command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments)
        return self.pytester.run(*command, timeout=120)

    def ask(self, sql: str) -> list[object]:
        """The first column of what the database answers, on a new connection."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            found = connection.execute(text(sql))
            return list(found.scalars()) if found.returns_rows else []

    def databases(self) -> list[str]:
        """What the plugin made beside the suite's database, and left."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.connect() as connection:
            return beside(connection, engine.url.database or "")

    def table_names(self) -> list[object]:
        """The tables of the public schema."""
        return self.ask(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        )


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, database: str) -> Suite:
    """A project with a database that has no tables yet."""
    return Suite(pytester, monkeypatch, database)
