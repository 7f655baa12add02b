"""The bytes that an image holds where the Dockerfile copied files of the tree."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from unstale.facts import ArchiveMember
from unstale.image.inputs import BuildInputs
from unstale.image.placements import Placed, placements
from unstale.image.tree import Record
from unstale.ports import Docker
from unstale.verdict import Change

__all__ = ["Comparison", "Difference", "compare", "roots"]

# Each is a question of its own: where links lead in an image is asked for few.
_MOST_ASKED_SINGLY = 20

_ROOT = PurePosixPath("/")

# The engine puts its own into every container, one that is only looked at too:
# moby/moby, daemon/initlayer.
_ENGINES = frozenset(
    map(
        PurePosixPath,
        (
            *("/.dockerenv", "/dev", "/etc/hostname", "/etc/hosts", "/etc/mtab"),
            *("/etc/resolv.conf", "/proc", "/sys"),
        ),
    )
)

# Folders in which a base image has much that nobody copied.
_CROWDED = frozenset(
    {"/etc", "/home", "/lib", "/opt", "/root", "/srv", "/usr", "/var"}
    | {"/usr/lib", "/usr/local", "/usr/local/lib", "/usr/share", "/usr/src", "/var/lib"}
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A copied file that the image does not hold as it is in the tree."""

    source: str
    """Relative to its context."""
    path: PurePosixPath
    """In the image."""
    change: Change
    derived: bool = False
    """A RUN came after the copy: it may have rewritten the file."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a look into an image found."""

    compared: int
    """Files and links that were looked for."""
    differences: tuple[Difference, ...]


def roots(paths: Iterable[PurePosixPath]) -> tuple[PurePosixPath, ...]:
    """The fewest places to read, none of which is known to hold much else.

    Never "/", which would fetch the whole image.
    """
    return tuple(sorted(_roots([path.parts[1:] for path in paths], PurePosixPath("/"))))


def _roots(paths: Iterable[tuple[str, ...]], above: PurePosixPath) -> Iterator[PurePosixPath]:
    groups: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path in paths:
        groups[path[0]].append(path[1:])
    for name, below in groups.items():
        place = above / name
        if str(place) in _CROWDED and all(below):
            yield from _roots(below, place)
        else:
            yield place / posixpath.join("", *_common(below))


def _common(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The longest beginning that all of *paths* share."""
    first, last = min(paths), max(paths)
    count = next(
        (at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(last)),
    )
    return first[:count]


def compare(
    docker: Docker,
    image_id: str,
    inputs: BuildInputs,
    *,
    below: PurePosixPath | None = None,
) -> Comparison:
    """Compare each copied file, or those at or below *below*, with the tree.

    The image is not run and needs no shell; bytes are hashed as they stream by.
    Modes are compared where nothing after the copy may have changed them. Left
    out is what can't be seen: files that the engine makes, and links right below
    the root, for which all of the image would be read.

    Raises:
        CouldNotTell: a file of the tree can't be read.

    """
    wanted = tuple(
        one
        for one in placements(inputs)
        if (below is None or below in (one.dest, *one.dest.parents)) and _can_be_seen(one)
    )
    seen = _seen(docker, image_id, wanted)
    return Comparison(len(wanted), tuple(_differences(inputs, wanted, seen)))


# Mode and content, as `Record` has them.
_Seen = Mapping[PurePosixPath, tuple[int, str, bytes]]


def _seen(docker: Docker, image_id: str, wanted: Sequence[Placed]) -> _Seen:
    names: dict[PurePosixPath, PurePosixPath] = {}
    for one in wanted:
        # `COPY a /b` lands in /b/a where the base image has a folder /b.
        names.setdefault(one.dest / one.name, one.dest)
    names |= {one.dest: one.dest for one in wanted}
    found: dict[PurePosixPath, tuple[int, str, bytes]] = {}
    for place in roots(map(_place, wanted)):
        for member in docker.files_in_image(image_id, place):
            dest = names.get(member.path)
            if dest is not None and (member.path == dest or dest not in found):
                found[dest] = _held(member)
    for place in _behind_links(wanted, found):
        for member in docker.files_in_image(image_id, place):
            if names.get(member.path) == member.path:
                found[member.path] = _held(member)
    return found


def _behind_links(wanted: Iterable[Placed], found: _Seen) -> Iterator[PurePosixPath]:
    """Where links of the image may lead: what is asked for by name is followed.

    The file itself, where the builder wrote through a link; and the folder, where
    the file was not found.
    """
    files = [one.dest for one in wanted if not one.is_link and _is_link(found.get(one.dest))]
    folders = {one.dest.parent for one in wanted if one.dest not in found} - {_ROOT}
    for places in (files, sorted(folders)):
        if len(places) <= _MOST_ASKED_SINGLY:
            yield from places


def _can_be_seen(one: Placed) -> bool:
    return _place(one) != _ROOT and not _ENGINES & {one.dest, *one.dest.parents}


def _place(one: Placed) -> PurePosixPath:
    """Where to look for *one*: asked for by name, a link would be followed."""
    return one.dest.parent if one.is_link else one.dest


def _is_link(held: tuple[int, str, bytes] | None) -> bool:
    return held is not None and held[1] == "link"


def _held(member: ArchiveMember) -> tuple[int, str, bytes]:
    if member.link is not None:
        return 0o777, "link", os.fsencode(member.link)
    return member.mode & 0o7777, "file", hashlib.sha256(member.content).digest()


def _differences(
    inputs: BuildInputs, wanted: Iterable[Placed], seen: _Seen
) -> Iterator[Difference]:
    for one in wanted:
        record = inputs.trees[one.context].record(one.source)
        change = _change(one, record, seen.get(one.dest))
        if change is not None:
            yield Difference(one.source, one.dest, change, one.derived)


def _change(
    one: Placed, record: Record | None, held: tuple[int, str, bytes] | None
) -> Change | None:
    if record is None:
        return "removed"
    if held is None:
        # "added" to the tree, from the image's point of view.
        return "added"
    mode, kind, content = held
    if (kind, content) != (record.kind, record.content):
        return "modified"
    is_kept = one.keeps_mode and not one.derived and kind == "file"
    return "mode" if is_kept and mode != record.mode else None
