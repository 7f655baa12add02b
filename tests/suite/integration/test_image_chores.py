"""Listing, explaining and removing images, on the real engine with tiny ones."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pexpect
import pytest
from harness import Checkout, copy_images_env, docker, environment

SECRET = "heron-of-the-build"
PYPROJECT = """
[tool.unstale]
schema = "none"

[tool.unstale.environments.test]
compose-files = ["stack.yml"]
runner = "host"
database = "none"
"""
STACK = """
name: chores
services:
  app:
    build:
      context: app
      args:
        UNSTALE_PYTHON_IMAGE: ${{UNSTALE_PYTHON_IMAGE:-python:3.13-slim}}
        FLAVOUR: plain
        DEPLOY_TOKEN: {secret}
  worker:
    image: {worker}
    build: worker
"""
APP = """
ARG UNSTALE_PYTHON_IMAGE
FROM ${UNSTALE_PYTHON_IMAGE}
ARG FLAVOUR
ARG DEPLOY_TOKEN
COPY main.py /srv/
RUN true
"""
WORKER = """
FROM scratch
COPY main.py /srv/
"""


class Small(Checkout):
    """A project of two small images, in a repository of its own."""

    @property
    def worker(self) -> str:
        """The fixed name of one of them."""
        return f"example.com/{self.root.name}/worker:dev"

    def commit(self, subject: str, at: datetime) -> str:
        """Commit all there is; returns the short hash."""
        os.environ["GIT_COMMITTER_DATE"] = at.isoformat()
        try:
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", subject)
        finally:
            del os.environ["GIT_COMMITTER_DATE"]
        return self.git("rev-parse", "--short", "HEAD").strip()

    def ids(self) -> dict[str, list[str]]:
        """Service to the ids of its images."""
        found: dict[str, list[str]] = {}
        for image in self.inv("image.list", "--json").must(0).document()["images"]:
            found.setdefault(image["service"], []).append(image["id"])
        return found

    def build(self, text: str = "") -> str:
        """Build all, after a change if *text* is given; returns the app's image id."""
        if text:
            for name in ("app", "worker"):
                self.append(f"{name}/main.py", text)
        self.inv("image.build").must(0)
        return docker("image", "inspect", "--format", "{{.Id}}", self.image("app")).out.strip()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    root = tmp_path / f"chores-{uuid.uuid4().hex[:8]}"
    for name, text in (("app", APP), ("worker", WORKER)):
        (root / name).mkdir(parents=True)
        (root / name / "Dockerfile").write_text(text)
        (root / name / "main.py").write_text("print(1)\n")
    checkout = Small(root, program=("-m", "unstale"))
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "stack.yml").write_text(STACK.format(secret=SECRET, worker=checkout.worker))
    (root / ".gitignore").write_text(".unstale/\n")
    copy_images_env(root)
    subprocess.run(("git", "init", "--quiet", "-b", "main", str(root)), check=True)
    checkout.commit("Begin", datetime(2026, 1, 1, tzinfo=UTC))
    yield checkout
    for name in docker("ps", "--all", "--format", "{{.Names}}").out.split():
        if name.startswith(root.name):
            docker("rm", "--force", name)
    for name in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").out.split():
        if root.name in name and "unstale-" not in name:
            docker("image", "rm", name)
    checkout.inv("image.clean", "--yes").must(0)
    assert checkout.ids() == {}


def exists(image: str) -> bool:
    return docker("image", "inspect", image, code=None).code == 0


def test_the_history_shows_a_secret_build_arguments_name_only(small: Small) -> None:
    small.build()

    listed = small.inv("image.list", "--history", "--json").must(0)
    (app,) = (i for i in listed.document()["images"] if i["service"] == "app")

    assert app["current"]
    assert app["stamped"]
    assert not app["dangling"]
    assert not app["in_use"]
    assert any(
        line.startswith("RUN |") and "FLAVOUR=plain DEPLOY_TOKEN=********" in line
        for line in app["history"]
    )
    assert SECRET not in listed.text
    text = small.inv("image.list", "--history").must(0)
    assert SECRET not in text.text
    assert "DEPLOY_TOKEN=" in text.out


def test_cleaning_removes_named_images_and_their_predecessors(small: Small) -> None:
    old = small.build()
    new = small.build("print(2)\n")
    assert small.ids()["app"] == [new, old]

    listed = small.inv("image.clean", "--dry-run").must(0)
    assert "4 images would be removed, 0 left." in listed.out
    assert sorted(small.ids()) == ["app", "worker"]

    cleaned = small.inv("image.clean", "--yes").must(0)

    assert "4 images removed, 0 left." in cleaned.out
    assert small.ids() == {}
    assert not exists(old)
    assert not exists(new)
    assert not exists(small.worker)


