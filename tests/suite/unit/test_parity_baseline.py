"""Today's differences, written down as a policy."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unstale.config import AllowRule, Pair, ParitySettings, Relation, Settings, load
from unstale.errors import ConfigError
from unstale.parity.baseline import REASON, apply, entries, render
from unstale.parity.model import Difference
from unstale.parity.policy import judge, unused

if TYPE_CHECKING:
    from conftest import FakeFiles

CI_TEST, CI_DEV = ("ci", "test"), ("ci", "dev")
LOG = Difference("file", "LOG_LEVEL", "different", left="left-value", right="right-value")
LOG_IN_API = Difference("environment", "LOG_LEVEL", "different", ("api",), left="left-value")
FSYNC = Difference("command", "fsync", "missing_right", ("db", "db2"))
RULE = AllowRule("LOG_LEVEL", REASON, pairs=(CI_TEST,))
RULE_TEXT = """\
[[tool.unstale.parity.allow]]
key = "LOG_LEVEL"
pairs = ["ci/test"]
reason = "baseline, unreviewed"
"""


@pytest.fixture
def settings(files: Callable[[Mapping[Path, str]], FakeFiles]) -> Callable[[str], Settings]:
    """Load a pyproject.toml."""
    root = Path("/srv/demo")
    return lambda text: load(root, files({root / "pyproject.toml": text}), {})


def made(key: str, pairs: tuple[Pair, ...], how: Relation, *services: str) -> AllowRule:
    """A rule of a baseline."""
    return AllowRule(key, REASON, pairs=pairs, services=services, relation=how)


def test_one_path_in_several_pairs_is_one_rule() -> None:
    assert entries({CI_TEST: [LOG], CI_DEV: [LOG]}) == (
        made("LOG_LEVEL", (CI_DEV, CI_TEST), "different", "env files"),
    )


def test_the_same_path_in_other_services_is_a_rule_of_its_own() -> None:
    found = entries({CI_TEST: [LOG_IN_API, FSYNC], CI_DEV: [LOG, LOG_IN_API]})

    assert found == (
        made("LOG_LEVEL", (CI_TEST,), "different", "api"),
        made("LOG_LEVEL", (CI_DEV,), "different", "env files", "api"),
        made("command:fsync", (CI_TEST,), "missing", "db", "db2"),
    )


def test_a_path_with_several_values_is_one_rule() -> None:
    other = Difference("environment", "LOG_LEVEL", "different", ("worker",))

    (found,) = entries({CI_TEST: [LOG_IN_API, other]})

    assert found.services == ("api", "worker")


def test_a_path_that_differs_in_several_ways_has_a_rule_for_each() -> None:
    missing = Difference("environment", "LOG_LEVEL", "missing_left", ("worker",))
    place = Difference(
        "environment", "LOG_LEVEL", "different", ("web",), detail="only the host differs"
    )

    assert entries({CI_TEST: [LOG_IN_API, missing, place]}) == (
        made("LOG_LEVEL", (CI_TEST,), "different", "api"),
        made("LOG_LEVEL", (CI_TEST,), "host only", "web"),
        made("LOG_LEVEL", (CI_TEST,), "missing", "worker"),
    )


@pytest.mark.parametrize(
    "tomorrow",
    [
        pytest.param(replace(LOG_IN_API, services=("worker",)), id="another-service"),
        pytest.param(replace(LOG_IN_API, kind="missing_left"), id="missing"),
        pytest.param(replace(LOG, kind="missing_right"), id="missing-in-files"),
        pytest.param(replace(FSYNC, kind="different"), id="different"),
        pytest.param(replace(LOG, item="LOG_LEVEL_2"), id="another-variable"),
    ],
)
def test_what_comes_to_differ_tomorrow_is_not_allowed(tomorrow: Difference) -> None:
    rules = entries({CI_TEST: [LOG, LOG_IN_API, FSYNC]})

    found = judge(CI_TEST, [tomorrow], rules, date(2030, 1, 1))

    assert [one.path for one in found.open] == [tomorrow.path]


@pytest.mark.parametrize("today", [LOG, LOG_IN_API])
def test_env_files_and_containers_are_allowed_apart(today: Difference) -> None:
    rules = entries({CI_TEST: [today]})

    found = judge(CI_TEST, [LOG, LOG_IN_API], rules, date(2030, 1, 1))

    assert [one.difference for one in found.allowed] == [today]


def test_nothing_open_is_nothing_to_write() -> None:
    assert entries({CI_TEST: []}) == ()
    assert render(()) == ""


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.unstale.runner]\n"])
def test_without_any_difference_there_is_a_policy_all_the_same(
    settings: Callable[[str], Settings], text: str
) -> None:
    found = apply(text, ())

    assert found.startswith(text)
    assert settings(found).parity == ParitySettings(has_policy=True)
    assert apply(found, ()) == found


@pytest.mark.parametrize("key", ["allow", "pairs"])
def test_an_empty_policy_needs_no_other(key: str) -> None:
    text = f"[tool.unstale.parity]\n{key} = []"

    assert apply(text, ()) == text


@pytest.mark.parametrize("item", ["plain", "a*", "KEYS[0]", 'quo"ted', "back\\slash", "new\nline"])
def test_the_rules_allow_all_that_they_were_made_of(
    settings: Callable[[str], Settings], item: str
) -> None:
    open_ = [
        LOG,
        LOG_IN_API,
        FSYNC,
        Difference("file", item, "different"),
        Difference("volumes", f"/{item}:é\x7f", "different", (item,)),
        Difference("other", "service", "missing_left", ("api",)),
    ]

    rules = settings(apply("", entries({CI_TEST: open_}))).parity.allow

    judged = judge(CI_TEST, open_, rules, date(2030, 1, 1))
    assert judged.open == ()
    assert unused([judged], rules, date(2030, 1, 1)) == ()
    assert judge(CI_TEST, [Difference("file", "aZ", "different")], rules, date(2030, 1, 1)).open


def test_no_value_is_written() -> None:
    assert "-value" not in render(entries({CI_TEST: [LOG, LOG_IN_API]}))


def test_a_rule_is_a_table_of_its_own() -> None:
    more = made("command:fsync", (CI_DEV, CI_TEST), "missing", "db")

    assert render([RULE, more]) == RULE_TEXT + (
        "\n"
        "[[tool.unstale.parity.allow]]\n"
        'key = "command:fsync"\n'
        'pairs = ["ci/dev", "ci/test"]\n'
        'service = ["db"]\n'
        'relation = "missing"\n'
        'reason = "baseline, unreviewed"\n'
    )


@pytest.mark.parametrize(
    ("text", "addition"),
    [
        pytest.param("", RULE_TEXT, id="no-file"),
        pytest.param("# only this", f"\n\n{RULE_TEXT}", id="no-newline-at-the-end"),
        pytest.param("[project]\nname = 'x' # é\n", f"\n{RULE_TEXT}", id="another-table"),
        pytest.param(
            "[project]\r\nname = 'x'\r\n", "\r\n" + RULE_TEXT.replace("\n", "\r\n"), id="crlf"
        ),
        pytest.param(
            "[[tool.unstale.parity.allow]]\nkey = 'A'\nreason = 'b'\n[tool.other]\na = 1\n",
            f"\n{RULE_TEXT}",
            id="rules-and-another-table",
        ),
        pytest.param("[tool.unstale.parity]\npairs = []\n", f"\n{RULE_TEXT}", id="pairs"),
    ],
)
def test_rules_come_after_what_is_there(text: str, addition: str) -> None:
    assert apply(text, [RULE]) == text + addition


def test_a_second_time_adds_nothing() -> None:
    once = apply("[project]\nname = 'x'\n", [RULE])

    assert apply(once, [RULE]) == once


def test_only_what_is_new_is_added() -> None:
    once = apply("", [RULE])
    more = AllowRule("A", REASON, pairs=(CI_TEST,))

    allow = tomllib.loads(apply(once, [RULE, more]))["tool"]["unstale"]["parity"]["allow"]
    assert [rule["key"] for rule in allow] == ["LOG_LEVEL", "A"]


@pytest.mark.parametrize(
    "text",
    [
        "[tool.unstale.parity]\nallow = []\n",
        "[tool.unstale]\nparity = {pairs = []}\n",
        "tool = {unstale = {}}\n",
    ],
)
def test_a_policy_that_no_table_can_follow_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no table can follow") as refused:
        apply(text, [RULE])

    assert "[[tool.unstale.parity.allow]]" in refused.value.hint


def test_a_table_about_other_things_must_get_its_policy_by_hand() -> None:
    with pytest.raises(ConfigError, match=r"pairs = \[\]"):
        apply("[tool.unstale.parity]\ncode = ['src']\n", ())


def test_a_broken_file_is_left_alone() -> None:
    with pytest.raises(ConfigError, match="can't be parsed"):
        apply("[project\n", [RULE])
