"""The watchdog, with a docker that writes down what it is asked.

What it does to a real engine is in ``faults/test_leases.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from unstale import override
from unstale.adapters import watchdog
from unstale.adapters.leases import Leases
from unstale.project import Project

# Lists what is in its folder; whatever is removed is gone from there.
_DOCKER = """#!/bin/sh
cd "$FAKE_ENGINE" || exit 1
[ -e broken ] && exit 1
echo "$*" >> asked
case "$1 $2" in
  "ps --all") cat container ;;
  "network ls") cat network ;;
  "volume ls") cat volume ;;
  "rm --force") : > container ;;
  "network rm") [ -s container ] && exit 1; : > network ;;
  "volume rm") [ -s container ] && exit 1; : > volume ;;
esac
"""

# What holds the lease, until it is killed or told what to do.
_RUN = """
import os, pathlib, subprocess, sys
from unstale.adapters.leases import Leases
leases = Leases(os.environ)
with leases.held("r1", {"DOCKER_HOST": "unix:///run/one.sock"}) as lease:
    nowhere = subprocess.DEVNULL
    stray = subprocess.Popen(("sleep", "60"), start_new_session=True, stdout=nowhere)
    print(stray.pid, flush=True)
    word = sys.stdin.readline().strip()
    if word == "keep":
        leases.keep("r1", pathlib.Path.cwd(), "test")
        os._exit(0)
    if word == "exit":
        os._exit(0)
    if word == "abort":
        os.abort()
    stray.kill()
