"""SIGINT, SIGTERM and SIGHUP become one exception, raised once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import currentframe
from types import FrameType

from unstale.errors import Interrupted, exit_code, outcome_of

__all__ = ["Signals", "end_plainly"]

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ENOUGH = 3
_LAST_WORDS_S = 0.5
_IMPORT_S = 0.02  # how soon the end of an import is seen


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
        self._raised = False
        self._imports = 0

    @property
    def stopped(self) -> Interrupted | None:
        """What the first signal means; None if there was none."""
        return None if self._first is None else Interrupted(self._first)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals for the length of a ``with`` block.

        Raises:
            Interrupted: there was a signal, and whatever it was raised into went on, or
                ended by another error.

        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._imports = _imports(currentframe())
        handlers = {**dict.fromkeys(_HANDLED, self._on_signal), signal.SIGALRM: self._on_alarm}
        before = {number: signal.getsignal(number) for number in handlers}
        try:
            try:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                yield
            finally:
                self._held += 1  # or a signal would leave some of them as they are
                signal.setitimer(signal.ITIMER_REAL, 0)
                for number, old in before.items():
                    # None: it was set by other means than Python's, and can't be set again.
                    signal.signal(number, signal.SIG_DFL if old is None else old)
                self._held -= 1
        except BaseException as error:
            stopped = self.stopped
            if stopped is None or _tells(error, stopped):
                raise
            raise stopped from error
        if (stopped := self.stopped) is not None:
            raise stopped

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a block run to its end; a first signal is raised after it."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._raise(currentframe())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._seen += 1
        if self._seen >= _ENOUGH:
            self._leave(self._first or number)
        if self._first is not None:
            return
        self._first = number
        self._raise(frame)

    def _on_alarm(self, _number: int, frame: FrameType | None) -> None:
        self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        """Raise the first signal, if there was one, and once.

        An import goes through before: half of a package can't be imported again, and
        the clean-up may need it.
        """
        if self._first is None or self._raised or self._held:
            return
        if _imports(frame) > self._imports:
            signal.setitimer(signal.ITIMER_REAL, _IMPORT_S)
            return
        self._raised = True
        raise Interrupted(self._first)

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


def end_plainly() -> None:
    """Let SIGINT end this process by itself from here on, where nobody wants to hear of it.

    For the end of the process: Python's own handler would show a traceback there.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _tells(error: BaseException, stopped: Interrupted) -> bool:
    """Whether *error*, or the exit code that it carries, says that the signal came."""
    code = exit_code(outcome_of(stopped))
    return isinstance(error, Interrupted) or getattr(error, "code", None) == code


def _imports(frame: FrameType | None) -> int:
    """How many frames of *frame*'s stack import something."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back
    return count
