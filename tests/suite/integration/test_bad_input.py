"""What a user may get wrong: one clear message, the contract's code, no leftovers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import COMPOSE_FILE, Checkout, Result, copy_images_env


def assert_message(result: Result, code: int, *words: str) -> None:
    """One sentence that says what happened comes first; then what to do."""
    result.must(code)
    for word in words:
        assert word in result.err
    assert "BUG" not in result.text


@pytest.mark.parametrize(
    "task", [("test.integration",), ("image.status",), ("stack.up",), ("stack.reap",)]
)
def test_an_engine_that_is_not_running(checkout: Checkout, task: tuple[str, ...]) -> None:
    result = checkout.inv(*task, env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})

    assert_message(result, 5, "The Docker engine is not running.", "/nowhere/docker.sock", "Next:")


def test_a_failure_too_is_one_json_document(checkout: Checkout) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    answer = checkout.inv("image.status", "--json", env=nowhere).must(5).document()

    assert answer["schema"] == "unstale/image-status@1"
    assert answer["code"] == 5
    assert "not running" in answer["error"]


# Root may open any socket: the question is asked as nobody. What the package
# imports is read before that, since nobody may not be able to read it.
AS_NOBODY = """
import os, sys
from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.errors import EngineUnavailable, exit_code
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    DockerCli(SystemProcess(), {**os.environ, "DOCKER_HOST": f"unix://{sys.argv[1]}"}).check()
except EngineUnavailable as error:
    print(error)
    sys.exit(exit_code(error.outcome))
"""


def test_a_socket_without_permission() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="sock-") as folder,
        socket.socket(socket.AF_UNIX) as server,
    ):
        Path(folder).chmod(0o755)
        path = Path(folder) / "docker.sock"
        server.bind(str(path))
        path.chmod(0)
        server.listen()
        done = subprocess.run(
            (sys.executable, "-c", AS_NOBODY, str(path)),
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 5, done.stderr
    assert "may not be used by this user" in done.stdout
    assert str(path) in done.stdout
    assert "Next:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("image.status", "--env", "tset"), ("environment called 'tset'", "mean 'test'")),
        (("test.integration", "--env", "tset"), ("environment called 'tset'", "mean 'test'")),
        (("image.status", "--service", "ap"), ("service called 'ap'", "mean 'app'")),
        (("image.build", "--service", "ap"), ("service called 'ap'", "mean 'app'")),
        (("image.verify", "--service", "ap", "--grep", "x"), ("service called 'ap'",)),
        (("image.verify", "--grep", "x", "--regex", "y"), ("exclude each other", "Next:")),
        (("image.build", "--build-arg", "HERON"), ("has no value", "Next:")),
        (("env.diff", "ci", "nowhere"), ("environment called 'nowhere'", "Next:")),
    ],
    ids=" ".join,
)
def test_a_name_that_nobody_has(
    checkout: Checkout, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_message(checkout.inv(*arguments), 2, *words)


def test_a_stack_that_is_not_up(checkout: Checkout) -> None:
    assert_message(checkout.inv("db.tables"), 5, "No stack of 'test' is up.", "Next: inv stack.up")


def test_a_compose_file_that_is_not_there(checkout: Checkout) -> None:
    (checkout.root / COMPOSE_FILE).unlink()

    assert_message(checkout.inv("image.status"), 2, COMPOSE_FILE, "does not exist", "Next:")


@pytest.mark.parametrize("text", ["services: [", "services: {app: {imge: x}}\n"])
def test_a_compose_file_that_compose_refuses(checkout: Checkout, text: str) -> None:
    (checkout.root / COMPOSE_FILE).write_text(text)

    assert_message(checkout.inv("test.integration"), 2, "docker compose refuses", "Next:")


def test_a_setting_that_does_not_exist(checkout: Checkout) -> None:
    checkout.replace("pyproject.toml", "[tool.unstale.runner]", "[tool.unstale.runer]")

    assert_message(checkout.inv("image.status"), 2, "no key 'runer'", "mean 'runner'")


def test_a_project_outside_of_git(clone: Checkout, tmp_path: Path) -> None:
    root = tmp_path / f"it-{uuid.uuid4().hex[:8]}"
    shutil.copytree(clone.root, root, ignore=shutil.ignore_patterns(".git", ".unstale"))
    copy_images_env(root)

    status = Checkout(root).inv("image.status", "--json").must(0).document()

    assert {s["verdict"] for s in status["services"]} == {"missing"}


FakeDocker = Callable[[str, str], dict[str, str]]


@pytest.fixture
def fake_docker(tmp_path: Path) -> FakeDocker:
    """A `docker` in front of the real one whose plugins are those given."""

    def make(plugins: str, compose: str) -> dict[str, str]:
        script = tmp_path / "docker"
        script.write_text(
            f"""#!/bin/sh
