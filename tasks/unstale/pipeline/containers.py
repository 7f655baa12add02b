"""Judge the containers of a stack: where image, compose and mounts meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unstale.pipeline.images import Bench, placed
from unstale.pipeline.site import Deployment
from unstale.stack.judge import ContainerStatus, absent, judge_containers
from unstale.stack.lifecycle import PROJECT
from unstale.verdict import Missing, Verdict, combine

__all__ = ["StackStatus", "status"]


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What is known of a stack's containers."""

    project: str
    containers: tuple[ContainerStatus, ...]
    missing: tuple[str, ...]
    """Services that `stack.up` starts and that have no container."""

    @property
    def verdict(self) -> Verdict:
        """One answer for all; Missing where a service has no container."""
        gaps = (Missing(),) if self.missing or not self.containers else ()
        return combine((*(c.verdict for c in self.containers), *gaps))


def status(bench: Bench, deployment: Deployment) -> StackStatus:
    """Judge every container of *deployment* but one-offs.

    Raises:
        CouldNotTell: what the images copy can't be told.

    """
    docker, stack = bench.ports.docker, bench.site.stack
    found = docker.containers({PROJECT: deployment.target.project})
    # All profiles: a service of one that is off now may have a container.
    model = docker.config(replace(deployment.target, profiles=("*",)))
    judged = judge_containers(
        docker,
        stack,
        found,
        {s.name: placed(bench.inputs(s)) for s in bench.services},
        {s.name: fact.id for s in bench.services if (fact := bench.image(s.image))},
        model,
    )
    ordered = tuple(sorted(judged, key=lambda one: (one.container.service, one.container.name)))
    services = bench.site.started_services
    return StackStatus(deployment.target.project, ordered, absent(services, ordered))
