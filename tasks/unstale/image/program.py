"""What a build target does and reads, instruction by instruction. Pure.

The Dockerfile is interpreted as BuildKit does it: variables are followed, only
stages that the target needs are looked at, ONBUILD triggers run. A step's key
is what BuildKit's own cache key holds besides the bytes that the step reads.

Source: moby/buildkit, ``frontend/dockerfile/dockerfile2llb`` and
``solver/llbsolver/ops``; every rule was checked against the engine.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Literal

from unstale.errors import CouldNotTell
from unstale.facts import ImageFact
from unstale.image import goglob, imageconfig
from unstale.image.dockerfile import (
    Dockerfile,
    Heredoc,
    Instruction,
    Unresolved,
    csv_fields,
    name_values,
    parse_instruction,
)
from unstale.image.imageconfig import Config
from unstale.image.plan import Copy, Given, NamedContext, Plan, Reading, StagePlan, Step
from unstale.image.reference import why_refused
from unstale.image.shell import as_go_reads, expand, expand_body, expand_words

__all__ = ["absent", "familiar", "resolve"]

# A stage by its number: Go's digits, and no more of them than Python makes a number of.
_INDEX = re.compile("[0-9]{1,9}")
_URL = ("http://", "https://", "ftp://", "git://", "git@", "ssh://", "github.com/")


def resolve(source: Dockerfile, given: Given) -> Plan:
    """Follow *source* to the target that is *given*.

    Raises:
        Unresolved: what is read can't be told, and why.
        CouldNotTell: the Dockerfile has no such stage.

    """
    interpreter = _Interpreter(source, given)
    interpreter.refuse_wrong_bases()
    target = interpreter.find_target()
    interpreter.stage(target)
    return Plan(
        stages={number: plan for number, (plan, _) in sorted(interpreter.done.items())},
        target=target,
        unknown=tuple(dict.fromkeys(interpreter.unknown)),
        not_covered=tuple(dict.fromkeys(interpreter.not_covered)),
    )


@dataclass(slots=True)
class _State:
    """What the instructions of a stage change."""

    number: int
    env: dict[str, str]
    """What RUN sees and words expand to: ENV and ARG, the later one wins."""
    config: Config
    steps: list[Step] = field(default_factory=list)
    workdirs: list[PurePosixPath] = field(default_factory=list)
    has_command: bool = False
    """Whether this stage had a CMD: else ENTRYPOINT resets the inherited one."""

    @property
    def workdir(self) -> str:
        return str(self.config.get("WorkingDir") or "/")


class _Interpreter:
    """Walks the stages that are needed, each once."""

    def __init__(self, source: Dockerfile, given: Given) -> None:
        self.source = source
        self.given = given
        self.done: dict[int, tuple[StagePlan, _State]] = {}
        self.unknown: list[str] = []
        self.not_covered: list[str] = []
        self._open: list[int] = []
        self._outer: dict[str, str] = {}
        self._outside = _WithPlatform(self._outer, self._platform_value)
        self._read_outer_arguments()

    # Variables

    def _read_outer_arguments(self) -> None:
        for one in self.source.arguments:
            for name, default in name_values(one):
                value = self.given.arguments.get(name)
                if value is None and default is not None:
                    value = self._expand(default, self._outside)
                if value is not None:
                    self._outer[name] = value

    def _platform_value(self, name: str) -> str | None:
        """The value of one of BuildKit's own platform variables."""
        if name not in _PLATFORM_VARIABLES:
            return None
        if name in self.given.arguments:
            return self.given.arguments[name]
        is_target = name.startswith("TARGET")
        platform = self.given.platform() if is_target else self.given.build_platform()
        system, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        parts = {"OS": system, "ARCH": architecture, "VARIANT": variant}
        return parts.get(name.removeprefix("TARGET").removeprefix("BUILD"), platform)

    def _expand(self, word: str, variables: Mapping[str, str]) -> str:
        return expand(word, variables, self.source.escape)

    # Stages

    def refuse_wrong_bases(self) -> None:
        """The builder refuses one in any stage, needed or not."""
        for number, stage in enumerate(self.source.stages):
            base = self._expand(stage.base, self._outside)
            if not base:
                raise Unresolved(f"line {stage.line}: FROM an empty name")
            is_stage = self._find(base, before=number) is not None
            if base != "scratch" and not is_stage and self._context(base) is None:
                _refuse_wrong_name(base, f"line {stage.line}: FROM {base}")

    def find_target(self) -> int:
        wanted = self.given.target
        if not wanted:
            return len(self.source.stages) - 1
        found = self._find(wanted, before=len(self.source.stages))
        if found is None:
            raise CouldNotTell(
                f"The Dockerfile has no stage called {wanted!r}.",
                hint="see `target:` in the compose file",
            )
        return found

    def _find(self, name: str, before: int | None = None) -> int | None:
        """The stage called *name*, or numbered so where any stage may be named."""
        stages = self.source.stages[:before]
        for number in reversed(range(len(stages))):
            if stages[number].name and stages[number].name == name.lower():
                return number
        if before is None and _INDEX.fullmatch(name) and int(name) < len(stages):
            return int(name)
        return None

    def stage(self, number: int) -> _State:
        """Interpret a stage, and those that it needs."""
        if number in self.done:
            return self.done[number][1]
        if number in self._open:
            raise Unresolved(f"stage {number} needs itself")
        self._open.append(number)
        stage = self.source.stages[number]
        platform = self._expand(stage.platform, self._outside) if stage.platform else ""
        named = self._context(stage.name) if stage.name else None
        if named is not None:  # its name is an additional context's: that replaces it
            state, image = self._start(number, *self._named_base(named, stage.name, platform))
            plan = self._plan(state, platform, None, image)
        else:
            base = self._expand(stage.base, self._outside)
            parent = self._find(base, before=number)
            state, image = self._begin(number, base, platform, parent)
            triggers = state.config.pop("OnBuild", ())
            for text in triggers:
                line = 0 if parent is None else stage.line
                self._run(state, parse_instruction(text, self.source.escape, line))
            for one in stage.instructions:
                self._run(state, one)
            plan = self._plan(state, platform, parent, image)
        self._open.pop()
        self.done[number] = (plan, state)
        return state

    def _plan(self, state: _State, platform: str, parent: int | None, image: str) -> StagePlan:
        return StagePlan(
            number=state.number,
            parent=parent,
            image=image,
            platform=platform,
            steps=tuple(state.steps),
            config=imageconfig.key(state.config),
            workdirs=tuple(state.workdirs),
        )

    def _begin(
        self, number: int, base: str, platform: str, parent: int | None
    ) -> tuple[_State, str]:
        if parent is not None:
            above = self.stage(parent)
            state = _State(number, dict(above.env), imageconfig.copied(above.config))
            return state, ""
        if base == "scratch":
            return self._start(number, "", None)
        named = self._context(base)
        if named is not None:
            return self._start(number, *self._named_base(named, base, platform))
        return self._start(number, *self._image(base, platform))

    def _context(self, name: str) -> NamedContext | None:
        return self.given.contexts.get(familiar(name))

    def _named_base(
        self, named: NamedContext, name: str, platform: str
    ) -> tuple[str, ImageFact | None]:
        if named.kind != "image":
            # A stage on a folder is keyed by the client's session: never the same.
            raise Unresolved(f"FROM {name}, an additional context that is no image")
        return self._image(named.place, platform)

    def _image(self, reference: str, platform: str = "") -> tuple[str, ImageFact | None]:
        _refuse_wrong_name(reference, f"the image {reference}")
        found = self.given.images(reference, platform)
        if found is None:
            self.unknown.append(absent(reference))
        return reference, found

    def _start(self, number: int, image: str, fact: ImageFact | None) -> tuple[_State, str]:
        config = imageconfig.start(fact)
        return _State(number, dict(config["Env"]), config), image

    # Instructions

    def _run(self, state: _State, one: Instruction) -> None:
        match one.name:
            case "COPY" | "ADD":
                self._copy(state, one)
            case "RUN":
                self._execute(state, one)
            case "WORKDIR":
                self._workdir(state, one)
            case "ARG":
                self._argument(state, one)
            case "ENV":
                pairs = self._pairs(state, one)
                state.env.update(pairs)
                state.config["Env"].update(pairs)
            case _:
                imageconfig.configure(
                    state.config, one, partial(self._word, state), partial(self._words, state)
                )
                state.has_command |= one.name == "CMD"
                if one.name == "ENTRYPOINT" and not state.has_command:
                    state.config["Cmd"] = None

    def _pairs(self, state: _State, one: Instruction) -> dict[str, str]:
        """Each value sees the variables as they were before the instruction."""
        return {
            self._expand(name, state.env): self._expand(value or "", state.env)
            for name, value in name_values(one)
        }

    def _argument(self, state: _State, one: Instruction) -> None:
        pairs = name_values(one)
        defaults = [(n, None if v is None else self._expand(v, state.env)) for n, v in pairs]
        for name, default in defaults:
            value = self.given.arguments.get(name, default)
            if value is None:
                value = self._outer.get(name)
            if value is None:
                value = self._platform_value(name)
            if value is not None:
                state.env[name] = value

    def _word(self, state: _State, word: str) -> str:
        return self._expand(word, state.env)

    def _words(self, state: _State, word: str) -> tuple[str, ...]:
        return expand_words(word, state.env, self.source.escape)

    def _workdir(self, state: _State, one: Instruction) -> None:
        written = self._expand(one.text, state.env)
        path = _absolute(written, state.workdir)
        # An absolute path stays as it is written, in Config and for RUN; the
        # folder that is made has the tidy name.
        state.config["WorkingDir"] = written if written.startswith("/") else path
        state.workdirs.append(PurePosixPath(path))
        if path != "/":
            key = ("workdir", path, state.config.get("User") or "")
            state.steps.append(Step("workdir", one.line, key))

    # RUN

    def _execute(self, state: _State, one: Instruction) -> None:
        mounts = [self._mount(state, text, one.line) for text in one.all_flags("mount")]
        key = (
            "run",
            imageconfig.command(one, state.config),
            state.workdir,
            state.config.get("User") or "",
            sorted((name, value) for name, value in one.flags if name != "mount"),
            [mount.key for mount in mounts],
            self.given.run_options,
        )
        if one.flag("network") != "none":
            self.not_covered.append("what a RUN fetches from the network")
        state.steps.append(
            Step(
                "run",
                one.line,
                key,
                reads=tuple(r for mount in mounts for r in mount.reads),
                stages=tuple(s for mount in mounts for s in mount.stages),
                images=tuple(i for mount in mounts for i in mount.images),
                env=tuple(sorted(state.env.items())),
            )
        )

    def _mount(self, state: _State, text: str, line: int) -> Step:
        fields = dict(_field(part) for part in csv_fields(text))
        origin = fields.pop("from", "")
        if "$" in origin:
            raise Unresolved(f"RUN --mount=from={origin}")
        fields = {name: self._expand(value, state.env) for name, value in fields.items()}
        kind = fields.get("type", "bind")
        fields["type"] = kind
        if kind in ("secret", "ssh"):
            self.not_covered.append(f"the {kind} {fields.get('id', '')}".rstrip())
        if kind == "cache":
            fields.pop("id", None)  # which cache it is, is not in BuildKit's key
        if kind not in ("bind", "cache") or (kind == "cache" and not origin):
            return Step("run", 0, ("mount", sorted(fields.items())))
        path = _clamp(fields.pop("source", "."))
        key = ("mount", sorted(fields.items()), path)
        if not origin:
            return Step("run", 0, key, reads=(Reading("", path),))
        return self._from("run", line, key, origin, (path,), is_pattern=False)

    def _from(
        self,
        verb: Literal["copy", "run"],
        line: int,
        key: tuple[object, ...],
        origin: str,
        paths: Sequence[str],
        *,
        is_pattern: bool,
    ) -> Step:
        """What reads *paths* of a stage, an additional context or an image."""
        number = self._find(origin)
        named = self._context(origin) if number is None or not origin.isdecimal() else None
        if number is not None and named is None:
            self.stage(number)
            return Step(verb, 0, (*key, "stage"), stages=(number,))
        if named is None and origin == "scratch":
            return Step(verb, 0, (*key, "scratch"))
        if named is not None and named.kind == "folder":
            reads = tuple(Reading(familiar(origin), path, is_pattern) for path in paths)
            return Step(verb, 0, (*key, "context"), reads=reads)
        if named is not None and named.kind == "remote":
            self.unknown.append(f"the additional context {origin} is not on this machine")
            return Step(verb, 0, (*key, "remote", named.place))
        if named is None:
            _refuse_wrong_name(origin, f"line {line}: from={origin}")
        reference, _ = self._image(named.place if named is not None else origin)
        return Step(verb, 0, (*key, "image"), images=(reference,))

    # COPY and ADD

    def _copy(self, state: _State, one: Instruction) -> None:
        place = self._expand(one.words[-1], state.env)
        sources = [self._expand(word, state.env) for word in one.paths]
        remote = [word for word in sources if one.name == "ADD" and _is_remote(word)]
        patterns = tuple(_clamp(word) for word in sources if word not in remote)
        _refuse_bad_patterns(one, patterns)
        self._note_remote(one, remote)
        dest = _absolute(place, state.workdir)
        as_folder = place in ("", ".") or place.endswith(("/", "/."))
        bodies = tuple(_body(heredoc, state.env) for heredoc in one.inline)
        flags = sorted((n, self._expand(v, state.env)) for n, v in one.flags if n != "from")
        is_loose = any(name in ("parents", "exclude") for name, _ in flags)
        # BuildKit keeps only the last segment of a source's path, beside its content.
        names = patterns if is_loose else tuple(posixpath.basename(p) for p in patterns)
        key = (
            "copy",
            one.name,
            names,
            dest,
            as_folder,
            flags,
            [heredoc.name for heredoc in one.inline],
            remote,
        )
        origin = one.flag("from")
        if origin is None:
            reads = tuple(_reading("", pattern, is_loose=is_loose) for pattern in patterns)
            found = Step("copy", one.line, key, reads=reads)
        elif "$" in origin:
            raise Unresolved(f"line {one.line}: --from={origin} is not expanded by the builder")
        else:
            # A stage's files are copied by path: two of one name are two files.
            found = self._from(
                "copy", one.line, (*key, patterns), origin, patterns, is_pattern=True
            )
        copy = Copy(
            dest=PurePosixPath(dest),
            into_folder=as_folder or len(one.words) > 2,
            unpacks=one.name == "ADD",
            stage=found.stages[0] if found.stages else None,
            sources=patterns,
            writes_more=bool(bodies or remote or found.images or is_loose),
            keeps_mode=one.flag("chmod") is None,
        )
        state.steps.append(replace(found, line=one.line, copy=copy, env=bodies))

    def _note_remote(self, one: Instruction, remote: Sequence[str]) -> None:
        pinned = one.flag("checksum") is not None
        self.unknown += [] if pinned else [f"ADD {word} (line {one.line})" for word in remote]


