"""From the start of the command to its answer, against a build that has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

from timing import Figure, Ratio, alternate, command
from trees import ONE, THREE, Tree


def measure(tree: Tree, runs: int) -> Iterator[Figure]:
    """The figures of *tree*; three services on one context where it is large."""
    at_least = 3.0 if tree.files >= 100_000 else 1.5 if tree.files >= 10_000 else 1.0
    tree.build(ONE)
    for name, argv in (
        ("inv image.status", tree.inv("image.status")),
        ("unstale image.status", tree.unstale("image.status")),
    ):
        ours, theirs = alternate(command(tree, argv), command(tree, tree.compose_build(ONE)), runs)
        yield Ratio(
            f"docker compose build / {name}", tree.files, ours, theirs, at_least, is_speedup=True
        )
    if tree.files >= 100_000:
        yield _three(tree, runs)


def _three(tree: Tree, runs: int) -> Figure:
    tree.build(THREE)
    ours, theirs = alternate(
        command(tree, tree.inv("image.status", "--env", THREE)),
        command(tree, tree.compose_build(THREE)),
        runs,
    )
    name = "docker compose build / inv image.status, three services"
    return Ratio(name, tree.files, ours, theirs, 8.0, is_speedup=True)
