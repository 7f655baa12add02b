"""Records a command on a terminal as one SVG: `python tests/suite/docs/record.py -- inv ...`.

What is drawn is what the terminal was sent, but for the folder that it ran in; a picture that
moves, and ends with the last screen.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/suite/unit"))

from screen import Screen  # noqa: E402 - it is a neighbour, and no package

COLUMNS, LINES = 100, 30
FASTEST_S = 16.0  # a longer recording is shown faster
PAUSE_S = 6.0  # at its end, before it begins anew
STILL_S = 0.25  # what was there for less is not drawn
LINE_PX, CHAR_PX, EDGE_PX = 18, 8.2, 14

Row = tuple[tuple[str, str], ...]
"""Texts with their styles."""

STYLE = """
svg { font: 13.6px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }
rect { fill: #f6f8fa; stroke: #d0d7de }
text { fill: #1f2328; white-space: pre }
.s32, .s1-32 { fill: #116329 } .s31, .s1-31 { fill: #a40e26 } .s36 { fill: #0550ae }
.s2 { fill: #59636e } .s1, .s1-32, .s1-31 { font-weight: 700 }
@media (prefers-color-scheme: dark) {
  rect { fill: #0d1117; stroke: #3d444d }
  text { fill: #e6edf3 }
  .s32, .s1-32 { fill: #56d364 } .s31, .s1-31 { fill: #ff7b72 } .s36 { fill: #79c0ff }
  .s2 { fill: #9198a1 }
}
"""


@dataclass(frozen=True)
class Span:
    """A row of the screen, from when to when it was there."""

    line: int
    row: Row
    begin: float
    end: float


def recorded(argv: Sequence[str]) -> tuple[list[tuple[float, list[Row]]], int]:
    """Each screen with its time, and the exit code."""
    screen = Screen(COLUMNS, LINES)
    environ = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "UNSTALE_PLAIN")}
    environ |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    child: pexpect.spawn[str] = pexpect.spawn(
        argv[0], list(argv[1:]), env=environ, dimensions=(LINES, COLUMNS), encoding="utf-8"
    )
    began = time.monotonic()
    screens: list[tuple[float, list[Row]]] = []
    while True:
        try:
            screen.feed(child.read_nonblocking(65536, timeout=3600))
        except pexpect.EOF:
            break
        screens.append((time.monotonic() - began, [_row(line) for line in screen.styled]))
    child.close()
    return screens, int(child.exitstatus)


def _row(cells: Sequence[tuple[str, str]]) -> Row:
    texts = [
        ("".join(char for char, _ in group), style)
        for style, group in groupby(cells, key=lambda cell: cell[1])
    ]
    while texts and not texts[-1][0].strip():
        texts.pop()
    return tuple((_without_place(text), style) for text, style in texts)


def _without_place(text: str) -> str:
    """*text* without the folder that the command ran in, which is nobody's business."""
    here = str(Path.cwd())
    text = text.replace(f"{here}/", "")
    head, _, cut = text.removesuffix("…").rpartition(" ")
    is_cut = text.endswith("…") and cut.startswith("/") and here.startswith(cut)
    return f"{head} …" if is_cut else text


def spans(screens: Sequence[tuple[float, list[Row]]], speed: float) -> list[Span]:
    """What is to be drawn: rows as long as they stay the same; the last screen's have no end."""
    shown: list[tuple[float, list[Row]]] = []
    for at, rows in screens[:-1]:
        if not shown or (at - shown[-1][0]) / speed >= STILL_S:
            shown.append((at, rows))
    shown.append(screens[-1])
    found: list[Span] = []
    for line in range(max(len(rows) for _, rows in shown)):
        open_row: Row = ()
        since = 0.0
        for at, rows in [*shown, (float("inf"), [()] * (line + 1))]:
            row = rows[line] if line < len(rows) else ()
            if row != open_row:
                if open_row:
                    found.append(Span(line, open_row, since / speed, at / speed))
                open_row, since = row, at
    return found


def drawing(title: str, screens: Sequence[tuple[float, list[Row]]]) -> str:
    """The picture; where nothing moves, it is the last screen."""
    first_s = screens[0][0] - STILL_S
    screens = [(at - first_s, rows) for at, rows in screens]
    last_s = screens[-1][0]
    speed = max(1.0, last_s / FASTEST_S)
    lasts = last_s / speed
    found = spans(screens, speed)
    height = EDGE_PX * 2 + LINE_PX * (2 + max(len(rows) for _, rows in screens))
    width = round(EDGE_PX * 2 + CHAR_PX * COLUMNS)
    told = title + (f"   ({last_s:.0f} s, shown {speed:.1f} times as fast)" if speed > 1 else "")
    clock = (
        '<animate id="clock" attributeName="rx" values="8;8" begin="0s;clock.end"'
        f' dur="{lasts + PAUSE_S:.2f}s"/>'
    )
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            ' xml:space="preserve">'
        ),
        f"<title>{escape(told)}</title><style>{STYLE}</style>",
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8">{clock}</rect>',
        _text(Span(-1, ((f"$ {told}", "2"),), 0.0, float("inf")), lasts),
        *(_text(one, lasts) for one in found),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(span: Span, lasts: float) -> str:
    """A row; without a `visibility` of its own it is on the last screen."""
    y = EDGE_PX + LINE_PX * (span.line + 2) - 4
    inner = "".join(
        f'<tspan class="s{style.replace(";", "-")}">{escape(text)}</tspan>'
        if style
        else escape(text)
        for text, style in span.row
    )
    is_last = span.end == float("inf")
    hidden = "" if is_last else ' visibility="hidden"'
    to = "hidden" if is_last else "visible"
    begin = "clock.begin" if is_last else f"clock.begin+{span.begin:.2f}s"
    seconds = min(span.begin, lasts) if is_last else span.end - span.begin
    move = f'<set attributeName="visibility" to="{to}" begin="{begin}" dur="{seconds:.2f}s"/>'
    return f'<text x="{EDGE_PX}" y="{y}"{hidden}>{inner}{move if seconds else ""}</text>'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/terminal.svg")
    parser.add_argument("argv", nargs="+", help="after --")
    given = parser.parse_args()
    screens, code = recorded(given.argv)
    title = " ".join([Path(given.argv[0]).name, *given.argv[1:]])
    given.out.write_text(drawing(title, screens), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
