"""What a run would do, told step by step: looks are taken, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unstale.errors import CouldNotTell, Interrupted, NotDone, UnstaleError
from unstale.image.check import ImageStatus
from unstale.pipeline import images, run, schema, steps, tests
from unstale.pipeline.run import Run, RunState, StepFailed
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.ports import BuildOptions, Docker, Line
from unstale.stack.names import run_project
from unstale.verdict import Missing, Stale, Unknown, word

__all__ = [
    "Seen",
    "build",
    "left",
    "look",
    "not_compared",
    "rehearse",
    "require_compared",
    "start",
    "tested",
    "told",
    "why",
]

_NAME = 17
_SHOWN = 5


def told(tell: Line, step: str, text: str) -> None:
    """Tell what *step* would do."""
    tell(f"{step:<{_NAME}} {text}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the steps that only look find, before anything would be started."""

    state: RunState
    words: Mapping[str, str]
    """What each step that was taken says, in order."""
    unsure: tuple[ImageStatus, ...] = ()
    """What can't be told without a container, which is not made."""
    needed: tuple[ImageStatus, ...] = ()
    """What would be built."""
    error: UnstaleError | None = None
    """What would end the run, at the last of the steps in *words*."""


def look(wanted: Run) -> Seen:
    """Take the steps of *wanted* that only look; nothing is changed."""
    choices, words = wanted.choices, dict[str, str]()
    state = RunState()

    def take(name: str, step: run.Step) -> RunState:
        words[name] = ""
        found, words[name] = step(wanted, state)
        return found

    unsure: list[ImageStatus] = []
    needed: tuple[ImageStatus, ...] = ()
    try:
        state = take("env_parity", run.env_parity)
        state = take("image_freshness", run.image_freshness)
        if not (choices.build or choices.no_cache or choices.allow_stale):
            unsure = [one for one in state.statuses if images.is_not_compared(one)]
        wants = (s for s in state.statuses if run.wants_build(choices, s))
        needed = tuple(s for s in wants if s not in unsure)
        if choices.reuse and not needed and not unsure:
            state = take("find_receipt", run.find_receipt)
    except StepFailed as failed:
        return Seen(failed.state, words, tuple(unsure), needed, failed.error)
    except Interrupted:
        raise
    except UnstaleError as error:
        return Seen(state, words, tuple(unsure), needed, error)
    return Seen(state, words, tuple(unsure), needed)


def _begin(wanted: Run, sweep: Sequence[str], tell: Line) -> None:
    for text in wanted.remarks:
        tell(f"Note: {text}.")
    for text in sweep or ("nothing is left over",):
        told(tell, "sweep", text)


def rehearse(wanted: Run, sweep: Sequence[str], tell: Line) -> None:
    """Walk the steps of *wanted*; those that only look are taken.

    *sweep* tells what would be removed first.

    Raises:
        Mismatch: the environments differ, and the policy gates.
        CouldNotTell: an image's bytes are not known without a container.

    """
    site, choices = wanted.site, wanted.choices
    _begin(wanted, sweep, tell)
    seen = look(wanted)
    for name, words in seen.words.items():
        if name == "find_receipt":
            break
        told(tell, name, words or _ended(seen))
    if seen.error is not None and "find_receipt" not in seen.words:
        raise seen.error
    for one in seen.unsure:
        _unsure(one, tell)
    build(wanted.ports, site, seen.needed, tell, no_cache=choices.no_cache)
    if "find_receipt" in seen.words:
        told(tell, "find_receipt", seen.words["find_receipt"] or _ended(seen))
        if seen.error is not None:
            raise seen.error
        if seen.state.reused is not None:
            return
    deployment = steps.deploy(
        wanted.files,
        site,
        run=wanted.id,
        project=run_project(site.settings.root, wanted.id),
        images=seen.state.image_ids,
        unique=True,
        is_podman=wanted.ports.docker.is_podman(),
    )
    told(tell, "prepare_stack", deployment.target.project)
    start(wanted.ports, site, deployment, tell)
    if not choices.services:
        _tests(wanted, deployment, tell)
    keeps = choices.keep or choices.services
    told(tell, "down", "would keep the stack" if keeps else "would remove all that was started")
    told(tell, "receipt", f"would write one to {site.state_folder / 'receipts'}")
    require_compared(seen.unsure)


def _ended(seen: Seen) -> str:
    return f"would end the run: {seen.error.what if seen.error else ''}"


