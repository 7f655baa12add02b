"""S1: no value reaches a shell, and none becomes an option of docker's."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Checkout
from invoke import Context
from invoke.exceptions import Exit
from lightstack import fresh, gone
from shim import Shim, shim

from unstale import ns
from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.ports import BuildOptions, ComposeTarget, RunOptions

HOSTILE = (
    *("; touch PWNED #", "$(touch PWNED)", "`touch PWNED`", "a\ntouch PWNED", "a && touch PWNED"),
    *("--privileged", "-f/etc/passwd", "-v/:/host", "*", "a|touch PWNED", "${IFS}touch${IFS}PWNED"),
    *("'; touch PWNED; '", '"; touch PWNED; "', "a b", "x" * 3000, "\u202egnp.exe", "\x1b[2J"),
    *("a>PWNED", "--help", "-", "a\0b"),
)
OPTIONS = [
    (name, one.name)
    for name in sorted(ns.task_names)
    for one in list(inspect.signature(ns[name].body).parameters.values())[1:]
    if one.annotation in ("str", "str | None", "list[str]")
]
# What else a task can't do without.
NEEDED: dict[str, object] = {"left": "test", "right": "test", "envs": "test", "which": "latest"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Checkout, Shim]]:
    folder = tmp_path_factory.mktemp("hostile")
    checkout = fresh(folder)
    yield checkout, shim(folder / "bin")
    gone(checkout)


def given(name: str, option: str, value: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for one in list(inspect.signature(ns[name].body).parameters.values())[1:]:
        many = one.annotation == "list[str]"
        if one.name == option:
            found[one.name] = [value] if many else value
        elif many:
            found[one.name] = []
        elif one.default is one.empty:
            found[one.name] = NEEDED.get(one.name, "x")
    return found


@pytest.mark.parametrize(("name", "option"), OPTIONS)
@pytest.mark.parametrize(
    "values",
    [HOSTILE[:1] + HOSTILE[5:6], pytest.param(HOSTILE, marks=pytest.mark.long)],
    ids=["two", "all"],
)
def test_through_every_option_of_every_task(
    project: tuple[Checkout, Shim],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    option: str,
    values: tuple[str, ...],
) -> None:
    checkout, front = project
    monkeypatch.chdir(checkout.root)
    monkeypatch.setenv("PATH", front.env["PATH"])
    monkeypatch.setattr(sys, "argv", ["unstale", name])
    front.misbehave(dict.fromkeys(("compose build", "compose up", "create", "pull"), "exit:1"))
    front.seen()

    for value in values:
        if option == "html" and "/" in value:
            continue  # a path that may be written
        try:
            ns[name](Context(), **given(name, option, value))
            code = 0
        except Exit as end:
            code = end.code
            sys.stderr.write(str(end.message))
        said = capsys.readouterr()
        text = said.out + said.err

        assert code in (0, 2, 3, 4, 5), (value, text)
        assert "BUG" not in text, (value, text)
        assert "Traceback" not in text
        words = [word for argv in front.seen() for word in argv]
        assert not [
            word for word in words if word == value and value.startswith("-") and value != "-"
        ]

    assert not list(checkout.root.parent.rglob("PWNED"))
    assert not Path("PWNED").exists()


# What every call is: the exact words, of which a user's value is one.

TARGET = ComposeTarget("demo", (Path("/p/compose.yml"),))
HEAD = ["compose", "--file", "/p/compose.yml", "--project-name", "demo"]


@pytest.fixture
def docker(tmp_path: Path) -> tuple[DockerCli, Shim]:
    front = shim(tmp_path / "bin")
    done = 'answer:[0, "", ""]'
    front.misbehave(dict.fromkeys(("compose build", "compose run", "exec", "pull", "cp"), done))
    return DockerCli(SystemProcess(), {**os.environ, **front.env}, 30.0), front


@pytest.mark.parametrize("value", [v for v in HOSTILE if "\0" not in v], ids=lambda v: repr(v[:12]))
def test_a_value_is_one_word_of_the_command(
    docker: tuple[DockerCli, Shim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    client, front = docker
    monkeypatch.chdir(tmp_path)

    client.build(TARGET, ["app"], BuildOptions(arguments=(f"NAME={value}",)), print)
    client.run(TARGET, "app", RunOptions(("pytest", value), 30, name="n"), print)
    client.execute("c", RunOptions(("sh", "-c", 'exec psql "$@"', "psql", value), 30), print)
    client.pull(value)

    built, ran, executed, pulled = front.seen()
    assert built == [*HEAD, "--progress", "plain", "build", f"--build-arg=NAME={value}", "app"]
    assert ran[: len(HEAD)] == HEAD
    assert ran[-3:] == ["app", "pytest", value]
    assert executed[0] == "exec"
    assert executed[-6:] == ["c", "sh", "-c", 'exec psql "$@"', "psql", value]
    assert pulled == ["pull", "--quiet", "--", value]
    assert not list(tmp_path.rglob("PWNED"))
