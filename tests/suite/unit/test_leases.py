"""Leases: who is alive, where that is noted, and what noted things may be believed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from unstale.adapters.leases import Dead, Leases
from unstale.errors import (
    BuildFailed,
    EngineUnavailable,
    Fault,
    Interrupted,
    Outcome,
    TestsFailed,
    Unavailable,
    UnstaleError,
    UsageError,
    outcome_of,
)

HOST = {"DOCKER_HOST": "unix:///run/one.sock"}


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    """Their watchdogs ask a docker that knows of nothing, and takes a second to say so."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\nexec /bin/sleep 1\n")
    (programs / "docker").chmod(0o755)
    return Leases({"XDG_STATE_HOME": str(tmp_path), "PATH": str(programs)})


# --- Where they are ---


def test_the_folder_is_ours_alone(leases: Leases) -> None:
    assert leases.owner

    assert stat.S_IMODE(leases.folder.stat().st_mode) == 0o700
    assert [path.name for path in leases.folder.iterdir()] == ["machine"]


@pytest.mark.parametrize("state", ["", "relative/state", "."])
def test_a_state_home_that_is_no_absolute_path_is_not_one(state: str) -> None:
    found = Leases({"XDG_STATE_HOME": state, "HOME": "/home/robin"}).folder

    assert found == Path("/home/robin/.local/state/unstale")


def test_without_home_the_users_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")

    assert Leases({}).folder == Path("~/.local/state/unstale").expanduser()


def test_a_user_without_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a container that runs as a user nobody made.
    monkeypatch.setattr(os, "getuid", lambda: 31337)

    with pytest.raises(UsageError, match="no folder to note") as caught:
        _ = Leases({}).owner

    assert (caught.value.fault, "XDG_STATE_HOME" in caught.value.hint) == (Fault.PERMISSION, True)


def _link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def _link_to_nothing(folder: Path) -> None:
    folder.symlink_to(folder.parent / "nothing")


def _file(folder: Path) -> None:
    folder.write_text("")


def _open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


@pytest.mark.parametrize("plant", [_link, _link_to_nothing, _file, _open_to_all])
def test_a_folder_that_somebody_planted_is_refused(
    leases: Leases, plant: Callable[[Path], None]
) -> None:
    plant(leases.folder)

    with pytest.raises(UsageError, match="not a folder of yours alone") as caught, leases.held("r"):
        pass

    assert (caught.value.fault, outcome_of(caught.value)) == (Fault.PERMISSION, Outcome.USAGE)
    assert not list(leases.folder.parent.glob("*/*.lease"))


def test_a_folder_of_another_user_is_refused(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases.folder.mkdir(mode=0o700)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)

    with pytest.raises(UsageError, match="not a folder of yours alone") as caught:
        _ = leases.owner

    assert f"belongs to the user {mine}" in caught.value.cause


def test_a_folder_that_others_can_read_is_closed_to_them(leases: Leases) -> None:
    leases.folder.mkdir()
    leases.folder.chmod(0o755)

    assert leases.owner

    assert stat.S_IMODE(leases.folder.stat().st_mode) == 0o711


@pytest.mark.parametrize(
    ("error", "kind", "fault"),
    [
        (PermissionError(13, "Permission denied"), UsageError, Fault.PERMISSION),
        (OSError(30, "Read-only file system"), UsageError, Fault.PERMISSION),
        (OSError(28, "No space left on device"), Unavailable, Fault.RESOURCES),
    ],
)
def test_a_folder_that_can_not_be_written_is_told(
    leases: Leases,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    kind: type[UnstaleError],
    fault: Fault,
) -> None:
    _ = leases.owner

    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind, match="can't be used") as caught, leases.held("r"):
        pytest.fail("a run without a lease")

    assert caught.value.fault is fault
    assert str(error.strerror) in caught.value.cause


@pytest.mark.parametrize("text", ["", "\0\0\0\0", "a machine", "0123456789abcdeg"])
def test_a_machine_without_a_name_marks_nothing(leases: Leases, text: str) -> None:
    """An empty owner would be anybody."""
    leases.folder.mkdir(mode=0o700)
    (leases.folder / "machine").write_text(text)

    with pytest.raises(UsageError, match="is damaged"):
        _ = leases.owner


