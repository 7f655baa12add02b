"""`test.local` on the PostgreSQL that is installed here: nothing is skipped without one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, Running

TOML = """
[tool.unstale]
schema = "none"

[tool.unstale.suites]
local = ["checks"]
"""
ENV = "DATABASE_URL=postgresql+psycopg://app:invented-7@postgres:5432/shop\nSHOP=open\n"
GREEN = """
import os

import psycopg


def test_the_server_is_of_this_run() -> None:
    url = os.environ["DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(url) as by_url, psycopg.connect("") as by_parts:
        names = "fsync", "synchronous_commit", "full_page_writes", "listen_addresses"
        found = [by_url.execute(f"SHOW {name}").fetchone()[0] for name in names]
        who = by_parts.execute("SELECT current_database(), current_user").fetchone()

    assert found == ["off", "off", "off", "127.0.0.1"]
    assert who == ("shop", "app")
    assert os.environ["SHOP"] == "open"
    assert "invented-7" not in url
"""
# Tells that it runs, holds a transaction open, and waits for longer than anybody does.
WAITS = """
import sys

import psycopg


def test_it_waits(capfd) -> None:
    with psycopg.connect("") as connection:
        with capfd.disabled():
            print("the test waits", file=sys.stderr, flush=True)
        connection.execute("SELECT pg_sleep(600)")
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the run's own, which another user can get through."""
    folder = Path(tempfile.mkdtemp(prefix="unstale-it-"))
    folder.chmod(0o711)
    monkeypatch.setenv("TMPDIR", str(folder))
    for name in ("DATABASE_URL", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shop(tmp_path: Path) -> Checkout:
    """A project without a stack, a migration or a git commit."""
    root = tmp_path / "shop"
    for name, text in (
        ("pyproject.toml", TOML),
        ("env/.env.test", ENV),
        ("checks/test_shop.py", GREEN),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Checkout(root, program=("-m", "unstale"))


def processes(temporary: Path) -> list[str]:
    """Command lines that name *temporary*."""
    listed = subprocess.run(
        ("ps", "-ww", "-A", "-o", "pid=,command="), capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if str(temporary) in line]


def servers(temporary: Path) -> list[str]:
    """Those of servers, without the shell that waits for each."""
    lines = processes(temporary)
    return [line for line in lines if f"postgres -D {temporary}" in line and "sh -c" not in line]


def folders(temporary: Path) -> list[Path]:
    """What is left of clusters and their leases."""
    return sorted(temporary.glob("unstale-*/unstale/*"))


def receipt(checkout: Checkout) -> dict[str, Any]:
    text = (checkout.root / ".unstale/receipts/latest.json").read_text()
    return dict(json.loads(text)["predicate"])


def waiting(shop: Checkout) -> Running:
    """A run whose only test waits."""
    (shop.root / "checks/test_shop.py").write_text(WAITS)
    running = shop.start("test.local")
    running.wait_for("the test waits")
    return running


def send(running: Running, number: int) -> None:
    """Signal the command alone, not its group."""
    running._process.send_signal(number)


def must_be_clean(temporary: Path) -> None:
    assert processes(temporary) == []
    assert folders(temporary) == []


def test_tests_run_on_a_server_that_is_started_and_removed(shop: Checkout, temporary: Path) -> None:
    result = shop.inv("test.local").must(0)

    must_be_clean(temporary)
    found = receipt(shop)["annotations"]
    assert found["environment"] == "local"
    assert found["postgres"]["database"] == "shop"
    assert str(found["postgres"]["version"]).startswith(str(found["postgres"]["major"]))
    assert f"PostgreSQL {found['postgres']['version']}" in result.out
    assert receipt(shop)["passedTests"]


@pytest.mark.long
def test_what_is_old_goes_and_a_run_that_goes_on_loses_nothing(
    shop: Checkout, temporary: Path
) -> None:
    (shop.root / "pyproject.toml").write_text(f"{TOML}\n[tool.unstale.keep]\nruns = 1\n")
    going_on = waiting(shop)
    runs = shop.root / ".unstale/runs"
    (first,) = runs.iterdir()
    (shop.root / "checks/test_shop.py").write_text(GREEN)

    for _ in range(3):
        shop.inv("test.local").must(0)

    (kept,) = (shop.root / ".unstale/receipts").glob("*-*.json")
    assert {path.name for path in runs.iterdir()} == {first.name, kept.stem.rpartition("-")[2]}
    going_on.terminate()
    going_on.end().must(143)
    must_be_clean(temporary)


def test_this_projects_own_tests_are_green_without_docker(
    checkout: Checkout, temporary: Path
) -> None:
    """Migrated and proven by all four witnesses, and the version is told from the stack's."""
    result = checkout.inv("test.local", env={"DOCKER_HOST": "unix:///nowhere"}).must(0)

    must_be_clean(temporary)
    found = receipt(checkout)["annotations"]
    assert found["schema"]["state"] == "current"
    assert {w["verdict"] for w in found["schema"]["witnesses"].values()} == {"ok"}
    major, stack = found["postgres"]["major"], found["postgres"]["stack_major"]
    assert stack == 17
    assert f"PostgreSQL {major}." in result.out
    assert "the stack has 17" in result.out
    assert found["postgres"]["same_major"] is (major == stack)


def test_an_exported_url_is_used_and_left_as_it_is(
    shop: Checkout, temporary: Path, database_of_mine: str
) -> None:
    (shop.root / "checks/test_shop.py").write_text(
        "import os\n\ndef test_it(): assert os.environ['PGUSER'] == 'mine'\n"
    )

    result = shop.inv("test.local", env={"DATABASE_URL": database_of_mine}).must(0)

    assert "at DATABASE_URL" in result.out
    assert "pass-word-9" not in result.text
    assert len(servers(temporary)) == 1  # mine still runs


@pytest.fixture
def database_of_mine(temporary: Path, tmp_path: Path) -> Iterator[str]:
    """A server that the user has started."""
    from contextlib import nullcontext

    from unstale.adapters.clock import SystemClock
    from unstale.adapters.local_postgres import Cluster, LocalPostgres
    from unstale.adapters.process import SystemProcess

    tempfile.tempdir = None  # read TMPDIR anew
    postgres = LocalPostgres(SystemProcess(), SystemClock(), nullcontext, dict(os.environ))
    programs = postgres.find(None)
    assert programs is not None, "These tests need PostgreSQL's server: install postgresql."
    cluster = Cluster(programs, "mine", "pass-word-9", ("mine",), tmp_path / "log")
    with postgres.started(cluster) as server:
        port = server.address.port
        yield f"postgresql+psycopg://mine:pass-word-9@127.0.0.1:{port}/mine"
    tempfile.tempdir = None
    assert folders(temporary) == []


def test_an_exported_url_that_nobody_answers_is_an_error(shop: Checkout, temporary: Path) -> None:
    url = "postgresql+psycopg://mine:pass-word-9@127.0.0.1:1/mine"

    result = shop.inv("test.local", env={"DATABASE_URL": url}).must(5)

    assert "unset DATABASE_URL" in result.text
    assert "pass-word-9" not in result.text
    must_be_clean(temporary)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def test_it(): assert False\n", 1),
        ("", 1),
        ("import pytest\n\n@pytest.mark.skip\ndef test_it(): pass\n", 1),
        ("import os\n\ndef test_it(): os._exit(0)\n", 4),
    ],
    ids=["a test fails", "no test", "only skipped", "no evidence"],
)
def test_what_is_not_green_is_not_proven(
    shop: Checkout, temporary: Path, text: str, code: int
) -> None:
    (shop.root / "checks/test_shop.py").write_text(text)

    shop.inv("test.local").must(code)

    must_be_clean(temporary)
    assert receipt(shop)["result"] == "FAILED"


def test_tests_that_were_deselected_are_told_from_none(shop: Checkout, temporary: Path) -> None:
    (shop.root / "checks/test_shop.py").write_text("def test_it(): pass\n")

    result = shop.inv("test.local", "--", "-k", "login", "-x").must(1)

    assert "all 1 that were collected were deselected" in result.text
    assert "Next: inv test.local -- --collect-only -q" in result.text
    must_be_clean(temporary)


def test_what_the_plugin_says_of_its_settings_is_the_verdict(
    shop: Checkout, temporary: Path
) -> None:
    (shop.root / "pytest.ini").write_text(
        "[pytest]\nunstale_database = DATABASE_URL\nunstale_schema = magic\n"
    )

    result = shop.inv("test.local").must(1)

    verdict = result.out.partition("TESTS FAILED (exit code 1)")[2]
    assert "unstale_schema is 'magic'" in verdict
    must_be_clean(temporary)


def test_the_plugins_verdict_on_the_schema_is_the_verdict(shop: Checkout, temporary: Path) -> None:
    (shop.root / "pytest.ini").write_text("[pytest]\nunstale_database = DATABASE_URL\n")

    result = shop.inv("test.local").must(1)

    verdict = result.out.partition("TESTS FAILED (exit code 1)")[2]
    assert verdict.strip().startswith("No test was run. ")
    assert "unreachable" in verdict
    must_be_clean(temporary)


def test_a_failing_migration_is_named(checkout: Checkout, temporary: Path) -> None:
    version = "docker/service/migrations/versions/0007_revoke_api_keys.py"
    checkout.replace(version, "def upgrade() -> None:", "def upgrade() -> None:\n    1 / 0\n")

    result = checkout.inv("test.local").must(5)

    assert "0007" in result.text
    assert "division by zero" in result.text
    must_be_clean(temporary)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_during_the_tests_leaves_nothing(
    shop: Checkout, temporary: Path, number: int, code: int
) -> None:
    running = waiting(shop)
    assert len(servers(temporary)) == 1

    send(running, number)
    running.end().must(code)

    must_be_clean(temporary)


def test_what_a_killed_run_left_is_removed_by_the_next(shop: Checkout, temporary: Path) -> None:
    running = waiting(shop)
    send(running, signal.SIGKILL)
    killed = running.end()
    assert killed.code == -signal.SIGKILL
    assert len(servers(temporary)) == 1

    (shop.root / "checks/test_shop.py").write_text(GREEN)
    shop.inv("test.local").must(0)

    must_be_clean(temporary)


def test_a_run_that_is_alive_is_not_taken_for_a_leftover(
    shop: Checkout, temporary: Path, tmp_path: Path
) -> None:
    running = waiting(shop)
    other = Checkout(tmp_path / "other", program=shop.program)
    shutil.copytree(shop.root, other.root, ignore=shutil.ignore_patterns(".unstale"))
    (other.root / "checks/test_shop.py").write_text(GREEN)

    other.inv("test.local").must(0)

    assert len(servers(temporary)) == 1
    running.terminate()
    running.end().must(143)
    must_be_clean(temporary)
