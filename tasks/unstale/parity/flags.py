"""A command as flags and words, so that one removed flag is one difference. Pure.

A name never holds a value: names are printed, and a value may be a password.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

__all__ = ["SCRIPT", "flag_map", "is_postgres_command", "setting_name"]

SCRIPT: Final = "script"
"""The item that holds the text of ``sh -c TEXT``."""

_END: Final = "--"
"""What follows it is no flag."""

_Pair = tuple[str, str | None]

_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_SHELL_OPTION = re.compile(r"-[A-Za-z]+")

# getopt's string in postmaster.c and postgres.c (17); a colon takes an argument.
_POSTGRES_OPTIONS = "B:bC:c:D:d:EeFf:h:ijk:lN:nOPp:r:S:sTt:v:W:"
_TAKING = frozenset(re.findall(r"(\w):", _POSTGRES_OPTIONS))
# The same settings by their short names, with the value of those without one.
_POSTGRES_ALIASES: Final[Mapping[str, _Pair]] = {
    "B": ("shared_buffers", None),
    "F": ("fsync", "off"),
    "h": ("listen_addresses", None),
    "i": ("listen_addresses", "*"),
    "k": ("unix_socket_directories", None),
    "l": ("ssl", "on"),
    "N": ("max_connections", None),
    "p": ("port", None),
    "S": ("work_mem", None),
}

# Of these, all are in force: -f s -f m forbids two kinds of plans.
_GATHERING: Final = ("-f", "-t")

# A name is a word; a dash before a blank is more likely the start of a value:
# --jvm-args "-Xms1g -Xmx1g".
_LONG = re.compile(r"(?P<name>--[^\s=-][^\s=]*)(?:=(?P<value>.*))?", re.DOTALL)
# As programs in Go write them: -config.file=x, -dev-listen-address x. A single
# word without a value (-psecret, -vvv) is read as -p and the rest.
_GO = re.compile(
    r"(?P<name>-[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*)=(?P<value>.*)"
    r"|(?P<alone>-[a-z][a-z0-9]*(?:[._-][a-z0-9]+)+)",
    re.DOTALL,
)
_SHORT = re.compile(r"(?P<name>-[^\s=-])(?P<value>\S+)?")
# Of these, -p (or -a) and a password are written as one word, which no name may quote.
_GLUED = re.compile(r"(?:mysql|mariadb|sshpass|7za?|unzip|zip|redis-cli)[\w-]*")
_GLUED_PASSWORDS = ("-p", "-a")

# Flags that take no value in the programs that services run; --no-X takes none
# by convention. What follows them is a word of its own.
_BARE: Final = frozenset({
    "--debug", "--force", "--help", "--quiet", "--reload", "--strict", "--verbose", "--version",
    "--yes",
})  # fmt: skip


def is_postgres_command(tokens: Sequence[str], *, says_postgres: bool = False) -> bool:
    """Say whether *tokens* start a PostgreSQL server.

    A command that begins with a dash does, if the image or the service
    *says_postgres*: the image puts the program in front of it.
    """
    first = tokens[0] if tokens else ""
    if PurePosixPath(first).name in ("postgres", "postmaster"):
        return True
    return says_postgres and first.startswith("-")


def flag_map(tokens: Sequence[str], *, says_postgres: bool = False) -> Mapping[str, str | None]:
    """The items of a command: what each flag is set to, and each word by its number.

    Of a PostgreSQL server, ``-c a=b``, ``-ca=b`` and ``--a=b`` are one setting
    ``a``, and the last one holds, as the server reads them. A leading
    ``postgres`` is left out.

    Of a shell, the text after ``-c`` is one item, `SCRIPT`.

    Of any other program, a word right after a flag is that flag's value:
    nobody but the program knows better. All others are ``word 1``, ``word 2``
    …; everything after ``--`` is a word. A flag that comes again has all of its
    values, in their order, as a JSON list. A flag with words behind it says so,
    like ``--app before word 2``. So commands are equal here only if they are
    equal up to ``--a b`` for ``--a=b`` and the order of different flags between
    two words.
    """
    if is_postgres_command(tokens, says_postgres=says_postgres):
        return dict(sorted(_postgres(tokens).items()))
    script = _script_at(tokens)
    if script is not None:
        return _shell(tokens, script)
    return _general(tokens)


def setting_name(text: str) -> str:
    """The name of a server's setting as PostgreSQL understands *text*."""
    return text.strip().replace("-", "_").lower()


