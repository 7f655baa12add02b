"""What the containers' states say about a run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from unstale.facts import ContainerFact

__all__ = ["casualties", "published"]


def casualties(
    before: Sequence[ContainerFact], after: Sequence[ContainerFact], runner: str
) -> tuple[ContainerFact, ...]:
    """Services that did not survive the tests, the first to die first.

    One that ran before and does not now, or was restarted, or became unhealthy.
    Compose's exit code tells nothing of it: 2.26 returns 0 when the database
    dies under the tests.
    """
    ran = {c.service: c for c in before if c.status == "running" and c.service != runner}
    now = {c.service: c for c in after if not c.one_off}
    fallen = [
        now.get(name, was)
        for name, was in ran.items()
        if (current := now.get(name)) is None
        or current.status != "running"
        or current.restart_count > was.restart_count
        or current.started_at != was.started_at
        or (current.health == "unhealthy" and was.health != "unhealthy")
    ]
    # One that still runs has no end, or that of an earlier start: it fell last.
    return tuple(sorted(fallen, key=lambda c: (c.status == "running", c.finished_at)))


def published(containers: Sequence[ContainerFact]) -> dict[str, str]:
    """Where a runner on the host finds each port: ``UNSTALE_APP_8000=127.0.0.1:32768``."""
    return {
        f"UNSTALE_{c.service}_{port}".upper().replace("-", "_"): address.replace(
            "0.0.0.0",  # noqa: S104 - read, not bound to
            "127.0.0.1",
        )
        for c in containers
        for port, address in c.ports
        if not address.startswith(":")  # the same port once more, over IPv6
    }
