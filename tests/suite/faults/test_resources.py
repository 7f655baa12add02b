"""F17 and F18: addresses and disk that run out, for real.

Engines of their own, in a network namespace and on a small disk; a small disk for
what a checkout keeps. Mounting one needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import Checkout, copy_images_env, docker
from leases import eventually, second_engine
from lightstack import behave, fresh, gone

from unstale.adapters.leases import Leases

IMAGE = "unstale/python-standin:3.13"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def root() -> None:
    """A laptop's user may skip this, CI may not."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    assert not os.environ.get("CI"), "in CI these tests have to be run by root"
    pytest.skip("mounting a disk needs root on Linux")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=120)


@contextmanager
def _mounted(folder: Path, *argv: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    _run("mount", *argv, str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def _fill(folder: Path) -> Path:
    """Leave nothing of the disk of *folder*."""
    ballast, left = folder / "ballast", os.statvfs(folder)
    with ballast.open("wb", buffering=0) as file:
        # At once: what is to be disturbed does not wait.
        os.posix_fallocate(file.fileno(), 0, max(left.f_bavail * left.f_frsize - 8 * MIB, 1))
        file.seek(0, os.SEEK_END)
        for chunk in (MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(chunk))
    return ballast


def _until_tests_began(checkout: Checkout) -> None:
    logs = checkout.root / ".unstale" / "runs"
    eventually(lambda: bool(list(logs.glob("*/logs/run_tests.log"))), 120)


# What a checkout keeps


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A project whose state folder has room for 2 MiB."""
    if os.geteuid() != 0:  # asked before `root` is: this lives longer than a test
        assert not os.environ.get("CI"), "in CI these tests have to be run by root"
        pytest.skip("mounting a disk needs root")
    checkout = fresh(tmp_path_factory.mktemp("small"))
    state = checkout.root / ".unstale"
    with _mounted(state, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        copy_images_env(checkout.root)
        checkout.inv("image.build").must(0)
        yield checkout
        gone(checkout)


def test_no_room_for_what_a_checkout_keeps_is_5_with_sizes(small: Checkout) -> None:
    ballast = _fill(small.root / ".unstale")
    try:
        answer = small.inv("test.integration", "--json").must(5).document()
    finally:
        ballast.unlink()

    assert (answer["outcome"], answer["code"]) == ("resources", 5)
    assert "No space left on device." in answer["errors"][0]
    assert f"0 MiB of 2 MiB on {small.root}/.unstale" in answer["errors"][0]
    assert answer["receipt"] is None
    assert small.leftovers() == []


@pytest.mark.long
def test_a_disk_that_is_full_under_the_tests_is_5_and_the_stack_is_gone(small: Checkout) -> None:
    state = small.root / ".unstale"
    behave(small, LIGHT_SECONDS="4")
    running = small.start("test.integration", "--json")
    _until_tests_began(small)
    ballast = _fill(state)
    try:
        answer = running.end().must(5).document()
    finally:
        ballast.unlink()

    assert answer["outcome"] == "resources"
    assert answer["receipt"] is None
    assert small.leftovers() == []
    assert small.inv("test.integration", "--json").must(0).document()["outcome"] == "proven"


# What an engine keeps


def _load(host: str) -> None:
    with subprocess.Popen(("docker", "save", IMAGE), stdout=subprocess.PIPE) as saved:
        subprocess.run(
            ("docker", "--host", host, "load", "--quiet"),
            stdin=saved.stdout,
            check=True,
            timeout=120,
        )


def _left(host: str) -> list[str]:
    """What of unstale is on the engine at *host*."""
    found = []
    for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        answer = docker("--host", host, *kind, "--quiet", "--filter", "label=dev.unstale.run")
        found += answer.out.split()
    return found


@pytest.fixture
def project(tmp_path: Path) -> Checkout:
    return fresh(tmp_path)


def _network(host: str, name: str, labels: Mapping[str, str]) -> None:
    flags = (word for key, value in labels.items() for word in ("--label", f"{key}={value}"))
    docker("--host", host, "network", "create", *flags, name)


@pytest.mark.long
def test_addresses_that_ran_out_are_told_with_who_has_them(
    project: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"dev.unstale.owner": Leases(os.environ).owner}
    with second_engine() as host:
        _load(host)
        monkeypatch.setenv("DOCKER_HOST", host)
        project.inv("image.build").must(0)
        for number in range(27):
            _network(host, f"foreign-{number}", {})
        for number in range(3):
            _network(host, f"dead-{number}", {**labels, "dev.unstale.run": f"dead{number:04}"})

        up = project.inv("stack.up").must(5)
        assert "could not find an available, non-overlapping IPv4 address pool" in up.text
        assert (
            "There are 30 networks: 3 that dead unstale runs left, 0 of unstale runs that go on "
            "or stand, 27 of others." in up.text
        )
        assert up.text.rstrip().endswith("Next: inv stack.reap")

        project.inv("stack.reap").must(0)
        run = project.inv("test.integration", "--json").must(0)
        assert "The engine has addresses for 3 more networks" in run.text
        assert _left(host) == []

        for number in range(27, 30):
            _network(host, f"foreign-{number}", {})
        answer = project.inv("test.integration", "--json").must(5).document()
        assert (answer["outcome"], answer["step"]) == ("resources", "up")
        assert "30 of others" in answer["errors"][0]
        assert "docker network prune" in answer["errors"][0]
        assert _left(host) == []
        assert len(docker("--host", host, "network", "ls", "--quiet").out.split()) == 33


@pytest.mark.long
def test_a_full_disk_of_the_engine_is_told_with_sizes(
    project: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, data = tmp_path / "disk", tmp_path / "data"
    _run("truncate", "--size", "700M", str(disk))
    _run("mkfs.ext4", "-q", "-m", "0", str(disk))
    with _mounted(data, "-o", "loop", str(disk)), second_engine(data) as host:
        _load(host)
        monkeypatch.setenv("DOCKER_HOST", host)
        warned = project.inv("image.build").must(0)
        assert "no space" not in warned.text

        # At a build.
        project.append("app/check.py", "# changed\n")
        ballast = _fill(data)
        build = project.inv("image.build").must(5)
        assert "no space left on device" in build.text
        assert "0 MiB of 6" in build.text
        assert str(data) in build.text
        ballast.unlink()
        project.inv("image.build").must(0)

        # At `up`.
        ballast = _fill(data)
        answer = project.inv("test.integration", "--json").must(5).document()
        assert answer["outcome"] == "resources"
        assert any(f"on {data}" in error for error in answer["errors"])
        assert _left(host) == []
        ballast.unlink()

        # Under the tests, which then have no result.
        behave(project, LIGHT_SECONDS="15")
        running = project.start("test.integration", "--json")
        _until_tests_began(project)
        ballast = _fill(data)
        answer = running.end().must(5).document()
        assert answer["outcome"] == "resources"
        assert _left(host) == []
        ballast.unlink()

        run = project.inv("test.integration", "--json").must(0)
        assert "MiB of 6" in run.text
        assert f"on {data} is left" in run.text
        assert _left(host) == []
