from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unstale.pytest_plugin.header import Address, address

URL = "postgresql+psycopg://app:s3cret-value@db.example.com:6543/appdb"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, Address("db.example.com", 6543, "appdb")),
        ("postgresql://app@db/appdb", Address("db", 5432, "appdb")),
        ("postgresql://app:a/b:c@db/appdb", Address("db", 5432, "appdb")),
        ("postgresql://app:p4ss@w0rd@db:6543/appdb", Address("db", 6543, "appdb")),
        ("postgresql://app:12?34@db/appdb", Address("db", 5432, "appdb")),
        ("postgresql://[::1]:5433/appdb?sslmode=off", Address("::1", 5433, "appdb")),
        ("postgresql:///appdb?host=/run/pg&port=5434", Address("/run/pg", 5434, "appdb")),
        ("not a url", None),
    ],
)
def test_an_address_holds_host_port_and_database_alone(url: str, expected: Address | None) -> None:
    assert address(url) == expected


def test_all_names_of_this_machine_are_one_server() -> None:
    assert Address("localhost", 5432, "a").is_same_server(Address("127.0.0.1", 5432, "b"))
    assert not Address("localhost", 5432, "a").is_same_server(Address("localhost", 5433, "a"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (tmp_path / "migrations/versions").mkdir(parents=True)
    (tmp_path / "migrations/versions/0002.py").write_text('revision = "0002"\n')
    return tmp_path


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    pytester.makepyfile("def test_passes(): pass")
    return pytester.run(sys.executable, "-m", "pytest")


def test_the_header_says_image_head_and_database(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini(
        f"[pytest]\nunstale_database = APP_URL\nunstale_schema = none\n"
        f"unstale_alembic_ini = {project}/alembic.ini"
    )
    monkeypatch.setenv("APP_URL", URL)
    monkeypatch.setenv("UNSTALE_IMAGE", "sha256:4f2a")

    result = run(pytester)

    result.stdout.fnmatch_lines(
        "unstale: image sha256:4f2a, migration head 0002, database db.example.com:6543/appdb"
    )
    assert "s3cret-value" not in result.stdout.str()


def test_what_cannot_be_told_is_said_so(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nunstale_database = APP_URL\nunstale_schema = none")
    monkeypatch.delenv("UNSTALE_IMAGE", raising=False)

    run(pytester).stdout.fnmatch_lines(
        "unstale: image host, migration head unknown (no migrations found), "
        "database unknown (APP_URL is not set)"
    )


def test_a_suite_that_names_no_database_gets_no_line(pytester: pytest.Pytester) -> None:
    run(pytester).stdout.no_fnmatch_line("unstale: *")
