"""Start, wait for and remove containers; truth is what the engine lists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from unstale.compose import COMPLETED
from unstale.errors import (
    EngineUnavailable,
    Fault,
    NotReady,
    TearDownFailed,
    Unavailable,
    UnstaleError,
)
from unstale.facts import ContainerFact
from unstale.override import LABEL_OWNER, LABEL_RUN
from unstale.ports import Clock, Docker
from unstale.stack.autopsy import autopsy, evidence

__all__ = [
    "MAY_END",
    "PROJECT",
    "Sweep",
    "dead_runs",
    "remove",
    "require_sound",
    "sweep",
    "wait_until_up",
]

PROJECT = "com.docker.compose.project"
_DEPENDS_ON = "com.docker.compose.depends_on"

# The engine waits 0.1 s before it restarts a container, and twice as long before
# each next time: this many take 13 s and more. Fewer heal, where a service ends
# until the one that it needs is there.
_LOOP = 7
# After so many seconds the engine, too, calls a restarted container a running one.
_SETTLED_S = 10.0
_AGAIN_S = 0.1  # between two empty listings
_AGAIN_MOST_S = 2.0  # between two questions to an engine that gives no answer
# An engine that is started anew answers sooner.
_GONE_S = 10.0

_LOOK = "inv stack.up, then inv stack.logs"
MAY_END = (
    'if it may end, write restart: "no" in its service, or let another one wait for it: '
    "depends_on with condition: service_completed_successfully"
)


def wait_until_up(
    docker: Docker,
    clock: Clock,
    project: str,
    services: Sequence[str],
    *,
    deadline_s: float,
    one_shots: Collection[str] = (),
) -> None:
    """Return when every service is healthy, done, or steadily running without a check.

    An own loop, since ``up --wait`` calls a finished one-shot service a failure
    and keeps the reason of a real one to itself. *one_shots* are the services
    that the compose files let end; those that a container of the project waits
    for are known from its labels.

    Raises:
        NotReady: one ended, is unhealthy or restarts in a loop, or the deadline
            passed; the cause is what it did and its own last log lines.

    """
    end = clock.monotonic() + deadline_s
    watch = _Watch()
    while True:
        seen = watch.look(docker, clock, project, services)
        _require_sound(docker, seen, one_shots)
        pending = [s for s in services if not _all_up([c for c in seen if c.service == s])]
        if not pending:
            return
        if clock.monotonic() >= end:
            late = [c for c in seen if c.service in pending and not c.is_up]
            raise NotReady(
                f"{', '.join(pending)} did not become ready within {deadline_s:.0f} s.",
                cause=_what_they_did(docker, pending, late),
                hint=_LOOK,
            )
        clock.sleep(0.25)


def require_sound(
    docker: Docker,
    clock: Clock,
    project: str,
    services: Sequence[str],
    *,
    one_shots: Collection[str] = (),
) -> None:
    """Name the service that broke, where compose only says that starting failed.

    Raises:
        NotReady: one of *services* ended or is unhealthy; as `wait_until_up` tells it.

    """
    _require_sound(docker, _Watch().look(docker, clock, project, services), one_shots)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A container at one look, with what only several looks tell."""

    fact: ContainerFact
    restarts: int
    """By the engine, since the first look."""
    steady_s: float
    """For how long each look has found the same start of it."""
    awaited: frozenset[str]
    """The services that containers of the project wait for until they end."""

    @property
    def service(self) -> str:
        return self.fact.service

    @property
    def is_up(self) -> bool:
        """Of one that is sound: whether nothing more is to be waited for."""
        if self.fact.status != "running":
            return self.fact.has_ended
        if self.fact.health is not None:
            return self.fact.health == "healthy"
        return self.steady_s > 0 and (not self.restarts or self.steady_s >= _SETTLED_S)

    def fault(self, one_shots: Collection[str]) -> str:
        """Why waiting longer would not help; empty if it might."""
        fact = self.fact
        if fact.oom_killed and (fact.has_ended or fact.status == "restarting"):
            return f"ran out of memory ({fact.memory_words}, exit code {fact.exit_code})."
        if fact.status == "created" and fact.error:
            return "was created and could not be started."
        if fact.has_ended:
            return self._fault_of_end(one_shots)
        if fact.health == "unhealthy":
            return "is unhealthy."
        if self.restarts >= _LOOP:
            return f"restarts in a loop: {self.restarts} times while it was waited for."
        return ""

    def _fault_of_end(self, one_shots: Collection[str]) -> str:
        if self.fact.exit_code or self.fact.error:
            return f"exited with {self.fact.exit_code}."
        may_end = self.fact.service in {*one_shots, *self.awaited}
        return "" if may_end else "ended with 0, though nobody waits for its end."

    @property
    def doing(self) -> str:
        """What keeps it, in a few words."""
        health = f", its health check is {self.fact.health!r}" if self.fact.health else ""
        again = f", restarted {self.restarts} times (last exit code {self.fact.exit_code})"
        return self.fact.status + health + (again if self.restarts else "")


