"""The file system of this machine."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from unstale.adapters.places import opened
from unstale.config import STATE_FOLDER
from unstale.errors import ConfigError, Fault, MissingFile, TimedOut, Unavailable
from unstale.facts import DiskSpace

__all__ = ["DiskFiles", "DryFiles"]

_MODE = 0o644
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MORE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
# Longer than a build may take, with pulling what it is built on.
_LOCK_S = 3600.0
_LOOK_S = 0.05


class DiskFiles:
    """The `Files` of this machine."""

    def read_text(self, path: Path) -> str:
        """The text of *path*, without a byte order mark."""
        try:
            return self.read_bytes(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # The error's own text quotes the bytes, which may be a secret.
            raise ConfigError(
                f"{path} is not UTF-8.",
                cause=f"Byte {error.start} does not begin a character.",
                hint="save the file as UTF-8",
                fault=Fault.CONTENT,
            ) from None

    def read_bytes(self, path: Path) -> bytes:
        """What is in *path*, to the byte."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingFile(f"There is no file {path}.") from error
        except (OSError, ValueError) as error:  # no path has a zero byte
            raise ConfigError(
                f"{str(path)!r} can't be read." if "\0" in str(path) else f"{path} can't be read.",
                cause=f"{getattr(error, 'strerror', error)}.",
                hint=f"ls -ld {path}",
                fault=Fault.PERMISSION if isinstance(error, PermissionError) else Fault.CONTENT,
            ) from error

    def exists(self, path: Path) -> bool:
        """Whether *path* exists."""
        return os.path.exists(path)  # noqa: PTH110 - a name too long is none, and no error

    def end_of(self, path: Path, most: int) -> tuple[bytes, int] | None:
        """The last *most* bytes of the file *path*, and its size."""
        if not os.path.lexists(path):
            return None
        try:
            with opened(path) as (folder, name):
                descriptor = os.open(name, _READ, dir_fd=folder)
                with os.fdopen(descriptor, "rb") as file:
                    seen = os.fstat(descriptor)
                    if not stat.S_ISREG(seen.st_mode):
                        return None
                    file.seek(max(0, seen.st_size - most))
                    return file.read(most), seen.st_size
        except (OSError, Unavailable):
            return None

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        """Files under *root* that match *pattern*, sorted."""
        return tuple(sorted(path for path in root.glob(pattern) if path.is_file()))

    def space(self, path: Path) -> DiskSpace | None:
        """What is left on the disk of *path*, or of the nearest folder above that is there."""
        here = next((p for p in (path, *path.parents) if self.exists(p)), path)
        try:
            found = os.statvfs(here)
        except OSError:
            return None
        size = found.f_frsize
        return DiskSpace(str(path), found.f_bavail * size, found.f_blocks * size)

    def newest_first(self, folder: Path) -> tuple[Path, ...]:
        """What is in *folder*, by its last change."""
        if folder.is_symlink():
            return ()
        try:
            with os.scandir(folder) as entries:
                found = [(e.stat(follow_symlinks=False).st_mtime_ns, e.name) for e in entries]
        except OSError:
            return ()
        return tuple(folder / name for _, name in sorted(found, reverse=True))

    def write_atomic(self, path: Path, text: str) -> None:
        """Write *text* beside *path*, then rename it over *path*.

        A file that is there keeps its mode, and a link goes on leading to it; but
        none is followed from a state folder on, see `places`.
        """
        with _told(path):
            path = path if STATE_FOLDER in path.parts else path.resolve()
            with opened(path) as (folder, name):
                fresh = f".{name}.{os.urandom(16).hex()}"
                try:
                    descriptor = os.open(fresh, _NEW, 0o600, dir_fd=folder)
                    with os.fdopen(
                        descriptor, "w", encoding="utf-8", errors="surrogateescape", newline=""
                    ) as file:
                        file.write(text)
                        os.fchmod(file.fileno(), _mode(folder, name))
                    os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(fresh, dir_fd=folder)
                    raise

    def append(self, path: Path, text: str) -> None:
        """Write *text* at the end of *path*, in one write."""
        with _told(path), opened(path) as (folder, name):
            descriptor = os.open(name, _MORE, _MODE, dir_fd=folder)
            with os.fdopen(descriptor, "a", encoding="utf-8", newline="") as file:
                file.write(text)

    @contextmanager
    def locked(self, path: Path, deadline_s: float = _LOCK_S) -> Iterator[None]:
        """Hold a lock on the file *path*, which the kernel frees on any death."""
        from filelock import FileLock, Timeout

        with _told(path):
            with opened(path):  # no link leads out of the folder, which is there then
                lock = FileLock(path, timeout=deadline_s, mode=0o600)
            try:
                # Not when it is made: filelock takes that from 3.2x on only.
                lock.acquire(poll_interval=_LOOK_S)
            except Timeout:
                raise TimedOut(
                    f"Another command holds {path} for more than {deadline_s:g} s.",
                    cause="It builds the same images of this checkout, or it hangs.",
                    hint=f"fuser {path} tells who it is",
                ) from None
        try:
            yield
        finally:
            lock.release()

    def remove(self, path: Path) -> None:
        """Remove the file or link *path*; nothing happens if there is none."""
        if not os.path.lexists(path):
            return
        with _told(path), opened(path) as (folder, name), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)

    def remove_tree(self, path: Path) -> None:
        """Remove the folder *path* with all that is in it; a link is refused."""
        if not os.path.lexists(path):
            return
        with _told(path), opened(path) as (folder, name), suppress(FileNotFoundError):
            shutil.rmtree(name, dir_fd=folder)

    def link(self, path: Path, target: Path) -> None:
        """Make *path* a symbolic link to *target*, in place of an earlier link."""
        with _told(path), opened(path) as (folder, name):
            fresh = f".{name}.{os.urandom(16).hex()}"
            os.symlink(target, fresh, dir_fd=folder)
            os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)


