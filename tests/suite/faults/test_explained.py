"""``plan`` and ``why`` beside a real engine: what they say is what happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import Checkout, docker
from lightstack import fresh, gone


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A project in git, of which nothing was ever built."""
    checkout = fresh(tmp_path_factory.mktemp("explained"))
    (checkout.root / ".gitignore").write_text(".unstale/\n")
    (checkout.root / ".dockerignore").write_text(".unstale\n")
    checkout.git("init", "--quiet")
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--message", "Begin")
    yield checkout
    gone(checkout)


def planned(project: Checkout, *options: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = project.inv("plan", *options, "--json").must(code).document()
    return {**found, "steps": {one["name"]: one for one in found["steps"]}}


def answers(project: Checkout, proof: str, *options: str) -> dict[str, Any]:
    document = project.inv("why", proof, *options, "--json").must(0).document()
    return {one["subject"]: one for one in document["answers"]}


def objects(project: Checkout) -> list[str]:
    """All that this project has in the engine."""
    name = project.root.name
    listed = [
        *docker("ps", "--all", "--format", "{{.ID}} {{.Names}} {{.Status}}").out.splitlines(),
        *docker("image", "ls", "--format", "{{.ID}} {{.Repository}}").out.splitlines(),
        *docker("network", "ls", "--format", "{{.ID}} {{.Name}}").out.splitlines(),
    ]
    return [line for line in listed if name in line]


def test_a_plan_names_the_steps_that_a_run_then_walks(project: Checkout) -> None:
    before = planned(project)
    assert objects(project) == []  # it started nothing
    assert before["steps"]["build_if_needed"]["why"] == (
        "db: there is no image; test-runner: there is no image"
    )

    ran = project.inv("test.integration", "--json").must(0).document()

    walked = [one["name"] for one in ran["steps"]]
    assert [name for name, one in before["steps"].items() if one["does"] != "end"] == walked
    after = planned(project)
    assert after["steps"]["build_if_needed"]["does"] == "skip"
    took = next(one["seconds"] for one in ran["steps"] if one["name"] == "build_if_needed")
    assert after["saved_seconds"] == pytest.approx(took, abs=0.01)
    assert after["steps"]["run_tests"]["runs"] == 1
    assert planned(project, "--reuse")["steps"]["run_tests"]["does"] == "skip"
    fresh_ones = answers(project, "image")
    assert fresh_ones["test-runner"]["verdict"] == "fresh"
    assert any(line.startswith("receipt: 2") for line in fresh_ones["test-runner"]["evidence"])


def test_a_commit_that_an_image_lacks_is_named_down_to_the_line(project: Checkout) -> None:
    project.inv("stack.up").must(0)
    project.append("app/serve.py", "\n# Mended.\n")
    project.git("commit", "--quiet", "--all", "--message", "Mend the server")
    project.replace("docker-compose.test.yml", "LIGHT_DB: ${LIGHT_DB:-}", "LIGHT_DB: ''")
    try:
        image = answers(project, "image", "--service", "db")["db"]
        (cause,) = image["causes"]
        assert cause["what"] == "app/serve.py"
        assert cause["commit"]["subject"] == "Mend the server"
        assert "@" not in str(image)
        (place,) = cause["places"]
        assert (place["file"], place["text"]) == ("Dockerfile", "COPY app .")
        assert place["commit"]["subject"] == "Begin"
        assert "redoes at most 1 of 2 steps, from line 4 (COPY app .) on" in image["rebuild"]

        stack = answers(project, "stack")["db"]
        assert stack["verdict"] == "stale"
        assert "app/serve.py" in [one["what"] for one in stack["causes"]]
    finally:
        project.inv("stack.down").must(0)
    assert project.leftovers() == []


def test_without_an_engine_a_plan_tells_what_it_can(project: Checkout) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{project.root}/nowhere.sock"}
    answer = project.inv("plan", "--json", env=nowhere).must(4)

    steps = {one["name"]: one["does"] for one in answer.document()["steps"]}
    assert (steps["env_parity"], steps["build_if_needed"]) == ("run", "unknown")
    assert answer.document()["next"]
