"""What is expected of a step: what it took in the runs that can be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstale.errors import Fault, Outcome
from unstale.pipeline.history import Building, RunKind, Timing, past, timings, total
from unstale.pipeline.receipt import Receipt, Step, read, statement
from unstale.pipeline.site import StepResult

if TYPE_CHECKING:
    from conftest import FakeFiles

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def ran(*steps: tuple[str, float], **more: Any) -> Receipt:
    return read(json.dumps(document(*steps, **more)).encode(), "a receipt")


def document(*steps: tuple[str, float], environment: str = "test", **more: Any) -> dict[str, Any]:
    return statement(
        outcome=Outcome.PROVEN,
        fault=Fault.PROVEN,
        stale_allowed=False,
        images={},
        inputs={},
        head=None,
        dirty=None,
        environment=environment,
        schema=None,
        counts=None,
        steps=[StepResult(name, Outcome.PROVEN, seconds, "") for name, seconds in steps],
        started=AT,
        more=more,
    )


def red(receipt: Receipt) -> Receipt:
    steps = tuple(Step(s.name, "timed out", s.seconds, "") for s in receipt.steps)
    return replace(receipt, steps=steps)


def test_the_median_of_the_last_five_is_expected() -> None:
    newest_first = [ran(("up", s)) for s in (9.0, 1.0, 2.0, 3.0, 4.0, 100.0)]

    assert timings(newest_first, RunKind("test")) == {"up": Timing(3.0, 9.0, 5)}


def test_another_environment_and_a_step_that_failed_say_nothing() -> None:
    other = ran(("up", 5.0), environment="ci")

    assert timings([other, red(ran(("up", 7.0)))], RunKind("test")) == {}


def test_builds_are_compared_with_their_like() -> None:
    receipts = [
        ran(("build_if_needed", 0.1), ("up", 1.0)),
        ran(("build_if_needed", 20.0), ("up", 3.0), built=["app"]),
        ran(("build_if_needed", 50.0), ("up", 5.0), built=["app"], no_cache=True),
    ]

    def expected(building: Building) -> tuple[float, float]:
        found = timings(receipts, RunKind("test", building))
        return found["build_if_needed"].expected_s, found["up"].expected_s

    assert expected(Building.NONE) == (0.1, 3.0)
    assert expected(Building.CACHED) == (20.0, 3.0)
    assert expected(Building.WHOLE) == (50.0, 3.0)


def test_no_cache_without_a_build_built_nothing() -> None:
    receipts = [ran(("build_if_needed", 0.1), no_cache=True)]

    assert timings(receipts, RunKind("test", Building.WHOLE)) == {}


def test_tests_are_compared_by_their_arguments() -> None:
    receipts = [ran(("run_tests", 1.0), arguments=["-k", "login"]), ran(("run_tests", 60.0))]

    assert timings(receipts, RunKind("test"))["run_tests"].expected_s == 60.0
    chosen = timings(receipts, RunKind("test", arguments=("-k", "login")))
    assert chosen["run_tests"].expected_s == 1.0


def test_a_total_is_of_green_runs_with_the_same_steps() -> None:
    receipts = [
        ran(("up", 1.0)),
        red(ran(("up", 2.0), ("run_tests", 90.0))),
        ran(("up", 2.0), ("run_tests", 8.0)),
        ran(("up", 2.0), ("run_tests", 9.0), built=["app"]),
    ]

    assert total(receipts, RunKind("test"), ["run_tests", "up"]) == Timing(10.0, 10.0, 1)
    assert total(receipts, RunKind("ci"), ["run_tests", "up"]) is None


def test_receipts_are_read_from_the_shelf_the_newest_first(files: type[FakeFiles]) -> None:
    folder = Path("/p/.unstale/receipts")
    disk = files({})
    for number in range(40):
        text = json.dumps(document(("up", float(number))))
        disk.write_atomic(folder / f"20260101T0000{number:02}Z-0000000{number % 10}.json", text)
    disk.write_atomic(folder / "20270101T000000Z-00000000.json", "damaged")

    found = past(disk, folder)

    assert [r.steps[0].seconds for r in found] == [float(n) for n in range(39, 9, -1)]
