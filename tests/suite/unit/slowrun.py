"""The tasks of unstale on a pipeline without an engine: steps that last, and say things."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from unstale.errors import Interrupted, Outcome, TestsFailed, UnstaleError, outcome_of, worst
from unstale.image.explain import Background
from unstale.invocations import test as invocations
from unstale.mask import Mask
from unstale.pipeline.junit import Counts
from unstale.pipeline.run import Choices, RunReport, RunState, planned
from unstale.pipeline.site import Progress, StepResult
from unstale.ports import Line
from unstale.project import Project

SECRET = "heron-72"
SECONDS = float(os.environ.get("SLOW_SECONDS", "0.02"))
LAST = {"run_tests": float(os.environ.get("SLOW_TESTS", "0.1"))}
FAILS = os.environ.get("SLOW_FAILS", "")


def said(step: str) -> tuple[str, ...]:
    return (
        f"{step}: begin",
        f"with {SECRET} \x1b[2J\x1b]0;title\x07 and 東京 " + "x" * 200,
        f"{step}: end",
    )


def walk(progress: Progress, choices: Choices) -> tuple[list[StepResult], list[UnstaleError]]:
    results: list[StepResult] = []
    errors: list[UnstaleError] = []
    for name in planned(choices):
        if errors and name != "down":
            continue
        progress.begin(name)
        began = time.monotonic()
        error: UnstaleError | None = None
        try:
            step(progress, name)
        except UnstaleError as caught:
            error = caught
        outcome = outcome_of(error) if error else Outcome.PROVEN
        words = error.what if error else f"{name} is done"
        results.append(StepResult(name, outcome, time.monotonic() - began, words))
        progress.end(results[-1])
        errors += [error] if error else []
    return results, errors


def step(progress: Progress, name: str) -> None:
    if name in ("build_if_needed", "run_tests", "up"):
        line = progress.log(name)
        for one in said(name):
            line(one)
            time.sleep(SECONDS)
    progress.command(f"$ docker {name}")
    time.sleep(LAST.get(name, SECONDS))
    if name == FAILS:
        raise TestsFailed("1 of 2 tests failed.", cause="test_heron says so.")


def integration(
    self: Project, choices: Choices, watch: Callable[[Mask, Path], Progress], env: str | None = None
) -> RunReport:
    del env
    folder = self.settings.state_folder / "runs" / "00000001"
    results, errors = walk(watch(Mask((SECRET,)), folder), choices)
    state = RunState(results=tuple(results), counts=Counts(2, 0, 0), built=("app",))
    if any(isinstance(e, Interrupted) for e in errors):
        state = replace(state, counts=None)
    receipt = self.settings.state_folder / "receipts/latest.json"
    return RunReport(worst(map(outcome_of, errors)), tuple(errors), state, receipt, folder)


def stack_up(self: Project, line: Line, env: str | None = None) -> object:
    del self, env
    for one in said("stack.up"):
        line(one)
        time.sleep(LAST["run_tests"] / 3)
    if FAILS == "stack.up":
        raise TestsFailed("It fell.")
    return type("Up", (), {"target": type("Target", (), {"project": "demo"})})


def image_build(self: Project, line: Line, **_options: object) -> tuple[()]:
    stack_up(self, line)
    return ()


def header(self: Project, env: str | None = None) -> tuple[str, ...]:
    del self, env
    return ("HEAD   no git commit",)


if __name__ == "__main__":
    invocations.leave = lambda *_: None  # type: ignore[attr-defined]
    Project.integration = integration  # type: ignore[method-assign]
    Project.stack_up = stack_up  # type: ignore[assignment,method-assign]
    Project.header = header  # type: ignore[method-assign]
    Project.image_build = image_build  # type: ignore[assignment,method-assign]
    Project.image_background = lambda *_: Background()  # type: ignore[assignment,method-assign]
    Project.reaches = lambda *_: ()  # type: ignore[assignment,method-assign]
    from unstale.invocations.program import run

    sys.argv[0] = os.environ.get("SLOW_PROGRAM", "/usr/bin/unstale")
    run()
