"""The ``unstale`` command: the same tasks, without a tasks.py."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m unstale` looks for modules in the working folder first: a yaml.py of
    # the checkout that is looked at would be imported.
    del sys.path[0]

from collections.abc import Iterator
from contextlib import contextmanager

from invoke import Program
from invoke.exceptions import Exit, ParseError

from unstale.errors import Outcome, exit_code
from unstale.invocations import ns

__all__ = ["main"]


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


def main() -> None:
    """Run the command line; nothing of the folder it looks at is run by that."""
    os.environ.setdefault("UNSTALE_TRUST", "0")
    # A relative entry would be looked for there.
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(f for f in folders if f.startswith(os.sep))
    _Unstale(name="unstale", binary="unstale", namespace=ns).run()


if __name__ == "__main__":
    main()
