"""The hooks of ``.pre-commit-hooks.yaml``, run by the real pre-commit in a project of git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import ROOT, Result, environment

PRE_COMMIT = str(Path(sys.executable).with_name("pre-commit"))
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
NOWHERE = "unix:///nonexistent/docker.sock"
MIGRATION = "revision = '{name}'\ndown_revision = {after!r}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one migration and a stack; its hooks are those of this one."""
    root = tmp_path / "project"
    (root / "versions").mkdir(parents=True)
    (root / "alembic.ini").write_text("[alembic]\nscript_location = .\n")
    (root / "versions" / "1.py").write_text(MIGRATION.format(name="1", after=None))
    (root / "pyproject.toml").write_text(
        '[tool.unstale.environments.test]\nrunner = "app"\ndatabase = "none"\n'
    )
    (root / "compose.test.yml").write_text("services:\n  app:\n    build: .\n")
    (root / "Dockerfile").write_text("FROM scratch\nCOPY alembic.ini /\n")
    _git(root, "init", "--quiet")
    _git(root, "add", ".")
    return root


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(("git", *arguments), cwd=root, check=True, capture_output=True)


def _installed(root: Path) -> None:
    """The hooks as a project has them that uses the unstale of its own environment."""
    program = str(Path(sys.executable).with_name("unstale"))
    hooks = [
        {**hook, "language": "system", "entry": hook["entry"].replace("unstale", program, 1)}
        for hook in HOOKS
    ]
    for hook in hooks:
        hook.pop("minimum_pre_commit_version")
    document = {"repos": [{"repo": "local", "hooks": hooks}]}
    # JSON is YAML.
    (root / ".pre-commit-config.yaml").write_text(json.dumps(document))
    _git(root, "add", ".")


def _pre_commit(root: Path, *arguments: str, **variables: str) -> Result:
    """Run it; its own caches are the test's."""
    env = {**environment(variables), "PRE_COMMIT_HOME": str(root.parent / "cache")}
    done = subprocess.run(
        (PRE_COMMIT, *arguments),
        cwd=root,
        env={k: v for k, v in env.items() if not k.startswith("GIT_")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    return Result(arguments, done.returncode, done.stdout, done.stderr)


def test_a_commit_without_an_engine_passes_and_says_what_was_not_proven(project: Path) -> None:
    _installed(project)
    push = ("run", "--all-files", "--hook-stage", "pre-push")
    done = _pre_commit(project, *push, DOCKER_HOST=NOWHERE).must(0)

    assert "image: SKIPPED, not proven: The Docker engine is not running." in done.out
    assert "schema: SKIPPED, not proven: no stack is up" in done.out
    assert "heads: alembic.ini: 1" in done.out


def test_two_heads_are_red_and_only_asked_for_when_migrations_change(project: Path) -> None:
    _installed(project)
    (project / "versions" / "2.py").write_text(MIGRATION.format(name="2", after="1"))
    (project / "versions" / "3.py").write_text(MIGRATION.format(name="3", after="1"))
    _git(project, "add", ".")
    done = _pre_commit(project, "run", "unstale-heads", "--all-files").must(1)

    assert "exit code: 3" in done.out
    assert "alembic.ini: 2, 3" in done.out
    assert "alembic merge heads" in done.out

    other = _pre_commit(project, "run", "unstale-heads", "--files", "Dockerfile").must(0)
    assert "Skipped" in other.out


def test_an_image_that_is_not_there_is_red_before_a_push_and_not_asked_before_a_commit(
    project: Path,
) -> None:
    _installed(project)
    red = _pre_commit(project, "run", "unstale-image", "--hook-stage", "pre-push").must(1)
    assert "exit code: 3" in red.out
    assert "there is no image" in red.out

    commit = _pre_commit(project, "run", "--all-files").must(0)
    assert "images are fresh" not in commit.out
    assert "environments agree" in commit.out


@pytest.mark.long
def test_pre_commit_installs_the_hooks_from_this_repository(project: Path) -> None:
    """Its sibling uses the unstale that is here: to install it takes a minute."""
    _git(project, "-c", "user.name=Robin", "-c", "user.email=r@example.com", "commit", "-qm", "x")
    clone = project.parent / "unstale"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, clone / name)
    shutil.copytree(ROOT / "tasks", clone / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    _git(clone, "init", "--quiet")
    _git(clone, "add", ".")
    _git(clone, "-c", "user.name=Robin", "-c", "user.email=r@example.com", "commit", "-qm", "x")
    tried = ("try-repo", str(clone), "unstale-heads", "--all-files", "--verbose")
    done = _pre_commit(project, *tried, PATH=os.environ["PATH"]).must(0)

    assert "heads: alembic.ini: 1" in done.out


def test_the_hooks_follow_the_rules() -> None:
    """A hook that names the stage pre-commit would be skipped before a push."""
    for hook in HOOKS:
        assert hook["language"] == "python"
        assert hook["pass_filenames"] is False
        assert hook["require_serial"] is True
        assert hook["verbose"] is True
        assert hook.get("stages", ["pre-push"]) == ["pre-push"]
