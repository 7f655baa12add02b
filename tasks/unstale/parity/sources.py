"""Who decided a value that a container gets: file and line. Pure.

Compose says what a value is, and with ``--no-interpolate`` how it is written. From
that, from the env files and from the compose files' lines follows where it is from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unstale.compose import MODEL
from unstale.parity.envfile import Entry, EnvFile
from unstale.parity.model import Item, ServiceFacts, Source, SourceKind, Variable
from unstale.parity.written import Written, as_variables, texts, written
from unstale.parity.yaml_lines import ComposeLines, Place

__all__ = [
    "Sources",
    "Undefined",
    "attach",
    "chain",
    "definitions",
    "shown",
    "undefined",
]

# Compose's raw model is JSON of many shapes; it is narrowed here.
Json = Mapping[str, Any]

_OPERATOR = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<operator>:?[-+?])?(?P<rest>.*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Undefined:
    """A ``$…`` that nothing defines, so that compose puts nothing there.

    Its name is not in here: behind an unescaped ``$`` it is the rest of a password.
    """

    key: str
    """The variable whose value lacks something; empty where it is no variable's."""
    source: Source


@dataclass(frozen=True, slots=True)
class _Reference:
    """A ``${VAR:-default}`` of a text."""

    name: str
    operator: str
    """``-``, ``:-``, ``+`` …; empty for none."""
    rest: str = field(repr=False)


class Sources:
    """The sources of one environment's values.

    Args:
        raw: the model that compose prints with ``--no-interpolate``.
        read: an env file of a service; None if it is not there or can't be read.
        interpolation: what the files that compose is given by ``--env-file`` (without
            any: ``.env`` in the project's folder) define; see `definitions`.
        lines: the lines of the compose files.
        root: the project's folder; files are named relative to it.
        shell: the variables that compose gets from the shell, which win.

    """

    def __init__(
        self,
        raw: Json,
        read: Callable[[Path], EnvFile | None],
        interpolation: Mapping[str, Variable],
        lines: ComposeLines,
        root: Path,
        shell: Collection[str] = (),
    ) -> None:
        self._raw = raw
        self._services: Json = raw.get("services") or {}
        self._read = read
        self._interpolation = interpolation
        self._lines = lines
        self._root = root
        self._shell = shell
        self._files: dict[Path, EnvFile | None] = {}
        self._chains: dict[str, Mapping[str, Source]] = {}
        self._written: dict[str, Mapping[str, str | None]] = {}

    def of(self, service: str, item: Item) -> Source | None:
        """Who decided *item* of *service*; None where no file of the project did."""
        raw = self._services.get(service)
        if raw is None:
            return None
        if item.field == "environment":
            return self.variable(service, item.item)
        for path in _paths(item):
            if (place := self._lines.of(service, *path)) is not None:
                return self._decided("compose", place, written(service, raw, item, path))
        return None

    def variable(self, service: str, name: str) -> Source | None:
        """Who decided the variable *name* of *service*; None: its image, or nobody."""
        environment = self._environment(service)
        if name not in environment:
            return self._chain(service).get(name)
        value = environment[name]
        if value is None and name in self._shell:
            return Source("interpolation", variable=name)
        if value is None and name in self._interpolation:
            return self._defined(name)
        place = self._lines.of(service, "environment", name)
        return self._decided("environment", place, Written((value or "",)))

    @MODEL
    def interpolated(self) -> frozenset[str]:
        """Variables that the compose files make something else of than a variable of that name."""
        rest = {key: one for key, one in self._raw.items() if key not in ("services", "name")}
        found = set(self._names(texts(rest)))
        for kind in ("secrets", "configs"):
            defined = (self._raw.get(kind) or {}).values()
            found.update(one["environment"] for one in defined if (one or {}).get("environment"))
        found.update(*map(self._taken, self._services))
        return frozenset(found.union(self._in_env_files()))

    def _in_env_files(self) -> Iterator[str]:
        """The names that values of env files are made of."""
        pairs = [(key, one.value) for key, one in self._interpolation.items()]
        for one in self._services.values():
            for path in chain(one or {}, self._interpolation):
                pairs += [(entry.key, entry.value) for entry in self._entries(path)]
        for key, value in pairs:
            yield from (name for name in self._names([value or ""]) if name != key)

    def _taken(self, service: str) -> Iterator[str]:
        """The names in the texts of *service*, but for ``KEY: ${KEY}``."""
        for key, value in self._environment(service).items():
            yield from (name for name in self._names([value or ""]) if name != key)
        raw: Json = self._services[service] or {}
        yield from self._names(texts({k: v for k, v in raw.items() if k != "environment"}))
        build = raw.get("build")
        arguments = as_variables(build.get("args") if isinstance(build, Mapping) else None)
        yield from (name for name, value in arguments.items() if value is None)

    def _environment(self, service: str) -> Mapping[str, str | None]:
        if service not in self._written:
            raw = self._services.get(service) or {}
            self._written[service] = as_variables(raw.get("environment"))
        return self._written[service]

    def _chain(self, service: str) -> Mapping[str, Source]:
        """Variable to where the env files of *service* define it; the last one counts."""
        if service not in self._chains:
            paths = chain(self._services.get(service) or {}, self._interpolation)
            self._chains[service] = {
                entry.key: Source("env-file", shown(path, self._root), entry.line)
                for path in paths
                for entry in self._entries(path)
                # A bare KEY is the shell's, and nothing if that lacks it.
                if entry.value is not None or entry.key in self._shell
            }
        return self._chains[service]

    def _entries(self, path: Path) -> tuple[Entry, ...]:
        if path not in self._files:
            self._files[path] = self._read(path)
        found = self._files[path]
        return found.entries if found else ()

    def _decided(self, kind: SourceKind, place: Place | None, text: Written) -> Source | None:
        """The source of *text*, which is written at *place*: it, or what it is made of."""
        file = shown(place.file, self._root) if place else ""
        names = tuple(dict.fromkeys(self._names(text.texts)))
        here = Source(kind, file, place.line if place else None, variables=names)
        parts = {
            one.name: replace(source, variables=names)
            for one in (o for t in text.texts if text.is_exact for o in _references(t))
            if (source := self._referred(one, here)) is not None
        }
        if len(parts) > 1:  # which of them made a difference, nobody can say
            return replace(here, kind="interpolation", variable=", ".join(parts))
        return next(iter(parts.values()), here if place else None)

    def _names(self, found: Iterable[str]) -> Iterator[str]:
        """The variables in the texts *found*, in their order, those of defaults included."""
        for text in found:
            for one in _references(text):
                # Else it may be the rest of a password, behind an unescaped $.
                if one.operator or one.name in self._interpolation or one.name in self._shell:
                    yield one.name
                yield from self._names([one.rest])

    def _referred(self, one: _Reference, here: Source) -> Source | None:
        if one.name in self._shell:
            return Source("interpolation", variable=one.name)
        if self._is_used(one):
            return self._defined(one.name)
        if one.operator in ("-", ":-"):
            return replace(here, kind="default", variable=one.name)
        # Not named: behind an unescaped $ it is the rest of a password.
        return None

    def _is_used(self, one: _Reference) -> bool:
        known = self._interpolation.get(one.name)
        # A bare KEY of an env file is the shell's, which has been asked.
        if known is None or known.value is None:
            return False
        return bool(known.value) or not one.operator.startswith(":")

    def _defined(self, name: str) -> Source:
        found = self._interpolation[name].source
        return Source("interpolation", found.file, found.line, variable=name)


