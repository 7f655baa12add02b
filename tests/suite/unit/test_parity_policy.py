"""Which differences a rule explains, and which rules no longer hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from unstale.config import AllowRule, Pair, Relation
from unstale.parity.model import (
    Difference,
    EnvironmentFacts,
    Field,
    Item,
    Kind,
    ServiceFacts,
    Source,
    Variable,
)
from unstale.parity.policy import (
    Allowed,
    Judged,
    broken,
    demanded,
    expired,
    judge,
    relation,
    unused,
)

TODAY = date(2030, 1, 31)
PAIR = ("ci", "test")
IN_FILES = Difference("file", "LOG_LEVEL", "different", left="a", right="b")
IN_CONTAINERS = replace(IN_FILES, field="environment", services=("api", "worker"))
FLAG = Difference("command", "fsync", "missing_right", ("postgres",))


def rule(key: str = "LOG_LEVEL", **more: object) -> AllowRule:
    """A rule with a reason."""
    return replace(AllowRule(key, "because"), **more)  # type: ignore[arg-type]  # a test's table


def of(difference: Difference, *rules: AllowRule, pair: Pair = PAIR) -> Judged:
    """The judgement of one difference."""
    return judge(pair, [difference], rules, TODAY)


@pytest.mark.parametrize("difference", [IN_FILES, IN_CONTAINERS, FLAG])
def test_what_nobody_explained_is_open(difference: Difference) -> None:
    assert of(difference) == Judged(PAIR, open=(difference,))


@pytest.mark.parametrize("difference", [IN_FILES, IN_CONTAINERS])
@pytest.mark.parametrize("key", ["LOG_LEVEL", "LOG_*", "LOG_LEVE?", "*"])
def test_a_variable_is_explained_in_files_and_containers(difference: Difference, key: str) -> None:
    why = rule(key)

    assert of(difference, why) == Judged(PAIR, allowed=(Allowed(difference, why),), used=(why,))


@pytest.mark.parametrize(
    ("key", "field", "item", "fits"),
    [
        ("LOG", "file", "LOG_LEVEL", False),
        ("log_level", "file", "LOG_LEVEL", False),
        ("*", "command", "fsync", False),
        ("fsync", "command", "fsync", False),
        ("*_URL", "other", "build.args.API_URL", False),
        ("command:fsync", "command", "fsync", True),
        ("command:*", "command", "fsync", True),
        ("volumes:/data", "volumes", "/data", True),
        ("file:LOG_LEVEL", "file", "LOG_LEVEL", True),
        ("file:LOG_LEVEL", "environment", "LOG_LEVEL", False),
        ("environment:LOG_*", "environment", "LOG_LEVEL", True),
    ],
)
def test_a_key_without_a_colon_is_about_variables_only(
    key: str, field: Field, item: str, fits: bool
) -> None:
    found = of(Difference(field, item, "different", ("db",)), rule(key))

    assert bool(found.allowed) is fits


@pytest.mark.parametrize(
    ("pair", "fits"), [(("ci", "test"), True), (("test", "ci"), True), (("ci", "dev"), False)]
)
def test_a_rule_may_hold_for_some_pairs_only(pair: Pair, fits: bool) -> None:
    found = of(IN_FILES, rule(pairs=(("test", "ci"),)), pair=pair)

    assert bool(found.allowed) is fits


@pytest.mark.parametrize(
    ("expires", "holds"), [(date(2030, 1, 31), True), (date(2030, 1, 30), False)]
)
def test_a_rule_holds_until_the_end_of_its_last_day(expires: date, holds: bool) -> None:
    why = rule(expires=expires)

    assert bool(of(IN_FILES, why).allowed) is holds
    assert bool(expired([why], TODAY)) is not holds


def test_a_rule_of_a_service_is_not_about_files() -> None:
    assert of(IN_FILES, rule(services=("*",))).open == (IN_FILES,)


@pytest.mark.parametrize(
    ("difference", "services", "fits"),
    [
        (IN_FILES, ("env files",), True),
        (IN_FILES, ("env files", "api"), True),
        (IN_FILES, ("env*",), False),
        (IN_FILES, ("*",), False),
        (IN_CONTAINERS, ("env files",), False),
        (IN_CONTAINERS, ("env files", "*"), True),
    ],
)
def test_env_files_may_be_named_among_the_services(
    difference: Difference, services: tuple[str, ...], fits: bool
) -> None:
    assert bool(of(difference, rule(services=services)).allowed) is fits


def test_a_folded_difference_is_split_where_one_service_is_explained() -> None:
    why = rule(services=("a?i", "web"))

    found = of(IN_CONTAINERS, why)

    assert found == Judged(
        PAIR,
        open=(replace(IN_CONTAINERS, services=("worker",)),),
        allowed=(Allowed(replace(IN_CONTAINERS, services=("api",)), why),),
        used=(why,),
    )


def test_two_rules_may_share_a_folded_difference() -> None:
    rules = rule(services=("api",)), rule(services=("worker",))

    found = of(IN_CONTAINERS, *rules)

    assert [(a.difference.services, a.rule) for a in found.allowed] == [
        (("api",), rules[0]),
        (("worker",), rules[1]),
    ]


@pytest.mark.parametrize(
    ("relation", "kind", "detail", "fault"),
    [
        ("host only", "different", "only the host differs", ""),
        ("host only", "different", "only host and port differ", ""),
        (
            "host only",
            "different",
            "only the path differs",
            "only the path differs; allowed only if nothing but an address's host or port differs",
        ),
        (
            "host only",
            "missing_left",
            "",
            "allowed only if nothing but an address's host or port differs",
        ),
        ("missing", "missing_left", "", ""),
        ("missing", "missing_right", "", ""),
        ("missing", "different", "", "allowed only if one side lacks it"),
        ("different", "different", "", ""),
        ("different", "missing_left", "", "allowed only if both sides have it"),
    ],
)
def test_a_relation_that_is_not_met_leaves_it_open_and_says_why(
    relation: Relation, kind: Kind, detail: str, fault: str
) -> None:
    difference = Difference("file", "LOG_LEVEL", kind, detail=detail)

    found = of(difference, rule(relation=relation))

    assert [d.detail for d in found.open] == ([fault] if fault else [])


def test_the_first_rule_that_is_met_counts() -> None:
    rules = rule(relation="missing"), rule(relation="different"), rule()

    found = of(IN_FILES, *rules)

    assert found.allowed == (Allowed(IN_FILES, rules[1]),)
    assert found.used == rules[:2]


@pytest.mark.parametrize(
    ("difference", "fits"),
    [
        pytest.param(Difference("file", "CI", "different", left="true", right="x"), True, id="is"),
        pytest.param(Difference("file", "CI", "different", left="no", right="x"), False, id="not"),
        pytest.param(Difference("file", "CI", "missing_right", left="true"), True, id="alone"),
        pytest.param(Difference("file", "CI", "missing_left", right="true"), False, id="missing"),
        pytest.param(Difference("file", "CI", "different", secret=True), True, id="secret"),
    ],
)
def test_what_a_rule_demands_is_demanded_of_a_difference(
    difference: Difference, fits: bool
) -> None:
    found = of(difference, rule("CI", must=(("ci", "true"),)))

    assert bool(found.allowed) is fits
    assert fits or found.open[0].detail == "not the value that is demanded of ci"


def test_mere_names_need_no_rule_and_what_has_no_effect_does() -> None:
    harmless = replace(IN_FILES, no_effect="the default is the same")
    name = Difference("other", "container_name", "different", ("api",), identity=True)

    found = judge(PAIR, [harmless, name], (), TODAY)

    assert found == Judged(PAIR, open=(harmless,), identity=(name,))


def test_one_rule_can_allow_all_that_has_no_effect_and_nothing_else() -> None:
    harmless = replace(IN_FILES, no_effect="the default is the same")
    for_all = replace(rule("*"), relation="no effect")

    assert of(harmless, for_all).allowed == (Allowed(harmless, for_all),)
    assert of(IN_FILES, for_all).open[0].detail == "allowed only if it has no effect"


def test_a_rule_that_no_difference_needs_is_unused() -> None:
    rules = rule(), replace(rule("GONE"), line=7)

    (found,) = unused([of(IN_FILES, *rules)], rules, TODAY)

    assert (found.kind, found.key, found.file, found.line) == (
        "unused",
        "GONE",
        "pyproject.toml",
        7,
    )


def test_a_rule_behind_a_wider_one_is_unused() -> None:
    rules = rule("LOG_*"), rule()

    assert [r.key for r in unused([of(IN_FILES, *rules)], rules, TODAY)] == ["LOG_LEVEL"]


def test_one_pair_is_enough_to_need_a_rule() -> None:
    why = rule()
    judged = [of(IN_FILES, why), judge(("ci", "dev"), (), [why], TODAY)]

    assert unused(judged, [why], TODAY) == ()


@pytest.mark.parametrize(
    "why",
    [
        pytest.param(rule(pairs=(("dev", "test"),)), id="of-another-pair"),
        pytest.param(rule(expires=date(2000, 1, 1)), id="expired"),
        pytest.param(rule(must=(("ci", "true"),)), id="demands-a-value"),
        pytest.param(rule(relation="missing"), id="not-met"),
    ],
)
def test_a_rule_that_has_another_fault_or_another_place_is_not_unused(why: AllowRule) -> None:
    assert unused([of(IN_FILES, why)], [why], TODAY) == ()


def facts(
    files: Mapping[str, str | None] | None, **services: Mapping[str, str | None]
) -> EnvironmentFacts:
    """The environment ci."""
    source = Source("env-file", "env/.env.ci", 1)
    variables = None if files is None else {k: Variable(v, source) for k, v in files.items()}
    all_services = tuple(
        ServiceFacts(name, tuple(Item("environment", k, v) for k, v in items.items()))
        for name, items in services.items()
    )
    return EnvironmentFacts("ci", variables, all_services)


@pytest.mark.parametrize(
    ("environment", "texts"),
    [
        pytest.param(facts({"CI": "true"}), [], id="files"),
        pytest.param(facts({}, api={"CI": "true"}), [], id="container"),
        pytest.param(facts({"B": "1"}), ["missing in ci"], id="missing"),
        pytest.param(
            facts({"CI": "1"}), ["not the value that is demanded: env files in ci"], id="other"
        ),
        pytest.param(
            facts({"CI": "true"}, api={"CI": None}, db={"CI": ""}),
            ["not the value that is demanded: api, db in ci"],
            id="some",
        ),
        pytest.param(EnvironmentFacts("ci", None, None), [], id="not-known"),
        pytest.param(EnvironmentFacts("dev", {}, None), [], id="another"),
    ],
)
def test_a_value_that_is_demanded_must_be_everywhere(
    environment: EnvironmentFacts, texts: list[str]
) -> None:
    found = broken([rule("CI", must=(("ci", "true"),))], [environment], TODAY)

    assert [(r.kind, r.text) for r in found] == [("must", text) for text in texts]


def test_a_demand_may_be_about_one_service() -> None:
    why = rule("CI", must=(("ci", "true"),), services=("api",))

    assert broken([why], [facts({"CI": "1"}, api={"CI": "true"}, db={"CI": "1"})], TODAY) == ()


def test_a_demand_may_be_about_the_env_files() -> None:
    why = rule("CI", must=(("ci", "true"),), services=("env files",))

    assert broken([why], [facts({"CI": "true"}, api={"CI": "1"})], TODAY) == ()
    assert broken([why], [facts({"CI": "1"}, api={"CI": "true"})], TODAY)


def test_every_environment_of_which_a_value_is_demanded_is_known() -> None:
    rules = [rule(), rule(must=(("dev", "1"), ("ci", "2"))), rule(must=(("ci", "3"),))]

    assert demanded(rules) == ("ci", "dev")
    assert demanded([]) == ()


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        ("missing_left", "empty in test", "missing"),
        ("missing_right", "", "missing"),
        ("different", "", "different"),
        ("different", "only the path differs", "different"),
        ("different", "only host and port differ", "host only"),
    ],
)
def test_the_relation_of_a_difference_is_the_narrowest(
    kind: Kind, detail: str, expected: Relation
) -> None:
    assert relation(Difference("file", "A", kind, detail=detail)) == expected


def test_a_demand_that_has_expired_is_none() -> None:
    why = rule("CI", must=(("ci", "true"),), expires=date(2000, 1, 1))

    assert broken([why], [facts({})], TODAY) == ()


def test_a_demand_quotes_no_value() -> None:
    why = rule("API_TOKEN", must=(("ci", "plover-72"),))

    (found,) = broken([why], [facts({"API_TOKEN": "heron-72"})], TODAY)

    assert "-72" not in repr(found) + repr(why)
