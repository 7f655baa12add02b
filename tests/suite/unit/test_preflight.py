"""What is refused before anything begins, and what is only told."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeDocker
from workshop import Workshop

from unstale import compose
from unstale.errors import ConfigError, EngineUnavailable, Fault, MissingFile, Unavailable
from unstale.facts import ContainerFact
from unstale.pipeline import preflight, steps
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.ports import ComposeTarget, ComposeWarning

Sited = Callable[..., Site]


@pytest.fixture
def sited(shop: Workshop) -> Sited:
    """The site of a stack of these services."""

    def make(services: Mapping[str, Any], **sections: Any) -> Site:
        model = {"name": "demo", "services": {"app": {"image": "x"}, **services}, **sections}
        return replace(shop.bench.site, stack=compose.parse(model), runner="app")

    return make


def test_a_mount_of_nothing_is_refused_and_one_of_something_is_not(
    ports: Ports, sited: Sited, tmp_path: Path
) -> None:
    def mounting(source: Path) -> Site:
        volume = {"type": "bind", "source": str(source), "target": "/x"}
        return sited({"heron": {"image": "x", "volumes": [volume]}})

    preflight.require(ports, mounting(tmp_path))
    with pytest.raises(MissingFile, match="'heron' mounts") as caught:
        preflight.require(ports, mounting(tmp_path / "no"))

    assert f"mkdir -p {tmp_path / 'no'}" in caught.value.hint


def test_a_mount_that_may_not_be_looked_at_is_taken_as_there(
    ports: Ports, sited: Sited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, stat = tmp_path / "closed" / "data", os.stat

    def denied(path: Any, *more: Any, **options: Any) -> os.stat_result:
        if str(path) == str(inside):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *more, **options)

    monkeypatch.setattr(os, "stat", denied)
    volume = {"type": "bind", "source": str(inside), "target": "/x"}

    preflight.require(ports, sited({"heron": {"image": "x", "volumes": [volume]}}))


def test_a_mount_below_a_file_is_refused(ports: Ports, sited: Sited, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    volume = {"type": "bind", "source": str(tmp_path / "file" / "no"), "target": "/x"}

    with pytest.raises(MissingFile):
        preflight.require(ports, sited({"heron": {"image": "x", "volumes": [volume]}}))


def test_a_socket_may_be_where_only_the_engine_sees_it(ports: Ports, sited: Sited) -> None:
    volume = {"type": "bind", "source": "/no/run/docker.sock", "target": "/x"}

    preflight.require(ports, sited({"heron": {"image": "x", "volumes": [volume]}}))


def test_mounts_of_an_engine_elsewhere_are_not_looked_for(
    ports: Ports, docker: FakeDocker, sited: Sited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "is_local", lambda: False)
    volume = {"type": "bind", "source": "/no/heron", "target": "/x"}

    preflight.require(ports, sited({"heron": {"image": "x", "volumes": [volume]}}))


def test_what_does_not_start_may_lack_what_it_needs(ports: Ports, sited: Sited) -> None:
    volume = {"type": "bind", "source": "/no/heron", "target": "/x"}
    asleep = {"image": "x", "profiles": ["debug"], "volumes": [volume]}

    preflight.require(ports, sited({"heron": asleep}))
    waiting = {"image": "x", "depends_on": {"heron": {"condition": "service_started"}}}
    site = sited({"heron": asleep, "app": waiting})
    with pytest.raises(MissingFile):
        preflight.require(ports, site)


@pytest.mark.parametrize("kind", ["network", "volume"])
def test_what_is_external_must_be_there(
    ports: Ports, docker: FakeDocker, sited: Sited, kind: str
) -> None:
    uses: Mapping[str, Any] = (
        {"networks": {"nest": None}}
        if kind == "network"
        else {"volumes": [{"type": "volume", "source": "nest", "target": "/x"}]}
    )
    sections = {f"{kind}s": {"nest": {"name": "the-nest", "external": True}}}
    site = sited({"heron": {"image": "x", **uses}}, **sections)

    with pytest.raises(ConfigError, match=f"{kind} 'the-nest' of heron is not there") as caught:
        preflight.require(ports, site)
    (docker.live_networks if kind == "network" else docker.live_volumes)["the-nest"] = {}
    preflight.require(ports, site)
    preflight.require(ports, sited({}, **sections))

    assert caught.value.hint == f"docker {kind} create the-nest"


@pytest.mark.parametrize(
    ("asked", "good"),
    [
        ("linux/amd64", True),
        ("linux/x86_64", True),
        ("Linux/AMD64/v1", True),
        ("x86_64", True),
        ("linux", True),
        ("i386", True),
        ("armhf", True),
        ("linux/arm/7", True),
        ("linux/armel", False),
        ("windows/amd64", False),
        ("linux/aarch64", False),
        ("linux/amd64/v2", True),
        ("linux/386", True),
        ("linux/arm", True),
        ("linux/arm64", False),
        ("linux/amd6", False),
    ],
)
def test_a_platform_that_the_engine_cannot_run_is_refused(
    ports: Ports, docker: FakeDocker, sited: Sited, asked: str, *, good: bool
) -> None:
    docker.runs = ("linux/amd64", "linux/386", "linux/arm/v7")
    site = sited({"heron": {"image": "x", "platform": asked}})

    if good:
        preflight.require(ports, site)
        return
    with pytest.raises(EngineUnavailable, match="'heron' is for ") as caught:
        preflight.require(ports, site)
    assert caught.value.fault is Fault.CONFIGURATION
    assert "linux/386" in caught.value.cause


@pytest.mark.parametrize("asked", ["linux/aarch64", "linux/arm64/v8", "arm64"])
def test_a_platform_is_known_by_its_other_names(
    ports: Ports, docker: FakeDocker, sited: Sited, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    site = sited({"heron": {"image": "x", "platform": asked}})
    with pytest.raises(EngineUnavailable) as caught:
        preflight.require(ports, site)
    assert caught.value.what == "'heron' is for linux/arm64, and this engine runs linux/amd64."

    monkeypatch.setattr(docker, "platform", lambda: "linux/arm64")
    docker.runs = ("linux/arm64",)
    preflight.require(ports, site)


WRITTEN = """\
services:
  app:
    image: x
    environment:
      A: ${HERON}
      B: pa$word
