"""SIGINT, SIGTERM and SIGHUP become one exception, raised once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from unstale.errors import Interrupted

__all__ = ["Signals"]

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turns the first signal into `Interrupted`; later ones are only noted.

    The second Ctrl-C of an impatient person must not cut the clean-up short.
    Handlers are set even where the parent ignored the signal: a background job
    of a non-interactive shell starts with SIGINT ignored.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._held = 0

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals for the length of a ``with`` block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _HANDLED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a block run to its end; a first signal is raised after it."""
        seen = self._first
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if not self._held and self._first is not None and seen is None:
            raise Interrupted(self._first)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._first is not None:
            return
        self._first = number
        if not self._held:
            raise Interrupted(number)
