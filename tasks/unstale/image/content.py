"""The bytes that an image holds where the Dockerfile copied files of the tree."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from unstale.errors import CouldNotTell
from unstale.image.inputs import BuildInputs
from unstale.ports import ArchiveMember, Docker
from unstale.verdict import Change

__all__ = ["Difference", "compare", "fetch", "roots"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A copied file that the image does not hold as it is in the tree."""

    source: str
    """Relative to the context."""
    path: PurePosixPath
    """In the image."""
    change: Change


def roots(paths: Iterable[PurePosixPath]) -> tuple[PurePosixPath, ...]:
    """The fewest places to read: one below each top-level folder of *paths*.

    Never "/", which would fetch the whole image.
    """
    tops: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        tops[path.parts[1]].append(str(path))
    return tuple(
        PurePosixPath(posixpath.commonpath(group) if len(group) > 1 else group[0])
        for _, group in sorted(tops.items())
    )


def fetch(
    docker: Docker, image_id: str, places: Iterable[PurePosixPath]
) -> dict[PurePosixPath, ArchiveMember]:
    """Everything at or below *places* in the image, which is not run."""
    return {
        member.path: member for place in places for member in docker.files_in_image(image_id, place)
    }


def compare(
    inputs: BuildInputs,
    held: Mapping[PurePosixPath, ArchiveMember],
    copies: Iterable[tuple[str, PurePosixPath]],
) -> tuple[Difference, ...]:
    """What differs between *held* and the tree. Modes are not compared.

    Raises:
        CouldNotTell: a file of the tree can't be read any more.

    """
    found = []
    for source, path in copies:
        # `COPY a /b` lands in /b/a where the base image has a folder /b.
        member = held.get(path) or held.get(path / PurePosixPath(source).name)
        if member is None:
            # "added" to the tree, from the image's point of view.
            found.append(Difference(source, path, "added"))
        elif not _is_equal(inputs, source, member):
            found.append(Difference(source, path, "modified"))
    return tuple(found)


def _is_equal(inputs: BuildInputs, source: str, member: ArchiveMember) -> bool:
    path = inputs.context / source
    try:
        if path.is_symlink():
            # Path.readlink would tidy "./a" to "a".
            return member.link == os.readlink(path)  # noqa: PTH115
        return member.link is None and member.content == path.read_bytes()
    except OSError as error:
        raise CouldNotTell(
            f"{source} can't be read: {error.strerror}.",
            cause="It was there when the inputs were listed, so the tree is changing.",
            hint="repeat the command",
        ) from error
