"""What differs between the build that made an image and the tree: the reasons. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unstale.image import goglob
from unstale.image.dockerfile import Unresolved
from unstale.image.inputs import BuildInputs, found, reads
from unstale.image.manifest import Manifest, has_secrets, manifest
from unstale.image.plan import Reading
from unstale.verdict import Change, Reason

__all__ = ["Readers", "differences", "maskable"]


def differences(stamped: Manifest, inputs: BuildInputs, root: Path) -> tuple[Reason, ...]:
    """Why the digest of *stamped* and that of *inputs* differ; at least one reason."""
    now = manifest(inputs)
    found = (
        *_files(stamped, now, inputs, root),
        *_steps(stamped, now, inputs, root),
        *_bases(stamped, now),
    )
    # An argument's or a secret's value, or an option of the build: the manifest,
    # which anybody may read, has none of them.
    return found or (Reason("build arguments", "configuration"),)


def maskable(stamped: Manifest | None, inputs: BuildInputs, root: Path) -> frozenset[str]:
    """The reasons' paths that a mount could make harmless: plain files, if all else is equal.

    What a link leads to is an input of its own. Nothing is harmless where
    something else may differ, or can't be told from the stamp.
    """
    if stamped is None or inputs.unknown or has_secrets(inputs):
        return frozenset()
    now = manifest(inputs)
    if replace(stamped, files={}) != replace(now, files={}):
        return frozenset()
    known = Readers.of(inputs)
    return frozenset(
        known.reason(path, "modified", root).path
        for path in {*stamped.files, *now.files}
        if all(files.get(path, "f")[0] == "f" for files in (stamped.files, now.files))
    )


def _files(before: Manifest, now: Manifest, inputs: BuildInputs, root: Path) -> Iterator[Reason]:
    known = Readers.of(inputs)
    for path in sorted({*before.files, *now.files}):
        old, new = before.files.get(path), now.files.get(path)
        if old != new:
            yield known.reason(path, _change(old, new), root)


def _change(old: str | None, new: str | None) -> Change:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    return "mode" if _without_mode(old) == _without_mode(new) else "modified"


def _without_mode(record: str) -> tuple[str, str]:
    return record[0], record.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Readers:
    """Which line of the Dockerfile reads a path."""

    inputs: BuildInputs
    lines: tuple[tuple[Reading, int, tuple[str, ...]], ...]
    """Of each reading: its line, and the places that it stands for now."""

    @classmethod
    def of(cls, inputs: BuildInputs) -> Readers:
        """The readers of *inputs*."""
        lines = ((r, s.line, (*_places(inputs, r), r.path)) for _, s, r in reads(inputs))
        return cls(inputs, tuple(lines))

    def reason(self, path: str, change: Change, root: Path) -> Reason:
        """The reason for *path* of a context (``name:path`` in an additional one)."""
        context, inner = self._split(path)
        tree = self.inputs.trees.get(context)
        place = (tree.root if tree else self.inputs.context) / inner
        line = self.line(context, inner)
        reader = f"{_dockerfile(self.inputs, root)}:{line}" if line else ""
        return Reason(os.path.relpath(place, root), change, reader=reader)

    def line(self, context: str, path: str) -> int:
        """The first line that reads *path*, which need not be there any more; or 0."""
        return next(self._lines(context, path), 0)

    def of_reason(self, path: str, root: Path) -> frozenset[int]:
        """Every line that reads what a reason calls *path*, in whichever context that is."""
        return frozenset(
            line
            for name, tree in self.inputs.trees.items()
            for line in self._lines(name, os.path.relpath(root / path, tree.root))
        )

    def _lines(self, context: str, path: str) -> Iterator[int]:
        return (
            line
            for reading, line, places in self.lines
            if reading.context == context and line and _reads(reading, places, path)
        )

    def _split(self, path: str) -> tuple[str, str]:
        name, colon, inner = path.partition(":")
        return (name, inner) if colon and name and name in self.inputs.trees else ("", path)


def _places(inputs: BuildInputs, reading: Reading) -> tuple[str, ...]:
    try:
        return tuple(place for pair in found(inputs, reading) for place in pair)
    except Unresolved:
        return ()


def _reads(reading: Reading, places: Sequence[str], path: str) -> bool:
    if any(place in (".", path) or path.startswith(f"{place}/") for place in places):
        return True
    return goglob.has_magic(reading.path) and _matches(reading.path, path)


def _matches(pattern: str, path: str) -> bool:
    wanted, given = pattern.split("/"), path.split("/")
    pairs = zip(wanted, given, strict=False)
    return len(wanted) <= len(given) and all(
        goglob.translate(segment).fullmatch(name) for segment, name in pairs
    )


def _steps(before: Manifest, now: Manifest, inputs: BuildInputs, root: Path) -> Iterator[Reason]:
    """The first step that is another one; what follows it differs anyway."""
    if _configs(before) != _configs(now) and before.bases.keys() == now.bases.keys():
        return  # of the base images, whose variables and labels are in every step
    name = _dockerfile(inputs, root)
    old, new = [d for _, d in before.steps], [d for _, d in now.steps]
    if old != new:
        at = next(
            (i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]),
            min(len(old), len(new)),
        )
        line = now.steps[at][0] if at < len(now.steps) else 0
        yield Reason(name, "modified", reader=f"{name}:{line}" if line else "")
    elif before.config != now.config:
        yield Reason(name, "configuration")


def _configs(one: Manifest) -> dict[str, str]:
    return {name: config for name, (_, config) in one.bases.items()}


def _dockerfile(inputs: BuildInputs, root: Path) -> str:
    path = inputs.dockerfile
    return "dockerfile_inline" if path is None else os.path.relpath(path, root)


def _bases(before: Manifest, now: Manifest) -> Iterator[Reason]:
    for name in sorted({*before.bases, *now.bases}):
        if before.bases.get(name) != now.bases.get(name) and name in now.bases:
            yield Reason(f"base:{name}", "modified")
