"""What `init` writes: text that is added to a file, and nothing of it changed. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from unstale.config import STATE_FOLDER, parsed
from unstale.errors import ConfigError

__all__ = ["Entry", "Table", "added", "ignoring", "toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_IGNORED = frozenset(
    {
        *("*", "/*", "**", "**/*"),
        *(f"{a}{STATE_FOLDER}{z}" for a in ("", "/", "**/") for z in ("", "/", "/*", "/**")),
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: str
    value: str | tuple[str, ...]
    unsure: str = ""
    """Why it may be another; written above it, as a comment."""
    why: str = ""
    """Why it is this, likewise."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of TOML."""

    path: tuple[str, ...]
    entries: tuple[Entry, ...] = ()
    comments: tuple[str, ...] = ()
    is_array: bool = False
    """Whether it is one more of an array of tables."""


def toml(tables: Iterable[Table]) -> str:
    """*tables* as text, with an empty line between them."""
    return "\n".join("".join(f"{line}\n" for line in _lines(table)) for table in tables)


def _lines(table: Table) -> Iterator[str]:
    name = ".".join(map(_key, table.path))
    yield f"[[{name}]]" if table.is_array else f"[{name}]"
    for comment in table.comments:
        yield from _comment(comment)
    for entry in table.entries:
        if entry.why:
            yield from _comment(entry.why)
        if entry.unsure:
            yield from _comment(f"unsure: {entry.unsure}")
        yield f"{_key(entry.key)} = {_value(entry.value)}"


def _comment(text: str) -> Iterator[str]:
    # Nothing that a file is called may end the comment. TOML has no control in one.
    plain = "".join(c if c.isprintable() else "?" for c in text)
    words, line = plain.split(" "), "#"
    for word in words:
        if len(line) + len(word) > 98 and line != "#":
            yield line
            line = "#"
        line += f" {word}"
    yield line


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: str | Sequence[str]) -> str:
    # A basic string of TOML is one of JSON, except that it forbids DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def added(text: str, tables: Sequence[Table]) -> str:
    """*text* of a pyproject.toml, with *tables* at its end; what was there stays to the byte.

    Raises:
        ConfigError: *text* can't be parsed, or is written so that no table can follow.

    """
    before = parsed(text)
    addition = toml(tables)
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    whole = text + gap + addition.replace("\n", end)
    try:
        after = tomllib.loads(whole)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "[tool.unstale] can't be added to pyproject.toml.",
            cause=f"Its 'tool' is written so that no table can follow: {error}.",
            hint="write [tool.NAME] tables in place of it, and the same again",
        ) from error
    # By their looks: a TOML number may be one that is not even equal to itself.
    if repr(_without_ours(after)) != repr(_without_ours(before)):
        raise AssertionError("BUG: pyproject.toml reads back otherwise; please report it.")
    return whole


def _without_ours(document: Mapping[str, object]) -> Mapping[str, object]:
    tool = document.get("tool")
    if not isinstance(tool, Mapping):
        return document
    rest = {key: value for key, value in tool.items() if key != "unstale"}
    others = {key: value for key, value in document.items() if key != "tool"}
    return {**others, "tool": rest} if rest else others


def ignoring(text: str) -> str:
    """*text* of an ignore file, with a line for our folder, unless one is about it.

    A file that names what is *not* ignored begins with ``*``.
    """
    if any(line.strip() in _IGNORED for line in text.splitlines()):
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text or text.endswith("\n") else end
    return f"{text}{gap}{STATE_FOLDER}/{end}"
