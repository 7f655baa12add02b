"""F13, F15, F23: what the runner does decides, and what is left; whatever compose says."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, docker
from leases import eventually
from lightstack import behave, overlay

REPORTS = "./reports:/app/reports"
LIMIT = {"mem_limit": "64m", "memswap_limit": "64m"}


def _answer(light: Checkout, code: int, **env: str) -> Any:
    answer = light.inv("test.integration", "--json", env=env).must(code).document()
    assert answer["code"] == code
    return answer


def _steps(answer: Any) -> dict[str, Any]:
    """Step to what the receipt says of it."""
    receipt = json.loads(Path(answer["receipt"]).read_text())
    return {s["name"]: s for s in receipt["predicate"]["annotations"]["steps"]}


def test_the_light_stack_is_proven(light: Checkout) -> None:
    answer = _answer(light, 0)

    assert (answer["outcome"], answer["tests"]["passed"]) == ("proven", 1)
    states = json.loads((Path(answer["evidence"]) / "containers.json").read_text())
    assert {(one["service"], one["status"], one["exit_code"]) for one in states} == {
        ("db", "running", 0),
        ("test-runner", "exited", 0),
    }
    logs = {path.stem: path.read_text() for path in (Path(answer["evidence"]) / "logs").iterdir()}
    assert {step["name"] for step in answer["steps"]} <= logs.keys()
    assert "$ docker compose" in logs["run_tests"]
    assert "# ended with 0 after" in logs["up"]


@pytest.mark.parametrize(
    ("tests", "code", "outcome"),
    [
        ("fail", 1, "tests failed"),
        ("silent", 4, "no evidence"),
        *(
            pytest.param(*row, marks=pytest.mark.long)
            for row in (
                ("skip", 1, "tests failed"),
                ("half", 4, "no evidence"),
                ("huge:50", 0, "proven"),
                ("none", 1, "tests failed"),
                *((f"exit:{code}", 1, "tests failed") for code in (1, 2, 3, 4, 77)),
                *((f"exit:{code}", 5, "service died") for code in (125, 126, 127)),
                ("kill:9", 5, "service died"),
                ("kill:15", 5, "service died"),
            )
        ),
    ],
)
def test_what_the_runner_does(light: Checkout, tests: str, code: int, outcome: str) -> None:
    behave(light, LIGHT_TESTS=tests, LIGHT_SECONDS="0.1")

    answer = _answer(light, code)

    assert answer["outcome"] == outcome
    if code:  # a receipt that is shown to others names no folder of this machine
        assert _steps(answer)["evidence"]["detail"].startswith(".unstale/runs/")


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("eatchild:300", "a child of what ended with 1"),
        pytest.param("eat:300", "tests: end", marks=pytest.mark.long),
    ],
)
def test_a_runner_out_of_memory_is_named_with_its_limit(
    light: Checkout, tests: str, said: str
) -> None:
    overlay(light, **{"test-runner": LIMIT})
    behave(light, LIGHT_TESTS=tests, LIGHT_SECONDS="0.1")

    answer = _answer(light, 5)

    assert answer["outcome"] == "out of memory"
    assert "The test runner ran out of memory (limit 64 MiB)." in answer["errors"][0]
    assert said in answer["errors"][0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"user": "nobody-such"}, "unable to find user nobody-such"),
        *(
            pytest.param(*row, marks=pytest.mark.long)
            for row in (
                ({"devices": ["/dev/none-such:/dev/x"]}, "/dev/none-such"),
                ({"volumes": [REPORTS, "./Dockerfile:/proc/x"]}, "mount"),
            )
        ),
    ],
    ids=["user", "device", "mount"],
)
def test_a_runner_that_could_not_be_started_says_why_and_takes_no_earlier_report(
    light: Checkout, wrong: dict[str, object], said: str
) -> None:
    reports = light.root / "reports"
    reports.mkdir(exist_ok=True)
    earlier = '<testsuite><testcase name="x"><failure/></testcase></testsuite>'
    (reports / "junit.xml").write_text(earlier)
    overlay(light, **{"test-runner": {"volumes": [REPORTS], **wrong}})

    answer = _answer(light, 5)

    assert (answer["outcome"], answer["step"]) == ("service died", "run_tests")
    assert "The test runner could not be started." in answer["errors"][0]
    assert said in answer["errors"][0]
    assert answer["tests"] is None
    assert not (Path(answer["evidence"]) / "junit.xml").exists()


@pytest.mark.long
def test_a_runner_that_hangs_is_ended_and_says_what_it_did_last(light: Checkout) -> None:
    overlay(light, pyproject="\n[tool.unstale.deadlines]\ntests = 4\n")
    behave(light, LIGHT_TESTS="hang", LIGHT_SECONDS="0.1")

    answer = _answer(light, 5)

    assert (answer["outcome"], answer["step"]) == ("timed out", "run_tests")
    error = answer["errors"][0]
    assert "The tests (step run_tests) did not end within 4 s." in error
    assert "  tests: waiting for a lock" in error
    assert "-db-1: running, healthy" in error
    log = next((Path(answer["evidence"]) / "logs").glob("service-*-tests-1.log"))
    assert "tests: waiting for a lock" in log.read_text()
    assert _steps(answer)["run_tests"]["seconds"] < 10


@pytest.mark.long
def test_a_junit_file_that_the_image_brought_is_no_evidence(light: Checkout) -> None:
    before = (light.root / "Dockerfile").read_text()
    light.append(
        "Dockerfile",
        "RUN mkdir reports && touch -d 2020-01-01 reports"
        " && printf '<testsuite><testcase name=\"old\"/></testsuite>' > reports/junit.xml\n",
    )
    time.sleep(1)  # it is older than the runner by a whole second
    behave(light, LIGHT_TESTS="silent", LIGHT_SECONDS="0.1")
    try:
        answer = _answer(light, 4)
    finally:
        (light.root / "Dockerfile").write_text(before)

    assert answer["outcome"] == "no evidence"


# --- The tear-down ---


@pytest.fixture
def refusing(tmp_path: Path) -> dict[str, str]:
    """A docker on the PATH that removes no volume."""
    real = shutil.which("docker")
    shim = tmp_path / "bin" / "docker"
    shim.parent.mkdir()
    refused = '*"volume rm "*|*"volume remove "*) echo "shim: no" >&2; exit 1;;'
    shim.write_text(f'#!/bin/sh\ncase "$*" in {refused} esac\nexec {real} "$@"\n')
    shim.chmod(0o755)
    path = f"{shim.parent}:{os.environ['PATH']}"
    return {"PATH": path, "UNSTALE_DEADLINES_DOWN": "8"}


@pytest.mark.parametrize(
    ("tests", "code", "outcome"),
    [("", 5, "tear-down failed"), pytest.param("fail", 1, "tests failed", marks=pytest.mark.long)],
)
def test_a_failed_tear_down_turns_green_into_5_and_masks_no_red(
    light: Checkout, refusing: dict[str, str], tests: str, code: int, outcome: str
) -> None:
    behave(light, LIGHT_TESTS=tests, LIGHT_SECONDS="0.1")

    answer = _answer(light, code, **refusing)

    assert answer["outcome"] == outcome
    said = answer["errors"][-1]
    assert "1 object is still there after 8 s." in said
    assert "volume unstale-lt-" in said
    assert "shim: no" in said
    assert "Next: inv stack.reap" in said
    assert _steps(answer)["down"]["outcome"] == "tear-down failed"
    light.inv("stack.reap").must(0)
    assert light.leftovers() == []


def _in_front(folder: Path, rule: str) -> dict[str, str]:
    """A docker on the PATH that does what a shell's *rule* says, and then what docker does."""
    shim = folder / "bin" / "docker"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\ncd {folder}/bin\n{rule}\ncd "$OLDPWD"\n')
    with shim.open("a") as file:
        file.write(f'exec {shutil.which("docker")} "$@"\n')
    shim.chmod(0o755)
    return {"PATH": f"{shim.parent}:{os.environ['PATH']}"}


