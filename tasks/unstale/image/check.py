"""Whether an image was built from the files that are here now.

Two witnesses must agree: the label, which is what the builder's client claimed,
and the copied files' bytes, because BuildKit can put old bytes under a new
claim (equal size and mtime: moby/buildkit#4817).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from unstale.image.content import compare, fetch, roots
from unstale.image.inputs import BuildInputs
from unstale.ports import Docker, Git, ImageFact
from unstale.verdict import Change, Fresh, Missing, Reason, Stale, Unknown, Verdict

__all__ = ["LABEL_INPUTS", "ImageStatus", "check"]

LABEL_INPUTS = "dev.unstale.inputs"

# More than any list of commits a person reads; beyond it the count stays there.
_MOST_COMMITS = 1000


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """What is known of one service's image."""

    service: str
    image: str
    image_id: str | None
    built_at: datetime | None
    """Creation time as the engine tells it: for people, never for the verdict."""
    verdict: Verdict
    method: Literal["digest", "content", "time"]
    inputs: str
    """The digest of the tree as it is now."""
    dependencies: str
    commits_behind: int
    """Commits after the image's creation."""
    hours_behind: float
    """From the image's creation to the newest of them; 0 if there is none."""


def check(
    docker: Docker,
    git: Git,
    service: str,
    image: str,
    inputs: BuildInputs,
    *,
    root: Path,
    recorded: Mapping[str, str] | None = None,
) -> ImageStatus:
    """Judge the local image *image* of *service* by *inputs*.

    *recorded* is `BuildInputs.paths` of the build that made it, if known: it
    names the reasons where copied bytes can't. Reasons are relative to *root*.
    A copied file that a later RUN rewrites, or deletes, reads as stale: it
    can't be told from bytes that the builder put there by mistake.
    """
    fact = docker.image(image)
    verdict = Missing() if fact is None else _verdict(docker, fact, inputs, recorded)
    if isinstance(verdict, Stale):
        verdict = Stale(tuple(_named(reason, inputs, git, root) for reason in verdict.reasons))
    commits, hours = (0, 0.0) if fact is None else _behind(git, fact.created)
    return ImageStatus(
        service=service,
        image=image,
        image_id=fact.id if fact else None,
        built_at=fact.created if fact else None,
        verdict=verdict,
        method="content",
        inputs=inputs.digest,
        dependencies=inputs.dependencies,
        commits_behind=commits,
        hours_behind=hours,
    )


# Not one file of the context: the Dockerfile, an argument, a file that only a
# RUN or another stage read, a mode. Without the build's record nothing tells which.
_CONFIGURATION = Reason("build inputs", "configuration")


def _verdict(
    docker: Docker, fact: ImageFact, inputs: BuildInputs, recorded: Mapping[str, str] | None
) -> Verdict:
    held = fetch(docker, fact.id, roots(path for _, path in inputs.copies))
    found = {one.source: one.change for one in compare(inputs, held, inputs.copies)}
    label = fact.labels.get(LABEL_INPUTS)
    claim = label is not None and _scheme(label) == _scheme(inputs.digest)
    if claim and label != inputs.digest:
        found = _changes(recorded or inputs.paths, inputs.paths) | found
        if not found:
            return Stale((_CONFIGURATION,))
    if found:
        return Stale(tuple(Reason(path, change) for path, change in sorted(found.items())))
    if label is None:
        return Unknown(_unlabelled(len(inputs.copies)))
    if not claim:
        return Unknown("its proof was made by another version of unstale: run inv image.build")
    if inputs.remote:
        return Unknown(f"some inputs are not on this machine: {', '.join(inputs.remote)}")
    return Fresh()


def _unlabelled(count: int) -> str:
    equal = f"the {count} files it copied are equal, but it" if count else "it"
    return f"{equal} carries no proof of its other inputs: build it with inv image.build"


def _scheme(digest: str) -> str:
    return digest.partition(":")[0]


def _changes(recorded: Mapping[str, str], now: Mapping[str, str]) -> dict[str, Change]:
    return {
        path: _change(path, recorded, now)
        for path in {*recorded, *now}
        if recorded.get(path) != now.get(path)
    }


def _change(path: str, recorded: Mapping[str, str], now: Mapping[str, str]) -> Change:
    if path not in recorded:
        return "added"
    return "modified" if path in now else "removed"


def _named(reason: Reason, inputs: BuildInputs, git: Git, root: Path) -> Reason:
    """*reason* with its path as seen from *root*, and the commit behind it."""
    if reason == _CONFIGURATION:
        return reason
    path = inputs.context / reason.path
    commit = git.last_commit(path)
    return Reason(os.path.relpath(path, root), reason.change, commit.short if commit else None)


def _behind(git: Git, created: datetime | None) -> tuple[int, float]:
    if created is None:
        return 0, 0.0
    commits = git.log(since=created, limit=_MOST_COMMITS)
    if not commits:
        return 0, 0.0
    newest = max(commit.committed_at for commit in commits)
    return len(commits), max(0.0, (newest - created).total_seconds() / 3600)
