"""The tasks, as one Invoke collection: ``from unstale import ns``."""

from __future__ import annotations

from invoke import Collection

from unstale.invocations import db, env, image, plan, receipt, stack, test

__all__ = ["ns"]

# Named, so that a project can mount it: ``Collection(mine, ns)``.
ns = Collection("unstale", *(m.collection() for m in (test, stack, image, db, env, receipt)))
ns.add_task(plan.plan)
