"""The inputs of an image: what its build reads, as one digest and path by path.

Scheme ``v0``, coarse: it may call an image stale that a build would not change
(a renamed stage, a LABEL), never the reverse. Where the Dockerfile alone does
not settle what is read, the whole context is taken for read.

Not covered, because the tree can't tell: what a RUN fetches, build secrets,
whether a base image's tag has moved, ONBUILD triggers of base images, and
compose's own build keys beyond context, dockerfile, target, args, platforms.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from unstale.compose import BuildSpec
from unstale.errors import CouldNotTell, MissingFile
from unstale.image import dockerfile, dockerignore, program
from unstale.image.dockerfile import Dockerfile, Unresolved
from unstale.image.program import Copy, Program, Read, ResolvedStage, Shadow
from unstale.image.tree import Tree, sha256

__all__ = ["BuildInputs", "build_inputs"]

SCHEME = "v0"

# BuildKit hands these to every RUN and keeps them out of its cache's keys.
_PROXIES = frozenset(
    name for stem in ("http", "https", "ftp", "no", "all")
    for name in (f"{stem}_proxy", f"{stem}_proxy".upper())
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What a build reads."""

    digest: str
    """Of everything below, with its scheme: ``v0:sha256:...``."""
    dependencies: str
    """Of what the other stages read: a key for their results in a CI cache."""
    paths: Mapping[str, str]
    """Path relative to the context -> digest of its type, mode and content."""
    copies: tuple[tuple[str, PurePosixPath], ...]
    """File or link of the context -> where the image should have its bytes."""
    unresolved: tuple[str, ...]
    """Why the whole context was taken, if it was."""
    remote: tuple[str, ...]
    """Inputs that are not on this machine: freshness can't be proven."""
    base_images: tuple[str, ...]
    """Every image that the build starts from or copies from, sorted."""
    context: Path
    dockerfile: Path | None
    """None where it is written in the compose file."""


def build_inputs(build: BuildSpec, environ: Mapping[str, str]) -> BuildInputs:
    """Read the inputs of *build*.

    *environ* gives the values of build args that the compose file only names.

    Raises:
        MissingFile: the context or the Dockerfile is not there.
        CouldNotTell: a pattern of the .dockerignore, or a file, can't be read.

    """
    if not build.is_local:
        return _remote_context(build)
    context = Path(build.context)
    if not context.is_dir():
        raise MissingFile(f"The build context {build.context} is not there.")
    text = _dockerfile_text(build)
    arguments = _arguments(build, environ)
    tree, doubts = _tree(build, context)
    named = _named_contexts(build)
    try:
        source = dockerfile.parse(text)
        plan = program.resolve(source, build.target, arguments)
    except CouldNotTell as error:
        return _coarse(build, tree, text, arguments, (*doubts, error.what), named)
    if not _is_standard(source):
        return _coarse(build, tree, text, arguments, (f"# syntax={source.syntax}",), named, plan)
    doubts += tuple(reason for stage in plan.stages for reason in stage.unresolved)
    try:
        read = {id(stage): _reads(tree, stage) for stage in plan.stages}
        copies = () if build.additional_contexts else _copies(tree, plan.chain)
    except Unresolved as error:
        doubts += (str(error),)
        read, copies = {}, ()
    if doubts:
        return replace(_coarse(build, tree, text, arguments, doubts, named, plan), copies=copies)
    return _exact(build, tree, source, plan, arguments, named, read, copies)


def _is_standard(source: Dockerfile) -> bool:
    name = source.syntax.removeprefix("docker.io/").partition("@")[0].partition(":")[0]
    return name in ("", "docker/dockerfile")


def _remote_context(build: BuildSpec) -> BuildInputs:
    digest = _digest("remote", build.context, build.dockerfile, build.target)
    reason = ("the build context is not on this machine",)
    return BuildInputs(digest, digest, {}, (), reason, reason, (), Path(), None)


