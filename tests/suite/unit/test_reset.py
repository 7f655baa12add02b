"""`db.reset` removes data of days, so it asks: nothing is touched before a yes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

# Whatever asks the engine fails.
ENVIRON = {**os.environ, "DOCKER_HOST": "unix:///nowhere"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project with a database."""
    for name in ("test", "ci"):
        (tmp_path / f"compose.{name}.yml").write_text(
            "services:\n  postgres:\n    image: postgres:17\n"
        )
    return tmp_path


def test_without_a_terminal_it_needs_a_yes(shop: Path) -> None:
    argv = (sys.executable, "-m", "unstale", "db.reset", "--env", "ci")

    done = subprocess.run(
        argv, cwd=shop, env=ENVIRON, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )

    assert done.returncode == 2
    assert b"Next: unstale db.reset --yes --env ci" in done.stderr


@pytest.mark.parametrize("word", ["n", ""])
@pytest.mark.parametrize("more", [(), ("--json",)], ids=" ".join)
def test_anything_but_a_yes_removes_nothing(shop: Path, more: tuple[str, ...], word: str) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "unstale", "db.reset", *more],
        cwd=str(shop),
        env=ENVIRON,
        timeout=60,
        encoding="utf-8",
    )
    child.expect(r"of 'test' will be removed, with all its data.*Remove it\? \[y/N\] ")

    child.sendline(word)

    said = child.read().partition("\n")[2]
    child.close()
    assert child.exitstatus == 0
    if more:
        assert json.loads(said)["state"] is None
    else:
        assert said.strip() == "Nothing was removed."


def test_with_a_yes_it_begins(shop: Path) -> None:
    argv = (sys.executable, "-m", "unstale", "db.reset", "--yes")

    done = subprocess.run(
        argv, cwd=shop, env=ENVIRON, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )

    assert done.returncode == 5
    assert b"asks first" not in done.stderr
