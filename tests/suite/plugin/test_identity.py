"""The tests run on the database that was migrated, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

TEST = "def test_passes(): pass\n"


def _told(url: str, **changes: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        system = connection.execute(text("SELECT system_identifier FROM pg_control_system()"))
        found = {"system": str(system.scalar_one()), "database": make_url(url).database}
    engine.dispose()
    return json.dumps(found | {"user": "app"} | changes)


def test_the_database_that_was_migrated_is_the_right_one(
    suite: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSTALE_DATABASE", _told(database))
    suite.opts()
    suite.migrate()
    suite.tests(TEST)

    assert suite.run().ret == 0


def test_what_no_migration_made_stops_a_run_that_migrated_it(
    suite: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSTALE_DATABASE", _told(database))
    suite.opts()
    suite.migrate()
    suite.ask("ALTER TABLE \"user\" ALTER COLUMN name SET DEFAULT 'nobody'")
    suite.tests(TEST)

    result = suite.run()

    assert result.ret == 3
    result.stdout.fnmatch_lines(["*The schema is altered*"])


@pytest.mark.parametrize("changes", [{"system": "7"}, {"database": "other"}])
def test_another_one_stops_the_session(
    suite: Any, database: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    monkeypatch.setenv("UNSTALE_DATABASE", _told(database, **changes))
    suite.opts()
    suite.migrate()
    suite.tests(TEST)

    result = suite.run()

    assert result.ret == 3
    result.stdout.fnmatch_lines(["*connected to another database than the one that was migrated*"])
