r"""A Dockerfile as a program: stages of instructions. Pure.

It reads the language and refuses what the builder refuses when it reads the
file; it runs nothing, expands nothing and knows no base image.

Where builders of different age read one text differently, it refuses too, since
no reading is right for both: text after a JSON list (BuildKit 0.13 drops it, a
newer one takes all of it for a shell's) and ``# escape=`` with a backtick after
``# check=`` (a comment to 0.13, which then looks for no more directives).

Source: moby/buildkit, ``frontend/dockerfile/parser`` and ``instructions``; the
rules were checked against the engine (``tests/suite/oracle/parser``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from unstale.errors import CouldNotTell
from unstale.image.shell import SPACE, Unresolved
from unstale.image.statements import (
    TAKES_JSON,
    Heredoc,
    Lines,
    Malformed,
    Statement,
    blank_words,
    escape_of,
    health,
    heredoc_of,
    json_words,
    partition,
    quoted_words,
    split,
    statements,
    syntax_of,
)

__all__ = [
    "Dockerfile",
    "Heredoc",
    "Instruction",
    "Stage",
    "Unresolved",
    "csv_fields",
    "name_values",
    "parse",
    "parse_instruction",
]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, continuation lines joined and comments gone."""

    name: str
    """In capitals."""
    flags: tuple[tuple[str, str], ...]
    """In their order; a switch is "true". Only those that have an effect."""
    text: str
    """What follows the flags, as written. Of an ONBUILD: the trigger, heredocs included."""
    heredocs: tuple[Heredoc, ...] = ()
    line: int = 0
    """Where it starts, from 1."""
    escape: str = "\\"

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments, quotes and variables still in them."""
        match self.name:
            case "ARG" | "ENV" | "LABEL":
                return quoted_words(self.text, self.escape)
            case "ADD" | "COPY" | "VOLUME" | "EXPOSE" | "FROM":
                found = self.json_words
                return blank_words(self.text) if found is None else found
            case "HEALTHCHECK":
                kind, rest = health(self.text)
                found = json_words(rest)
                return (kind, *((rest,) if found is None and rest else found or ()))
            case _:
                found = self.json_words
                return ((self.text,) if self.text else ()) if found is None else found

    @property
    def json_words(self) -> tuple[str, ...] | None:
        """The arguments of the JSON form; None: it is not in that form."""
        return json_words(self.text) if self.name in TAKES_JSON else None

    @property
    def script(self) -> str:
        """What a RUN in shell form hands to the shell, heredocs included; it tells RUNs apart.

        One heredoc alone is the script itself, whatever it is called. If that
        starts with ``#!`` it is a file to run, and its name counts.
        """
        first = next(iter(self.heredocs), None)
        if first is None:
            return self.text
        if heredoc_of(self.text) is None:
            return self.text + "".join(f"\n{one.body}{one.name}" for one in self.heredocs)
        if first.body.startswith("#!"):
            return f"/dev/pipes/{first.name}\0{first.content}"
        return first.content

    @property
    def paths(self) -> tuple[str, ...]:
        """The sources of a COPY or ADD that are no heredocs."""
        return tuple(word for word in self.words[:-1] if heredoc_of(word) is None)

    @property
    def inline(self) -> tuple[Heredoc, ...]:
        """The sources of a COPY or ADD that are heredocs. Of two of one name the last counts."""
        bodies = {one.name: one.body for one in self.heredocs}
        named = (heredoc_of(word) for word in self.words[:-1])
        return tuple(
            Heredoc(one.name, bodies.get(one.name, ""), one.expand, one.chomp)
            for one in named
            if one is not None
        )

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
    line: int = 0


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """All of it."""

    syntax: str
    """The frontend image of a ``# syntax=`` line, or empty."""
    escape: str
    arguments: tuple[Instruction, ...]
    """The ARGs before the first FROM."""
    stages: tuple[Stage, ...]


def parse(text: str) -> Dockerfile:
    """Read a Dockerfile, decoded as UTF-8 with ``surrogateescape``, its line ends kept.

    Raises:
        CouldNotTell: the builder would refuse it, or builders disagree; with the line.

    """
    try:
        lines = Lines(text)
        escape = escape_of(lines)
        found = tuple(_instructions(lines, escape))
        first = _first_from(found)
    except Malformed as error:
        raise _unreadable(error.line, str(error)) from error
    stages = tuple(_stages(found[first:]))
    return Dockerfile(syntax_of(lines), escape, found[:first], stages)


def parse_instruction(text: str, escape: str = "\\", line: int = 0) -> Instruction:
    """Read one instruction and its heredocs, such as a trigger of an image's ``OnBuild``.

    *line* is where the instruction is said to start.

    Raises:
        CouldNotTell: the builder would refuse it, or it is more than one.

    """
    try:
        found = tuple(_instructions(Lines(text, start=line - 1), escape))
    except Malformed as error:
        raise _unreadable(error.line, str(error)) from error
    if len(found) != 1:
        raise _unreadable(line, "a trigger must be a single instruction")
    return found[0]


