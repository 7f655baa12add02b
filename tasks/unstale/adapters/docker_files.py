"""Reads the files of a container out of `docker cp`'s archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, cast

from unstale.adapters.docker_words import raise_gone
from unstale.errors import EngineUnavailable, Fault, Unavailable
from unstale.facts import ArchiveMember
from unstale.ports import ANYTHING, Allowance

__all__ = ["files"]

# What the heads, paddings and long names of an archive may add to its files, each.
_HEAD_BYTES = 16 << 10

Archive = Callable[[], Iterator[bytes]]
"""Opens the archive of one path anew: its bytes in chunks."""

_Entry = tuple[tarfile.TarFile, tarfile.TarInfo, PurePosixPath]


def files(
    archive: Archive, path: PurePosixPath, allowance: Allowance = ANYTHING
) -> Iterator[ArchiveMember]:
    """The files at or under *path*, whose *archive* `docker cp` makes.

    Regular files and links alone, read in memory; nothing is unpacked. A size is
    believed before the bytes come, so that a file with holes counts as a whole.

    Raises:
        Unavailable: the archive is damaged, or more than *allowance*.

    """
    links: dict[PurePosixPath, tuple[PurePosixPath, int]] = {}
    with _told(path), closing(_entries(archive, path, allowance)) as entries:
        for tar, entry, place in entries:
            if entry.islnk():
                links[place] = (_place(path, entry.linkname), entry.mode)
            else:
                yield _member(tar, entry, place)
    if links:
        yield from _hard_links(archive, path, links, allowance)


def _hard_links(
    archive: Archive,
    path: PurePosixPath,
    links: Mapping[PurePosixPath, tuple[PurePosixPath, int]],
    allowance: Allowance,
) -> Iterator[ArchiveMember]:
    # A second pass, so that the first need not hold every file in memory.
    wanted = {target for target, _ in links.values()}
    contents: dict[PurePosixPath, ArchiveMember] = {}
    with _told(path), closing(_entries(archive, path, allowance)) as entries:
        for tar, entry, place in entries:
            if place in wanted and not entry.islnk():
                contents[place] = _member(tar, entry, place)
    for place, (target, mode) in links.items():
        if found := contents.get(target):
            yield replace(found, path=place, mode=mode)


@contextmanager
def _told(path: PurePosixPath) -> Iterator[None]:
    """Say which archive is damaged, be it in its heads or in a member."""
    try:
        yield
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise Unavailable(
            f"The archive of {path} can't be read.", cause=str(error), fault=Fault.ARTIFACTS
        ) from error


def _entries(
    archive: Archive, path: PurePosixPath, allowance: Allowance
) -> Generator[_Entry, None, None]:
    size = count = 0
    # Any: the protocol promises an iterator; a generator ends its command when closed.
    with closing(cast("Any", archive())) as chunks:
        try:
            with tarfile.open(fileobj=_Chunks(chunks, path, allowance), mode="r|") as tar:
                for entry in tar:
                    size, count = size + entry.size, count + 1
                    if size > allowance.size_bytes or count > allowance.entries:
                        raise _too_much(path, allowance)
                    if entry.isreg() or entry.issym() or entry.islnk():
                        yield tar, entry, _place(path, entry.name)
                    # tarfile would keep a record of every member it has seen.
                    cast("Any", tar).members = []
            for _ in chunks:  # what pads the archive, then the exit code
                pass
        except EngineUnavailable:
            raise
        except Unavailable as error:
            if not _is_absent_file(error.cause):
                raise_gone(error.cause, error)
                raise


class _Chunks(io.RawIOBase):
    """An iterator of bytes as the file object that tarfile streams from."""

    def __init__(self, chunks: Iterator[bytes], path: PurePosixPath, allowance: Allowance) -> None:
        self._chunks = chunks
        self._path = path
        self._allowance = allowance
        # A head may announce a name of any length, which tarfile reads as a whole.
        self._left = allowance.size_bytes + allowance.entries * _HEAD_BYTES

    def read(self, _size: int = -1) -> bytes:
        """The next chunk, of any size: tarfile keeps what it does not need yet."""
        chunk = next(self._chunks, b"")
        self._left -= len(chunk)
        if self._left < 0:
            raise _too_much(self._path, self._allowance)
        return chunk


def _place(path: PurePosixPath, name: str) -> PurePosixPath:
    """Where the entry *name* is in the container, if *path* was asked for.

    Names begin with the base name of *path*, or of what it is a link to; for
    the root they are absolute.
    """
    if str(path) == "/":
        return PurePosixPath("/", name)
    return path.joinpath(*PurePosixPath(name).parts[1:])


def _member(tar: tarfile.TarFile, entry: tarfile.TarInfo, place: PurePosixPath) -> ArchiveMember:
    if entry.issym():
        return ArchiveMember(place, entry.mode, entry.linkname, b"")
    file = tar.extractfile(entry)
    content = file.read() if file else b""
    return ArchiveMember(place, entry.mode, None, content, int(entry.mtime))


def _is_absent_file(words: str) -> bool:
    return "could not find the file" in words.lower() or "no such file" in words.lower()


def _too_much(path: PurePosixPath, allowance: Allowance) -> Unavailable:
    return Unavailable(
        f"There is too much under {path} to read.",
        cause=f"More than {allowance.size_bytes >> 20} MiB or {allowance.entries:,} entries.",
        hint="name a folder further down, or write less into it",
        fault=Fault.ARTIFACTS,
    )
