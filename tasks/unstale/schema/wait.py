"""Wait for the real database server, over the path that the tests use."""

from __future__ import annotations

from typing import NoReturn

from unstale.errors import NotReady, TimedOut
from unstale.facts import ContainerFact
from unstale.ports import Clock, CommandResult, Docker, RunOptions
from unstale.schema.ladder import QUESTION, Answer, Missed, Rung, Served, answer, together, unnamed
from unstale.schema.postgres import psql

__all__ = ["wait_for_postgres"]

_PAUSE_S = 0.3
_AGAIN_S = 0.1  # after a first answer: every run waits for the second
_LOOK_S = 10.0
# Over the network, as in `psql`; it asks for neither role nor database.
_IS_READY = ("sh", "-c", 'exec pg_isready --quiet -h "$(hostname -i | cut -d" " -f1)"')


def wait_for_postgres(
    docker: Docker, clock: Clock, container: ContainerFact, *, deadline_s: float
) -> None:
    """Return when two queries in a row were answered by one and the same server.

    The server must accept writes, and its container must not have been restarted
    since *container* was looked at: the engine starts a database that died while
    it was set up, and what is then up was set up by half.

    Raises:
        NotReady: the container ended or restarted, the server refused for good, or
            the deadline passed; it names the rung that was missed last, and the
            cause is the likely reason and the last lines of the container's log.

    """
    end = clock.monotonic() + deadline_s
    before: Answer | None = None
    while True:
        _require_alive(docker, container)
        now = together(before, found := _ask(docker, container))
        match now:
            case Served() if now == before:
                return
            case Missed(final=True):
                _require_alive(docker, container)
                _fail(docker, container, f"refused for good at {now}", now.rung.likely)
        if clock.monotonic() >= end:
            _fail_late(docker, container, now, deadline_s)
        before = found
        clock.sleep(_AGAIN_S if isinstance(found, Served) else _PAUSE_S)


def _ask(docker: Docker, container: ContainerFact) -> Answer:
    arguments = ("-XAtq", "-v", "VERBOSITY=verbose", "-c", QUESTION)
    try:
        result = psql(docker, container, arguments, deadline_s=_LOOK_S)
        return answer(result) or _in_other_words(docker, container, result)
    except TimedOut:
        return Missed(Rung.QUERY, f"no answer within {_LOOK_S:.0f} s")


def _in_other_words(docker: Docker, container: ContainerFact, said: CommandResult) -> Missed:
    """What psql said in a language that is not known here, by the code of pg_isready."""
    ready = docker.execute(container.id, RunOptions(_IS_READY, _LOOK_S), lambda _: None)
    return unnamed(said.stderr.strip() or said.stdout.strip(), ready.returncode)


def _require_alive(docker: Docker, container: ContainerFact) -> None:
    label = {"com.docker.compose.project": container.project}
    now = next((c for c in docker.containers(label) if c.id == container.id), None)
    if now is None:
        _fail(docker, container, "is gone: its container was removed")
    memory = " (out of memory)" if now.oom_killed else ""
    if now.status in ("exited", "dead"):
        _fail(docker, container, f"ended with exit code {now.exit_code}{memory}", now.error)
    if now.status == "restarting" or now.restart_count > container.restart_count:
        code = f" with exit code {now.exit_code}" if now.status == "restarting" else ""
        _fail(
            docker,
            container,
            f"ended{code}{memory} and was started again by the engine",
            "What it then offers may be set up by half: files of the first start run once.",
        )


def _fail_late(
    docker: Docker, container: ContainerFact, last: Answer, deadline_s: float
) -> NoReturn:
    # A first answer after the deadline: the second would have been too late.
    missed = last if isinstance(last, Missed) else Missed(Rung.STABLE, "it answered only once")
    _fail(
        docker,
        container,
        f"did not become ready within {deadline_s:.0f} s; it was last stopped at {missed}",
        missed.rung.likely,
    )


def _fail(docker: Docker, container: ContainerFact, what: str, likely: str = "") -> NoReturn:
    lines = [f"  {line}" for line in docker.logs(container.id, 15)]
    log = ["Its last log lines:", *lines] if lines else ["It wrote no log."]
    raise NotReady(
        f"The database {container.service!r} {what}.",
        cause="\n".join([*([likely] if likely else []), *log]),
        hint="inv stack.logs, or start over: inv stack.down stack.up",
    )