class DryFiles(DiskFiles):
    """The same, where nothing is written; *tell* hears of what would be.

    What is below *own* is unstale's, and no change that a person asked for.
    """

    def __init__(self, tell: Callable[[str], None], own: Sequence[Path] = ()) -> None:
        self._tell = tell
        self._own = tuple(own)

    def write_atomic(self, path: Path, text: str) -> None:
        """Write nothing."""
        del text
        self._would("write", path)

    def append(self, path: Path, text: str) -> None:
        """Write nothing."""
        del text
        self._would("write", path)

    @contextmanager
    def locked(self, path: Path, deadline_s: float = _LOCK_S) -> Iterator[None]:
        """Hold no lock: nothing is changed under it."""
        del path, deadline_s
        yield

    def remove(self, path: Path) -> None:
        """Remove nothing."""
        if os.path.lexists(path):
            self._would("remove", path)

    def remove_tree(self, path: Path) -> None:
        """Remove nothing."""
        self.remove(path)

    def link(self, path: Path, target: Path) -> None:
        """Make no link."""
        del target
        self._would("write", path)

    def _would(self, verb: str, path: Path) -> None:
        if not any(path.is_relative_to(folder) for folder in self._own):
            self._tell(f"would {verb} {path}")


def _mode(folder: int, name: str) -> int:
    """The mode of the file that is there, or what a new one gets."""
    try:
        seen = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return _MODE
    return stat.S_IMODE(seen.st_mode) if stat.S_ISREG(seen.st_mode) else _MODE


@contextmanager
def _told(path: Path) -> Iterator[None]:
    if "\0" in str(path):
        raise Unavailable(f"{path} can't be written.", cause="No file's name holds a NUL.")
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{path} can't be written.",
            cause=f"{error.strerror}.",
            hint=f"ls -ld {path.parent}; df {path.parent}",
            fault=Fault.RESOURCES if error.errno in (errno.ENOSPC, errno.EDQUOT) else None,
        ) from error
