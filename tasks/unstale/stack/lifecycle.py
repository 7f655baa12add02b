"""Start, wait for and remove containers; truth is what the engine lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from unstale.errors import EngineUnavailable, NotReady, TearDownFailed, Unavailable
from unstale.facts import ContainerFact
from unstale.ports import Clock, Docker

__all__ = ["PROJECT", "dead_runs", "remove", "wait_until_up"]

PROJECT = "com.docker.compose.project"


def wait_until_up(
    docker: Docker, clock: Clock, project: str, services: Sequence[str], *, deadline_s: float
) -> None:
    """Return when every service is healthy, or running without a health check.

    An own loop, since ``up --wait`` calls a finished one-shot service a failure
    and keeps the reason of a real one to itself. A one-shot that ended with 0
    is done.

    Raises:
        NotReady: one exited, is unhealthy, or the deadline passed; the cause
            is its health check's output and its own last log lines.

    """
    end = clock.monotonic() + deadline_s
    while True:
        found = {c.service: c for c in docker.containers({PROJECT: project}) if not c.one_off}
        pending = [name for name in services if not _is_up(docker, found.get(name))]
        if not pending:
            return
        if clock.monotonic() >= end:
            late = found.get(pending[0])
            raise NotReady(
                f"{', '.join(pending)} did not become ready within {deadline_s:.0f} s.",
                cause=evidence(docker, late) if late else "There is no container of it.",
                hint="inv stack.up, then inv stack.logs",
            )
        clock.sleep(0.25)


def _is_up(docker: Docker, container: ContainerFact | None) -> bool:
    if container is None:
        return False
    if container.status in ("exited", "dead"):
        if container.exit_code == 0 and not container.error:
            return True
        raise NotReady(
            f"{container.service!r} exited with {container.exit_code}"
            + (" (out of memory)." if container.oom_killed else "."),
            cause=evidence(docker, container),
            hint="inv stack.up, then inv stack.logs",
        )
    if container.health == "unhealthy":
        raise NotReady(
            f"{container.service!r} is unhealthy.",
            cause=evidence(docker, container),
            hint="inv stack.up, then inv stack.logs",
        )
    return container.status == "running" and container.health in (None, "healthy")


def evidence(docker: Docker, container: ContainerFact, tail: int = 15) -> str:
    """What a container says of itself: engine's words, health check, log."""
    lines = docker.logs(container.id, tail)
    parts = [
        container.error,
        container.health_output and f"Its health check said: {container.health_output}",
        "Its last log lines:\n" + "\n".join(f"  {line}" for line in lines) if lines else "",
    ]
    return "\n".join(part for part in parts if part)


def remove(
    docker: Docker, clock: Clock, labels: Mapping[str, str], *, deadline_s: float = 30.0
) -> int:
    """Remove all that carries *labels*, and prove it by two empty listings.

    Requests that the engine had accepted may still land after the first. Only
    labelled volumes go: those of a fixed or external name carry no label.

    Returns:
        How many objects were removed.

    Raises:
        TearDownFailed: something is still there at the deadline.

    """
    end = clock.monotonic() + deadline_s
    removed: set[str] = set()
    empty = 0
    while empty < 2:
        containers = [c.id for c in docker.containers(labels)]
        networks, volumes = list(docker.networks(labels)), list(docker.volumes(labels))
        left = [*containers, *networks, *volumes]
        if not left:
            empty += 1
            if empty < 2:
                clock.sleep(0.1)
            continue
        if clock.monotonic() >= end:
            raise TearDownFailed(
                f"{len(left)} objects are still there after {deadline_s:.0f} s.",
                cause=", ".join(left[:5]),
                hint="inv stack.reap",
            )
        empty = 0
        removed.update(left)
        for drop, names in (
            (docker.remove_containers, containers),
            (docker.remove_networks, networks),
            (docker.remove_volumes, volumes),
        ):
            try:
                drop(names)
            except EngineUnavailable:
                raise
            except Unavailable:
                # In use by what landed since the listing; the next round sees it.
                clock.sleep(0.2)
    return len(removed)


def dead_runs(
    docker: Docker, owner: Mapping[str, str], run_label: str, lives: Callable[[str], bool]
) -> tuple[str, ...]:
    """Run labels of this owner's objects for which *lives* says no, sorted."""
    seen = {c.labels.get(run_label, "") for c in docker.containers(owner)}
    seen |= {labels.get(run_label, "") for labels in docker.networks(owner).values()}
    seen |= {labels.get(run_label, "") for labels in docker.volumes(owner).values()}
    return tuple(sorted(run for run in seen if run and not lives(run)))
