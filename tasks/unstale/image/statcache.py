"""What the files of a folder hold, remembered by their stat.

A file is read again only if its device, inode, size, mtime, ctime or mode has
changed. ctime is what no tool can set back. Git's index is never used: it lacks
untracked files, mode bits and, where filters apply, the bytes themselves.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

from unstale.image import listing
from unstale.image.listing import Stat, pack, place_of, unpack

__all__ = ["NO_STAT", "Content", "Folder", "Stat", "StatCache", "View", "join"]

NO_STAT: Stat = (0, 0, 0, 0, 0, 0)
"""What no file has."""

Content = tuple[bytes, bytes]
"""What a path holds, and its extended attributes, framed.

A file's bytes by their SHA-256, a link's target as it is. A folder holds
nothing, a device or a pipe its type and number.
"""

View = tuple[bytes, bool, tuple[tuple[str, bytes, bool], ...]]
"""What one set of ignore rules makes of a folder; `tree` writes and reads it."""

_Saved = tuple[bytes, bytes, dict[bytes, View]]
"""A folder's listing, the contents of its files (both marshalled), its views."""

_MAGIC = b"unstale stat cache 1\n"
_VIEWS_KEPT = 8

# A file's part of a listing. A process starts in the time of 5,000 files (measured);
# with fewer than 9,000 there is nothing to win.
_FILE_BYTES = 65
_START_BYTES = 5_000 * _FILE_BYTES
_MUCH_BYTES = 9_000 * _FILE_BYTES

_MILLISECOND, _SECOND = 10**6, 10**9
# Kernels stamp files by a clock that ticks every 1 to 10 ms.
_TICK_NS = 20 * _MILLISECOND
_COARSE_TICK_NS = 2 * _SECOND
# On another device than the cache's own, another machine may set the clock.
_SKEW_NS = 3600 * _SECOND

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
_SUM_BYTES = 16
_EMPTY = hashlib.sha256().digest()


def _sum(body: bytes | memoryview, seal: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SUM_BYTES, key=seal).digest()


def join(folder: str, name: str) -> str:
    """The path of *name* in *folder*; "." is the root."""
    return name if folder == "." else f"{folder}/{name}"


class Folder:
    """A folder as one scan found it, and what is known of its files."""

    __slots__ = ("_block", "_contents", "_entries", "_packed", "changed", "place", "views")

    def __init__(self, place: str, block: bytes, contents: bytes, views: dict[bytes, View]) -> None:
        self.place = place
        self.views = views
        self.changed = False
        self._block = block
        self._packed = contents
        self._entries: dict[str, Stat] | None = None
        self._contents: dict[str, Content] | None = None

    @classmethod
    def fresh(cls, place: str, block: bytes, contents: dict[str, Content]) -> Folder:
        """A folder that is not as it was, of whose files *contents* still hold."""
        folder = cls(place, block, b"", {})
        folder.changed = True
        folder._contents = contents
        return folder

    @property
    def entries(self) -> Mapping[str, Stat]:
        """Name to stat, in no order."""
        if self._entries is None:
            self._entries = dict(unpack(self._block))
        return self._entries

    @property
    def contents(self) -> dict[str, Content]:
        """Name to content, of those that were asked for."""
        if self._contents is None:
            self._contents = unpack(self._packed)
        return self._contents

    def content(self, name: str) -> Content:
        """What *name* holds.

        Raises:
            OSError: it can't be read.

        """
        found = self.contents.get(name)
        if found is None:
            found = self.contents[name] = _read(f"{self.place}/{name}", self.entries[name])
            self.changed = True
        return found

    def keep(self, key: bytes, view: View) -> None:
        """Remember *view* for the rules *key* stands for."""
        while len(self.views) >= _VIEWS_KEPT:
            del self.views[next(iter(self.views))]
        self.views[key] = view
        self.changed = True
        self._pack()

    def saved(self, now: _Clock) -> _Saved:
        """What a later process may rely on: nothing of a file that could still change unseen."""
        entries = self.entries
        past = {name: held for name, held in self.contents.items() if now.is_past(entries[name])}
        if len(past) < len(self.contents):
            return self._block, pack(past), {}  # a view may be of what is not kept
        self._pack()
        return self._block, self._packed, self.views

    def _pack(self) -> None:
        """Hold the details in few bytes: 100,000 files are to fit into memory."""
        if self._contents is not None:
            self._packed = pack(self._contents)
        self._entries = self._contents = None


