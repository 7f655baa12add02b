"""Which services can talk, and which mounts share a volume, whatever they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from unstale.parity.compare import compare
from unstale.parity.containers import Naming, service_facts
from unstale.parity.model import EnvironmentFacts
from unstale.parity.topology import PEERS, shared

Services = Mapping[str, Mapping[str, Any]]


def on(**services: Sequence[str]) -> Services:
    """Services and the networks that they are on."""
    return {name: {"networks": dict.fromkeys(nets)} for name, nets in services.items()}


def mounting(**services: Sequence[str]) -> Services:
    """Services with their mounts, each ``volume:target``."""
    pairs = {name: [mount.split(":") for mount in mounts] for name, mounts in services.items()}
    return {
        name: {"volumes": [{"type": "volume", "source": v, "target": t} for v, t in mounts]}
        for name, mounts in pairs.items()
    }


def differing(left: Services, right: Services) -> list[tuple[str, tuple[str, ...]]]:
    """What differs and is no mere name, with the services that differ in it."""
    sides = [
        EnvironmentFacts(
            name,
            None,
            service_facts(
                {"name": "p", "services": services}, Naming(Path("/p"), name, ("ci", "test"))
            ),
        )
        for name, services in (("ci", left), ("test", right))
    ]
    return [(one.path, one.services) for one in compare(*sides) if not one.identity]


def test_who_can_be_reached_is_compared() -> None:
    found = differing(on(app=["front"], db=["back"]), on(app=["front"], db=["front"]))

    assert found == [(f"other:{PEERS}", ("app",)), (f"other:{PEERS}", ("db",))]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param(on(a=["x"], b=["x"]), on(a=["y"], b=["y"]), id="another-name"),
        pytest.param(on(a=["x"], b=["y"]), on(a=["y"], b=["z"]), id="apart"),
        pytest.param(
            on(a=["x", "z"], b=["z", "x"]), on(a=["x", "y"], b=["y", "x"]), id="two-in-common"
        ),
        pytest.param(
            mounting(a=["ci_data:/d"], b=["ci_data:/e"]),
            mounting(a=["test_data:/d"], b=["test_data:/e"]),
            id="volume-of-the-environment",
        ),
        pytest.param(
            mounting(a=["ci_data:/d", "test_data:/e"]),
            mounting(a=["test_data:/d", "ci_data:/e"]),
            id="two-volumes",
        ),
    ],
)
def test_what_is_shared_alike_does_not_differ(left: Services, right: Services) -> None:
    assert differing(left, right) == []


@pytest.mark.parametrize(
    ("one", "more"),
    [
        (on(a=["x"], b=["x"]), on(a=["x"], b=["x"], c=["x"])),
        (mounting(a=["d:/d"], b=[]), mounting(a=["d:/d"], b=[], c=["d:/d", "d:/e"])),
    ],
)
def test_a_service_more_is_one_difference(one: Services, more: Services) -> None:
    assert differing(one, more) == [("other:service", ("c",))]
    assert differing(more, one) == [("other:service", ("c",))]


def test_a_mount_more_is_one_difference() -> None:
    left, right = mounting(a=["d:/d"], b=["d:/d"]), mounting(a=["d:/d", "d:/e"], b=["d:/d"])

    assert differing(left, right) == [("volumes:/e", ("a",))]


def test_a_folder_for_a_shared_volume_is_one_difference() -> None:
    folder = {"volumes": [{"type": "bind", "source": "/p/d", "target": "/d"}]}
    left = mounting(a=["d:/d"], b=["d:/d"])

    assert differing(left, {**left, "b": folder}) == [("volumes:/d", ("b",))]


def test_one_volume_for_two_is_a_difference() -> None:
    found = differing(
        mounting(a=["ci_data:/d", "test_data:/e"]), mounting(a=["ci_data:/d", "ci_data:/e/"])
    )

    assert found == [("volumes:/d shared with", ("a",)), ("volumes:/e shared with", ("a",))]


def test_a_service_in_anothers_network_has_its_peers() -> None:
    services = {**on(db=["x"], vpn=["x"]), "app": {"network_mode": "service:vpn"}}

    found = {name: [i.value for i in shared({"services": services}, name)] for name in services}

    assert found == {
        "app": ['["db", "vpn"]'],
        "db": ['["app", "vpn"]'],
        "vpn": ['["app", "db"]'],
    }


def test_two_keys_of_one_object_are_one() -> None:
    made = {
        "services": {
            name: {**on(a=[key])["a"], **mounting(a=[f"{key}:/d"])["a"]}
            for name, key in (("a", "x"), ("b", "y"))
        },
        "networks": {"x": {"name": "one"}, "y": {"name": "one"}},
        "volumes": {"x": {"name": "one"}, "y": {"name": "one"}},
    }

    found = [(one.item, one.value) for one in shared(made, "a")]

    assert found == [(PEERS, '["b"]'), ("/d shared with", '["b:/d"]')]


def test_a_circle_of_network_modes_ends() -> None:
    services = {"a": {"network_mode": "service:b"}, "b": {"network_mode": "service:a"}}

    assert [*shared({"services": services}, "a")] == []
