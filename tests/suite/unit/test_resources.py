"""Disk and addresses: what is left of them, and what is said where they ran out."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from unstale.adapters.docker_facts import engine_room
from unstale.adapters.docker_words import no_address, raise_if_short, shortage
from unstale.adapters.files import DiskFiles
from unstale.errors import Fault, NotReady, Outcome, TestsFailed, Unavailable, exit_code, outcome_of
from unstale.facts import DiskSpace, EngineRoom
from unstale.mask import Mask
from unstale.pipeline.resources import (
    Leaks,
    explain,
    free_subnets,
    full,
    leaks,
    warnings,
)
from unstale.pipeline.site import StepResult
from unstale.render.progress import ConsoleProgress, View

GIB, MIB = 1 << 30, 1 << 20
# Engine 26.1.5's words, through compose 2.26.1.
NO_ADDRESS = (
    "failed to create network demo_default: Error response from daemon: could not find an "
    "available, non-overlapping IPv4 address pool among the defaults to assign to the network"
)
BRIDGE = "172.17.0.0/16"


def _room(*subnets: str, pools: tuple[tuple[str, int], ...] = ()) -> EngineRoom:
    return EngineRoom("/var/lib/docker", pools, subnets)


def test_an_engine_that_nobody_configured_has_thirty_networks() -> None:
    # Measured: the thirty-first fails.
    assert free_subnets(_room(BRIDGE)) == 30
    assert free_subnets(_room(BRIDGE, "172.18.0.0/16", "192.168.16.0/20")) == 28
    assert free_subnets(_room(BRIDGE, "10.0.0.0/8", "fd00::/64", "nonsense")) == 30
    assert free_subnets(_room(BRIDGE, "192.168.0.0/16")) == 14


@pytest.mark.parametrize(
    ("pools", "count"),
    [
        ((("10.10.0.0/16", 24),), 256),
        ((("10.10.0.0/24", 26), ("10.11.0.0/30", 30)), 5),
        ((("10.10.0.0/16", 8),), 0),
        ((("10.0.0.0/8", 28),), 1 << 20),
        ((("10.0.0.0/8", 33),), 0),
        ((("fd00::/64", 80), ("nonsense", 24)), 0),
    ],
)
def test_pools_that_somebody_configured_count(
    pools: tuple[tuple[str, int], ...], count: int
) -> None:
    assert free_subnets(_room(BRIDGE, pools=pools)) == count


def test_networks_of_another_size_than_a_pool_s_take_what_they_touch() -> None:
    # Two parts of one, one that holds two, and one within that.
    used = ("10.10.1.0/25", "10.10.1.128/25", "10.10.4.0/23", "10.10.5.0/24", "10.11.0.0/24")

    assert free_subnets(_room(*reversed(used), pools=(("10.10.0.0/16", 24),))) == 256 - 3


def test_a_pool_of_many_networks_is_not_walked_through() -> None:
    used = [f"10.0.{n}.0/24" for n in range(20)]
    calls = 0

    def count(*_event: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        free = free_subnets(_room(*used, pools=(("10.0.0.0/8", 24),)))
    finally:
        sys.setprofile(None)

    assert free == (1 << 16) - 20
    assert calls < 1000 * len(used)


def test_what_an_engine_says_is_read() -> None:
    info = {
        "DockerRootDir": "/var/lib/docker",
        "DefaultAddressPools": [{"Base": "10.10.0.0/16", "Size": 24}],
    }
    networks = [
        {"Name": "host", "IPAM": {"Config": None}},
        {"Name": "a", "IPAM": {"Config": [{"Subnet": "10.10.0.0/24"}, {}]}},
        {"Name": "b"},
    ]

    assert engine_room(info, networks) == EngineRoom(
        "/var/lib/docker", (("10.10.0.0/16", 24),), ("10.10.0.0/24",)
    )
    assert engine_room({"DockerRootDir": "/x"}, None) == EngineRoom("/x", (), ())


@pytest.mark.parametrize(
    ("info", "networks"),
    [
        (None, []),
        ([], []),
        ({"DockerRootDir": None}, []),
        ({"DockerRootDir": "/", "DefaultAddressPools": [{}]}, []),
        ({"DockerRootDir": "/", "DefaultAddressPools": 7}, []),
        ({"DockerRootDir": "/"}, [7]),
        ({"DockerRootDir": "/"}, [{"IPAM": {"Config": [7]}}]),
    ],
)
def test_what_is_something_else_says_nothing(info: object, networks: object) -> None:
    assert engine_room(info, networks) is None


def test_networks_are_counted_by_whom_they_belong_to() -> None:
    mine = {"dev.unstale.owner": "me"}
    networks = {
        "bridge": {},
        "host": {},
        "none": {},
        "demo_default": {},
        "left": {**mine, "dev.unstale.run": "dead"},
        "going": {**mine, "dev.unstale.run": "alive"},
        "theirs": {"dev.unstale.owner": "them", "dev.unstale.run": "dead"},
    }

    assert leaks(networks, "me", lambda run: run == "alive") == Leaks(1, 2, 1)


# Before


def test_what_is_scarce_is_told_before_a_run() -> None:
    disk = DiskSpace("/var/lib/docker", 512 * MIB, 20 * GIB)
    thirty = [f"172.{n}.0.0/16" for n in range(17, 32)]
    taken = [*thirty, *(f"192.168.{n}.0/20" for n in range(0, 224, 16))]

    found = warnings(_room(*taken), [disk, DiskSpace("/home", 9 * GIB, 20 * GIB)])

    assert len(found) == 2
    assert found[0] == "Only 512 MiB of 20.0 GiB on /var/lib/docker is left."
    assert found[1].startswith("The engine has addresses for 2 more networks: inv stack.reap")


def test_plenty_is_not_told_of() -> None:
    assert warnings(_room(BRIDGE), [DiskSpace("/", 2 * GIB, 3 * GIB)]) == ()
    assert warnings(None, []) == ()


# After


@pytest.mark.parametrize(
    ("words", "fault", "addresses"),
    [
        ("write /x: no space left on device", Fault.RESOURCES, False),
        ("OSError: [Errno 28] No space left on device", Fault.RESOURCES, False),
        ("mkdir /x: disk quota exceeded", Fault.RESOURCES, False),
        (NO_ADDRESS, Fault.RESOURCES, True),
        ("Error: all predefined address pools have been fully subnetted", Fault.RESOURCES, True),
        ("port is already allocated", None, False),
    ],
)
def test_the_words_of_a_shortage(words: str, fault: Fault | None, addresses: bool) -> None:
    assert shortage(words) is fault
    assert no_address(words) is addresses


def test_what_a_test_prints_is_no_shortage_of_the_engine() -> None:
    raise_if_short("E   OSError: [Errno 28] No space left on device\n")
    raise_if_short("Error response from daemon: no such container\n")

    with pytest.raises(Unavailable) as info:
        raise_if_short("Error response from daemon: mkdir /v/overlay2: no space left on device\n")
    assert info.value.fault is Fault.RESOURCES


def test_a_full_disk_is_told_with_sizes() -> None:
    error = NotReady("Starting db failed.", cause="no space left", fault=Fault.RESOURCES)

    found = explain(error, [DiskSpace("/var/lib/docker", 0, 700 * MIB)], None)

    assert found is error
    assert found.cause == "no space left\nLeft: 0 MiB of 700 MiB on /var/lib/docker."
    assert exit_code(outcome_of(found)) == 5


def test_tests_that_fail_on_a_full_disk_have_no_result() -> None:
    error = TestsFailed("1 test failed.", hint="see the log")

    found = explain(error, [DiskSpace("/var/lib/docker", MIB, 700 * MIB)], None)

    assert (found.fault, exit_code(outcome_of(found))) == (Fault.RESOURCES, 5)
    assert "1 test failed." in found.cause
    assert "1 MiB of 700 MiB" in found.cause


@pytest.mark.parametrize(
    ("found", "next_one"),
    [(Leaks(3, 1, 26), "inv stack.reap"), (Leaks(0, 1, 29), "docker network prune")],
)
def test_a_lack_of_addresses_is_told_with_who_has_them(found: Leaks, next_one: str) -> None:
    error = NotReady("Starting db failed.", cause=NO_ADDRESS, fault=Fault.RESOURCES)

    told = explain(error, [], found)

    assert "There are 30 networks: " in told.cause
    assert f"{found.dead} that dead unstale runs left" in told.cause
    assert next_one in told.hint


def test_a_disk_is_full_below_what_a_log_needs() -> None:
    assert full([DiskSpace("/a", GIB, GIB), DiskSpace("/b", 3 * MIB, GIB)])
    assert not full([DiskSpace("/a", 5 * MIB, GIB)])
    assert not full([])


def test_the_disk_of_a_folder_that_is_not_there_yet_is_the_one_above(tmp_path: Path) -> None:
    found = DiskFiles().space(tmp_path / "a" / "b")

    assert found is not None
    assert found.what == str(tmp_path / "a" / "b")
    assert 0 < found.free_bytes <= found.total_bytes


def test_the_disk_of_a_folder_that_may_not_be_looked_into_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, **_options: Any) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", denied)

    assert DiskFiles().space(tmp_path) is not None


@pytest.mark.parametrize(("fault", "stops"), [(Fault.RESOURCES, False), (None, True)])
def test_a_log_that_has_no_room_stops_nothing(
    fault: Fault | None, stops: bool, tmp_path: Path
) -> None:
    def append(path: Path, text: str) -> None:
        raise Unavailable(f"{path} can't be written: {text}.", fault=fault)

    progress = ConsoleProgress(Mask(), tmp_path, view=View(), append=append)
    progress.begin("down")

    with pytest.raises(Unavailable) if stops else nullcontext():
        progress.command("docker rm")
        progress.end(StepResult("down", Outcome.PROVEN, 0.1, ""))
