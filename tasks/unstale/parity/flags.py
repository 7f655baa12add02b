"""A command as flags and words, so that one removed flag is one difference. Pure.

A name never holds a value: names are printed, and a value may be a password.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from unstale.mask import is_secret

__all__ = ["ORDER", "SCRIPT", "flag_map", "is_postgres_command", "is_reordered", "setting_name"]

SCRIPT: Final = "script"
"""The item that holds the text of ``sh -c TEXT``."""

ORDER: Final = "order"
"""The item that says in which order and spelling the flags stand, without their values."""

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

_SETTING = re.compile(r"[\w.$-]+")
# What the server would refuse; it may be anything.
_NO_SETTING: Final = "-c (private)"
# Of these, all are in force: -f s -f m forbids two kinds of plans.
_GATHERING: Final = ("-f", "-t", _NO_SETTING)

# A name is a word; a dash before a blank is more likely the start of a value:
# --jvm-args "-Xms1g -Xmx1g".
_LONG = re.compile(r"(?P<name>--[^\W_][\w.\[\]-]*)(?:(?P<sign>[=:])(?P<value>.*))?", re.DOTALL)
# As programs in Go write them: -config.file=x, -dev-listen-address x.
_GO = re.compile(
    r"(?P<name>-[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*)=(?P<value>.*)"
    r"|(?P<alone>-[a-z][a-z0-9]*(?:[._-][a-z0-9]+)+)",
    re.DOTALL,
)
# A password behind -p may look like such a name, too: of a name all words are known.
_GO_WORDS: Final = frozenset({
    "addr", "address", "advertise", "agent", "alertmanager", "allow", "api", "auth", "backend",
    "bind", "bootstrap", "broker", "bucket", "ca", "cache", "cert", "check", "client", "cluster",
    "collector", "config", "console", "consul", "cors", "count", "cpu", "data", "database",
    "datacenter", "debug", "default", "dev", "dir", "directory", "disable", "domain", "enable",
    "encrypt", "endpoint", "env", "expand", "expect", "export", "file", "files", "flags", "force",
    "format", "grpc", "header", "host", "hostname", "http", "https", "id", "interface", "interval",
    "join", "json", "key", "kv", "level", "limit", "listen", "local", "log", "max", "memory",
    "metrics", "min", "mode", "name", "namespace", "network", "no", "node", "output", "password",
    "path", "peer", "pid", "plugin", "port", "prefix", "print", "profile", "prometheus", "proxy",
    "query", "queue", "raft", "rate", "read", "region", "registry", "remote", "retention", "retry",
    "role", "root", "route", "rpc", "rules", "schema", "scrape", "secret", "server", "service",
    "size", "skip", "smtp", "source", "storage", "store", "target", "telemetry", "template",
    "timeout", "tls", "token", "trace", "ui", "url", "user", "validate", "verbose", "version",
    "wait", "web", "write",
})  # fmt: skip
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


def flag_map(
    tokens: Sequence[str], *, says_postgres: bool = False, entrypoint: Sequence[str] = ()
) -> Mapping[str, str | None]:
    """The items of a command: what each flag is set to, and each word by its number.

    Of a PostgreSQL server, ``-c a=b``, ``-ca=b`` and ``--a=b`` are one setting
    ``a``, and the last one holds, as the server reads them. A leading
    ``postgres`` is left out.

    Of a shell, the text after ``-c`` is one item, `SCRIPT`.

    Of any other program, a word right after a flag is that flag's value:
    nobody but the program knows better. All others are ``word 1``, ``word 2``
    …; everything after ``--`` is a word. A flag that comes again has all of its
    values, in their order, as a JSON list. A flag with words behind it says so,
    like ``--app before word 2``. Where there are flags, `ORDER` has their order
    and spelling. So two commands are equal here only if they are the same
    tokens; `is_reordered` says whether a difference of `ORDER` tells anything
    that the other items do not.

    The *entrypoint*, if *tokens* are a command behind one, may tell that a
    password is glued to its flag.
    """
    if is_postgres_command(tokens, says_postgres=says_postgres):
        return dict(sorted(_postgres(tokens).items()))
    script = _script_at(tokens)
    if script is not None:
        return _shell(tokens, script)
    programs = {PurePosixPath(token).name for token in (*entrypoint, *tokens)}
    return _general(tokens, glued=any(map(_GLUED.fullmatch, programs)))


def is_reordered(left: str | None, right: str | None, besides: Collection[str]) -> bool:
    """Say whether two values of `ORDER` differ in flags that are not among *besides*.

    *besides* are the names of the items that differ otherwise: a flag that went
    is missing in the order, too, and that is no news. None is a command without
    flags.
    """
    known = {name.partition(_BEFORE)[0] for name in besides}
    return _flags_of(left, known) != _flags_of(right, known)


def _flags_of(order: str | None, known: Collection[str]) -> list[str]:
    # Where a flag stands between words is in its name.
    entries: list[str] = json.loads(order) if order else []
    named = [(entry, _ANY_VALUE.sub("", entry)) for entry in entries]
    return [entry for entry, name in named if name.startswith("-") and name not in known]


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
            _gather(found, [_setting(token.removeprefix(_END))])
        elif token.startswith("-") and token not in ("-", _END):
            _gather(found, _cluster(token[1:], pending))
        else:
            words.append(token)
    found |= {f"word {number}": word for number, word in enumerate(words, start=2)}
    return found


def _gather(found: dict[str, str | None], pairs: Iterable[_Pair]) -> None:
    """Put *pairs* in *found*: of most settings the last one holds."""
    for name, value in pairs:
        earlier = f"{found[name]} " if name in _GATHERING and name in found else ""
        found[name] = f"{earlier}{value}" if earlier else value


def _setting(text: str) -> _Pair:
    name, equals, value = text.partition("=")
    if not _SETTING.fullmatch(name.strip()) or setting_name(name) == ORDER:
        return _NO_SETTING, text
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


@dataclass(frozen=True, slots=True)
class _Part:
    """A flag with its value, or a word."""

    name: str | None
    """None for a word."""
    value: str | None = field(repr=False)
    spelling: str = ""
    """What is between the name and the value; nothing where there is no value."""

    @property
    def shape(self) -> str:
        return f"{self.name}{self.spelling}{_VALUE}" if self.value is not None else f"{self.name}"


_VALUE = "<value>"
_ANY_VALUE = re.compile(r"[=: ]?<value>$")
_BEFORE = " before word "


def _general(tokens: Sequence[str], *, glued: bool) -> Mapping[str, str | None]:
    words: list[str] = []
    flags: list[tuple[int, _Part]] = []
    order: list[str] = []
    for part in _read(tokens, glued=glued):
        if part.name is None:
            words.append(part.value or "")
            order.append(f"word {len(words)}")
        else:
            flags.append((len(words), part))
            order.append(part.shape)
    found: dict[str, list[str | None]] = {}
    for before, flag in flags:
        place = f"{flag.name}{_BEFORE}{before + 1}" if before < len(words) else f"{flag.name}"
        found.setdefault(place, []).append(flag.value)
    numbered = {f"word {number}": word for number, word in enumerate(words, start=1)}
    named = {name: _together(values) for name, values in sorted(found.items())}
    return {**numbered, **named, **({ORDER: json.dumps(order)} if flags else {})}


def _together(values: Sequence[str | None]) -> str | None:
    """Several values as JSON; one as it is, unless it could be taken for several."""
    first = values[0]
    if len(values) == 1 and not (first or "").startswith(('["', "[null")):
        return first
    return json.dumps(values, ensure_ascii=False)


def _read(tokens: Sequence[str], *, glued: bool) -> Iterator[_Part]:
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == _END:
            yield from (_Part(None, word) for word in (token, *rest))
            return
        flag = _flag(token, glued=glued)
        if flag is None or flag.name is None:
            yield _Part(None, token)
        elif flag.value is None and rest and _takes(flag.name, rest[0], glued=glued):
            yield _Part(flag.name, rest.pop(0), " ")
        else:
            yield flag


def _takes(flag: str, token: str, *, glued: bool) -> bool:
    """Whether *token* is the value of *flag*, which is before it."""
    if token == _END or flag in _BARE or flag.startswith("--no-"):
        return False
    # A password may begin with a dash. Where it may be a switch, as in --auth, it
    # is one.
    return _flag(token, glued=glued) is None or is_secret(flag, "true")


def _flag(token: str, *, glued: bool) -> _Part | None:
    """The flag that *token* is, with the value inside of it; None for a word."""
    if found := _LONG.fullmatch(token):
        return _long(found["name"], found["sign"] or "", found["value"])
    is_go = _GO.fullmatch(token)
    if is_go and not glued:
        name = is_go["name"] or is_go["alone"]
        if _GO_WORDS.issuperset(re.split("[._-]", name[1:])):
            return _Part(name, is_go["value"], "=")
    if found := _SHORT.fullmatch(token):
        name, value = found["name"], found["value"]
        if glued and name in _GLUED_PASSWORDS:
            return _Part(f"{name} (password)", value)
        return _Part(f"{name} (private)" if is_go or _assigns(token) else name, value)
    return None


def _long(name: str, sign: str, value: str | None) -> _Part:
    # --Section:Password=x is a name in a name, of which one can't tell where it ends.
    is_nested = sign == ":" and re.search("[=:]", value or "")
    return _Part(f"{name} (private)" if is_nested else name, value, sign)


def _assigns(token: str) -> bool:
    """Whether *token* is like ``-Ddb.password=x``, with a secret inside."""
    name, equals, value = token[1:].partition("=")
    return bool(equals) and is_secret(name, value)
