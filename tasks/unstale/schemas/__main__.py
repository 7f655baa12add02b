"""``python -m unstale.schemas [NAME]``."""

from __future__ import annotations

import sys

from unstale.errors import Outcome, UnknownName, exit_code
from unstale.schemas import names, text


def main(arguments: list[str]) -> int:
    """Print the schemas that are named, or the names of all."""
    try:
        shown = [text(_known(name)) for name in arguments] or [f"{name}\n" for name in names()]
    except UnknownName as error:
        sys.stderr.write(f"{error}\n")
        return exit_code(Outcome.USAGE)
    sys.stdout.write("".join(shown))
    return exit_code(Outcome.PROVEN)


def _known(name: str) -> str:
    if name not in names():
        raise UnknownName("schema", name, names(), hint="python -m unstale.schemas")
    return name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
