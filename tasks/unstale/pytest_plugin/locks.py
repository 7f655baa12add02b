"""Advisory locks by name, held by a connection in autocommit mode.

They count within one database, and go with their connection: a process that
is killed holds none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

__all__ = ["exclusive", "release", "share", "tried"]

# A seed of our own: names of other programs hash to other numbers.
_KEY = "hashtextextended('unstale: ' || :name, 1970170222)"


def _call(connection: Connection, function: str, name: str) -> bool:
    return bool(connection.execute(text(f"SELECT {function}({_KEY})"), {"name": name}).scalar())


@contextmanager
def exclusive(connection: Connection, name: str) -> Iterator[None]:
    """Wait until nobody else holds *name*, and hold it for the block."""
    _call(connection, "pg_advisory_lock", name)
    try:
        yield
    finally:
        _call(connection, "pg_advisory_unlock", name)


@contextmanager
def tried(connection: Connection, name: str) -> Iterator[bool]:
    """Hold *name* for the block if nobody else does; says whether."""
    is_free = _call(connection, "pg_try_advisory_lock", name)
    try:
        yield is_free
    finally:
        if is_free:
            _call(connection, "pg_advisory_unlock", name)


def share(connection: Connection, name: str) -> None:
    """Hold *name* together with others, until `release`."""
    _call(connection, "pg_advisory_lock_shared", name)


def release(connection: Connection, name: str) -> None:
    """Give a shared *name* back."""
    _call(connection, "pg_advisory_unlock_shared", name)
