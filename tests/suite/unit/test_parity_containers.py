"""What a container gets: every key of compose's model is an item, and none is silent."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from unstale.errors import ConfigError
from unstale.parity.containers import Naming, service_facts, with_image_env
from unstale.parity.flags import ORDER
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
    flags = found(model(**keys), "command")
    orders = {flags.pop(name, None) for name in (ORDER, f"entrypoint {ORDER}")}

    assert flags == expected
    assert orders <= {None, '["word 1", "--a=<value>"]', '["-c <value>"]'}


def test_a_password_behind_an_entrypoint_of_a_database_is_no_name() -> None:
    keys = {"entrypoint": ["mysql"], "command": ["-pheron-two"]}

    assert found(model(**keys), "command")["-p (password)"] == "heron-two"


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
        ({"ports": None}, "other", {"ports": None}),
        ({"pull_policy": "always"}, "image", {"pull_policy": "always"}),
        ({"secrets": [{"source": "a", "mode": 288}]}, "other", {"secrets.a": '{"mode": "440"}'}),
        ({"x-notes": "y"}, "other", {}),
        (
            {"build": {"extra_hosts": {"a": "1.1.1.1", "b": ["::1"]}, "ulimits": {"nofile": 9}}},
            "image",
            {
                "build.extra_hosts.a": "1.1.1.1",
                "build.extra_hosts.b": '["::1"]',
                "build.ulimits.nofile": "9",
            },
        ),
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

    assert str(caught.value) == (
        "The compose files of the environment 'ci' define no service: nothing was compared.\n"
        "Next: write its services below 'services:'"
    )


def test_no_value_is_in_a_repr() -> None:
    made = model(environment={"A": "hunter2"}, command=["x", "--password=hunter2", "hunter2"])

    assert "hunter2" not in repr(facts(made))


# No difference is silent

EVERYTHING: Model = {
    "name": "shop",
    "services": {
        "a": {
            "build": {
                "context": "/project",
                "dockerfile": "Dockerfile",
                "args": {"A": "1", "B": None},
                "target": "t",
                "secrets": [{"source": "ca", "target": "x"}],
                "tags": ["a:1"],
                "ssh": ["default"],
                "extra_hosts": ["q=1.1.1.1"],
                "additional_contexts": {"more": "/project/more"},
            },
            "cap_add": ["B", "A"],
            "command": ["web", "app", "--port", "80", "--reload", "-v", "x", "-v", "y"],
            "configs": [{"source": "c", "target": "/c", "uid": "1", "mode": 288}],
            "container_name": "c",
            "deploy": {"replicas": 2, "resources": {"limits": {"cpus": 2, "memory": "512"}}},
            "depends_on": {"b": {"condition": "service_healthy", "required": True}},
            "develop": {"watch": [{"path": "/project/src", "action": "sync", "target": "/app"}]},
            "devices": [{"source": "/dev/a", "target": "/dev/b"}],
            "dns": ["1.1.1.1", "2.2.2.2"],
            "entrypoint": ["tini", "--", "sh", "-c", "a"],
            "environment": {"A": "1", "E": ""},
            "extra_hosts": ["a=1.1.1.1", "a=2.2.2.2"],
            "healthcheck": {
                "test": ["CMD", "a", "b"],
                "timeout": "5s",
                "interval": "1s",
                "retries": 5,
                "start_period": "1m0s",
                "start_interval": "1s",
            },
            "image": "a:1",
            "init": True,
            "labels": {"com.example.a": "b", "com.docker.compose.project": "x"},
            "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
            "networks": {"n": {"aliases": ["x"], "ipv4_address": "10.1.1.1"}, "m": {"priority": 1}},
            "platform": "linux/amd64",
            "ports": [
                {
                    "mode": "ingress",
                    "host_ip": "::1",
                    "target": 1,
                    "published": "2",
                    "protocol": "tcp",
                }
            ],
            "profiles": ["p"],
            "secrets": [{"source": "ca", "target": "/run/secrets/ca"}],
            "stop_grace_period": "10s",
            "sysctls": {"net.core.somaxconn": "1024"},
            "tmpfs": ["/run:size=64m,mode=1777,noexec"],
            "ulimits": {"nofile": {"soft": 1, "hard": 2}, "nproc": 65535},
            "user": "1000:1000",
            "volumes": [
                {"type": "volume", "source": "v", "target": "/v", "volume": {"nocopy": True}},
                {
                    "type": "bind",
                    "source": "/project/b",
                    "target": "/b",
                    "read_only": True,
                    "bind": {"create_host_path": True},
                },
                {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "64", "mode": 1023}},
            ],
            "volumes_from": ["b"],
            "invented": {"list": [{"deep": 1}], "map": {"deep": "x"}},
            "x-notes": {"a": "b"},
        }
    },
    "configs": {"c": {"name": "shop_c", "content": "text"}},
    "networks": {"n": {"name": "shop_n", "driver": "bridge", "ipam": {"driver": "d"}}},
    "secrets": {"ca": {"name": "shop_ca", "file": "/project/ca.pem"}},
    "volumes": {"v": {"name": "shop_v", "driver": "local", "driver_opts": {"o": "x"}}},
}

Place = tuple[str | int, ...]


def leaves(value: object, path: Place = ()) -> Iterator[Place]:
    pairs: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        yield path
    for key, one in pairs:
        yield from leaves(one, (*path, key))


def changed(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case None:
            return "now"
        case "volume" | "bind" | "tmpfs":
            return "npipe"
        case _:
            return f"{value}9"


def with_change(path: Place, change: Callable[[Any], Any] | None) -> Model:
    made = copy.deepcopy(EVERYTHING)
    holder: Any = made
    for key in path[:-1]:
        holder = holder[key]
    if change is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = change(holder[path[-1]])
    return made


def dotted(path: Place) -> str:
    return ".".join(map(str, path))


# What compose always writes, and what is its default when it does not.
NEEDED = ("type", "target", "source", "name", "required", "protocol")


@pytest.mark.parametrize("path", [*leaves(EVERYTHING)], ids=dotted)
def test_no_change_is_silent(path: Place) -> None:
    assert facts(with_change(path, changed)) != facts(EVERYTHING)


@pytest.mark.parametrize(
    "path", [path for path in leaves(EVERYTHING) if path[-1] not in NEEDED], ids=dotted
)
def test_nothing_that_is_taken_away_is_silent(path: Place) -> None:
    assert facts(with_change(path, None)) != facts(EVERYTHING)


# They are names themselves: of mounts, ports, flags, secrets and configs.
NAMING = ("target", "source", "protocol", "type")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in leaves(EVERYTHING)
        if path[-1] not in NAMING and not {"command", "entrypoint"} & set(path)
    ],
    ids=dotted,
)
def test_no_item_is_named_after_a_value(path: Place) -> None:
    made = facts(with_change(path, lambda value: f"{value}hunter2"))

    assert not [item.item for item in made.items if "hunter2" in item.item]


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
