"""A container that is made to look into an image, with a docker that refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from conftest import DONE

from unstale.adapters.docker import DockerCli
from unstale.adapters.docker_facts import image_fact
from unstale.adapters.leases import Leases
from unstale.errors import Unavailable
from unstale.ports import Command, CommandResult

if TYPE_CHECKING:
    from conftest import FakeProcess


def test_one_that_can_not_be_removed_does_not_hide_why_it_could_not_be_made(
    process: FakeProcess, tmp_path: Path
) -> None:
    def answer(command: Command) -> CommandResult:
        what = "create" if command.argv[1] == "create" else "remove"
        return replace(DONE, returncode=1, stderr=f"Error: may not {what} it")

    process.on_run = answer
    environ = {"DOCKER_HOST": "unix:///run/none.sock", "XDG_STATE_HOME": str(tmp_path)}
    docker = DockerCli(process, environ, leases=Leases({**environ, "PATH": str(tmp_path)}))

    with pytest.raises(Unavailable, match="The files of app can't be read") as caught:
        list(docker.files_in_image("app", PurePosixPath("/app")))

    assert caught.value.is_left
    assert caught.value.cause.splitlines() == [
        "Error: may not create it",
        "After that: Docker refused. Error: may not remove it",
    ]


@pytest.mark.parametrize(
    ("told", "attested"),
    [
        ({}, None),
        ({"Manifests": None}, None),
        ({"Manifests": []}, ()),
        (
            {
                "Manifests": [
                    {"ID": "sha256:b", "Kind": "image"},
                    {
                        "ID": "sha256:a",
                        "Kind": "attestation",
                        "AttestationData": {"For": "sha256:b"},
                    },
                ]
            },
            ("sha256:a",),
        ),
    ],
    ids=["an older engine", "the classic store", "none", "one"],
)
def test_what_a_builder_attested_to_is_told_if_the_engine_tells(
    told: dict[str, object], attested: tuple[str, ...] | None
) -> None:
    """The shape is that of the Engine API 1.48's reference."""
    assert image_fact({"Id": "sha256:i", **told}).attestations == attested
