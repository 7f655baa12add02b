"""Today's differences as a policy: text for pyproject.toml, without any value. Pure."""

from __future__ import annotations

import glob
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unstale.config import AllowRule, Pair, Relation, parsed
from unstale.errors import ConfigError
from unstale.parity.model import Difference
from unstale.parity.policy import ENV_FILES, relation

__all__ = ["REASON", "apply", "entries", "render"]

REASON = "baseline, unreviewed"
"""What a rule says that nobody has thought about yet."""

_EMPTY_POLICY = "[tool.unstale.parity]\npairs = []\n"
_HEADER = "[[tool.unstale.parity.allow]]"


_Place = tuple[str, Relation, tuple[str, ...]]
"""A path, how the two sides differ in it, and where."""


def entries(open_: Mapping[Pair, Sequence[Difference]]) -> tuple[AllowRule, ...]:
    """Rules that allow the differences in *open_* and no others; sorted.

    A rule is for one path, for the services that differ in it today (and
    `ENV_FILES`, if they do), and for the way in which they differ: whatever else
    comes to differ tomorrow, needs a reason of its own.
    """
    pairs: dict[_Place, set[Pair]] = {}
    for pair, differences in open_.items():
        for place in _places(differences):
            pairs.setdefault(place, set()).add(pair)
    return tuple(
        AllowRule(
            key=glob.escape(path),
            reason=REASON,
            pairs=tuple(sorted(pairs[path, how, services])),
            services=tuple(glob.escape(service) for service in services),
            relation=how,
        )
        for path, how, services in sorted(pairs)
    )


def _places(differences: Iterable[Difference]) -> Iterable[_Place]:
    found: dict[tuple[str, Relation], set[str]] = {}
    for one in differences:
        found.setdefault((one.path, relation(one)), set()).update(one.services or (ENV_FILES,))
    for (path, how), services in found.items():
        yield path, how, tuple(sorted(services, key=lambda name: (name != ENV_FILES, name)))


def render(rules: Iterable[AllowRule]) -> str:
    """*rules* as TOML tables with an empty line between them; empty if there is none."""
    return "\n".join("\n".join((_HEADER, *_lines(rule), "")) for rule in rules)


def apply(text: str, rules: Sequence[AllowRule]) -> str:
    """*text* of a pyproject.toml with *rules* at its end; those it has are not added.

    Without any rule there is still a policy afterwards, which the check asks
    for before it fails: an empty one, where there was none.

    What was there is kept to the byte, and its line ends are used. The text
    must be read and written without a translation of line ends. An empty
    *text* is a file that is not there yet.

    Raises:
        ConfigError: *text* can't be parsed, or its way of writing the policy
            leaves no room for more tables at the end.

    """
    old = parsed(text)
    policy = _policy(old)
    new = [rule for rule in rules if _table(rule) not in policy.get("allow", [])]
    if not new and not policy.keys().isdisjoint(("allow", "pairs")):
        return text
    addition = render(new) if new else _EMPTY_POLICY
    whole = text + _gap(text) + _with_line_ends_of(text, addition)
    _check(_with(old, [_table(rule) for rule in new]), whole)
    return whole


def _policy(document: Mapping[str, Any]) -> Mapping[str, Any]:
    table: Any = document
    for key in ("tool", "unstale", "parity"):
        table = table.get(key, {}) if isinstance(table, Mapping) else None
    if not isinstance(table, Mapping) or not isinstance(table.get("allow", []), list):
        raise ConfigError(
            "The baseline can't be added to pyproject.toml.",
            cause="Its [tool.unstale.parity] is no table, or 'allow' in it no list of tables.",
            hint="mend pyproject.toml",
        )
    return table


def _with(document: Mapping[str, Any], tables: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """*document* with *tables* at the end of its policy, or with an empty policy."""
    copy = dict(document)
    inner = copy
    for key in ("tool", "unstale", "parity"):
        inner[key] = dict(inner.get(key, {}))
        inner = inner[key]
    added = {"allow": [*inner.get("allow", []), *tables]} if tables else {"pairs": []}
    inner.update(added)
    return copy


def _gap(text: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    if not text:
        return ""
    return end if text.endswith("\n") else end * 2


def _with_line_ends_of(text: str, addition: str) -> str:
    return addition.replace("\n", "\r\n") if "\r\n" in text else addition


def _check(expected: Mapping[str, Any], whole: str) -> None:
    try:
        same = tomllib.loads(whole) == expected
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "The baseline can't be added to pyproject.toml.",
            cause=f"Its [tool.unstale.parity] is written so that no table can follow: {error}.",
            hint=f"write 'pairs = []' in it, and each entry of 'allow' as a table, {_HEADER}",
        ) from error
    if not same:
        raise AssertionError("BUG: the baseline reads back as something else; please report it.")


def _lines(rule: AllowRule) -> Iterable[str]:
    for key, value in _table(rule).items():
        yield f"{key} = {_toml(value)}"


def _table(rule: AllowRule) -> dict[str, object]:
    """What TOML makes of the rule; of a baseline's rules there is nothing else."""
    table: dict[str, object] = {"key": rule.key, "pairs": ["/".join(p) for p in rule.pairs]}
    if rule.services:
        table["service"] = list(rule.services)
    if rule.relation:
        table["relation"] = rule.relation
    return {**table, "reason": rule.reason}


def _toml(value: object) -> str:
    # A basic string of TOML is one of JSON, except that it forbids DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
