"""F21 and F27: planted leases, and engines that are elsewhere, gone, or go in mid-run."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from harness import Checkout, docker
from leases import eventually, kill_watchdogs, second_engine
from lightstack import behave

NOWHERE = "unix:///nowhere/docker.sock"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of the test alone: no other run of this machine sweeps what it leaves."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def _plant(state: Path, run: str, text: str) -> Path:
    """Leave the lease of a run that died."""
    path = state / "unstale" / f"{run}.lease"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    return path


def test_an_engine_that_is_gone_is_told_and_its_lease_stays(light: Checkout, state: Path) -> None:
    lost = _plant(state, "1057", json.dumps({"endpoint": {"DOCKER_HOST": NOWHERE}}))
    damaged = _plant(state, "bad1", "{")

    answer = light.inv("stack.reap").must(5)

    assert f"\n{NOWHERE} could not be swept: The Docker engine is not running.\n" in answer.out
    assert f"if it is gone for good: rm {lost}" in answer.err
    assert "nothing was left over" in answer.out
    assert (lost.exists(), damaged.exists()) == (True, False)


@pytest.mark.long
@pytest.mark.parametrize("is_there", [False, True], ids=["gone", "without a word"])
def test_an_engine_that_gives_no_answer_fails_no_run(
    light: Checkout, state: Path, is_there: bool
) -> None:
    with socket.socket(socket.AF_UNIX) as mute, TemporaryDirectory(dir="/tmp") as folder:
        host = f"unix://{folder}/docker.sock"
        if is_there:
            mute.bind(f"{folder}/docker.sock")
            mute.listen()
        lost = _plant(state, "1057", json.dumps({"endpoint": {"DOCKER_HOST": host}}))

        answer = light.inv("test.integration", "--json").must(0).document()

    (sweep,) = [step for step in answer["steps"] if step["name"] == "sweep"]
    assert f"{host} could not be swept" in sweep["detail"]
    assert f"if it is gone for good: rm {lost}" in sweep["detail"]
    assert sweep["seconds"] < 5
    assert lost.exists()


def test_a_state_folder_that_was_planted_runs_nothing(light: Checkout, state: Path) -> None:
    (state / "elsewhere").mkdir()
    (state / "unstale").symlink_to(state / "elsewhere")

    answer = light.inv("test.integration", "--json").must(2).document()

    assert answer["outcome"] == "permission"
    assert light.leftovers() == []
    assert list((state / "elsewhere").iterdir()) == []


@pytest.fixture
def context(state: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A context in a configuration of the test alone, which leads to this engine."""
    monkeypatch.setenv("DOCKER_CONFIG", str(state / "docker"))
    docker("context", "create", "other", "--docker", "host=unix:///var/run/docker.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    return "other"


def test_a_run_goes_on_without_the_context_that_it_began_with(
    light: Checkout, context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = light.start("test.integration", "--verbose", "--json")
    run.wait_for("prepare_stack")
    monkeypatch.delenv("DOCKER_CONTEXT")
    docker("context", "rm", "--force", context)
    answer = run.end().must(0)

    assert answer.document()["outcome"] == "proven"
    assert light.leftovers() == []


def test_a_run_stays_in_its_engine_when_another_shell_chooses_another(
    light: Checkout, context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONTEXT")
    docker("context", "create", "nowhere", "--docker", f"host={NOWHERE}")
    docker("context", "use", context)
    run = light.start("test.integration", "--verbose", "--json")
    run.wait_for("prepare_stack")
    docker("context", "use", "nowhere")
    answer = run.end().must(0)
    docker("context", "use", context)

    assert answer.document()["outcome"] == "proven"
    assert light.leftovers() == []


@pytest.mark.long
def test_what_died_in_another_context_is_swept_from_here(light: Checkout, state: Path) -> None:
    """And while that engine is away, its lease waits for it."""
    images = [light.image("db"), light.image("test-runner")]
    behave(light, LIGHT_SECONDS="30")
    with second_engine() as host, pytest.MonkeyPatch.context() as patch:
        archive = state / "images.tar"
        docker("save", "--output", str(archive), *images)
        docker("--host", host, "load", "--input", str(archive))

        patch.setenv("DOCKER_HOST", host)
        run = light.start("test.integration", "--verbose", "--allow-stale")
        run.wait_for("tests: begin")
        kill_watchdogs(state)
        run.send(signal.SIGKILL)
        run.end()
        left = light.leftovers()
        patch.delenv("DOCKER_HOST")
        assert {line.split()[0] for line in left} == {"container", "network", "volume"}
        assert light.leftovers() == []

        answer = light.inv("stack.reap").must(0)

        assert f"{host}: {len(left)} objects of 1 dead runs removed" in answer.out
        patch.setenv("DOCKER_HOST", host)
        assert light.leftovers() == []
        assert not list((state / "unstale").glob("*.lease"))


@pytest.mark.long
def test_a_watchdog_reaps_in_the_context_of_its_run(light: Checkout, state: Path) -> None:
    images = [light.image("db"), light.image("test-runner")]
    with second_engine() as host, pytest.MonkeyPatch.context() as patch:
        archive = state / "images.tar"
        docker("save", "--output", str(archive), *images)
        docker("--host", host, "load", "--input", str(archive))
        patch.setenv("DOCKER_CONFIG", str(state / "docker"))
        docker("context", "create", "other", "--docker", f"host={host}")
        patch.setenv("DOCKER_CONTEXT", "other")
        run = light.start("test.integration", "--verbose", "--allow-stale")
        run.wait_for("tests: begin")
        assert light.leftovers()
        patch.delenv("DOCKER_CONTEXT")
        docker("context", "rm", "--force", "other")
        run.send(signal.SIGKILL)
        run.end()

        patch.setenv("DOCKER_HOST", host)
        eventually(lambda: not light.leftovers(), 20)
