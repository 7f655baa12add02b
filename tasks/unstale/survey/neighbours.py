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


def hidden_tasks(source: str | bytes) -> tuple[str, ...]:
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
