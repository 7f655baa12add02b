"""What a run would do, step by step: why, how long, and what it is spared.

Its looks are a dry run's, whose business is the commands; this is about reasons
and seconds. Nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from unstale.errors import EngineUnavailable, Interrupted, UnstaleError
from unstale.image.check import ImageStatus
from unstale.pipeline import history, images, rehearsal, run, schema, steps
from unstale.pipeline.history import Building, RunKind, Timing
from unstale.pipeline.receipt import Receipt
from unstale.pipeline.rehearsal import Seen
from unstale.pipeline.run import Run, RunState, StepFailed
from unstale.pipeline.site import Site

__all__ = ["Does", "Forecast", "Foreseen", "blind", "forecast", "refused"]

_NO_ENGINE = "no engine answers"


class Does(Enum):
    """What would become of a step."""

    RUNS = "run"
    SKIPPED = "skip"
    ENDS = "end"
    """The run would end here."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A step that a run would come to, or would be spared."""

    name: str
    does: Does
    why: str
    expected: Timing | None = None
    """What it takes, or would have; None: no earlier run can be compared."""
    is_spared: bool = False
    """Whether a run like this usually has it to do, and it need not now."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do."""

    environment: str
    steps: tuple[Foreseen, ...]
    whole: Timing | None = None
    """What runs took that did the very same."""
    unknown: tuple[str, ...] = ()
    """What could not be told; empty: all of it could."""
    error: UnstaleError | None = None
    """What would end the run before its tests."""
    remarks: tuple[str, ...] = ()
    """What is suspicious."""
    next: str = ""
    """What to type, that more of it can be told."""

    @property
    def expected_s(self) -> float:
        """The seconds of the steps that would run, as far as earlier runs tell."""
        return sum(one.expected.expected_s for one in self._run if one.expected)

    @property
    def untimed(self) -> tuple[str, ...]:
        """The steps that would run, or may, and that no earlier run tells the seconds of."""
        return tuple(one.name for one in self._run if one.expected is None)

    @property
    def saved(self) -> tuple[Foreseen, ...]:
        """The steps that are spared, and are known to take time."""
        spared = (one for one in self.steps if one.is_spared)
        return tuple(one for one in spared if one.expected and one.expected.expected_s >= _NOTED_S)

    @property
    def saved_s(self) -> float:
        """The seconds that are spared."""
        return sum(one.expected.expected_s for one in self.saved if one.expected)

    @property
    def _run(self) -> tuple[Foreseen, ...]:
        return tuple(one for one in self.steps if one.does in (Does.RUNS, Does.UNKNOWN))


_NOTED_S = 0.05


def forecast(
    wanted: Run, seen: Seen, sweep: Sequence[str], receipts: Sequence[Receipt]
) -> Forecast:
    """What *wanted* would do, of which the looks have *seen* the first steps."""
    unknown = tuple(
        f"whether {one.service} would be built: its bytes were not compared" for one in seen.unsure
    )
    plan = Forecast(
        environment=wanted.site.environment.name,
        steps=tuple(_foreseen(wanted, seen, sweep)),
        unknown=unknown,
        error=seen.error,
        remarks=wanted.remarks,
        next="inv image.status, which looks into the images" if unknown else "",
    )
    return _hidden(wanted, _timed(wanted, plan, _building(wanted, seen), receipts))


def refused(wanted: Run, error: UnstaleError, receipts: Sequence[Receipt]) -> Forecast:
    """What a run would do that *error* ends before its first step."""
    first = Foreseen("preflight", Does.ENDS, error.what)
    rest = (Foreseen(n, Does.SKIPPED, _OVER) for n in run.names(wanted.choices))
    plan = Forecast(wanted.site.environment.name, (first, *rest), error=error)
    return _hidden(wanted, _timed(wanted, plan, Building.NONE, receipts))


