"""The edge of Invoke: what a chain runs, and what ends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TASKS = """
from invoke import Collection, task
from unstale.invocations.boundary import QuietTask

@task(klass=QuietTask)
def a(ctx):
    print("a")

@task(klass=QuietTask)
def b(ctx):
    print("b")

ns = Collection(a, b)
"""


def test_a_task_that_is_typed_twice_runs_twice(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(_TASKS)

    answer = subprocess.run(
        (sys.executable, "-m", "invoke", "a", "b", "a"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.split() == ["a", "b", "a"]
