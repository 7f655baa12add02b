"""What DockerCli does with a real engine; images are made FROM scratch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from dotenv import dotenv_values

from unstale.adapters import engine
from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.adapters.refusals import UNKNOWN
from unstale.adapters.signals import Signals
from unstale.errors import (
    BuildFailed,
    ConfigError,
    EngineUnavailable,
    Interrupted,
    NotReady,
    TimedOut,
    Unavailable,
)
from unstale.ports import (
    BuildOptions,
    Command,
    CommandResult,
    ComposeTarget,
    ComposeWarning,
    Docker,
    Process,
    ResolvedModel,
    RunOptions,
)

# The one the stack uses: the stand-in where ./bootstrap made it, else the real one.
_IMAGES = Path(__file__).parents[3] / ".unstale" / "images.env"
PYTHON = dotenv_values(_IMAGES).get("UNSTALE_PYTHON_IMAGE") or "python:3.13-slim"
POSTGRES = dotenv_values(_IMAGES).get("UNSTALE_POSTGRES_IMAGE") or "postgres:17"
LABEL = "com.example.contract"


def silent(_line: str) -> None:
    """Take a line and do nothing."""


@pytest.fixture(scope="module")
def docker() -> DockerCli:
    cli = DockerCli(SystemProcess(), os.environ)
    try:
        cli.check()
    except EngineUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return cli


@pytest.fixture(scope="module")
def postgres(docker: DockerCli) -> str:
    if docker.image(POSTGRES) is None:
        pytest.fail(f"there is no {POSTGRES}. Next: ./bootstrap --with-docker, or docker pull")
    return POSTGRES


@pytest.fixture
def project(docker: DockerCli) -> Iterator[str]:
    name = f"contract{uuid.uuid4().hex[:10]}"
    yield name
    label = {"com.docker.compose.project": name}
    docker.remove_containers([c.id for c in docker.containers(label)])
    docker.remove_networks(list(docker.networks(label)))
    docker.remove_volumes(list(docker.volumes(label)))
    docker.remove_images([image.id for image in docker.images({LABEL: name})])
    assert docker.containers(label) == ()
    assert docker.images({LABEL: name}) == ()


def target(tmp_path: Path, project: str, text: str) -> ComposeTarget:
    path = tmp_path / "compose.yml"
    path.write_text(text)
    return ComposeTarget(project, (path,))


@pytest.fixture
def scratch(tmp_path: Path, project: str) -> ComposeTarget:
    """A service whose image holds two files, a link and a hard link."""
    tree = tmp_path / "tree" / "app"
    tree.mkdir(parents=True)
    (tree / "one.txt").write_text("one")
    (tree / "two.sh").write_text("#!/bin/sh\n")
    (tree / "two.sh").chmod(0o755)
    (tree / "link").symlink_to("one.txt")
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch\nARG API_TOKEN=none\nENV FOO=bar\nWORKDIR /app\nCOPY tree/ /\n"
    )
    return target(
        tmp_path,
        project,
        f"""
services:
  app:
    image: {project}/app:1
    build:
      context: .
      labels: {{ {LABEL}: {project} }}
""",
    )


@pytest.fixture
def database(tmp_path: Path, project: str, postgres: str) -> ComposeTarget:
    return target(
        tmp_path,
        project,
        f"""
services:
  db:
    image: {postgres}
    init: true
    entrypoint: ["sh", "-c"]
    command: ["echo started; echo problem >&2; sleep 60"]
    ports: ["127.0.0.1::5432"]
    volumes: ["data:/data"]
    healthcheck:
      test: ["CMD-SHELL", "echo not yet; exit 1"]
      interval: 1s
      retries: 2
volumes:
  data: {{}}
""",
    )


def inspected(docker: DockerCli, image: str) -> list[str]:
    """Containers made to read *image*; other runs on this machine have theirs."""
    fact = docker.image(image)
    assert fact is not None
    found = docker.containers({"dev.unstale.owner": "", "dev.unstale.run": ""})
    mine = (c.name for c in found if c.image_id == fact.id)
    return [name for name in mine if name.startswith("unstale-inspect-")]


def up(docker: DockerCli, target: ComposeTarget) -> None:
    docker.up(target, ["db"], silent, deadline_s=60)


# Reaching the engine


def test_check_is_quick(docker: DockerCli) -> None:
    started = time.monotonic()
    docker.check()
    # Measured at 0.1 to 0.3 s; python-on-whales alone would cost 0.5 s.
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("docker")
def test_check_loads_no_python_on_whales() -> None:
    code = (
        "import os, sys; from unstale.adapters.docker import DockerCli;"
        "from unstale.adapters.process import SystemProcess;"
        "DockerCli(SystemProcess(), os.environ).check();"
        "sys.exit('python_on_whales' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_socket_means_the_engine_is_not_running(tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    with pytest.raises(EngineUnavailable) as caught:
        DockerCli(SystemProcess(), environ).check()
    assert "not running" in caught.value.what
    assert "none.sock" in caught.value.cause
    assert caught.value.hint


def test_no_docker_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no docker command"):
        DockerCli(SystemProcess(), {"PATH": str(tmp_path)}).check()


class Answers:
    """A process whose every command gives the same answer."""

    def __init__(self, stdout: str) -> None:
        self._result = CommandResult(0, stdout, "", 0.0)
        self.asked = 0

    def run(self, _command: Command, _on_line: object = None) -> CommandResult:
        self.asked += 1
        return self._result

    @contextmanager
    def started(self, command: Command) -> Iterator[Callable[[], CommandResult]]:
        yield lambda: self.run(command)

    def stream(self, _command: Command) -> Iterator[bytes]:
        return iter(())


@pytest.mark.parametrize(
    ("version", "good"),
    [("v2.23.3", False), ("2.24.0", True), ("5.0.1", True), ("1.29.2", False), ("dev", True)],
)
def test_an_old_compose_is_refused_with_both_versions(version: str, *, good: bool) -> None:
    plugins = f'[{{"Name":"buildx","Version":"1"}},{{"Name":"compose","Version":"{version}"}}]'
    process: Process = Answers(f'["28.0.0",null,{plugins}]')
    cli = DockerCli(process, {**os.environ, "DOCKER_HOST": "tcp://192.0.2.1:2375"})
    if good:
        cli.check()
        return
    with pytest.raises(EngineUnavailable) as caught:
        cli.check()
    assert version in caught.value.cause
    assert "2.24" in caught.value.cause


def test_a_missing_plugin_is_named() -> None:
    process: Process = Answers('["28.0.0",null,[{"Name":"compose","Version":"2.30.0"}]]')
    cli = DockerCli(process, {**os.environ, "DOCKER_HOST": "tcp://192.0.2.1:2375"})
    cli.check()
    with pytest.raises(EngineUnavailable, match="buildx"):
        cli.build(ComposeTarget("x", ()), ("x",), BuildOptions(), silent)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin of the user's own."""
    path = tmp_path / "config" / "cli-plugins" / "docker-compose"
    path.parent.mkdir(parents=True)
    path.write_text("one")
    return path


