"""What docker says of itself, and a tasks.py of anybody, under the doctor."""

from __future__ import annotations

from typing import Any

import soup
from hypothesis import example, given

from unstale.doctor import engine
from unstale.survey.neighbours import hidden_tasks

PLUGINS = [{"Name": "compose", "Version": "2.26.1"}, {"Name": "buildx", "Version": "0.13.1"}]
ANSWER = ["26.1", None, PLUGINS, "/var/lib/docker", "2026-01-01T00:00:00.123456789Z"]
TASKS = (
    "from invoke import task\nfrom unstale import ns\n@task(help={})\ndef lint(c): ...\n"
    "ns.add_task(lint, name='x')\n"
)


@given(soup.documents(ANSWER) | soup.values(("Name", "Version")))
@example([["x"], [], PLUGINS, {}, 7])
@example(["26.1", None, [None], "", ""])
def test_answer(answer: Any) -> None:
    version, _, plugins, root, at = engine._read(answer)
    seen = engine.Engine(version=version, plugins=plugins, data_root=root)

    assert isinstance(engine._ahead(at, 0.0), float | None)
    assert len(engine.findings(seen)) == len(engine.CHAIN)


@given(soup.raw((TASKS,), ("@task\n", "def ", "ns", "add_task(", "(", ")", "\n", "\t", "import ")))
@example(b"x = " + b"-" * 9000 + b"1")
@example(b"\0")
def test_tasks(source: bytes) -> None:
    assert all(isinstance(name, str) for name in hidden_tasks(source))
