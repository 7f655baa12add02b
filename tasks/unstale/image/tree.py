"""The part of a folder that the builder gets to see, path by path.

The one place of `image/` that reads files.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unstale.errors import CouldNotTell
from unstale.image import dockerignore, goglob
from unstale.image.dockerfile import Unresolved
from unstale.image.dockerignore import Rule

__all__ = ["Tree", "sha256"]


def sha256(*fields: bytes) -> str:
    """A digest of *fields*, each framed by its length."""
    total = hashlib.sha256()
    for field in fields:
        total.update(b"%d:" % len(field))
        total.update(field)
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A build context: a folder, less what its .dockerignore leaves out.

    Paths are relative, with slashes; a name that is not UTF-8 is carried by
    `surrogateescape`. "." is the root.
    """

    root: Path
    rules: Sequence[Rule] = ()

    def under(self, path: str) -> tuple[str, ...]:
        """*path*, if it is sent, and what is sent below it. The root is not listed.

        Raises:
            Unresolved: a symbolic link leads there, so other paths count too.

        """
        if path == ".":
            return tuple(self._walk(".", (False,) * len(self.rules)))
        out, matched = False, (False,) * len(self.rules)
        parts = PurePosixPath(path).parts
        for end in range(1, len(parts) + 1):
            part = "/".join(parts[:end])
            if (self.root / part).is_symlink():
                raise Unresolved(f"{part} is a symbolic link")
            out, matched = dockerignore.step(part, self.rules, matched)
        if self.is_folder(path):
            below = tuple(self._below(path, matched, out=out))
            return () if out and not below else (path, *below)
        return () if out or not os.path.lexists(self.root / path) else (path,)

    def match(self, pattern: str) -> tuple[str, ...]:
        """The paths that the source *pattern* of a COPY stands for.

        Raises:
            Unresolved: the pattern is malformed, or leads through a link.

        """
        found = ["."]
        for segment in PurePosixPath(pattern).parts:
            found = [path for folder in found for path in self._segment(folder, segment)]
        return tuple(path for path in found if path == "." or self.under(path))

    def _segment(self, folder: str, segment: str) -> Iterator[str]:
        if not goglob.has_magic(segment):
            yield _join(folder, segment)
            return
        if folder != ".":
            self.under(folder)  # a link on the way is refused
        try:
            pattern = goglob.translate(segment)
        except goglob.BadPattern as error:
            raise Unresolved(f"the pattern {segment}") from error
        if self.is_folder(folder):
            names = (name for name, _ in self._entries(folder))
            yield from (_join(folder, name) for name in names if pattern.fullmatch(name))

    def is_folder(self, path: str) -> bool:
        """Whether *path* is a folder, and not a link to one."""
        return stat.S_ISDIR(self._stat(path).st_mode) if self._exists(path) else False

    def record(self, path: str) -> str:
        """A digest of what the builder sees of *path*: type, mode, link, bytes.

        Times and owners are not in it: the builder ignores them.

        Raises:
            CouldNotTell: it can't be read.

        """
        found = self._stat(path)
        mode = b"%o" % (0o777 if stat.S_ISLNK(found.st_mode) else stat.S_IMODE(found.st_mode))
        return sha256(b"%o" % stat.S_IFMT(found.st_mode), mode, self._content(path, found.st_mode))

    def _content(self, path: str, mode: int) -> bytes:
        try:
            if stat.S_ISLNK(mode):
                # Path.readlink would tidy "./a" to "a".
                return os.fsencode(os.readlink(self.root / path))  # noqa: PTH115
            if stat.S_ISREG(mode):
                with (self.root / path).open("rb") as file:
                    return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise _unreadable(path, error) from error
        return b""

    def _exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def _stat(self, path: str) -> os.stat_result:
        try:
            return (self.root / path).lstat()
        except OSError as error:
            raise _unreadable(path, error) from error

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
        except OSError as error:
            raise _unreadable(folder, error) from error

    def _walk(self, folder: str, matched: Sequence[bool]) -> Iterator[str]:
        for name, is_folder in self._entries(folder):
            path = _join(folder, name)
            out, said = dockerignore.step(path, self.rules, matched)
            below = tuple(self._below(path, said, out=out)) if is_folder else ()
            # A folder that is left out is sent for the sake of what is in it.
            if not out or below:
                yield path
            yield from below

    def _below(self, folder: str, matched: Sequence[bool], *, out: bool) -> Iterator[str]:
        if not out or dockerignore.may_hold_exceptions(folder, self.rules):
            yield from self._walk(folder, matched)


def _join(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _unreadable(path: str, error: OSError) -> CouldNotTell:
    return CouldNotTell(
        f"{path} is in the build context and can't be read: {error.strerror}.",
        hint="make it readable, or leave it out with .dockerignore",
    )
