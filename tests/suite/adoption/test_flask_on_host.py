"""Flask in a container with a fixed name and port; pytest on the host, without a database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adopted import PROJECTS, Adopted, adopted


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    with adopted(PROJECTS / "flask-on-host", tmp_path_factory.mktemp("flask")) as found:
        yield found


def test_the_tests_find_the_container(birds: Adopted) -> None:
    assert 'BASE_URL = "http://{web:5000}"' in (birds.root / "pyproject.toml").read_text()
    found = birds.run(0)

    steps = birds.details(found)
    assert found["tests"] == {"passed": 3, "failed": 0, "skipped": 0, "failures": []}
    assert steps["build_if_needed"] == "built web"
    assert steps["database_ready"] == "not asked: the project has no database"
    assert steps["migrate"] == "not asked: no database"
    assert "pytest" in birds.unstale("test.integration", "--dry").must(0).out


def test_a_changed_source_is_stale_and_then_shows_in_the_tests(birds: Adopted) -> None:
    assert birds.verdicts(0, "--fail-on-stale") == {"web": "fresh"}
    birds.replace("birds/__init__.py", "small and loud", "tiny and shy")

    assert birds.verdicts(3, "--fail-on-stale") == {"web": "stale"}
    found = birds.run(1)

    assert birds.details(found)["build_if_needed"] == "built web"
    assert found["tests"]["failed"] == 1


def test_a_port_that_is_not_published_is_refused(birds: Adopted) -> None:
    birds.replace("pyproject.toml", "{web:5000}", "{web:8000}")

    result = birds.unstale("test.integration").must(2)

    assert "'web' publishes no port 8000" in result.text
