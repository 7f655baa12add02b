"""A Dockerfile and a compose file that nobody here wrote: an example of Gunicorn's, from its sdist.

Its compose file is two folders down, builds from the root, and has its tests in a profile. What
is adapted: the image that it is built on is another one by name, in a compose file beside it.
Dockerfile, compose file, application and tests are as they were published.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from adopted import Adopted, adopted, with_apt
from harness import ROOT

GUNICORN = (
    "gunicorn==27.0.1"
    " --hash=sha256:b1514965361c8b7e8107a80aa2a92636878df1ccfac6dd204a676426e04d9e3e"
)
COMPOSE = "examples/celery_alternative/docker-compose.yml"
ON = '{{build: {{additional_contexts: {{"python:3.14-slim": "docker-image://{base}"}}}}}}'


def fetched(requirement: str, folder: Path) -> Path:
    """The unpacked sdist of *requirement*, from the machine's own package index."""
    (folder / "wanted.txt").write_text(requirement)
    argv = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
    argv += ("--no-binary=:all:", "--dest", str(folder), "--requirement", f"{folder}/wanted.txt")
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    folder = tmp_path_factory.mktemp("sdist")
    with adopted(fetched(GUNICORN, folder), folder, with_git=False) as found:
        on = ON.format(base=with_apt())
        found.append("standin.yml", f"services:\n  app: {on}\n  tests: {on}\n")
        found.replace("pyproject.toml", f'["{COMPOSE}"]', f'["{COMPOSE}", "standin.yml"]')
        yield found


def test_its_own_tests_pass_and_a_change_of_its_code_is_seen(example: Adopted) -> None:
    found = example.run(0)

    assert found["tests"]["passed"] > 20
    assert found["tests"]["failed"] == 0
    assert example.verdicts(0, "--fail-on-stale") == {"app": "fresh", "tests": "fresh"}
    example.append("gunicorn/util.py", "\n# Changed.\n")
    assert example.verdicts(3, "--fail-on-stale") == {"app": "stale", "tests": "stale"}
