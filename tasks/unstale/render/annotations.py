"""Findings as GitHub's workflow commands, which show them at their lines. Pure.

No annotation has a value, whatever was asked to be shown: they outlive the log.
GitHub shows ten errors, ten warnings and ten notices of a step, so those that
matter most come first.

Source: github.com/actions/toolkit, ``packages/core/src/command.ts``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Literal

from unstale.parity.model import Difference
from unstale.parity.places import FALLBACK, Place, place_of
from unstale.parity.report import PairReport, ParityReport, Remark
from unstale.pipeline.junit import Case
from unstale.pipeline.report import Report, Trouble
from unstale.printable import printable
from unstale.render.parity import Folded, View, folded, more_of, plain, shown, what
from unstale.spoken import as_typed

__all__ = ["below", "commands", "masks", "of_run"]

Level = Literal["error", "warning", "notice"]

# GitHub replaces a masked value wherever it occurs: one as short as "1" or
# "true" would garble the log of the whole job.
_SHORTEST_MASKED = 6

_MOST = 10  # of each level, in one step
_LONGEST = 4000  # characters of a message
_FILE = re.compile(r"^::(?:error|warning|notice) file=")
_LINE = re.compile(r"^(?P<file>[^\s:][^:\n]{0,200}\.py):(?P<line>\d{1,6}):", re.MULTILINE)


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
    return _command(level, place_of(difference, pair), title, plain(message))


def _remark(level: Level, remark: Remark, title: str) -> str:
    place = Place(remark.file, remark.line or 1) if remark.file else FALLBACK
    # Of a line that has no name, the key is empty.
    name = f"{remark.key}: " if remark.key else ""
    text = remark.text or remark.kind
    return _command(level, place, f"{name}{title}", plain(f"{name}{text}"))


def below(folder: str, lines: Iterable[str]) -> tuple[str, ...]:
    """Annotations of a project that is in *folder* of its repository, as GitHub has the paths."""
    if not folder:
        return tuple(lines)
    return tuple(_FILE.sub(lambda head: f"{head[0]}{_property(folder)}/", one) for one in lines)


# A run


def of_run(shown: Report, exists: Callable[[str], bool]) -> tuple[str, ...]:
    """What went wrong in a run, then its failing tests at their lines, then remarks.

    *exists* tells whether a path, relative to the project, is a file of it.
    """
    errors = [
        *(_trouble(one) for one in shown.errors),
        *(_failure(case, exists) for case in shown.failures),
    ]
    remarks = [_command("warning", None, "unstale", printable(one)) for one in shown.remarks]
    return (*_most(errors), *_most(remarks))


def _most(found: Sequence[str]) -> Sequence[str]:
    """As many as are shown; the last one says so, if there are more."""
    if len(found) <= _MOST:
        return found
    level: Level = "error" if found[0].startswith("::error") else "warning"
    rest = f"{len(found) - _MOST + 1} more are in the run's report."
    return (*found[: _MOST - 1], _command(level, None, "unstale", rest))


def _trouble(one: Trouble) -> str:
    hint = f"Next: {as_typed(one.hint)}" if one.hint else ""
    words = "\n".join(filter(None, (one.what, one.cause, hint)))
    return _command("error", None, f"unstale: {one.outcome}", printable(words)[:_LONGEST])


def _failure(case: Case, exists: Callable[[str], bool]) -> str:
    said = case.message or case.text.strip().rpartition("\n")[2] or "failed"
    return _command("error", _raised(case.text, exists), case.name, printable(said)[:_LONGEST])


def _raised(text: str, exists: Callable[[str], bool]) -> Place | None:
    """The last line of the project that a traceback names."""
    for found in reversed([*_LINE.finditer(text)]):
        path = PurePosixPath(found["file"])
        if not path.is_absolute() and ".." not in path.parts and exists(str(path)):
            return Place(str(path), int(found["line"]))
    return None


def _command(level: Level, place: Place | None, title: str, message: str) -> str:
    where = f"file={_property(place.file)},line={place.line}," if place else ""
    return f"::{level} {where}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")
