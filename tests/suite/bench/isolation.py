"""What it costs to give each test a clean database, against the migrations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import schema
from timing import Figure, Ratio
from trees import Tree

MODES = ("savepoint", "dirty-delete", "truncate", "clone")

# Each round writes to five tables, as a test would; what that takes is part of it.
_TEST = """
import json, os, pathlib, time
from sqlalchemy import text

def test_price(unstale_isolation):
    taken = []
    for number in range(int(os.environ["ROUNDS"]) + 1):
        begin = time.perf_counter()
        with unstale_isolation() as database:
            if database.connection is not None:
                write(database.connection)
            else:
                with database.engine.begin() as connection:
                    write(connection)
        taken.append(time.perf_counter() - begin)
    pathlib.Path(os.environ["FIGURES"]).write_text(json.dumps(taken[1:]))

def write(connection):
    for table in range(5):
        connection.execute(text(f"INSERT INTO t{table} (c{table}) VALUES (1)"))
"""


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figures; of the tree only the number of its files is told."""
    name = f"unstale-bench-{uuid.uuid4().hex[:8]}"
    try:
        schema.start_postgres(name, schema.images()["postgres"], "--publish", "127.0.0.1::5432")
        yield from _figures(name, runs, tree.files)
    finally:
        schema.docker("rm", "--force", "--volumes", f"{name}-db", code=None)


def _figures(name: str, runs: int, files: int) -> Iterator[Figure]:
    address = schema.docker("port", f"{name}-db", "5432/tcp").split()[0]
    schema.wait_for(address)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        schema.write_project(root, address)
        (root / "test_price.py").write_text(_TEST)
        baseline = tuple(_upgrade(root, name) for _ in range(runs))
        for mode in MODES:
            ours = _isolated(root, mode, address, runs)
            yield Ratio(
                f"isolation by {mode} / `alembic upgrade head`, {schema.MIGRATIONS} migrations",
                files,
                ours,
                tuple(baseline[number % runs] for number in range(len(ours))),
                None,
            )


def _upgrade(root: Path, name: str) -> float:
    """From nothing to the newest migration; the start of Python is part of it."""
    psql = ("exec", f"{name}-db", "psql", "-qU", "app", "postgres", "-c")
    schema.docker(*psql, "DROP DATABASE app WITH (FORCE)")
    schema.docker(*psql, "CREATE DATABASE app")
    begin = time.perf_counter()
    command = (sys.executable, "-m", "alembic", "upgrade", "head")
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    return time.perf_counter() - begin


def _isolated(root: Path, mode: str, address: str, rounds: int) -> tuple[float, ...]:
    options = {"database": "DATABASE_URL", "isolation": mode}
    lines = [f"unstale_{key} = {value}" for key, value in options.items()]
    (root / "pytest.ini").write_text("\n".join(["[pytest]", *lines]) + "\n")
    figures = root / "figures.json"
    environ = {
        **os.environ,
        "DATABASE_URL": f"postgresql+psycopg://app:only-for-tests@{address}/app",
        "ROUNDS": str(rounds),
        "FIGURES": str(figures),
    }
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_price.py")
    done = subprocess.run(
        command, cwd=root, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return tuple(json.loads(figures.read_text()))
