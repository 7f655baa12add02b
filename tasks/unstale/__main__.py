"""The ``unstale`` command: the same tasks, without a tasks.py."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m unstale` looks for modules in the working folder first: a yaml.py of
    # the checkout that is looked at would be imported.
    del sys.path[0]

__all__ = ["main"]


def main() -> None:
    """Run the command line; nothing of the folder it looks at is run by that."""
    # A task sets handlers before it makes anything. Until then a signal ends the process
    # as any other, also where the parent ignored it; Python's own handler would show a
    # traceback, or be swallowed by whatever import it falls into.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    from unstale.careful import only_look
    from unstale.invocations.program import run

    only_look()

    run()


if __name__ == "__main__":
    main()
