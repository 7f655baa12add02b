"""What pydantic's Settings classes read, told from their text. Pure.

Source of the rules: pydantic-settings 2, ``EnvSettingsSource``, and pydantic 1.10,
``BaseSettings``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from unstale.parity.codebase import Class, Codebase
from unstale.parity.defaults import Default, Known, NoDefault, NotKnown, Read, Required, Rule
from unstale.parity.environ_reads import Computed, default_of
from unstale.parity.pysource import UNKNOWN, PySource
from unstale.parity.settings_types import Type, type_of

__all__ = ["settings_env_files", "settings_reads", "tells_unset"]

_ROOT: Final = "BaseSettings"
_CUSTOMISED = frozenset({"settings_customise_sources", "customise_sources"})
_CUSTOM_KEYS = frozenset({"secrets_dir", "yaml_file", "toml_file", "json_file"})
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class _Field:
    """A field as it is written."""

    name: str
    source: PySource
    line: int
    annotation: ast.expr | None
    value: ast.expr | None


@dataclass(frozen=True, slots=True)
class _Settings:
    """A Settings class with all that it inherits."""

    config: Mapping[str, object]
    fields: Mapping[str, _Field]
    is_v1: bool
    is_open: bool
    """Whether other sources than the environment may come before the defaults."""
    changed: frozenset[str]
    """Fields that the class changes before their types are looked at; "*" for all."""

    def text(self, key: str) -> str | None:
        """A text of the config; "" without one, None if it is computed."""
        value = self.config.get(key, "")
        return value if isinstance(value, str) else ("" if value is None else None)

    def says(self, *keys: str) -> bool:
        """Whether one of *keys* is set."""
        return any(self.config.get(key) is True for key in keys)


@dataclass(frozen=True, slots=True)
class _Spec:
    """A field with its type and its default."""

    field: _Field
    type: Type
    options: Mapping[str, ast.expr]
    default: Default


def settings_reads(code: Codebase) -> Iterator[Read | Computed]:
    """The reads of all Settings classes; a field of several classes may come twice.

    A class that only others inherit from, and that no file makes an object of,
    reads nothing itself.
    """
    for settings in _all(code):
        for field in settings.fields.values():
            yield from _of_field(code, settings, field)


def settings_env_files(code: Codebase) -> Iterator[str]:
    """Env files that the Settings classes load themselves, as the code spells them."""
    for settings in _all(code):
        value = settings.config.get("env_file")
        for path in value if isinstance(value, list | tuple) else [value]:
            if isinstance(path, str):
                yield path
            elif path is not None:
                yield ".env"


def tells_unset(code: Codebase) -> Iterator[tuple[str, int]]:
    """Files and lines that may ask a Settings object which of its fields were set.

    To those that do, a field with its default's value is not one that is missing.
    """
    asking = {file: text for file, text in code.texts.items() if _ASKING.search(text)}
    found = [one for name in code.candidates(_ROOT) for one in code.called(name)] if asking else []
    names = {name for one in found for name in (one.node.name, _module(one.source.file))}
    words = "|".join(re.escape(name) for name in sorted(names))
    knows = re.compile(rf"\b(?:{words})\b|settings".encode(), re.IGNORECASE)
    for file, text in asking.items() if names else ():
        if (match := _ASKING.search(text)) and knows.search(text):
            yield file, text.count(b"\n", 0, match.start()) + 1


_ASKING = re.compile(rb"fields_set(?:__)?\b|exclude_unset\b")


def _module(file: str) -> str:
    """What others call the module of *file*."""
    path = PurePosixPath(file)
    return path.parent.name if path.stem == "__init__" else path.stem


def _all(code: Codebase) -> Iterator[_Settings]:
    found = [one for name in code.candidates(_ROOT) for one in code.called(name)]
    roots = {_mark(one): root for one in found if (root := _root(code, one))}
    parents = {_mark(p) for one in found for p in _line_of_descent(code, one)[1:]}
    made = code.are_made(one.node.name for one in found if _mark(one) in parents)
    for one in found:
        is_used = _mark(one) not in parents or one.node.name in made
        if _mark(one) in roots and is_used:
            yield _settings(code, one, is_v1=roots[_mark(one)].startswith("pydantic."))


def _mark(one: Class) -> tuple[str, str]:
    return one.source.file, one.node.name


def _line_of_descent(
    code: Codebase, one: Class, seen: frozenset[tuple[str, str]] = frozenset()
) -> list[Class]:
    """*one* and the classes of this project that it inherits from, the nearest first."""
    if _mark(one) in seen:
        return []
    found = [one]
    for base in one.node.bases:
        parent = code.find(one.source, _bare(base))
        if parent:
            found += _line_of_descent(code, parent, seen | {_mark(one)})
    return found


def _bare(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _root(code: Codebase, one: Class) -> str:
    """The full name of the library's class behind *one*; "" if it is no Settings class."""
    for relative in _line_of_descent(code, one):
        for base in relative.node.bases:
            full = relative.source.full_name(_bare(base))
            if full.rpartition(".")[2] == _ROOT and not code.find(relative.source, _bare(base)):
                return full if "." in full else f"{_library(relative.source)}.{full}"
    return ""


