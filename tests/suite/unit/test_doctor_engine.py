"""The chain to a builder: the first broken link is named, and what was not asked then."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from unstale.adapters.docker import DockerCli
from unstale.doctor import engine
from unstale.doctor.engine import CHAIN, Engine, findings, look, needs, with_plugins
from unstale.doctor.finding import Finding, State
from unstale.errors import EngineUnavailable, Fault, TimedOut
from unstale.ports import Command, CommandResult

PLUGINS = {"compose": "2.26.1", "buildx": "0.13.1"}
WELL = Engine(
    command="/usr/bin/docker",
    host="unix:///var/run/docker.sock",
    version="26.1",
    plugins=PLUGINS,
    data_root="/var/lib/docker",
    ahead_s=0.0,
)
DOWN = replace(WELL, version="", words="Cannot connect to the Docker daemon")
NO_CONTEXT = EngineUnavailable(
    "There is no docker context called 'x'.",
    hint="docker context use default",
    fault=Fault.CONFIGURATION,
)


def states(found: tuple[Finding, ...]) -> list[str]:
    return [one.state.value for one in found]


def broken(seen: Engine) -> Finding:
    return next(one for one in findings(seen) if one.state is State.FAIL)


def test_a_chain_without_a_broken_link_is_green() -> None:
    assert states(findings(WELL)) == ["ok"] * 6


@pytest.mark.parametrize(
    ("seen", "link", "words"),
    [
        (Engine(), "docker command", "no docker command"),
        (replace(DOWN, link=errno.ENOENT), "engine", "ENOENT"),
        (replace(DOWN, link=errno.ECONNREFUSED), "engine", "ECONNREFUSED"),
        (replace(DOWN, link=errno.ENOTSOCK), "engine", os.strerror(errno.ENOTSOCK)),
        (replace(DOWN, link="reached"), "engine", "gives no answer"),
        (replace(DOWN, link=errno.EACCES), "permission", "EACCES"),
        (replace(DOWN, words="permission denied on x"), "permission", "EACCES"),
        (replace(DOWN, host="tcp://192.0.2.1:2375"), "engine", "tcp://192.0.2.1:2375"),
        (
            replace(DOWN, host="tcp://nowhere:1", words="lookup nowhere: no such host"),
            "context",
            "DOCKER_HOST or the context",
        ),
        (replace(DOWN, lost=NO_CONTEXT), "context", "no docker context called 'x'"),
        (
            replace(DOWN, link=errno.ENOENT, elsewhere=("Colima", "unix:///c.sock")),
            "context",
            "No engine answers there",
        ),
        (replace(WELL, plugins={"buildx": "0.13"}), "compose", "no compose plugin"),
        (replace(WELL, plugins={**PLUGINS, "compose": "1.29.2"}), "compose", "1.29.2"),
        (replace(WELL, plugins={**PLUGINS, "compose": "2.23.3"}), "compose", "2.24 or newer"),
        (replace(WELL, plugins={"compose": "2.26"}), "buildx", "no buildx plugin"),
        (replace(WELL, plugins=None), "compose", "no compose plugin"),
    ],
)
def test_the_first_broken_link_is_named(seen: Engine, link: str, words: str) -> None:
    found = findings(seen)

    assert [one.check.name for one in found] == list(CHAIN)
    assert broken(seen).check.name == link
    assert words in broken(seen).seen
    assert broken(seen).fix
    rest = found[CHAIN.index(link) + 1 :]
    assert {one.state for one in rest} <= {State.SKIPPED}
    assert all(broken(seen).check.id in one.seen for one in rest)


def test_what_may_not_be_opened_is_neither_alive_nor_dead() -> None:
    found = findings(replace(DOWN, link=errno.EACCES))

    assert states(found[:3]) == ["ok", "skipped", "fail"]
    assert "equals root" in found[2].fix
    assert (found[2].by, found[2].needs) == ("root", ("group",))


def test_an_engine_elsewhere_is_one_setting_away() -> None:
    colima = ("Colima", "unix:///home/x/.colima/default/docker.sock")
    found = broken(replace(DOWN, link=errno.ENOENT, elsewhere=colima))

    assert (found.by, found.fix) == ("you", f"export DOCKER_HOST={colima[1]}")


@pytest.mark.parametrize(
    ("seen", "dockerd", "expected"),
    [
        (WELL, True, ()),
        (Engine(), False, ("command", "engine", "start", "buildx", "compose")),
        (Engine(), True, ("command", "start", "buildx", "compose")),
        (DOWN, True, ("start",)),
        (replace(DOWN, plugins={}), False, ("engine", "start", "buildx", "compose")),
        (replace(WELL, plugins={**PLUGINS, "compose": "1.29.2"}), True, ("compose",)),
    ],
)
def test_all_that_is_lacking_is_installed_together(
    seen: Engine, dockerd: bool, expected: tuple[str, ...]
) -> None:
    assert needs(seen, has_dockerd=dockerd) == expected


# What docker is asked


class Docker:
    """The docker command: what it answers, as a process."""

    def __init__(self, answer: object, code: int = 0, words: str = "") -> None:
        self.answer = answer if isinstance(answer, str) else json.dumps(answer)
        self.code, self.words = code, words
        self.asked: list[Command] = []

    @contextmanager
    def started(self, command: Command) -> Iterator[Any]:
        self.asked.append(command)
        if self.answer == '"late"':
            raise TimedOut("`docker info` took too long.")
        yield lambda: CommandResult(self.code, self.answer, self.words, 0.0)

    def run(self, command: Command, on_line: object = None) -> CommandResult:
        raise AssertionError((command, on_line))


class Client:
    """A docker command whose engine is lost, and that has these plugins."""

    def __init__(self, **plugins: str) -> None:
        self.plugins = plugins

    def run(self, command: Command) -> CommandResult:
        _, plugin, word = command.argv
        assert word == "version"
        assert command.env == {"DOCKER_CONTEXT": "default"}
        assert command.unset == ("DOCKER_HOST",)
        found = self.plugins.get(plugin)
        if found == "late":
            raise TimedOut("it took too long.")
        return CommandResult(0 if found else 1, found or "", "", 0.0)


COMPOSE, BUILDX = "Docker Compose version 2.26.1-4\n", "github.com/docker/buildx 0.13.1 x\n"


@pytest.mark.parametrize(
    ("plugins", "lacking"),
    [
        ({"compose": COMPOSE, "buildx": BUILDX}, ("start",)),
        ({"compose": COMPOSE}, ("start", "buildx")),
        ({"compose": "late", "buildx": BUILDX}, ("start", "compose")),
        ({"compose": "Docker Compose version 1.29.2", "buildx": BUILDX}, ("start", "compose")),
    ],
)
def test_the_client_tells_of_its_plugins_where_no_engine_does(
    plugins: dict[str, str], lacking: tuple[str, ...]
) -> None:
    late = replace(DOWN, plugins=None)

    seen = with_plugins(late, cast("Any", Client(**plugins)), 1.0)

    assert needs(seen, has_dockerd=True) == lacking


@pytest.mark.parametrize("seen", [WELL, Engine()])
def test_the_client_is_not_asked_twice(seen: Engine) -> None:
    assert with_plugins(seen, cast("Any", None), 1.0) is seen


@pytest.fixture
def command(tmp_path: Path) -> dict[str, str]:
    """An environment that has a docker command."""
    path = tmp_path / "bin" / "docker"
    path.parent.mkdir()
    path.touch(mode=0o755)
    run = tmp_path / "run"
    return {"PATH": str(path.parent), "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(run)}


def looked(process: Docker, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(engine, "_SOCKETS", engine._SOCKETS[:-1])  # the machine's own
    port = cast("Any", process)
    return look(port, DockerCli(port, environ), environ)


def test_one_question_tells_of_engine_plugins_room_and_time(
    command: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = [{"Name": "compose", "Version": "2.26.1"}, {"Name": "scan", "Version": "1"}]
    late = (datetime.now(UTC) + timedelta(seconds=90)).isoformat()
    process = Docker(["26.1", None, plugins, "/data", late])

    seen = looked(process, command, monkeypatch)

    assert (seen.version, seen.plugins, seen.data_root) == ("26.1", {"compose": "2.26.1"}, "/data")
    assert seen.ahead_s == pytest.approx(90, abs=2)
    assert len(process.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        *(["26.1", ["it is broken"], [], "", ""], [], {}, None, "no json", "late"),
        *(["26.1", None, [{"No": "name"}], "", ""], ["26.1", None, 7, "", ""]),
        ["26.1", 7, [], "", "no time"],
    ],
    ids=str,
)
def test_an_odd_answer_is_no_engine(
    command: dict[str, str], monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    assert not looked(Docker(answer), command, monkeypatch).answers


def test_without_a_command_nothing_is_asked(
    command: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Docker([])

    seen = looked(process, {**command, "PATH": "/nonexistent"}, monkeypatch)

    assert (seen.command, process.asked) == (None, [])


def test_the_kernel_tells_the_ways_apart(
    command: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("/tmp") / f"uns-{os.getpid()}"  # a socket's name may have 107 characters
    folder.mkdir()
    try:
        place = folder / "docker.sock"
        down = Docker([None, ["Cannot connect"], [], "", ""], code=1)
        environ = {**command, "DOCKER_HOST": f"unix://{place}"}

        assert looked(down, environ, monkeypatch).link == errno.ENOENT
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(place))
            listening.listen()
            assert looked(down, environ, monkeypatch).link == "reached"
        assert looked(down, environ, monkeypatch).link == errno.ECONNREFUSED
    finally:
        shutil.rmtree(folder)


def test_a_rootless_engine_is_found_where_it_listens(
    command: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path("/tmp") / f"unr-{os.getpid()}"
    run.mkdir()
    try:
        down = Docker([None, ["Cannot connect"], [], "", ""], code=1)
        environ = {
            **command,
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "XDG_RUNTIME_DIR": str(run),
        }
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(run / "docker.sock"))
            listening.listen()
            seen = looked(down, environ, monkeypatch)
    finally:
        shutil.rmtree(run)

    assert seen.elsewhere == ("rootless Docker or Podman", f"unix://{run}/docker.sock")
