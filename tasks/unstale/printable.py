"""Text of other programs, as a terminal may show it. Pure."""

from __future__ import annotations

import re

__all__ = ["printable"]

# What moves the cursor, sets titles or clears: ESC and the other controls but tab and
# line feed, in their seven and eight bit forms; and what turns the reading order.
_CONTROL = re.compile(
    "\x1b\\[[0-9;:]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


# A CI system takes such lines of a log for its own: GitHub ``::error::text`` at the begin
# of a line and, as Azure does, ``##[error]text`` anywhere in it.
_ORDER = re.compile(
    r"^([^\S\n]*):(?=:[a-z][\w-]*(?: [^\n]*)?::)|#(?=#(?:vso)?\[)", re.IGNORECASE | re.MULTILINE
)


def printable(text: str) -> str:
    r"""*text* with controls as ``\x1b``; colours are left out.

    A test's name, a container's log or a file of the image could otherwise rewrite
    what a person has read above it, or give orders to the CI system that keeps the log:
    ``\::error::`` and ``#\#[error]`` are none.
    """
    plain = text if text.isascii() and text.isprintable() else _CONTROL.sub(_shown, text)
    return _ORDER.sub(_disarmed, plain) if "::" in plain or "##" in plain else plain


def _disarmed(found: re.Match[str]) -> str:
    return "#\\" if found[0] == "#" else f"{found[1]}\\:"


def _shown(found: re.Match[str]) -> str:
    control = found[0]
    if len(control) > 1:
        return ""
    return f"\\x{ord(control):02x}" if control < "\xff" else f"\\u{ord(control):04x}"
