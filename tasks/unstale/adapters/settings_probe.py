"""Asks a Settings class itself for its variables, by importing it in the project's Python.

Only where the project says which class: importing runs the project's code. That
code gets an environment of ours, so it sees no secret of this shell, and what it
prints is thrown away. What is asked is not what the settings are: no object of
the class is made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unstale.errors import TimedOut, Unavailable
from unstale.jsontext import read_json
from unstale.ports import Command, Process

__all__ = ["Probed", "probe_settings"]

_SENTINEL = "unstale-settings:"
_DEADLINE_S = 20.0
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
# Wider than the mask's rules: what is held back here is only not known.
_HELD_BACK = "PASS|PWD|SECRET|TOKEN|KEY|DSN|CRED|SALT|PRIVATE|JWT|AUTH|COOKIE|CERT|WEBHOOK"

# Runs on any Python from 3.8 on, with pydantic 1 or 2. No default of a secret is
# printed: not one of a secret's type, nor one of a secret's name.
_QUESTION = r"""
import enum, importlib, inspect, json, os, re, sys

module, _, path = sys.argv[1].partition(":")
SECRET = re.compile(sys.argv[2], re.I)
SENTINEL = sys.argv[3]
out = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.dup2(1, 2)


def names_v2(cls):
    config = cls.model_config
    try:
        from pydantic_settings.sources import EnvSettingsSource
        source = EnvSettingsSource(cls)
        ask = source._extract_field_info
    except Exception:
        prefix = config.get("env_prefix") or ""
        return {name: [prefix + name] for name, field in cls.model_fields.items()
                if field.validation_alias is None}
    return {name: list(dict.fromkeys(one[1] for one in ask(field, name)))
            for name, field in cls.model_fields.items()}


def rule_of(kind):
    parts = [part for part in getattr(kind, "__args__", None) or () if part is not type(None)]
    if "Union" in str(getattr(kind, "__origin__", "")) or type(kind).__name__ == "UnionType":
        return rule_of(parts[0]) if len(parts) == 1 else None
    if not isinstance(kind, type):
        return None
    rules = ((bool, "bool"), (int, "int"), (float, "float"), (str, "text"))
    return next((rule for plain, rule in rules if issubclass(kind, plain)), None)


def default_of(value):
    value = value.value if isinstance(value, enum.Enum) else value
    if value is None:
        return {"state": "none"}
    if type(value) in (bool, int, float, str):
        return {"state": "known", "value": value}
    return {"state": "unknown"}


def is_customised(cls):
    for name in ("settings_customise_sources", "customise_sources"):
        for one in (cls, getattr(cls, "__config__", None)):
            method = getattr(one, name, None)
            if method is not None and not method.__module__.startswith("pydantic"):
                return True
    return False


def changed_v2(cls):
    # Fields with a validator that sees the text and not the value.
    first = ("before", "plain", "wrap")
    marks = cls.__pydantic_decorators__
    if any(one.info.mode in first for one in marks.model_validators.values()):
        return set(cls.model_fields)
    decorated = [one.info for one in marks.field_validators.values() if one.info.mode in first]
    found = {name for info in decorated for name in info.fields}
    kinds = ("BeforeValidator", "PlainValidator", "WrapValidator", "NoDecode", "Strict")
    return found | {name for name, field in cls.model_fields.items()
                    if any(type(one).__name__ in kinds for one in field.metadata)}


def describe(name, names, kind, is_required, value):
    texts = [str(kind), str(type(value)), *names]
    is_url = isinstance(value, str) and "@" in value
    secret = any("Secret" in text or SECRET.search(text) for text in texts) or is_url
    default = {"state": "required"} if is_required else default_of(value)
    if secret and default["state"] == "known":
        default = {"state": "secret"}
    return {"names": names, "rule": rule_of(kind), "secret": "Secret" in str(kind),
            "default": default}


def fields_v2(cls):
    names, changed = names_v2(cls), changed_v2(cls)
    for name, field in cls.model_fields.items():
        value = field.default
        # What a path leads into is JSON.
        if field.default_factory is not None or "AliasPath" in repr(field.validation_alias):
            value = object()
        kind = object if name in changed or "*" in changed else field.annotation
        yield describe(name, names.get(name, []), kind, field.is_required(), value)


