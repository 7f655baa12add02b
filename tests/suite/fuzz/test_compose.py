"""The models that compose prints, and what is made of them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import soup
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from unstale import compose, override
from unstale.config import AllowRule
from unstale.facts import ContainerConfig, ContainerFact, ImageFact, MountFact
from unstale.parity import (
    baseline,
    compare,
    containers,
    effects,
    flags,
    matrix,
    policy,
    programs,
    servers,
    sources,
    topology,
    urls,
    written,
    yaml_lines,
)
from unstale.parity.envfile import EnvFile, parse
from unstale.parity.model import EnvironmentFacts, Item, ServiceFacts
from unstale.pipeline import reuse
from unstale.stack import drift
from unstale.stack.policy import env_files, reaches

ROOT = Path("/p")
SERVICE: dict[str, Any] = {
    "image": "postgres:17",
    "build": {
        "context": "/p/a",
        "dockerfile": "Dockerfile",
        "args": {"A": "b", "B": None},
        "additional_contexts": {"base": "service:c"},
        "extra_hosts": ["a=1"],
        "secrets": [{"source": "key"}],
        "ulimits": {"n": {"soft": 1, "hard": 2}},
        "labels": {"a": "b"},
    },
    "platform": "linux/amd64",
    "command": ["postgres", "-c", "fsync=off", "--x=$$y"],
    "entrypoint": None,
    "environment": {"A": "b$$c", "POSTGRES_INITDB_ARGS": "--no-sync -c a=b", "N": None},
    "healthcheck": {"test": ["CMD-SHELL", "pg_isready"], "interval": "1m5s", "retries": 3},
    "volumes": [
        {"type": "bind", "source": "/p/pg.conf", "target": "/etc/postgresql/postgresql.conf"},
        {"type": "volume", "source": "data", "target": "/var/lib/postgresql/data", "volume": {}},
        {"type": "tmpfs", "target": "/t", "tmpfs": {"size": 5, "mode": 511}},
    ],
    "tmpfs": ["/x:size=1m,mode=0700"],
    "ports": [{"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"}],
    "networks": {"default": {"aliases": ["a"]}, "peers": None},
    "depends_on": {"c": {"condition": "service_completed_successfully", "required": True}},
    "configs": [{"source": "rules", "mode": 292}],
    "secrets": [{"source": "key", "target": "/k"}],
    "labels": {"com.docker.compose.x": "1", "a": "b"},
    "ulimits": {"nofile": 5},
    "extra_hosts": ["a=1.2.3.4", "b:::1"],
    "profiles": ["x"],
    "restart": "no",
    "network_mode": "service:c",
    "env_file": [{"path": "/p/a.env"}, "b.env"],
    "deploy": {"resources": {"limits": {"cpus": "1"}}},
    "x-own": {"a": 1},
}
MODEL: dict[str, Any] = {
    "name": "shop",
    "services": {"a": SERVICE, "c": {"image": "b", "networks": {"default": None}}},
    "networks": {"default": {"name": "shop_default"}, "peers": {"external": True, "name": "p"}},
    "volumes": {"data": {"name": "shop_data", "driver_opts": {"a": "b"}}},
    "configs": {"rules": {"name": "shop_rules", "file": "/p/rules", "content": "x"}},
    "secrets": {"key": {"name": "shop_key", "environment": "KEY"}},
}
RAW: dict[str, Any] = {
    "services": {
        "a": {
            "image": "x:${TAG:-1}",
            "command": 'serve "${PORT:-${OTHER}}',
            "environment": ["A=${A}", "B", "C=$C"],
            "volumes": ["${DATA:-data}:/data", {"source": "x", "target": "/y"}],
            "build": {"context": ".", "args": ["A=${A}", "B"]},
            "env_file": "${WHERE}.env",
            "ports": ["${PORT}:80"],
        }
    },
    "secrets": {"key": {"environment": "KEY"}},
}
FILES = (*soup.repository("docker/docker-compose.test.yml", "docker/docker-compose.ci.yml"),)
CONF = (
    "fsync = off\ninclude 'x.conf'\ninclude_dir '/etc/postgresql'\nlog_line_prefix = '\\101''\\'\n"
)


@given(soup.tables(MODEL))
def test_stack(model: dict[str, Any]) -> None:
    with soup.only_ours():
        stack = compose.parse(model)
        text = override.for_run(stack, {"a": "sha256:1"}, {"l": "$x"}, unique=True)
        reset = yaml.SafeLoader(text)
        reset.yaml_constructors = {**yaml.SafeLoader.yaml_constructors, None: _tagged}

        found = reset.get_single_data()
        assert set(found.get("services") or {}) == {one.name for one in stack.services}


def _tagged(loader: Any, _suffix: Any, node: Any = None) -> Any:
    del loader, node


@given(soup.tables(MODEL))
def test_digest_of_an_environment(model: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reuse, "_SCRYPT", {"n": 2, "r": 1, "p": 1})  # it is slow by design

        assert reuse.environment_digest(model) == reuse.environment_digest(
            json.loads(json.dumps(model))
        )


@given(soup.tables(MODEL), soup.tables(MODEL), soup.texts((CONF,), ("'", "=", "include ")))
def test_parity(left: dict[str, Any], right: dict[str, Any], conf: str) -> None:
    naming = containers.Naming(ROOT, "ci", ("ci", "test"))
    with soup.only_ours():
        one = EnvironmentFacts("ci", None, _facts(left, naming, conf))
        other = EnvironmentFacts("test", None, _facts(right, naming, conf))
        found = sorted(compare.compare(one, other), key=compare.order)
        judged = policy.judge(("ci", "test"), found, (), date(2026, 1, 1))
        rules = baseline.entries({("ci", "test"): judged.open})
        text = baseline.apply("", rules)
        effects.inert((one, other), effects.Reads(()))
        matrix.matrix((one, other), compare.secrecy((one, other)))
        programs.in_all((one, other))

        assert baseline.apply(text, rules) == text


def _facts(model: dict[str, Any], naming: containers.Naming, conf: str) -> tuple[ServiceFacts, ...]:
    found = containers.service_facts(model, naming)
    for one in found:
        settings = servers.server_settings(model, one.name, lambda _: conf, root=ROOT)
        servers.setting_items(settings)
    return found


@given(soup.texts((CONF,), ("'", "=", " ", "include", "\\7", "\\777", "#")))
def test_configuration_of_a_server(text: str) -> None:
    found = servers.server_settings(MODEL, "a", {Path("/p/pg.conf"): text}.get, root=ROOT)

    assert all(
        servers.is_showable(name, one.value or "") in (True, False) for name, one in found.items()
    )


def test_a_good_model_is_understood() -> None:
    """Or the fuzzing of models would see nothing but refusals."""
    naming = containers.Naming(ROOT, "ci", ())

    assert compose.parse(MODEL).service("a") is not None
    assert len(containers.service_facts(MODEL, naming)) == 2
    assert servers.server_settings(MODEL, "a", lambda _: CONF, root=ROOT)


@given(soup.tables(RAW, MODEL), soup.raw((b"A=1\nTAG=2\n".decode(),)), soup.texts(FILES))
def test_sources(raw: dict[str, Any], env: bytes, text: str) -> None:
    def read(path: Path) -> EnvFile | None:
        with soup.only_ours():
            return parse(path, env)
        return None

    lines = yaml_lines.read([ROOT / "compose.yml"], lambda _: text)
    facts = tuple(ServiceFacts(name, ITEMS) for name in ("a", "c"))
    with soup.only_ours():
        defined = sources.definitions([f for f in [read(ROOT / "x.env")] if f], ROOT)
        found = sources.Sources(raw, read, defined, lines, ROOT, ("SHELL",))
        sources.attach(facts, found)
        found.interpolated()
    with soup.only_ours():
        sources.undefined(("C", "A"), raw, [f for f in [read(ROOT / "x.env")] if f], lines, ROOT)


ITEMS = containers.service_facts(MODEL, containers.Naming(ROOT))[0].items


@given(soup.values(("environment", "A")))
def test_written(value: Any) -> None:
    list(written.texts(value))
    written.as_variables(value)


_YAML = (
    "a:",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "!reset ",
    "services:",
    "\n  ",
    "|\n",
    "? ",
    "{",
    "extends:",
)


@given(soup.texts(FILES, _YAML))
@example("a: &a\n  b: *a\n")
@example("services:\n  a: &a\n    <<: *a\n    extends: a\n")
@example("include: [x.yml]\n")
def test_lines(text: str) -> None:
    found = yaml_lines.read([ROOT / "a.yml", ROOT / "b.yml"], lambda _: text)
    for path in (("environment", "A"), ("image",), ("volumes", "/data")):
        found.of("postgres", *path)
        found.nearest("a", *path)


_COMMAND = (
    "postgres",
    "-c",
    "fsync=off",
    "--",
    "sh",
    "-ec",
    "--a=b",
    "-p",
    "5",
    "-Da.b=c",
    "--no-x",
)


@given(st.lists(soup.texts(words=_COMMAND), max_size=5), st.booleans())
def test_flags(tokens: list[str], is_server: bool) -> None:
    found = flags.flag_map(tokens, says_postgres=is_server)

    assert not flags.is_reordered(found.get(flags.ORDER), found.get(flags.ORDER), ())


@given(soup.texts(('["a"]', "joined")), st.sampled_from(["networks.peers", "/x shared with"]))
def test_peers(value: str, name: str) -> None:
    field: Any = "volumes" if name[0] == "/" else "other"

    topology.among(Item(field, name, value), "a", ("a", "c"))


_URL = ("postgresql+psycopg://", "u:p@", "host:5432", "/db", "?a=b&password=c", "#f", "[::1]", ",")


@given(soup.texts(words=_URL), soup.texts(words=_URL))
def test_urls(left: str, right: str) -> None:
    urls.difference_in_words(left, right, key="DATABASE_URL", services=("db",))
    urls.host_only(left, right)

    assert "heron-72" not in urls.shown(f"postgresql://robin:heron-72@{left}")


IMAGE_CONFIG = {"Env": ["A=b"], "Volumes": {"/v": {}}, "Healthcheck": {"Timeout": 4}, "Labels": {}}


@given(soup.tables(MODEL), soup.tables(IMAGE_CONFIG), soup.texts())
def test_drift(model: dict[str, Any], config: dict[str, Any], word: str) -> None:
    image = ImageFact("sha256:1", (), None, {}, 0, "", "", "", (), (), config=json.dumps(config))
    made = ContainerFact(
        *("c", "n", "a", "p", "sha256:1", "running", 0, False, "", None, "", "", "", 0, False),
        labels={"com.docker.compose.config-hash": "x"},
        mounts=(MountFact("volume", "/x", word or "/"),),
        config=ContainerConfig(environment=(word,), command=(word,)),
    )
    with soup.only_ours():
        drift.drift(drift.as_created(model, [made], ["a"]), made, image, "y")


@given(soup.texts(words=("*", "[a]", "command:", "A_B")))
def test_rule(key: str) -> None:
    rule = AllowRule(key, "x")
    facts = EnvironmentFacts("ci", None, (ServiceFacts("a", ITEMS),))

    policy.broken([rule], [facts], date(2026, 1, 1))


@given(soup.tables(MODEL, RAW))
def test_reaches(model: dict[str, Any]) -> None:
    def is_inside(place: Any) -> bool:
        return str(place).startswith("/p/")

    with soup.only_ours():
        assert all(str(one) for one in reaches(model, is_inside))
    with soup.only_ours():
        assert all(str(one) for one in env_files(model, is_inside))


@given(soup.texts(FILES))
def test_services_of_a_model(text: str) -> None:
    """Compose's model is JSON of ours; only its words are anybody's."""
    from unstale.survey import services
    from unstale.survey.repository import Repository

    model = {
        "services": {
            text: {
                "image": text,
                "build": {"context": text, "dockerfile": text},
                "command": [text],
                "ports": [{"published": text, "target": 80}],
            }
        }
    }
    found = services.of_model(model, "/p")
    known = Repository(("Dockerfile",), lambda _: text)
    services.runner(known, found)
    assert services.database(known, found).value
