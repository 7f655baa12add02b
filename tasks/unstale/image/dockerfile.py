"""A Dockerfile as a program: stages of instructions. Pure.

It reads the language; it runs nothing and knows no base image. What it does not
know it reports, and the caller then takes every file for an input.

Source: moby/buildkit, ``frontend/dockerfile/parser``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from unstale.errors import CouldNotTell

__all__ = ["Dockerfile", "Heredoc", "Instruction", "Stage", "Unresolved", "expand", "parse"]


class Unresolved(Exception):
    """Something whose meaning can't be told from the Dockerfile alone."""


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A file written in the Dockerfile itself."""

    name: str
    body: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, continuation lines joined and comments gone."""

    name: str
    """In capitals."""
    flags: tuple[tuple[str, str], ...]
    text: str
    """What follows the flags, as written."""
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments, quotes and variables still in them."""
        as_list = self.json_words
        return tuple(self.text.split()) if as_list is None else as_list

    @property
    def json_words(self) -> tuple[str, ...] | None:
        """The arguments of the JSON form, or None."""
        if not self.text.startswith("["):
            return None
        try:
            value = json.loads(self.text)
        except ValueError:
            return None
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
        return None

    def flag(self, name: str) -> str | None:
        """The last value of ``--name``."""
        return dict(self.flags).get(name)

    def all_flags(self, name: str) -> tuple[str, ...]:
        """Each value of ``--name``."""
        return tuple(value for key, value in self.flags if key == name)


@dataclass(frozen=True, slots=True)
class Stage:
    """What begins with a FROM."""

    base: str
    """As written, variables included."""
    name: str
    """In lower case; empty without AS."""
    platform: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """All of it."""

    syntax: str
    """The frontend image of a ``# syntax=`` line, or empty."""
    escape: str
    arguments: tuple[Instruction, ...]
    """The ARGs before the first FROM."""
    stages: tuple[Stage, ...]


