"""How the project's tests run, and which migrations it has, read from its files. Pure."""

from __future__ import annotations

import ast
import configparser
import json
import posixpath
import re
import shlex
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unstale.survey.repository import Finding, Repository

__all__ = [
    "Migrations",
    "command",
    "in_contexts",
    "launched",
    "migrations",
    "relative_to",
    "suites",
    "test_folders",
]

_REQUIREMENTS = ("*requirements*.txt", "*requirements*.in", "dev.txt", "test.txt", "local.txt")
_PYTEST = re.compile(r"pytest\b")
# What starts a program of an environment that is not on the path.
_LAUNCHERS = frozenset({"uv", "poetry", "pdm", "pipenv", "hatch", "rye"})
_PYTHON = re.compile(r"python[0-9.]*")
_SHELL = re.compile(r"[;&|<>$`\n]")
_SUITES = ("unit", "integration", "smoke", "regression")
_INTEGRATION = ("integration", "e2e", "functional")


@dataclass(frozen=True, slots=True)
class Migrations:
    """Alembic, as the project uses it."""

    ini: str
    """Relative to the project; pyproject.toml counts."""
    script: str
    """The folder of env.py, relative to the project; empty if it is not there."""
    metadata: str | None
    """``module:attribute`` of the models, as env.py imports them."""
    unsure: str = ""


def command(repository: Repository) -> tuple[tuple[str, ...], Finding]:
    """The words that run the tests, and where that is to be seen."""
    if where := _pytest(repository):
        return ("pytest",), Finding("test command", "pytest", where)
    manage = next(iter(repository.called("manage.py")), "")
    if manage and "django" in repository.text(manage):
        words = ("python", manage, "test")
        doubt = (
            "no requirement names pytest; a run counts as green only with a JUnit file, which"
            " Django's runner writes with unittest-xml-reporting (set junit to it), or pytest"
        )
        return words, Finding("test command", " ".join(words), manage, doubt)
    tests = next(iter(repository.called("test_*.py", "*_test.py", "conftest.py")), "")
    doubt = "no requirement names pytest" if tests else "no test was found"
    return ("pytest",), Finding("test command", "pytest", tests, doubt)


def launched(command: str) -> tuple[str, ...]:
    """The words of a service's *command* up to ``pytest``, if what is before it only starts it.

    ``uv run --frozen pytest -q`` gives all but the last. Empty where pytest is called by its name,
    by a shell, or not at all. Compose's own model has a list, which is read as JSON.
    """
    try:
        words = json.loads(command) if command.startswith("[") else shlex.split(command)
    except (ValueError, RecursionError):
        return ()
    before = tuple(words[: words.index("pytest")]) if "pytest" in words else ()
    if not before or any(_SHELL.search(str(word)) for word in before):
        return ()
    is_launched = before[0] in _LAUNCHERS and "run" in before
    is_module = bool(_PYTHON.fullmatch(before[0])) and before[-1] == "-m"
    return (*before, "pytest") if is_launched or is_module else ()


def _pytest(repository: Repository) -> str:
    for name in repository.called("pyproject.toml"):
        document = _toml(repository.text(name))
        if any(_PYTEST.match(word) for word in _requirements(document)):
            return repository.naming([name], "pytest") or name
        if "pytest" in _mapping(document.get("tool")):
            return repository.naming([name], "tool.pytest") or name
    for name in repository.called("pytest.ini", ".pytest.ini"):
        return name
    lines = repository.called(*_REQUIREMENTS, "Pipfile", "environment.yml", "setup.py")
    if where := repository.naming(lines, "pytest"):
        return where
    return repository.naming(repository.called("setup.cfg", "tox.ini"), "pytest")


def _requirements(document: Mapping[str, Any]) -> Iterator[str]:
    """The names of what pyproject.toml asks for, in any of the places for it."""
    project, tool = _mapping(document.get("project")), _mapping(document.get("tool"))
    lists = [project.get("dependencies"), *_mapping(project.get("optional-dependencies")).values()]
    lists += _mapping(document.get("dependency-groups")).values()
    for one in ("uv", "pdm"):
        more = _mapping(tool.get(one)).get("dev-dependencies")
        lists += [more, *_mapping(more).values()]
    poetry = _mapping(tool.get("poetry"))
    groups = [_mapping(g).get("dependencies") for g in _mapping(poetry.get("group")).values()]
    lists += [poetry.get("dependencies"), poetry.get("dev-dependencies"), *groups]
    for words in lists:
        if isinstance(words, list | Mapping):
            yield from (word for word in words if isinstance(word, str))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def test_folders(repository: Repository) -> tuple[str, ...]:
    """The folders that tests are in, the least deep first, and none in another."""
    django = ("tests.py",) if repository.called("manage.py") else ()
    tests = repository.called("test_*.py", "*_test.py", *django)
    folders = sorted({_tests_root(name) for name in tests}, key=lambda f: (f.count("/"), f))
    found: list[str] = []
    for folder in folders:
        if not any(folder == one or folder.startswith(f"{one}/") for one in found):
            found.append(folder)
    return tuple(found)


