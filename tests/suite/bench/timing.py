"""Two things timed by turns, and the ratio of each pair."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trees import Tree

Seconds = Callable[[], float]
"""Does a thing once and says how long it took."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of ours beside its baseline."""

    figure: str
    files: int
    ours: tuple[float, ...]
    """Seconds of each run."""
    baseline: tuple[float, ...]
    """Likewise; run *i* came right after ours."""
    wanted: float | None
    """None: nothing is asked of this size."""
    is_speedup: bool = False
    """How many times faster (at least), not how many times as long (at most)."""

    @property
    def value(self) -> float:
        """The median of the pairs' ratios: load that comes and goes hits both of a pair."""
        pairs = zip(self.ours, self.baseline, strict=True)
        return statistics.median(b / a if self.is_speedup else a / b for a, b in pairs)

    @property
    def is_met(self) -> bool:
        """Whether the figure is what is wanted."""
        if self.wanted is None:
            return True
        return self.value >= self.wanted if self.is_speedup else self.value <= self.wanted


@dataclass(frozen=True, slots=True)
class Peak:
    """The most memory a process had, and the largest of its children."""

    figure: str
    files: int
    megabytes: tuple[float, ...]
    wanted: float

    @property
    def is_met(self) -> bool:
        """Whether the figure is what is wanted."""
        return max(self.megabytes) <= self.wanted


Figure = Ratio | Peak


def alternate(
    ours: Seconds, baseline: Seconds, runs: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Time both, A B A B; neither gets all the quiet minutes."""
    pairs = [(ours(), baseline()) for _ in range(runs)]
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def command(tree: Tree, argv: Sequence[str]) -> Seconds:
    """From the start of a command to its end; one that fails is no figure."""

    def once() -> float:
        begin = time.perf_counter()
        code = subprocess.run(
            argv,
            cwd=tree.root,
            env=tree.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        took = time.perf_counter() - begin
        assert code == 0, f"{' '.join(argv)} ended with {code}"
        return took

    return once
