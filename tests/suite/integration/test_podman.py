"""The light stack on the real Podman of Debian: docs/engines.md, sentence by sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from harness import ROOT, Checkout, docker
from lightstack import behave, fresh, overlay
from podman import give, podman


def _base() -> str:
    """The base image that this machine has."""
    settings = ROOT / ".unstale" / "images.env"
    lines = settings.read_text().splitlines() if settings.exists() else []
    named = dict(line.split("=", 1) for line in lines if "=" in line)
    return named.get("UNSTALE_PYTHON_IMAGE", "python:3.13-slim").strip("'\"")


@pytest.fixture(scope="module", autouse=True)
def _podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let every command of this module go to Podman."""
    with podman(tmp_path_factory.mktemp("podman")) as there, pytest.MonkeyPatch.context() as patch:
        give(there, _base())
        patch.setenv("DOCKER_HOST", there)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The light stack, with a service that compose itself lets wait for another's health."""
    checkout = fresh(tmp_path_factory.mktemp("light"))
    late = {
        "image": _base(),
        "command": ["sleep", "60"],
        "depends_on": {"db": {"condition": "service_healthy"}},
    }
    overlay(checkout, late=late, db={"healthcheck": {"retries": 2}})
    return checkout


def test_a_run_is_proven_and_leaves_nothing(light: Checkout) -> None:
    behave(light, LIGHT_SECONDS="0.2")
    done = light.inv("test.integration").must(0)

    assert "engine Podman: its own builder builds" in done.err
    assert "1 passed" in done.text
    assert light.leftovers() == []

    verdict = light.inv("image.status").must(0)
    assert "fresh" in verdict.out
    assert "how Podman's own builder reads the Dockerfile" in verdict.out


def test_a_check_that_fails_is_run_and_told(light: Checkout) -> None:
    behave(light, LIGHT_DB="sick:0")
    try:
        found = light.inv("test.integration").must(5)
    finally:
        behave(light, LIGHT_DB="")

    assert "'db' is unhealthy" in found.text
    assert "urlopen" in found.text  # of what a check says Podman keeps 500 characters
    assert light.leftovers() == []


@pytest.mark.long
def test_who_fell_under_the_tests_is_named(light: Checkout) -> None:
    behave(light, LIGHT_DB="drop:3:0.1", LIGHT_SECONDS="1.5")
    try:
        found = light.inv("test.integration").must(5)
    finally:
        behave(light, LIGHT_DB="", LIGHT_SECONDS="0.2")

    assert "'db' did not survive the tests: it ended with exit code 3" in found.text
    assert light.leftovers() == []


@pytest.mark.long
def test_a_standing_stack_is_looked_at_and_removed(light: Checkout) -> None:
    light.inv("stack.up").must(0)
    try:
        assert "healthy" in light.inv("stack.status").must(0).out
    finally:
        light.inv("stack.down").must(0)

    assert light.leftovers() == []


@pytest.fixture
def mounting(tmp_path: Path) -> Checkout:
    """A project whose image has what a RUN reads through a mount."""
    checkout = fresh(tmp_path)
    text = (checkout.root / "Dockerfile").read_text()
    text += "RUN --mount=type=bind,source=told.txt,target=/t cp /t /told\n"
    (checkout.root / "Dockerfile").write_text(text)
    (checkout.root / "told.txt").write_text("old")
    return checkout


@pytest.mark.long
def test_what_only_a_run_mounts_is_new_after_a_build(mounting: Checkout) -> None:
    mounting.inv("image.build", "--service", "db").must(0)
    (mounting.root / "told.txt").write_text("new")
    by_hand = _classic(mounting, "podmans-own")
    mounting.inv("image.build", "--service", "db").must(0)

    # The fault of Podman's cache that the second build goes around.
    assert _told(by_hand) == "old"
    assert _told(mounting.image("db")) == "new"
    docker("image", "rm", by_hand)


def _classic(checkout: Checkout, name: str) -> str:
    """Build with Podman's builder as anybody does, twice: the second has all in its cache."""
    argv = ("docker", "build", "--tag", name, "--build-arg", f"UNSTALE_PYTHON_IMAGE={_base()}")
    told = checkout.root / "told.txt"
    new = told.read_text()
    for text in ("old", new):
        told.write_text(text)
        subprocess.run(
            (*argv, str(checkout.root)),
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            capture_output=True,
            check=True,
            timeout=60,
        )
    return name


def _told(image: str) -> str:
    return docker("run", "--rm", "--network", "none", image, "cat", "/told").out


def test_what_needs_buildkit_is_refused_with_a_way_out(mounting: Checkout) -> None:
    (mounting.root / "secret.txt").write_text("invented")
    build = {"context": ".", "secrets": ["one"]}
    mounting.append("docker-compose.test.yml", "\nsecrets:\n  one:\n    file: secret.txt\n")
    overlay(mounting, db={"build": build})
    refused = mounting.inv("image.build", "--service", "db").must(5)

    assert "classic builder doesn't support secrets" in refused.text
    assert "Next: build it with Docker and load it: docs/engines.md, Podman" in refused.text
