"""Wait for the real database server, over the path that the tests use."""

from __future__ import annotations

from typing import NoReturn

from unstale.errors import NotReady
from unstale.ports import Clock, ContainerFact, Docker, RunOptions

__all__ = ["wait_for_postgres"]

# Over the container's own network address: the temporary server of the image's
# first start listens on a socket only, and a socket or loopback may be trusted
# without a password. Values come from the container's environment, never argv.
_QUERY = (
    'export PGPASSWORD="${POSTGRES_PASSWORD:-}" PGCONNECT_TIMEOUT=3; '
    'if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi; '
    'exec psql -h "$(hostname -i | cut -d" " -f1)" -U "${POSTGRES_USER:-postgres}" '
    '-d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" -XAtqc "SELECT pg_postmaster_start_time()"'
)

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
        answer = docker.execute(
            container.id, RunOptions(("sh", "-c", _QUERY), deadline_s=10.0), lambda _: None
        )
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


def _fail(
    docker: Docker, container: ContainerFact, why: str, *, waited_s: float = 0
) -> NoReturn:
    waited = f" within {waited_s:.0f} s" if waited_s else ""
    lines = "\n".join(f"  {line}" for line in docker.logs(container.id, 15))
    raise NotReady(
        f"The database {container.service!r} did not become ready{waited}: {why}.",
        cause=f"Its last log lines:\n{lines}",
        hint="inv stack.up, then inv stack.logs",
    )
