"""Reads of ``os.environ``, and through the libraries that stand before it. Pure."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from unstale.parity.defaults import (
    Default,
    How,
    Known,
    NoDefault,
    NotKnown,
    Read,
    Required,
    Rule,
)
from unstale.parity.pysource import PySource, walk

__all__ = ["Computed", "Whole", "default_of", "environ_reads", "loaded_env_files", "reader_names"]


@dataclass(frozen=True, slots=True, order=True)
class Computed:
    """A read whose name only running the code would tell."""

    file: str
    line: int


@dataclass(frozen=True, slots=True, order=True)
class Whole:
    """A use of the environment, or of what reads it, that may read any variable."""

    file: str
    line: int


_GETTERS: Mapping[str, How] = {
    "os.getenv": "getenv",
    "os.environ.get": "environ",
    "os.environ.pop": "environ",
    "os.environ.setdefault": "setdefault",
}
_READERS: Mapping[str, How] = {
    "decouple.Config": "decouple",
    "decouple.AutoConfig": "decouple",
    "environs.Env": "environs",
    "environs.FileAwareEnv": "environs",
    "environ.Env": "django-environ",
    "environ.FileAwareEnv": "django-environ",
    "starlette.config.Config": "starlette",
}
_CASTS: Mapping[str, Rule] = {"str": "text", "bool": "plain-bool", "int": "int", "float": "float"}
# Those whose second argument is not the default, but the cast.
_CAST_FIRST: Final = ("starlette", "django-environ")
_OS = frozenset({"os.environ", "os.getenv"})
_INSTANCES: Mapping[str, How] = {"decouple.config": "decouple", "environs.env": "environs"}
_WHOLE = frozenset({*_OS, *_INSTANCES, *_READERS})
# They may read any variable, whoever they are asked of.
_ANY = frozenset({"environb", "getenvb", "expandvars"})
_SPELLED = frozenset({"environ", "getenv", *_ANY})
_LIBRARIES = ("decouple", "environs")
# What writes variables, and reads none.
_WRITERS = frozenset({"update", "clear"})
_CHANGERS = frozenset({"setitem", "delitem"})
_LOADERS = frozenset({"dotenv.load_dotenv", "starlette.config.Config", "decouple.config"})
# What is asked of a reader, but is no variable.
_NO_READS = frozenset({"read_env", "read_envfile", "seal", "dump", "parser_for", "prefixed"})


@dataclass(frozen=True, slots=True)
class _Context:
    """What the code around a read does with it."""

    rule: Rule | None = None
    ignores_empty: bool = False
    fallback: ast.expr | None = None
    """What stands behind ``or``."""
    is_open: bool = False
    """Whether something else than a literal decides what comes of none."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """A library's object that variables are asked of."""

    how: How
    prefix: str | None
    """None: computed."""
    has_schema: bool = False
    """Whether defaults are written where it is made."""


def environ_reads(source: PySource, text: bytes) -> Iterator[Read | Computed | Whole]:
    """The reads of *source*, in no order; none of pydantic's settings.

    *text* is what it was parsed from.
    """
    readers = dict(_readers(source))
    contexts: dict[ast.AST, _Context] = {}
    known: set[ast.AST] = set()
    words = {*_named(source, _WHOLE), *readers, *_SPELLED, *_LIBRARIES}
    # What is around a read is seen before it.
    for node in walk(source.tree, text, words):
        contexts.update(_contexts(node, contexts.get(node, _Context())))
        known.update(_understood(source, node, readers))
        found = _read(source, node, contexts.get(node, _Context()), readers)
        if found is not None:
            yield found
        elif node not in known and _is_whole(source, node, readers):
            yield Whole(source.file, getattr(node, "lineno", 1))


def _understood(
    source: PySource, node: ast.AST, readers: Mapping[str, _Reader]
) -> Iterator[ast.AST]:
    """What stands for the environment in *node*, where *node* tells what is read of it."""
    match node:
        case ast.Subscript(value=of) | ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[of]):
            if _is_environ(source, of):
                yield of
        case ast.Call(func=func, args=arguments):
            yield from _understood_call(source, func, arguments, readers)
        case ast.Attribute(value=of, attr=attribute) if attribute in _NO_READS:
            yield of
        case ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.Module():
            made = (source.constants.get(name) for name in readers)
            yield from (one.func for one in made if isinstance(one, ast.Call))


