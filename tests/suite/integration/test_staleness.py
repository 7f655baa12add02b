"""The war story: an edit after the build is not in the image, and we say so."""

from __future__ import annotations

import subprocess

import pytest
from harness import COMPOSE_FILE, Checkout, environment

SOURCE = "docker/service/accounts/settings.py"
TEST = "tests/api/test_schema.py"
IN_IMAGE = {SOURCE: "/app/accounts/settings.py", TEST: "/app/tests/api/test_schema.py"}
MARK = "HERON_OF_THE_NEW_SOURCE"


def plain_compose_sees(checkout: Checkout, text: str, path: str) -> bool:
    """Whether a plain `docker compose` shows *text* in the runner's *path*."""
    project = checkout.image("test-runner").removesuffix(":latest").removesuffix("-test-runner")
    env_files = [
        word
        for file in (".unstale/images.env", "env/.env.test")
        if (checkout.root / file).exists()
        for word in ("--env-file", file)
    ]
    compose = ("docker", "compose", "-p", project, "-f", COMPOSE_FILE, *env_files)
    run = ("run", "--rm", "--no-deps", "-T", "test-runner", "grep", "-q", text, path)
    try:
        done = subprocess.run(
            (*compose, *run),
            cwd=checkout.root,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(
            (*compose, "down"),
            cwd=checkout.root,
            env=environment(),
            capture_output=True,
            check=True,
        )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def test_an_edit_is_missing_from_the_image_until_a_run_rebuilds_it(stack: Checkout) -> None:
    stack.append(SOURCE, f'\n{MARK} = "new"\n')
    stack.append(TEST, f"\n# {MARK}\n")

    for path in IN_IMAGE.values():
        assert not plain_compose_sees(stack, MARK, path)

    status = stack.inv("image.status", "--fail-on-stale", "--json").must(3).document()
    runner = next(s for s in status["services"] if s["service"] == "test-runner")
    assert runner["verdict"] == "stale"
    assert runner["method"] in ("digest", "content")
    assert {r["path"] for r in runner["reasons"]} == {SOURCE, TEST}
    app = next(s for s in status["services"] if s["service"] == "app")
    assert {r["path"] for r in app["reasons"]} == {SOURCE}
    stack.inv("image.verify", "--grep", MARK, "--path", IN_IMAGE[TEST]).must(3)

    run = stack.inv("test.integration", "--json", "--", "-k", "health").must(0).document()

    details = {s["name"]: s["detail"] for s in run["steps"]}
    assert "test-runner" in details["build_if_needed"]
    for path in IN_IMAGE.values():
        assert plain_compose_sees(stack, MARK, path)
        asked = ("--service", "test-runner", "--grep", MARK, "--path", path)
        found = stack.inv("image.verify", *asked, "--json").must(0)
        assert found.document()["verdict"] == "fresh"
        assert found.document()["matches"][0]["path"] == path
    stack.inv("image.status", "--fail-on-stale").must(0)


def test_a_pattern_that_is_nowhere_is_a_finding(stack: Checkout) -> None:
    result = stack.inv("image.verify", "--grep", "NOWHERE_TO_BE_FOUND", "--path", IN_IMAGE[TEST])

    assert "Next:" in result.must(3).err


@pytest.mark.parametrize("path", ["README.md", "docs/architecture.md", "tests/suite/new.py"])
def test_an_edit_that_the_image_does_not_read_keeps_it_fresh(stack: Checkout, path: str) -> None:
    stack.append(path, "\n# A new line.\n")

    status = stack.inv("image.status", "--fail-on-stale", "--json").must(0).document()

    assert {s["verdict"] for s in status["services"]} == {"fresh"}


def test_a_commit_alone_changes_no_verdict_and_a_committed_edit_is_named(stack: Checkout) -> None:
    stack.append("README.md", "\nA new line.\n")
    stack.git("commit", "--quiet", "--all", "--message", "Add a line")
    stack.inv("image.status", "--fail-on-stale").must(0)

    stack.append(SOURCE, f'\n{MARK} = "committed"\n')
    stack.git("commit", "--quiet", "--all", "--message", "Add a constant")
    short = stack.git("rev-parse", "--short", "HEAD").strip()

    status = stack.inv("image.status", "--json").must(0).document()

    (reason,) = next(s for s in status["services"] if s["service"] == "app")["reasons"]
    assert reason["path"] == SOURCE
    assert reason["commit"][:7] == short[:7]
