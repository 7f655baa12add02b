"""Contexts with an ignore file, as written down, on disk, and as we see them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from unstale.image import dockerignore
from unstale.image.tree import ContextTree


@dataclass(frozen=True, slots=True)
class Context:
    """Paths are bytes; one that ends in a slash is an empty folder."""

    ignore: bytes
    paths: tuple[bytes, ...]

    def write(self, root: Path) -> None:
        for path in self.paths:
            place = os.path.join(os.fsencode(root), path)  # noqa: PTH118 - names are bytes
            folder = place.rpartition(b"/")[0]
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            if not path.endswith(b"/"):
                with open(place, "wb") as file:  # noqa: PTH123
                    file.write(b"x")
        (root / ".dockerignore").write_bytes(self.ignore)


def sent(root: Path) -> set[bytes]:
    """What we say the builder is sent of *root*.

    Raises:
        CouldNotTell: the ignore file can't be applied.

    """
    text = (root / ".dockerignore").read_bytes().decode(errors="surrogateescape")
    tree = ContextTree(root, dockerignore.parse(text))
    return {os.fsencode(path) for path, _ in tree.under(".")} - {b"."}
