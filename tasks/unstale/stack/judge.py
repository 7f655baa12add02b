"""Whether containers run what they should: the questions that need the engine.

A volume that was made together with the container was filled from its image, so
what differs in it now is the container's own work: data. In any other volume a
copied file must be the one of here. `docker cp` reads what a volume or a
bind mount shows, of a stopped container too; it does not see a tmpfs, and it
mounts anew, so it shows a file that replaced the one a running container still
holds. For those two cases ``sha256sum`` and ``stat`` are run inside.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

from unstale.compose import Stack
from unstale.errors import EngineUnavailable, NotDone, Unavailable
from unstale.facts import (
    ArchiveMember,
    ContainerFact,
    ImageFact,
    MountFact,
    Placement,
    moment,
)
from unstale.ports import Docker, RunOptions
from unstale.stack.drift import as_created, drift
from unstale.stack.mounts import Finding, findings, hides, is_anonymous, real_path
from unstale.verdict import Fresh, NotAsked, Reason, Stale, Unknown, Verdict, combine

__all__ = ["ContainerStatus", "absent", "judge_containers"]

_REPLACES = "com.docker.compose.replace"
_LOOK_S = 60.0
# Well below the argument list of a Linux program, with paths of any length.
_PATHS_A_CALL = 400


_NOT_ASKED = NotAsked("the files were not asked for")


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """What is known of one container."""

    container: ContainerFact
    image: Verdict
    """Whether it runs the image that its service has now."""
    configuration: Verdict
    """Whether it was created from what compose resolves now."""
    mounts: Verdict
    """Whether its mounts leave the copied files in sight, or show the same."""
    findings: tuple[Finding, ...] = ()
    source: Verdict = _NOT_ASKED
    """Whether its service's image was built from the files that are here now."""

    @property
    def verdict(self) -> Verdict:
        """One answer for all."""
        return combine((self.image, self.configuration, self.mounts, self.source))


def judge_containers(
    docker: Docker,
    stack: Stack,
    containers: Sequence[ContainerFact],
    placements: Mapping[str, Sequence[Placement]],
    proven: Mapping[str, str],
    model: Mapping[str, object] | None = None,
    new_volumes: Container[str] = (),
) -> tuple[ContainerStatus, ...]:
    """Judge each container that is not a one-off, in the order given.

    *placements* are what each built service's image copies, *proven* its image
    id. *model* is what `Docker.config` answers for the stack with its override;
    without it nobody asks for the configuration. *new_volumes* names the volumes
    that were made with these containers: a run's own, but not a standing stack's.
    """
    judged = [c for c in containers if not c.one_off]
    named = docker.images_called(
        [s.image for s in stack.services if s.name not in proven and s.build is None]
    )
    current = {**{s.name: named[s.image].id for s in stack.services if s.image in named}, **proven}
    configurations = _configurations(docker, stack, judged, model)
    return tuple(
        ContainerStatus(
            container=c,
            image=_image(c, current),
            configuration=configurations[c.id],
            mounts=mounts,
            findings=found,
        )
        for c in judged
        for found, mounts in [_look(docker, c, placements.get(c.service), new_volumes)]
    )


def absent(services: Iterable[str], statuses: Iterable[ContainerStatus]) -> tuple[str, ...]:
    """Those of *services* that no container was made for."""
    there = {s.container.service for s in statuses}
    return tuple(name for name in services if name not in there)


def _image(container: ContainerFact, current: Mapping[str, str]) -> Verdict:
    if container.service not in current:
        return Unknown(f"there is no local image for {container.service} to compare with")
    if container.image_id == current[container.service]:
        return Fresh()
    return Stale((Reason(f"container:{container.name}", "modified"),))


# Configuration


def _configurations(
    docker: Docker,
    stack: Stack,
    containers: Sequence[ContainerFact],
    model: Mapping[str, object] | None,
) -> dict[str, Verdict]:
    if model is None:
        return {c.id: NotAsked("the configuration was not asked for") for c in containers}
    images = docker.images_called([c.image_id for c in containers])
    found: dict[str, Verdict] = {}
    for group in _one_image_each(containers):
        found |= _drifts(docker, stack, group, model, images)
    return found


def _one_image_each(containers: Sequence[ContainerFact]) -> list[list[ContainerFact]]:
    """Groups in which all containers of a service have the same image."""
    seen: dict[str, list[str]] = defaultdict(list)
    groups: dict[int, list[ContainerFact]] = defaultdict(list)
    for container in containers:
        images = seen[container.service]
        if container.image_id not in images:
            images.append(container.image_id)
        groups[images.index(container.image_id)].append(container)
    return list(groups.values())


def _drifts(
    docker: Docker,
    stack: Stack,
    containers: Sequence[ContainerFact],
    model: Mapping[str, object],
    images: Mapping[str, ImageFact],
) -> dict[str, Verdict]:
    then = as_created(model, containers, (s.name for s in stack.built))
    hashes = docker.config_hashes(then)
    return {c.id: drift(then, c, images.get(c.image_id), hashes.get(c.service)) for c in containers}


# Mounts


