"""The inputs of an image: what its build can read, as one digest.

Scheme ``v1``. Two states of a tree have the same digest exactly when BuildKit
would make the same layers and the same Config of both: the parsed program, the
bytes and modes that the stages it needs read, and the base images' layers. What
can't be told is `unknown`; what lies outside of every local digest is named in
`not_covered`. docs/oracle.md has the classes in which the digest is stricter.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from unstale.compose import PROXIES, BuildSpec
from unstale.errors import CouldNotTell, MissingFile
from unstale.facts import ImageFact
from unstale.image import dockerfile, goglob, program
from unstale.image.contexts import Contexts
from unstale.image.dockerfile import Dockerfile, Unresolved
from unstale.image.plan import Given, NamedContext, Plan, Reading, StagePlan, Step
from unstale.image.tree import ContextTree, Record

__all__ = [
    "SCHEME",
    "BuildInputs",
    "Images",
    "build_inputs",
    "found",
    "named_images",
    "reads",
    "records",
    "text_of",
]

SCHEME = "v1"

Images = Callable[[str], ImageFact | None]
"""The local image of a reference, or None."""


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What a build reads."""

    digest: str
    """Of everything below, with its scheme: ``v1:sha256:...``."""
    dependencies: str
    """Of what any RUN could have read: a key for their results in a CI cache."""
    unknown: tuple[str, ...]
    """Why freshness can't be told, whatever the digest; empty if it can."""
    not_covered: tuple[str, ...]
    """Inputs that no digest of local files can hold."""
    context: Path
    dockerfile: Path | None
    """None where it is written in the compose file."""
    plan: Plan | None
    """None where the Dockerfile can't be followed: the whole context counts then."""
    trees: Mapping[str, ContextTree]
    """The contexts by name; the build context is called ""."""
    bases: Mapping[str, ImageFact]
    """The local images it starts from or copies from, by reference."""
    arguments: Mapping[str, str]
    options: tuple[object, ...] = ()
    """What the digest covers besides the plan: frontend, platforms, labels."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Every image that it names, here or not, and also without a plan; and for which
    platform, if one is named."""

    @property
    def absent(self) -> tuple[str, ...]:
        """The images that it names and of which nothing is known."""
        return tuple(name for name in self.images if name not in self.bases)


def build_inputs(
    build: BuildSpec,
    environ: Mapping[str, str],
    images: Images,
    contexts: Contexts | None = None,
    platform: Callable[[], str] = lambda: "linux/amd64",
    remembered: Mapping[str, ImageFact] = MappingProxyType({}),
) -> BuildInputs:
    """Read the inputs of *build*.

    *environ* gives the values of build args that the compose file only names, and
    ``DOCKER_DEFAULT_PLATFORM``; *platform* is the engine's own. *remembered* are
    the images that an earlier build had, for those that are not on this machine.

    Raises:
        MissingFile: the context or the Dockerfile is not there.

    """
    if not build.is_local:
        return _unreadable(build, "the build context is not on this machine")
    if not os.path.isdir(build.context):  # noqa: PTH112 - a name too long is none, and no error
        raise MissingFile(
            f"The build context {build.context} is not there.",
            cause="It was moved or removed, or its path in the compose file is wrong.",
            hint="see `context:` under `build:` in the compose file",
        )
    contexts = contexts or Contexts()
    arguments = _arguments(build, environ)
    named = {program.familiar(n): _named(place) for n, place in build.additional_contexts}
    text = text_of(build)
    try:
        trees = {"": contexts.main(build)} | {
            name: contexts.additional(Path(one.place))
            for name, one in named.items()
            if one.kind == "folder"
        }
    except CouldNotTell as error:
        return _unreadable(build, error.what, text)
    asked: dict[str, tuple[str, ImageFact | None]] = {}
    default = environ.get("DOCKER_DEFAULT_PLATFORM", "")
    platforms = build.platforms or ((default,) if default else ())
    target = platforms[0] if len(platforms) == 1 else ""

    def image(reference: str, wanted: str) -> ImageFact | None:
        wanted = wanted or target
        before, fact = asked.get(reference, (wanted, images(reference)))
        if before != wanted and (before or platform()) != (wanted or platform()):
            # The engine keeps one of them; the other would have to be in the stamp.
            raise Unresolved(f"{reference} is used for {before or wanted} and for another platform")
        if fact is None or not _is_for(fact, wanted):
            fact = remembered.get(reference)
        asked[reference] = (before, fact)
        return fact

    given = Given(
        target=build.target,
        arguments=arguments,
        images=image,
        platform=lambda: target or platform(),
        build_platform=platform,
        contexts=named,
        # It is what RUN gets from `hostname`.
        run_options=(*build.run_options, arguments.get("BUILDKIT_SANDBOX_HOSTNAME", "")),
    )
    start = BuildInputs(
        digest="",
        dependencies="",
        unknown=(),
        not_covered=tuple(
            f"what unstale writes itself, in the additional context {name}:"
            " add .unstale to its .dockerignore"
            for name, one in named.items()
            if one.kind == "folder" and contexts.lets_in(Path(one.place))
        ),
        context=Path(build.context),
        dockerfile=None if build.dockerfile_inline is not None else build.dockerfile_path,
        plan=None,
        trees=trees,
        bases={},
        arguments=arguments,
        # To name the engine's own platform is to name none.
        options=((), build.labels)
        if platforms and platforms == (platform(),)
        else (platforms, build.labels),
    )
    try:
        source = dockerfile.parse(text)
        _refuse_syntax(source, arguments)
        plan = program.resolve(source, given)
        return _exact(_on(start, asked), plan, source)
    except (Unresolved, CouldNotTell) as error:
        why = error.what if isinstance(error, CouldNotTell) else str(error)
        return _coarse(_on(start, asked), build, text, why)


