"""The part of a folder that the builder gets to see, path by path.

The one place of `image/` that reads files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from unstale.errors import CouldNotTell
from unstale.image import dockerignore, goglob
from unstale.image.dockerfile import Unresolved
from unstale.image.dockerignore import Rule
from unstale.image.statcache import NO_STAT, Content, Folder, StatCache, View, join

__all__ = ["ContextTree", "Record"]


Kind = Literal["file", "link", "folder", "other"]


@dataclass(frozen=True, slots=True)
class Record:
    """What the builder sees of one path, its name apart; no times, no owner."""

    kind: Kind
    mode: int
    """The twelve permission bits; 0o777 for a link."""
    content: bytes
    """SHA-256 of a file's bytes; a link's target; type and number of what is "other"."""
    xattrs: bytes = b""
    """The extended attributes that are sent, framed."""


class ContextTree:
    """A build context: a folder, less what its .dockerignore leaves out.

    Paths are relative, with slashes; "." is the root, and a name that is not
    UTF-8 is carried by `surrogateescape`. Each folder is looked at once: two
    answers of one tree never contradict each other.

    Every method raises CouldNotTell where what it needs can't be read.
    """

    def __init__(self, root: Path, rules: tuple[Rule, ...], cache: StatCache | None = None) -> None:
        self.root = root
        self.rules = rules
        self._place = str(root)
        self._cache = cache or StatCache()
        self._key = _rules_key(rules)
        self._heard: dict[str, tuple[bool, tuple[bool, ...]]] = {
            ".": (False, (False,) * len(rules))
        }
        self._entered = {".": True}
        self._below: dict[str, tuple[bytes, bool]] = {}

    def record(self, path: str) -> Record | None:
        """What is sent of *path*, or None if nothing is; links are not followed.

        A folder that is left out is sent for the sake of what is in it.
        """
        if path == ".":
            return self._root()
        folder, name = _split(path)
        return self._record(folder, name) if self._is_sent(folder, name) else None

    def names(self, folder: str) -> tuple[str, ...]:
        """The names in *folder* that are sent, sorted; none if it is no folder."""
        return tuple(self._names(folder)) if self._is_entered(folder) else ()

    def under(self, path: str) -> Iterator[tuple[str, Record]]:
        """*path* and what is below it, depth first, sorted, as far as it is sent."""
        record = self.record(path)
        if record is not None:
            yield path, record
            if record.kind == "folder":
                yield from self._walk(path)

    def resolve(self, path: str) -> str | None:
        """Where *path* leads when every link in it is followed, or None.

        As in a chroot: an absolute link starts at the root, and `..` stays
        there. BuildKit takes `..` out of a path and of a link's target before
        it follows anything: a link to ``other/../x`` leads to ``x``.
        None if that is nowhere, or left out, or if links lead in a circle.
        """
        return self._follow(path)[0]

    def _follow(self, path: str) -> tuple[str | None, tuple[str, ...]]:
        """Where *path* leads, and the links on the way."""
        to_go = _parts(path)[::-1]
        here, links = ".", list[str]()
        while to_go:
            name = to_go.pop()
            if not self._is_sent(here, name):
                return None, tuple(links)
            if not stat.S_ISLNK(self._folder(here).entries[name][5]):
                here = join(here, name)
                continue
            links.append(join(here, name))
            if len(links) > _MOST_LINKS:
                return None, tuple(links)
            target = os.fsdecode(self._record(here, name).content)
            to_go += _parts(posixpath.join(here, target))[::-1]
            here = "."
        return here, tuple(links)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The paths that *pattern* stands for, as written, links not followed; sorted.

        Links are followed in what comes before the first wildcard, not behind.

        Raises:
            Unresolved: the pattern is malformed.

        """
        *_, found = self._stages(pattern)
        return tuple(sorted(written for written, _ in found))

    def links(self, path: str) -> tuple[str, ...]:
        """The links that `resolve` follows, in their order."""
        return self._follow(path)[1]

    def searched(self, pattern: str) -> Iterator[str]:
        """The folders whose names `glob` compares with a segment of *pattern*."""
        *searched, _ = self._stages(pattern)
        return (real for stage in searched for _, real in stage if self._is_entered(real))

    def listed(self, path: str) -> Iterator[str]:
        """The folders at and below *path* that are looked into, with nothing to send or not."""
        if not self._is_entered(path) or self._is_closed(path):
            return
        yield path
        for name, mode, _ in self._judged(path):
            if stat.S_ISDIR(mode):
                yield from self.listed(join(path, name))

    def _is_closed(self, folder: str) -> bool:
        """Whether the last rule leaves *folder* out: no exception can bring any of it back."""
        _, said = self._judge(folder)
        return bool(said) and said[-1] and not self.rules[-1].exception

    def _stages(self, pattern: str) -> Iterator[list[tuple[str, str]]]:
        """What the first segments of *pattern* stand for, as written and as they lead.

        The part before the first wildcard at once, then one segment more each time.
        """
        parts = _parts(pattern)
        first = _first_magic(parts)
        written = "/".join(parts[:first]) or "."
        start = self.resolve(written)
        found = [(written, start)] if start is not None else []
        yield found
        for part in parts[first:]:
            matcher = _matcher(part)
            found = [
                (join(written, name), join(real, name))
                for written, real in found
                for name in self.names(real)
                if matcher.fullmatch(name)
            ]
            yield found

    def digest(self, path: str) -> bytes:
        """32 bytes that stand for all that is sent of *path* and below it.

        Not its own name; of the root not the mode either. What is not sent at
        all has a digest too.
        """
        self._cache.scan_ahead(self._place, path, self._key)
        record = self.record(path)
        if record is None:
            return _hash(b"nothing")
        if path == ".":
            return _hash(b"root", self._sum(path)[0])
        below = self._sum(path)[0] if record.kind == "folder" else b""
        return _hash(*_fields(record), below)

    def _walk(self, folder: str) -> Iterator[tuple[str, Record]]:
        for name in self._names(folder):
            path = join(folder, name)
            record = self._record(folder, name)
            yield path, record
            if record.kind == "folder":
                yield from self._walk(path)

    def _names(self, folder: str) -> Iterator[str]:
        for name, _, out in self._judged(folder):
            if not out or self._sum(join(folder, name))[1]:
                yield name

    def _root(self) -> Record:
        try:
            return Record("folder", stat.S_IMODE(self.root.stat().st_mode), b"")
        except OSError as error:
            raise _unreadable(".", error) from error

    def _record(self, folder: str, name: str) -> Record:
        scan = self._folder(folder)
        mode = scan.entries[name][5]
        return Record(_kind(mode), _mode(mode), *self._content(scan, folder, name))

    def _content(self, scan: Folder, folder: str, name: str) -> Content:
        try:
            return scan.content(name)
        except OSError as error:
            raise _unreadable(join(folder, name), error) from error

    def _folder(self, folder: str) -> Folder:
        try:
            return self._cache.scan(self._place, folder)
        except OSError as error:
            raise _unreadable(folder, error) from error

    def _judge(self, path: str) -> tuple[bool, tuple[bool, ...]]:
        """Whether the rules leave *path* out, and what each of them said."""
        heard = self._heard.get(path)
        if heard is None:
            _, said = self._judge(_split(path)[0])
            heard = self._heard[path] = dockerignore.step(path, self.rules, said)
        return heard

    def _is_entered(self, folder: str) -> bool:
        """Whether *folder* is one, and the builder looks into it."""
        entered = self._entered.get(folder)
        if entered is None:
            parent, name = _split(folder)
            entered = self._entered[folder] = (
                self._is_entered(parent)
                and stat.S_ISDIR(self._folder(parent).entries.get(name, NO_STAT)[5])
                and self._may_be_entered(folder)
            )
        return entered

    def _may_be_entered(self, folder: str) -> bool:
        out, _ = self._judge(folder)
        return not out or dockerignore.may_hold_exceptions(folder, self.rules)

    def _is_sent(self, folder: str, name: str) -> bool:
        if not self._is_entered(folder) or name not in self._folder(folder).entries:
            return False
        path = join(folder, name)
        return not self._judge(path)[0] or (self._is_entered(path) and self._sum(path)[1])

    def _sum(self, folder: str) -> tuple[bytes, bool]:
        """A digest of what is sent below *folder*, and whether anything is."""
        known = self._below.get(folder)
        if known is None:
            scan = self._folder(folder)
            view = scan.views.get(self._key)
            if view is None:
                view = self._look(folder)
                scan.keep(self._key, view)
            total, any_sent, folders = hashlib.sha256(view[0]), view[1], view[2]
            for name, head, out in folders:
                below, is_any = self._sum(join(folder, name))
                if is_any or not out:
                    total.update(head + below)
                    any_sent = True
            known = self._below[folder] = total.digest(), any_sent
        return known

    def _look(self, folder: str) -> View:
        """What the rules let through of *folder*: its files in one digest, its folders."""
        scan = self._folder(folder)
        files: list[bytes] = []
        folders: list[tuple[str, bytes, bool]] = []
        for name, mode, out in self._judged(folder):
            head = _head(name, mode, self._content(scan, folder, name))
            if stat.S_ISDIR(mode):
                folders.append((name, head, out))
            else:
                files.append(head)
        return hashlib.sha256(b"".join(files)).digest(), bool(files), tuple(folders)

    def _judged(self, folder: str) -> Iterator[tuple[str, int, bool]]:
        """Name and mode of what may be sent of *folder*, sorted, and whether it is left out.

        What is left out is a folder; what is in it decides whether it is sent.
        """
        _, said = self._judge(folder)
        above = "" if folder == "." else f"{folder}/"
        for name, found in sorted(self._folder(folder).entries.items()):
            mode = found[5]
            # Not by _judge: a memory of each file's verdict costs more than it saves.
            out, heard = dockerignore.step(above + name, self.rules, said) if said else _SENT
            if stat.S_ISDIR(mode):
                self._heard[above + name] = out, heard
                if self._may_be_entered(above + name):
                    yield name, mode, out
            elif not out:
                yield name, mode, False


