"""What is published: built twice to the same bytes, and usable where nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

TASKS = """\
from invoke import task
from unstale import ns

@task
def mine(_ctx):
    "A task of the project's own."

ns.add_task(mine)
"""


def _must(argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **more: object) -> str:
    told = subprocess.run(  # type: ignore[call-overload]
        tuple(map(str, argv)),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    assert told.returncode == 0, (argv, told.stdout[-4000:], told.stderr[-4000:])
    return str(told.stdout)


def _tracked() -> tuple[str, ...]:
    return tuple(_must(("git", "ls-files", "-z"), cwd=ROOT).rstrip("\0").split("\0"))


@dataclass(frozen=True)
class Dist:
    wheel: Path
    sdist: Path

    @classmethod
    def of(cls, folder: Path) -> Dist:
        (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
        return cls(wheel, sdist)


def _build(source: Path, to: Path, env: Mapping[str, str] | None = None) -> Dist:
    _must((sys.executable, "-m", "hatchling", "build", "-d", to), env, cwd=source)
    return Dist.of(to)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files alone, as somebody has them who cloned."""
    folder = tmp_path_factory.mktemp("one") / "unstale"
    for name in _tracked():
        place = ROOT / name
        if place.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, folder / name)
            shutil.copymode(place, folder / name)
    return folder


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Dist:
    return _build(source, tmp_path_factory.mktemp("dist"))


def test_the_same_files_build_to_the_same_bytes(source: Path, dist: Dist, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "other-name"
    shutil.copytree(source, other, copy_function=shutil.copy)  # at another time
    (other / ".unstale").mkdir()
    (other / ".unstale" / "receipt.json").write_text("{}")
    mask = os.umask(0o077)
    try:
        again = _build(other, tmp_path / "dist", {"TZ": "Asia/Tokyo", "LC_ALL": "C"})
    finally:
        os.umask(mask)

    assert again.wheel.read_bytes() == dist.wheel.read_bytes()
    assert again.sdist.read_bytes() == dist.sdist.read_bytes()


def test_the_source_distribution_builds_the_very_wheel(dist: Dist, tmp_path: Path) -> None:
    _must(("tar", "-xf", dist.sdist, "-C", tmp_path))
    (unpacked,) = tmp_path.iterdir()

    again = _build(unpacked, tmp_path / "dist")

    assert again.wheel.read_bytes() == dist.wheel.read_bytes()


def test_the_wheel_has_the_package_and_nothing_else(dist: Dist) -> None:
    with zipfile.ZipFile(dist.wheel) as archive:
        names = set(archive.namelist())
    package = {n.removeprefix("tasks/") for n in _tracked() if n.startswith("tasks/unstale/")}

    assert {n for n in names if ".dist-info/" not in n} == package
    assert "unstale/py.typed" in names
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)


def test_nothing_in_it_names_a_machine(dist: Dist) -> None:
    with zipfile.ZipFile(dist.wheel) as archive:
        for name in archive.namelist():
            assert str(ROOT).encode() not in archive.read(name), name


def test_its_metadata_is_what_an_index_takes(dist: Dist) -> None:
    from packaging.metadata import Metadata

    with zipfile.ZipFile(dist.wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("dist-info/METADATA"))
        raw = archive.read(name)
    found = Metadata.from_email(raw, validate=True)

    assert found.description_content_type == "text/markdown"
    assert found.requires_python is not None
    assert "3.11" in found.requires_python
    assert Parser().parsestr(raw.decode())["License-Expression"] == "Apache-2.0"
    assert {"watch", "embedded"} <= set(found.provides_extra or ())


