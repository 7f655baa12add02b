"""A project's own tasks.py: what to add to it, told and never written. Pure."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["NEW", "TasksFile", "advice"]

NEW = '''"""Tasks of this project."""

from unstale import ns
'''
"""A tasks.py where there is none."""

_NAMES = ("ns", "namespace")


@dataclass(frozen=True, slots=True)
class TasksFile:
    """What to do with the one that is there."""

    state: str
    """One of: done, add, mount, foreign, unreadable."""
    lines: tuple[str, ...]
    """To be added; the last is what is typed then, in words."""


def advice(text: str, ours: Iterable[str]) -> TasksFile:
    """The lines that bring the tasks of unstale into a tasks.py with *text*.

    *ours* are the names at the top of our collection: with a task of such a name
    Invoke would refuse ours, or silently drop theirs.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return TasksFile("unreadable", ("it is no Python that can be read: use `unstale TASK`",))
    imported = _imported(tree)
    if "unstale" in imported:
        return TasksFile("done", ())
    if "invoke" not in imported and text.strip():
        return TasksFile(
            "foreign",
            ("it has nothing of Invoke, so `inv` can't be used here: use `unstale TASK`",),
        )
    tasks = tuple(_tasks(tree))
    own = next((name for name in _NAMES if name in _assigned(tree)), "")
    if own:
        return TasksFile(
            "mount",
            ("import unstale", f"{own}.add_collection(unstale.ns)", _MOUNTED),
        )
    if clashes := sorted({name for name, _ in tasks} & set(ours)):
        names = ", ".join(function for _, function in tasks)
        return TasksFile(
            "mount",
            (
                "from invoke import Collection",
                "import unstale",
                f"ns = Collection({names}, unstale.ns)  # beside your own {', '.join(clashes)}",
                _MOUNTED,
            ),
        )
    return TasksFile(
        "add",
        (
            "from unstale import ns",
            *(f"ns.add_task({function})" for _, function in tasks),
            "then: inv test.integration, and your own tasks as before",
        ),
    )


_MOUNTED = "then: inv unstale.test.integration"


def _tasks(tree: ast.Module) -> Iterable[tuple[str, str]]:
    """The name that each task is typed by, and that of its function."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for one in node.decorator_list:
                called = one.func if isinstance(one, ast.Call) else one
                if ast.unparse(called).rpartition(".")[2] == "task":
                    yield _typed(one) or node.name.strip("_").replace("_", "-"), node.name


def _typed(decorator: ast.expr) -> str:
    given = decorator.keywords if isinstance(decorator, ast.Call) else []
    for one in given:
        if one.arg == "name" and isinstance(one.value, ast.Constant):
            return str(one.value.value)
    return ""


def _imported(tree: ast.Module) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found |= {one.name.partition(".")[0] for one in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.partition(".")[0])
            case _:
                pass
    return frozenset(found)


def _assigned(tree: ast.Module) -> frozenset[str]:
    return frozenset(
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    )
