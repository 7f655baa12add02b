"""Podman behind a Docker socket: what it is, and the health checks that it leaves to systemd.

Podman has a timer of systemd run each health check. Where there is no systemd a container
stays ``starting`` for ever, so the checks are run from here when they are due, by Podman,
which notes what came of them as if the timer had asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from unstale.adapters import engine
from unstale.facts import moment
from unstale.override import LABEL_OWNER

__all__ = ["check_health", "checking_health", "is_podman"]

_HEADER = "libpod-api-version"
_LIBPOD = "/v4.0.0/libpod"
_PAUSE_S = 0.2
_GRACE_S = 5.0
# Docker's own, where a container says nothing of them.
_INTERVAL = timedelta(seconds=30)
_TIMEOUT = timedelta(seconds=30)


def is_podman(greeting: Mapping[str, str]) -> bool:
    """Whether *greeting*, the headers of an answer to a ping, is Podman's.

    Not by its version: to tell that, Podman first asks other programs for theirs.
    """
    return _HEADER in greeting


def check_health(host: str, labels: Sequence[str]) -> None:
    """Run each due health check in a container that carries *labels*, one after the other.

    Only in unstale's own: another's may be checked by whoever started it.
    """
    wanted = quote(json.dumps({"label": [LABEL_OWNER, *labels], "status": ["running"]}))
    for listed in _tables(engine.answer(host, f"/containers/json?filters={wanted}")):
        name = quote(str(listed.get("Id")), safe="")
        found = engine.answer(host, f"/containers/{name}/json")
        if isinstance(found, dict) and is_due(found, datetime.now(UTC)):
            patience_s = _seconds(found, "Timeout", _TIMEOUT).total_seconds() + _GRACE_S
            engine.answer(host, f"{_LIBPOD}/containers/{name}/healthcheck", patience_s)


@contextmanager
def checking_health(host: str, labels: Sequence[str]) -> Iterator[None]:
    """Run due health checks for as long as the block goes on, as `check_health` does."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PAUSE_S):
            check_health(host, labels)

    # One that hangs in a check is left behind: it ends with its request.
    watcher = threading.Thread(target=watch, name="health checks", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


def is_due(container: Mapping[str, Any], now: datetime) -> bool:
    """Whether the health check of *container*, as inspected, was run too long ago.

    A timer of systemd that runs it leaves nothing to do: each failure would count twice.
    """
    try:
        test = (container["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
        if test[0] == "NONE" or container["State"]["Status"] != "running":
            return False
        log = (container["State"].get("Health") or {}).get("Log") or ()
        last = moment(str(log[-1]["Start"] if log else container["State"]["StartedAt"]))
        age = now - last
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return False
    # An engine in a virtual machine may have a clock of the future.
    return not timedelta(0) <= age < _seconds(container, "Interval", _INTERVAL)


def _seconds(container: Mapping[str, Any], key: str, otherwise: timedelta) -> timedelta:
    nanoseconds = container["Config"]["Healthcheck"].get(key)
    known = isinstance(nanoseconds, int) and nanoseconds > 0
    return timedelta(microseconds=nanoseconds / 1000) if known else otherwise


def _tables(found: object) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
