r"""A Dockerfile as statements: lines joined, flags and heredocs taken off. Pure.

It knows how text is cut into statements and words, and nothing of what an
instruction may hold: an unknown one is a statement too.

One text that builders of different age read differently is refused, since no
reading is right for all: what stands after a JSON list (BuildKit 0.13 drops it,
a newer one takes the whole line for a shell's).

Source: moby/buildkit, ``frontend/dockerfile/parser``, as of 0.12 and 0.13; the
judges are in ``tests/suite/oracle/parser``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from unstale.image.shell import SPACE, Unresolved, as_go_reads, tokens

__all__ = [
    "TAKES_JSON",
    "Heredoc",
    "Lines",
    "Malformed",
    "Statement",
    "blank_words",
    "escape_of",
    "health",
    "heredoc_of",
    "json_words",
    "partition",
    "quoted_words",
    "split",
    "statements",
    "syntax_of",
]


class Malformed(Exception):
    """The builder refuses this; *line* counts from 1, 0 is the line of the statement."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A file written in the Dockerfile itself."""

    name: str
    body: str
    """As written, line ends and leading tabs included."""
    expand: bool = True
    """Variables are replaced: the delimiter was not quoted."""
    chomp: bool = False
    """``<<-``: leading tabs are not part of the content."""

    @property
    def content(self) -> str:
        """What the file holds, before variables are replaced."""
        return _LEADING_TABS.sub("", self.body) if self.chomp else self.body


@dataclass(frozen=True, slots=True)
class Statement:
    """What one instruction is written as."""

    name: str
    """In capitals if it is ASCII, else as written."""
    flags: tuple[str, ...]
    """The leading ``--words``, unquoted."""
    text: str
    """What follows them, as written."""
    heredocs: tuple[Heredoc, ...]
    line: int
    """Where it starts, from 1."""
    logical: str
    """The whole line, continuation lines joined and comments gone."""


# Lines

_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_LONGEST = 65_535  # bytes of a line, its line feed not counted; one more is an error


class Lines:
    """The lines of a text, line ends kept, each read once; it knows the number of the last."""

    def __init__(self, text: str, start: int = 0) -> None:
        # What stands for a byte stays; no text that the builder gets holds any other one.
        text = _NO_BYTES.sub("\ufffd", text.removeprefix("\ufeff"))
        self.all: list[str] = re.findall(r"[^\n]*\n|[^\n]+", text)
        self.number = start
        self._rest = iter(self.all)
        for number, line in enumerate(self.all, start + 1):
            if len(line.rstrip("\n").encode(errors="surrogateescape")) > _LONGEST:
                raise Malformed("it is longer than 65,535 bytes", number)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._rest)
        self.number += 1
        return line


_DIRECTIVE = re.compile(
    r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z"  # \s of Go
)
_KNOWN_DIRECTIVES = frozenset({"syntax", "escape", "check"})


