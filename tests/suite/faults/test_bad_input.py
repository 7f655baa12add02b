"""The catalogue of bad input: what a user may get wrong, and what there is to read then.

Each row: the right code, the right word in the JSON, a message in three parts, no
traceback, and nothing left in the engine. The number is that of the catalogue, whose
50 rows are all here; `test_the_catalogue_is_whole` counts them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Checkout, Result, docker, environment
from lightstack import behave, fresh, gone

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


def twofold(env_file: str) -> Arrange:
    """Two environments, which have the same."""

    def arrange(project: Project) -> None:
        shutil.copy(project.root / COMPOSE, project.root / "docker-compose.ci.yml")
        for name in (".env.ci", ".env.test"):
            project.write(name, env_file)

    return arrange


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


def git(project: Project, *arguments: str, at: str = ".") -> str:
    identity = ("-c", "user.name=Robin Example", "-c", "user.email=robin@example.com")
    local = ("-c", "protocol.file.allow=always")
    return subprocess.run(
        ("git", "-C", str(project.root / at), *identity, *local, *arguments),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def repository(project: Project) -> None:
    """All of the project in one commit, of a branch that nobody should give to a shell."""
    git(project, "init", "--quiet", "--initial-branch", "a$(touch${IFS}PWNED)")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Nest")


How = Callable[[Project, Sequence[str]], Result]


def typed(project: Project, command: Sequence[str]) -> Result:
    return project.checkout.inv(*command, env=project.env)


@dataclass(frozen=True)
class Row:
    """One bad input."""

    name: str
    """The number in the catalogue, and what is wrong."""
    arrange: Arrange
    code: int
    fault: str
    what: tuple[str, ...]
    """Words of the first line; of all that is printed where nothing is wrong."""
    why: tuple[str, ...] = ()
    next: str = ""
    commands: tuple[tuple[str, ...], ...] = (LOOK, RUN)
    is_built: bool = False
    """Whether the project's image is there already."""
    how: How = typed
    quick: tuple[tuple[str, ...], ...] = (LOOK,)
    """The commands that are typed in CI as well."""


# What stands in front of a project, or comes into it


BUILDX = '{"Name":"buildx","Version":"0.13.1"}'
COMPOSE_PLUGIN = '{"Name":"compose","Version":"2.26.1"}'
ABSENT = "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"
REAL = f'exec {shutil.which("docker")} "$@"'


def fake_docker(plugins: str, compose: str = REAL) -> Arrange:
    """A `docker` in front of the real one whose plugins are those given."""
    return scripted(
        f"""#!/bin/sh
case "$1" in
info) echo '["26.1.5",null,{plugins}]' ;;
compose) {compose} ;;
*) {REAL} ;;
esac
"""
    )


def scripted(text: str) -> Arrange:
    def arrange(project: Project) -> None:
        folder = Path(project.ends.enter_context(tempfile.TemporaryDirectory(prefix="bin-")))
        (folder / "docker").write_text(text)
        (folder / "docker").chmod(0o755)
        # What it knows of the real one's plugins must not count.
        project.env["DOCKER_CONFIG"] = str(folder)
        project.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"

    return arrange


hanging = scripted("#!/bin/sh\nexec sleep 90\n")


def listening(project: Project) -> None:
    """This process has a port that the service names as its own."""
    server = project.ends.enter_context(socket.socket())
    server.bind(("0.0.0.0", 0))
    server.listen()
    project.checkout.replace(
        COMPOSE, HEALTH, f"    expose: ['{server.getsockname()[1]}']\n{HEALTH}"
    )


def started(project: Project, *options: str) -> str:
    """A container of somebody else; gone with the row."""
    name = f"lt-heron-{os.urandom(4).hex()}"
    image = images_of(project.checkout)[0]
    project.ends.callback(docker, "rm", "--force", "--volumes", name, code=None)
    docker("run", "--detach", "--name", name, *options, image, "python", "/app/serve.py")
    return name


def containered(project: Project) -> None:
    """A container publishes a port that the service names as its own."""
    name = started(project, "--publish", "127.0.0.1::8000")
    port = docker("port", name, "8000").out.strip().rpartition(":")[2]
    project.checkout.replace(COMPOSE, HEALTH, f"    expose: ['{port}']\n{HEALTH}")