test_folders.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it


def _tests_root(name: str) -> str:
    folders = name.split("/")[:-1]
    for depth, folder in enumerate(folders, 1):
        if folder in ("tests", "test"):
            return "/".join(folders[:depth])
    return "/".join(folders) or "."


def suites(repository: Repository) -> Mapping[str, tuple[str, ...]]:
    """The suites whose folders say what they are, with their paths."""
    known = repository.folders()
    found: dict[str, tuple[str, ...]] = {}
    for root in test_folders(repository):
        for suite in _SUITES:
            names = _INTEGRATION if suite == "integration" else (suite,)
            paths = tuple(f"{root}/{one}" for one in names if f"{root}/{one}" in known)
            if paths:
                found[suite] = (*found.get(suite, ()), *paths)
    return found


def migrations(repository: Repository) -> Migrations | None:
    """Alembic's configuration, scripts and models; None if there is none."""
    inis = [
        name for name in repository.called("alembic.ini", "*.ini") if _location(repository, name)
    ]
    if not inis:
        inis = [
            name
            for name in repository.called("pyproject.toml")
            if "alembic" in _mapping(_toml(repository.text(name)).get("tool"))
        ]
    if not inis:
        return None
    ini, *others = inis
    script = _script(repository, ini)
    env = f"{script}/env.py"
    metadata = _metadata(repository.text(env)) if repository.has(env) else None
    doubts = [f"{', '.join(others)} may be meant"] if others else []
    doubts += [] if repository.has(env) else [f"{env} is not there"]
    return Migrations(ini, script if repository.has(env) else "", metadata, "; ".join(doubts))


def _script(repository: Repository, ini: str) -> str:
    """The folder that *ini* names, which may have ``%(here)s`` and a package in it."""
    location = _location(repository, ini) or "alembic"
    folder = posixpath.dirname(ini)
    plain = location.replace("%(here)s", ".").partition(":")[2] or location
    plain = plain.replace("%(here)s", ".")
    for one in (plain, location.replace(":", "/").replace(".", "/")):
        path = posixpath.normpath(posixpath.join(folder, one))
        if repository.has(f"{path}/env.py"):
            return path
    return posixpath.normpath(posixpath.join(folder, plain))


def _location(repository: Repository, name: str) -> str:
    if name.endswith(".toml"):
        tool = _mapping(_toml(repository.text(name)).get("tool"))
        return str(_mapping(tool.get("alembic")).get("script_location") or "alembic")
    # Not allow_no_value: with it, CPython 3.11 stumbles over a continued line.
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(repository.text(name))
    except configparser.Error:
        return ""
    return parser.get("alembic", "script_location", fallback="") or ""


def _metadata(text: str) -> str | None:
    """What env.py gives to ``target_metadata``, as module and attribute."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    modules: dict[str, str] = {}
    names: dict[str, str] = {}
    target = ""
    for node in tree.body:
        match node:
            case ast.Import():
                modules |= {a.asname or a.name: a.name for a in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names |= {a.asname or a.name: f"{module}:{a.name}" for a in node.names}
            case ast.Assign(targets=[ast.Name(id="target_metadata")], value=value):
                target = _dotted(value)
            case ast.AnnAssign(target=ast.Name(id="target_metadata"), value=ast.expr() as value):
                target = _dotted(value)
            case _:
                pass
    return _address(target, modules, names)


def _address(target: str, modules: Mapping[str, str], names: Mapping[str, str]) -> str | None:
    first, _, rest = target.partition(".")
    if first in names:
        return f"{names[first]}.{rest}" if rest else names[first]
    for alias in sorted(modules, key=len, reverse=True):
        if target.startswith(f"{alias}."):
            return f"{modules[alias]}:{target.removeprefix(f'{alias}.')}"
    return None


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def relative_to(path: str, folder: str) -> str | None:
    """*path* as seen from *folder*; None if it is not in it."""
    if folder == "":
        return path
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else None


def in_contexts(path: str, contexts: Sequence[str]) -> str | None:
    """The innermost of *contexts* that has *path* in it."""
    holding = [one for one in contexts if relative_to(path, one) is not None]
    return max(holding, key=len, default=None)
