"""The tasks, as one Invoke collection: ``from unstale import ns``."""

from __future__ import annotations

from typing import Any

from invoke import Collection
from invoke.exceptions import Exit

from unstale.invocations import (
    adopt,
    ci,
    completion,
    db,
    doctor,
    env,
    hook,
    image,
    plan,
    receipt,
    setup,
    stack,
    test,
    watch,
    why,
)

__all__ = ["ns"]


class _Namespace(Collection):
    """A collection that explains why a project's own task does not fit in."""

    # Any: Invoke's own signature.
    def add_task(self, task: Any, *args: Any, **kwargs: Any) -> None:
        """Add *task*; one called like a group of ours is refused with what to write."""
        try:
            super().add_task(task, *args, **kwargs)
        except ValueError as error:
            lines = (
                f"A task of tasks.py does not fit beside those of unstale: {error}.",
                "Next: give it another name, or mount ours under it (docs/invoke.md)",
                "      ns = Collection(mine, unstale.ns)   ->   inv unstale.test.integration",
            )
            raise Exit("\n".join(lines), code=2) from error


# Named, so that a project can mount it: ``Collection(mine, ns)``.
ns = _Namespace("unstale", *(m.collection() for m in (test, stack, image, db, env, receipt, ci)))
ns.add_task(plan.plan)
ns.add_task(doctor.doctor)
ns.add_task(why.why)
ns.add_task(setup.init)
ns.add_task(adopt.adopt)
ns.add_task(hook.hook)
ns.add_task(completion.completion)
ns.add_task(watch.watch)
