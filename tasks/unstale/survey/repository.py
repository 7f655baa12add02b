"""The files of a project as a survey sees them: names first, texts where they are asked for."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from unstale.yamltree import Tree, trees

__all__ = ["Finding", "Repository"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found, for people."""

    what: str
    value: str
    where: str
    """A file, or a file and its line."""
    unsure: str = ""
    """Why it may be another; empty where there is no doubt."""


@dataclass(frozen=True)
class Repository:
    """Names of files, relative and with slashes, sorted; and how to read one."""

    files: tuple[str, ...]
    read: Callable[[str], str]
    """The text of a file; empty if it can't be read."""
    _texts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _trees: dict[str, tuple[Tree, ...]] = field(default_factory=dict, repr=False, compare=False)

    def has(self, name: str) -> bool:
        """Whether there is a file called *name*."""
        return name in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    def text(self, name: str) -> str:
        """The text of *name*; empty if there is none."""
        if name not in self._texts:
            self._texts[name] = self.read(name) if self.has(name) else ""
        return self._texts[name]

    def yaml(self, name: str) -> tuple[Tree, ...]:
        """The documents in *name*; none if it is not YAML."""
        if name not in self._trees:
            self._trees[name] = trees(self.text(name))
        return self._trees[name]

    def called(self, *patterns: str) -> tuple[str, ...]:
        """The files whose last part fits one of *patterns*; the least deep first."""
        fits = re.compile("|".join(map(fnmatch.translate, patterns))).match
        found = (name for name in self.files if fits(name.rpartition("/")[2]))
        return tuple(sorted(found, key=lambda name: (name.count("/"), name)))

    def below(self, folder: str) -> Iterator[str]:
        """The files in *folder* and in what is in it."""
        prefix = "" if folder in ("", ".") else f"{folder}/"
        return (name for name in self.files if name.startswith(prefix))

    def folders(self) -> frozenset[str]:
        """Every folder that has a file somewhere in it."""
        return frozenset(
            str(parent) for name in self.files for parent in PurePosixPath(name).parents
        )

    def naming(self, names: Iterable[str], word: str) -> str:
        """The first of *names* whose text has *word*, with its line; empty if none has it."""
        for name in names:
            for number, line in enumerate(self.text(name).splitlines(), 1):
                if word in line.partition("#")[0]:
                    return f"{name}:{number}"
        return ""
