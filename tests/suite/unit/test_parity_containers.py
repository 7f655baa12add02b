"""What a container gets: every key of compose's model is an item, and none is silent."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from unstale.errors import ConfigError
from unstale.parity.containers import Naming, service_facts, with_image_env
from unstale.parity.model import Item, ServiceFacts, Source

REPOSITORY = Path(__file__).parents[3]
ROOT = Path("/project")

Model = dict[str, Any]


def model(project: str = "shop-ci", *, more: Mapping[str, Any] | None = None, **keys: Any) -> Model:
    return {"name": project, "services": {"a": keys}, **(more or {})}


def facts(made: Model, *, environments: tuple[str, ...] = ()) -> ServiceFacts:
    (one,) = service_facts(made, Naming(ROOT, "ci", environments))
    return one


def found(made: Model, field: str, **naming: Any) -> dict[str, str | None]:
    items = facts(made, **naming).items
    return {item.item: item.value for item in items if item.field == field and not item.identity}


def names(made: Model) -> set[str]:
    """The items that only name things."""
    return {item.item for item in facts(made).items if item.identity}


def differing(left: Model, right: Model) -> list[tuple[str, str]]:
    sides = [
        {(i.field, i.item): i.value for i in facts(m).items if not i.identity}
        for m in (left, right)
    ]
    absent = object()
    return sorted(
        key
        for key in {*sides[0], *sides[1]}
        if sides[0].get(key, absent) != sides[1].get(key, absent)
    )


# The war story: one flag out of ten, a tmpfs, and a mount that may be written to.

SETTINGS = (
    "fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200",
    "shared_buffers=256MB", "work_mem=16MB", "log_statement=none", "autovacuum=off", "jit=off",
    "wal_level=minimal",
)  # fmt: skip
DATABASE: Model = {
    "image": "postgres:17",
    "command": ["postgres", *(word for one in SETTINGS for word in ("-c", one))],
    "entrypoint": None,
    "environment": {"POSTGRES_DB": "shop"},
    "tmpfs": ["/var/lib/postgresql/data"],
    "volumes": [{"type": "bind", "source": "/project/sql", "target": "/sql", "read_only": True}],
}


def test_one_flag_out_of_ten_is_one_difference() -> None:
    right = copy.deepcopy(DATABASE)
    right["command"] = [f"-c{one}" for one in SETTINGS if one != "synchronous_commit=off"]

    assert differing(model(**DATABASE), model(**right)) == [("command", "synchronous_commit")]


def test_a_tmpfs_for_a_volume_is_one_difference() -> None:
    right = copy.deepcopy(DATABASE)
    del right["tmpfs"]
    target = "/var/lib/postgresql/data/"
    right["volumes"].append({"type": "volume", "source": "data", "target": target, "volume": {}})

    assert differing(model(**DATABASE), model(**right)) == [("volumes", target.rstrip("/"))]


def test_a_mount_that_may_be_written_to_is_one_difference() -> None:
    right = copy.deepcopy(DATABASE)
    del right["volumes"][0]["read_only"]

    assert differing(model(**DATABASE), model(**right)) == [("volumes", "/sql")]


# Names


def test_two_checkouts_agree() -> None:
    here = model(build={"context": "/project/api", "dockerfile": "Dockerfile"})
    there = model(build={"context": "/elsewhere/api", "dockerfile": "Dockerfile"})

    left = service_facts(here, Naming(ROOT))
    right = service_facts(there, Naming(Path("/elsewhere")))

    assert left == right


def volume(name: str) -> Model:
    return {"volumes": [{"type": "volume", "source": name, "target": "/data"}]}


def test_volumes_called_after_their_projects_are_the_same() -> None:
    left = found(model("ci", **volume("ci_data")), "volumes")
    right = found(model("test", **volume("test_data")), "volumes")

    assert left == right == {"/data": "volume {project}_data:rw"}


def test_volumes_called_after_their_environments_are_the_same() -> None:
    environments = ("ci", "test")
    left = found(model(**volume("pg-ci-data")), "volumes", environments=environments)
    right = found(model(**volume("pg-test-data")), "volumes", environments=environments)

    assert left == right


def test_an_external_volume_is_told_by_its_name() -> None:
    more = {"volumes": {"ci_data": {"name": "shared", "external": True}}}

    values = found(model("ci", more=more, **volume("ci_data")), "volumes")

    assert values == {"/data": "volume shared:rw", "/data external": "true"}


def test_definitions_go_to_the_services_that_use_them() -> None:
    more = {
        "volumes": {"data": {"name": "shop-ci_data", "driver": "local"}, "other": {"driver": "x"}},
        "networks": {"default": {"name": "shop-ci_default", "ipam": {}, "internal": True}},
        "secrets": {"ca": {"name": "shop-ci_ca", "file": "/project/ca.pem"}},
    }
    keys = {**volume("data"), "networks": {"default": None}, "secrets": [{"source": "ca"}]}

    made = model(more=more, **keys)

    assert found(made, "volumes") == {"/data": "volume data:rw", "/data driver": "local"}
    assert found(made, "other") == {
        "network.internal": "true",
        "networks": "1",
        "secrets.ca": "{}",
        "secrets.ca.file": "ca.pem",
    }


def test_the_text_of_a_config_is_called_private() -> None:
    more = {"configs": {"app": {"content": "hunter2"}}}

    values = found(model(more=more, configs=[{"source": "app", "target": "/app.ini"}]), "other")

    assert values["configs.app.content (private)"] == "hunter2"


def test_names_and_published_ports_are_identity() -> None:
    port = {"mode": "ingress", "target": 5432, "published": "5433", "protocol": "tcp"}
    labels = {"com.docker.compose.project": "x", "com.example.tier": "db"}

    made = model(
        container_name="c", hostname="h", ports=[port], labels=labels, networks={"default": None},
        image="app:ci", build={"context": "/project"},
    )  # fmt: skip

    assert names(made) == {
        "container_name", "hostname", "labels.com.docker.compose.project", "name",
        "networks.default", "ports.5432/tcp", "project",
    }  # fmt: skip
    assert found(made, "other") == {"labels.com.example.tier": "db", "networks": "1"}


def test_an_image_that_is_pulled_is_told_by_its_name() -> None:
    assert found(model(image="postgres:17"), "image") == {"name": "postgres:17"}


# Commands


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"command": None, "entrypoint": None}, {}),
        ({"command": [], "entrypoint": []}, {"empty": "[]", "entrypoint empty": "[]"}),
        ({"command": ["x", "--a=1"]}, {"word 1": "x", "--a": "1"}),
        ({"entrypoint": ["x", "--a=1"]}, {"entrypoint word 1": "x", "entrypoint --a": "1"}),
        ({"image": "postgis/postgis", "command": ["-c", "a=$$b"]}, {"a": "$b"}),
        ({"image": "example", "command": ["-c", "a=b"]}, {"-c": "a=b"}),
        (
            {"image": "postgres", "entrypoint": ["run"], "command": ["-c", "a=b"]},
            {"entrypoint word 1": "run", "-c": "a=b"},
        ),
        ({"image": "postgres", "command": ["postgres"]}, {}),
        ({"image": "example", "command": ["postgres"]}, {"word 1": "postgres"}),
    ],
)
def test_a_command_is_its_flags(keys: Model, expected: dict[str, str]) -> None:
    assert found(model(**keys), "command") == expected


# All else


@pytest.mark.parametrize(
    ("keys", "field", "expected"),
    [
        (
            {"environment": {"A": "$$x", "B": "", "C": None}},
            "environment",
            {"A": "$x", "B": "", "C": None},
        ),
        ({"healthcheck": {"test": ["NONE"]}}, "healthcheck", {"disable": "true"}),
        ({"healthcheck": {"disable": True}}, "healthcheck", {"disable": "true"}),
        (
            {"healthcheck": {"test": ["CMD-SHELL", "curl $$A"], "retries": 5, "interval": "1s"}},
            "healthcheck",
            {"test": "curl $A", "retries": "5", "interval": "1s"},
        ),
        (
            {"healthcheck": {"test": ["CMD", "a", "b"]}},
            "healthcheck",
            {"test": '["CMD", "a", "b"]'},
        ),
        (
            {"build": {"context": "/project", "target": "t", "args": {"A": "1", "B": None}}},
            "image",
            {"build.context": ".", "build.target": "t", "build.args.A": "1", "build.args.B": None},
        ),
        (
            {"build": {"context": "https://example.com/a.git"}},
            "image",
            {"build.context": "https://example.com/a.git"},
        ),
        ({"platform": "linux/arm64"}, "image", {"platform": "linux/arm64"}),
        (
            {"tmpfs": "/run:size=64m,mode=01777"},
            "volumes",
            {"/run": "tmpfs mode=1777,size=67108864"},
        ),
        (
            {
                "volumes": [
                    {"type": "tmpfs", "target": "/run", "tmpfs": {"size": "67108864", "mode": 1023}}
                ]
            },
            "volumes",
            {"/run": "tmpfs mode=1777,size=67108864"},
        ),
        (
            {
                "volumes": [
                    {
                        "type": "bind",
                        "source": "/project",
                        "target": "/a",
                        "bind": {"propagation": "shared"},
                    }
                ]
            },
            "volumes",
            {"/a": "bind .:rw propagation=shared"},
        ),
        (
            {"volumes": [{"type": "volume", "target": "/a"}]},
            "volumes",
            {"/a": "anonymous volume:rw"},
        ),
        ({"volumes_from": ["b"]}, "volumes", {"volumes_from": '["b"]'}),
        ({"cap_add": ["B", "A"]}, "other", {"cap_add": '["A", "B"]'}),
        ({"dns": ["2.2.2.2", "1.1.1.1"]}, "other", {"dns": '["2.2.2.2", "1.1.1.1"]'}),
        (
            {"ulimits": {"a": 1, "b": {"soft": 1, "hard": 2}, "c": {"soft": 1, "hard": 1}}},
            "other",
            {"ulimits.a": "1", "ulimits.b": "1:2", "ulimits.c": "1"},
        ),
        (
            {"extra_hosts": ["a=1.1.1.1", "b=::1"]},
            "other",
            {"extra_hosts.a": "1.1.1.1", "extra_hosts.b": "::1"},
        ),
        (
            {"depends_on": {"b": {"condition": "service_healthy", "required": True}}},
            "other",
            {"depends_on.b": "service_healthy"},
        ),
        (
            {"depends_on": {"b": {"condition": "service_started", "required": False}}},
            "other",
            {"depends_on.b": 'service_started {"required": false}'},
        ),
        (
            {"logging": {"driver": "json-file", "options": {"max-size": "1m"}}},
            "other",
            {"logging.driver": "json-file", "logging.options.max-size": "1m"},
        ),
        (
            {"deploy": {"resources": {"limits": {"cpus": 2}}, "placement": {}}},
            "other",
            {"deploy.resources.limits.cpus": "2"},
        ),
        (
            {"init": True, "user": "1000", "mem_limit": "1024"},
            "other",
            {"init": "true", "user": "1000", "mem_limit": "1024"},
        ),
        (
            {"invented": [{"b": "/project/x", "a": None}]},
            "other",
            {"invented": '[{"a": null, "b": "x"}]'},
        ),
        ({"invented": {}}, "other", {"invented": "{}"}),
        ({"invented": None}, "other", {"invented": None}),
    ],
)
def test_a_key_is_its_items(keys: Model, field: str, expected: dict[str, str]) -> None:
    assert found(model(**keys), field) == expected


def test_aliases_do_not_depend_on_what_a_network_is_called() -> None:
    left = found(model(networks={"ci-net": {"aliases": ["b", "a"]}}), "other")
    right = found(model(networks={"test-net": {"aliases": ["a", "b"]}}), "other")

    assert left == right == {"networks": "1", "networks.aliases": '["a", "b"]'}


def test_what_has_one_name_is_joined_and_not_lost() -> None:
    made = model(extra_hosts=["a=1.1.1.1", "a=2.2.2.2"])

    assert found(made, "other") == {"extra_hosts.a": '["1.1.1.1", "2.2.2.2"]'}


def test_items_are_sorted_and_come_once() -> None:
    keys = [(item.field, item.item) for item in facts(model(**DATABASE)).items]

    assert keys == sorted(set(keys))


def test_no_service_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        service_facts({"name": "shop", "services": {}}, Naming(ROOT, "ci"))

    assert "'ci'" in str(caught.value)
    assert "profiles" in caught.value.cause
    assert "[tool.unstale.environments.ci]" in caught.value.hint


def test_no_value_is_in_a_repr() -> None:
    made = model(environment={"A": "hunter2"}, command=["x", "--password=hunter2", "hunter2"])

    assert "hunter2" not in repr(facts(made))


# The image's own variables


def test_an_image_adds_what_compose_does_not_set() -> None:
    source = Source("image", "postgres:17")
    made = service_facts(model(environment={"A": "1", "B": None}), Naming(ROOT))

    (one,) = with_image_env(made, {"a": {"A": "2", "B": "2", "C": "3"}}, source)

    items = [item for item in one.items if item.field == "environment"]
    assert items == [
        Item("environment", "A", "1"),
        Item("environment", "B", None),
        Item("environment", "C", "3", source=source),
    ]


def test_each_service_has_its_own_image() -> None:
    made = service_facts(model(), Naming(ROOT))

    (one,) = with_image_env(made, {"a": {"A": "1"}}, lambda name: Source("image", name))

    assert Item("environment", "A", "1", source=Source("image", "a")) in one.items


# With compose itself


def resolved(name: str) -> Model:
    command = ["docker", "compose", "-f", f"docker/docker-compose.{name}.yml"]
    command += ["--env-file", f"env/.env.{name}", "config", "--format", "json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    made: Model = json.loads(done.stdout)
    return made


def has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return (
        subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_this_repositorys_environments_differ_in_variables_only() -> None:
    left, right = (
        {
            (service.name, item.field, item.item): item.value
            for service in service_facts(resolved(name), Naming(REPOSITORY, name))
            for item in service.items
            if not item.identity
        }
        for name in ("ci", "test")
    )

    fields = {key[1] for key in {*left, *right} if left.get(key, "") != right.get(key, "")}
    assert fields == {"environment"}
    assert left["postgres", "command", "synchronous_commit"] == "off"
    assert "$POSTGRES_USER" in (left["postgres", "healthcheck", "test"] or "").split('"')
    assert left["app", "image", "build.context"] == "."
