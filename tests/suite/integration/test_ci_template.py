"""The commands of the template that ``ci.workflow`` prints, run as two jobs of one project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from harness import Checkout, docker, environment
from lightstack import behave, fresh, gone


def _job(checkout: Checkout, home: Path) -> dict[str, Any]:
    """Run the job's commands as a new machine would; what the run printed."""
    printed = checkout.inv("ci.workflow", "--provider", "gitlab").must(0).out
    job = yaml.safe_load(printed)["integration"]
    # uvx and apk are what a runner has.
    commands = [*job["before_script"][1:], *job["script"]]
    script = "\n".join(commands).replace("uvx unstale", "unstale")
    folder = str(Path(sys.executable).parent)
    env = environment({"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
    subprocess.run(
        ("sh", "-ec", script),
        cwd=checkout.root,
        env={**env, "XDG_STATE_HOME": str(home)},
        check=True,
        timeout=300,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads((checkout.root / ".unstale" / "ci.json").read_text())
    return found


@pytest.mark.long
def test_a_second_job_builds_nothing_and_cites_the_first(tmp_path: Path) -> None:
    """Its sibling in CI is unit/test_workflow.py: shell, tasks and options of the same text."""
    checkout = fresh(tmp_path)
    behave(checkout, LIGHT_SECONDS="0.2")
    try:
        first = _job(checkout, tmp_path / "first")
        names = [s["image"] for s in checkout.inv("image.status", "--json").document()["services"]]
        docker("image", "rm", "--force", *names)
        second = _job(checkout, tmp_path / "second")
    finally:
        gone(checkout)

    ended = [job["steps"][-1] for job in (first, second)]
    assert [step["name"] for step in ended] == ["down", "find_receipt"]
    assert "proves the same" in ended[1]["detail"]
