"""Build images, stamp them, and prove that the builder used the right bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from unstale import override
from unstale.afterwards import afterwards
from unstale.compose import Service
from unstale.errors import (
    BuildFailed,
    CouldNotTell,
    Interrupted,
    Mismatch,
    UnstaleError,
    UsageError,
)
from unstale.facts import BuildRecord, ImageFact
from unstale.image import manifest, transfer
from unstale.image.check import LABEL_INPUTS, LABEL_MANIFEST, settle
from unstale.image.content import compare
from unstale.image.contexts import ignore_file
from unstale.image.inputs import BuildInputs
from unstale.image.local import UNPROVEN
from unstale.image.program import familiar
from unstale.jsontext import read_json
from unstale.override import BuildOverlay
from unstale.pipeline import engines, retention
from unstale.pipeline.images import Bench, with_bases
from unstale.ports import BuildOptions, Line
from unstale.stack.names import build_lock
from unstale.verdict import Fresh, Stale, Unknown

__all__ = ["Build", "build", "waves"]

_REVISION = "org.opencontainers.image.revision"
_CREATED = "org.opencontainers.image.created"
_IMAGE = "docker-image://"

# A label that is not set would be the base image's, which may be one of ours.
_NO_STAMP = {LABEL_INPUTS: "", LABEL_MANIFEST: ""}

# An editor, or tests that run meanwhile, may touch files without changing them.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Build:
    """How to build."""

    no_cache: bool = False
    pull: bool = False
    arguments: tuple[str, ...] = ()
    """``KEY=value``, laid over the compose file's."""


def build(bench: Bench, services: Sequence[str], choice: Build, line: Line) -> tuple[str, ...]:
    """Build *services*, and what they are built on if that is stale, and prove their bytes.

    Returns what was remarkable.

    The digest is taken before and after: the engine reads the context when it
    starts, so a file edited meanwhile would be vouched for without being in.

    Raises:
        BuildFailed: compose's build failed.
        CouldNotTell: the tree changed during the build; nothing is stamped.
        Mismatch: the image does not hold the bytes that were sent.

    """
    notes: list[str] = []
    # Another build of this checkout would use the same names.
    with bench.files.locked(build_lock(bench.site.machine_folder, bench.site.settings.root)):
        for wave in waves(bench, with_bases(bench, services)):
            names, docker = [_unproven(bench, s) for s in wave], bench.ports.docker
            with afterwards(partial(docker.remove_images, names)):
                notes += _build_wave(bench, wave, choice, line)
        _tidy(bench, line)
    return tuple(notes)


def _tidy(bench: Bench, line: Line) -> None:
    """Whatever goes wrong with what is old, the new images are what they are."""
    try:
        retention.after_build(bench)
    except Interrupted:
        raise
    except UnstaleError as error:
        line(f"not removed: {error.what}")


def waves(bench: Bench, services: Sequence[str]) -> Iterator[tuple[Service, ...]]:
    """*services* in an order in which each comes after those it is built on."""
    todo = {s.name: s for s in bench.services if s.name in services}
    while todo:
        images = {familiar(s.image) for s in todo.values()}
        ready = tuple(
            s for s in todo.values() if not (images - {familiar(s.image)}) & _bases(bench, s)
        )
        # A circle is the builder's to refuse.
        yield ready or tuple(todo.values())
        todo = {name: s for name, s in todo.items() if ready and s not in ready}


def _bases(bench: Bench, service: Service) -> frozenset[str]:
    return frozenset(map(familiar, bench.inputs(service).images))


