"""What the doctor sees in a machine and in a checkout."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import FakeDocker

from unstale import compose
from unstale.adapters.docker import DockerCli
from unstale.adapters.files import DiskFiles
from unstale.adapters.leases import Leases
from unstale.doctor import checkout, machine
from unstale.doctor.checkout import Asked
from unstale.doctor.engine import Engine
from unstale.doctor.finding import Copy, MakeFolder, Reap, State
from unstale.doctor.source import shadowed
from unstale.errors import (
    ConfigError,
    CouldNotTell,
    EngineUnavailable,
    Outcome,
    UnstaleError,
)
from unstale.facts import DiskSpace, ImageFact
from unstale.image.inputs import named_images
from unstale.ports import ResolvedModel
from unstale.survey.neighbours import hidden_tasks

HERE = Engine(command="docker", host="unix:///x.sock", version="1", ahead_s=0.0)
GIB = 1 << 30
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


@pytest.fixture
def asked(tmp_path: Path, write: Write) -> Asked:
    """A project with a compose file for the environment test."""
    write("docker/docker-compose.test.yml", "services: {}\n")
    return reread(tmp_path)


def reread(root: Path) -> Asked:
    found = checkout.settings(root, DiskFiles(), {}, None)[1]
    assert found is not None
    return found


def stack(**services: Mapping[str, Any]) -> compose.Stack:
    return compose.parse({"name": "demo", "services": services})


# The machine


class Disk:
    def __init__(self, free: float) -> None:
        self.free = free

    def space(self, path: Path) -> DiskSpace | None:
        return DiskSpace(str(path), int(self.free * GIB), 100 * GIB) if self.free >= 0 else None


@pytest.mark.parametrize(
    ("free", "state", "outcome"),
    [
        (50, State.OK, Outcome.PROVEN),
        (4.9, State.WARN, Outcome.PROVEN),
        (0.9, State.FAIL, Outcome.UNAVAILABLE),
        (-1, State.SKIPPED, Outcome.UNKNOWN),
    ],
)
def test_little_room_warns_and_none_fails(
    tmp_path: Path, free: float, state: State, outcome: Outcome
) -> None:
    found = machine.disk(HERE, cast("DiskFiles", Disk(free)), tmp_path)

    assert (found.state, found.outcome) == (state, outcome)


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [(0.0, State.OK, ""), (90.0, State.WARN, "90 s ahead"), (-90.0, State.WARN, "90 s behind")],
)
def test_a_clock_that_is_off_warns(ahead: float, state: State, words: str) -> None:
    found = machine.clock(Engine(ahead_s=ahead), ())

    assert found.state is state
    assert words in found.seen


def test_a_clock_that_nobody_tells_is_not_right() -> None:
    found = machine.clock(Engine(ahead_s=None), ())

    assert (found.state, found.outcome) == (State.SKIPPED, Outcome.UNKNOWN)


def test_a_file_from_the_future_is_named(write: Write) -> None:
    path = write("pyproject.toml", "")
    os.utime(path, (time.time() + 500,) * 2)

    found = machine.clock(HERE, [path, path.parent / "absent"])

    assert found.state is State.WARN
    assert "pyproject.toml is from the future" in found.seen


class Holder:
    """A docker that knows who listens."""

    def __init__(self, *, local: bool = True, error: UnstaleError | None = None) -> None:
        self.local, self.error = local, error

    def is_local(self) -> bool:
        return self.local

    def holder(self, port: int) -> str:
        if self.error:
            raise self.error
        return f"heron (pid {port})"


def publishing(port: int) -> compose.Stack:
    return stack(app={"image": "x", "ports": [{"target": 80, "published": str(port)}]})


def test_who_has_a_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]

        found = machine.ports(cast("DockerCli", Holder()), publishing(port))

    assert found.state is State.WARN
    assert f"{port} of app: heron (pid {port})" in found.seen
    assert machine.ports(cast("DockerCli", Holder()), publishing(port)).state is State.OK


@pytest.mark.parametrize(
    ("docker", "wanted"),
    [(Holder(), stack(app={"image": "x"})), (Holder(local=False), publishing(80))],
)
def test_where_no_port_is_wanted_here_none_is_looked_for(
    docker: Holder, wanted: compose.Stack
) -> None:
    found = machine.ports(cast("DockerCli", docker), wanted)

    assert (found.state, found.is_idle) == (State.SKIPPED, True)


def test_a_range_of_ports_is_no_port() -> None:
    ranged = stack(app={"image": "x", "ports": [{"target": 80, "published": "8000-8010"}]})

    assert machine.ports(cast("DockerCli", Holder()), ranged).is_idle


def test_libraries_without_bytecode_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    write("site/seldom/__init__.py", "")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(machine, "_COMPILED", ("seldom",))

    found = machine.bytecode({})

    assert found.state is State.WARN
    assert "Not compiled: seldom" in found.seen
    assert found.fix.endswith(f"-m compileall -q {tmp_path / 'site'}")
    assert machine.bytecode({"PYTHONDONTWRITEBYTECODE": "1"}).fix.startswith("unset ")
    monkeypatch.setattr(machine, "_COMPILED", ("no_such_library", "importlib.no"))
    assert machine.bytecode({}).is_idle


def test_a_run_that_died_is_told_and_reaped(tmp_path: Path) -> None:
    leases = Leases({"XDG_STATE_HOME": str(tmp_path)})
    assert machine.leftovers(leases).state is State.OK
    assert list(tmp_path.iterdir()) == []  # a look makes no folder
    (tmp_path / "unstale").mkdir()
    (tmp_path / "unstale/4711.lease").write_text("{}")

    found = machine.leftovers(leases)

    assert (found.state, found.mendings) == (State.WARN, (Reap(),))
    assert "4711" in found.seen


def test_without_a_home_nobody_knows_what_is_left() -> None:
    found = machine.leftovers(Leases({"HOME": "relative"}))

    assert (found.state, found.outcome) == (State.SKIPPED, Outcome.UNKNOWN)


# The checkout


def test_settings_that_can_not_be_used_fail_as_usage(tmp_path: Path, write: Write) -> None:
    write("pyproject.toml", "[tool.unstale]\nrunnr = 1\n")

    found, asked = checkout.settings(tmp_path, DiskFiles(), {}, None)

    assert (found.state, found.outcome, asked) == (State.FAIL, Outcome.USAGE, None)
    assert "runner" in found.seen


def test_a_folder_without_a_compose_file_is_no_failure(tmp_path: Path) -> None:
    found, asked = checkout.settings(tmp_path, DiskFiles(), {}, None)

    assert found.is_idle
    assert asked is not None
    assert checkout.env_files(asked).is_idle
    assert checkout.compose_files(asked, cast("DockerCli", None))[0].is_idle


def test_an_environment_that_is_asked_for_must_be_there(asked: Asked) -> None:
    found, none = checkout.settings(asked.root, DiskFiles(), {}, "tset")

    assert (found.outcome, none) == (Outcome.USAGE, None)
    assert "'tset'" in found.seen


def test_an_env_file_that_is_not_there_is_copied_from_its_example(
    asked: Asked, write: Write
) -> None:
    write("pyproject.toml", '[tool.unstale.environments.test]\nenv-file = "env/.env.test"\n')
    example = write("env/.env.test.example", "KEY=\n")

    found = checkout.env_files(reread(asked.root))

    target = asked.root / "env/.env.test"
    assert (found.state, found.outcome) == (State.FAIL, Outcome.USAGE)
    assert found.mendings == (Copy(example, target),)
    target.write_text("KEY=1\n")
    assert checkout.env_files(reread(asked.root)).state is State.OK


def test_an_env_file_without_an_example_must_be_written(asked: Asked, write: Write) -> None:
    write("pyproject.toml", '[tool.unstale.environments.test]\nenv-file = "env/.env.test"\n')

    found = checkout.env_files(reread(asked.root))

    assert (found.state, found.mendings) == (State.FAIL, ())


def test_a_lone_example_is_a_hint(asked: Asked, write: Write) -> None:
    example = write(".env.test.example", "KEY=\n")

    found = checkout.env_files(asked)

    assert (found.state, found.mendings) == (
        State.WARN,
        (Copy(example, asked.root / ".env.test"),),
    )
    example.unlink()
    assert checkout.env_files(asked).is_idle


@pytest.mark.parametrize(
    ("content", "outcome"),
    [(b"age-encryption.org/v1\n", Outcome.UNKNOWN), (b"KEY=\xff\n", Outcome.USAGE)],
)
def test_an_env_file_that_can_not_be_read_is_never_green(
    asked: Asked, content: bytes, outcome: Outcome
) -> None:
    (asked.root / ".env.test").write_bytes(content)

    found = checkout.env_files(reread(asked.root))

    assert found.state is not State.OK
    assert found.outcome is outcome


class Compose:
    """A docker whose compose answers or refuses."""

    def __init__(self, answer: Mapping[str, Any] | UnstaleError) -> None:
        self.answer = answer

    def config(self, _target: object) -> ResolvedModel:
        if isinstance(self.answer, UnstaleError):
            raise self.answer
        return ResolvedModel(self.answer, ())


@pytest.mark.parametrize(
    ("answer", "state", "outcome"),
    [
        ({"name": "demo", "services": {"app": {"image": "x"}}}, State.OK, Outcome.PROVEN),
        ({"name": "demo", "services": {}}, State.FAIL, Outcome.USAGE),
        (ConfigError("compose refuses.", cause="line 3"), State.FAIL, Outcome.USAGE),
        (EngineUnavailable("no compose"), State.SKIPPED, Outcome.UNKNOWN),
    ],
)
def test_compose_is_the_judge_of_its_files(
    asked: Asked, answer: Any, state: State, outcome: Outcome
) -> None:
    found, resolved = checkout.compose_files(asked, cast("DockerCli", Compose(answer)))

    assert (found.state, found.outcome) == (state, outcome)
    assert (resolved is not None) == (state is State.OK)


def mounting(source: Path, **more: Any) -> compose.Stack:
    volume = {"type": "bind", "source": str(source), "target": "/x"}
    return stack(app={"image": "x", "volumes": [volume], **more})


def test_a_mount_of_nothing_is_made_if_it_was_meant_as_a_folder_here(asked: Asked) -> None:
    missing = asked.root / "uploads"

    found = checkout.mounts(asked, mounting(missing), is_local=True)

    assert (found.state, found.outcome) == (State.FAIL, Outcome.USAGE)
    assert found.mendings == (MakeFolder(missing),)
    for other in (asked.root / "app.conf", Path("/nonexistent/data"), asked.root / ".env"):
        assert checkout.mounts(asked, mounting(other), is_local=True).mendings == ()
    missing.mkdir()
    assert checkout.mounts(asked, mounting(missing), is_local=True).state is State.OK


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("Caddyfile", "/etc/caddy/Caddyfile"),
        ("settings", "/etc/app/settings.ini"),
        ("netrc", "/root/.netrc"),
    ],
)
def test_where_a_file_belongs_no_folder_is_made(asked: Asked, name: str, target: str) -> None:
    source = str(asked.root / name)
    volume = {"type": "bind", "source": source, "target": target}
    own = stack(app={"image": "x", "volumes": [volume]})

    found = checkout.mounts(asked, own, is_local=True)

    assert (found.state, found.mendings) == (State.FAIL, ())
    assert "mkdir" not in found.fix


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_the_file_of_a_secret_or_a_config_is_never_made_a_folder(asked: Asked, kind: str) -> None:
    source = str(asked.root / "token")
    services = {"app": {"image": "x", kind: [{"source": "token", "target": "/run/token"}]}}
    own = compose.parse({"name": "demo", "services": services, kind: {"token": {"file": source}}})

    found = checkout.mounts(asked, own, is_local=True)

    assert (found.state, found.mendings) == (State.FAIL, ())
    assert source in found.seen


def test_what_is_not_started_need_not_be_mounted(asked: Asked) -> None:
    resting = mounting(asked.root / "no", profiles=["debug"])

    assert checkout.mounts(asked, resting, is_local=True).state is State.OK
    assert checkout.mounts(asked, mounting(asked.root / "no"), is_local=False).is_idle


def alembic(write: Write, folder: str, **revisions: str) -> None:
    write(f"{folder}alembic.ini", "[alembic]\nscript_location = migrations\n")
    for name, down in revisions.items():
        text = f"revision = {name!r}\ndown_revision = {down}\n"
        write(f"{folder}migrations/versions/{name}.py", text)


@pytest.mark.parametrize("folder", ["", "docker/service/"])
def test_two_heads_are_told_wherever_the_file_is(asked: Asked, write: Write, folder: str) -> None:
    assert checkout.migrations(asked).is_idle
    alembic(write, folder, a1="None")
    assert "one head, a1" in checkout.migrations(asked).seen
    alembic(write, folder, b1="None")

    found = checkout.migrations(asked)

    assert (found.state, found.outcome) == (State.FAIL, Outcome.MISMATCH)
    assert found.fix == "alembic merge -m merge a1 b1"


def test_migrations_that_are_not_found_are_not_one_head(asked: Asked, write: Write) -> None:
    alembic(write, "")

    assert checkout.migrations(asked).outcome is Outcome.UNKNOWN
    write("pyproject.toml", '[tool.unstale]\nschema = "none"\n')
    assert checkout.migrations(reread(asked.root)).is_idle


@pytest.mark.parametrize(
    ("entries", "hides"),
    [
        ([("alembic", True)], "the library alembic"),
        ([("pytest.py", False)], "the library pytest"),
        ([("logging.py", False)], "Python's own logging"),
        ([("tasks", True), ("tasks.py", False)], "tasks.py"),
    ],
)
def test_what_hides_a_library_is_named(entries: list[tuple[str, bool]], hides: str) -> None:
    ((_, what),) = shadowed(entries)

    assert hides in what


def test_what_hides_nothing_is_left_alone() -> None:
    harmless = [
        *(("alembic", False), ("tasks", False), ("tasks.py", False), ("test", True)),
        *(("docker", False), ("app", True), ("json", False), ("README.md", False)),
    ]

    assert list(shadowed(harmless)) == []


def test_a_package_that_shadows_is_seen_in_a_folder(tmp_path: Path, write: Write) -> None:
    assert checkout.shadowing(tmp_path).state is State.OK
    write("alembic/__init__.py", "")

    assert checkout.shadowing(tmp_path).state is State.WARN
    assert checkout.shadowing(tmp_path / "no").outcome is Outcome.UNKNOWN


def test_a_folder_that_may_not_be_entered_hides_nothing(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed", "env"):
        (asked.root / name).mkdir()
    see = os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        # As the kernel does it for who is not root.
        if Path(path).parent in {asked.root / "closed", asked.root / "env"}:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return see(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)

    assert checkout.shadowing(asked.root).state is State.OK
    assert checkout.env_files(asked).is_idle


TASK = "from invoke import task\n@task\ndef lint(c): ...\n@task(help={})\ndef deploy(c): ...\n"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (TASK, ()),  # without a collection Invoke finds them itself
        (f"from unstale import ns\n{TASK}", ("lint", "deploy")),
        (f"from unstale import ns\n{TASK}ns.add_task(lint)\n", ("deploy",)),
        (f"from unstale import ns\n{TASK}for t in (lint, deploy): ns.add_task(t)\n", ()),
        (f"import unstale\n{TASK}ns = Collection(lint, deploy, unstale.ns)\n", ()),
        (f"import unstale\n{TASK}namespace: object = Collection(unstale.ns)\n", ("lint", "deploy")),
        ("from unstale import ns as ours\n" + TASK, ()),
        ("from unstale import ns\ndef lint(): ...\n", ()),
        ("from unstale import ns\nimport invoke\n@invoke.task\ndef a(c): ...\n", ("a",)),
        ("from unstale import ns\ndef (:\n", ()),
    ],
)
def test_tasks_beside_a_collection_are_hidden(source: str, names: tuple[str, ...]) -> None:
    assert hidden_tasks(source.encode()) == names


def test_hidden_tasks_are_added_by_name(tmp_path: Path, write: Write) -> None:
    assert checkout.hidden(tmp_path).is_idle
    write("tasks.py", f"from unstale import ns\n{TASK}")

    found = checkout.hidden(tmp_path)

    assert found.state is State.WARN
    assert "ns.add_task(lint); ns.add_task(deploy)" in found.fix


# Images


def building(root: Path, dockerfile: str, **build: Any) -> compose.Stack:
    (root / "Dockerfile").write_text(dockerfile)
    return compose.parse(
        {"name": "demo", "services": {"app": {"build": {"context": str(root), **build}}}}
    )


def bases(root: Path, dockerfile: str, **build: Any) -> tuple[str, ...]:
    spec = building(root, dockerfile, **build).built[0].build
    assert spec is not None
    return named_images(spec, {})


def test_base_images_are_read_from_the_stages_that_are_needed(tmp_path: Path) -> None:
    text = (
        "ARG BASE=python:3.12\nFROM ${BASE} AS a\nCOPY --from=busybox:1 /x /x\n"
        "FROM unused:1 AS b\nFROM a AS c\n"
    )

    assert bases(tmp_path, text, target="c") == ("python:3.12", "busybox:1")
    assert bases(tmp_path, text, target="c", args={"BASE": "heron:2"}) == ("heron:2", "busybox:1")
    with pytest.raises(CouldNotTell):
        bases(tmp_path, "FROM\n")
    (tmp_path / "Dockerfile").unlink()


def test_images_that_have_to_be_pulled_are_named(tmp_path: Path, docker: FakeDocker) -> None:
    own = building(tmp_path, "FROM python:3.12\n")
    found = checkout.images(own, cast("DockerCli", docker), {})
    assert (found.state, found.fix) == (State.WARN, "docker pull python:3.12")

    docker.local_images.append(
        ImageFact("sha256:1", ("python:3.12",), None, {}, 1, "amd64", "linux", "", (), ())
    )
    assert checkout.images(own, cast("DockerCli", docker), {}).state is State.OK


def test_a_dockerfile_that_is_not_there_is_not_green(tmp_path: Path, docker: FakeDocker) -> None:
    own = building(tmp_path, "FROM x\n")
    (tmp_path / "Dockerfile").unlink()

    assert checkout.images(own, cast("DockerCli", docker), {}).outcome is Outcome.UNKNOWN
