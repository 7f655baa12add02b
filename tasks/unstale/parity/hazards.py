"""Dialect hazards: keys of an env file that its readers do not read alike. Pure.

Compose, python-dotenv (``load_dotenv``, pydantic's ``env_file=``) and
``docker run --env-file`` have three dialects. There is no parser of ours for
the first two: python-dotenv's values are compared with those that compose
itself resolves. No value is in any hazard, and no text of a line.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

from unstale.compose import unescaped
from unstale.errors import ConfigError
from unstale.parity import keys

if TYPE_CHECKING:
    from dotenv.parser import Binding

__all__ = [
    "Answer",
    "Ask",
    "EnvText",
    "Hazard",
    "Reader",
    "Refused",
    "docker_run_values",
    "hazards",
    "is_plain",
    "request",
    "resolved",
]

Reader = Literal["compose", "python-dotenv", "docker run --env-file"]

Values = Mapping[str, str | None]

Ask = Callable[[Mapping[str, object]], Mapping[str, object]]
"""`docker compose --file - config --format json` of a model; raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """A key, or a line, that two readers of one env file do not read alike."""

    key: str
    """Empty where the file has no such name at the start of a line: it may be a secret's."""
    file: str
    line: int | None
    """Counted from 1; None where no line can be named."""
    kind: str
    """What the readers make of it, without a value."""
    readers: tuple[Reader, Reader]
    """The second is ``docker run --env-file`` only for a file with `EnvText.docker_run`."""


@dataclass(frozen=True, slots=True)
class EnvText:
    """An env file as bytes, and what its container gets besides."""

    path: Path
    """Absolute: compose is asked from another folder."""
    name: str
    """How the report calls it: relative to the project, with slashes."""
    raw: bytes = field(repr=False)
    docker_run: bool = False
    """Whether `docker run --env-file` reads it as well."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A reader refuses the whole file."""

    line: int | None = None
    key: str = ""


Answer = Values | Refused
"""What compose makes of one env file."""


# A file of nothing but such lines means the same to compose and to
# python-dotenv; tests/suite/oracle/dialect proves it against both. It needs no question.
_PLAIN_VALUE = r"[ !%&(-\[\]-~]*"
_PLAIN_QUOTED = r"""(?:"[ !#%&(-\[\]-~]*"|'[ !#%&(-\[\]-~]*')[ ]*"""
_PLAIN_LINE = re.compile(
    rf"(?:[ ]*|\#[^\r\n\x00]*"
    rf"|(?P<key>[A-Za-z_][A-Za-z0-9_]*)=(?:(?P<quoted>{_PLAIN_QUOTED})|(?P<bare>{_PLAIN_VALUE})))\r?"
)


def is_plain(text: str) -> bool:
    """Say whether compose and python-dotenv certainly read *text* alike.

    False is no finding: only asking tells.
    """
    return all(_PLAIN_LINE.fullmatch(line) for line in text.split("\n"))


def request(paths: Sequence[Path]) -> dict[str, object]:
    """The compose model that has one service for each of *paths*, in their order.

    To be given to compose in an empty folder, so that no ``.env`` is read besides.
    """
    services = {
        # Compose expands dollar signs of its own file, not of a folder's name.
        f"f{number}": {"image": "x", "env_file": [str(path).replace("$", "$$")]}
        for number, path in enumerate(paths)
    }
    return {"services": services}


def resolved(paths: Sequence[Path], ask: Ask) -> Mapping[Path, Answer]:
    """What compose makes of each of *paths*: one question, if it refuses none.

    Else each file is asked for alone. The words of a refusal quote the file:
    nothing but a line's number and a variable's name is taken from them.
    """
    if not paths:
        return {}
    try:
        return _answers(paths, ask(request(paths)))
    except ConfigError as error:
        if len(paths) == 1:
            return {paths[0]: _refused(f"{error.what}\n{error.cause}")}
    return {path: answer for one in paths for path, answer in resolved([one], ask).items()}


