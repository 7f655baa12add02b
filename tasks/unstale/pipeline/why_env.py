"""Why two environments are, or are not, at parity: who decided each value, and what allows it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from unstale.errors import UnknownName
from unstale.parity.model import Difference, Source
from unstale.parity.report import AllowedDifference, PairReport, ParityReport, effect
from unstale.pipeline.explanation import Answer, Cause, Place

__all__ = ["explain", "rule_lines"]

_POLICY = "pyproject.toml"
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*tool\.unstale\.parity\.allow[ \t]*\]\]", re.MULTILINE)
_NEXT_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)

Rules = Mapping[tuple[str, str], int]
"""Key and reason of a rule to the line that it begins on."""

_EFFECTS = {
    "behaviour": "it is about what runs",
    "value": "it is a variable of a container",
    "place": "only a host or a port differs",
    "none": "it has no effect",
    "identity": "it only names something",
}


def explain(report: ParityReport, rules: Rules, service: str | None = None) -> tuple[Answer, ...]:
    """An answer for each pair of *report*.

    Raises:
        UnknownName: no environment has such a *service*.

    """
    known = {name for pair in report.pairs for name in pair.services}
    if service is not None and service not in known:
        raise UnknownName("service", service, known, hint="inv why env --service NAME")
    return tuple(_answer(pair, rules, service) for pair in report.pairs)


def _answer(pair: PairReport, rules: Rules, service: str | None) -> Answer:
    found = [_cause(one, pair) for one in pair.open if _concerns(one, service)]
    found += [
        _allowed(one, pair, rules) for one in pair.allowed if _concerns(one.difference, service)
    ]
    verdict = "stale" if pair.open else "unknown" if pair.unknown else "fresh"
    return Answer(
        subject=f"{pair.left} and {pair.right}",
        verdict=verdict,
        summary=_summary(pair),
        causes=tuple(_folded(found)),
        evidence=(*pair.unknown, *pair.notes),
        next="" if verdict == "fresh" else f"inv env.diff {pair.left} {pair.right}",
    )


def _summary(pair: PairReport) -> str:
    open_ = {one.path for one in pair.open}
    allowed = {one.difference.path for one in pair.allowed}
    counts = (
        f"{len(open_)} not explained" if open_ else "",
        f"{len(allowed)} allowed" if allowed else "",
        "could not be compared" if pair.unknown else "",
    )
    return ", ".join(part for part in counts if part) or "no difference"


def _concerns(difference: Difference, service: str | None) -> bool:
    return service is None or service in difference.services


def _cause(one: Difference, pair: PairReport) -> Cause:
    sides = ((pair.left, one.left_source), (pair.right, one.right_source))
    return Cause(
        what=one.path,
        how=_how(one, pair),
        places=tuple(_place(name, source) for name, source in sides if source),
        notes=tuple(note for note in (_effect(one), _where(one)) if note),
    )


def _how(one: Difference, pair: PairReport) -> str:
    words = {"missing_left": f"missing in {pair.left}", "missing_right": f"missing in {pair.right}"}
    secret = " (secret)" if one.secret else ""
    return words.get(one.kind, "different") + secret + (f": {one.detail}" if one.detail else "")


def _effect(one: Difference) -> str:
    return f"no effect: {one.no_effect}" if one.no_effect else _EFFECTS[effect(one)]


def _where(one: Difference) -> str:
    return f"in {', '.join(one.services)}" if one.services else "in the env files"


def _place(name: str, source: Source) -> Place:
    match source.kind:
        case "image":
            return Place(f"image {source.file}", None, name)
        case "default":
            role = f"{name}, a default"
        case "interpolation":
            role = f"{name}, by ${{{source.variable}}}"
        case _:
            role = name
    return Place(source.file or "the shell", source.line, role)


def _allowed(one: AllowedDifference, pair: PairReport, rules: Rules) -> Cause:
    found = _cause(one.difference, pair)
    line = rules.get((one.rule, one.reason))
    rule = Place(_POLICY, line, f"allows {one.rule}", one.reason)
    return replace(found, places=(*found.places, rule), is_accepted=True)


def _folded(found: Iterable[Cause]) -> Iterator[Cause]:
    """The same in the env files and in containers, as one."""
    groups: dict[tuple[object, ...], list[Cause]] = {}
    for one in found:
        # What allows it is the last of its places.
        key = (one.what, one.how, one.is_accepted, one.places[-1:] if one.is_accepted else ())
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        places = tuple(dict.fromkeys(place for one in group for place in one.places))
        rule = group[0].places[-1:] if group[0].is_accepted else ()
        notes = tuple(dict.fromkeys(note for one in group for note in one.notes))
        rest = tuple(place for place in places if place not in rule)
        yield replace(group[0], places=(*rest, *rule), notes=notes)


def rule_lines(text: str) -> Rules:
    """Where each rule of a pyproject.toml with *text* begins; one written inline has no line."""
    found: dict[tuple[str, str], int] = {}
    for header in _HEADER.finditer(text):
        end = _NEXT_HEADER.search(text, header.end())
        block = text[header.end() : end.start() if end else len(text)]
        try:
            rule = tomllib.loads(block)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue  # a bracket in a text of several lines
        key, reason = rule.get("key"), rule.get("reason")
        if isinstance(key, str) and isinstance(reason, str):
            found.setdefault((key, reason), text.count("\n", 0, header.start()) + 1)
    return found
