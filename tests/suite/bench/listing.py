"""`inv --list` with our tasks, against a tasks.py with one task of Invoke's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from timing import Figure, Ratio, alternate, command
from trees import Tree

WANTED = 1.10

_BARE = """\
from invoke import task


@task
def hello(ctx):
    print("hello")
"""


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figure; the size of the tree does not count."""
    bare = replace(tree, root=tree.root.with_name(f"{tree.root.name}-bare"))
    bare.root.mkdir()
    try:
        (bare.root / "tasks.py").write_text(_BARE)
        listed = tree.inv("--list")
        once = command(tree, listed), command(bare, listed)
        for warm_up in once:
            warm_up()
        ours, baseline = alternate(*once, runs)
    finally:
        shutil.rmtree(bare.root)
    yield Ratio("inv --list / Invoke alone", tree.files, ours, baseline, WANTED)
