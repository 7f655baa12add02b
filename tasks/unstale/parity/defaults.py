"""What a piece of code makes of a variable: its default, and what a value means to it. Pure.

Two values of one variable may mean the same to who reads it (``true`` and ``1``
for a bool), and a variable that is missing means its default. Where that can't
be told for certain, nothing is: saying "no effect" of what has one would hide it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Literal, assert_never

__all__ = [
    "ABSENT",
    "Absent",
    "Default",
    "How",
    "Known",
    "NoDefault",
    "NotKnown",
    "Read",
    "Required",
    "Rule",
    "meaning",
]

How = Literal[
    "settings",
    "getenv",
    "environ",
    "setdefault",
    "membership",
    "decouple",
    "environs",
    "django-environ",
    "starlette",
]

Rule = Literal["text", "bool", "plain-bool", "int", "float", "json"]
"""How a string becomes a value. ``bool`` is pydantic's, which knows more words
than the other libraries have in common (``plain-bool``)."""


class Absent:
    """The type of `ABSENT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()
"""Stands for a variable that is not set, which "" is not."""


@dataclass(frozen=True, slots=True)
class Required:
    """Without the variable the code fails."""


@dataclass(frozen=True, slots=True)
class Known:
    """The code goes on with a value that is written in it."""

    value: str = field(repr=False)
    """What the variable would have to be; it may be a secret."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The code has a default, which only running it would tell."""


@dataclass(frozen=True, slots=True)
class NoDefault:
    """The code sees that there is no variable, and goes on: None, or False."""


Default = Required | Known | NotKnown | NoDefault


@dataclass(frozen=True, slots=True)
class Read:
    """A place in the code that reads a variable."""

    name: str
    """As an env file should spell it: in capitals where the case does not matter."""
    file: str
    """Relative to the project, with slashes."""
    line: int
    how: How
    default: Default = NotKnown()
    rule: Rule = "text"
    is_case_sensitive: bool = True
    ignores_empty: bool = False
    """Whether an empty variable is the same as none."""
    is_secret: bool = False
    """Whether the code calls it one, by its type."""
    is_whole: bool = False
    """A nested model as JSON; its parts have reads of their own."""
    alternatives: tuple[str, ...] = ()
    """Other names of the same setting: any of them makes the default void."""

    @property
    def place(self) -> str:
        """Where it is: ``app/config.py:12``."""
        return f"{self.file}:{self.line}"


_BOOLS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}
_PLAIN_BOOLS = {
    **dict.fromkeys(("1", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "false", "False", "FALSE"), False),
}
# pydantic also takes spaces, a plus sign and underscores; others do not.
_INT = re.compile(r"-?[0-9]{1,30}")
_FLOAT = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")


def meaning(read: Read, value: str | Absent) -> tuple[str, object] | None:
    """What *value* is to *read*, to be compared with another's; None: it can't be told.

    The values of two variables have the same effect on *read* if their meanings
    are equal and not None. The result may hold a secret.
    """
    if isinstance(value, Absent) or (value == "" and read.ignores_empty):
        return _of_none(read)
    return None if read.how == "membership" else _of_text(read.rule, value)


def _of_none(read: Read) -> tuple[str, object] | None:
    match read.default:
        case Known(value):
            return _of_text(read.rule, value)
        case NoDefault():
            return ("none", None)
        case Required() | NotKnown():
            return None
        case _ as never:
            assert_never(never)


def _of_text(rule: Rule, text: str) -> tuple[str, object] | None:
    match rule:
        case "text":
            return ("text", text)
        case "bool":
            return _found("bool", _BOOLS.get(text.lower()))
        case "plain-bool":
            return _found("bool", _PLAIN_BOOLS.get(text))
        case "int":
            return ("number", int(text)) if _INT.fullmatch(text) else None
        case "float":
            return _of_float(text)
        case "json":
            return _of_json(text)
        case _ as never:
            assert_never(never)


def _found(kind: str, value: object) -> tuple[str, object] | None:
    return None if value is None else (kind, value)


def _of_float(text: str) -> tuple[str, object] | None:
    if not _FLOAT.fullmatch(text) or not math.isfinite(value := float(text)):
        return None
    return ("number", value)


def _of_json(text: str) -> tuple[str, object] | None:
    try:
        # One spelling for what is equal; 1 and true stay different.
        return ("json", json.dumps(json.loads(text), sort_keys=True))
    except (ValueError, RecursionError):
        return None