def _look(
    docker: Docker,
    container: ContainerFact,
    placements: Sequence[Placement] | None,
    new_volumes: Container[str],
) -> tuple[tuple[Finding, ...], Verdict]:
    """What the mounts do, after a look at the bytes where names do not settle it.

    *placements* are None for an image that is not built here.
    """
    replaced = _replaced(docker, container)
    found = findings(placements or (), container.mounts, cache(real_path))
    found = (*found, *_lone_files(found, replaced))
    new = {m for m in container.mounts if _is_new(container, m, new_volumes)}
    doubts: dict[MountFact, list[Finding]] = defaultdict(list)
    for finding in found:
        if finding.mount and finding.mount not in new and _is_open(finding, replaced):
            doubts[finding.mount].append(finding)
    seen = {
        mount: _differing(docker, container, group, inside=_is_inside(mount, replaced))
        for mount, group in doubts.items()
    }
    settled = tuple(_settled(finding, seen, new) for finding in found)
    unseen = [mount for mount, differing in seen.items() if differing is None]
    hidden = hides(finding for finding in settled if finding.mount not in unseen)
    others = [m for m in container.mounts if m.kind == "volume" and m not in new]
    made = [] if placements is None or hidden != Fresh() else others
    return settled, combine(
        (
            hidden,
            *(Unknown(_why(container, mount)) for mount in unseen),
            *(_made(docker, container, mount, found) for mount in made if mount not in unseen),
        )
    )


def _is_open(finding: Finding, replaced: frozenset[MountFact]) -> bool:
    return finding.effect == "hidden" or finding.mount in replaced


def _is_new(container: ContainerFact, mount: MountFact, new_volumes: Container[str]) -> bool:
    """Whether the volume was made with *container*, and filled from its image.

    Compose hands anonymous volumes on to the container that replaces another,
    and labels that one.
    """
    if mount.kind != "volume" or not mount.copies:
        return False
    return mount.name in new_volumes or (is_anonymous(mount) and _REPLACES not in container.labels)


def _made(
    docker: Docker, container: ContainerFact, mount: MountFact, found: Sequence[Finding]
) -> Verdict:
    """Whether a volume shows what else the image has there, such as its packages.

    A difference may be an old result of a build, or data: nobody can tell.
    """
    copied = {f.placement.dest for f in found}
    place = PurePosixPath(mount.target)
    try:
        image = _contents(docker.files_in_image(container.image_id, place), copied)
        shown = _contents(docker.files_in_container(container.id, place), copied) if image else {}
    except EngineUnavailable:
        raise
    except Unavailable:
        return Unknown(_why(container, mount))
    differing = sorted(str(path) for path, held in image.items() if shown.get(path) != held)
    if not differing:
        return Fresh()
    return Unknown(
        f"the volume at {mount.target} of {container.name} was not filled by its image:"
        f" {len(differing)} files differ ({differing[0]}); old results of a build, or data"
    )


def _contents(
    members: Iterable[ArchiveMember], but: Container[PurePosixPath]
) -> dict[PurePosixPath, tuple[str | None, bytes]]:
    return {
        m.path: (m.link, hashlib.sha256(m.content).digest()) for m in members if m.path not in but
    }


def _why(container: ContainerFact, mount: MountFact) -> str:
    return (
        f"what {container.name} sees at {mount.target} can't be compared:"
        f" a {mount.kind} lies there"
        + ("" if container.status == "running" else f", and it is {container.status}")
    )


def _settled(
    finding: Finding,
    seen: Mapping[MountFact, frozenset[PurePosixPath] | None],
    new: Container[MountFact],
) -> Finding:
    if finding.mount is not None and finding.mount in new:
        return replace(finding, effect="plain", mount=None)
    if finding.mount is None or finding.mount not in seen:
        return finding
    differing = seen[finding.mount]
    if differing is None or finding.placement.dest in differing:
        return replace(finding, effect="hidden")
    # The same bytes, wherever they come from: what runs is what is here.
    return replace(finding, effect="derived" if finding.placement.derived else "masked")


def _is_inside(mount: MountFact, replaced: frozenset[MountFact]) -> bool:
    return mount.kind == "tmpfs" or mount in replaced


def _differing(
    docker: Docker, container: ContainerFact, found: Sequence[Finding], *, inside: bool
) -> frozenset[PurePosixPath] | None:
    """Where the container shows something else than the tree; None if unseen."""
    sources = {f.placement.dest: f.placement.source for f in found}
    try:
        if inside:
            return _differing_inside(docker, container, sources)
        return _differing_copied(docker, container, sources)
    except EngineUnavailable:
        raise
    except (Unavailable, OSError):
        return None


def _differing_copied(
    docker: Docker, container: ContainerFact, sources: Mapping[PurePosixPath, Path]
) -> frozenset[PurePosixPath]:
    place = PurePosixPath(os.path.commonpath(sources))
    # `COPY a /b` lands in /b/a where the base image has a folder /b.
    dests = {dest / source.name: dest for dest, source in sources.items()}
    dests |= {dest: dest for dest in sources}
    left = {dest for dest, source in sources.items() if _is_missed(source)}
    for member in docker.files_in_container(container.id, place):
        dest = dests.get(member.path)
        if dest is None:
            continue
        if _is_equal(sources[dest], member):
            left.discard(dest)
        else:
            left.add(dest)
    return frozenset(left)