"""


@dataclass
class Engine:
    """A folder of lists, and a run that uses it."""

    folder: Path
    state: Path
    run: subprocess.Popen[str]
    stray: int

    def asked(self) -> list[str]:
        """The words of each command, in order."""
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def left(self) -> str:
        """What is still there."""
        return "".join((self.folder / kind).read_text() for kind in watchdog._LISTED)

    def tell(self, word: str) -> None:
        """Tell the run how to end, and wait for that."""
        self.run.communicate(f"{word}\n", timeout=10)

    def watching(self) -> int:
        """The one that watches the run, when it is nobody's child and has settled."""
        found: list[int] = []

        def has_settled() -> bool:
            found[:] = self.watchdogs()
            return len(found) == 1 and _parent(found[0]) != self.run.pid and _open(found[0]) == 3

        _eventually(has_settled)
        return found[0]

    def watchdogs(self) -> list[int]:
        """The processes that watch the run."""
        mark = f"{watchdog.__file__}\0{self.state}\0r1\0".encode()
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if mark in _bytes(path)
        ]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _eventually(holds: Callable[[], object], within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _parent(pid: int) -> int:
    fields = _bytes(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _open(pid: int) -> int:
    """How many files it has open."""
    return len(list(Path(f"/proc/{pid}/fd").glob("*")))


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    programs, folder = tmp_path / "programs", tmp_path / "engine"
    programs.mkdir()
    folder.mkdir()
    (programs / "docker").write_text(_DOCKER)
    (programs / "docker").chmod(0o755)
    for kind in watchdog._LISTED:
        (folder / kind).write_text(f"{kind}-1\n")
    environ = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "FAKE_ENGINE": str(folder),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    with subprocess.Popen(
        (sys.executable, "-c", _RUN),
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        stray = int(run.stdout.readline())
        found = Engine(folder, tmp_path / "state" / "unstale", run, stray)
        yield found
        run.kill()
    for pid in found.watchdogs():
        os.kill(pid, signal.SIGKILL)
    if not _is_gone(stray):
        os.kill(stray, signal.SIGKILL)


def test_its_labels_and_words_are_those_of_the_others() -> None:
    assert (watchdog.LABEL_RUN, watchdog.LABEL_OWNER) == (override.LABEL_RUN, override.LABEL_OWNER)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGQUIT, marks=pytest.mark.long),
        pytest.param(signal.SIGSEGV, marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_killed_is_reaped(engine: Engine, number: int) -> None:
    os.killpg(engine.run.pid, number)

    _eventually(lambda: not (engine.state / "r1.lease").exists())

    assert engine.left() == ""
    assert _is_gone(engine.stray)
    owner = Leases({"XDG_STATE_HOME": str(engine.state.parent)}).owner
    filters = f"label=dev.unstale.run=r1 --filter label=dev.unstale.owner={owner}"
    asked = engine.asked()
    assert all(filters in words for words in asked if " rm " not in f" {words}")
    assert [words for words in asked if " rm " in f" {words}"] == [
        "rm --force --volumes container-1",
        "network rm network-1",
        "volume rm volume-1",
    ]
    # Looked at once more for each pause, with nothing there.
    assert sum(words.startswith("ps ") for words in asked) == 4
    assert "nothing of it was left" in (engine.state / watchdog.LOG).read_text()


@pytest.mark.parametrize("word", ["exit", pytest.param("abort", marks=pytest.mark.long)])
def test_a_run_that_ends_without_a_word_is_reaped(engine: Engine, word: str) -> None:
    engine.tell(word)

    _eventually(lambda: not (engine.state / "r1.lease").exists())

    assert engine.left() == ""


@pytest.mark.parametrize("word", ["good", "keep"])
def test_a_run_that_ends_well_or_is_kept_is_let_alone(engine: Engine, word: str) -> None:
    assert engine.watching()
    engine.tell(word)

    _eventually(lambda: not engine.watchdogs())

    assert engine.asked() == []
    assert not (engine.state / watchdog.LOG).exists()


def test_no_signal_but_one_ends_it(engine: Engine) -> None:
    watching = engine.watching()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(watching, number)
    os.killpg(engine.run.pid, signal.SIGKILL)

    _eventually(lambda: not (engine.state / "r1.lease").exists())


def test_it_is_nobodys_child_and_holds_nothing_of_the_run(engine: Engine) -> None:
    watching = engine.watching()
    variables = Path(f"/proc/{watching}/environ").read_bytes()

    assert _parent(watching) != engine.run.pid
    assert os.getsid(watching) != os.getsid(engine.run.pid)
    assert b"UNSTALE_" not in variables
    assert b"DOCKER_HOST=unix:///run/one.sock" in variables


def test_an_engine_that_is_away_is_asked_again(engine: Engine) -> None:
    (engine.folder / "broken").touch()
    os.killpg(engine.run.pid, signal.SIGKILL)
    time.sleep(0.5)
    assert engine.left()
    (engine.folder / "broken").unlink()

    _eventually(lambda: not (engine.state / "r1.lease").exists())

    assert engine.left() == ""


@pytest.mark.parametrize(("run", "owner"), [("", "me"), ("r1", "")])
def test_without_a_run_or_an_owner_it_watches_nothing(tmp_path: Path, run: str, owner: str) -> None:
    with pytest.raises(AssertionError, match="BUG"):
        watchdog.Watchdog(tmp_path, run, owner, "docker")


def test_what_it_can_not_prove_before_the_deadline_is_not_proven(tmp_path: Path) -> None:
    dog = watchdog.Watchdog(tmp_path, "r1", "me", "/bin/false")

    assert dog.reap(time.monotonic() + 0.3) is None


def test_what_it_writes_down_stays_short(tmp_path: Path) -> None:
    dog = watchdog.Watchdog(tmp_path, "r1", "me", "docker")
    for _ in range(3):
        dog._note("x" * watchdog._LOG_BYTES)

    assert (tmp_path / watchdog.LOG).stat().st_size < 2 * watchdog._LOG_BYTES


def test_it_does_not_write_through_a_link(tmp_path: Path) -> None:
    (tmp_path / watchdog.LOG).symlink_to(tmp_path / "precious")

    watchdog.Watchdog(tmp_path, "r1", "me", "docker")._note("died")

    assert not (tmp_path / "precious").exists()


def test_the_commands_of_a_run_within_a_run_carry_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the watchdog of the inner one would not find them."""
    (tmp_path / "pyproject.toml").write_text("[tool.unstale]\n")
    (tmp_path / "docker").write_text(f'#!/bin/sh\necho "$UNSTALE_RUN_TAG" >> {tmp_path}/seen\n')
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv(watchdog.TAG, "outer")
    project = Project.open(tmp_path)

    with project.leases.held("inner", {}):
        project.docker.networks({})

    assert (tmp_path / "seen").read_text() == "inner\n"
    assert os.environ[watchdog.TAG] == "outer"
