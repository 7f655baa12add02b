"""Projects made of ``light/``: a stack that is up in two seconds and does what it is told."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from harness import Checkout, copy_images_env

LIGHT = Path(__file__).parent / "light"


def fresh(folder: Path, name: str = "") -> Checkout:
    """A copy in *folder*, outside of git, driven by the `unstale` command."""
    root = folder / (name or f"lt-{uuid.uuid4().hex[:8]}")
    shutil.copytree(LIGHT, root)
    copy_images_env(root)
    return Checkout(root, program=("-m", "unstale"))


def gone(checkout: Checkout) -> None:
    """Remove what *checkout* has in the engine, its images too."""
    checkout.sweep()
    checkout.inv("image.clean", "--yes").must(0)


def overlay(checkout: Checkout, *, pyproject: str = "", **services: object) -> None:
    """Lay *services* over those of the compose file, and *pyproject* over the settings."""
    # JSON is YAML.
    (checkout.root / "more.yml").write_text(json.dumps({"services": services}))
    checkout.replace(
        "pyproject.toml",
        'database = "none"\n',
        'database = "none"\ncompose-files = ["docker-compose.test.yml", "more.yml"]\n',
    )
    checkout.append("pyproject.toml", pyproject)


def behave(checkout: Checkout, **variables: str) -> None:
    """Let the services do something: ``LIGHT_DB="exit:1:3"``, ``LIGHT_TESTS="fail"``."""
    path = checkout.root / ".env.test"
    lines = [
        line for line in path.read_text().splitlines() if line.partition("=")[0] not in variables
    ]
    path.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in variables.items())]) + "\n")