@pytest.mark.long
def test_a_listing_that_fails_under_the_tear_down_is_asked_for_again(
    light: Checkout, tmp_path: Path
) -> None:
    rule = """
case "$*" in
  "compose "*" run "*) : > ran;;
  "network ls"*) [ -e ran ] && [ ! -e failed2 ] && {
    [ -e failed1 ] && : > failed2; : > failed1; echo "shim: not now" >&2; exit 1
  };;
esac"""
    behave(light, LIGHT_SECONDS="0.1")

    answer = _answer(light, 0, **_in_front(tmp_path, rule))

    assert (tmp_path / "bin" / "failed2").exists()
    assert answer["outcome"] == "proven"
    assert light.leftovers() == []


@pytest.mark.long
def test_a_runner_that_can_not_be_removed_hides_no_red_tests(
    light: Checkout, tmp_path: Path
) -> None:
    rule = """
case "$*" in "container rm "*-tests-*) echo "shim: no" >&2; exit 1;; esac"""
    behave(light, LIGHT_TESTS="fail", LIGHT_SECONDS="0.1")
    try:
        answer = light.inv("test.run", env=_in_front(tmp_path, rule)).must(1)

        assert "shim: no" in answer.err
        eventually(lambda: not light.containers("test-runner"), 20)  # by the watchdog
    finally:
        light.inv("stack.down").must(0)


