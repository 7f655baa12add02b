"""`./bootstrap`, the real script in a copy, among commands that only pretend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Each notes how it was called; the journal is what the tests read.
FAKES = {
    "apt-get": "",
    "chown": "",
    "dockerd": "",
    "id": 'echo "$FAKE_UID"',
    "systemctl": "",
    "docker": """
[ "$FAKE_DOCKER_EXIT" = 0 ] && echo '["27.0",null,[{"Name":"compose","Version":"2.26"},
{"Name":"buildx","Version":"0.13"}],"/data",""]'
exit "$FAKE_DOCKER_EXIT"
""",
    # A Python that makes virtual environments with itself inside, and runs the doctor.
    "python3": f"""
case "$1 $2" in
"-P -S") exec {sys.executable} "$@" ;;
"-m venv") rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip") exit "$FAKE_PIP_EXIT" ;;
esac
""",
}


@dataclass(frozen=True)
class Checkout:
    """A copy of the project's folder with a journal of the commands called."""

    root: Path
    journal: Path
    environment: dict[str, str]

    def bootstrap(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "bootstrap", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def calls(self) -> list[str]:
        return self.journal.read_text().splitlines()

    def calls_of(self, command: str) -> list[str]:
        return [call for call in self.calls() if call.split()[0] == command]

    def installations(self) -> list[str]:
        """The pip calls, by what they install: "lock" or "project"."""
        return [
            "lock" if "--require-hashes" in call else "project"
            for call in self.calls_of("python")
            if " -m pip " in call
        ]


def write_command(path: Path, journal: Path, body: str) -> None:
    path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>"{journal}"\n{body}\n')
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, fakes, journal = tmp_path / "check out", tmp_path / "bin", tmp_path / "journal"
    fakes.mkdir()
    journal.touch()
    for name, body in FAKES.items():
        write_command(fakes / name, journal, body)
    (root / "docker/base").mkdir(parents=True)
    shutil.copy2(ROOT / "bootstrap", root)
    (root / "tasks").symlink_to(ROOT / "tasks")
    write_command(root / "docker/base/build", journal, "")
    (root / "requirements.lock").write_text("idna==3.10\n")
    (root / "pyproject.toml").write_text("[project]\n")
    return Checkout(
        root=root,
        journal=journal,
        environment={
            "PATH": f"{fakes}:{os.defpath}",
            "FAKE_UID": "0",
            "FAKE_DOCKER_EXIT": "0",
            "FAKE_PIP_EXIT": "0",
        },
    )


def test_without_arguments_it_shows_its_usage(checkout: Checkout) -> None:
    result = checkout.bootstrap()
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: ./bootstrap")
    assert checkout.calls() == []


def test_help_is_not_an_error(checkout: Checkout) -> None:
    result = checkout.bootstrap("--help")
    assert result.returncode == 0
    assert "--with-docker" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--with-dokcer", "inv"], "unknown option --with-dokcer"),
        (["--stop-docker", "inv"], "--stop-docker stands alone"),
        (["--with-docker", "--stop-docker"], "--stop-docker stands alone"),
    ],
)
def test_a_mistake_on_the_command_line_changes_nothing(
    checkout: Checkout, arguments: list[str], complaint: str
) -> None:
    result = checkout.bootstrap(*arguments)
    assert result.returncode == 2
    assert complaint in result.stderr
    assert checkout.calls() == []


def test_the_commands_own_options_are_left_alone(checkout: Checkout) -> None:
    result = checkout.bootstrap("--", "echo", "--with-docker", "--no-such-option")
    assert result.stdout == "--with-docker --no-such-option\n"
    assert checkout.calls_of("docker") == []


def test_without_an_engine_and_without_root_it_explains_and_stops(checkout: Checkout) -> None:
    result = checkout.bootstrap(
        "--with-docker", "touch", str(checkout.root / "ran"), FAKE_UID="1000", FAKE_DOCKER_EXIT="1"
    )
    assert result.returncode == 5
    what, cause, following = result.stderr.splitlines()
    assert what.startswith("bootstrap: no Docker engine")
    assert cause.startswith("  cause: ")
    assert following.startswith("  next:  ")
    assert {call.split()[0] for call in checkout.calls()} <= {"docker", "id", "python3"}
    assert not (checkout.root / "ran").exists()


