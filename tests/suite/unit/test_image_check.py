from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from unstale.errors import TimedOut, UsageError
from unstale.image.check import LABEL_INPUTS, ImageStatus, check
from unstale.image.content import roots
from unstale.image.inputs import BuildInputs
from unstale.image.verify import Match, Search, VerifyResult, verify
from unstale.ports import (
    ArchiveMember,
    Command,
    CommandResult,
    CommitFact,
    Docker,
    Git,
    ImageFact,
    Process,
)
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown

CREATED = datetime(2026, 1, 1, 12, tzinfo=UTC)
APP = PurePosixPath("/app/src/app.py")


@dataclass
class FakeDocker:
    """An engine with at most one image."""

    fact: ImageFact | None
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[PurePosixPath] = field(default_factory=list)

    def image(self, reference: str) -> ImageFact | None:
        assert reference == "app:test"
        return self.fact

    def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        assert image == "sha256:1"
        self.asked.append(path)
        for name, content in self.files.items():
            found = PurePosixPath(name)
            if found == path or path in found.parents:
                yield ArchiveMember(found, 0o644, None, content)


@dataclass
class FakeGit:
    commits: tuple[CommitFact, ...] = ()

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        found = (c for c in self.commits if since is None or c.committed_at > since)
        return tuple(found)[:limit]

    def last_commit(self, path: Path) -> CommitFact | None:
        assert path.is_absolute()
        return self.commits[0] if self.commits else None


@dataclass
class FakeProcess:
    result: CommandResult | TimedOut
    commands: list[Command] = field(default_factory=list)

    def run(self, command: Command, on_line: object = None) -> CommandResult:
        assert on_line is None
        self.commands.append(command)
        if isinstance(self.result, TimedOut):
            raise self.result
        return self.result


@pytest.fixture
def inputs(tmp_path: Path) -> BuildInputs:
    (tmp_path / "ctx/src").mkdir(parents=True)
    (tmp_path / "ctx/src/app.py").write_text("one\ntwo\n")
    return BuildInputs(
        digest="v0:sha256:now",
        dependencies="v0:sha256:deps",
        paths={"src/app.py": "r1", "src/lock": "r2"},
        copies=(("src/app.py", APP),),
        unresolved=(),
        remote=(),
        base_images=(),
        context=tmp_path / "ctx",
        dockerfile=tmp_path / "ctx/Dockerfile",
    )


def image(label: str | None) -> ImageFact:
    labels = {} if label is None else {LABEL_INPUTS: label}
    return ImageFact("sha256:1", ("t",), CREATED, labels, 1, "amd64", "linux", "/app", (), ())


def status(
    inputs: BuildInputs,
    docker: FakeDocker,
    *,
    recorded: Mapping[str, str] | None = None,
    git: FakeGit | None = None,
) -> ImageStatus:
    return check(
        cast("Docker", docker),
        cast("Git", git or FakeGit()),
        "app",
        "app:test",
        inputs,
        root=inputs.context.parent,
        recorded=recorded,
    )


SAME = {str(APP): b"one\ntwo\n"}
OLD = {str(APP): b"one\nTWO\n"}


def test_no_image_is_missing(inputs: BuildInputs) -> None:
    found = status(inputs, FakeDocker(None))

    assert (found.verdict, found.image_id, found.commits_behind) == (Missing(), None, 0)


def test_equal_bytes_and_an_equal_label_are_fresh(inputs: BuildInputs) -> None:
    docker = FakeDocker(image("v0:sha256:now"), dict(SAME))

    assert status(inputs, docker).verdict == Fresh()
    assert docker.asked == [APP]


def test_old_bytes_under_the_right_label_are_stale(inputs: BuildInputs) -> None:
    found = status(inputs, FakeDocker(image("v0:sha256:now"), dict(OLD)))

    assert found.verdict == Stale((Reason("ctx/src/app.py", "modified"),))


def test_a_file_that_the_image_lacks_is_stale(inputs: BuildInputs) -> None:
    found = status(inputs, FakeDocker(image("v0:sha256:now")))

    assert found.verdict == Stale((Reason("ctx/src/app.py", "added"),))


def test_a_file_copied_into_a_folder_of_the_base_image_is_found(inputs: BuildInputs) -> None:
    docker = FakeDocker(image("v0:sha256:now"), {f"{APP}/app.py": b"one\ntwo\n"})

    assert status(inputs, docker).verdict == Fresh()


def test_another_label_is_stale_and_says_only_what_is_known(inputs: BuildInputs) -> None:
    found = status(inputs, FakeDocker(image("v0:sha256:old"), dict(SAME)))

    assert found.verdict == Stale((Reason("build inputs", "configuration"),))


def test_the_record_of_the_build_names_the_reasons(inputs: BuildInputs) -> None:
    docker = FakeDocker(image("v0:sha256:old"), dict(SAME))
    recorded = {"src/app.py": "r1", "src/lock": "r0", "src/gone": "r9"}

    assert status(inputs, docker, recorded=recorded).verdict == Stale(
        (Reason("ctx/src/gone", "removed"), Reason("ctx/src/lock", "modified"))
    )


def test_no_label_is_unknown_however_equal_the_bytes(inputs: BuildInputs) -> None:
    found = status(inputs, FakeDocker(image(None), dict(SAME))).verdict

    assert isinstance(found, Unknown)
    assert "the 1 files it copied are equal" in found.why