case "$1" in
info) echo '["26.1.5",null,{plugins}]' ;;
compose) {compose} ;;
*) exec {shutil.which("docker")} "$@" ;;
esac
"""
        )
        script.chmod(0o755)
        return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    return make


BUILDX = '{"Name":"buildx","Version":"0.13.1"}'
COMPOSE = '{"Name":"compose","Version":"2.26.1"}'
ABSENT = "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"
REAL = f'exec {shutil.which("docker")} "$@"'


@pytest.mark.parametrize("task", ["test.integration", "image.status", "stack.up"])
@pytest.mark.parametrize(
    ("plugins", "compose", "words"),
    [
        (f"[{BUILDX}]", ABSENT, "no compose plugin"),
        (f"[{COMPOSE}]", REAL, "no buildx plugin"),
        (f"[{BUILDX},{COMPOSE.replace('26', '10')}]", REAL, "compose is too old"),
        (f"[{BUILDX.replace('13', '8')},{COMPOSE}]", REAL, "buildx is too old"),
    ],
    ids=["no compose", "no buildx", "old compose", "old buildx"],
)
def test_a_docker_that_lacks_a_plugin(
    checkout: Checkout,
    fake_docker: FakeDocker,
    task: str,
    plugins: str,
    compose: str,
    words: str,
) -> None:
    result = checkout.inv(task, env=fake_docker(plugins, compose))

    assert_message(result, 5, words, "Next:")


@pytest.mark.parametrize(
    ("after", "options"),
    [
        ("image_freshness", ("--no-cache",)),
        ("prepare_stack", ()),
        ("running_image", ()),
    ],
    ids=["build", "database", "tests"],
)
def test_ctrl_c_takes_everything_down(
    stack: Checkout, after: str, options: tuple[str, ...]
) -> None:
    running = stack.start("test.integration", *options)
    running.wait_for(after)
    act_later(running.interrupt)

    result = running.end().must(130)

    assert not result.traceback
    assert stack.leftovers() == []


def test_sigterm_takes_everything_down(stack: Checkout) -> None:
    running = stack.start("test.integration")
    running.wait_for("running_image")
    act_later(running.terminate)

    result = running.end().must(143)

    assert not result.traceback
    assert stack.leftovers() == []


def act_later(act: Callable[[], None]) -> None:
    """Act in the middle of the step that began just now."""
    time.sleep(1)
    act()


def test_env_files_that_agree_and_that_do_not(checkout: Checkout) -> None:
    checkout.inv("env.diff", "ci", "test").must(0)
    checkout.replace("env/.env.ci", "API_V1_PREFIX=/api/v1\n", "")

    result = checkout.inv("env.diff", "ci", "test", "--json").must(3)

    assert result.document()["missing_left"] == ["API_V1_PREFIX"]
    assert result.document()["parity"] is False
    assert "test-only-heron-72" not in result.text


@pytest.fixture
def broken_database(stack: Checkout) -> Checkout:
    """A database that says something and ends."""
    stack.without_policy()
    stack.replace(
        COMPOSE_FILE,
        "command: [postgres, -c, fsync=off, -c, full_page_writes=off, -c, synchronous_commit=off]",
        'command: [sh, -c, "echo the disk is full of herons; exit 7"]',
    )
    return stack


def test_a_database_that_is_never_ready_shows_its_last_words(broken_database: Checkout) -> None:
    result = broken_database.inv("test.integration").must(5)

    assert "'postgres' exited with 7" in result.text
    assert "the disk is full of herons" in result.text
    assert "Next:" in result.text
