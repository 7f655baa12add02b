"""The timeline as one page that needs nothing else: inline SVG and CSS, no script.

Service names, file names and commit subjects are other people's text: all of
it goes through `page.text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import assert_never

from unstale.facts import CommitFact
from unstale.image.explain import clock, duration, printable
from unstale.image.timeline import Build, Built, Event, Fold, Lane, Timeline, events
from unstale.render.page import page, text
from unstale.render.timeline import built_words, commit_notes

__all__ = ["TIMELINE_STYLE", "figure", "timeline"]

# In units of the drawing, which is scaled to the page.
_WIDTH, _LABEL, _RIGHT = 1000, 150, 24
_TOP, _LANE, _BAR, _COMMITS = 44, 64, 14, 64
_DOT = 5
# Commits nearer to each other than this are drawn as one, with their number.
_NEAR = 20
_LONGEST_NAME = 18

_TICKS = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 180, 360, 720)),
    *(timedelta(days=days) for days in (1, 2, 7, 14, 30, 90, 180, 365, 1000)),
)
_MOST_TICKS = 7

TIMELINE_STYLE = """
:root { --fresh: var(--good); --stale: var(--bad); --gap: var(--warn); --built: var(--accent); }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { display: block; width: 100%; min-width: 44rem; height: auto; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg text.soft { fill: var(--soft); font-size: 12px; }
svg text.code { font-family: ui-monospace, monospace; font-size: 12px; }
.band { fill: var(--band); } .tick { stroke: var(--line); }
.bar-fresh { fill: var(--fresh); } .bar-stale { fill: var(--stale); }
.bar-other { fill: var(--soft); }
.gap { fill: var(--gap); fill-opacity: .25; stroke: var(--gap); stroke-dasharray: 4 3; }
svg text.gap-label { fill: var(--gap); font-weight: 600; }
.built { fill: var(--built); stroke: var(--page); stroke-width: 2; }
.replaced { fill: var(--page); stroke: var(--built); stroke-width: 2; }
.commit { fill: var(--soft); } .missing { fill: var(--stale); }
.drop { stroke: var(--stale); stroke-dasharray: 3 3; }
.verdict { font-weight: 600; } .verdict.fresh { color: var(--fresh); }
.verdict.stale { color: var(--stale); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; overflow-wrap: anywhere;
  border-bottom: 1px solid var(--line); }
td.time { white-space: nowrap; font-variant-numeric: tabular-nums; }
"""

Place = Callable[[datetime], float]


def timeline(shown: Timeline) -> str:
    """The page, as HTML that is well-formed XML too."""
    body = f"""<p>All times are in UTC: of commits the committer's, of builds the end of the
build. Where only the engine's time is known, it is that of the first build of the same layers.</p>
<ul>
{_joined(_summary(lane) for lane in shown.lanes)}
</ul>
{figure(shown)}
<h2>The same as a table</h2>
{_table(shown)}"""
    return page(f"Builds against commits: {shown.environment}", body, style=TIMELINE_STYLE)


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _summary(lane: Lane) -> str:
    verdict = f'<span class="verdict {lane.verdict}">{text(lane.verdict)}</span>'
    tail = f": {text(lane.sentence)}" if lane.sentence else ""
    left_out = f" ({lane.earlier} earlier builds are not shown)" if lane.earlier else ""
    return f"<li><strong>{text(lane.service)}</strong> is {verdict}{tail}{left_out}</li>"


# The drawing


def figure(shown: Timeline) -> str:
    """The drawing alone, for a page that has `TIMELINE_STYLE`."""
    start, end = shown.start, shown.end
    if start is None or end is None:
        return "<p>Nothing was built here, and there is no commit.</p>"
    axis = _TOP + _LANE * len(shown.lanes)
    height = axis + _COMMITS
    place = _scale(start, end)
    lanes = [_lane(lane, _TOP + _LANE * row, place) for row, lane in enumerate(shown.lanes)]
    return f"""<figure>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" \
aria-labelledby="drawing-title drawing-desc">
<title id="drawing-title">Builds against commits, {clock(start)} to {clock(end)}</title>
<desc id="drawing-desc">{_description(shown)}</desc>
{_ticks(start, end, axis, place)}
{_joined(lanes)}
{_joined(_drops(shown, axis, place))}
{_commits(shown, axis, place)}
</svg>
<figcaption>Filled dot: the build in use. Ring: a build that was replaced. Dashed bar: from the
build in use to the first commit it lacks. Small dots: commits; a number stands for several.
</figcaption>
</figure>"""


def _description(shown: Timeline) -> str:
    lanes = (
        f"{text(lane.service)} is {text(lane.verdict)}"
        + (f": {text(lane.sentence)}" if lane.sentence else "")
        for lane in shown.lanes
    )
    return f"{'. '.join(lanes)}. The table below has every event."


def _scale(start: datetime, end: datetime) -> Place:
    span = (end - start).total_seconds()
    left, room = _LABEL + 14, _WIDTH - _LABEL - _RIGHT - 28

    def place(moment: datetime) -> float:
        return round(left + ((moment - start).total_seconds() / span * room if span else 0), 1)

    return place


def _ticks(start: datetime, end: datetime, axis: int, place: Place) -> str:
    step = next((t for t in _TICKS if (end - start) / t <= _MOST_TICKS), _TICKS[-1])
    midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight + step * -((midnight - start) // step)
    form = "%Y-%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M"
    count = int((end - first) / step) + 1 if end >= first else 0
    return _joined(
        f'<line class="tick" x1="{x}" x2="{x}" y1="{_TOP - 14}" y2="{axis + 8}"/>'
        f'<text class="soft" x="{x}" y="{_TOP - 22}" text-anchor="middle">{moment:{form}}</text>'
        for moment in (first + step * number for number in range(count))
        for x in (place(moment),)
    )


def _lane(lane: Lane, top: int, place: Place) -> str:
    middle = top + _LANE // 2
    name = printable(lane.service)
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return _joined(
        (
            f'<rect class="band" y="{top + 4}" width="{_WIDTH}" height="{_LANE - 8}" rx="6"/>',
            f'<text x="10" y="{middle - 2}">{text(short)}</text>',
            f'<text class="soft" x="10" y="{middle + 15}">{text(lane.verdict)}</text>',
            *_bar(lane, middle, place),
            *(_dot(lane, build, middle, place) for build in lane.builds),
        )
    )


def _drops(shown: Timeline, axis: int, place: Place) -> Iterable[str]:
    """A line from each stale bar's begin down to the commit it lacks."""
    for row, lane in enumerate(shown.lanes):
        if lane.fix is not None and lane.fix.committed_at is not None and lane.gap is not None:
            x, y = place(lane.fix.committed_at), _TOP + _LANE * row + _LANE // 2
            yield f'<line class="drop" x1="{x}" x2="{x}" y1="{y}" y2="{axis + 20}"/>'


def _bar(lane: Lane, middle: int, place: Place) -> Iterable[str]:
    current, end = lane.current, _WIDTH - _RIGHT
    if current is None:
        return
    begin, y = place(current.time.at), middle - _BAR // 2
    fix = lane.fix.committed_at if lane.fix else None
    if fix is None or lane.gap is None:
        kind = lane.verdict if lane.verdict in ("fresh", "stale") else "other"
        yield _rect(f"bar-{kind}", begin, end, y, lane.verdict)
        return
    since = place(fix)
    gap = f"{duration(lane.gap)} from the build to the fix {lane.fix.commit if lane.fix else ''}"
    yield _rect("gap", begin, since, y, gap)
    yield _rect("bar-stale", since, end, y, "lacks the fix")
    x, anchor = ((begin + since) / 2, "middle") if since - begin > 60 else (begin, "start")
    yield (
        f'<text class="gap-label" x="{x:.1f}" y="{middle - 12}" text-anchor="{anchor}">'
        f"{duration(lane.gap)}</text>"
    )


def _rect(kind: str, begin: float, end: float, y: int, title: str) -> str:
    return (
        f'<rect class="{kind}" x="{begin}" y="{y}" width="{max(end - begin, 1):.1f}" '
        f'height="{_BAR}"><title>{text(title)}</title></rect>'
    )


def _dot(lane: Lane, build: Build, middle: int, place: Place) -> str:
    event = Built(lane, build)
    kind = "built" if event.is_in_use else "replaced"
    title = f"{clock(build.time.at)}: {lane.service} {built_words(event)}"
    return (
        f'<circle class="{kind}" cx="{place(build.time.at)}" cy="{middle}" r="{_DOT + 3}">'
        f"<title>{text(title)}</title></circle>"
    )


def _commits(shown: Timeline, axis: int, place: Place) -> str:
    y = axis + 20
    groups = _clusters(shown.commits, place)
    return _joined(
        (
            f'<text x="10" y="{y + 4}">commits</text>',
            *(_cluster(shown, group, y, place) for group in groups),
            *_hashes(shown, y + 24, place),
        )
    )


def _clusters(commits: Sequence[CommitFact], place: Place) -> Iterable[tuple[CommitFact, ...]]:
    groups = groupby(commits, key=lambda c: place(c.committed_at) // _NEAR)
    return (tuple(group) for _, group in groups)


def _cluster(shown: Timeline, group: Sequence[CommitFact], y: int, place: Place) -> str:
    missing = [commit for commit in group if shown.lacking(commit)]
    kind = "missing" if missing else "commit"
    x = place((*missing, group[len(group) // 2])[0].committed_at)
    subjects = [f"{c.short} {printable(c.subject)}" for c in group[:5]]
    more = [f"and {len(group) - 5} more"] if len(group) > 5 else []
    number = (
        f'<text class="soft" x="{x}" y="{y - 9}" text-anchor="middle">{len(group)}</text>'
        if len(group) > 1
        else ""
    )
    return (
        f'<circle class="{kind}" cx="{x}" cy="{y}" r="{_DOT}">'
        f"<title>{text('; '.join((*subjects, *more)))}</title></circle>{number}"
    )


def _hashes(shown: Timeline, y: int, place: Place) -> Iterable[str]:
    """The names under the axis that matter: what an image lacks, and HEAD."""
    edge = 0.0
    notable = [c for c in shown.commits if c == shown.head or shown.fixes(c)]
    rest = [c for c in shown.commits if shown.lacking(c) and c not in notable]
    taken: list[tuple[float, float]] = []
    for commit in (*notable, *rest):
        label = f"{commit.short} HEAD" if commit == shown.head else commit.short
        half = len(label) * 3.8 + 4
        edge = min(max(place(commit.committed_at), _LABEL + half), _WIDTH - half)
        if any(edge - half < right and left < edge + half for left, right in taken):
            continue
        taken.append((edge - half, edge + half))
        where = f'x="{edge:.1f}" y="{y}" text-anchor="middle"'
        yield f'<text class="code" {where}>{text(label)}</text>'


# The table


def _table(shown: Timeline) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Time (UTC)", "Event", "What"))
    return f"""<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{_joined(_row(shown, event) for event in events(shown))}
</tbody>
</table>"""


def _row(shown: Timeline, event: Event) -> str:
    match event:
        case CommitFact(short=short, subject=subject):
            what = f"<code>{text(short)}</code> <bdi>{text(subject)}</bdi>"
            return _cells(event.committed_at, "commit", what + _notes(shown, event))
        case Built(lane=lane, build=build):
            what = f"<strong>{text(lane.service)}</strong> {text(built_words(event))}"
            return _cells(build.time.at, "build", what)
        case Fold(commits=commits):
            first, last = commits[0], commits[-1]
            what = (
                f"<code>{text(first.short)}</code> to <code>{text(last.short)}</code>, "
                f"the last at {clock(last.committed_at)}"
            )
            return _cells(first.committed_at, f"{len(commits)} commits", what)
        case _ as never:
            assert_never(never)


def _notes(shown: Timeline, commit: CommitFact) -> str:
    notes = (f" <strong>[{text(note)}]</strong>" for note in commit_notes(shown, commit))
    gaps = (
        f" ({duration(lane.gap)} after the build of {text(lane.service)})"
        for lane in shown.fixes(commit)
        if lane.gap is not None
    )
    return "".join((*notes, *gaps))


def _cells(moment: datetime, kind: str, what: str) -> str:
    time = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
    return f'<tr><td class="time">{time}</td><td>{kind}</td><td>{what}</td></tr>'
