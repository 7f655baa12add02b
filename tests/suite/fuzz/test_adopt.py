"""What a project had before: its tasks.py, Makefile and scripts, in any shape."""

from __future__ import annotations

import soup
from hypothesis import given

from unstale.survey import neighbours

TASKS = soup.repository("tasks.py")[0]


@given(soup.texts([TASKS], words=("@task\n", "def a(c):\n", "ns = ", "from unstale import ns\n")))
def test_tasks(text: str) -> None:
    assert all(name.isidentifier() for name in neighbours.hidden_tasks(text))
