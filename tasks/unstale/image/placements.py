"""Where an image holds the files that its build copied from a context."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from unstale.image import goglob
from unstale.image.inputs import BuildInputs, found, reads
from unstale.image.plan import Copy, Plan, Reading, StagePlan, Step

__all__ = ["Placed", "placements"]

_MOST_LINKS = 40  # as many as Linux follows


@dataclass(frozen=True, slots=True)
class Placed:
    """A file or link of a context, and where the image should have it."""

    source: str
    """Relative to its context."""
    context: str
    """The name of an additional context; empty for the build context."""
    dest: PurePosixPath
    """In the image; in `dest / name` if the image has a folder there."""
    keeps_mode: bool
    name: str
    """The last segment of the path that the Dockerfile named."""
    derived: bool = False
    """Whether a later RUN could have read the copy, or rewritten it."""
    is_read_elsewhere: bool = False
    """Whether another stage, or a mount of a RUN, reads the file as well."""
    target: str | None = None
    """Where a link points; None for a file."""

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.target is not None


def placements(inputs: BuildInputs) -> tuple[Placed, ...]:
    """The files that the target's image holds as the tree has them, by source.

    Left out is what may lie elsewhere or look otherwise: unpacked archives, what
    an image or a heredoc was copied over. A later step wins over an earlier one.
    """
    if inputs.plan is None:
        return ()
    placed = _Placing(inputs, inputs.plan).stage(inputs.plan.target).files.values()
    used = {n for stage in inputs.plan.stages.values() for s in stage.steps for n in s.stages}
    chain = {stage.number for stage in inputs.plan.chain}
    others = tuple(
        (reading.context, place)
        for stage, step, reading in reads(inputs)
        if step.verb == "run" or stage.number not in chain
        for _, place in found(inputs, reading)
    )
    is_used = bool(used & chain)
    marked = (replace(one, is_read_elsewhere=is_used or _is_read(one, others)) for one in placed)
    return tuple(sorted(marked, key=lambda one: (one.source, one.dest)))


def _is_read(one: Placed, places: tuple[tuple[str, str], ...]) -> bool:
    """Whether *one* is at or below one of *places*, each in its context."""
    mine = (place for context, place in places if context == one.context)
    return any(p in (".", one.source) or one.source.startswith(f"{p}/") for p in mine)


@dataclass(slots=True)
class _Layout:
    """What a stage's file system has of the contexts."""

    files: dict[PurePosixPath, Placed]
    folders: set[PurePosixPath]
    links: set[PurePosixPath]
    """Where *files* had a link at some time."""

    def drop(self, place: PurePosixPath) -> None:
        """Forget what is at or below *place*."""
        for path in [p for p in self.files if p == place or place in p.parents]:
            del self.files[path]

    def followed(self, place: PurePosixPath) -> PurePosixPath:
        """Where the builder writes *place*: it follows links, those that were copied too."""
        if not self.links:
            return place
        for _ in range(_MOST_LINKS):
            at = next((p for p in (place, *place.parents) if p in self.links), None)
            target = self.files[at].target if at in self.files else None
            if at is None or target is None:
                return place
            leads = at.parent / target / place.relative_to(at)
            place = PurePosixPath(posixpath.normpath(leads))
        return PurePosixPath("/")  # a circle: anything, but the build fails

    def overwrite(self, place: PurePosixPath) -> None:
        """Forget what is at or below *place*, and where the links there lead."""
        links = (link for link in self.links if place in link.parents)
        for real in {self.followed(path) for path in (place, *links)} | {place}:
            self.drop(real)

    def is_led_away(self, place: PurePosixPath) -> bool:
        """Whether a link leads *place* elsewhere; then nothing is known of both any more."""
        is_led = self.followed(place) != place
        if is_led:
            self.overwrite(place)
        return is_led

    def put(self, one: Placed) -> None:
        if self.is_led_away(one.dest):
            return
        for folder in one.dest.parents:
            file = self.files.pop(folder, None)
            if file is not None:  # it was copied into a folder of the base image, then
                self.files[folder / file.name] = replace(file, dest=folder / file.name)
        self.files[one.dest] = one
        self.folders.update(one.dest.parents)
        if one.is_link:
            self.links.add(one.dest)


