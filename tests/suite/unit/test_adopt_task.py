"""`adopt` as it is typed: what it shows, what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CLASSIC = Path(__file__).parent / "classic"
SECRET = "hunter2-of-the-registry"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project with a Makefile, a runner, and what they name."""
    root = tmp_path / "shop"
    shutil.copytree(CLASSIC, root)
    (root / "docker").mkdir()
    (root / "docker" / "docker-compose.test.yml").write_text("services: {}\n")
    (root / "env").mkdir()
    (root / "env" / ".env.test").write_text("")
    (root / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    return root


def _adopt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "unstale", "adopt", *words),
        cwd=folder,
        env={**os.environ, "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _document(folder: Path, *words: str) -> dict[str, Any]:
    told = _adopt(folder, *words, "--json")
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_without_a_terminal_it_shows_and_writes_nothing(shop: Path) -> None:
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}

    told = _adopt(shop, "Makefile", "--makefile")

    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert "  make test-integration-build     -> unstale test.integration --build" in lines
    assert "  make lint                       stays: not about integration tests" in lines
    assert "  Makefile:77  docker system prune -af --volumes" in lines
    assert '+compose-files = ["docker/docker-compose.test.yml"]' in lines
    assert "+from unstale import ns" in lines
    assert "-\t$(COMPOSE) down -v --remove-orphans" in lines
    assert lines[-2:] == ["Nothing was written.", "Next: unstale adopt Makefile --yes"]
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before


def test_on_yes_it_writes_and_a_second_time_has_nothing_to_say(shop: Path) -> None:
    first = _adopt(shop, "Makefile", "--makefile", "--yes")

    assert "Written: pyproject.toml, Makefile, tasks.py." in first.stdout
    assert "\tinv test.integration $(ARGS)\n" in (shop / "Makefile").read_text()
    again = _document(shop, "Makefile", "--makefile", "--yes")
    assert (again["changes"], again["written"], again["tasks_py"]) == ([], False, [])
    from unstale import Project

    settings = Project.open(shop).settings
    assert settings.environment().runner == "test-runner"
    assert settings.suites["integration"] == ("-m", "integration", "-v", "--tb=short")
    assert [(rule.path, rule.grep) for rule in settings.verify] == [
        ("/app/tests/api/test_keys.py", "bearer_scheme")
    ]


def test_a_target_that_stays_is_named_with_its_line(shop: Path) -> None:
    text = "a:\n\tdocker compose up -d\nifdef CI\n\tdocker compose ps\nendif\n"
    (shop / "Makefile").write_text(text)

    told = _adopt(shop, "Makefile", "--makefile", "--yes").stdout

    assert (shop / "Makefile").read_text() == text
    assert "  Makefile:3  make a" in told.splitlines()
    found = _document(shop, "Makefile", "--makefile")
    assert found["left_in_makefile"] == [{"name": "a", "line": 3}]