def test_the_seal_stays_the_same_and_only_its_owner_reads_it(leases: Leases) -> None:
    first = leases.seal

    assert first == leases.seal
    assert len(first) == 64
    assert stat.S_IMODE((leases.folder / "seal").stat().st_mode) == 0o600
    assert first.decode() not in leases.owner


def test_the_owner_stays_the_same_and_names_the_user(leases: Leases) -> None:
    first = leases.owner

    assert first == leases.owner
    assert first.endswith(f"-{os.getuid()}")


@pytest.mark.parametrize("changed", ["name", "id"])
def test_a_copy_of_the_folder_on_another_machine_is_another_owner(
    leases: Leases, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a sweep on an engine that both use would remove living runs."""
    first, environ = leases.owner, {"XDG_STATE_HOME": str(tmp_path)}
    assert first == Leases(environ).owner
    if changed == "name":
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="elsewhere"))
    else:
        (tmp_path / "id").write_text("c0ffee")
        monkeypatch.setattr("unstale.adapters.leases._MACHINE_ID", tmp_path / "id")

    other = Leases(environ).owner

    assert other != first
    assert re.fullmatch(rf"[0-9a-f]{{16}}-{os.getuid()}", other)
    assert leases.owner == first, "the name of a run's objects changed under it"


def test_a_machine_without_an_id_has_an_owner(
    leases: Leases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstale.adapters.leases._MACHINE_ID", tmp_path / "none")

    assert re.fullmatch(rf"[0-9a-f]{{16}}-{os.getuid()}", leases.owner)


# --- Who is alive ---


def test_a_lease_is_alive_while_it_is_held(leases: Leases) -> None:
    with leases.held("r1"):
        assert leases.is_alive("r1")
        assert leases.dead() == ()

    assert not leases.is_alive("r1")
    assert not list(leases.folder.glob("r1.*"))


_DYING = """
import os, sys
from unstale.adapters.leases import Leases
with Leases(os.environ).held("r1"):
    print("held", flush=True)
    sys.stdin.read()
    os._exit(9)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the lease of r1."""
    with subprocess.Popen(
        (sys.executable, "-c", _DYING),
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lease_ends_with_its_process_however_that_ends(
    leases: Leases, other: subprocess.Popen[str]
) -> None:
    assert leases.is_alive("r1")
    other.kill()
    other.wait()

    assert not leases.is_alive("r1")
    assert leases.dead() == (Dead("r1"),)


def test_a_process_with_the_same_number_makes_no_run_alive(leases: Leases) -> None:
    """The number in a lease is for people: what counts is the lock."""
    leases.folder.mkdir(mode=0o700)
    (leases.folder / "r1.lease").write_text(json.dumps({"run": "r1", "pid": os.getpid()}))

    assert not leases.is_alive("r1")


def test_a_look_at_a_lease_takes_it_from_nobody(
    leases: Leases, other: subprocess.Popen[str]
) -> None:
    other.kill()
    other.wait()
    with (leases.folder / "r1.lease").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)

        assert not leases.is_alive("r1")


def test_a_run_that_is_kept_is_not_dead(
    leases: Leases, other: subprocess.Popen[str], tmp_path: Path
) -> None:
    leases.keep("r1", tmp_path, "test")
    other.kill()
    other.wait()

    assert leases.dead() == ()
    leases.forget("r1")

    assert not list(leases.folder.glob("r1.*"))


def test_a_kept_run_is_found_by_its_checkout_and_environment(
    leases: Leases, tmp_path: Path
) -> None:
    one, another = tmp_path / "one", tmp_path / "another"
    one.mkdir()
    (tmp_path / "link").symlink_to(one)
    with leases.held("r1"):
        leases.keep("r1", tmp_path / "link", "test")
    (leases.folder / "0ld.kept").touch()

    assert leases.kept(one, "test") == ("r1",)
    assert leases.kept(one, "ci") == leases.kept(another, "test") == ()
    assert stat.S_IMODE((leases.folder / "r1.kept").stat().st_mode) == 0o600


def test_a_kept_run_without_a_checkout_is_dead_for_who_asks_for_that(
    leases: Leases, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    with leases.held("r1", HOST):
        leases.keep("r1", root, "test")
    assert leases.is_kept("r1")
    assert leases.dead() == ()

    root.rename(tmp_path / "moved")
    assert leases.is_kept("r1")
    assert leases.dead() == ()
    assert leases.dead(homeless=True) == (Dead("r1", HOST),)

    leases.drop("r1")
    assert leases.dead(homeless=True) == ()
    assert not list(leases.folder.glob("r1.*"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"root": 1}', '{"root": "/a\\u0000b"}'])
def test_a_mark_that_tells_no_checkout_is_kept(leases: Leases, tmp_path: Path, text: str) -> None:
    assert leases.owner
    (leases.folder / "r1.kept").write_text(text)

    assert leases.is_kept("r1")
    assert leases.dead() == leases.dead(homeless=True) == ()
    assert leases.kept(tmp_path, "test") == ()


def test_a_live_lease_is_not_dropped_by_who_forgets_the_mark(
    leases: Leases, other: subprocess.Popen[str], tmp_path: Path
) -> None:
    del other
    leases.keep("r1", tmp_path, "test")
    leases.forget("r1")

    assert leases.is_alive("r1")


def test_a_lease_that_may_not_be_looked_at_may_be_alive(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)

    assert leases.is_alive("r1")


def test_a_link_in_place_of_a_lease_is_none(leases: Leases, tmp_path: Path) -> None:
    leases.folder.mkdir(mode=0o700)
    (leases.folder / "r1.lease").symlink_to(tmp_path / "r2.lease")

    assert not leases.is_alive("r1")


def test_a_pipe_in_place_of_a_lease_is_not_waited_for(leases: Leases) -> None:
    leases.folder.mkdir(mode=0o700)
    os.mkfifo(leases.folder / "r1.lease")

    assert not leases.is_alive("r1")


def test_who_died_before_its_lease_was_one_is_cleared_away(leases: Leases) -> None:
    leases.folder.mkdir(mode=0o700)
    left, taken = leases.folder / "r1.new", leases.folder / "r2.new"
    left.touch()
    with taken.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert leases.dead() == ()

    assert not left.exists()
    assert taken.exists()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen between the moments when a lease has a file and a lock."""
    write = os.write

    def plan(happens: Callable[[], object]) -> None:
        def writing(descriptor: int, content: bytes) -> int:
            monkeypatch.setattr(os, "write", write)
            happens()
            return write(descriptor, content)

        monkeypatch.setattr(os, "write", writing)

    return plan


def test_the_sweep_of_another_start_takes_no_lease_away(
    leases: Leases, tmp_path: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    meanwhile(Leases({"XDG_STATE_HOME": str(tmp_path)}).dead)

    with leases.held("r1"):
        assert leases.is_alive("r1")


def test_a_look_of_another_start_keeps_no_lease_from_being_had(
    leases: Leases, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    with contextlib.ExitStack() as looks:

        def look() -> None:
            file = looks.enter_context((leases.folder / "r1.new").open("rb"))
            fcntl.flock(file, fcntl.LOCK_SH)

        meanwhile(look)

        with leases.held("r1"):
            assert leases.is_alive("r1")
            assert not (leases.folder / "r1.new").exists()


def test_a_lease_that_can_not_be_locked_ends_the_start(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("unstale.adapters.leases._LOOK_S", 0)
    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(Unavailable, match="can't be used"), leases.held("r1"):
        pytest.fail("a run without a lease")

    assert not list(leases.folder.glob("r1.*"))


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), Interrupted(2)])
def test_without_a_watchdog_there_is_no_lease(
    leases: Leases, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "Popen", refuse)

    with pytest.raises(UnstaleError), leases.held("r1", HOST):
        pytest.fail("a run without a watchdog")

    assert leases.dead() == ()


# --- What a lease says ---


def test_a_lease_notes_the_engine_and_no_password(leases: Leases, tmp_path: Path) -> None:
    endpoint = {"DOCKER_HOST": "tcp://robin:hunter2hunter2@example.com:2376"}
    with leases.held("r1", endpoint):
        text = (tmp_path / "unstale" / "r1.lease").read_text()

    assert "hunter2" not in text
    assert json.loads(text)["endpoint"] == {"DOCKER_HOST": "tcp://robin@example.com:2376"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"endpoint": 3}', '{"endpoint": ["x"]}', "\0" * 4096]
)
def test_a_damaged_lease_names_no_engine(leases: Leases, text: str) -> None:
    leases.folder.mkdir(mode=0o700)
    (leases.folder / "r1.lease").write_text(text)

    assert leases.dead() == (Dead("r1"),)


