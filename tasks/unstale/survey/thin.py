"""A Makefile whose targets call ``inv``: what is understood of it is written anew. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from unstale.survey.adoption import Adoption, Row, Unit
from unstale.survey.equivalents import Kind
from unstale.survey.makefile import parse

__all__ = ["scattered", "thin"]

_RULE = re.compile(r"(?P<names>[^:#\t][^:#]*):(?P<needs>[^:#;]*)(?:;[^#]*)?(?P<comment>#.*)?")
_GIVEN = re.compile(r"\$\{(\w+)\}")


def thin(text: str, found: Adoption) -> str:
    """*text*, where each target that is understood whole calls what it becomes.

    The rest stays to the byte: a target with a command that is not understood, that is
    about something else, or that is `scattered`.
    """
    rows = text.split("\n")
    units = {unit.name: unit for unit in found.units}
    done = set[int]()
    for unit in sorted(found.units, key=lambda one: one.line, reverse=True):
        if unit.line not in done and _is_whole(unit) and not _stray(rows, unit):
            done.add(unit.line)
            rows[unit.line - 1 : unit.last] = _rule(rows[unit.line - 1], unit, units, text)
    return "\n".join(rows)


def scattered(text: str, found: Adoption) -> tuple[tuple[Unit, int], ...]:
    """The targets that are understood and stay, each with the line that keeps it from `thin`.

    A rule of several lines or with two colons, a condition, a variable or a comment
    amid the recipe: what such a line means is lost with the lines around it.
    """
    rows = text.split("\n")
    whole = ((unit, _stray(rows, unit)) for unit in found.units if _is_whole(unit))
    return tuple((unit, line) for unit, line in whole if line)


def _is_whole(unit: Unit) -> bool:
    return bool(unit.becomes and unit.rows) and not unit.left


def _stray(rows: Sequence[str], unit: Unit) -> int:
    """The first line of *unit* that is not its rule in one line, nor its recipe; else 0."""
    # What several rules say together is not in one place.
    for one in unit.rows:
        if not unit.line <= one.line <= unit.last:
            return one.line
    if _matched(rows[unit.line - 1]) is None:
        return unit.line
    goes_on = False
    for line in range(unit.line + 1, unit.last + 1):
        row = rows[line - 1].removesuffix("\r")
        if not (goes_on or row.startswith("\t")):
            return line
        goes_on = row.endswith("\\")
    return 0


def _matched(row: str) -> re.Match[str] | None:
    """The parts of a rule that is written in one line, with one colon."""
    bare = row.removesuffix("\r")
    return None if bare.endswith("\\") else _RULE.fullmatch(bare)


def _rule(row: str, unit: Unit, units: Mapping[str, Unit], text: str) -> list[str]:
    end = "\r" if row.endswith("\r") else ""
    match = _matched(row)
    if match is None:
        return [row]
    needs = [name for name in match["needs"].split() if not _is_done(units.get(name))]
    comment = f" {match['comment'].strip()}" if match["comment"] else ""
    head = f"{match['names']}:{' ' if needs else ''}{' '.join(needs)}{comment}"
    task = unit.becomes.replace("$", "$$")
    return [f"{head}{end}", f"\tinv {task}{_passed(unit.rows, text)}{end}"]


def _is_done(unit: Unit | None) -> bool:
    """Whether what *unit* does is a part of what needs it."""
    return unit is not None and _is_whole_or_part(unit)


def _is_whole_or_part(unit: Unit) -> bool:
    return unit.kind in (Kind.TASK, Kind.PART) and not unit.left


def _passed(rows: tuple[Row, ...], text: str) -> str:
    """What the caller of make gives to the tests: ``make test ARGS="-k login"``."""
    known = parse(text).variables
    for row in rows:
        if row.meaning.task.startswith("test."):
            for name in _GIVEN.findall(row.text):
                if name not in known:
                    is_script = row.meaning.why.startswith("by what")
                    return f" $({name})" if is_script else f" $(if $({name}),-- $({name}))"
    return ""
