"""What a project's folder does to Python's imports, by the names in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

__all__ = ["Shadow", "shadowed"]

# What `inv`, pytest and a migration import.
_NEEDED = frozenset(
    {
        *("alembic", "dotenv", "filelock", "invoke", "pluggy", "pydantic", "pytest", "rich"),
        *("python_on_whales", "sqlalchemy", "unstale", "yaml", "mako", "psycopg", "_pytest"),
    }
)
# A folder of tests may be called so, and nothing imports the library's.
_HARMLESS = frozenset({"test", "this", "antigravity", "idlelib", "turtledemo", "__main__"})

Shadow = tuple[str, str]
"""What lies in the project's folder, and what it hides."""


def shadowed(entries: Sequence[tuple[str, bool]]) -> Iterator[Shadow]:
    """What of *entries* Python would import for a library of that name.

    They are the names in the project's folder, each with whether it has an
    ``__init__.py``: a folder without one hides nothing.
    """
    names = dict(entries)
    for entry, is_package in sorted(entries):
        name = entry.removesuffix(".py")
        if not is_package and name == entry:
            continue
        if name in _NEEDED:
            yield entry, f"the library {name}"
        elif name in sys.stdlib_module_names - _HARMLESS:
            yield entry, f"Python's own {name}"
    if names.get("tasks") and "tasks.py" in names:
        yield "tasks/__init__.py", "tasks.py, for `import tasks`: Invoke itself loads tasks.py"