def name_values(one: Instruction) -> tuple[tuple[str, str | None], ...]:
    """The names and values of an ENV, LABEL or ARG, quotes and variables still in them.

    None: an ARG without a default.
    """
    words = one.words
    if one.name != "ARG" and words and "=" not in words[0]:  # `ENV name the rest is the value`
        name, _, value = partition(one.text)
        return ((name, value),)
    pairs = (word.partition("=") for word in words)
    return tuple((name, value if given else None) for name, given, value in pairs)


def csv_fields(value: str) -> tuple[str, ...]:
    """The fields of a ``--mount``: as Go reads a line of CSV, strict about quotes.

    Raises:
        ValueError: the quotes are wrong, or there is nothing.

    """
    if not value:
        raise ValueError("it is empty")
    fields: list[str] = []
    at = 0
    while at <= len(value):
        match = _CSV_FIELD.match(value, at)
        if match is None:
            raise ValueError("its quotes are wrong")
        plain, quoted = match[2], match[1]
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end() + 1
    return tuple(fields)


_CSV_FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^",]*))(?=,|\Z)')


def _unreadable(line: int, what: str) -> CouldNotTell:
    place = f"line {line}: " if line else ""
    return CouldNotTell(
        f"The Dockerfile can't be understood: {place}{what}.",
        hint="docker build shows whether it is valid",
    )


def _first_from(found: tuple[Instruction, ...]) -> int:
    for at, one in enumerate(found):
        if one.name == "FROM":
            return at
        if one.name != "ARG":
            raise Malformed(f"{one.name} before the first FROM", one.line)
    raise Malformed("it has no FROM" if found else "it has no instructions")


def _instructions(lines: Lines, escape: str) -> Iterator[Instruction]:
    for statement in statements(lines, escape):
        try:
            yield _instruction(statement, escape)
        except Malformed as error:
            raise Malformed(str(error), statement.line) from error


def _instruction(one: Statement, escape: str) -> Instruction:
    if one.name not in _INSTRUCTIONS:
        raise Malformed(f"the instruction {one.name!r}")
    if one.name == "ONBUILD":
        _flags(one.name, one.flags)
        return Instruction(one.name, (), _trigger(one), line=one.line, escape=escape)
    is_no_check = one.name == "HEALTHCHECK" and health(one.text)[0] == "NONE"
    flags = _flags(one.name, () if is_no_check or one.name in _IGNORES_FLAGS else one.flags)
    found = Instruction(one.name, flags, one.text, one.heredocs, one.line, escape)
    _check(found)
    return replace(found, flags=tuple(flag for flag in flags if _has_effect(one.name, *flag)))


# Flags

_Kind = Literal["text", "switch", "list"]

# The last of ADD, COPY and RUN are unknown to BuildKit 0.13; newer ones take them.
_FLAGS: dict[str, dict[str, _Kind]] = {
    "ADD": {
        **dict.fromkeys(("chown", "chmod", "checksum"), "text"),
        **dict.fromkeys(("link", "keep-git-dir", "unpack"), "switch"),
        "exclude": "list",
    },
    "COPY": {
        **dict.fromkeys(("from", "chown", "chmod"), "text"),
        **dict.fromkeys(("link", "parents"), "switch"),
        "exclude": "list",
    },
    "FROM": {"platform": "text"},
    "HEALTHCHECK": {
        **dict.fromkeys(("interval", "timeout", "start-period", "start-interval"), "text"),
        "retries": "text",
    },
    "RUN": {"mount": "list", "network": "text", "security": "text", "device": "list"},
}
_DEFAULTS = {"network": "default", "security": "sandbox"}
_IGNORES_FLAGS = frozenset({"ARG", "STOPSIGNAL"})


