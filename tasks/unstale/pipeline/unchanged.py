"""Whether the tree is still the one that a run began with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unstale.errors import CouldNotTell
from unstale.image.check import ImageStatus
from unstale.pipeline import images
from unstale.verdict import Stale

__all__ = ["require"]

_SHOWN = 10
_BYTECODE = (".pyc", "__pycache__")


def require(bench: images.Bench, before: Sequence[ImageStatus]) -> None:
    """Refuse a tree of which a build reads something else than *before* said.

    Raises:
        CouldNotTell: it does; the files are named.

    """
    now = {s.name: bench.inputs(s).digest for s in bench.services}
    changed = [s.service for s in before if s.inputs and s.inputs != now.get(s.service)]
    if not changed:
        return
    paths = sorted(set(_paths(images.statuses(bench, changed))))
    more = [f"  and {len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
    # A container that mounts a folder writes there what its Python compiled.
    is_litter = bool(paths) and all(path.endswith(_BYTECODE) for path in paths)
    raise CouldNotTell(
        f"Files of {', '.join(changed)} changed while the run was going on.",
        cause="\n".join(
            ["What was tested is no longer what is here."]
            + [f"  {path}" for path in paths[:_SHOWN]]
            + more
        ),
        hint="name **/__pycache__ in the .dockerignore of that build context, or set"
        " PYTHONDONTWRITEBYTECODE=1 for the containers that mount the folder"
        if is_litter
        else "run again",
    )


def _paths(found: Sequence[ImageStatus]) -> Iterator[str]:
    for status in found:
        reasons = status.verdict.reasons if isinstance(status.verdict, Stale) else ()
        yield from (reason.path for reason in (*reasons, *status.masked))
