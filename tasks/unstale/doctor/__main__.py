"""``python -m unstale.doctor``: where nothing but Python is installed."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # The working folder would be looked into first: a json.py of the checkout that is
    # looked at would be imported.
    del sys.path[0]

__all__ = ["main"]


def main() -> int:
    """Run the command line; returns the exit code."""
    import argparse
    import os

    from unstale.careful import only_look
    from unstale.errors import UnstaleError, exit_code, outcome_of

    only_look()
    parser = argparse.ArgumentParser(
        prog="python -m unstale.doctor", description="Say what is missing here, and how to get it."
    )
    parser.add_argument("--env", help="the environment; default-env of [tool.unstale] if not given")
    for flag, text in _FLAGS.items():
        parser.add_argument(flag, action="store_true", help=text)
    given = parser.parse_args()
    try:
        if given.needs:
            return _print_needs()
        from unstale.doctor.command import Options, run

        options = vars(given)
        options.pop("needs")
        return exit_code(run(Options(**options), dict(os.environ)))
    except UnstaleError as error:
        if given.json:
            from unstale.render.document import failure, write

            write("doctor", failure("doctor", error))
        sys.stderr.write(f"{error}\n")
        return exit_code(outcome_of(error))
    except KeyboardInterrupt:
        return 130


_FLAGS = {
    "--json": "print one JSON document",
    "--strict": "a warning is a failure, too (3)",
    "--fix": "do what needs no root, each thing shown and asked",
    "--yes": "do not ask",
    "--print-fix": "print a script of what needs root",
    "--needs": "print what is lacking for a stack, a line each, as ./bootstrap reads it",
}


def _print_needs() -> int:
    """``package NAME`` for what is to be installed, ``start`` for an engine that is down."""
    import os

    from unstale.doctor.patient import needs
    from unstale.doctor.script import packages, system

    found = needs(dict(os.environ))
    lines = [f"package {name}" for name in packages(found, system())]
    lines += ["start"] if "start" in found else []
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