def _understood_call(
    source: PySource, func: ast.expr, arguments: list[ast.expr], readers: Mapping[str, _Reader]
) -> Iterator[ast.AST]:
    full = source.full_name(func)
    of = func.value if isinstance(func, ast.Attribute) else func
    if arguments and full in _GETTERS:
        yield from (func, of)
    is_asked = arguments and isinstance(of, ast.Name) and of.id in readers
    is_written = isinstance(func, ast.Attribute) and func.attr in _WRITERS
    if is_asked or (is_written and _is_environ(source, of)):
        yield of
    if full.endswith("patch.dict") or full.rpartition(".")[2] in _CHANGERS:
        yield from arguments[:1]


def _is_whole(source: PySource, node: ast.AST, readers: Mapping[str, _Reader]) -> bool:
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            full = _full_name(source, node)
            # Another module may have it from os.
            is_imported = "." in full and full.rpartition(".")[2] in _SPELLED
            return name in readers or is_imported or full in _READERS
        case ast.Attribute(attr=name, ctx=ast.Load()):
            full = source.full_name(node)
            is_imported = name in _SPELLED and _is_import(node.value)
            return full in _WHOLE or name in _ANY or is_imported
        case ast.Constant(value=str() as text):
            return text in _SPELLED  # getattr(os, "environ")
        case _:
            return False


def _full_name(source: PySource, node: ast.expr) -> str:
    full = source.full_name(node)
    return f"os.{full}" if full in _SPELLED and "os" in source.stars else full


def _is_import(node: ast.expr) -> bool:
    """Whether *node* imports a module: ``__import__("os")``."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in ("__import__", "import_module")
        case _:
            return False


def reader_names(source: PySource) -> tuple[str, ...]:
    """The objects that *source* itself makes, and that variables are asked of."""
    return tuple(name for name, _ in _readers(source) if name in source.constants)


def default_of(value: object, rule: Rule) -> Default:
    """The default *value*, as an environment variable would spell it for *rule*."""
    if value is None:
        return NoDefault()
    match rule, value:
        case ("text", str() as text):
            return Known(text)
        case ("bool" | "plain-bool", bool()):
            return Known("true" if value else "false")
        case ("int" | "float", int() | float() as number) if not isinstance(value, bool):
            return _spelled(number)
        case ("bool" | "int" | "float", str() as text):
            return Known(text)
        case _:
            return NotKnown()


def _spelled(number: float) -> Default:
    try:
        return Known(str(number))
    except ValueError:  # more than 4,300 digits
        return NotKnown()


def loaded_env_files(source: PySource, text: bytes) -> Iterator[str]:
    """Env files that *source* loads itself, as it spells them; ``.env`` where that is unclear.

    *text* is what it was parsed from.
    """
    for node in walk(source.tree, text, {*_named(source, _LOADERS), "load_dotenv", "read_env"}):
        if not isinstance(node, ast.Call):
            continue
        name = source.full_name(node.func)
        if name in ("dotenv.load_dotenv", "starlette.config.Config") or name.endswith(".read_env"):
            if node.args or name != "starlette.config.Config":
                yield _last_text(node) or ".env"
        elif name == "decouple.config":
            yield ".env"


def _named(source: PySource, full: Collection[str]) -> Iterator[str]:
    """What *source* calls the things whose full names are *full*."""
    return (name for name, stands_for in source.imports.items() if stands_for in full)


def _last_text(node: ast.Call) -> str:
    parts = (part for argument in node.args for part in ast.walk(argument))
    texts = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
    return texts[-1] if texts else ""


def _contexts(node: ast.AST, outer: _Context) -> Iterator[tuple[ast.AST, _Context]]:
    match node:
        case ast.Call(func=ast.Name(id="int" | "float" as cast), args=[argument], keywords=[]):
            yield argument, _Context(rule=_CASTS[cast])
        case ast.Call(func=ast.Name(id="bool"), args=[argument], keywords=[]):
            yield argument, _Context(ignores_empty=True)
        case ast.BoolOp(op=ast.Or(), values=[first, second]):
            yield first, _Context(outer.rule, ignores_empty=True, fallback=second)
            yield second, outer
        case ast.BoolOp(values=[*firsts, _]):
            yield from ((value, _Context(is_open=True)) for value in firsts)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, _Context(ignores_empty=True)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand, _Context(ignores_empty=True)


def _readers(source: PySource) -> Iterator[tuple[str, _Reader]]:
    for name, full in source.imports.items():
        if full in _INSTANCES:
            yield name, _Reader(_INSTANCES[full], "")
    for name, value in source.constants.items():
        how = _READERS.get(source.full_name(value.func)) if isinstance(value, ast.Call) else None
        if how and isinstance(value, ast.Call):
            yield name, _reader(source, value, how)


def _reader(source: PySource, call: ast.Call, how: How) -> _Reader:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    given = keywords.get("env_prefix") or keywords.get("prefix")
    prefix = source.value(given) if given else ""
    # `with env.prefixed("X_"):` would have to be followed through the code.
    is_prefixed = any(
        isinstance(n, ast.Attribute) and n.attr == "prefixed" for n in ast.walk(source.tree)
    )
    text = prefix if isinstance(prefix, str) and not is_prefixed else None
    return _Reader(how, text, has_schema=how == "django-environ" and bool(keywords))


def _read(
    source: PySource, node: ast.AST, context: _Context, readers: Mapping[str, _Reader]
) -> Read | Computed | None:
    match node:
        case ast.Subscript(value=of, slice=key, ctx=ast.Load()) if _is_environ(source, of):
            return _made(source, node, key, "environ", Required(), context)
        case ast.AugAssign(target=ast.Subscript(value=of, slice=key)) if _is_environ(source, of):
            return _made(source, node.target, key, "environ", Required(), _Context())
        case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[of]) if _is_environ(
            source, of
        ):
            return _made(source, node, key, "membership", NoDefault(), _Context())
        case ast.Call(args=[_, *_]):
            how = _GETTERS.get(source.full_name(node.func))
            if how is not None:
                return _got(source, node, how, context)
            return _asked(source, node, readers)
        case _:
            return None


def _is_environ(source: PySource, node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and source.full_name(node) == "os.environ"


def _got(source: PySource, call: ast.Call, how: How, context: _Context) -> Read | Computed:
    value = _argument(source, call, call.args[1] if len(call.args) > 1 else None, "default")
    if value not in (None, ""):
        # A default of its own stands for none, and not for an empty one.
        context = replace(context, ignores_empty=False)
    elif context.fallback is not None:
        value = source.value(context.fallback)
    default = NotKnown() if context.is_open else default_of(value, context.rule or "text")
    return _made(source, call, call.args[0], how, default, context)


def _argument(source: PySource, call: ast.Call, positional: ast.expr | None, name: str) -> object:
    """An argument's value; None without one, as `os.getenv` has it."""
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    given = positional if positional is not None else named
    return None if given is None else source.value(given)


