"""JSON that may be damaged, or somebody else's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from unstale.errors import UnstaleError

__all__ = ["MISFITS", "narrowed", "read_json"]

MISFITS = (
    *(AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(OverflowError, RecursionError),  # of an infinite number, and of a thousand brackets
)
"""What comes of taking one shape of JSON for another."""


def read_json(text: str) -> Any:  # noqa: ANN401 (JSON is of any shape)
    """What *text* says, or None if it is no JSON, or nested too deeply to be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@contextmanager
def narrowed(refusal: Callable[[str], UnstaleError]) -> Iterator[None]:
    """Take JSON of another program for what it should be; also a decorator.

    Where it is something else, the error is *refusal* of what went wrong in a word: the
    rest of the words would quote it, and it may be a secret.
    """
    try:
        yield
    except MISFITS as error:
        raise refusal(type(error).__name__) from error
