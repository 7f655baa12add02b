"""Builds beside commits: the layout, and how a terminal shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from unstale.facts import BuildRecord, CommitFact, ImageFact
from unstale.image.check import ImageStatus
from unstale.image.explain import Background, BuildTime
from unstale.image.ledger import parse_records
from unstale.image.local import LocalImage
from unstale.image.timeline import (
    Built,
    Fold,
    Timeline,
    events,
    oldest_build,
    timeline,
)
from unstale.render import timeline as terminal
from unstale.verdict import Fresh, Missing, Reason, Stale, Verdict

# The war story's day.
BUILT = datetime(2026, 11, 11, 11, 8, tzinfo=UTC)


def commit(short: str, at: datetime, subject: str = "Change it") -> CommitFact:
    return CommitFact(short + "0" * 33, short, at, subject)


BEFORE = commit("3a1b2c4", BUILT - timedelta(minutes=28), "Add the fixture")
FIX = commit("05a54e1", datetime(2026, 11, 11, 15, 38, tzinfo=UTC), "Override bearer_scheme")
TESTS = commit("23115fe", datetime(2026, 11, 11, 22, 0, tzinfo=UTC), "Add more tests")
HEAD = commit("7b51437", datetime(2026, 11, 12, 1, 1, tzinfo=UTC), "Tidy up")
STORY = (HEAD, TESTS, FIX, BEFORE)
REASONS = (
    Reason("tests/conftest.py", "modified", FIX.short, committed_at=FIX.committed_at),
    Reason("tests/api/test_keys.py", "modified", TESTS.short, committed_at=TESTS.committed_at),
)
RECORD = BuildRecord(
    "test-runner", "sha256:0123456789abcdef", "v1", BEFORE.sha, dirty=False, built_at=BUILT
)


def status(
    verdict: Verdict, service: str = "test-runner", image_id: str | None = RECORD.image_id
) -> ImageStatus:
    return ImageStatus(
        service=service,
        image=service,
        image_id=image_id,
        built_at=BUILT - timedelta(days=30) if image_id else None,
        verdict=verdict,
        method="digest",
        inputs="v1:sha256:ab",
        dependencies="v1:sha256:cd",
        commits_behind=3 if isinstance(verdict, Stale) else 0,
        hours_behind=0.0,
    )


def image(image_id: str, created: datetime | None, service: str = "test-runner") -> LocalImage:
    labels = {"org.opencontainers.image.revision": BEFORE.sha}
    fact = ImageFact(image_id, (), created, labels, 1, "amd64", "linux", "", (), ())
    return LocalImage(service, fact, is_current=False, users=())


def lay_out(
    statuses: Sequence[ImageStatus],
    *,
    images: Sequence[LocalImage] = (),
    records: Sequence[BuildRecord] = (RECORD,),
    commits: Sequence[CommitFact] = STORY,
) -> Timeline:
    builds = {r.image_id: r.built_at for r in records}
    known = Background(head=HEAD, builds=builds, log=tuple(c for c in STORY if c != BEFORE))
    return timeline("test", statuses, images, records, commits, known)


STALE = lay_out([status(Stale(REASONS))])


def test_the_gap_is_from_the_build_in_use_to_the_first_commit_it_lacks() -> None:
    (lane,) = STALE.lanes

    assert lane.gap == timedelta(hours=4, minutes=30)
    assert lane.fix == REASONS[0]
    assert STALE.fixes(FIX) == (lane,)
    assert STALE.fixes(TESTS) == ()
    assert STALE.lacking(TESTS) == (lane,)
    assert STALE.lacking(HEAD) == ()
    assert (
        lane.sentence
        == "built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD, 3 commits behind"
    )


def test_an_image_without_a_record_has_the_engines_time() -> None:
    created = BUILT + timedelta(hours=1)
    first = image("sha256:first", created)

    shown = lay_out(
        [status(Fresh())], images=[first, image(RECORD.image_id, BUILT), image("sha256:x", None)]
    )

    (lane,) = shown.lanes
    assert [(b.image_id, b.time, b.is_current) for b in lane.builds] == [
        (RECORD.image_id, BuildTime(BUILT), True),
        ("sha256:first", BuildTime(created, is_exact=False), False),
    ]
    assert lane.builds[1].revision == BEFORE.sha


def test_an_image_built_again_is_in_use_since_its_last_build() -> None:
    again = replace(RECORD, built_at=BUILT + timedelta(hours=2))
    other = replace(RECORD, image_id="sha256:other", built_at=BUILT + timedelta(hours=1))

    shown = lay_out([status(Stale(REASONS))], records=[RECORD, other, again])

    (lane,) = shown.lanes
    assert [b.is_current for b in lane.builds] == [True, False, True]
    assert lane.current is not None
    assert lane.current.time.at == again.built_at
    assert lane.gap == timedelta(hours=2, minutes=30)
    assert [e.is_in_use for e in events(shown) if isinstance(e, Built)] == [False, False, True]


def test_many_builds_are_counted() -> None:
    records = [replace(RECORD, built_at=BUILT + timedelta(minutes=n)) for n in range(10)]

    (lane,) = lay_out([status(Fresh())], records=records).lanes

    assert len(lane.builds) == 6
    assert lane.earlier == 4
    assert lane.builds[-1].time.at == records[-1].built_at


def test_the_axis_begins_with_the_commit_before_the_first_build() -> None:
    older = commit("0000001", BUILT - timedelta(days=400))

    shown = lay_out([status(Fresh())], commits=[*STORY, older])

    assert shown.commits == (BEFORE, FIX, TESTS, HEAD)
    assert (shown.start, shown.end) == (BEFORE.committed_at, HEAD.committed_at)


def test_few_commits_are_all_shown_in_order() -> None:
    rows = events(STALE)
    assert [r.short for r in rows if isinstance(r, CommitFact)] == [
        "3a1b2c4",
        "05a54e1",
        "23115fe",
        "7b51437",
    ]
    assert isinstance(rows[1], Built)


def test_of_many_commits_those_that_matter_stay_and_others_are_folded_between_events() -> None:
    many = [commit(f"{n:07x}", BUILT + timedelta(minutes=5 * n + 5)) for n in range(100)]
    other = replace(RECORD, image_id="sha256:other", built_at=BUILT + timedelta(hours=1))

    rows = events(
        lay_out([status(Stale(REASONS))], records=[RECORD, other], commits=[*STORY, *many])
    )

    kinds = [row.short if isinstance(row, CommitFact) else type(row).__name__ for row in rows]
    assert kinds == [
        *("3a1b2c4", "Built", "Fold", "Built", "Fold"),
        *("05a54e1", "Fold", "23115fe", "7b51437"),
    ]
    folds = [row.commits for row in rows if isinstance(row, Fold)]
    assert sum(map(len, folds)) == 100
    # Nothing folded reaches across what is shown.
    bounds = [BUILT, other.built_at, FIX.committed_at, TESTS.committed_at]
    for fold, after, until in zip(folds, bounds, bounds[1:], strict=False):
        assert after <= fold[0].committed_at <= fold[-1].committed_at <= until


def test_the_oldest_build_is_of_either_source() -> None:
    assert oldest_build([image("sha256:a", BUILT), image("sha256:b", None)], []) == BUILT
    assert oldest_build([image("sha256:a", HEAD.committed_at)], [RECORD]) == BUILT
    assert oldest_build([], []) is None


def test_the_ledger_is_read_line_by_line_past_what_is_torn() -> None:
    line = {
        "service": "test-runner",
        "image_id": RECORD.image_id,
        "inputs": "v1",
        "revision": BEFORE.sha,
        "dirty": False,
        "built_at": BUILT.isoformat(),
    }
    torn = [
        "{",
        "[]",
        "null",
        '{"service": "a"}',
        json.dumps({**line, "built_at": "2026-11-11T11:08:00"}),
        "",
    ]

    assert parse_records("\n".join([json.dumps(line), *torn, json.dumps(line)])) == (RECORD, RECORD)
    assert parse_records("") == ()


def test_the_terminal_draws_the_gap_and_tells_the_story_in_order() -> None:
    assert terminal.timeline(STALE) == (
        "test: builds against commits, in UTC",
        "",
        "             2026-11-11 10:40                                   2026-11-12 01:01",
        "test-runner    @====== 4 h 30 ======!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!",
        "commits      |                      |                            |             |",
        "",
        "@ build in use   o earlier build   = as it was built   ! lacks a change",
        "",
        "2026-11-11",
        "  10:40    3a1b2c4  Add the fixture",
        "  11:08  @ test-runner built, 0123456789ab from 3a1b2c4, stale now",
        "    :    4 h 30 after the build of test-runner",
        "  15:38  ! 05a54e1  [the fix test-runner lacks] Override bearer_scheme",
        "  22:00  ! 23115fe  Add more tests",
        "2026-11-12",
        "  01:01    7b51437  [HEAD] Tidy up",
        "",
        "test-runner: stale",
        "  built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD, 3 commits behind",
    )


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal_or_more_than_text(width: int) -> None:
    loud = commit("0000002", HEAD.committed_at, "\x1b[31mred\r\n\u202e" + "x" * 300)
    many = [commit(f"{n:07x}", BUILT + timedelta(minutes=n), "y" * 200) for n in range(300)]
    services = [status(Stale(REASONS), f"a-service-with-a-long-name-{n}") for n in range(3)]
    records = [replace(RECORD, service=s.service) for s in services]

    lines = terminal.timeline(
        lay_out(services, records=records, commits=[*STORY, loud, *many]), width
    )

    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    assert len(lines) < 60


def test_an_uncommitted_change_marks_the_end_and_a_fresh_image_nothing() -> None:
    stale = status(Stale((Reason("a", "modified"),)))
    lines = terminal.timeline(
        lay_out([stale, status(Fresh(), "app")], records=[RECORD, replace(RECORD, service="app")])
    )

    bars = [line for line in lines if "@=" in line]
    assert bars[0].endswith("=!")
    assert bars[0].count("!") == 1
    assert "!" not in bars[1]


def test_without_builds_the_commits_are_shown_and_without_both_a_sentence() -> None:
    missing = status(Missing(), image_id=None)
    lines = terminal.timeline(lay_out([missing], records=()))
    assert "test-runner: missing" in lines
    assert "  15:38    05a54e1  Override bearer_scheme" in lines

    empty = timeline("test", [missing], (), (), (), Background())
    assert terminal.timeline(empty) == ("test: nothing was built here, and there is no commit.",)
