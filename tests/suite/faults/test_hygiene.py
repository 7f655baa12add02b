"""Disk is bounded: what a run leaves, what a killed build leaves, what years leave."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path

import pytest
from harness import Checkout, docker

LABEL = "label=com.docker.compose.project"


def _project(checkout: Checkout) -> str:
    return checkout.image("db").removesuffix(":latest").removesuffix("-db")


def _images(checkout: Checkout, *flags: str) -> list[str]:
    """The ids of all images of the checkout, with a name or without."""
    answer = docker(
        "image",
        "ls",
        "--all",
        "--quiet",
        "--no-trunc",
        "--filter",
        f"{LABEL}={_project(checkout)}",
        *flags,
    )
    return sorted(set(answer.out.split()))


def _old_run(checkout: Checkout, number: int) -> str:
    """A run of long ago: a receipt that is red, and evidence."""
    run, state = f"{number:08x}", checkout.root / ".unstale"
    (state / "runs" / run / "logs").mkdir(parents=True)
    (state / "receipts").mkdir(exist_ok=True)
    text = json.dumps({"predicate": {"result": "FAILED"}, "number": number})
    (state / "receipts" / f"2001010{number}T000000Z-{run}.json").write_text(text)
    return run


def _lock(checkout: Checkout) -> Path:
    """What a build of the checkout holds."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    key = hashlib.sha256(str(checkout.root.resolve()).encode()).hexdigest()[:8]
    return Path(home) / "unstale" / f"build-{key}.lock"


def test_an_unchanged_run_makes_no_image_and_removes_what_is_old(light: Checkout) -> None:
    old = [_old_run(light, number) for number in range(1, 5)]
    before, project = _images(light), _project(light)
    left, foreign = (
        f"unstale-unproven:{project}-db",
        "unstale-unproven:unstale-demo-00000000-test-db",
    )
    docker("tag", light.image("db"), left)
    docker("tag", light.image("db"), foreign)
    light.append("pyproject.toml", "\n[tool.unstale.keep]\nruns = 3\n")
    try:
        with _lock(light).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert left not in light.inv("stack.reap").out
            assert left in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").out

        run = light.inv("test.integration", "--json").must(0).document()

        names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").out.split()
        assert left not in names
        assert foreign in names
    finally:
        docker("image", "rm", foreign)
        light.replace("pyproject.toml", "\n[tool.unstale.keep]\nruns = 3\n", "")
    assert _images(light) == before
    assert _images(light, "--filter", "dangling=true") == []
    state = light.root / ".unstale"
    assert {p.name for p in (state / "runs").iterdir()} == {*old[2:], Path(run["evidence"]).name}
    assert len(list((state / "receipts").glob("2*-*.json"))) == 3


@pytest.mark.long
def test_of_a_service_that_is_built_again_and_again_three_old_images_stay(light: Checkout) -> None:
    before = (light.root / "app" / "check.py").read_text()
    try:
        for number in range(6):
            light.append("app/check.py", f"# {number}\n")
            light.inv("image.build").must(0)
    finally:
        (light.root / "app" / "check.py").write_text(before)
        light.inv("image.build").must(0)

    by_service = [
        len(_images(light, "--filter", f"label=com.docker.compose.service={name}"))
        for name in ("db", "test-runner")
    ]
    assert by_service == [4, 4]


def test_a_build_leaves_nothing_in_the_temporary_folder(light: Checkout, tmp_path: Path) -> None:
    # Docker's own `build -` does, and so does compose with a Dockerfile that is written inline.
    light.replace(
        "docker-compose.test.yml",
        "      context: .\n",
        "      context: .\n      dockerfile_inline: |\n        ARG UNSTALE_PYTHON_IMAGE\n"
        "        FROM $${UNSTALE_PYTHON_IMAGE}\n        COPY app /app\n",
    )
    (light.root / ".dockerignore").write_text(".unstale\n")
    try:
        light.inv("image.build", env={"TMPDIR": str(tmp_path)}).must(0)
        status = light.inv("image.status", "--json").must(0).document()
    finally:
        (light.root / ".dockerignore").unlink()
        text = (light.root / "docker-compose.test.yml").read_text()
        head, _, rest = text.partition("      dockerfile_inline")
        (light.root / "docker-compose.test.yml").write_text(head + rest.partition("/app\n")[2])

    assert {s["verdict"] for s in status["services"]} == {"fresh"}
    assert list(tmp_path.iterdir()) == []
