"""Which services can talk to each other, and which mounts share a volume. Pure.

What networks and volumes are called says nothing; who shares one does.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from unstale.jsontext import read_json
from unstale.parity.model import Item, ServiceFacts

__all__ = ["PEERS", "SHARED", "among", "known", "shared"]

# Compose's model is JSON of many shapes; it is narrowed here.
Json = Mapping[str, Any]

PEERS: Final = "networks.peers"
"""The item with the services that share a network with this one."""
SHARED: Final = " shared with"
"""What an item is called after its mount's target: it has the mounts of the same volume."""

_SERVICE: Final = "service:"


def shared(model: Json, service: str) -> Iterator[Item]:
    """What *service* shares with others: networks with services, volumes with mounts.

    A mount is called ``service:target``. There is no item where nothing is shared.
    """
    services = model.get("services") or {}
    own = _networks(model, service)
    peers = [one for one in services if one != service and own & _networks(model, one)]
    if peers:
        yield Item("other", PEERS, json.dumps(sorted(peers)))
    mounts = [
        (volume, name, target) for name in services for volume, target in _mounts(model, name)
    ]
    for volume, target in _mounts(model, service):
        others = [f"{n}:{t}" for v, n, t in mounts if v == volume and (n, t) != (service, target)]
        if others:
            yield Item("volumes", f"{target}{SHARED}", json.dumps(sorted(others)))


def known(services: Iterable[ServiceFacts]) -> frozenset[str]:
    """The services and mounts of an environment, as `shared` calls them."""
    found: set[str] = set()
    for service in services:
        found.add(service.name)
        # Where a volume became a folder, the mount itself tells.
        mounts = (one for one in service.items if (one.value or "").startswith("volume "))
        found.update(f"{service.name}:{one.item}" for one in mounts if one.field == "volumes")
    return frozenset(found)


def among(item: Item, service: str, both: Collection[str]) -> Item | None:
    """*item* of *service* without what is not in *both* environments.

    That a service or a mount is missing is told once, and not by all that share
    something with it. None if nothing is left. All other items are as they are.
    """
    is_mount = item.field == "volumes" and item.item.endswith(SHARED)
    if not is_mount and (item.field, item.item) != ("other", PEERS):
        return item
    own = f"{service}:{item.item.removesuffix(SHARED)}" if is_mount else service
    listed = read_json(item.value or "[]")
    if not isinstance(listed, list):  # a network may be called `peers`
        return item
    left = [one for one in listed if one in both]
    return replace(item, value=json.dumps(left)) if left and own in both else None


def _networks(model: Json, service: str) -> frozenset[str]:
    """The names of the networks that *service* is on, its own or another's."""
    services, seen = model.get("services") or {}, set[str]()
    while service not in seen:
        seen.add(service)
        raw = services.get(service) or {}
        mode = str(raw.get("network_mode") or "")
        if not mode.startswith(_SERVICE):
            defined = model.get("networks") or {}
            return frozenset(_name(defined, key) for key in raw.get("networks") or ())
        service = mode.removeprefix(_SERVICE)
    return frozenset()


def _mounts(model: Json, service: str) -> Iterator[tuple[str, str]]:
    """The named volumes of *service*, and where they are mounted."""
    raw = (model.get("services") or {}).get(service) or {}
    for mount in raw.get("volumes") or ():
        if mount.get("type") == "volume" and mount.get("source"):
            volume = _name(model.get("volumes") or {}, str(mount["source"]))
            yield volume, posixpath.normpath(str(mount["target"]))


def _name(defined: Json, key: str) -> str:
    # Two keys may stand for one object.
    return str((defined.get(key) or {}).get("name") or key)
