"""Where in a compose file something is written. Pure.

Values always come from compose: YAML 1.1 reads ``yes`` and ``12:30`` as other things
than compose does. What is read here are lines alone, so a tag of compose's own
(``!reset``, ``!override``) and a scalar of any type are as good as another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml.nodes import Node

__all__ = ["ComposeLines", "Place", "read"]

_MERGE = "tag:yaml.org,2002:merge"
_RESET = "!reset"
_VARIABLE = re.compile(r"\$\{[^{}]*\}")

Read = Callable[[Path], str]
"""The text of a file; may raise `OSError` or an `UnstaleError`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: Path
    line: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """A node of YAML: where it is and what is in it, aliases and merges followed."""

    line: int
    text: str | None = None
    """Of a scalar."""
    is_reset: bool = False
    keys: Mapping[str, tuple[int, _Tree]] = field(default_factory=dict)
    """Of a mapping: the key's line and its value."""
    entries: tuple[_Tree, ...] = ()
    names: Mapping[str, int] = field(default_factory=dict)
    """Of a list: what an entry may be asked for by, and its line."""

    def at(self, key: str) -> _Tree | None:
        """The value of *key*."""
        found = self.keys.get(key)
        return found[1] if found else None

    def inside(self, path: Sequence[str]) -> int | None:
        """The line of *path* below it."""
        key, *rest = path
        if rest:
            inner = self.at(key)
            return inner.inside(rest) if inner else None
        if key in self.keys:
            # The key's line: a value of several lines begins below it.
            line, value = self.keys[key]
            return None if value.is_reset else line
        return self.line if self.text == key else self.names.get(key)


@dataclass(frozen=True, slots=True)
class _Document:
    file: Path
    root: _Tree


class ComposeLines:
    """Finds lines in the compose files of one environment.

    The last file that has something decides; what a service extends, and what a
    file includes, decide less than the file itself.
    """

    def __init__(self, documents: Sequence[_Document], texts: _Texts) -> None:
        self._documents = tuple(documents)
        self._texts = texts

    def of(self, service: str, *path: str) -> Place | None:
        """Where *path* of *service* is written, such as ``("environment", "KEY")``.

        The last word may be a key, or a list's entry: ``KEY`` of ``KEY=value``, the
        target of a volume or a tmpfs, or the entry itself. None where it can't be told.
        """
        for file, node in self._services(service):
            found = node.inside(path)
            if found is not None:
                return Place(file, found)
        return None

    def nearest(self, service: str, *path: str) -> Place | None:
        """Where as much of *path* as can be found is written."""
        for length in range(len(path), 0, -1):
            if (found := self.of(service, *path[:length])) is not None:
                return found
        return None

    def _services(self, name: str) -> Iterator[tuple[Path, _Tree]]:
        """All that is written of a service, what counts most first."""
        for document in reversed(self._documents):
            yield from self._written(document, name, frozenset())

    def _written(
        self, document: _Document, name: str, seen: frozenset[tuple[Path, str]]
    ) -> Iterator[tuple[Path, _Tree]]:
        if (document.file, name) in seen:  # compose refuses a circle; we only do not walk it
            return
        seen |= {(document.file, name)}
        services = document.root.at("services")
        service = services.at(name) if services else None
        if service is not None:
            yield document.file, service
            yield from self._extended(document, service, seen)
        for path in _included(document):
            for other in reversed(self._texts.documents(path)):
                yield from self._written(other, name, seen)

    def _extended(
        self, document: _Document, service: _Tree, seen: frozenset[tuple[Path, str]]
    ) -> Iterator[tuple[Path, _Tree]]:
        extends = service.at("extends")
        base = _text(extends) or _text(extends, "service")
        if base is None:
            return
        file = _text(extends, "file")
        if file is None:
            yield from self._written(document, base, seen)
            return
        for other in reversed(self._texts.documents(document.file.parent / file)):
            yield from self._written(other, base, seen)