def _postgres(tokens: Sequence[str]) -> dict[str, str | None]:
    rest = list(tokens)
    found: dict[str, str | None] = {}
    if rest[0] == "postgres":
        rest.pop(0)
    elif not rest[0].startswith("-"):
        # A path says which of several servers is run.
        found["word 1"] = rest.pop(0)
    pending = iter(rest)
    words: list[str] = []
    for token in pending:
        if token.startswith(_END) and token != _END:
            found.update([_setting(token.removeprefix(_END))])
        elif token.startswith("-") and token not in ("-", _END):
            for name, value in _cluster(token[1:], pending):
                earlier = f"{found[name]} " if name in _GATHERING and name in found else ""
                found[name] = f"{earlier}{value}" if earlier else value
        else:
            words.append(token)
    found |= {f"word {number}": word for number, word in enumerate(words, start=2)}
    return found


def _setting(text: str) -> _Pair:
    name, equals, value = text.partition("=")
    return setting_name(name), value if equals else None


def _cluster(letters: str, pending: Iterator[str]) -> Iterator[_Pair]:
    """The options of one token: ``Fc`` is ``-F`` and a ``-c`` with the next token."""
    for index, letter in enumerate(letters):
        if letter not in _TAKING:
            yield _POSTGRES_ALIASES.get(letter, (f"-{letter}", None))
            continue
        glued = letters[index + 1 :]
        value = glued or next(pending, None)
        if letter == "c" and value is not None:
            yield _setting(value)
        else:
            yield _POSTGRES_ALIASES.get(letter, (f"-{letter}", None))[0], value
        return


def _script_at(tokens: Sequence[str]) -> int | None:
    """The index of the text that a shell is given; None if it is not a shell's command."""
    if not tokens or PurePosixPath(tokens[0]).name not in _SHELLS:
        return None
    for index, token in enumerate(tokens[1:-1], start=1):
        if _SHELL_OPTION.fullmatch(token) and token.endswith("c"):
            return index + 1
        if not token.startswith(("-", "+")) and not tokens[index - 1].endswith(("o", "O")):
            return None
    return None


def _shell(tokens: Sequence[str], script: int) -> Mapping[str, str | None]:
    options = {"word 1": tokens[0], "options": shlex.join(tokens[1:script])}
    words = enumerate(tokens[script + 1 :], start=2)
    return {**options, SCRIPT: tokens[script], **{f"word {n}": word for n, word in words}}


def _general(tokens: Sequence[str]) -> Mapping[str, str | None]:
    words: list[str] = []
    flags: list[tuple[int, str, str | None]] = []
    for flag, value in _read(tokens):
        if flag is None:
            words.append(value or "")
        else:
            flags.append((len(words), flag, value))
    found: dict[str, list[str | None]] = {}
    for before, flag, value in flags:
        place = f"{flag} before word {before + 1}" if before < len(words) else flag
        found.setdefault(place, []).append(value)
    numbered = {f"word {number}": word for number, word in enumerate(words, start=1)}
    return {**numbered, **{name: _together(values) for name, values in sorted(found.items())}}


def _together(values: Sequence[str | None]) -> str | None:
    """Several values as JSON; one as it is, unless it could be taken for several."""
    first = values[0]
    if len(values) == 1 and not (first or "").startswith(('["', "[null")):
        return first
    return json.dumps(values, ensure_ascii=False)


def _read(tokens: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    """Flags with their values; words with None for a flag."""
    glued = bool(tokens) and bool(_GLUED.fullmatch(PurePosixPath(tokens[0]).name))
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == _END:
            yield from ((None, word) for word in (token, *rest))
            return
        flag = _flag(token, glued=glued)
        if flag is None:
            yield None, token
        elif flag[1] is None and rest and _takes(flag[0]) and _is_word(rest[0], glued=glued):
            yield flag[0], rest.pop(0)
        else:
            yield flag


def _is_word(token: str, *, glued: bool) -> bool:
    return token != _END and _flag(token, glued=glued) is None


def _takes(flag: str) -> bool:
    return flag not in _BARE and not flag.startswith("--no-")


def _flag(token: str, *, glued: bool) -> tuple[str, str | None] | None:
    """The flag that *token* is, with the value inside of it; None for a word."""
    if found := _LONG.fullmatch(token):
        return found["name"], found["value"]
    if not glued and (found := _GO.fullmatch(token)):
        return found["name"] or found["alone"], found["value"]
    if found := _SHORT.fullmatch(token):
        is_password = glued and found["name"] in _GLUED_PASSWORDS
        return f"{found['name']} (password)" if is_password else found["name"], found["value"]
    return None
