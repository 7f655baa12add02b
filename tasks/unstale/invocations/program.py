"""Invoke's program as the ``unstale`` command: the bundled tasks alone."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from invoke import Program
from invoke.exceptions import (
    AmbiguousEnvVar,
    Exit,
    ParseError,
    UncastableEnvVar,
    UnknownFileType,
)

from unstale.errors import Outcome, UnstaleError, UsageError, exit_code, outcome_of
from unstale.invocations import ns
from unstale.invocations.streams import guard
from unstale.printable import printable
from unstale.spoken import speak

__all__ = ["run"]

_LIST = "unstale --list"
_UNREADABLE = (UnknownFileType, UncastableEnvVar, AmbiguousEnvVar)


def run() -> None:
    """Run what the command line says, and exit."""
    guard()
    try:
        try:
            _Unstale(name="unstale", binary="unstale", namespace=ns).run()
        except _UNREADABLE as error:
            hint = "mend the file, or the INVOKE_* variable, that says it"
            raise UsageError(
                "Invoke can't be configured so.", cause=f"{error}", hint=hint
            ) from error
        finally:
            sys.stdout.flush()
    except UnstaleError as error:  # what Invoke prints itself can't be written
        sys.stderr.write(f"{error}\n")
        sys.exit(exit_code(outcome_of(error)))


class _Unstale(Program):
    """Invoke's program with the bundled tasks; a checkout's tasks.py stays unread."""

    def print_version(self) -> None:
        """Say which release it is; looked up only here, among all that is installed."""
        from importlib.metadata import version

        self.version = version("unstale")
        super().print_version()

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse Invoke's own options; a mistyped one is a usage error."""
        speak("unstale", "", ns.task_names)
        with self._usage():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Parse task names and their options; a mistyped one is a usage error."""
        with self._usage():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Answer ``--help`` and ``--list``; of a name that is not there is a usage error."""
        with self._usage():
            super().parse_cleanup()

    @contextmanager
    def _usage(self) -> Iterator[None]:
        # Invoke answers 1, which here means that tests failed, or a traceback.
        try:
            yield
        except ParseError as error:
            why, hint = self._explained(error)
            told = UsageError(f"{error}", cause=why, hint=hint)
            raise Exit(printable(str(told)), code=exit_code(Outcome.USAGE)) from error
        except ValueError as error:
            told = UsageError(f"An option of Invoke has no such value: {error}.", hint=_LIST)
            raise Exit(printable(str(told)), code=exit_code(Outcome.USAGE)) from error
        except Exit as error:
            if error.message and error._code is None:  # noqa: SLF001 - 1 stands for "not said"
                told = UsageError(error.message, hint=_LIST)
                raise Exit(printable(str(told)), code=exit_code(Outcome.USAGE)) from error
            raise

    def _explained(self, error: ParseError) -> tuple[str, str]:
        """What was probably meant, and what to type next."""
        found = re.fullmatch("No idea what '(.*)' is!", str(error), re.DOTALL)
        name = error.context.name if error.context else None
        if found is None:
            return "", f"unstale --help {name}" if name else _LIST
        word, flags = found[1], error.context.flags if error.context else {}
        if word.startswith("-"):
            core = self.initial_context.flags
            return _near(word, [*flags, *core]), f"unstale --help {name}" if name else _LIST
        if word in ns.collections:
            return f"{word!r} is a group of tasks.", f"unstale --list {word}"
        if (option := self._before(word)) in flags:
            takes = "one value" if flags[option].takes_value else "none"
            return f"{option} takes {takes}.", f"unstale --help {name}"
        return _near(word, ns.task_names), _LIST

    def _before(self, word: str) -> str:
        """The option that *word* was given to, or that is before it."""
        for last, token in pairwise(self.argv[1:]):
            if token == word:
                return last
        return next((t.partition("=")[0] for t in self.argv if t.endswith(f"={word}")), "")


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
