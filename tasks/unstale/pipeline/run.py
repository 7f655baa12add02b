"""One run of ``test.integration``: a tuple of steps, tear-down always, a receipt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from unstale.errors import (
    CouldNotTell,
    EngineUnavailable,
    Interrupted,
    Mismatch,
    Outcome,
    TearDownFailed,
    TimedOut,
    Unavailable,
    UnstaleError,
    fault_of,
    outcome_of,
    worst,
)
from unstale.facts import ContainerFact
from unstale.image.check import ImageStatus
from unstale.image.verify import VerifyResult
from unstale.parity.report import ParityReport
from unstale.pipeline import (
    builds,
    containers,
    images,
    parity,
    reach,
    receipt,
    report,
    reuse,
    schema,
    shelf,
    steps,
    tests,
    unchanged,
)
from unstale.pipeline.junit import Counts
from unstale.pipeline.site import Deployment, Ports, Progress, Site, StepResult
from unstale.ports import Files
from unstale.schema import postgres
from unstale.schema.status import SchemaStatus, require_current
from unstale.stack.names import run_project
from unstale.stack.running import Fall
from unstale.stack.running import state as stack_state
from unstale.verdict import word

__all__ = [
    "Choices",
    "Run",
    "RunReport",
    "RunState",
    "StepFailed",
    "env_parity",
    "find_receipt",
    "image_freshness",
    "names",
    "walk",
    "wants_build",
]

_NO_SUBJECT = reuse.Subject("")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user asked a run to do."""

    build: bool = False
    no_cache: bool = False
    allow_stale: bool = False
    keep: bool = False
    keep_on_failure: bool = False
    reuse: bool = False
    """Run nothing if a receipt proves the same."""
    services: bool = False
    """Stop when the stack is up and migrated, and leave it standing."""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """What stays the same during a run."""

    id: str
    ports: Ports
    files: Files
    site: Site
    choices: Choices
    progress: Progress
    sweep: Callable[[], str]
    """Removes what dead runs left; returns in words what that was."""
    compare: Callable[[], ParityReport]
    """Compares the project's environments, and judges them by the policy."""
    keep: Callable[[Deployment], None]
    """Turns the run's stack into the standing one; a signal may come before that is done."""
    environ: Mapping[str, str]
    sign: receipt.Sign | None = None
    """Signs the receipt; None: it need not be signed."""
    believes: Callable[[shelf.Found], bool] = lambda _: True
    """Whether an earlier run's receipt may spare this one."""
    weighed: Callable[[UnstaleError], UnstaleError] = lambda error: error
    """Explains an error that comes of a want of disk or of addresses."""
    remarks: tuple[str, ...] = ()
    """What was suspicious before the run began."""


