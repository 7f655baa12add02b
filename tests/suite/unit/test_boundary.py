"""The edge of Invoke: what a chain runs, and what ends it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


_LATE = """
import os, signal
from invoke import task
from unstale.errors import CouldNotTell, UnstaleError
from unstale.invocations.boundary import QuietTask, entry

class Told(CouldNotTell):
    def hide(self, mask):
        os.kill(os.getpid(), signal.SIG{name})

@task(klass=QuietTask)
def telling(ctx):
    with entry("telling", as_json=True):
        raise Told("something else went wrong")

@task(klass=QuietTask)
def answered(ctx):
    with entry("answered", as_json=True):
        from unstale.render.document import write
        write("answered", {"what": "something else was found out"})
        os.kill(os.getpid(), signal.SIG{name})

@task(klass=QuietTask)
def leaving(ctx):
    with entry("leaving"):
        pass
    from unstale.errors import Interrupted
    raise Interrupted(signal.SIG{name})
"""


@pytest.mark.parametrize(("name", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129)])
@pytest.mark.parametrize("moment", ["telling", "answered", "leaving"])
def test_a_signal_while_the_task_ends_decides_the_code(
    moment: str, name: str, code: int, tmp_path: Path
) -> None:
    """While another error is told, after the report, or as the handlers are taken away."""
    (tmp_path / "tasks.py").write_text(_LATE.replace("{name}", name))

    answer = subprocess.run(
        (sys.executable, "-m", "invoke", moment),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.returncode, answer.stderr.strip()) == (code, "Stopped by a signal.")
    assert moment == "leaving" or "something else" in json.loads(answer.stdout)["what"]
