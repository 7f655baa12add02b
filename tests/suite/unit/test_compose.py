"""The resolved model of `docker compose config`, read into values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unstale.compose import BuildSpec, External, Mount, Port, Service, parse
from unstale.errors import ConfigError, Fault

# What compose 2.26 printed for a small stack, without two volume mounts.
RECORDED = json.loads(r"""
{
  "name": "demo",
  "networks": {
    "default": {"name": "demo_default", "ipam": {}},
    "shared": {"name": "company", "ipam": {}, "external": true}
  },
  "services": {
    "worker": {
      "build": {
        "context": "/srv/demo",
        "dockerfile": "docker/Dockerfile",
        "target": "runtime",
        "args": {"PYTHON": "python:3.13-slim"},
        "additional_contexts": {"shared": "/srv/shared"}
      },
      "command": null,
      "container_name": "the-worker",
      "depends_on": {"postgres": {"condition": "service_healthy", "required": true}},
      "entrypoint": null,
      "environment": {"PASSWORD": "pa$$word", "EMPTY": "", "INHERITED": null},
      "healthcheck": {"disable": true},
      "networks": {"default": null, "shared": null},
      "profiles": ["full"],
      "volumes": [
        {"type": "bind", "source": "/srv/demo/src", "target": "/app/src",
         "read_only": true, "bind": {"create_host_path": true}},
        {"type": "volume", "source": "cache", "target": "/cache", "volume": {}},
        {"type": "tmpfs", "target": "/tmp"}
      ],
      "working_dir": "/app"
    },
    "postgres": {
      "image": "postgres:17",
      "healthcheck": {"test": ["CMD-SHELL", "pg_isready"], "interval": "1s"},
      "ports": [
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 5432,
         "published": "5433", "protocol": "tcp"},
        {"mode": "ingress", "target": 5432, "protocol": "tcp"}
      ]
    }
  },
  "volumes": {
    "cache": {"name": "demo_cache"},
    "seed": {"name": "seed-data"},
    "given": {"name": "demo_given", "external": true}
  }
}
""")


def _service(name: str) -> Service:
    found = parse(RECORDED).service(name)
    assert found is not None
    return found


def test_services_come_sorted_and_by_name() -> None:
    stack = parse(RECORDED)

    assert stack.name == "demo"
    assert [service.name for service in stack.services] == ["postgres", "worker"]
    assert stack.service("nobody") is None


def test_only_services_with_a_build_are_built() -> None:
    assert [service.name for service in parse(RECORDED).built] == ["worker"]


def test_a_build_is_read_whole() -> None:
    assert _service("worker").build == BuildSpec(
        context="/srv/demo",
        dockerfile="docker/Dockerfile",
        dockerfile_inline=None,
        target="runtime",
        args=(("PYTHON", "python:3.13-slim"),),
        additional_contexts=(("shared", "/srv/shared"),),
        platforms=(),
    )


def test_a_built_service_without_an_image_gets_the_tag_that_compose_gives_it() -> None:
    assert _service("worker").image == "demo-worker"
    assert _service("postgres").image == "postgres:17"


def test_a_dockerfile_is_relative_to_its_context() -> None:
    build = _service("worker").build

    assert build is not None
    assert build.is_local
    assert build.dockerfile_path == Path("/srv/demo/docker/Dockerfile")


@pytest.mark.parametrize(
    "context", ["https://example.com/repo.git#main", "git@example.com:team/repo.git"]
)
def test_a_remote_context_is_not_local(context: str) -> None:
    model = {"name": "demo", "services": {"app": {"build": {"context": context}}}}

    build = parse(model).services[0].build

    assert build is not None
    assert not build.is_local
    assert build.dockerfile == "Dockerfile"


def test_dollar_signs_that_compose_doubled_are_single_again() -> None:
    assert _service("worker").variable("PASSWORD") == "pa$word"


def _build(**section: Any) -> BuildSpec:
    model = {"name": "demo", "services": {"app": {"build": {"context": "/srv", **section}}}}
    found = parse(model).services[0].build
    assert found is not None
    return found


def test_dollar_signs_of_a_build_are_single_again_everywhere() -> None:
    build = _build(
        context="/srv/a$$b",
        dockerfile="Docker$$file",
        dockerfile_inline="FROM scratch\nCOPY $$X \\$$Y /\n",
        args={"A": "1$$2"},
        labels={"l": "$$"},
        additional_contexts={"lib": "/srv/a$$b/lib"},
    )

    assert build.dockerfile_path == Path("/srv/a$b/Docker$file")
    assert build.dockerfile_inline == "FROM scratch\nCOPY $X \\$Y /\n"
    assert (build.args, build.labels) == ((("A", "1$2"),), (("l", "$"),))
    assert build.additional_contexts == (("lib", "/srv/a$b/lib"),)


def test_the_labels_of_a_build_come_sorted() -> None:
    assert _build(labels={"b": "2", "a": ""}).labels == (("a", ""), ("b", "2"))


def test_what_every_run_sees_is_kept_in_one_form() -> None:
    build = _build(
        shm_size="1048576",
        network="host",
        extra_hosts=["web=10.0.0.2", "db=10.0.0.1"],
        ulimits={"nofile": {"soft": 10, "hard": 20}},
        privileged=False,
    )

    assert build.run_options == (
        '["extra_hosts", ["db", "web"]]',
        '["network", "host"]',
        '["shm_size", "1048576"]',
        '["ulimits", {"nofile": {"soft": 10, "hard": 20}}]',
    )


def test_what_no_image_depends_on_is_left_out() -> None:
    plain = _build()

    assert _build(secrets=[{"source": "t"}], ssh=["default"], cache_from=["x"]) == plain
    assert _build(no_cache=True, pull=True, tags=["a"]) == plain


@pytest.mark.parametrize(
    ("service", "section", "platforms"),
    [
        ({}, {}, ()),
        ({"platform": "linux/arm64"}, {}, ("linux/arm64",)),
        ({"platform": "linux/arm64"}, {"platforms": ["linux/amd64"]}, ("linux/amd64",)),
    ],
)
def test_a_build_is_for_its_own_platforms_or_the_services(
    service: dict[str, Any], section: dict[str, Any], platforms: tuple[str, ...]
) -> None:
    build = {"context": "/srv", **section}
    stack = parse({"name": "demo", "services": {"app": {"build": build, **service}}})

    assert stack.built[0].build is not None
    assert stack.built[0].build.platforms == platforms


def test_another_services_image_is_a_context_by_its_name() -> None:
    places = {"other": "service:base", "gone": "service:none", "lib": "/srv/lib"}
    services = {
        "app": {"build": {"context": "/srv", "additional_contexts": places}},
        "base": {"image": "example.com/base", "build": {"context": "/srv"}},
    }
    build = parse({"name": "demo", "services": services}).services[0].build

    assert build is not None
    assert dict(build.additional_contexts) == {
        "other": "docker-image://example.com/base",
        "gone": "service:none",
        "lib": "/srv/lib",
    }


def test_an_empty_variable_is_not_an_unset_one() -> None:
    assert _service("worker").variable("EMPTY") == ""
    assert _service("worker").variable("INHERITED") is None


def test_ports_keep_which_are_fixed_and_which_the_engine_picks() -> None:
    assert _service("postgres").ports == (
        Port(target=5432, published="5433", host_ip="127.0.0.1", protocol="tcp"),
        Port(target=5432, published="", host_ip="", protocol="tcp"),
    )


def test_mounts_keep_what_lies_over_the_images_files() -> None:
    assert _service("worker").mounts == (
        Mount("bind", "/srv/demo/src", "/app/src", read_only=True),
        Mount("volume", "cache", "/cache", read_only=False),
        Mount("tmpfs", "", "/tmp", read_only=False),
    )


def test_a_switched_off_health_check_is_none() -> None:
    assert _service("postgres").has_healthcheck
    assert not _service("worker").has_healthcheck

    none = {"name": "demo", "services": {"app": {"healthcheck": {"test": ["NONE"]}}}}
    assert not parse(none).services[0].has_healthcheck


def test_what_has_a_fixed_or_external_name_is_not_the_projects_own() -> None:
    stack = parse(RECORDED)

    assert stack.own_volumes == ("cache",)
    assert stack.own_networks == ("default",)


def test_the_rest_of_a_service_is_read() -> None:
    worker = _service("worker")

    assert worker.container_name == "the-worker"
    assert worker.depends_on == ("postgres",)
    assert worker.conditions == (("postgres", "service_healthy"),)
    assert worker.restart == ""
    assert worker.profiles == ("full",)
    assert worker.working_dir == "/app"


@pytest.mark.parametrize("model", [{"name": "demo"}, {"name": "demo", "services": None}])
def test_a_model_without_services_is_an_empty_stack(model: dict[str, Any]) -> None:
    stack = parse(model)

    assert (stack.services, stack.own_volumes, stack.own_networks) == ((), (), ())


def _one_shots(**services: dict[str, Any]) -> frozenset[str]:
    return parse({"name": "demo", "services": services}).one_shots


def test_a_service_that_another_waits_for_until_it_ends_is_a_one_shot() -> None:
    waiting = {
        "seed": {"condition": "service_completed_successfully", "required": True},
        "db": {"condition": "service_healthy", "required": True},
    }

    assert _one_shots(app={"depends_on": waiting}, db={}, seed={}) == {"seed"}


@pytest.mark.parametrize("restart", ["no", "on-failure", "on-failure:3"])
def test_a_service_whose_file_says_that_it_may_end_is_a_one_shot(restart: str) -> None:
    checked = {"restart": restart, "healthcheck": {"test": ["CMD", "true"]}}

    assert _one_shots(seed={"restart": restart}, db=checked) == {"seed"}


@pytest.mark.parametrize("restart", ["always", "unless-stopped", ""])
def test_a_service_that_is_to_go_on_is_no_one_shot(restart: str) -> None:
    assert _one_shots(app={"restart": restart}, db={}) == frozenset()


def test_what_must_be_there_already_is_named_with_who_uses_it() -> None:
    assert parse(RECORDED).external == (
        External("network", "company", ("worker",)),
        External("volume", "demo_given", ()),
    )


def test_the_ports_that_a_service_listens_on_are_those_that_the_file_names() -> None:
    raw = {"image": "x", "expose": ["8000", "9000/udp"], "ports": [{"target": 80}]}

    assert parse({"name": "demo", "services": {"a": raw}}).services[0].exposed == (80, 8000, 9000)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"volumes": [{"type": "volume", "target": "d:/d"}]}, "one letter"),
        ({"ports": [{"target": 80, "published": "99999"}]}, "a port that there is not"),
        ({"ports": [{"target": 80, "published": "8000-99999"}]}, "a port that there is not"),
        ({"ports": [{"target": 99999}]}, "a port that there is not"),
        ({"image": "app:"}, "'app:', which is no image's name"),
        ({"image": "/app"}, "'/app', which is no image's name"),
        ({"image": "example.com//app"}, "no image's name"),
    ],
)
def test_what_compose_lets_pass_and_no_engine_takes_is_refused(
    raw: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"name": "demo", "services": {"heron": {"image": "x", **raw}}})

    assert words in caught.value.what
    assert "'heron'" in caught.value.what
    assert caught.value.fault is Fault.CONTENT
    assert caught.value.hint


@pytest.mark.parametrize(
    "image", ["x", "app:1", "example.com:5000/a/app:1", f"a@sha256:{'0' * 64}"]
)
def test_an_image_with_a_good_name_is_taken(image: str) -> None:
    assert parse({"name": "demo", "services": {"a": {"image": image}}}).services[0].image == image