def named_images(build: BuildSpec, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The images that *build* starts from or copies from; its context is not looked at.

    Raises:
        MissingFile: the Dockerfile is not there.
        CouldNotTell: it can't be followed.

    """
    if not build.is_local:
        return ()
    asked: dict[str, None] = {}

    def image(reference: str, _platform: str) -> None:
        asked[reference] = None

    given = Given(
        target=build.target,
        arguments=_arguments(build, environ),
        images=image,
        platform=lambda: "linux/amd64",
        build_platform=lambda: "linux/amd64",
        contexts={program.familiar(n): _named(place) for n, place in build.additional_contexts},
    )
    try:
        program.resolve(dockerfile.parse(text_of(build)), given)
    except Unresolved as error:
        raise CouldNotTell(f"The Dockerfile can't be followed: {error}.") from error
    return tuple(asked)


def _is_for(fact: ImageFact, platform: str) -> bool:
    """Whether a build for *platform* takes *fact*, and not that of the registry."""
    system, _, rest = platform.partition("/")
    architecture = rest.partition("/")[0]
    return not rest or (fact.os, fact.architecture) == (system, architecture)


def _on(start: BuildInputs, asked: Mapping[str, tuple[str, ImageFact | None]]) -> BuildInputs:
    bases = {name: fact for name, (_, fact) in asked.items() if fact is not None}
    return replace(start, images={n: platform for n, (platform, _) in asked.items()}, bases=bases)


def _refuse_syntax(source: Dockerfile, arguments: Mapping[str, str]) -> None:
    syntax = arguments.get("BUILDKIT_SYNTAX", source.syntax)
    name = syntax.removeprefix("docker.io/").partition("@")[0].partition(":")[0]
    if name not in ("", "docker/dockerfile"):
        raise Unresolved(f"# syntax={syntax}, whose language is not known here")


def _unreadable(build: BuildSpec, why: str, text: str = "") -> BuildInputs:
    digest = _digest("unreadable", build.context, build.dockerfile, build.target, text)
    return BuildInputs(digest, digest, (why,), (), Path(), None, None, {}, {}, {})


def text_of(build: BuildSpec) -> str:
    """The Dockerfile of *build*.

    Raises:
        MissingFile: it can't be read.

    """
    if build.dockerfile_inline is not None:
        return build.dockerfile_inline
    try:
        content = build.dockerfile_path.read_bytes()
    except OSError as error:
        raise MissingFile(
            f"The Dockerfile {build.dockerfile_path} can't be read.",
            cause=f"{error.strerror}.",
            hint="see `build:` in the compose file",
        ) from error
    return content.decode(errors="surrogateescape")


def _arguments(build: BuildSpec, environ: Mapping[str, str]) -> dict[str, str]:
    given = ((name, environ.get(name) if value is None else value) for name, value in build.args)
    return {name: value for name, value in given if value is not None}


def _named(place: str) -> NamedContext:
    image = place.removeprefix("docker-image://")
    if image != place:
        return NamedContext("image", image)
    if Path(place).is_absolute() and os.path.isdir(place):  # noqa: PTH112 - likewise
        return NamedContext("folder", place)
    return NamedContext("remote", place)


def found(inputs: BuildInputs, reading: Reading) -> tuple[tuple[str, str], ...]:
    """What *reading* stands for: each path as named, and as links lead it.

    Raises:
        Unresolved: it is not in the context, so the build would fail.

    """
    tree = inputs.trees[reading.context]
    is_glob = reading.is_pattern and goglob.has_magic(reading.path)
    named = tree.glob(reading.path) if is_glob else (reading.path,)
    places = [(name, tree.resolve(name)) for name in named]
    lost = next((name for name, place in places if place is None), None)
    if lost is not None:
        raise Unresolved(f"{lost} is not in the build context, or leads out of it")
    return tuple((name, place) for name, place in places if place is not None)


def reads(inputs: BuildInputs) -> Iterator[tuple[StagePlan, Step, Reading]]:
    """Everything that a step reads of a context, in the order of the build."""
    stages = inputs.plan.stages.values() if inputs.plan else ()
    for stage in stages:
        for step in stage.steps:
            for reading in step.reads:
                yield stage, step, reading


def records(inputs: BuildInputs) -> Iterator[tuple[str, str, Record]]:
    """Each path that is read, with its context's name; some more than once.

    Everything where the Dockerfile can't be followed. The roots are left out:
    nothing of them counts.
    """
    if inputs.plan is None:
        places = ((name, ".") for name in inputs.trees)
    else:
        places = (
            (reading.context, place)
            for _, _, reading in reads(inputs)
            for _, place in found(inputs, reading)
        )
    for name, place in places:
        for path, record in inputs.trees[name].under(place):
            if path != ".":
                yield name, path, record


def _digest(*parts: object) -> str:
    # JSON escapes a name's stray bytes (surrogates), so no two inputs look alike.
    return f"{SCHEME}:sha256:{hashlib.sha256(_json(*parts)).hexdigest()}"


def _json(*parts: object) -> bytes:
    return json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()


def _coarse(start: BuildInputs, build: BuildSpec, text: str, why: str) -> BuildInputs:
    """Where the Dockerfile can't be followed: its text, all args, all files."""
    arguments = {k: v for k, v in start.arguments.items() if k not in PROXIES}
    files = sorted((name, tree.digest(".").hex()) for name, tree in start.trees.items())
    options = (build.target, build.platforms, build.additional_contexts, build.run_options)
    digest = _digest("coarse", text, arguments, options, build.labels, files)
    # First, since they may be why it can't be followed: their variables are not known.
    unknown = (*map(program.absent, start.absent), why)
    return replace(start, digest=digest, dependencies=digest, unknown=unknown)


def _exact(start: BuildInputs, plan: Plan, source: Dockerfile) -> BuildInputs:
    inputs = replace(start, plan=plan, options=(source.syntax, *start.options))
    keys = _Keys(inputs, plan)
    config = plan.stages[plan.target].config
    digest = _digest("exact", inputs.options, config, keys.stage(plan.target))
    before = _Keys(inputs, _dependencies(plan))
    moving = [f"the frontend of # syntax={source.syntax}, which may move"] if source.syntax else []
    pulled = [n for n in plan.images if n in start.bases and start.bases[n].is_pulled]
    # A name with a digest means that image for ever.
    tags = [f"whether the tag {n} has moved in its registry" for n in pulled if "@" not in n]
    return replace(
        inputs,
        digest=digest,
        dependencies=_digest("dependencies", start.options[0], before.stage(plan.target)),
        unknown=plan.unknown,
        not_covered=(*start.not_covered, *plan.not_covered, *moving, *tags),
    )


def _dependencies(plan: Plan) -> Plan:
    """*plan* without what is copied from a context after the target's last RUN."""
    stages = dict(plan.stages)
    for stage in reversed(plan.chain):
        last = max((at for at, step in enumerate(stage.steps) if step.verb == "run"), default=-1)
        kept = [s for at, s in enumerate(stage.steps) if at <= last or not s.reads]
        stages[stage.number] = replace(stage, steps=tuple(kept))
        if last >= 0:
            break
    return replace(plan, stages=stages)


class _Keys:
    """The keys of stages, each computed once: what BuildKit's would depend on."""

    def __init__(self, inputs: BuildInputs, plan: Plan) -> None:
        self._inputs = inputs
        self._plan = plan
        self._stages: dict[int, str] = {}

    def stage(self, number: int) -> str:
        if number not in self._stages:
            self._stages[number] = self._of(self._plan.stages[number])
        return self._stages[number]

    def _of(self, stage: StagePlan) -> str:
        base = self.stage(stage.parent) if stage.parent is not None else self._image(stage.image)
        steps = [self._step(step) for step in stage.steps]
        return hashlib.sha256(_json(base, stage.platform, steps)).hexdigest()

    def _step(self, step: Step) -> list[object]:
        return [
            step.key,
            step.env,
            [self._reading(reading) for reading in step.reads],
            [self.stage(number) for number in step.stages],
            [self._image(reference) for reference in step.images],
        ]

    def _image(self, reference: str) -> list[object]:
        fact = self._inputs.bases.get(reference)
        # By its layers: what its Config adds is in the stage's own.
        return [reference] if fact is None else list(fact.layers)

    def _reading(self, reading: Reading) -> object:
        """What BuildKit's content hash of *reading* depends on.

        The place of what is read is none of it: of a pattern's matches the last
        segments count, of a single path not even that, since the step has it.
        """
        tree = self._inputs.trees[reading.context]
        pairs = [
            (posixpath.basename(name), tree.digest(place).hex())
            for name, place in found(self._inputs, reading)
        ]
        if len(pairs) == 1 and pairs[0][0] == posixpath.basename(reading.path):
            return pairs[0][1]
        return pairs
