"""Answers as lines of text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from unstale.facts import CommitFact, ImageFact
from unstale.image.check import LABEL_INPUTS, ImageStatus
from unstale.image.content import Difference
from unstale.image.explain import Background
from unstale.image.local import Cleaning, Kept, LocalImage
from unstale.image.verify import Match, VerifyResult
from unstale.render import text
from unstale.schema.postgres import Setting
from unstale.schema.status import SchemaStatus, Witness
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEAD = CommitFact("05a54e1f", "05a54e1", AT + timedelta(hours=4.5), "Fix the override")
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


def _status(verdict: Verdict) -> ImageStatus:
    return ImageStatus(
        service="app",
        image="demo-app",
        image_id=None if isinstance(verdict, Missing) else IMAGE.id,
        built_at=None if isinstance(verdict, Missing) else AT,
        verdict=verdict,
        method="content",
        inputs="v1:sha256:ab",
        dependencies="v1:sha256:cd",
        commits_behind=0,
        hours_behind=0.0,
    )


def test_a_fresh_image_is_a_row_and_head_is_below() -> None:
    assert text.image_status([_status(Fresh())], Background(head=HEAD)) == (
        "service  verdict  built (UTC)               image         proof",
        "app      fresh    2026-01-01 12:00 (first)  0123456789ab  bytes compared",
        "",
        "HEAD 05a54e1  2026-01-01 16:30 UTC  Fix the override",
    )


def test_a_recorded_build_is_not_called_the_first() -> None:
    known = Background(builds={IMAGE.id: AT + timedelta(hours=2)})

    assert text.image_status([_status(Fresh())], known)[1].split("  ")[-3:] == [
        "2026-01-01 14:00",
        "0123456789ab",
        "bytes compared",
    ]


def test_a_missing_image_was_never_built() -> None:
    assert text.image_status([_status(Missing())], Background()) == (
        "service  verdict  built (UTC)  image  proof",
        "app      missing  never        none",
        "",
        "app: there is no image demo-app",
        "  Next: inv image.build --service app",
        "",
    )


def test_a_stale_image_says_how_old_why_and_what_next() -> None:
    reasons = (
        Reason(
            "src/app.py",
            "modified",
            "05a54e1",
            reader="Dockerfile:3",
            committed_at=HEAD.committed_at,
        ),
        Reason("new.py", "added"),
    )
    known = Background(
        head=HEAD,
        commits={"src/app.py": HEAD},
        uncommitted=frozenset({"new.py"}),
        builds={IMAGE.id: AT},
        log=(HEAD,),
    )

    assert text.image_status([_status(Stale(reasons))], known, "ci")[2:] == (
        "",
        (
            "app: built 4 h 30 before the fix 05a54e1, which is HEAD, 1 commit behind, "
            "and 1 uncommitted change"
        ),
        (
            "  src/app.py  modified  read by Dockerfile:3  "
            "05a54e1 Fix the override, 2026-01-01 16:30 UTC (4 h 30 after the build)"
        ),
        "  new.py  added  uncommitted",
        "  Next: inv image.build --service app --env ci",
        "",
        "HEAD 05a54e1  2026-01-01 16:30 UTC  Fix the override",
    )


def test_many_reasons_are_cut_and_counted() -> None:
    reasons = tuple(Reason(f"{number}.py", "modified") for number in range(23))

    lines = text.image_status([_status(Stale(reasons))], Background())

    assert "  9.py  modified" in lines
    assert "  10.py  modified" not in lines
    assert "  and 13 more: --json" in lines


def test_what_could_not_be_told_says_why() -> None:
    lines = text.image_status([_status(Unknown("remote context"))], Background())

    assert lines[2:4] == ("", "app: remote context")


def test_a_verdict_by_times_alone_says_that_it_proves_nothing() -> None:
    status = replace(_status(Unknown("no bytes to compare")), method="time")

    assert "times alone, which prove nothing" in text.image_status([status], Background())[1]


def test_what_a_bind_mount_masks_needs_no_rebuild() -> None:
    status = replace(_status(Fresh()), masked=(Reason("src/app.py", "modified", masked=True),))

    (line,) = (x for x in text.image_status([status], Background()) if "src/app.py" in x)

    assert "no rebuild needed" in line


def test_what_no_digest_covers_is_listed_once_with_its_services() -> None:
    first = replace(_status(Fresh()), not_covered=("the network of a RUN", "a secret"))
    second = replace(_status(Fresh()), service="web", not_covered=("the network of a RUN",))

    assert text.image_status([first, second], Background())[3:] == (
        "",
        "Not covered by the proof:",
        "  the network of a RUN (app, web)",
        "  a secret (app)",
        "",
    )


def test_an_image_is_listed_with_its_service_marks_and_layers() -> None:
    image = LocalImage("app", IMAGE, is_current=True, users=("demo-app-1",))

    assert text.image_list([image], {IMAGE.id: ("COPY . .", "\x1b[31m")}) == (
        "service  image            id            created (UTC)     size",
        (
            "app      demo-app:latest  0123456789ab  2026-01-01 12:00  12.3 MB  "
            "stamped, in use by demo-app-1"
        ),
        "    COPY . .",
        "    \N{REPLACEMENT CHARACTER}[31m",
    )


def test_a_dangling_image_of_unknown_age_is_listed_too() -> None:
    bare = replace(IMAGE, tags=(), created=None, labels={})

    (_, line) = text.image_list([LocalImage("app", bare, is_current=False, users=())], {})

    assert line.split() == ["app", "<none>", "0123456789ab", "unknown", "12.3", "MB", "dangling"]


def test_no_image_is_said() -> None:
    assert text.image_list([], {}) == ("There is no image.",)


def test_cleaning_says_what_went_and_what_stays_and_why() -> None:
    gone = LocalImage("app", IMAGE, is_current=True, users=())
    bare = replace(IMAGE, id="sha256:fedcba9876543210", tags=())
    stays = LocalImage("app", bare, is_current=False, users=("demo-app-1",))
    plan = Cleaning((gone,), (Kept(stays, "in use by demo-app-1"),))

    assert text.image_clean(plan, done=True) == (
        "removed  demo-app:latest  0123456789ab  12.3 MB",
        "left     <none>           fedcba987654           in use by demo-app-1",
        "1 image removed, 1 left.",
    )
    assert text.image_clean(plan, done=False)[0].startswith("would be removed  demo-app")
    assert text.image_clean(Cleaning((), ()), done=True) == ("0 images removed, 0 left.",)


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


def test_what_the_settings_want_in_an_image_has_a_line_each() -> None:
    path = PurePosixPath("/app/a.py")
    there = VerifyResult(
        "app", IMAGE.id, Fresh(), (Match(path, 12),), 1, (), "", path=path, pattern="fix"
    )
    not_there = VerifyResult(
        *("tests", IMAGE.id, Stale(()), (), 1, (), "pattern not found: 'fix' is nowhere in /b"),
        path=PurePosixPath("/b"),
        pattern="fix",
    )
    result = VerifyResult("app", IMAGE.id, Stale(()), (), 41, (), "", rules=(there, not_there))

    assert text.image_verify(result)[1:] == (
        "  app: 'fix' in /app/a.py: line 12",
        "  tests: 'fix' in /b: pattern not found: 'fix' is nowhere in /b",
    )


def test_a_comparison_that_was_made_before_is_called_so() -> None:
    result = VerifyResult("app", IMAGE.id, Fresh(), (), 41, (), "", is_cited=True)

    assert text.image_verify(result) == ("app: fresh   (0123456789ab, 41 files compared before)",)


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


def test_a_schema_names_missing_tables_and_what_was_not_checked() -> None:
    models = Witness("models", "not checked", "env.py names no models")
    lines = text.schema(
        SchemaStatus("incomplete", missing_tables=("users", "keys"), witnesses=(models,))
    )

    assert lines[1:] == (
        "  applied  none",
        "  heads    none",
        "  tables   0, missing: users, keys",
        "  models    not checked: env.py names no models",
    )


def test_settings_name_where_they_are_from() -> None:
    found = (
        Setting("fsync", "off", "command line", ""),
        Setting("port", "5432", "configuration file", "/etc/postgresql.conf"),
    )

    assert text.settings(found)[1:] == (
        "fsync    off    command line",
        "port     5432   /etc/postgresql.conf",
    )
    assert text.settings(()) == ("Every setting is by default.",)


def test_the_findings_of_a_history_name_rule_and_revision() -> None:
    findings = (("up-down", "0002", "downgrade leaves relation x"), ("models", "", "add_table y"))

    assert text.history(findings, 2) == (
        "up-down: 0002: downgrade leaves relation x",
        "models: add_table y",
    )


def test_a_history_without_a_finding_says_what_was_done() -> None:
    line = "history: 2 migrations ran up, down and up again; one head"

    assert text.history((), 2) == (line,)
    assert text.history((), 1)[0].startswith("history: 1 migration ran")


def test_each_rule_of_a_history_has_its_own_advice() -> None:
    findings = (("models", "", "x"), ("models", "", "y"), ("single-head", "a, b", "z"))

    assert text.history_next(findings) == (
        "add to the models what they lack, or alembic revision --autogenerate; alembic merge heads"
    )
    assert "downgrade" in text.history_next([("up-down", "a", "x")])
