"""A Makefile whose targets call ``inv``: what is understood of it is written anew. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from unstale.survey.adoption import Adoption, Row, Unit
from unstale.survey.equivalents import Kind
from unstale.survey.makefile import parse

__all__ = ["thin"]

_RULE = re.compile(r"(?P<names>[^:#]+):(?P<needs>[^#;]*)(?:;[^#]*)?(?P<comment>#.*)?", re.DOTALL)
_GIVEN = re.compile(r"\$\{(\w+)\}")


def thin(text: str, found: Adoption) -> str:
    """*text*, where each target that is understood whole calls what it becomes.

    The rest stays to the byte: a target with a command that is not understood, or that
    is about something else.
    """
    rows = text.split("\n")
    units = {unit.name: unit for unit in found.units}
    done = set[int]()
    for unit in sorted(found.units, key=lambda one: one.line, reverse=True):
        if unit.line not in done and _is_whole(unit):
            done.add(unit.line)
            rows[unit.line - 1 : unit.last] = _rule(rows[unit.line - 1], unit, units, text)
    return "\n".join(rows)


def _is_whole(unit: Unit) -> bool:
    # What several rules say together is not in one place.
    in_order = all(unit.line <= row.line <= unit.last for row in unit.rows)
    return bool(unit.becomes and unit.rows) and in_order and not unit.left


def _rule(row: str, unit: Unit, units: Mapping[str, Unit], text: str) -> list[str]:
    end = "\r" if row.endswith("\r") else ""
    match = _RULE.match(row.rstrip("\r\\"))
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