def test_a_lease_decides_nothing_but_the_engine(leases: Leases) -> None:
    leases.folder.mkdir(mode=0o700)
    endpoint = {**HOST, "PATH": "/tmp/evil", "LD_PRELOAD": "evil.so"}
    (leases.folder / "r1.lease").write_text(json.dumps({"endpoint": endpoint}))

    assert leases.dead() == (Dead("r1", HOST),)


# --- Under whose lease ---


def test_what_is_made_is_under_the_lease_that_is_held(leases: Leases) -> None:
    with leases.held("r1"), leases.ours(lambda: HOST) as labels:
        assert labels == {"dev.unstale.run": "r1", "dev.unstale.owner": leases.owner}


def test_what_is_made_without_a_run_has_a_lease_of_its_own(leases: Leases) -> None:
    with leases.ours(lambda: HOST) as labels:
        run = labels["dev.unstale.run"]
        assert leases.is_alive(run)
        with leases.ours(lambda: HOST) as inner:
            assert inner == labels

    assert not leases.is_alive(run)
    with leases.ours(lambda: HOST) as again:
        assert again["dev.unstale.run"] != run


# --- How a block ends ---


@contextmanager
def _asking(leases: Leases) -> Iterator[None]:
    """Ask the engine for something that may stay."""
    leases.is_used = True
    yield


