"""Somebody else's project: copied to a folder of its own, adopted, and run.

Their compose files name the images that they stand on by variables with a default, as the
engine here may have no registry. Nothing else was made easier for them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from filelock import FileLock
from harness import ROOT, Checkout, Result, docker

HERE = Path(__file__).parent
PROJECTS = HERE / "projects"
_BASE = HERE / "base"
_REAL_PYTHON, _REAL_POSTGRES = "python:3.13-slim", "postgres:17"


class Adopted(Checkout):
    """A project whose settings ``unstale init`` wrote; only the ``unstale`` command is typed."""

    def unstale(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Type ``unstale`` where the project's own Python is on the path, and wait for the end."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return self.inv(*arguments, env={"PATH": path, **(env or {})})

    def details(self, document: Any) -> dict[str, str]:
        """What each step of a run said."""
        return {str(step["name"]): str(step["detail"]) for step in document["steps"]}

    def run(self, code: int = 0, *arguments: str) -> Any:
        """Run the pipeline; return what it says, and require that nothing of it stays."""
        document = self.unstale("test.integration", "--json", *arguments).must(code).document()
        assert self.leftovers() == []
        return document

    def verdicts(self, code: int = 0, *arguments: str) -> dict[str, str]:
        """What `image.status` says of each service."""
        found = self.unstale("image.status", "--json", *arguments).must(code).document()
        return {str(s["service"]): str(s["verdict"]) for s in found["services"]}


@contextmanager
def adopted(source: Path, folder: Path, *, with_git: bool = True) -> Iterator[Adopted]:
    """A copy of *source* below *folder*, with what ``unstale init`` writes.

    In a repository of its own, *with_git*. Its images go at the end.
    """
    root = folder / f"it-{uuid.uuid4().hex[:8]}"
    shutil.copytree(source, root, symlinks=True)
    state = root / ".unstale"
    state.mkdir()
    (state / "images.env").write_text("".join(f"{k}={v}\n" for k, v in machine().items()))
    project = Adopted(root, program=("-m", "unstale"))
    if with_git:
        project.git("init", "--quiet")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message=As we found it")
    project.unstale("init", "--yes").must(0)
    try:
        yield project
        assert project.leftovers() == []
    finally:
        project.sweep()
        project.unstale("image.clean", "--yes")


def machine() -> dict[str, str]:
    """The images that projects stand on here."""
    written = dotenv_values(ROOT / ".unstale" / "images.env")
    return {
        "UNSTALE_PYTHON_IMAGE": base(written),
        "UNSTALE_POSTGRES_IMAGE": written.get("UNSTALE_POSTGRES_IMAGE") or _REAL_POSTGRES,
    }


def with_apt() -> str:
    """The name of that image with apt sources, which the official one has, on these mirrors."""
    name = machine()["UNSTALE_PYTHON_IMAGE"]
    if not (dotenv_values(ROOT / ".unstale" / "images.env").get("UNSTALE_PYTHON_IMAGE") or ""):
        return name
    release = docker("run", "--rm", name, "cat", "/etc/os-release").out
    suite = dict(line.split("=", 1) for line in release.splitlines())["VERSION_CODENAME"]
    argv = ("sh", str(ROOT / "docker" / "base" / "debian-sources"), suite)
    sources = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    text = f"FROM {name}\nCOPY <<'END' /etc/apt/sources.list.d/debian.sources\n{sources}END\n"
    return _built("unstale/adoption-debian", text)


def with_uv() -> str:
    """The name of that image with uv and libpq, as uv's own on a whole Debian have them."""
    install = "apt-get update -qq && apt-get install -qq --no-install-recommends libpq5"
    text = f"FROM {with_apt()}\nRUN {install}\n"
    text += "RUN pip install --quiet --no-cache-dir 'uv>=0.8,<1'\n"
    # The Python that is there.
    text += "ENV UV_PYTHON_DOWNLOADS=never\n"
    if dotenv_values(ROOT / ".unstale" / "images.env").get("UNSTALE_CA_BUNDLE"):
        text += "ENV SSL_CERT_FILE=/etc/machine/ca.pem\n"
    return _built("unstale/adoption-uv", text)


def _built(name: str, dockerfile: str) -> str:
    """The tag of the image that *dockerfile* makes without any context."""
    tag = f"{name}:{hashlib.sha256(dockerfile.encode()).hexdigest()[:12]}"
    done = subprocess.run(
        ("docker", "build", "--quiet", "--tag", tag, "-"),
        input=dockerfile,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tag


def base(written: Mapping[str, str | None]) -> str:
    """The name of an image with Python and what the projects share, which is built once."""
    python = written.get("UNSTALE_PYTHON_IMAGE") or _REAL_PYTHON
    files = {
        "machine/pip.conf": _pip_conf(written).encode(),
        "machine/ca.pem": _content(written.get("UNSTALE_CA_BUNDLE")),
        **{f.name: f.read_bytes() for f in sorted(_BASE.iterdir()) if f.is_file()},
    }
    digest = hashlib.sha256(repr((python, _id(python), sorted(files.items()))).encode()).hexdigest()
    name = f"unstale/adoption-python:{digest[:12]}"
    context = ROOT / ".unstale" / "adoption" / digest[:12]
    context.parent.mkdir(parents=True, exist_ok=True)
    # Each worker of xdist comes here.
    with FileLock(context.with_suffix(".lock")):
        if _id(name):
            return name
        for path, content in files.items():
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            (context / path).write_bytes(content)
        argument = f"UNSTALE_PYTHON_IMAGE={python}"
        argv = ("docker", "build", "--quiet", "--tag", name, "--build-arg", argument, str(context))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return name


def _id(name: str) -> str:
    return docker("image", "inspect", "--format={{.Id}}", name, code=None).out.strip()


def _pip_conf(written: Mapping[str, str | None]) -> str:
    index = _content(written.get("UNSTALE_PACKAGE_INDEX")).decode().strip()
    lines = ["[global]", "disable-pip-version-check = true", "root-user-action = ignore"]
    lines += ["cert = /etc/machine/ca.pem"] if written.get("UNSTALE_CA_BUNDLE") else []
    return "\n".join([*lines, *([f"index-url = {index}"] if index else [])]) + "\n"


def _content(path: str | None) -> bytes:
    return Path(path).read_bytes() if path else b""
