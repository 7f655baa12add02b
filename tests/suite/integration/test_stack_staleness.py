"""What runs is not what was built: old containers, volumes, binds, settings."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from harness import Checkout, copy_images_env, docker

from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.compose import Stack
from unstale.facts import Placement
from unstale.stack.judge import ContainerStatus, judge_containers
from unstale.stack.mounts import chain
from unstale.verdict import Fresh, Reason, Stale

DOCKERFILE = """\
ARG UNSTALE_PYTHON_IMAGE=python:3.13-slim
FROM ${UNSTALE_PYTHON_IMAGE}
COPY src /app/src
RUN mkdir /derived && cp /app/src/code.txt /derived/
"""
SETTINGS = """\
[tool.unstale]
schema = "none"

[tool.unstale.environments.test]
compose-files = ["stack.yml"]
env-file = "stack.env"
runner = "host"
database = "none"
"""
SECRET = "stack-only-heron-47"
BUILT: dict[str, Any] = {
    "build": {
        "context": ".",
        "args": {"UNSTALE_PYTHON_IMAGE": "${UNSTALE_PYTHON_IMAGE:-python:3.13-slim}"},
    },
    "command": ["sleep", "1000"],
    "env_file": ["stack.env"],
    "stop_grace_period": "0s",
}
CODE = "/app/src/code.txt"

Make = Callable[..., Checkout]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A project of one service, built and up; options go into its compose entry."""
    made: list[Checkout] = []

    def project(
        *, volumes: Mapping[str, Any] | None = None, mounts: Sequence[str] = (), **options: Any
    ) -> Checkout:
        root = tmp_path / f"it-{uuid.uuid4().hex[:8]}"
        (root / "src").mkdir(parents=True)
        (root / "src" / "code.txt").write_text("one\n")
        (root / "Dockerfile").write_text(DOCKERFILE)
        (root / "pyproject.toml").write_text(SETTINGS)
        (root / "stack.env").write_text(f"LOG_LEVEL=info\nAPI_TOKEN={SECRET}\n")
        # JSON is YAML.
        app = {**BUILT, **options, "volumes": [m.replace("$FOLDER", root.name) for m in mounts]}
        model = {"services": {"app": app}, "volumes": dict(volumes or {})}
        (root / "stack.yml").write_text(json.dumps(model))
        copy_images_env(root)
        checkout = Checkout(root, program=("-m", "unstale"))
        made.append(checkout)
        checkout.inv("image.build", "stack.up").must(0)
        return checkout

    yield project
    for checkout in made:
        checkout.inv("stack.down").must(0)
        left = checkout.leftovers()
        checkout.sweep()
        images = f"label=com.docker.compose.project={project_of(checkout)}"
        ids = docker("image", "ls", "--quiet", "--filter", images).out.split()
        docker("image", "rm", "--force", *dict.fromkeys(ids))
        assert left == []


def project_of(checkout: Checkout) -> str:
    return checkout.image("app").removesuffix("-app")


def edit(checkout: Checkout, text: str = "two\n") -> None:
    (checkout.root / "src" / "code.txt").write_text(text)


def container(checkout: Checkout) -> str:
    (name,) = checkout.containers("app")
    return name


def runs(checkout: Checkout, path: str = CODE) -> str:
    """What a process in the container reads."""
    return docker("exec", container(checkout), "cat", path).out


def status(checkout: Checkout, code: int) -> Any:
    result = checkout.inv("stack.status", "--fail-on-stale", "--json").must(code)
    assert SECRET not in result.text
    text = checkout.inv("stack.status").must(4 if code == 4 else 0).text
    assert SECRET not in text
    (found,) = result.document()["containers"]
    assert found["verdict"] == {0: "fresh", 3: "stale", 4: "unknown"}[code]
    for reason in found["reasons"]:
        assert reason["path"] in text or reason["path"].startswith("container:")
    return found


def reasons(found: Any) -> list[str]:
    return [reason["path"] for reason in found["reasons"]]


def rebuild_and_recreate(checkout: Checkout) -> None:
    checkout.inv("image.build", "stack.up").must(0)


