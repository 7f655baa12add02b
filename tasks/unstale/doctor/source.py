"""What a project's folder does to Python's imports and to Invoke, by reading it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence

__all__ = ["Shadow", "hidden_tasks", "shadowed"]

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


def hidden_tasks(source: bytes) -> tuple[str, ...]:
    """The tasks of a tasks.py that Invoke does not see, since there is a collection called ns.

    Empty, too, where it can't be parsed: Invoke says so itself.
    """
    try:
        tree = ast.parse(source)
    # The last two: Python's parser went too deep.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    if not any(_binds_a_collection(one) for one in tree.body):
        return ()
    given = set(_given(tree))
    return tuple(name for name in _tasks(tree) if name not in given)


def _binds_a_collection(statement: ast.stmt) -> bool:
    """Whether it makes the name that Invoke looks for."""
    match statement:
        case ast.ImportFrom(names=names) | ast.Import(names=names):
            bound = {one.asname or one.name for one in names}
        case ast.Assign(targets=targets):
            bound = {one.id for one in targets if isinstance(one, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            bound = {name}
        case _:
            bound = set()
    return bool(bound & {"ns", "namespace"})


def _tasks(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(map(_is_task, node.decorator_list)):
            yield node.name


def _is_task(decorator: ast.expr) -> bool:
    match decorator:
        case ast.Call(func=function):
            return _is_task(function)
        case ast.Name(id="task") | ast.Attribute(attr="task"):
            return True
        case _:
            return False


def _given(tree: ast.Module) -> Iterator[str]:
    """The names that are handed to a collection."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="add_task" | "add_collection")
                | ast.Name(id="Collection")
                | ast.Attribute(attr="Collection")
            ):
                values = (*node.args, *(one.value for one in node.keywords))
                found = [one for value in values for one in ast.walk(value)]
                yield from (one.id for one in found if isinstance(one, ast.Name))
            # A loop over several of them, which adds each.
            case ast.For(iter=several):
                yield from (one.id for one in ast.walk(several) if isinstance(one, ast.Name))