class _Texts:
    """Parses each file once. What can't be read or parsed has no documents."""

    def __init__(self, read_text: Read) -> None:
        self._read = read_text
        self._known: dict[Path, tuple[_Document, ...]] = {}

    def documents(self, path: Path) -> tuple[_Document, ...]:
        if path not in self._known:
            self._known[path] = tuple(self._parsed(path))
        return self._known[path]

    def _parsed(self, path: Path) -> Iterable[_Document]:
        # Late: nothing but a comparison needs it.
        import yaml

        from unstale.errors import Interrupted, UnstaleError

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            nodes = list(yaml.compose_all(self._read(path), Loader=loader))
            return [_Document(path, _Planter().tree(node)) for node in nodes if node is not None]
        except Interrupted:
            raise
        # ValueError: it is no text. RecursionError: a thousand brackets.
        except (OSError, UnstaleError, ValueError, RecursionError, yaml.YAMLError):
            return ()


class _Planter:
    """Makes trees of a document's nodes, of each node one, however many aliases it has."""

    def __init__(self) -> None:
        self._made: dict[int, _Tree] = {}

    def tree(self, node: Node) -> _Tree:
        known = self._made.get(id(node))
        if known is not None:
            return known
        # Stands for the node in itself, if an alias leads back to it.
        self._made[id(node)] = _Tree(_number(node))
        self._made[id(node)] = made = self._planted(node)
        return made

    def _planted(self, node: Node) -> _Tree:
        from yaml.nodes import MappingNode, SequenceNode

        line, is_reset = _number(node), node.tag == _RESET
        match node:
            case MappingNode():
                return _Tree(line, is_reset=is_reset, keys=self._keys(node.value))
            case SequenceNode():
                entries = tuple(map(self.tree, node.value))
                names = {name: entry.line for entry in entries for name in _names(entry)}
                return _Tree(line, is_reset=is_reset, entries=entries, names=names)
            case _:
                return _Tree(line, str(node.value), is_reset)

    def _keys(self, pairs: Iterable[tuple[Node, Node]]) -> Mapping[str, tuple[int, _Tree]]:
        """What is written itself before what is merged in, and that in its order."""
        own: dict[str, tuple[int, _Tree]] = {}
        merged: dict[str, tuple[int, _Tree]] = {}
        for key, node in pairs:
            value = self.tree(node)
            if key.tag == _MERGE or key.value == "<<":
                for one in value.entries or (value,):
                    merged = {**one.keys, **merged}
            else:
                own[str(key.value)] = (_number(key), value)
        return {**merged, **own}


def read(files: Sequence[Path], read_text: Read) -> ComposeLines:
    """Read the compose *files* of one environment, in their order.

    A file that can't be read or parsed has no lines; compose tells what is wrong.
    """
    texts = _Texts(read_text)
    return ComposeLines([d for file in files for d in texts.documents(file)], texts)


def _included(document: _Document) -> Iterator[Path]:
    include = document.root.at("include")
    for entry in include.entries if include else ():
        paths = entry.at("path") or entry
        for one in paths.entries or (paths,):
            if one.text is not None:
                yield document.file.parent / one.text


def _text(node: _Tree | None, key: str = "") -> str | None:
    """The text that *node* is, or that it has at *key*."""
    inner = node.at(key) if node and key else node
    return inner.text if inner else None


def _number(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _names(entry: _Tree) -> tuple[str, ...]:
    """What an entry of a list may be asked for by."""
    if entry.text is None:
        names = (_text(entry, key) for key in ("target", "source"))
        return tuple(name for name in names if name is not None)
    # KEY=value, source:target:mode, host:address; a variable may have colons in it.
    parts = _VARIABLE.sub("", entry.text).split(":")
    return (*parts, *(part.rstrip("/") for part in parts), entry.text.partition("=")[0], entry.text)
