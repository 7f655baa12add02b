"""Tells SQLAlchemy's asynchronous objects from others, and imports nothing for it.

``sqlalchemy.ext.asyncio`` needs greenlet, which SQLAlchemy 2.1 does not bring by
itself: a suite without asynchronous sessions need not have it. Before somebody
imports that module, nothing can be one of its objects.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

__all__ = ["is_connection", "is_engine", "is_session", "is_session_class"]


def is_session(value: object) -> TypeGuard[AsyncSession]:
    """Whether *value* is an ``AsyncSession``."""
    return is_session_class(type(value))


def is_session_class(kind: type) -> bool:
    """Whether *kind* is ``AsyncSession``, or derived from it."""
    return _is_a(kind, "AsyncSession")


def is_engine(value: object) -> TypeGuard[AsyncEngine]:
    """Whether *value* is an ``AsyncEngine``."""
    return _is_a(type(value), "AsyncEngine")


def is_connection(value: object) -> TypeGuard[AsyncConnection]:
    """Whether *value* is an ``AsyncConnection``."""
    return _is_a(type(value), "AsyncConnection")


def _is_a(kind: type, name: str) -> bool:
    known: Any = sys.modules.get("sqlalchemy.ext.asyncio")
    wanted = getattr(known, name, None)
    return isinstance(wanted, type) and issubclass(kind, wanted)
