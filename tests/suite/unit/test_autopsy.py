"""Why a container could not be started: by its log, and the file that it should run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from unstale.errors import EngineUnavailable, Fault, Unavailable
from unstale.facts import ArchiveMember, ContainerConfig, ContainerFact, ImageFact
from unstale.stack.autopsy import Finding, autopsy

if TYPE_CHECKING:
    from conftest import FakeDocker

TINI = "[FATAL tini (7)] exec {} failed: No such file or directory"


@pytest.fixture
def dead(container: ContainerFact) -> ContainerFact:
    config = ContainerConfig(
        environment=("PATH=/usr/bin:/bin",), entrypoint=("/x.sh",), command=("-v", "/app/run.sh")
    )
    return replace(container, status="exited", exit_code=127, config=config)


def _file(path: str, content: bytes, mode: int = 0o755) -> ArchiveMember:
    return ArchiveMember(PurePosixPath(path), mode, None, content)


def _found(docker: FakeDocker, dead: ContainerFact, said: str, *files: ArchiveMember) -> Finding:
    docker.printed[dead.id] = (said,)
    docker.archives[dead.id] = list(files)
    return autopsy(docker, dead)


@pytest.mark.parametrize(
    ("said", "files", "cause"),
    [
        (TINI.format("/x.sh"), [_file("/x.sh", b"#!/bin/sh\r\n")], "CRLF in /x.sh?"),
        ("exec /x.sh: no such file or directory", [_file("/x.sh", b"#!/bin/sh\r\n")], "CRLF in"),
        (TINI.format("x.sh"), [_file("/bin/x.sh", b"#!/bin/sh\r\n")], "CRLF in /bin/x.sh?"),
        ("env: 'sh\\r': No such file", [_file("/x.sh", b"#!/usr/bin/env sh\r\n")], "CRLF in /x.sh"),
        ("run.sh: 2: foo\r: not found", [_file("/app/run.sh", b"set -e\r\n")], "CRLF in /app/run"),
        (TINI.format("/x.sh"), [], "There is no /x.sh in the image."),
        (
            TINI.format("/x.sh"),
            [_file("/x.sh", b"#!/bin/bash -e\n")],
            "/x.sh asks for /bin/bash, which is not in the image.",
        ),
        (
            "[FATAL tini (6)] exec /x.sh failed: Permission denied",
            [_file("/x.sh", b"#!/bin/sh\n", 0o644)],
            "/x.sh may not be executed: its mode is 0644.",
        ),
        (
            TINI.format("/x"),
            [_file("/x", b"\x7fELF")],
            "/x is there, but can't be executed: no such file or directory.",
        ),
    ],
)
def test_what_kept_it_from_starting_is_named(
    docker: FakeDocker, dead: ContainerFact, said: str, files: list[ArchiveMember], cause: str
) -> None:
    found = _found(docker, dead, said, *files)

    assert found.cause.startswith(cause)
    assert found.cause.endswith(said)
    assert found.fault is Fault.SERVICE_DIED


@pytest.mark.parametrize("said", ["Traceback: no such file or directory", "ValueError: bad\r"])
def test_a_program_that_ran_and_failed_is_no_such_case(
    docker: FakeDocker, dead: ContainerFact, said: str
) -> None:
    found = _found(docker, dead, said, _file("/x.sh", b"#!/bin/sh\n"))

    assert found == Finding(f"Its last log lines:\n  {said}")


def test_a_folder_is_no_script(docker: FakeDocker, dead: ContainerFact) -> None:
    folder = replace(dead, config=replace(dead.config, entrypoint=("/app",)))

    assert _found(docker, folder, "a\rb", _file("/app/x", b"a\r\n")).fault is None


def _image(architecture: str) -> ImageFact:
    return ImageFact("sha256:1111", ("a:1",), None, {}, 1, architecture, "linux", "", (), ())


@pytest.mark.parametrize(
    ("code", "said"), [(1, "exec /x: exec format error"), (2, "x: 1: Syntax error"), (127, "")]
)
def test_an_image_for_another_machine_is_told_by_both_platforms(
    docker: FakeDocker, dead: ContainerFact, code: int, said: str
) -> None:
    docker.local_images = [_image("arm64")]

    found = _found(docker, replace(dead, exit_code=code), said)

    assert found.cause.startswith("The image is for linux/arm64, the engine is linux/amd64.")
    assert found.fault is Fault.CONFIGURATION


def test_a_foreign_image_that_ran_is_not_blamed(docker: FakeDocker, dead: ContainerFact) -> None:
    docker.local_images = [_image("arm64")]

    assert _found(docker, replace(dead, exit_code=1), "ValueError").fault is None


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ("Bind for 0.0.0.0:80 failed: port is already allocated", Fault.BUSY),
        ("error mounting /x: not a directory", Fault.SERVICE_DIED),
    ],
)
def test_what_was_never_started_has_the_engines_words(
    docker: FakeDocker, container: ContainerFact, error: str, fault: Fault
) -> None:
    found = autopsy(docker, replace(container, status="created", error=error))

    assert found == Finding(error, fault=fault)


def test_out_of_memory_comes_before_all_else(docker: FakeDocker, dead: ContainerFact) -> None:
    found = _found(docker, replace(dead, oom_killed=True), TINI.format("/x.sh"))

    assert found.fault is Fault.OUT_OF_MEMORY


def test_a_log_that_cant_be_read_hides_nothing_else(
    docker: FakeDocker, dead: ContainerFact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Unavailable) -> None:
        def logs(container: str, tail: int) -> tuple[str, ...]:
            del container, tail
            raise error

        monkeypatch.setattr(docker, "logs", logs)

    refuse(Unavailable("No.", cause="the driver 'none' does not support reading"))
    assert "the driver 'none'" in autopsy(docker, dead).cause

    refuse(EngineUnavailable("Gone."))
    with pytest.raises(EngineUnavailable):
        autopsy(docker, dead)