def blind(wanted: Run, gone: EngineUnavailable, receipts: Sequence[Receipt]) -> Forecast:
    """What can be told of a run while no engine answers: what compose and git know."""
    words, error = _parity_alone(wanted)
    seen = Seen(RunState(), {"env_parity": words}, error=error)
    plan = Forecast(
        environment=wanted.site.environment.name,
        steps=tuple(_without_engine(one) for one in _foreseen(wanted, seen, ())),
        unknown=(f"which images are fresh, and so what would be built: {gone.what}",),
        error=error,
        remarks=(f"a run would end at once: {gone.what.removesuffix('.')}",),
        next=gone.hint,
    )
    return _hidden(wanted, _timed(wanted, plan, Building.CACHED, receipts))


_BLIND = ("sweep", "image_freshness", "build_if_needed", "find_receipt")
_OVER = "the run would be over"


def _without_engine(one: Foreseen) -> Foreseen:
    is_asked = one.name in _BLIND and one.why != _OVER
    return replace(one, does=Does.UNKNOWN, why=_NO_ENGINE) if is_asked else one


def _parity_alone(wanted: Run) -> tuple[str, UnstaleError | None]:
    try:
        return run.env_parity(wanted, RunState())[1], None
    except StepFailed as failed:
        return "", failed.error
    except Interrupted:
        raise
    except UnstaleError as error:
        return "", error


def _building(wanted: Run, seen: Seen) -> Building:
    if not seen.needed:
        return Building.NONE
    return Building.WHOLE if wanted.choices.no_cache else Building.CACHED


# Each step


def _foreseen(wanted: Run, seen: Seen, sweep: Sequence[str]) -> Iterator[Foreseen]:
    over = ""
    last = list(seen.words)[-1] if seen.error else ""
    for name in run.names(wanted.choices):
        if over:
            yield Foreseen(name, Does.SKIPPED, over, is_spared=not seen.error)
            continue
        if name == last and seen.error:
            over = _OVER
            yield Foreseen(name, Does.ENDS, seen.error.what)
            continue
        yield _step(name, wanted, seen, sweep)
        if name == "find_receipt" and seen.state.reused is not None:
            over = "an earlier run proves the same"
    if over == "" and (wanted.choices.keep or wanted.choices.services):
        option = "--keep" if wanted.choices.keep else "--services"
        yield Foreseen("down", Does.SKIPPED, f"{option}: the stack is left standing")


def _step(name: str, wanted: Run, seen: Seen, sweep: Sequence[str]) -> Foreseen:
    if name == "sweep":
        return Foreseen(name, Does.RUNS, "; ".join(sweep) or "nothing is left over")
    if name == history.BUILD:
        return _build(wanted, seen)
    if name == "find_receipt" and name not in seen.words:
        return Foreseen(name, Does.RUNS, _no_receipt(wanted, seen))
    if needless := _needless(name, wanted.site):
        return Foreseen(name, Does.SKIPPED, needless)
    return Foreseen(name, Does.RUNS, seen.words.get(name) or _PURPOSES[name](wanted))


def _needless(name: str, site: Site) -> str:
    """Why the project has no use for a step; empty if it has."""
    match name:
        case "database_ready" if site.database is None:
            return "the project has no database"
        case "migrate" | "schema_status" if not schema.is_asked(site):
            return schema.why_not_asked(site)
        case "up" if not site.started_services:
            return "there is no other service to start"
        case _:
            return ""


def _build(wanted: Run, seen: Seen) -> Foreseen:
    name, choices = history.BUILD, wanted.choices
    if seen.unsure:
        names = ", ".join(one.service for one in (*seen.unsure, *seen.needed))
        return Foreseen(name, Does.UNKNOWN, f"compares the bytes in {names}, and then decides")
    if seen.needed:
        flag = "--no-cache" if choices.no_cache else "--build" if choices.build else ""
        reasons = (f"{one.service}: {_reason(one, flag)}" for one in seen.needed)
        return Foreseen(name, Does.RUNS, "; ".join(reasons))
    stale = [one.service for one in seen.state.statuses if images.needs_build(one)]
    if stale:
        why = f"{', '.join(stale)}: stale, and --allow-stale"
        return Foreseen(name, Does.SKIPPED, why, is_spared=True)
    built = ", ".join(one.service for one in seen.state.statuses)
    why = f"fresh: {built}" if built else "nothing is built here"
    return Foreseen(name, Does.SKIPPED, why, is_spared=bool(built))


