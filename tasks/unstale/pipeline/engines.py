"""What is otherwise where the engine is Podman, whose builder is not BuildKit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unstale import config
from unstale.compose import Service
from unstale.errors import ConfigError, Fault
from unstale.image.contexts import ignore_file
from unstale.image.inputs import BuildInputs
from unstale.image.plan import Reading
from unstale.pipeline.images import Bench

__all__ = ["PODMAN", "is_cache_blind", "require_buildable"]

PODMAN = "Podman: its own builder builds, and unstale runs the health checks; docs/engines.md"
"""Said at the start of a run."""

_SHARED = ".dockerignore"
_PODMANS = ".containerignore"
_GLOB = frozenset("*?[\\")


def is_cache_blind(inputs: BuildInputs) -> bool:
    """Whether Podman's layer cache would miss a change.

    Its key lacks what a RUN reads through ``--mount``: 4.3.1 gives the old layer.
    """
    if inputs.plan is None:
        return True
    steps = (step for stage in inputs.plan.stages.values() for step in stage.steps)
    return any(s.verb == "run" and (s.reads or s.stages or s.images) for s in steps)


def require_buildable(bench: Bench, services: Sequence[Service]) -> None:
    """Refuse what Podman would read otherwise than the digest says.

    Raises:
        ConfigError: an ignore file counts for one of the two alone.

    """
    for service in services:
        if service.build is None or not service.build.is_local:
            continue
        own, context = ignore_file(service.build), Path(service.build.context)
        if (context / _PODMANS).exists():
            raise _refused(service, f"{context / _PODMANS} counts for Podman alone", _one_file())
        if own is not None and own.name != _SHARED:
            raise _refused(service, f"Podman does not read {own}", _one_file())
        lacks = bool(bench.contexts.lacks(service.build))
        if lacks and _may_copy(bench.site.state_folder, bench.inputs(service, to_build=True)):
            why = (
                f"nothing keeps {config.STATE_FOLDER}/ out of the image: it is copied with the rest"
            )
            raise _refused(service, why, f"add {config.STATE_FOLDER} to {context / _SHARED}")


def _refused(service: Service, why: str, hint: str) -> ConfigError:
    return ConfigError(
        f"Podman can't build {service.name!r} as the proof needs it.",
        cause=f"{why}.",
        hint=hint,
        fault=Fault.CONTENT,
    )


def _one_file() -> str:
    return f"write one {_SHARED}, which all builders read"


def _may_copy(folder: Path, inputs: BuildInputs) -> bool:
    if inputs.plan is None:
        return True
    first = folder.relative_to(inputs.context).parts[0]
    steps = (step for stage in inputs.plan.stages.values() for step in stage.steps)
    return any(_may_reach(first, reading) for step in steps for reading in step.reads)


def _may_reach(name: str, reading: Reading) -> bool:
    first = reading.path.strip("/").partition("/")[0]
    return not reading.context and (first in {"", ".", name} or bool(_GLOB & set(first)))
