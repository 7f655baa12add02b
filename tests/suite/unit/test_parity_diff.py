"""Environment parity: what differs, what is explained, and what is never shown."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import pytest

from unstale.parity.diff import Allowed, Different, EnvDiff, Kind, diff
from unstale.parity.document import to_json, to_text


@dataclass(frozen=True)
class Written:
    """A rule of the configuration."""

    key: str
    reason: str


def test_equal_environments_are_at_parity() -> None:
    assert diff({"A": "1", "B": None}, {"B": None, "A": "1"}, allowed=()) == EnvDiff()
    assert EnvDiff().parity


def test_each_side_lacks_its_own_keys() -> None:
    found = diff({"A": "1", "C": "1"}, {"B": "1", "C": "1"}, allowed=())

    assert found == EnvDiff(missing_left=("B",), missing_right=("A",))


@pytest.mark.parametrize(
    ("left", "right"), [({"A": "1"}, {}), ({}, {"A": "1"}), ({"A": "1"}, {"A": "2"})]
)
def test_one_unexplained_difference_of_any_kind_ends_parity(
    left: dict[str, str], right: dict[str, str]
) -> None:
    assert not diff(left, right, allowed=()).parity


@pytest.mark.parametrize(
    ("left", "right"),
    [("", "x"), (None, "x"), (None, ""), ("1", "true")],
    ids=["empty", "bare", "bare-and-empty", "spelling"],
)
def test_unequal_values_are_different(left: str | None, right: str | None) -> None:
    found = diff({"A": left}, {"A": right}, allowed=())

    assert found.different == (Different("A", secret=False, left=left, right=right),)


def test_an_absent_key_is_missing_even_if_the_other_side_is_empty_or_bare() -> None:
    assert diff({}, {"A": "", "B": None}, allowed=()).missing_left == ("A", "B")


@pytest.mark.parametrize(
    ("left", "right", "kind"),
    [
        ({}, {"A": "1"}, "missing_left"),
        ({"A": "1"}, {}, "missing_right"),
        ({"A": "1"}, {"A": "2"}, "different"),
    ],
)
def test_an_explained_difference_is_listed_and_keeps_parity(
    left: dict[str, str], right: dict[str, str], kind: Kind
) -> None:
    found = diff(left, right, allowed=[Written("A", "because")])

    assert found == EnvDiff(allowed=(Allowed("A", kind, "because"),))
    assert found.parity


def test_a_rule_covers_its_own_key_only() -> None:
    found = diff({"LOG_LEVEL": "a"}, {"LOG_LEVEL": "b"}, allowed=[Written("LOG", "because")])

    assert not found.parity


def test_the_document_has_exactly_the_keys_of_the_contract() -> None:
    found = diff(
        {"A": "1", "L": "1", "JWT_SECRET": "x"},
        {"B": "1", "L": "2", "JWT_SECRET": "y"},
        allowed=[Written("L", "because")],
    )

    assert to_json(found, "ci", "test") == {
        "schema": "unstale/env-diff@1",
        "left": "ci",
        "right": "test",
        "parity": False,
        "missing_left": ["B"],
        "missing_right": ["A"],
        "different": [{"key": "JWT_SECRET", "secret": True}],
        "allowed": [{"key": "L", "kind": "different", "reason": "because"}],
        "services": [],
    }


def test_show_values_reveals_what_is_not_secret() -> None:
    found = diff({"A": "1", "TOKEN": "x"}, {"A": None, "TOKEN": "y"}, allowed=())

    assert to_json(found, "ci", "test", values_shown=True)["different"] == [
        {"key": "A", "secret": False, "left_value": "1", "right_value": None},
        {"key": "TOKEN", "secret": True},
    ]
    assert to_text(found, "ci", "test", values_shown=True)[:2] == (
        "A: different ('1', no value)",
        "TOKEN: different (secret)",
    )


def test_without_show_values_no_value_is_shown() -> None:
    found = diff({"A": "left-value"}, {"A": "right-value"}, allowed=())

    shown = json.dumps(to_json(found, "ci", "test")) + "".join(to_text(found, "ci", "test"))
    assert "-value" not in shown


def test_a_terminal_control_sequence_is_printed_as_text() -> None:
    found = diff({"A": "\x1b[2J"}, {"A": "\x9b2J"}, allowed=())

    assert all(line.isprintable() for line in to_text(found, "l", "r", values_shown=True))


@pytest.mark.parametrize(
    ("key", "value", "secret"),
    [
        pytest.param("DB_PASSWORD", "zq", "zq", id="named-so"),
        pytest.param("DATABASE_URL", "postgresql://u:heron-72@db/x", "heron-72", id="in-a-url"),
        pytest.param("OPTIONS", "--sign-with=heron-72-plover", "heron-72-plover", id="repeated"),
        pytest.param("NICKNAME", "zq", "zq", id="repeated-and-short"),
    ],
)
def test_a_secret_is_not_even_in_the_comparison(key: str, value: str, secret: str) -> None:
    left = {"JWT_SECRET": secret, key: value}

    found = diff(left, {"JWT_SECRET": secret, key: "other"}, allowed=())

    assert found.different == (Different(key, secret=True),)
    assert secret not in repr(found)


@pytest.mark.parametrize("seed", range(200))
def test_no_secret_value_reaches_json_or_text(seed: int) -> None:
    chance = random.Random(seed)
    secrets = [f"s3cr{chance.getrandbits(40):x}" for _ in range(4)]
    kinds = {
        "API_KEY": "{}",
        "POSTGRES_PASSWORD": "{}",
        "REFRESH_TOKEN": "{}",
        "CACHE_URL": "redis://:{}@cache.example.com:6379/0",
        "BROKER": "amqp://worker:{}@mq.example.com",
        "PLAIN": "value",
        "LOG_LEVEL": "INFO",
    }

    def side() -> dict[str, str | None]:
        chosen = chance.sample(sorted(kinds), chance.randint(1, len(kinds)))
        return {key: kinds[key].format(chance.choice(secrets)) for key in chosen}

    rules = [Written("PLAIN", "because")] if chance.choice((True, False)) else []
    found = diff(side(), side(), allowed=rules)

    for shown in (False, True):
        output = json.dumps(to_json(found, "l", "r", values_shown=shown))
        output += "\n".join(to_text(found, "l", "r", values_shown=shown)) + repr(found)
        assert not [secret for secret in secrets if secret in output]
