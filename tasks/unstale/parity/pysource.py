"""Python files as text: their imports, constants and classes. Pure; nothing is imported."""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

__all__ = ["UNKNOWN", "PySource", "Unknown", "expression", "is_deep", "literal", "parse", "walk"]

# Python gives up at a thousand calls; a node takes a few of ours.
_DEEPEST = 60


class Unknown:
    """The type of `UNKNOWN`."""


UNKNOWN: Final = Unknown()
"""Stands for a value that only running the code would tell."""


@dataclass(frozen=True, slots=True)
class PySource:
    """One parsed file."""

    file: str
    """Relative to the project, with slashes."""
    tree: ast.Module
    imports: Mapping[str, str]
    """What a name stands for: ``getenv`` to ``os.getenv``, ``p`` to ``pydantic``."""
    stars: tuple[str, ...]
    """Modules that all names are imported from, in their order."""
    constants: Mapping[str, ast.expr]
    """Names that the module itself gives a value, once."""
    classes: Mapping[str, ast.ClassDef]

    def full_name(self, node: ast.expr) -> str:
        """What *node* stands for, by the imports: ``os.environ.get``; "" if it is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def value(self, node: ast.expr) -> object:
        """What *node* is if it is written in this file, else `UNKNOWN`."""
        if isinstance(node, ast.Name) and node.id in self.constants:
            node = self.constants[node.id]
        return literal(node)


def parse(file: str, text: str | bytes) -> PySource:
    """Parse *text*, the content of *file*.

    Raises:
        SyntaxError: it is not Python, or Python of another version.
        ValueError: it has a zero byte, or bytes that its encoding does not know.

    """
    with _unwarned():
        tree = ast.parse(text)
    statements = tuple(_statements(tree))
    imports = sorted(_imports(file, statements), reverse=True)
    # The first of several is the one that is wanted: others stand behind
    # `except ImportError`.
    by_name = {name: full for _, name, full in imports if name != "*"}
    stars = tuple(full.removesuffix(".*") for _, name, full in reversed(imports) if name == "*")
    constants = _constants(tree, statements)
    return PySource(file, tree, by_name, stars, constants, _classes(statements))


def expression(text: str) -> ast.expr | None:
    """The expression that *text* is, such as an annotation in quotes; None if it is none."""
    try:
        with _unwarned():
            return ast.parse(text, mode="eval").body
    # The last two: Python's parser went too deep.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@contextmanager
def _unwarned() -> Iterator[None]:
    """Invalid escapes in the project's code are not our user's question."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def literal(node: ast.expr) -> object:
    """The value of a literal, with sums and products of numbers; else `UNKNOWN`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        return _arithmetic(node.op, literal(node.left), literal(node.right))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def _arithmetic(operator: ast.operator, left: object, right: object) -> object:
    if not (_is_number(left) and _is_number(right)):
        return UNKNOWN
    try:
        match operator:
            case ast.Add():
                return left + right  # type: ignore[operator]
            case ast.Sub():
                return left - right  # type: ignore[operator]
            case ast.Mult():
                return left * right  # type: ignore[operator]
            case _:
                return UNKNOWN
    except OverflowError:  # a large int and a float
        return UNKNOWN


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_deep(tree: ast.Module) -> bool:
    """Whether nodes of *tree* are within each other as no person writes them."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level and depth <= _DEEPEST:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return bool(level)


def walk(tree: ast.Module, text: bytes, words: Iterable[str]) -> Iterator[ast.AST]:
    """The nodes of *tree*, outer ones first, that have one of *words* on their lines.

    Few of a file's lines are about the environment: this is many times as fast
    as looking at all nodes. *text* is what the tree was parsed from.
    """
    lines = _lines_with(text, words)
    waiting: deque[ast.AST] = deque([tree] if lines else [])
    while waiting:
        node = waiting.popleft()
        yield node
        waiting += (child for child in ast.iter_child_nodes(node) if _has(child, lines))


def _lines_with(text: bytes, words: Iterable[str]) -> list[int]:
    names = b"|".join(re.escape(word.encode()) for word in sorted(set(words)))
    found = re.compile(rb"\b(?:" + names + rb")\b|\r\n?|\n").finditer(text) if names else ()
    line, lines = 1, []
    for match in found:
        if match.group()[:1] in b"\r\n":
            line += 1
        else:
            lines.append(line)
    return lines


def _has(node: ast.AST, lines: Sequence[int]) -> bool:
    """Whether one of *lines*, which are sorted, is among those of *node*."""
    first = getattr(node, "lineno", None)
    if first is None:
        return True
    # Decorators stand before the line that a definition is said to be on.
    marks = getattr(node, "decorator_list", ())
    first = min([first, *(mark.lineno for mark in marks)]) if marks else first
    at = bisect_left(lines, first)
    return at < len(lines) and lines[at] <= node.end_lineno  # type: ignore[attr-defined]


def _imports(file: str, statements: Iterable[ast.stmt]) -> Iterator[tuple[int, str, str]]:
    for node in statements:
        if isinstance(node, ast.Import):
            for name in node.names:
                head = name.name.split(".")[0]
                yield node.lineno, name.asname or head, name.name if name.asname else head
        elif isinstance(node, ast.ImportFrom):
            module = _module(file, node)
            for name in node.names:
                yield node.lineno, name.asname or name.name, f"{module}.{name.name}"


def _module(file: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folders = PurePosixPath(file).parts[: -node.level]
    return ".".join([*folders, *([node.module] if node.module else [])])


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """All statements, those in functions and classes too, but no expressions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for inside in _INSIDES:
            for child in getattr(node, inside, ()):
                if isinstance(child, ast.stmt):
                    yield child
                waiting.append(child)


def _constants(tree: ast.Module, statements: Iterable[ast.stmt]) -> dict[str, ast.expr]:
    found: dict[str, list[ast.expr | None]] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.setdefault(name, []).append(value)
            case _:
                # A branch or a loop may set it otherwise.
                for inner in ast.walk(node) if isinstance(node, _BRANCHES) else ():
                    if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                        found.setdefault(inner.id, []).append(None)
    changed = {n for s in statements if isinstance(s, ast.Global) for n in s.names}
    once = ((name, values[0]) for name, values in found.items() if len(values) == 1)
    return {name: value for name, value in once if value is not None and name not in changed}


_INSIDES = ("body", "orelse", "finalbody", "handlers", "cases")
_BRANCHES = (ast.If, ast.Try, ast.For, ast.While, ast.With, ast.AugAssign)


def _classes(statements: Iterable[ast.stmt]) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
