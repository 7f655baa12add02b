"""What ``docker inspect`` prints, as the frozen facts of the ports. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from unstale.facts import ContainerConfig, ContainerFact, Death, ImageFact, MountFact

__all__ = ["container_fact", "deaths", "image_fact"]

# Any: what the engine prints is of many shapes; it is narrowed here and nowhere else.


def image_fact(raw: Mapping[str, Any]) -> ImageFact:
    """An image, as `docker image inspect` prints it."""
    config = raw.get("Config") or {}
    created = str(raw.get("Created") or "")
    return ImageFact(
        id=raw["Id"],
        tags=tuple(raw.get("RepoTags") or ()),
        # The engine says year 1, or nothing, where it knows no time.
        created=None if created[:4] in ("", "0001") else _moment(created),
        labels=dict(config.get("Labels") or {}),
        size_bytes=raw.get("Size") or 0,
        architecture=raw.get("Architecture") or "",
        os=raw.get("Os") or "",
        working_dir=str(config.get("WorkingDir") or ""),
        layers=tuple((raw.get("RootFS") or {}).get("Layers") or ()),
        environment=tuple(config.get("Env") or ()),
        config=json.dumps(config, sort_keys=True),
        on_build=tuple(config.get("OnBuild") or ()),
        is_pulled=bool(raw.get("RepoDigests")),
    )


def _moment(text: str) -> datetime:
    # Nanoseconds, which datetime does not have, are cut to microseconds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def container_fact(raw: Mapping[str, Any]) -> ContainerFact:
    """A container, as `docker container inspect` prints it."""
    state, labels = raw["State"], raw["Config"].get("Labels") or {}
    health = state.get("Health") or {}
    status = health.get("Status") or "none"
    return ContainerFact(
        id=raw["Id"],
        name=raw["Name"].removeprefix("/"),
        service=labels.get("com.docker.compose.service", ""),
        project=labels.get("com.docker.compose.project", ""),
        image_id=raw["Image"],
        status=state["Status"],
        exit_code=state["ExitCode"],
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        health=None if status == "none" else status,
        health_output=_health_output(health.get("Log") or ()),
        started_at=state.get("StartedAt") or "",
        finished_at=state.get("FinishedAt") or "",
        restart_count=raw.get("RestartCount") or 0,
        one_off=labels.get("com.docker.compose.oneoff") == "True",
        labels=labels,
        mounts=_mounts(raw),
        ports=_ports((raw.get("NetworkSettings") or {}).get("Ports") or {}),
        config=_container_config(raw),
        memory_bytes=int((raw.get("HostConfig") or {}).get("Memory") or 0),
        failed_checks=tuple(
            str(check.get("Start")) for check in health.get("Log") or () if check.get("ExitCode")
        ),
    )


def deaths(events: Iterable[Mapping[str, Any]]) -> tuple[Death, ...]:
    """The ends among *events*, as `docker events` prints them, in order."""
    starved: set[str] = set()
    found: list[Death] = []
    for event in sorted(events, key=lambda one: one["timeNano"]):
        container = event["Actor"]["ID"]
        if event["Action"] == "oom":
            starved.add(container)
        elif event["Action"] == "die":
            code = int(event["Actor"]["Attributes"].get("exitCode") or 0)
            found.append(Death(container, code, container in starved, event["timeNano"]))
            starved.discard(container)
    return tuple(found)


def _container_config(raw: Mapping[str, Any]) -> ContainerConfig:
    config, host = raw["Config"], raw.get("HostConfig") or {}
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return ContainerConfig(
        image=config.get("Image") or "",
        environment=tuple(config.get("Env") or ()),
        command=tuple(config.get("Cmd") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        user=config.get("User") or "",
        working_dir=config.get("WorkingDir") or "",
        healthcheck=json.dumps(config.get("Healthcheck") or {}, sort_keys=True),
        ports={
            port: frozenset(f"{p.get('HostIp', '')}:{p.get('HostPort', '')}" for p in places or ())
            for port, places in (host.get("PortBindings") or {}).items()
        },
        networks={
            name: frozenset((place or {}).get("Aliases") or ()) for name, place in networks.items()
        },
    )


def _health_output(log: Sequence[Mapping[str, Any]]) -> str:
    failed = (str(e.get("Output") or "").strip() for e in reversed(log) if e.get("ExitCode"))
    return next((output for output in failed if output), "")


def _mounts(raw: Mapping[str, Any]) -> tuple[MountFact, ...]:
    # Those of `tmpfs:` are no mounts to the engine, but an option of the host.
    host = raw.get("HostConfig") or {}
    bare = {
        mount.get("Target")
        for mount in host.get("Mounts") or ()
        if (mount.get("VolumeOptions") or {}).get("NoCopy")
    }
    return (
        *(_mount_fact(mount, bare) for mount in raw.get("Mounts") or ()),
        *(MountFact("tmpfs", "", target) for target in sorted(host.get("Tmpfs") or {})),
    )


def _mount_fact(raw: Mapping[str, Any], bare: Container[str | None]) -> MountFact:
    return MountFact(
        kind=raw.get("Type", ""),
        source=raw.get("Source", ""),
        target=raw.get("Destination", ""),
        name=raw.get("Name", ""),
        copies=raw.get("Destination") not in bare
        and "nocopy" not in str(raw.get("Mode") or "").split(","),
    )


def _ports(raw: Mapping[str, Sequence[Mapping[str, str]] | None]) -> tuple[tuple[int, str], ...]:
    return tuple(
        sorted(
            (int(port.partition("/")[0]), f"{place.get('HostIp', '')}:{place['HostPort']}")
            for port, places in raw.items()
            for place in places or ()
        )
    )


# From `docker cp`'s archive to members
