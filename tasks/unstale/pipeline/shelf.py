"""The receipts of a checkout: which one is meant, and what lies beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unstale.errors import MissingFile, UsageError
from unstale.pipeline.receipt import Receipt, envelope_path, read
from unstale.ports import Files

__all__ = ["Found", "find", "kept", "newest"]

LATEST = "latest"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt as it lies there."""

    path: Path
    raw: bytes
    receipt: Receipt
    envelope: str | None
    """What the file of its signature holds; None: there is none."""


def kept(files: Files, folder: Path) -> tuple[Path, ...]:
    """The receipts in *folder*, oldest first; signatures and the latest one's copy are none."""
    paths = files.glob(folder, "*-*.json")
    return tuple(p for p in paths if not p.name.endswith(".dsse.json"))


def newest(files: Files, folder: Path) -> Iterator[Found]:
    """The receipts in *folder*, the newest first; what is none or can't be read is passed over."""
    for path in reversed(kept(files, folder)):
        try:
            found = _found(files, path, files.read_bytes(path), envelope_path(path))
        except UsageError:
            continue
        yield found


def find(files: Files, folder: Path, which: str) -> Found:
    """The receipt that *which* means: ``latest``, a run's id, or a path.

    Raises:
        MissingFile: there is none.
        UsageError: several have that id.
        ConfigError: it is no receipt, or can't be read.

    """
    path = _path(files, folder, which)
    raw = files.read_bytes(path)
    beside = envelope_path(path)
    if not files.exists(beside):
        # The latest one is a copy, which is written after the signature: two runs that end
        # at once can't pair one's receipt with the other's signature.
        twins = (p for p in reversed(kept(files, folder)) if p != path)
        same = next((p for p in twins if path.stem == LATEST and files.read_bytes(p) == raw), path)
        beside = envelope_path(same)
    return _found(files, path, raw, beside)


def _found(files: Files, path: Path, raw: bytes, beside: Path) -> Found:
    envelope = files.read_bytes(beside) if files.exists(beside) else None
    text = None if envelope is None else envelope.decode("utf-8", "surrogateescape")
    return Found(path, raw, read(raw, path.name), text)


def _path(files: Files, folder: Path, which: str) -> Path:
    if which == LATEST:
        latest = folder / f"{LATEST}.json"
        if not files.exists(latest):
            raise MissingFile("There is no receipt yet.", hint="inv test.integration")
        return latest
    known = kept(files, folder)
    named = [p for p in known if which in (p.stem, p.name, p.stem.rpartition("-")[2])]
    if len(named) > 1:
        names = ", ".join(p.stem for p in named)
        raise UsageError(f"{which!r} could be {names}.", hint="name one of them whole")
    path = named[0] if named else Path(which)
    if not files.exists(path):
        newest = ", ".join(p.stem for p in known[-_MOST_NAMED:][::-1])
        raise MissingFile(
            f"There is no receipt {which!r}.",
            cause=f"The newest: {newest}." if newest else "There is none in this checkout.",
            hint="inv receipt.show --receipt latest",
        )
    return path
