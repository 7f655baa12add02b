"""A project that knows nothing of the reference service runs by configuration alone."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Checkout, copy_images_env


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy of the project, outside of git, without a tasks.py."""
    root = tmp_path_factory.mktemp("foreign") / f"it-{uuid.uuid4().hex[:8]}"
    shutil.copytree(Path(__file__).parent / "foreign", root)
    copy_images_env(root)
    checkout = Checkout(root, program=("-m", "unstale"))
    yield checkout
    checkout.sweep()
    checkout.inv("image.clean", "--yes").must(0)


def test_it_runs_once_and_then_twice_at_the_same_time(foreign: Checkout) -> None:
    answer = foreign.inv("test.integration", "--json").must(0).document()

    details = {s["name"]: s["detail"] for s in answer["steps"]}
    assert answer["outcome"] == "proven"
    assert answer["tests"] == {"passed": 2, "failed": 0, "skipped": 0, "failures": []}
    assert "not asked" in details["migrate"]
    assert "not asked" in details["schema_status"]
    assert foreign.leftovers() == []

    # Fixed names and ports of the compose file would collide.
    both = [foreign.start("test.integration", "--json") for _ in range(2)]
    for running in both:
        assert running.end().must(0).document()["tests"]["passed"] == 2
    assert foreign.leftovers() == []


def test_a_broken_neighbour_is_red(foreign: Checkout) -> None:
    foreign.replace("checks/run.py", 'b"A bird a day."', 'b"A fish a day."')

    result = foreign.inv("test.integration", "--json").must(1)

    assert result.document()["tests"]["failed"] == 1
    assert foreign.leftovers() == []
