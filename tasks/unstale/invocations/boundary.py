"""Where errors become exit codes and signals become errors: the edge of Invoke.

Invoke renders only its own ``Exit``; any other exception is a traceback and
exit code 1, and Ctrl-C is 1 as well. So every task's body runs inside `entry`.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from invoke import Argument, Context, Task
from invoke.exceptions import Exit

from unstale.errors import (
    Interrupted,
    NotDone,
    Outcome,
    Unavailable,
    UnstaleError,
    UsageError,
    exit_code,
    outcome_of,
)
from unstale.invocations.hints import usual_hint
from unstale.invocations.streams import guard
from unstale.invocations.strict import strict
from unstale.printable import printable
from unstale.spoken import as_typed, form_of, speak

if TYPE_CHECKING:
    from unstale.adapters.signals import Signals
    from unstale.mask import Mask
    from unstale.ports import Line
    from unstale.project import Project

__all__ = ["Edge", "QuietTask", "distrust", "edge", "entry", "finish", "names", "remainder"]


# Whether --dry and --echo were given, which Invoke itself heeds in `ctx.run` alone.
_core: ContextVar[tuple[bool, bool]] = ContextVar("core", default=(False, False))


# The options that many tasks have, and that mean the same in each.
_USUAL = {
    "env": "the environment; default-env of [tool.unstale] if not given",
    "json": "print one JSON document",
}


class QuietTask(Task[Any]):
    """A task without automatic short flags: those would shadow Invoke's own.

    ``--health`` would take ``-h``, and ``inv task -h`` would then run the task. The few
    that are free are given by name.
    """

    shorts: ClassVar = {"verbose": "v", "quiet": "q"}

    # Invoke drops what it has already seen in a chain, and so the last of
    # `stack.down stack.up test.run stack.down`: each task is like no other.
    def __eq__(self, _other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return id(self)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Any: Invoke passes its own keyword arguments through.
        kwargs["auto_shortflags"] = False
        usual = {k: v for k, v in _USUAL.items() if k in inspect.signature(args[0]).parameters}
        kwargs["help"] = {**usual, **(kwargs.get("help") or {})}
        super().__init__(*args, **kwargs)

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The options, each of which knows what is no value of it.

        Invoke takes the help out of the task, and so gave it only once.
        """
        kept = dict(self.help)
        try:
            return strict(self, super().get_arguments(ignore_unknown_help))
        finally:
            self.help = kept

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """What Invoke's parser is to know of an option, with its short form."""
        found: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in self.shorts:
            found["names"] = (*found["names"], self.shorts[name])
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; a signal between two lines of `entry` is no traceback either."""
        if args and isinstance(args[0], Context):
            from unstale.invocations import ns

            speak(*form_of(sys.argv, ns.task_names), ns.task_names)
            _core.set((bool(args[0].config.run.dry), bool(args[0].config.run.echo)))
        try:
            return super().__call__(*args, **kwargs)
        except Interrupted as error:
            raise Exit(str(error), code=exit_code(outcome_of(error))) from error
        except KeyboardInterrupt as error:  # Python's own handler is there again
            raise Exit("Stopped by a signal.", code=130) from error


def distrust(*, untrusted: bool) -> None:
    """Let nothing reach out of its containers, to the end of the command line."""
    if untrusted:
        os.environ["UNSTALE_UNTRUSTED"] = "flag"


@dataclass(slots=True)
class Edge:
    """What a task's body and the edge around it share."""

    signals: Signals
    mask: Mask
    """Hides secrets in the error that ends the task."""
    is_dry: bool
    echo: Line | None
    """What ``--echo`` tells each command to."""


@contextmanager
def entry(document: str, *, as_json: bool = False, is_look: bool = False) -> Iterator[Project]:
    """Open the project for a task; turn what goes wrong into Invoke's Exit.

    With *as_json*, a failure too is one JSON document on standard output, of
    the schema ``unstale/<document>@1``. *is_look*: nothing can be changed, with
    ``--dry`` or without.
    """
    with (
        edge(document, as_json=as_json) as shared,
        _opened(shared, document, as_json=as_json, is_look=is_look) as project,
    ):
        shared.mask = project.mask
        yield project


