"""Migrators that meet. Twice here; `UNSTALE_ROUNDS=50` for the long run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT
from migrated import Database

ROUNDS = range(int(os.environ.get("UNSTALE_ROUNDS", "2")))
PROBE = ROOT / "tasks" / "unstale" / "adapters" / "database" / "probe.py"

# Slow enough that the second one comes while the first is at work.
SLOW = "def upgrade():\n    op.execute('SELECT pg_sleep(0.3)')\n"


def _migrate(database: Database, number: int) -> dict[str, Any]:
    request = {
        "do": "migrate",
        "ini": "alembic.ini",
        "target": "head",
        "deadline_s": 60,
        "run": str(number),
        "reference": True,
    }
    done = subprocess.run(
        (sys.executable, "-", json.dumps(request)),
        cwd=database.root,
        env={**os.environ, **database.environ, "UNSTALE_DB_5432": database.address},
        input=PROBE.read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.rpartition("unstale-probe:")[2])
    return found


@pytest.mark.parametrize("round_", ROUNDS)
def test_two_migrators_run_each_migration_once(round_: int, database: Database) -> None:
    del round_
    database.replace("migrations/versions/0001_users.py", "def upgrade():\n", SLOW)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda number: _migrate(database, number), range(2)))

    assert not [one for one in both if "error" in one or "failed" in one], both
    assert sorted(one["ran"] for one in both) == [0, 2]
    assert all(one["applied"] == ["0002"] for one in both)
    assert all(one["reference"]["differences"] == [] for one in both)


@pytest.mark.parametrize("round_", ROUNDS)
def test_a_migrator_of_somebody_else_is_waited_for(round_: int, database: Database) -> None:
    del round_
    database.replace("migrations/versions/0001_users.py", "def upgrade():\n", SLOW)
    alembic = (sys.executable, "-m", "alembic", "upgrade", "head")
    environ = {**os.environ, **database.environ, "UNSTALE_DB_5432": database.address}
    with subprocess.Popen(alembic, cwd=database.root, env=environ, stderr=subprocess.PIPE) as other:
        # Its first table is there for nobody else, and locked for all.
        sql = "SELECT count(*) FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation \
               WHERE l.locktype = 'relation' AND c.oid IS NULL AND l.mode = 'AccessExclusiveLock'"
        while database.sql(sql) == "0":
            assert other.poll() is None, "it was over before it was seen"
        found = _migrate(database, 1)
        assert other.wait(timeout=30) == 0

    assert (found["ran"], found["applied"]) == (0, ["0002"])


def test_the_probe_runs_where_nothing_of_unstale_is() -> None:
    code = (
        "import ast, pathlib, sys\n"
        f"tree = ast.parse(pathlib.Path({str(PROBE)!r}).read_text(), feature_version=(3, 8))\n"
        "names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}\n"
        "names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}\n"
        "print(sorted(n for n in names if n.split('.')[0] not in sys.stdlib_module_names))\n"
    )
    printed = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, check=True, cwd=Path("/")
    ).stdout

    used = {name.split(".")[0] for name in ast_list(printed)}
    assert used == {"alembic", "sqlalchemy", "psycopg", "psycopg2", "asyncpg", "pg8000"}


def ast_list(printed: str) -> list[str]:
    return [word.strip(" '\n") for word in printed.strip("[]\n").split(",")]