def not_compared(statuses: Sequence[ImageStatus], tell: Line) -> list[ImageStatus]:
    """Those of *statuses* that a dry run can't tell; tells what would become of them."""
    unsure = [one for one in statuses if images.is_not_compared(one)]
    for one in unsure:
        _unsure(one, tell)
    return unsure


def _unsure(one: ImageStatus, tell: Line) -> None:
    told(tell, "build_if_needed", f"would compare {one.service}'s bytes, and then decide")


def require_compared(unsure: Sequence[ImageStatus]) -> None:
    """Raise `CouldNotTell` for what was not compared, if there is any."""
    if unsure:
        names = ", ".join(one.service for one in unsure)
        raise CouldNotTell(
            f"It can't be told without a container whether {names} would be built.",
            cause="No proof says that the image has the bytes which its stamp speaks of.",
            hint="inv image.status, which looks into the image",
        )


def build(
    ports: Ports, site: Site, needed: Sequence[ImageStatus], tell: Line, *, no_cache: bool = False
) -> None:
    """Tell which images would be built, why, and how."""
    for one in needed:
        told(tell, "build_if_needed", f"would build {one.service}: {why(one)}")
    if not needed:
        told(tell, "build_if_needed", "nothing to build")
        return
    names = [one.service for one in needed]
    options = BuildOptions(no_cache=no_cache)
    _refused(tell, "build_if_needed", lambda: ports.docker.build(site.target, names, options, tell))


def start(ports: Ports, site: Site, deployment: Deployment, tell: Line) -> None:
    """Tell how a stack would be started and migrated."""
    if site.database is None:
        told(tell, "database_ready", "not asked: the project has no database")
    else:
        names = steps.with_dependencies(site, site.database)
        _started(ports, deployment, names, "database_ready", tell)
    if not schema.is_asked(site):
        told(tell, "migrate", "not asked")
    else:
        where = site.settings.schema.service or site.require_runner()
        command = " ".join(site.settings.schema.migrate_command)
        told(tell, "migrate", f"would wait for the server, and run in {where}: {command}")
    if site.started_services:
        _started(ports, deployment, site.started_services, "up", tell)
    else:
        told(tell, "up", "nothing to start")


def left(docker: Docker, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What carries *labels*, as what would be removed."""
    return (
        *(f"would remove container {one.name}" for one in docker.containers(labels)),
        *(f"would remove network {name}" for name in docker.networks(labels)),
        *(f"would remove volume {name}" for name in docker.volumes(labels)),
    )


def tested(
    ports: Ports, site: Site, deployment: Deployment, arguments: Sequence[str], tell: Line
) -> None:
    """Tell the command of the tests."""
    if site.runner != "host" and site.settings.runner.mode == "exec":
        words = " ".join((*site.settings.runner.command, *arguments))
        told(tell, "run_tests", f"would run in {site.runner}: {words}")
        return
    _refused(
        tell,
        "run_tests",
        lambda: tests.run_tests(
            ports,
            site,
            deployment,
            arguments,
            number="1",
            deadline_s=site.settings.deadlines.tests,
            line=tell,
        ),
    )


def _tests(wanted: Run, deployment: Deployment, tell: Line) -> None:
    site = wanted.site
    tested(wanted.ports, site, deployment, wanted.choices.arguments, tell)
    rules = f" and look for {len(site.settings.verify)} texts" if site.settings.verify else ""
    told(tell, "verify_in_image", f"would compare the files in the images{rules}")
    told(tell, "inputs_unchanged", "would look at the tree once more")


def _started(
    ports: Ports, deployment: Deployment, names: Sequence[str], step: str, tell: Line
) -> None:
    _refused(tell, step, lambda: ports.docker.up(deployment.target, names, tell, deadline_s=1.0))


def _refused(tell: Line, step: str, do: Callable[[], object]) -> None:
    """Do what a dry run refuses, and tell what it says of it."""
    try:
        do()
    except NotDone as error:
        told(tell, step, error.what)


def why(status: ImageStatus) -> str:
    """Why the image of *status* would be built."""
    match status.verdict:
        case Stale(reasons):
            more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
            return f"stale: {', '.join(r.path for r in reasons[:_SHOWN])}{more}"
        case Missing():
            return "there is no image"
        case Unknown(why):
            return why
        case verdict:
            return f"asked for, though it is {word(verdict)}"