def looked(plugin: Path, version: str = "2.30.0") -> tuple[Answers, Callable[[], None]]:
    """An engine whose compose is *plugin*, and a look at it that keeps what it learns."""
    names = [
        {"Name": "buildx", "Version": "1", "Path": str(plugin)},
        {"Name": "compose", "Version": version, "Path": str(plugin)},
    ]
    answers = Answers(json.dumps(["28.0.0", None, names]))
    config = str(plugin.parents[1])
    environ = {**os.environ, "DOCKER_HOST": "tcp://192.0.2.1:2375", "DOCKER_CONFIG": config}
    cli = DockerCli(answers, environ)
    return answers, lambda: cli.check(known=plugin.parents[2] / "state" / "docker.json")


def test_a_look_asks_for_plugins_once_while_they_are_the_same(plugin: Path) -> None:
    answers, look = looked(plugin)
    look()
    look()
    assert answers.asked == 1


@pytest.mark.parametrize("change", ["replaced", "one more", "damaged"])
def test_a_look_asks_again_for_plugins_that_may_be_others(plugin: Path, change: str) -> None:
    looked(plugin)[1]()
    if change == "replaced":
        plugin.write_text("another")
    elif change == "one more":
        plugin.with_name("docker-buildx").write_text("new")
    else:
        (plugin.parents[2] / "state" / "docker.json").write_text("[{")
    with pytest.raises(EngineUnavailable, match="too old"):
        looked(plugin, "2.20.0")[1]()


def test_a_look_at_plugins_that_will_not_do_is_not_kept(plugin: Path) -> None:
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="too old"):
            looked(plugin, "2.20.0")[1]()


def test_a_look_gets_the_model_that_compose_prints(
    docker: DockerCli, scratch: ComposeTarget, tmp_path: Path
) -> None:
    known = tmp_path / "docker.json"
    docker.check(known=known)
    asked: list[Command] = []

    class Watched(SystemProcess):
        @contextmanager
        def started(self, command: Command) -> Iterator[Callable[[], CommandResult]]:
            asked.append(command)
            with super().started(command) as result:
                yield result

    look = DockerCli(Watched(), os.environ).config(scratch, known=known)

    assert look == docker.config(scratch)
    assert [Path(command.argv[0]).name for command in asked] == ["docker-compose"]


