"""A project's Python files, of which only those are parsed that are asked for. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from unstale.parity.pysource import PySource, is_deep, parse

__all__ = ["Class", "Codebase"]

_CLASS = re.compile(
    rb"^[ \t]*class[ \t]+(\w+)[ \t]*(?:\[[^\]]*\])?[ \t]*(?:\(([^)]*)\)|:)", re.MULTILINE
)
_WORD = re.compile(rb"\w+")


@dataclass(frozen=True, slots=True)
class Class:
    """A class, and the file that it is in."""

    source: PySource
    node: ast.ClassDef


@dataclass
class Codebase:
    """Finds classes and names across the files of a project."""

    texts: Mapping[str, bytes]
    """Relative path, with slashes, to content."""
    failed: set[str] = field(default_factory=set)
    """Files that could not be parsed."""
    _sources: dict[str, PySource | None] = field(default_factory=dict)
    _files_of: dict[str, list[str]] = field(init=False)
    _children_of: dict[str, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._files_of, self._children_of = {}, {}
        for file, text in self.texts.items():
            for name, bases in _CLASS.findall(text) if b"class" in text else ():
                self._files_of.setdefault(name.decode(), []).append(file)
                for base in _WORD.findall(bases):
                    self._children_of.setdefault(base.decode(), set()).add(name.decode())

    def source(self, file: str) -> PySource | None:
        """The file, parsed; None if it can't be."""
        if file not in self._sources:
            try:
                self._sources[file] = parse(file, self.texts[file])
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._sources[file] = None
                self.failed.add(file)
        return self._sources[file]

    def without_deep(self) -> Codebase:
        """The same without the files whose code can't be followed, so deep it is."""
        deep = {file for file in self.texts if (one := self.source(file)) and is_deep(one.tree)}
        rest = Codebase({f: text for f, text in self.texts.items() if f not in deep})
        rest.failed |= deep
        return rest

    def candidates(self, root: str) -> tuple[str, ...]:
        """Names of classes that may come from one called *root*, sorted."""
        found: set[str] = set()
        waiting = [root]
        while waiting:
            children = self._children_of.get(waiting.pop(), set()) - found
            found |= children
            waiting += children
        return tuple(sorted(found))

    def called(self, name: str) -> tuple[Class, ...]:
        """All classes that are called *name*, in the order of their files."""
        found = (self._class(file, name) for file in sorted(set(self._files_of.get(name, ()))))
        return tuple(one for one in found if one)

    def are_made(self, names: Iterable[str]) -> frozenset[str]:
        """Those of *names*, of classes, that some file makes an object of."""
        words = b"|".join(re.escape(name.encode()) for name in sorted(names))
        if not words:
            return frozenset()
        made = re.compile(rb"(?<!class )\b(" + words + rb")(?:\(|\.model_validate|\.parse_obj)")
        return frozenset(n.decode() for text in self.texts.values() for n in made.findall(text))

    def find(self, source: PySource, node: ast.expr) -> Class | None:
        """The class of this project that *node* of *source* stands for."""
        full = source.full_name(node)
        module, _, name = full.rpartition(".")
        if module or name in source.imports:
            return self._imported(module, name)
        if name in source.classes:
            return Class(source, source.classes[name])
        found = (self._imported(star, name) for star in source.stars)
        return next((one for one in found if one), None)

    def _imported(self, module: str, name: str) -> Class | None:
        files = [file for file in self._files_of.get(name, ()) if _may_be(file, module)]
        exact = [file for file in files if _is_module(file, module)]
        chosen = exact or (files if len(set(files)) == 1 else [])
        return self._class(chosen[0], name) if chosen else None

    def constant(self, source: PySource, node: ast.expr) -> tuple[PySource, ast.expr] | None:
        """The expression that a name of *source* stands for, here or in another module."""
        if isinstance(node, ast.Name) and node.id in source.constants:
            return source, source.constants[node.id]
        module, _, name = source.full_name(node).rpartition(".")
        for file in self._modules(module):
            other = self.source(file)
            if other and name in other.constants:
                return other, other.constants[name]
        return None

    def _modules(self, module: str) -> Iterator[str]:
        if module:
            yield from (file for file in self.texts if _is_module(file, module))

    def _class(self, file: str, name: str) -> Class | None:
        source = self.source(file)
        node = source.classes.get(name) if source else None
        return Class(source, node) if source and node else None


def _is_module(file: str, module: str) -> bool:
    tail = module.replace(".", "/")
    return any(f"/{file}".endswith(f"/{tail}{end}") for end in (".py", "/__init__.py"))


def _may_be(file: str, module: str) -> bool:
    """Whether *module* may hand on what is in *file*: both are of one package."""
    head = module.split(".", maxsplit=1)[0]
    return head in PurePosixPath(file).with_suffix("").parts