def _build_wave(bench: Bench, wave: Sequence[Service], choice: Build, line: Line) -> Iterator[str]:
    if bench.ports.docker.is_podman():
        engines.require_buildable(bench, wave)
    _pull_bases(bench, wave, choice, line)
    bench.rescan()
    before = {s.name: bench.inputs(s, to_build=True) for s in wave}
    sends = _sends(bench, wave, before)
    for name, (_, why) in sends.items():
        if why:
            yield f"{name} is sent under a new name: {why}"
    images = _compose_build(bench, wave, before, sends, choice, line)
    # With other arguments the image is not what the compose files describe: it
    # has no stamp, and there is nothing to prove.
    checked = () if choice.arguments else wave
    wrong = [s for s in checked if _needs_resend(bench, s, images[s.name], before[s.name])]
    for service in wrong:
        yield f"the builder used old bytes for {service.name}, or a RUN rewrote them: sent anew"
    if wrong:
        images |= _send_anew(bench, wrong, before, sends, choice, line)
    if _stubborn(bench, wrong, images, before):
        yield "and built without the layer cache, which holds old bytes as well"
        again = replace(choice, no_cache=True)
        images |= _send_anew(bench, wrong, before, sends, again, line)
    for service in wrong:
        _require_proof(bench, service, images[service.name], before[service.name])
    _give_names(bench, wave, images)


def _send_anew(
    bench: Bench,
    wave: Sequence[Service],
    inputs: Mapping[str, BuildInputs],
    sends: _Sends,
    choice: Build,
    line: Line,
) -> dict[str, ImageFact]:
    """Build *wave* once more, with its contexts under names that are new."""
    renamed: dict[str, tuple[transfer.Sent, str]] = {}
    for group in _by_context(bench, wave).values():
        sent = transfer.renamed(sends[group[0].name][0])
        renamed |= {s.name: (sent, "") for s in group}
    _keep_sends(bench, wave, renamed)
    return _compose_build(bench, wave, inputs, renamed, choice, line)


def _stubborn(
    bench: Bench,
    wave: Sequence[Service],
    images: Mapping[str, ImageFact],
    inputs: Mapping[str, BuildInputs],
) -> bool:
    """Whether a file differs still that no RUN can have rewritten."""
    looks = (compare(bench.ports.docker, images[s.name].id, inputs[s.name]) for s in wave)
    return any(not one.derived for seen in looks for one in seen.differences)


def _pull_bases(bench: Bench, wave: Sequence[Service], choice: Build, line: Line) -> None:
    """Bring base images into the local store, where they can be looked at.

    Those that are missing, or with ``--pull`` all that are not built here:
    BuildKit would fetch them for itself alone, and then perhaps others. It takes
    what is in the local store as it is. A base that came may name more images,
    in its triggers.

    Raises:
        BuildFailed: a registry that had an image does not give it any more.

    """
    ours = {familiar(service.image) for service in bench.services}
    seen: set[tuple[str, str]] = set()
    while new := {k: here for k, here in _named(bench, wave).items() if k not in seen}:
        for (reference, platform), here in new.items():
            if here is None or (choice.pull and familiar(reference) not in ours):
                line(f"pulling {reference}")
                _pull(bench, reference, platform, here, line)
        seen |= new.keys()


def _named(bench: Bench, wave: Sequence[Service]) -> dict[tuple[str, str], ImageFact | None]:
    """The images that *wave* names, by reference and platform."""
    found = (bench.inputs(service, to_build=True) for service in wave)
    return {pair: one.bases.get(pair[0]) for one in found for pair in one.images.items()}


def _pull(bench: Bench, reference: str, platform: str, here: ImageFact | None, line: Line) -> None:
    if bench.ports.docker.pull(reference, platform):
        bench.rescan()
    elif here is None:
        pass  # the build says why, or has it in its cache
    elif here.is_pulled:
        raise BuildFailed(
            f"The base image {reference} can't be pulled.",
            cause="Its registry does not answer, wants a login, or does not have it any more.",
            hint=f"docker pull {reference}; without --pull the one that is here is used",
        )
    else:
        line(f"{reference} can't be pulled: the one that is here is used")


# Sending


