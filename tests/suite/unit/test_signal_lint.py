"""A signal becomes one error, once: whoever goes on after it loses it for good."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import unstale

PACKAGE = Path(unstale.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

WIDE = {"UnstaleError", "Exception", "BaseException"}

# What may go on after any error, and why; of a folder, all that is in it.
ALLOWED = {
    "adapters/database/probe.py": "runs in the project's Python, without handlers of ours",
    "pytest_plugin/": "runs in the tests' process; likewise",
    "adapters/signals.py": "last words, when the signal has decided already",
    "doctor/__main__.py": "ends with the code of the error; it sets no handlers",
    "invocations/program.py": "ends with the code of the error",
    "pipeline/local.py": "collects errors, of which the worst decides: a signal",
}


def swallowed(source: str) -> Iterator[int]:
    """The lines of *source* that go on after a signal as after any error."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Try():
                yield from _after(node.handlers)
            case ast.Call(func=function, args=kinds) if _name(function) == "suppress":
                if any(_name(kind) in WIDE for kind in kinds):
                    yield node.lineno


def _after(handlers: list[ast.ExceptHandler]) -> Iterator[int]:
    for handler in handlers:
        kinds = _kinds(handler)
        if "Interrupted" in kinds and _raises(handler.body):
            return
        if kinds & WIDE and not _raises(handler.body):
            yield handler.lineno


def _kinds(handler: ast.ExceptHandler) -> set[str]:
    match handler.type:
        case None:
            return {"BaseException"}
        case ast.Tuple(elts=kinds):
            return {_name(kind) for kind in kinds}
        case kind:
            return {_name(kind)}


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Starred(value=value):
            return _name(value)
        case _:
            return ""


def _raises(body: list[ast.stmt]) -> bool:
    """Whether it ends by raising, whatever it does before."""
    return isinstance(body[-1], ast.Raise) and not any(
        isinstance(node, ast.Return | ast.Continue | ast.Break)
        for statement in body
        for node in ast.walk(statement)
    )


def test_nobody_goes_on_after_a_signal() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): [*swallowed(path.read_text())] for path in SOURCES
    }
    lines = {name: lines for name, lines in found.items() if lines}

    assert {n: at for n, at in lines.items() if not n.startswith(tuple(ALLOWED))} == {}
    unneeded = [one for one in ALLOWED if not any(name.startswith(one) for name in lines)]
    assert unneeded == []


@pytest.mark.parametrize(
    "source",
    [
        "try: f()\nexcept UnstaleError: pass",
        "try: f()\nexcept (OSError, *MISFITS, UnstaleError): pass",
        "try: f()\nexcept errors.UnstaleError as error: note(error)",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept: pass",
        "try: f()\nexcept Interrupted: pass\nexcept UnstaleError: pass",
        "try: f()\nexcept UnstaleError: pass\nexcept Interrupted: raise",
        "for x in y:\n try: f()\n except UnstaleError:\n  if x: continue\n  raise",
        "with suppress(OSError, UnstaleError): f()",
        "with contextlib.suppress(Exception): f()",
    ],
)
def test_each_way_to_go_on_is_seen(source: str) -> None:
    assert list(swallowed(source))


@pytest.mark.parametrize(
    "source",
    [
        "try: f()\nexcept Interrupted: raise\nexcept UnstaleError: pass",
        "try: f()\nexcept UnstaleError as error:\n    error.hide(mask)\n    raise",
        "try: f()\nexcept (ConfigError, Unavailable): pass",
        "with suppress(Unavailable): f()",
    ],
)
def test_what_lets_a_signal_through_is_left_alone(source: str) -> None:
    assert not list(swallowed(source))
