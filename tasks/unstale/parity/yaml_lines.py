"""Where in a compose file something is written. Pure.

Values always come from compose: YAML 1.1 reads ``yes`` and ``12:30`` as other things
than compose does. What is read here are lines alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unstale.yamltree import Tree, text_of, trees

__all__ = ["ComposeLines", "Place", "read"]

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
    root: Tree


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

    def _services(self, name: str) -> Iterator[tuple[Path, Tree]]:
        """All that is written of a service, what counts most first."""
        for document in reversed(self._documents):
            yield from self._written(document, name, frozenset())

    def _written(
        self, document: _Document, name: str, seen: frozenset[tuple[Path, str]]
    ) -> Iterator[tuple[Path, Tree]]:
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
        self, document: _Document, service: Tree, seen: frozenset[tuple[Path, str]]
    ) -> Iterator[tuple[Path, Tree]]:
        extends = service.at("extends")
        base = text_of(extends) or text_of(extends, "service")
        if base is None:
            return
        file = text_of(extends, "file")
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
        from unstale.errors import Interrupted, UnstaleError

        try:
            text = self._read(path)
        except Interrupted:
            raise
        except (OSError, ValueError, UnstaleError):  # it is not there, or no text
            return ()
        return [_Document(path, root) for root in trees(text)]


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