def _send_path(bench: Bench, service: Service) -> Path:
    """Where it is written down what was sent of the context.

    Not in the checkout: a copy of that, or one that is restored from a CI cache,
    would speak of sends that were not the last.
    """
    context = os.path.realpath(service.build.context if service.build else "")
    return bench.site.machine_folder / "contexts" / f"{transfer.key(context)}.json"


def _link(bench: Bench, sent: transfer.Sent) -> Path:
    return bench.site.state_folder / "contexts" / sent.name


_Sends = Mapping[str, tuple[transfer.Sent, str]]
"""Service -> what is sent under which name, and why that name is new."""


def _sends(
    bench: Bench, wave: Sequence[Service], inputs: Mapping[str, BuildInputs]
) -> dict[str, tuple[transfer.Sent, str]]:
    found: dict[str, tuple[transfer.Sent, str]] = {}
    for path, group in _by_context(bench, wave).items():
        entries: dict[str, tuple[str, str]] = {}
        for service in group:
            if service.build is not None:
                entries |= transfer.entries(inputs[service.name], ignore_file(service.build))
        sent, why = transfer.next_send(_read_sent(bench, path), entries)
        found |= {s.name: (sent, why if s is group[0] else "") for s in group}
    # Written before the builder gets to see it: a build that dies was a send, too.
    _keep_sends(bench, wave, found)
    return found


def _by_context(bench: Bench, wave: Sequence[Service]) -> dict[Path, list[Service]]:
    found: dict[Path, list[Service]] = {}
    for service in wave:
        if service.build is not None and service.build.is_local:
            found.setdefault(_send_path(bench, service), []).append(service)
    return found


def _read_sent(bench: Bench, path: Path) -> transfer.Sent | None:
    try:
        return transfer.decode(bench.files.read_text(path))
    except UsageError:
        return None


def _keep_sends(bench: Bench, wave: Sequence[Service], sends: _Sends) -> None:
    for path, group in _by_context(bench, wave).items():
        sent, _ = sends[group[0].name]
        before = _read_sent(bench, path)
        bench.files.write_atomic(path, transfer.encode(sent))
        if before is not None and before.name != sent.name:
            bench.files.remove(_link(bench, before))
        for service in group:
            if service.build is not None:
                bench.files.link(_link(bench, sent), Path(service.build.context))


# Building


def _compose_build(
    bench: Bench,
    wave: Sequence[Service],
    inputs: Mapping[str, BuildInputs],
    sends: _Sends,
    choice: Build,
    line: Line,
) -> dict[str, ImageFact]:
    """Build *wave* with its stamp; returns the new images, which have no name of worth yet.

    Raises:
        BuildFailed: compose's build failed.
        CouldNotTell: the tree does not stand still.

    """
    overlays = {s.name: _overlay(bench, s, inputs[s.name], sends, choice) for s in wave}
    path = bench.site.state_folder / "build" / f"{bench.site.environment.name}.override.yml"
    bench.files.write_atomic(path, override.for_build(overlays))
    target = replace(bench.site.target, files=(*bench.site.target.files, path))
    no_cache = choice.no_cache or _is_cache_blind(bench, wave, inputs)
    options = BuildOptions(no_cache, choice.arguments, bench.site.settings.deadlines.build)
    # Without a stamp, nothing is vouched for that could have changed.
    stamped = () if choice.arguments else wave
    for _ in range(_ATTEMPTS):
        moments = {s.name: _moments(s, inputs[s.name]) for s in stamped}
        bench.ports.docker.build(target, [s.name for s in wave], options, line)
        bench.rescan()
        _require_still(bench, stamped, inputs)
        # Equal bytes again, and yet written to: the builder may have seen others.
        if all(_moments(s, inputs[s.name]) == moments[s.name] for s in stamped):
            break
    else:
        raise _moved(stamped)
    images = _built(bench, wave, {s.name: inputs[s.name].digest for s in stamped})
    _record(bench, wave, inputs, images, is_stamped=not choice.arguments)
    return images


