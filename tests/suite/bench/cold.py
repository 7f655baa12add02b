"""Cold: a verdict without a stat cache, against reading and hashing; and memory."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from timing import Figure, Peak, Ratio, alternate
from trees import ONE, Tree
from verdict import judged

WANTED = 1.3
WANTED_MB = 200.0


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figures of *tree*."""
    tree.build(ONE)
    peaks: list[float] = []

    def ours() -> float:
        shutil.rmtree(tree.state)
        found = judged(tree)
        peaks.append(found["megabytes"])
        return found["seconds"]

    def baseline() -> float:
        program = Path(__file__).with_name("hashed.py")
        answer = tree.run((sys.executable, str(program), str(tree.root)))
        return float(json.loads(answer)["seconds"])

    cold, plain = alternate(ours, baseline, runs)
    yield Ratio("cold verdict / read and hash", tree.files, cold, plain, WANTED)
    yield Peak("memory, cold", tree.files, tuple(peaks), WANTED_MB)
    warm = tuple(judged(tree)["megabytes"] for _ in range(runs))
    yield Peak("memory, warm", tree.files, warm, WANTED_MB)