"""


@pytest.fixture
def blank(shop: Workshop, docker: FakeDocker) -> Site:
    """A site of whose variables compose warned."""
    path = shop.checkout.root / "compose.yml"
    path.write_text(WRITTEN)
    shop.files.texts[path] = WRITTEN
    app = {"image": "x", "environment": {"A": "${HERON}", "B": "pa$word"}}
    target = replace(shop.bench.site.target, files=(path,), env_files=())
    docker.raw_models[target.project] = {"services": {"app": app}}
    return replace(
        shop.bench.site,
        target=target,
        warnings=(ComposeWarning("unset", "HERON"), ComposeWarning("unset", "word")),
    )


def test_a_variable_that_nobody_sets_is_told_by_its_place(shop: Workshop, blank: Site) -> None:
    told = preflight.blanks(shop.ports, shop.files, blank)

    assert told == (
        "compose.yml, line 5: HERON is not set, so nothing is put there",
        "compose.yml, line 6: a variable is not set, so nothing is put there",
    )


def test_strict_settings_refuse_it_and_name_no_part_of_a_password(
    shop: Workshop, blank: Site
) -> None:
    strict = replace(blank, settings=replace(blank.settings, strict=True))

    with pytest.raises(ConfigError, match="left blank: HERON") as caught:
        preflight.blanks(shop.ports, shop.files, strict)

    assert "word" not in str(caught.value)


def test_without_a_warning_nothing_is_asked(shop: Workshop) -> None:
    assert preflight.blanks(shop.ports, shop.files, shop.bench.site) == ()


def test_a_submodule_that_is_not_checked_out_stops_the_builds_that_need_it(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = [shop.checkout.root.parent / "elsewhere"]
    monkeypatch.setattr(shop.ports.git, "absent_submodules", lambda: tuple(absent))
    preflight.require_checked_out(shop.bench)

    absent.append(shop.checkout.root / "src/heron")
    with pytest.raises(ConfigError, match=r"src/heron of 'app' is not checked out") as caught:
        preflight.require_checked_out(shop.bench)

    assert caught.value.fault is Fault.CONTENT
    assert "git submodule update" in caught.value.hint


def test_a_port_of_the_machine_that_is_taken_is_told_with_who_has_it(
    ports: Ports, docker: FakeDocker, sited: Sited, container: ContainerFact
) -> None:
    docker.holders[8000] = "the container heron"
    service = {"image": "x", "expose": ["8000", "9000"]}
    target = ComposeTarget("demo", ())
    deployment = Deployment("r1", target, (), Path("/nowhere"), lambda _path, _text: None)

    def up(**options: str) -> str:
        site = replace(sited({"app": {**service, **options}}), runner="host")
        return steps.up(ports, site, deployment, lambda _: None)

    docker.add(container)
    assert up() == "app"
    assert up(network_mode="host") == "app"  # it has the port itself

    docker.live.clear()
    with pytest.raises(Unavailable, match="8000 of 'app' is taken by the container her") as caught:
        up(network_mode="host")
    assert caught.value.fault is Fault.BUSY
