"""What a build makes anew, and what it takes from its layer cache. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from unstale.image.plan import Plan, Step

__all__ = ["Rebuild", "rebuild"]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The steps of a build that its layer cache does not have."""

    steps: tuple[Step, ...]
    """In the order of the build; the first of them invalidates the others."""
    of: int
    """How many the target needs."""


def rebuild(plan: Plan, lines: Collection[int], images: Collection[str] = ()) -> Rebuild:
    """At most what is made anew, if the steps on *lines* read, or do, something else.

    *images* are those that are others now. A step that copies from a stage which
    is made anew may still be in the cache: the stage may come out the same.
    """
    changed = frozenset(lines) - {0}  # a trigger of an image has no line
    old: set[int] = set()
    found: list[Step] = []
    for number in sorted(plan.stages):
        stage = plan.stages[number]
        is_old = stage.parent in old or stage.image in images
        for step in stage.steps:
            is_old = (
                is_old
                or step.line in changed
                or not old.isdisjoint(step.stages)
                or not frozenset(images).isdisjoint(step.images)
            )
            if is_old:
                found.append(step)
        if is_old:
            old.add(number)
    return Rebuild(tuple(found), sum(len(stage.steps) for stage in plan.stages.values()))
