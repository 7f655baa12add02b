"""The file system of this machine."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unstale.errors import ConfigError, Fault, MissingFile, Unavailable

__all__ = ["DiskFiles"]

_MODE = 0o644


class DiskFiles:
    """The `Files` of this machine."""

    def read_text(self, path: Path) -> str:
        """The text of *path*, without a byte order mark."""
        try:
            return path.read_bytes().decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingFile(f"There is no file {path}.") from error
        except OSError as error:
            raise ConfigError(
                f"{path} can't be read.",
                cause=f"{error.strerror}.",
                hint=f"ls -ld {path}",
                fault=Fault.PERMISSION if isinstance(error, PermissionError) else Fault.CONTENT,
            ) from error
        except UnicodeDecodeError as error:
            # The error's own text quotes the bytes, which may be a secret.
            raise ConfigError(
                f"{path} is not UTF-8.",
                cause=f"Byte {error.start} does not begin a character.",
                hint="save the file as UTF-8",
                fault=Fault.CONTENT,
            ) from None

    def exists(self, path: Path) -> bool:
        """Whether *path* exists."""
        return path.exists()

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        """Files under *root* that match *pattern*, sorted."""
        return tuple(sorted(path for path in root.glob(pattern) if path.is_file()))

    def write_atomic(self, path: Path, text: str) -> None:
        """Write *text* beside *path*, then rename it over *path*.

        A file that is there keeps its mode, and a link goes on leading to it.
        """
        with _told(path):
            path = path.resolve()
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _MODE
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(
                    descriptor, "w", encoding="utf-8", errors="surrogateescape", newline=""
                ) as file:
                    file.write(text)
                    # mkstemp makes a file that only its owner reads.
                    os.fchmod(file.fileno(), mode)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def append(self, path: Path, text: str) -> None:
        """Write *text* at the end of *path*, in one write."""
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)

    @contextmanager
    def locked(self, path: Path) -> Iterator[None]:
        """Hold a lock on the file *path*, which the kernel frees on any death."""
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = path.open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def remove(self, path: Path) -> None:
        """Remove the file or link *path*; nothing happens if there is none."""
        with _told(path):
            path.unlink(missing_ok=True)

    def link(self, path: Path, target: Path) -> None:
        """Make *path* a symbolic link to *target*, in place of an earlier link."""
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.urandom(16).hex()}")
            fresh.symlink_to(target)
            fresh.replace(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{path} can't be written.",
            cause=f"{error.strerror}.",
            hint=f"ls -ld {path.parent}; df {path.parent}",
        ) from error
