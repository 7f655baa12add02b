"""The timeline as a page: well-formed, self-contained, and foreign text stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from unstale.facts import BuildRecord, CommitFact
from unstale.image.check import ImageStatus
from unstale.image.explain import Background
from unstale.image.timeline import Timeline, timeline
from unstale.render import html
from unstale.verdict import Fresh, Reason, Stale, Unknown, Verdict

XHTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
BUILT = datetime(2026, 11, 11, 11, 8, tzinfo=UTC)
HOSTILE = "</title></svg><script>alert(1)</script>&\"'<img src=x onerror=y> \x00\x1b[31m\u202eé"
FIX = CommitFact("05a54e1" + "0" * 33, "05a54e1", BUILT + timedelta(hours=4.5), HOSTILE)
HEAD = CommitFact("7b51437" + "0" * 33, "7b51437", BUILT + timedelta(hours=13, minutes=53), "Tidy")
REASON = Reason("src/app.py", "modified", FIX.short, committed_at=FIX.committed_at)


def lay_out(verdict: Verdict, *more: CommitFact, service: str = "test-runner") -> Timeline:
    record = BuildRecord(service, "sha256:0123456789abcdef", "", "", dirty=True, built_at=BUILT)
    found = ImageStatus(
        service=service,
        image=service,
        image_id=record.image_id,
        built_at=BUILT,
        verdict=verdict,
        method="digest",
        inputs="",
        dependencies="",
        commits_behind=3,
        hours_behind=4.5,
    )
    known = Background(head=HEAD, builds={record.image_id: BUILT}, log=(HEAD, FIX))
    return timeline("test", [found], (), [record], (FIX, HEAD, *more), known)


def page(shown: Timeline) -> ET.Element:
    return ET.fromstring(html.timeline(shown).removeprefix("<!DOCTYPE html>\n"))


STALE = lay_out(Stale((REASON,)), service=HOSTILE)


@pytest.mark.parametrize(
    "shown",
    [
        STALE,
        lay_out(Fresh()),
        lay_out(Unknown("remote context")),
        replace(STALE, lanes=()),
        replace(STALE, lanes=(), commits=(HEAD,)),
        replace(STALE, lanes=(), commits=(), head=None),
    ],
    ids=["stale", "fresh", "unknown", "no service", "one moment", "nothing"],
)
def test_the_page_is_well_formed(shown: Timeline) -> None:
    assert page(shown).tag == f"{XHTML}html"


def test_foreign_text_stays_text() -> None:
    text = html.timeline(STALE)

    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    shown = "".join(page(STALE).itertext())
    assert "</title></svg><script>alert(1)</script>&\"'<img src=x onerror=y>" in shown


def test_nothing_is_fetched_and_nothing_runs() -> None:
    root = page(STALE)

    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "link", "img", "iframe", "object", "use", "image", "a", "form"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not {a for a in attributes if a.startswith("on") or a in ("src", "href", "style")}
    (style,) = root.iter(f"{XHTML}style")
    assert not re.search(r"url\(|@import|https?:", style.text or "")
    policy = [m.get("content") for m in root.iter(f"{XHTML}meta") if m.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_the_drawing_has_a_title_a_description_and_a_table_beside_it() -> None:
    root = page(lay_out(Stale((REASON,))))

    (svg,) = root.iter(f"{SVG}svg")
    ids = {e.get("id"): "".join(e.itertext()) for e in svg.iter() if e.get("id")}
    assert svg.get("role") == "img"
    assert (svg.get("aria-labelledby") or "").split() == list(ids)
    assert "built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD" in ids["drawing-desc"]
    rows = ["".join(row.itertext()) for row in root.iter(f"{XHTML}tr")]
    assert rows[0] == "Time (UTC)EventWhat"
    assert rows[1].startswith("2026-11-11 11:08buildtest-runner built, 0123456789ab (dirty)")
    assert rows[2].startswith("2026-11-11 15:38commit05a54e1")
    assert "(4 h 30 after the build of test-runner)" in rows[2]
    assert rows[3] == "2026-11-12 01:01commit7b51437 Tidy [HEAD]"


def test_the_gap_is_drawn_to_scale_between_build_and_fix() -> None:
    root = page(lay_out(Stale((REASON,))))

    rects = {r.get("class"): r for r in root.iter(f"{SVG}rect")}
    (built,) = (c for c in root.iter(f"{SVG}circle") if c.get("class") == "built")
    commits = [c for c in root.iter(f"{SVG}circle") if c.get("class") in ("commit", "missing")]
    fix, head = (float(c.get("cx") or 0) for c in commits)
    begin = float(built.get("cx") or 0)
    assert [c.get("class") for c in commits] == ["missing", "commit"]
    assert float(rects["gap"].get("x") or 0) == begin
    assert float(rects["gap"].get("width") or 0) == pytest.approx(fix - begin, abs=0.2)
    assert float(rects["bar-stale"].get("x") or 0) == fix
    assert (fix - begin) / (head - begin) == pytest.approx(4.5 / (13 + 53 / 60), abs=0.01)
    labels = [t.text for t in root.iter(f"{SVG}text") if t.get("class") == "gap-label"]
    assert labels == ["4 h 30"]


def test_a_fresh_image_has_no_gap() -> None:
    kinds = {r.get("class") for r in page(lay_out(Fresh())).iter(f"{SVG}rect")}
    assert kinds == {"band", "bar-fresh"}


def test_many_commits_are_drawn_as_few_dots_with_their_number() -> None:
    many = [
        CommitFact(f"{n:040x}", f"{n:07x}", BUILT + timedelta(minutes=n), f"Commit {n}")
        for n in range(500)
    ]

    root = page(lay_out(Stale((REASON,)), *many))

    dots = [c for c in root.iter(f"{SVG}circle") if c.get("class") in ("commit", "missing")]
    assert len(dots) < 50
    assert sum(1 for c in dots if c.get("class") == "missing") == 1
    assert len([*root.iter(f"{XHTML}tr")]) < 12
    assert len(html.timeline(lay_out(Stale((REASON,)), *many))) < 60_000


def test_both_colour_schemes_are_styled() -> None:
    text = html.timeline(STALE)
    assert "@media (prefers-color-scheme: dark)" in text
    assert "color-scheme: light dark" in text
