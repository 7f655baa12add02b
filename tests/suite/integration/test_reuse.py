"""Runs that are spared, runs on what is stale, and what their receipts say."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, copy_images_env, docker

DOCKERFILE = """\
ARG UNSTALE_PYTHON_IMAGE=python:3.13-slim
FROM ${UNSTALE_PYTHON_IMAGE}
RUN mkdir -p /srv/reports
COPY src /srv/src
RUN echo stamped >> /srv/src/stamp.txt
COPY checks /srv/checks
"""
# One check: the mounted file does not say "bad" at the end.
CHECKS = """\
begun=$(cat /srv/notes.txt)
echo "the source says $(cat /srv/src/word.txt)"
if [ "${1:-}" = wait ]; then
    echo "waits for a change"
    while [ "$(cat /srv/notes.txt)" = "$begun" ]; do sleep 0.1; done
fi
[ "${1:-}" = write ] && echo written > /srv/out/written.txt
found=
[ "$(cat /srv/notes.txt)" = bad ] && found="<failure>The notes are bad.</failure>"
echo "<testsuite><testcase classname='Checks' name='notes'>$found</testcase></testsuite>" \\
    > /srv/reports/junit.xml
[ -z "$found" ]
"""
SETTINGS = """\
[tool.unstale]
schema = "none"

[tool.unstale.environments.test]
compose-files = ["stack.yml"]
env-file = "stack.env"
runner = "checks"
database = "none"

[tool.unstale.runner]
command = ["sh", "/srv/checks/run.sh"]
junit = "/srv/reports/junit.xml"

[[tool.unstale.verify]]
path = "/srv/src/word.txt"
grep = "heron"
"""
SERVICE = {
    "build": {
        "context": ".",
        "args": {"UNSTALE_PYTHON_IMAGE": "${UNSTALE_PYTHON_IMAGE:-python:3.13-slim}"},
        "additional_contexts": {"more": "./more"},
    },
    "command": ["sleep", "infinity"],
    "init": True,
    "stop_grace_period": "0s",
    "environment": {"FLAVOUR": "${FLAVOUR}"},
    "volumes": ["./notes.txt:/srv/notes.txt:ro", "./out:/srv/out"],
    "configs": ["seed"],
}
FILES = {
    "Dockerfile": DOCKERFILE,
    "checks/run.sh": CHECKS,
    "pyproject.toml": SETTINGS,
    # JSON is YAML.
    "stack.yml": json.dumps(
        {
            "services": {"checks": SERVICE, "web": SERVICE},
            "configs": {"seed": {"file": "./seed.txt"}},
        }
    ),
    "stack.env": "FLAVOUR=plain\n",
    "src/word.txt": "heron\n",
    "src/stamp.txt": "not yet\n",
    "more/more.txt": "more\n",
    "notes.txt": "good",
    "out/written.txt": "",
    "seed.txt": "1",
}


@dataclass(frozen=True)
class Project(Checkout):
    """A project of two services that a run has proven; one mounts a file."""

    first: dict[str, Any] = field(default_factory=dict)
    """What the first run answered."""

    def write(self, path: str, text: str) -> None:
        """Write a file in place, as a bind mount wants it; only if it differs."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)

    def test(self, *options: str, code: int = 0) -> Any:
        """The document of `test.integration`, which leaves nothing behind."""
        found = self.inv("test.integration", "--json", *options).must(code).document()
        assert self.leftovers() == []
        return found


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("reuse") / f"it-{uuid.uuid4().hex[:8]}"
    root.mkdir()
    copy_images_env(root)
    made = Project(root, program=("-m", "unstale"))
    for path, text in FILES.items():
        made.write(path, text)
    made.first.update(made.test("--reuse"))
    yield made
    made.sweep()
    made.inv("image.clean", "--yes").must(0)


@pytest.fixture
def project(proven: Project) -> Iterator[Project]:
    """The project as its first run left it; another test may have built since."""
    yield proven
    for path, text in FILES.items():
        proven.write(path, text)


