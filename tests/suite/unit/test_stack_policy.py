"""S7: what a stack reaches outside of its containers."""

from __future__ import annotations

from typing import Any

import pytest

from unstale.stack.policy import env_files, reaches

ROOT = "/repo"


def is_inside(path: str) -> bool:
    return path == ROOT or path.startswith(f"{ROOT}/")


def bind(source: str) -> dict[str, Any]:
    return {"volumes": [{"type": "bind", "source": source, "target": "/x"}]}


def reserving(*devices: dict[str, Any]) -> dict[str, Any]:
    return {"deploy": {"resources": {"reservations": {"cpus": 1, "devices": [*devices]}}}}


def build(**more: Any) -> dict[str, Any]:
    return {"build": {"context": ROOT, "dockerfile": "Dockerfile", **more}}


def fields(service: dict[str, Any], **more: Any) -> list[str]:
    model = {"name": "demo", "services": {"a": service}, **more}
    return [one.field for one in reaches(model, is_inside) if not one.is_usual]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"privileged": True}, "privileged"),
    ({"pid": "host"}, "pid"),
    ({"ipc": "host"}, "ipc"),
    ({"network_mode": "host"}, "network_mode"),
    ({"userns_mode": "host"}, "userns_mode"),
    ({"uts": "host"}, "uts"),
    ({"cgroup": "host"}, "cgroup"),
    ({"cgroup_parent": "/"}, "cgroup_parent"),
    ({"pid": "container:other"}, "pid"),
    ({"network_mode": "container:other"}, "network_mode"),
    (bind("/var/run/docker.sock"), "volumes"),
    (bind(f"{ROOT}/docker.sock"), "volumes"),
    (bind("/"), "volumes"),
    (bind("/repo-and-more"), "volumes"),
    (bind("/root/.ssh"), "volumes"),
    ({"volumes": [{"type": "npipe", "source": "//./pipe/docker", "target": "/x"}]}, "volumes"),
    ({"volumes_from": ["container:other"]}, "volumes_from"),
    ({"cap_add": ["SYS_ADMIN"]}, "cap_add"),
    ({"devices": [{"source": "/dev/sda", "target": "/dev/sda"}]}, "devices"),
    ({"devices": ["/dev/kvm:/dev/kvm:rwm"]}, "devices"),
    ({"gpus": [{"count": -1}]}, "gpus"),
    (reserving({"capabilities": ["gpu"], "count": -1}), "deploy"),
    ({"runtime": "nvidia"}, "runtime"),
    ({"device_cgroup_rules": ["b *:* rwm"]}, "device_cgroup_rules"),
    ({"security_opt": ["seccomp=unconfined"]}, "security_opt"),
    ({"security_opt": ["apparmor:unconfined"]}, "security_opt"),
    ({"security_opt": ["label:disable"]}, "security_opt"),
    ({"security_opt": ["no-new-privileges:false"]}, "security_opt"),
    ({"post_start": [{"command": "x", "privileged": True}]}, "post_start"),
    ({"use_api_socket": True}, "use_api_socket"),
    ({"provider": {"type": "evil"}}, "provider"),
    ({"credential_spec": {"file": "/etc/x"}}, "credential_spec"),
    (build(privileged=True), "build.privileged"),
    (build(entitlements=["security.insecure"]), "build.entitlements"),
    (build(network="host"), "build.network"),
    (build(ssh=["default"]), "build.ssh"),
    (build(context="https://example.com/a.git"), "build.context"),
    (build(context="git@example.com:a/b"), "build.context"),
    (build(context="/", dockerfile=""), "build.context"),
    (build(dockerfile="/etc/passwd"), "build.dockerfile"),
    (build(additional_contexts={"x": "/etc"}), "build.additional_contexts"),
    (build(additional_contexts={"x": "oci-layout:///var/x"}), "build.additional_contexts"),
    (build(additional_contexts={"x": "https://example.com/a"}), "build.additional_contexts"),
    (build(cache_to=["type=local,dest=/root/x"]), "build.cache_to"),
    (build(cache_from=["type=local,src=/root/x"]), "build.cache_from"),
]