class StatCache:
    """The scans of one context root, and what earlier processes left of theirs.

    The trees of one root, whatever their rules, share one: each folder is
    scanned once, and each file is read at most once, until `rescan`.
    """

    def __init__(self, path: Path | None = None, seal: bytes = b"") -> None:
        self._path = path
        self._seal = seal
        self._saved: dict[str, _Saved] = {}
        self._scans: dict[str, Folder] = {}
        self._now: _Clock | None = None
        self._learnt = False

    @classmethod
    def load(cls, path: Path, *, keeps: bool = True, seal: bytes = b"") -> StatCache:
        """The cache in the file *path*; one that can't be used is an empty cache.

        It lies in the checkout, and marshal trusts what it reads: only what was
        written with the same *seal*, which no checkout knows, is read at all.
        Not *keeps*: it is only read, and nothing is written beside it.
        """
        cache = cls(path if keeps else None, seal)
        try:
            content = path.read_bytes()
        except OSError:
            return cache
        head = len(_MAGIC) + _SUM_BYTES
        body = memoryview(content)[head:]
        if hmac.compare_digest(content[:head], _MAGIC + _sum(body, seal)):
            cache._saved = _saved(body)
        return cache

    def rescan(self) -> None:
        """Forget what the folders looked like, not what the files hold."""
        self._keep()
        self._scans.clear()
        self._now = None

    def scan(self, root: str, folder: str) -> Folder:
        """The folder *folder* of *root*, as it is, or was at the first scan.

        Raises:
            OSError: it can't be listed.

        """
        found = self._scans.get(folder)
        if found is None:
            found = self._scans[folder] = self._scan(root, folder)
        return found

    def scan_ahead(self, root: str, folder: str, key: bytes) -> None:
        """Scan what a digest of *folder* by the rules of *key* needs, if it needs much.

        A second process lists a part: most of the time goes into making Python
        objects of the stats, which one process does on one processor. What
        can't be listed is left to whoever asks for it.
        """
        below = "" if folder == "." else f"{folder}/"
        sizes = {
            one: len(saved[0])
            for one, saved in self._saved.items()
            if key in saved[2] and one not in self._scans and f"{one}/".startswith(below)
        }
        if sum(sizes.values()) < _MUCH_BYTES or not _can_share():
            return
        self._begin()
        theirs, ours = _shares(sizes)
        with suppress(OSError), _listed_meanwhile(root, theirs) as blocks:
            for one in ours:
                with suppress(OSError):
                    self.scan(root, one)
            for one, block in blocks().items():
                self._scans[one] = self._compare(one, place_of(root, one), block)

    def _scan(self, root: str, folder: str) -> Folder:
        self._begin()
        where = place_of(root, folder)
        return self._compare(folder, where, pack(listing.of(where)))

    def _begin(self) -> None:
        if self._now is None:
            self._now = _Clock.read(self._path)

    def _compare(self, folder: str, where: str, block: bytes) -> Folder:
        saved = self._saved.get(folder)
        if saved is None:
            return Folder.fresh(where, block, {})
        if saved[0] == block:
            return Folder(where, *saved)
        before: dict[str, Stat] = dict(unpack(saved[0]))
        known: dict[str, Content] = unpack(saved[1])
        now = unpack(block)
        held = {name: known[name] for name, at in now if name in known and before[name] == at}
        return Folder.fresh(where, block, held)

    def save(self) -> None:
        """Write what was learnt, whole or not at all; a place that can't be written is left."""
        self._keep()
        if self._path is None or not self._learnt:
            return
        self._learnt = False
        body = pack(self._saved)
        try:
            _write(self._path, _MAGIC + _sum(body, self._seal) + body)
        except OSError:
            return

    def _keep(self) -> None:
        if self._now is None:
            return
        changed = {folder: scan for folder, scan in self._scans.items() if scan.changed}
        if not changed:
            return
        self._learnt = True
        for folder, scan in changed.items():
            self._saved[folder] = scan.saved(self._now)
        for folder in [one for one in self._saved if self._is_gone(one)]:
            del self._saved[folder]

    def _is_gone(self, folder: str) -> bool:
        parent, _, name = folder.rpartition("/")
        while folder != ".":
            above = self._scans.get(parent or ".")
            if above is not None and not stat.S_ISDIR(above.entries.get(name, NO_STAT)[5]):
                return True
            folder = parent or "."
            parent, _, name = folder.rpartition("/")
        return False


