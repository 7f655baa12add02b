"""Whether what stands for a key in an env file is one, or a piece of a value. Pure.

A value of several lines that nobody put in quotes, or one that was pasted below
its key, is a line of its own. python-dotenv makes a key of it, and keys are
printed, written into policies and brought over to other files.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Literal

from unstale.mask import is_secret, is_token

__all__ = ["Reading", "is_placeholder", "is_value", "of_bare", "placeholder"]

Reading = Literal["name", "doubtful", "value"]
"""What a line without ``=`` is: a name, a piece of a value, or who knows."""

_COMMON = frozenset({
    "all_proxy", "export", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy",
})  # fmt: skip
_UPPER = re.compile(r"[A-Z_][A-Z0-9_]*")
_WORDS = re.compile(r"[^\W\d]\w*")
_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)")
_HEX = re.compile(r"[0-9a-f]{20,}|[0-9A-F]{20,}")
# From here on a name without an underscore, and with digits inside of it, is drawn by lot.
_DRAWN = re.compile(r"(?=\w{12})[A-Z]*\d+[A-Z]+\d[A-Z0-9]*")

# Base64 is filled up to four characters. A name that ends where the filling would
# begin is rarely that long.
_LEAST_PADDED = 15
_RUN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LETTERS_IN_A_WORD = 3


def is_value(key: str, value: str | None = "x") -> bool:
    """Say whether *key*, to which *value* is assigned, is itself a piece of a value.

    A token of a known kind, what is drawn by lot, or the end of a text in
    base64, whose ``=`` looks like an assignment.
    """
    if value is not None and not value.strip("=") and _is_padded(key, value):
        return True
    if is_token(key) or _HEX.fullmatch(key):
        return True
    if _UPPER.fullmatch(key) and "_" in key:
        return False  # a long name has as many characters as a token
    return is_secret("", key) and not (_WORDS.fullmatch(key) and _is_of_words(key))


def _is_padded(key: str, value: str) -> bool:
    has_one_case = key in (key.upper(), key.lower())
    if value:  # ``==``, which nobody writes behind a name
        return not has_one_case or re.search(r"\d", key) is not None
    fits = len(key) >= _LEAST_PADDED and len(key) % 4 == _LEAST_PADDED % 4
    return fits and not has_one_case and not _is_of_words(key)


def _is_of_words(key: str) -> bool:
    """Whether it has the words of a name, such as ``oauth2ClientSecretKey``."""
    runs = _RUN.findall(key)
    return sum(map(len, runs)) >= _LETTERS_IN_A_WORD * len(runs)


def of_bare(key: str, known: Container[str], *, is_below_a_gap: bool) -> Reading:
    """Say what a line is that holds nothing but *key*.

    *known* has the names that others assign. *is_below_a_gap*: the line above
    assigns nothing, or something that is cut off.
    """
    if is_value(key):
        return "value"
    is_drawn = _DRAWN.fullmatch(key) or (is_below_a_gap and _is_one_word_with_digits(key))
    if _UPPER.fullmatch(key) and not is_drawn:
        return "name"
    if key in _COMMON or key in known:
        return "name"
    is_name = _WORDS.fullmatch(key) and not _MIXED.match(key) and not is_drawn
    return "doubtful" if is_name else "value"


def _is_one_word_with_digits(key: str) -> bool:
    return "_" not in key and re.search(r"\d", key) is not None


def placeholder(line: int) -> str:
    """What stands for a doubtful key, which is not shown."""
    return f"line {line}"


def is_placeholder(key: str) -> bool:
    """Whether *key* is a `placeholder`: no key of a file has a space in it."""
    return re.fullmatch(r"line \d+", key) is not None