@pytest.mark.parametrize("error", [TestsFailed("red"), UsageError("typo"), GeneratorExit()])
def test_an_error_that_leaves_nothing_ends_the_lease(leases: Leases, error: BaseException) -> None:
    with pytest.raises(type(error)), leases.held("r1", HOST), _asking(leases):
        raise error

    assert not (leases.folder / "r1.lease").exists()


def test_a_run_that_asked_for_nothing_leaves_no_lease(leases: Leases) -> None:
    """Or each later start would ask an engine that never was."""
    with pytest.raises(EngineUnavailable), leases.held("r1", HOST):
        raise EngineUnavailable("no engine")

    assert leases.dead() == ()


@pytest.mark.parametrize(
    "error", [Interrupted(2), BuildFailed("broke"), KeyboardInterrupt(), MemoryError()]
)
def test_an_error_that_may_leave_something_leaves_the_lease(
    leases: Leases, error: BaseException
) -> None:
    with pytest.raises(type(error)), leases.held("r1", HOST), _asking(leases):
        raise error

    # Its watchdog has not heard that all is well, and looks three times.
    assert leases.dead() == (Dead("r1", HOST),)


def test_red_tests_whose_runner_could_not_be_removed_leave_the_lease(leases: Leases) -> None:
    error = TestsFailed("red")
    error.leaves(Unavailable("Docker refused."))

    with pytest.raises(TestsFailed), leases.held("r1", HOST), _asking(leases):
        raise error

    assert leases.dead() == (Dead("r1", HOST),)


def test_who_knows_that_something_is_left_says_so(leases: Leases) -> None:
    with leases.held("r1", HOST) as lease:
        lease.is_left = True

    assert leases.dead() == (Dead("r1", HOST),)


# --- Locks ---


def test_a_lock_is_had_by_one_or_shared(leases: Leases) -> None:
    with leases.locked("stack", shared=True), leases.locked("stack", shared=True):
        with pytest.raises(Unavailable) as caught, leases.locked("stack", patience_s=0.1):
            pytest.fail("two have it")
        assert caught.value.fault is Fault.BUSY

    with leases.locked("stack"):
        pass