def _library(source: PySource) -> str:
    """Where BaseSettings is from if all names of some modules are imported."""
    known = (star for star in source.stars if star.startswith("pydantic"))
    return next(known, "pydantic_settings")


def _settings(code: Codebase, one: Class, *, is_v1: bool) -> _Settings:
    config: dict[str, object] = {}
    fields: dict[str, _Field] = {}
    methods: set[str] = set()
    changed: set[str] = set()
    for relative in reversed(_line_of_descent(code, one)):
        config |= _config(relative)
        changed |= set(_changed(relative))
        methods |= {n.name for n in relative.node.body if isinstance(n, ast.FunctionDef)}
        for field in _fields(relative, known=fields, is_v1=is_v1):
            fields[field.name] = field
    is_open = bool(methods & _CUSTOMISED or config.keys() & _CUSTOM_KEYS)
    return _Settings(config, fields, is_v1, is_open, frozenset(changed))


def _config(one: Class) -> dict[str, object]:
    found = {k.arg: one.source.value(k.value) for k in one.node.keywords if k.arg}
    for node in one.node.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="model_config")], value=value)
                | ast.AnnAssign(target=ast.Name(id="model_config"), value=ast.expr() as value)
            ):
                found |= _options(one.source, value)
            case ast.ClassDef(name="Config", body=body):
                pairs = (n for n in body if isinstance(n, ast.Assign))
                for pair in pairs:
                    for target in pair.targets:
                        if isinstance(target, ast.Name):
                            found[target.id] = one.source.value(pair.value)
    return found


def _options(source: PySource, node: ast.expr) -> dict[str, object]:
    match node:
        case ast.Call(keywords=keywords):
            return {k.arg: source.value(k.value) for k in keywords if k.arg}
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {str(source.value(k)): source.value(v) for k, v in pairs if k is not None}
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _options(source, left) | _options(source, right)
        case _:
            return {}


def _fields(one: Class, known: Mapping[str, _Field], *, is_v1: bool) -> Iterator[_Field]:
    for node in one.node.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                if _is_field(name) and "ClassVar" not in ast.dump(annotation):
                    yield _Field(name, one.source, node.lineno, annotation, value)
            case ast.Assign(targets=[ast.Name(id=name)]):
                if _is_field(name) and (is_v1 or name in known):
                    inherited = known[name].annotation if name in known else None
                    yield _Field(name, one.source, node.lineno, inherited, node.value)


def _is_field(name: str) -> bool:
    return not name.startswith("_") and name != "model_config"


def _changed(one: Class) -> Iterator[str]:
    """Fields with a validator that sees the text of a variable and not its value."""
    for node in one.node.body:
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if not isinstance(mark, ast.Call):
                continue
            name = one.source.full_name(mark.func).rpartition(".")[2]
            options = {k.arg: one.source.value(k.value) for k in mark.keywords}
            is_first = options.get("pre") is True or options.get("mode") in _FIRST
            if name in ("field_validator", "validator") and is_first:
                yield from (str(one.source.value(argument)) for argument in mark.args)
            elif name in ("model_validator", "root_validator") and is_first:
                yield "*"


