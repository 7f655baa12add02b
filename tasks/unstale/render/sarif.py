"""Findings as a SARIF 2.1.0 log, without a value. Pure.

Allowed differences are in it as suppressed results, with their reason: a
reader of the log sees that somebody looked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import quote

from unstale.parity.model import Difference
from unstale.parity.places import FALLBACK, Place, place_of
from unstale.parity.report import PairReport, ParityReport, Remark
from unstale.render.parity import more_of, plain, what

__all__ = ["SCHEMA", "sarif"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_PRINT = "unstaleParity/v1"

Level = Literal["error", "warning", "note"]

_RULES: dict[str, tuple[Level, str]] = {
    "parity/missing": ("error", "One environment has something that the other lacks."),
    "parity/different": ("error", "Two environments differ, and nobody wrote down why."),
    "parity/unused-permission": ("error", "A permission matches no difference."),
    "parity/expired-permission": ("error", "A permission is past its date."),
    "parity/demanded-value": ("error", "An environment has not the value that a rule demands."),
    "parity/hazard": ("warning", "One env file is read differently by its readers."),
    "parity/inert": ("note", "A variable reaches no container that reads it."),
    "parity/near-miss": ("note", "The code reads a variable that is set under a similar name."),
}
_POLICY = {
    "unused": "parity/unused-permission",
    "expired": "parity/expired-permission",
    "must": "parity/demanded-value",
}
_OTHER: tuple[Level, str] = ("note", "Something about a variable is worth a look.")


def sarif(report: ParityReport, version: str, *, gating: bool = True) -> dict[str, Any]:
    """The log of one run of this *version*.

    Without *gating* nothing fails, so differences are warnings. Fingerprints
    are made of names alone: they stay when a value or a line changes.
    """
    results = list(_results(report, gating=gating))
    ids = sorted({*_RULES, *(result["ruleId"] for result in results)})
    for result in results:
        result["ruleIndex"] = ids.index(result["ruleId"])
    _tell_apart(results)
    driver = {
        "name": "unstale",
        "version": version,
        "rules": [_rule(rule) for rule in ids],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: str) -> dict[str, Any]:
    level, text = _RULES.get(rule, _OTHER)
    return {
        "id": rule,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": level},
    }


def _results(report: ParityReport, *, gating: bool) -> Iterator[dict[str, Any]]:
    for pair in report.pairs:
        yield from _of_pair(pair, "error" if gating else "warning")
    for remark in report.policy_findings:
        yield _remark(_POLICY.get(remark.kind, f"parity/{remark.kind}"), remark)
    for remark in report.hazards:
        yield _remark("parity/hazard", remark)
    for remark in report.findings:
        yield _remark(f"parity/{remark.kind}", remark)


def _of_pair(pair: PairReport, level: Level) -> Iterator[dict[str, Any]]:
    for difference in pair.open:
        yield _difference(level, difference, pair, more_of(difference))
    for allowed in pair.allowed:
        result = _difference(level, allowed.difference, pair, allowed.difference.detail)
        reason = plain(allowed.reason)
        yield {
            **result,
            "suppressions": [{"kind": "external", "status": "accepted", "justification": reason}],
        }


def _difference(
    level: Level, difference: Difference, pair: PairReport, more: str
) -> dict[str, Any]:
    words = what(difference.kind, pair.left, pair.right)
    services = f" for {', '.join(difference.services)}" if difference.services else ""
    between = f" ({pair.left} and {pair.right})"
    text = f"{difference.path}: {words}{services}{between}{f': {more}' if more else ''}"
    rule = "parity/different" if difference.kind == "different" else "parity/missing"
    names = (pair.left, pair.right, difference.kind, difference.path, *difference.services)
    return _result(rule, level, text, place_of(difference, pair), (difference.field, *names))


def _remark(rule: str, remark: Remark) -> dict[str, Any]:
    place = Place(remark.file, remark.line or 1) if remark.file else FALLBACK
    level, _ = _RULES.get(rule, _OTHER)
    text = ": ".join(part for part in (remark.key, remark.text or remark.kind) if part)
    return _result(rule, level, text, place, (remark.kind, remark.key, remark.file))


def _result(
    rule: str, level: Level, text: str, place: Place, names: Sequence[str]
) -> dict[str, Any]:
    location = {
        "artifactLocation": {"uri": quote(place.file), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": place.line},
    }
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": plain(text)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {_PRINT: _fingerprint((rule, *names))},
    }


def _tell_apart(results: Sequence[dict[str, Any]]) -> None:
    """Number the results that have the same names, in their order."""
    seen: Counter[str] = Counter()
    for result in results:
        prints = result["partialFingerprints"]
        seen[prints[_PRINT]] += 1
        prints[_PRINT] += f":{seen[prints[_PRINT]]}"


def _fingerprint(names: Sequence[str]) -> str:
    # A zero byte is in no name, so no two lists of names are alike.
    return sha256("\0".join(names).encode()).hexdigest()