@MODEL
def attach(facts: Iterable[ServiceFacts], sources: Sources) -> tuple[ServiceFacts, ...]:
    """*facts* with the source of each item; one that is known already stays."""
    return tuple(
        replace(one, items=tuple(_with_source(one.name, item, sources) for item in one.items))
        for one in facts
    )


def _with_source(service: str, item: Item, sources: Sources) -> Item:
    found = item.source or sources.of(service, item)
    return replace(item, source=found) if found else item


def definitions(files: Sequence[EnvFile], root: Path) -> Mapping[str, Variable]:
    """What *files* define together; a later one, and a later line, overrides."""
    return {
        entry.key: Variable(entry.value, Source("env-file", shown(file.path, root), entry.line))
        for file in files
        for entry in file.entries
    }


@MODEL
def chain(service: Json, interpolation: Mapping[str, Variable]) -> tuple[Path, ...]:
    """The env files of a *service* of the raw model, in the order they are read."""
    given = service.get("env_file") or ()
    entries = [given] if isinstance(given, str | Mapping) else given
    paths = (one if isinstance(one, str) else str(one.get("path") or "") for one in entries)
    return tuple(Path(_expanded(path, interpolation)) for path in paths if path)


@MODEL
def undefined(
    names: Collection[str], raw: Json, files: Iterable[EnvFile], lines: ComposeLines, root: Path
) -> tuple[Undefined, ...]:
    """Where the variables *names* are used of which compose warns that nothing sets them.

    *files* are the env files that compose read, those of services included.
    """
    wanted = frozenset(names)
    found = [
        *_undefined_in_files(wanted, files, root),
        *_undefined_in_services(wanted, raw, lines, root),
    ]
    return tuple(sorted(set(found), key=lambda u: (u.source.file, u.source.line or 0, u.key)))


