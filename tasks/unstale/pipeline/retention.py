"""What is kept of the past: the newest of everything, and what is still of use."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from unstale.errors import Interrupted, UnstaleError, UsageError
from unstale.facts import ImageFact
from unstale.image import transfer
from unstale.image.check import LABEL_INPUTS
from unstale.pipeline import shelf
from unstale.pipeline.images import Bench
from unstale.pipeline.receipt import Receipt, envelope_path, read
from unstale.ports import Files
from unstale.stack.lifecycle import PROJECT
from unstale.stack.names import image_project

__all__ = ["after_build", "after_run", "old_images", "old_receipts"]

_SERVICE = "com.docker.compose.service"
_RUN = re.compile(r"[0-9a-f]{8}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SPARE = 50
_CONTEXTS = 200
_MOST_LINES, _FEWEST_LINES = 1000, 500


# After a run


def after_run(files: Files, state: Path, keep: int, is_held: Callable[[str], bool]) -> None:
    """Remove old receipts, evidence and caches from the state folder *state*.

    *is_held* says whether a run goes on, is kept, or stands: it loses nothing.

    Raises:
        TimedOut: another run does the same at this moment.
        Unavailable: something can't be removed.

    """
    with files.locked(state / "retention.lock", deadline_s=0.0):
        # Before the receipts: a run that ends meanwhile has one, or is held.
        runs = [p for p in files.newest_first(state / "runs") if _RUN.fullmatch(p.name)]
        folder = state / "receipts"
        known = shelf.kept(files, folder)
        for path in old_receipts(files, folder, known, keep):
            run = _run(path)
            if not is_held(run):
                files.remove(path)
                files.remove(envelope_path(path))
        told = {_run(path) for path in shelf.kept(files, folder)}
        dead = [p for p in runs if p.name not in told and not is_held(p.name)]
        gone = {_run(path) for path in known} - told
        silent = [p for p in dead if p.name not in gone]
        for path in (*(p for p in dead if p.name in gone), *silent[keep:]):
            files.remove_tree(path)
        for path in files.newest_first(state / "stat")[_SPARE:]:
            files.remove(path)


def _run(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def old_receipts(files: Files, folder: Path, known: Sequence[Path], keep: int) -> tuple[Path, ...]:
    """Those of *known*, oldest first, that may go.

    Not the newest *keep*, not the newest one of each environment that passed, and
    not the one that is the latest.
    """
    old = known[:-keep]
    if not old:
        return ()
    latest = folder / "latest.json"
    raw = files.read_bytes(latest) if files.exists(latest) else b""
    stays = {path for path in old if files.read_bytes(path) == raw}
    proven: set[str] = set()
    for path in reversed(known):
        told = _told(files, path)
        if told and told.result == "PASSED" and told.environment not in proven:
            proven.add(told.environment)
            stays.add(path)
    return tuple(path for path in old if path not in stays)


def _told(files: Files, path: Path) -> Receipt | None:
    try:
        return read(files.read_bytes(path), path.name)
    except UsageError:
        return None


# After a build


def after_build(bench: Bench) -> None:
    """Remove what earlier builds of this checkout left; under the lock of its builds.

    Raises:
        Unavailable: something can't be removed.

    """
    files, state = bench.files, bench.site.state_folder
    _shorten(bench)
    _drop(files, _gone_proofs(bench, files.newest_first(state / "proofs")))
    _drop(files, _gone_manifests(bench, files.newest_first(state / "manifests")))
    _drop(files, _unused_links(bench, files.newest_first(state / "contexts")))
    _drop(files, files.newest_first(bench.site.machine_folder / "contexts")[_CONTEXTS:])
    labels = {PROJECT: bench.site.target.project}
    found = bench.ports.docker.images(labels)
    bench.ports.docker.remove_images(old_images(found, bench.site.settings.keep.images))


def _drop(files: Files, paths: Collection[Path] | Iterator[Path]) -> None:
    for path in paths:
        files.remove(path)


def _shorten(bench: Bench) -> None:
    """A ledger explains builds of late; nobody asks it for those of years ago."""
    try:
        lines = bench.files.read_text(bench.ledger_path).splitlines(keepends=True)
    except Interrupted:
        raise
    except UnstaleError:
        return
    if len(lines) > _MOST_LINES:
        bench.files.write_atomic(bench.ledger_path, "".join(lines[-_FEWEST_LINES:]))


def _gone_proofs(bench: Bench, paths: Sequence[Path]) -> tuple[Path, ...]:
    old = {f"sha256:{p.stem}": p for p in paths if _DIGEST.fullmatch(p.stem)}
    old = dict(list(old.items())[_SPARE:])
    here = bench.ports.docker.images_called(tuple(old)) if old else {}
    return tuple(path for image, path in old.items() if image not in here)


def _gone_manifests(bench: Bench, paths: Sequence[Path]) -> tuple[Path, ...]:
    old = [p for p in paths if _DIGEST.fullmatch(p.stem)][_SPARE:]
    if not old:
        return ()
    settings = bench.site.settings
    known = {image_project(settings.root, name) for name in settings.environments}
    projects = sorted({bench.site.target.project, *known})
    images = (i for name in projects for i in bench.ports.docker.images({PROJECT: name}))
    stamps = {i.labels.get(LABEL_INPUTS, "").rpartition(":")[2] for i in images}
    return tuple(path for path in old if path.stem not in stamps)


def _unused_links(bench: Bench, paths: Sequence[Path]) -> Iterator[Path]:
    """Links to contexts under a name that is not the one they are sent under now."""
    for path in paths:
        if path.is_symlink():
            key = transfer.key(os.path.realpath(path.readlink()))
            known = bench.site.machine_folder / "contexts" / f"{key}.json"
            if _name(bench.files, known) != path.name:
                yield path


def _name(files: Files, known: Path) -> str:
    try:
        sent = transfer.decode(files.read_text(known))
    except UsageError:
        return ""
    return sent.name if sent else ""


def old_images(images: Sequence[ImageFact], keep: int) -> tuple[str, ...]:
    """The ids of those of *images* that may go: all but the newest *keep* of each service.

    Only such as have no name any more and carry a stamp. One that a container was
    made from the engine keeps.
    """
    nameless = [i for i in images if not i.tags and i.labels.get(LABEL_INPUTS)]
    nameless.sort(key=lambda i: i.created.timestamp() if i.created else 0.0, reverse=True)
    seen: dict[str, int] = {}
    found: list[str] = []
    for image in nameless:
        service = image.labels.get(_SERVICE, "")
        seen[service] = seen.get(service, 0) + 1
        if seen[service] > keep:
            found.append(image.id)
    return tuple(found)
