"""What a build target reads and where its image gets it. Pure.

Variables are followed as far as the Dockerfile alone settles them: an ENV does,
an ARG only on `scratch`, because an ENV of the base image would win over it.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from unstale.errors import CouldNotTell
from unstale.image.dockerfile import (
    Dockerfile,
    Instruction,
    Stage,
    Unresolved,
    expand,
    shell_words,
)

__all__ = ["Copy", "Program", "Read", "ResolvedStage", "Shadow", "resolve"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY or ADD of files of the context."""

    sources: tuple[str, ...]
    """Patterns relative to the context, clamped to it."""
    dest: PurePosixPath | None
    """None: it depends on the base image."""
    into_folder: bool
    unpacks: bool
    """ADD: a local archive is unpacked."""


@dataclass(frozen=True, slots=True)
class Read:
    """A bind mount of a path of the context: read, not kept."""

    source: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """Something else is written at *dest*, over what was copied there."""

    dest: PurePosixPath | None


Step = Copy | Read | Shadow


@dataclass(slots=True)
class ResolvedStage:
    """A stage with its variables replaced; filled while its lines are read."""

    stage: Stage
    parent: int | None
    image: str
    """The base image; empty for a stage of this file."""
    variables: dict[str, str | None]
    workdir: PurePosixPath | None
    arguments_count: bool
    """Whether an ARG's value is certain: nothing in a base image can override it."""
    settled: set[str] = field(default_factory=set)
    """Variables that an ENV set; a later ARG does not change them."""
    needs: set[int] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    workdirs: set[PurePosixPath] = field(default_factory=set)
    unresolved: list[str] = field(default_factory=list)
    remote: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Program:
    """The stages that a target needs."""

    stages: tuple[ResolvedStage, ...]
    """In the order of the file; only those the target reaches."""
    chain: tuple[ResolvedStage, ...]
    """The target and the stages it is FROM, the target last."""
    declared: frozenset[str]
    """Names of the ARGs that count."""


_FLAGS = {
    "ADD": {"chown", "chmod", "link", "checksum", "keep-git-dir"},
    "COPY": {"from", "chown", "chmod", "link"},
    "RUN": {"mount", "network", "security"},
}
_REMOTE = ("http://", "https://", "ftp://", "git://", "git@", "ssh://")


def resolve(source: Dockerfile, target: str | None, arguments: Mapping[str, str]) -> Program:
    """Follow *source* to *target* (None: the last stage).

    Raises:
        CouldNotTell: there is no such stage, or a FROM can't be resolved.

    """
    outer = _outer(source, arguments)
    stages: list[ResolvedStage] = []
    for stage in source.stages:
        stages.append(_stage(source, stage, stages, outer, arguments))
    last = _target(stages, target)
    reached = _reached(stages, last)
    chain = tuple(stages[at] for at in _chain(stages, last))
    kept = tuple(stages[at] for at in sorted(reached))
    for at in reached - {last}:
        if any(one.name == "ONBUILD" for one in stages[at].stage.instructions):
            stages[at].unresolved.append("ONBUILD")
            stages[last].steps.append(Shadow(None))  # what it copies, and where, is not followed
    outside = {_name(word) for one in source.arguments for word in shell_words(one.text)}
    return Program(kept, chain, frozenset(outside.union(*(one.declared for one in kept))))


def _name(word: str) -> str:
    return word.partition("=")[0]


def _outer(source: Dockerfile, arguments: Mapping[str, str]) -> dict[str, str | None]:
    """The values of the ARGs before the first FROM."""
    found: dict[str, str | None] = {}
    for one in source.arguments:
        for word in shell_words(one.text):
            name, given, default = word.partition("=")
            if name in arguments:
                found[name] = arguments[name]
            elif given:
                found[name] = _try_expand(default, found, source.escape)
    return found


def _try_expand(word: str, variables: Mapping[str, str | None], escape: str) -> str | None:
    try:
        return expand(word, variables, escape)
    except Unresolved:
        return None


def _stage(
    source: Dockerfile,
    stage: Stage,
    before: list[ResolvedStage],
    outer: Mapping[str, str | None],
    arguments: Mapping[str, str],
) -> ResolvedStage:
    found = _begin(stage, before, _try_expand(stage.base, outer, source.escape))
    for one in stage.instructions:
        match one.name:
            case "ARG":
                _arg(one, found, outer, arguments, source.escape)
            case "ENV":
                _env(one, found, source.escape)
            case "WORKDIR":
                _workdir(one, found, source.escape)
            case "RUN":
                _mounts(one, found, before)
            case "COPY" | "ADD":
                found.steps.extend(_copy(one, found, before, source.escape))
    return found


def _begin(stage: Stage, before: list[ResolvedStage], base: str | None) -> ResolvedStage:
    parent = None if base is None else _find(before, base)
    if parent is not None:
        above = before[parent]
        return ResolvedStage(
            stage,
            parent,
            "",
            dict(above.variables),
            above.workdir,
            above.arguments_count,
            settled=set(above.settled),
            needs={parent},
        )
    scratch = base == "scratch"
    found = ResolvedStage(
        stage, None, base or "", {}, PurePosixPath("/") if scratch else None, scratch
    )
    if base is None:
        found.unresolved.append(f"FROM {stage.base}")
    elif not scratch:
        found.images.add(base)
    return found


def _find(before: list[ResolvedStage], name: str) -> int | None:
    """The number of the last stage called *name*."""
    named = (at for at in reversed(range(len(before))) if before[at].stage.name == name.lower())
    return next(named, None)


