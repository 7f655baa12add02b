"""A registry of the tests' own: Debian's package, unpacked and not installed.

dockerd speaks plain HTTP to 127.0.0.0/8, so nothing has to be configured. The
engine must run on this machine, which one in a virtual machine does not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import docker

_PACKAGE = "docker-registry"
_START_S = 30
_CONFIGURATION = """\
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "%s"}}
http: {addr: "127.0.0.1:0"}
"""


@dataclass(frozen=True)
class Registry:
    """A registry that answers, and what is done with it beside unstale."""

    host: str

    def name(self, image: str) -> str:
        """The reference of *image* here."""
        return f"{self.host}/{image}"

    def publish(self, image: str, dockerfile: str, *options: str) -> str:
        """Build *image* from nothing but a text and push it; returns its reference.

        The local store is as before: without it, or with the one that it had.
        """
        reference = self.name(image)
        before = image_id(reference)
        # Two images that are equal would be one, with the names of both.
        made = _build(reference, f"{dockerfile}LABEL published={image}\n", *options)
        self.push(image)
        if before:
            docker("tag", before, reference)
        if before != made:
            docker("rmi", *([made] if before else [reference]))
        return reference

    def push(self, image: str) -> None:
        """Push what the local store has under that name."""
        docker("push", "--quiet", self.name(image))

    def forget(self) -> None:
        """Remove every local image of this registry."""
        listed = docker("image", "ls", "--no-trunc", "--format", "{{.ID}} {{.Repository}}").out
        ids = [i for i, name in map(str.split, listed.splitlines()) if name.startswith(self.host)]
        if ids:
            docker("rmi", "--force", *dict.fromkeys(ids))


def image_id(reference: str) -> str:
    """The id of a local image; empty if there is none."""
    result = docker("image", "inspect", "--format", "{{.Id}}", reference, code=None)
    return result.out.strip()


def _build(reference: str, dockerfile: str, *options: str) -> str:
    argv = ("docker", "build", "--quiet", "--tag", reference, *options, "-")
    done = subprocess.run(argv, input=dockerfile, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def serve(folder: Path) -> Iterator[Registry]:
    """Serve a new registry that keeps everything in *folder*, until the end."""
    settings, log = folder / "registry.yml", folder / "registry.log"
    settings.write_text(_CONFIGURATION % (folder / "data"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            (_program(folder), "serve", str(settings)), stdout=output, stderr=output
        )
    try:
        found = Registry(_address(process, log))
        try:
            yield found
        finally:
            found.forget()
    finally:
        process.terminate()
        process.wait(timeout=_START_S)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as its log says: on a port that was free."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text()):
            return found.group(1)
        time.sleep(0.05)
    pytest.fail(f"The registry does not start:\n{log.read_text()}", pytrace=False)


def _program(folder: Path) -> str:
    """The registry's program: the machine's own, or one from Debian's package."""
    own = shutil.which(_PACKAGE)
    if own:
        return own
    # The machine's package lists may be old, or not there at all. Others, kept
    # here, need no root and change nothing.
    (folder / "lists" / "partial").mkdir(parents=True)
    lists = ("-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}")
    if not _apt(folder, "download", _PACKAGE):
        _apt(folder, *lists, "update")
        _apt(folder, *lists, "download", _PACKAGE)
    for package in folder.glob(f"{_PACKAGE}_*.deb"):
        subprocess.run(("dpkg-deb", "-x", str(package), str(folder / "program")), check=True)
        return str(folder / "program" / "usr" / "bin" / _PACKAGE)
    pytest.fail(
        f"These tests need a registry, and there is no {_PACKAGE} and no way to download it.\n"
        f"Next: apt-get install {_PACKAGE}, or put its program on the PATH",
        pytrace=False,
    )


def _apt(folder: Path, *arguments: str) -> bool:
    if shutil.which("apt-get") is None:
        return False
    argv = ("apt-get", "--quiet", *arguments)
    return subprocess.run(argv, cwd=folder, capture_output=True, check=False).returncode == 0
