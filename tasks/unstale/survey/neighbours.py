"""What stands beside a project's tasks.py and gets in the way of it, in silence.

Read, never imported: looking must not run a project's code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Obstacle", "hidden_tasks", "obstacles"]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that makes Python or Invoke take one thing for another."""

    path: str
    """From the project's folder."""
    what: str
    why: str
    hint: str


def obstacles(tasks: str | None, exists: Callable[[str], bool]) -> tuple[Obstacle, ...]:
    """What gets in the way, with *tasks*, the text of tasks.py, and *exists* for other paths."""
    return (*_packages(exists, has_tasks=tasks is not None), *_hidden(tasks or ""))


def _packages(exists: Callable[[str], bool], *, has_tasks: bool) -> Iterator[Obstacle]:
    if has_tasks and exists("tasks/__init__.py"):
        yield Obstacle(
            "tasks/__init__.py",
            "Beside tasks.py there is a package tasks/.",
            "inv loads tasks.py and says nothing of the package; `import tasks` finds the"
            " package and not tasks.py.",
            "give one of them another name; a folder without __init__.py is in nobody's way",
        )
    if exists("alembic/__init__.py"):
        yield Obstacle(
            "alembic/__init__.py",
            "The folder alembic/ is a package, and hides the library of that name.",
            "Whatever has this folder on its path, like inv or python -m pytest, fails with:"
            " No module named 'alembic.config'.",
            "remove alembic/__init__.py, which Alembic does not need, or call it migrations/",
        )


def _hidden(tasks: str) -> Iterator[Obstacle]:
    for name in hidden_tasks(tasks):
        yield Obstacle(
            "tasks.py",
            f"inv does not see the task {name!r}.",
            "With an `ns` in tasks.py, inv shows what is in it and nothing else.",
            f"ns.add_task({name})",
        )


def hidden_tasks(source: str) -> tuple[str, ...]:
    """The tasks of a tasks.py that its ``ns`` does not have; () if it can't be read."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    if not any(isinstance(node, ast.stmt) and "ns" in _bound(node) for node in tree.body):
        return ()
    used = {
        node.id
        for statement in tree.body
        if not isinstance(statement, ast.FunctionDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    made = (one for one in tree.body if isinstance(one, ast.FunctionDef) and _is_task(one))
    return tuple(one.name for one in made if one.name not in used)


def _bound(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.ImportFrom(names=names):
            return {one.asname or one.name for one in names}
        case ast.Assign(targets=targets):
            return {one.id for one in targets if isinstance(one, ast.Name)}
        case _:
            return set()


def _is_task(function: ast.FunctionDef) -> bool:
    def called(node: ast.expr) -> str:
        match node:
            case ast.Call(func=inner):
                return called(inner)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name
            case _:
                return ""

    return any(called(one) == "task" for one in function.decorator_list)
