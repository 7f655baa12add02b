"""The edge of Invoke: what a chain runs, and what ends it."""

from __future__ import annotations

import json
import os
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


_AFTER = """
import atexit, os, signal, time
from invoke import task
from unstale.errors import UnstaleError
from unstale.invocations.boundary import QuietTask, entry

@task(klass=QuietTask)
def ours(ctx):
    atexit.register(lambda: (print("the end", flush=True), os.kill(os.getpid(), signal.SIGINT)))
    with entry("ours"):
        pass

@task(klass=QuietTask)
def swallowing(ctx):
    with entry("swallowing"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except UnstaleError:
            print("a note")

@task(klass=QuietTask)
def between(ctx):
    with entry("between"):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)

@task
def theirs(ctx):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    finally:
        print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(
    ("tasks", "code", "out", "err"),
    [
        ("ours theirs", -2, "cleaned up the end", ""),  # and not with 1 or a traceback
        ("ours", -2, "the end", ""),
        ("between theirs", 130, "", "Stopped by a signal."),
        ("swallowing theirs", 143, "a note", "Stopped by a signal."),
    ],
)
def test_what_becomes_of_a_signal_around_the_end_of_a_task(
    tasks: str, code: int, out: str, err: str, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text(_AFTER)

    answer = subprocess.run(
        (sys.executable, "-m", "invoke", *tasks.split()),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = (answer.returncode, answer.stdout.split("\n"), answer.stderr.strip())
    assert (said[0], " ".join(said[1]).strip(), said[2]) == (code, out, err)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two environments that can be compared without docker."""
    (tmp_path / "pyproject.toml").write_text("[tool.unstale]\n")
    (tmp_path / "env").mkdir()
    for name in ("ci", "test"):
        (tmp_path / "env" / f".env.{name}").write_text("KEY=1\n")
    return tmp_path


SAME = "env.diff ci test --files-only"
UNSTALE = f"{sys.executable} -m unstale"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (f"{SAME} | true", 0, ""),
        (f"{SAME} --json | head -c 1", 0, ""),
        ("--list | head -1", 0, ""),
        (f"{SAME} >&-", 0, ""),
        (f"{SAME} <&-", 0, ""),
        (f"{SAME} <&- >&- 2>&-", 0, ""),
        (f"{SAME} > /dev/full", 5, "The report can't be written to the standard output."),
        (f"{SAME} --json > /dev/full", 5, "No space left on device."),
        ("--list > /dev/full", 5, "Next: df -h"),
        ("env.diff ci nowhere --files-only 2>/dev/full", 2, ""),
        ("env.diff ci nowhere --files-only --json 2>/dev/full | head -c 1", 2, ""),
        ("no.such.task 2>&-", 2, ""),
        ("image.clean <&-", 2, "there is no terminal to answer on"),
    ],
)
@pytest.mark.parametrize(
    "buffering", ["", pytest.param("1", marks=pytest.mark.long)], ids=["buffered", "unbuffered"]
)
def test_streams_that_are_closed_full_or_read_by_nobody(
    project: Path, words: str, code: int, said: str, buffering: str
) -> None:
    script = f"set -o pipefail; {UNSTALE} {words}"

    answer = subprocess.run(
        ("bash", "-c", script),
        cwd=project,
        env={**os.environ, "PYTHONUNBUFFERED": buffering},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "Exception ignored" not in answer.stderr
    assert "BUG" not in answer.stderr


def test_a_dumb_terminal_gets_plain_lines(project: Path) -> None:
    answer = subprocess.run(
        ("bash", "-c", f"{UNSTALE} {SAME}"),
        cwd=project,
        env={**os.environ, "TERM": "dumb", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "\x1b" not in answer.stdout + answer.stderr
