"""`docker/base/build`, the real script in a copy, with an engine that only pretends."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Holds the images named in $FAKE_IMAGES; its registry has those in $FAKE_REGISTRY.
# An image is NAME, or NAME=RECIPE for a stand-in.
FAKE_DOCKER = """#!/bin/sh
for last; do :; done
case "$1 $2" in
"info ") exit "$FAKE_ENGINE_EXIT" ;;
"image inspect")
    for image in $FAKE_IMAGES; do
        [ "${image%%=*}" = "$last" ] || continue
        echo "${image#*=}"
        exit
    done
    exit 1
    ;;
"buildx imagetools" | "pull --quiet")
    case " $FAKE_REGISTRY " in *" $last "*) ;; *) exit 1 ;; esac
    ;;
*) exit 1 ;;
esac
"""

REAL = "python:3.13-slim postgres:17"
STAND_INS = {
    "UNSTALE_PYTHON_IMAGE": "unstale/python-standin:3.13",
    "UNSTALE_POSTGRES_IMAGE": "unstale/postgres-standin:17",
}
REAL_ONES = {"UNSTALE_PYTHON_IMAGE": "python:3.13-slim", "UNSTALE_POSTGRES_IMAGE": "postgres:17"}


@dataclass(frozen=True)
class Checkout:
    root: Path
    environment: dict[str, str]

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "docker/base/build", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def variables(self) -> dict[str, str]:
        lines = (self.root / ".unstale/images.env").read_text().splitlines()
        pairs = [line.split("=", 1) for line in lines if not line.startswith("#")]
        return {name: value.strip("'") for name, value in pairs}

    def made(self) -> list[str]:
        log = self.root / "made"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, fakes = tmp_path / "check out", tmp_path / "bin"
    base = root / "docker/base"
    base.mkdir(parents=True)
    shutil.copy2(ROOT / "docker/base/build", base)
    (base / "stand-in").write_text(
        '#!/bin/sh\nif [ "$2" = --recipe ]; then echo current; '
        f'else echo "$1 $2" >>"{root}/made"; fi\n'
    )
    (base / "stand-in").chmod(0o755)
    fakes.mkdir()
    (fakes / "docker").write_text(FAKE_DOCKER)
    (fakes / "docker").chmod(0o755)
    # No index of the machine the tests run on.
    (fakes / "python3").write_text("#!/bin/sh\nexit 1\n")
    (fakes / "python3").chmod(0o755)
    return Checkout(
        root=root,
        environment={
            "PATH": f"{fakes}:{os.defpath}",
            "FAKE_ENGINE_EXIT": "0",
            "FAKE_IMAGES": "",
            "FAKE_REGISTRY": "",
        },
    )


@pytest.mark.parametrize("where", ["FAKE_IMAGES", "FAKE_REGISTRY"])
def test_real_images_are_preferred(checkout: Checkout, where: str) -> None:
    result = checkout.build(**{where: REAL})
    assert result.returncode == 0, result.stderr
    assert checkout.variables() == REAL_ONES
    assert checkout.made() == []


def test_stand_ins_are_made_where_nothing_can_be_pulled(checkout: Checkout) -> None:
    result = checkout.build()
    assert result.returncode == 0, result.stderr
    assert checkout.variables() == STAND_INS
    assert checkout.made() == [
        "python unstale/python-standin:3.13",
        "postgres unstale/postgres-standin:17",
    ]
    assert "unstale/postgres-standin:17" in result.stderr


@pytest.mark.parametrize(("recipe", "remakes"), [("current", 0), ("older", 2)])
def test_a_stand_in_is_made_again_only_for_a_new_recipe(
    checkout: Checkout, recipe: str, remakes: int
) -> None:
    checkout.build(FAKE_IMAGES=" ".join(f"{name}={recipe}" for name in STAND_INS.values()))
    assert checkout.variables() == STAND_INS
    assert len(checkout.made()) == remakes


def test_stand_ins_can_be_asked_for(checkout: Checkout) -> None:
    checkout.build("--stand-in", FAKE_IMAGES=REAL)
    assert checkout.variables() == STAND_INS


def test_an_image_that_cannot_be_made_leaves_no_settings(checkout: Checkout) -> None:
    (checkout.root / "docker/base/stand-in").write_text("#!/bin/sh\nexit 5\n")
    assert checkout.build().returncode == 5
    assert not (checkout.root / ".unstale/images.env").exists()


def test_without_an_engine_it_says_what_to_do(checkout: Checkout) -> None:
    result = checkout.build(FAKE_ENGINE_EXIT="1")
    assert result.returncode == 5
    assert [line.split(":")[0].strip() for line in result.stderr.splitlines()] == [
        "base images",
        "cause",
        "next",
    ]


def test_a_wrong_option_is_a_usage_error(checkout: Checkout) -> None:
    assert checkout.build("--standin").returncode == 2


def test_private_certificates_are_handed_to_builds(checkout: Checkout, tmp_path: Path) -> None:
    bundle = tmp_path / "ca bundle.pem"
    bundle.write_text("certificates")
    checkout.build(FAKE_IMAGES=REAL, SSL_CERT_FILE="/missing", PIP_CERT=str(bundle))
    assert checkout.variables()["UNSTALE_CA_BUNDLE"] == str(bundle)


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_the_package_index_stays_in_a_private_file(checkout: Checkout, variable: str) -> None:
    url = "https://reader:invented@packages.example.com/simple"
    result = checkout.build(FAKE_IMAGES=REAL, **{variable: url})
    index = Path(checkout.variables()["UNSTALE_PACKAGE_INDEX"])
    assert index.read_text() == f"{url}\n"
    assert index.stat().st_mode & 0o077 == 0
    assert "invented" not in result.stdout + result.stderr
    assert "invented" not in (checkout.root / ".unstale/images.env").read_text()


def test_an_index_in_a_local_folder_means_nothing_inside_a_build(checkout: Checkout) -> None:
    checkout.build(FAKE_IMAGES=REAL, PIP_INDEX_URL="file:///srv/simple")
    assert checkout.variables() == REAL_ONES
