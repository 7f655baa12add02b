"""Which differences somebody explained, and which explanations no longer hold. Pure.

There is no built-in list of what is ignored. Only mere names need no rule. What
is known to have no effect needs one like all else: tomorrow's default may be
another. One rule can allow all of that: ``key = "*"``, ``relation = "no effect"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Final, assert_never

from unstale.config import AllowRule, Pair, Relation
from unstale.parity.model import Difference, EnvironmentFacts, Field
from unstale.parity.report import Remark, effect

__all__ = [
    "ENV_FILES",
    "Allowed",
    "Judged",
    "broken",
    "demanded",
    "expired",
    "judge",
    "relation",
    "unused",
]

_FILE = "pyproject.toml"

ENV_FILES: Final = "env files"
"""Stands for the env files among the services of a rule; no service has a blank in its name."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A difference, and the rule that explains it."""

    difference: Difference
    rule: AllowRule


@dataclass(frozen=True, slots=True)
class Judged:
    """The differences of one pair of environments, each in one place."""

    pair: Pair
    open: tuple[Difference, ...] = ()
    """What nobody explained; this alone fails."""
    allowed: tuple[Allowed, ...] = ()
    identity: tuple[Difference, ...] = ()
    """What nobody explained and is a mere name or a published port."""
    used: tuple[AllowRule, ...] = ()
    """The rules that a difference was held against, in the order of the rules."""


def judge(
    pair: Pair, differences: Iterable[Difference], rules: Sequence[AllowRule], today: date
) -> Judged:
    """Sort *differences* of *pair* into explained ones and others.

    *pair* is in the order of the comparison. Of the rules that fit and have
    not expired the first one counts whose relation is met; if there is none,
    the difference stays open and says why. A folded difference of which a
    rule names some services only is split.
    """
    fitting = [rule for rule in rules if _is_about(rule, pair) and not _is_over(rule, today)]
    found = [one for difference in differences for one in _verdicts(difference, pair, fitting)]
    rest = [one.difference for one in found if one.rule is None]
    used = {rule for one in found for rule in one.used}
    return Judged(
        pair=pair,
        open=tuple(d for d in rest if not d.identity),
        allowed=tuple(Allowed(one.difference, one.rule) for one in found if one.rule),
        identity=tuple(d for d in rest if d.identity),
        used=tuple(rule for rule in rules if rule in used),
    )


def unused(judged: Sequence[Judged], rules: Iterable[AllowRule], today: date) -> tuple[Remark, ...]:
    """The rules that no difference needs.

    *judged* must be all pairs, files and containers: of a part nothing can be
    said. A rule is left out if it has expired, if none of its pairs was
    compared, or if it demands a value, which `broken` looks at.
    """
    used = {rule for one in judged for rule in one.used}
    return tuple(
        _remark("unused", rule, "no difference needs it")
        for rule in rules
        if rule not in used
        and not rule.must
        and not _is_over(rule, today)
        and any(_is_about(rule, one.pair) for one in judged)
    )


def expired(rules: Iterable[AllowRule], today: date) -> tuple[Remark, ...]:
    """The rules that hold no longer; they allow nothing."""
    return tuple(
        _remark("expired", rule, f"it held until {rule.expires.isoformat()}")
        for rule in rules
        if rule.expires is not None and _is_over(rule, today)
    )


def relation(difference: Difference) -> Relation:
    """The narrowest of the relations in the sight of which the two sides stand.

    That it has no effect is left out: it says nothing of the two sides.
    """
    narrowest: tuple[Relation, ...] = ("missing", "host only", "different")
    return next(one for one in narrowest if _is_met(one, difference))


def demanded(rules: Iterable[AllowRule]) -> tuple[str, ...]:
    """The environments of which any of *rules* demands a value, sorted.

    `broken` must be given them even if no pair has them.
    """
    return tuple(sorted({name for rule in rules for name, _ in rule.must}))


