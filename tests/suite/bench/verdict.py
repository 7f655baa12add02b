"""Warm: a verdict in process, after `compose config`, against `git status`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from timing import Figure, Ratio, Seconds, alternate, command
from trees import ONE, Tree

WANTED = 2.0


def judged(tree: Tree) -> dict[str, float]:
    """What `judged.py` says of a process that judges *tree*."""
    program = Path(__file__).with_name("judged.py")
    found: dict[str, float] = json.loads(
        tree.run((sys.executable, str(program), str(tree.root), ONE))
    )
    return found


def warm(tree: Tree) -> Seconds:
    """The seconds of a verdict with a stat cache."""
    return lambda: judged(tree)["seconds"]


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figures of *tree*."""
    tree.build(ONE)
    ours, baseline = alternate(warm(tree), command(tree, ("git", "status")), runs)
    wanted = WANTED if tree.files >= 10_000 else None
    yield Ratio("warm verdict / git status", tree.files, ours, baseline, wanted)