class _Watch:
    """Looks at containers again and again, and remembers what it saw first."""

    def __init__(self) -> None:
        self._restarts: dict[str, int] = {}
        self._since: dict[tuple[str, str], float] = {}

    def look(
        self, docker: Docker, clock: Clock, project: str, services: Collection[str]
    ) -> tuple[_Seen, ...]:
        """The containers of *services* as they are now."""
        found = [c for c in docker.containers({PROJECT: project}) if not c.one_off]
        awaited, now = _awaited(found), clock.monotonic()
        return tuple(self._see(c, now, awaited) for c in found if c.service in services)

    def _see(self, fact: ContainerFact, now: float, awaited: frozenset[str]) -> _Seen:
        before = self._restarts.setdefault(fact.id, fact.restart_count)
        since = self._since.setdefault((fact.id, fact.started_at), now)
        return _Seen(fact, fact.restart_count - before, now - since, awaited)


def _awaited(containers: Sequence[ContainerFact]) -> frozenset[str]:
    """The services that others wait for until they end, by compose's own label."""
    conditions = (
        entry.split(":")
        for container in containers
        for entry in container.labels.get(_DEPENDS_ON, "").split(",")
    )
    return frozenset(name for name, *rest in conditions if rest and rest[0] == COMPLETED)


def _all_up(containers: Sequence[_Seen]) -> bool:
    return bool(containers) and all(c.is_up for c in containers)


def _require_sound(docker: Docker, seen: Sequence[_Seen], one_shots: Collection[str]) -> None:
    broken = [container for container in seen if container.fault(one_shots)]
    if not broken:
        return
    # The first to die: the others may have died of it.
    first = min(broken, key=lambda c: (not c.fact.has_ended, c.fact.finished_at))
    clean = first.fact.has_ended and not first.fact.exit_code and not first.fact.error
    found = autopsy(docker, first.fact)
    raise NotReady(
        f"{first.service!r} {first.fault(one_shots)}",
        cause=found.cause,
        hint=MAY_END if clean else found.hint or _LOOK,
        fault=found.fault,
    )


def _what_they_did(docker: Docker, pending: Sequence[str], late: Sequence[_Seen]) -> str:
    """For each late service what it was doing, then its own words."""
    absent = set(pending) - {c.service for c in late}
    return "\n".join(
        [
            *(f"{name}: there is no container of it." for name in pending if name in absent),
            *(f"{c.service}: {c.doing}.\n{evidence(docker, c.fact)}".rstrip() for c in late),
        ]
    )


def remove(
    docker: Docker,
    clock: Clock,
    labels: Mapping[str, str],
    *,
    project: str = "",
    deadline_s: float = 30.0,
    settle_s: float = 0.0,
) -> int:
    """Remove all that carries *labels*, and prove it by two empty listings.

    *labels* are a run's and its owner's: what carries one of them is not ours. Where
    *project* is given, a compose project that only unstale uses, all containers of it
    go, too: a person's one-offs hold its networks, and carry no other label.
    Requests that the engine had accepted may still land after the first: where commands
    were ended half-way, all listings of *settle_s* seconds must be empty. Only labelled
    volumes go: those of a fixed or external name carry no label.

    An engine that gives no answer is asked again, for some seconds and no longer than
    *deadline_s*: it may be starting anew.

    Returns:
        How many objects were removed.

    Raises:
        TearDownFailed: something is still there at the deadline, or the engine does not
            tell; then with its error's fault.

    """
    if not (labels.get(LABEL_RUN) and labels.get(LABEL_OWNER)):
        # Without a value, the engine lists what has any.
        message = "BUG: a removal without a run or an owner. Please report it."
        raise AssertionError(message)
    begun = clock.monotonic()
    end = begun + deadline_s
    patience = _Patience(clock, end)
    removed: set[str] = set()
    left, refused = _Left(), ""
    since: float | None = None
    while True:
        try:
            left = _listed(docker, labels, project)
            is_late = clock.monotonic() >= end
            if left and not is_late:
                removed.update(left.names)
                refused = _drop(docker, clock, left) or refused
        except Unavailable as error:
            since = None
            if not patience.waits(error):
                raise _unproven(clock.monotonic() - begun, left, error) from error
            continue
        patience.answered()
        if left and is_late:
            raise _left_there(deadline_s, left, refused)
        if left:
            since = None
            continue
        if since is None:
            since = clock.monotonic()
        elif clock.monotonic() >= since + settle_s:
            return len(removed)
        clock.sleep(_AGAIN_S)


@dataclass(frozen=True, slots=True)
class _Left:
    """What the engine lists of a run."""

    containers: tuple[ContainerFact, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (
            *(f"container {c.name}" for c in self.containers),
            *(f"network {name}" for name in self.networks),
            *(f"volume {name}" for name in self.volumes),
        )

    @property
    def words(self) -> str:
        """The first of them; the rest is counted."""
        names = self.names
        more = [f"and {len(names) - 5} more"] if len(names) > 5 else []
        return ", ".join([*names[:5], *more])

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks or self.volumes)


