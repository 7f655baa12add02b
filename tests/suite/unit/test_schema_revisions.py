"""Heads of migrations, from their files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.schema.revisions import folders, heads, is_migration


def migration(folder: Path, name: str, follows: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = f'raise SystemExit("imported")\nrevision: str = "{name}"\ndown_revision = {follows}\n'
    (folder / f"{name}.py").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    migration(tmp_path / "migrations/versions", "0001", "None")
    migration(tmp_path / "migrations/versions", "0002", '"0001"')
    return tmp_path


def test_the_head_is_read_without_running_a_migration(project: Path) -> None:
    assert heads(project / "alembic.ini", project) == ("0002",)


def test_a_merge_follows_both_of_its_parents(project: Path) -> None:
    folder = project / "migrations/versions"
    migration(folder, "0003a", '"0002"')
    migration(folder, "0003b", '"0002"')
    assert heads(project / "alembic.ini", project) == ("0003a", "0003b")

    migration(folder, "0004", '("0003a", "0003b")')

    assert heads(project / "alembic.ini", project) == ("0004",)


def test_several_folders_of_migrations_are_read(project: Path) -> None:
    (project / "alembic.ini").write_text(
        "[alembic]\nscript_location = migrations\n"
        "version_locations = migrations/versions:billing/versions\n"
        "path_separator = :\n"
    )
    migration(project / "billing/versions", "b1", "None")

    assert heads(project / "alembic.ini", project) == ("0002", "b1")


def test_no_scripts_is_not_the_same_as_no_head(tmp_path: Path) -> None:
    assert heads(tmp_path / "alembic.ini", tmp_path) is None


def test_what_says_no_name_is_no_migration(project: Path) -> None:
    (folder,) = folders(project / "alembic.ini", project)
    (folder / "__init__.py").write_text("")

    assert [is_migration(path) for path in sorted(folder.glob("*.py"))] == [True, True, False]
