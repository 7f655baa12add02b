"""What a user may get wrong in the reference project.

The catalogue of bad input itself is faults/test_bad_input.py; here is what is more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from harness import COMPOSE_FILE, Checkout, Result


def assert_message(result: Result, code: int, *words: str) -> None:
    """One sentence that says what happened comes first; then what to do."""
    result.must(code)
    for word in words:
        assert word in result.err
    assert "BUG" not in result.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("image.verify", "--service", "ap", "--grep", "x"), ("service called 'ap'",)),
        (("image.verify", "--grep", "x", "--regex", "y"), ("exclude each other", "Next:")),
        (("image.build", "--build-arg", "HERON"), ("has no value", "Next:")),
        (("env.diff", "ci", "nowhere"), ("environment called 'nowhere'", "Next:")),
    ],
    ids=" ".join,
)
def test_a_name_that_nobody_has(
    checkout: Checkout, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_message(checkout.inv(*arguments), 2, *words)


def test_a_stack_that_is_not_up(checkout: Checkout) -> None:
    assert_message(checkout.inv("db.tables"), 5, "No stack of 'test' is up.", "Next: inv stack.up")


def test_a_setting_that_does_not_exist(checkout: Checkout) -> None:
    checkout.replace("pyproject.toml", "[tool.unstale.runner]", "[tool.unstale.runer]")

    assert_message(checkout.inv("image.status"), 2, "no key 'runer'", "mean 'runner'")


@pytest.mark.parametrize(
    ("after", "options"),
    [
        ("image_freshness", ("--no-cache",)),
        ("prepare_stack", ()),
        ("running_image", ()),
    ],
    ids=["build", "database", "tests"],
)
def test_ctrl_c_takes_everything_down(
    stack: Checkout, after: str, options: tuple[str, ...]
) -> None:
    running = stack.start("test.integration", *options)
    running.wait_for(after)
    act_later(running.interrupt)

    result = running.end().must(130)

    assert not result.traceback
    assert stack.leftovers() == []


def test_sigterm_takes_everything_down(stack: Checkout) -> None:
    running = stack.start("test.integration")
    running.wait_for("running_image")
    act_later(running.terminate)

    result = running.end().must(143)

    assert not result.traceback
    assert stack.leftovers() == []


def act_later(act: Callable[[], None]) -> None:
    """Act in the middle of the step that began just now."""
    time.sleep(1)
    act()


def test_env_files_that_agree_and_that_do_not(checkout: Checkout) -> None:
    checkout.inv("env.diff", "ci", "test").must(0)
    checkout.replace("env/.env.ci", "API_V1_PREFIX=/api/v1\n", "")

    result = checkout.inv("env.diff", "ci", "test", "--json").must(3)

    assert result.document()["missing_left"] == ["API_V1_PREFIX"]
    assert result.document()["parity"] is False
    assert "test-only-heron-72" not in result.text


@pytest.fixture
def broken_database(stack: Checkout) -> Checkout:
    """A database that says something and ends."""
    stack.without_policy()
    stack.replace(
        COMPOSE_FILE,
        "command: [postgres, -c, fsync=off, -c, full_page_writes=off, -c, synchronous_commit=off]",
        'command: [sh, -c, "echo the disk is full of herons; exit 7"]',
    )
    return stack


def test_a_database_that_is_never_ready_shows_its_last_words(broken_database: Checkout) -> None:
    result = broken_database.inv("test.integration").must(5)

    assert "'postgres' exited with 7" in result.text
    assert "the disk is full of herons" in result.text
    assert "Next:" in result.text
