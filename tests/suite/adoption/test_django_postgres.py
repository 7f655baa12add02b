"""Django on PostgreSQL: its own migrations, no Alembic, an env file, a named volume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adopted import PROJECTS, Adopted, adopted


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    folder = tmp_path_factory.mktemp("django")
    with adopted(PROJECTS / "django-postgres", folder) as found:
        # On a busy machine: the service migrates before it answers.
        found.append("pyproject.toml", "\n[tool.unstale.deadlines]\nready = 300\n")
        yield found


def test_the_run_is_green_and_says_that_the_schema_was_not_asked(shop: Adopted) -> None:
    found = shop.run(0)

    steps = shop.details(found)
    assert found["tests"]["passed"] == 3
    assert steps["build_if_needed"] == "built tests, web"
    assert steps["database_ready"] == "db answered twice"
    assert "not asked" in steps["migrate"]
    assert "not asked" in steps["schema_status"]


def test_a_changed_model_makes_both_images_stale(shop: Adopted) -> None:
    assert shop.verdicts(0, "--fail-on-stale") == {"tests": "fresh", "web": "fresh"}
    shop.append("catalog/models.py", "\n# Prices are gross.\n")

    assert shop.verdicts(3, "--fail-on-stale") == {"tests": "stale", "web": "stale"}


def test_without_a_word_on_the_schema_the_next_step_is_named(shop: Adopted) -> None:
    shop.replace("pyproject.toml", 'setup = "none"', 'setup = "migrate"')

    result = shop.unstale("test.integration").must(5)

    assert 'schema = "none"' in result.text
    assert shop.leftovers() == []
