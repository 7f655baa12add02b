"""Judge images and look into them: where the image proof meets the engine."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from unstale.compose import Service, Stack
from unstale.errors import (
    CouldNotTell,
    Fault,
    Interrupted,
    Mismatch,
    NotDone,
    NotReady,
    UnstaleError,
    UsageError,
)
from unstale.facts import BuildRecord, ImageFact, MountFact, Placement
from unstale.image import explain
from unstale.image.check import LABEL_INPUTS, LABEL_MANIFEST, ImageStatus, Judgement, judge
from unstale.image.contexts import Contexts
from unstale.image.inputs import BuildInputs, build_inputs
from unstale.image.program import familiar
from unstale.image.proof import Proofs
from unstale.pipeline.site import Ports, Site
from unstale.ports import Files
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict, combine, word

if TYPE_CHECKING:
    from unstale.image.manifest import Manifest
    from unstale.image.verify import VerifyResult
    from unstale.stack.mounts import Chain

__all__ = [
    "Bench",
    "describe",
    "is_not_compared",
    "needs_build",
    "placed",
    "require_fresh",
    "require_present",
    "require_verified",
    "statuses",
    "unpinned",
    "verify",
    "with_bases",
]

_NOT_COMPARED = Unknown(
    "its bytes were not compared: a dry run makes no container to read them from"
)
# More than any list of commits a person reads; beyond it the count stays there.
_MOST_COMMITS = 1000


class Bench:
    """What judging and building one environment's images works with.

    Contexts are scanned once, however many services they have, until `rescan`.
    """

    def __init__(self, ports: Ports, files: Files, site: Site, environ: Mapping[str, str]) -> None:
        self.ports = ports
        self.files = files
        self.site = site
        self.environ = environ
        self.contexts = Contexts(
            site.state_folder / "stat",
            hidden=site.state_folder,
            keeps=not ports.is_dry,
            seal=site.seal,
        )
        self.proofs = Proofs(files, site.state_folder / "proofs")
        self._images: dict[str, ImageFact | None] = {}
        self._manifests: dict[str, Manifest | None] = {}

    def rescan(self) -> None:
        """Look at the tree and at the images anew."""
        self.contexts.rescan()
        self._images.clear()
        self._manifests.clear()

    @property
    def services(self) -> tuple[Service, ...]:
        """The services that are built here."""
        return self.site.stack.built

    def image(self, reference: str) -> ImageFact | None:
        """The local image of *reference*; the built services' are asked for at once."""
        if reference not in self._images:
            names = {reference, *(s.image for s in self.services)} - self._images.keys()
            found = self.ports.docker.images_called(tuple(sorted(names)))
            self._images |= {name: found.get(name) for name in names}
        return self._images[reference]

    def inputs(self, service: Service, *, to_build: bool = False) -> BuildInputs:
        """What the build of *service* reads now.

        A base image that is not on this machine is taken from the stamp of the
        service's own image: it was there when that was built. Not *to_build*: the
        builder may get another one.
        """
        if service.build is None:
            message = f"BUG: {service.name} is not built here. Please report it."
            raise AssertionError(message)
        known = (self.environ, self.image, self.contexts, self._platform)
        found = build_inputs(service.build, *known)
        # Read only where it is needed: of 100,000 files it takes as long as the walk.
        stamped = self.stamped(service) if found.absent and not to_build else None
        if stamped is None:
            return found
        from unstale.image import manifest

        return build_inputs(service.build, *known, manifest.base_facts(stamped))

    def _platform(self) -> str:
        return self.ports.docker.platform()

    def stamped(self, service: Service) -> Manifest | None:
        """What the stamp of the service's image was made of, if that is known."""
        fact = self.image(service.image)
        stamp = fact.labels.get(LABEL_INPUTS) if fact else None
        if fact is None or not stamp:
            return None
        if stamp not in self._manifests:
            self._manifests[stamp] = self._manifest(stamp, fact.labels.get(LABEL_MANIFEST))
        return self._manifests[stamp]

    def _manifest(self, digest: str, carried: str | None) -> Manifest | None:
        from unstale.image import manifest

        try:
            return manifest.decode(carried or self.files.read_text(self.manifest_path(digest)))
        except UsageError:
            return None

    def manifest_path(self, digest: str) -> Path:
        """Where the manifest of *digest* is kept in the checkout."""
        return self.site.state_folder / "manifests" / f"{digest.rpartition(':')[2]}.json"

    @property
    def ledger_path(self) -> Path:
        """The ledger of the builds of this environment."""
        return self.site.state_folder / "builds" / f"{self.site.environment.name}.jsonl"

    def records(self) -> tuple[BuildRecord, ...]:
        """The builds that were made in this checkout, oldest first."""
        from unstale.image.ledger import parse_records

        try:
            return parse_records(self.files.read_text(self.ledger_path))
        except Interrupted:
            raise
        except UnstaleError:
            return ()  # it explains, and proves nothing


