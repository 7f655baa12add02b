"""What a stream can show, and the one way to write lines to a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from unstale.config import asks_plain
from unstale.printable import printable

__all__ = [
    "Look",
    "Span",
    "columns",
    "fit",
    "look",
    "marks",
    "say",
    "screen",
    "size",
    "write",
]

Span = tuple[str, str]
"""A text and its style."""

_STYLES = {"good": "32", "bad": "31", "busy": "36", "faint": "2", "strong": "1"}
_DUMB = ("", "dumb", "unknown")
_FANCY = "✓✗…⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN = "+x~|/-\\"


@dataclass(frozen=True, slots=True)
class Look:
    """What may be written to a stream."""

    has_colour: bool = False
    is_live: bool = False
    """Whether what was written can be written over."""
    encoding: str = "utf-8"

    def spelt(self, text: str) -> str:
        """*text* in the characters that the stream has."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def paint(self, text: str, style: str) -> str:
        """*text* in *style*, where there are colours."""
        if not style or not text or not self.has_colour:
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def look(stream: TextIO, environ: Mapping[str, str], *, plain: bool = False) -> Look:
    """What *stream* may be given.

    ``NO_COLOR`` wins over all: not even the cursor is moved then. ``FORCE_COLOR`` colours
    what is no terminal, too; ``0`` is as if it were not set.
    """
    is_terminal = _is_terminal(stream)
    is_dumb = environ.get("TERM", "") in _DUMB
    is_bare = plain or asks_plain(environ) or bool(environ.get("NO_COLOR"))
    is_forced = environ.get("FORCE_COLOR", "") not in ("", "0")
    return Look(
        has_colour=not is_bare and (is_forced or (is_terminal and not is_dumb)),
        is_live=is_terminal and not is_bare and not is_dumb,
        encoding=_encoding(stream, environ),
    )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _encoding(stream: TextIO, environ: Mapping[str, str]) -> str:
    # In the C locale Python writes UTF-8; who chose that locale has asked for ASCII.
    chosen = (environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    if next(filter(None, chosen), "") in ("C", "POSIX"):
        return "ascii"
    return getattr(stream, "encoding", None) or "utf-8"


@dataclass(frozen=True, slots=True)
class Marks:
    """The signs of a step table."""

    good: str
    bad: str
    more: str
    """What stands for the rest of a line."""
    turns: str
    """What goes round while a step goes on."""


def marks(look: Look) -> Marks:
    """The signs that a stream of this *look* has."""
    signs = _FANCY if look.spelt(_FANCY) == _FANCY else _PLAIN
    return Marks(signs[0], signs[1], signs[2], signs[3:])


def size(descriptor: int) -> tuple[int, int]:
    """Columns and lines of the terminal, as it is now."""
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        return 80, 24
    return found.columns or 80, found.lines or 24


def columns(text: str) -> int:
    """How many columns *text* takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(spans: Sequence[Span], width: int, look: Look) -> str:
    """One line of *spans*, cut to *width* columns and painted."""
    more = marks(look).more
    parts: list[str] = []
    left = width
    for raw, style in spans:
        text = look.spelt(printable(raw.replace("\n", " ").replace("\t", " ")))
        if columns(text) > left:
            parts.append(look.paint(_cut(text, left - 1) + more, style) if left else "")
            break
        parts.append(look.paint(text, style))
        left -= columns(text)
    return "".join(parts).rstrip() if not look.has_colour else "".join(parts)


def _cut(text: str, width: int) -> str:
    if text.isascii():
        return text[: max(0, width)]
    from rich.cells import set_cell_size

    return set_cell_size(text, max(0, width))


class _Screen:
    """Who writes to the terminal now; there is one terminal."""

    def __init__(self) -> None:
        self.above: Callable[[str], None] | None = None
        """Writes a line above what is drawn; None: nothing is."""
        self.mute: Callable[[], None] = lambda: None
        """Lets nothing more be drawn; safe at any moment."""
        self.settle: Callable[[], None] = lambda: None
        """Ends what is drawn, whole lines of it."""


screen = _Screen()


def say(text: str) -> None:
    """A line on stderr, above what is drawn there."""
    write(printable(text))


def write(line: str) -> None:
    """The same, of what is fit for a terminal."""
    if screen.above is not None:
        screen.above(line)
        return
    # Whoever read the progress may be gone (| tee, and Ctrl-C); the run is not.
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
