"""Env files as python-dotenv reads them, line by line and without expansion.

Two files are compared as they are written, so ``${NAME}`` stays what it is.
What a container really gets is another question, which only compose answers.
No message of this module quotes a line: it may hold a secret. A line without
``=`` of which nobody can say whether it is a name goes by its number.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from unstale.errors import ConfigError, CouldNotTell, Fault, MissingFile, UsageError
from unstale.parity.keys import is_value, of_bare, placeholder
from unstale.parity.model import Source, Variable

if TYPE_CHECKING:
    from dotenv.parser import Binding, Reader

__all__ = [
    "COMMENTED",
    "Duplicate",
    "Entry",
    "EnvFile",
    "ExampleGap",
    "content",
    "example_gaps",
    "example_of",
    "merged",
    "parse",
    "read",
    "require_text",
    "variables",
]

_ENCRYPTED_FILE = {
    b"\0GITCRYPT\0": "git-crypt",
    b"$ANSIBLE_VAULT;": "ansible-vault",
    b"age-encryption.org/": "age",
    b"-----BEGIN AGE ENCRYPTED FILE-----": "age",
    b"-----BEGIN PGP MESSAGE-----": "PGP",
}
_ENCRYPTED_VALUE = {"encrypted:": "dotenvx", "ENC[AES256_GCM,": "sops"}
_ENCRYPTED_HEADS = tuple(_ENCRYPTED_VALUE)

# A line that holds no escape and no second line. python-dotenv takes twelve
# microseconds for it, which is nearly all the time of a long file;
# tests/suite/oracle/dialect proves that it would give the same.
_SIMPLE = re.compile(
    r"""(?:\#[^\r\n]*
        | (?P<key>[A-Za-z_][A-Za-z0-9_]*)=[ \t]*
          (?: (?P<bare>[^\s'"\#][^\r\n\#]*) (?:(?<=\s)\#[^\r\n]*)?
            | "(?P<double>[^"\\\r\n]*)"[ \t]*(?:\#[^\r\n]*)?
            | '(?P<single>[^'\\\r\n]*)'[ \t]*(?:\#[^\r\n]*)?
          )?
        )?(?:\n|\Z)""",
    re.VERBOSE,
)

# Compose passes on keys with dashes, dots and indices. Anything else is a line
# that is no assignment, such as the inside of a private key without quotes:
# python-dotenv makes a key of it, and keys are printed.
_KEY = re.compile(r"\w[\w.\-\[\]]*")

COMMENTED = re.compile(r"^[^\S\r\n]*#[^\S\r\n]*(?:export[^\S\r\n]+)?([A-Za-z_]\w*)=", re.MULTILINE)
"""An assignment that is commented out, as an example has an optional one: ``# KEY=v``."""

_ASSIGNED = re.compile(
    r"^[^\S\r\n]*(?:#[^\S\r\n]*)?(?:export[^\S\r\n]+)?([A-Za-z_]\w*)[^\S\r\n]*=", re.MULTILINE
)

_SHORTEST_TOKEN = 12

_EXAMPLE_ENDINGS = ("example", "sample", "template", "dist")


@dataclass(frozen=True, slots=True)
class Entry:
    """One assignment of an env file."""

    key: str
    """``line 4`` for a line without ``=`` that may be a piece of a value."""
    value: str | None = field(repr=False)
    """None for a bare ``KEY``, which takes the value of the shell; "" is empty."""
    line: int
    """Where it begins, counted from 1."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that one env file assigns more than once; the last one counts."""

    key: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EnvFile:
    """An env file's assignments in their order, duplicates included."""

    path: Path
    entries: tuple[Entry, ...]
    commented: frozenset[str] = frozenset()
    """Keys of assignments that are commented out, such as ``# LOG_FORMAT=json``."""

    @property
    def duplicates(self) -> tuple[Duplicate, ...]:
        """The keys that are there more than once, in the order of their first lines."""
        lines: dict[str, list[int]] = {}
        for entry in self.entries:
            lines.setdefault(entry.key, []).append(entry.line)
        return tuple(Duplicate(key, tuple(at)) for key, at in lines.items() if len(at) > 1)

    @property
    def values(self) -> Mapping[str, str | None]:
        """Key to value; of duplicates the last one counts."""
        return {entry.key: entry.value for entry in self.entries}


@dataclass(frozen=True, slots=True)
class ExampleGap:
    """How env files and the example that documents them differ in keys."""

    example: Path
    paths: tuple[Path, ...]
    """The env files that it is the example of, in the order of their merging."""
    missing: tuple[str, ...]
    """Keys that only the example has, in its order; one commented out is optional."""
    undocumented: tuple[str, ...]
    """Keys that only the env files have, sorted."""


def read(path: Path) -> EnvFile:
    """Read the env file *path*.

    Raises:
        MissingFile: it is not there.
        ConfigError: it is no file, or a line is no assignment.
        UsageError: a line has a piece of a value for a key.
        CouldNotTell: we may not read it, it is encrypted, or some of its values are.

    """
    return parse(path, content(path))