def _head(name: str, mode: int, held: Content) -> bytes:
    raw = name.encode(errors="surrogateescape")
    content, xattrs = held
    return b"%d:%b%b%o:%d:%b%d:%b" % (
        len(raw),
        raw,
        _TAGS.get(stat.S_IFMT(mode), b"other"),
        _mode(mode),
        len(content),
        content,
        len(xattrs),
        xattrs,
    )


_KINDS: Mapping[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFSOCK: "file",  # sent as an empty one
    stat.S_IFLNK: "link",
    stat.S_IFDIR: "folder",
}
_TAGS = {kind: name.encode() for kind, name in _KINDS.items()}

_MOST_LINKS = 255
_SENT = (False, ())


def _kind(mode: int) -> Kind:
    return _KINDS.get(stat.S_IFMT(mode), "other")


def _mode(mode: int) -> int:
    return 0o777 if stat.S_ISLNK(mode) else stat.S_IMODE(mode)


def _parts(path: str) -> list[str]:
    return [part for part in posixpath.normpath(f"/{path}").split("/") if part]


def _first_magic(parts: Sequence[str]) -> int:
    return next((at for at, part in enumerate(parts) if goglob.has_magic(part)), len(parts))


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder or ".", name


def _fields(record: Record) -> tuple[bytes, ...]:
    return record.kind.encode(), b"%o" % record.mode, record.content, record.xattrs