def test_cleaning_leaves_what_somebody_else_uses_or_named(small: Small) -> None:
    used = small.build()
    tagged = small.build("print(2)\n")
    other = f"{small.root.name}-release:1"
    docker("tag", tagged, other)
    small.build("print(3)\n")
    docker("create", "--name", f"{small.root.name}-by-hand", "--network", "none", used)

    cleaned = small.inv("image.clean", "--yes").must(0)

    kept = {line.split()[2]: line for line in cleaned.out.splitlines() if line.startswith("left")}
    assert f"in use by {small.root.name}-by-hand" in kept[used[7:19]]
    assert f"also called {other}" in kept[tagged[7:19]]
    # The newest app, and three workers.
    assert "4 images removed, 2 left." in cleaned.out
    assert small.ids() == {"app": [tagged, used]}
    assert exists(other)


def test_cleaning_leaves_a_named_image_whole_if_it_has_a_foreign_name_too(small: Small) -> None:
    small.build()
    name = small.image("app")
    other = f"{small.root.name}-release:1"
    docker("tag", name, other)

    cleaned = small.inv("image.clean", "--yes").must(0)

    assert f"also called {other}" in cleaned.out
    assert exists(name)
    assert exists(other)


def test_cleaning_never_looks_at_another_projects_images(small: Small) -> None:
    foreign = f"{small.root.name}-foreign:1"
    labels = (
        "--label",
        "com.docker.compose.service=app",
        "--label",
        "com.docker.compose.project=x",
    )
    docker("build", "--quiet", *labels, "--tag", foreign, str(small.root / "worker"))

    cleaned = small.inv("image.clean", "--yes").must(0)

    assert cleaned.out == "0 images removed, 0 left.\n"
    assert exists(foreign)


def test_without_a_terminal_cleaning_needs_a_yes(small: Small) -> None:
    small.build()

    refused = small.inv("image.clean").must(2)

    assert "--yes" in refused.err
    assert sorted(small.ids()) == ["app", "worker"]


def answer(small: Small, word: str) -> None:
    """Type *word* where image.clean asks on a terminal."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "unstale", "image.clean"],
        cwd=str(small.root),
        env=environment(),
        timeout=120,
        encoding="utf-8",
    )
    child.expect(r"Remove them\? \[y/N\] ")
    assert child.before is not None
    assert small.worker in child.before
    child.sendline(word)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_on_a_terminal_cleaning_asks_and_only_a_yes_removes(small: Small) -> None:
    small.build()

    for word in ("n", ""):
        answer(small, word)
        assert sorted(small.ids()) == ["app", "worker"]
    answer(small, "y")
    assert small.ids() == {}


def test_an_image_older_than_a_fix_is_told_with_its_age_and_drawn(small: Small) -> None:
    small.build()
    small.append("app/main.py", "print(2)\n")
    # To be told as 4 h 30, the commit may be made up to a minute after the build.
    fixed = small.commit("Fix <it>", datetime.now(UTC) + timedelta(hours=4, minutes=30))
    (small.root / "README.md").write_text("More.\n")
    small.commit("Say more", datetime.now(UTC) + timedelta(hours=13, minutes=53))
    small.append("app/main.py", "print(3)\n")
    (small.root / "app" / "new.py").write_text("")

    sentence = "built 13 h 53 before HEAD, 2 commits behind, and 1 uncommitted change"
    assert f"app: {sentence}" in small.inv("image.status").must(0).out

    small.git("checkout", "--", "app/main.py")

    sentence = f"built 4 h 30 before the fix {fixed}, 13 h 53 before HEAD, 2 commits behind"
    status = small.inv("image.status").must(0).out
    assert f"app: {sentence}\n" in status
    assert "app/main.py  modified" in status
    assert f"{fixed} Fix <it>, " in status
    assert "(4 h 30 after the build)" in status
    assert "  Next: inv image.build --service app\n" in status
    page = small.root / "timeline.html"
    drawn = small.inv("image.timeline", "--html", str(page)).must(0).out
    assert f"  {sentence}\n" in drawn
    assert "[the fix app lacks] Fix <it>" in drawn
    assert max(map(len, drawn.splitlines())) <= 80
    text = "".join(ET.fromstring(page.read_text().removeprefix("<!DOCTYPE html>\n")).itertext())
    assert sentence in text
    document = small.inv("image.timeline", "--json").must(0).document()
    (app,) = (s for s in document["services"] if s["service"] == "app")
    assert app["fix"] == fixed
    assert 4.5 * 3600 <= app["gap_seconds"] < 4.5 * 3600 + 60
    assert [b["exact"] for b in app["builds"]] == [True]


def test_a_page_that_can_not_be_written_is_the_users_mistake(small: Small) -> None:
    page = small.root / "README.md" / "timeline.html"
    (small.root / "README.md").write_text("x")

    assert "can't be written" in small.inv("image.timeline", "--html", str(page)).must(2).err


def test_of_an_unknown_service_there_is_no_timeline(small: Small) -> None:
    assert "worker" in small.inv("image.timeline", "--service", "wroker").must(2).err