def test_every_call_tells_that_the_engine_is_gone(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/none.sock"
    # A lease of an engine that never was would be asked for at each later sweep.
    state = {"XDG_STATE_HOME": str(tmp_path)}
    gone = DockerCli(SystemProcess(), {**os.environ, **state, "DOCKER_HOST": host})
    aim = target(tmp_path, "gone", "services: {a: {image: none}}")
    calls: list[Callable[[], object]] = [
        lambda: gone.image("x"),
        lambda: gone.images({"a": "b"}),
        lambda: gone.containers({"a": "b"}),
        lambda: gone.networks({}),
        lambda: gone.volumes({}),
        lambda: gone.history("x"),
        lambda: gone.pull("localhost:1/x"),
        gone.platform,
        lambda: gone.remove_containers(["x"]),
        lambda: gone.logs("x", 5),
        lambda: gone.up(aim, ["a"], silent, deadline_s=20),
        lambda: gone.run(aim, "a", RunOptions(("true",), 20), silent),
        lambda: gone.execute("x", RunOptions(("true",), 20), silent),
        lambda: list(gone.files_in_container("x", PurePosixPath("/etc"))),
        lambda: list(gone.files_in_image("x", PurePosixPath("/etc"))),
    ]
    for call in calls:
        with pytest.raises(EngineUnavailable):
            call()


# Compose


def test_config_resolves_and_needs_no_engine(tmp_path: Path) -> None:
    (tmp_path / "values").write_text("TAG=7\n")
    aim = target(tmp_path, "abc", "services: {a: {image: 'x:${TAG}', profiles: [p]}}")
    aim = ComposeTarget(aim.project, aim.files, (tmp_path / "values",), ("*",))
    environ = {**os.environ, "DOCKER_HOST": "unix:///none.sock"}
    model = DockerCli(SystemProcess(), environ).config(aim).model
    services = model["services"]
    assert isinstance(services, dict)
    assert services["a"]["image"] == "x:7"
    assert model["name"] == "abc"


def test_a_refused_file_is_told_with_what_is_wrong_in_it(docker: DockerCli, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        docker.config(target(tmp_path, "abc", "services: {a: {imagine: x}}"))
    assert "imagine" in caught.value.cause


@pytest.mark.parametrize("line", ['A="hunter2', "A='hunter2", "A=${hunter2", "A@b=hunter2"])
def test_an_error_quotes_no_secret(docker: DockerCli, tmp_path: Path, line: str) -> None:
    (tmp_path / "values").write_text(f"PASSWORD=one$hunter3\nFINE=1\n{line}\nNEXT=hunter4\n")
    aim = target(tmp_path, "abc", "services: {a: {image: x}}")
    with pytest.raises(ConfigError) as caught:
        docker.config(ComposeTarget(aim.project, aim.files, (tmp_path / "values",)))
    assert caught.value.cause
    assert "hunter" not in str(caught.value)


# Compose, for a comparison: these need the command line and no engine.


def compared(tmp_path: Path, text: str, *, profiles: tuple[str, ...] = ("*",)) -> ComposeTarget:
    """A project of compose.yml and, if it is there, given.env."""
    aim, given = target(tmp_path, "abc", text), tmp_path / "given.env"
    return ComposeTarget(aim.project, aim.files, (given,) if given.exists() else (), profiles)


def cli(**variables: str) -> DockerCli:
    """Docker without an engine, in a shell with *variables*."""
    environ = {**os.environ, "DOCKER_HOST": "unix:///none.sock", **variables}
    return DockerCli(SystemProcess(), environ)


def services(found: ResolvedModel) -> Any:
    return found.model["services"]


SHELL = """
services:
  a:
    image: x
    environment: {SET: "${OF_SHELL:-default}", OF_SHELL: null, DOCKER_TOKEN: null}
"""


def test_the_shell_does_not_decide_what_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_SHELL", "of the process")
    aim = compared(tmp_path, SHELL)
    docker = cli(OF_SHELL="mine", DOCKER_TOKEN="mine", COMPOSE_FILE="none.yml")

    nobodys = services(docker.resolved(aim))["a"]["environment"]
    named = services(docker.resolved(aim, inherited=["OF_SHELL"]))["a"]["environment"]

    assert nobodys == {"SET": "default", "OF_SHELL": None, "DOCKER_TOKEN": None}
    assert named == {"SET": "mine", "OF_SHELL": "mine", "DOCKER_TOKEN": None}


def test_a_resolved_model_is_the_one_that_config_prints(tmp_path: Path) -> None:
    (tmp_path / "given.env").write_text("TAG=7\n")
    (tmp_path / "own.env").write_text("A=b\n")
    aim = compared(tmp_path, "services: {a: {image: 'x:${TAG}', env_file: own.env, profiles: [p]}}")
    found = cli().resolved(aim)

    assert found == cli().config(aim)
    assert services(found)["a"]["environment"] == {"A": "b"}
    assert services(found)["a"]["image"] == "x:7"


def test_a_model_of_ours_is_resolved_without_a_folder_s_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("B=from-the-folder\n")
    (tmp_path / "own.env").write_text("A=${B-none}\n")
    monkeypatch.chdir(tmp_path)
    model = {"services": {"f0": {"image": "x", "env_file": [str(tmp_path / "own.env")]}}}

    found: Any = cli(B="from-the-shell").resolved_model(model)

    assert found["services"]["f0"]["environment"] == {"A": "none"}


def test_a_model_of_ours_that_compose_refuses_quotes_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text('A="hunter2-of-an-open-quote\n')
    model = {"services": {"f0": {"image": "x", "env_file": [str(tmp_path / "own.env")]}}}

    with pytest.raises(ConfigError) as caught:
        cli().resolved_model(model)

    assert "hunter2" not in str(caught.value)


def test_a_home_is_the_same_for_everybody(tmp_path: Path) -> None:
    aim = compared(tmp_path, "services: {a: {image: x, environment: {A: '${HOME} ${PATH}'}}}")

    found = services(cli(HOME="/home/robin").resolved(aim))["a"]["environment"]["A"]

    assert found.startswith("/home /usr/local/sbin:")


def fake() -> Any:
    """The unit tests' engine in memory, which no test folder can import."""
    path = Path(__file__).parents[1] / "unit" / "conftest.py"
    spec = importlib.util.spec_from_file_location("conftest_of_unit_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module.FakeDocker(module.FakeClock())


@pytest.mark.parametrize("which", ["real", "fake"])
def test_the_engine_in_memory_answers_a_comparison_as_the_real_one(
    tmp_path: Path, which: str
) -> None:
    aim = compared(tmp_path, "services: {a: {image: 'x:${TAG:-1}', environment: {P: a$hunter2}}}")
    docker: Docker = cli() if which == "real" else fake()
    if which == "fake":
        memory: Any = docker
        memory.models["abc"] = {"services": {"a": {"image": "x:1", "environment": {"P": "a"}}}}
        written = {"image": "x:${TAG:-1}", "environment": {"P": "a$hunter2"}}
        memory.raw_models["abc"] = {"services": {"a": written}}
        memory.warnings["abc"] = (ComposeWarning("unset", "hunter2"),)

    found, raw = docker.resolved(aim, inherited=["TAG"]), docker.resolved(aim, raw=True)

    assert services(found)["a"]["image"] == "x:1"
    assert services(found)["a"]["environment"] == {"P": "a"}
    assert services(raw)["a"]["image"] == "x:${TAG:-1}"
    assert services(raw)["a"]["environment"] == {"P": "a$hunter2"}
    assert found.warnings == (ComposeWarning("unset", "hunter2"),)
    assert (raw.warnings, raw.refused, found.refused) == ((), (), ())
    assert "hunter" not in repr((found, raw))


def test_a_raw_model_is_as_written_with_files_and_anchors_merged(tmp_path: Path) -> None:
    text = """
x-env: &env {A: "${A:?not set}", B: "b$$b"}
services:
  a: {image: "x:${TAG:-1}", environment: {<<: *env, C: $C}, env_file: ["none.env"]}
  b: {image: x, environment: ["A=$A", B], profiles: [p]}
"""
    aim = compared(tmp_path, text, profiles=())
    (tmp_path / "more.yml").write_text("services: {a: {environment: {C: more}}}")
    found = cli().resolved(
        ComposeTarget(aim.project, (*aim.files, tmp_path / "more.yml")), raw=True
    )

    assert found.warnings == ()
    assert services(found)["a"]["image"] == "x:${TAG:-1}"
    # Of several files, compose makes a list.
    assert services(found)["a"]["environment"] == ["A=${A:?not set}", "B=b$$b", "C=more"]
    assert services(found)["a"]["env_file"] == [
        {"path": str(tmp_path / "none.env"), "required": True}
    ]
    assert services(found)["b"]["environment"] == ["A=$A", "B"]


def test_a_warning_is_a_fact_that_does_not_show_the_rest_of_a_password(tmp_path: Path) -> None:
    (tmp_path / "given.env").write_text("PASSWORD=one$hunter3\n")
    found = cli().resolved(
        compared(tmp_path, "version: '3'\nservices: {a: {image: x, environment: {P: a$hunter4}}}")
    )

    assert set(found.warnings) >= {
        ComposeWarning("unset", "hunter3"),
        ComposeWarning("unset", "hunter4"),
    }
    assert "hunter" not in repr(found)


def test_profiles_that_are_invalid_together_are_asked_for_apart(tmp_path: Path) -> None:
    text = """
services:
  always: {image: x}
  good: {image: x, profiles: [good]}
  bad: {image: x, profiles: [bad], volumes: ["none:/x"]}
"""
    found = cli().resolved(compared(tmp_path, text))

    assert sorted(services(found)) == ["always", "good"]
    assert found.refused == ("bad",)
    assert found.model["name"] == "abc"


def test_a_file_that_can_not_be_read_is_an_error_in_whatever_profile(tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text("MY KEY=1\n")
    text = """
services:
  always: {image: x}
  bad: {image: x, profiles: [bad], env_file: own.env}
  loose: {image: x, profiles: [loose], volumes: ["none:/x"]}
"""
    with pytest.raises(ConfigError, match="refuses"):
        cli().resolved(compared(tmp_path, text))


def test_a_project_that_is_wrong_in_every_profile_is_refused(tmp_path: Path) -> None:
    text = "services: {a: {image: x, volumes: ['none:/x']}, b: {image: x, profiles: [p]}}"
    with pytest.raises(ConfigError, match="refuses") as caught:
        cli().resolved(compared(tmp_path, text))

    assert "names a volume none that is not defined" in caught.value.cause


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('KEY="hunter2', "line 2: KEY"),
        ("KEY='hunter2", "line 2: KEY"),
        ("MY KEY=hunter2", "line 2"),
        ("KEY=hunter2${b", "line 2: KEY"),
        ("KEY=${a hunter2}", "line 2: KEY"),
        ("=hunter2", "line 2"),
        ("'KEY'=hunter2", "line 2"),
        ("KEY=${REQ:?see $FINE}", "REQ"),
    ],
)
@pytest.mark.parametrize("way", ["given.env", "own.env"])
def test_a_refused_line_of_an_env_file_is_told_without_what_is_on_it(
    tmp_path: Path, line: str, place: str, way: str
) -> None:
    (tmp_path / way).write_text(f"FINE=hunter1\n{line}\nNEXT=hunter4\n")
    own = "env_file: own.env" if way == "own.env" else ""
    aim = compared(tmp_path, f"services: {{a: {{image: x, {own}}}}}")
    if (line, way) == ("=hunter2", "own.env"):  # compose takes it; the engine refuses it
        assert services(cli().resolved(aim))
        return
    with pytest.raises(ConfigError) as caught:
        cli().resolved(aim)

    assert place in caught.value.cause
    assert way in caught.value.cause or place == "REQ"
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "- hunter2",
        "hunter2",
        "services: {a: {image: x, hunter: y, PASS=hunter2: z}}",
        "services: {a: {image: x, environment: *hunter2}}",
        "services:\n\ta: hunter2",
        "services: {a: {image: x, environment: {P: 'hunter2${b'}}}",
        "services: {a: {image: x, privileged: hunter2}}",
        "services: {a: {image: x, mem_limit: hunter2}}",
        "services: {a: {image: x, ports: ['hunter2:x']}}",
        "services: {a: {image: 'hunter2",
    ],
)
def test_a_refused_compose_file_is_told_without_a_value(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cli().resolved(compared(tmp_path, text))

    assert caught.value.cause
    assert caught.value.cause != UNKNOWN
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("missing", ["command", "plugin"])
def test_without_compose_a_comparison_is_unavailable_and_files_can_be_compared(
    tmp_path: Path, missing: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if missing == "plugin":
        docker = folder / "docker"
        docker.write_text("#!/bin/sh\necho 'unknown flag: --file' >&2\nexit 125\n")
        docker.chmod(0o755)
    with pytest.raises(EngineUnavailable) as caught:
        cli(PATH=str(folder)).resolved(compared(tmp_path, "services: {a: {image: x}}"))

    assert "--files-only" in caught.value.hint


def test_build_streams_and_labels_find_the_image(docker: DockerCli, scratch: ComposeTarget) -> None:
    lines: list[str] = []
    options = BuildOptions(arguments=("API_TOKEN=hunter2-hunter2",))
    docker.build(scratch, ["app"], options, lines.append)
    assert any("COPY tree/" in line for line in lines)
    fact = docker.image(f"{scratch.project}/app:1")
    assert fact is not None
    assert fact.working_dir == "/app"
    assert "FOO=bar" in fact.environment
    assert fact.labels[LABEL] == scratch.project
    assert fact.layers
    assert docker.images({LABEL: scratch.project}) == (fact,)
    assert docker.images({LABEL: "another"}) == ()
    assert "COPY tree/" in docker.history(fact.id)[0]
    assert docker.image(f"{scratch.project}/none") is None
    docker.remove_images([fact.id, "sha256:" + "0" * 64])
    assert docker.image(fact.id) is None


def test_a_failed_build_carries_its_last_lines(docker: DockerCli, scratch: ComposeTarget) -> None:
    dockerfile = scratch.files[0].parent / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY absent-file /\n")
    with pytest.raises(BuildFailed) as caught:
        docker.build(scratch, ["app"], BuildOptions(), silent)
    assert "app" in caught.value.what
    assert "absent-file" in caught.value.cause


def test_secrets_are_not_in_the_argument_list(tmp_path: Path) -> None:
    seen: list[Command] = []

    class Recorder(Answers):
        def run(self, command: Command, on_line: object = None) -> CommandResult:
            seen.append(command)
            return super().run(command, on_line)

    cli = DockerCli(Recorder(""), os.environ)
    aim = target(tmp_path, "abc", "services: {a: {image: x}}")
    pairs = (("API_TOKEN", "hunter2-hunter2"), ("MODE", "test"))
    options = RunOptions(("true",), 5, environment=pairs)
    cli.run(aim, "a", options, silent)
    cli.execute("c", options, silent)
    cli.build(aim, ["a"], BuildOptions(arguments=("API_TOKEN=hunter2-hunter2",)), silent)
    for command in seen:
        assert "hunter2" not in " ".join(command.argv)
        assert command.env["API_TOKEN"] == "hunter2-hunter2"
    assert "--env=MODE=test" in seen[0].argv
    assert "--rm" not in seen[0].argv


def test_all_but_builds_stays_in_the_engine_that_was_resolved(tmp_path: Path) -> None:
    seen: list[Command] = []

    class Recorder(Answers):
        def run(self, command: Command, on_line: object = None) -> CommandResult:
            seen.append(command)
            return super().run(command, on_line)

        def stream(self, command: Command) -> Iterator[bytes]:
            seen.append(command)
            yield from ()

    host = "unix:///run/one.sock"
    environ = {"PATH": os.environ["PATH"], "DOCKER_CONTEXT": "other"}
    cli = DockerCli(Recorder(json.dumps(host)), environ)
    assert cli.endpoint() == {"DOCKER_HOST": host}
    aim = target(tmp_path, "abc", "services: {a: {image: x}}")
    seen.clear()
    cli.up(aim, ["a"], silent, deadline_s=5)
    cli.execute("c", RunOptions(("true",), 5), silent)
    cli.follow_logs(aim, ["a"], silent)
    cli.logs("c", 5)
    cli.pull("x")
    with suppress(Unavailable):
        list(cli.files_in_container("c", PurePosixPath("/x")))
    assert {command.argv[:2] for command in seen} >= {("docker", "compose"), ("docker", "cp")}
    assert {command.env.get("DOCKER_HOST") for command in seen} == {host}

    seen.clear()
    cli.build(aim, ["a"], BuildOptions(), silent)
    cli.platforms()
    assert {command.env.get("DOCKER_HOST") for command in seen} == {None}


def test_up_fills_every_fact(docker: DockerCli, database: ComposeTarget) -> None:
    up(docker, database)
    label = {"com.docker.compose.project": database.project}
    end = time.monotonic() + 30
    while (fact := docker.containers(label)[0]).health != "unhealthy":
        assert time.monotonic() < end
        time.sleep(0.3)
    assert (fact.service, fact.project, fact.status) == ("db", database.project, "running")
    assert fact.name == f"{database.project}-db-1"
    assert fact.health_output == "not yet"
    assert not fact.one_off
    assert fact.ports[0][0] == 5432
    assert fact.ports[0][1].startswith("127.0.0.1:")
    mount = next(m for m in fact.mounts if m.target == "/data")
    assert (mount.kind, mount.name) == ("volume", f"{database.project}_data")
    image = docker.image(POSTGRES)
    assert image is not None
    assert fact.image_id == image.id
    assert sorted(docker.logs(fact.id, 10)) == ["problem", "started"]
    assert docker.containers({"com.docker.compose.project": ""}) != ()
    assert list(docker.networks(label)) == [f"{database.project}_default"]
    volumes = docker.volumes(label)
    assert volumes[f"{database.project}_data"]["com.docker.compose.volume"] == "data"


@pytest.fixture
def settings(tmp_path: Path, project: str, postgres: str) -> ComposeTarget:
    """Two services with many settings, whose values come from an env file."""
    (tmp_path / "app.env").write_text("LOG_LEVEL=info\nAPI_TOKEN=hunter2-hunter2\n")
    (tmp_path / "rules").write_text("rules\n")
    return target(
        tmp_path,
        project,
        f"""
services:
  db:
    image: {postgres}
    entrypoint: [sleep]
    command: ["60"]
    user: "7"
    working_dir: /srv
    env_file: [app.env]
    environment: {{ PRICE: "$$5" }}
    tmpfs: ["/quick:size=1m"]
    volumes:
      - /anonymous
      - ./rules:/rules:ro
      - {{ type: volume, target: /bare, volume: {{ nocopy: true }} }}
    ports: ["127.0.0.1::5432", "53/udp"]
    networks: {{ default: {{ aliases: [owl] }} }}
    healthcheck: {{ test: "true", interval: 65s }}
  spy:
    image: {postgres}
    entrypoint: [sleep, "60"]
    network_mode: service:db
""",
    )


def test_a_container_tells_what_it_was_made_with(
    docker: DockerCli, settings: ComposeTarget, postgres: str
) -> None:
    docker.up(settings, ["db"], silent, deadline_s=60)
    (fact,) = docker.containers({"com.docker.compose.project": settings.project})
    config = fact.config
    assert config.image == postgres
    assert {"LOG_LEVEL=info", "PRICE=$5"} <= set(config.environment)
    assert (config.entrypoint, config.command) == (("sleep",), ("60",))
    assert (config.user, config.working_dir) == ("7", "/srv")
    assert json.loads(config.healthcheck)["Interval"] == 65_000_000_000
    assert config.ports == {
        "5432/tcp": frozenset({"127.0.0.1:"}),
        "53/udp": frozenset({":"}),
    }
    assert "owl" in config.networks[f"{settings.project}_default"]
    mounts = {m.target: m for m in fact.mounts}
    assert {"/quick", "/anonymous", "/rules"} <= set(mounts)
    assert mounts["/quick"].kind == "tmpfs"
    assert mounts["/anonymous"].copies
    assert not mounts["/bare"].copies
    assert mounts["/rules"].source == str(settings.files[0].parent / "rules")
    assert "hunter2" not in repr(fact)


def test_an_anonymous_volume_is_handed_on_to_a_labelled_container(
    docker: DockerCli, settings: ComposeTarget
) -> None:
    replaces = "com.docker.compose.replace"
    label = {"com.docker.compose.project": settings.project}
    docker.up(settings, ["db"], silent, deadline_s=60)
    (first,) = docker.containers(label)
    (settings.files[0].parent / "app.env").write_text("LOG_LEVEL=debug\n")
    docker.up(settings, ["db"], silent, deadline_s=60)
    (second,) = docker.containers(label)

    assert second.id != first.id
    assert replaces not in first.labels
    assert replaces in second.labels
    name = next(m.name for m in first.mounts if m.target == "/anonymous")
    assert name in {m.name for m in second.mounts}


def test_a_resolved_model_has_the_hash_that_up_labels_with(
    docker: DockerCli, settings: ComposeTarget
) -> None:
    docker.up(settings, ["db", "spy"], silent, deadline_s=60)
    label = {"com.docker.compose.project": settings.project}
    found = {c.service: c for c in docker.containers(label)}
    labels = {name: c.labels["com.docker.compose.config-hash"] for name, c in found.items()}
    stack = docker.config(settings).model
    services = stack["services"]
    assert isinstance(services, dict)

    hashes = docker.config_hashes(stack)
    assert hashes["db"] == labels["db"]
    # `up` hashes a namespace of another service as that of its container.
    services["spy"]["network_mode"] = f"container:{found['db'].id}"
    assert docker.config_hashes(stack) == labels

    (settings.files[0].parent / "app.env").write_text("LOG_LEVEL=debug\n")
    assert docker.config_hashes(docker.config(settings).model)["db"] != labels["db"]


def test_a_model_that_compose_refuses_is_told(docker: DockerCli) -> None:
    with pytest.raises(ConfigError) as caught:
        docker.config_hashes({"name": "x", "services": {"a": {"imagine": "x"}}})
    assert "imagine" in caught.value.cause


def test_a_service_that_cannot_start_is_not_ready(
    docker: DockerCli, tmp_path: Path, project: str, postgres: str
) -> None:
    text = f"services: {{a: {{image: '{postgres}', entrypoint: [/no/such/program]}}}}"
    with pytest.raises(NotReady) as caught:
        docker.up(target(tmp_path, project, text), ["a"], silent, deadline_s=60)
    assert "/no/such/program" in caught.value.cause


def test_run_keeps_its_container_and_its_exit_code(
    docker: DockerCli, database: ComposeTarget
) -> None:
    options = RunOptions(
        ("cat; echo $MODE $API_TOKEN; echo file > /tmp/file; exit 7",),
        60,
        name=f"{database.project}-once",
        environment=(("MODE", "test"), ("API_TOKEN", "hunter2-hunter2")),
        stdin=b"from stdin\n",
        user="65534",
    )
    lines: list[str] = []
    result = docker.run(database, "db", options, lines.append)
    assert result.returncode == 7
    assert result.stdout.splitlines() == ["from stdin", "test hunter2-hunter2"]
    assert "from stdin" in lines
    (fact,) = docker.containers({"com.docker.compose.project": database.project})
    assert (fact.name, fact.one_off, fact.status) == (options.name, True, "exited")
    assert fact.exit_code == 7
    (member,) = docker.files_in_container(fact.id, PurePosixPath("/tmp/file"))
    assert (str(member.path), member.content) == ("/tmp/file", b"file\n")


def test_execute_runs_in_a_running_container(docker: DockerCli, database: ComposeTarget) -> None:
    up(docker, database)
    name = f"{database.project}-db-1"
    options = RunOptions(
        ("sh", "-c", "cat; echo $MODE; exit 4"),
        30,
        environment=(("MODE", "test"),),
        stdin=b"in\n",
    )
    result = docker.execute(name, options, silent)
    assert (result.returncode, result.stdout) == (4, "in\ntest\n")


def test_words_of_a_program_do_not_pass_for_a_dead_engine(
    docker: DockerCli, database: ComposeTarget
) -> None:
    up(docker, database)
    words = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"
    options = RunOptions(("sh", "-c", f"echo '{words}' >&2; exit 1"), 30)
    result = docker.execute(f"{database.project}-db-1", options, silent)
    assert (result.returncode, result.stderr) == (1, f"{words}\n")


def test_followed_logs_end_with_a_signal(docker: DockerCli, database: ComposeTarget) -> None:
    up(docker, database)
    lines: list[str] = []
    timers: list[threading.Timer] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if not timers:
            timers.append(threading.Timer(0.3, os.kill, (os.getpid(), 2)))
            timers[0].start()

    with pytest.raises(Interrupted), Signals().handled():
        docker.follow_logs(database, ["db"], on_line)
    assert any("started" in line for line in lines)


# Removing and reading files


def test_removing_twice_is_no_error_and_vanished_ids_are_left_out(
    docker: DockerCli, database: ComposeTarget
) -> None:
    up(docker, database)
    label = {"com.docker.compose.project": database.project}
    ids = [c.id for c in docker.containers(label)]
    networks, volumes = list(docker.networks(label)), list(docker.volumes(label))
    for _ in range(2):
        docker.remove_containers([*ids, "contract-none"])
        docker.remove_networks(networks)
        docker.remove_volumes(volumes)
    assert docker.containers(label) == ()
    assert (docker.networks(label), docker.volumes(label)) == ({}, {})
    for kind in ("container", "network", "volume"):
        assert docker._inspect(kind, ["contract-none"]) == []


def test_a_volume_in_use_is_told(docker: DockerCli, database: ComposeTarget) -> None:
    up(docker, database)
    with pytest.raises(Unavailable, match="in use"):
        docker.remove_volumes([f"{database.project}_data"])


def test_an_image_in_use_stays(docker: DockerCli, database: ComposeTarget) -> None:
    up(docker, database)
    (fact,) = docker.containers({"com.docker.compose.project": database.project})
    docker.remove_images([fact.image_id])
    assert docker.image(POSTGRES) is not None


def test_files_of_an_image_without_shell_or_command(
    docker: DockerCli, scratch: ComposeTarget
) -> None:
    docker.build(scratch, ["app"], BuildOptions(), silent)
    image = f"{scratch.project}/app:1"
    members = {str(m.path): m for m in docker.files_in_image(image, PurePosixPath("/app"))}
    assert set(members) == {"/app/one.txt", "/app/two.sh", "/app/link"}
    assert members["/app/one.txt"].content == b"one"
    assert members["/app/two.sh"].mode & 0o777 == 0o755
    assert members["/app/link"].link == "one.txt"
    (followed,) = docker.files_in_image(image, PurePosixPath("/app/link"))
    assert (str(followed.path), followed.content) == ("/app/link", b"one")
    everything = {str(m.path) for m in docker.files_in_image(image, PurePosixPath("/"))}
    assert set(members) <= everything
    assert list(docker.files_in_image(image, PurePosixPath("/none"))) == []
    assert inspected(docker, image) == []


def test_hard_links_have_the_content_of_their_target(
    docker: DockerCli, database: ComposeTarget
) -> None:
    name = f"{database.project}-once"
    script = "mkdir /tmp/d; echo same > /tmp/d/a; ln /tmp/d/a /tmp/d/b; ln /tmp/d/a /tmp/d/c"
    docker.run(database, "db", RunOptions((script,), 60, name=name, user="0"), silent)
    members = docker.files_in_container(name, PurePosixPath("/tmp/d"))
    assert {str(m.path): m.content for m in members} == {
        f"/tmp/d/{letter}": b"same\n" for letter in "abc"
    }


def test_a_reader_that_stops_early_leaves_no_container(
    docker: DockerCli, scratch: ComposeTarget
) -> None:
    docker.build(scratch, ["app"], BuildOptions(), silent)
    image = f"{scratch.project}/app:1"
    members = docker.files_in_image(image, PurePosixPath("/app"))
    next(members)
    assert len(inspected(docker, image)) == 1
    members.close()  # type: ignore[attr-defined]
    assert inspected(docker, image) == []


def test_files_under_mounts_are_those_that_the_mounts_show(
    docker: DockerCli, settings: ComposeTarget
) -> None:
    docker.up(settings, ["db"], silent, deadline_s=60)
    name = f"{settings.project}-db-1"
    script = "echo volume > /anonymous/a; echo tmpfs > /quick/a"
    docker.execute(name, RunOptions(("sh", "-c", script), 30, user="0"), silent)

    def read(path: str) -> list[bytes]:
        return [m.content for m in docker.files_in_container(name, PurePosixPath(path))]

    assert read("/anonymous/a") == [b"volume\n"]
    # Not what is mounted, but what lies under it.
    assert read("/quick/a") == []
    assert read("/rules") == [b"rules\n"]
    new = settings.files[0].parent / "new"
    new.write_text("new rules\n")
    new.rename(settings.files[0].parent / "rules")
    # Its processes still see the old file; `docker cp` mounts anew.
    assert docker.execute(name, RunOptions(("cat", "/rules"), 30), silent).stdout == "rules\n"
    assert read("/rules") == [b"new rules\n"]
    subprocess.run(["docker", "stop", "--time", "0", name], check=True, capture_output=True)
    assert read("/anonymous/a") == [b"volume\n"]


def test_images_are_found_by_their_names_and_a_missing_one_is_left_out(
    docker: DockerCli, project: str, scratch: ComposeTarget
) -> None:
    docker.build(scratch, ["app"], BuildOptions(), silent)
    name = f"{project}/app:1"
    fact = docker.image(name)
    assert fact is not None

    assert docker.images_called([name, f"{project}/none", fact.id, name]) == {
        name: fact,
        fact.id: fact,
    }
    assert docker.images_called([f"{project}/none"]) == {}
    assert docker.images_called([]) == {}


def test_the_engines_own_answer_is_what_docker_inspect_prints(
    docker: DockerCli, project: str, scratch: ComposeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.build(scratch, ["app"], BuildOptions(), silent)
    names = (f"{project}/app:1", f"{project}/app", f"{project}/none", "0" * 12)
    asked: list[Sequence[str]] = []
    ask = engine.images

    def images(path: str, names: Sequence[str]) -> object:
        asked.append(names)
        return ask(path, names)

    monkeypatch.setattr(engine, "images", images)
    by_socket = docker.images_called(names)
    monkeypatch.setattr(engine, "images", lambda _path, _names: None)

    assert by_socket == docker.images_called(names)
    assert list(by_socket) == [f"{project}/app:1"]
    assert asked == [names]


def test_an_image_carries_its_whole_config_and_where_it_is_from(
    docker: DockerCli, project: str, scratch: ComposeTarget
) -> None:
    docker.build(scratch, ["app"], BuildOptions(), silent)
    fact = docker.image(f"{project}/app:1")
    assert fact is not None

    config = json.loads(fact.config)
    assert config["WorkingDir"] == "/app"
    assert "FOO=bar" in config["Env"]
    assert config["Labels"] == fact.labels
    assert list(config) == sorted(config)
    assert not fact.is_pulled


def test_what_can_not_be_pulled_is_an_answer(docker: DockerCli, project: str) -> None:
    # A registry that is not there: the name needs no network to fail.
    assert docker.pull(f"localhost:1/{project}:none") is False


def test_the_engine_says_what_it_builds_for(docker: DockerCli) -> None:
    system, _, machine = docker.platform().partition("/")

    assert system == "linux"
    assert machine in ("amd64", "arm64")


def test_a_default_platform_is_not_what_the_engine_runs_on(docker: DockerCli) -> None:
    environ = {**os.environ, "DOCKER_DEFAULT_PLATFORM": "linux/s390x"}

    assert DockerCli(SystemProcess(), environ).platform() == docker.platform()


def test_an_absent_image_is_an_error(docker: DockerCli) -> None:
    with pytest.raises(Unavailable, match="contract-none"):
        list(docker.files_in_image("contract-none:1", PurePosixPath("/")))


def test_a_name_moves_to_the_image_that_gets_it(docker: DockerCli, scratch: ComposeTarget) -> None:
    docker.build(scratch, ["app"], BuildOptions(), silent)
    name = f"{scratch.project}/app:1"
    fact = docker.image(name)
    assert fact is not None

    docker.tag(fact.id, f"{scratch.project}/app:2")
    docker.remove_images([name])

    assert docker.image(name) is None
    moved = docker.image(f"{scratch.project}/app:2")
    assert moved is not None
    assert moved.id == fact.id
    docker.remove_images([f"{scratch.project}/app:2"])


# --- What a client that was ended leaves in a container ---

TREE = "trap '' TERM; sleep 71 & sleep 72 & sleep 73"


@pytest.mark.parametrize("without", ["", "grep", "grep python3 python"])
def test_what_was_started_in_a_container_ends_with_its_deadline(
    docker: DockerCli, without: str
) -> None:
    name = f"contract-{uuid.uuid4().hex[:10]}"
    run = ("docker", "run", "--detach", "--init", "--name", name, "--entrypoint", "sleep")
    subprocess.run((*run, PYTHON, "300"), check=True, capture_output=True)
    try:
        if without:
            each = "while at=$(command -v $one); do rm -f $at; done"
            hide = f"for one in {without}; do {each}; done"
            subprocess.run(("docker", "exec", "--user", "0", name, "sh", "-c", hide), check=True)
        options = RunOptions(("sh", "-c", TREE), 1.0)

        with pytest.raises(TimedOut) as caught:
            docker.execute(name, options, silent)

        top = subprocess.run(
            ("docker", "top", name, "-eo", "pid,args"), check=True, capture_output=True, text=True
        ).stdout
        is_left = "sleep 71" in top
        assert is_left is ("may go on there" in caught.value.cause)
        assert is_left is (len(without.split()) == 3)
        assert not is_left or "sleep 300" in top
    finally:
        docker.remove_containers([name])
