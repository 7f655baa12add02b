"""Projects to measure on: a tree of small files, committed, built and clean."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FILE_BYTES = 1200
PER_FOLDER = 50
ONE, THREE = "one", "three"

_SERVICES: Mapping[str, tuple[str, ...]] = {ONE: ("app",), THREE: ("app", "worker", "web")}
# A setting of the machine that would reach into the project.
_FOREIGN = ("UNSTALE_", "COMPOSE_", "DOCKER_DEFAULT")


@dataclass(frozen=True, slots=True)
class Tree:
    """A project of *files* files, whose environments have one and three services."""

    root: Path
    files: int
    environ: Mapping[str, str]
    """Of every command that is measured."""

    @property
    def state(self) -> Path:
        """Where unstale keeps the stat cache."""
        return self.root / ".unstale" / "stat"

    def inv(self, *words: str) -> tuple[str, ...]:
        """An `inv` command line."""
        return (str(Path(sys.executable).with_name("inv")), *words)

    def unstale(self, *words: str) -> tuple[str, ...]:
        """The same as the package's own command."""
        return (str(Path(sys.executable).with_name("unstale")), *words)

    def compose_build(self, env: str) -> tuple[str, ...]:
        """What its user would type to be sure."""
        return ("docker", "compose", "--file", f"compose.{env}.yml", "build")

    def run(self, argv: Sequence[str]) -> str:
        """Run a command that must succeed."""
        done = subprocess.run(
            argv, cwd=self.root, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def build(self, env: str) -> None:
        """Build the images of *env* in both ways, so that neither has work left.

        The proof of bytes is made here, and the stat cache is written.
        """
        self.run(self.inv("image.build", "--env", env))
        self.run(self.compose_build(env))
        self.run(self.inv("image.status", "--env", env, "--fail-on-stale"))


@contextmanager
def tree(parent: Path, files: int, tag: str) -> Iterator[Tree]:
    """Make a project below *parent*; at the end it and its images are gone.

    *tag* makes its name one of a kind: BuildKit knows contexts by their base name.
    It is short, since unstale cuts the name of a folder in an image's name.
    """
    root = parent / f"bench-{files}-{tag}"
    made = Tree(root, files, _environ(parent))
    try:
        _write(root, files)
        _commit(made)
        yield made
    finally:
        _remove_images(root.name)
        shutil.rmtree(root, ignore_errors=True)


def _environ(parent: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    # Python keeps compiled modules unless told otherwise, and so does every installation.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPYCACHEPREFIX": str(parent / "pyc")}


def _write(root: Path, files: int) -> None:
    source = random.Random(files)
    for number in range(files):
        folder = root / "src" / f"{number // PER_FOLDER // 40:02}" / f"{number // PER_FOLDER:04}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"module_{number:06}.py").write_bytes(source.randbytes(FILE_BYTES))
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /app\n")
    (root / ".dockerignore").write_text(".git\n.unstale\n")
    (root / ".gitignore").write_text(".unstale/\n")
    (root / "tasks.py").write_text("from unstale import ns\n")
    settings = ["[tool.unstale]", f'default-env = "{ONE}"']
    for env, services in _SERVICES.items():
        lines = [f"  {name}:\n    build: .\n" for name in services]
        (root / f"compose.{env}.yml").write_text("services:\n" + "".join(lines))
        settings += [
            f"[tool.unstale.environments.{env}]",
            f'compose-files = ["compose.{env}.yml"]',
            'runner = "host"',
            'database = "none"',
        ]
    (root / "pyproject.toml").write_text("\n".join(settings) + "\n")


def _commit(made: Tree) -> None:
    made.run(("git", "init", "--quiet"))
    made.run(("git", "add", "."))
    who = ("-c", "user.name=Bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0")
    made.run(("git", *who, "commit", "--quiet", "--message", "Add the tree"))
    # Git looks into files that are as new as its index, until it has written that anew.
    made.run(("git", "status"))


def _remove_images(name: str) -> None:
    # Unstale's own and those of the baseline, whose project is the folder's name.
    listed = subprocess.run(
        ("docker", "images", "--format", "{{.Repository}}:{{.Tag}}"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    mine = [line for line in listed.splitlines() if name in line]
    if mine:
        subprocess.run(("docker", "rmi", *mine), capture_output=True, check=True)
