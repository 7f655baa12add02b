"""Psql on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from conftest import DONE

from unstale.facts import ContainerFact
from unstale.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import FakeProcess

    from unstale.ports import Command, CommandResult


@dataclass(frozen=True, slots=True)
class WithDatabase(Project):
    """A project whose database runs in a container."""

    container: ContainerFact

    def _database(self, env: str | None = None) -> ContainerFact:
        del env
        return self.container


def test_a_shell_is_opened_in_the_engine_that_was_found(
    process: FakeProcess,
    container: ContainerFact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/none.sock")
    opened: Any = Project.open(tmp_path)
    project = WithDatabase(
        opened.settings,
        opened.docker,
        opened.git,
        opened.clock,
        process,  # type: ignore[arg-type]  # a fake
        opened.files,
        opened.leases,
        opened.signals,
        opened.environ,
        container,
    )
    seen: list[Command] = []

    def run(command: Command) -> CommandResult:
        seen.append(command)
        return DONE

    process.on_run = run
    # As when somebody says `docker context use` meanwhile.
    monkeypatch.delenv("DOCKER_HOST")

    project.db_shell(())

    assert seen[0].interactive
    assert seen[0].argv[:4] == ("docker", "exec", "-it", container.id)
    assert seen[0].env["DOCKER_HOST"] == "unix:///run/none.sock"
