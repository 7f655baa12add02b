"""F19: several at once in one checkout, in two of one name, and in one standing stack."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import Checkout, Result, Running, docker
from lightstack import behave, fresh, gone

EIGHT = 8


def _ends(running: Sequence[Running]) -> list[Result]:
    return [one.end() for one in running]


def _all(checkout: Checkout, count: int, *words: str) -> list[Result]:
    return _ends([checkout.start(*words) for _ in range(count)])


def _dangling(checkout: Checkout) -> set[str]:
    """Images of the checkout that no name leads to any more, and unproven ones."""
    project = checkout.image("db").rpartition("-db")[0]
    label = f"label=com.docker.compose.project={project}"
    images = docker("images", "--quiet", "--filter", label, "--filter", "dangling=true").out
    unproven = docker("images", "--format", "{{.Repository}}:{{.Tag}}").out.split()
    names = {name for name in unproven if name.startswith(f"unstale-unproven:{project}")}
    return {*images.split(), *names}


def _proven(results: Sequence[Result]) -> None:
    for result in results:
        answer = result.must(0).document()
        assert (answer["outcome"], answer["tests"]["passed"]) == ("proven", 1)
    ids = {result.document()["receipt"] for result in results}
    assert len(ids) == len(results)


def _is_whole(checkout: Checkout) -> None:
    """Every file that unstale wrote can be read; none is half written or forgotten."""
    state = checkout.root / ".unstale"
    for path in state.rglob("*.json"):
        json.loads(path.read_text())
    for path in state.rglob("*.jsonl"):
        for line in path.read_text().splitlines():
            json.loads(line)
    assert not [path for path in state.rglob(".*") if path.is_file() and path.suffix != ".lock"]


def test_two_checkouts_of_one_folder_name_do_not_disturb_each_other(
    light: Checkout, tmp_path: Path
) -> None:
    twin = fresh(tmp_path, light.root.name)
    try:
        running = [checkout.start("test.integration", "--json") for checkout in (light, twin)]
        _proven(_ends(running))

        assert light.image("db") != twin.image("db")
        assert light.leftovers() == []
    finally:
        gone(twin)


@pytest.mark.long
def test_eight_runs_in_one_checkout_are_all_proven(light: Checkout) -> None:
    before = _dangling(light)

    _proven(_all(light, EIGHT, "test.integration", "--json"))

    assert light.leftovers() == []
    assert _dangling(light) == before
    _is_whole(light)


@pytest.mark.long
def test_eight_runs_of_a_changed_tree_build_it_once_each_and_all_the_same(
    light: Checkout,
) -> None:
    path = light.root / "app" / "note.txt"
    path.write_text("new\n")
    try:
        old = len(_dangling(light))
        _proven(_all(light, EIGHT, "test.integration", "--json"))

        # The images that lost their names to the new ones, and nothing beside.
        assert len(_dangling(light)) <= old + 2
        assert light.inv("image.status", "--fail-on-stale").must(0)
        _is_whole(light)
    finally:
        path.unlink()
        light.inv("image.build").must(0)


@pytest.mark.long
def test_builds_at_once_leave_what_one_build_leaves(light: Checkout) -> None:
    results = _all(light, EIGHT, "image.build", "--all")

    assert [result.code for result in results] == [0] * EIGHT
    assert not [name for name in _dangling(light) if "unproven" in name]
    light.inv("image.verify").must(0)
    _is_whole(light)


@pytest.mark.long
def test_one_standing_stack_from_two_commands_at_once(light: Checkout) -> None:
    assert [result.code for result in _all(light, 2, "stack.up")] == [0, 0]
    assert len(light.containers("db")) == 1
    assert [result.code for result in _all(light, 2, "test.run")] == [0, 0]
    assert len(light.containers()) == 1
    assert [result.code for result in _all(light, 2, "stack.down")] == [0, 0]


@pytest.mark.long
def test_who_would_end_a_stack_that_is_tested_in_is_told_so(light: Checkout) -> None:
    behave(light, LIGHT_SECONDS="30")
    run = light.start("test.run")
    run.wait_for("tests: begin")

    answer = light.inv("stack.down").must(5)

    assert "Another command is using the standing stack." in answer.err
    run.interrupt()
    run.end().must(130)
    light.inv("stack.down").must(0)


@pytest.mark.long
def test_two_runs_that_are_kept_at_once_leave_one_stack(light: Checkout) -> None:
    _proven(_all(light, 2, "test.integration", "--keep", "--json"))

    projects = {re.sub(r"-db-1$", "", name) for name in light.containers("db")}
    assert len(projects) == 1
    light.inv("stack.down").must(0)


@pytest.mark.long
def test_a_kept_run_whose_place_is_taken_is_not_kept(light: Checkout) -> None:
    behave(light, LIGHT_SECONDS="60")
    testing = light.start("test.run")
    testing.wait_for("tests: begin")
    stands = light.containers("db")
    behave(light, LIGHT_SECONDS="0.1")

    answer = light.inv("test.integration", "--keep", "--json").must(5).document()

    assert answer["outcome"] == "busy"
    assert light.containers("db") == stands
    testing.interrupt()
    testing.end()
    light.inv("stack.down").must(0)


@pytest.mark.long
def test_a_sweep_beside_living_runs_removes_nothing_of_theirs(light: Checkout) -> None:
    running = [light.start("test.integration", "--json") for _ in range(2)]
    while any(one._process.poll() is None for one in running):
        assert "could not be swept" not in light.inv("stack.reap").must(0).out

    _proven(_ends(running))


@pytest.mark.long
def test_two_writers_of_one_name_for_this_machine_read_one(tmp_path: Path) -> None:
    code = "import sys; from unstale.adapters.leases import Leases; "
    code += "print(Leases({'XDG_STATE_HOME': sys.argv[1]}).owner)"
    argv = (sys.executable, "-c", code, str(tmp_path))
    writers = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(EIGHT)]

    assert len({writer.communicate()[0] for writer in writers}) == 1