_PLATFORM_VARIABLES = frozenset(
    f"{side}{part}"
    for side in ("TARGET", "BUILD")
    for part in ("PLATFORM", "OS", "ARCH", "VARIANT")
)


class _WithPlatform(Mapping[str, str]):
    """Variables outside of a stage: the platform's need not be declared there."""

    def __init__(self, own: Mapping[str, str], platform: Callable[[str], str | None]) -> None:
        self._own = own
        self._platform = platform

    def __getitem__(self, name: str) -> str:
        value = self._own.get(name)
        value = self._platform(name) if value is None else value
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter({*self._own, *_PLATFORM_VARIABLES})

    def __len__(self) -> int:
        return len({*self._own, *_PLATFORM_VARIABLES})


def _refuse_wrong_name(reference: str, where: str) -> None:
    why = why_refused(reference)
    if why:
        # A byte that is no UTF-8 can't be printed.
        raise Unresolved(f"{as_go_reads(where)}, a name that the builder refuses: {why}")


def _field(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    name = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly",
            "rw": "readwrite"}.get(name.lower(), name.lower())  # fmt: skip
    return name, value if equals else "true"


def _absolute(path: str, workdir: str) -> str:
    return "/" + posixpath.normpath(posixpath.join("/", workdir, path)).lstrip("/")


