"""BuildKit can put old bytes into a new image: we never certify such an image.

Each test first shows that a plain build is served old bytes here; then
`image.build` and `image.status` are asked about the same files.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engine import Engine

_MOMENT_NS = 1_600_000_000 * 10**9
_OLD, _NEW = "old bytes", "new bytes"
_FOREIGN = ("UNSTALE_", "COMPOSE_", "DOCKER_DEFAULT", "PYTEST_")

_SETTINGS = """\
[tool.unstale]
schema = "none"
[tool.unstale.environments.test]
compose-files = ["stack.yml"]
runner = "web"
database = "none"
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a compose file of one service, whose context has a name of its own."""

    root: Path
    name: str
    """The context's folder."""

    @property
    def context(self) -> Path:
        return self.root / self.name

    def write(self, path: str, text: str) -> None:
        """Write a file in place; its time is always the same."""
        place = self.context / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        for one in (place, place.parent):
            os.utime(one, ns=(_MOMENT_NS, _MOMENT_NS))

    def build_plainly(self, project: str = "") -> str:
        """What a user does: `docker compose build`; the image's id."""
        name = project or f"plain-{self.name}"
        run = ("docker", "compose", "-p", name, "-f", "stack.yml")
        self._run(*run, "build", "--quiet")
        return json.loads(self._run("docker", "image", "inspect", f"{name}-web"))[0]["Id"]

    def inv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "invoke", *arguments),
            cwd=self.root,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self) -> Any:
        """The one service's part of `image.status`."""
        answer = self.inv("image.status", "--json")
        assert answer.returncode in (0, 4), answer.stdout + answer.stderr
        return json.loads(answer.stdout)["services"][0]

    def remove(self) -> None:
        """Remove every image that this made."""
        ids = self._run(
            "docker", "image", "ls", "--quiet", "--filter", f"label={_OWNER}={self.name}"
        )
        if ids.split():
            self._run("docker", "image", "rm", "--force", *dict.fromkeys(ids.split()))

    def _run(self, *argv: str) -> str:
        done = subprocess.run(
            argv, cwd=self.root, env=_environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout


_OWNER = "dev.unstale.oracle.poison"


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}


@pytest.fixture
def project(tmp_path: Path, judge_engine: Engine) -> Iterator[Project]:
    del judge_engine  # it made the base image
    made = _project(tmp_path / "one", f"svc-{uuid.uuid4().hex[:10]}")
    yield made
    made.remove()


def _project(root: Path, name: str) -> Project:
    root.mkdir()
    made = Project(root, name)
    (root / "tasks.py").write_text("from unstale import ns\n")
    (root / "pyproject.toml").write_text(_SETTINGS)
    label = f"labels: {{{_OWNER}: {name}}}"
    (root / "stack.yml").write_text(
        f"name: {name}\nservices:\n  web:\n    build:\n      context: {name}\n      {label}\n"
    )
    return made