_FIRST = ("before", "plain", "wrap")


def _of_field(code: Codebase, settings: _Settings, field: _Field) -> Iterator[Read | Computed]:
    spec = _spec(code, settings, field)
    names = _names(settings, spec)
    if not names:
        yield Computed(field.source.file, field.line)
        return
    cased = settings.says("case_sensitive")
    names = names if cased else tuple(name.upper() for name in names)
    for name in dict.fromkeys(names):
        read = _read(settings, spec, name)
        yield replace(read, alternatives=tuple(n for n in dict.fromkeys(names) if n != name))
        yield from _parts(code, settings, spec, name, depth=0)


def _read(settings: _Settings, spec: _Spec, name: str) -> Read:
    return Read(
        name,
        spec.field.source.file,
        spec.field.line,
        "settings",
        spec.default,
        rule=spec.type.rule or "text",
        is_case_sensitive=settings.says("case_sensitive"),
        ignores_empty=settings.says("env_ignore_empty"),
        is_secret=spec.type.is_secret,
        is_whole=spec.type.model is not None,
    )


def _parts(
    code: Codebase, settings: _Settings, spec: _Spec, name: str, *, depth: int
) -> Iterator[Read | Computed]:
    """The reads of a nested model's fields: ``DB__HOST``."""
    model = spec.type.model
    delimiter = settings.text("env_nested_delimiter")
    if model is None or not delimiter or depth > _DEEPEST or _root(code, model):
        return
    inner = _settings(code, model, is_v1=settings.is_v1)
    outer = replace(settings, changed=inner.changed)
    for field in inner.fields.values():
        part = _spec(code, outer, field)
        known = part if _is_plain(spec, model) else replace(part, default=_vague(spec, part))
        below = f"{name}{delimiter}{_inner_name(outer, part)}"
        below = below if settings.says("case_sensitive") else below.upper()
        yield _read(outer, known, below)
        yield from _parts(code, outer, known, below, depth=depth + 1)


def _is_plain(spec: _Spec, model: Class) -> bool:
    """Whether the field's own default is the model with its defaults."""
    given = spec.options.get("default_factory") or spec.options.get("default") or spec.field.value
    match given:
        case ast.Call(func=func, args=[], keywords=[]):
            return spec.field.source.full_name(func).rpartition(".")[2] == model.node.name
        case ast.Name(id=name):
            return name == model.node.name
        case _:
            return False


def _vague(spec: _Spec, part: _Spec) -> Default:
    both = isinstance(spec.default, Required) and isinstance(part.default, Required)
    return Required() if both else NotKnown()


def _inner_name(settings: _Settings, part: _Spec) -> str:
    aliases = () if settings.is_v1 else _aliases(part)
    return aliases[0] if aliases else part.field.name


def _names(settings: _Settings, spec: _Spec) -> tuple[str, ...]:
    """The variables of a field, the first of which wins; none if they are computed."""
    prefix = settings.text("env_prefix")
    named = () if prefix is None else (prefix + spec.field.name,)
    if settings.is_v1:
        return _v1_names(settings, spec) or named
    given = spec.options.get("validation_alias") or spec.options.get("alias")
    if given is None:
        return () if settings.config.get("alias_generator") else named
    is_prefixed = settings.config.get("env_prefix_target") in ("alias", "all")
    aliases = tuple((prefix or "") * is_prefixed + alias for alias in _aliases(spec))
    by_name = settings.says("populate_by_name", "validate_by_name")
    return aliases + named if aliases and by_name else aliases


def _v1_names(settings: _Settings, spec: _Spec) -> tuple[str, ...]:
    of_class = settings.config.get("fields")
    given = of_class.get(spec.field.name) if isinstance(of_class, dict) else None
    env = given.get("env") if isinstance(given, dict) else None
    if "env" in spec.options:
        env = spec.field.source.value(spec.options["env"])
    if isinstance(env, str):
        return (env,)
    return tuple(map(str, env)) if isinstance(env, list | tuple) else ()