def statuses(bench: Bench, only: Sequence[str] | None = None) -> tuple[ImageStatus, ...]:
    """The verdict for each built service in play, or for those called in *only*.

    What is only there for a profile that is not switched on is in nobody's way.
    A service that is built on another service's image is no fresher than that.
    """
    play = bench.site.in_play
    names = [s.name for s in bench.services if s.name in (play if only is None else only)]
    found = _judged(bench, names)
    if only is None:  # what others are built on is in play, too
        names = list(found)
    bench.contexts.save()
    return _explained(bench, tuple(found[s.name] for s in bench.services if s.name in names))


def _judged(bench: Bench, wanted: Sequence[str]) -> dict[str, ImageStatus]:
    """The verdicts on *wanted*, and on all that those are built on."""
    names = {familiar(s.image): s.name for s in bench.services}
    services = {s.name: s for s in bench.services}
    built_on: dict[str, tuple[str, ...]] = {}
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name not in built_on:
            built_on[name] = _built_on(bench, services[name], names)
            queue += built_on[name]
    found = {name: _status(bench, services[name]) for name in services if name in built_on}
    # As often as a chain of services can be long: what is built on what is built on...
    for _ in found:
        for name, bases in built_on.items():
            found[name] = _with_bases(found[name], [found[base] for base in bases])
    return found


def _status(bench: Bench, service: Service) -> ImageStatus:
    fact = bench.image(service.image)
    inputs = bench.inputs(service)
    root = bench.site.settings.root
    # What a stamp was made of is read only where it differs.
    is_claimed = fact is not None and fact.labels.get(LABEL_INPUTS) == inputs.digest
    stamped = None if is_claimed else bench.stamped(service)
    try:
        judged = judge(bench.ports.docker, fact, inputs, stamped, bench.proofs, root)
    except NotDone:
        judged = Judgement(_NOT_COMPARED, "content")
    is_maskable = isinstance(judged.verdict, Stale) and judged.method == "digest"
    one = _through_mounts(judged.verdict, service, inputs, stamped, root) if is_maskable else None
    return ImageStatus(
        service=service.name,
        image=service.image,
        image_id=fact.id if fact else None,
        built_at=fact.created if fact else None,
        verdict=one.verdict if one else judged.verdict,
        method=judged.method,
        inputs=inputs.digest,
        dependencies=inputs.dependencies,
        commits_behind=0,
        hours_behind=0.0,
        masked=one.masked if one else (),
        not_covered=(*inputs.not_covered, *_of_podman(bench)),
        unpinned=_unpinned(bench, inputs),
        attestations=fact.attestations if fact else None,
    )


def _of_podman(bench: Bench) -> tuple[str, ...]:
    """The digest is of what BuildKit reads, which there is not the builder."""
    return (
        ("how Podman's own builder reads the Dockerfile",) if bench.ports.docker.is_podman() else ()
    )