def _commands(programs: Path, tmp_path: Path) -> None:
    """What everybody types first, from the wheel alone."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "tasks.py").write_text(TASKS)
    bare = {
        "PYTHONPATH": "",
        "VIRTUAL_ENV": "",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }

    where = _must((programs / "python", "-c", "import unstale; print(unstale.__file__)"), bare)
    assert Path(where.strip()).is_relative_to(programs.parent)
    assert _must((programs / "unstale", "--version"), bare, cwd=project).startswith("unstale ")
    listed = _must((programs / "inv", "--list"), bare, cwd=project)
    assert "test.integration" in listed
    assert "mine" in listed
    assert "--no-cache" in _must((programs / "unstale", "--help", "test.integration"), bare)
    assert "unstale_database" in _must((programs / "python", "-m", "pytest", "--help"), bare)


def _venv(folder: Path, python: str = sys.executable, *more: str) -> Path:
    _must((python, "-m", "venv", *more, folder))
    return folder / "bin"


def _install(programs: Path, *what: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    _must((programs / "python", "-m", "pip", "install", *quiet, *what))


def test_the_wheel_works_where_only_its_dependencies_are(dist: Dist, tmp_path: Path) -> None:
    """Those of this environment lie behind it, and not its own tree."""
    programs = _venv(tmp_path / "venv")
    _install(programs, "--no-deps", "--no-index", dist.wheel)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (programs / "inv").write_text(
        f"#!{programs / 'python'}\nfrom invoke.main import program\nprogram.run()\n"
    )
    (programs / "inv").chmod(0o755)

    _commands(programs, tmp_path)


def _python(version: str) -> str:
    """One that starts: what pyenv has in the path need not."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{version}") or ""
    if not found or subprocess.run((found, "-c", ""), capture_output=True, check=False).returncode:
        pytest.skip(f"there is no Python {version} here")
    return found


@pytest.mark.long
@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_installs_into_an_empty_environment(
    dist: Dist, tmp_path: Path, version: str
) -> None:
    programs = _venv(tmp_path / "venv", _python(version))
    _install(programs, dist.wheel)

    _commands(programs, tmp_path)


@pytest.mark.long
def test_the_wheel_works_in_debians_newer_python(dist: Dist, tmp_path: Path) -> None:
    """In the image that stands in for python:3.13-slim, which reaches no index."""
    named = (ROOT / ".unstale/images.env").read_text()
    (image,) = re.findall("^UNSTALE_PYTHON_IMAGE='?([^'\n]+)", named, re.MULTILINE)
    wheels = tmp_path / "wheels"
    version = _must(("docker", "run", "--rm", image, "python3", "-c", _VERSION)).strip()
    _must(
        (
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, dist.wheel),
            *("--python-version", version, "--only-binary=:all:"),
        )
    )
    shutil.copyfile(dist.wheel, wheels / dist.wheel.name)

    told = _must(
        (
            *("docker", "run", "--rm", "--network=none", "--volume", f"{wheels}:/wheels:ro"),
            *(image, "sh", "-euc", _IN_DEBIAN),
        )
    )

    assert version > "3.11"
    assert "test.integration" in told
    assert "UNS-D01" in told


_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_IN_DEBIAN = """
python3 -m venv /tmp/venv
/tmp/venv/bin/pip install --quiet --no-index --find-links /wheels unstale
cd /tmp
/tmp/venv/bin/unstale --list
/tmp/venv/bin/unstale doctor || test $? -eq 5
/tmp/venv/bin/python -m pytest --help | grep unstale_database
"""


@pytest.mark.long
def test_uvx_starts_it_and_an_index_would_take_it(dist: Dist, tmp_path: Path) -> None:
    programs = _venv(tmp_path / "venv")
    _install(programs, "uv", "twine")

    _must((programs / "twine", "check", "--strict", dist.wheel, dist.sdist))
    told = _must((programs / "uvx", "--from", dist.wheel, "unstale", "--version"), cwd=tmp_path)

    assert told.startswith("unstale ")


@pytest.mark.long
def test_the_oldest_versions_that_it_allows_will_do(dist: Dist, tmp_path: Path) -> None:
    """Of what it depends on itself; the fast tests run with them."""
    tools, programs = _venv(tmp_path / "tools"), _venv(tmp_path / "venv")
    _install(tools, "uv")
    lowest = tmp_path / "lowest.txt"
    _must(
        (
            *(tools / "uv", "pip", "compile", "--quiet", ROOT / "pyproject.toml"),
            *("--resolution", "lowest-direct", "--python-version", "3.11", "-o", lowest),
        )
    )
    _install(programs, "-r", lowest, dist.wheel)
    _install(programs, "hypothesis", "jsonschema", "junitparser", "pexpect", "pytest-timeout")

    _commands(programs, tmp_path)
    tests = (programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long")
    _must((*tests, f"--basetemp={tmp_path / 'tests'}", "tests/suite/unit"), cwd=ROOT)
