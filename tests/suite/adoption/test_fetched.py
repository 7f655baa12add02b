"""Dockerfiles and compose files that nobody here wrote, from sdists that are fetched now.

An example of Gunicorn's: its compose file is two folders down, builds from the root, and has its
tests in a profile. PgQueuer: PostgreSQL, a service that makes the tables and ends, tests that uv
starts.

What is adapted is in a compose file beside theirs: the images that they are built on are others
by name, and more where a fixture says so. Dockerfile, compose file, application and tests are as
they were published.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from adopted import Adopted, adopted, machine, with_apt, with_uv
from harness import ROOT

GUNICORN = (
    "gunicorn==27.0.1"
    " --hash=sha256:b1514965361c8b7e8107a80aa2a92636878df1ccfac6dd204a676426e04d9e3e"
)
COMPOSE = "examples/celery_alternative/docker-compose.yml"
PGQUEUER = (
    "pgqueuer==1.6.0 --hash=sha256:ed1306404f96e25c84c951f434e8b06b091e04e0177af0d5441505a7944f156e"
)
ON = '{{build: {{additional_contexts: {{"{name}": "docker-image://{base}"}}}}}}'

# Its tests start a PostgreSQL of their own unless they are told of one: in a container they
# can't. Its database has 2.5 seconds to come up, which is not enough on a busy machine. A
# benchmark is no part of a test run.
STANDIN = """\
services:
  db: {{image: "{postgres}", healthcheck: {{start_period: 3m}}}}
  populate: {on}
  test:
    <<: {on}
    environment: {{EXTERNAL_POSTGRES_DSN: "postgresql://pgquser:pgqpw@db/pgqdb"}}
  benchmark: {{profiles: [benchmark]}}
"""


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
        on = ON.format(name="python:3.14-slim", base=with_apt())
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


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    folder = tmp_path_factory.mktemp("sdist")
    with adopted(fetched(PGQUEUER, folder), folder) as found:
        found.append(
            "standin.yml",
            STANDIN.format(
                on=ON.format(name="ghcr.io/astral-sh/uv:python3.12-bookworm", base=with_uv()),
                postgres=machine()["UNSTALE_POSTGRES_IMAGE"],
            ),
        )
        found.replace(
            "pyproject.toml", '["docker-compose.yml"]', '["docker-compose.yml", "standin.yml"]'
        )
        yield found


def test_a_service_that_ends_and_tests_that_uv_starts(queue: Adopted) -> None:
    assert (
        'command = ["uv", "-n", "run", "--frozen", "pytest"]'
        in (queue.root / "pyproject.toml").read_text()
    )
    found = queue.run(0)

    steps = queue.details(found)
    assert found["tests"]["passed"] > 10
    assert found["tests"]["failed"] == 0
    assert steps["database_ready"] == "db answered twice"
    assert queue.verdicts(0, "--fail-on-stale") == {"populate": "fresh", "test": "fresh"}
    queue.append("pgqueuer/queries.py", "\n# Changed.\n")
    assert queue.verdicts(3, "--fail-on-stale") == {"populate": "stale", "test": "stale"}
