"""Two env files compared, against python-dotenv that only parses both, and `dotenv-linter diff`."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from timing import Figure, Ratio, Seconds, alternate
from trees import Tree

WANTED = 1.30

# One line in ten has another value, one in fifty is on one side only.
_FORMS = ("KEY_{}=value-{}", "KEY_{}='two words' # {}", 'KEY_{}="quoted {}"', "# About {} and {}.")


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figure for files of as many lines as the tree has files."""
    sides = tuple(_written(tree, side) for side in ("left", "right"))

    def ours() -> float:
        from unstale.parity import compare, envfile, model

        begin = time.perf_counter()
        facts = [
            model.EnvironmentFacts(side.name, envfile.variables([side], tree.root), None)
            for side in sides
        ]
        found = compare.compare(facts[0], facts[1])
        took = time.perf_counter() - begin
        assert found
        return took

    def baseline() -> float:
        from dotenv import dotenv_values

        begin = time.perf_counter()
        for side in sides:
            assert dotenv_values(side, interpolate=False)
        return time.perf_counter() - begin

    try:
        for warm_up in (ours, baseline):
            warm_up()
        figure = "two env files compared / python-dotenv parsing both"
        yield Ratio(figure, tree.files, *alternate(ours, baseline, runs), WANTED)
        if shutil.which("dotenv-linter"):
            # Nothing is asked: a process of its own, which compares the keys alone.
            figure = "two env files compared / dotenv-linter diff"
            other = _linter(sides)
            yield Ratio(figure, tree.files, *alternate(ours, other, runs), wanted=None)
    finally:
        for side in sides:
            side.unlink()


def _written(tree: Tree, side: str) -> Path:
    lines = []
    for number in range(tree.files):
        only_here = side if number % 50 == 1 else ""
        changed = side if number % 10 == 0 else ""
        form = _FORMS[number % len(_FORMS)]
        lines.append(form.format(f"{number}{only_here}", f"{number}{changed}"))
    path = tree.root.with_name(f"{tree.root.name}-{side}.env")
    path.write_text("\n".join(lines) + "\n")
    return path


def _linter(sides: tuple[Path, ...]) -> Seconds:
    def once() -> float:
        begin = time.perf_counter()
        subprocess.run(
            ("dotenv-linter", "diff", *sides),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,  # it ends with 1, for they differ
        )
        return time.perf_counter() - begin

    return once
