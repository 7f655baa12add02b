"""Findings as GitHub's workflow commands, which show them at their lines. Pure.

No annotation has a value, whatever was asked to be shown: they outlive the log.
GitHub shows ten errors, ten warnings and ten notices of a step, so those that
matter most come first.

Source: github.com/actions/toolkit, ``packages/core/src/command.ts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from unstale.parity.model import Difference
from unstale.parity.places import FALLBACK, Place, place_of
from unstale.parity.report import PairReport, ParityReport, Remark
from unstale.render.parity import Folded, View, folded, more_of, plain, shown, what

__all__ = ["commands", "masks"]

Level = Literal["error", "warning", "notice"]

# GitHub replaces a masked value wherever it occurs: one as short as "1" or
# "true" would garble the log of the whole job.
_SHORTEST_MASKED = 6


def commands(report: ParityReport, *, gating: bool = True) -> tuple[str, ...]:
    """One command a finding: errors, then warnings, then notices.

    Without *gating* nothing fails, so differences are warnings.
    """
    return (
        *(line for pair in report.pairs for line in _open(pair, "error" if gating else "warning")),
        *(_remark("error", one, f"permission: {one.kind}") for one in report.policy_findings),
        *(_remark("warning", one, "read differently") for one in report.hazards),
        *(_remark("notice", one, one.kind) for one in report.findings),
        *(line for pair in report.pairs for line in _notices(pair)),
    )


def masks(report: ParityReport, view: View) -> tuple[str, ...]:
    """Commands that hide the values to be shown, for a log that others can read.

    They are to be printed before anything else; nothing where no value is shown.
    """
    values = {
        line
        for pair in report.pairs
        for difference in _all(pair)
        for value in shown(difference, view)
        for line in (value or "").splitlines()
        if view.values_shown and len(line) >= _SHORTEST_MASKED
    }
    return tuple(f"::add-mask::{_data(value)}" for value in sorted(values))


def _all(pair: PairReport) -> Iterator[Difference]:
    yield from (*pair.open, *pair.identity)
    yield from (allowed.difference for allowed in pair.allowed)


def _open(pair: PairReport, level: Level) -> Iterator[str]:
    for one in folded(pair.open):
        yield _difference(level, one, pair, more_of(one.first))


def _notices(pair: PairReport) -> Iterator[str]:
    for one in folded(pair.allowed):
        yield _difference("notice", one, pair, f"allowed: {one.reason}")


def _difference(level: Level, found: Folded, pair: PairReport, more: str) -> str:
    difference = found.first
    words = what(difference.kind, pair.left, pair.right)
    services = f" for {', '.join(found.services)}" if found.services else ""
    between = f" ({pair.left} and {pair.right})"
    message = f"{difference.path}: {words}{services}{between}{f': {more}' if more else ''}"
    title = f"{difference.path} {words}"
    return _command(level, place_of(difference, pair), title, message)


def _remark(level: Level, remark: Remark, title: str) -> str:
    place = Place(remark.file, remark.line or 1) if remark.file else FALLBACK
    # Of a line that has no name, the key is empty.
    name = f"{remark.key}: " if remark.key else ""
    return _command(level, place, f"{name}{title}", f"{name}{remark.text or remark.kind}")


def _command(level: Level, place: Place, title: str, message: str) -> str:
    properties = f"file={_property(place.file)},line={place.line},title={_property(title)}"
    return f"::{level} {properties}::{_data(plain(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")