def steps(run: Mapping[str, Any]) -> list[str]:
    return [step["name"] for step in run["steps"]]


def details(run: Mapping[str, Any]) -> dict[str, str]:
    return {step["name"]: step["detail"] for step in run["steps"]}


def predicate(run: Mapping[str, Any]) -> Any:
    return json.loads(Path(run["receipt"]).read_text())["predicate"]


def annotated(run: Mapping[str, Any]) -> Any:
    return predicate(run)["annotations"]


def receipts(project: Project) -> set[Path]:
    return set((project.root / ".unstale" / "receipts").glob("*-*.json"))


def printed(project: Project, run: Mapping[str, Any]) -> str:
    """What the tests printed."""
    path = project.root / str(run["evidence"]) / "logs" / "run_tests.log"
    return path.read_text()


def image_ids(project: Project) -> dict[str, str]:
    document = project.inv("image.status", "--json").must(0).document()
    return {s["service"]: s["image_id"] for s in document["services"]}


def verdicts(project: Project) -> dict[str, str]:
    document = project.inv("image.status", "--json").must(0).document()
    return {s["service"]: s["verdict"] for s in document["services"]}


def test_a_second_run_of_the_same_runs_nothing_and_names_the_first(project: Project) -> None:
    assert "run_tests" in steps(project.first)
    assert project.first["tests"]["passed"] == 1
    before = receipts(project)

    again = project.test("--reuse")
    shown = project.inv("test.integration", "--reuse").must(0).out

    assert steps(again)[-1] == "find_receipt"
    assert (again["outcome"], again["tests"]) == ("proven", None)
    assert receipts(project) == before
    assert Path(again["receipt"]) in before
    assert annotated(again)["subject"] == annotated(project.first)["subject"] != ""
    assert "Nothing was run: an earlier run proves the same." in shown
    assert Path(again["receipt"]).name in shown


def test_without_the_option_the_tests_run_again(project: Project) -> None:
    again = project.test()

    assert again["tests"]["passed"] == 1
    assert again["receipt"] != project.first["receipt"]