def fields_v1(cls):
    for name, field in cls.__fields__.items():
        names = sorted(field.field_info.extra.get("env_names") or ())
        value = object() if field.default_factory is not None else field.default
        yield describe(name, names, field.outer_type_, bool(field.required), value)


def line_of(cls):
    try:
        return inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except Exception:
        return "", 0


def answer():
    sys.path.insert(0, os.getcwd())
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    is_v2 = hasattr(found, "model_fields")
    config = found.model_config if is_v2 else found.__config__
    config = config if is_v2 else {name: getattr(config, name) for name in dir(config)}
    file, line = line_of(found)
    return {"file": file, "line": line,
            "case_sensitive": bool(config.get("case_sensitive")),
            "customised": is_customised(found) or bool(config.get("secrets_dir")),
            "ignores_empty": bool(config.get("env_ignore_empty")),
            "fields": list((fields_v2 if is_v2 else fields_v1)(found))}


try:
    result = answer()
except BaseException as error:
    # Its words may quote a value.
    result = {"failed": type(error).__name__}
out.write("\n" + SENTINEL + json.dumps(result) + "\n")
out.flush()
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a Settings class said."""

    answer: Mapping[str, Any] | None = field(default=None, repr=False)
    """JSON, for `unstale.parity.asked`; no secret's default is in it. None: no answer."""
    note: str = ""
    """Why it could not be asked; it quotes nothing that the code said."""


def probe_settings(
    process: Process,
    python: Sequence[str],
    target: str,
    root: Path,
    *,
    deadline_s: float = _DEADLINE_S,
) -> Probed:
    """Ask the class *target* (``app.config:Settings``) what it reads.

    *python* is the project's own interpreter, with arguments if it needs some
    (``uv run python``); it runs in *root*, which is put on its path. A class that
    can't be asked is a note.
    """
    argv = (*python, "-c", _QUESTION, target, _HELD_BACK, _SENTINEL)
    command = Command(
        argv, deadline_s, cwd=root, env=_environment(root), inherits=False, changes=True
    )
    try:
        result = process.run(command)
    except TimedOut:
        return _not_asked(target, f"it took more than {deadline_s:g} s")
    except Unavailable:
        return _not_asked(target, f"there is no {python[0]}")
    found = _answer(result.stdout)
    if found is None:
        return _not_asked(target, f"Python ended with {result.returncode}")
    if "failed" in found:
        return _not_asked(target, f"importing it raised {found['failed']}")
    return Probed({**found, "file": _file(str(found["file"]), root, target)})


def _environment(root: Path) -> dict[str, str]:
    """What the project's code gets of this process's environment: nothing of its own."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PWD": str(root), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


def _not_asked(target: str, why: str) -> Probed:
    return Probed(note=f"{target} could not be asked for its variables: {why}")


def _answer(stdout: str) -> dict[str, Any] | None:
    lines = (line for line in stdout.splitlines() if line.startswith(_SENTINEL))
    line = next(lines, None)
    if line is None:
        return None
    found = read_json(line.removeprefix(_SENTINEL))
    return found if _fits(found) else None


def _fits(found: object) -> bool:
    """Whether it is what the question prints: the project's code may print that line, too."""
    match found:
        case {"failed": str()}:
            return True
        case {"file": str(), "line": int(), "fields": list(fields), **rest}:
            return rest.keys() >= _FLAGS and all(map(_is_field, fields))
        case _:
            return False


_FLAGS = frozenset({"case_sensitive", "customised", "ignores_empty"})
_STATES = frozenset({"required", "none", "unknown", "secret"})


def _is_field(one: object) -> bool:
    match one:
        case {"names": list(names), "rule": _, "secret": _, "default": {"state": state, **value}}:
            is_known = state == "known" and "value" in value
            is_state = is_known or (isinstance(state, str) and state in _STATES)
            return is_state and all(isinstance(name, str) for name in names)
        case _:
            return False


def _file(path: str, root: Path, target: str) -> str:
    try:
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return target.partition(":")[0].replace(".", "/") + ".py"
