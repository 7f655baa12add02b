"""What a command says: bytes become lines, and no more of it is kept than is needed."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable

from unstale.ports import Line

__all__ = ["LONGEST_LINE", "MOST_BYTES", "Output", "TooMuch"]

MOST_BYTES = 64 << 20
"""Of an answer that is read as a whole."""
LONGEST_LINE = 1 << 20
"""In characters; of a longer one the rest is left out."""
# As long as a secret may be: it must not be cut in two before it is hidden.
_MARGIN = 4096


class TooMuch(Exception):
    """An answer is longer than any answer is."""


class Output:
    """One of the outputs of a command, in time linear in its length.

    *hide* hides secrets: a line that is too long is hidden before it is cut.
    """

    def __init__(self, on_line: Line | None, tail_bytes: int, hide: Callable[[str], str]) -> None:
        self._on_line = on_line
        self._hide = hide
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._whole: list[str] = []
        self._whole_bytes = 0
        self._tail: deque[str] = deque()
        self._tail_bytes = tail_bytes
        self._tail_size = 0
        self._open: list[str] = []
        self._open_size = 0

    @property
    def text(self) -> str:
        """All that was read, or the last lines of it."""
        return "".join(self._tail if self._tail_bytes else self._whole)

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        """Take *chunk* in and tell of the lines it completes.

        Raises:
            TooMuch: it is more than `MOST_BYTES`, and all of it was to be kept.

        """
        text = self._decoder.decode(chunk, final)
        if not self._tail_bytes:
            self._whole_bytes += len(chunk)
            if self._whole_bytes > MOST_BYTES:
                raise TooMuch
            self._whole.append(text)
            if self._on_line is None:
                return
        first, *rest = text.split("\n")
        self._extend(first)
        for part in rest:
            self._end_line("\n")
            self._extend(part)

    def close(self) -> None:
        """Tell of a last line that has no end."""
        self.feed(b"", final=True)
        if self._open_size:
            self._end_line("")

    def _extend(self, part: str) -> None:
        room = LONGEST_LINE + _MARGIN - self._open_size
        self._open_size += len(part)
        if room > 0 and part:
            self._open.append(part[:room])

    def _end_line(self, end: str) -> None:
        line = "".join(self._open)
        if self._open_size > LONGEST_LINE + _MARGIN:
            # Hidden first: what is left of a secret at the cut is within the margin.
            shown = self._hide(line)[:-_MARGIN]
            line = f"{shown} ... ({self._open_size - LONGEST_LINE} characters left out)"
        self._open.clear()
        self._open_size = 0
        if self._on_line is not None:
            self._on_line(line.removesuffix("\r"))
        if self._tail_bytes:
            self._keep(line + end)

    def _keep(self, line: str) -> None:
        self._tail.append(line)
        self._tail_size += len(line)
        while self._tail_size > self._tail_bytes and len(self._tail) > 1:
            self._tail_size -= len(self._tail.popleft())
