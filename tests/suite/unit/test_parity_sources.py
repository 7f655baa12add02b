"""Who decided a value: each way in which compose lets a variable have one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unstale.parity import envfile, yaml_lines
from unstale.parity.envfile import EnvFile
from unstale.parity.model import Field, Item, ServiceFacts, Source, Variable
from unstale.parity.sources import (
    Sources,
    Undefined,
    attach,
    chain,
    definitions,
    undefined,
)

REPOSITORY = Path(__file__).parents[3]
ROOT = Path("/project")
COMPOSE = ROOT / "docker" / "compose.yml"


def env_file(name: str, text: str) -> EnvFile:
    return envfile.parse(ROOT / name, text.encode())


def made(
    service: dict[str, Any], given: str = "", shell: tuple[str, ...] = (), **files: str
) -> Sources:
    """The sources of a service ``a``; *given* is what --env-file given.env holds.

    JSON is YAML: each key and each entry has a line of its own.
    """
    own = {ROOT / f"{name}.env": env_file(f"{name}.env", text) for name, text in files.items()}
    raw = {"services": {"a": service}}
    text = json.dumps(raw, indent=1)
    return Sources(
        raw,
        own.get,
        definitions([env_file("given.env", given)], ROOT),
        yaml_lines.read([COMPOSE], lambda _: text),
        ROOT,
        shell,
    )


def compose(line: int, kind: Any = "environment", variable: str = "") -> Source:
    return Source(kind, "docker/compose.yml", line, variable)


GIVEN = Source("interpolation", "given.env", 2, "VAR")


def alone(found: Source | None) -> Source | None:
    """Who decided, without the list of all that had a part in it."""
    return replace(found, variables=()) if found else None


@pytest.mark.parametrize(
    ("written", "given", "expected"),
    [
        ("literal", "", compose(5)),
        ("", "", compose(5)),
        ("pa$$VAR", "#\nVAR=1", compose(5)),
        ("${VAR}", "#\nVAR=1", GIVEN),
        ("a $VAR b", "#\nVAR=1", GIVEN),
        ("$$$VAR", "#\nVAR=1", GIVEN),
        ("${VAR:-x}", "#\nVAR=1", GIVEN),
        ("${VAR:-x}", "", compose(5, "default", "VAR")),
        ("${VAR:-x}", "VAR=", compose(5, "default", "VAR")),
        ("${VAR-x}", "#\nVAR=", GIVEN),
        ("${VAR-x}", "VAR", compose(5, "default", "VAR")),
        ("${VAR:?say it}", "#\nVAR=1", GIVEN),
        ("${OTHER:+x}${VAR}", "#\nVAR=1", GIVEN),
        ("${OTHER:-${VAR}}", "#\nVAR=1", compose(5, "default", "OTHER")),
        ("$VAR${VAR}", "#\nVAR=1", GIVEN),
        ("${VAR}/${OTHER:-x}", "#\nVAR=1", compose(5, "interpolation", "VAR, OTHER")),
        ("pass$word$VAR", "#\nVAR=1", GIVEN),
        ("pass$word", "#\nVAR=1", compose(5)),
        ("${open", "", compose(5)),
        ("$", "", compose(5)),
    ],
)
def test_a_value_of_environment_is_the_files_or_a_variables(
    written: str, given: str, expected: Source
) -> None:
    found = made({"environment": {"KEY": written}}, given).variable("a", "KEY")

    assert alone(found) == expected


def test_the_rest_of_a_password_is_not_named_as_a_variable() -> None:
    found = made({"environment": {"PASS": "ab$UsErPassWoRd"}})

    assert "UsErPassWoRd" not in repr(found.variable("a", "PASS"))


@pytest.mark.parametrize("environment", [{"KEY": None}, ["KEY"]], ids=["mapping", "list"])
@pytest.mark.parametrize(
    ("given", "shell", "expected"),
    [
        ("#\nKEY=1", (), Source("interpolation", "given.env", 2, "KEY")),
        ("KEY=1", ("KEY",), Source("interpolation", variable="KEY")),
        ("", (), compose(5)),
    ],
    ids=["env file", "shell", "nowhere"],
)
def test_a_bare_key_is_of_whoever_has_it(
    environment: Any, given: str, shell: tuple[str, ...], expected: Source
) -> None:
    service = {"environment": environment, "env_file": [{"path": "/project/own.env"}]}
    found = made(service, given, shell, own="KEY=not this").variable("a", "KEY")

    assert found == expected


def test_the_shell_wins_over_files_and_defaults() -> None:
    found = made({"environment": {"KEY": "${VAR:-x}"}}, "VAR=1", shell=("VAR",))

    assert alone(found.variable("a", "KEY")) == Source("interpolation", variable="VAR")


def test_the_last_env_file_that_has_a_key_decides_and_in_it_the_last_line() -> None:
    service = {
        "environment": ["OWN=1"],
        "env_file": [
            {"path": "/project/one.env", "required": True},
            {"path": "/project/${NAME:-two}.env", "required": True},
            {"path": "/project/absent.env", "required": False},
        ],
    }
    found = made(service, one="A=1\nB=1\nOWN=2\nS=1\n", two="A=2\n\n# more\nA=3\nS\n")

    assert found.variable("a", "A") == Source("env-file", "two.env", 4)
    assert found.variable("a", "B") == Source("env-file", "one.env", 2)
    assert found.variable("a", "S") == Source("env-file", "one.env", 4)
    assert found.variable("a", "OWN") == compose(5)
    assert found.variable("a", "FROM_IMAGE") is None


def test_a_file_is_named_relative_to_the_project() -> None:
    file = envfile.parse(Path("/elsewhere/x.env"), b"A=1")

    assert definitions([file], ROOT)["A"] == Variable(
        "1", Source("env-file", "../elsewhere/x.env", 1)
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, []),
        ("x.env", ["x.env"]),
        (["x.env", {"path": "y.env", "required": False}], ["x.env", "y.env"]),
        ([{"path": "${A}/${B:-b}/$A"}], ["1/b/1"]),
        ([{"path": "${C:-${A}}/a$$b"}], ["1/a$b"]),
        ([{"path": "${EMPTY-x}${EMPTY:-y}"}], ["y"]),
    ],
)
def test_the_chain_of_env_files_is_read_in_every_form(written: Any, expected: list[str]) -> None:
    values = definitions([env_file("given.env", "A=1\nEMPTY=")], ROOT)

    assert chain({"env_file": written}, values) == tuple(map(Path, expected))


SERVICE = {
    "image": "${REPOSITORY:-app}:1",
    "build": {"target": "runner", "args": {"A": "${VAR}"}},
    "command": ["serve", "--port=80", "-c", "fsync=off"],
    "entrypoint": ["tini", "--port=1"],
    "healthcheck": {"interval": "1s"},
    "tmpfs": ["/data"],
    "volumes": [{"type": "bind", "target": "/y"}],
    "labels": {"com.example.tier": "back"},
    "extra_hosts": ["db.example.com:127.0.0.1"],
    "ports": ["127.0.0.1:8000:80"],
    "networks": {"back": {"aliases": ["x"]}},
    "user": "1000",
}


def written(text: str) -> int:
    """The line of what is like *text* in SERVICE."""
    lines = json.dumps({"services": {"a": SERVICE}}, indent=1).splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("where", "item", "expected"),
    [
        ("image", "name", compose(4, "default", "REPOSITORY")),
        ("image", "build.target", compose(6, "compose")),
        ("image", "build.args.A", GIVEN),
        ("image", "build.context", compose(5, "compose")),
        ("image", "platform", None),
        ("command", "--port", '"--port=80"'),
        ("command", "port", '"--port=80"'),
        ("command", "fsync", '"fsync=off"'),
        ("command", "--port before word 2", '"--port=80"'),
        ("command", "word 1", '"command"'),
        ("command", "entrypoint --port", '"--port=1"'),
        ("command", "entrypoint word 1", '"entrypoint"'),
        ("healthcheck", "interval", '"interval"'),
        ("healthcheck", "retries", '"healthcheck"'),
        ("volumes", "/data", '"/data"'),
        ("volumes", "/y", compose(28, "compose")),
        ("volumes", "/y driver_opts.type", compose(28, "compose")),
        ("volumes", "/none", '"volumes"'),
        ("other", "labels.com.example.tier", '"com.example.tier"'),
        ("other", "labels.com.example", '"labels"'),
        ("other", "extra_hosts.db.example.com", '"db.example.com:'),
        ("other", "ports.80/tcp", '"127.0.0.1:8000:80"'),
        ("other", "networks.aliases", '"networks"'),
        ("other", "networks.back", '"back": {'),
        ("other", "network back.driver", '"networks"'),
        ("other", "user", '"user"'),
        ("other", "init", None),
        ("other", "project", None),
    ],
)
def test_what_is_no_variable_has_the_line_of_the_compose_file(
    where: Field, item: str, expected: Source | str | None
) -> None:
    found = made(SERVICE, "#\nVAR=1").of("a", Item(where, item, None))

    if isinstance(expected, str):
        expected = compose(written(expected), "compose")
    assert alone(found) == expected


# As compose prints them with --no-interpolate, the torn mount included.
TAKING = {
    "build": {"args": ["VAR", "OTHER=${PORT:-1}"]},
    "command": ["serve", "--workers", "${VAR}", "--port=${PORT:-80}"],
    "entrypoint": "tini --level ${VAR} --",
    "environment": {"KEY": "${VAR}${PORT:-${LEVEL}}", "VAR": "${VAR}"},
    "extra_hosts": ["db.example.com:${VAR}"],
    "healthcheck": {"test": ["CMD", "curl", "${VAR}"]},
    "labels": ["com.example.tier=${VAR}", "other=1"],
    "ports": ["${PORT:-80}:80", {"target": 90, "published": "${VAR}"}],
    "tmpfs": ["/data:size=${VAR}"],
    "volumes": [{"source": "${DIR", "target": "-x}", "type": "volume", "volume": {}}],
}


@pytest.mark.parametrize(
    ("where", "item", "variable", "variables"),
    [
        ("command", "--workers", "VAR", ("VAR",)),
        ("command", "--port", "PORT", ("PORT",)),
        ("command", "word 1", "", ()),
        ("command", "--unknown", "", ("VAR", "PORT")),
        ("command", "entrypoint --level before word 2", "VAR", ("VAR",)),
        ("environment", "KEY", "VAR, PORT", ("VAR", "PORT", "LEVEL")),
        ("healthcheck", "test", "VAR", ("VAR",)),
        ("image", "build.args.VAR", "VAR", ("VAR",)),
        ("image", "build.args.OTHER", "PORT", ("PORT",)),
        ("other", "extra_hosts.db.example.com", "VAR", ("VAR",)),
        ("other", "labels.com.example.tier", "VAR", ("VAR",)),
        ("other", "labels.other", "", ()),
        ("other", "ports.80/tcp", "PORT", ("PORT",)),
        ("other", "ports.90/tcp", "VAR", ("VAR",)),
        ("volumes", "/data", "VAR", ("VAR",)),
        ("volumes", "/x", "DIR", ("DIR",)),
    ],
)
def test_an_item_knows_the_variables_that_its_own_text_names(
    where: Field, item: str, variable: str, variables: tuple[str, ...]
) -> None:
    found = made(TAKING, "#\nVAR=1\nLEVEL=1\nDIR=1").of("a", Item(where, item, None))

    assert found
    assert (found.variable, found.variables) == (variable, variables)


def test_what_one_variable_decides_in_a_command_is_the_env_files_line() -> None:
    found = made(TAKING, "#\nVAR=1").of("a", Item("command", "--workers", "1"))

    assert alone(found) == GIVEN


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"environment": {"A": "${A:-1}", "B": None}}, set()),
        ({"environment": ["A=${A}", "B"]}, set()),
        ({"environment": {"L": "${Q:-${A:-x}}"}}, {"Q", "A"}),
        ({"volumes": [{"source": "${A", "target": "-e}", "type": "volume"}]}, {"A"}),
        ({"build": {"args": {"A": None, "N": "${B}"}}}, {"A", "B"}),
        ({"env_file": [{"path": "/x-${A:-q}.env"}]}, {"A"}),
        ({"x-more": {"L": "${A}"}}, set()),
        ({"command": "x$$A pa$SsWoRd"}, set()),
    ],
)
def test_variables_that_become_something_else_are_known(
    service: dict[str, Any], expected: set[str]
) -> None:
    assert made(service, "A=1\nB=1").interpolated() == expected


def test_networks_volumes_secrets_and_env_files_take_variables_too() -> None:
    raw = {
        "services": {"a": {"env_file": "/project/own.env"}},
        "volumes": {"data": {"driver_opts": {"device": "${A}"}}},
        "secrets": {"key": {"environment": "B"}, "file": None},
        "configs": {"text": {"content": "hello ${C:-you}"}},
        "x-shared": {"D": "${A}${D}"},
    }
    own = env_file("own.env", "E=${F:-1}\nG=${G:-2}\n")
    given = definitions([env_file("given.env", "A=1\nD=$A\n")], ROOT)
    lines = yaml_lines.read([], lambda _: "")

    found = Sources(raw, {ROOT / "own.env": own}.get, given, lines, ROOT)

    assert found.interpolated() == {"A", "B", "C", "F"}


def test_sources_are_put_on_the_items_that_have_none() -> None:
    known = Source("image", "postgres:17")
    facts = (
        ServiceFacts(
            "a", (Item("environment", "A", "1"), Item("environment", "B", "2", source=known))
        ),
        ServiceFacts("unknown", (Item("environment", "A", "1"),)),
    )

    one, two = attach(facts, made({"environment": {"A": "1", "B": "2"}}))

    assert [item.source for item in one.items] == [compose(5), known]
    assert two == facts[1]


def test_an_undefined_variable_is_told_by_its_place_and_not_by_its_name() -> None:
    raw = {
        "services": {
            "a": {
                "environment": ["PASS=x$SeCrEt"],
                "command": ["run", "${X:-$SeCrEt}"],
                "image": "x:$OTHER",
            }
        }
    }
    text = json.dumps(raw, indent=1)
    lines = yaml_lines.read([COMPOSE], lambda _: text)
    files = [env_file("x.env", "A=1\nTOKEN=y$SeCrEt\nB=$$SeCrEt\n")]

    found = undefined(["SeCrEt"], raw, files, lines, ROOT)

    assert found == (
        Undefined("PASS", compose(5)),
        Undefined("", compose(9, "compose")),
        Undefined("TOKEN", Source("env-file", "x.env", 2)),
    )
    assert "SeCrEt" not in repr(found)


@pytest.fixture(scope="module")
def ci() -> Sources:
    """This repository's CI, with what compose 2.26 prints of it with --no-interpolate."""
    env, file = REPOSITORY / "env/.env.ci", REPOSITORY / "docker/docker-compose.ci.yml"
    own = [{"path": str(env), "required": True}]
    needed = "${POSTGRES_USER:?start compose with --env-file env/.env.ci}"
    raw = {
        "services": {
            "app": {"env_file": own},
            "postgres": {
                "environment": {"POSTGRES_USER": needed, "POSTGRES_INITDB_ARGS": "--encoding=UTF8"}
            },
        }
    }
    lines = yaml_lines.read([file], Path.read_text)
    given = definitions([envfile.read(env)], REPOSITORY)
    return Sources(raw, envfile.read, given, lines, REPOSITORY)


def _line(path: str) -> Callable[[str], int]:
    return lambda text: next(
        number
        for number, line in enumerate((REPOSITORY / path).read_text().splitlines(), 1)
        if line.strip().startswith(text)
    )


def test_this_repositorys_ci_tells_who_decided_each_value(ci: Sources) -> None:
    env, file = _line("env/.env.ci"), _line("docker/docker-compose.ci.yml")

    assert alone(ci.variable("postgres", "POSTGRES_USER")) == Source(
        "interpolation", "env/.env.ci", env("POSTGRES_USER="), "POSTGRES_USER"
    )
    assert ci.variable("postgres", "POSTGRES_INITDB_ARGS") == Source(
        "environment", "docker/docker-compose.ci.yml", file("POSTGRES_INITDB_ARGS:")
    )
    assert ci.variable("app", "LOG_LEVEL") == Source("env-file", "env/.env.ci", env("LOG_LEVEL="))