@contextmanager
def edge(document: str, *, as_json: bool = False) -> Iterator[Edge]:
    """The same without a project, for what has to work where none can be opened."""
    # Invoke switches .pyc files off before it loads tasks.py, for good reason,
    # and forgets to switch them on: every later import would compile anew.
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    # Modules and their values stay: looked through every 700 objects, as by default,
    # they cost a look a twentieth of its time. At its end Python looks once more
    # through all that is about to go: measured at a tenth of the processor time.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    guard()
    from unstale.adapters.signals import Signals, end_plainly
    from unstale.mask import Mask
    from unstale.render.terminal import screen

    signals = Signals()
    is_dry, is_echoed = _core.get()
    shared = Edge(signals, Mask(), is_dry, _note if is_echoed else None)

    def last_words(error: Interrupted) -> None:
        screen.mute()
        error.cause = "It was told to three times, and did not wait for its own clean-up."
        error.hint = as_typed("nothing, if its watchdog lives; inv stack.reap, if not")
        os.write(2, f"{error}\n".encode())
        if as_json:
            _fail_as_json(document, error)

    signals.last_words = last_words
    atexit.register(end_plainly)
    with signals.handled():
        try:
            yield shared
        except (Exit, GeneratorExit):
            raise
        except Exception as error:
            if os.environ.get("UNSTALE_DEBUG") and not isinstance(error, UnstaleError):
                raise
            known = error if isinstance(error, UnstaleError) else _bug(error)
            if (stopped := signals.stopped) and not isinstance(known, Interrupted):
                stopped.cause, stopped.hint = known.what, known.hint
                known = stopped
            with signals.held():
                screen.settle()  # whatever came between
                known.hint = known.hint or usual_hint(known)
                known.hide(shared.mask)
                known.cause, known.hint = as_typed(known.cause), as_typed(known.hint)
                if as_json:
                    _fail_as_json(document, known)
            raise Exit(printable(str(known)), code=exit_code(outcome_of(known))) from error


@contextmanager
def _opened(shared: Edge, document: str, *, as_json: bool, is_look: bool) -> Iterator[Project]:
    """Open the project as ``--dry`` and ``--echo`` want it; the end of a dry run is no error."""
    from unstale.project import Project

    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    dry = shared.is_dry or is_look
    try:
        yield Project.open(signals=shared.signals, dry=dry, echo=shared.echo, tell=tell)
    except NotDone as stop:
        if stop.what:
            tell(stop.what)
        if as_json:
            from unstale.render.document import write

            write(document, {"dry": True, "would": told})


def _note(text: str) -> None:
    from unstale.render.terminal import say

    say(text)


def _bug(error: Exception) -> UnstaleError:
    return Unavailable(
        f"BUG: {type(error).__name__}: {error}",
        cause="This should not happen. Please report it.",
        hint="the same again with UNSTALE_DEBUG=1, and add what it prints",
    )


def _fail_as_json(document: str, error: UnstaleError) -> None:
    from unstale.render.document import answered, failure, write

    # A signal that comes after the report decides the exit code alone.
    if not (isinstance(error, Interrupted) and answered.get()):
        write(document, failure(document, error))


def finish(outcome: Outcome, message: str = "") -> None:
    """End the task with *outcome*'s exit code; nothing happens on a proof."""
    if outcome is not Outcome.PROVEN:
        raise Exit(printable(as_typed(message)) or None, code=exit_code(outcome))


def names(listed: str | None) -> tuple[str, ...]:
    """The names in *listed*, which has commas between them; () for None."""
    return tuple(name.strip() for name in (listed or "").split(",") if name.strip())


def remainder(ctx: Context) -> tuple[str, ...]:
    """What follows ``--``, word for word.

    Invoke joins the words with spaces and loses their quotes, so they are taken
    from the command line itself, where that is what Invoke parsed.
    """
    text: str = getattr(ctx, "remainder", "") or ""
    tail = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if " ".join(tail) == text:
        return tuple(tail)
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError("What follows -- can't be split into words.", cause=f"{error}.") from error