def _undefined_in_files(
    names: frozenset[str], files: Iterable[EnvFile], root: Path
) -> Iterator[Undefined]:
    for file in files:
        for entry in file.entries:
            if _names_one(entry.value, names):
                yield Undefined(entry.key, Source("env-file", shown(file.path, root), entry.line))


def _undefined_in_services(
    names: frozenset[str], raw: Json, lines: ComposeLines, root: Path
) -> Iterator[Undefined]:
    for service, one in sorted((raw.get("services") or {}).items()):
        own = {**(one or {}), "environment": as_variables((one or {}).get("environment"))}
        for path, text in _texts(own, ()):
            place = lines.nearest(service, *path) if _names_one(text, names) else None
            if place:
                kind: SourceKind = "environment" if path[0] == "environment" else "compose"
                key = path[1] if kind == "environment" else ""
                yield Undefined(key, Source(kind, shown(place.file, root), place.line))


def _names_one(text: str | None, names: frozenset[str]) -> bool:
    return text is not None and any(
        one.name in names or _names_one(one.rest, names) for one in _references(text)
    )


def _texts(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, inner in sorted(value.items()):
                yield from _texts(inner, (*path, key))
        case list():
            for inner in value:
                yield from _texts(inner, (*path, inner) if isinstance(inner, str) else path)


def _paths(item: Item) -> Iterator[tuple[str, ...]]:
    """Where *item* may be written below its service, the surest place first."""
    name = item.item
    match item.field:
        case "image":
            yield from _dotted("image" if name == "name" else name)
        case "command":
            yield from _command_paths(name)
        case "volumes":
            # What is said of a mount stands behind its target.
            for one in (name, name.partition(" ")[0]):
                yield from ((key, one) for key in ("volumes", "tmpfs"))
            yield from (("volumes",), ("tmpfs",))
        case "healthcheck":
            yield from _dotted(f"healthcheck.{name}")
        case _:
            yield from _dotted(name.removesuffix("/tcp"))
            yield ("networks",) if name.startswith("network") else (name.partition(" ")[0],)


def _dotted(name: str) -> Iterator[tuple[str, ...]]:
    """The paths that ``labels.com.example`` may mean, then what holds them."""
    words = tuple(name.split("."))
    yield words
    for length in range(len(words) - 2, 0, -1):
        yield (*words[:length], ".".join(words[length:]))
    for length in range(len(words) - 1, 0, -1):
        yield words[:length]


def _command_paths(name: str) -> Iterator[tuple[str, ...]]:
    """Where a flag may be written: as it is called, or as ``--fsync=off`` or ``-cfsync=off``."""
    flag = name.removeprefix("entrypoint ").partition(" before ")[0]
    keys = ("entrypoint",) if name.startswith("entrypoint ") else ("command", "entrypoint")
    for one in (flag, f"--{flag}", f"-{flag}", f"-c{flag}"):
        yield from ((key, one) for key in keys)
    yield from ((key,) for key in keys)


def _references(text: str) -> Iterator[_Reference]:
    """The variables of *text* in their order, those of a default not among them."""
    at = text.find("$")
    while at != -1 and at + 1 < len(text):
        at += 1
        if text[at] == "{":
            end = _closing(text, at)
            if found := _OPERATOR.fullmatch(text[at + 1 : end]):
                yield _Reference(found["name"], found["operator"] or "", found["rest"])
            at = end
        elif name := _NAME.match(text, at):
            yield _Reference(name[0], "", "")
            at = name.end()
        else:  # $$ is a dollar sign
            at += 1
        at = text.find("$", at)


def _closing(text: str, opening: int) -> int:
    """Where the brace at *opening* is closed; the end if it is not."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return len(text)


def _expanded(text: str, values: Mapping[str, Variable]) -> str:
    """*text* with its ``${VAR}`` and ``${VAR:-default}``; for names of files only."""

    def value(one: _Reference) -> str:
        known = values.get(one.name)
        given = known.value if known else None
        empty = one.operator.startswith(":") and not given
        return _expanded(one.rest, values) if given is None or empty else given

    expanded, rest = "", text
    for one in _references(text):
        before, _, rest = rest.partition(_spelled(one, rest))
        expanded += before + value(one)
    return (expanded + rest).replace("$$", "$")


def _spelled(one: _Reference, text: str) -> str:
    braces = f"${{{one.name}{one.operator}{one.rest}}}"
    return braces if braces in text else f"${one.name}"


def shown(path: Path, root: Path) -> str:
    """*path* relative to the project at *root*, with slashes."""
    return Path(os.path.relpath(path, root)).as_posix()