def _dockerfile_text(build: BuildSpec) -> str:
    if build.dockerfile_inline is not None:
        return build.dockerfile_inline
    try:
        content = build.dockerfile_path.read_bytes()
    except OSError as error:
        raise MissingFile(
            f"The Dockerfile {build.dockerfile_path} can't be read.",
            hint="see `build:` in the compose file",
        ) from error
    return content.decode(errors="surrogateescape")


def _arguments(build: BuildSpec, environ: Mapping[str, str]) -> dict[str, str]:
    given = ((name, environ.get(name) if value is None else value) for name, value in build.args)
    return {name: value for name, value in given if value is not None}


def _tree(build: BuildSpec, context: Path) -> tuple[Tree, tuple[str, ...]]:
    """The context without what it ignores, and what is doubtful about that."""
    path = context / ".dockerignore"
    if build.dockerfile_inline is None:
        own = build.dockerfile_path.with_name(build.dockerfile_path.name + ".dockerignore")
        path = own if os.path.lexists(own) else path
    if path.is_symlink():
        # Followed by the builder only inside of the context, in silence.
        return Tree(context), (f"{path.name} is a symbolic link",)
    return Tree(context, _rules(path)), ()


def _rules(path: Path) -> tuple[dockerignore.Rule, ...]:
    if not path.is_file():
        return ()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CouldNotTell(f"{path.name} can't be read: {error.strerror}.") from error
    return dockerignore.parse(content.decode(errors="surrogateescape"))


@dataclass(frozen=True, slots=True)
class _Named:
    """The additional contexts: all of each folder, and those that are no folder."""

    records: Mapping[str, str]
    remote: tuple[str, ...]


def _named_contexts(build: BuildSpec) -> _Named:
    records: dict[str, str] = {}
    remote: list[str] = []
    for name, place in build.additional_contexts:
        folder = Path(place)
        if folder.is_absolute() and folder.is_dir():
            tree = Tree(folder, _rules(folder / ".dockerignore"))
            records |= {f"{name}:{path}": tree.record(path) for path in tree.under(".")}
        else:
            remote.append(f"the additional context {name}")
    return _Named(records, tuple(remote))


def _reads(tree: Tree, stage: ResolvedStage) -> dict[str, str]:
    """Each path that *stage* reads, with its record; a missing one is recorded too."""
    records: dict[str, str] = {}
    for step in stage.steps:
        match step:
            case Copy():
                patterns: tuple[str, ...] = step.sources
            case Read():
                patterns = (step.source,)
            case Shadow():
                continue
        for pattern in patterns:
            found = tree.match(pattern)
            records |= {path: tree.record(path) for one in found for path in tree.under(one)}
            if not found:
                records[pattern] = "nothing"
    return records


def _copies(tree: Tree, chain: Iterable[ResolvedStage]) -> tuple[tuple[str, PurePosixPath], ...]:
    """Where the image has the files; a later step wins over an earlier one."""
    placed: dict[PurePosixPath, str] = {}
    folders: set[PurePosixPath] = {PurePosixPath("/")}
    for stage in chain:
        folders |= stage.workdirs
        for step in stage.steps:
            match step:
                case Shadow():
                    _drop(placed, step.dest)
                case Copy(dest=None):
                    placed.clear()  # it may have landed on any of them
                case Copy(dest=PurePosixPath() as dest):
                    _place(tree, step, dest, placed, folders)
                case Read():
                    pass
    return tuple(sorted((source, dest) for dest, source in placed.items()))


def _drop(placed: dict[PurePosixPath, str], dest: PurePosixPath | None) -> None:
    for path in list(placed):
        if dest is None or path == dest or dest in path.parents:
            del placed[path]


def _place(
    tree: Tree,
    step: Copy,
    base: PurePosixPath,
    placed: dict[PurePosixPath, str],
    folders: set[PurePosixPath],
) -> None:
    for pattern in step.sources:
        for source in tree.match(pattern):
            if source == "." or tree.is_folder(source):
                for path in tree.under(source):
                    inner = PurePosixPath(path).relative_to(source)
                    if path != source and not tree.is_folder(path):
                        placed[base / inner] = path
                folders.add(base)
                continue
            inside = step.into_folder or base in folders
            dest = base / PurePosixPath(source).name if inside else base
            if step.unpacks:
                _drop(placed, base)  # perhaps an archive, whose content is then here
            else:
                placed[dest] = source
            folders.update(dest.parents)