class _Patience:
    """How long an engine that gives no answer is asked again."""

    def __init__(self, clock: Clock, end: float) -> None:
        self._clock = clock
        self._end = end
        self._silent_since: float | None = None
        self._pause_s = _AGAIN_S

    def answered(self) -> None:
        self._silent_since, self._pause_s = None, _AGAIN_S

    def waits(self, error: Unavailable) -> bool:
        """Wait before the next question; False: no more is to be asked."""
        now = self._clock.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        is_gone = isinstance(error, EngineUnavailable) and now >= self._silent_since + _GONE_S
        if is_gone or now >= self._end:
            return False
        self._clock.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _AGAIN_MOST_S)
        return True


def _listed(docker: Docker, labels: Mapping[str, str], project: str) -> _Left:
    # Either may lack some: a person's one-off its labels, what looks into an image its project.
    found = [
        *docker.containers(labels),
        *(docker.containers({PROJECT: project}) if project else ()),
    ]
    containers = {c.id: c for c in found}
    return _Left(
        tuple(containers.values()), tuple(docker.networks(labels)), tuple(docker.volumes(labels))
    )


def _drop(docker: Docker, clock: Clock, left: _Left) -> str:
    """Remove them; what the engine said against it, which is empty if nothing."""
    refused = ""
    for drop, names in (
        (docker.remove_containers, [c.id for c in left.containers]),
        (docker.remove_networks, left.networks),
        (docker.remove_volumes, left.volumes),
    ):
        try:
            drop(names)
        except EngineUnavailable:
            raise
        except Unavailable as error:
            # In use by what landed since the listing; the next round sees it.
            refused = error.cause or error.what
            clock.sleep(0.2)
    return refused


def _left_there(deadline_s: float, left: _Left, refused: str) -> TearDownFailed:
    return TearDownFailed(
        f"{_objects(len(left.names))} still there after {deadline_s:.0f} s.",
        cause="\n".join(part for part in (left.words, refused) if part),
        hint="inv stack.reap",
    )


def _unproven(seconds: float, left: _Left, error: Unavailable) -> TearDownFailed:
    seen = f"Seen last: {left.words}." if left else ""
    return TearDownFailed(
        f"The engine did not tell within {seconds:.0f} s that nothing is left.",
        cause="\n".join(part for part in (error.what, error.cause, seen) if part),
        hint="docker version, and when it answers: inv stack.reap",
        fault=None if error.fault is Fault.UNAVAILABLE else error.fault,
    )


def _objects(count: int) -> str:
    return "1 object is" if count == 1 else f"{count} objects are"


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep of one engine found."""

    engine: str
    removed: Mapping[str, int]
    """Dead run to the number of its objects that were removed."""
    error: UnstaleError | None = None
    """Why something may still be there: no engine, or what it would not remove."""

    @property
    def words(self) -> str:
        """What happened, in a line; empty if nothing did."""
        count = sum(self.removed.values())
        runs = sum(bool(number) for number in self.removed.values())
        done = f"{count} objects of {runs} dead runs removed" if count else ""
        wrong = (
            f"{self.engine} could not be swept: {self.error.what.rstrip('.')}" if self.error else ""
        )
        return "; ".join(part for part in (done, wrong) if part)


def sweep(
    docker: Docker,
    clock: Clock,
    engine: str,
    owner: str,
    died: Collection[str],
    lives: Callable[[str], bool],
) -> Sweep:
    """Remove what dead runs of *owner* left in the engine that is called *engine*.

    *died* are runs of which that is known; of what else is there, *lives* is asked.
    """
    removed: dict[str, int] = {}
    error: UnstaleError | None = None
    try:
        runs = {*died, *dead_runs(docker, owner, lives)}
    except Unavailable as failed:
        return Sweep(engine, removed, failed)
    for run in sorted(runs):
        try:
            removed[run] = remove(docker, clock, {LABEL_RUN: run, LABEL_OWNER: owner})
        except TearDownFailed as failed:
            if isinstance(failed.__cause__, EngineUnavailable):  # nor would it for the others
                return Sweep(engine, removed, failed.__cause__)
            error = error or failed
    return Sweep(engine, removed, error)


def dead_runs(docker: Docker, owner: str, lives: Callable[[str], bool]) -> tuple[str, ...]:
    """The runs of *owner*'s objects for which *lives* says no."""
    if not owner:
        message = "BUG: a sweep without an owner. Please report it."
        raise AssertionError(message)
    labels = {LABEL_OWNER: owner}
    # Listed before it is asked who lives: a run has its lease before its first object.
    seen = {c.labels.get(LABEL_RUN, "") for c in docker.containers(labels)}
    seen |= {found.get(LABEL_RUN, "") for found in docker.networks(labels).values()}
    seen |= {found.get(LABEL_RUN, "") for found in docker.volumes(labels).values()}
    return tuple(run for run in seen if run and not lives(run))