def test_no_label_and_other_bytes_are_stale(inputs: BuildInputs) -> None:
    assert isinstance(status(inputs, FakeDocker(image(None), dict(OLD))).verdict, Stale)


def test_a_label_of_another_scheme_is_unknown(inputs: BuildInputs) -> None:
    docker = FakeDocker(image("v1:sha256:now"), dict(SAME))

    assert isinstance(status(inputs, docker).verdict, Unknown)


def test_a_remote_input_is_unknown_under_the_right_label(inputs: BuildInputs) -> None:
    docker = FakeDocker(image("v0:sha256:now"), dict(SAME))

    assert isinstance(status(replace(inputs, remote=("ADD x",)), docker).verdict, Unknown)


def test_a_link_is_compared_by_where_it_points(inputs: BuildInputs) -> None:
    (inputs.context / "src/app.py").unlink()
    (inputs.context / "src/app.py").symlink_to("one\ntwo\n")

    # The same bytes in a regular file are no link.
    assert isinstance(status(inputs, FakeDocker(image("v0:sha256:now"), dict(SAME))).verdict, Stale)


def test_commits_and_hours_are_counted_from_the_images_creation(inputs: BuildInputs) -> None:
    commits = tuple(
        CommitFact(f"{n}" * 40, f"{n}" * 7, CREATED + timedelta(hours=h), "s")
        for n, h in ((2, 4.5), (1, 1.0), (0, -1.0))
    )
    found = status(inputs, FakeDocker(image(None), dict(OLD)), git=FakeGit(commits))

    assert (found.commits_behind, found.hours_behind) == (2, 4.5)
    assert found.verdict == Stale((Reason("ctx/src/app.py", "modified", "2222222"),))


def test_few_places_are_read_and_never_the_root() -> None:
    paths = map(PurePosixPath, ["/app/a/x", "/app/b/y", "/entry.sh", "/etc/app/conf"])

    assert list(map(str, roots(paths))) == ["/app", "/entry.sh", "/etc/app/conf"]


def looked(
    inputs: BuildInputs,
    files: dict[str, bytes],
    *,
    path: str | None = None,
    search: Search | None = None,
    result: CommandResult | TimedOut | None = None,
) -> VerifyResult:
    return verify(
        cast("Docker", FakeDocker(image(None), files)),
        cast("Process", FakeProcess(result or CommandResult(1, "", "", 0.0))),
        "sha256:1",
        "app",
        inputs,
        path=None if path is None else PurePosixPath(path),
        search=search,
    )


def test_the_fix_is_found_with_its_line(inputs: BuildInputs) -> None:
    found = looked(inputs, dict(SAME), search=Search("two"))

    assert (found.verdict, found.matches, found.compared) == (Fresh(), (Match(APP, 2),), 1)


def test_a_pattern_that_is_not_there_is_said(inputs: BuildInputs) -> None:
    found = looked(inputs, dict(SAME), search=Search("t.o"))

    assert isinstance(found.verdict, Stale)
    assert found.finding.startswith("pattern not found")


def test_a_path_that_is_not_there_is_said(inputs: BuildInputs) -> None:
    found = looked(inputs, dict(SAME), path="/nowhere", search=Search("two"))

    assert isinstance(found.verdict, Stale)
    assert found.finding.startswith("path absent")


def test_bytes_that_differ_are_said_even_if_the_pattern_is_found(inputs: BuildInputs) -> None:
    found = looked(inputs, dict(OLD), search=Search("one"))

    assert isinstance(found.verdict, Stale)
    assert found.finding.startswith("bytes differ")
    assert [one.path for one in found.differences] == [APP]


def test_nothing_compared_and_nothing_asked_is_unknown(inputs: BuildInputs) -> None:
    assert isinstance(looked(replace(inputs, copies=()), {}).verdict, Unknown)


def test_a_file_that_only_the_image_has_can_be_searched(inputs: BuildInputs) -> None:
    found = looked(inputs, {"/etc/made": b"two"}, path="/etc/made", search=Search("two"))

    assert (found.verdict, found.compared) == (Fresh(), 0)


def test_binary_files_are_not_searched(inputs: BuildInputs) -> None:
    assert not looked(inputs, {"/b": b"\0two"}, path="/b", search=Search("two")).matches


def test_lines_that_grep_numbers_are_traced_to_their_files(inputs: BuildInputs) -> None:
    files = {**SAME, "/app/src/b.py": b"x\nlast"}
    result = CommandResult(0, "2:two\n4:last\n", "", 0.0)
    found = looked(inputs, files, path="/app", search=Search("t", is_regex=True), result=result)

    assert found.matches == (Match(APP, 2), Match(PurePosixPath("/app/src/b.py"), 2))


def test_a_bad_or_empty_pattern_is_a_usage_error(inputs: BuildInputs) -> None:
    with pytest.raises(UsageError):
        looked(inputs, dict(SAME), search=Search(""))
    with pytest.raises(UsageError, match="Unmatched"):
        looked(
            inputs,
            dict(SAME),
            search=Search("(", is_regex=True),
            result=CommandResult(2, "", "grep: Unmatched ( or \\(", 0.0),
        )
