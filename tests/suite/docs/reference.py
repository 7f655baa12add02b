"""What docs/reference.md says, read off the code; `inv reference` writes it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from unstale import config, ns
from unstale.config import load
from unstale.errors import ConfigError, Fault, Outcome, exit_code

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference.md"
PACKAGE = ROOT / "tasks" / "unstale"

_WIDTH = 130
_HEAD = (
    "*Every task, option, key, code, document and variable.* This page is made from the code by"
    " `inv reference`; a test fails where it says something else. What things mean, and how"
    " they go together, the other pages say."
)

# What a key of [tool.unstale] is called by in the settings, where that differs.
_FIELDS = {"env_file": "env_files", "service": "services"}
SECTIONS: Mapping[str, tuple[str, Any]] = {
    "tool.unstale": ("", config.Settings),
    "tool.unstale.environments.NAME": ("environments.NAME", config.Environment),
    "tool.unstale.runner": ("runner", config.RunnerSettings),
    "tool.unstale.schema": ("schema", config.SchemaSettings),
    "tool.unstale.local": ("local", config.LocalSettings),
    "tool.unstale.deadlines": ("deadlines", config.Deadlines),
    "tool.unstale.verify": ("verify", config.VerifyRule),
    "tool.unstale.parity": ("parity", config.ParitySettings),
    "tool.unstale.parity.allow": ("parity.allow", config.AllowRule),
    "tool.unstale.receipts": ("receipts", config.ReceiptSettings),
    "tool.unstale.keep": ("keep", config.KeepSettings),
}
_LISTS = ("tool.unstale.verify", "tool.unstale.parity.allow")
# Found in the project or on the machine, where nothing is written: no constant is the default.
_FOUND = {
    ("environments.NAME", "compose-files"): "by convention",
    ("environments.NAME", "env-file"): "by convention",
    ("environments.NAME", "runner"): "by its name",
    ("environments.NAME", "database"): "by its image",
    ("", "strict"): "as the variable `CI` says",
}

READ = {
    "UNSTALE_TRUST": "`1`: the `unstale` command may run and fetch what the checkout names; "
    "`0`: `inv` may not",
    "UNSTALE_UNTRUSTED": "`1`: refuse a stack that reaches out of its containers",
    "UNSTALE_PLAIN": "`1`: nothing is drawn or coloured",
    "UNSTALE_CI": "`github` or `gitlab`: whose log this is; `0`: nobody's",
    "UNSTALE_DEBUG": "`1`: the traceback of an error that nobody expected",
}
_TOLD = {
    "UNSTALE_RUN": "the run's id",
    "UNSTALE_IMAGE": "the id of the image that the tests run in",
    "UNSTALE_DATABASE": "JSON: which database was migrated and proven, for the pytest plugin",
    "UNSTALE_WEB_5000": "on the host: where the port 5000 of the service `web` is; "
    "so for each published port",
}
# They mark processes, so that a run's own can be told from others; nobody sets them.
_MARKS = {"UNSTALE_RUN_TAG", "UNSTALE_EXEC", "UNSTALE_STARTED_BY"}


class Disk:
    """A project of one file: what *text* is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read_text(self, _path: Path) -> str:
        return self._text

    def exists(self, path: Path) -> bool:
        return path.name == "pyproject.toml"

    def glob(self, _root: Path, _pattern: str) -> tuple[Path, ...]:
        return ()


def _cell(text: str) -> str:
    said = re.sub(r"(, or )?\bNone: ", lambda it: "; else " if it[1] else "else ", text)
    return " ".join(said.split()).replace("``", "`").replace("|", "\\|")


