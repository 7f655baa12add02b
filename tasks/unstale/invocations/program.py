"""Invoke's program as the ``unstale`` command: the bundled tasks alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from invoke import Program
from invoke.exceptions import Exit, ParseError

from unstale.errors import Outcome, UnstaleError, exit_code, outcome_of
from unstale.invocations import ns
from unstale.invocations.streams import guard

__all__ = ["run"]


def run() -> None:
    """Run what the command line says, and exit."""
    guard()
    try:
        try:
            _Unstale(name="unstale", binary="unstale", namespace=ns).run()
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
        with _usage():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Parse task names and their options; a mistyped one is a usage error."""
        with _usage():
            super().parse_tasks()


@contextmanager
def _usage() -> Iterator[None]:
    # Invoke answers 1, which here means that tests failed.
    try:
        yield
    except ParseError as error:
        message = f"{error}\nNext: unstale --list"
        raise Exit(message, code=exit_code(Outcome.USAGE)) from error