def named(project: Project) -> None:
    """The name that the compose file gives to a container is in use, and its port as well."""
    name = started(project, "--publish", "127.0.0.1::8000")
    port = docker("port", name, "8000").out.strip().rpartition(":")[2]
    project.checkout.replace(
        COMPOSE,
        HEALTH,
        f"    container_name: {name}\n    ports: ['127.0.0.1:{port}:8000']\n{HEALTH}",
    )


def shallow(project: Project) -> None:
    """A clone of one commit of two."""
    repository(project)
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Fledge")
    folder = Path(project.ends.enter_context(tempfile.TemporaryDirectory()))
    git(project, "clone", "--quiet", "--bare", "--depth=1", f"file://{project.root}", str(folder))
    shutil.rmtree(project.root / ".git")
    shutil.copytree(folder, project.root / ".git")
    git(project, "config", "core.bare", "false")
    assert git(project, "rev-parse", "--is-shallow-repository").strip() == "true"


def worktree(project: Project) -> None:
    """A folder ``heron`` in the project that is another checkout of it."""
    repository(project)
    git(project, "worktree", "add", "--quiet", "--detach", "heron")
    assert (project.root / "heron/.git").is_file()


def submodule(project: Project) -> None:
    """A submodule in the context, whose folder is empty."""
    other = Path(project.ends.enter_context(tempfile.TemporaryDirectory()))
    subprocess.run(("git", "clone", "--quiet", str(project.root), str(other)), check=True)
    git(project, "submodule", "--quiet", "add", str(other), "app/heron")
    git(project, "commit", "--quiet", "--message", "Adopt")
    git(project, "submodule", "--quiet", "deinit", "--force", "app/heron")
    assert git(project, "submodule", "status").startswith("-")


def huge(project: Project) -> None:
    """Twenty thousand files more."""
    for number in range(200):
        folder = project.root / "nests" / str(number)
        folder.mkdir(parents=True)
        for egg in range(100):
            (folder / str(egg)).touch()
    project.checkout.replace("Dockerfile", "COPY app .", "COPY . .")


VERIFY = ("image.verify", "--service", "bare", "--json")


def bare(project: Project) -> None:
    """One more service, of whose image nothing can be run."""
    project.write("bare.Dockerfile", "FROM scratch\nCOPY app /app\n")
    project.checkout.replace(
        COMPOSE,
        "\n  test-runner:\n",
        "\n  bare:\n    build: {context: ., dockerfile: bare.Dockerfile}\n    profiles: [no]\n"
        "\n  test-runner:\n",
    )
    project.checkout.inv("image.build", "--service", "bare").must(0)


def touched(seconds: int) -> Arrange:
    def arrange(project: Project) -> None:
        for path in project.root.glob("app/*"):
            os.utime(path, (seconds, seconds))

    return arrange


# Other ways to type a command


# Root may open any socket: the question is asked as nobody. What the package
# imports is read before that, since nobody may not be able to read it.
AS_NOBODY = """
import json, os, sys
from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.errors import EngineUnavailable
from unstale.render.document import failure
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    DockerCli(SystemProcess(), {**os.environ, "DOCKER_HOST": f"unix://{sys.argv[1]}"}).check()
except EngineUnavailable as error:
    document = failure("image-status", error)
    print(json.dumps(document))
    sys.exit(document["code"])
"""


def as_nobody(project: Project, _command: Sequence[str]) -> Result:
    """Ask the engine behind a socket that only its owner may use."""
    folder = Path(project.ends.enter_context(tempfile.TemporaryDirectory(prefix="sock-")))
    folder.chmod(0o755)
    server = project.ends.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(folder / "docker.sock"))
    (folder / "docker.sock").chmod(0)
    server.listen()
    return other(project, ("-c", AS_NOBODY, str(folder / "docker.sock")))