def _reason(one: ImageStatus, flag: str) -> str:
    if flag and not images.needs_build(one):
        return f"{flag} was given, though it is fresh"
    return rehearsal.why(one)


def _no_receipt(wanted: Run, seen: Seen) -> str:
    if not wanted.choices.reuse:
        return "not asked: no --reuse"
    if seen.unsure:
        return "looks for a receipt, if nothing is built"
    return "looks for a receipt of the new images"


def _database(wanted: Run) -> str:
    names = steps.with_dependencies(wanted.site, wanted.site.database or "")
    return f"a new {', '.join(names)}; waits for the real server"


def _migrate(wanted: Run) -> str:
    settings = wanted.site.settings.schema
    command = " ".join(settings.migrate_command)
    return (
        f"a new database is empty; in {settings.service or wanted.site.require_runner()}: {command}"
    )


def _tests(wanted: Run) -> str:
    words = (*wanted.site.settings.runner.command, *wanted.choices.arguments)
    return f"in {wanted.site.require_runner()}: {' '.join(words)}"


def _verify(wanted: Run) -> str:
    rules = len(wanted.site.settings.verify)
    texts = f", and looks for {rules} {'text' if rules == 1 else 'texts'}" if rules else ""
    return f"compares the files in the images, or cites who did{texts}"


# Why each step is needed that no look decides about.
_PURPOSES: Mapping[str, Callable[[Run], str]] = {
    "env_parity": lambda _: "holds this environment against the others",
    "image_freshness": lambda _: "judges every image that is built here",
    "find_receipt": lambda _: "looks for a receipt",
    "prepare_stack": lambda _: "a project of its own, which uses the proven images by id",
    "database_ready": _database,
    "migrate": _migrate,
    "schema_status": lambda _: "four witnesses tell what was really applied",
    "up": lambda wanted: f"starts {', '.join(wanted.site.started_services)}",
    "running_image": lambda _: "a container may run another image than was proven",
    "run_tests": _tests,
    "verify_in_image": _verify,
    "inputs_unchanged": lambda _: "a file edited meanwhile would make the result unknown",
    "down": lambda _: "removes all that was started",
}


# Seconds


def _timed(
    wanted: Run, plan: Forecast, building: Building, receipts: Sequence[Receipt]
) -> Forecast:
    kind = RunKind(plan.environment, building, wanted.choices.arguments)
    known = history.timings(receipts, kind)
    built = history.timings(receipts, replace(kind, building=Building.CACHED))
    is_plain = plan.error is None and not plan.unknown
    # A run walks its steps also where there is nothing to do, but not after a receipt.
    is_walked = not any(one.is_spared and one.name != history.BUILD for one in plan.steps)
    same = run.names(wanted.choices) if is_plain and is_walked else ()
    return replace(
        plan,
        steps=tuple(replace(one, expected=_expected(one, known, built)) for one in plan.steps),
        whole=history.total(receipts, kind, same) if same else None,
    )


def _expected(
    one: Foreseen, known: Mapping[str, Timing], built: Mapping[str, Timing]
) -> Timing | None:
    """Of a build that is spared: what one takes; of one that may be, nobody knows."""
    if one.does is Does.RUNS or (one.does is Does.UNKNOWN and one.name != history.BUILD):
        return known.get(one.name)
    return (built if one.name == history.BUILD else known).get(one.name) if one.is_spared else None


def _hidden(wanted: Run, plan: Forecast) -> Forecast:
    """*plan* without a secret of the compose files: names and commands are other people's."""
    hide = wanted.site.mask
    if plan.error is not None:
        plan.error.hide(hide)
    return replace(
        plan,
        steps=tuple(replace(one, why=hide(one.why)) for one in plan.steps),
        unknown=tuple(map(hide, plan.unknown)),
        remarks=tuple(map(hide, plan.remarks)),
    )
