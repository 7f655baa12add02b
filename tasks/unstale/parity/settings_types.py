"""What the type of a Settings field makes of a string. Pure."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from unstale.parity.codebase import Class, Codebase
from unstale.parity.defaults import Rule
from unstale.parity.pysource import PySource, expression

__all__ = ["Type", "type_of"]

_RULES: Mapping[str, Rule] = {
    "str": "text",
    "bool": "bool",
    "int": "int",
    "float": "float",
    **dict.fromkeys(("PositiveInt", "NegativeInt", "NonNegativeInt", "NonPositiveInt"), "int"),
    **dict.fromkeys(("PositiveFloat", "NonNegativeFloat", "FiniteFloat"), "float"),
    **dict.fromkeys(("list", "List", "dict", "Dict", "tuple", "Tuple", "Sequence"), "json"),
    **dict.fromkeys(("set", "Set", "frozenset", "FrozenSet", "Mapping"), "json"),
    "SecretStr": "text",
    "conint": "int",
    "constr": "text",
    "confloat": "float",
}
_SECRETS = frozenset({"Secret", "SecretStr", "SecretBytes"})
# What sees the text before its type does, or keeps JSON from being decoded.
_CHANGERS = frozenset(
    {"BeforeValidator", "PlainValidator", "WrapValidator", "NoDecode", "Strict", "Json"}
)
_MODELS = frozenset({"BaseModel", "BaseSettings", "TypedDict"})


@dataclass(frozen=True, slots=True)
class Type:
    """What is known of a type."""

    rule: Rule | None = None
    """None: only equal strings are known to be equal."""
    is_secret: bool = False
    is_optional: bool = False
    is_changed: bool = False
    model: Class | None = None
    """The model of this project that it is."""
    options: Mapping[str, ast.expr] = field(default_factory=dict)
    """Of a ``Field`` inside of ``Annotated``."""


def type_of(
    code: Codebase, source: PySource, node: ast.expr | None, seen: frozenset[str] = frozenset()
) -> Type:
    """The type that *node*, an annotation of *source*, stands for.

    *seen* are the names that it was followed through.
    """
    match node:
        case ast.Constant(value=str() as text):
            return _quoted(code, source, text, seen)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _union([type_of(code, source, part, seen) for part in (left, right)])
        case ast.Subscript(value=of, slice=inside):
            return _generic(code, source, of, inside, seen)
        case ast.Call(func=name) | (ast.Name() | ast.Attribute() as name):
            return _named(code, source, name, seen)
        case _:
            return Type(is_optional=isinstance(node, ast.Constant) and node.value is None)


def _quoted(code: Codebase, source: PySource, text: str, seen: frozenset[str]) -> Type:
    node = expression(text)
    return type_of(code, source, node, seen) if node else Type()


def _named(code: Codebase, source: PySource, node: ast.expr, seen: frozenset[str]) -> Type:
    full = source.full_name(node)
    name = full.rpartition(".")[2]
    if name in _RULES or name in _SECRETS:
        return Type(_RULES.get(name), is_secret=name in _SECRETS)
    constant = code.constant(source, node)
    if constant and full not in seen:
        return type_of(code, *constant, seen | {full})
    found = code.find(source, node)
    return Type("json", model=found) if found and _is_model(code, found) else Type()


def _is_model(code: Codebase, one: Class, depth: int = 0) -> bool:
    if any("dataclass" in ast.dump(mark) for mark in one.node.decorator_list):
        return True
    for base in one.node.bases:
        if one.source.full_name(base).rpartition(".")[2] in _MODELS:
            return True
        parent = code.find(one.source, base)
        if parent and depth < 20 and _is_model(code, parent, depth + 1):
            return True
    return False


def _generic(
    code: Codebase, source: PySource, of: ast.expr, inside: ast.expr, seen: frozenset[str]
) -> Type:
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    match source.full_name(of).rpartition(".")[2]:
        case "Annotated":
            return _annotated(source, type_of(code, source, parts[0], seen), parts[1:])
        case "Optional":
            return _union([type_of(code, source, parts[0], seen), Type(is_optional=True)])
        case "Union":
            return _union([type_of(code, source, part, seen) for part in parts])
        case "Literal":
            values = [source.value(part) for part in parts]
            return Type("text") if all(isinstance(v, str) for v in values) else Type()
        case "Final" | "Required":
            return type_of(code, source, parts[0], seen)
        case name:
            return Type(_RULES.get(name), is_secret=name in _SECRETS)


def _annotated(source: PySource, kind: Type, marks: list[ast.expr]) -> Type:
    options: dict[str, ast.expr] = dict(kind.options)
    is_changed = kind.is_changed
    for mark in marks:
        is_call = isinstance(mark, ast.Call)
        name = source.full_name(mark.func if isinstance(mark, ast.Call) else mark)
        is_changed = is_changed or name.rpartition(".")[2] in _CHANGERS
        if is_call and name.rpartition(".")[2] == "Field" and isinstance(mark, ast.Call):
            options |= {k.arg: k.value for k in mark.keywords if k.arg}
    return replace(kind, options=options, is_changed=is_changed)


def _union(kinds: list[Type]) -> Type:
    real = [kind for kind in kinds if kind != Type(is_optional=True)]
    is_optional = any(kind.is_optional for kind in kinds)
    is_secret = any(kind.is_secret for kind in kinds)
    if len(real) == 1:
        return replace(real[0], is_optional=is_optional)
    # The first type that takes a string may not be the one of the default.
    return Type(is_secret=is_secret, is_optional=is_optional)
