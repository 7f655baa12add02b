"""Answers as lines of text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from unstale.image.check import LABEL_INPUTS, ImageStatus
from unstale.image.content import Difference
from unstale.image.verify import Match, VerifyResult
from unstale.ports import CommitFact, ImageFact
from unstale.render import text
from unstale.schema.status import SchemaStatus
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEAD = CommitFact("05a54e1f", "05a54e1", AT, "Fix the override")
IMAGE = ImageFact(
    id="sha256:0123456789abcdef",
    tags=("demo-app:latest",),
    created=AT,
    labels={LABEL_INPUTS: "v1:sha256:ab"},
    size_bytes=12_340_000,
    architecture="amd64",
    os="linux",
    working_dir="/app",
    layers=(),
    environment=(),
)


def _status(verdict: Verdict, *, behind: int = 0) -> ImageStatus:
    return ImageStatus(
        service="app",
        image="demo-app",
        image_id=None if isinstance(verdict, Missing) else IMAGE.id,
        built_at=None if isinstance(verdict, Missing) else AT,
        verdict=verdict,
        method="content",
        inputs="v1:sha256:ab",
        dependencies="v1:sha256:cd",
        commits_behind=behind,
        hours_behind=4.53 if behind else 0.0,
    )


def test_a_fresh_image_is_one_line() -> None:
    assert text.image_status([_status(Fresh())], None) == (
        "app: fresh   (built 2026-01-01 12:00:00+00:00)",
    )


def test_a_missing_image_was_never_built() -> None:
    assert text.image_status([_status(Missing())], None) == ("app: missing   (built never)",)


def test_a_stale_image_says_why_how_old_and_what_next() -> None:
    reasons = (Reason("src/app.py", "modified", "05a54e1"), Reason("new.py", "added"))

    assert text.image_status([_status(Stale(reasons), behind=3)], HEAD)[1:] == (
        "  3 commits and 4.5 h behind HEAD",
        "  modified: src/app.py (05a54e1)",
        "  added: new.py",
        "  Next: inv image.build --service app",
        "HEAD 05a54e1 2026-01-01 12:00:00 +0000 Fix the override",
    )


def test_many_reasons_are_cut_and_counted() -> None:
    reasons = tuple(Reason(f"{number}.py", "modified") for number in range(23))

    lines = text.image_status([_status(Stale(reasons))], None)

    assert "  modified: 19.py" in lines
    assert "  modified: 20.py" not in lines
    assert "  and 3 more" in lines


def test_what_could_not_be_told_says_why() -> None:
    assert text.image_status([_status(Unknown("remote context"))], None)[1:] == (
        "  remote context",
    )


def test_an_image_is_listed_with_its_marks() -> None:
    lines = text.image_list([IMAGE], frozenset({IMAGE.id}), {IMAGE.id: ("COPY . .",)})

    assert lines == (
        "demo-app:latest  0123456789ab  2026-01-01 12:00:00+00:00  12.3 MB  stamped, in use",
        "    COPY . .",
    )


def test_a_dangling_image_of_unknown_age_is_listed_too() -> None:
    (line,) = text.image_list([replace(IMAGE, tags=(), created=None, labels={})], frozenset(), {})

    assert line == "<none>  0123456789ab  unknown time  12.3 MB  dangling"


def test_no_image_is_said() -> None:
    assert text.image_list([], frozenset(), {}) == ("There is no image.",)


def test_a_verified_image_shows_lines_and_differences() -> None:
    result = VerifyResult(
        service="app",
        image_id=IMAGE.id,
        verdict=Stale((Reason("app.py", "modified"),)),
        matches=(Match(PurePosixPath("/app/a.py"), 12),),
        compared=41,
        differences=(Difference("app.py", PurePosixPath("/app/app.py"), "modified"),),
        finding="",
    )

    assert text.image_verify(result) == (
        "app: stale   (0123456789ab, 41 files compared)",
        "  /app/a.py:12",
        "  modified: /app/app.py",
    )


def test_a_project_without_migrations_was_not_asked() -> None:
    assert text.schema(None) == ("not asked: the project has no migrations",)


def test_a_schema_shows_what_it_rests_on() -> None:
    status = SchemaStatus(
        "current", applied=("b",), heads=("b",), tables=("users",), models_checked=True
    )

    assert text.schema(status) == (
        "current: the schema is that of the migrations",
        "  applied  b",
        "  heads    b",
        "  tables   1",
    )


def test_a_schema_names_missing_tables_and_unchecked_models() -> None:
    lines = text.schema(SchemaStatus("incomplete", missing_tables=("users", "keys")))

    assert lines[1:] == (
        "  applied  none",
        "  heads    none",
        "  tables   0, missing: users, keys (models: not checked)",
    )