def broken(
    rules: Iterable[AllowRule], environments: Iterable[EnvironmentFacts], today: date
) -> tuple[Remark, ...]:
    """Where an environment has not the value that a rule demands of it.

    Every place must have it that has the variable at all, in the env files and
    in the containers, and there must be one. It is looked at even if all
    environments agree. An environment of which nothing is known is left out.
    """
    known = {facts.name: facts for facts in environments}
    return tuple(
        _remark("must", rule, f"{fault} in {name}")
        for rule in rules
        if not _is_over(rule, today)
        for name, value in rule.must
        if name in known
        for fault in _faults(rule, value, known[name])
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    difference: Difference
    rule: AllowRule | None
    used: tuple[AllowRule, ...]


def _verdicts(difference: Difference, pair: Pair, rules: Sequence[AllowRule]) -> Iterator[_Verdict]:
    """The verdict on *difference*: one, or several where services are judged apart."""
    matching = [rule for rule in rules if _names(rule, difference.field, difference.item)]
    groups: dict[tuple[AllowRule, ...], list[str]] = {}
    for service in difference.services or ("",):
        for_service = tuple(rule for rule in matching if _is_in(rule, service))
        groups.setdefault(for_service, []).append(service)
    for fitting, services in groups.items():
        part = replace(difference, services=tuple(filter(None, services)))
        yield _verdict(part, pair, fitting)


def _verdict(difference: Difference, pair: Pair, rules: Sequence[AllowRule]) -> _Verdict:
    """The first rule that is met; *rules* are those that are about *difference*."""
    faults = []
    for count, rule in enumerate(rules, 1):
        fault = _fault(rule, difference, pair)
        if not fault:
            return _Verdict(difference, rule, tuple(rules[:count]))
        faults.append(fault)
    if faults:
        detail = "; ".join(filter(None, (difference.detail, faults[0])))
        return _Verdict(replace(difference, detail=detail), None, tuple(rules))
    return _Verdict(difference, None, ())


def _fault(rule: AllowRule, difference: Difference, pair: Pair) -> str:
    """Why *rule*, which is about *difference*, does not allow it; empty if it does."""
    if rule.relation and not _is_met(rule.relation, difference):
        return f"allowed only if {_WORDS[rule.relation]}"
    demanded = dict(rule.must)
    ends = (
        (pair[0], "missing_left", difference.left),
        (pair[1], "missing_right", difference.right),
    )
    for name, missing, value in ends:
        if name not in demanded:
            continue
        # Of a secret nothing is in here; `broken` compares it.
        if difference.kind == missing or (not difference.secret and value != demanded[name]):
            return f"not the value that is demanded of {name}"
    return ""


_WORDS: dict[Relation, str] = {
    "host only": "nothing but an address's host or port differs",
    "missing": "one side lacks it",
    "different": "both sides have it",
    "no effect": "it has no effect",
}


def _is_met(relation: Relation, difference: Difference) -> bool:
    match relation:
        case "host only":
            return (
                effect(replace(difference, field="environment", no_effect="", identity=False))
                == "place"
            )
        case "missing":
            return difference.kind != "different"
        case "different":
            return difference.kind == "different"
        case "no effect":
            return bool(difference.no_effect)
        case _:
            assert_never(relation)


def _is_about(rule: AllowRule, pair: Pair) -> bool:
    return not rule.pairs or any(set(pair) == set(written) for written in rule.pairs)


def _is_over(rule: AllowRule, today: date) -> bool:
    return rule.expires is not None and rule.expires < today


def _names(rule: AllowRule, field: Field, item: str) -> bool:
    """Whether the key of *rule* fits; one without a colon is about variables only."""
    if ":" in rule.key:
        return fnmatchcase(f"{field}:{item}", rule.key)
    return field in ("file", "environment") and fnmatchcase(item, rule.key)


def _is_in(rule: AllowRule, service: str) -> bool:
    """Whether *rule* is about *service*; an empty name is the env files."""
    if not rule.services:
        return True
    if not service:
        return ENV_FILES in rule.services
    return any(fnmatchcase(service, pattern) for pattern in rule.services)


def _faults(rule: AllowRule, value: str, facts: EnvironmentFacts) -> Iterator[str]:
    found = dict.fromkeys(_values(rule, facts))
    if not found and (facts.files is not None or facts.services is not None):
        yield "missing"
    elif any(one != value for _, one in found):
        places = dict.fromkeys(place for place, one in found if one != value)
        yield f"not the value that is demanded: {', '.join(places)}"


def _values(rule: AllowRule, facts: EnvironmentFacts) -> Iterator[tuple[str, str | None]]:
    """Where *facts* has what *rule* is about, and its value."""
    for key, variable in sorted((facts.files or {}).items()):
        if _names(rule, "file", key) and _is_in(rule, ""):
            yield ENV_FILES, variable.value
    for service in facts.services or ():
        for item in service.items:
            if _names(rule, item.field, item.item) and _is_in(rule, service.name):
                yield service.name, item.value


def _remark(kind: str, rule: AllowRule, text: str) -> Remark:
    return Remark(kind=kind, key=rule.key, file=_FILE, line=rule.line, text=text)
