"""Unpacked from an archive: no repository, an inline Dockerfile, no health check, an env file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adopted import PROJECTS, Adopted, adopted


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    folder = tmp_path_factory.mktemp("bare")
    with adopted(PROJECTS / "no-git", folder, with_git=False) as found:
        yield found


def test_convention_finds_it_all_and_no_commit_is_named(ledger: Adopted) -> None:
    found = ledger.run(0)

    steps = ledger.details(found)
    assert found["tests"]["passed"] == 1
    assert steps["build_if_needed"] == "built integration-test"
    assert steps["database_ready"] == "ledger-db answered twice"
    assert any("no commit is named" in remark for remark in found["remarks"])


def test_a_second_run_builds_nothing(ledger: Adopted) -> None:
    assert ledger.details(ledger.run(0))["build_if_needed"] == "every image is fresh"


def test_a_failing_test_is_red(ledger: Adopted) -> None:
    ledger.replace("checks/test_ledger.py", "== -89999", "== 0")

    assert ledger.verdicts(3, "--fail-on-stale") == {"integration-test": "stale"}
    assert ledger.run(1)["tests"]["failed"] == 1
