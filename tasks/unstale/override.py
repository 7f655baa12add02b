"""The compose override that unstale lays over a project's own files. Pure.

Builds get the stamp as labels. A run's stack gets the proven image ids, labels
by which its objects are found again, an init process, and no fixed names or
ports, so that several runs stand beside each other.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unstale.compose import Port, Service, Stack

__all__ = ["LABEL_OWNER", "LABEL_RUN", "BuildOverlay", "for_build", "for_run"]

LABEL_RUN = "dev.unstale.run"
LABEL_OWNER = "dev.unstale.owner"

_RESET = "\0reset"
_REPLACE = "\0override"


@dataclass(frozen=True, slots=True)
class BuildOverlay:
    """What is laid over the `build` section of a service."""

    labels: Mapping[str, str]
    """The stamp; empty for a build that is not what the compose files say."""
    name: str
    """What the image is called until it is proven."""
    context: Path | None = None
    """The link through which the context is sent."""
    dockerfile: Path | None = None
    """Absolute, since it would be looked for below *context*."""
    was_inline: bool = False
    """Whether *dockerfile* has what the compose file has inline."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Additional contexts that are images: older releases of compose do not know
    the form ``service:NAME``."""


def for_build(overlays: Mapping[str, BuildOverlay]) -> str:
    """An override for building, by service."""
    services = {n: {"image": one.name, "build": _build(one)} for n, one in overlays.items()}
    return _yaml({"services": services})


def _build(overlay: BuildOverlay) -> dict[str, Any]:
    found: dict[str, Any] = {"labels": dict(overlay.labels)} if overlay.labels else {}
    if overlay.context is not None:
        found["context"] = str(overlay.context)
    if overlay.dockerfile is not None:
        if overlay.was_inline:
            found["dockerfile_inline"] = _RESET  # compose refuses both
        found["dockerfile"] = str(overlay.dockerfile)
    if overlay.images:
        found["additional_contexts"] = dict(overlay.images)
    return found


def for_run(
    stack: Stack,
    images: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    unique: bool,
    is_podman: bool = False,
) -> str:
    """An override for a stack of containers.

    *images* maps each built service to the id of its proven image. With
    *unique*, fixed container names go and fixed host ports become ephemeral.
    Volumes and networks whose name is fixed or external get no label: what
    carries our label may be removed, and those are not ours. Podman 4.3 splits the words
    of a health check's command once more, at blanks: for it, a shell quotes them.
    """
    return _yaml(
        {
            "services": {
                s.name: _service(s, images.get(s.name), labels, unique=unique)
                | (_quoted_check(s) if is_podman else {})
                for s in stack.services
            },
            "volumes": {key: {"labels": dict(labels)} for key in stack.own_volumes},
            "networks": {key: {"labels": dict(labels)} for key in stack.own_networks},
        }
    )


def _service(
    service: Service, image: str | None, labels: Mapping[str, str], *, unique: bool
) -> dict[str, Any]:
    overlay: dict[str, Any] = {"labels": dict(labels), "init": True}
    if image is not None:
        overlay |= {"image": image, "build": _RESET, "pull_policy": "never"}
    if unique and service.container_name:
        overlay["container_name"] = _RESET
    if unique and any(port.published for port in service.ports):
        overlay["ports"] = [_REPLACE, *(_ephemeral(port) for port in service.ports)]
    return overlay


def _quoted_check(service: Service) -> dict[str, Any]:
    kind, *words = service.check or ("",)
    is_split = kind == "CMD" and any(len(word.split()) != 1 for word in words)
    quoted = ["CMD-SHELL", shlex.join(words)]
    return {"healthcheck": {"test": quoted}} if is_split else {}


def _ephemeral(port: Port) -> dict[str, Any]:
    entry: dict[str, Any] = {"target": port.target, "protocol": port.protocol, "mode": "host"}
    return entry | ({"host_ip": port.host_ip} if port.host_ip else {})


def _yaml(document: Mapping[str, Any]) -> str:
    # JSON is YAML's flow style; only compose's tags have no JSON form.
    text = json.dumps({k: v for k, v in document.items() if v}, indent=1)
    text = text.replace("$", "$$")  # or compose would take it for a variable
    text = text.replace(json.dumps(_RESET), "!reset null")
    # A tagged list: the mark is its first item, the tag goes before the bracket.
    mark = json.dumps(_REPLACE)
    while (at := text.find(mark)) >= 0:
        bracket = text.rindex("[", 0, at)
        text = f"{text[:bracket]}!override [{text[at + len(mark) :].lstrip().removeprefix(',')}"
    return text + "\n"
