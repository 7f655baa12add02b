"""F10 and F26: a docker that misbehaves, and one that is another release."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Checkout
from shim import Shim, shim

from unstale.adapters.docker import DockerCli
from unstale.adapters.docker_words import compose_words
from unstale.adapters.process import SystemProcess
from unstale.errors import (
    ConfigError,
    EngineUnavailable,
    Fault,
    exit_code,
    outcome_of,
)
from unstale.ports import ComposeTarget, RunOptions

# Each question is given up after that; so nothing here waits for long.
DEADLINES = {
    "UNSTALE_DEADLINES_ENGINE": "3",
    "UNSTALE_DEADLINES_START": "6",
    "UNSTALE_DEADLINES_READY": "8",
    "UNSTALE_DEADLINES_TESTS": "6",
    "UNSTALE_DEADLINES_DOWN": "8",
}
KINDS = (
    *("hang", "hang:apart", "garbage", "truncated", "long", "bytes", "exit:1", "exit:127"),
    *("exit:139", "killed:11", "closed"),
)
VERBS = (
    *("info", "compose config", "ps", "inspect", "compose up", "compose run"),
    *("cp", "container rm", "network ls"),
)
# One of each sort; all together take twenty minutes.
SHORT = {
    ("info", "hang:apart"),
    ("compose config", "long"),
    ("compose run", "hang"),
}
# What compose says with its own exit code is about the user's file.
CODES = {("compose config", "exit:1"): 2}
# An answer that could be true: no list is told from an empty one, nor a name from a part of it.
LIES = {"closed", "truncated"}
LONGEST_S = 90


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Shim]:
    made = shim(tmp_path / "bin")
    yield made
    made.misbehave({})


def strays() -> list[str]:
    """What a docker that hung has started: the pause is one that nobody else makes."""
    found = []
    for folder in Path("/proc").glob("[1-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += [folder.name] if b"471.5" in words else []
    return found


def cases() -> Iterator[object]:
    for at in VERBS:
        for kind in KINDS:
            marks = () if (at, kind) in SHORT else pytest.mark.long
            yield pytest.param(at, kind, marks=marks, id=f"{at} {kind}")


@pytest.mark.parametrize(("at", "kind"), list(cases()))
def test_a_docker_that_misbehaves(
    light: Checkout, faulty: Shim, tmp_path: Path, at: str, kind: str
) -> None:
    # Leases of its own: those of other tests' dead runs lead to engines that are gone.
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    faulty.misbehave({at: kind})
    began = time.monotonic()

    result = light.inv("test.integration", "--json", env={**faulty.env, **DEADLINES, **state})

    seconds = time.monotonic() - began
    faulty.misbehave({})
    document = result.document()
    errors = document["errors"] if "errors" in document else [document["error"]]
    text = json.dumps(errors)
    left = light.leftovers()
    light.inv("stack.reap", env=state).must(0)
    assert seconds < LONGEST_S
    assert strays() == []
    assert "BUG" not in text
    if is_harmless(at, kind):
        assert result.code in (0, 4, 5)
    else:
        result.must(CODES.get((at, kind), 5))
        assert Fault(document["outcome"]) is not Fault.PROVEN
        assert "Next:" in text
    # What can't be proven to be gone is not said to be; and the next sweep removes it.
    assert not left or result.code == 5 or kind in LIES
    assert light.leftovers() == []


def is_harmless(at: str, kind: str) -> bool:
    """Whether what is asked there is not needed for a verdict, or the answer may be true."""
    return (
        at in ("cp", "network ls", "container rm")
        or (at == "compose run")
        or (kind in LIES or kind in ("garbage", "bytes", "long"))
    )


# --- F26: releases -------------------------------------------------------------------


def client(faulty_env: dict[str, str]) -> DockerCli:
    return DockerCli(SystemProcess(), {**os.environ, **faulty_env}, 10.0)


@pytest.fixture
def recorded(tmp_path: Path) -> Shim:
    return shim(tmp_path / "bin")


def answer(code: int, out: str = "", err: str = "") -> str:
    return f"answer:{json.dumps([code, out, err])}"


def info(compose: str) -> str:
    plugins = [{"Name": "buildx", "Version": "v0.13.1"}, {"Name": "compose", "Version": compose}]
    return answer(0, json.dumps(["26.1.5", None, plugins]))


@pytest.mark.parametrize("version", ["v2.20.3", "2.23.3-desktop.2", "1.29.2"])
def test_a_compose_that_is_too_old_is_not_the_users_fault(recorded: Shim, version: str) -> None:
    recorded.misbehave({"info": info(version)})

    with pytest.raises(EngineUnavailable, match="compose is too old") as caught:
        client(recorded.env).check()

    assert version in caught.value.cause
    assert caught.value.hint
    assert (caught.value.fault, exit_code(outcome_of(caught.value))) == (Fault.CONFIGURATION, 5)


@pytest.mark.parametrize(
    "version", ["v2.24.0", "2.26.1", "2.26.1-4", "2.27.0", "v2.40.3", "v5.0.1", "dev"]
)
def test_a_compose_that_will_do(recorded: Shim, version: str) -> None:
    recorded.misbehave({"info": info(version)})

    client(recorded.env).check()


TARGET = ComposeTarget("demo", (Path("/nowhere/compose.yml"),))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (14, "open /nowhere/compose.yml: no such file or directory"),
        (15, "validating /nowhere/compose.yml: services.app.ports.0 must be a string"),
        (15, "yaml: line 3: did not find expected key"),
        (1, 'service "app" refers to undefined network x: invalid compose project'),
    ],
)
def test_what_compose_refuses_is_the_users(recorded: Shim, code: int, words: str) -> None:
    recorded.misbehave({"compose config": answer(code, "", words)})

    with pytest.raises(ConfigError) as caught:
        client(recorded.env).config(TARGET)

    assert exit_code(outcome_of(caught.value)) == 2


@pytest.mark.parametrize("code", [125, 126, 127, 130, 137, 139])
def test_a_compose_that_breaks_off_is_not_the_users(recorded: Shim, code: int) -> None:
    recorded.misbehave({"compose config": answer(code)})

    with pytest.raises(EngineUnavailable, match=f"exit code {code}"):
        client(recorded.env).config(TARGET)


# The same model as releases print it: 2.20 has numbers as text, 2.26 and later leave out
# what is empty, 5 has no version and null for a service without anything.
MODELS = [
    {"name": "demo", "version": "3.9", "services": {"app": {"image": "x", "command": None}}},
    {"name": "demo", "services": {"app": {"image": "x", "depends_on": {}, "networks": {}}}},
    {"name": "demo", "services": {"app": {"image": "x"}}, "networks": {"default": None}},
]


@pytest.mark.parametrize("model", MODELS)
def test_the_forms_of_a_model(recorded: Shim, model: dict[str, object]) -> None:
    from unstale import compose

    recorded.misbehave({"compose config": answer(0, json.dumps(model))})

    stack = compose.parse(client(recorded.env).config(TARGET).model)

    assert [(s.name, s.image) for s in stack.services] == [("app", "x")]


@pytest.mark.parametrize(
    "text", ["null", "[]", "42", '"x"', '{"services": 3}', '{"services": {"a": 3}}']
)
def test_a_model_of_another_form_is_no_bug(recorded: Shim, text: str) -> None:
    recorded.misbehave({"compose config": answer(0, text)})

    with pytest.raises(EngineUnavailable, match="can't be read"):
        client(recorded.env).config(TARGET)


@pytest.mark.parametrize("code", [0, 1, 2, 5, 124, 137, 143])
def test_the_code_of_a_run_is_the_runners(recorded: Shim, code: int) -> None:
    recorded.misbehave({"compose run": answer(code, "out\n", "err\n")})

    result = client(recorded.env).run(TARGET, "app", RunOptions(("x",), 10), lambda _: None)

    assert result.returncode == code


@pytest.mark.parametrize(
    "progress",
    [
        " Container demo-db-1  Creating\n Container demo-db-1  Starting\n",  # 2.26
        " Container demo-db-1 Creating \n Container demo-db-1 Starting \n",  # 5
        'time="2026-01-01T00:00:00Z" level=warning msg="the attribute `version` is obsolete"\n',
    ],
)
def test_the_cause_is_found_behind_any_progress(progress: str) -> None:
    cause = "Error response from daemon: Conflict. The container name is already in use"

    assert compose_words(progress + cause + "\n") == cause
