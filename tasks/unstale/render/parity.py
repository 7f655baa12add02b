"""What differs between environments, as JSON and as text, without secret values. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unstale.parity.model import Difference, Kind, Source
from unstale.parity.report import (
    AllowedDifference,
    Effect,
    PairReport,
    ParityReport,
    Remark,
    SyncRow,
    effect,
)
from unstale.spoken import as_typed

__all__ = [
    "Folded",
    "View",
    "check_document",
    "check_text",
    "diff_document",
    "diff_text",
    "folded",
    "more_of",
    "plain",
    "shown",
    "sync_document",
    "sync_text",
    "what",
]

Pair = tuple[str | None, str | None]


def _nothing(_item: str, _value: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class View:
    """What somebody asked to see."""

    values_shown: bool = False
    """Show values that are not secret."""
    identity_shown: bool = False
    """Unfold names and published ports."""
    is_showable: Callable[[str, str], bool] = _nothing
    """Whether a server's setting and its value are known to be harmless."""
    width: int = 100
    """Columns that text may take."""


_PLAIN = View()


def plain(text: str) -> str:
    """*text* with what would steer a terminal spelled out."""
    # Keys, services and files are other people's text.
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(difference: Difference, view: View) -> Pair:
    """The two values, each None where it is missing or not to be seen."""
    return (
        _shown(difference, difference.left, view),
        _shown(difference, difference.right, view),
    )


def _shown(difference: Difference, value: str | None, view: View) -> str | None:
    if difference.secret or value is None:
        return None
    is_variable = difference.field in ("file", "environment")
    harmless = not is_variable and view.is_showable(difference.item, value)
    return value if view.values_shown or harmless else None


def more_of(difference: Difference) -> str:
    """What can be told of *difference* beside its name and its kind."""
    without = f"no effect: {difference.no_effect}" if difference.no_effect else ""
    return "; ".join(part for part in (difference.detail, without) if part)


def what(kind: Kind, left: str, right: str) -> str:
    """The kind of a difference in words."""
    words = {"missing_left": f"missing in {left}", "missing_right": f"missing in {right}"}
    return words.get(kind, "different")


# JSON


def diff_document(report: ParityReport, view: View = _PLAIN) -> dict[str, Any]:
    """The contract's ``env-diff`` document of a report that has one pair.

    ``missing_left``, ``missing_right``, ``different`` and ``services`` are
    empty exactly if ``parity`` holds: they list what nobody explained.
    """
    (pair,) = report.pairs
    return {
        "schema": "unstale/env-diff@1",
        **_pair(pair, view),
        "hazards": [_remark(one) for one in report.hazards],
        "findings": [_remark(one) for one in report.findings],
        "notes": [*pair.notes, *report.notes],
    }


def check_document(
    report: ParityReport, view: View = _PLAIN, *, gating: bool = True
) -> dict[str, Any]:
    """The ``env-check`` document: all pairs, and what is wrong with the policy.

    *gating* says whether the project has a policy, without which nothing fails.
    """
    return {
        "schema": "unstale/env-check@1",
        "parity": report.parity,
        "gating": gating,
        "pairs": [{**_pair(pair, view), "notes": list(pair.notes)} for pair in report.pairs],
        "policy": [_remark(one) for one in report.policy_findings],
        "hazards": [_remark(one) for one in report.hazards],
        "findings": [_remark(one) for one in report.findings],
        "notes": list(report.notes),
    }


def _pair(pair: PairReport, view: View) -> dict[str, Any]:
    files = [d for d in pair.open if d.field == "file"]
    return {
        "left": pair.left,
        "right": pair.right,
        "parity": pair.parity,
        "unknown": list(pair.unknown),
        "missing_left": [d.item for d in files if d.kind == "missing_left"],
        "missing_right": [d.item for d in files if d.kind == "missing_right"],
        "different": [_different(d, view) for d in files if d.kind == "different"],
        "allowed": [_permitted(row) for row in folded(pair.allowed)],
        "services": _services(pair.open, view),
        "differences": [_difference(d, view) for d in pair.open],
        "no_effect": [_difference(d, view) for d in pair.open if d.no_effect],
        "identity": [_difference(d, view) for d in pair.identity],
    }


