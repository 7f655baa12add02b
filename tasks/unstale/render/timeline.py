"""The timeline on a terminal: a drawing to scale, and what happened in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import assert_never

from unstale.facts import CommitFact
from unstale.image.explain import duration, printable
from unstale.image.timeline import Built, Event, Fold, Lane, Timeline, events

__all__ = ["built_words", "commit_notes", "timeline"]

Cell = Callable[[datetime], int]

_LEGEND = "@ build in use   o earlier build   = as it was built   ! lacks a change"
_LONGEST_LABEL = 20


def timeline(shown: Timeline, width: int = 80) -> tuple[str, ...]:
    """The whole answer, at most *width* columns wide, in plain text."""
    if shown.start is None or shown.end is None:
        return (f"{shown.environment}: nothing was built here, and there is no commit.",)
    lines = (
        *_drawing(shown, shown.start, shown.end, width),
        "",
        *_list(shown),
        "",
        *(line for lane in shown.lanes for line in _summary(lane)),
    )
    return tuple(_cut(line, width) for line in lines)


def _summary(lane: Lane) -> Iterable[str]:
    yield f"{printable(lane.service)}: {lane.verdict}"
    if lane.sentence:
        yield from (f"  {line}" for line in _wrapped(lane.sentence))
    if lane.earlier:
        yield f"  {lane.earlier} earlier builds are not shown"


def _wrapped(sentence: str) -> Sequence[str]:
    # The longest sentence has three parts that end in a comma; one a line is easy to read.
    return (sentence,) if len(sentence) <= 76 else sentence.replace(", ", ",\n").splitlines()


# The drawing


def _drawing(shown: Timeline, start: datetime, end: datetime, width: int) -> Iterable[str]:
    names = [printable(lane.service)[:_LONGEST_LABEL] for lane in shown.lanes]
    label = max(map(len, (*names, "commits"))) + 2
    cells = max(width - label, 20)

    def cell(moment: datetime) -> int:
        span = (end - start).total_seconds()
        return round((moment - start).total_seconds() / span * (cells - 1)) if span else 0

    yield f"{printable(shown.environment)}: builds against commits, in UTC"
    yield ""
    yield " " * label + _ends(start, end, cells)
    for name, lane in zip(names, shown.lanes, strict=True):
        yield f"{name:<{label}}" + _bar(lane, [cell(b.time.at) for b in lane.builds], cell, cells)
    yield f"{'commits':<{label}}" + _marks([cell(c.committed_at) for c in shown.commits], cells)
    yield ""
    yield _LEGEND


def _ends(start: datetime, end: datetime, cells: int) -> str:
    first, last = (f"{m.astimezone(UTC):%Y-%m-%d %H:%M}" for m in (start, end))
    return first if first == last else f"{first}{last:>{max(cells - len(first), 17)}}"


def _bar(lane: Lane, builds: Sequence[int], cell: Cell, cells: int) -> str:
    row = [" "] * cells
    current = lane.current
    if current is not None:
        begin = cell(current.time.at)
        row[begin:] = "=" * (cells - begin)
        if lane.fix is not None and lane.fix.committed_at is not None:
            since = max(cell(lane.fix.committed_at), min(begin + 1, cells - 1))
            row[since:] = "!" * (cells - since)
            gap = f" {duration(lane.fix.committed_at - current.time.at)} "
            if since - begin > len(gap) + 2:
                middle = (begin + since - len(gap)) // 2 + 1
                row[middle : middle + len(gap)] = gap
        elif lane.verdict == "stale":
            row[-1] = "!"  # uncommitted: it has no place of its own on the axis
    for place in builds:
        row[place] = "o"
    if current is not None:
        row[cell(current.time.at)] = "@"
    return "".join(row).rstrip()


def _marks(places: Sequence[int], cells: int) -> str:
    counts = [places.count(place) for place in range(cells)]
    return "".join(" " if not n else "|" if n == 1 else str(n) if n < 10 else "+" for n in counts)


# The list


def _list(shown: Timeline) -> Iterable[str]:
    day = ""
    for event in events(shown):
        moment = _time(event).astimezone(UTC)
        if f"{moment:%Y-%m-%d}" != day:
            day = f"{moment:%Y-%m-%d}"
            yield day
        yield from _gaps(shown, event)
        yield f"  {moment:%H:%M}  {_words(shown, event)}"


def _time(event: Event) -> datetime:
    match event:
        case CommitFact():
            return event.committed_at
        case Built():
            return event.build.time.at
        case Fold():
            return event.commits[0].committed_at
        case _ as never:
            assert_never(never)


def _gaps(shown: Timeline, event: Event) -> Iterable[str]:
    if isinstance(event, CommitFact):
        for lane in shown.fixes(event):
            if lane.gap is not None:
                yield f"    :    {duration(lane.gap)} after the build of {printable(lane.service)}"


def _words(shown: Timeline, event: Event) -> str:
    match event:
        case CommitFact():
            mark = "!" if shown.lacking(event) else " "
            notes = "".join(f"[{note}] " for note in _marks_of(shown, event))
            return f"{mark} {event.short}  {notes}{printable(event.subject)}"
        case Built():
            mark = "@" if event.is_in_use else "o"
            return f"{mark} {printable(event.lane.service)} {built_words(event)}"
        case Fold(commits):
            return f"  ...      {len(commits)} commits, {commits[0].short} to {commits[-1].short}"
        case _ as never:
            assert_never(never)


def built_words(event: Built) -> str:
    """What there is to say about a build."""
    build = event.build
    word = "built" if build.time.is_exact else "first built"
    source = f" from {printable(build.revision[:7])}" if build.revision else ""
    dirty = " (dirty)" if build.dirty else ""
    now = f", {event.lane.verdict} now" if event.is_in_use else ", replaced"
    return f"{word}, {build.image_id.removeprefix('sha256:')[:12]}{source}{dirty}{now}"


def _marks_of(shown: Timeline, commit: CommitFact) -> tuple[str, ...]:
    fixes = [printable(lane.service) for lane in shown.fixes(commit)]
    return (
        *(["HEAD"] if shown.head is not None and commit.sha == shown.head.sha else []),
        *([f"the fix {', '.join(fixes)} lacks"] if fixes else []),
    )


def commit_notes(shown: Timeline, commit: CommitFact) -> tuple[str, ...]:
    """What a commit is to the images: HEAD, the first they lack, or another one."""
    fixed = shown.fixes(commit)
    rest = [printable(lane.service) for lane in shown.lacking(commit) if lane not in fixed]
    return (*_marks_of(shown, commit), *([f"missing in {', '.join(rest)}"] if rest else []))


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 3]}..."