GOOD: list[dict[str, Any]] = [
    {"privileged": False, "command": None, "entrypoint": None},
    {"pid": "service:b", "ipc": "shareable", "network_mode": "service:b"},
    {"network_mode": "bridge"},
    {"network_mode": "none"},
    {"cgroup": "private", "userns_mode": ""},
    {"runtime": "runc", "deploy": {"replicas": 1, "resources": {"limits": {"cpus": 1}}}},
    reserving(),
    {"cap_drop": ["ALL"], "read_only": True, "tmpfs": ["/run"]},
    {"security_opt": ["no-new-privileges"]},
    {"security_opt": ["no-new-privileges:true"]},
    bind(ROOT),
    bind(f"{ROOT}/data"),
    {"volumes": [{"type": "volume", "source": "data", "target": "/x"}]},
    {"volumes": [{"type": "volume", "target": "/x"}, {"type": "tmpfs", "target": "/y"}]},
    {"volumes_from": ["b"]},
    {"ports": [{"target": 80, "published": "80"}], "ulimits": {"nofile": 9}},
    {"image": "postgres:17", "environment": {"PID": "host", "PRIVILEGED": "true"}},
    {"post_start": [{"command": "x"}], "develop": {"watch": []}},
    {"networks": {"default": None}, "depends_on": {"b": {}}},
    build(),
    build(network="none", args={"NETWORK": "host"}),
    build(dockerfile="docker/Dockerfile", additional_contexts={"x": f"{ROOT}/lib"}),
    build(additional_contexts={"x": "docker-image://alpine", "y": "service:b"}),
    build(cache_to=["type=registry,ref=example.com/x"], cache_from=["example.com/x"]),
    build(cache_to=["type=local,dest=.cache"]),
]


@pytest.mark.parametrize(
    ("service", "field"), BAD, ids=[f"{i}-{f}" for i, (_, f) in enumerate(BAD)]
)
def test_what_reaches_out_is_named(service: dict[str, Any], field: str) -> None:
    assert fields(service) == [field]


@pytest.mark.parametrize("service", GOOD, ids=range(len(GOOD)))
def test_an_ordinary_stack_reaches_nothing(service: dict[str, Any]) -> None:
    assert fields(service, volumes={"data": {"name": "demo_data"}}) == []


@pytest.mark.parametrize(
    ("options", "is_told"),
    [
        ({"type": "none", "o": "bind", "device": "/etc"}, True),
        ({"type": "ext4", "device": "/dev/sda1"}, True),
        ({"type": "none", "o": "bind", "device": f"{ROOT}/data"}, False),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, False),
        ({"type": "nfs", "o": "addr=nas.example.com", "device": ":/x"}, False),
    ],
)
def test_a_named_volume_may_be_a_folder_or_a_disk(options: dict[str, str], is_told: bool) -> None:
    service = {"volumes": [{"type": "volume", "source": "data", "target": "/x"}]}
    volumes = {"data": {"name": "demo_data", "driver_opts": options}}

    assert fields(service, volumes=volumes) == (["volumes"] if is_told else [])


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_a_secret_is_a_file_of_the_repository(kind: str) -> None:
    service = {kind: [{"source": "s", "target": "/x"}]}

    assert fields(service, **{kind: {"s": {"file": "/etc/passwd"}}}) == [kind]
    assert fields(service, **{kind: {"s": {"file": f"{ROOT}/s"}}}) == []
    assert fields(service, **{kind: {"s": {"environment": "S"}}}) == []
    told = fields(build(secrets=[{"source": "s"}]), secrets={"s": {"file": "/etc/passwd"}})
    assert told == ["build.secrets"]


def test_what_others_have_is_refused_and_not_told() -> None:
    service = {
        "volumes": [{"type": "volume", "source": "data", "target": "/x"}],
        "networks": {"shared": None},
    }
    model = {
        "name": "demo",
        "services": {"a": service},
        "volumes": {"data": {"external": True, "name": "other"}},
        "networks": {"shared": {"external": True, "name": "other"}},
    }

    assert [(one.field, one.is_usual) for one in reaches(model, is_inside)] == [
        ("volumes", True),
        ("networks", True),
    ]


@pytest.mark.parametrize(
    ("path", "is_told"),
    [("/etc/passwd", True), (f"{ROOT}/.env", False), ("${HOME}/.aws/credentials", True)],
)
def test_an_env_file_is_in_the_repository(path: str, is_told: bool) -> None:
    for written in ([{"path": path, "required": True}], [path], path):
        found = env_files({"services": {"a": {"env_file": written}, "b": None}}, is_inside)

        assert [one.field for one in found] == (["env_file"] if is_told else [])


def test_a_reach_says_where_it_is_written() -> None:
    model = {"services": {"a": {**bind("/etc"), "cap_add": ["NET_ADMIN"]}}}

    assert [one.path for one in reaches(model, is_inside)] == [
        ("cap_add", "NET_ADMIN"),
        ("volumes", "/x"),
    ]
