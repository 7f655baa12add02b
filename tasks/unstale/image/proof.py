"""The proofs of bytes that were made in a checkout, one an image id."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from unstale.errors import UsageError
from unstale.jsontext import read_json
from unstale.ports import Files

__all__ = ["Proof", "Proofs"]


@dataclass(frozen=True, slots=True)
class Proof:
    """That an image holds the bytes which its stamp speaks of."""

    image_id: str
    inputs: str
    """The digest that was stamped."""
    compared: int
    """Copied files whose bytes were looked at."""
    rewritten: tuple[str, ...] = ()
    """Paths in the image that a RUN rewrote after they were copied: they differed
    in a build whose context had been sent under a name of its own."""


class Proofs:
    """The proofs in a folder."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def of(self, image_id: str, inputs: str) -> Proof | None:
        """The proof that the image *image_id* holds *inputs*, if one was made."""
        try:
            document = read_json(self._files.read_text(self._path(image_id)))
            found = Proof(
                image_id=str(document["image_id"]),
                inputs=str(document["inputs"]),
                compared=int(document["compared"]),
                rewritten=tuple(map(str, document["rewritten"])),
            )
        except (UsageError, ValueError, KeyError, TypeError, OverflowError):
            return None
        return found if (found.image_id, found.inputs) == (image_id, inputs) else None

    def keep(self, proof: Proof) -> None:
        """Write *proof* down."""
        text = json.dumps(asdict(proof), indent=1, sort_keys=True) + "\n"
        self._files.write_atomic(self._path(proof.image_id), text)

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id.rpartition(':')[2]}.json"