def _digest(*parts: object) -> str:
    # JSON escapes a name's stray bytes (surrogates), so no two inputs look alike.
    return f"{SCHEME}:sha256:{sha256(json.dumps(parts, sort_keys=True).encode())}"


def _relevant(arguments: Mapping[str, str], declared: Iterable[str] | None) -> dict[str, str]:
    """The build args that can change the image; None: all but proxies."""
    if declared is None:
        return {name: value for name, value in arguments.items() if name not in _PROXIES}
    names = set(declared)
    return {
        name: value
        for name, value in arguments.items()
        if name in names or name.startswith("BUILDKIT_") or name == "SOURCE_DATE_EPOCH"
    }


def _images(plan: Program | None) -> tuple[str, ...]:
    stages = plan.stages if plan else ()
    return tuple(sorted({image for stage in stages for image in stage.images}))


def _remotes(plan: Program | None, named: _Named) -> tuple[str, ...]:
    stages = plan.stages if plan else ()
    return (*(reason for stage in stages for reason in stage.remote), *named.remote)


def _coarse(
    build: BuildSpec,
    tree: Tree,
    text: str,
    arguments: Mapping[str, str],
    doubts: tuple[str, ...],
    named: _Named,
    plan: Program | None = None,
) -> BuildInputs:
    """The inputs where something is unresolved: the text, all args, all files."""
    paths = {path: tree.record(path) for path in tree.under(".")} | dict(named.records)
    options = (build.target, build.platforms, build.additional_contexts)
    digest = _digest("coarse", text, options, _relevant(arguments, None), paths)
    return BuildInputs(
        digest=digest,
        dependencies=digest,
        paths=paths,
        copies=(),
        unresolved=doubts,
        remote=_remotes(plan, named),
        base_images=_images(plan),
        context=tree.root,
        dockerfile=None if build.dockerfile_inline is not None else build.dockerfile_path,
    )


def _exact(
    build: BuildSpec,
    tree: Tree,
    source: Dockerfile,
    plan: Program,
    arguments: Mapping[str, str],
    named: _Named,
    read: Mapping[int, Mapping[str, str]],
    copies: tuple[tuple[str, PurePosixPath], ...],
) -> BuildInputs:
    paths = {path: record for records in read.values() for path, record in records.items()}
    paths |= named.records
    relevant = _relevant(arguments, plan.declared)
    head = (source.syntax, source.escape, _text(source.arguments))
    options = (build.platforms, build.additional_contexts, relevant)
    chain = {id(stage) for stage in plan.chain}
    others = [stage for stage in plan.stages if id(stage) not in chain]
    before = {path: record for stage in others for path, record in read[id(stage)].items()}
    return BuildInputs(
        digest=_digest("exact", head, options, _stages(plan.stages), _target(plan), paths),
        dependencies=_digest("dependencies", head, options, _stages(others), before),
        paths=paths,
        copies=copies,
        unresolved=(),
        remote=_remotes(plan, named),
        base_images=_images(plan),
        context=tree.root,
        dockerfile=None if build.dockerfile_inline is not None else build.dockerfile_path,
    )


def _target(plan: Program) -> int:
    return next(at for at, stage in enumerate(plan.stages) if stage is plan.chain[-1])


def _stages(stages: Iterable[ResolvedStage]) -> list[object]:
    return [
        [one.stage.base, one.stage.name, one.stage.platform, _text(one.stage.instructions)]
        for one in stages
    ]


def _text(instructions: Iterable[dockerfile.Instruction]) -> list[object]:
    return [
        [one.name, one.flags, one.text, [[h.name, h.body] for h in one.heredocs]]
        for one in instructions
    ]
