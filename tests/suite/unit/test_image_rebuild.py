"""What a rebuild makes anew: from the first step that reads something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import Checkout, image_fact

from unstale.image.plan import Plan
from unstale.image.reasons import Readers
from unstale.image.rebuild import rebuild

TEXT = """FROM base AS build
COPY lock /w/
RUN install
COPY src /w/src
FROM base
WORKDIR /app
COPY --from=build /w /app/w
COPY docs /app/docs
COPY --from=other /x /x
"""


@pytest.fixture
def plan(checkout: Checkout) -> Plan:
    checkout.images = {
        name: image_fact("l", image_id=f"sha256:{name}", tags=(name,)) for name in ("base", "other")
    }
    checkout.write({"lock": "1", "src/a.py": "1", "docs/d.md": "1"})
    found = checkout.inputs(TEXT).plan
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("lines", "images", "redone"),
    [
        ({8}, (), [8, 9]),
        ({4}, (), [4, 7, 8, 9]),
        ({2}, (), [2, 3, 4, 7, 8, 9]),
        ({2, 8}, (), [2, 3, 4, 7, 8, 9]),
        ((), ("other",), [9]),
        ((), ("base",), [2, 3, 4, 6, 7, 8, 9]),
        ((), (), []),
        ({0}, (), []),  # a trigger of an image has no line
        ({99}, (), []),
    ],
)
def test_all_after_the_first_changed_step_of_a_stage_is_made_anew(
    plan: Plan, lines: set[int], images: tuple[str, ...], redone: list[int]
) -> None:
    found = rebuild(plan, lines, images)

    assert [step.line for step in found.steps] == redone
    assert found.of == 7


def test_every_line_that_reads_a_path_is_known(checkout: Checkout, tmp_path: Path) -> None:
    checkout.images = {"base": image_fact("l", tags=("base",))}
    checkout.write({"src/a.py": "1", "b": "1"})
    first = "FROM base AS one\nCOPY src /w/\n"
    rest = "FROM base\nCOPY b /b\nCOPY src/a.py /a\nCOPY --from=one /w /w\n"
    known = Readers.of(checkout.inputs(first + rest))

    assert known.of_reason("src/a.py", checkout.root) == {2, 5}
    assert known.of_reason("checkout/src/gone.py", tmp_path) == {2}
    assert known.of_reason("elsewhere", tmp_path) == frozenset()
