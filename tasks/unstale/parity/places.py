"""Where in the project a difference is to be looked at, and mended. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from unstale.parity.model import Difference, Source
from unstale.parity.report import Home, PairReport

__all__ = ["FALLBACK", "Place", "place_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the project."""

    file: str
    """Relative to the project, with slashes."""
    line: int = 1


FALLBACK = Place("pyproject.toml")
"""Where the environments are configured: for what has no place of its own."""


def place_of(difference: Difference, pair: PairReport) -> Place:
    """The line to look at: the left side's, or of what is missing, where it should be.

    A file that should have a key has no line for it; its first one is named.
    """
    match difference.kind:
        case "missing_left":
            return _home(difference, pair.left_home, difference.right_source)
        case "missing_right":
            return _home(difference, pair.right_home, difference.left_source)
        case _:
            pair_of = (difference.left_source, difference.right_source)
            known = (place for source in pair_of if (place := _of(source)))
            return next(known, None) or _written(difference, pair.left_home)


def _home(difference: Difference, home: Home, other: Source | None) -> Place:
    is_listed = other is None or other.kind == "env-file"
    if difference.field == "environment" and is_listed and home.env_file:
        return Place(home.env_file)
    return _written(difference, home, otherwise=_of(other))


def _written(difference: Difference, home: Home, otherwise: Place | None = None) -> Place:
    file = home.env_file if difference.field == "file" else home.compose_file
    return Place(file) if file else otherwise or FALLBACK


def _of(source: Source | None) -> Place | None:
    # Of an image, the file is its name.
    if source is None or not source.file or source.kind == "image":
        return None
    return Place(source.file, source.line or 1)
