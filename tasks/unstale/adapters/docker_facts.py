"""What ``docker inspect`` prints, as the frozen facts of the ports. Pure."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from unstale.facts import (
    ContainerConfig,
    ContainerFact,
    Death,
    EngineRoom,
    ImageFact,
    MountFact,
    moment,
)

__all__ = ["container_fact", "deaths", "engine_room", "image_fact"]

# Any: what the engine prints is of many shapes; it is narrowed here and nowhere else.


def engine_room(info: object, networks: object) -> EngineRoom | None:
    """What an engine's ``/info`` and ``/networks`` say of its room; None: something else."""
    match info:
        case {"DockerRootDir": str(root)}:
            raw: Any = info
            pools = raw.get("DefaultAddressPools") or ()
        case _:
            return None
    nets = networks if isinstance(networks, list) else []
    try:
        return EngineRoom(
            root,
            tuple((str(pool["Base"]), int(pool["Size"])) for pool in pools),
            tuple(
                str(config["Subnet"])
                for net in nets
                for config in (net.get("IPAM") or {}).get("Config") or ()
                if config.get("Subnet")
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def image_fact(raw: Mapping[str, Any]) -> ImageFact:
    """An image, as `docker image inspect` prints it.

    Raises:
        MISFITS: it is of another form; `docker_words.readable` makes them ours.

    """
    config = _config(raw.get("Config") or {})
    created = str(raw.get("Created") or "")
    return ImageFact(
        id=str(raw["Id"]),
        tags=_texts(raw.get("RepoTags")),
        # The engine says year 1, or nothing, where it knows no time.
        created=None if created[:4] in ("", "0001") else moment(created),
        labels=_labels(config),
        size_bytes=int(raw.get("Size") or 0),
        architecture=str(raw.get("Architecture") or ""),
        os=str(raw.get("Os") or ""),
        working_dir=str(config.get("WorkingDir") or ""),
        layers=_texts((raw.get("RootFS") or {}).get("Layers")),
        environment=_texts(config.get("Env")),
        config=json.dumps(config, sort_keys=True),
        on_build=_texts(config.get("OnBuild")),
        is_pulled=bool(raw.get("RepoDigests")),
        attestations=_attestations(raw.get("Manifests")),
    )


def _attestations(manifests: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...] | None:
    """What an index has beside its images: engines before 28.0 (API 1.48) don't tell.

    The classic image store keeps no index, so there is nothing that could be told.
    """
    if manifests is None:
        return None
    return tuple(sorted(str(one["ID"]) for one in manifests if one.get("Kind") == "attestation"))


def _config(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """*raw*, if its lists are of texts and its tables are tables: who follows it reads all."""
    lists = [raw.get(key) or [] for key in ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell")]
    tables = [raw.get(key) or {} for key in ("Labels", "ExposedPorts", "Volumes", "Healthcheck")]
    are_lists = all(isinstance(one, list) and all(map(_is_text, one)) for one in lists)
    if not are_lists or not all(isinstance(one, dict) for one in tables):
        raise TypeError("Config")
    return raw


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _texts(values: Sequence[object] | None) -> tuple[str, ...]:
    return tuple(map(str, values or ()))


def _labels(config: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in (config.get("Labels") or {}).items()}


def container_fact(raw: Mapping[str, Any]) -> ContainerFact:
    """A container, as `docker container inspect` prints it. Raises as `image_fact`."""
    state, labels = raw["State"], _labels(raw["Config"])
    health = state.get("Health") or {}
    status = str(health.get("Status") or "none")
    return ContainerFact(
        id=str(raw["Id"]),
        name=str(raw["Name"]).removeprefix("/"),
        service=labels.get("com.docker.compose.service", ""),
        project=labels.get("com.docker.compose.project", ""),
        image_id=str(raw["Image"]),
        status=str(state["Status"]),
        exit_code=int(state["ExitCode"]),
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        health=None if status == "none" else status,
        health_output=_health_output(health.get("Log") or ()),
        started_at=str(state.get("StartedAt") or ""),
        finished_at=str(state.get("FinishedAt") or ""),
        restart_count=int(raw.get("RestartCount") or 0),
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
        image=str(config.get("Image") or ""),
        environment=_texts(config.get("Env")),
        command=_texts(config.get("Cmd")),
        entrypoint=_texts(config.get("Entrypoint")),
        user=str(config.get("User") or ""),
        working_dir=str(config.get("WorkingDir") or ""),
        healthcheck=json.dumps(config.get("Healthcheck") or {}, sort_keys=True),
        ports={
            port: frozenset(f"{p.get('HostIp', '')}:{p.get('HostPort', '')}" for p in places or ())
            for port, places in (host.get("PortBindings") or {}).items()
        },
        networks={
            name: frozenset(_texts((place or {}).get("Aliases")))
            for name, place in networks.items()
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
    tmpfs = host.get("Tmpfs") or {}
    return (
        *(_mount_fact(mount, bare) for mount in raw.get("Mounts") or ()),
        *(MountFact("tmpfs", "", target) for target in sorted(tmpfs.keys())),
    )


def _mount_fact(raw: Mapping[str, Any], bare: Container[str | None]) -> MountFact:
    return MountFact(
        kind=str(raw.get("Type", "")),
        source=str(raw.get("Source", "")),
        target=str(raw.get("Destination", "")),
        name=str(raw.get("Name", "")),
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