def content(path: Path) -> bytes:
    """The bytes of the env file *path*. Raises what `read` raises of a file as a whole."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _missing(path) from error
    except PermissionError as error:
        raise CouldNotTell(f"{path} may not be read by you.", hint=f"ls -l {path}") from error
    except (OSError, ValueError) as error:  # no path has a zero byte
        why = getattr(error, "strerror", error)
        raise ConfigError(
            f"{path} can't be read.", cause=f"{why}.", hint=f"ls -l {path}"
        ) from error


def require_text(path: Path) -> None:
    """Raise what `read` raises of the env file *path* as a whole; no line is read."""
    _text(path, content(path))


def parse(path: Path, raw: bytes) -> EnvFile:
    """Parse *raw*, the content of *path*. Raises what `read` raises."""
    text = _text(path, raw)
    entries = tuple(Entry(*found) for found in _assignments(path, text))
    return EnvFile(path, entries, frozenset(COMMENTED.findall(text)))


def merged(paths: Iterable[Path]) -> Mapping[str, str | None]:
    """The values of several files; a later one overrides an earlier one.

    Raises:
        MissingFile: one is not there, or none is named: comparing nothing
            must not look like finding nothing.

    """
    return {key: value for path in _some(paths) for key, value in read(path).values.items()}


def variables(paths: Iterable[Path], root: Path) -> Mapping[str, Variable]:
    """The same as `merged`, each value with the file and the line that decided it.

    Files are named relative to *root*, if they are under it. Raises what `merged` raises.
    """
    found: dict[str, Variable] = {}
    for path in _some(paths):
        name = _named(path, root)
        for key, value, line in _assignments(path, _text(path, content(path))):
            found[key] = Variable(value, Source("env-file", name, line))
    return found


def example_of(path: Path) -> Path | None:
    """The file that documents the keys of *path*, if there is one beside it.

    Its own (``.env.ci.example``) wins over the one for all (``.env.example``,
    ``example.env``). An example has none.
    """
    if not path.name or _is_example(path):
        return None
    own = (f"{path.name}.{ending}" for ending in _EXAMPLE_ENDINGS)
    common = (f".env.{ending}" for ending in _EXAMPLE_ENDINGS)
    beside = (f"{ending}.env" for ending in _EXAMPLE_ENDINGS)
    candidates = (path.with_name(name) for name in (*own, *common, *beside))
    return next((one for one in candidates if os.path.isfile(one)), None)  # noqa: PTH113 - a name too long


def example_gaps(paths: Iterable[Path]) -> tuple[ExampleGap, ...]:
    """The keys that env files and their examples do not share, one gap an example.

    Files with the same example are taken as merged. Only keys are compared: a
    placeholder is no difference. Raises what `read` raises.
    """
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        if example := example_of(path):
            groups.setdefault(example, []).append(path)
    gaps = (_gap(example, tuple(group)) for example, group in groups.items())
    return tuple(gap for gap in gaps if gap.missing or gap.undocumented)


def _gap(example: Path, paths: tuple[Path, ...]) -> ExampleGap:
    documented = read(example)
    ours = merged(paths)
    return ExampleGap(
        example,
        paths,
        missing=tuple(key for key in documented.values if key not in ours),
        undocumented=tuple(sorted(ours.keys() - documented.values.keys() - documented.commented)),
    )


def _is_example(path: Path) -> bool:
    return any(f".{e}." in f".{path.name}." for e in _EXAMPLE_ENDINGS)


def _named(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _some(paths: Iterable[Path]) -> tuple[Path, ...]:
    some = tuple(paths)
    if not some:
        raise MissingFile(
            "There is no env file to compare.",
            cause="None is configured, and none was found by convention.",
            hint="set env-file in [tool.unstale.environments.NAME] of pyproject.toml",
        )
    return some


def _text(path: Path, raw: bytes) -> str:
    _refuse_encrypted_file(path, raw)
    return _decode(path, raw)


def _missing(path: Path) -> MissingFile:
    example = path.with_name(f"{path.name}.example")
    if os.path.exists(example):  # noqa: PTH110 - a name too long is none, and no error
        return MissingFile(
            f"There is no env file {path}.",
            cause=f"Only its example is there: {example}.",
            hint=f"cp {example} {path}, and fill it in",
        )
    return MissingFile(
        f"There is no env file {path}.",
        cause="It is named, and it has no example beside it.",
        hint="create it, or mend env-file",
    )


def _decode(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8.",
            cause="An editor of Windows, or a redirection there, may have saved it as UTF-16.",
            hint="save the file as UTF-8",
            fault=Fault.CONTENT,
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(
            f"{path}, line {line}: a zero byte.",
            cause="It is not a text file.",
            hint="save the file as UTF-8",
            fault=Fault.CONTENT,
        )
    return text


def _assignments(path: Path, text: str) -> Iterator[tuple[str, str | None, int]]:
    """Key, value and line of each assignment; tuples, for there may be very many."""
    # newline=None translates line ends, as python-dotenv does when it opens a file.
    lines = io.StringIO(text, newline=None).getvalue()
    at, line, end = 0, 1, len(lines)
    neighbours = _Neighbours(path, lines)
    gap = 0  # the last line that assigns nothing, or something that is cut off
    reader: Reader | None = None
    while at < end:
        if simple := _SIMPLE.match(lines, at):
            at = simple.end()
            key, bare, double, single = simple.groups()
            if key:
                value = bare.rstrip() if bare else double or single or ""
                yield _checked(path, key, value, line)
                gap = line if _is_gap(value) else gap
            line += 1
            continue
        reader = reader or _reader(lines)
        binding = _bound(reader, at, line)
        at, line = reader.position.chars, reader.position.line
        if binding.error or binding.key:
            key, value, place = found = _read_binding(path, binding)
            if value is None:
                is_below_a_gap = gap == place - 1 and gap > 0
                found = _bare(path, key, place, neighbours, is_below_a_gap=is_below_a_gap)
            elif _is_gap(value):
                gap = place
            yield found


def _is_gap(value: str) -> bool:
    return not value or value.endswith("\\")


def _bare(
    path: Path, key: str, line: int, neighbours: _Neighbours, *, is_below_a_gap: bool
) -> tuple[str, None, int]:
    """A line without ``=``: its name, or only its number if it may be a piece of a value."""
    match of_bare(key, neighbours, is_below_a_gap=is_below_a_gap):
        case "name":
            return key, None, line
        case "doubtful":
            return placeholder(line), None, line
        case "value":
            raise _looks_like_a_value(path, line)
        case _ as never:
            assert_never(never)


def _reader(text: str) -> Reader:
    # An import of its own: nothing else needs python-dotenv to be there.
    from dotenv.parser import Reader

    return Reader(io.StringIO(text))


def _bound(reader: Reader, at: int, line: int) -> Binding:
    """What python-dotenv's parser makes of the text from the offset *at* on."""
    from dotenv.parser import parse_binding

    reader.position.chars, reader.position.line = at, line
    return parse_binding(reader)


