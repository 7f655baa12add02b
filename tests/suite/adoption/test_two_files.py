"""Two compose files, one over the other, profiles, and an entry point that is pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adopted import PROJECTS, Adopted, adopted


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    with adopted(PROJECTS / "two-files", tmp_path_factory.mktemp("two")) as found:
        yield found


def test_what_waits_for_another_profile_is_not_built(notes: Adopted) -> None:
    found = notes.run(0)

    steps = notes.details(found)
    assert found["tests"]["passed"] == 1
    assert steps["build_if_needed"] == "built api, tests"
    assert steps["up"] == "api, postgres"
    assert notes.verdicts(0, "--fail-on-stale") == {"api": "fresh", "tests": "fresh"}
    assert notes.verdicts(0, "--service", "seed") == {"seed": "missing"}


def test_a_changed_mount_is_no_stale_image_and_fails_its_test(notes: Adopted) -> None:
    notes.replace("sql/01-notes.sql", "buy milk", "sell milk")

    assert notes.verdicts(0, "--fail-on-stale") == {"api": "fresh", "tests": "fresh"}
    found = notes.run(1)

    assert notes.details(found)["build_if_needed"] == "every image is fresh"
    assert found["tests"]["failed"] == 1