def _prose(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


# Tasks


def _tasks() -> Iterator[str]:
    yield "\n## Tasks\n"
    yield _prose(
        "Each is typed as `inv TASK` or `unstale TASK`. Invoke's own options stand before the"
        " task: `--dry` changes nothing, `--echo` shows each command, `--help` explains the task"
        " that follows it."
    )
    for context in sorted(ns.to_contexts(), key=lambda one: str(one.name)):
        name = str(context.name)
        body = ns[name].body
        words = [one for one in context.args.values() if one.positional and not _repeats(one)]
        typed = " ".join((name, *(one.name.upper() for one in words)))
        yield f"\n### {name}\n"
        yield f"`{typed}`: {_cell((inspect.getdoc(body) or '').partition(chr(10))[0])}\n"
        options = [one for one in context.args.values() if one not in words]
        if words or options:
            yield "| option | what |\n|---|---|"
        yield from (_row(f"`{one.name.upper()}`", _cell(one.help or "")) for one in words)
        yield from (_row(_option(one), _cell(one.help or "")) for one in options)


def _repeats(option: Any) -> bool:
    return option.kind is list


def _option(option: Any) -> str:
    long, *short = (f"--{one}" if len(one) > 1 else f"-{one}" for one in option.names)
    value = "" if option.kind is bool else f" {option.name.upper().replace('-', '_')}"
    shown = ", ".join(f"`{one}{value}`" for one in (long, *short))
    by_default = option.default if option.kind in (int, str) else None
    return shown + (f" (`{by_default}`)" if by_default not in (None, "") else "")


# Settings


def keys(section: str) -> tuple[str, ...]:
    """The keys of a table of pyproject.toml: what its reader says that it knows."""
    header = f"[[{section}]]" if section in _LISTS else f"[{section}]"
    try:
        load(Path("/p"), Disk(f"{header}\n__none__ = 1\n"), {})
    except ConfigError as error:
        return tuple(error.cause.removeprefix("Known: ").removesuffix(".").split(", "))
    raise AssertionError(section)


def default(section: str, key: str) -> str:
    """As pyproject.toml would say it; empty: there is none."""
    short, kind = SECTIONS[section]
    if (short, key) in _FOUND:
        return _FOUND[short, key]
    if section == "tool.unstale" and key == "default-env":
        return f'`"{load(Path("/p"), Disk(""), {}).default_env}"`'
    given = _field(kind, key).default
    if given is dataclasses.MISSING:
        return "required" if section in _LISTS and "None" not in str(_type(kind, key)) else "none"
    return f"`{_toml(given)}`" if given not in (None, ()) else "none"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def _field(kind: Any, key: str) -> Any:
    found = {one.name: one for one in dataclasses.fields(kind)}
    name = key.replace("-", "_")
    return found.get(name) or found[_FIELDS[name]]


def _type(kind: Any, key: str) -> Any:
    return typing.get_type_hints(kind)[_field(kind, key).name]


def _kind(section: str, key: str) -> str:
    """What may be written, in words."""
    kind = SECTIONS[section][1]
    if (kind, key) == (config.RunnerSettings, "environment"):
        return "table of strings"
    if (kind, key) == (config.AllowRule, "must"):
        return "table of strings"
    if (kind, key) in {(config.Environment, "env-file"), (config.AllowRule, "service")}:
        return "string or list"
    return _spelt(_type(kind, key))


def _spelt(hint: Any) -> str:
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _spelt(next(one for one in parts if one is not type(None)))
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{json.dumps(one)}`" for one in parts)
    if typing.get_origin(hint) is tuple:
        return "list of strings"
    return {str: "string", Path: "string", float: "seconds", int: "number", bool: "boolean"}.get(
        hint, "date" if hint is date else str(hint)
    )


def _documented(kind: Any) -> dict[str, str]:
    """The docstring below each field or member of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for one, after in zip(body.body, body.body[1:], strict=False):
        target = one.target if isinstance(one, ast.AnnAssign) else None
        target = one.targets[0] if isinstance(one, ast.Assign) else target
        if (
            isinstance(target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[target.id] = inspect.cleandoc(str(after.value.value))
    return found


def _settings() -> Iterator[str]:
    yield "\n## Configuration\n"
    yield _prose(
        "Tables of `pyproject.toml`. What each key is for, and the conventions that stand in for"
        " it: [configuration](configuration.md)."
    )
    tables = {short.partition(".")[0] for short, _ in SECTIONS.values()} | {"suites"}
    for section, (_, kind) in SECTIONS.items():
        header = f"[[{section}]]" if section in _LISTS else f"[{section}]"
        yield f"\n### {header}\n\n| key | value | default | what |\n|---|---|---|---|"
        told = _documented(kind)
        for key in keys(section):
            if section == "tool.unstale" and key in tables:
                continue
            if (section, key) == ("tool.unstale.parity", "allow"):
                continue
            what = told.get(_field(kind, key).name, "")
            yield _row(f"`{key}`", _kind(section, key), default(section, key), _cell(what))
    yield "\n### [tool.unstale.suites]\n"
    yield "Any names, each with a list of strings: the paths and arguments of its tests."


# Outcomes


def _outcomes() -> Iterator[str]:
    yield "\n## Exit codes\n"
    yield "The worst decides, in this order.\n\n| outcome | code |\n|---|--:|"
    yield from (_row(one.value, str(exit_code(one))) for one in Outcome)
    yield "\nInvoke itself answers a mistyped option with 1; the `unstale` command with 2."
    yield "\n## Outcomes\n"
    yield _prose(
        "`outcome` of a document says in one word what went wrong, beside the usual code: a"
        " permission that a file lacks is 2, and a configuration that the engine can't run is 5."
    )
    yield ""
    yield "| outcome | code | what |\n|---|--:|---|"
    told = _documented(Fault)
    for one in Fault:
        yield _row(one.value, str(exit_code(one.outcome)), _cell(told.get(one.name, "")))


# Documents


def documents() -> dict[str, list[str]]:
    """Each document that tasks print, and the keys of its answer."""
    from unstale.schemas import names, text

    found = {}
    for name in names():
        schema = json.loads(text(name))
        answer = schema.get("$defs", {}).get("answer", schema)
        either = answer.get("anyOf", [answer]) if "properties" not in answer else [answer]
        found[name] = list(dict.fromkeys(k for one in either for k in one["properties"]))
    return found


def _documents() -> Iterator[str]:
    yield "\n## JSON documents\n"
    yield _prose(
        "With `--json` a task prints one document; `python -m unstale.schemas NAME` prints its"
        " schema, which has the form of every key. Here are those of an answer. What each means,"
        " and which task prints what: [output](output.md#json)."
    )
    yield "\n| document | keys |\n|---|---|"
    for name, found in documents().items():
        yield _row(f"`{name}`", ", ".join(f"`{key}`" for key in found if key != "schema"))


# Variables


def overriding() -> dict[str, str]:
    """Each variable that stands for a key: found by setting it."""
    plain = load(Path("/p"), Disk(""), {})
    found = {}
    for section, (short, _) in SECTIONS.items():
        for key in () if section in _LISTS or "NAME" in section else keys(section):
            path = ".".join(filter(None, (short, key)))
            variable = "UNSTALE_" + path.upper().replace(".", "_").replace("-", "_")
            if any(_changes(variable, value, plain) for value in ("exec", "none", "hmac", "7")):
                found[variable] = path
    return found


def _changes(variable: str, value: str, plain: Any) -> bool:
    try:
        # A key of its own, or signing is refused before it is looked at.
        return load(Path("/p"), Disk(""), {variable: value}) != plain
    except ConfigError:
        return variable.startswith("UNSTALE_RECEIPTS_")


def spelt_in_code() -> set[str]:
    """Each name of ours that is written in full in the package."""
    return {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"UNSTALE_[A-Z_]*[A-Z]", node.value)
    }


def known_variables() -> set[str]:
    """What this page has, and what only marks processes."""
    return {*overriding(), *READ, *_TOLD, *_MARKS}


def _variables() -> Iterator[str]:
    yield "\n## Variables\n"
    yield "Commands read these. Lists are split as a shell would; `false` and `0` are off.\n"
    yield "| variable | what |\n|---|---|"
    yield from (_row(f"`{name}`", f"overrides `{key}`") for name, key in overriding().items())
    yield from (_row(f"`{name}`", what) for name, what in READ.items())
    yield "\nTests are told these.\n\n| variable | what |\n|---|---|"
    yield from (_row(f"`{name}`", what) for name, what in _TOLD.items())


@cache
def written() -> str:
    """The page."""
    parts = (_tasks(), _settings(), _outcomes(), _documents(), _variables())
    return (
        _HEAD[0]
        + _prose(_HEAD[1])
        + "\n"
        + "\n".join(line for part in parts for line in part)
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
