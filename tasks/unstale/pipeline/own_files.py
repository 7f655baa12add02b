"""Files of the project that are added to: read to a limit, and never beyond the project."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.errors import ConfigError, Fault, UsageError

if TYPE_CHECKING:
    from unstale.ports import Files

__all__ = ["LARGEST", "place", "refuse_links", "text", "text_at"]

LARGEST = 1 << 20
"""More bytes than anybody writes by hand."""


def text(root: Path, files: Files, name: str) -> str | None:
    """What is in *name* below *root*, its line ends too; None if there is no such file.

    Raises:
        UsageError: it leads out of *root*.
        ConfigError: it can't be read, and so not be added to.

    """
    path = place(root / name)
    if not path.is_relative_to(place(root)):
        raise _leads_elsewhere(root / name)
    return text_at(files, path)


def text_at(files: Files, path: Path) -> str | None:
    """What is in *path*, wherever that is; raises `ConfigError` as `text` does."""
    path = place(path)
    if not files.exists(path):
        return None
    # Not `read_bytes`: a pipe would be waited for, and a device has no end.
    found = files.end_of(path, LARGEST + 1)
    if found is None:
        raise ConfigError(
            f"{path} can't be read.",
            cause="It is no plain file, or one that you may not read.",
            hint=f"ls -ld {path}",
            fault=Fault.CONTENT,
        )
    raw, size = found
    if max(len(raw), size) > LARGEST:
        raise ConfigError(
            f"{path} is no file that somebody wrote: it is too large.",
            cause=f"It has more than {LARGEST} bytes.",
            hint=f"ls -ld {path}",
            fault=Fault.CONTENT,
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8.",
            cause=f"Byte {error.start} does not begin a character.",
            hint="save the file as UTF-8",
            fault=Fault.CONTENT,
        ) from None


def refuse_links(root: Path, names: Iterable[str]) -> None:
    """Refuse to write where a link is on the way, or out of *root*.

    Raises:
        UsageError: naming the first such file.

    """
    for name in names:
        if place(root / name) != place(root) / name:
            raise _leads_elsewhere(root / name)


def place(path: Path) -> Path:
    """Where *path* leads to.

    Raises:
        UsageError: nowhere, since links go in a circle.

    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a circle, by version; or a zero byte
        raise _leads_elsewhere(path) from None


def _leads_elsewhere(path: Path) -> UsageError:
    return UsageError(
        f"{str(path)!r} leads elsewhere." if "\0" in str(path) else f"{path} leads elsewhere.",
        cause="It is a link, or behind one, and only the project's own files are written.",
        hint="put the file itself there, in place of the link",
    )
