"""JSON that may be damaged, or somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unstale.image.ledger import parse_records
from unstale.image.proof import Proofs
from unstale.image.transfer import decode
from unstale.jsontext import read_json

if TYPE_CHECKING:
    from conftest import FakeFiles

DEEP = "[" * 20_000


def test_json_is_read() -> None:
    assert read_json('{"a": [1, "\\u00e9"]}') == {"a": [1, "é"]}


@pytest.mark.parametrize("text", ["", "{", "[1,", DEEP, '{"a":' * 20_000])
def test_what_is_damaged_or_nested_too_deeply_says_nothing(text: str) -> None:
    assert read_json(text) is None


def test_a_state_file_that_is_nested_too_deeply_is_passed_over(
    files: type[FakeFiles],
) -> None:
    proofs = Proofs(files({Path("/state/12ab.json"): DEEP}), Path("/state"))

    assert proofs.of("sha256:12ab", "v1:sha256:cd") is None
    assert decode(DEEP) is None
    assert parse_records(DEEP) == ()
