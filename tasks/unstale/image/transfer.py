"""Under which name a context is sent, so that BuildKit can't serve old bytes.

BuildKit keeps what a client sent last, by the base name of the context's folder,
and takes a file of equal size, time, mode and link target for the same file: it
never compares content, with ``--no-cache`` neither (moby/buildkit#4817, and
``sameFile`` in fsutil). A folder's changed mode it does not notice at all. So a
context is sent through a symbolic link whose name nobody else uses, and under
a new name as soon as something changed that BuildKit could not notice.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from unstale.config import STATE_FOLDER
from unstale.image.inputs import BuildInputs, found, reads, records
from unstale.image.tree import Record
from unstale.jsontext import read_json

__all__ = ["Sent", "decode", "encode", "entries", "key", "moments", "next_send", "renamed"]

_VERSION = 1
# What was sent is remembered of every send: a new name once in a long while costs less.
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent under a name."""

    name: str
    files: Mapping[str, Mapping[str, str]]
    """Path -> what BuildKit compares -> what it stood for, of every send so far."""


def next_send(before: Sent | None, now: Mapping[str, tuple[str, str]]) -> tuple[Sent, str]:
    """The name for sending *now* (path -> compared, content), and why it is new.

    The reason is empty where the name of *before* is safe, or there was none.
    """
    if before is None:
        return _fresh(now), ""
    for path, (compared, content) in now.items():
        if before.files.get(path, {}).get(compared, content) != content:
            named = path.removeprefix(":")  # of the build context, which has no name
            return _fresh(now), f"{named} changed, and its size and time did not"
    if sum(map(len, before.files.values())) > _MOST_KNOWN + 2 * len(now):
        return _fresh(now), ""
    files = {**before.files}
    for path, (compared, content) in now.items():
        files[path] = {**files.get(path, {}), compared: content}
    return Sent(before.name, files), ""


def renamed(sent: Sent) -> Sent:
    """*sent* under a new name: nothing was sent under it before."""
    return Sent(_name(), {path: dict(known) for path, known in sent.files.items()})


def key(context: str) -> str:
    """A file name for the context in the folder *context*."""
    return hashlib.sha256(os.fsencode(context)).hexdigest()[:16]


def _name() -> str:
    # At random: another checkout, or this one in another life, must not have it.
    return f"unstale-{os.urandom(8).hex()}"


def _fresh(now: Mapping[str, tuple[str, str]]) -> Sent:
    return Sent(_name(), {path: {compared: content} for path, (compared, content) in now.items()})


def entries(inputs: BuildInputs, ignore_file: Path | None) -> dict[str, tuple[str, str]]:
    """What a build of *inputs* sends: path -> what is compared, what it stands for."""
    own = (inputs.dockerfile, ignore_file)
    files = {str(path): _plain(path) for path in own if path is not None and path.is_file()}
    return files | {
        f"{context}:{path}": _entry(inputs.trees[context].root / path, record)
        for context, path, record in records(inputs)
    }


def moments(inputs: BuildInputs, ignore_file: Path | None) -> str:
    """A digest of when what is sent was written to last, whatever it holds.

    Of folders too that are only listed: a name may have come and gone there. What
    lies in a folder that is left out moves none of them.
    """
    own = [path for path in (inputs.dockerfile, ignore_file) if path is not None]
    own.append(inputs.context / ".dockerignore")  # a link may lead to *ignore_file*
    read = (inputs.trees[context].root / path for context, path, _ in records(inputs))
    total = hashlib.sha256()
    for place in itertools.chain(own, read, _followed(inputs)):
        total.update(_moment(place.lstat))
    for place in itertools.chain(own, _listed(inputs)):  # a root may be a link
        total.update(_moment(place.stat))
    return total.hexdigest()


def _moment(look: Callable[[], os.stat_result]) -> bytes:
    try:
        found = look()
    except OSError:  # a folder with nothing to send in it may go
        return b"gone\n"
    return b"%d %d %d\n" % (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _listed(inputs: BuildInputs) -> Iterator[Path]:
    """The folders whose names decide what is read; some more than once."""
    whole = inputs.trees.values() if inputs.plan is None else ()
    places = [(tree, tree.listed(".")) for tree in whole]
    for _, _, reading in reads(inputs):
        tree = inputs.trees[reading.context]
        places += [(tree, tree.listed(place)) for _, place in found(inputs, reading)]
        if reading.is_pattern:
            places.append((tree, tree.searched(reading.path)))
    for tree, paths in places:
        # unstale writes there, and a broad exception makes the builder look into it.
        yield from (tree.root / p for p in paths if STATE_FOLDER not in p.split("/"))


def _followed(inputs: BuildInputs) -> Iterator[Path]:
    """The links that lead to what is read."""
    for _, _, reading in reads(inputs):
        tree = inputs.trees[reading.context]
        for named, _ in found(inputs, reading):
            yield from (tree.root / path for path in tree.links(named))


def _entry(place: Path, record: Record) -> tuple[str, str]:
    content = f"{record.content.hex()} {record.xattrs.hex()}"
    if record.kind == "folder":
        return "folder", f"{record.mode:o} {content}"
    found = place.lstat()
    return f"{record.kind} {found.st_size} {found.st_mtime_ns} {record.mode:o}", content


def _plain(path: Path) -> tuple[str, str]:
    found = path.stat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"file {found.st_size} {found.st_mtime_ns} {found.st_mode:o}", digest


def encode(sent: Sent) -> str:
    """*sent* as a JSON document."""
    files = {path: dict(known) for path, known in sent.files.items()}
    return json.dumps({"version": _VERSION, "name": sent.name, "files": files})


def decode(text: str) -> Sent | None:
    """What `encode` wrote; None if it is something else."""
    try:
        document = read_json(text)
        if document["version"] != _VERSION:
            return None
        files = {
            str(path): {str(compared): str(content) for compared, content in known.items()}
            for path, known in document["files"].items()
        }
        return Sent(os.path.basename(str(document["name"])), files)  # noqa: PTH119 - no path
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
