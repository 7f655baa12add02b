"""The text of the override; that compose reads it so is tested against compose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from unstale.compose import Stack, parse
from unstale.override import BuildOverlay, for_build, for_run

STACK = parse(
    {
        "name": "demo",
        "services": {
            "app": {
                "build": {"context": "/srv/demo"},
                "container_name": "the-app",
                "ports": [
                    {"target": 8000, "published": "8000", "host_ip": "127.0.0.1"},
                    {"target": 8125, "protocol": "udp"},
                ],
            },
            "postgres": {"image": "postgres:17", "ports": [{"target": 5432}]},
        },
        "volumes": {"data": {"name": "demo_data"}, "seed": {"name": "seed-data"}},
        "networks": {"default": {"name": "demo_default"}, "lan": {"external": True}},
    }
)
LABELS = {"dev.unstale.run": "r1"}
PROVEN = {"app": "sha256:1111"}


def _read(text: str) -> Any:
    """Read the override as JSON, with compose's tags as marks in the values."""
    plain = text.replace("!reset null", '"<reset>"')
    return json.loads(re.sub(r"!override \[", '["<override>",', plain))


def _run(stack: Stack = STACK, *, unique: bool = True) -> Any:
    return _read(for_run(stack, PROVEN, LABELS, unique=unique))


def test_a_build_gets_its_labels_and_a_name_and_nothing_else() -> None:
    text = for_build({"app": BuildOverlay({"dev.unstale.inputs": "v1:sha256:ab"}, "new:app")})

    assert json.loads(text) == {
        "services": {
            "app": {"image": "new:app", "build": {"labels": {"dev.unstale.inputs": "v1:sha256:ab"}}}
        }
    }


def test_a_build_is_sent_through_its_link_with_the_dockerfile_by_its_place() -> None:
    overlay = BuildOverlay(
        {"a": "1"},
        "new:app",
        Path("/srv/demo/.unstale/contexts/unstale-1"),
        Path("/srv/demo/Dockerfile"),
        images={"base": "docker-image://demo-base"},
    )

    assert json.loads(for_build({"app": overlay, "jobs": BuildOverlay({}, "new:jobs")})) == {
        "services": {
            "app": {
                "image": "new:app",
                "build": {
                    "labels": {"a": "1"},
                    "context": "/srv/demo/.unstale/contexts/unstale-1",
                    "dockerfile": "/srv/demo/Dockerfile",
                    "additional_contexts": {"base": "docker-image://demo-base"},
                },
            },
            "jobs": {"image": "new:jobs", "build": {}},
        }
    }


def test_a_dollar_sign_in_a_path_is_no_variable_of_composes() -> None:
    text = for_build({"app": BuildOverlay({}, "new:app", Path("/srv/a$b/$c"))})

    assert json.loads(text)["services"]["app"]["build"] == {"context": "/srv/a$$b/$$c"}


def test_a_built_service_runs_the_proven_image_and_can_not_be_rebuilt() -> None:
    app = _run()["services"]["app"]

    assert app["image"] == "sha256:1111"
    assert app["build"] == "<reset>"
    assert app["pull_policy"] == "never"


def test_a_service_that_is_not_built_keeps_its_image() -> None:
    assert _run()["services"]["postgres"] == {"labels": LABELS, "init": True}


def test_every_service_can_be_found_again_and_reaps_its_children() -> None:
    for service in _run()["services"].values():
        assert service["labels"] == LABELS
        assert service["init"] is True


def test_fixed_names_and_ports_go_so_that_runs_stand_beside_each_other() -> None:
    app = _run()["services"]["app"]

    assert app["container_name"] == "<reset>"
    assert app["ports"] == [
        "<override>",
        {"target": 8000, "protocol": "tcp", "mode": "host", "host_ip": "127.0.0.1"},
        {"target": 8125, "protocol": "udp", "mode": "host"},
    ]


def test_the_standing_stack_keeps_names_and_ports() -> None:
    assert _run(unique=False)["services"]["app"].keys().isdisjoint({"container_name", "ports"})


def test_only_what_the_project_owns_is_labelled_and_may_be_removed() -> None:
    document = _run()

    assert document["volumes"] == {"data": {"labels": LABELS}}
    assert document["networks"] == {"default": {"labels": LABELS}}


def test_two_services_with_fixed_ports_are_both_overridden() -> None:
    ports = {"ports": [{"target": 80, "published": "80"}]}
    stack = parse({"name": "demo", "services": {"a": ports, "b": ports}})

    found = _run(stack)["services"]

    assert [found[name]["ports"][0] for name in ("a", "b")] == ["<override>", "<override>"]


def test_empty_sections_are_left_out() -> None:
    assert _run(parse({"name": "demo"})) == {}