def _aliases(spec: _Spec) -> tuple[str, ...]:
    given = spec.options.get("validation_alias") or spec.options.get("alias")
    if given is None:
        return ()
    source = spec.field.source
    if isinstance(given, ast.Call):
        is_path = source.full_name(given.func).endswith("AliasPath")
        choices: Sequence[ast.expr] = given.args[:1] if is_path else given.args
        heads = (c.args[0] if isinstance(c, ast.Call) and c.args else c for c in choices)
        found = [source.value(head) for head in heads]
    else:
        found = [source.value(given)]
    texts = tuple(value for value in found if isinstance(value, str))
    return texts if len(texts) == len(found) else ()


def _has_path(spec: _Spec) -> bool:
    given = spec.options.get("validation_alias")
    return given is not None and "AliasPath" in ast.dump(given)


def _spec(code: Codebase, settings: _Settings, field: _Field) -> _Spec:
    kind = type_of(code, field.source, field.annotation)
    options = dict(kind.options)
    value: ast.expr | None = field.value
    if isinstance(value, ast.Call) and _is_field_call(field.source, value):
        options |= {k.arg: k.value for k in value.keywords if k.arg}
        value = value.args[0] if value.args else options.get("default")
    elif value is None:
        value = options.get("default")
    if field.annotation is None and value is not None:
        kind = replace(kind, rule=_inferred(field.source.value(value)))
    spec = _Spec(field, kind, options, NotKnown())
    return replace(spec, default=_default(code, settings, spec, value))


def _is_field_call(source: PySource, call: ast.Call) -> bool:
    return source.full_name(call.func).rpartition(".")[2] == "Field"


def _inferred(value: object) -> Rule | None:
    rules: Mapping[type, Rule] = {bool: "bool", int: "int", float: "float", str: "text"}
    return rules.get(type(value))


def _default(code: Codebase, settings: _Settings, spec: _Spec, value: ast.expr | None) -> Default:
    if "default_factory" in spec.options:
        return NotKnown()
    if value is None:
        is_none = settings.is_v1 and spec.type.is_optional
        return NoDefault() if is_none and not settings.is_open else _needed(settings)
    found = _written(code, spec.field.source, value)
    if found is ...:
        return _needed(settings)
    if settings.is_open or _has_path(spec):
        return NotKnown()
    is_changed = bool(settings.changed & {"*", spec.field.name}) or spec.type.is_changed
    return NotKnown() if is_changed and not isinstance(found, str) else _spelled(spec.type, found)


def _needed(settings: _Settings) -> Default:
    return NotKnown() if settings.is_open else Required()


def _written(code: Codebase, source: PySource, node: ast.expr) -> object:
    """The default that *node* is, unwrapped: ``SecretStr("x")``, ``Colour.RED``."""
    constant = code.constant(source, node) if isinstance(node, ast.Name | ast.Attribute) else None
    if constant:
        source, node = constant
    match node:
        case ast.Call(func=func, args=[inner], keywords=[]) if _wraps(source, func):
            value = source.value(inner)
            return value if isinstance(value, str) else UNKNOWN
        case ast.Attribute(value=of, attr=member):
            value = _member(code.find(source, of), member)
            return value if isinstance(value, str) else UNKNOWN
        case _:
            return source.value(node)


def _wraps(source: PySource, func: ast.expr) -> bool:
    name = source.full_name(func).rpartition(".")[2]
    return name in ("SecretStr", "Path", "PurePath") or name.endswith(("Url", "Dsn"))


def _member(enum: Class | None, name: str) -> object:
    for node in enum.node.body if enum else ():
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if enum and found == name:
                return enum.source.value(value)
            case _:
                pass
    return UNKNOWN


def _spelled(kind: Type, value: object) -> Default:
    """The default as a variable would have to spell it."""
    match kind.rule, value:
        case (_, None):
            return NoDefault()
        case ("json", list() | tuple() | dict()):
            return _as_json(value)
        case ("bool", 0 | 1):
            return default_of(bool(value), "bool")
        case (None, str() as text):
            return Known(text)
        case (None | "json", _):
            return NotKnown()
        case (rule, _):
            return default_of(value, rule)


def _as_json(value: object) -> Default:
    try:
        return Known(json.dumps(value))
    except (TypeError, ValueError):
        return NotKnown()