def _find_from(before: list[ResolvedStage], name: str) -> int | None:
    found = _find(before, name)
    if found is None and name.isdecimal() and int(name) < len(before):
        return int(name)
    return found


def _target(stages: list[ResolvedStage], target: str | None) -> int:
    if not target:
        return len(stages) - 1
    found = _find_from(stages, target)
    if found is None:
        raise CouldNotTell(
            f"The Dockerfile has no stage called {target!r}.",
            hint="see `target:` in the compose file",
        )
    return found


def _reached(stages: list[ResolvedStage], last: int) -> set[int]:
    reached: set[int] = set()
    todo = [last]
    while todo:
        at = todo.pop()
        if at not in reached:
            reached.add(at)
            todo.extend(stages[at].needs)
    return reached


def _chain(stages: list[ResolvedStage], last: int) -> list[int]:
    chain: list[int] = []
    at: int | None = last
    while at is not None:
        chain.insert(0, at)
        at = stages[at].parent
    return chain


def _has_odd_flag(one: Instruction, found: ResolvedStage) -> bool:
    """Note flags whose effect on what is read, and on what is kept, is not known here."""
    odd = [f"{one.name} --{name}" for name, _ in one.flags if name not in _FLAGS[one.name]]
    found.unresolved.extend(odd)
    return bool(odd)


def _arg(
    one: Instruction,
    found: ResolvedStage,
    outer: Mapping[str, str | None],
    arguments: Mapping[str, str],
    escape: str,
) -> None:
    for word in shell_words(one.text):
        name, given, default = word.partition("=")
        found.declared.add(name)
        if name in found.settled:
            continue
        value = _try_expand(default, found.variables, escape) if given else outer.get(name)
        value = arguments.get(name, value)
        found.variables[name] = value if found.arguments_count else None


def _env(one: Instruction, found: ResolvedStage, escape: str) -> None:
    words = shell_words(one.text)
    pairs = (
        [(name, value) for name, _, value in (word.partition("=") for word in words)]
        if words and "=" in words[0]
        else [(words[0], one.text[len(words[0]) :].strip())] * bool(words)
    )
    # Each value sees the variables as they were before the instruction.
    values = {name: _try_expand(value, found.variables, escape) for name, value in pairs}
    found.variables.update(values)
    found.settled.update(values)


def _workdir(one: Instruction, found: ResolvedStage, escape: str) -> None:
    value = _try_expand(one.text, found.variables, escape)
    found.workdir = None if value is None else _absolute(value, found.workdir)
    if found.workdir is not None:
        found.workdirs.add(found.workdir)


def _absolute(path: str, workdir: PurePosixPath | None) -> PurePosixPath | None:
    if not path.startswith("/"):
        if workdir is None:
            return None
        path = f"{workdir}/{path}"
    return PurePosixPath("/" + posixpath.normpath(path).lstrip("/"))


def _mounts(one: Instruction, found: ResolvedStage, before: list[ResolvedStage]) -> None:
    _has_odd_flag(one, found)
    for value in one.all_flags("mount"):
        pairs = (part.partition("=") for part in _fields(value))
        fields = {key.lower(): given for key, _, given in pairs}
        if "$" in value:
            found.unresolved.append(f"RUN --mount={value}")
        elif "from" in fields:
            _need(fields["from"], found, before)
        elif fields.get("type", "bind") == "bind":
            found.steps.append(Read(_clamp(fields.get("source", fields.get("src", ".")))))


def _fields(value: str) -> list[str]:
    return next(csv.reader([value]), [])


def _need(name: str, found: ResolvedStage, before: list[ResolvedStage]) -> None:
    at = _find_from(before, name)
    if at is not None:
        found.needs.add(at)
    elif name != "scratch":
        found.images.add(name)


def _clamp(source: str) -> str:
    """*source* relative to the context: no path leads out of it."""
    return posixpath.normpath(f"/{source}").lstrip("/") or "."


def _copy(
    one: Instruction, found: ResolvedStage, before: list[ResolvedStage], escape: str
) -> Iterator[Step]:
    words = [word for word in one.words if not (one.heredocs and "<<" in word)]
    if not words:
        found.unresolved.append(f"{one.name} {one.text}")
        yield Shadow(None)
        return
    dest, into_folder = _dest(words[-1], found, escape)
    origin = one.flag("from")
    if origin is not None:
        _need(origin, found, before)
        yield Shadow(dest)
        return
    if one.heredocs:
        yield Shadow(dest)
    if _has_odd_flag(one, found):
        yield Shadow(dest)
        return
    try:
        sources = tuple(expand(word, found.variables, escape) for word in words[:-1])
    except Unresolved as error:
        found.unresolved.append(f"{one.name} {one.text}: {error}")
        yield Shadow(dest)
        return
    if one.name == "ADD" and any(map(_is_remote, sources)):
        found.remote.append(f"ADD {one.text}")
        yield Shadow(dest)
        sources = tuple(source for source in sources if not _is_remote(source))
    if sources:
        many = into_folder or len(words) > 2
        yield Copy(tuple(map(_clamp, sources)), dest, many, one.name == "ADD")


def _is_remote(source: str) -> bool:
    # A host and path that ends in .git is a repository even without a scheme.
    return source.startswith(_REMOTE) or ".git#" in source or source.endswith(".git")


def _dest(word: str, found: ResolvedStage, escape: str) -> tuple[PurePosixPath | None, bool]:
    value = _try_expand(word, found.variables, escape)
    if value is None:
        return None, True
    return _absolute(value, found.workdir), value in ("", ".") or value.endswith(("/", "/."))
