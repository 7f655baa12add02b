"""What a run would do: each step, why, its seconds, and what is spared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from workshop import Workshop

from unstale.errors import (
    EngineUnavailable,
    Fault,
    Interrupted,
    Mismatch,
    NotDone,
    NotReady,
    Outcome,
)
from unstale.mask import mask_for
from unstale.parity.report import ParityReport
from unstale.pipeline import reuse
from unstale.pipeline.forecast import Does, Forecast, blind, forecast, refused
from unstale.pipeline.images import statuses
from unstale.pipeline.junit import Counts
from unstale.pipeline.receipt import Receipt, Step, statement
from unstale.pipeline.rehearsal import look, rehearse
from unstale.pipeline.run import Choices, Run, names
from unstale.render.forecast import as_document, as_text

if TYPE_CHECKING:
    from conftest import FakeFiles

GREEN = {"sweep": 0.5, "image_freshness": 0.25, "up": 2.0, "run_tests": 9.0, "down": 1.0}


def receipt(seconds: dict[str, float], *, built: bool = False, **more: Any) -> Receipt:
    steps = tuple(Step(name, "proven", s, "") for name, s in seconds.items())
    return replace(
        Receipt(
            *("PASSED", "proven", "2026-01-01T12:00:00Z", "test", None, None, {}, {}, (), (), 0),
            schema=None,
            steps=steps,
            built=("app",) if built else (),
        ),
        **more,
    )


PAST = (receipt(GREEN | {"build_if_needed": 0.0}), receipt({"build_if_needed": 20.0}, built=True))


def run_of(
    shop: Workshop,
    choices: Choices = Choices(),  # noqa: B008 - it is frozen
    compare: Callable[[], ParityReport] = ParityReport,
    **changes: Any,
) -> Run:
    bench = shop.bench
    site = replace(bench.site, **changes)

    def never(*_: object) -> Any:
        pytest.fail("a look begins nothing")

    return Run(
        id="r1",
        ports=bench.ports,
        files=bench.files,
        site=site,
        choices=choices,
        progress=None,  # type: ignore[arg-type]  # a step that asks for it does more than look
        sweep=never,
        compare=compare,
        keep=never,
        environ={},
        remarks=("no commit is named: git has none here",),
    )


@pytest.fixture
def shop(shop: Workshop) -> Workshop:
    """With a service that is started."""
    shop.more["mail"] = {"image": "base"}
    return shop


def plan(
    shop: Workshop,
    receipts: Sequence[Receipt] = (),
    sweep: Sequence[str] = (),
    **choices: Any,
) -> Forecast:
    wanted = run_of(shop, Choices(**choices))
    return forecast(wanted, look(wanted), sweep, receipts)


def of(found: Forecast, name: str) -> tuple[Does, str]:
    (step,) = (one for one in found.steps if one.name == name)
    return step.does, step.why


def test_a_missing_image_is_built_and_the_steps_are_those_of_a_run(shop: Workshop) -> None:
    found = plan(shop)

    assert tuple(one.name for one in found.steps) == names(Choices())
    assert of(found, "build_if_needed") == (Does.RUNS, "app: there is no image")
    assert of(found, "find_receipt") == (Does.RUNS, "not asked: no --reuse")
    assert (found.unknown, found.error, found.saved) == ((), None, ())


def test_what_is_fresh_is_not_built_and_the_seconds_of_a_build_are_spared(shop: Workshop) -> None:
    shop.build()
    found = plan(shop, PAST)

    assert of(found, "build_if_needed") == (Does.SKIPPED, "fresh: app")
    assert (found.saved_s, found.expected_s) == (20.0, sum(GREEN.values()))
    assert [one.name for one in found.saved] == ["build_if_needed"]
    assert "Spared: ~20.0 s, build_if_needed: fresh: app" in as_text(found)


def test_a_stale_image_names_its_reasons_and_the_seconds_are_those_of_builds(
    shop: Workshop,
) -> None:
    shop.build()
    shop.checkout.write({"src/app.py": "v2"})
    found = plan(shop, PAST)

    assert of(found, "build_if_needed") == (Does.RUNS, "app: stale: src/app.py")
    assert found.expected_s == 20.0 + sum(GREEN.values())
    assert found.saved == ()


def test_an_option_builds_what_is_fresh(shop: Workshop) -> None:
    shop.build()

    for flag, choices in (("--build", {}), ("--no-cache", {"no_cache": True})):
        found = plan(shop, build=True, **choices)
        why = f"app: {flag} was given, though it is fresh"
        assert of(found, "build_if_needed") == (Does.RUNS, why)


def test_builds_without_the_cache_are_compared_with_their_like(shop: Workshop) -> None:
    whole = receipt({"build_if_needed": 90.0}, built=True, no_cache=True)
    found = plan(shop, (*PAST, whole), build=True, no_cache=True)

    assert found.expected_s == 90.0 + sum(GREEN.values())


def test_what_is_stale_and_allowed_is_not_built(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"src/app.py": "v2"})

    found = plan(shop, allow_stale=True)
    assert of(found, "build_if_needed") == (Does.SKIPPED, "app: stale, and --allow-stale")


def test_what_only_a_container_can_tell_is_unknown(shop: Workshop) -> None:
    shop.build()
    # Of what another machine built no proof of bytes is here.
    shop.files.texts = {p: t for p, t in shop.files.texts.items() if p.parent.name != "proofs"}
    shop.docker.files_in_image = _refused  # type: ignore[method-assign]
    found = plan(shop, PAST)

    assert of(found, "build_if_needed")[0] is Does.UNKNOWN
    assert found.unknown == ("whether app would be built: its bytes were not compared",)
    assert "build_if_needed" in found.untimed
    assert as_text(found)[-1] == "Next: inv image.status, which looks into the images"
    assert plan(shop, reuse=True).steps[4].why == "looks for a receipt, if nothing is built"


def _refused(*_: object) -> Any:
    raise NotDone("would run: docker cp")


def test_a_receipt_that_proves_the_same_spares_the_rest(shop: Workshop) -> None:
    shop.build()
    bench = shop.bench
    wanted = reuse.subject(bench, statuses(bench), ())
    _keep(shop.files, bench.site.state_folder / "receipts" / "1-a.json", wanted.digest)

    found = plan(shop, PAST, reuse=True)

    assert of(found, "find_receipt") == (Does.RUNS, "1-a.json proves the same")
    assert of(found, "run_tests") == (Does.SKIPPED, "an earlier run proves the same")
    assert found.saved_s == 20.0 + 2.0 + 9.0 + 1.0
    assert found.expected_s == 0.75
    assert found.whole is None
    same = "Spared: ~12.0 s, up, run_tests, down: an earlier run proves the same"
    assert same in as_text(found)


def _keep(files: FakeFiles, path: Path, subject: str) -> None:
    body = statement(
        outcome=Outcome.PROVEN,
        fault=Fault.PROVEN,
        stale_allowed=False,
        images={},
        inputs={},
        head=None,
        dirty=None,
        environment="test",
        schema=None,
        counts=Counts(passed=1, failed=0, skipped=0),
        steps=(),
        started=datetime(2026, 1, 1, tzinfo=UTC),
        more={"subject": subject},
    )
    files.texts[path] = json.dumps(body)


def test_without_such_a_receipt_all_is_run(shop: Workshop) -> None:
    assert of(plan(shop, reuse=True), "find_receipt")[1] == "looks for a receipt of the new images"
    shop.build()
    found = plan(shop, reuse=True)
    assert of(found, "find_receipt")[1] == "the tests are run: no receipt proves the same"
    assert of(found, "run_tests") == (Does.RUNS, "in app: pytest")


@pytest.mark.parametrize(("option", "last"), [("keep", "inputs_unchanged"), ("services", "up")])
def test_a_stack_that_is_left_is_not_taken_down(shop: Workshop, option: str, last: str) -> None:
    found = plan(shop, PAST, **{option: True})

    assert of(found, "down") == (Does.SKIPPED, f"--{option}: the stack is left standing")
    assert found.steps[-1].expected is None  # it is only put off
    assert last in [one.name for one in found.steps]
    assert ("run_tests" in [one.name for one in found.steps]) is (option == "keep")


def test_what_a_project_does_not_have_is_skipped(shop: Workshop) -> None:
    found = plan(shop)

    assert of(found, "database_ready") == (Does.SKIPPED, "the project has no database")
    assert of(found, "migrate") == (Does.SKIPPED, "no database")
    assert of(found, "up") == (Does.RUNS, "starts mail")
    del shop.more["mail"]
    found = plan(shop, PAST)
    assert of(found, "up") == (Does.SKIPPED, "there is no other service to start")
    assert found.saved == ()  # it never had any of it to do


def test_what_dead_runs_left_is_told(shop: Workshop) -> None:
    found = plan(shop, sweep=["would remove container a"])

    assert of(found, "sweep") == (Does.RUNS, "would remove container a")


def test_what_ends_a_run_ends_its_plan_and_is_told(shop: Workshop) -> None:
    wanted = run_of(shop)
    seen = look(wanted)
    error = Mismatch("They differ.", hint="inv env.check")
    found = forecast(wanted, replace(seen, words={"env_parity": ""}, error=error), (), PAST)

    assert of(found, "env_parity") == (Does.ENDS, "They differ.")
    assert of(found, "run_tests") == (Does.SKIPPED, "the run would be over")
    assert found.saved == ()
    assert as_text(found)[-3:] == (
        "The run would end with 3:",
        "They differ.",
        "Next: inv env.check",
    )
    assert as_document(found)["ends"]["code"] == 3


def test_a_run_that_is_refused_has_no_step(shop: Workshop) -> None:
    found = refused(run_of(shop), NotReady("The port 5432 is taken."), PAST)

    assert found.steps[0].name == "preflight"
    assert found.steps[0].does is Does.ENDS
    assert {one.does for one in found.steps[1:]} == {Does.SKIPPED}
    assert (found.expected_s, found.unknown) == (0, ())


def test_without_an_engine_the_rest_is_told(shop: Workshop) -> None:
    gone = EngineUnavailable("No engine answers.", hint="start it")
    found = blind(run_of(shop), gone, PAST)

    assert of(found, "env_parity") == (Does.RUNS, "not asked: there is no other environment")
    assert of(found, "build_if_needed") == (Does.UNKNOWN, "no engine answers")
    assert of(found, "run_tests")[0] is Does.RUNS
    assert found.unknown == (
        "which images are fresh, and so what would be built: No engine answers.",
    )
    assert found.remarks == ("a run would end at once: No engine answers",)
    assert as_text(found)[-1] == "Next: start it"
    assert found.expected_s == sum(GREEN.values())


def test_no_secret_of_a_compose_file_is_told(shop: Workshop) -> None:
    mask = mask_for({"API_TOKEN": "heron-of-the-marsh"}.items())
    choices = Choices(arguments=("-k", "heron-of-the-marsh"))
    wanted = run_of(shop, choices, mask=mask)

    assert "heron-of" not in str(forecast(wanted, look(wanted), (), ()))


def test_a_look_lets_a_signal_through_and_keeps_what_it_had(shop: Workshop) -> None:
    wanted = run_of(shop)
    asked = shop.docker.images_called

    def stop(_: Sequence[str]) -> Any:
        raise Interrupted(2)

    shop.docker.images_called = stop  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        look(wanted)

    def gone(_: Sequence[str]) -> Any:
        raise EngineUnavailable("It is gone.")

    shop.docker.images_called = gone  # type: ignore[method-assign]
    seen = look(wanted)
    assert (list(seen.words), str(seen.error)) == (["env_parity", "image_freshness"], "It is gone.")
    told: list[str] = []
    with pytest.raises(EngineUnavailable):
        rehearse(wanted, (), told.append)
    assert told[-1].endswith("would end the run: It is gone.")
    assert told[0] == "Note: no commit is named: git has none here."
    shop.docker.images_called = asked  # type: ignore[method-assign]


def test_runs_that_did_the_very_same_tell_the_whole(shop: Workshop) -> None:
    shop.build()
    found = plan(shop, (receipt(dict.fromkeys(names(Choices()), 1.0)),))

    assert found.whole is not None
    assert found.whole.expected_s == len(names(Choices()))
    assert any("such a run took 15.0 s" in line for line in as_text(found))
    assert plan(shop, PAST).whole is None


def test_without_an_earlier_run_no_second_is_made_up(shop: Workshop) -> None:
    found = plan(shop)
    document = as_document(found)

    assert document["expected_seconds"] is None
    assert {one["expected_seconds"] for one in document["steps"]} == {None}
    assert any(line.startswith("total") and "?" in line for line in as_text(found))