def hazards(
    files: Sequence[EnvText], ask: Ask, *, environ: Mapping[str, str] | None = None
) -> tuple[Hazard, ...]:
    """The keys of *files* that their readers do not read alike, by file and line.

    *ask* is called once for all files that are not plain, and not at all where
    all are. *environ* is what compose's own process has, apart from which both
    readers would differ by the shell alone.
    """
    around = environ or {}
    asked = [file.path for file in files if not _is_plain_file(file.raw)]
    answers = resolved(asked, ask)
    found = (one for file in files for one in _of_file(file, answers.get(file.path), around))
    return tuple(sorted(found, key=lambda h: (h.file, h.line or 0, h.key, h.readers)))


def _of_file(file: EnvText, answer: Answer | None, environ: Mapping[str, str]) -> Iterator[Hazard]:
    if answer is None:
        if file.docker_run:
            yield from _unlike_plain(file)
        return
    text = file.raw.decode(errors="replace")
    scan = _Scan(file.name, text)
    values = _dotenv_values(scan.bindings, environ)
    yield from _unlike(scan, answer, values, is_utf8=_is_utf8(file.raw))
    if file.docker_run:
        yield from _unlike_docker_run(scan, answer, file.raw, environ)


# What python-dotenv makes of it


def _dotenv_values(bindings: Iterable[Binding], environ: Mapping[str, str]) -> Values:
    """The values that ``dotenv_values`` gives, which itself takes quadratic time.

    It copies the whole environment for every key; the atoms are its own.
    """
    from dotenv.variables import parse_variables

    values: dict[str, str | None] = {}
    around: dict[str, str | None] = dict(environ)
    for binding in bindings:
        if binding.key is None:
            continue
        value = binding.value
        if value is not None and "${" in value:
            value = "".join(atom.resolve(around) for atom in parse_variables(value))
        values[binding.key] = around[binding.key] = value
    return values


class _Scan:
    """A text, and the lines at which python-dotenv sees assignments."""

    def __init__(self, name: str, text: str) -> None:
        from dotenv.parser import parse_stream

        self.name = name
        # Opened as python-dotenv opens a file: it translates line ends. A byte
        # order mark is left to it as well, for older ones make it part of a key.
        self.bindings = tuple(parse_stream(io.StringIO(text, newline=None)))
        self.text = text = text.removeprefix("\ufeff")
        self._by_key = {b.key: b for b in self.bindings if b.key is not None}
        self._lines = dict(_name_lines(text))
        self._rows = text.split("\n")

    def raw(self, key: str) -> str:
        """The text from the key's line to the end of its assignment."""
        if binding := self._by_key.get(key):
            return binding.original.string.strip()
        line = self._lines.get(key)
        return self.line(line) if line else ""

    def place(self, key: str) -> int | None:
        """The line of the last assignment of *key*."""
        if (line := self._lines.get(key)) is not None:
            return line
        binding = self._by_key.get(key)
        return None if binding is None else _first_line(binding)

    def is_named(self, key: str) -> bool:
        """Whether *key* is a name that stands at the start of a line of its own.

        A tail behind a quote is a name to compose, and may be half of a password.
        """
        return key in self._lines

    def line(self, number: int) -> str:
        """The text of a line, empty if there is none."""
        return self._rows[number - 1] if number <= len(self._rows) else ""


_NAMED_LINE = re.compile(
    r"^[^\S\n]*(?:export[^\S\n]+)?['\"]?(\w[\w.\-\[\]]*)['\"]?[^\S\n]*(?:[=:](.*)|$)",
    re.MULTILINE,
)


def _name_lines(text: str) -> Iterator[tuple[str, int]]:
    """Names at the start of a line, in their order; a bare one is alone on its line."""
    line, at = 1, 0
    for found in _NAMED_LINE.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        if not (_is_padding(found[1], found[2]) or keys.is_value(found[1], found[2])):
            yield found[1], line


