"""Where in a compose file something is written. Pure.

Values always come from compose: YAML 1.1 reads ``yes`` and ``12:30`` as other things
than compose does. What is read here are lines alone, so a tag of compose's own
(``!reset``, ``!override``) and a scalar of any type are as good as another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

__all__ = ["ComposeLines", "Place", "read"]

_MERGE = "tag:yaml.org,2002:merge"
_RESET = "!reset"

Read = Callable[[Path], str]
"""The text of a file; may raise `OSError` or an `UnstaleError`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: Path
    line: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class _Document:
    file: Path
    root: MappingNode


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
            found = _inside(node, path)
            if found is not None:
                return Place(file, found)
        return None

    def nearest(self, service: str, *path: str) -> Place | None:
        """Where as much of *path* as can be found is written."""
        for length in range(len(path), 0, -1):
            if (found := self.of(service, *path[:length])) is not None:
                return found
        return None

    def _services(self, name: str) -> Iterator[tuple[Path, Node]]:
        """All that is written of a service, what counts most first."""
        for document in reversed(self._documents):
            yield from self._written(document, name, frozenset())

    def _written(
        self, document: _Document, name: str, seen: frozenset[tuple[Path, str]]
    ) -> Iterator[tuple[Path, Node]]:
        if (document.file, name) in seen:  # compose refuses a circle; we only do not walk it
            return
        seen |= {(document.file, name)}
        service = _child(_child(document.root, "services"), name)
        if service is not None:
            yield document.file, service
            yield from self._extended(document, service, seen)
        for path in _included(document):
            for other in reversed(self._texts.documents(path)):
                yield from self._written(other, name, seen)

    def _extended(
        self, document: _Document, service: Node, seen: frozenset[tuple[Path, str]]
    ) -> Iterator[tuple[Path, Node]]:
        extends = _child(service, "extends")
        base = _scalar(extends) or _scalar(_child(extends, "service"))
        if base is None:
            return
        file = _scalar(_child(extends, "file"))
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
        from yaml.nodes import MappingNode

        from unstale.errors import UnstaleError

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            nodes = list(yaml.compose_all(self._read(path), Loader=loader))
        except (OSError, UnstaleError, yaml.YAMLError):
            return ()
        return [_Document(path, node) for node in nodes if isinstance(node, MappingNode)]


def read(files: Sequence[Path], read_text: Read) -> ComposeLines:
    """Read the compose *files* of one environment, in their order.

    A file that can't be read or parsed has no lines; compose tells what is wrong.
    """
    texts = _Texts(read_text)
    return ComposeLines([d for file in files for d in texts.documents(file)], texts)


def _included(document: _Document) -> Iterator[Path]:
    from yaml.nodes import SequenceNode

    include = _child(document.root, "include")
    for entry in include.value if isinstance(include, SequenceNode) else ():
        paths = _child(entry, "path") or entry
        for one in paths.value if isinstance(paths, SequenceNode) else (paths,):
            if (path := _scalar(one)) is not None:
                yield document.file.parent / path


def _inside(node: Node, path: Sequence[str]) -> int | None:
    """The line of *path* below *node*."""
    *above, last = path
    for key in above:
        inner = _child(node, key)
        if inner is None:
            return None
        node = inner
    return _line(node, last)


def _line(node: Node, name: str) -> int | None:
    from yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, MappingNode):
        pair = _pair(node, name)
        # The key's line: a value of several lines begins below it.
        return None if pair is None or pair[1].tag == _RESET else _number(pair[0])
    if isinstance(node, SequenceNode):
        found = [_number(entry) for entry in node.value if name in _names(entry)]
        return found[-1] if found else None
    return _number(node) if isinstance(node.value, str) and node.value == name else None


def _number(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _names(entry: Node) -> tuple[str, ...]:
    """What an entry of a list may be asked for by."""
    text = _scalar(entry)
    if text is None:
        names = (_scalar(_child(entry, key)) for key in ("target", "source"))
        return tuple(name for name in names if name is not None)
    # KEY=value, source:target:mode (a source may hold a variable, with colons in it).
    parts = _colons(text)
    target = parts[1] if len(parts) > 1 else parts[0]
    return (text, text.partition("=")[0], target.rstrip("/") or target, target)


def _colons(text: str) -> list[str]:
    """*text* split at its colons, but not at those within ``${…}``."""
    parts, depth = [""], 0
    for at, character in enumerate(text):
        depth += text[at : at + 2] == "${"
        depth -= character == "}" and depth > 0
        if character == ":" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _child(node: Node | None, key: str) -> Node | None:
    from yaml.nodes import MappingNode

    pair = _pair(node, key) if isinstance(node, MappingNode) else None
    return None if pair is None else pair[1]


def _pair(node: MappingNode, key: str) -> tuple[Node, Node] | None:
    """The key's and the value's node; what is written itself before what is merged in."""
    from yaml.nodes import MappingNode, SequenceNode

    merged: list[Node] = []
    for name, value in reversed(node.value):
        if name.tag == _MERGE or name.value == "<<":
            merged += value.value if isinstance(value, SequenceNode) else [value]
        elif name.value == key:
            return name, value
    inner = (_pair(one, key) for one in merged if isinstance(one, MappingNode))
    return next((pair for pair in inner if pair is not None), None)


def _scalar(node: Node | None) -> str | None:
    from yaml.nodes import ScalarNode

    return str(node.value) if isinstance(node, ScalarNode) else None