def _directives(lines: list[str], *, indented: bool) -> Iterator[tuple[str, str, int]]:
    """Name, value and line of the directives, which stand at the very top."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n").lstrip(SPACE if indented else "")
        match = _DIRECTIVE.match(text[1:].lstrip(SPACE)) if text.startswith("#") else None
        if match is None or match[1].lower() not in _KNOWN_DIRECTIVES:
            return
        yield match[1].lower(), match[2], number


def escape_of(lines: Lines) -> str:
    """The escape character of a Dockerfile."""
    found: dict[str, str] = {}
    for name, value, number in _directives(lines.all, indented=True):
        if name in found:
            raise Malformed(f"a second {name} directive", number)
        if name == "escape" and value not in ("\\", "`"):
            raise Malformed(f"the escape character {value!r}", number)
        if (name, value) == ("escape", "`") and "check" in found:
            raise Malformed("builders disagree on an escape directive after a check", number)
        found[name] = value
    return found.get("escape", "\\")


def syntax_of(lines: Lines) -> str:
    """The frontend image that is asked for, or empty.

    The directive may follow a ``#!`` line, but not a blank.
    """
    begin = 1 if lines.all and lines.all[0].startswith("#!") else 0
    found = _directives(lines.all[begin:], indented=False)
    value = next((value for name, value, _ in found if name == "syntax"), "")
    return value.partition(" ")[0]


# Statements


def statements(lines: Lines, escape: str) -> Iterator[Statement]:
    """Each statement of *lines*.

    Raises:
        Malformed: with the line on which the statement starts.

    """
    # An escape that is itself escaped does not continue the line.
    continues = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*\Z")
    for line in lines:
        part = "" if _is_comment(line) else line.rstrip("\r\n").lstrip(SPACE)
        if not part:
            continue
        start, logical = lines.number, ""
        while (cut := continues.search(part)) is not None:
            logical += part[: cut.end(1)]
            part = _next_part(lines)
        try:
            yield _statement(logical + part, lines, start, escape)
        except Malformed as error:
            raise Malformed(str(error), start) from error


def _statement(logical: str, lines: Lines, line: int, escape: str) -> Statement:
    name, flags, text = split(logical)
    check_syntax(name, text, escape)
    return Statement(name, flags, text, tuple(_heredocs(name, text, logical, lines)), line, logical)


def _next_part(lines: Lines) -> str:
    """The next line of a continued instruction: comments and blanks don't end it."""
    parts = (line.rstrip("\r\n") for line in lines if not _is_comment(line))
    return next((part for part in parts if part.strip(SPACE)), "")


def _is_comment(line: str) -> bool:
    return line.lstrip(SPACE).startswith("#")


def split(logical: str) -> tuple[str, tuple[str, ...], str]:
    """Name in capitals, flags as written but unquoted, the rest."""
    name, _, rest = partition(logical.strip(SPACE))
    flags, text = _take_flags(rest)
    lower = name.lower()
    return (lower.upper() if lower.isascii() else name), flags, text


_BLANKS = re.compile(r"[\t\v\f\r ]+")


def partition(text: str) -> tuple[str, str, str]:
    """Cut *text* at its first blanks: before, blanks, after."""
    found = _BLANKS.search(text)
    return (
        (text, "", "") if found is None else (text[: found.start()], found[0], text[found.end() :])
    )


def blank_words(text: str) -> tuple[str, ...]:
    """Split at blanks, whatever the quotes."""
    return tuple(_BLANKS.split(text)) if text else ()


def quoted_words(text: str, escape: str) -> tuple[str, ...]:
    """Split at white space outside of quotes; quotes and escapes stay."""
    words: list[str] = []
    word, quote, at = "", "", iter(as_go_reads(text))
    for char in at:
        part = char
        if char == escape and quote != "'":
            following = next(at, "")
            part = char + following if following else ""  # dropped at the end
        elif char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        elif not quote and char in SPACE:
            words += [word] if word else []
            word = ""
            continue
        word += part
    return (*words, word) if word else tuple(words)


# The JSON form

TAKES_JSON = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"})


def _finite(number: str) -> float:
    if math.isinf(found := float(number)):
        raise ValueError(number)  # no number to Go either
    return found


def _no_constant(name: str) -> float:
    raise ValueError(name)


_JSON = json.JSONDecoder(parse_float=_finite, parse_int=_finite, parse_constant=_no_constant)