@pytest.mark.long
def test_a_volume_that_a_stranger_uses_is_left_to_the_sweep(light: Checkout) -> None:
    behave(light, LIGHT_SECONDS="4")
    running = light.start("test.integration", "--json")
    running.wait_for("running_image")
    volume = next(o.split()[1] for o in light.leftovers() if o.startswith("volume"))
    name = f"stranger-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, "--volume", f"{volume}:/v", light.image("db"))
    try:
        answer = running.end().must(5).document()

        assert answer["outcome"] == "tear-down failed"
        assert f"volume {volume}" in answer["errors"][0]
        assert "volume is in use" in answer["errors"][0]
        assert light.leftovers() == [f"volume {volume}"]
    finally:
        docker("rm", "--force", "--volumes", name)
    light.inv("stack.reap").must(0)
    assert light.leftovers() == []


STUBBORN = {"command": ["python", "/app/serve.py"], "environment": {"LIGHT_DB": "stubborn"}}


@pytest.mark.long
def test_three_stubborn_services_are_gone_at_once(light: Checkout) -> None:
    """PID 1 that ignores SIGTERM, started again whatever happens, each after the other."""
    image = light.image("db")
    more = {
        name: {
            **STUBBORN,
            "image": image,
            "init": False,
            "restart": "always",
            "depends_on": [needed],
            "volumes": ["/anonymous"],
        }
        for name, needed in (("one", "db"), ("two", "one"))
    }
    overlay(light, db={"restart": "always"}, **more)
    behave(light, LIGHT_DB="stubborn", LIGHT_SECONDS="0.1")
    anonymous = _anonymous()

    answer = _answer(light, 0)

    # Asked politely, each takes ten seconds, one after the other.
    assert _steps(answer)["down"]["seconds"] < 10
    assert _anonymous() <= anonymous | _anonymous_of_others()


def _anonymous() -> set[str]:
    names = docker("volume", "ls", "--format", "{{.Name}}").out.split()
    return {name for name in names if len(name) == 64}


def _anonymous_of_others() -> set[str]:
    """Those in use: other tests make and remove them meanwhile."""
    return _anonymous() - set(
        docker("volume", "ls", "--filter", "dangling=true", "--format", "{{.Name}}").out.split()
    )


@pytest.fixture
def standing(light: Checkout) -> Iterator[Checkout]:
    light.inv("stack.up").must(0)
    yield light
    light.inv("stack.down").must(0)


@pytest.mark.long
def test_a_persons_one_offs_go_with_the_stack(standing: Checkout) -> None:
    [database] = standing.containers("db")
    project = database.removesuffix("-db-1")
    person = standing.root / "person.yml"
    person.write_text(json.dumps({"services": {"db": {"image": standing.image("db")}}}))
    compose = ("compose", "--project-name", project, "--file", str(person))
    for number in range(10):
        command = ("exit 3",) if number % 2 else ("sleep 600",)
        env = ("--detach", "--no-deps", "--volume", "/anonymous", "--entrypoint", "sh")
        docker(*compose, "run", *env, "db", "-c", *command)
    assert len(standing.containers()) == 11

    standing.inv("stack.down").must(0)

    assert standing.leftovers() == []
