"""The compose override that unstale lays over a project's own files. Pure.

Builds get the stamp as labels. A run's stack gets the proven image ids, labels
by which its objects are found again, an init process, and no fixed names or
ports, so that several runs stand beside each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from unstale.compose import Port, Service, Stack

__all__ = ["LABEL_OWNER", "LABEL_RUN", "for_build", "for_run"]

LABEL_RUN = "dev.unstale.run"
LABEL_OWNER = "dev.unstale.owner"

_RESET = "\0reset"
_REPLACE = "\0override"


def for_build(labels: Mapping[str, Mapping[str, str]]) -> str:
    """An override that adds *labels* (service to labels) to what is built."""
    return _yaml({"services": {name: {"build": {"labels": dict(v)}} for name, v in labels.items()}})


def for_run(
    stack: Stack, images: Mapping[str, str], labels: Mapping[str, str], *, unique: bool
) -> str:
    """An override for a stack of containers.

    *images* maps each built service to the id of its proven image. With
    *unique*, fixed container names go and fixed host ports become ephemeral.
    Volumes and networks whose name is fixed or external get no label: what
    carries our label may be removed, and those are not ours.
    """
    return _yaml(
        {
            "services": {
                s.name: _service(s, images.get(s.name), labels, unique=unique)
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


def _ephemeral(port: Port) -> dict[str, Any]:
    entry: dict[str, Any] = {"target": port.target, "protocol": port.protocol, "mode": "host"}
    return entry | ({"host_ip": port.host_ip} if port.host_ip else {})


def _yaml(document: Mapping[str, Any]) -> str:
    # JSON is YAML's flow style; only compose's tags have no JSON form.
    text = json.dumps({k: v for k, v in document.items() if v}, indent=1)
    text = text.replace(json.dumps(_RESET), "!reset null")
    # A tagged list: the mark is its first item, the tag goes before the bracket.
    mark = json.dumps(_REPLACE)
    while (at := text.find(mark)) >= 0:
        bracket = text.rindex("[", 0, at)
        text = f"{text[:bracket]}!override [{text[at + len(mark) :].lstrip().removeprefix(',')}"
    return text + "\n"
