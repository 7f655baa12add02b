"""A database that is not up is told of by the engine, and not waited for."""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Checkout, copy_images_env, docker
from migrated import PROJECT

ENVIRON = {
    "STATE_DB": "app",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
# The probe waits for a minute where nothing says that it is in vain.
_AT_ONCE_S = 30


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A standing stack whose database was stopped behind its back."""
    root = tmp_path_factory.mktemp("stopped") / f"it-{uuid.uuid4().hex[:8]}"
    shutil.copytree(PROJECT, root)
    copy_images_env(root)
    checkout = Checkout(root, program=("-m", "unstale"))
    checkout.inv("stack.up").must(0)
    try:
        (container,) = checkout.containers("db")
        docker("stop", container)
        yield checkout
    finally:
        checkout.inv("stack.down").must(0)


@pytest.mark.parametrize("task", ["db.status", "db.check", "db.tables"])
def test_a_stopped_database_is_told_at_once(stopped: Checkout, task: str) -> None:
    started = time.monotonic()

    answer = stopped.inv(task, env=ENVIRON)

    assert answer.code == (4 if task == "db.tables" else 5)
    assert time.monotonic() - started < _AT_ONCE_S
    assert "Next: inv stack.up" in answer.err
    if task != "db.tables":
        assert "The database 'db' is not running: its container ended" in answer.err
        assert "database system is shut down" in answer.err  # its own last words


def test_a_migration_starts_a_stopped_database(stopped: Checkout) -> None:
    stopped.inv("db.migrate", env=ENVIRON).must(0)
