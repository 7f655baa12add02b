"""What GitCli answers about real repositories."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from unstale.adapters.git import GitCli
from unstale.adapters.process import SystemProcess

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)


def git(root: Path, *arguments: str, at: datetime = FIRST) -> None:
    moment = at.isoformat()
    subprocess.run(
        [
            "git",
            "-C",
            str(root),
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.com",
            "-c",
            "commit.gpgsign=false",
            *arguments,
        ],
        check=True,
        capture_output=True,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin",
            "HOME": str(root),
            "GIT_AUTHOR_DATE": moment,
            "GIT_COMMITTER_DATE": moment,
        },
    )


def commit(root: Path, name: str, subject: str, at: datetime = FIRST) -> None:
    (root / name).write_text(subject)
    git(root, "add", name)
    git(root, "commit", "-m", subject, at=at)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-b", "main")
    return tmp_path


def ask(root: Path) -> GitCli:
    return GitCli(SystemProcess(), root)


def test_head_is_the_newest_commit(root: Path) -> None:
    commit(root, "a", "Add a")
    commit(root, "b", 'Say "hé"; | \t twice', at=FIRST + timedelta(hours=1))
    head = ask(root).head()
    assert head is not None
    assert head.subject == 'Say "hé"; | \t twice'
    assert head.committed_at == FIRST + timedelta(hours=1)
    assert len(head.sha) == 40
    assert head.sha.startswith(head.short)


def test_log_is_newest_first_after_a_moment_and_limited(root: Path) -> None:
    for hour in range(3):
        commit(root, f"f{hour}", f"Commit {hour}", at=FIRST + timedelta(hours=hour))
    subjects = [c.subject for c in ask(root).log(since=FIRST)]
    assert subjects == ["Commit 2", "Commit 1"]
    assert [c.subject for c in ask(root).log(limit=1)] == ["Commit 2"]


def test_an_untracked_or_changed_file_is_dirty(root: Path) -> None:
    commit(root, "a", "Add a")
    assert not ask(root).is_dirty()
    (root / "new").write_text("x")
    assert ask(root).is_dirty()
    (root / "new").unlink()
    (root / "a").write_text("changed")
    assert ask(root).is_dirty()


def test_the_last_commit_of_a_path_is_none_once_it_differs(root: Path) -> None:
    commit(root, "a", "Add a")
    commit(root, "b", "Add b")
    commit(root, ".gitignore", "ignored")
    (root / "ignored").write_text("x")
    fact = ask(root).last_commit(root / "a")
    assert fact is not None
    assert fact.subject == "Add a"
    (root / "a").write_text("changed")
    assert ask(root).last_commit(root / "a") is None
    (root / "new").write_text("x")
    assert ask(root).last_commit(root / "new") is None
    assert ask(root).last_commit(root / "ignored") is None
    assert ask(root).last_commit(root / "absent") is None


def test_a_folder_that_is_no_repository_has_no_facts(tmp_path: Path) -> None:
    nothing = ask(tmp_path)
    assert (nothing.head(), nothing.log(), nothing.is_dirty()) == (None, (), False)
    assert nothing.last_commit(tmp_path / "a") is None


def test_a_repository_without_commits_has_no_head(root: Path) -> None:
    assert ask(root).head() is None


def test_without_git_there_are_no_facts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(root, "a", "Add a")
    monkeypatch.setenv("PATH", str(root / "empty"))
    assert ask(root).head() is None


def test_a_hooks_variables_do_not_lead_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(root, "a", "Add a")
    monkeypatch.setenv("GIT_DIR", str(root / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(root / "no-index"))
    assert ask(root).head() is not None
    assert not ask(root).is_dirty()