def _flags(name: str, words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    known = _FLAGS.get(name, {})
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for word in words:
        flag, given, value = word.removeprefix("--").partition("=")
        kind = known.get(flag)
        if kind is None:
            raise Malformed(f"{name} has no flag --{flag}")
        if kind != "list" and flag in seen:
            raise Malformed(f"{name} has --{flag} twice")
        seen.add(flag)
        if kind == "switch":
            value = _switch(flag, value, given=bool(given))
        elif not given:
            raise Malformed(f"{name} --{flag} has no value")
        found.append((flag, value))
    return tuple(found)


def _has_effect(name: str, flag: str, value: str) -> bool:
    """Whether it differs from the flag's absence."""
    default = "false" if _FLAGS[name][flag] == "switch" else _DEFAULTS.get(flag, "")
    return value not in ("", default)


def _switch(flag: str, value: str, *, given: bool) -> str:
    if given and value.lower() not in ("true", "false"):
        raise Malformed(f"--{flag} must be true or false")
    return value.lower() or "true"


# ONBUILD

_ONBUILD = re.compile(r"[\t\n\f\r ]*onbuild[\t\n\f\r ]*", re.IGNORECASE | re.ASCII)


def _trigger(one: Statement) -> str:
    """What the image's ``OnBuild`` will hold; most faults in it show only when it runs."""
    name, _, _ = split(one.text)
    if name in ("", "FROM", "MAINTAINER", "ONBUILD"):
        raise Malformed(f"ONBUILD can't have {name or 'nothing'} as its trigger")
    heredocs = (f"\n{heredoc.body}{heredoc.name}" for heredoc in one.heredocs)
    return _ONBUILD.sub("", one.logical, count=1) + "".join(heredocs)


# What the builder refuses

_INSTRUCTIONS = frozenset(
    {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"}
    | {"MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


def _check(one: Instruction) -> None:
    match one.name:
        case "FROM":
            _check_stage_name(one)
        case "HEALTHCHECK":
            _check_health(one)
        case "RUN":
            _check_run(one)
        case "SHELL":
            if not one.json_words:
                raise Malformed("SHELL needs a JSON list")
        case "CMD" | "ENTRYPOINT" | "ONBUILD":
            return
        case _:
            _check_words(one)


def _check_words(one: Instruction) -> None:
    match one.name:
        case "ADD" | "COPY":
            if len(one.words) < 2:
                raise Malformed(f"{one.name} needs a source and a destination")
            if heredoc_of(one.words[-1]) is not None:
                raise Malformed(f"{one.name} can't have a heredoc as its destination")
        case "ARG" | "ENV" | "LABEL":
            if not one.words or any(not name for name, _ in name_values(one)):
                raise Malformed(f"{one.name} needs a name")
        case _:
            if not one.words or not all(word.strip(SPACE) for word in one.words):
                raise Malformed(f"{one.name} needs a value")


_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*\Z")
# Each stage's name is looked up as an image's among the additional contexts.
_IMAGE_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")


def _check_stage_name(one: Instruction) -> None:
    words = one.words
    if not (len(words) == 1 or (len(words) == 3 and words[1].casefold() == "as")):
        raise Malformed("FROM needs an image, or an image AS a name")
    name = words[2].lower() if len(words) == 3 else "ok"
    if not _STAGE_NAME.match(name) or not _IMAGE_NAME.match(name):
        raise Malformed(f"the stage name {name!r}")
    if re.fullmatch("[a-f0-9]{64}", name):
        raise Malformed(f"the stage name {name!r}, which looks like an image's id")


def _check_run(one: Instruction) -> None:
    network, security = one.flag("network"), one.flag("security")
    if network not in (None, "default", "none", "host"):
        raise Malformed(f"RUN --network={network}")
    if security not in (None, "sandbox", "insecure"):
        raise Malformed(f"RUN --security={security}")
    for mount in one.all_flags("mount"):
        try:
            fields = csv_fields(mount)
        except ValueError as error:
            raise Malformed(f"RUN --mount={mount}: {error}") from error
        for name, _, value in (field.partition("=") for field in fields):
            if name.lower() == "from" and "$" in value[:-1]:
                raise Malformed("RUN --mount: `from` can't hold a variable")


def _check_health(one: Instruction) -> None:
    kind, rest = health(one.text)
    command = json_words(rest)
    if kind == "NONE" and rest and command != ():
        raise Malformed("HEALTHCHECK NONE takes nothing more")
    if kind == "CMD" and not (rest if command is None else command):
        raise Malformed("HEALTHCHECK CMD needs a command")
    if kind not in ("CMD", "NONE"):
        raise Malformed(f"HEALTHCHECK {kind}")
    for flag, value in (pair for pair in one.flags if pair[1]):
        if flag == "retries" and not _is_count(value):
            raise Malformed(f"HEALTHCHECK --retries={value}")
        if flag != "retries" and not _is_interval(value):
            raise Malformed(f"HEALTHCHECK --{flag}={value}")


def _is_count(text: str) -> bool:
    # Python turns no more than 4,300 digits into a number.
    found = re.fullmatch(r"([-+]?)0*([0-9]{1,10})", text)
    return found is not None and 0 <= int(found[1] + found[2]) < 2**31


# Go's "\u00b5s" can't be reached: beyond ASCII a flag's value is garbled.
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h)")


def _is_interval(text: str) -> bool:
    """Whether Go takes *text* for a duration, of nothing or at least a millisecond."""
    if re.fullmatch("[-+]?0", text):
        return True
    if not re.fullmatch(f"[-+]?(?:{_AMOUNT.pattern})+", text):
        return False
    from decimal import Decimal  # here: most Dockerfiles have no HEALTHCHECK

    total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _AMOUNT.findall(text))
    return total == 0 or (text[0] != "-" and 10**6 <= total < 2**63)


# Stages


def _stages(found: tuple[Instruction, ...]) -> Iterator[Stage]:
    starts = [at for at, one in enumerate(found) if one.name == "FROM"]
    for start, end in pairwise([*starts, len(found)]):
        head = found[start]
        name = head.words[2].lower() if len(head.words) == 3 else ""
        body = found[start + 1 : end]
        yield Stage(head.words[0], name, head.flag("platform") or "", body, head.line)
