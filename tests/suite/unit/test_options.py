"""The options that decide what a run does, as tasks take them."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from invoke import Config, Context, task

from unstale import ns
from unstale.invocations.options import RUN_HELP, RunOptions, with_run_options

seen: list[tuple[RunOptions, Any]] = []


@task
@with_run_options
def example(ctx: Context, options: RunOptions, own: bool = False) -> None:  # noqa: FBT002 - Invoke reads flags so
    """Do it."""
    del ctx
    seen.append((options, own))


def test_a_task_has_each_option_of_a_run_and_its_own() -> None:
    names = [one.name for one in example.get_arguments()]

    assert names == [*(one.name for one in fields(RunOptions)), "own"]
    assert example.__doc__ == "Do it."
    assert example.name == "example"


def test_what_was_typed_arrives_and_the_rest_is_by_default() -> None:
    seen.clear()
    example(Context(Config()), no_cache=True, env="ci", own=True)
    example(Context(Config()))

    assert seen == [(RunOptions(no_cache=True, env="ci"), True), (RunOptions(), False)]


def test_each_option_is_explained_once() -> None:
    names = {one.name.replace("_", "-") for one in fields(RunOptions)}
    assert names - {"env"} == set(RUN_HELP)  # that of --env every task has


def test_a_run_has_them_all() -> None:
    own = set(inspect.signature(ns["test.integration"].body).parameters)

    assert {one.name for one in fields(RunOptions)} <= own
