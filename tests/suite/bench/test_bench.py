"""The bench runs, on a small tree and once. Times are never judged here."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import bench
import pytest
from timing import Figure, Peak, Ratio
from trees import ONE, Tree, tree

HEAVY = {"alembic", "pydantic", "python_on_whales", "rich", "sqlalchemy"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with tree(tmp_path_factory.mktemp("bench"), 1_000, uuid.uuid4().hex[:6]) as made:
        yield made


@pytest.mark.parametrize("name", bench.FIGURES)
def test_each_figure_is_measured_beside_its_baseline(small: Tree, name: str) -> None:
    measure, _ = bench.FIGURES[name]
    found = list(measure(small, 1))

    assert found
    for figure in found:
        match figure:
            case Ratio():
                assert len(figure.ours) == len(figure.baseline) == 1
                assert min(*figure.ours, *figure.baseline) > 0
            case Peak():
                assert max(figure.megabytes) > 1
    assert bench.table(found).count("| 1,000 |") == len(found)


def test_a_look_loads_nothing_heavy(small: Tree) -> None:
    small.build(ONE)
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules));"
    code += "from unstale.__main__ import main; main()"
    loaded = small.run((sys.executable, "-c", code, "image.status"))
    names = {word.partition(".")[0] for word in loaded.splitlines()[-1].split()}

    assert "unstale" in names
    assert names & HEAVY == set()


@pytest.mark.parametrize(
    ("ratio", "value", "is_met"),
    [
        (Ratio("as long", 1, (2.0, 9.0, 2.0), (1.0, 3.0, 1.0), 2.0), 2.0, True),
        (Ratio("as long", 1, (3.0,), (1.0,), 2.0), 3.0, False),
        (Ratio("faster", 1, (1.0, 5.0), (3.0, 15.0), 3.0, is_speedup=True), 3.0, True),
        (Ratio("faster", 1, (2.0,), (3.0,), 3.0, is_speedup=True), 1.5, False),
        (Ratio("not asked", 1, (9.0,), (1.0,), None), 9.0, True),
    ],
)
def test_a_ratio_is_the_median_of_its_pairs(ratio: Ratio, value: float, *, is_met: bool) -> None:
    assert ratio.value == value
    assert ratio.is_met is is_met


def test_what_was_made_is_gone_at_the_end(tmp_path: Path) -> None:
    with tree(tmp_path, 60, uuid.uuid4().hex[:6]) as made:
        made.build(ONE)
        name = made.root.name
        listed = ("docker", "images", "--format", "{{.Repository}}")
        assert made.run(listed).count(name) == 2

    assert list(tmp_path.glob("bench-*")) == []
    still = Tree(tmp_path, 0, made.environ).run(listed)
    assert name not in still


def test_every_figure_has_a_row_in_the_table() -> None:
    figures: list[Figure] = [
        Ratio("r", 10, (0.5,), (0.25,), 2.0),
        Peak("m", 10, (50.0, 60.0), 200.0),
    ]
    head, _, first, second = bench.table(figures).splitlines()

    assert head.count("|") == first.count("|") == second.count("|")
    assert "0.500 / 0.500 / 0.500 | 0.250 / 0.250 / 0.250 | 2.00 | ≤ 2.00 | yes" in first
    assert "60 MB" in second