def _clamp(source: str) -> str:
    """*source* relative to the context: no path leads out of it."""
    return posixpath.normpath(f"/{source}").lstrip("/") or "."


def _reading(context: str, pattern: str, *, is_loose: bool = False) -> Reading:
    return Reading(
        context, _loose(pattern) if is_loose else pattern, is_pattern=True, is_loose=is_loose
    )


def _body(heredoc: Heredoc, env: Mapping[str, str]) -> tuple[str, str]:
    """The content of a file that is written in the Dockerfile."""
    return "<<", expand_body(heredoc.content, env) if heredoc.expand else heredoc.content


def _refuse_bad_patterns(one: Instruction, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        try:
            for segment in pattern.split("/"):
                goglob.translate(segment)
        except goglob.BadPattern as error:
            raise Unresolved(f"line {one.line}: the pattern {pattern!r}") from error


def _loose(pattern: str) -> str:
    """The part of *pattern* above a ``**``: all below it could match."""
    kept = itertools.takewhile(lambda segment: "**" not in segment, pattern.split("/"))
    return "/".join(kept) or "."


def _is_remote(source: str) -> bool:
    return source.startswith(_URL)


def absent(reference: str) -> str:
    """Why nothing can be told of what an image brings that is not here."""
    return f"the base image {reference} is not on this machine"


def familiar(name: str) -> str:
    """An image's or context's name as BuildKit looks it up: its short form."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return short.removesuffix(":latest")