def _is_padding(name: str, rest: str | None) -> bool:
    """Whether it may be the last line of a private key in base64."""
    return (
        rest is not None
        and rest.strip() in ("", "=")
        and name
        not in (
            name.upper(),
            name.lower(),
        )
    )


def _first_line(binding: Binding) -> int:
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


# Compose and python-dotenv


def _answers(paths: Sequence[Path], model: Mapping[str, Any]) -> Mapping[Path, Answer]:
    services = model["services"]
    return {
        path: _values(services[f"f{number}"].get("environment") or {})
        for number, path in enumerate(paths)
    }


def _values(environment: Values) -> Values:
    # Also a key may have a dollar sign.
    return {unescaped(key): unescaped(value) for key, value in environment.items()}


_LINE = re.compile(r"\bline (\d{1,9}):")
_REQUIRED = re.compile(r"required variable (\w+) is missing a value")


def _refused(words: str) -> Refused:
    line = _LINE.search(words)
    key = _REQUIRED.search(words)
    return Refused(int(line[1]) if line else None, key[1] if key else "")


def _unlike(scan: _Scan, answer: Answer, values: Values, *, is_utf8: bool) -> Iterator[Hazard]:
    readers: tuple[Reader, Reader] = ("compose", "python-dotenv")
    match answer:
        case Refused():
            yield _refusal(scan, answer, readers)
        case Mapping():
            if not is_utf8:
                yield Hazard("", scan.name, None, _NOT_UTF8, readers)
            for key in _differing(answer, values):
                yield _hazard(scan, key, _kind(scan.raw(key), key, answer, values), readers)
        case _ as never:
            assert_never(never)


_NOT_UTF8 = "python-dotenv refuses a file that is not UTF-8"


def _differing(one: Values, other: Values) -> Iterator[str]:
    """Keys whose values are not the same; one without a value gives nothing, like a missing one."""
    yield from (k for k in {**one, **other} if one.get(k) != other.get(k))


def _hazard(scan: _Scan, key: str, kind: str, readers: tuple[Reader, Reader]) -> Hazard:
    name = key if scan.is_named(key) else ""
    return Hazard(name, scan.name, scan.place(key), kind, readers)


def _refusal(scan: _Scan, refused: Refused, readers: tuple[Reader, Reader]) -> Hazard:
    line, at = refused.line, _first_error(scan)
    if at is not None and (line is None or at < line):
        line = at  # of an open quote compose names the end
    if line is None:
        line = _bad_expansion(scan.text, refused.key)
    return Hazard(_key_of_line(scan, line), scan.name, line, "compose refuses the file", readers)


def _first_error(scan: _Scan) -> int | None:
    return next((_first_line(binding) for binding in scan.bindings if binding.error), None)


_GOOD_EXPANSION = re.compile(r"\$\{\w+(?::?[-+][^}]*)?\}")


def _bad_expansion(text: str, required: str) -> int | None:
    """The first line with a ``${`` that compose would refuse, by its form."""
    for number, line in enumerate(text.split("\n"), start=1):
        rest = _GOOD_EXPANSION.sub("", line.replace("$$", ""))
        if "${" in rest and (not required or f"${{{required}" in rest):
            return number
    return None


def _key_of_line(scan: _Scan, line: int | None) -> str:
    text = scan.line(line) if line else ""
    return next((key for key, _ in _name_lines(text) if "=" in text), "")


# Why they differ, by the shape of the text: for a reader, not for a decision.

