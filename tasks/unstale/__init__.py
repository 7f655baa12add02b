"""Integration tests in Docker that can be believed.

Importing this package loads nothing heavy: a name is fetched when it is asked
for. ``inv --list``, an idle pytest and a container without Invoke depend on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unstale.errors import Outcome, UnstaleError, exit_code
    from unstale.invocations import ns
    from unstale.project import Project
    from unstale.verdict import Fresh, Missing, NotAsked, Stale, Unknown, Verdict

__all__ = [
    "Fresh",
    "Missing",
    "NotAsked",
    "Outcome",
    "Project",
    "Stale",
    "Unknown",
    "UnstaleError",
    "Verdict",
    "exit_code",
    "ns",
]

_HOMES = {
    **dict.fromkeys(("Fresh", "Missing", "NotAsked", "Stale", "Unknown", "Verdict"), "verdict"),
    **dict.fromkeys(("Outcome", "UnstaleError", "exit_code"), "errors"),
    "Project": "project",
    "ns": "invocations",
}


def __getattr__(name: str) -> object:
    """Import the public *name* from its module.

    Raises:
        AttributeError: the package has no such name.

    """
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import importlib
    import sys

    # Invoke switches .pyc files off for the sake of tasks.py; ours would be
    # compiled anew by every command.
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    try:
        return getattr(importlib.import_module(f"unstale.{_HOMES[name]}"), name)
    finally:
        sys.dont_write_bytecode = before


def __dir__() -> list[str]:
    return sorted(__all__)
