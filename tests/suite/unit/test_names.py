"""Names of compose projects: stable for images, unique for runs, valid always."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unstale.stack.names import STANDING, image_project, run_project, standing_run

# Compose: lower case letters, digits, dashes, underscores; no dash first.
VALID = re.compile(r"[a-z0-9][a-z0-9_-]*")


@pytest.mark.parametrize("folder", ["demo", "My App", "ÄÖÜ", "-_-", "a" * 300, "x.y.z"])
def test_any_folder_name_makes_a_valid_project_name(folder: str) -> None:
    root = Path("/srv") / folder

    for name in (image_project(root, "test"), run_project(root, "20260101-ab12")):
        assert VALID.fullmatch(name), name
        assert len(name) < 80


def test_the_project_of_images_is_stable() -> None:
    assert image_project(Path("/srv/demo"), "test") == image_project(Path("/srv/demo"), "test")


def test_two_checkouts_of_one_name_have_images_of_their_own() -> None:
    assert image_project(Path("/a/demo"), "test") != image_project(Path("/b/demo"), "test")


def test_two_environments_have_images_of_their_own() -> None:
    assert image_project(Path("/a/demo"), "test") != image_project(Path("/a/demo"), "ci")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("integration-tests-postgres-15", "integration-tests-postgres-16"),
        ("ci.a", "CI-a"),
        ("ci.a", "ci-a"),
        ("ü", "ä"),
    ],
)
def test_two_environments_of_like_names_have_nothing_in_common(one: str, other: str) -> None:
    root = Path("/a/demo")

    assert image_project(root, one) != image_project(root, other)
    assert standing_run(root, one) != standing_run(root, other)


def test_a_name_that_needs_no_change_is_kept() -> None:
    assert image_project(Path("/a/demo"), "ci-a").endswith("-ci-a")
    assert standing_run(Path("/a/demo"), "test").endswith("-test")


def test_a_link_to_a_checkout_is_that_checkout(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "demo", tmp_path / "demo"
    real.mkdir(parents=True)
    link.symlink_to(real)

    assert image_project(link, "test") == image_project(real, "test")
    assert standing_run(link, "test") == standing_run(real, "test")


def test_two_runs_have_projects_of_their_own() -> None:
    assert run_project(Path("/a/demo"), "r1") != run_project(Path("/a/demo"), "r2")


def test_a_standing_stack_is_known_by_its_label() -> None:
    label = standing_run(Path("/a/demo"), "test")

    assert label.startswith(STANDING)
    assert label != standing_run(Path("/a/demo"), "ci")
    assert label != standing_run(Path("/b/demo"), "test")
