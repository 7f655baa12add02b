"""Measure, and print a table. Nothing here passes or fails a test: machines differ.

Run by ``inv bench``; progress goes to stderr, the table to stdout.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import assert_never

import cold
import envfiles
import isolation
import listing
import schema
import start_to_answer
import verdict
from timing import Figure, Peak, Ratio
from trees import Tree, tree

Measure = Callable[[Tree, int], Iterator[Figure]]

FIGURES: Mapping[str, tuple[Measure, Callable[[int], bool]]] = {
    # Each with the trees it is measured on.
    "list": (listing.measure, lambda files: files < 10_000),
    "verdict": (verdict.measure, lambda _: True),
    "answer": (start_to_answer.measure, lambda _: True),
    "cold": (cold.measure, lambda _: True),
    "schema": (schema.measure, lambda files: files < 10_000),
    "isolation": (isolation.measure, lambda files: files < 10_000),
    "env": (envfiles.measure, lambda _: True),
}


def measured(sizes: Sequence[int], only: Sequence[str], runs: int) -> Iterator[Figure]:
    """The figures called in *only*, on trees of *sizes* files, smallest first."""
    with tempfile.TemporaryDirectory(prefix="unstale-bench-") as parent:
        for files in sorted(sizes):
            chosen = [(n, m) for n, (m, suits) in FIGURES.items() if n in only and suits(files)]
            if not chosen:
                continue
            _note(f"a tree of {files:,} files")
            with tree(Path(parent), files, uuid.uuid4().hex[:6]) as made:
                for name, measure in chosen:
                    _note(f"  {name}")
                    yield from measure(made, runs)


def table(figures: Sequence[Figure]) -> str:
    """*figures* as Markdown."""
    rows = [
        "| figure | files | ours, s (min / median / max) | baseline, s | ratio | wanted | met |",
        "|---|--:|--:|--:|--:|--:|---|",
        *map(_row, figures),
    ]
    return "\n".join(rows)


def _row(figure: Figure) -> str:
    met = "" if figure.wanted is None else "yes" if figure.is_met else "no"
    match figure:
        case Ratio():
            sign = "≥" if figure.is_speedup else "≤"
            wanted = "" if figure.wanted is None else f"{sign} {figure.wanted:.2f}"
            return (
                f"| {figure.figure} | {figure.files:,} | {_spread(figure.ours)}"
                f" | {_spread(figure.baseline)} | {figure.value:.2f}"
                f" | {wanted} | {met} |"
            )
        case Peak():
            peak = f"{max(figure.megabytes):.0f} MB"
            return (
                f"| {figure.figure} | {figure.files:,} | {peak} | |"
                f" | ≤ {figure.wanted:.0f} MB | {met} |"
            )
        case _ as never:
            assert_never(never)


def _spread(seconds: Sequence[float]) -> str:
    three = (min(seconds), statistics.median(seconds), max(seconds))
    return " / ".join(f"{s:.3f}" if s < 1 else f"{s:.2f}" for s in three)


def _machine(runs: int) -> str:
    def version(*argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()

    return (
        f"{runs} runs each. {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f},"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" {version('git', '--version')},"
        f" docker {version('docker', 'version', '--format', '{{.Server.Version}}')},"
        f" compose {version('docker', 'compose', 'version', '--short')}."
    )


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure unstale.")
    parser.add_argument("--only", nargs="*", choices=FIGURES, default=list(FIGURES))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--files", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    chosen = parser.parse_args()
    found: list[Figure] = []
    for figure in measured(chosen.files, chosen.only, chosen.runs):
        _note(f"    {_row(figure)}")
        found.append(figure)
    sys.stdout.write(f"{_machine(chosen.runs)}\n\n{table(found)}\n")


if __name__ == "__main__":
    main()