def _is_missed(source: Path) -> bool:
    """Whether a container without *source* lacks anything.

    Not what is gone here too, nor an empty file, such as the ``.gitkeep`` of a
    folder over which something is mounted to write to.
    """
    return os.path.lexists(source) and not (source.is_file() and source.stat().st_size == 0)


def _is_equal(source: Path, member: ArchiveMember) -> bool:
    if member.link is not None:
        # Path.readlink would tidy "./a" to "a".
        return source.is_symlink() and member.link == os.readlink(source)  # noqa: PTH115
    return source.is_file() and member.content == source.read_bytes()


def _differing_inside(
    docker: Docker, container: ContainerFact, sources: Mapping[PurePosixPath, Path]
) -> frozenset[PurePosixPath] | None:
    inside = _digests_inside(docker, container, sorted(map(str, sources)))
    if inside is None:
        return None
    return frozenset(
        dest
        for dest, source in sources.items()
        if (inside[str(dest)] != _digest(source) if str(dest) in inside else _is_missed(source))
    )


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _digests_inside(
    docker: Docker, container: ContainerFact, paths: Sequence[str]
) -> dict[str, str] | None:
    """The digest of each file as the container's processes see it; absent: none."""
    found: dict[str, str] = {}
    for start in range(0, len(paths), _PATHS_A_CALL):
        some = paths[start : start + _PATHS_A_CALL]
        lines = _ask_inside(docker, container, ("sha256sum",), some)
        if lines is None:
            return None
        found |= {path: line.partition(" ")[0] for path, line in lines.items()}
    return found


def _ask_inside(
    docker: Docker, container: ContainerFact, program: Sequence[str], paths: Sequence[str]
) -> dict[str, str] | None:
    """The line that *program* prints for each of *paths*; None if it can't be asked.

    A path without a line must be one that the program did not find: a container
    that stopped, or a file that may not be read, answers nothing.
    """
    if container.status != "running" or any("\n" in p or "\\" in p for p in paths):
        return None
    options = RunOptions((*program, *paths), _LOOK_S, user="0")
    try:
        result = docker.execute(container.id, options, lambda _: None)
    except NotDone:  # a dry run starts no process in a container
        return None
    ends = {line.partition(" /")[2].strip(): line for line in result.stdout.splitlines()}
    found = {path: ends[path[1:]] for path in paths if path[1:] in ends}
    errors = [e for e in result.stderr.splitlines() if "no such file" in e.lower()]
    for path in paths:
        if path not in found and not any(path in error for error in errors):
            return None
    return found


def _replaced(docker: Docker, container: ContainerFact) -> frozenset[MountFact]:
    """Bind mounts that may hold another file or folder than is at their source now.

    A mount holds an inode, not a name: an editor that writes a new file and
    renames it over the old one leaves the container with the old one.
    """
    binds = [m for m in container.mounts if m.kind == "bind" and _is_of_here(m.source)]
    if container.status not in ("running", "paused") or not binds:
        return frozenset()  # its next start mounts anew
    held = _ask_inside(docker, container, ("stat", "-L", "-c", "%i %n"), [m.target for m in binds])
    if held is None:
        return frozenset(m for m in binds if _changed_since(m.source, container.started_at))
    return frozenset(m for m in binds if held.get(m.target, "").partition(" ")[0] != _inode(m))


def _is_of_here(source: str) -> bool:
    """Whether *source* is, or was, of this machine, and may be looked at."""
    try:
        os.stat(source)  # noqa: PTH116 - as its folder
    except PermissionError:
        return False
    except OSError:
        pass
    return os.path.isdir(os.path.dirname(source))  # noqa: PTH112, PTH120 - no error


def _inode(mount: MountFact) -> str:
    try:
        return str(Path(mount.source).stat().st_ino)
    except OSError:
        return "none"


def _changed_since(source: str, started_at: str) -> bool:
    """Whether *source* may be another inode than at *started_at*.

    To rename a file over another is a change of its inode's ctime, which
    nobody can set back. Two seconds are for clocks of a coarse file system.
    """
    try:
        changed = Path(source).stat().st_ctime
        started = moment(started_at).timestamp()
    except (OSError, ValueError):
        return True
    return changed > started - 2


def _lone_files(found: Sequence[Finding], replaced: frozenset[MountFact]) -> tuple[Finding, ...]:
    """Replaced or removed files that are mounted one by one, and no build copies."""
    copied = {str(f.placement.dest) for f in found}
    return tuple(
        Finding(Placement(Path(m.source), PurePosixPath(m.target), derived=False), "masked", m)
        for m in sorted(replaced, key=lambda mount: mount.target)
        if m.target not in copied and _is_or_was_file(Path(m.source))
    )


def _is_or_was_file(source: Path) -> bool:
    # What is gone may have been a folder: that can't be compared, and is Unknown.
    return source.is_file() or not os.path.lexists(source)
