"""Why two environments are at parity, or are not: who decided, and what allows it."""

from __future__ import annotations

from typing import Any

import pytest

from unstale.config import AllowRule, Environment, Settings
from unstale.errors import UnknownName, UsageError
from unstale.parity.model import Difference, Source
from unstale.parity.report import AllowedDifference, PairReport, ParityReport
from unstale.pipeline.explanation import Answer, Place
from unstale.pipeline.parity import pairs_of
from unstale.pipeline.why_env import explain, rule_lines

LEFT, RIGHT = Source("env-file", "env/.env.ci", 6), Source("env-file", "env/.env.test", 7)
LEVEL = Difference("file", "LOG_LEVEL", "different", left_source=LEFT, right_source=RIGHT)
IN_APP = Difference(
    "environment",
    "LOG_LEVEL",
    "different",
    services=("app",),
    left_source=Source("interpolation", "env/.env.ci", 6, "LOG_LEVEL"),
    right_source=RIGHT,
)
POLICY = """[tool.unstale]

[[tool.unstale.parity.allow]]
key = "LOG_LEVEL"
pairs = ["ci/test"]
reason = "CI logs are kept short"

[[ tool.unstale.parity.allow ]]
reason = "it names the environment"
key = "LOG_LEVEL"
[tool.other]
key = "x"
"""


def why(*, service: str | None = None, **pair: Any) -> Answer:
    report = ParityReport((PairReport("ci", "test", **pair),))
    (found,) = explain(report, rule_lines(POLICY), service)
    return found


def test_what_nobody_explained_has_its_lines_and_its_effect() -> None:
    found = why(open=(LEVEL,))

    (cause,) = found.causes
    assert (found.subject, found.verdict) == ("ci and test", "stale")
    assert (found.summary, found.next) == ("1 not explained", "inv env.diff ci test")
    assert cause.places == (Place("env/.env.ci", 6, "ci"), Place("env/.env.test", 7, "test"))
    assert cause.notes == ("it is a variable of a container", "in the env files")
    assert not cause.is_accepted


def test_the_same_in_files_and_containers_is_one_cause() -> None:
    (cause,) = why(open=(LEVEL, IN_APP)).causes

    assert cause.places == (
        Place("env/.env.ci", 6, "ci"),
        Place("env/.env.test", 7, "test"),
        Place("env/.env.ci", 6, "ci, by ${LOG_LEVEL}"),
    )
    assert cause.notes[1:] == ("in the env files", "in app")


def test_what_is_allowed_names_the_rule_and_its_line() -> None:
    allowed = AllowedDifference(LEVEL, "CI logs are kept short", "LOG_LEVEL")
    found = why(allowed=(allowed,))

    (cause,) = found.causes
    assert (found.verdict, found.summary, found.next) == ("fresh", "1 allowed", "")
    assert cause.is_accepted
    rule = Place("pyproject.toml", 3, "allows LOG_LEVEL", "CI logs are kept short")
    assert cause.places[-1] == rule


def test_a_rule_that_is_written_inline_has_no_line() -> None:
    (cause,) = why(allowed=(AllowedDifference(LEVEL, "inline", "LOG_*"),)).causes

    assert cause.places[-1] == Place("pyproject.toml", None, "allows LOG_*", "inline")


@pytest.mark.parametrize(
    ("more", "how", "note"),
    [
        ({"kind": "missing_left"}, "missing in ci", "it is a variable of a container"),
        ({"kind": "missing_right", "secret": True}, "missing in test (secret)", ""),
        ({"detail": "only the host differs"}, "different: only the host differs", "only a host"),
        ({"no_effect": "nobody reads it"}, "different", "no effect: nobody reads it"),
        ({"identity": True}, "different", "it only names something"),
        ({"field": "command", "item": "fsync"}, "different", "it is about what runs"),
    ],
)
def test_each_kind_and_effect_has_its_words(more: dict[str, Any], how: str, note: str) -> None:
    kinds: dict[str, Any] = {"field": "file", "item": "LOG_LEVEL", "kind": "different"}
    (cause,) = why(open=(Difference(**kinds | more),)).causes

    assert cause.how == how
    assert cause.notes[0].startswith(note)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (Source("image", "postgres:17"), Place("image postgres:17", None, "ci")),
        (Source("default", "compose.yml", 4, "LEVEL"), Place("compose.yml", 4, "ci, a default")),
        (Source("interpolation", variable="LEVEL"), Place("the shell", None, "ci, by ${LEVEL}")),
        (Source("compose", "compose.yml", 4), Place("compose.yml", 4, "ci")),
    ],
)
def test_each_source_has_its_words(source: Source, place: Place) -> None:
    one = Difference("environment", "LEVEL", "different", ("app",), left_source=source)
    (cause,) = why(open=(one,)).causes

    assert cause.places == (place,)


def test_what_could_not_be_compared_is_unknown() -> None:
    found = why(unknown=("test has no compose file",), notes=("a note",))

    assert (found.verdict, found.summary) == ("unknown", "could not be compared")
    assert found.evidence == ("test has no compose file", "a note")


def test_without_a_difference_that_is_the_answer() -> None:
    found = why()
    assert (found.verdict, found.summary) == ("fresh", "no difference")


def test_one_service_may_be_asked_for_and_the_verdict_is_that_of_the_pair() -> None:
    found = why(service="app", open=(LEVEL, IN_APP), services=("app", "db"))

    assert [cause.notes[-1] for cause in found.causes] == ["in app"]
    assert found.verdict == "stale"


def test_a_service_that_no_environment_has_is_refused() -> None:
    with pytest.raises(UnknownName, match="no service called 'ap'"):
        why(service="ap", services=("app",))


def test_rules_are_found_by_key_and_reason() -> None:
    assert rule_lines(POLICY) == {
        ("LOG_LEVEL", "CI logs are kept short"): 3,
        ("LOG_LEVEL", "it names the environment"): 8,
    }
    assert rule_lines("") == {}
    # A bracket at the start of a line of a text ends no block that can be read.
    torn = '[[tool.unstale.parity.allow]]\nkey = "A"\nreason = """\n[x]\n"""\n'
    assert rule_lines(torn) == {}


def test_the_pairs_of_an_environment_are_those_it_is_in(tmp_path: Any) -> None:
    from unstale.config import ParitySettings, RunnerSettings, SchemaSettings

    settings = Settings(
        root=tmp_path,
        default_env="test",
        environments={name: Environment(name, (), ()) for name in ("ci", "dev", "test")},
        runner=RunnerSettings(),
        suites={},
        schema=SchemaSettings(),
        verify=(),
        parity=ParitySettings(pairs=(("ci", "test"), ("ci", "dev"))),
    )
    assert pairs_of(settings, "test") == (("ci", "test"),)
    assert AllowRule("K", "r").key == "K"
    with pytest.raises(UsageError, match="no environment to compare 'other' with"):
        pairs_of(settings, "other")
