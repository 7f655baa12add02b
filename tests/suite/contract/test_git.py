"""What GitCli answers about real repositories."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from unstale.adapters.git import GitCli
from unstale.adapters.process import SystemProcess
from unstale.ports import Command, CommandResult, Line

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
    git(root, "--literal-pathspecs", "add", name)
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


def test_a_folder_that_is_no_repository_has_no_facts(tmp_path: Path) -> None:
    nothing = ask(tmp_path)
    assert (nothing.head(), nothing.log(), nothing.is_dirty()) == (None, (), None)


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


@dataclass
class Counting:
    """The real processes, counted."""

    commands: list[Command] = field(default_factory=list)

    def run(self, command: Command, on_line: Line | None = None) -> CommandResult:
        self.commands.append(command)
        return SystemProcess().run(command, on_line)

    def stream(self, command: Command) -> Iterator[bytes]:
        self.commands.append(command)
        return SystemProcess().stream(command)


def subjects(root: Path, *names: str, at: Path | None = None) -> dict[str, str]:
    """Each name's last commit's subject, as seen from *root*."""
    found = ask(root).last_commits([(at or root) / name for name in names])
    return {str(path.relative_to(at or root)): fact.subject for path, fact in found.items()}


def test_many_paths_get_their_last_commits_from_four_processes(root: Path) -> None:
    names = [f"f{number}" for number in range(150)]
    for number, name in enumerate(names):
        (root / name).write_text("x")
        git(root, "add", name)
        if number % 50 == 49:
            git(root, "commit", "-m", f"Add up to {number}", at=FIRST + timedelta(hours=number))
    processes = Counting()

    found = GitCli(processes, root).last_commits([root / name for name in names])

    assert len(processes.commands) == 4
    assert {found[root / n].subject for n in names[:50]} == {"Add up to 49"}
    assert {found[root / n].subject for n in names[50:100]} == {"Add up to 99"}
    assert {found[root / n].subject for n in names[100:]} == {"Add up to 149"}
    assert found[root / "f0"].committed_at == FIRST + timedelta(hours=49)


def test_a_removed_path_has_the_commit_that_removed_it(root: Path) -> None:
    (root / "folder").mkdir()
    commit(root, "folder/a", "Add a")
    commit(root, "b", "Add b")
    git(root, "rm", "-q", "folder/a")
    git(root, "commit", "-m", "Remove a")

    assert subjects(root, "folder/a", "b") == {"folder/a": "Remove a", "b": "Add b"}


@pytest.mark.parametrize("others", [0, 200], ids=["few paths", "more than are named to git"])
def test_what_is_uncommitted_has_no_commit_and_is_told(root: Path, others: int) -> None:
    for name in ("kept", "edited", "staged", "deleted"):
        commit(root, name, f"Add {name}")
    commit(root, ".gitignore", "ignored*")
    (root / "edited").write_text("changed")
    (root / "staged").write_text("changed")
    git(root, "add", "staged")
    (root / "deleted").unlink()
    (root / "untracked").mkdir()
    (root / "untracked" / "x").write_text("x")
    (root / "ignored").mkdir()
    (root / "ignored" / "x").write_text("x")
    changed = ("edited", "staged", "deleted", "untracked/x", "ignored/x")
    names = ("kept", *changed, "never", *(f"never{number}" for number in range(others)))

    assert subjects(root, *names) == {"kept": "Add kept"}
    told = ask(root).uncommitted([root / name for name in names])
    assert told == {root / name for name in changed}


def test_a_folder_has_the_last_commit_below_it(root: Path) -> None:
    (root / "src" / "deep").mkdir(parents=True)
    commit(root, "src/deep/a", "Add a")
    commit(root, "b", "Add b")
    assert subjects(root, "src") == {"src": "Add a"}
    (root / "src" / "deep" / "a").write_text("changed")
    assert subjects(root, "src") == {}


def test_a_merge_is_named_only_for_what_it_decided_itself(root: Path) -> None:
    commit(root, "both", "Add both")
    commit(root, "theirs", "Add theirs")
    git(root, "switch", "-c", "side")
    (root / "both").write_text("side")
    commit(root, "theirs", "Change theirs", at=FIRST + timedelta(hours=1))
    git(root, "commit", "-am", "Change both on the side", at=FIRST + timedelta(hours=2))
    git(root, "switch", "main")
    (root / "both").write_text("main")
    git(root, "commit", "-am", "Change both", at=FIRST + timedelta(hours=3))
    git(root, "merge", "--no-commit", "-s", "ours", "side")
    git(root, "checkout", "side", "--", "theirs")
    (root / "both").write_text("joined")
    git(root, "add", "both")
    git(root, "commit", "-m", "Merge", at=FIRST + timedelta(hours=4))

    assert subjects(root, "both", "theirs") == {"both": "Merge", "theirs": "Change theirs"}


@pytest.mark.parametrize(
    "name", ["new\nline", "*", "ü ", '"q"', ":(top)x", b"\xff".decode("utf-8", "surrogateescape")]
)
def test_any_file_name_has_its_last_commit(root: Path, name: str) -> None:
    commit(root, name, "Add it")
    commit(root, "other", "Add other")
    assert subjects(root, name, "other") == {name: "Add it", "other": "Add other"}


def test_a_path_behind_a_link_is_that_of_its_target(root: Path) -> None:
    (root / "real").mkdir()
    commit(root, "real/a", "Add a")
    (root / "link").symlink_to("real")
    git(root, "add", "link")
    git(root, "commit", "-m", "Add the link")
    assert subjects(root, "link/a", "link") == {"link/a": "Add a", "link": "Add the link"}


def test_a_path_in_a_submodule_has_the_submodules_commit(root: Path) -> None:
    inner, outer = root / "inner", root / "outer"
    for folder in (inner, outer):
        folder.mkdir()
        git(folder, "init", "-b", "main")
    commit(inner, "a", "Add a in the submodule")
    commit(outer, "b", "Add b")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "lib")
    git(outer, "commit", "-m", "Add the submodule")

    expected = {"lib/a": "Add a in the submodule", "b": "Add b", "lib": "Add the submodule"}
    assert subjects(outer, *expected) == expected
    (outer / "lib" / "a").write_text("changed")
    assert "lib/a" not in subjects(outer, *expected)


def test_a_worktree_answers_for_its_own_branch(root: Path) -> None:
    commit(root, "a", "Add a")
    git(root, "worktree", "add", "-b", "side", "tree")
    commit(root / "tree", "a", "Change a on the side")

    assert subjects(root, "a") == {"a": "Add a"}
    assert subjects(root / "tree", "a") == {"a": "Change a on the side"}
    assert subjects(root, "a", at=root / "tree") == {"a": "Change a on the side"}


def test_the_oldest_commit_of_a_shallow_clone_brought_nothing(root: Path) -> None:
    whole, shallow = root / "whole", root / "shallow"
    whole.mkdir()
    git(whole, "init", "-b", "main")
    for name in "abc":
        commit(whole, name, f"Add {name}")
    git(root, "clone", "--depth", "2", f"file://{whole}", str(shallow))

    # b came with the oldest commit there is, as far as this clone can tell.
    assert subjects(shallow, "a", "b", "c") == {"c": "Add c"}
    assert ask(shallow).uncommitted([shallow / name for name in "abc"]) == frozenset()
    git(root, "-C", str(shallow), "worktree", "add", "tree")
    assert subjects(shallow / "tree", "a", "b", "c") == {"c": "Add c"}


def test_where_git_does_not_answer_there_are_no_last_commits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(root, "a", "Add a")
    # Git's own switch for "the folder belongs to somebody else".
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(root))
    assert subjects(root, "a") == {}
    assert ask(root).uncommitted([root / "a"]) == frozenset()
    assert ask(root).commits_since(FIRST) == ()
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    assert subjects(root, "a") == {"a": "Add a"}
    monkeypatch.setenv("PATH", str(root / "empty"))
    assert subjects(root, "a") == {}


def test_a_path_outside_of_every_repository_has_no_commit(tmp_path: Path) -> None:
    assert ask(tmp_path).last_commits([tmp_path / "a" / "b"]) == {}
    assert ask(tmp_path).uncommitted([tmp_path / "a" / "b"]) == frozenset()


def test_commits_since_a_commit_are_those_it_lacks(root: Path) -> None:
    for hour in range(3):
        commit(root, f"f{hour}", f"Commit {hour}", at=FIRST + timedelta(hours=hour))
    first = ask(root).log()[-1].sha

    def since(what: str | datetime) -> list[str] | None:
        found = ask(root).commits_since(what)
        return None if found is None else [c.subject for c in found]

    assert since(first) == ["Commit 2", "Commit 1"]
    assert since(FIRST) == ["Commit 2", "Commit 1"]
    assert since("HEAD") == []
    assert since("0" * 40) is None
    assert since("--all") is None


def test_what_git_has_or_would_take_is_listed(root: Path) -> None:
    commit(root, "app.py", "first")
    (root / ".gitignore").write_text("made.py\n")
    for name in ("made.py", "new.py", "note.txt"):
        (root / name).write_text("")

    assert ask(root).listed(".py") == (root / "app.py", root / "new.py")


def test_without_a_repository_nothing_is_known_to_be_listed(tmp_path: Path) -> None:
    assert ask(tmp_path).listed(".py") is None


def test_a_submodule_that_is_not_checked_out_is_found(root: Path) -> None:
    inner, outer = root / "inner", root / "outer"
    for folder in (inner, outer):
        folder.mkdir()
        git(folder, "init", "-b", "main")
    commit(inner, "a", "Add a")
    commit(outer, "b", "Add b")
    assert ask(outer).absent_submodules() == ()

    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "lib/a b")
    git(outer, "commit", "-m", "Add the submodule")
    assert ask(outer).absent_submodules() == ()
    written = outer / ".gitmodules"
    written.write_text(f'{written.read_text()}[submodule "x"]\n\tpath = nowhere\n')
    git(outer, "submodule", "deinit", "--force", "lib/a b")

    assert ask(outer).absent_submodules() == (outer / "lib/a b",)
    assert ask(outer / "lib").absent_submodules() == (outer / "lib/a b",)


def test_a_repository_of_another_user_is_told_from_none(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(root, "a", "Add a")
    assert not ask(root).is_foreign()
    assert not ask(tmp_path_factory.mktemp("none")).is_foreign()

    # What git itself has for its tests.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert ask(root).is_foreign()
    assert ask(root).head() is None
    monkeypatch.setenv("PATH", "")
    assert not ask(root).is_foreign()


# --- Lines ---


def blamed(root: Path, *places: tuple[str, int]) -> dict[tuple[str, int], str | None]:
    found = ask(root).blamed([(root / name, line) for name, line in places])
    return {(p.name, line): c.subject if c else None for (p, line), c in found.items()}


def test_each_line_has_the_commit_that_brought_it(root: Path) -> None:
    commit(root, "a", "one\ntwo\nthree\n")
    (root / "a").write_text("one\n2\nthree\n")
    git(root, "commit", "-am", "Count", at=FIRST + timedelta(hours=1))
    commit(root, "b c", "other")

    first = "one two three"  # git makes one line of a message's first paragraph
    assert blamed(root, ("a", 1), ("a", 2), ("b c", 1)) == {
        ("a", 1): first,
        ("a", 2): "Count",
        ("b c", 1): "other",
    }
    found = ask(root).blamed([(root / "a", 2)])[root / "a", 2]
    assert found is not None
    assert (found.authored_at, found.committed_at) == (FIRST + timedelta(hours=1),) * 2


def test_a_line_that_no_commit_has_has_none(root: Path) -> None:
    commit(root, "a", "one\ntwo\n")
    (root / "a").write_text("new\none\ntwo\n")

    assert blamed(root, ("a", 1), ("a", 2)) == {("a", 1): None, ("a", 2): "one two"}


def test_of_what_is_not_there_or_not_git_s_nothing_is_told(root: Path, tmp_path: Path) -> None:
    commit(root, "a", "one\n")
    (root / "untracked").write_text("x\n")

    assert blamed(root, ("a", 9), ("gone", 1), ("untracked", 1)) == {}
    assert ask(root).blamed([]) == {}
    assert ask(tmp_path / "nowhere").blamed([(Path("/etc/hostname"), 1)]) == {}


def test_a_filtered_file_is_left_out_and_a_list_to_skip_is_not_needed(root: Path) -> None:
    commit(root, "a", "one\n")
    commit(root, "b", "two\n")
    git(root, "config", "filter.f.clean", "false")
    git(root, "config", "blame.ignoreRevsFile", ".not-here")
    (root / ".gitattributes").write_text("a filter=f\n")

    assert blamed(root, ("a", 1), ("b", 1)) == {("b", 1): "two"}


def test_a_shallow_clone_s_oldest_commit_brought_no_line(root: Path) -> None:
    whole, shallow = root / "whole", root / "shallow"
    whole.mkdir()
    git(whole, "init", "-b", "main")
    for name in "ab":
        commit(whole, name, f"Add {name}")
    git(root, "clone", "--depth", "1", f"file://{whole}", str(shallow))
    commit(shallow, "c", "Add c")

    assert blamed(shallow, ("a", 1), ("b", 1), ("c", 1)) == {("c", 1): "Add c"}
