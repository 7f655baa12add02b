"""Arguments of tasks that refuse what Invoke would take for their value.

Invoke takes any word for the value of a positional argument, ``--help`` and mistyped
options too, and then runs the next word as a task. It parses the whole command line
before it runs anything, so what is refused here ends it before that.
"""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any, cast

from invoke import Argument, Program, Task
from invoke.exceptions import Exit

from unstale.errors import UsageError, exit_code, outcome_of
from unstale.invocations.streams import guard
from unstale.printable import printable
from unstale.spoken import as_typed, form_of, speak

__all__ = ["strict"]


class _Strict(Argument):
    """An argument that refuses what is no value of it."""

    refuse: Callable[[str], None]
    """Ends the command line that gave an option where a word is needed."""

    def __repr__(self) -> str:
        return _flags(self)[0]  # Invoke quotes it when the value is missing

    # Any: of whatever kind the argument is.
    def set_value(self, value: Any, cast: bool = True) -> None:  # Invoke's name
        """Take *value*, unless it is none of this argument's."""
        if self.positional and self.kind is str and value.startswith("-"):
            self.refuse(value)
        try:
            super().set_value(value, cast)
        except ValueError as error:
            what = f"{_flags(self)[0]} takes a whole number, and {value!r} is none."
            raise _usage(UsageError(what)) from error


# Any: a task's result, which Invoke ignores.
def strict(task: Task[Any], arguments: Sequence[Argument]) -> list[Argument]:
    """*arguments* of *task*, made strict."""
    words = [one.names[0] for one in arguments if one.positional and one.kind is str]
    flags = [flag for one in arguments for flag in _flags(one)]

    # No object: Invoke copies arguments deeply, and functions not at all.
    def refuse(option: str) -> None:
        _refuse(_spoken_name(task), option, words, flags)

    return [_made_strict(one, refuse) for one in arguments]


def _made_strict(argument: Argument, refuse: Callable[[str], None]) -> _Strict:
    argument.__class__ = _Strict  # Invoke makes them itself, and nowhere asks of which class
    made = cast("_Strict", argument)
    made.refuse = refuse
    if made.kind is list:
        made.raw_value = None  # by which Invoke sees that a value is missing
    return made


def _refuse(name: str, option: str, words: Iterable[str], flags: Sequence[str]) -> None:
    if option in ("-h", "--help"):
        _print_help(name)
        raise Exit(code=0)
    near = difflib.get_close_matches(option, flags, n=1)
    usage = " ".join(["inv", name, *(f"<{word}>" for word in words)])
    raise _usage(
        UsageError(
            f"{option!r} is no option of {name}.",
            cause=f"Did you mean {near[0]!r}?" if near else "",
            hint=f"{as_typed(usage)}; options of Invoke itself go before the task",
        )
    )


def _usage(error: UsageError) -> Exit:
    return Exit(printable(str(error)), code=exit_code(outcome_of(error)))


def _spoken_name(task: Task[Any]) -> str:
    """What *task* is called where nothing mounts it; messages get the form of the command line."""
    from unstale.invocations import ns

    speak(*form_of(sys.argv, ns.task_names), ns.task_names)
    return next((name for name in ns.task_names if ns[name].body is task.body), task.name)


def _print_help(name: str) -> None:
    from unstale.invocations import ns

    guard()  # a reader that goes is no error here
    program, typed = as_typed(f"inv {name}").split()
    text = io.StringIO()
    with redirect_stdout(text):
        Program(namespace=ns, binary=program).run([program, "--help", name], exit=False)
    sys.stdout.write(text.getvalue().replace(f" {name} [", f" {typed} [", 1))
    sys.stdout.flush()


def _flags(argument: Argument) -> list[str]:
    return [f"--{name}" if len(name) > 1 else f"-{name}" for name in argument.names]