def other(project: Project, argv: Sequence[str], folder: str = ".") -> Result:
    """Another program of Python's in the project's folder."""
    done = subprocess.run(
        (sys.executable, *argv),
        cwd=project.root / folder,
        env=environment(project.env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


def in_folder(name: str) -> How:
    return lambda project, command: other(project, ("-m", "unstale", *command), name)


def by_invoke(project: Project, command: Sequence[str]) -> Result:
    return other(project, ("-m", "invoke", *command))


def without_harm(project: Project, command: Sequence[str]) -> Result:
    """Nothing of a branch's name is run, and the commit is what is told."""
    result = typed(project, command)
    assert not list(project.root.rglob("PWNED"))
    if command == RUN:
        receipt = json.loads(Path(result.document()["receipt"]).read_text())
        told = receipt["predicate"]["annotations"]["revision"]
        assert told == git(project, "rev-parse", "HEAD").strip()
    return result


def without_input(project: Project, command: Sequence[str]) -> Result:
    """Standard input is closed, and what is printed is plain."""
    words = " ".join((sys.executable, "-m", "unstale", *command))
    done = subprocess.run(
        ("sh", "-c", f"exec {words} <&-"),
        cwd=project.root,
        env=environment(project.env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "\x1b" not in done.stdout + done.stderr
    return Result(tuple(command), done.returncode, done.stdout, done.stderr)


def within(seconds: float) -> How:
    def how(project: Project, command: Sequence[str]) -> Result:
        began = time.monotonic()
        result = typed(project, command)
        assert time.monotonic() - began < seconds
        return result

    return how


def twice(project: Project, command: Sequence[str]) -> Result:
    """Another run of the same checkout begins and ends meanwhile."""
    meanwhile = project.checkout.start(*command)
    result = typed(project, command)
    meanwhile.end().must(0)
    return result


SUMMER_ENDS = "2030-10-27T00:59:59.9+00:00"
# The wall clock of the whole process stands still at a moment, or goes to and fro.
CLOCK = """
import random, sys, time
from datetime import UTC, datetime, timedelta
import unstale.adapters.clock as clocks
moment = sys.argv.pop(1)
start = datetime.now(UTC) if moment == "jumping" else datetime.fromisoformat(moment)
def now(*_):
    return start + timedelta(days=random.randint(-5000, 5000) if moment == "jumping" else 0)
clocks.SystemClock.now = now
time.time = lambda: now().timestamp()
time.time_ns = lambda: int(now().timestamp() * 1e9)
sys.argv[0] = "unstale"
from unstale.__main__ import main
main()
"""


def at(moment: str) -> How:
    def how(project: Project, command: Sequence[str]) -> Result:
        project.env["TZ"] = "Europe/Berlin"
        return other(project, ("-c", CLOCK, moment, *command))

    return how


RED = "integration/test_red_runs.py"
STATES = "integration/schema/test_states.py"
PIPELINE = "integration/test_pipeline.py"
SERVICES = "faults/test_services.py"
RESOURCES = "faults/test_resources.py"
SIGNALS = "faults/test_signals.py"


def cited(project: Project, command: Sequence[str]) -> Result:
    """Another test shows it: the first of that name, or that case of it, passes."""
    file, _, test = command[0].partition("::")
    name, bracket, case = test.partition("[")
    path = ROOT / "tests/suite" / file
    found = re.search(rf"^def ({name}\w*)\(", path.read_text(), re.MULTILINE)
    assert found, f"there is no test {command[0]}"
    base = ("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={project.root / 'cited'}")
    listed = other(project, (*base, "--collect-only", f"{path}::{found[1]}"), str(ROOT))
    tests = [line for line in listed.out.splitlines() if f"{found[1]}{bracket}{case}" in line]
    return other(project, (*base, tests[0]), str(ROOT))


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
        quick=(RUN,),
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
        "set platform: linux/",
        (RUN,),
        quick=(RUN,),
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
        quick=(RUN,),
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
        quick=(RUN,),
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
        quick=(RUN,),
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
        quick=(RUN,),
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
    Row(
        "12 a value that readers of env files do not read alike",
        twofold("HERON=p$w0rd\n"),
        0,
        "",
        (".env.test:1  HERON  dialect: `$` without braces is expanded by compose only",),
        commands=(("env.check",),),
        quick=(("env.check",),),
    ),
    Row(
        "14 a socket without permission",
        nothing,
        5,
        "permission",
        ("may not be used by this user",),
        ("docker.sock",),
        "usermod -aG docker",
        commands=(LOOK,),
        how=as_nobody,
    ),
    Row(
        "16 no compose",
        fake_docker(f"[{BUILDX}]", compose=ABSENT),
        5,
        "configuration",
        ("docker has no compose plugin",),
        ("not known to it",),
        "install docker-compose-plugin",
        (LOOK, RUN, ("stack.up",)),
    ),
    Row(
        "16 an old compose",
        fake_docker(f"[{BUILDX},{COMPOSE_PLUGIN.replace('26', '10')}]"),
        5,
        "configuration",
        ("docker compose is too old",),
        ("Found 2.10.1; 2.24 or newer is needed",),
        "install a newer docker-compose-plugin",
        (LOOK, RUN, ("stack.up",)),
    ),
    Row(
        "17 no buildx, and nothing to build",
        fake_docker(f"[{COMPOSE_PLUGIN}]"),
        0,
        "",
        ("fresh",),
        commands=(LOOK, RUN),
        is_built=True,
    ),
    Row(
        "17 no buildx, and something to build",
        fake_docker(f"[{COMPOSE_PLUGIN}]"),
        5,
        "configuration",
        ("docker has no buildx plugin",),
        ("not known to it",),
        "install docker-buildx-plugin",
        (RUN,),
        quick=(RUN,),
    ),
    Row(
        "17 an old buildx, and something to build",
        fake_docker(f"[{COMPOSE_PLUGIN},{BUILDX.replace('13', '8')}]"),
        5,
        "configuration",
        ("docker buildx is too old",),
        ("0.8.1",),
        "install a newer docker-buildx-plugin",
        (RUN,),
    ),
    Row(
        "22 a port that a process has",
        all_of(listening, added("network_mode: host")),
        5,
        "busy",
        ("of 'db' is taken by", f"(pid {os.getpid()})"),
        ("network_mode: host",),
        "end ",
        (RUN,),
        is_built=True,
    ),
    Row(
        "22 a port that a container has",
        all_of(containered, added("network_mode: host")),
        5,
        "busy",
        ("of 'db' is taken by the container lt-heron-",),
        ("network_mode: host",),
        "end the container lt-heron-",
        (RUN,),
        is_built=True,
    ),
    Row(
        "23 a fixed container_name that is in use, and a fixed port",
        all_of(named, listening),
        0,
        "",
        ('"outcome": "proven"',),
        commands=(RUN,),
        is_built=True,
    ),
    Row(
        "24 no git repository",
        nothing,
        0,
        "",
        ("no commit is named: git has none here",),
        commands=(RUN,),
        is_built=True,
    ),
    Row(
        "24 a repository without a commit",
        lambda project: git(project, "init", "--quiet"),
        0,
        "",
        ("no commit is named: git has none here",),
        commands=(RUN,),
        is_built=True,
    ),
    Row(
        "25 a shallow clone",
        shallow,
        0,
        "",
        ('"outcome": "proven"',),
        commands=(RUN,),
        is_built=True,
    ),
    Row(
        "26 a detached HEAD, and a branch that a shell would run",
        all_of(repository, lambda project: git(project, "checkout", "--quiet", "--detach")),
        0,
        "",
        (),
        commands=(LOOK, RUN),
        is_built=True,
        how=without_harm,
    ),
    Row(
        "27 a worktree",
        worktree,
        0,
        "",
        ('"verdict": "missing"',),
        commands=(LOOK,),
        how=in_folder("heron"),
    ),
    Row(
        "28 a submodule that is not checked out",
        all_of(repository, submodule),
        2,
        "content",
        ("submodule", "app/heron of ", "is not checked out"),
        ("build context",),
        "git submodule update --init",
    ),
    Row(
        "28 a submodule that is not checked out, and ignored by the build",
        all_of(repository, submodule, appended(".dockerignore", "app/heron\n")),
        0,
        "",
        ('"verdict": "missing"',),
        commands=(LOOK,),
    ),
    Row(
        "29 a repository of another user",
        all_of(repository, shell(GIT_TEST_ASSUME_DIFFERENT_OWNER="1")),
        0,
        "",
        ("no commit is named: git takes no repository of another user", "safe.directory"),
        commands=(RUN,),
        is_built=True,
    ),
    Row(
        "30 a file name that is not UTF-8",
        all_of(lambda project: (project.root / os.fsdecode(b"app/h\xe9ron")).touch(), repository),
        0,
        "",
        ('"verdict": "stale"', "h\\udce9ron"),
        commands=(LOOK,),
        is_built=True,
    ),
    Row(
        "31 a huge context that is ignored",
        all_of(huge, appended(".dockerignore", "nests\n")),
        0,
        "",
        ('"verdict": "missing"',),
        commands=(LOOK,),
        how=within(10),
    ),
    Row(
        "31 a huge context",
        huge,
        0,
        "",
        ('"verdict": "missing"',),
        commands=(LOOK,),
        how=within(30),
        quick=(),
    ),
    *(
        Row(
            f"32 an image without a shell: {kind}",
            bare,
            code,
            "",
            words,
            commands=((*VERIFY, *options),),
            is_built=True,
            quick=((*VERIFY, *options),) if code == 0 else (),
        )
        for kind, code, words, options in (
            ("a match", 0, ("/app/serve.py",), ("--path", "/app", "--grep", "LIGHT_DB")),
            ("no match", 3, ("is nowhere in",), ("--path", "/app", "--grep", "heron")),
        )
    ),
    Row(
        "33 no match",
        nothing,
        3,
        "",
        ("heron",),
        commands=(("image.verify", "--grep", "heron", "--json"),),
        is_built=True,
    ),
    Row(
        "33 a path that is not in the image",
        nothing,
        3,
        "",
        ("/nest",),
        commands=(("image.verify", "--path", "/nest", "--grep", "heron", "--json"),),
        is_built=True,
    ),
    Row(
        "33 no image",
        nothing,
        5,
        "build",
        ("'test-runner' has no image yet",),
        ("removed",),
        "inv image.build",
        (("image.verify", "--grep", "heron", "--json"),),
        quick=(("image.verify", "--grep", "heron", "--json"),),
    ),
    *(
        Row(
            f"{number} {what}",
            nothing,
            0,
            "",
            ("1 passed",),
            commands=((test,),),
            how=cited,
        )
        for number, what, test in (
            (20, "a full disk", f"{RESOURCES}::test_a_full_disk_of_the_engine"),
            (21, "no addresses", f"{RESOURCES}::test_addresses_that_ran_out"),
            (35, "a migration that fails", f"{RED}::test_a_broken_migration_names"),
            (35, "several heads", f"{STATES}::test_each_state_has_its_name[11 two heads]"),
            (
                36,
                "a database that is never healthy",
                f"{SERVICES}::test_a_database_that_does_not_get",
            ),
            (36, "a service that ends at once", f"{SERVICES}::test_a_service_that_ends_at_once"),
            (36, "a service that restarts in a loop", f"{SERVICES}::test_a_restart_loop"),
            (
                39,
                "a database out of memory",
                f"{SERVICES}::test_a_database_that_runs_out_of_memory",
            ),
            (41, "a signal", f"{SIGNALS}::test_a_signal_in_the_middle"),
            (43, "a CRLF entrypoint", f"{SERVICES}::test_what_can_not_be_executed"),
            (48, "an expression in quotes", f"{PIPELINE}::test_an_expression_in_quotes"),
        )
    ),
    *(
        Row(
            f"37 tests: {kind}",
            lambda project, verb=verb: behave(
                project.checkout, LIGHT_TESTS=verb, LIGHT_SECONDS="0.1"
            ),
            1,
            "tests failed",
            words,
            commands=(RUN,),
            is_built=True,
        )
        for kind, verb, words in (
            ("none collected", "none", ("No test ran",)),
            ("usage", "exit:4", ("exit code 4",)),
            ("an import error", "exit:2", ("exit code 2",)),
        )
    ),
    Row(
        "38 green without evidence",
        lambda project: behave(project.checkout, LIGHT_TESTS="silent", LIGHT_SECONDS="0.1"),
        4,
        "no evidence",
        ("ended with 0, but left no JUnit file",),
        ("os._exit",),
        "junit",
        (RUN,),
        is_built=True,
    ),
    Row(
        "40 a test that hangs",
        all_of(
            lambda project: behave(project.checkout, LIGHT_SECONDS="90"),
            shell(UNSTALE_DEADLINES_TESTS="1"),
        ),
        5,
        "timed out",
        ("step run_tests", "within 1 s"),
        ("printed", "db-1: running"),
        "",
        (RUN,),
        is_built=True,
    ),
    Row(
        "40 a build that hangs",
        all_of(
            replaced("Dockerfile", "COPY app .", "RUN sleep 90"),
            shell(UNSTALE_DEADLINES_BUILD="2"),
        ),
        5,
        "timed out",
        ("build_if_needed: ", "within 2 s"),
        ("were ended",),
        "more time",
        (RUN,),
    ),
    Row(
        "40 a docker that hangs",
        all_of(hanging, shell(UNSTALE_DEADLINES_ENGINE="1")),
        5,
        "timed out",
        ("engine does not answer",),
        ("within 1 s",),
        "start it",
    ),
    Row(
        "42 a closed standard input, a dumb terminal, CI",
        shell(CI="true", TERM="dumb"),
        0,
        "",
        ("PROVEN",),
        commands=(("test.integration",),),
        is_built=True,
        how=without_input,
        quick=(("test.integration",),),
    ),
    *(
        Row(
            f"47 {what} that there is not",
            nothing,
            2,
            "",
            (f"No idea what '{words[-1]}' is",),
            (),
            "unstale --list",
            (words,),
            quick=(words,),
        )
        for what, words in (
            ("a task", ("image.statsu",)),
            ("a flag", ("image.status", "--jsno")),
            ("a flag of all", ("--jsno",)),
        )
    ),
    Row(
        "47 a task that there is not, for Invoke",
        written("tasks.py", "from unstale import ns\n"),
        1,
        "",
        ("image.statsu",),
        commands=(("image.statsu",),),
        how=by_invoke,
        quick=(("image.statsu",),),
    ),
    Row(
        "49 two runs at once",
        nothing,
        0,
        "",
        ('"outcome": "proven"',),
        commands=(RUN,),
        is_built=True,
        how=twice,
    ),
    *(
        Row(
            f"50 {what}",
            arrange,
            0,
            "",
            ('"verdict": "fresh"',) if command == LOOK else ('"outcome": "proven"',),
            commands=(command,),
            is_built=True,
            how=how,
        )
        for what, arrange, command, how in (
            ("files from the future", touched(2**32), LOOK, typed),
            ("files from the past", touched(86400), LOOK, typed),
            ("a time zone at the end of the world", shell(TZ="Pacific/Kiritimati"), LOOK, typed),
            ("an hour that there is twice", nothing, LOOK, at(SUMMER_ENDS)),
            ("a clock that jumps", nothing, LOOK, at("jumping")),
            ("a clock that jumps in a run", nothing, RUN, at("jumping")),
        )
    ),
)


CASES = [
    pytest.param(
        row,
        command,
        id=f"{row.name}: {' '.join(command[:1])}",
        marks=[] if command in row.quick else [pytest.mark.long],
    )
    for row in ROWS
    for command in row.commands
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A project whose image is there, for all rows that need one."""
    checkout = fresh(tmp_path_factory.mktemp("built"))
    checkout.inv("image.build").must(0)
    yield checkout
    gone(checkout)


@pytest.fixture
def project(row: Row, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project of the row's own, or the built one, which is as it was afterwards."""
    checkout = request.getfixturevalue("built") if row.is_built else fresh(tmp_path)
    before = tmp_path / "before"
    shutil.copytree(checkout.root, before, ignore=shutil.ignore_patterns(".unstale"))
    with ExitStack() as ends:
        yield Project(checkout, ends)
    for path in checkout.root.iterdir():
        if path.name != ".unstale":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(before, checkout.root, dirs_exist_ok=True)
    left, images = checkout.leftovers(), images_of(checkout)
    checkout.sweep()
    if not row.is_built:
        for image in images:
            docker("image", "rm", "--force", image, code=None)
    assert left == []
    if row.code and not row.is_built:
        assert images == [], "nothing was built"


def images_of(checkout: Checkout) -> list[str]:
    """The names of the images that are built for *checkout*."""
    names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    return [name for name in names if checkout.root.name in name]


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

    result = row.how(project, command).must(row.code)

    assert not result.traceback
    assert "BUG" not in result.text
    document = result.document() if "--json" in command else {}
    what = why = following = result.text
    if row.code and "outcome" in document:
        assert (document["code"], document["outcome"]) == (row.code, row.fault)
        what, why, following = parts(document)
        assert all((what, why, following)), "a message has three parts"
        assert "\n" not in what
        assert len(why.splitlines()) <= 25
    assert [word for word in row.what if word not in what] == [], (what, why)
    assert [word for word in row.why if word not in why] == [], (what, why)
    assert row.next in following


def test_the_catalogue_is_whole() -> None:
    assert sorted({int(row.name.split()[0]) for row in ROWS}) == list(range(1, 51))