class _Placing:
    def __init__(self, inputs: BuildInputs, plan: Plan) -> None:
        self._inputs = inputs
        self._plan = plan
        self._done: dict[int, _Layout] = {}

    def stage(self, number: int) -> _Layout:
        if number not in self._done:
            self._done[number] = self._layout(self._plan.stages[number])
        return self._done[number]

    def _layout(self, stage: StagePlan) -> _Layout:
        layout = _Layout({}, {PurePosixPath("/")}, set())
        if stage.parent is not None:
            above = self.stage(stage.parent)
            layout = _Layout(dict(above.files), set(above.folders), set(above.links))
        for step in stage.steps:
            self._apply(step, layout)
        return layout

    def _apply(self, step: Step, layout: _Layout) -> None:
        match step.verb:
            case "run":
                for path, one in layout.files.items():
                    layout.files[path] = replace(one, derived=True)
            case "workdir":
                layout.folders.add(PurePosixPath(str(step.key[1])))
            case "copy":
                if step.copy is not None:
                    self._copy(step, step.copy, layout)

    def _copy(self, step: Step, copy: Copy, layout: _Layout) -> None:
        if copy.writes_more or copy.unpacks:
            layout.overwrite(copy.dest)
        if copy.writes_more and not step.reads:
            return
        if copy.stage is not None:
            self._copy_stage(copy, self.stage(copy.stage), layout)
        elif not copy.unpacks:
            for reading in step.reads:
                if not reading.is_loose:
                    self._copy_context(reading, copy, layout)

    def _copy_context(self, reading: Reading, copy: Copy, layout: _Layout) -> None:
        tree = self._inputs.trees[reading.context]
        for named, place in found(self._inputs, reading):
            record = tree.record(place)
            is_folder = place == "." or (record is not None and record.kind == "folder")
            name = posixpath.basename(named)
            dest = copy.dest if is_folder else self._file_dest(copy, name, layout)
            if is_folder:
                layout.folders.add(dest)
            for path, one in tree.under(place):
                if one.kind in ("file", "link"):
                    inner = path if place == "." else path[len(place) + 1 :]
                    layout.put(
                        Placed(
                            source=path,
                            context=reading.context,
                            dest=dest / inner,
                            keeps_mode=copy.keeps_mode,
                            name=name,
                            target=os.fsdecode(one.content) if one.kind == "link" else None,
                        )
                    )

    def _file_dest(self, copy: Copy, name: str, layout: _Layout) -> PurePosixPath:
        inside = copy.into_folder or copy.dest in layout.folders
        return copy.dest / name if inside else copy.dest

    def _copy_stage(self, copy: Copy, above: _Layout, layout: _Layout) -> None:
        for source in copy.sources:
            for dest, one in self._from_stage(source, copy, above, layout):
                layout.put(replace(one, dest=dest, keeps_mode=one.keeps_mode and copy.keeps_mode))

    def _from_stage(
        self, source: str, copy: Copy, above: _Layout, layout: _Layout
    ) -> Iterator[tuple[PurePosixPath, Placed]]:
        root = PurePosixPath("/") / source
        one = above.files.get(root)
        if one is not None and not one.is_link:
            yield self._file_dest(copy, root.name, layout), replace(one, name=root.name)
            return
        # A folder may hold more than what was copied there, and a link leads anywhere.
        is_led = layout.followed(copy.dest) != copy.dest
        layout.overwrite(copy.dest)
        if is_led or one is not None or goglob.has_magic(source):
            return
        for path, inner in above.files.items():
            if root in path.parents:
                yield copy.dest / path.relative_to(root), inner