def test_a_dry_run_writes_nothing(shop: Path) -> None:
    told = subprocess.run(
        (sys.executable, "-m", "unstale", "--dry", "adopt", "Makefile", "--yes"),
        cwd=shop,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert not (shop / "tasks.py").exists()


def test_no_secret_of_the_file_is_shown(shop: Path) -> None:
    (shop / "Makefile").write_text(
        (CLASSIC / "Makefile").read_text().replace("pytest tests/unit", "PGPASSWORD=s3cr3t-pw make")
    )

    for words in (("Makefile", "--makefile"), ("Makefile", "--makefile", "--json")):
        told = _adopt(shop, *words)
        assert "Authorization" in told.stdout
        assert SECRET not in told.stdout + told.stderr
        assert "s3cr3t-pw" not in told.stdout + told.stderr


@pytest.mark.parametrize(
    "lines",
    [
        "a:\n\tdocker login -u ci -p {} example.com\n\tdocker compose up -d\n",
        "a:\n\tcurl -u admin:{} https://example.com/ready\n",
        "a:\n\tcurl -u \\\n  admin:{} https://example.com/ready\n",
        "a:\n\ttool --token {}\n",
        "API_KEY = two {}\na:\n\ttool $(API_KEY)\n",
        "a: API_KEY = two {}\na:\n\tdocker compose up -d\n",
        "define API_KEY\n two {}\nendef\na:\n\ttool $(API_KEY)\n",
        "a:\n\t./called.sh\n# tool --token {}\nb:\n\tdocker compose up -d\n",
    ],
)
def test_no_secret_of_a_command_is_shown(lines: str, shop: Path) -> None:
    secret = "heron72x9"
    (shop / "Makefile").write_text(lines.format(secret))
    (shop / "called.sh").write_text(
        f"docker login -p {secret}\ndocker compose run t pytest --token {secret}\n"
    )

    for words in (("Makefile", "--makefile"), ("Makefile", "--makefile", "--json")):
        told = _adopt(shop, *words)
        assert told.returncode == 0, told.stderr
        assert "Makefile" in told.stdout
        assert secret not in told.stdout + told.stderr


def test_a_line_of_many_exports_is_read_in_time(shop: Path) -> None:
    (shop / "Makefile").write_text("export " * 140_000 + "\na:\n\tdocker compose up -d\n")

    told = _adopt(shop, "Makefile")  # which ends it after a minute

    assert "  make a  -> unstale stack.up" in told.stdout


@pytest.mark.parametrize(
    ("command", "gone", "proposed"),
    [
        ("docker compose -f docker/old.yml up -d", "docker/old.yml", None),
        ("cd infra && docker compose -f x.yml up -d", "x.yml", None),
        (
            "docker compose -f docker/docker-compose.test.yml -f docker/old.yml up -d",
            "docker/old.yml",
            '+compose-files = ["docker/docker-compose.test.yml"]',
        ),
        (
            "docker compose --env-file env/old.env -f docker/docker-compose.test.yml up -d",
            "env/old.env",
            '+compose-files = ["docker/docker-compose.test.yml"]',
        ),
    ],
)
def test_a_file_that_is_gone_is_noted_and_not_proposed(
    command: str, gone: str, proposed: str | None, shop: Path
) -> None:
    (shop / "Makefile").write_text(f"a:\n\t{command}\n")

    told = _adopt(shop, "Makefile")

    assert told.returncode == 0, told.stderr
    assert "  make a  -> unstale stack.up" in told.stdout
    assert f"Note: There is no file {gone}, which Makefile:2 names." in told.stdout
    added = [line for line in told.stdout.splitlines() if line.startswith("+")]
    assert not any(gone in line for line in added)
    assert proposed is None or proposed in added


def test_what_would_be_refused_is_not_proposed_and_the_rest_is_shown(shop: Path) -> None:
    (shop / "compose.-x.yml").write_text("services: {}\n")
    (shop / "Makefile").write_text("a:\n\tdocker compose -f compose.-x.yml up -d\n")

    told = _adopt(shop, "Makefile")

    assert told.returncode == 0, told.stderr
    assert "  make a  -> unstale stack.up" in told.stdout
    assert (
        "Note: No [tool.unstale] is proposed, since it would be refused. '-x' can't be the name"
        in told.stdout
    )
    assert "+++ b/pyproject.toml" not in told.stdout


def test_a_configuration_that_is_there_is_left_alone(shop: Path) -> None:
    (shop / "pyproject.toml").write_text(
        "[tool.unstale.environments.test]\nrunner = 'tests'\nenv-file = 'env/.env.test'\n"
    )
    (shop / "tasks.py").write_text("from invoke import task\n@task\ndef test(c): pass\n")

    told = _adopt(shop, "scripts/test-integration.sh", "--yes")

    assert (
        "  environments.test: runner = test-runner  (scripts/test-integration.sh:77)" in told.stdout
    )
    assert "env-file" not in told.stdout
    assert "  ns = Collection(test, unstale.ns)  # beside your own test" in told.stdout
    assert told.stdout.splitlines()[-2:] == ["Nothing is to be written.", "Next: unstale plan"]


def test_nothing_of_the_file_or_the_checkout_is_run(shop: Path) -> None:
    mark = shop / "mark"
    (shop / "tasks.py").write_text(f"open({str(mark)!r}, 'w')\n")
    (shop / "Makefile").write_text(f"X := $(shell touch {mark})\na:\n\ttouch {mark}; $(X)\n")

    assert _adopt(shop, "Makefile", "--makefile", "--yes").returncode == 0

    assert not mark.exists()


def test_a_script_that_a_link_leads_to_outside_is_not_read(shop: Path) -> None:
    (shop.parent / "private.sh").write_text("docker compose up -d\ncurl private.example.com\n")
    (shop / "linked.sh").symlink_to(shop.parent / "private.sh")
    (shop / "Makefile").write_text("a:\n\t./linked.sh\nb:\n\t../private.sh\n")

    found = _document(shop, "Makefile")

    assert [unit["becomes"] for unit in found["units"]] == [None, None]
    assert "private.example.com" not in json.dumps(found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "There is no file"),
        (("docker",), "can't be read"),
        (("binary.sh",), "is not UTF-8"),
        (("huge.sh",), "too large"),
        (("--help",), None),
    ],
)
def test_what_can_not_be_read_is_a_usage_error(
    words: tuple[str, ...], said: str | None, shop: Path
) -> None:
    (shop / "binary.sh").write_bytes(b"\xff\xfe")
    (shop / "huge.sh").write_text("a\n" * 600_000)

    told = _adopt(shop, *words)

    assert told.returncode == (2 if said else 0)
    assert (said or "") in told.stderr
    assert "Traceback" not in told.stderr


def test_from_a_subfolder_paths_are_those_of_the_project(shop: Path) -> None:
    found = _document(shop / "scripts", "test-integration.sh")

    assert found["file"] == "scripts/test-integration.sh"
    assert found["schema"] == "unstale/adopt@1"
    assert {row["line"] for row in found["not_understood"]} == {28}
    assert [unit["becomes"] for unit in found["units"]][:2] == [
        "inv test.integration",
        "inv test.integration --build",
    ]
