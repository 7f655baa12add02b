"""What folders hold, by name and stat: a module, and a program for a second process.

As a program it reads a root and its folders, marshalled, and writes a listing
for each folder that can be listed. It is started without site-packages, so it
imports little.
"""

from __future__ import annotations

import marshal
import os
import sys
from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than all the rest
    from typing import Any

__all__ = ["Listing", "Stat", "of", "pack", "place_of", "unpack"]

Stat = tuple[int, int, int, int, int, int]
"""Device, inode, size, mtime and ctime in nanoseconds, mode."""

Listing = list[tuple[str, Stat]]
"""The names in a folder, in the order the file system gives them."""

_stat = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode")


def of(folder: str) -> Listing:
    """What is in the folder at the path *folder*.

    Raises:
        OSError: it can't be listed.

    """
    # By descriptor: stat then need not walk the path for each name.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            return [(one.name, _stat(one.stat(follow_symlinks=False))) for one in entries]
    finally:
        os.close(descriptor)


def place_of(root: str, folder: str) -> str:
    """The path of *folder*, which is relative to *root*; "." is the root itself."""
    return root if folder == "." else f"{root}/{folder}"


def pack(value: Any) -> bytes:  # noqa: ANN401 - typeshed keeps the type private
    """*value* as bytes, the same for equal values."""
    # Later versions of the format mark shared objects: equal values, other bytes.
    return marshal.dumps(value, 2)


def unpack(content: bytes | memoryview) -> Any:  # noqa: ANN401 - whatever was packed
    """What `pack` was given."""
    return marshal.loads(content)  # noqa: S302 - written by ourselves, and its checksum is right


def _answer(question: bytes) -> bytes:
    root, folders = unpack(question)
    found: dict[str, bytes] = {}
    for folder in folders:
        try:
            found[folder] = pack(of(place_of(root, folder)))
        except OSError:  # whoever needs it will meet the error, and can say so
            continue
    return pack(found)


if __name__ == "__main__":
    sys.stdout.buffer.write(_answer(sys.stdin.buffer.read()))
