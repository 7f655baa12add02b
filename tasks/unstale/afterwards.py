"""Remove something after a block, whatever ends it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from unstale.errors import EngineUnavailable, Interrupted, UnstaleError

__all__ = ["HURRY_S", "afterwards"]

HURRY_S = 5.0
"""How long a removal may take that nobody wants to wait for, in seconds."""


@contextmanager
def afterwards(
    remove: Callable[[float | None], object],
    held: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[None]:
    """Call *remove* after the block; its failure never replaces the error that ended that.

    It is added to that error, and raised where there is none. *remove* is told within
    how many seconds: few after a signal or with an engine that is gone, else None. It
    runs under *held*.

    Raises:
        UnstaleError: of *remove*, after a block that ended well.
        Interrupted: a signal came meanwhile.

    """
    try:
        yield
    except GeneratorExit:  # somebody has read enough
        with held():
            remove(None)
        raise
    except BaseException as error:
        with held():
            _add(remove, error)
        raise
    with held():
        remove(None)


def _add(remove: Callable[[float | None], object], error: BaseException) -> None:
    is_urgent = not isinstance(error, UnstaleError) or isinstance(
        error, Interrupted | EngineUnavailable
    )
    try:
        remove(HURRY_S if is_urgent else None)
    except Interrupted:
        raise
    except UnstaleError as failed:
        if isinstance(error, UnstaleError):
            error.leaves(failed)
