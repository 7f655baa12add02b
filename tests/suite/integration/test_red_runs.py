"""What goes wrong ends red, with its own exit code and its evidence."""

from __future__ import annotations

import json
import time

import pytest
from harness import Checkout, docker

ADDED = "tests/smoke/test_added.py"
TESTS = '''"""Tests that end a run in every way but the green one."""

import os
import time

import pytest


def test_heron_fails() -> None:
    assert "heron" == "crane"


def test_ibis_ends_the_process() -> None:
    os._exit(0)


@pytest.mark.skip(reason="to see what a run of skipped tests is worth")
def test_stork_is_skipped() -> None:
    raise AssertionError


def test_egret_takes_its_time() -> None:
    time.sleep(6)
'''


@pytest.fixture
def spoiled(stack: Checkout) -> Checkout:
    """The same text each time: after the first build, the image has it."""
    stack.append(ADDED, TESTS)
    return stack


def test_a_failing_test_ends_with_1_and_saves_the_evidence(spoiled: Checkout) -> None:
    options = ("--json", "--keep-on-failure")
    result = spoiled.inv("test.integration", *options, "--", ADDED, "-k", "heron").must(1)

    answer = result.document()
    assert answer["outcome"] == "tests failed"
    assert answer["tests"]["failed"] == 1
    assert "test_heron_fails" in answer["tests"]["failures"][0]
    folder = spoiled.folder(result)
    states = {s["service"]: s for s in json.loads((folder / "containers.json").read_text())}
    assert states["postgres"]["status"] == "running"
    assert states["test-runner"]["exit_code"] == 1
    database = (folder / "database.txt").read_text()
    assert "users\t" in database
    assert "alembic_version: 0007" in database
    for service in ("postgres", "app"):
        assert (folder / "logs" / f"service-{service}.log").stat().st_size > 0
    receipt = json.loads((spoiled.root / ".unstale/receipts/latest.json").read_text())
    assert receipt["predicate"]["result"] == "FAILED"
    assert "test_heron_fails" in receipt["predicate"]["failedTests"][0]

    # The stack that was kept is the standing one now, and what is next is that test alone.
    assert answer["kept"]
    [error] = answer["errors"]
    following = error.rpartition("Next: inv ")[2].split()
    assert following == ["test.run", "--", f"{ADDED}::test_heron_fails"]
    assert "1 of 1 tests failed" in spoiled.inv(*following).must(1).text
    none = spoiled.inv("test.run", "--", ADDED, "-k", "nothing_matches_xyz").must(1)
    assert "No test ran: all 4 that were collected were deselected" in none.text


def test_a_test_that_ends_the_process_with_0_is_not_green(spoiled: Checkout) -> None:
    result = spoiled.inv("test.integration", "--", ADDED, "-k", "ibis").must(4)

    assert "green without evidence" in result.text


def test_the_database_dying_under_the_tests_is_not_green(spoiled: Checkout) -> None:
    running = spoiled.start("test.integration", "--json", "--", ADDED, "-k", "egret")
    running.wait_for("running_image")
    end = time.monotonic() + 30
    while not spoiled.containers("test-runner"):
        assert time.monotonic() < end, "the tests did not start"
        time.sleep(0.1)
    time.sleep(1.5)
    (database,) = spoiled.containers("postgres")
    docker("kill", database)

    result = running.end().must(5)

    (error,) = result.document()["errors"]
    assert "'postgres' did not survive the tests" in error
    assert "exit code 137" in error


MIGRATION = '''"""Alter a table that is not there."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE herons ADD COLUMN wings integer")


def downgrade() -> None:
    pass
'''


def test_a_broken_migration_names_its_revision_and_the_databases_error(stack: Checkout) -> None:
    stack.append("docker/service/migrations/versions/0008_break.py", MIGRATION)

    result = stack.inv("test.integration").must(5)

    assert "0007 -> 0008" in result.out
    assert 'relation "herons" does not exist' in result.out
    assert "Next:" in result.out


def test_a_build_that_fails_shows_its_own_words(stack: Checkout) -> None:
    stack.append("docker/Dockerfile", "\nRUN echo the heron has flown && false\n")

    result = stack.inv("test.integration").must(5)

    assert "the heron has flown" in result.out
    assert "Next:" in result.out


def test_a_stamped_empty_database_is_not_migrated(stack: Checkout) -> None:
    stack.inv("stack.up").must(0)
    stamp = (
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);"
        "INSERT INTO alembic_version VALUES ('0007')"
    )
    stack.inv("db.shell", "--", "-c", stamp).must(0)

    result = stack.inv("db.migrate").must(3)

    assert "it was stamped" in result.text
    assert "Next:" in result.text
    status = stack.inv("db.status", "--json").must(3)
    assert status.document()["state"] == "stamped"
