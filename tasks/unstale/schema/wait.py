"""Wait for the real database server, over the path that the tests use."""

from __future__ import annotations

from typing import NoReturn

from unstale.errors import NotReady
from unstale.facts import ContainerFact
from unstale.ports import Clock, Docker
from unstale.schema.postgres import psql

__all__ = ["wait_for_postgres"]

_STARTED = "SELECT pg_postmaster_start_time()"

# Final: waiting longer would not help.
_FINAL = ("password authentication failed", "does not exist", "no pg_hba.conf entry")


def wait_for_postgres(
    docker: Docker, clock: Clock, container: ContainerFact, *, deadline_s: float
) -> None:
    """Return when two queries in a row were answered by one and the same server.

    Raises:
        NotReady: the container ended, the server refused for good, or the
            deadline passed; the cause is the last error and the server's log.

    """
    end = clock.monotonic() + deadline_s
    last, first = "", ""
    while clock.monotonic() < end:
        current = _container(docker, container)
        if current is None or current.status in ("exited", "dead"):
            _fail(docker, container, "its container ended")
        answer = psql(docker, container, ("-XAtqc", _STARTED), deadline_s=10.0)
        if answer.returncode == 0:
            started = answer.stdout.strip()
            if started and started == first:
                return
            first = started
        else:
            first, last = "", (answer.stderr or answer.stdout).strip()
            if any(words in last for words in _FINAL):
                _fail(docker, container, last)
        clock.sleep(0.3)
    _fail(docker, container, last or "no answer", waited_s=deadline_s)


def _container(docker: Docker, container: ContainerFact) -> ContainerFact | None:
    label = {"com.docker.compose.project": container.project}
    return next((c for c in docker.containers(label) if c.id == container.id), None)


def _fail(docker: Docker, container: ContainerFact, why: str, *, waited_s: float = 0) -> NoReturn:
    waited = f" within {waited_s:.0f} s" if waited_s else ""
    lines = "\n".join(f"  {line}" for line in docker.logs(container.id, 15))
    raise NotReady(
        f"The database {container.service!r} did not become ready{waited}: {why}.",
        cause=f"Its last log lines:\n{lines}",
        hint="inv stack.up, then inv stack.logs",
    )
