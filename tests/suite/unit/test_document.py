"""What machines read of images."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from unstale.facts import BuildRecord, CommitFact
from unstale.image.check import ImageStatus
from unstale.image.explain import Background
from unstale.image.timeline import timeline
from unstale.render import document
from unstale.verdict import Reason, Stale

BUILT = datetime(2026, 11, 11, 11, 8, tzinfo=UTC)
FIX = CommitFact(
    "05a54e1" + "0" * 33,
    "05a54e1",
    datetime(2026, 11, 12, 0, 38, tzinfo=timezone(timedelta(hours=9))),
    "Override bearer_scheme",
)
REASON = Reason(
    "src/app.py", "modified", FIX.short, reader="Dockerfile:52", committed_at=FIX.committed_at
)
STATUS = ImageStatus(
    service="app",
    image="demo-app",
    image_id="sha256:1",
    built_at=BUILT,
    verdict=Stale((REASON, Reason("new.py", "added"))),
    method="digest",
    inputs="v1:sha256:ab",
    dependencies="v1:sha256:cd",
    commits_behind=1,
    hours_behind=4.5,
    masked=(Reason("web/a.py", "modified", masked=True),),
    not_covered=("the network of a RUN",),
)


def test_a_status_has_reader_time_in_utc_and_mask_of_each_reason() -> None:
    (service,) = document.image_status([STATUS])["services"]

    assert service["reasons"] == [
        {
            "path": "src/app.py",
            "change": "modified",
            "commit": "05a54e1",
            "committed_at": "2026-11-11T15:38:00+00:00",
            "reader": "Dockerfile:52",
            "masked": False,
        },
        {
            "path": "new.py",
            "change": "added",
            "commit": None,
            "committed_at": None,
            "reader": None,
            "masked": False,
        },
        {
            "path": "web/a.py",
            "change": "modified",
            "commit": None,
            "committed_at": None,
            "reader": None,
            "masked": True,
        },
    ]
    assert service["not_covered"] == ["the network of a RUN"]


def test_a_timeline_has_builds_commits_and_the_gap_in_seconds() -> None:
    record = BuildRecord("app", "sha256:1", "v1", "", dirty=True, built_at=BUILT)
    known = Background(head=FIX, builds={"sha256:1": BUILT}, log=(FIX,))

    body = document.image_timeline(timeline("test", [STATUS], (), [record], [FIX], known))

    (service,) = body["services"]
    assert service["gap_seconds"] == 16200
    assert service["fix"] == "05a54e1"
    assert service["builds"] == [
        {
            "image_id": "sha256:1",
            "built_at": "2026-11-11T11:08:00+00:00",
            "exact": True,
            "revision": None,
            "dirty": True,
            "in_use": True,
        }
    ]
    assert [(c["short"], c["missing_in"]) for c in body["commits"]] == [("05a54e1", ["app"])]
    assert json.loads(json.dumps(body)) == body
