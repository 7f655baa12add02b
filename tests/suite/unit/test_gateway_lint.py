"""Whatever unstale does to the world goes through one gateway; a new way around it shows here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import unstale

PACKAGE = Path(unstale.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

MODULES = {"subprocess", "pty", "pexpect", "multiprocessing"}
OS_CALLS = {"system", "popen", "fork", "forkpty", "startfile", "posix_spawn", "posix_spawnp"}
OS_PREFIXES = ("exec", "spawn")
BUILTINS = {"eval", "exec", "compile", "__import__"}
CONTEXTS = {"c", "ctx", "_ctx", "context"}

# A file of the package, and why it may start a process, or run code, itself.
ALLOWED = {
    "adapters/process.py": "the gateway",
    "adapters/launcher.py": "stands in front of what python-on-whales starts",
    "adapters/watchdog.py": "outlives the process that the gateway is in",
    "adapters/leases.py": "starts the watchdog, which must outlive the gateway's commands",
    "adapters/database/probe.py": "runs in the project's Python, where unstale is not",
    "image/statcache.py": "our own listing in a second process, without an argument of a user",
    "pytest_plugin/database.py": "runs in the tests' process; the gateway is not loaded there",
    "pytest_plugin/migrations.py": "likewise",
}


def ways_around(source: str) -> Iterator[tuple[int, str]]:
    """Each place at which *source* starts a process, or runs a text, and how."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [one.name for one in names if one.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module), names=names):
                found = [one.name for one in names if module == "os" and _is_os_call(one.name)]
                found += [module] if module.partition(".")[0] in MODULES else []
            case ast.Call():
                found = [ast.unparse(node.func)] if _starts_something(node) else []
            case _:
                found = []
        yield from ((node.lineno, how) for how in found)


def _starts_something(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id=name):
            is_one = name in BUILTINS
        case ast.Attribute(value=ast.Name(id="os"), attr=name):
            is_one = _is_os_call(name)
        case ast.Attribute(value=ast.Name(id=owner), attr="run" | "sudo"):
            is_one = owner in CONTEXTS
        case ast.Attribute(attr=name):
            is_one = name.startswith("create_subprocess")
        case _:
            is_one = False
    return is_one or any(
        one.arg == "shell" and isinstance(one.value, ast.Constant) and one.value.value is True
        for one in call.keywords
    )


def _is_os_call(name: str) -> bool:
    return name in OS_CALLS or name.startswith(OS_PREFIXES)


def test_nothing_goes_around_the_gateway() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): [
            f"line {line}: {how}" for line, how in ways_around(path.read_text())
        ]
        for path in SOURCES
    }

    assert {name: hows for name, hows in found.items() if hows and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not found[name]] == []  # a permission nobody needs


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "import subprocess as quiet",
        "from subprocess import run",
        "import pty",
        "import os\nos.system('x')",
        "import os\nos.popen('x')",
        "import os\nos.execvp('x', [])",
        "from os import system",
        "def task(c):\n    c.run('x')",
        "def task(ctx):\n    ctx.sudo('x')",
        "eval('x')",
        "exec('x')",
        "f(shell=True)",
        "asyncio.create_subprocess_shell('x')",
    ],
)
def test_each_way_around_is_seen(source: str) -> None:
    assert list(ways_around(source))


def test_every_task_is_one_that_heeds_dry_and_echo() -> None:
    from unstale import ns
    from unstale.invocations.boundary import QuietTask

    assert ns.task_names
    assert [name for name in ns.task_names if not isinstance(ns[name], QuietTask)] == []


def test_compose_is_never_asked_for_the_exit_code_of_a_service() -> None:
    # 2.26 and older answer 0 when a dependency ended the run (docker/compose#11715).
    words = ("--exit-code-from", "--abort-on-container-exit", "--abort-on-container-failure")
    literals = (
        (path, node.value)
        for path in SOURCES
        if path.name != "equivalents.py"  # which reads them in scripts of others
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )

    # A sentence may speak of them; an argument is the word alone.
    assert [path.name for path, text in literals if text.startswith(words)] == []
