"""Build, stamp and judge images: where the image proof meets the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from unstale import override
from unstale.errors import CouldNotTell, Mismatch, NotReady
from unstale.image.check import LABEL_INPUTS, ImageStatus, check
from unstale.image.inputs import BuildInputs, build_inputs
from unstale.image.verify import Search, VerifyResult
from unstale.image.verify import verify as verify_image
from unstale.pipeline.site import Ports, Site
from unstale.ports import BuildOptions, Files, Line
from unstale.verdict import Fresh, Missing, Stale, Unknown, word

__all__ = [
    "Build",
    "build",
    "describe",
    "digests",
    "needs_build",
    "require_fresh",
    "require_present",
    "require_verified",
    "statuses",
    "verify",
]

_REVISION = "org.opencontainers.image.revision"
_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class Build:
    """How to build."""

    no_cache: bool = False
    pull: bool = False
    arguments: tuple[str, ...] = ()
    """``KEY=value``, laid over the compose file's."""


def statuses(ports: Ports, site: Site, environ: Mapping[str, str]) -> tuple[ImageStatus, ...]:
    """The verdict for each built service."""
    return tuple(
        check(
            ports.docker,
            ports.git,
            service.name,
            service.image,
            build_inputs(service.build, environ),
            root=site.settings.root,
            recorded=_recorded(site, ports, service.image),
        )
        for service in site.stack.built
        if service.build is not None
    )


def needs_build(status: ImageStatus) -> bool:
    """Whether anything but a build can make *status* green."""
    return not isinstance(status.verdict, Fresh)


def digests(site: Site, environ: Mapping[str, str]) -> dict[str, str]:
    """The digest of each built service's inputs, as they are now."""
    return {
        s.name: build_inputs(s.build, environ).digest
        for s in site.stack.built
        if s.build is not None
    }


def build(
    ports: Ports,
    files: Files,
    site: Site,
    services: Sequence[str],
    choice: Build,
    environ: Mapping[str, str],
    line: Line,
) -> None:
    """Build *services* and stamp them with the digest of what they read.

    The digest is taken before and after: the engine reads the context when it
    starts, so a file edited meanwhile would be vouched for without being in.

    Raises:
        BuildFailed: compose's build failed.
        CouldNotTell: the tree changed during the build.

    """
    before = {
        s.name: build_inputs(s.build, environ)
        for s in site.stack.built
        if s.build is not None and s.name in services
    }
    # With other arguments than the compose file's, the image is not what the
    # digest describes: it gets no stamp.
    labels = {name: _labels(ports, inputs) for name, inputs in before.items()}
    stamped = {} if choice.arguments else labels
    path = site.state_folder / "build" / f"{site.environment.name}.override.yml"
    files.write_atomic(path, override.for_build(stamped) if stamped else "services: {}\n")
    target = replace(site.target, files=(*site.target.files, path))
    options = BuildOptions(choice.no_cache, choice.pull, choice.arguments)
    ports.docker.build(target, services, options, line)
    changed = [
        name
        for name, now in digests(site, environ).items()
        if name in before and now != before[name].digest
    ]
    if changed:
        raise CouldNotTell(
            f"Files of {', '.join(changed)} changed while the build was going on.",
            cause="It can't be told whether the image holds the old or the new ones.",
            hint="inv image.build",
        )
    for inputs in before.values():
        _record(files, site, inputs)


def _labels(ports: Ports, inputs: BuildInputs) -> dict[str, str]:
    """The stamp. No clock in it: labels are part of the image's id."""
    head = ports.git.head()
    found = {LABEL_INPUTS: inputs.digest}
    if head is not None:
        found[_REVISION] = head.sha
        found[_CREATED] = head.committed_at.isoformat()
    return found


def _record(files: Files, site: Site, inputs: BuildInputs) -> None:
    path = site.state_folder / "manifests" / f"{inputs.digest.rpartition(':')[2]}.json"
    files.write_atomic(path, json.dumps(dict(inputs.paths), sort_keys=True) + "\n")


def _recorded(site: Site, ports: Ports, reference: str) -> Mapping[str, str] | None:
    """What the image's stamp was made of, if it was built in this checkout."""
    image = ports.docker.image(reference)
    stamp = image.labels.get(LABEL_INPUTS) if image else None
    if not stamp:
        return None
    path = site.state_folder / "manifests" / f"{stamp.rpartition(':')[2]}.json"
    if not path.exists():
        return None
    found: dict[str, str] = json.loads(path.read_text())
    return found


def describe(found: Sequence[ImageStatus]) -> str:
    """One line on several images."""
    return ", ".join(f"{s.service} {word(s.verdict)}" for s in found) or "nothing is built here"


def require_fresh(wrong: Sequence[ImageStatus]) -> None:
    """Accept only an empty *wrong*, after a build.

    Raises:
        Mismatch: an image does not hold the bytes that are here.
        CouldNotTell: it can't be told.

    """
    for status in wrong:
        match status.verdict:
            case Unknown(why):
                raise CouldNotTell(
                    f"It can't be told whether {status.service!r} is fresh.",
                    cause=why,
                    hint="inv image.status --json",
                )
            case Stale(reasons):
                names = ", ".join(r.path for r in reasons[:5])
                raise Mismatch(
                    f"{status.service!r} is stale right after its build: {names}.",
                    cause="BuildKit compares size and time, never content, when it "
                    "transfers a context; or a RUN rewrote what was copied.",
                    hint=f"touch {names or 'the files'}, then inv image.build",
                )
            case Missing():
                raise NotReady(f"{status.service!r} has no image.", hint="inv image.build")
            case _:
                continue


def require_present(ports: Ports, site: Site) -> None:
    """Refuse to start a stack whose images were never built.

    Raises:
        NotReady: an image is missing.

    """
    for service in site.stack.built:
        if ports.docker.image(service.image) is None:
            raise NotReady(f"{service.name!r} has no image yet.", hint="inv image.build")


def verify(
    ports: Ports,
    site: Site,
    service: str,
    environ: Mapping[str, str],
    *,
    path: str | None = None,
    grep: str | None = None,
    regex: str | None = None,
) -> VerifyResult:
    """Look for a text in the image of *service*, and compare its bytes.

    Raises:
        NotReady: there is no image.

    """
    found = site.stack.service(service)
    if found is None or found.build is None:
        raise Mismatch(
            f"{service!r} is not built here, so there is nothing to compare it with.",
            hint="name a service with a build section: --service NAME",
        )
    image = ports.docker.image(found.image)
    if image is None:
        raise NotReady(
            f"{service!r} has no image yet.", hint=f"inv image.build --service {service}"
        )
    inputs = build_inputs(found.build, environ)
    return verify_image(
        ports.docker,
        ports.process,
        image.id,
        service,
        inputs,
        path=PurePosixPath(path) if path else None,
        search=Search(regex, is_regex=True) if regex else Search(grep) if grep else None,
    )


def require_verified(result: VerifyResult) -> None:
    """Accept only a result without a finding.

    Raises:
        Mismatch: the pattern or the path is not there, or bytes differ.

    """
    if result.finding:
        raise Mismatch(result.finding, hint=f"inv image.build --service {result.service}")
