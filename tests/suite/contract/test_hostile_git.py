"""Whatever a repository's configuration plants, asking git of it runs nothing."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unstale.adapters.git import GitCli
from unstale.adapters.process import SystemProcess

Plant = Callable[[Path, str], None]

_IDENTITY = ("-c", "user.name=Robin Example", "-c", "user.email=robin@example.com")


def git(root: Path, *arguments: str, code: int | None = 0) -> str:
    done = subprocess.run(
        ("git", "-C", str(root), *_IDENTITY, *arguments),
        capture_output=True,
        text=True,
        check=False,
    )
    assert code is None or done.returncode == code, done.stderr
    return done.stdout


def configured(key: str, value: str = "{}") -> Plant:
    return lambda root, script: void(git(root, "config", key, value.format(script)))


def void(_: object) -> None:
    return None


def filtered(key: str) -> Plant:
    def plant(root: Path, script: str) -> None:
        (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
        git(root, "config", f"filter.evil.{key}", script)
        git(root, "config", "filter.evil.required", "true")

    return plant


def odd_filter(root: Path, script: str) -> None:
    """`git -c filter.a=b.clean=` would set another key."""
    (root / ".gitattributes").write_text("* filter=a=b\n")
    with (root / ".git" / "config").open("a") as file:
        file.write(f'[filter "a=b"]\n\tclean = {script}\n')


def attributes_of_the_repository(root: Path, script: str) -> None:
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    git(root, "config", "filter.evil.clean", script)


def included(root: Path, script: str) -> None:
    (root / "more.config").write_text(f'[core]\n\tfsmonitor = {script}\n[filter "x"]\n')
    with (root / "more.config").open("a") as file:
        file.write(f"\tclean = {script}\n")
    (root / ".gitattributes").write_text("* filter=x\n")
    git(root, "config", "include.path", "../more.config")


def of_a_worktree(root: Path, script: str) -> None:
    git(root, "config", "extensions.worktreeConfig", "true")
    git(root, "config", "--worktree", "core.fsmonitor", script)


def hooks(root: Path, script: str) -> None:
    folder = root / "hooks"
    folder.mkdir()
    for name in ("post-index-change", "pre-auto-gc", "reference-transaction", "fsmonitor-watchman"):
        (folder / name).symlink_to(script)
    git(root, "config", "core.hooksPath", "hooks")


def signed(root: Path, script: str) -> None:
    git(root, "config", "log.showSignature", "true")
    git(root, "config", "gpg.program", script)
    git(root, "config", "gpg.ssh.program", script)
    tree = git(root, "rev-parse", "HEAD^{tree}").strip()
    commit = (
        f"tree {tree}\nauthor A <a@example.com> 1767225600 +0000\n"
        "committer A <a@example.com> 1767225600 +0000\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n aGVyb24=\n"
        " -----END PGP SIGNATURE-----\n\nSigned\n"
    )
    made = subprocess.run(
        ("git", "-C", str(root), "hash-object", "-t", "commit", "-w", "--stdin"),
        input=commit, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    git(root, "update-ref", "refs/heads/main", made)


def differ(root: Path, script: str) -> None:
    (root / ".gitattributes").write_text("* diff=evil\n")
    for key in ("diff.external", "diff.evil.textconv", "diff.evil.command", "merge.evil.driver"):
        git(root, "config", key, script)


def pagers(root: Path, script: str) -> None:
    for key in ("core.pager", "pager.log", "pager.status", "core.editor", "core.askPass"):
        git(root, "config", key, script)


def aliases(root: Path, script: str) -> None:
    for name in ("log", "status", "config", "rev-parse", "ls-files", "check-attr"):
        git(root, "config", f"alias.{name}", f"!{script}")


def a_promise(url: str, key: str) -> Plant:
    """A partial clone fetches what it lacks, through a program of its configuration."""

    def plant(root: Path, script: str) -> None:
        git(root, "config", "core.repositoryFormatVersion", "1")
        git(root, "config", "extensions.partialClone", "origin")
        git(root, "config", "remote.origin.promisor", "true")
        git(root, "config", "remote.origin.url", url.format(script))
        git(root, "config", "protocol.allow", "always")
        git(root, "config", "protocol.ext.allow", "always")
        git(root, "config", key, script)
        git(root, "config", "credential.helper", f"!{script}")
        # Every tree and file is gone: only the commits are there.
        for line in git(root, "cat-file", "--batch-all-objects", "--batch-check").splitlines():
            sha, kind, _ = line.split()
            if kind != "commit":
                (root / ".git" / "objects" / sha[:2] / sha[2:]).unlink(missing_ok=True)

    return plant


def a_submodule(root: Path, script: str) -> None:
    inside = root / "inside"
    inside.mkdir()
    git(inside, "init", "-b", "main")
    (inside / "a").write_text("first")
    git(inside, "add", "a")
    git(inside, "commit", "-m", "First")
    git(root, "add", "inside", code=None)
    git(root, "commit", "-m", "Add a repository")
    (inside / ".gitattributes").write_text("* filter=inner\n")
    git(inside, "config", "filter.inner.clean", script)
    git(inside, "config", "core.fsmonitor", script)
    (inside / "a").write_text("other")


def a_file_that_leads_elsewhere(root: Path, script: str) -> None:
    git(root, "config", "core.fsmonitor", script)
    (root / ".git").rename(root / "elsewhere")
    (root / ".git").write_text("gitdir: elsewhere\n")


def a_bare_repository(root: Path, script: str) -> None:
    """Its files in the folder itself, where git finds them without a ``.git``."""
    for name in ("HEAD", "config", "objects", "refs", "index"):
        (root / ".git" / name).rename(root / name)
    git(root, f"--git-dir={root}", "config", "core.bare", "false")
    git(root, f"--git-dir={root}", "config", "core.worktree", str(root))
    git(root, f"--git-dir={root}", "config", "core.fsmonitor", script)
    subprocess.run(("rm", "-r", str(root / ".git")), check=True)


PLANTS: dict[str, Plant] = {
    "fsmonitor": configured("core.fsmonitor"),
    "fsmonitor-with-arguments": configured("core.fsmonitor", "{} --all"),
    "ssh": configured("core.sshCommand"),
    "clean": filtered("clean"),
    "smudge": filtered("smudge"),
    "process": filtered("process"),
    "odd-filter": odd_filter,
    "info-attributes": attributes_of_the_repository,
    "include": included,
    "worktree-config": of_a_worktree,
    "hooks": hooks,
    "signature": signed,
    "diff": differ,
    "pager": pagers,
    "alias": aliases,
    "promise-ext": a_promise("ext::{} %S", "core.sshCommand"),
    "promise-ssh": a_promise("ssh://example.com/a", "core.sshCommand"),
    "promise-folder": a_promise("/nowhere", "remote.origin.uploadpack"),
    "promise-helper": a_promise("https://example.com/a", "remote.origin.vcs"),
    "submodule": a_submodule,
    "git-file": a_file_that_leads_elsewhere,
    "bare": a_bare_repository,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "hostile"
    folder.mkdir()
    git(folder, "init", "-b", "main")
    for name in ("a", "b"):
        (folder / name).write_text(f"{name}\n")
        git(folder, "add", name)
        git(folder, "commit", "-m", f"Add {name}")
    return folder


def trap(folder: Path) -> tuple[Path, Path]:
    """A program that leaves a mark, wherever and however it is run."""
    mark, script = folder / "mark", folder / "trap"
    script.write_text(f"#!/bin/sh\necho \"$0 $*\" >>'{mark}'\ncat\n")
    script.chmod(0o755)
    return mark, script


def ask_all(root: Path) -> None:
    git = GitCli(SystemProcess(), root)
    git.head()
    git.is_dirty()
    git.log()
    git.commits_since("HEAD~1")
    git.last_commits([root / "a", root / "b", root / "inside" / "a"])
    git.uncommitted([root / "a", root / "inside" / "a"])
    git.blamed([(root / "a", 1), (root / "b", 1), (root / "inside" / "a", 1)])
    git.listed("")


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_nothing_that_a_repository_configures_is_run(
    plant: Plant, root: Path, tmp_path: Path
) -> None:
    mark, script = trap(tmp_path)
    plant(root, str(script))
    # Touched, or git would not look into it.
    (root / "a").write_text("A\n")
    mark.unlink(missing_ok=True)  # what the planting itself ran

    began = time.monotonic()
    ask_all(root)

    assert not mark.exists(), mark.read_text()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "name", ["fsmonitor", "clean", "process", "odd-filter", "signature", "submodule", "include"]
)
def test_the_traps_work_where_nobody_disarms_them(name: str, root: Path, tmp_path: Path) -> None:
    mark, script = trap(tmp_path)
    PLANTS[name](root, str(script))
    (root / "a").write_text("A\n")
    mark.unlink(missing_ok=True)

    git(root, "status", code=None)
    git(root, "log", code=None)

    assert mark.exists()


def test_a_filter_that_did_not_run_leaves_dirty_unknown(root: Path) -> None:
    (root / ".gitattributes").write_text("a filter=crypt\n")
    git(root, "config", "filter.crypt.clean", "tr a-z A-Z")
    (root / "a").write_text("secret\n")
    os.utime(root / "a", (1, 1))  # git reads again what is as new as its index
    git(root, "add", ".")
    git(root, "commit", "-m", "Encrypt a")
    asked = GitCli(SystemProcess(), root)

    assert asked.is_dirty() is False  # git looked at it when it was committed
    (root / "a").touch()
    assert asked.is_dirty() is None
    assert asked.uncommitted([root / "a"]) == frozenset()
    assert asked.last_commits([root / "a", root / "b"]).keys() == {root / "b"}
    (root / "b").write_text("changed\n")
    assert asked.is_dirty() is True
    assert asked.uncommitted([root / "a", root / "b"]) == {root / "b"}


def test_a_submodule_with_changes_is_dirty(root: Path) -> None:
    a_submodule(root, "true")
    git(root / "inside", "config", "--unset", "core.fsmonitor")
    (root / "inside" / ".gitattributes").unlink()
    asked = GitCli(SystemProcess(), root)

    assert asked.is_dirty() is True
    (root / "inside" / "a").write_text("first")
    assert asked.is_dirty() is False
    (root / "inside" / "new").write_text("")
    assert asked.is_dirty() is True