CHANGES: dict[str, tuple[str, str, str]] = {
    "source": ("src/word.txt", "heron", "heron and crane"),
    "env value": ("stack.env", "plain", "sweet"),
    "mounted file": ("notes.txt", "good", "fine"),
    "config": ("seed.txt", "1", "2"),
    "runner": ("pyproject.toml", 'runner = "checks"', 'runner = "web"'),
    "pattern": ("pyproject.toml", 'grep = "heron"', 'grep = "hero"'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_the_tests_run_again(project: Project, change: str) -> None:
    project.replace(*CHANGES[change])

    run = project.test("--reuse")

    assert run["tests"]["passed"] == 1
    assert "no receipt proves the same" in details(run)["find_receipt"]


def test_a_receipt_does_not_hold_for_another_mounted_file(project: Project) -> None:
    def subject() -> Any:
        found = project.inv("receipt.verify", "--json", "--receipt", project.first["receipt"])
        (check,) = (c for c in found.document()["checks"] if c["name"] == "subject")
        return check

    assert subject()["verdict"] == "holds"
    project.write("notes.txt", "fine")

    assert subject()["verdict"] == "differs"
    assert "a mounted file" in subject()["detail"]


def test_other_arguments_make_the_tests_run_again(project: Project) -> None:
    run = project.test("--reuse", "--", "other")

    assert run["tests"]["passed"] == 1
    assert annotated(run)["arguments"] == ["other"]


def test_a_red_run_is_never_reused(project: Project) -> None:
    project.write("notes.txt", "bad")

    for _ in range(2):
        run = project.test("--reuse", code=1)
        assert run["tests"]["failed"] == 1
        assert predicate(run)["result"] == "FAILED"


def test_a_mounted_file_that_changes_during_the_tests_leaves_no_proof(project: Project) -> None:
    project.write("notes.txt", "bad")
    running = project.start("test.integration", "--json", "--verbose", "--", "wait")
    running.wait_for("waits for a change")
    project.write("notes.txt", "good")

    run = running.end().must(4).document()

    assert run["tests"]["passed"] == 1
    assert "changed while the run was going on" in run["errors"][0]
    assert annotated(run)["subject"] == ""
    assert project.leftovers() == []


def test_tests_that_write_into_a_mount_pass_and_are_not_reused(project: Project) -> None:
    run = project.test("--", "write")

    assert run["outcome"] == "proven"
    assert "files in a writable mount changed" in details(run)["inputs_unchanged"]
    assert annotated(run)["subject"] == ""


def test_a_stale_image_is_tested_as_it_is_only_where_that_is_allowed(project: Project) -> None:
    project.inv("image.build").must(0)
    before = image_ids(project)
    project.write("src/word.txt", "heron and bittern\n")
    project.write("Dockerfile", f"{DOCKERFILE}RUN exit 7\n")

    refused = project.test(code=5)
    assert steps(refused)[-1] == "build_if_needed"
    assert refused["tests"] is None
    allowed = project.test("--allow-stale", code=3)

    assert allowed["images"] == before
    assert "the source says heron\n" in printed(project, allowed)
    assert allowed["tests"]["passed"] == 1
    assert predicate(allowed)["result"] == "WARNED"
    # Nor is it a proof for anybody else.
    assert annotated(allowed)["subject"] == ""


def test_no_test_runs_on_an_image_of_which_nothing_can_be_told(project: Project) -> None:
    # A base that is a folder: the builder takes it, and its digest is not known here.
    project.replace("Dockerfile", "FROM $", "FROM more AS folder\nFROM $")
    project.append("Dockerfile", "COPY --from=folder / /srv/more\n")

    run = project.test("--reuse", code=4)

    assert steps(run)[-1] == "build_if_needed"
    assert run["tests"] is None
    assert "FROM more" in run["errors"][0]


def test_the_receipt_says_what_the_builder_did_and_what_was_looked_at(project: Project) -> None:
    noted = annotated(project.first)

    # A RUN rewrote a copied file: as if the builder had used old bytes.
    assert any("sent anew" in note for note in noted["builder"])
    assert set(noted["not_covered"]) == {"checks", "web"}
    assert any("network" in line for line in noted["not_covered"]["checks"])
    compared = [one for one in noted["verified"] if one["pattern"] is None]
    (looked,) = [one for one in noted["verified"] if one["pattern"] is not None]
    assert {one["service"] for one in compared} == {"checks", "web"}
    assert all(one["compared"] and one["verdict"] == "fresh" for one in compared)
    assert (looked["service"], looked["pattern"], looked["matches"]) == ("checks", "heron", 1)
    assert looked["path"] == "/srv/src/word.txt"


def test_a_later_run_cites_who_compared_and_looks_for_the_pattern_again(project: Project) -> None:
    noted = annotated(project.test())

    assert noted["builder"] == []
    assert all(one["cited"] for one in noted["verified"] if one["pattern"] is None)
    assert [one["matches"] for one in noted["verified"] if one["pattern"]] == [1]


def test_one_service_is_built_and_no_other(project: Project) -> None:
    project.inv("image.build").must(0)
    before = image_ids(project)
    project.write("src/word.txt", "heron and egret\n")

    project.inv("image.build", "--service", "web").must(0)

    assert verdicts(project) == {"checks": "stale", "web": "fresh"}
    after = image_ids(project)
    assert after["checks"] == before["checks"]
    assert after["web"] != before["web"]


def test_mounted_configuration_needs_neither_a_build_nor_a_new_container(
    project: Project,
) -> None:
    project.inv("image.build", "stack.up").must(0)
    before = project.containers("web")
    try:
        project.write("notes.txt", "edited")

        project.inv("image.status", "--fail-on-stale").must(0)
        found = project.inv("stack.status", "--fail-on-stale", "--json").must(0).document()
        assert [one["verdict"] for one in found["containers"]] == ["fresh"]
        project.inv("stack.up").must(0)
        assert project.containers("web") == before
        assert docker("exec", *before, "cat", "/srv/notes.txt").out == "edited"
    finally:
        project.inv("stack.down").must(0)
