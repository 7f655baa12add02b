"""S2: a name is one plain word, or it is refused: it becomes a word of commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import FakeFiles
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unstale import compose, config
from unstale.adapters.docker import _compose, _pass_on
from unstale.adapters.process import SystemProcess, as_typed
from unstale.errors import ConfigError, Outcome, UsageError, exit_code, outcome_of
from unstale.ports import Command, ComposeTarget

HOSTILE = (
    *("; touch PWNED #", "$(touch PWNED)", "`touch PWNED`", "a\ntouch PWNED", "a && touch PWNED"),
    *("--privileged", "-f/etc/passwd", "-v/:/host", "*", "../../etc/passwd", "a|touch PWNED"),
    *("'", '"', "a b", "a\0b", "x" * 5000, "\u202egnp.exe", "ﾠ", "", "a>PWNED"),
)
NAMES = st.text(max_size=80) | st.sampled_from(HOSTILE)


def is_plain(name: str) -> bool:
    return (
        0 < len(name) < 64
        and name.isascii()
        and name[0].isalnum()
        and all(c.isalnum() or c in "._-" for c in name)
    )


def with_hostile(test: object) -> object:
    for name in HOSTILE:
        test = example(name)(test)  # type: ignore[arg-type]
    return test


@with_hostile
@given(NAMES)
@settings(max_examples=300, deadline=None)
def test_the_name_of_a_service_is_plain_or_refused(name: str) -> None:
    model = {"name": "demo", "services": {name: {"image": "x"}}}

    if is_plain(name):
        assert [s.name for s in compose.parse(model).services] == [name]
        return
    with pytest.raises(ConfigError) as caught:
        compose.parse(model)
    assert exit_code(outcome_of(caught.value)) == 2
    assert len(str(caught.value)) < 600


@with_hostile
@given(NAMES)
@settings(max_examples=300, deadline=None)
def test_an_image_is_no_option(name: str) -> None:
    model = {"name": "demo", "services": {"app": {"image": name}}}

    try:
        image = compose.parse(model).services[0].image
    except ConfigError:
        return
    assert image[0] != "-"
    assert image.isprintable()
    assert not any(c in image for c in " ;$`'\"|&<>*\\")


@with_hostile
@given(NAMES)
@settings(max_examples=300, deadline=None)
def test_the_name_of_an_environment_is_plain_or_refused(name: str) -> None:
    root = Path("/project")
    text = f"[tool.unstale.environments.{json.dumps(name)}]\n"

    files = FakeFiles({root / "pyproject.toml": text})

    if is_plain(name):
        assert name in config.load(root, files, {}).environments
        return
    with pytest.raises(UsageError) as caught:
        config.load(root, files, {})
    assert outcome_of(caught.value) is Outcome.USAGE


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_with_a_hostile_name_makes_no_environment(name: str) -> None:
    root = Path("/project")
    path = root / f"docker-compose.{name}.yml"

    assert name not in config.load(root, FakeFiles({path: ""}), {}).environments


@with_hostile
@given(NAMES)
@settings(max_examples=300, deadline=None)
def test_a_users_value_is_in_one_word_with_its_option(value: str) -> None:
    words, env = _pass_on("--build-arg", [("KEY", value)])
    argv = _compose(ComposeTarget("demo", (), profiles=(value,)), "build", *words)

    assert all(word.startswith("--build-arg=KEY") for word in words)
    assert env in ({}, {"KEY": value})
    assert f"--profile={value}" in argv


@with_hostile
@given(NAMES.filter(lambda text: "\0" not in text and text.isprintable() is not None))
@settings(max_examples=60, deadline=None)
def test_what_is_echoed_can_be_typed_and_is_one_line(word: str) -> None:
    typed = as_typed(("printf", "%s", word))

    assert "\n" not in typed
    assert "\x1b" not in typed


@pytest.mark.parametrize("place", ["argument", "variable"])
def test_a_zero_byte_is_a_usage_error(place: str) -> None:
    argv = ("true", "a\0b") if place == "argument" else ("true",)
    env = {"KEY": "a\0b"} if place == "variable" else {}

    with pytest.raises(UsageError, match="zero byte"):
        SystemProcess().run(Command(argv, 5, env=env))
