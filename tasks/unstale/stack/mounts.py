"""What a container's mounts do to the files that a build copied. Pure, but for `real_path`.

An image may be fresh while its container runs other code: a volume that was
filled by an older image lies over the folder, and stays through every rebuild.
The reverse is true as well: a bind mount of the very folder that was copied
shows the current files, whatever the image holds.

Not seen: a file that only the volume still has (it was removed from the tree)
can't be told from data; a mount point reached through a symbolic link of the
image counts by the name it has in the compose file.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from unstale.facts import MountFact, Placement
from unstale.verdict import Fresh, Reason, Stale, Verdict, combine

__all__ = ["Chain", "Effect", "Finding", "chain", "findings", "hides", "is_anonymous", "real_path"]

Effect = Literal["plain", "masked", "derived", "hidden"]
"""
plain    nothing lies over it: the image's bytes are what runs
masked   the tree's own file lies over it, and nothing else read the copy
derived  as masked, but a RUN or another stage could have read the copy
hidden   something else lies over it, or may
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the mounts do to one copied file."""

    placement: Placement
    effect: Effect
    mount: MountFact | None = None
    """The one that lies over it; None for a plain file."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One answer over source, image, containers and mounts."""

    verdict: Verdict
    masked: tuple[Reason, ...] = ()
    """Changed files that a mount lays, as they are now, over the old ones."""


def real_path(path: Path) -> Path:
    """*path* with the symbolic links of this machine resolved, as far as it is there."""
    return Path(os.path.realpath(path))


def findings(
    placements: Iterable[Placement],
    mounts: Sequence[MountFact],
    real: Callable[[Path], Path] = Path,
) -> tuple[Finding, ...]:
    """What *mounts* do to each of *placements*, in their order.

    The longest mount point wins, as in the kernel. *real* resolves symbolic
    links of this machine; by default paths count as they are written.
    """
    points = sorted(
        ((PurePosixPath(os.path.normpath(m.target)), m) for m in mounts),
        key=lambda pair: len(pair[0].parts),
        reverse=True,
    )
    return tuple(_finding(placement, points, real) for placement in placements)


def _finding(
    placement: Placement,
    points: Sequence[tuple[PurePosixPath, MountFact]],
    real: Callable[[Path], Path],
) -> Finding:
    over = next(((p, m) for p, m in points if placement.dest.is_relative_to(p)), None)
    if over is None:
        return Finding(placement, "plain")
    point, mount = over
    if not _shows(mount, placement.dest.relative_to(point), placement.source, real):
        return Finding(placement, "hidden", mount)
    return Finding(placement, "derived" if placement.derived else "masked", mount)


def _shows(
    mount: MountFact, below: PurePosixPath, source: Path, real: Callable[[Path], Path]
) -> bool:
    """Whether *mount* shows *source* at the place *below* its mount point."""
    if mount.kind != "bind":
        return False
    shown = real(Path(mount.source)) / below
    # The engine follows the links of a mount's source, and none below it: there
    # a link stays a link, with a target inside the container.
    return shown == (
        real(source) if below == PurePosixPath() else real(source.parent) / source.name
    )


def is_anonymous(mount: MountFact) -> bool:
    """Whether *mount* is of a volume that the engine named itself."""
    return mount.kind == "volume" and re.fullmatch(r"[0-9a-f]{64}", mount.name) is not None


def hides(found: Iterable[Finding]) -> Verdict:
    """Stale by each mount that hides a copied file; Fresh if none does."""
    targets = sorted({f.mount.target for f in found if f.effect == "hidden" and f.mount})
    reasons = tuple(Reason(f"mount:{target}", "modified") for target in targets)
    return Stale(reasons) if reasons else Fresh()


def chain(
    image: Verdict, containers: Iterable[Verdict], found: Iterable[Finding], root: Path
) -> Chain:
    """Say whether what runs is what is here, in one answer.

    *image* is the verdict against the source, its reasons relative to *root*;
    *containers* are the whole verdicts of the service's containers; *found* the
    findings of all of them or, where there is none, those of its compose entry.
    A reason is masked where each copy of the file is: one plain, hidden or
    derived copy is enough to keep it.
    """
    if not isinstance(image, Stale):
        return Chain(combine((image, *containers)))
    effects: dict[str, set[Effect]] = defaultdict(set)
    for finding in found:
        effects[os.path.normpath(finding.placement.source)].add(finding.effect)
    masked = tuple(
        reason
        for reason in image.reasons
        if effects.get(os.path.normpath(root / reason.path)) == {"masked"}
    )
    left = tuple(reason for reason in image.reasons if reason not in masked)
    return Chain(
        combine((Stale(left) if left else Fresh(), *containers)),
        tuple(replace(reason, masked=True) for reason in masked),
    )