def test_a_named_volume_serves_old_code_after_rebuild_and_recreate(make: Make) -> None:
    checkout = make(volumes={"code": {}}, mounts=["code:/app/src"])
    status(checkout, 0)  # it was filled by this very image

    edit(checkout)
    rebuild_and_recreate(checkout)

    assert runs(checkout) == "one\n"
    found = status(checkout, 3)
    assert reasons(found) == ["mount:/app/src"]
    assert found["image"]["verdict"] == found["configuration"]["verdict"] == "fresh"
    (hiding,) = found["mounts"]["hiding"]
    assert (hiding["kind"], hiding["files"]) == ("volume", ["src/code.txt"])
    assert "Next: inv stack.down stack.up" in checkout.inv("stack.status").out

    checkout.inv("stack.down", "stack.up").must(0)

    assert runs(checkout) == "two\n"
    status(checkout, 0)


@pytest.mark.parametrize("mounts", [["/app/src"], [".:/app", "/app/src"]], ids=["alone", "in ."])
def test_an_anonymous_volume_is_handed_on_with_its_old_code(make: Make, mounts: list[str]) -> None:
    checkout = make(mounts=mounts)
    status(checkout, 0)

    edit(checkout)
    assert runs(checkout) == "one\n"  # as the image has it, which image.status tells
    checkout.inv("image.status", "--fail-on-stale").must(3)
    rebuild_and_recreate(checkout)

    assert runs(checkout) == "one\n"
    found = status(checkout, 3)
    assert reasons(found) == ["mount:/app/src"]
    docker("stop", "--time", "0", found["name"])
    assert reasons(status(checkout, 3)) == ["mount:/app/src"]


def test_what_a_container_writes_into_its_own_volume_is_data(make: Make) -> None:
    checkout = make(mounts=["/app/src"])
    docker("exec", container(checkout), "sh", "-c", f"echo data > {CODE}")

    status(checkout, 0)


def test_old_results_of_a_run_in_a_volume_are_no_proof(make: Make) -> None:
    checkout = make(volumes={"made": {}}, mounts=["made:/derived"])
    status(checkout, 0)

    edit(checkout)
    rebuild_and_recreate(checkout)

    assert (runs(checkout), runs(checkout, "/derived/code.txt")) == ("two\n", "one\n")
    assert "/derived" in status(checkout, 4)["mounts"]["why"]


def test_a_bind_mount_of_another_folder_is_judged_by_its_bytes(make: Make) -> None:
    checkout = make(mounts=["./other:/app/src"])
    (checkout.root / "other" / "code.txt").write_text("one\n")
    status(checkout, 0)

    (checkout.root / "other" / "code.txt").write_text("three\n")

    assert runs(checkout) == "three\n"
    assert reasons(status(checkout, 3)) == ["mount:/app/src"]


def test_a_tmpfs_over_the_code_is_looked_into_from_inside(make: Make) -> None:
    checkout = make(tmpfs=["/app/src"])
    assert reasons(status(checkout, 3)) == ["mount:/app/src"]

    docker("exec", container(checkout), "sh", "-c", "echo one > /app/src/code.txt")
    status(checkout, 0)

    docker("stop", "--time", "0", container(checkout))
    status(checkout, 4)


# Bind mounts that mask


def judged(checkout: Checkout, *, derived: bool) -> ContainerStatus:
    """What the engine says, with the one file that the image copies."""
    engine = DockerCli(SystemProcess(), os.environ)
    found = engine.containers({"com.docker.compose.project": f"{project_of(checkout)}-up"})
    placed = Placement(checkout.root / "src" / "code.txt", PurePosixPath(CODE), derived)
    (status,) = judge_containers(
        engine, Stack("", (), (), ()), found, {"app": [placed]}, {"app": found[0].image_id}
    )
    return status


CHANGED = Stale((Reason("src/code.txt", "modified"),))


def test_a_bind_mount_of_the_copied_folder_masks_an_edit(make: Make) -> None:
    checkout = make(mounts=["./src:/app/src:ro"])
    edit(checkout)

    found = judged(checkout, derived=False)
    answer = chain(CHANGED, [found.verdict], found.findings, checkout.root)

    assert runs(checkout) == "two\n"
    assert (answer.verdict, [r.path for r in answer.masked]) == (Fresh(), ["src/code.txt"])
    # The image itself was made with a RUN that read the old file.
    status(checkout, 3)


def test_what_a_run_made_of_a_masked_file_is_old(make: Make) -> None:
    checkout = make(mounts=["./src:/app/src"])
    edit(checkout)

    found = judged(checkout, derived=True)
    answer = chain(CHANGED, [found.verdict], found.findings, checkout.root)

    assert runs(checkout) == "two\n"
    assert runs(checkout, "/derived/code.txt") == "one\n"
    assert (answer.verdict, answer.masked) == (CHANGED, ())


