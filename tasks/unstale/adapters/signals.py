"""SIGINT, SIGTERM and SIGHUP become one exception, raised once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from unstale.errors import Interrupted, exit_code, outcome_of

__all__ = ["Signals"]

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ENOUGH = 3
_LAST_WORDS_S = 0.5


class Signals:
    """Turns the first signal into `Interrupted`; the second is only noted.

    The second Ctrl-C of an impatient person must not cut the clean-up short. The
    third does: the process is gone at once, with the first one's exit code, and
    the watchdog of its lease cleans up.
    Handlers are set even where the parent ignored the signal: a background job
    of a non-interactive shell starts with SIGINT ignored.
    """

    def __init__(self) -> None:
        self.last_words: Callable[[Interrupted], object] = lambda _: None
        """What is done before the process is gone at once; it must be short."""
        self._first: int | None = None
        self._seen = 0
        self._held = 0

    @contextmanager
    def handled(self, *, is_last: bool = False) -> Iterator[None]:
        """Handle signals for the length of a ``with`` block.

        *is_last*: after it comes the end of the process, and a signal is to end it by
        itself. Python's own handler of SIGINT raises what Invoke answers with 1.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _HANDLED}
        try:
            for number in _HANDLED:
                signal.signal(number, self._on_signal)
            yield
        finally:
            for number, handler in before.items():
                ends = is_last and handler is signal.default_int_handler
                # None: it was set by other means than Python's, and can't be set again.
                signal.signal(number, signal.SIG_DFL if ends or handler is None else handler)

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
        self._seen += 1
        if self._seen >= _ENOUGH:
            self._leave(self._first or number)
        if self._first is not None:
            return
        self._first = number
        if not self._held:
            raise Interrupted(number)

    def _leave(self, number: int) -> None:
        error = Interrupted(number)
        code = exit_code(outcome_of(error))
        if self._seen == _ENOUGH:
            # Nobody may be reading.
            signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
            signal.setitimer(signal.ITIMER_REAL, _LAST_WORDS_S)
            # Whatever it was that the signal came into, it may hold what they need.
            with contextlib.suppress(Exception):
                self.last_words(error)
        os._exit(code)
