"""Whether a run's lease is left to its watchdog, and what else is done at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from workshop import Workshop

from unstale import project as module
from unstale.adapters.leases import Dead, Leases
from unstale.errors import (
    BuildFailed,
    EngineUnavailable,
    Fault,
    Interrupted,
    Outcome,
    TearDownFailed,
    TestsFailed,
    TimedOut,
    Unavailable,
    UnstaleError,
)
from unstale.pipeline import run as pipeline
from unstale.pipeline.run import Choices, Run, RunReport, RunState
from unstale.pipeline.site import Deployment, Site, StepResult
from unstale.ports import ComposeTarget
from unstale.project import Project
from unstale.stack.names import standing_run

if TYPE_CHECKING:
    from typing import Protocol

    class End(Protocol):
        """Ends a run."""

        def __call__(self, report: RunReport, *, is_used: bool) -> tuple[bool, bool]: ...


STACK = Deployment("r", ComposeTarget("demo", ()), (), Path(), print)
DOWN = StepResult("down", Outcome.PROVEN, 0.1, "")
FAILED = replace(DOWN, outcome=Outcome.TEAR_DOWN_FAILED)
LEFT = TestsFailed("red")
LEFT.leaves(Unavailable("Docker refused."))


def _report(*errors: UnstaleError, down: StepResult | None, kept: str | None = None) -> RunReport:
    state = RunState(deployment=STACK, results=(down,)) if down else RunState()
    return RunReport(Outcome.PROVEN, errors, state, None, Path(), kept=kept)


@dataclass(frozen=True, slots=True)
class Ended(Project):
    """A project whose run ends as it is told."""

    site_: Site = field(kw_only=True)
    cleared: list[str] = field(kw_only=True, default_factory=list)

    def _site_to_start(self, env: str | None) -> Site:
        del env
        return self.site_

    def _preflight(self, site: Site) -> tuple[str, ...]:
        del site
        return ()

    def _without_git(self) -> tuple[str, ...]:
        return ()

    def _looked_over(self, site: Site) -> Any:
        del site

    def _sign(self) -> None:
        return None

    def _clear(self, run: str) -> None:
        self.cleared.append(run)

    def _tidy(self, report: RunReport, progress: Any) -> None:
        del report, progress


@dataclass
class Signals:
    held = staticmethod(nullcontext)


@dataclass
class Docker:
    def endpoint(self) -> dict[str, str]:
        return {"DOCKER_HOST": "unix:///run/none.sock"}


@dataclass
class Process:
    noted: object = None
    is_dry: bool = False


@dataclass
class Watching:
    command: object = None


@pytest.fixture
def project(shop: Workshop, tmp_path: Path) -> Ended:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\nexec /bin/sleep 1\n")
    (programs / "docker").chmod(0o755)
    leases = Leases({"XDG_STATE_HOME": str(tmp_path), "PATH": str(programs)})
    site = shop.bench.site
    ports: Any = (Docker(), None, None, Process(), None, leases, Signals(), {})
    return Ended(site.settings, *ports, site_=site)


@pytest.fixture
def ended(project: Ended, monkeypatch: pytest.MonkeyPatch) -> End:
    """Whether a lease is left, and whether listings were asked for longer than usual."""
    leases = project.leases

    def made(report: RunReport, *, is_used: bool) -> tuple[bool, bool]:
        def walk(_: object) -> RunReport:
            leases.is_used = is_used
            return report

        monkeypatch.setattr(pipeline, "walk", walk)
        project.integration(Choices(), lambda _mask, _folder: cast("Any", Watching()))
        dead = leases.dead()
        assert all(isinstance(one, Dead) for one in dead)
        return bool(dead), bool(project.cleared)

    return made


@pytest.mark.parametrize(
    ("report", "is_left", "is_cleared"),
    [
        (_report(down=DOWN), False, False),
        (_report(TestsFailed("red"), down=DOWN), False, False),
        (_report(down=None), False, False),
        (_report(Unavailable("refused"), down=FAILED), True, False),
        (_report(TestsFailed("red"), TearDownFailed("1 object"), down=FAILED), True, False),
        (_report(BuildFailed("broke"), down=None), True, False),
        (_report(LEFT, down=None), True, False),
        (_report(Interrupted(2), down=DOWN), True, True),
        (_report(TimedOut("late"), down=DOWN), True, True),
        (_report(EngineUnavailable("gone"), down=DOWN), True, True),
        (_report(TimedOut("late"), down=None), True, True),
        (_report(EngineUnavailable("gone"), down=FAILED), True, False),
        (_report(TimedOut("late"), down=None, kept="demo"), False, False),
    ],
)
def test_a_lease_is_left_unless_nothing_can_be_there(
    ended: End,
    report: RunReport,
    is_left: bool,
    is_cleared: bool,
) -> None:
    assert ended(report, is_used=True) == (is_left, is_cleared)


def test_a_place_that_is_taken_is_waited_for_shortly_and_signals_get_through(
    project: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    @contextmanager
    def noted() -> Iterator[None]:
        held.append("held")
        yield

    def walk(run: Run) -> RunReport:
        run.keep(STACK)
        raise AssertionError("nobody had it")

    monkeypatch.setattr(pipeline, "walk", walk)
    monkeypatch.setattr(module, "_KEEP_S", 0.2)
    monkeypatch.setattr(project.signals, "held", noted)
    theirs = Leases({"XDG_STATE_HOME": str(project.leases.folder.parent)})
    name = f"{standing_run(project.settings.root, 'test')}.change"
    begun = time.monotonic()

    with theirs.locked(name), pytest.raises(Unavailable, match="Another command") as caught:
        project.integration(Choices(), lambda _mask, _folder: cast("Any", Watching()))

    assert time.monotonic() - begun < 5
    assert caught.value.fault is Fault.BUSY
    assert held == ["held"], "for what is done after it"


def test_a_run_that_asked_for_nothing_leaves_no_lease(
    ended: End,
) -> None:
    assert ended(_report(EngineUnavailable("gone"), down=None), is_used=False) == (False, False)