@dataclass(frozen=True, slots=True)
class RunState:
    """What is known so far."""

    parity: ParityReport | None = None
    """None if it was not asked, or could not be told and need not be."""
    judged: tuple[ImageStatus, ...] = ()
    """What was thought of the images before any was built."""
    statuses: tuple[ImageStatus, ...] = ()
    deployment: Deployment | None = None
    schema: SchemaStatus | None = None
    database_settings: tuple[postgres.Setting, ...] = ()
    """What the server has otherwise than by default."""
    counts: Counts | None = None
    stale_allowed: bool = False
    subject: reuse.Subject = _NO_SUBJECT
    """All that the result depends on."""
    reused: Path | None = None
    """The receipt of an earlier run that proves the same."""
    built: tuple[str, ...] = ()
    """The services that were built."""
    notes: tuple[str, ...] = ()
    """What was remarkable about the builds: old bytes, a new name."""
    containers: tuple[ContainerFact, ...] = ()
    """As they were when the tests, or what failed before them, were over."""
    fallen: tuple[Fall, ...] = ()
    """Services that did not survive the tests, the first to fall first."""
    health: tuple[str, ...] = ()
    """What was remarkable of the health of those that did."""
    verified: tuple[VerifyResult, ...] = ()
    results: tuple[StepResult, ...] = ()

    @property
    def image_ids(self) -> dict[str, str]:
        """Service to image id, for images that exist."""
        return {s.service: s.image_id for s in self.statuses if s.image_id is not None}

    @property
    def stack(self) -> Deployment:
        """The stack; a step that needs it comes after the one that names it."""
        if self.deployment is None:
            message = "BUG: a step needs a stack before there is one. Please report it."
            raise AssertionError(message)
        return self.deployment


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended."""

    outcome: Outcome
    errors: tuple[UnstaleError, ...]
    state: RunState
    receipt: Path | None
    """None: it could not be written."""
    folder: Path
    remarks: tuple[str, ...] = ()
    """What was suspicious, and red only where the settings are strict."""
    kept: str | None = None
    """The compose project of the stack that was left standing."""
    ports: tuple[tuple[str, int, str], ...] = field(default=())
    """Service, container port and host address of what was left standing."""

    @property
    def is_cut_short(self) -> bool:
        """Whether a command was ended half-way that the engine may go on with."""
        return any(isinstance(e, Interrupted | TimedOut | EngineUnavailable) for e in self.errors)

    @property
    def is_removed(self) -> bool:
        """Whether nothing of it was left, or it was kept, when it ended."""
        if self.kept is not None:
            return True
        if self.state.deployment is None:
            return not any(isinstance(e, Unavailable) or e.is_left for e in self.errors)
        return any(step.name == "down" and step.is_green for step in self.state.results)


Step = Callable[[Run, RunState], tuple[RunState, str]]


def _sweep(run: Run, state: RunState) -> tuple[RunState, str]:
    return state, run.sweep() or "nothing left over"


def env_parity(run: Run, state: RunState) -> tuple[RunState, str]:
    """Hold this environment against the others; it gates once the project has a policy."""
    settings, name = run.site.settings, run.site.environment.name
    if not any(name in pair for pair in settings.pairs):
        return state, "not asked: there is no other environment"
    gates = settings.parity.has_policy
    try:
        found = run.compare()
    except Interrupted:
        raise
    except UnstaleError as error:
        if gates:
            raise
        return state, f"could not be told, and there is no policy: {error.what}"
    state = replace(state, parity=found)
    if gates:
        with _reached(state):
            parity.require(found)
    return state, parity.describe(found, name, gates=gates)


def _bench(run: Run) -> images.Bench:
    """A new one each time: what a step sees is what is there then."""
    return images.Bench(run.ports, run.files, run.site, run.environ)


def image_freshness(run: Run, state: RunState) -> tuple[RunState, str]:
    """Judge every image that is built here."""
    statuses = images.statuses(_bench(run))
    moving = sorted({n for s in statuses for n in s.unpinned})
    pins = f"; without a digest: {', '.join(moving)}" if moving else ""
    return replace(state, judged=statuses, statuses=statuses), images.describe(statuses) + pins


def _build_if_needed(run: Run, state: RunState) -> tuple[RunState, str]:
    choices = run.choices
    wanted = [s.service for s in state.statuses if wants_build(choices, s)]
    built: list[str] = []
    # What is built on an image that was just built may be stale only now.
    while wanted:
        notes = builds.build(
            _bench(run),
            wanted,
            builds.Build(no_cache=choices.no_cache),
            run.progress.log("build_if_needed"),
        )
        built += wanted
        statuses = images.statuses(_bench(run))
        state = replace(state, statuses=statuses, built=tuple(built), notes=(*state.notes, *notes))
        left = [] if choices.allow_stale else [s for s in statuses if images.needs_build(s)]
        wanted = [s.service for s in left if s.service not in built]
    wrong = [s for s in state.statuses if images.needs_build(s)]
    if wrong and choices.allow_stale:
        return replace(state, stale_allowed=True), f"stale, allowed: {images.describe(wrong)}"
    with _reached(state):
        images.require_fresh(wrong)
    detail = f"built {', '.join(built)}" if built else "every image is fresh"
    return state, "; ".join((detail, *state.notes))


def wants_build(choices: Choices, status: ImageStatus) -> bool:
    """Whether a run would build the image."""
    if choices.build or choices.no_cache:
        return True
    return status.image_id is None if choices.allow_stale else images.needs_build(status)


def find_receipt(run: Run, state: RunState) -> tuple[RunState, str]:
    """Look for a run that passed and depended on the very same."""
    if state.stale_allowed:
        return state, "not asked: --allow-stale"
    bench = _bench(run)
    wanted = reuse.subject(bench, state.statuses, run.choices.arguments)
    state = replace(state, subject=wanted)
    if not run.choices.reuse:
        return state, "not asked: no --reuse" if wanted.digest else wanted.why_not
    if not wanted.digest:
        return state, f"the tests are run: {wanted.why_not}"
    found = reuse.find(bench, wanted, run.believes)
    if found is None:
        return state, "the tests are run: no receipt proves the same"
    return replace(state, reused=found), f"{found.name} proves the same"


def _prepare_stack(run: Run, state: RunState) -> tuple[RunState, str]:
    project = run_project(run.site.settings.root, run.id)
    deployment = steps.deploy(
        run.files,
        run.site,
        run=run.id,
        project=project,
        images=state.image_ids,
        unique=True,
        is_podman=run.ports.docker.is_podman(),
    )
    return replace(state, deployment=deployment), project


def _database_ready(run: Run, state: RunState) -> tuple[RunState, str]:
    line = run.progress.log("database_ready")
    return state, steps.database_up(run.ports, run.site, state.stack, line)


def _migrate(run: Run, state: RunState) -> tuple[RunState, str]:
    """One start of the probe: wait, upgrade, and all that the next step judges."""
    line = run.progress.log("migrate")
    found = schema.migrate(_bench(run), state.stack, line)
    if found is None:
        return state, f"not asked: {schema.why_not_asked(run.site)}"
    done = f"{found.ran} migrations ran" if found.ran else "nothing to run"
    return replace(state, schema=found), done


def _schema_status(run: Run, state: RunState) -> tuple[RunState, str]:
    if state.schema is None:
        return state, f"not asked: {schema.why_not_asked(run.site)}"
    found = state.schema
    settings = steps.database_settings(run.ports, run.site, state.stack)
    state = replace(state, database_settings=settings)
    with _reached(state):
        require_current(found)
    heard = ", ".join(w.name for w in found.witnesses if w.word == "ok")
    return state, f"{', '.join(found.heads)} applied, {len(found.tables)} tables; heard: {heard}"


def _up(run: Run, state: RunState) -> tuple[RunState, str]:
    return state, steps.up(run.ports, run.site, state.stack, run.progress.log("up"))


def _running_image(run: Run, state: RunState) -> tuple[RunState, str]:
    return state, containers.verify_running(_bench(run), state.stack, is_new=True)


def _run_tests(run: Run, state: RunState) -> tuple[RunState, str]:
    found = tests.run_tests(
        run.ports,
        run.site,
        state.stack,
        run.choices.arguments,
        number="1",
        deadline_s=run.site.settings.deadlines.tests,
        line=run.progress.log("run_tests"),
        environment=tests.told(state.image_ids.get(run.site.require_runner()), state.schema),
    )
    state = replace(
        state,
        counts=found.counts,
        containers=found.states,
        fallen=found.fallen,
        health=found.notes,
    )
    steps.save_states(state.stack, found.states)
    with _reached(state):
        counts = tests.judge(run.ports, found)
        containers.verify_runner(_bench(run), state.stack, found.runner, is_new=True)
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    left_out = (found.left_out,) if found.left_out else ()
    return state, "; ".join((f"{counts.passed} passed{skipped}", *found.notes, *left_out))


def _verify_in_image(run: Run, state: RunState) -> tuple[RunState, str]:
    """Compare every copied file, or cite who did; look for the texts in every run."""
    bench = _bench(run)
    masked = {s.service: s.masked for s in state.statuses}
    results = [images.verify(bench, name, masked=masked.get(name, ())) for name in state.image_ids]
    compared = tuple(r for r in results if r.compared)
    rules = run.site.settings.verify
    looked = tuple(
        images.verify(bench, name, path=r.path, grep=r.grep, masked=masked.get(name, ()))
        for r in rules
        for name in (r.service or run.site.require_runner(),)
    )
    state = replace(state, verified=(*compared, *looked))
    judged = (*(() if state.stale_allowed else compared), *looked)
    with _reached(state):
        if compared and not state.stale_allowed and any(result.finding for result in judged):
            # An image is not wrong because the tree it was built from is gone.
            unchanged.require(bench, state.statuses)
        for result in judged:
            images.require_verified(result)
    words = f"{sum(r.compared for r in compared)} files are as here"
    words += ", proven before" if compared and all(r.is_cited for r in compared) else ""
    texts = f"{len(rules)} of {len(rules)} texts found" if rules else "no text is configured"
    return state, f"{words}; {texts}"


def _inputs_unchanged(run: Run, state: RunState) -> tuple[RunState, str]:
    bench = _bench(run)
    if not state.stale_allowed:
        unchanged.require(bench, state.statuses)
    return _subject_unchanged(bench, run, state)


def _subject_unchanged(bench: images.Bench, run: Run, state: RunState) -> tuple[RunState, str]:
    """Let nobody reuse a run during which something that counts has changed."""
    before = state.subject
    if not before.digest:
        return state, "the tree is what it was at the start"
    now = reuse.subject(bench, state.statuses, run.choices.arguments)
    if now == before:
        return state, "the tree is what it was at the start"
    with _reached(replace(state, subject=_NO_SUBJECT)):
        if now.fixed and now.fixed != before.fixed:
            raise CouldNotTell(
                "What the tests depend on changed while the run was going on.",
                cause="A mounted file, a config, a secret, or an image that is not built here.",
                hint="run again",
            )
    why = now.why_not or "files in a writable mount changed"
    return replace(state, subject=_NO_SUBJECT), f"no later run can cite this one: {why}"


# In the order of the product's front page. The database and what it needs come
# first, then migrations, then the rest: an app may need its tables to become
# healthy.
_STEPS: tuple[tuple[str, Step], ...] = (
    ("sweep", _sweep),
    ("env_parity", env_parity),
    ("image_freshness", image_freshness),
    ("build_if_needed", _build_if_needed),
    ("find_receipt", find_receipt),
    ("prepare_stack", _prepare_stack),
    ("database_ready", _database_ready),
    ("migrate", _migrate),
    ("schema_status", _schema_status),
    ("up", _up),
    ("running_image", _running_image),
    ("run_tests", _run_tests),
    ("verify_in_image", _verify_in_image),
    ("inputs_unchanged", _inputs_unchanged),
)


def names(choices: Choices) -> tuple[str, ...]:
    """The steps of a run that stays green, in their order."""
    found = [name for name, _ in _STEPS]
    if choices.services:
        return tuple(found[: found.index("run_tests")])
    return (*found, *(() if choices.keep else ("down",)))


def planned(choices: Choices) -> tuple[str, ...]:
    """The steps that a run goes through if nothing goes wrong."""
    names = [name for name, _ in _STEPS]
    if choices.services:
        return tuple(names[: names.index("run_tests")])
    return (*names, *([] if choices.keep else ["down"]))


def walk(run: Run) -> RunReport:
    """Walk the steps, tear down whatever happens, and write the receipt."""
    started = run.ports.clock.now()
    state = RunState()
    errors: list[UnstaleError] = []
    try:
        for name, step in _STEPS:
            if run.choices.services and name == "run_tests":
                break
            state = _timed(run, state, name, step)
            if state.reused is not None:
                return _reuse(run, state, state.reused)
    except StepFailed as failed:
        state, error = failed.state, failed.error
        # Before the tear-down, which makes room.
        errors.append(run.weighed(error))
    except Interrupted as interrupted:  # between two steps
        errors.append(interrupted)
    kept = False
    if state.deployment is not None:
        state, tear_down_errors, kept = _finish(run, state, errors)
        errors += tear_down_errors
    if state.stale_allowed and not errors:
        errors.append(
            Mismatch("The tests are green, on a stale image.", cause="--allow-stale was given.")
        )
    return _report(run, state, tuple(errors), started=started, kept=kept)


def _reuse(run: Run, state: RunState, path: Path) -> RunReport:
    """The report of a run that was spared: its receipt is the earlier one."""
    folder = run.site.state_folder / "runs" / path.stem.rpartition("-")[2]
    return RunReport(Outcome.PROVEN, (), state, path, folder, run.remarks)


class StepFailed(Exception):
    """Carries the state that was reached out of the loop."""

    def __init__(self, state: RunState, error: UnstaleError) -> None:
        super().__init__(str(error))
        self.state = state
        self.error = error


@contextmanager
def _reached(state: RunState) -> Iterator[None]:
    """Let the report of a step that fails in here know what it found out."""
    try:
        yield
    except UnstaleError as error:
        raise StepFailed(state, error) from error


def _timed(run: Run, state: RunState, name: str, step: Step) -> RunState:
    run.progress.begin(name)
    begin = run.ports.clock.monotonic()

    def result(outcome: Outcome, detail: str) -> StepResult:
        found = StepResult(name, outcome, run.ports.clock.monotonic() - begin, detail)
        run.progress.end(found)
        return found

    try:
        with _reached(state):
            new, detail = step(run, state)
    except StepFailed as failed:
        if isinstance(failed.error, TimedOut) and name not in failed.error.what:
            failed.error.what = f"{name}: {failed.error.what}"
        ended = result(outcome_of(failed.error), failed.error.what)
        reached = replace(failed.state, results=(*state.results, ended))
        raise StepFailed(reached, failed.error) from failed.error
    return replace(new, results=(*new.results, result(Outcome.PROVEN, detail)))


def _finish(
    run: Run, state: RunState, so_far: Sequence[UnstaleError]
) -> tuple[RunState, list[UnstaleError], bool]:
    """Save the evidence, then remove the stack, or keep it as asked.

    Of a green run the states are written already, and after a signal there is no time
    for more than them. A signal is held but while the stack's place is waited for.
    """
    errors: list[UnstaleError] = []
    choices = run.choices
    failed = bool(so_far)
    interrupted = any(isinstance(e, Interrupted) for e in so_far)
    wants = (
        choices.keep or (choices.services and not failed) or (choices.keep_on_failure and failed)
    )
    try:
        if failed:
            with run.ports.held():
                state = _saved(run, state, _states if interrupted else _evidence)
        if wants and not interrupted:
            run.keep(state.stack)
            return state, errors, True
    except Unavailable as error:  # its place is taken, or no engine tells: this one goes
        errors.append(_after_the_verdict(error))
    except Interrupted as error:
        errors.append(error)
    with run.ports.held():
        try:
            state = _timed(
                run, state, "down", lambda r, s: (s, steps.down(r.ports, r.site, s.stack))
            )
        except StepFailed as error:
            state = error.state
            errors.append(error.error)
    return state, errors, False


def _saved(run: Run, state: RunState, step: Step) -> RunState:
    """Best effort: what went wrong is told by its result alone."""
    try:
        return _timed(run, state, "evidence", step)
    except StepFailed as error:
        return error.state


def _after_the_verdict(error: Unavailable) -> TearDownFailed:
    """The same as what turns green into red, and hides no red of the tests."""
    return TearDownFailed(error.what, cause=error.cause, hint=error.hint, fault=error.fault)


def _evidence(run: Run, state: RunState) -> tuple[RunState, str]:
    found, where = steps.save_evidence(run.ports, run.site, state.stack)
    return replace(state, containers=found), where


def _states(run: Run, state: RunState) -> tuple[RunState, str]:
    found = steps.containers(run.ports, state.stack)
    steps.save_states(state.stack, found)
    return replace(state, containers=found), f"{len(found)} containers"


def _container(container: ContainerFact) -> dict[str, object]:
    """What the receipt says of a container; containers.json has the rest."""
    keys = ("service", "status", "exit_code", "oom_killed", "health", "restarts")
    return {key: stack_state(container)[key] for key in keys}


def _attested(status: ImageStatus) -> list[str] | None:
    return None if status.attestations is None else list(status.attestations)


def _verified(result: VerifyResult) -> dict[str, object]:
    """What a look into an image says in the receipt."""
    return {
        "service": result.service,
        "image_id": result.image_id,
        "verdict": word(result.verdict),
        "compared": result.compared,
        "cited": result.is_cited,
        "masked": result.masked,
        "path": None if result.path is None else str(result.path),
        "pattern": result.pattern,
        "matches": len(result.matches),
    }


def _report(
    run: Run, state: RunState, errors: tuple[UnstaleError, ...], *, started: datetime, kept: bool
) -> RunReport:
    def text(failed: Sequence[UnstaleError]) -> str:
        document = _document(run, state, (*errors, *failed), started)
        return run.site.mask(json.dumps(document, indent=2)) + "\n"

    interrupted = any(isinstance(e, Interrupted) for e in errors)
    filed = receipt.keep(
        run.files,
        run.site.state_folder / "receipts",
        f"{started:%Y%m%dT%H%M%SZ}-{run.id}",
        text,
        None if interrupted else run.sign,
    )
    errors = (*errors, *filed.errors)
    return RunReport(
        outcome=worst(outcome_of(e) for e in errors),
        errors=errors,
        state=state,
        receipt=filed.path,
        folder=run.site.state_folder / "runs" / run.id,
        remarks=run.remarks,
        kept=state.stack.target.project if kept else None,
        ports=_published(run, state.stack) if kept else (),
    )


def _published(run: Run, stack: Deployment) -> tuple[tuple[str, int, str], ...]:
    """Where the stack that was kept answers; nothing, if no engine tells any more."""
    try:
        found = steps.containers(run.ports, stack)
    except Unavailable:
        return ()
    return tuple((c.service, port, address) for c in found for port, address in c.ports)


def _unreached(run: Run, state: RunState) -> list[str]:
    """The steps that an earlier one kept from being begun."""
    names = [name for name, _ in _STEPS]
    wanted = names[: names.index("run_tests")] if run.choices.services else names
    return [name for name in wanted if name not in {result.name for result in state.results}]


def _document(
    run: Run, state: RunState, errors: Sequence[UnstaleError], started: datetime
) -> dict[str, object]:
    git = run.ports.git
    return receipt.statement(
        outcome=worst(outcome_of(e) for e in errors),
        fault=fault_of(errors),
        stale_allowed=state.stale_allowed,
        images=state.image_ids,
        inputs={s.service: s.inputs for s in state.statuses if s.inputs},
        head=git.head(),
        dirty=git.is_dirty(),
        environment=run.site.environment.name,
        schema=state.schema.to_json() if state.schema else None,
        counts=state.counts,
        steps=state.results,
        started=started,
        more={
            "run": run.id,
            "errors": report.errors_told(errors),
            "verdicts": report.verdicts_told(state.judged, state.statuses),
            "unreached": _unreached(run, state),
            "variables": report.variables_told(run.site.stack),
            "subject": state.subject.digest,
            "environment_digest": reuse.environment_digest(run.site.model),
            "arguments": list(run.choices.arguments),
            "parity": parity.summary(state.parity) if state.parity else None,
            "built": list(state.built),
            "no_cache": run.choices.no_cache,
            "builder": list(state.notes),
            "remarks": list(run.remarks),
            "database_settings": [one.to_json() for one in state.database_settings],
            "reaches": list(reach.told(run.site)),
            "unpinned": images.unpinned(run.site.stack, state.statuses),
            "not_covered": {s.service: list(s.not_covered) for s in state.statuses},
            "attestations": {s.service: _attested(s) for s in state.statuses},
            "verified": [_verified(result) for result in state.verified],
            "containers": [_container(one) for one in state.containers],
            "fallen": [{"service": f.service, "how": f.how} for f in state.fallen],
            "health": list(state.health),
        },
    )
