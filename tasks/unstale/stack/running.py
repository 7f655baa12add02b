"""What the containers' states say about a run. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from unstale.facts import ContainerFact, Death, moment

__all__ = ["Fall", "casualties", "missed_checks", "published", "published_at", "state"]


@dataclass(frozen=True, slots=True)
class Fall:
    """A service that did not survive the tests."""

    now: ContainerFact
    """Its container after them; the one before, where that is gone."""
    how: str
    """In words that follow its name: ``ended with exit code 3.``"""
    oom_killed: bool = False

    @property
    def service(self) -> str:
        """Its name."""
        return self.now.service

    @property
    def is_clean_end(self) -> bool:
        """Whether it ended with 0, and nothing says that it may."""
        return self.now.has_ended and not self.now.exit_code and not self.now.error


def casualties(
    before: Sequence[ContainerFact],
    after: Sequence[ContainerFact],
    runner: str,
    *,
    expected: Collection[str] = (),
    may_end: Collection[str] = (),
    deaths: Sequence[Death] = (),
) -> tuple[Fall, ...]:
    """Services that did not survive the tests, the first to fall first.

    One that ran before and does not now, was restarted, or became unhealthy; and one
    of *expected* that had ended before the tests began, after it was waited for.
    Those that *may_end* do so with 0. *deaths* are what the engine remembers of ends:
    they tell more of what was restarted. A health check that failed and is good again
    is no fall: what lived all the time gave the tests its answers.

    Compose's exit code tells nothing of all this: 2.26 returns 0 when the database
    dies under the tests.
    """
    now = {c.id: c for c in after}
    fallen = [
        (was, now.get(was.id), [d for d in deaths if d.container == was.id])
        for was in before
        if was.service != runner
        and not was.one_off
        and (was.status == "running" or was.service in expected)
        and _fell(was, now.get(was.id), may_end)
    ]
    return tuple(_fall(*one) for one in sorted(fallen, key=lambda one: _moment(*one)))


def _fell(was: ContainerFact, now: ContainerFact | None, may_end: Collection[str]) -> bool:
    if now is None:
        return True
    if now.has_ended and now.service in may_end:
        return bool(now.exit_code or now.error or now.oom_killed)
    return (
        now.status != "running"
        or _was_restarted(was, now)
        or (now.health == "unhealthy" and was.health != "unhealthy")
        or (now.oom_killed and not was.oom_killed)
    )


def _was_restarted(was: ContainerFact, now: ContainerFact) -> bool:
    return now.restart_count > was.restart_count or now.started_at != was.started_at


def _moment(
    was: ContainerFact, now: ContainerFact | None, deaths: Sequence[Death]
) -> tuple[bool, float]:
    """When it fell; what has no end, or only one of an earlier start, fell last."""
    if deaths:
        return False, float(deaths[0].at_ns)
    still = now is not None and now.status == "running" and not _was_restarted(was, now)
    if now is None or still or not now.finished_at:
        return True, 0.0
    return False, moment(now.finished_at).timestamp() * 1e9


def _fall(was: ContainerFact, now: ContainerFact | None, deaths: Sequence[Death]) -> Fall:
    if now is None:
        return Fall(was, "is gone: its container was removed.")
    oom = now.oom_killed or any(d.oom_killed for d in deaths)
    if now.has_ended:
        end = f"ended with exit code {now.exit_code}"
    elif now.status == "paused":
        end = "is paused"
    elif _was_restarted(was, now) or now.status == "restarting":
        known = f" with exit code {deaths[0].exit_code}" if deaths else ""
        end = f"ended{known} and was started again by the engine"
    elif now.health == "unhealthy":
        end = "is unhealthy"
    else:
        end = "lost a process" if oom else f"is {now.status}"
    return Fall(now, f"{end}, out of memory ({now.memory_words})." if oom else f"{end}.", oom)


def missed_checks(before: Sequence[ContainerFact], after: Sequence[ContainerFact]) -> list[str]:
    """Of services that are healthy again, how many checks failed: for the record.

    The engine keeps five, so it is a lower limit.
    """
    known = {c.id: frozenset(c.failed_checks) for c in before}
    counts = [(c, len({*c.failed_checks} - known.get(c.id, {*c.failed_checks}))) for c in after]
    return [
        f"{c.service}: {count} health checks or more failed meanwhile, and it is healthy again"
        for c, count in counts
        if count and c.health == "healthy"
    ]


def state(container: ContainerFact) -> dict[str, object]:
    """What is written down of a container's state."""
    return {
        "service": container.service,
        "name": container.name,
        "status": container.status,
        "exit_code": container.exit_code,
        "oom_killed": container.oom_killed,
        "memory_bytes": container.memory_bytes,
        "health": container.health,
        "restarts": container.restart_count,
        "started_at": container.started_at,
        "finished_at": container.finished_at,
    }


def published(containers: Sequence[ContainerFact]) -> dict[str, str]:
    """Where a runner on the host finds each port: ``UNSTALE_APP_8000=127.0.0.1:32768``."""
    return {
        f"UNSTALE_{service}_{port}".upper().replace("-", "_"): address
        for (service, port), address in published_at(containers).items()
    }


def published_at(containers: Sequence[ContainerFact]) -> dict[tuple[str, int], str]:
    """The address on this machine of each published port, by service and port."""
    return {
        (c.service, port): address.replace(
            "0.0.0.0",  # noqa: S104 - read, not bound to
            "127.0.0.1",
        )
        for c in containers
        for port, address in c.ports
        if not address.startswith(":")  # the same port once more, over IPv6
    }