def _is_cache_blind(
    bench: Bench, wave: Sequence[Service], inputs: Mapping[str, BuildInputs]
) -> bool:
    blind = any(engines.is_cache_blind(inputs[service.name]) for service in wave)
    return blind and bench.ports.docker.is_podman()


def _moments(service: Service, inputs: BuildInputs) -> str:
    return transfer.moments(inputs, ignore_file(service.build) if service.build else None)


def _require_still(
    bench: Bench, wave: Sequence[Service], inputs: Mapping[str, BuildInputs]
) -> None:
    changed = [s for s in wave if bench.inputs(s, to_build=True).digest != inputs[s.name].digest]
    if changed:
        raise _moved(changed)


def _moved(services: Sequence[Service]) -> CouldNotTell:
    return CouldNotTell(
        f"Files of {', '.join(s.name for s in services)} changed while the build was going on.",
        cause="It can't be told whether the image holds the old or the new ones,"
        " so it was not kept.",
        hint="inv image.build",
    )


def _unproven(bench: Bench, service: Service) -> str:
    """The name of an image until its bytes are proven: only then it gets its own.

    So whatever ends the command in between, no name leads to an image that
    nobody looked into.
    """
    return f"{UNPROVEN}{bench.site.target.project}-{service.name}"


def _built(
    bench: Bench, wave: Sequence[Service], stamps: Mapping[str, str]
) -> dict[str, ImageFact]:
    names = {s.name: _unproven(bench, s) for s in wave}
    found = bench.ports.docker.images_called(tuple(names.values()))
    for service, name in names.items():
        if name not in found:
            raise BuildFailed(
                f"{service!r} was built, and the engine has no image of it.",
                cause="Something removed it, or the builder does not load what it builds.",
                hint="docker buildx ls; use a builder of the driver docker",
            )
        if found[name].labels.get(LABEL_INPUTS, "") != stamps.get(service, ""):
            raise BuildFailed(
                f"{service!r} was built without the stamp that was asked for.",
                cause="Another program built under the same name.",
                hint=f"inv image.build --service {service}",
            )
    return {service: found[name] for service, name in names.items()}


def _give_names(bench: Bench, wave: Sequence[Service], images: Mapping[str, ImageFact]) -> None:
    for service in wave:
        bench.ports.docker.tag(images[service.name].id, service.image)
    bench.rescan()


def _overlay(
    bench: Bench, service: Service, inputs: BuildInputs, sends: _Sends, choice: Build
) -> BuildOverlay:
    # With other arguments than the compose file's, the image is not what the
    # digest describes: it gets no stamp.
    labels = dict(_NO_STAMP) if choice.arguments else _labels(bench, inputs)
    if service.build is None or service.name not in sends:
        return BuildOverlay(labels, name=_unproven(bench, service))
    link = _link(bench, sends[service.name][0])
    images = {n: p for n, p in service.build.additional_contexts if p.startswith(_IMAGE)}
    return BuildOverlay(
        labels=labels,
        name=_unproven(bench, service),
        context=link,
        dockerfile=_dockerfile(bench, service, inputs),
        was_inline=service.build.dockerfile_inline is not None,
        images=images,
    )


def _dockerfile(bench: Bench, service: Service, inputs: BuildInputs) -> Path | None:
    """The Dockerfile to build with: the project's own, if its ignore file will do.

    Where that lets `.unstale/` into the context, a copy of both with the line
    that lacks: otherwise each run would make the image stale. One that is written
    inline is always copied: buildx 0.13 leaves it in the temporary folder, each time.
    """
    lacking = bench.contexts.lacks(service.build) if service.build else ""
    inline = service.build.dockerfile_inline if service.build else None
    if service.build is None or (inline is None and not lacking):
        return inputs.dockerfile
    if inline is None and inputs.dockerfile is None:
        return None
    folder = bench.site.state_folder / "build"
    copy = folder / f"{bench.site.environment.name}.{service.name}.Dockerfile"
    own = ignore_file(service.build)
    text = own.read_bytes().decode(errors="surrogateescape") if own else ""
    if inline is None and inputs.dockerfile is not None:
        inline = inputs.dockerfile.read_bytes().decode(errors="surrogateescape")
    bench.files.write_atomic(copy, inline or "")
    ignored = copy.with_name(f"{copy.name}.dockerignore")
    bench.files.write_atomic(ignored, f"{text}\n{lacking}\n")
    return copy


