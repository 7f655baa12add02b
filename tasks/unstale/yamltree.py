"""YAML as nodes with their lines. Pure.

For finding, never for values: those come from compose, since YAML 1.1 reads ``yes``
and ``12:30`` as other things than compose does. A tag of compose's own (``!reset``,
``!override``) and a scalar of any type are as good as another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml.nodes import Node

__all__ = ["Tree", "text_of", "trees"]

_MERGE = "tag:yaml.org,2002:merge"
_RESET = "!reset"
_VARIABLE = re.compile(r"\$\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Tree:
    """A node of YAML: where it is and what is in it, aliases and merges followed."""

    line: int
    text: str | None = None
    """Of a scalar."""
    is_reset: bool = False
    keys: Mapping[str, tuple[int, Tree]] = field(default_factory=dict)
    """Of a mapping: the key's line and its value."""
    entries: tuple[Tree, ...] = ()
    names: Mapping[str, int] = field(default_factory=dict)
    """Of a list: what an entry may be asked for by, and its line."""

    def at(self, key: str) -> Tree | None:
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


def trees(text: str) -> tuple[Tree, ...]:
    """The documents of *text*; none if it can't be parsed."""
    # Late: few commands need it.
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        nodes = list(yaml.compose_all(text, Loader=loader))
        return tuple(_Planter().tree(node) for node in nodes if node is not None)
    # ValueError: it is no text. RecursionError: a thousand brackets.
    except (ValueError, RecursionError, yaml.YAMLError):
        return ()


def text_of(node: Tree | None, key: str = "") -> str | None:
    """The text that *node* is, or that it has at *key*."""
    inner = node.at(key) if node and key else node
    return inner.text if inner else None


class _Planter:
    """Makes trees of a document's nodes, of each node one, however many aliases it has."""

    def __init__(self) -> None:
        self._made: dict[int, Tree] = {}

    def tree(self, node: Node) -> Tree:
        known = self._made.get(id(node))
        if known is not None:
            return known
        # Stands for the node in itself, if an alias leads back to it.
        self._made[id(node)] = Tree(_number(node))
        self._made[id(node)] = made = self._planted(node)
        return made

    def _planted(self, node: Node) -> Tree:
        from yaml.nodes import MappingNode, SequenceNode

        line, is_reset = _number(node), node.tag == _RESET
        match node:
            case MappingNode():
                return Tree(line, is_reset=is_reset, keys=self._keys(node.value))
            case SequenceNode():
                entries = tuple(map(self.tree, node.value))
                names = {name: entry.line for entry in entries for name in _names(entry)}
                return Tree(line, is_reset=is_reset, entries=entries, names=names)
            case _:
                return Tree(line, str(node.value), is_reset)

    def _keys(self, pairs: Iterable[tuple[Node, Node]]) -> Mapping[str, tuple[int, Tree]]:
        """What is written itself before what is merged in, and that in its order."""
        own: dict[str, tuple[int, Tree]] = {}
        merged: dict[str, tuple[int, Tree]] = {}
        for key, node in pairs:
            value = self.tree(node)
            if key.tag == _MERGE or key.value == "<<":
                for one in value.entries or (value,):
                    merged = {**one.keys, **merged}
            else:
                own[str(key.value)] = (_number(key), value)
        return {**merged, **own}


def _number(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _names(entry: Tree) -> tuple[str, ...]:
    """What an entry of a list may be asked for by."""
    if entry.text is None:
        names = (text_of(entry, key) for key in ("target", "source"))
        return tuple(name for name in names if name is not None)
    # KEY=value, source:target:mode, host:address; a variable may have colons in it.
    parts = _VARIABLE.sub("", entry.text).split(":")
    return (*parts, *(part.rstrip("/") for part in parts), entry.text.partition("=")[0], entry.text)