class _Clock:
    """When a scan began, by the clock that stamps the files."""

    __slots__ = ("_at_ns", "_device", "_tick_ns")

    def __init__(self, device: int | None, at_ns: int, tick_ns: int) -> None:
        self._device = device
        self._at_ns = at_ns
        self._tick_ns = tick_ns

    @classmethod
    def read(cls, beside: Path | None) -> _Clock:
        """Ask the file system that *beside* is on, by writing a file there."""
        try:
            if beside is not None:
                beside.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=beside and beside.parent) as file:
                file.write(b"1")
                file.flush()
                found = os.fstat(file.fileno())
        except OSError:
            return cls(None, time.time_ns(), _SKEW_NS)
        sharp = found.st_mtime_ns % _SECOND
        return cls(found.st_dev, found.st_mtime_ns, _TICK_NS if sharp else _COARSE_TICK_NS)

    def is_past(self, found: Stat) -> bool:
        """Whether any later change must give the file other stamps than *found*."""
        device, _, _, mtime_ns, ctime_ns, _ = found
        margin_ns = self._tick_ns if device == self._device else _SKEW_NS
        return max(mtime_ns, ctime_ns) < self._at_ns - margin_ns


def _saved(body: memoryview) -> dict[str, _Saved]:
    """What `StatCache.save` packed; nothing where it is of another form."""
    try:
        found = unpack(body)
    except (ValueError, EOFError, TypeError):
        return {}
    is_ours = isinstance(found, dict) and all(map(_is_folder, found.items()))
    return found if is_ours else {}


def _is_folder(pair: tuple[object, object]) -> bool:
    folder, saved = pair
    is_whole = isinstance(saved, tuple) and [*map(type, saved)] == [bytes, bytes, dict]
    return isinstance(folder, str) and is_whole


def _shares(sizes: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The folders of *sizes* in two lists; the other process, which has to start, gets less."""
    enough = (sum(sizes.values()) - _START_BYTES) / 2
    ends = accumulate(sizes.values())
    theirs = [one for one, end in zip(sizes, ends, strict=True) if end <= enough]
    return theirs, list(sizes)[len(theirs) :]


@contextmanager
def _listed_meanwhile(
    root: str, folders: Sequence[str]
) -> Iterator[Callable[[], Mapping[str, bytes]]]:
    """Let a second process list *folders*; what is yielded waits for what it could list.

    Raises:
        OSError: it can't be started.

    """
    # Files, not pipes: nobody reads or writes while both processes are busy.
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        question.write(pack((root, list(folders))))
        question.seek(0)
        with subprocess.Popen(
            [sys.executable, "-I", "-S", listing.__file__],
            stdin=question,
            stdout=answer,
            stderr=subprocess.DEVNULL,
        ) as process:

            def blocks() -> Mapping[str, bytes]:
                if process.wait() != 0:
                    return {}
                answer.seek(0)
                found: Mapping[str, bytes] = unpack(answer.read())
                return found

            try:
                yield blocks
            finally:
                process.kill()


def _can_share() -> bool:
    # An embedded Python names another program there, or none.
    name = os.path.basename(sys.executable or "")  # noqa: PTH119 - it may be empty
    return name.startswith("python") and (os.cpu_count() or 1) > 1


def _read(place: str, found: Stat) -> Content:
    kind = stat.S_IFMT(found[5])
    if kind == stat.S_IFREG:
        descriptor = os.open(place, _OPEN)
        try:
            return _hash(descriptor, found[2]), _xattrs(descriptor)
        finally:
            os.close(descriptor)
    if kind == stat.S_IFLNK:
        # Path.readlink would tidy "./a" to "a".
        return os.fsencode(os.readlink(place)), _xattrs(place)  # noqa: PTH115
    if kind == stat.S_IFDIR:
        return b"", _xattrs(place)
    if kind == stat.S_IFSOCK:
        return _EMPTY, b""  # sent as an empty file
    return b"%o:%d" % (kind, os.lstat(place).st_rdev), b""


def _hash(descriptor: int, size_bytes: int) -> bytes:
    # One byte more than expected shows in one call that the file ends there.
    first = os.read(descriptor, min(size_bytes + 1, _CHUNK_BYTES))
    total = hashlib.sha256(first)
    if len(first) != size_bytes:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            total.update(chunk)
    return total.digest()


def _xattrs(place: int | str) -> bytes:
    """The extended attributes that the builder sends; b"" where there are none."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
        if not names:
            return b""
        sent = [name for name in names if _is_sent(name)]
        held = [(os.fsencode(n), os.getxattr(place, n, follow_symlinks=follow)) for n in sent]
    except AttributeError:  # macOS: Python has no function for them there
        return b""
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # not every file system has them
            return b""
        raise
    return b"".join(b"%d:%b%d:%b" % (len(n), n, len(value), value) for n, value in sorted(held))


def _is_sent(xattr: str) -> bool:
    # The rest of `security.` and all of `system.` are not in BuildKit's key.
    return xattr.startswith(("user.", "trusted.")) or xattr == "security.capability"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
