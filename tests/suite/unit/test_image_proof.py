"""Proofs of bytes, one an image id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unstale.image.proof import Proof, Proofs

if TYPE_CHECKING:
    from conftest import FakeFiles

PATH = Path("/state/12ab.json")
PROOF = Proof("sha256:12ab", "v1:sha256:cd", 3, ("/app/a", "/app/\udcff"))

Making = Callable[[Mapping[Path, str]], "FakeFiles"]


def test_a_proof_that_was_kept_is_found(files: Making) -> None:
    proofs = Proofs(files({}), Path("/state"))
    proofs.keep(PROOF)

    assert proofs.of("sha256:12ab", "v1:sha256:cd") == PROOF


def test_it_is_one_of_that_image_with_those_inputs_alone(files: Making) -> None:
    disk = files({})
    proofs = Proofs(disk, Path("/state"))
    proofs.keep(PROOF)

    assert proofs.of("sha256:12ab", "v1:sha256:other") is None
    assert proofs.of("sha256:34ef", "v1:sha256:cd") is None
    # A copied file speaks of the image that is named in it.
    disk.texts[Path("/state/34ef.json")] = disk.texts[PATH]
    assert proofs.of("sha256:34ef", "v1:sha256:cd") is None


def test_a_newer_proof_of_an_image_takes_the_place_of_the_older(files: Making) -> None:
    disk = files({})
    proofs = Proofs(disk, Path("/state"))
    proofs.keep(PROOF)
    proofs.keep(Proof("sha256:12ab", "v1:sha256:ef", 4))

    assert list(disk.texts) == [PATH]
    assert proofs.of("sha256:12ab", "v1:sha256:cd") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"image_id": "sha256:12ab", "inputs": "v1:sha256:cd", "compared": 3}',
        '{"image_id": "sha256:12ab", "inputs": "v1:sha256:cd", "compared": "x", "rewritten": []}',
        '{"image_id": "sha256:12ab", "inputs": "v1:sha256:cd", "compared": 3, "rewritten": 1}',
    ],
)
def test_a_file_that_is_damaged_proves_nothing(files: Making, text: str) -> None:
    assert Proofs(files({PATH: text}), Path("/state")).of("sha256:12ab", "v1:sha256:cd") is None