def held(image: str, path: str) -> tuple[str, int]:
    """Text and mode of a file (or folder) in an image, which is not run."""
    made = subprocess.run(
        ("docker", "create", image, "x"), capture_output=True, text=True, check=True
    )
    container = made.stdout.strip()
    try:
        copied = subprocess.run(
            ("docker", "cp", f"{container}:{path}", "-"), capture_output=True, check=True
        )
    finally:
        subprocess.run(("docker", "rm", container), capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as tar:
        member = tar.next()
        assert member is not None
        content = tar.extractfile(member)
        return content.read().decode() if content else "", member.mode & 0o777


def label(image: str, name: str) -> str:
    answer = subprocess.run(
        ("docker", "image", "inspect", image), capture_output=True, text=True, check=True
    )
    return str(json.loads(answer.stdout)[0]["Config"]["Labels"].get(name, ""))


@dataclass(frozen=True, slots=True)
class Trap:
    """A build, an edit that the builder's transfer does not see, and where it shows."""

    files: dict[str, str]
    edit: Callable[[Project], None]
    look: Callable[[str], object]
    """What the image holds; told apart by its value."""
    fresh: object
    """What it must hold."""
    is_set: bool = True
    """Whether a plain build is fooled; measured."""


_RUNS = "FROM unstale-oracle/plain\nRUN --mount=type=bind,source=data,target=/m cp /m/f /w/f\n"
_STAGES = (
    "FROM unstale-oracle/plain AS early\nCOPY f /w/in\nRUN cp /w/in /w/out\n"
    "FROM scratch\nCOPY --from=early /w/out /f\n"
)


def _rewrite(path: str, text: str) -> Callable[[Project], None]:
    return lambda project: project.write(path, text)


def _replace_atomically(path: str, text: str) -> Callable[[Project], None]:
    def edit(project: Project) -> None:
        project.write(f"{path}.new", text)
        (project.context / f"{path}.new").replace(project.context / path)
        os.utime(project.context, ns=(_MOMENT_NS, _MOMENT_NS))

    return edit


def _text(path: str) -> Callable[[str], object]:
    return lambda image: held(image, path)[0]


TRAPS = {
    "a copied file": Trap(
        {"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": _OLD},
        _rewrite("f", _NEW),
        _text("/f"),
        _NEW,
    ),
    "an atomically replaced file": Trap(
        {"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": _OLD},
        _replace_atomically("f", _NEW),
        _text("/f"),
        _NEW,
    ),
    "a file below a copied folder": Trap(
        {"Dockerfile": "FROM scratch\nCOPY . /d/\n", "s/f": _OLD},
        _rewrite("s/f", _NEW),
        _text("/d/s/f"),
        _NEW,
    ),
    "a file that only a RUN reads by a bind mount": Trap(
        {"Dockerfile": _RUNS, "data/f": _OLD}, _rewrite("data/f", _NEW), _text("/w/f"), _NEW
    ),
    "a file that only an earlier stage reads": Trap(
        {"Dockerfile": _STAGES, "f": _OLD}, _rewrite("f", _NEW), _text("/f"), _NEW
    ),
    "the Dockerfile itself": Trap(
        {"Dockerfile": "FROM scratch\nCOPY f /f\nLABEL which=1\n", "f": _OLD},
        _rewrite("Dockerfile", "FROM scratch\nCOPY f /f\nLABEL which=2\n"),
        lambda image: label(image, "which"),
        "2",
        is_set=False,
    ),
    "the mode of a folder": Trap(
        {"Dockerfile": "FROM scratch\nCOPY src /d\n", "src/sub/f": _OLD},
        lambda project: (project.context / "src/sub").chmod(0o700),
        lambda image: held(image, "/d/sub")[1],
        0o700,
    ),
}


def _build_with_unstale(project: Project) -> Any:
    built = project.inv("image.build")
    assert built.returncode == 0, built.stdout + built.stderr
    return project.status()


@pytest.mark.parametrize("name", TRAPS)
def test_an_edit_that_the_builder_does_not_see_is_built_all_the_same(
    name: str, project: Project
) -> None:
    trap = TRAPS[name]
    for path, text in trap.files.items():
        project.write(path, text)
    project.build_plainly()
    trap.edit(project)
    is_fooled = trap.look(project.build_plainly()) != trap.fresh
    assert is_fooled == trap.is_set, "the builder is not as it was measured"

    status = _build_with_unstale(project)

    assert trap.look(status["image_id"]) == trap.fresh
    assert status["verdict"] == "fresh"


@pytest.mark.parametrize("name", TRAPS)
def test_old_bytes_under_our_own_stamp_are_healed(name: str, project: Project) -> None:
    """The builder knows the context from our own build."""
    trap = TRAPS[name]
    for path, text in trap.files.items():
        project.write(path, text)
    assert _build_with_unstale(project)["verdict"] == "fresh"
    trap.edit(project)
    assert project.status()["verdict"] == "stale"

    status = _build_with_unstale(project)

    assert trap.look(status["image_id"]) == trap.fresh
    assert status["verdict"] == "fresh"


def test_another_checkout_whose_context_has_the_same_name_lends_no_bytes(
    tmp_path: Path, project: Project
) -> None:
    other = _project(tmp_path / "two", project.name)
    for one, text in ((project, _OLD), (other, _NEW)):
        one.write("Dockerfile", "FROM scratch\nCOPY f /f\n")
        one.write("f", text)
    project.build_plainly()
    assert held(other.build_plainly("plain-other-" + other.name), "/f")[0] == _OLD

    status = _build_with_unstale(other)

    assert held(status["image_id"], "/f")[0] == _NEW
    assert status["verdict"] == "fresh"
    status = _build_with_unstale(project)
    assert held(status["image_id"], "/f")[0] == _OLD


def test_old_bytes_under_a_true_stamp_are_never_fresh(project: Project) -> None:
    """A label is a claim: here another build copies it onto old bytes."""
    project.write("Dockerfile", "FROM scratch\nCOPY f /f\n")
    project.write("f", _OLD)
    project.build_plainly()
    project.write("f", _NEW)
    proven = _build_with_unstale(project)
    assert proven["verdict"] == "fresh"

    stamped = json.loads(_docker("image", "inspect", proven["image_id"]))[0]["Config"]["Labels"]
    claims = [word for pair in stamped.items() for word in ("--label", "=".join(pair))]
    poisoned = _docker("build", "--quiet", *claims, str(project.context)).strip()
    assert held(poisoned, "/f")[0] == _OLD
    _docker("tag", poisoned, proven["image"])

    assert project.status()["verdict"] in ("stale", "unknown")
    assert held(_build_with_unstale(project)["image_id"], "/f")[0] == _NEW


def _docker(*arguments: str) -> str:
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, check=True)
    return done.stdout
