"""F1 to F7: a run dies without a word, and its watchdog with it."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
from harness import Checkout, docker
from leases import (
    OWNER,
    RUN,
    clients,
    eventually,
    kill_watchdogs,
    living,
    objects,
    owner,
    proven_gone,
    volumes,
    watchdogs,
)
from lightstack import behave

_GONE_S = 5.0
# A machine that does other things beside is given more time than is promised.
_PATIENCE_S = 4 * _GONE_S


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of the test alone: no other run of this machine sweeps what it leaves."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGKILL, "tests: begin"),
        pytest.param(signal.SIGKILL, "find_receipt", marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, "prepare_stack", marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, "Starting", marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, "tests: end", marks=pytest.mark.long),
        pytest.param(signal.SIGQUIT, "tests: begin", marks=pytest.mark.long),
        pytest.param(signal.SIGSEGV, "Created", marks=pytest.mark.long),
    ],
)
def test_what_a_killed_run_leaves_is_gone_without_a_further_start(
    light: Checkout, state: Path, number: int, moment: str
) -> None:
    run = light.start("test.integration", "--verbose")
    run.wait_for(moment)
    run.send(number)
    assert run.end().code == -number

    proven_gone(light, _PATIENCE_S)

    eventually(lambda: not watchdogs(state), _PATIENCE_S)
    assert light.leftovers() == []
    assert clients(light.root) == []
    assert not list((state / "unstale").glob("*.lease"))


def test_the_third_signal_ends_a_run_at_once(light: Checkout, state: Path) -> None:
    run = light.start("test.integration", "--verbose", "--json")
    run.wait_for("tests: begin")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        run.send(number)
        time.sleep(0.1)
    answer = run.end()

    assert answer.code == 143
    assert (answer.document()["outcome"], answer.document()["code"]) == ("terminated", 143)
    assert "did not wait for its own clean-up" in answer.err
    assert not answer.traceback

    proven_gone(light, _PATIENCE_S)
    eventually(lambda: not watchdogs(state), _PATIENCE_S)


def test_a_killed_one_off_goes_and_the_standing_stack_stays(light: Checkout, state: Path) -> None:
    run = light.start("test.run")
    run.wait_for("tests: begin")
    stands = [name for name in light.containers("db") if "-up-" in name]
    assert light.containers("test-runner")
    run.send(signal.SIGKILL)
    run.end()

    eventually(lambda: not light.containers("test-runner"), _PATIENCE_S)
    eventually(lambda: not watchdogs(state), _PATIENCE_S)
    assert light.containers() == stands

    light.inv("stack.reap").must(0)
    assert light.containers() == stands
    light.inv("stack.down").must(0)


def test_the_next_start_removes_what_a_dead_run_left_and_only_that(
    light: Checkout, state: Path
) -> None:
    """F7 and F20: the watchdog was killed as well, and others have much that looks the same."""
    behave(light, LIGHT_SECONDS="30")
    run = light.start("test.integration", "--verbose")
    run.wait_for("tests: begin")
    kill_watchdogs(state)
    run.send(signal.SIGKILL)
    run.end()
    (dead,) = [path.stem for path in (state / "unstale").glob("*.lease")]
    mine, image = owner(state), light.image("db")
    left = light.leftovers()
    assert {line.split()[0] for line in left} == {"container", "network", "volume"}
    mounted = volumes(light)
    assert len(mounted) == 2, "the one without a name has no label"

    name = f"look-alike-{light.root.name}"
    with (
        living("a11fe"),
        objects(f"{name}-1", image, {RUN: dead, OWNER: f"{mine}0"}) as other_user,
        objects(f"{name}-2", image, {RUN: dead, OWNER: "inspect"}) as other_owner,
        objects(f"{name}-3", image, {f"{RUN}s": dead, f"{OWNER}s": mine}) as other_label,
        objects(f"unstale-{light.root.name}0-{dead}", image, {}) as same_name,
        objects(f"{name}-4", image, {RUN: "a11fe", OWNER: mine}) as alive,
        objects(f"{name}-5", image, {RUN: "standing-0-test", OWNER: mine}) as standing,
        objects(f"{name}-6", image, {RUN: f"{dead}0", OWNER: mine}) as other_dead,
    ):
        (state / "unstale" / "b0a7.kept").touch()
        with objects(f"{name}-7", image, {RUN: "b0a7", OWNER: mine}) as kept:
            answer = light.inv("stack.reap").must(0)

            sacred = (other_user, other_owner, other_label, same_name, alive, standing, kept)
            assert [len(there()) for there in sacred] == [3] * len(sacred)
            assert other_dead() == []

    assert f"{len(left) + 3} objects of 2 dead runs removed" in answer.out
    assert light.leftovers() == []
    assert not mounted & set(docker("volume", "ls", "--quiet").out.split())
    assert not (state / "unstale" / f"{dead}.lease").exists()


@pytest.mark.long
def test_the_next_run_sweeps_and_says_so(light: Checkout, state: Path) -> None:
    run = light.start("test.integration", "--verbose")
    run.wait_for("tests: begin")
    kill_watchdogs(state)
    run.send(signal.SIGKILL)
    run.end()

    answer = light.inv("test.integration").must(0)

    assert "4 objects of 1 dead runs removed" in answer.out
    assert light.leftovers() == []


@pytest.mark.long
def test_a_kept_stack_is_kept_by_the_next_start_and_gone_after_down(light: Checkout) -> None:
    """F29."""
    light.inv("test.integration", "--keep").must(0)
    kept = light.leftovers()
    assert kept

    light.inv("stack.reap").must(0)
    light.inv("test.integration").must(0)
    assert light.leftovers() == kept

    light.inv("stack.down").must(0)
    assert light.leftovers() == []


@pytest.mark.parametrize(
    "loss",
    ["cleaned", pytest.param("deleted", marks=pytest.mark.long)],
)
def test_a_kept_stack_goes_although_its_checkout_has_no_record_of_it(
    light: Checkout, state: Path, loss: str
) -> None:
    light.inv("test.integration", "--keep").must(0)
    assert light.leftovers()
    if loss == "cleaned":
        shutil.rmtree(light.root / ".unstale" / "standing")
        light.inv("stack.down").must(0)
    else:
        moved = light.root.rename(light.root.with_name(f"{light.root.name}-moved"))
        try:
            Checkout(moved, light.program).inv("stack.reap").must(0)
        finally:
            moved.rename(light.root)

    assert light.leftovers() == []
    assert not list((state / "unstale").glob("*.kept"))


@pytest.mark.long
def test_a_run_that_is_killed_while_it_is_kept_leaves_a_stack_that_stands_or_none(
    light: Checkout, state: Path
) -> None:
    """Between the record and the mark: a record of what is not kept is none."""
    light.inv("test.integration", "--keep").must(0)
    (mark,) = (state / "unstale").glob("*.kept")
    mark.unlink()
    light.inv("stack.reap").must(0)

    assert light.leftovers() == []
    light.inv("stack.up").must(0)
    stands = light.containers()
    light.inv("stack.reap").must(0)
    assert light.containers() == stands
    light.inv("stack.down").must(0)