def json_words(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON list; None: it is no JSON, so it is meant for a shell.

    Raises:
        Malformed: it is a list of other things, or text follows it.

    """
    if not text.startswith("["):
        return None
    try:
        found, end = _JSON.raw_decode(text)
    except RecursionError:
        raise Malformed("a JSON list must hold strings only") from None
    except ValueError:
        return None
    if not all(isinstance(word, str) for word in found):
        raise Malformed("a JSON list must hold strings only")
    if text[end:]:
        raise Malformed("builders disagree on what stands after a JSON list")
    return tuple(map(as_go_reads, found))


# Flags


def _take_flags(text: str) -> tuple[tuple[str, ...], str]:
    """The leading ``--words``, unquoted, and what follows them.

    BuildKit takes each byte for a character here: beyond ASCII a flag's value
    is garbled, and the bytes 0x85 and 0xA0 end it.
    """
    data = text.encode(errors="surrogateescape").decode("latin-1")
    found: list[str] = []
    at = 0
    while (start := _after_blanks(data, at)) < len(data) and data.startswith("--", start):
        word, at = _flag_word(data, start)
        if word == "--":
            start = at
            break
        found.append(word)
    rest = data[start:].encode("latin-1").decode(errors="surrogateescape")
    return tuple(found), rest.strip(SPACE)


_BYTE_BLANKS = "\t\n\v\f\r \x85\xa0"


def _after_blanks(data: str, at: int) -> int:
    return len(data) - len(data[at:].lstrip(_BYTE_BLANKS))


def _flag_word(data: str, at: int) -> tuple[str, int]:
    r"""One word, its quotes and escapes resolved; the escape is always ``\``."""
    word, quote = "", ""
    while at < len(data) and (quote or data[at] not in _BYTE_BLANKS):
        char = data[at]
        at += 1
        if char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        elif char == "\\":
            word += data[at : at + 1]
            at += 1
        else:
            word += char
    return word, at


# Heredocs

_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]+)\Z")
_TAKES_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})


def _heredocs(name: str, text: str, logical: str, lines: Lines) -> Iterator[Heredoc]:
    """Read the heredocs that *logical* announces."""
    if name == "ONBUILD":
        name, _, text = split(text)
    if "<<" not in logical or name not in _TAKES_HEREDOCS or json_words(text) is not None:
        return
    try:
        words = tokens(logical, quotes=True, escapes=True)
    except Unresolved:
        return  # as in BuildKit: a line it can't split has no heredocs
    for word in words:
        try:
            found = _announced(word)
        except Unresolved as error:
            raise Malformed(f"the heredoc {word}: {error}") from error
        if found is not None:
            yield replace(found, body=_body(found, lines))


def heredoc_of(word: str) -> Heredoc | None:
    """What ``<<word`` announces, its body yet empty; None: it announces nothing."""
    try:
        return _announced(word)
    except Unresolved:
        return None


def _announced(word: str) -> Heredoc | None:
    match = _HEREDOC.match(word)
    if match is None:
        return None
    plain = tokens(match[2], quotes=False, escapes=False)
    if len(plain) != 1:
        return None
    quoted = tokens(match[2], quotes=True, escapes=False)
    is_quoted = _quotes(plain[0]) != _quotes(quoted[0])
    return Heredoc(plain[0], "", expand=not is_quoted, chomp=match[1] == "-")


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def _body(heredoc: Heredoc, lines: Lines) -> str:
    body: list[str] = []
    for line in lines:
        if line.rstrip("\r\n").lstrip("\t" if heredoc.chomp else "") == heredoc.name:
            return "".join(body)
        body.append(line)
    raise Malformed(f"the heredoc {heredoc.name!r} has no end")


def check_syntax(name: str, text: str, escape: str) -> None:
    """Refuse what can't be cut into words, be it in an ONBUILD."""
    match name:
        case "ENV" | "LABEL":
            _check_pairs(name, text, quoted_words(text, escape))
        case "HEALTHCHECK":
            json_words(health(text)[1])
        case "ONBUILD":
            inner, _, rest = split(text)
            check_syntax(inner, rest, escape)
        case _ if name in TAKES_JSON:
            json_words(text)


def _check_pairs(name: str, text: str, words: tuple[str, ...]) -> None:
    if not words:
        return
    if "=" not in words[0] and not partition(text)[1]:
        raise Malformed(f"{name} needs a name and a value")
    for word in words if "=" in words[0] else ():
        if "=" not in word:
            raise Malformed(f"{name} has {word!r} where name=value is needed")


def health(text: str) -> tuple[str, str]:
    """Kind, in capitals, and the rest of a HEALTHCHECK."""
    parts = re.split(r"[\t\n\v\f\r ]+", text, maxsplit=1)
    return parts[0].upper(), "".join(parts[1:])
