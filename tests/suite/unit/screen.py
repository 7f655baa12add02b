"""A terminal as far as unstale uses one; whatever else is sent to it is an error."""

from __future__ import annotations

import re

from rich.cells import cell_len

__all__ = ["Screen"]

_SENT = re.compile(
    r"\x1b\[(?P<count>\d*)(?P<verb>[AKJ])|\x1b\[(?P<style>[\d;]*)m|(?P<text>[^\x1b])"
)


class Screen:
    """What a terminal of this size shows; lines that scrolled out are kept, too."""

    def __init__(self, columns: int, lines: int = 50) -> None:
        self.columns = columns
        self._lines = lines
        self._rows: list[list[tuple[str, str]]] = [[]]
        self._row = 0
        self._column = 0
        self._style = ""

    @property
    def styled(self) -> list[list[tuple[str, str]]]:
        """Each line, character by character, each with its style."""
        return [list(row) for row in self._rows]

    @property
    def text(self) -> list[str]:
        """Each line, without what is empty at its end."""
        return ["".join(char for char, _ in row).rstrip() for row in self._rows]

    @property
    def is_at_line_start(self) -> bool:
        """Whether a prompt that comes now has a line of its own."""
        return self._column == 0 and self._row == len(self._rows) - 1 and not self._rows[-1]

    @property
    def style(self) -> str:
        """What would be in force for a prompt."""
        return self._style

    def feed(self, sent: str) -> None:
        """Show what was *sent*."""
        at = 0
        while at < len(sent):
            found = _SENT.match(sent, at)
            assert found, f"not understood: {sent[at : at + 12]!r}"
            at = found.end()
            match found["verb"], found["style"], found["text"]:
                case "A", None, None:
                    top = max(0, len(self._rows) - self._lines)
                    self._row = max(top, self._row - int(found["count"] or 1))
                case "K", None, None:
                    del self._rows[self._row][self._column :]
                case "J", None, None:
                    del self._rows[self._row][self._column :]
                    del self._rows[self._row + 1 :]
                case None, str(style), None:
                    self._style = "" if style in ("", "0") else style
                case None, None, str(text):
                    self._put(text)
                case other:
                    raise AssertionError(other)

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._down()
        else:
            assert char.isprintable(), f"not for a terminal: {char!r}"
            if self._column + cell_len(char) > self.columns:
                self._column = 0
                self._down()
            row = self._rows[self._row]
            row += [(" ", "")] * (self._column - len(row))
            cells = [(char, self._style), *[("", "")] * (cell_len(char) - 1)]
            row[self._column : self._column + len(cells)] = cells
            self._column += len(cells)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append([])
