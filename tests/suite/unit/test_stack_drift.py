"""A container against the settings that compose would give it today."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from unstale.facts import ContainerConfig, ContainerFact, ImageFact, MountFact
from unstale.stack.drift import CONFIG_HASH, as_created, drift
from unstale.verdict import Fresh, Reason, Stale, Unknown, Verdict

OWN = {"com.docker.compose.project": "shop", CONFIG_HASH: "then"}
MODEL: dict[str, Any] = {
    "name": "shop",
    "networks": {"default": {"name": "shop_default"}},
    "volumes": {"data": {"name": "shop_data"}},
    "configs": {"rules": {"name": "shop_rules", "file": "/srv/rules.txt"}},
    "secrets": {"key": {"name": "shop_key", "file": "/srv/key"}},
    "services": {
        "app": {
            "image": "sha256:1111",
            "command": ["serve", "--price", "$$5"],
            "entrypoint": None,
            "environment": {"LOG_LEVEL": "info", "PRICE": "$$5", "UNSET": None},
            "healthcheck": {"test": ["CMD", "true"], "interval": "1m5.5s", "retries": 3},
            "labels": {"dev.unstale.run": "r1"},
            "networks": {"default": {"aliases": ["owl"]}},
            "ports": [
                {"target": 80, "protocol": "tcp", "host_ip": "127.0.0.1", "published": "8080"},
                {"target": 80, "protocol": "tcp"},
                {"target": 53, "protocol": "udp"},
            ],
            "volumes": [
                {"type": "bind", "source": "/home/robin/shop/src", "target": "/app/src"},
                {"type": "volume", "source": "data", "target": "/data"},
                {"type": "volume", "target": "/cache/"},
                {"type": "tmpfs", "target": "/quick"},
            ],
            "tmpfs": ["/tmp:size=1m"],
            "configs": [{"source": "rules"}],
            "secrets": [{"source": "key"}, {"source": "key", "target": "/etc/key"}],
        }
    },
}
IMAGE_CONFIG: dict[str, Any] = {
    "Env": ["PATH=/bin", "LANG=C"],
    "Cmd": ["serve"],
    "Entrypoint": ["/entry"],
    "User": "app",
    "WorkingDir": "/app",
    "Healthcheck": {"Timeout": 4},
    "Labels": {"maker": "robin", "com.docker.compose.version": "2"},
    "Volumes": {"/var/own": {}},
}


@pytest.fixture
def image() -> ImageFact:
    return ImageFact(
        id="sha256:1111",
        tags=(),
        created=None,
        labels={},
        size_bytes=1,
        architecture="amd64",
        os="linux",
        working_dir="/app",
        layers=(),
        environment=(),
        config=json.dumps(IMAGE_CONFIG),
    )


@pytest.fixture
def made(container: ContainerFact) -> ContainerFact:
    """A container as compose made it from MODEL and the image."""
    return replace(
        container,
        id="0123456789abcdef",
        labels={**OWN, "dev.unstale.run": "r1", "maker": "robin"},
        mounts=(
            MountFact("bind", "/home/robin/shop/src", "/app/src"),
            MountFact("volume", "/v", "/data", "shop_data"),
            MountFact("volume", "/v", "/cache", "c" * 64),
            MountFact("volume", "/v", "/var/own", "d" * 64),
            MountFact("tmpfs", "", "/quick"),
            MountFact("tmpfs", "", "/tmp"),
            MountFact("bind", "/srv/rules.txt", "/rules"),
            MountFact("bind", "/srv/key", "/run/secrets/key"),
            MountFact("bind", "/srv/key", "/etc/key"),
        ),
        config=ContainerConfig(
            image="sha256:1111",
            environment=("LOG_LEVEL=info", "PRICE=$5", "UNSET", "PATH=/bin", "LANG=C"),
            command=("serve", "--price", "$5"),
            entrypoint=("/entry",),
            user="app",
            working_dir="/app",
            healthcheck=json.dumps(
                {"Interval": 65_500_000_000, "Retries": 3, "Test": ["CMD", "true"], "Timeout": 4}
            ),
            ports={
                "80/tcp": frozenset({"127.0.0.1:8080", ":"}),
                "53/udp": frozenset({":"}),
            },
            networks={"shop_default": frozenset({"app", "demo-app-1", "0123456789ab", "owl"})},
        ),
    )


def without_hash(container: ContainerFact) -> ContainerFact:
    labels = {k: v for k, v in container.labels.items() if k != CONFIG_HASH}
    return replace(container, labels=labels)


def changed(**options: Any) -> dict[str, Any]:
    app = {**MODEL["services"]["app"], **options}
    return {**MODEL, "services": {"app": {k: v for k, v in app.items() if v != "gone"}}}


def names(verdict: Verdict) -> list[tuple[str, str]]:
    assert isinstance(verdict, Stale)
    return [(r.change, r.path) for r in verdict.reasons]


def test_an_equal_hash_is_the_proof(made: ContainerFact, image: ImageFact) -> None:
    assert drift(changed(user="root"), made, image, "then") == Fresh()


def test_a_setting_that_no_name_is_known_for_is_stale_all_the_same(
    made: ContainerFact, image: ImageFact
) -> None:
    found = drift(changed(cap_drop=["ALL"]), made, image, "now")

    assert found == Stale((Reason("configuration", "configuration"),))


def test_without_a_hash_equal_settings_are_no_proof(made: ContainerFact, image: ImageFact) -> None:
    for container, expected in ((without_hash(made), "now"), (made, None)):
        found = drift(MODEL, container, image, expected)
        assert isinstance(found, Unknown)
        assert "demo-app-1" in found.why

    assert names(drift(changed(user="root"), without_hash(made), image, None)) == [
        ("modified", "user")
    ]


def test_a_hash_over_containers_of_others_proves_nothing(
    made: ContainerFact, image: ImageFact
) -> None:
    assert isinstance(drift(changed(volumes_from=["db"]), made, image, "then"), Unknown)


def test_a_service_that_is_gone_is_named(made: ContainerFact, image: ImageFact) -> None:
    found = drift({"services": {}}, made, image, None)

    assert names(found) == [("removed", "service:app")]


VOLUMES: list[dict[str, Any]] = MODEL["services"]["app"]["volumes"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"environment": {"LOG_LEVEL": "debug", "NEW": "1"}},
            [
                ("modified", "environment:LOG_LEVEL"),
                ("added", "environment:NEW"),
                ("removed", "environment:PRICE"),
            ],
        ),
        (
            {"environment": {"LOG_LEVEL": "info", "PRICE": "$$5", "PATH": "/sbin"}},
            [("modified", "environment:PATH")],
        ),
        ({"command": ["serve"]}, [("modified", "command")]),
        ({"command": None}, [("modified", "command")]),
        ({"entrypoint": ["/other"]}, [("modified", "entrypoint")]),
        (
            {"entrypoint": ["/other"], "command": None},
            [("removed", "command"), ("modified", "entrypoint")],
        ),
        ({"user": "root"}, [("modified", "user")]),
        ({"working_dir": "/srv"}, [("modified", "working_dir")]),
        ({"image": "postgres:18"}, [("modified", "image")]),
        ({"healthcheck": {"disable": True}}, [("modified", "healthcheck")]),
        ({"healthcheck": "gone"}, [("modified", "healthcheck")]),
        (
            {"labels": {"dev.unstale.run": "r2", "new": "1"}},
            [("modified", "label:dev.unstale.run"), ("added", "label:new")],
        ),
        ({"networks": {"default": None}}, [("modified", "network:shop_default")]),
        (
            {"networks": {"other": None}},
            [("added", "network:other"), ("removed", "network:shop_default")],
        ),
        ({"network_mode": "host", "networks": "gone"}, []),
        (
            {"ports": [{"target": 80, "published": "9090"}]},
            [("removed", "port:53/udp"), ("modified", "port:80/tcp")],
        ),
        ({"volumes": VOLUMES[1:]}, [("removed", "mount:/app/src")]),
        (
            {"volumes": [{"type": "bind", "source": "/other", "target": "/app/src"}, *VOLUMES[1:]]},
            [("modified", "mount:/app/src")],
        ),
        (
            {"volumes": [VOLUMES[0], {"type": "volume", "target": "/data"}, *VOLUMES[2:]]},
            [("modified", "mount:/data")],
        ),
        ({"tmpfs": ["/tmp", "/run"]}, [("added", "mount:/run")]),
        ({"configs": []}, [("removed", "mount:/rules")]),
        ({"secrets": [{"source": "key"}]}, [("removed", "mount:/etc/key")]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_changed_is_named(
    made: ContainerFact, image: ImageFact, options: Any, expected: list[tuple[str, str]]
) -> None:
    found = drift(changed(**options), made, image, "now")

    assert names(found) == (expected or [("configuration", "configuration")])


def test_proxies_of_the_machine_are_no_drift(made: ContainerFact, image: ImageFact) -> None:
    lines = (*made.config.environment, "HTTP_PROXY=http://proxy.example.com", "no_proxy=x")
    proxied = replace(made, config=replace(made.config, environment=lines))

    assert names(drift(MODEL, proxied, image, "now")) == [("configuration", "configuration")]
    asked = changed(environment={"LOG_LEVEL": "info", "PRICE": "$$5", "no_proxy": "y"})
    assert names(drift(asked, proxied, image, "now")) == [("modified", "environment:no_proxy")]


def test_no_value_is_in_what_may_be_printed(made: ContainerFact, image: ImageFact) -> None:
    found = drift(changed(environment={"API_TOKEN": "hunter2-hunter2"}), made, image, "now")

    assert "hunter2" not in repr(found)
    assert "LOG_LEVEL=info" not in repr(made)


# The model as it was when the containers were made


def test_a_built_service_counts_with_the_image_that_its_container_has(
    container: ContainerFact,
) -> None:
    model = {"services": {"app": {"image": "sha256:2222"}, "db": {"image": "postgres:17"}}}
    database = replace(container, id="c-db", service="db", image_id="sha256:3333")

    then = as_created(model, [container, database], ["app"])

    assert then["services"] == {"app": {"image": "sha256:1111"}, "db": {"image": "postgres:17"}}


def test_a_namespace_of_another_service_is_that_of_its_container(container: ContainerFact) -> None:
    raw = {"network_mode": "service:app", "ipc": "host", "pid": "service:gone"}

    then = as_created({"services": {"spy": raw}}, [container], [])

    assert then["services"]["spy"] == {**raw, "network_mode": "container:c-app"}