def _made(
    source: PySource, node: ast.expr, key: ast.expr, how: How, default: Default, context: _Context
) -> Read | Computed:
    name = source.value(key)
    if not isinstance(name, str):
        return Computed(source.file, node.lineno)
    return Read(
        name,
        source.file,
        node.lineno,
        how,
        default,
        rule=context.rule or "text",
        ignores_empty=context.ignores_empty,
    )


def _asked(
    source: PySource, call: ast.Call, readers: Mapping[str, _Reader]
) -> Read | Computed | None:
    match call.func:
        case ast.Name(id=of):
            method = ""
        case ast.Attribute(value=ast.Name(id=of), attr=method) if method not in _NO_READS:
            pass
        case _:
            return None
    reader = readers.get(of)
    if reader is None:
        return None
    name = source.value(call.args[0])
    if not isinstance(name, str) or reader.prefix is None:
        return Computed(source.file, call.lineno)
    rule, default = _library_default(source, call, reader, method)
    return Read(reader.prefix + name, source.file, call.lineno, reader.how, default, rule=rule)


def _library_default(
    source: PySource, call: ast.Call, reader: _Reader, method: str
) -> tuple[Rule, Default]:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    second, third = (*call.args[1:3], None, None)[:2]
    is_cast = reader.how in _CAST_FIRST and not method
    cast = keywords.get("cast") or (second if is_cast else third)
    default = keywords.get("default") or (third if is_cast else second)
    rule = _rule_of(cast, method)
    if default is None:
        return rule or "text", NotKnown() if reader.has_schema else Required()
    value = source.value(default)
    return rule or "text", default_of(value, rule) if rule else NotKnown()


def _rule_of(cast: ast.expr | None, method: str) -> Rule | None:
    if method:
        return _CASTS.get(method)
    if cast is None:
        return "text"
    return _CASTS.get(cast.id) if isinstance(cast, ast.Name) else None
