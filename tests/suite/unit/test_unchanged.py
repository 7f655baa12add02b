"""What is said of a tree that changed under a run."""

from __future__ import annotations

import pytest
from workshop import Workshop

from unstale.errors import CouldNotTell
from unstale.pipeline import unchanged
from unstale.pipeline.images import statuses


def test_a_tree_that_is_what_it_was_is_accepted(shop: Workshop) -> None:
    shop.build()

    unchanged.require(shop.bench, statuses(shop.bench))


def test_the_files_that_changed_are_named(shop: Workshop) -> None:
    shop.build()
    before = statuses(shop.bench)
    shop.checkout.write({"src/new.py": "y"})

    with pytest.raises(CouldNotTell, match="Files of app changed while") as caught:
        unchanged.require(shop.bench, before)

    assert "  src/new.py" in caught.value.cause
    assert caught.value.hint == "run again"


def test_of_many_files_the_rest_is_counted(shop: Workshop) -> None:
    shop.build()
    before = statuses(shop.bench)
    for number in range(12):
        shop.checkout.write({f"src/new{number:02}.py": "y"})

    with pytest.raises(CouldNotTell) as caught:
        unchanged.require(shop.bench, before)

    assert caught.value.cause.endswith("  src/new09.py\n  and 2 more")


def test_what_a_containers_python_compiled_is_told_how_to_be_left_out(shop: Workshop) -> None:
    shop.build()
    before = statuses(shop.bench)
    shop.checkout.write({"src/__pycache__/app.cpython-313.pyc": "y"})

    with pytest.raises(CouldNotTell) as caught:
        unchanged.require(shop.bench, before)

    assert ".dockerignore" in caught.value.hint
    assert "PYTHONDONTWRITEBYTECODE=1" in caught.value.hint