def _through_mounts(
    verdict: Verdict, service: Service, inputs: BuildInputs, stamped: Manifest | None, root: Path
) -> Chain:
    """*verdict* with what the mounts of *service* do to files whose change is harmless there."""
    from unstale.image.reasons import maskable
    from unstale.stack.mounts import chain, findings, real_path

    # What comes from another container can't be seen here.
    is_bound = any(m.kind == "bind" for m in service.mounts) and not service.has_volumes_from
    harmless = maskable(stamped, inputs, root) if is_bound else ()
    found = findings(placed(inputs), _mounts(service, inputs), cache(real_path)) if harmless else ()
    seen = (f for f in found if os.path.relpath(f.placement.source, root) in harmless)
    return chain(verdict, (), seen, root)


def unpinned(stack: Stack, statuses: Sequence[ImageStatus]) -> dict[str, list[str]]:
    """The images, by service, that are used by a name alone, and so may be others next time."""
    pulled = {s.name: s.image for s in stack.services if s.build is None}
    found = {s.service: list(s.unpinned) for s in statuses}
    found |= {name: [image] for name, image in pulled.items() if "@" not in image}
    return {name: images for name, images in sorted(found.items()) if images}


def _unpinned(bench: Bench, inputs: BuildInputs) -> tuple[str, ...]:
    ours = {familiar(s.image) for s in bench.services}
    names = (name for name in inputs.images if "@" not in name and familiar(name) not in ours)
    return tuple(sorted(names))


def _mounts(service: Service, inputs: BuildInputs) -> tuple[MountFact, ...]:
    """All that lies over the image's files, by whatever key of the compose file."""
    found = [MountFact(m.kind, m.source, m.target) for m in service.mounts]
    found += [MountFact("tmpfs", "", target) for target in service.covered]
    named = {mount.target for mount in found}
    config = json.loads(inputs.plan.stages[inputs.plan.target].config) if inputs.plan else {}
    volumes = [v for v in config.get("Volumes") or () if v not in named]
    return (*found, *(MountFact("volume", "", target) for target in volumes))


def placed(inputs: BuildInputs) -> tuple[Placement, ...]:
    """Where the image of *inputs* has the files of this machine."""
    from unstale.image.placements import placements

    return tuple(
        Placement(
            inputs.trees[one.context].root / one.source,
            one.dest,
            one.derived or one.is_read_elsewhere,
        )
        for one in placements(inputs)
    )


def with_bases(bench: Bench, wanted: Sequence[str]) -> tuple[str, ...]:
    """*wanted*, and the services that they are built on and that need a build, too."""
    names = {familiar(s.image): s.name for s in bench.services}
    needy = {n for n, s in _judged(bench, wanted).items() if needs_build(s) or s.masked}
    found, queue = dict.fromkeys(wanted), list(wanted)
    while queue:
        service = bench.site.stack.service(queue.pop())
        bases = _built_on(bench, service, names) if service and service.build else ()
        fresh = [name for name in bases if name in needy and name not in found]
        found |= dict.fromkeys(fresh)
        queue += fresh
    return tuple(found)


def _built_on(bench: Bench, service: Service, names: Mapping[str, str]) -> tuple[str, ...]:
    """The services whose images the build of *service* starts from or copies from."""
    used = map(familiar, bench.inputs(service).images)
    return tuple(names[i] for i in used if i in names and names[i] != service.name)


def _with_bases(status: ImageStatus, bases: Sequence[ImageStatus]) -> ImageStatus:
    if isinstance(status.verdict, Missing):
        return status
    known = status.verdict.reasons if isinstance(status.verdict, Stale) else ()
    # A mount masks for its own service: the image below is old all the same.
    old = (b for b in bases if needs_build(b) or b.masked)
    reasons = (Reason(f"base:{b.service}", "modified") for b in old)
    wrong = tuple(reason for reason in reasons if reason not in known)
    return replace(status, verdict=combine((status.verdict, Stale(wrong)))) if wrong else status


