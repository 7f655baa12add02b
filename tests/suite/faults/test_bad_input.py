"""The catalogue of bad input: what a user may get wrong, and what there is to read then.

Each row: the right code, the right word in the JSON, a message in three parts, no
traceback, and nothing left in the engine. What a row's number means is in RELIABILITY 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout
from lightstack import fresh

COMPOSE = "docker-compose.test.yml"
SETTINGS = "pyproject.toml"
HEALTH = "    healthcheck:\n"

LOOK = ("image.status", "--json")
RUN = ("test.integration", "--json")
BUILD = ("image.build",)


@dataclass
class Project:
    """A light project that a row spoils; what it starts is ended with the row."""

    checkout: Checkout
    ends: ExitStack
    env: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.checkout.root

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


Arrange = Callable[[Project], object]


def written(name: str, content: str | bytes) -> Arrange:
    return lambda project: project.write(name, content)


def replaced(name: str, old: str, new: str) -> Arrange:
    return lambda project: project.checkout.replace(name, old, new)


def added(line: str) -> Arrange:
    """One more line of the service ``db``."""
    return replaced(COMPOSE, HEALTH, f"    {line}\n{HEALTH}")


def configured(line: str) -> Arrange:
    """One more line of the settings of the environment ``test``."""
    return replaced(SETTINGS, 'database = "none"\n', f'database = "none"\n{line}\n')


def appended(name: str, text: str) -> Arrange:
    return lambda project: project.checkout.append(name, text)


def removed(name: str) -> Arrange:
    return lambda project: (project.root / name).unlink()


def shell(**variables: str) -> Arrange:
    return lambda project: project.env.update(variables)


def all_of(*steps: Arrange) -> Arrange:
    def arrange(project: Project) -> None:
        for step in steps:
            step(project)

    return arrange


def nothing(_project: Project) -> None:
    """The project is as it should be."""


@dataclass(frozen=True)
class Row:
    """One bad input."""

    name: str
    """The number in the catalogue, and what is wrong."""
    arrange: Arrange
    code: int
    fault: str
    what: tuple[str, ...]
    why: tuple[str, ...] = ()
    next: str = ""
    commands: tuple[tuple[str, ...], ...] = (LOOK, RUN)


ROWS = (
    Row(
        "1 no compose file",
        removed(COMPOSE),
        2,
        "missing file",
        ("'test' has no compose file",),
        ("docker/docker-compose.test.yml", "compose.test.yml"),
        "compose-files",
    ),
    Row(
        "1 a compose file that is named and not there",
        configured('compose-files = ["x.yml"]'),
        2,
        "missing file",
        ("x.yml", "does not exist"),
        ("environments.test",),
        "compose-files",
    ),
    Row(
        "2 no YAML",
        written(COMPOSE, "services: ["),
        2,
        "content",
        ("docker compose refuses", COMPOSE),
        (f"{COMPOSE}, line 1: ",),
        "correct the file",
    ),
    Row(
        "2 a key that is there twice",
        added("command: [python]"),
        2,
        "content",
        ("docker compose refuses",),
        (f"{COMPOSE}, line 11: command is there twice, first in line 7",),
        "correct the file",
    ),
    Row(
        "2 an empty compose file",
        written(COMPOSE, "# nothing yet\n"),
        2,
        "content",
        ("docker compose refuses",),
        (f"{COMPOSE} is empty",),
        "correct the file",
    ),
    Row(
        "2 a compose file without a service",
        written(COMPOSE, "services: {}\n"),
        2,
        "content",
        ("stack of 'test' has no service",),
        (COMPOSE,),
        "compose-files",
    ),
    Row(
        "3 a key that compose does not know",
        written(COMPOSE, "services: {a: {image: x}}\nvolums: {}\n"),
        2,
        "content",
        ("docker compose refuses",),
        (f"{COMPOSE}: at the top: compose does not know volums there",),
        "correct the file",
    ),
    Row(
        "3 a dependency cycle",
        added("depends_on: [test-runner]"),
        2,
        "content",
        ("docker compose refuses",),
        ("db -> test-runner -> db",),
        "correct the file",
    ),
    Row(
        "3 a port that there is not",
        added('ports: ["99999:80"]'),
        2,
        "content",
        ("docker compose refuses",),
        (f"{COMPOSE}, line 11: a port is written as none is",),
        "correct the file",
    ),
    Row(
        "3 a port that there is not, written at length",
        added('ports: [{target: 80, published: "99999"}]'),
        2,
        "content",
        ("'db' has a port that there is not",),
        ("65535",),
        "mend ports",
    ),
    Row(
        "4 a service that there is not",
        nothing,
        2,
        "configuration",
        ("no service called 'dbb'",),
        ("mean 'db'", "test-runner"),
        "--service",
        (("image.status", "--service", "dbb", "--json"), ("image.build", "--service", "dbb")),
    ),
    Row(
        "4 a runner that there is not",
        replaced(SETTINGS, '"test-runner"', '"test-runer"'),
        2,
        "configuration",
        ("no service called 'test-runer'",),
        ("mean 'test-runner'",),
        "mend runner",
    ),
    Row(
        "5 a profile that no service has",
        configured('profiles = ["tset"]'),
        2,
        "configuration",
        ("no profile called 'tset'",),
        ("mean 'test'",),
        "mend profiles",
    ),
    Row(
        "6 an environment that there is not",
        nothing,
        2,
        "configuration",
        ("no environment called 'tset'",),
        ("mean 'test'",),
        "docker-compose.tset.yml",
        ((*LOOK, "--env", "tset"), (*RUN, "--env", "tset")),
    ),
    Row(
        "7 a variable that is required",
        replaced(COMPOSE, "${LIGHT_DB:-}", "${HERON:?where do they nest}"),
        2,
        "configuration",
        ("docker compose refuses",),
        ("HERON is required, and not set or empty: where do they nest",),
        "set that variable",
    ),
    Row(
        "8 an image's name with an empty variable",
        added("image: heron:${HERON}"),
        2,
        "content",
        ("image of 'db' is 'heron:'",),
        ("A variable in it may be empty",),
        "set its variable",
    ),
    Row(
        "8 a variable that nobody sets, in CI",
        all_of(replaced(COMPOSE, "${LIGHT_DB:-}", "${HERON}"), shell(CI="true")),
        2,
        "configuration",
        ("Not set, so left blank: HERON",),
        (f"{COMPOSE}, line 9: HERON is not set",),
        ".env.test",
        (RUN, BUILD),
    ),
    Row(
        "8 a password with a dollar sign, in CI",
        all_of(written(".env.test", 'LIGHT_DB="pa$heron"\n'), shell(CI="true")),
        2,
        "configuration",
        ("Not set, so left blank: a variable",),
        (".env.test, line 1: LIGHT_DB: a variable is not set",),
        ".env.test",
        (RUN,),
    ),
    Row(
        "9 an env file that is named and not there",
        configured('env-file = "no.env"'),
        2,
        "missing file",
        ("no env file", "no.env"),
        (),
        "env-file",
    ),
    Row(
        "9 a service's env file that is not there",
        added("env_file: no.env"),
        2,
        "missing file",
        ("docker compose refuses",),
        ("no env file", "no.env"),
        "create that file",
    ),
    *(
        Row(
            f"10 an env file with {wrong}",
            written(".env.test", content),
            2,
            "content",
            (f".env.test, line {line}: ",),
            (),
            hint,
        )
        for wrong, content, line, hint in (
            ("an open quote", 'A=1\nHERON="x\n', 2, "mend that line"),
            ("a space in a name", "A=1\nMY KEY=x\n", 2, "mend that line"),
            ("two bytes a character", "A=1\nB=2\n".encode("utf-16"), 1, "UTF-8"),
        )
    ),
    *(
        Row(
            f"11 an env file {kind}",
            written(".env.test", content),
            0,
            "proven",
            ("missing",),
            commands=(LOOK,),
        )
        for kind, content in (
            ("that is empty", b""),
            ("with a byte order mark", b"\xef\xbb\xbfLIGHT_SECONDS=0.1\n"),
            ("of Windows", b"LIGHT_SECONDS=0.1\r\nLIGHT_DB=\r\n"),
        )
    ),
    Row(
        "13 an engine that does not run",
        shell(DOCKER_HOST="unix:///nowhere/docker.sock"),
        5,
        "engine",
        ("Docker engine is not running",),
        ("/nowhere/docker.sock",),
        "start it",
        (LOOK, RUN, ("stack.up",), ("stack.reap",)),
    ),
    Row(
        "13 a socket that is none",
        shell(DOCKER_HOST="unix:///etc/passwd"),
        5,
        "engine",
        ("Docker engine is not running",),
        ("/etc/passwd",),
        "start it",
    ),
    Row(
        "15 a host that is no host",
        shell(DOCKER_HOST="heron://nest"),
        5,
        "configuration",
        ("no Docker engine where DOCKER_HOST",),
        ("invalid bind address format: heron://nest",),
        "unset DOCKER_HOST",
    ),
    Row(
        "15 a context that there is not",
        shell(DOCKER_CONTEXT="nope"),
        5,
        "configuration",
        ("no docker context called 'nope'",),
        ("not found",),
        "docker context",
    ),
    Row(
        "34 a platform that the engine can't run",
        added("platform: linux/s390x"),
        5,
        "configuration",
        ("'db' is for linux/s390x", "this engine runs linux/"),
        ("linux/", "exec format error"),
        "mend platform",
        (RUN,),
    ),
    Row(
        "18 a base image that can't be had",
        replaced("Dockerfile", "FROM ${UNSTALE_PYTHON_IMAGE}", "FROM registry.invalid/heron:1"),
        5,
        "build",
        ("registry.invalid",),
        ("registry.invalid/heron:1",),
        "docker pull registry.invalid/heron:1",
        (RUN,),
    ),
    Row(
        "19 a RUN that fails",
        replaced("Dockerfile", "COPY app .", "RUN exit 42"),
        5,
        "build",
        ("Building db, test-runner failed",),
        ("RUN exit 42", "exit code: 42"),
        "Dockerfile",
        (RUN,),
    ),
    Row(
        "19 a COPY of nothing",
        replaced("Dockerfile", "COPY app .", "COPY heron ."),
        5,
        "build",
        ("Building db, test-runner failed",),
        ("COPY heron", '"/heron": not found'),
        "Dockerfile",
        (RUN,),
    ),
    Row(
        "19 a Dockerfile that is not there",
        removed("Dockerfile"),
        2,
        "missing file",
        ("Dockerfile",),
        (),
        "build:",
    ),
    Row(
        "19 a context that is not there",
        replaced(COMPOSE, "context: .", "context: ./heron"),
        2,
        "missing file",
        ("build context", "heron"),
        (),
        "context:",
    ),
    Row(
        "44 a mount of nothing",
        replaced(COMPOSE, '"/scratch"', '"./heron:/heron"'),
        2,
        "missing file",
        ("'db' mounts", "heron, which is not there"),
        ("root",),
        "mkdir -p",
        (RUN,),
    ),
    Row(
        "44 a secret of nothing",
        all_of(
            added("secrets: [heron]"),
            appended(COMPOSE, "secrets: {heron: {file: ./no}}\n"),
        ),
        2,
        "missing file",
        ("'db' mounts", "/no, which is not there"),
        ("root",),
        "create it",
        (RUN,),
    ),
    Row(
        "45 an external network that is not there",
        all_of(
            added("networks: [heron]"),
            appended(COMPOSE, "networks: {heron: {external: true, name: lt-no-heron}}\n"),
        ),
        2,
        "configuration",
        ("network 'lt-no-heron' of db is not there",),
        ("external",),
        "docker network create lt-no-heron",
        (RUN,),
    ),
    Row(
        "45 an external volume that is not there",
        replaced(COMPOSE, "  data:\n", "  data: {external: true, name: lt-no-heron}\n"),
        2,
        "configuration",
        ("volume 'lt-no-heron' of db is not there",),
        ("external",),
        "docker volume create lt-no-heron",
        (RUN,),
    ),
    Row(
        "46 a volume of one letter",
        replaced(COMPOSE, '"data:/data"', '"d:/data"'),
        2,
        "content",
        ("'db' has a volume whose name is one letter",),
        ("drive of Windows",),
        "two letters",
    ),
)


CASES = [
    pytest.param(row, command, id=f"{row.name}: {command[0]}")
    for row in ROWS
    for command in row.commands
]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project that was never built."""
    with ExitStack() as ends:
        found = Project(fresh(tmp_path), ends)
        yield found
    left = found.checkout.leftovers()
    found.checkout.sweep()
    assert left == []


def parts(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """What happened, why, and what to type next, of a failure or of a run."""
    if "what" in document:
        return document["what"], document["why"], document["next"]
    what, *rest = "\n".join(document["errors"][:1]).splitlines()
    hints = [line for line in rest if line.startswith("Next: ")]
    return what, "\n".join(line for line in rest if line not in hints), "".join(hints)


@pytest.mark.parametrize(("row", "command"), CASES)
def test_row(project: Project, row: Row, command: Sequence[str]) -> None:
    row.arrange(project)

    result = project.checkout.inv(*command, env=project.env).must(row.code)

    assert "BUG" not in result.text
    if "--json" not in command:
        what = why = following = result.text
    elif row.code:
        document = result.document()
        assert (document["code"], document["outcome"]) == (row.code, row.fault)
        what, why, following = parts(document)
        assert all((what, why, following)), "a message has three parts"
        assert "\n" not in what
    else:
        what = why = following = result.out
    assert [word for word in row.what if word not in what] == [], (what, why)
    assert [word for word in row.why if word not in why] == [], (what, why)
    assert row.next in following