_SHAPES: tuple[tuple[str, str], ...] = (
    (r"(?s)=\s*'.*\$\{", "python-dotenv expands ${} within single quotes, compose does not"),
    (r"\\\$", "a backslash before `$` is read differently"),
    (r"\$\$", "compose makes one `$` of two"),
    (r"\$\{\w*:?[-+?]|\$\{[^}]*\$\{", "this form of ${} is expanded differently"),
    (r"\$\{", "${} is expanded differently"),
    (r"\$", "`$` without braces is expanded by compose only"),
    (r"^(?:export\s+)?[^\s=:]+\s*:", "`KEY: value` is an assignment to compose only"),
    (r"""=\s*(["']).*\1[^\S\n]*[^\s#]""", "text after a closing quote is read differently"),
    (r"\s#", "what is a comment is read differently"),
    (r"\r", "line ends are read differently"),
    (r"\\", "a backslash is read differently"),
    (r"""["']""", "quotes are read differently"),
)


def _kind(raw: str, key: str, compose: Values, dotenv: Values) -> str:
    if key in dotenv and dotenv[key] is None:
        return "a key without `=` takes the shell's value by compose only"
    for pattern, words in _SHAPES:
        if re.search(pattern, raw):
            return words
    if key not in dotenv:
        return "only compose reads it as a key"
    if key not in compose:
        return "only python-dotenv reads it as a key"
    return "the value is read differently"


# docker run --env-file

_SPACES = " \t"


def docker_run_values(raw: bytes, environ: Mapping[str, str]) -> Answer:
    """What ``docker run --env-file`` makes of *raw*.

    Nothing is quoted, expanded or a comment behind a value, so it is read by
    line. Source: docker/cli, ``pkg/kvfile``.
    """
    values: dict[str, str | None] = {}
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            return Refused(number)
        if not text or text.startswith("#"):
            continue
        key, has_value, value = text.partition("=")
        if not key or any(space in key for space in _SPACES):
            return Refused(number)
        if has_value:
            values[key] = value
        elif key in environ:
            values[key] = environ[key]
    return values


_WITH_DOCKER_RUN: tuple[Reader, Reader] = ("compose", "docker run --env-file")


def _unlike_plain(file: EnvText) -> Iterator[Hazard]:
    """Of a plain file the lines tell all: only quotes and spaces make a difference."""
    last: dict[str, tuple[int, re.Match[str]]] = {}
    for number, line in enumerate(file.raw.decode("utf-8-sig").split("\n"), start=1):
        found = _PLAIN_LINE.fullmatch(line)
        if found and found["key"]:
            last[found["key"]] = number, found
    for key, (number, found) in last.items():
        if found["quoted"] is not None or found["bare"] != found["bare"].strip(" "):
            name = "" if keys.is_value(key, found["bare"]) else key
            kind = _docker_run_kind(found[0])
            yield Hazard(name, file.name, number, kind, _WITH_DOCKER_RUN)


def _unlike_docker_run(
    scan: _Scan, other: Answer, raw: bytes, environ: Mapping[str, str]
) -> Iterator[Hazard]:
    readers = _WITH_DOCKER_RUN
    answer = docker_run_values(raw, environ)
    if isinstance(answer, Refused):
        key = _key_of_line(scan, answer.line)
        kind = "docker run --env-file refuses the file"
        yield Hazard(key, scan.name, answer.line, kind, readers)
    elif not isinstance(other, Refused):
        for key in _differing(other, answer):
            yield _hazard(scan, key, _docker_run_kind(scan.raw(key)), readers)


_DOCKER_RUN_SHAPES: tuple[tuple[str, str], ...] = (
    (r"""=[^\S\n]*["']""", "quotes are kept by docker run --env-file"),
    (r"\$", "`$` is not expanded by docker run --env-file"),
    (r"\s#", "a comment behind a value is kept by docker run --env-file"),
)


def _docker_run_kind(raw: str) -> str:
    for pattern, words in _DOCKER_RUN_SHAPES:
        if re.search(pattern, raw):
            return words
    return "docker run --env-file takes the rest of the line as it is"


def _is_plain_file(raw: bytes) -> bool:
    return _is_utf8(raw) and is_plain(raw.decode("utf-8-sig"))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