def _different(difference: Difference, view: View) -> dict[str, Any]:
    entry: dict[str, Any] = {"key": difference.item, "secret": difference.secret}
    if view.values_shown and not difference.secret:
        entry |= {"left_value": difference.left, "right_value": difference.right}
    return entry


def _permitted(row: Folded) -> dict[str, Any]:
    return {
        "key": row.first.path,
        "kind": row.first.kind,
        "reason": row.reason,
        "fields": list(row.fields),
        "services": list(row.services),
    }


def _services(differences: Iterable[Difference], view: View) -> list[dict[str, Any]]:
    rows = [
        {
            "service": service,
            "field": d.field,
            "item": d.item,
            "left": shown(d, view)[0],
            "right": shown(d, view)[1],
            "kind": d.kind,
            "secret": d.secret,
        }
        for d in differences
        if d.field != "file"
        for service in d.services
    ]
    return sorted(rows, key=lambda r: (r["service"], r["field"], r["item"], r["kind"]))


def _difference(difference: Difference, view: View) -> dict[str, Any]:
    left, right = shown(difference, view)
    return {
        "key": difference.path,
        "field": difference.field,
        "item": difference.item,
        "kind": difference.kind,
        "services": list(difference.services),
        "secret": difference.secret,
        "left": left,
        "right": right,
        "left_source": _source(difference.left_source),
        "right_source": _source(difference.right_source),
        "effect": effect(difference),
        "detail": difference.detail,
        "no_effect": difference.no_effect,
    }