def _frame(*fields: bytes) -> bytes:
    return b"".join(b"%d:%b" % (len(field), field) for field in fields)


def _hash(*fields: bytes) -> bytes:
    return hashlib.sha256(_frame(*fields)).digest()


def _matcher(segment: str) -> re.Pattern[str]:
    try:
        return goglob.translate(segment)
    except goglob.BadPattern as error:
        raise Unresolved(f"the pattern {segment}") from error


def _rules_key(rules: tuple[Rule, ...]) -> bytes:
    """What the cached views of a folder hang on: the rules, and the code that applies them."""
    lines = (f"{'!' if rule.exception else ''}{rule.pattern}" for rule in rules)
    return _hash(_code(), *(line.encode(errors="surrogateescape") for line in lines))


@cache
def _code() -> bytes:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return _hash(*(source.read_bytes() for source in sources))


def _unreadable(path: str, error: OSError) -> CouldNotTell:
    refused = error.errno in {errno.EACCES, errno.EPERM}
    return CouldNotTell(
        f"{path} is in the build context and can't be read: {error.strerror}.",
        cause="Its permissions, or those of a folder above, do not let this user."
        if refused
        else "It was changed or removed meanwhile, or its disk has a fault.",
        hint="make it readable, or leave it out with .dockerignore"
        if refused
        else "try again when nothing writes there",
    )
