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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error file=a.py,line=1::planted", "\\::error file=a.py,line=1::planted"),
        ("  \t::add-mask::a", "  \t\\::add-mask::a"),
        ("\u00a0::Stop-Commands::x", "\u00a0\\::Stop-Commands::x"),
        ("fine\n::group::planted\n::endgroup::", "fine\n\\::group::planted\n\\::endgroup::"),
        ("\x1b[31m::error::in colour", "\\::error::in colour"),
        ("ok ##[error]planted", "ok #\\#[error]planted"),
        ("##vso[task.complete]", "#\\#vso[task.complete]"),
        ("###[a]", "##\\#[a]"),
        ("listening on ::1", "listening on ::1"),
        ("::1 localhost ::2", "::1 localhost ::2"),
        ("tests/a.py::test_b::c", "tests/a.py::test_b::c"),
        ("::", "::"),
        ("## [heading]", "## [heading]"),
    ],
)
def test_no_text_gives_orders_to_a_ci_system(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_it_is_idempotent() -> None:
    text = "".join(map(chr, range(0x3000)))

    assert printable(printable(text)) == printable(text)
