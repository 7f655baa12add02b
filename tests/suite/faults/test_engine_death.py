"""F8 and F9: the engine dies, or hangs, while a run goes on; and what is left of that."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values
from harness import ROOT, Checkout, Running
from lightstack import behave, fresh, overlay
from ownengine import Engine

pytestmark = pytest.mark.long

_IMAGE = dotenv_values(ROOT / ".unstale" / "images.env").get("UNSTALE_PYTHON_IMAGE")
DEADLINES = """
[tool.unstale.deadlines]
engine = 4
start = 25
ready = 40
tests = 15
down = 10
"""
# Of the longest way: the tests' deadline, then a few questions to an engine that hangs.
BOUND_S = 100


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    folder = Path(tempfile.gettempdir(), f"engine{uuid.uuid4().hex[:8]}")
    folder.mkdir(mode=0o700)
    found = Engine(folder)
    with pytest.MonkeyPatch.context() as patch:
        try:
            found.start()
            found.load(_IMAGE or "python:3.13-slim")
            patch.setenv("DOCKER_HOST", found.host)
            yield found
        finally:
            found.close()
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def module_light(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Built in the engine that is ours, with a database that is always started again."""
    assert os.environ["DOCKER_HOST"] == engine.host
    checkout = fresh(tmp_path_factory.mktemp("light"))
    overlay(checkout, pyproject=DEADLINES, db={"restart": "always"})
    checkout.inv("image.build").must(0)
    return checkout


def _at(light: Checkout, moment: str) -> Running:
    """A run that has come to *moment*."""
    if moment == "wait":
        behave(light, LIGHT_DB="silent")
    if moment == "tests":
        behave(light, LIGHT_SECONDS="8")
    running = light.start("test.integration", "--json")
    running.wait_for({"wait": "prepare_stack", "tests": "running_image"}.get(moment, "inputs_un"))
    if moment != "down":
        time.sleep(2)
    return running


def _require_red(running: Running, begun: float) -> None:
    answer = running.end().must(5).document()
    assert answer["outcome"] == "engine", answer["errors"]
    assert time.monotonic() - begun < BOUND_S
    receipt = json.loads(Path(answer["receipt"]).read_text())
    assert receipt["predicate"]["annotations"]["outcome"] == "engine"
    assert receipt["predicate"]["result"] == "FAILED"


@pytest.mark.parametrize("how", ["kill", "lose_power"])
@pytest.mark.parametrize("moment", ["wait", "tests", "down"])
def test_an_engine_that_dies_is_named_and_the_next_start_leaves_nothing(
    light: Checkout, engine: Engine, moment: str, how: str
) -> None:
    running = _at(light, moment)
    begun = time.monotonic()
    getattr(engine, how)()

    _require_red(running, begun)

    engine.start()
    light.inv("stack.reap").must(0)
    assert engine.everything() == []


@pytest.mark.parametrize("moment", ["wait", "tests"])
def test_an_engine_that_is_back_at_once_is_no_proof(
    light: Checkout, engine: Engine, moment: str
) -> None:
    """As by systemd: the run goes on with an engine that has lost its containers."""
    running = _at(light, moment)
    engine.kill()
    engine.start()

    answer = running.end().must(5).document()

    assert answer["outcome"] in ("engine", "service died", "not ready"), answer["errors"]
    light.inv("stack.reap").must(0)
    assert engine.everything() == []


@pytest.mark.parametrize("moment", ["wait", "tests", "down"])
def test_an_engine_that_hangs_is_given_up(light: Checkout, engine: Engine, moment: str) -> None:
    running = _at(light, moment)
    begun = time.monotonic()
    engine.stop()
    try:
        _require_red(running, begun)
    finally:
        engine.go_on()

    light.inv("stack.reap").must(0)
    assert engine.everything() == []
