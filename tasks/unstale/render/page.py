"""The frame of a page that needs nothing else: its head, colours and escaping. Pure."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape

from unstale.image.explain import printable
from unstale.printable import printable as shown

__all__ = ["block", "lines", "page", "text"]

# Each colour has a contrast of 4.5 or more to the page, in both schemes.
_COMMON = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --accent: #0550ae; --band: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --text: #e6edf3; --soft: #9198a1;
  --line: #3d444d; --good: #3fb950; --bad: #ff7b72; --warn: #d29922; --accent: #79c0ff;
  --band: #151b23; } }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
code { font-family: ui-monospace, monospace; }
"""


def text(words: str) -> str:
    """*words* as they may stand anywhere in a page: names are other people's text."""
    return escape(printable(words), quote=True)


def lines(words: str) -> str:
    """*words* of several lines, without colours and whatever no XML may have."""
    return "\n".join(printable(line.expandtabs(4)) for line in shown(words).split("\n"))


def block(words: str) -> str:
    """*words* of several lines, as they may stand in a ``pre``."""
    return escape(lines(words), quote=True)


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A page, as HTML that is well-formed XML too.

    *body*, *style* and *script* are put in as they are; a *script* has neither
    ``<`` nor ``&``. The page's policy allows this script, by its digest, and
    nothing from elsewhere.
    """
    allowed = f"; script-src 'sha256-{_digest(script)}'" if script else ""
    policy = f"default-src 'none'; style-src 'unsafe-inline'{allowed}"
    return f"""<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<title>{text(title)}</title>
<style>{_COMMON}{style}</style>
</head>
<body>
<h1>{text(title)}</h1>
{body}
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _digest(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()