class _Neighbours:
    """The names that others assign: this text, its example and the env files beside it."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._names: frozenset[str] | None = None

    def __contains__(self, key: object) -> bool:
        if self._names is None:
            self._names = frozenset(name for t in self._texts() for name in _ASSIGNED.findall(t))
        return key in self._names

    def _texts(self) -> Iterator[str]:
        yield self._text
        for one in sorted(self._path.parent.glob("*env*")):
            if one.name != self._path.name and re.search(r"(?:^|\.)env(?:\.|$)", one.name):
                with contextlib.suppress(OSError):
                    yield one.read_text(encoding="utf-8", errors="replace")


def _read_binding(path: Path, binding: Binding) -> tuple[str, str | None, int]:
    line = _line(binding)
    if binding.error or binding.key is None or not _KEY.fullmatch(binding.key):
        raise _not_an_assignment(path, line)
    return _checked(path, binding.key, binding.value, line)


def _checked(path: Path, key: str, value: str | None, line: int) -> tuple[str, str | None, int]:
    if value is not None and _is_suspicious(key, value) and is_value(key, value):
        raise _looks_like_a_value(path, line)
    if value is not None and value.startswith(_ENCRYPTED_HEADS):
        raise _encrypted_value(path, key, value, line)
    return key, value, line


def _is_suspicious(key: str, value: str) -> bool:
    """Whether *key* is worth a closer look: most are not, and a file may have very many."""
    is_constant = key.isupper() and "_" in key
    return not is_constant and (len(key) >= _SHORTEST_TOKEN or value in ("", "="))


def _line(binding: Binding) -> int:
    # python-dotenv counts the blank lines before an assignment as part of it.
    text = binding.original.string
    if not text[:1].isspace():
        return binding.original.line
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", blank))


def _not_an_assignment(path: Path, line: int) -> ConfigError:
    return ConfigError(
        f"{path}, line {line}: not KEY=value.",
        cause="A quote may be open, or a value of several lines is not in quotes.",
        hint="mend that line",
        fault=Fault.CONTENT,
    )


def _looks_like_a_value(path: Path, line: int) -> UsageError:
    # No ConfigError, which is passed over where compose can read what we can't: compose
    # takes the value for a key as well.
    return UsageError(
        f"{path}, line {line}: not KEY=value, but what looks like a piece of a value.",
        cause="Taken for a key, it would be printed.",
        hint="put the whole value behind its key, in quotes if it has several lines",
        fault=Fault.CONTENT,
    )


def _refuse_encrypted_file(path: Path, raw: bytes) -> None:
    for head, tool in _ENCRYPTED_FILE.items():
        if raw.startswith(head):
            raise CouldNotTell(
                f"{path} is encrypted by {tool}.", hint="decrypt it, then run the same again"
            )


def _encrypted_value(path: Path, key: str, value: str, line: int) -> CouldNotTell:
    tool = next(tool for head, tool in _ENCRYPTED_VALUE.items() if value.startswith(head))
    return CouldNotTell(
        f"{path}, line {line}: {key} is encrypted by {tool}.",
        cause="Equal values look different when they are encrypted twice.",
        hint="decrypt the file, then run the same again",
    )
