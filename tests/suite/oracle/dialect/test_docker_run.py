"""The rules of `docker run --env-file` that hazards know, against the real command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from create_calls import Listener, docker_run_values, listening
from dialect_cases import CASES
from dialects import SHELL

from unstale.parity.hazards import Refused
from unstale.parity.hazards import docker_run_values as ours


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    with listening(tmp_path_factory.mktemp("s")) as server:
        yield server


@pytest.mark.parametrize("name", CASES)
def test_each_case_is_read_as_the_command_reads_it(
    engine: Listener, tmp_path: Path, name: str
) -> None:
    path = tmp_path / ".env"
    path.write_bytes(CASES[name])

    values = ours(CASES[name], SHELL)

    assert (None if isinstance(values, Refused) else values) == docker_run_values(engine, path)
