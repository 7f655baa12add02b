"""Why an image is stale, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pytest

from unstale.facts import BuildRecord, CommitFact
from unstale.image.check import ImageStatus
from unstale.image.explain import (
    Background,
    BuildTime,
    background,
    change_words,
    duration,
    explain,
    printable,
    reason_line,
    sentence,
    the_fix,
)
from unstale.verdict import Change, Fresh, Missing, Reason, Stale, Verdict

# The times of the war story: 11 and 12 November.
BUILT = BuildTime(datetime(2026, 11, 11, 11, 8, tzinfo=UTC))
FIX = CommitFact(
    "05a54e1" + "0" * 33,
    "05a54e1",
    datetime(2026, 11, 11, 15, 38, tzinfo=UTC),
    "Override bearer_scheme",
)
TESTS = CommitFact(
    "23115fe" + "0" * 33, "23115fe", datetime(2026, 11, 11, 22, 0, tzinfo=UTC), "Add more tests"
)
HEAD = CommitFact(
    "7b51437" + "0" * 33, "7b51437", datetime(2026, 11, 12, 1, 1, tzinfo=UTC), "Tidy up"
)
REASON = Reason("src/app.py", "modified", reader="docker/Dockerfile:52")


class FakeGit:
    """Commits by path; what is called ``edited`` is uncommitted."""

    def __init__(self, commits: Mapping[Path, CommitFact]) -> None:
        self.commits = commits

    def head(self) -> CommitFact | None:
        return HEAD

    def is_dirty(self) -> bool:
        return True

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        del since, limit
        return ()

    def last_commits(self, paths: Sequence[Path]) -> Mapping[Path, CommitFact]:
        assert all(path.is_relative_to("/p") for path in paths), paths
        return {path: self.commits[path] for path in paths if path in self.commits}

    def uncommitted(self, paths: Sequence[Path]) -> frozenset[Path]:
        return frozenset(path for path in paths if path.name == "edited")

    def commits_since(self, since: str | datetime) -> tuple[CommitFact, ...] | None:
        assert isinstance(since, datetime)
        return tuple(c for c in (HEAD, TESTS, FIX) if c.committed_at > since)


def _status(verdict: Verdict) -> ImageStatus:
    return ImageStatus(
        service="app",
        image="demo-app",
        image_id="sha256:1",
        built_at=BUILT.at,
        verdict=verdict,
        method="digest",
        inputs="v1:sha256:ab",
        dependencies="v1:sha256:cd",
        commits_behind=3,
        hours_behind=13.9,
    )


def _by(path: str, commit: CommitFact) -> Reason:
    return Reason(path, "modified", commit.short, committed_at=commit.committed_at)


STORY = (_by("tests/conftest.py", FIX), _by("tests/api/test_keys.py", TESTS))


def test_the_war_storys_image_was_built_4_h_30_before_the_fix() -> None:
    assert (
        sentence(STORY, BUILT, HEAD, 3)
        == "built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD, 3 commits behind"
    )


def test_the_zones_of_clocks_do_not_matter() -> None:
    east, west = timezone(timedelta(hours=9)), timezone(timedelta(hours=-5))
    moved = tuple(
        replace(r, committed_at=r.committed_at.astimezone(east)) for r in STORY if r.committed_at
    )
    head = replace(HEAD, committed_at=HEAD.committed_at.astimezone(west))

    assert sentence(moved, BUILT, head, 3) == sentence(STORY, BUILT, HEAD, 3)
    assert "2026-11-11 15:38 UTC" in reason_line(moved[0], BUILT, Background())


def test_the_fix_is_the_oldest_commit_after_the_image() -> None:
    older = replace(FIX, short="aaaaaaa", committed_at=BUILT.at - timedelta(hours=1))

    assert the_fix([_by("c", HEAD), _by("b", TESTS), _by("o", older)], BUILT.at) == _by("b", TESTS)
    assert the_fix([_by("o", older), REASON], BUILT.at) is None


def test_what_a_bind_mount_masks_is_not_what_the_image_lacks() -> None:
    masked = replace(_by("a", FIX), masked=True)

    assert the_fix([masked, _by("b", TESTS)], BUILT.at) == _by("b", TESTS)


@pytest.mark.parametrize(
    ("reasons", "built", "head", "behind", "uncommitted", "expected"),
    [
        pytest.param(
            STORY, replace(BUILT, is_exact=False), HEAD, 3, 0,
            "first built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD, 3 commits behind",
            id="the engine's time alone",
        ),
        pytest.param(
            STORY[:1], BUILT, FIX, 1, 0,
            "built 4 h 30 before the fix 05a54e1, which is HEAD, 1 commit behind",
            id="the fix is HEAD",
        ),
        pytest.param(
            (REASON, REASON), BUILT, HEAD, 3, 2,
            "built 13 h 53 before HEAD, 3 commits behind, and 2 uncommitted changes",
            id="nothing committed",
        ),
        pytest.param(
            (*STORY, REASON), BUILT, HEAD, 1203, 1,
            "built 4 h 30 before the fix 05a54e1, 13 h 53 before HEAD, 1,203 commits behind, "
            "and 1 uncommitted change",
            id="both",
        ),
        pytest.param(
            (REASON,), BuildTime(HEAD.committed_at + timedelta(minutes=12)), HEAD, 0, 1,
            "built 12 min after HEAD, and 1 uncommitted change",
            id="newer than HEAD",
        ),
        pytest.param((REASON,), BUILT, None, 0, 0, "built 2026-11-11 11:08 UTC", id="no git"),
        pytest.param((REASON,), None, HEAD, 0, 0, "built at an unknown time", id="no time"),
    ],
)  # fmt: skip
def test_the_sentence(
    reasons: Sequence[Reason],
    built: BuildTime | None,
    head: CommitFact | None,
    behind: int,
    uncommitted: int,
    expected: str,
) -> None:
    assert sentence(reasons, built, head, behind, uncommitted) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "less than a minute"),
        (59.9, "less than a minute"),
        (60, "1 min"),
        (35 * 60, "35 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3600 + 5 * 60, "1 h 05"),
        (4.5 * 3600, "4 h 30"),
        (24 * 3600 - 1, "23 h 59"),
        (24 * 3600, "1 day"),
        (76 * 3600, "3 days 4 h"),
        (-4.5 * 3600, "4 h 30"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, expected: str) -> None:
    assert duration(timedelta(seconds=seconds)) == expected


def test_a_reason_names_change_reader_commit_and_age() -> None:
    (reason,) = explain([REASON], {"src/app.py": FIX})

    assert reason_line(reason, BUILT, Background(commits={"src/app.py": FIX})) == (
        "src/app.py  modified  read by docker/Dockerfile:52  "
        "05a54e1 Override bearer_scheme, 2026-11-11 15:38 UTC (4 h 30 after the build)"
    )


def test_a_commit_older_than_the_image_is_said_to_be() -> None:
    # A switch to another branch: what is here now was committed long ago.
    line = reason_line(_by("a", FIX), BuildTime(HEAD.committed_at, is_exact=False), Background())

    assert line == "a  modified  05a54e1, 2026-11-11 15:38 UTC (9 h 23 before the first build)"


def test_a_reason_without_a_commit_is_uncommitted_only_if_git_says_so() -> None:
    mode = Reason("a", "mode")
    known = Background(uncommitted=frozenset({"a"}))

    assert reason_line(mode, BUILT, known) == "a  only the mode bits differ  uncommitted"
    assert reason_line(mode, BUILT, Background()) == "a  only the mode bits differ"


def test_a_masked_reason_says_so() -> None:
    line = reason_line(replace(REASON, masked=True), BUILT, Background())
    assert line == "src/app.py  modified, masked by a bind mount  read by docker/Dockerfile:52"


def test_every_kind_of_change_has_words_of_its_own() -> None:
    changes = get_args(Change)
    assert len({change_words(change) for change in changes}) == len(changes)


def test_explaining_fills_in_commits_and_changes_nothing_else() -> None:
    other = Reason("b", "added")

    assert explain([REASON, other], {"src/app.py": FIX}) == (
        replace(REASON, commit="05a54e1", committed_at=FIX.committed_at),
        other,
    )


def test_the_background_is_asked_about_paths_of_the_tree_only() -> None:
    root = Path("/p")
    reasons = [REASON, Reason("edited", "modified"), Reason("/app/in/the/image", "removed")]
    records = [
        BuildRecord("app", "sha256:1", "", "", dirty=False, built_at=BUILT.at),
        BuildRecord("app", "sha256:1", "", "", dirty=False, built_at=HEAD.committed_at),
        BuildRecord("app", "sha256:1", "", "", dirty=False, built_at=FIX.committed_at),
    ]

    git = FakeGit({root / "src/app.py": FIX})

    known = background(git, root, [_status(Stale(tuple(reasons)))], records)

    assert known == Background(
        head=HEAD,
        commits={"src/app.py": FIX},
        uncommitted=frozenset({"edited"}),
        builds={"sha256:1": HEAD.committed_at},
        log=(HEAD, TESTS, FIX),
    )


def test_git_is_not_asked_again_for_commits_that_are_not_there() -> None:
    git = FakeGit({})
    git.commits_since = lambda _since: pytest.fail("asked")  # type: ignore[method-assign]

    found = background(git, Path("/p"), [replace(_status(Fresh()), commits_behind=0)], ())

    assert found.log == ()


def test_the_summary_counts_commits_after_the_build_and_not_after_created() -> None:
    # Built again from the layer cache: the engine's time stays that of the first build.
    again = Background(head=HEAD, builds={"sha256:1": TESTS.committed_at}, log=(HEAD, TESTS, FIX))

    assert again.summary(_status(Fresh())) == "built 3 h 01 before HEAD, 1 commit behind"
    first = replace(again, builds={})
    assert first.summary(_status(Fresh())) == "first built 13 h 53 before HEAD, 3 commits behind"


def test_the_summary_counts_changed_paths_once_and_only_what_git_calls_uncommitted() -> None:
    reasons = (Reason("edited", "modified"), Reason("edited", "mode"), Reason("other", "added"))
    known = Background(head=HEAD, uncommitted=frozenset({"edited", "elsewhere"}))

    assert known.summary(_status(Stale(reasons))).endswith(", and 1 uncommitted change")


def test_without_an_image_there_is_no_summary() -> None:
    assert Background(head=HEAD).summary(replace(_status(Missing()), image_id=None)) == ""


def test_the_last_recorded_build_is_the_build_and_created_only_the_first() -> None:
    known = Background(builds={"sha256:1": HEAD.committed_at})

    assert known.build_time("sha256:1", BUILT.at) == BuildTime(HEAD.committed_at)
    assert known.build_time("sha256:2", BUILT.at) == BuildTime(BUILT.at, is_exact=False)
    assert known.build_time("sha256:2", None) is None


def test_foreign_text_can_not_steer_a_terminal() -> None:
    foreign = "a\x1b[31m\r\n\u202eb\udcffé"
    assert printable(foreign) == "a�[31m���b�é"
    assert printable("Say “hé”: 日本") == "Say “hé”: 日本"
