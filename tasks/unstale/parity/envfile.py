"""Env files as python-dotenv reads them, line by line and without expansion.

Two files are compared as they are written, so ``${NAME}`` stays what it is.
What a container really gets is another question, which only compose answers.
No message of this module quotes a line: it may hold a secret.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.errors import ConfigError, CouldNotTell, MissingFile

if TYPE_CHECKING:
    from dotenv.parser import Binding

__all__ = ["Entry", "EnvFile", "merged", "parse", "read"]

_ENCRYPTED_FILE = {
    b"\0GITCRYPT\0": "git-crypt",
    b"$ANSIBLE_VAULT;": "ansible-vault",
    b"age-encryption.org/": "age",
    b"-----BEGIN AGE ENCRYPTED FILE-----": "age",
    b"-----BEGIN PGP MESSAGE-----": "PGP",
}
_ENCRYPTED_VALUE = {"encrypted:": "dotenvx", "ENC[AES256_GCM,": "sops"}

# Compose passes on keys with dashes, dots and indices. Anything else is a line
# that is no assignment, such as the inside of a private key without quotes:
# python-dotenv makes a key of it, and keys are printed.
_KEY = re.compile(r"\w[\w.\-\[\]]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One assignment of an env file."""

    key: str
    value: str | None = field(repr=False)
    """None for a bare ``KEY``, which takes the value of the shell; "" is empty."""
    line: int
    """Where it begins, counted from 1."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """An env file's assignments in their order, duplicates included."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def values(self) -> Mapping[str, str | None]:
        """Key to value; of duplicates the last one counts."""
        return {entry.key: entry.value for entry in self.entries}


def read(path: Path) -> EnvFile:
    """Read the env file *path*.

    Raises:
        MissingFile: it is not there.
        ConfigError: it can't be read, or a line is no assignment.
        CouldNotTell: it is encrypted, or some of its values are.

    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read.", cause=f"{error.strerror}.", hint=f"ls -l {path}"
        ) from error
    return parse(path, raw)


def parse(path: Path, raw: bytes) -> EnvFile:
    """Parse *raw*, the content of *path*. Raises what `read` raises."""
    _refuse_encrypted_file(path, raw)
    entries = tuple(_entries(path, _decode(path, raw)))
    for entry in entries:
        _refuse_encrypted_value(path, entry)
    return EnvFile(path, entries)


def merged(paths: Iterable[Path]) -> Mapping[str, str | None]:
    """The values of several files; a later one overrides an earlier one.

    Raises:
        MissingFile: one is not there, or none is named: comparing nothing
            must not look like finding nothing.

    """
    files = tuple(read(path) for path in paths)
    if not files:
        raise MissingFile(
            "There is no env file to compare.",
            cause="None is configured, and none was found by convention.",
            hint="set env-file in [tool.unstale.environments.NAME] of pyproject.toml",
        )
    return {key: value for file in files for key, value in file.values.items()}


def _missing(path: Path) -> MissingFile:
    example = path.with_name(f"{path.name}.example")
    if example.exists():
        return MissingFile(
            f"There is no env file {path}.",
            cause=f"Only its example is there: {example}.",
            hint=f"cp {example} {path}, and fill it in",
        )
    return MissingFile(f"There is no env file {path}.", hint="create it, or mend env-file")


def _decode(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8.", hint="save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(f"{path}, line {line}: a zero byte.", cause="It is not a text file.")
    return text


def _entries(path: Path, text: str) -> Iterator[Entry]:
    # An import of its own: nothing else needs python-dotenv to be there.
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        line = _line(binding)
        if binding.error:
            raise _not_an_assignment(path, line)
        if binding.key is None:
            continue
        if not _KEY.fullmatch(binding.key):
            raise _not_an_assignment(path, line)
        yield Entry(binding.key, binding.value, line)


def _line(binding: Binding) -> int:
    # python-dotenv counts the blank lines before an assignment as part of it.
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", blank))


def _not_an_assignment(path: Path, line: int) -> ConfigError:
    return ConfigError(
        f"{path}, line {line}: not KEY=value.",
        cause="A quote may be open, or a value of several lines is not in quotes.",
        hint="mend that line",
    )


def _refuse_encrypted_file(path: Path, raw: bytes) -> None:
    for head, tool in _ENCRYPTED_FILE.items():
        if raw.startswith(head):
            raise CouldNotTell(
                f"{path} is encrypted by {tool}.", hint="decrypt it, then run the same again"
            )


def _refuse_encrypted_value(path: Path, entry: Entry) -> None:
    for head, tool in _ENCRYPTED_VALUE.items():
        if entry.value is not None and entry.value.startswith(head):
            raise CouldNotTell(
                f"{path}, line {entry.line}: {entry.key} is encrypted by {tool}.",
                cause="Equal values look different when they are encrypted twice.",
                hint="decrypt the file, then run the same again",
            )