@pytest.mark.parametrize(("compose", "code"), [("2.26", 0), ("1.29.2", 5), ("2.23.3", 5)])
def test_a_compose_that_will_not_do_is_as_good_as_none(
    checkout: Checkout, compose: str, code: int
) -> None:
    docker = checkout.journal.with_name("bin") / "docker"
    docker.write_text(docker.read_text().replace("2.26", compose))
    # Without root: nothing of this machine is changed.
    assert checkout.bootstrap("--with-docker", "true", FAKE_UID="1000").returncode == code


def test_without_a_python_that_runs_the_doctor_nothing_is_changed(checkout: Checkout) -> None:
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        write_command(checkout.journal.with_name("bin") / name, checkout.journal, "exit 1")
    result = checkout.bootstrap("--with-docker", "true", FAKE_DOCKER_EXIT="1")
    assert result.returncode == 5
    assert "no Python 3.11 or later" in result.stderr
    assert checkout.calls_of("apt-get") == checkout.calls_of("dockerd") == []


def test_an_engine_that_answers_is_used_as_it_is(checkout: Checkout) -> None:
    result = checkout.bootstrap("--with-docker", "true")
    assert result.returncode == 0
    assert len(checkout.calls_of("build")) == 1
    for command in ("apt-get", "dockerd", "systemctl"):
        assert checkout.calls_of(command) == []


def test_without_the_option_docker_is_not_even_asked(checkout: Checkout) -> None:
    assert checkout.bootstrap("true", FAKE_DOCKER_EXIT="1").returncode == 0
    assert checkout.calls_of("docker") == checkout.calls_of("build") == []


def test_base_images_that_cannot_be_had_stop_it(checkout: Checkout) -> None:
    write_command(checkout.root / "docker/base/build", checkout.journal, "exit 5")
    result = checkout.bootstrap("--with-docker", "echo", "ran")
    assert (result.returncode, result.stdout) == (5, "")


def test_the_command_decides_the_exit_code(checkout: Checkout) -> None:
    assert checkout.bootstrap("sh", "-c", "exit 7").returncode == 7


def test_the_command_runs_in_the_environment(checkout: Checkout) -> None:
    result = checkout.bootstrap("sh", "-c", 'command -v python && echo "$VIRTUAL_ENV"')
    venv = checkout.root / ".venv"
    assert result.stdout.splitlines() == [f"{venv}/bin/python", f"{venv}"]


def test_standard_output_belongs_to_the_command(checkout: Checkout) -> None:
    result = checkout.bootstrap("--with-docker", "echo", "{}")
    assert result.stdout == "{}\n"
    assert "making .venv" in result.stderr


def test_the_environment_is_made_once(checkout: Checkout) -> None:
    checkout.bootstrap("true")
    checkout.bootstrap("true")
    assert checkout.installations() == ["lock", "project"]


def test_a_new_lock_makes_it_again_from_nothing(checkout: Checkout) -> None:
    checkout.bootstrap("true")
    (checkout.root / "requirements.lock").write_text("idna==3.11\n")
    checkout.bootstrap("true")
    assert checkout.installations() == ["lock", "project"] * 2
    environments = [call for call in checkout.calls_of("python3") if " -m venv " in call]
    assert len(environments) == 2
    assert all(" --clear " in call for call in environments)


def test_a_new_project_file_installs_the_project_only(checkout: Checkout) -> None:
    checkout.bootstrap("true")
    (checkout.root / "pyproject.toml").write_text("[project]\nname = 'new'\n")
    checkout.bootstrap("true")
    assert checkout.installations() == ["lock", "project", "project"]


def test_a_failed_installation_is_reported_and_done_again(checkout: Checkout) -> None:
    result = checkout.bootstrap("echo", "ran", FAKE_PIP_EXIT="1")
    assert (result.returncode, result.stdout) == (5, "")
    assert "pip could not install" in result.stderr
    assert checkout.bootstrap("echo", "ran").stdout == "ran\n"
    assert checkout.installations() == ["lock", "lock", "project"]


def test_a_moved_checkout_makes_its_environment_again(checkout: Checkout) -> None:
    checkout.bootstrap("true")
    moved = Checkout(
        root=checkout.root.rename(checkout.root.with_name("moved")),
        journal=checkout.journal,
        environment=checkout.environment,
    )
    moved.bootstrap("true")
    assert moved.installations() == ["lock", "project"] * 2