_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_KNOWN_DIRECTIVES = {"syntax", "escape", "check"}
_FLAG = re.compile(r"--([a-zA-Z][a-zA-Z-]*)(?:=(\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_INSTRUCTIONS = frozenset(
    {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"}
    | {"MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


def parse(text: str) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        CouldNotTell: it is not one, as far as this reader can see.

    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise _unreadable(f"the escape directive {escape!r}")
    found = tuple(_instructions(lines, escape))
    first = next((at for at, one in enumerate(found) if one.name == "FROM"), len(found))
    if any(one.name != "ARG" for one in found[:first]):
        raise _unreadable(f"{found[0].name} before the first FROM")
    if first == len(found):
        raise _unreadable("no FROM")
    stages = tuple(_stages(found[first:]))
    return Dockerfile(directives.get("syntax", ""), escape, found[:first], stages)


def _unreadable(what: str) -> CouldNotTell:
    return CouldNotTell(
        f"The Dockerfile can't be understood: {what}.",
        hint="docker build shows whether it is valid",
    )


def _directives(lines: list[str]) -> Mapping[str, str]:
    """The parser directives: only at the very top, each once."""
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.match(line.strip())
        if match is None or match[1].lower() not in _KNOWN_DIRECTIVES:
            break
        found.setdefault(match[1].lower(), match[2])
    return found


def _instructions(lines: list[str], escape: str) -> Iterator[Instruction]:
    continued = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    rest = iter(lines)
    for line in rest:
        logical = "" if _is_comment(line) else line.lstrip()
        if not logical.strip():
            continue
        while (cut := continued.search(logical)) is not None:
            logical = logical[: cut.end(1)]
            following = _next_part(rest)
            if following is None:
                break
            logical += following
        if logical.strip():
            yield _with_heredocs(_instruction(logical.strip(), escape), rest)


def _next_part(rest: Iterator[str]) -> str | None:
    """The next line of a continued instruction: comments and blanks don't end it."""
    return next((line for line in rest if line.strip() and not _is_comment(line)), None)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _instruction(line: str, escape: str) -> Instruction:
    name, _, text = line.partition(" ") if " " in line else (line, "", "")
    if (tab := name.find("\t")) >= 0:
        name, text = line[:tab], line[tab + 1 :]
    name = name.upper()
    if name not in _INSTRUCTIONS:
        raise _unreadable(f"the instruction {name!r}")
    text = text.strip()
    flags: list[tuple[str, str]] = []
    while (match := _FLAG.match(text)) is not None:
        flags.append((match[1].lower(), match[2] if match[2] is not None else "true"))
        text = text[match.end() :]
    if text.startswith("--") or any(set(value) & {'"', "'", escape} for _, value in flags):
        raise _unreadable(f"a flag of {name}")
    return Instruction(name, tuple(flags), text)


def _with_heredocs(found: Instruction, rest: Iterator[str]) -> Instruction:
    if found.name not in ("RUN", "COPY", "ADD", "ONBUILD") or found.json_words is not None:
        return found
    heredocs = tuple(
        _heredoc(name, rest, chomp=chomp) for name, chomp in _heredoc_names(found.text)
    )
    return replace(found, heredocs=heredocs)


def _heredoc_names(text: str) -> Iterator[tuple[str, bool]]:
    for word in shell_words(text):
        match = _HEREDOC.fullmatch(word)
        if match is not None:
            yield re.sub(r"[\"'\\]", "", match[2]), match[1] == "-"


def _heredoc(name: str, rest: Iterator[str], *, chomp: bool) -> Heredoc:
    body: list[str] = []
    for line in rest:
        if (line.lstrip("\t") if chomp else line) == name:
            return Heredoc(name, "".join(f"{part}\n" for part in body))
        body.append(line)
    raise _unreadable(f"the heredoc {name!r} has no end")


def shell_words(text: str) -> tuple[str, ...]:
    """Split at white space outside of quotes; the quotes stay."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            word += text[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char.isspace():
            words += [word] if word else []
            word = ""
            at += 1
            continue
        word += char
        at += 1
    return (*words, word) if word else tuple(words)


def _stages(found: tuple[Instruction, ...]) -> Iterator[Stage]:
    starts = [at for at, one in enumerate(found) if one.name == "FROM"]
    for start, end in zip(starts, [*starts[1:], len(found)], strict=True):
        head = found[start]
        words = head.words
        named = len(words) == 3 and words[1].lower() == "as"
        if not (len(words) == 1 or named):
            raise _unreadable(f"FROM {head.text}")
        name = words[2].lower() if named else ""
        platform = head.flag("platform") or ""
        yield Stage(words[0], name, platform, found[start + 1 : end])


_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def expand(word: str, variables: Mapping[str, str | None], escape: str = "\\") -> str:
    """The value of one word: quotes removed, variables replaced.

    A variable that is absent from *variables* may still be set by the base
    image; None is one whose value only the builder knows.

    Raises:
        Unresolved: it names such a variable, or uses a form not known here.

    """
    out, quote, at = "", "", 0
    while at < len(word):
        char = word[at]
        if quote == "'":
            out, quote = (out, "") if char == "'" else (out + char, quote)
            at += 1
        elif char == escape:
            # Inside double quotes only these lose the backslash.
            kept = quote and word[at + 1 : at + 2] not in ('"', "$", escape)
            out += word[at : at + 2] if kept else word[at + 1 : at + 2]
            at += 2
        elif char == "$":
            value, at = _variable(word, at + 1, variables, escape)
            out += value
        else:
            if char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            else:
                out += char
            at += 1
    if quote:
        raise Unresolved(f"the quotes of {word}")
    return out


def _variable(
    word: str, at: int, variables: Mapping[str, str | None], escape: str
) -> tuple[str, int]:
    braced = word[at : at + 1] == "{"
    name = _NAME.match(word, at + braced)
    if name is None:
        raise Unresolved(f"{word} is no plain variable")
    if not braced:
        return _value(name[0], variables), name.end()
    end = word.find("}", name.end())
    rest = word[name.end() : end]
    if end < 0 or set(rest) & set("{$\"'"):
        raise Unresolved(f"{word} is nested")
    if not rest:
        return _value(name[0], variables), end + 1
    match = re.fullmatch(r"(:?)([-+])(.*)", rest)
    if match is None:
        raise Unresolved(f"{word} uses an operator")
    value = _value(name[0], variables)  # absent: perhaps set by the base image
    present = bool(value) if match[1] else True
    other = expand(match[3], variables, escape)
    if match[2] == "-":
        return (value if present else other), end + 1
    return (other if present else ""), end + 1


def _value(name: str, variables: Mapping[str, str | None]) -> str:
    value = variables.get(name)
    if value is None:
        raise Unresolved(f"the value of ${name}")
    return value