def _source(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    variable = {"variable": source.variable} if source.variable else {}
    return {"file": source.file, "line": source.line, "kind": source.kind, **variable}


def _remark(remark: Remark) -> dict[str, Any]:
    return {
        "kind": remark.kind,
        "key": remark.key,
        "file": remark.file or None,
        "line": remark.line,
        "text": remark.text,
    }


# Folding


@dataclass(frozen=True, slots=True)
class Folded:
    """What a person reads as one difference: in the files and in containers at once."""

    differences: tuple[Difference, ...]
    reason: str = ""
    """Why it is allowed; empty where it is not."""

    @property
    def first(self) -> Difference:
        """The one that stands for all: they have the same values."""
        return self.differences[0]

    @property
    def fields(self) -> tuple[str, ...]:
        """Where it was found: ``file``, ``environment`` or another field."""
        return tuple(dict.fromkeys(d.field for d in self.differences))

    @property
    def services(self) -> tuple[str, ...]:
        """All services that have it, sorted."""
        return tuple(sorted({service for d in self.differences for service in d.services}))


def folded(found: Iterable[Difference | AllowedDifference]) -> list[Folded]:
    """A variable of the files and the same of the containers, as one row."""
    groups: dict[tuple[object, ...], list[Difference]] = {}
    for one in found:
        difference, reason = (
            (one.difference, one.reason) if isinstance(one, AllowedDifference) else (one, "")
        )
        groups.setdefault(_sameness(difference, reason), []).append(difference)
    return [Folded(tuple(group), str(key[0])) for key, group in groups.items()]


def _sameness(difference: Difference, reason: str) -> tuple[object, ...]:
    # Of one path, containers may differ in several ways; those stay apart.
    d = difference
    return (reason, d.path, d.kind, d.secret, d.left, d.right, d.detail, d.no_effect, d.identity)


# Text

_HEADS: dict[Effect, str] = {
    "behaviour": "What runs",
    "value": "Variables",
    "place": "Only the host or port",
    "none": "Without effect",
    "identity": "Names and published ports",
}


def diff_text(report: ParityReport, view: View = _PLAIN) -> tuple[str, ...]:
    """The comparison of a report's only pair, as lines for a person."""
    (pair,) = report.pairs
    return _paragraphs(
        [*_pair_text(pair, view), *_remarks(report, view), [_next_of_pair(pair)]],
    )


def check_text(
    report: ParityReport, view: View = _PLAIN, *, gating: bool = True
) -> tuple[str, ...]:
    """All pairs, what is wrong with the policy, and what to do."""
    pairs = [part for pair in report.pairs for part in _pair_text(pair, view)]
    policy = _section("What is wrong with the policy", report.policy_findings, view)
    return _paragraphs(
        [*pairs, policy, *_remarks(report, view), [_next_of_check(report, gating=gating)]]
    )


def _paragraphs(parts: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """*parts* with an empty line between them."""
    kept = [[line for line in part if line] for part in parts]
    lines = [line for part in kept if part for line in ("", *part)]
    return tuple(lines[1:])


def _pair_text(pair: PairReport, view: View) -> Iterator[list[str]]:
    notes = (*pair.unknown, *pair.notes)
    yield [plain(_headline(pair, view)), *(f"  {plain(note)}" for note in notes)]
    identity = pair.identity if view.identity_shown else ()
    rows = folded((*pair.open, *identity))
    for kind, head in _HEADS.items():
        group = [row for row in rows if effect(row.first) == kind]
        yield [f"{head}:", *_lines(group, pair, view)] if group else []
    allowed = folded(pair.allowed)
    yield ["Allowed:", *_lines(allowed, pair, view)] if allowed else []


def _headline(pair: PairReport, view: View) -> str:
    rows = folded(pair.open)
    count = f"{_number(len(rows), 'difference')}{_where_at_all(rows)}" if rows else ""
    harmless = [row for row in rows if row.first.no_effect]
    hidden = "" if view.identity_shown else " folded"
    extra = (
        f"{len(folded(pair.allowed))} allowed" if pair.allowed else "",
        f"{len(harmless)} of them without effect" if harmless else "",
        f"{len(folded(pair.identity))} of identity{hidden}" if pair.identity else "",
    )
    numbers = ", ".join(part for part in (count, *extra) if part)
    verdict = "are at parity" if pair.parity else "differ" if pair.open else "were not compared"
    return f"{pair.left} and {pair.right} {verdict}" + (f": {numbers}" if numbers else "")


def _where_at_all(rows: Sequence[Folded]) -> str:
    services = {service for row in rows for service in row.services}
    return f" in {_number(len(services), 'service')}" if services else " in the env files"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _lines(rows: Sequence[Folded], pair: PairReport, view: View) -> list[str]:
    """One line a row, its columns aligned; if one is too long, what follows goes below it."""
    cells = [tuple(map(plain, _columns(row, pair))) for row in rows]
    # One long name must not push all others off the screen.
    widths = [min(max(map(len, column)), 32) for column in zip(*cells, strict=True)]
    heads = [
        "  " + "  ".join(f"{text:<{w}}" for text, w in zip(cell, widths, strict=True)).rstrip()
        for cell in cells
    ]
    parts = [_about(row, pair, view) for row in rows]
    full = ["  ".join((head, *more)) for head, more in zip(heads, parts, strict=True)]
    if all(len(line) <= view.width for line in full):
        return full
    return [
        line
        for head, more in zip(heads, parts, strict=True)
        for line in (
            *_filled(head, view.width, ""),
            *(line for part in more for line in _filled(part, view.width, "      ")),
        )
    ]


def _columns(row: Folded, pair: PairReport) -> tuple[str, str, str, str]:
    d = row.first
    secret = " (secret)" if d.secret else ""
    words = what(d.kind, pair.left, pair.right)
    return (d.path, f"{words}{secret}", _places(row, pair), d.detail)


def _places(row: Folded, pair: PairReport) -> str:
    services = row.services
    is_all = len(services) > 1 and services == tuple(sorted(pair.services))
    listed = "all services" if is_all else ", ".join(services)
    return ", ".join(p for p in ("files" if "file" in row.fields else "", listed) if p)


def _about(row: Folded, pair: PairReport, view: View) -> list[str]:
    """What else there is to say, each part short enough for a line."""
    d = row.first
    sides = (
        "" if d.kind == "missing_left" else _side(pair.left, 0, row, view),
        "" if d.kind == "missing_right" else _side(pair.right, 1, row, view),
    )
    parts = (
        f"({'; '.join(side for side in sides if side)})" if any(sides) else "",
        f"no effect: {d.no_effect}" if d.no_effect else "",
        f"allowed: {row.reason}" if row.reason else "",
    )
    return [plain(part) for part in parts if part]


def _side(name: str, side: Literal[0, 1], row: Folded, view: View) -> str:
    """Where one side's value is from, and the value if it is to be seen."""
    sources = [(d.left_source, d.right_source)[side] for d in row.differences]
    places = ", ".join(dict.fromkeys(_place(source) for source in sources if source))
    # repr, because a value may hold control characters of a terminal.
    value = shown(row.first, view)[side]
    is_null = value is None and view.values_shown and _may_be_null(row.first)
    told = "no value" if is_null else "" if value is None else repr(value)
    return f"{name} {told}{' at ' if told and places else ''}{places}" if told or places else ""


def _may_be_null(difference: Difference) -> bool:
    return difference.field in ("file", "environment") and not difference.secret


def _place(source: Source) -> str:
    line = f":{source.line}" if source.line is not None else ""
    match source.kind:
        case "image":
            return f"image {source.file}"
        case "default":
            return f"a default of {source.file}{line}"
        case "interpolation":
            return f"{source.file}{line} (${{{source.variable}}})"
        case _:
            return f"{source.file}{line}"


def _filled(text: str, width: int, indent: str) -> list[str]:
    # Neither a path nor a name is torn: somebody will want to copy it.
    return textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _remarks(report: ParityReport, view: View) -> Iterator[list[str]]:
    loud, quiet = _parted(report.hazards, "docker-run")
    yield _section("Read differently by compose and by others", loud, view)
    told, optional = _parted(report.findings, "optional")
    yield [
        *_section("In the files and in the code", told, view),
        _counted(quiet, "line", "that docker run --env-file would read differently"),
        _counted(optional, "variable", "that the code can do without"),
        *(plain(note) for note in report.notes),
    ]


def _parted(remarks: Sequence[Remark], quiet: str) -> tuple[list[Remark], int]:
    """*remarks* without those of the kind *quiet*, and the number of those."""
    told = [one for one in remarks if one.kind != quiet]
    return told, len(remarks) - len(told)


def _counted(count: int, noun: str, what: str) -> str:
    return f"{_number(count, noun)} {what}: --json lists them" if count else ""


def _section(head: str, remarks: Sequence[Remark], view: View) -> list[str]:
    lines = [
        line for one in remarks for line in _filled(plain(_remark_line(one)), view.width, "  ")
    ]
    return [f"{head}:", *lines] if lines else []


def _remark_line(remark: Remark) -> str:
    line = f":{remark.line}" if remark.line is not None else ""
    place = f"{remark.file}{line}" if remark.file else ""
    words = ": ".join(part for part in (remark.kind, remark.text) if part)
    return "  ".join(part for part in (place, remark.key, words) if part)


def _next_of_pair(pair: PairReport) -> str:
    if pair.parity:
        return ""
    if not pair.open:
        return "Next: give both what is missing; --files-only compares the env files alone"
    return "Next: make them equal, or write a [[tool.unstale.parity.allow]] with its reason"


def _next_of_check(report: ParityReport, *, gating: bool) -> str:
    if any(not pair.parity for pair in report.pairs):
        if not gating:
            return as_typed(
                "There is no policy yet, so test.integration only mentions this.  "
                "Next: inv env.check --baseline"
            )
        return _next_of_pair(next(pair for pair in report.pairs if not pair.parity))
    if report.policy_findings:
        return "Next: mend or remove these [[tool.unstale.parity.allow]]"
    return ""


# env.sync


def sync_document(rows: Sequence[SyncRow], *, written: bool) -> dict[str, Any]:
    """The ``env-sync`` document; *written* is false for a dry run."""
    return {
        "schema": "unstale/env-sync@1",
        "written": written,
        "complete": not any(row.state == "refused" for row in rows),
        "keys": [
            {
                "file": row.file,
                "key": row.key,
                "state": row.state,
                "origin": row.origin or None,
                "line": row.line,
                "why": row.why or None,
            }
            for row in rows
        ],
    }


def sync_text(rows: Sequence[SyncRow], *, written: bool) -> tuple[str, ...]:
    """What was added, or would be; no value is in it."""
    if not rows:
        return ("No key is missing.",)
    added = sum(row.state == "add" for row in rows)
    verb = "added" if written else "would be added"
    refused = len(rows) - added
    count = f"{_number(added, 'key')} {verb}" + (f", {refused} refused" if refused else "")
    after = () if written or not added else (as_typed("Next: inv env.sync --write"),)
    return (*(plain(_sync_line(row, verb)) for row in rows), count, *after)


def _sync_line(row: SyncRow, verb: str) -> str:
    line = f":{row.line}" if row.line is not None else ""
    state = f"{verb} ({row.origin})" if row.origin else verb
    tail = state if row.state == "add" else f"refused: {row.why}"
    return f"{row.file}{line}  {row.key}  {tail}"
