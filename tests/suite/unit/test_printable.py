"""No text of another program steers the terminal."""

from __future__ import annotations

import pytest

from unstale.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("tab\there\nand a line", "tab\there\nand a line"),
        ("Größe 東京 ✓", "Größe 東京 ✓"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;38:5:9mred\x1b[m", "red"),
        ("\x1b[2J\x1b[1;1HPROVEN", "\\x1b[2J\\x1b[1;1HPROVEN"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("failed\rpassed", "failed\\x0dpassed"),
        ("back\x08\x08", "back\\x08\\x08"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("\0\x7f", "\\x00\\x7f"),
    ],
)
def test_controls_are_shown_and_colours_left_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_it_is_idempotent() -> None:
    text = "".join(map(chr, range(0x3000)))

    assert printable(printable(text)) == printable(text)