def _labels(bench: Bench, inputs: BuildInputs) -> dict[str, str]:
    """The stamp. No clock in it: labels are part of the image's id."""
    head = bench.ports.git.head()
    packed = manifest.encode(manifest.manifest(inputs))
    found = {LABEL_INPUTS: inputs.digest, LABEL_MANIFEST: packed or ""}
    if head is not None:
        found[_REVISION] = head.sha
        found[_CREATED] = head.committed_at.isoformat()
    return found


def _record(
    bench: Bench,
    wave: Sequence[Service],
    inputs: Mapping[str, BuildInputs],
    images: Mapping[str, ImageFact],
    *,
    is_stamped: bool,
) -> None:
    """Write the manifests and the ledger."""
    head, dirty = bench.ports.git.head(), bench.ports.git.is_dirty()
    lines = []
    for service in wave:
        one = inputs[service.name]
        text = manifest.to_json(manifest.manifest(one))
        bench.files.write_atomic(bench.manifest_path(one.digest), text + "\n")
        record = BuildRecord(
            service=service.name,
            image_id=images[service.name].id,
            inputs=one.digest if is_stamped else "",
            revision=head.sha if head else "",
            dirty=dirty,
            built_at=bench.ports.clock.now(),
        )
        lines.append(json.dumps(asdict(record), default=str))
    bench.files.append(bench.ledger_path, "".join(f"{text}\n" for text in lines))


# Proving


def _rewritten_path(bench: Bench, service: Service) -> Path:
    return bench.site.state_folder / "proofs" / f"rewritten.{service.name}.json"


def _rewritten(bench: Bench, service: Service) -> frozenset[str]:
    """The paths in the image that a RUN is known to rewrite."""
    try:
        text = bench.files.read_text(_rewritten_path(bench, service))
        return frozenset(map(str, read_json(text)))
    except (UsageError, ValueError, TypeError):
        return frozenset()


def _needs_resend(bench: Bench, service: Service, image: ImageFact, inputs: BuildInputs) -> bool:
    if inputs.unknown or bench.proofs.of(image.id, inputs.digest) is not None:
        return False
    seen = compare(bench.ports.docker, image.id, inputs)
    known = _rewritten(bench, service)
    root = bench.site.settings.root
    return not isinstance(settle(image.id, inputs, seen, bench.proofs, root, known), Fresh)


def _require_proof(bench: Bench, service: Service, image: ImageFact, inputs: BuildInputs) -> None:
    """The context was sent under a name that is new: what differs now is no old transfer.

    Raises:
        Mismatch: a file differs that nothing can have rewritten.

    """
    seen = compare(bench.ports.docker, image.id, inputs)
    rewritten = frozenset(str(one.path) for one in seen.differences if one.derived)
    root = bench.site.settings.root
    match settle(image.id, inputs, seen, bench.proofs, root, rewritten):
        case Stale(reasons):
            raise Mismatch(
                f"{service.name!r} does not hold the files it was built from: "
                f"{', '.join(r.path for r in reasons[:5])}.",
                cause="The builder put other bytes into the image, without its cache too.",
                hint="docker builder prune, then inv image.build",
            )
        case Unknown() | Fresh():
            text = json.dumps(sorted(rewritten)) + "\n"
            bench.files.write_atomic(_rewritten_path(bench, service), text)
        case _ as never:
            raise AssertionError(f"BUG: {never}")
