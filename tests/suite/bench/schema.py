"""A look at a migrated database, against the commands that it replaces.

Both run in one container, in which the project's Python is: start to answer.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from timing import Figure, Ratio, Seconds, alternate
from trees import Tree

ROOT = Path(__file__).resolve().parents[3]
PROBE = (ROOT / "tasks/unstale/adapters/database/probe.py").read_bytes()
MIGRATIONS = 100
TABLES = 50

_ENV = """
import os

from alembic import context
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, pool

metadata = MetaData()
for number in range({tables}):
    later = [Column(f"c{{n}}", Integer) for n in range(number, {later}, {tables})]
    Table(f"t{{number}}", metadata, Column("id", Integer, primary_key=True), *later)

URL = os.environ.get("DATABASE_URL", "postgresql+psycopg://app:only-for-tests@{host}/app")
with create_engine(URL, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
_INI = "[alembic]\nscript_location = %(here)s/m\npath_separator = os\n"
_REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{number:04}", {before}


def upgrade():
    {body}


def downgrade():
    pass
"""


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figures; of the tree only the number of its files is told."""
    name = f"unstale-bench-{uuid.uuid4().hex[:8]}"
    try:
        yield from _figures(name, runs, tree.files)
    finally:
        docker("rm", "--force", "--volumes", f"{name}-db", name, code=None)
        docker("network", "rm", name, code=None)


def _figures(name: str, runs: int, files: int) -> Iterator[Figure]:
    found = images()
    docker("network", "create", name)
    start_postgres(name, found["postgres"], "--network", name)
    docker(
        "run",
        "--detach",
        "--network",
        name,
        "--init",
        "--name",
        name,
        found["runner"],
        "sleep",
        "3600",
    )
    _write(name, f"{name}-db")
    migrate = {"do": "migrate", "ini": "alembic.ini", "target": "head", "deadline_s": 120}
    first = _ask(name, migrate)
    assert first["ran"] == MIGRATIONS, first
    _ask(name, {"do": "check", "ini": "alembic.ini", "reference": True, "deadline_s": 60})
    for words, action in (("db.status", {"do": "look"}), ("db.check", _WITH_REFERENCE)):
        request = {"ini": "alembic.ini", "deadline_s": 60, **action}
        ours, theirs = alternate(_look(name, request), _alembic(name), runs)
        yield Ratio(
            f"probe of {words} / `alembic current`, `check` and a no-op `upgrade`, "
            f"{MIGRATIONS} migrations",
            files, ours, theirs, None,
        )  # fmt: skip


_WITH_REFERENCE: dict[str, object] = {"do": "check", "reference": True}


def _look(name: str, request: dict[str, object]) -> Seconds:
    def once() -> float:
        begin = time.perf_counter()
        found = _ask(name, request)
        took = time.perf_counter() - begin
        assert found["applied"] == [f"{MIGRATIONS - 1:04}"], found
        return took

    return once


def _alembic(name: str) -> Seconds:
    commands = (("current", "--check-heads"), ("check",), ("upgrade", "head"))

    def once() -> float:
        begin = time.perf_counter()
        for command in commands:
            docker("exec", "--workdir", "/tmp/p", name, "alembic", *command)
        return time.perf_counter() - begin

    return once


def _ask(name: str, request: dict[str, object]) -> dict[str, object]:
    argv = ("docker", "exec", "-i", "--workdir", "/tmp/p", name, "python", "-", json.dumps(request))
    done = subprocess.run(argv, input=PROBE, capture_output=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.decode().rpartition("unstale-probe:")[2])
    assert "error" not in found, found
    return found


def start_postgres(name: str, image: str, *options: str) -> None:
    """Start a server whose data is in memory, as *name* with ``-db``."""
    settings = ("POSTGRES_USER=app", "POSTGRES_PASSWORD=only-for-tests", "POSTGRES_DB=app")
    variables = [word for setting in settings for word in ("--env", setting)]
    place = ("--name", f"{name}-db", "--init", "--tmpfs", "/var/lib/postgresql/data")
    docker("run", "--detach", *place, *options, *variables, image, "postgres", "-c", "fsync=off")


def wait_for(address: str) -> None:
    """Return when the server answers a query over TCP."""
    import psycopg

    end = time.monotonic() + 120
    while True:
        try:
            url = f"postgresql://app:only-for-tests@{address}/app"
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.2)
        else:
            return


def write_project(root: Path, host: str) -> None:
    """Write a project with as many migrations as `MIGRATIONS`, of the database at *host*."""
    (root / "m/versions").mkdir(parents=True)
    (root / "alembic.ini").write_text(_INI)
    (root / "m/env.py").write_text(_ENV.format(host=host, tables=TABLES, later=MIGRATIONS))
    for number in range(MIGRATIONS):
        (root / f"m/versions/r{number:04}.py").write_text(_revision(number))


def _write(container: str, host: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "p"
        write_project(root, host)
        # `docker cp` keeps the owner of temporary folders: root alone may enter them.
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)
        docker("cp", str(root), f"{container}:/tmp/p")


def _revision(number: int) -> str:
    """Half of the migrations create a table, the others add a column to one."""
    table = f"t{number % TABLES}"
    columns = f'sa.Column("id", sa.Integer, primary_key=True), sa.Column("c{number}", sa.Integer)'
    body = f'op.create_table("{table}", {columns})'
    if number >= TABLES:
        body = f'op.add_column("{table}", sa.Column("c{number}", sa.Integer))'
    before = repr(f"{number - 1:04}") if number else "None"
    return _REVISION.format(number=number, before=before, body=body)


def images() -> dict[str, str]:
    """The reference service's runner, built from its layers, and its PostgreSQL."""
    env_files = [ROOT / "env/.env.test"]
    if (own := ROOT / ".unstale/images.env").exists():
        env_files.insert(0, own)
    compose = ["docker", "compose", "--file", str(ROOT / "docker/docker-compose.test.yml")]
    compose += [word for path in env_files for word in ("--env-file", str(path))]
    subprocess.run([*compose, "build", "--quiet", "test-runner"], check=True, capture_output=True)
    model = subprocess.run(
        [*compose, "config", "--format", "json"], check=True, capture_output=True
    )
    services = json.loads(model.stdout)
    return {
        "postgres": services["services"]["postgres"]["image"],
        "runner": f"{services['name']}-test-runner",
    }


def docker(*arguments: str, code: int | None = 0) -> str:
    """Run docker, and return what it prints."""
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, done.stderr
    return done.stdout
