"""Judge the containers of a stack: where image, compose and mounts meet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from unstale.errors import CouldNotTell, Mismatch
from unstale.facts import ContainerFact, MountFact
from unstale.pipeline.images import Bench, placed, statuses
from unstale.pipeline.site import Deployment
from unstale.stack.judge import ContainerStatus, absent, judge_containers
from unstale.stack.lifecycle import PROJECT
from unstale.stack.mounts import Finding, is_anonymous
from unstale.verdict import Missing, Stale, Unknown, Verdict, combine

__all__ = ["StackStatus", "cures", "hiding", "status", "verify_runner", "verify_running"]


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What is known of a stack's containers."""

    project: str
    containers: tuple[ContainerStatus, ...]
    missing: tuple[str, ...]
    """Services that `stack.up` starts and that have no container."""

    @property
    def verdict(self) -> Verdict:
        """One answer for all; Missing where a service has no container."""
        gaps = (Missing(),) if self.missing or not self.containers else ()
        return combine((*(c.verdict for c in self.containers), *gaps))


def status(bench: Bench, deployment: Deployment) -> StackStatus:
    """Judge every container of *deployment* but one-offs.

    Raises:
        CouldNotTell: what the images copy can't be told.

    """
    docker = bench.ports.docker
    found = docker.containers({PROJECT: deployment.target.project})
    # All profiles: a service of one that is off now may have a container.
    model = docker.config(replace(deployment.target, profiles=("*",))).model
    there = {container.service for container in found}
    sources = {status.service: status.verdict for status in statuses(bench, sorted(there))}
    # One answer over source, image, container and mounts: an image that is the
    # service's current one may be older than the files.
    judged = [
        replace(one, source=sources.get(one.container.service, one.source))
        for one in _judge(bench, found, model)
    ]
    ordered = tuple(sorted(judged, key=lambda one: (one.container.service, one.container.name)))
    services = bench.site.started_services
    return StackStatus(deployment.target.project, ordered, absent(services, ordered))


def _judge(
    bench: Bench,
    found: Sequence[ContainerFact],
    model: Mapping[str, object] | None = None,
    *,
    new_volumes: Collection[str] = (),
) -> tuple[ContainerStatus, ...]:
    names = {c.service for c in found}
    built = [s for s in bench.services if s.name in names]
    return judge_containers(
        bench.ports.docker,
        bench.site.stack,
        found,
        {s.name: placed(bench.inputs(s)) for s in built},
        {s.name: fact.id for s in built if (fact := bench.image(s.image))},
        model,
        new_volumes=new_volumes,
    )


def verify_running(bench: Bench, deployment: Deployment, *, is_new: bool) -> str:
    """Check that each container runs its proven image, and shows its files.

    Of a stack that *is_new* the volumes were filled by these very images: what
    differs in them is data.

    Raises:
        Mismatch: one runs another image, or a mount shows other code.
        CouldNotTell: what a mount shows can't be seen.

    """
    found = bench.ports.docker.containers({PROJECT: deployment.target.project})
    judged = _judge(bench, found, new_volumes=_volumes(bench, deployment) if is_new else ())
    if not judged:
        return "no service is running yet"
    _require(combine(one.image for one in judged), _OLD)
    _require(combine(one.mounts for one in judged), _HIDDEN)
    return "each container runs the proven image"


def verify_runner(
    bench: Bench, deployment: Deployment, runner: ContainerFact | None, *, is_new: bool
) -> None:
    """Check, after the tests, what the mounts of their own container showed them.

    Raises:
        Mismatch: a mount showed other code than is here.
        CouldNotTell: what it shows can't be seen.

    """
    if runner is not None:
        volumes = _volumes(bench, deployment) if is_new else ()
        judged = _judge(bench, [replace(runner, one_off=False)], new_volumes=volumes)
        _require(combine(one.mounts for one in judged), _HIDDEN)


def _volumes(bench: Bench, deployment: Deployment) -> tuple[str, ...]:
    return tuple(f"{deployment.target.project}_{key}" for key in bench.site.stack.own_volumes)


# What it means, and what to type next.
_OLD = ("It was created before the image was built again.", "inv stack.down stack.up")
_HIDDEN = (
    "A volume or another folder is mounted over files that the image was built with.",
    "inv stack.down (it removes the stack's own volumes), or take the mount out",
)


def _require(verdict: Verdict, meaning: tuple[str, str]) -> None:
    cause, hint = meaning
    match verdict:
        case Stale(reasons):
            paths = ", ".join(r.path for r in reasons[:5])
            raise Mismatch(
                f"Containers run something else than what was proven: {paths}.",
                cause=cause,
                hint=hint,
            )
        case Unknown(why):
            raise CouldNotTell(f"It can't be told what a container runs: {why}.", hint=hint)
        case _:
            return


def hiding(status: ContainerStatus) -> list[tuple[MountFact, list[Finding]]]:
    """Each mount that makes the container stale, with the files it hides."""
    if not isinstance(status.mounts, Stale):
        return []
    found: dict[MountFact, list[Finding]] = {}
    for finding in status.findings:
        if finding.effect == "hidden" and finding.mount:
            found.setdefault(finding.mount, []).append(finding)
    named = {reason.path for reason in status.mounts.reasons}
    return [
        (m, f) for m, f in sorted(found.items(), key=_by_target) if f"mount:{m.target}" in named
    ]


def _by_target(pair: tuple[MountFact, list[Finding]]) -> str:
    return pair[0].target


def cures(status: StackStatus) -> tuple[str, ...]:
    """What to type, the least first; what the next one does as well is left out."""
    orphans = any(_is_orphan(c) for c in status.containers)
    volumes = [m for c in status.containers for m, _ in hiding(c) if m.kind != "bind"]
    foreign = sorted({m.name for m in volumes if _is_foreign(m, status.project)})
    binds = [c.container.name for c in status.containers if any(_is_bind(m) for m, _ in hiding(c))]
    anew = status.missing or any(
        isinstance(v, Stale) for c in status.containers for v in (c.image, c.configuration)
    )
    is_old = any(isinstance(c.source, Stale) for c in status.containers)
    cures = ["inv image.build stack.up   (build what is stale first)"] if is_old else []
    cures += [f"docker restart {name}   (it holds a file that was replaced)" for name in binds]
    if orphans or volumes:
        cures.append("inv stack.down stack.up   (its volumes go, and are filled anew)")
    elif anew:
        cures.append("inv stack.up   (what is stale is created anew; nothing is built)")
    others = f"remove the volume {', '.join(foreign)} yourself: unstale did not make it"
    return (*cures, *([others] if foreign else []))


def _is_orphan(status: ContainerStatus) -> bool:
    verdict = status.configuration
    return isinstance(verdict, Stale) and any(
        r.path.startswith("service:") for r in verdict.reasons
    )


def _is_bind(mount: MountFact) -> bool:
    return mount.kind == "bind"


def _is_foreign(mount: MountFact, project: str) -> bool:
    """Whether a named volume is none of this stack's own."""
    own = is_anonymous(mount) or mount.name.startswith(f"{project}_")
    return mount.kind == "volume" and not own
