"""The judge sees: each fault that is planted in our modules is shown by a row of the matrix.

`inv oracle --planted` shows the same of the random cases.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from engine import Engine
from images import Library
from matrix import CASES
from planted import FAULTS
from trial import caught, sites, states

SHOWN_BY = {
    "mode bits are not hashed": "mode 644 to 664",
    "a link's target is not hashed": "retargeted link",
    "an empty folder does not count": "empty folder added",
    "ENV of the base image is not known": "ENV of the base image names another source",
    "ONBUILD triggers don't fire": "the base image's trigger",
    "bind mounts are not read": "a mounted folder",
    "stages count that the target does not need": "instructions of another stage",
    "an empty source is nothing": "an undeclared variable is everything",
    "a named context goes by the main ignore file": "a named context has its own rules: a",
    "two stars match any depth": "two stars are one level: below",
    "a heredoc's body does not count": "a COPY's body",
    "the stat cache ignores change times": "content, same size and mtime",
    "the first ignore rule wins": "last rule wins: e.md",
}
"""Fault to the name of a case."""


@pytest.fixture(scope="module")
def shown(
    judge_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, tuple[str, ...]]:
    """Case to the faults that it shows."""
    cases = [case for case in CASES if case.name in SHOWN_BY.values()]
    library = Library()
    with sites(judge_engine, tmp_path_factory.mktemp("planted"), len(cases)) as places:
        before, after = (
            states(
                judge_engine,
                library,
                [(place, getattr(case, when)) for place, case in zip(places, cases, strict=True)],
                tuple(FAULTS),
            )
            for when in ("before", "after")
        )
    names = [case.name for case in cases]
    return {name: caught(*both) for name, *both in zip(names, before, after, strict=True)}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_shown(fault: str, shown: Mapping[str, tuple[str, ...]]) -> None:
    assert fault in shown[SHOWN_BY[fault]]
