"""One form for what two readers make of a Dockerfile's statements."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import dockerfile

from unstale.image.dockerfile import Instruction, name_values
from unstale.image.statements import (
    Lines,
    Malformed,
    Statement,
    escape_of,
    health,
    json_words,
    split,
    statements,
)

REFUSED = "refused"
"""In place of a reading."""
AMBIGUOUS = "ambiguous"
"""We refuse what builders read differently."""
UNSHOWN = "unshown"
"""The library can't hand out what it read: bytes that are no UTF-8."""


@dataclass(frozen=True, slots=True)
class Line:
    """One statement. Of an unknown instruction only the name counts."""

    name: str
    trigger: str
    line: int
    flags: tuple[str, ...]
    words: tuple[str, ...]
    is_json: bool
    heredocs: tuple[tuple[str, str], ...]


Reading = tuple[Line, ...] | str

_KNOWN = frozenset(
    {"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"}
    | {"MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)
_TRIGGERS = _KNOWN - {"ONBUILD"}


def library(text: str) -> Reading:
    """What BuildKit 0.12.5 reads."""
    try:
        found = dockerfile.parse_string(text)
    except dockerfile.GoParseError:
        return REFUSED
    except UnicodeDecodeError:
        return UNSHOWN
    return tuple(map(_of_library, found))


def _of_library(one: dockerfile.Command) -> Line:
    name = (one.cmd or "").upper()
    if name not in _KNOWN:
        return Line(name, "", one.start_line, (), (), is_json=False, heredocs=())
    trigger = (one.sub_cmd or "").upper() if name == "ONBUILD" else ""
    words = one.value if name != "ONBUILD" or trigger in _TRIGGERS else ()
    heredocs = tuple((heredoc.name, heredoc.content) for heredoc in one.heredocs)
    return Line(name, trigger, one.start_line, one.flags, words, one.json, heredocs)


def ours(text: str) -> Reading:
    """What we read."""
    try:
        lines = Lines(text)
        found = tuple(statements(lines, escape := escape_of(lines)))
    except Malformed as error:
        return AMBIGUOUS if "builders disagree" in str(error) else REFUSED
    return tuple(_of_ours(one, escape) for one in found) or REFUSED


def _of_ours(one: Statement, escape: str) -> Line:
    if one.name not in _KNOWN:
        return Line(one.name.upper(), "", one.line, (), (), is_json=False, heredocs=())
    if one.name != "ONBUILD":
        inner = Instruction(one.name, (), one.text, one.heredocs, one.line, escape)
        heredocs = tuple((heredoc.name, heredoc.body) for heredoc in one.heredocs)
        is_json = _is_json(inner)
        return Line(one.name, "", one.line, one.flags, _words(inner), is_json, heredocs)
    name, _, text = split(one.text)
    inner = Instruction(name, (), text, (), one.line, escape)
    words = _words(inner) if name in _TRIGGERS else ()
    is_json = name in _TRIGGERS and _is_json(inner)
    # The library shows no heredocs of a trigger.
    return Line("ONBUILD", name.upper(), one.line, one.flags, words, is_json, heredocs=())


def _words(one: Instruction) -> tuple[str, ...]:
    if one.name in ("ENV", "LABEL"):
        return tuple(chain.from_iterable((name, value or "") for name, value in name_values(one)))
    if one.name == "HEALTHCHECK":  # its kind is still as written here
        kind = one.text[: len(one.words[0])]
        return tuple(word for word in (kind, *one.words[1:]) if word)
    return one.words


def _is_json(one: Instruction) -> bool:
    found = json_words(health(one.text)[1]) if one.name == "HEALTHCHECK" else one.json_words
    return found is not None
