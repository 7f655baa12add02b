"""A process of its own that judges once and prints what it took, as JSON.

Timed is `statuses` alone: opening the project, compose's answer and Python's
start are over. It loads the stat cache, reads Dockerfile and ignore file, walks
the context, digests, compares with the labels, asks git for the commits since
the build and saves the cache. The engine's share is taken off.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from unstale import Project
from unstale.pipeline import images
from unstale.ports import Docker
from unstale.verdict import Fresh


class Engine:
    """A `Docker` whose answers' time is summed up."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._docker, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begin

        return timed


def main(root: str, env: str) -> None:
    """Judge the images of *env* of the project at *root*."""
    project = Project.open(Path(root))
    site = project.site(env)
    engine = Engine(project.docker)
    ports = replace(project.ports, docker=cast("Docker", engine))
    begin = time.perf_counter()
    bench = images.Bench(ports, project.files, site, project.environ)
    found = images.statuses(bench)
    took = time.perf_counter() - begin - engine.seconds
    assert all(isinstance(s.verdict, Fresh) for s in found), found
    unit = 1 if sys.platform == "darwin" else 1024
    # A second process may help with a large tree; docker's commands are children too.
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = sum(resource.getrusage(one).ru_maxrss for one in who) * unit / 1e6
    sys.stdout.write(json.dumps({"seconds": took, "megabytes": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