def test_a_bind_mount_through_a_symbolic_link_masks_too(make: Make, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    checkout = make(mounts=["../link/$FOLDER/src:/app/src"])
    edit(checkout)

    found = judged(checkout, derived=False)

    assert "/link/" in found.container.mounts[0].source
    assert chain(CHANGED, [found.verdict], found.findings, checkout.root).verdict == Fresh()


def test_a_folder_that_was_put_in_place_of_a_mounted_one_is_not_seen(make: Make) -> None:
    checkout = make(mounts=["./src:/app/src"])
    source = checkout.root / "src"
    source.rename(checkout.root / "old")
    source.mkdir()
    edit(checkout)

    found = judged(checkout, derived=False)

    assert runs(checkout) == "one\n"
    assert found.verdict == Stale((Reason("mount:/app/src", "modified"),))
    assert chain(CHANGED, [], found.findings, checkout.root).masked == ()


def test_a_file_that_replaced_a_mounted_one_is_not_seen(make: Make) -> None:
    checkout = make(mounts=["./stack.yml:/etc/stack.yml"])
    file = checkout.root / "stack.yml"
    held = file.read_text()
    file.write_text(held + " ")
    status(checkout, 0)  # an edit in place is seen

    (checkout.root / "new").write_text(held + "\n")
    (checkout.root / "new").rename(file)

    assert runs(checkout, "/etc/stack.yml") == held + " "
    found = status(checkout, 3)
    assert reasons(found) == ["mount:/etc/stack.yml"]
    assert f"Next: docker restart {found['name']}" in checkout.inv("stack.status").out

    docker("restart", "--time", "0", container(checkout))
    status(checkout, 0)


# Settings and images


def test_a_changed_env_value_needs_a_new_container_and_no_build(make: Make) -> None:
    checkout = make()
    status(checkout, 0)
    image = docker("inspect", "--format", "{{.Image}}", container(checkout)).out

    checkout.replace("stack.env", "LOG_LEVEL=info", "LOG_LEVEL=debug")
    checkout.replace("stack.env", SECRET, f"{SECRET}-new")

    found = status(checkout, 3)
    assert found["reasons"] == [
        {"path": "environment:API_TOKEN", "change": "modified"},
        {"path": "environment:LOG_LEVEL", "change": "modified"},
    ]
    assert found["image"]["verdict"] == "fresh"
    assert "Next: inv stack.up " in checkout.inv("stack.status").out
    checkout.inv("image.status", "--fail-on-stale").must(0)

    checkout.inv("stack.up").must(0)

    status(checkout, 0)
    inspect = ("inspect", "--format", "{{.Image}}", container(checkout))
    assert docker(*inspect).out == image
    assert docker("exec", container(checkout), "printenv", "LOG_LEVEL").out == "debug\n"


def test_changed_settings_are_named(make: Make) -> None:
    checkout = make()
    original = (checkout.root / "stack.yml").read_text()

    def set_(**options: Any) -> None:
        model = json.loads(original)
        model["services"]["app"] |= options
        (checkout.root / "stack.yml").write_text(json.dumps(model))

    set_(
        command=["sleep", "999"],
        healthcheck={"test": "true"},
        networks={"default": {"aliases": ["owl"]}},
        ports=["127.0.0.1::80"],
        user="7",
        volumes=["./src:/app/src"],
        working_dir="/app",
    )
    assert reasons(status(checkout, 3)) == [
        "command",
        "healthcheck",
        "mount:/app/src",
        f"network:{project_of(checkout)}-up_default",
        "port:80/tcp",
        "user",
        "working_dir",
    ]

    set_(cap_drop=["NET_RAW"])
    assert reasons(status(checkout, 3)) == ["configuration"]

    # What compose would not create a container anew for is no drift.
    set_(pull_policy="never", depends_on=[], profiles=[])
    status(checkout, 0)


def test_a_container_of_before_the_build_runs_an_old_image(make: Make) -> None:
    checkout = make()
    edit(checkout)
    checkout.inv("image.build").must(0)

    found = status(checkout, 3)

    assert reasons(found) == [f"container:{found['name']}"]
    assert found["configuration"]["verdict"] == "fresh"
    checkout.inv("stack.up").must(0)
    assert runs(checkout) == "two\n"
    status(checkout, 0)


def test_no_stack_is_missing(make: Make) -> None:
    checkout = make()
    checkout.inv("stack.down").must(0)

    checkout.inv("stack.status").must(0)
    document = checkout.inv("stack.status", "--fail-on-stale", "--json").must(3).document()
    assert (document["verdict"], document["missing"]) == ("missing", ["app"])
