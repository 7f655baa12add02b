"""``watch`` on the engine: of the stack only what a change made stale is made anew."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Checkout, docker
from lightstack import behave, fresh, gone, overlay

_PATIENCE_S = 120.0  # two seconds where nothing else runs


class Watched:
    """`unstale watch` in a process, and what it says."""

    def __init__(self, checkout: Checkout) -> None:
        self.process = subprocess.Popen(
            (sys.executable, "-m", "unstale", "watch"),
            cwd=checkout.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as said:
            for line in said:
                self.lines.put(line.rstrip())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def round(self) -> list[str]:
        """What is said until the next change is waited for."""
        said: list[str] = []
        while not said or not said[-1].startswith("watching; "):
            try:
                said.append(self.lines.get(timeout=_PATIENCE_S))
            except queue.Empty:
                pytest.fail(f"after {self.said}: it says nothing more, in this round {said}")
            self.said.append(said[-1])
        return said


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A stack with a service more, which has an image of its own, and tests that are mounted."""
    checkout = fresh(tmp_path)
    (checkout.root / "other").mkdir()
    (checkout.root / "cases").mkdir()
    (checkout.root / "cases" / "case.txt").write_text("1")
    (checkout.root / "other" / "page.txt").write_text("1")
    text = (checkout.root / "Dockerfile").read_text().replace("COPY app .", "COPY . .")
    (checkout.root / "other" / "Dockerfile").write_text(text)
    other = {
        "build": {
            "context": "./other",
            "args": {"UNSTALE_PYTHON_IMAGE": "${UNSTALE_PYTHON_IMAGE:-python:3.13-slim}"},
        },
        "command": ["sleep", "1d"],
        "init": True,
    }
    overlay(checkout, **{"other": other, "test-runner": {"volumes": ["./cases:/cases"]}})
    behave(checkout, LIGHT_SECONDS="0.1")
    try:
        yield checkout
    finally:
        gone(checkout)


def containers(checkout: Checkout) -> dict[str, str]:
    """The service of each container, with its id."""
    form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    project = f"name={checkout.root.name}"
    found = docker("ps", "--filter", project, "--format", form).out.splitlines()
    return dict(line.split() for line in found)


def test_only_what_a_change_made_stale_is_made_anew(checkout: Checkout) -> None:
    watched = Watched(checkout)
    try:
        first = watched.round()
        assert "missing → build, up, test.run" in first[0]
        before = containers(checkout)
        assert before.keys() == {"db", "other"}

        (checkout.root / "other" / "page.txt").write_text("2")
        changed = watched.round()
        after = containers(checkout)

        assert changed[0] == "other/page.txt → image other stale → build, up, test.run"
        assert any(line.startswith("✓ 1 passed") for line in changed)
        assert after["db"] == before["db"]
        assert after["other"] != before["other"]

        (checkout.root / "cases" / "case.txt").write_text("2")
        mounted = watched.round()

        assert mounted[0] == "cases/case.txt → mounted into test-runner → test.run"
        assert containers(checkout) == after

        watched.process.send_signal(signal.SIGINT)
        assert watched.process.wait(timeout=30) == 130
        assert containers(checkout) == after  # it stands, as stack.up leaves it
    finally:
        watched.end()
