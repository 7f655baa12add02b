"""Every row of the semantics matrix: the engine agrees with it, and we with the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from engine import Engine
from images import Library
from matrix import CASES, Case
from trial import Finding, judge, sites, states

# So many builds in one call cost least a build, and leave the machine some air.
_BATCH = 24

STRICTER = {
    "c-flags: --link": "the containerd image store makes another layer of it",
}
"""Rows in which we say stale though this engine's image stays the same, and why."""


@pytest.fixture(scope="session")
def findings(
    request: pytest.FixtureRequest, judge_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Finding]:
    """Both verdicts of the cases that were asked for, by name."""
    asked = [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "case" in getattr(item, "callspec", _None).params
    ]
    library = Library()
    found: dict[str, Finding] = {}
    for at in range(0, len(asked), _BATCH):
        group = asked[at : at + _BATCH]
        found |= _findings(judge_engine, library, tmp_path_factory.mktemp("cases"), group)
    return found


class _None:
    params: Mapping[str, object] = {}


def _findings(
    engine: Engine, library: Library, root: Path, group: list[Case]
) -> dict[str, Finding]:
    with sites(engine, root, len(group)) as places:
        before = states(
            engine, library, [(p, c.before) for p, c in zip(places, group, strict=True)]
        )
        after = states(engine, library, [(p, c.after) for p, c in zip(places, group, strict=True)])
    pairs = zip(group, before, after, strict=True)
    return {_id(case): judge(one, two) for case, one, two in pairs}


def _id(case: Case) -> str:
    return f"{case.row}: {case.name}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_row(case: Case, findings: Mapping[str, Finding]) -> None:
    finding = findings[_id(case)]

    assert finding.truth == case.expected, f"the engine disagrees: {finding.detail}"
    if case.expected == "refused":
        assert finding.said != "fresh", "a build that the engine refuses passes for fresh"
    else:
        ours = "stale" if _id(case) in STRICTER else case.expected
        assert finding.said == ours, finding.detail


def test_the_names_of_rows_are_unique() -> None:
    names = [_id(case) for case in CASES]

    assert len(names) == len(set(names))
