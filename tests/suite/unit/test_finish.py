"""How a run ends whose verdict is known: what fails then hides no red, and is no green."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from unstale.adapters.files import DiskFiles
from unstale.compose import Stack
from unstale.config import Environment, RunnerSettings, SchemaSettings, Settings
from unstale.errors import (
    EngineUnavailable,
    Fault,
    Interrupted,
    Mismatch,
    Outcome,
    TestsFailed,
    TimedOut,
    Unavailable,
    UnstaleError,
    exit_code,
    fault_of,
)
from unstale.facts import ContainerFact
from unstale.mask import Mask
from unstale.override import LABEL_OWNER, LABEL_RUN
from unstale.parity.report import ParityReport
from unstale.pipeline import run as pipeline
from unstale.pipeline.run import Choices, Run, RunState
from unstale.pipeline.site import Deployment, Ports, Site, StepResult
from unstale.ports import ComposeTarget, Line

if TYPE_CHECKING:
    from conftest import FakeDocker

LABELS = {LABEL_RUN: "r1", LABEL_OWNER: "me"}


class Quiet:
    """Nobody watches."""

    def begin(self, step: str) -> None:
        pass

    def end(self, result: StepResult) -> None:
        pass

    def command(self, text: str) -> None:
        pass

    def log(self, step: str) -> Line:
        del step
        return lambda _: None


@pytest.fixture
def wanted(ports: Ports, tmp_path: Path) -> Run:
    def compared() -> NoReturn:
        raise AssertionError

    environment = Environment("test", (), ())
    site = Site(
        settings=Settings(
            root=tmp_path,
            default_env="test",
            environments={"test": environment},
            runner=RunnerSettings(),
            suites={},
            schema=SchemaSettings(),
            verify=(),
        ),
        environment=environment,
        stack=Stack("demo", (), (), ()),
        target=ComposeTarget("demo", ()),
        runner="test-runner",
        database=None,
        values=(),
        mask=Mask(),
        owner="me",
        machine_folder=tmp_path / "machine",
    )
    compare: Callable[[], ParityReport] = compared
    return Run(
        id="r1",
        ports=ports,
        files=DiskFiles(),
        site=site,
        choices=Choices(),
        progress=Quiet(),
        sweep=str,
        compare=compare,
        keep=lambda _: None,
        environ={},
    )


@pytest.fixture
def tests_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, docker: FakeDocker, container: ContainerFact
) -> Callable[[UnstaleError | None], None]:
    """Let a run be its tests alone, which end so."""

    def say(error: UnstaleError | None) -> None:
        def tests(run: Run, state: RunState) -> tuple[RunState, str]:
            docker.add(replace(container, labels=LABELS, project="demo"))
            target, labels = ComposeTarget("demo", ()), tuple(LABELS.items())
            stack = Deployment("r1", target, labels, tmp_path / "e", run.files.write_atomic)
            return replace(state, deployment=stack), ""

        def judged(run: Run, state: RunState) -> tuple[RunState, str]:
            del run
            if error is not None:
                raise error
            return state, ""

        monkeypatch.setattr(pipeline, "_STEPS", (("up", tests), ("run_tests", judged)))

    return say


class Held:
    """Holds signals; one that comes meanwhile is raised after it."""

    def __init__(self) -> None:
        self.depth = 0
        self.pending: Interrupted | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.depth += 1
        yield
        self.depth -= 1
        if self.pending is not None and not self.depth:
            error, self.pending = self.pending, None
            raise error


@pytest.mark.parametrize("moment", ["wait", "kept"])
def test_a_signal_while_a_stack_is_kept_ends_the_wait_and_the_stack(
    docker: FakeDocker,
    wanted: Run,
    tests_say: Callable[[UnstaleError | None], None],
    moment: str,
) -> None:
    held = Held()
    depths = []

    def keep(_: Deployment) -> None:
        depths.append(held.depth)  # whoever is waited for may take long
        if moment == "wait":
            raise Interrupted(2)
        with held():
            held.pending = Interrupted(2)

    tests_say(None)
    ports = replace(wanted.ports, held=held)

    report = pipeline.walk(replace(wanted, ports=ports, choices=Choices(keep=True), keep=keep))

    assert depths == [0]
    assert (report.outcome, report.kept) == (Outcome.INTERRUPTED, None)
    assert report.state.results[-1].name == "down"
    assert report.state.results[-1].is_green
    assert docker.live == []
    assert report.receipt is not None


def test_a_signal_while_the_evidence_is_saved_is_told_and_nothing_is_kept(
    docker: FakeDocker,
    wanted: Run,
    tests_say: Callable[[UnstaleError | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Held()

    def states(_run: Run, state: RunState) -> tuple[RunState, str]:
        held.pending = Interrupted(15)
        return state, ""

    monkeypatch.setattr(pipeline, "_evidence", states)
    tests_say(TestsFailed("1 of 2 tests failed."))
    ports = replace(wanted.ports, held=held)

    report = pipeline.walk(replace(wanted, ports=ports, choices=Choices(keep_on_failure=True)))

    assert (report.outcome, report.kept) == (Outcome.TERMINATED, None)
    assert docker.live == []


GONE = EngineUnavailable("The Docker engine is not running.", cause="refused", hint="start it")
LATE = TimedOut("docker volume ls did not answer.", cause="it hangs", hint="look")
FULL = Unavailable("No room.", cause="disk", hint="make some", fault=Fault.RESOURCES)


@pytest.mark.parametrize("place", ["keep", "down"])
@pytest.mark.parametrize("failed", [GONE, LATE, FULL], ids=["gone", "late", "full"])
@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (None, Outcome.TEAR_DOWN_FAILED),
        (TestsFailed("1 of 2 tests failed."), Outcome.TESTS_FAILED),
        (Mismatch("A text is missing."), Outcome.MISMATCH),
    ],
    ids=["green", "red", "mismatch"],
)
def test_what_fails_after_the_verdict_turns_green_red_and_hides_no_red(
    monkeypatch: pytest.MonkeyPatch,
    docker: FakeDocker,
    wanted: Run,
    tests_say: Callable[[UnstaleError | None], None],
    verdict: UnstaleError | None,
    outcome: Outcome,
    failed: UnstaleError,
    place: str,
) -> None:
    def fails(_: object) -> NoReturn:
        raise failed

    tests_say(verdict)
    if place == "keep":
        wanted = replace(wanted, choices=Choices(keep=True), keep=fails)
    else:
        # What says what is left: it is asked by the tear-down alone.
        monkeypatch.setattr(docker, "volumes", fails)

    report = pipeline.walk(wanted)

    assert report.outcome is outcome
    assert exit_code(report.outcome) == (exit_code(outcome) if verdict else 5)
    last = report.errors[-1]
    assert last.fault is failed.fault
    assert failed.cause in last.cause
    if place == "keep":
        assert (last.what, last.hint) == (failed.what, failed.hint)
        assert docker.live == []
    assert fault_of(report.errors) is (verdict or failed).fault
    assert report.kept is None
    expected = Outcome.TEAR_DOWN_FAILED if place == "down" else Outcome.PROVEN
    steps = {step.name: step.outcome for step in report.state.results}
    assert steps["down"] is expected


def test_an_engine_that_goes_after_its_stack_was_kept_takes_no_verdict_with_it(
    monkeypatch: pytest.MonkeyPatch,
    docker: FakeDocker,
    wanted: Run,
    tests_say: Callable[[UnstaleError | None], None],
) -> None:
    def goes(_: object) -> None:
        def gone(_: object) -> NoReturn:
            raise GONE

        monkeypatch.setattr(docker, "containers", gone)

    tests_say(TestsFailed("1 of 2 tests failed."))

    report = pipeline.walk(replace(wanted, choices=Choices(keep=True), keep=goes))

    assert report.outcome is Outcome.TESTS_FAILED
    assert (report.kept, report.ports) == ("demo", ())
    assert report.receipt is not None