def _explained(bench: Bench, found: Sequence[ImageStatus]) -> tuple[ImageStatus, ...]:
    """*found* with the commits behind their reasons, and behind their images."""
    git, root = bench.ports.git, bench.site.settings.root
    reasons = [r for s in found if isinstance(s.verdict, Stale) for r in s.verdict.reasons]
    reasons += [r for s in found for r in s.masked]
    commits = explain.commits_of(git, root, reasons) if reasons else {}
    oldest = min((s.built_at for s in found if s.built_at is not None), default=None)
    log = git.log(since=oldest, limit=_MOST_COMMITS) if oldest is not None else ()
    return tuple(
        replace(
            status,
            verdict=Stale(explain.explain(status.verdict.reasons, commits))
            if isinstance(status.verdict, Stale)
            else status.verdict,
            masked=explain.explain(status.masked, commits),
            **_behind(status.built_at, [commit.committed_at for commit in log]),
        )
        for status in found
    )


def _behind(built_at: datetime | None, committed: Sequence[datetime]) -> dict[str, Any]:
    # Any: an integer and a float, as `replace` takes them.
    later = [moment for moment in committed if built_at is not None and moment > built_at]
    if built_at is None or not later:
        return {}
    hours = (max(later) - built_at).total_seconds() / 3600
    return {"commits_behind": len(later), "hours_behind": hours}


def needs_build(status: ImageStatus) -> bool:
    """Whether anything but a build can make *status* green."""
    return not isinstance(status.verdict, Fresh)


def is_not_compared(status: ImageStatus) -> bool:
    """Whether only a dry run can't tell what *status* is."""
    return status.verdict == _NOT_COMPARED


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
                    cause="Files changed since, or a base image is stale.",
                    hint="inv image.build, then inv image.status",
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
    there = ports.docker.images_called([s.image for s in site.stack.built])
    for service in site.stack.built:
        if service.name in site.in_play and service.image not in there:
            raise NotReady(
                f"{service.name!r} has no image yet.",
                cause="It was not built here, or was removed.",
                hint="inv image.build",
                fault=Fault.BUILD,
            )


def verify(
    bench: Bench,
    service: str,
    *,
    path: str | None = None,
    grep: str | None = None,
    regex: str | None = None,
    masked: Sequence[Reason] = (),
) -> VerifyResult:
    """Look for a text in the image of *service*, and compare its bytes.

    What is *masked* may differ: the current files are what runs.

    All copied files are compared once an image id; later looks cite that proof.

    Raises:
        Mismatch: the service is not built here.
        NotReady: there is no image.

    """
    # Here: `image.status` does without it, and every command waits for this module.
    from unstale.image.verify import Search
    from unstale.image.verify import verify as verify_image

    found = bench.site.stack.service(service)
    if found is None or found.build is None:
        raise Mismatch(
            f"{service!r} is not built here, so there is nothing to compare it with.",
            hint="name a service with a build section: --service NAME",
        )
    image = bench.image(found.image)
    if image is None:
        raise NotReady(
            f"{service!r} has no image yet.",
            cause="It was not built here, or was removed.",
            hint=f"inv image.build --service {service}",
            fault=Fault.BUILD,
        )
    inputs = bench.inputs(found)
    result = verify_image(
        bench.ports.docker,
        bench.ports.process,
        image.id,
        service,
        inputs,
        path=PurePosixPath(path) if path else None,
        search=Search(regex, is_regex=True) if regex else Search(grep) if grep else None,
        known=bench.proofs.of(image.id, inputs.digest),
    )
    return _excused(result, {reason.path for reason in masked}, inputs, bench.site.settings.root)


def _excused(
    result: VerifyResult, masked: Collection[str], inputs: BuildInputs, root: Path
) -> VerifyResult:
    left = tuple(
        one
        for one in result.differences
        if os.path.relpath(inputs.context / one.source, root) not in masked
    )
    count = len(result.differences) - len(left)
    if left or not count:
        return result
    return replace(result, verdict=Fresh(), differences=(), finding="", masked=count)


def require_verified(result: VerifyResult) -> None:
    """Accept only a result without a finding.

    Raises:
        Mismatch: the pattern or the path is not there, or bytes differ.

    """
    if result.finding:
        verb = "build" if result.differences else "status"
        raise Mismatch(result.finding, hint=f"inv image.{verb} --service {result.service}")
