"""Whether an image was built from the files that are here now.

Two witnesses must agree: the label, which is what the builder's client claimed,
and the copied files' bytes, because BuildKit can put old bytes under a new
claim (equal size and mtime: moby/buildkit#4817). The second is asked once an
image id; its answer is a `Proof`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unstale.errors import Unavailable
from unstale.facts import ImageFact
from unstale.image import imageconfig
from unstale.image.inputs import BuildInputs
from unstale.ports import Docker
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict

if TYPE_CHECKING:
    from unstale.image.content import Comparison, Difference
    from unstale.image.manifest import Manifest
    from unstale.image.proof import Proofs

# A fresh image is told without a look into it and without a reason: what those need
# is imported where they are made, or it would be a tenth of the time of an answer.

__all__ = ["LABEL_INPUTS", "LABEL_MANIFEST", "ImageStatus", "Judgement", "judge", "settle"]

LABEL_INPUTS = "dev.unstale.inputs"
LABEL_MANIFEST = "dev.unstale.manifest"

Method = Literal["digest", "content", "time"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and how it was reached."""

    verdict: Verdict
    method: Method


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """What is known of one service's image."""

    service: str
    image: str
    image_id: str | None
    built_at: datetime | None
    """Creation time as the engine tells it: for people, never for the verdict."""
    verdict: Verdict
    method: Method
    inputs: str
    """The digest of the tree as it is now."""
    dependencies: str
    commits_behind: int
    """Commits after the image's creation."""
    hours_behind: float
    """From the image's creation to the newest of them; 0 if there is none."""
    masked: tuple[Reason, ...] = ()
    """Changes over which a bind mount of the service lays the current file."""
    not_covered: tuple[str, ...] = ()
    """Inputs that no digest of local files can hold."""
    unpinned: tuple[str, ...] = ()
    """Images it is built from by a name alone, which may be given to another one."""
    attestations: tuple[str, ...] | None = None
    """Of the image, by digest: an SBOM, a provenance; None: the engine does not tell."""


def judge(
    docker: Docker,
    fact: ImageFact | None,
    inputs: BuildInputs,
    stamped: Manifest | None,
    proofs: Proofs,
    root: Path,
) -> Judgement:
    """Judge the local image *fact* by *inputs*; reasons are relative to *root*.

    *stamped* is what its stamp was made of, if that is known: it names the
    reasons. A proof of bytes that had to be made is kept in *proofs*.
    """
    if fact is None:
        return Judgement(Missing(), "digest")
    label = fact.labels.get(LABEL_INPUTS)
    if not label or _scheme(label) != _scheme(inputs.digest):
        why = (
            "its proof was made by another version of unstale"
            if label
            else "it carries no proof of its other inputs"
        )
        return _by_content(docker, fact, inputs, root, why)
    if label != inputs.digest and _is_incomparable(inputs, stamped):
        return Judgement(Unknown("; ".join(inputs.unknown)), "digest")
    if label != inputs.digest:
        return Judgement(Stale(_reasons(docker, fact, inputs, stamped, root)), "digest")
    return _stamped(docker, fact, inputs, proofs, root)


def _is_incomparable(inputs: BuildInputs, stamped: Manifest | None) -> bool:
    """Whether the digest lacks an image that the stamp has, so that it must differ.

    An image that the stamped build did not use is another matter: that is a change.
    """
    known = inputs.absent if stamped is None else stamped.bases
    return bool(inputs.absent) and all(name in known for name in inputs.absent)


def _stamped(
    docker: Docker, fact: ImageFact, inputs: BuildInputs, proofs: Proofs, root: Path
) -> Judgement:
    """The stamp is that of the tree: whether it may be believed."""
    if moved := _moved_base(fact, inputs):
        return Judgement(Stale((Reason(f"base:{moved}", "modified"),)), "digest")
    if inputs.unknown:
        return Judgement(Unknown("; ".join(inputs.unknown)), "digest")
    if proofs.of(fact.id, inputs.digest) is not None:
        return Judgement(Fresh(), "digest")
    if more := _is_more(fact, inputs):
        return Judgement(Unknown(f"its stamp may be inherited: {more}"), "digest")
    from unstale.image.content import compare

    seen = compare(docker, fact.id, inputs)
    return Judgement(settle(fact.id, inputs, seen, proofs, root), "content")


def settle(
    image_id: str,
    inputs: BuildInputs,
    seen: Comparison,
    proofs: Proofs,
    root: Path,
    known_rewritten: frozenset[str] = frozenset(),
) -> Verdict:
    """The verdict on a stamped image after a look into it; keeps a proof if it is one.

    What a RUN may have rewritten proves nothing either way, unless the paths in
    the image are among *known_rewritten*.
    """
    wrong = [one for one in seen.differences if not one.derived]
    if wrong:
        return Stale(difference_reasons(wrong, inputs, root))
    doubtful = [one for one in seen.differences if str(one.path) not in known_rewritten]
    if doubtful:
        return Unknown(
            f"{len(doubtful)} copied files differ in the image, {doubtful[0].source} first, "
            "and a RUN after their COPY may have rewritten them: inv image.build settles it"
        )
    from unstale.image.proof import Proof

    rewritten = tuple(str(one.path) for one in seen.differences)
    with suppress(Unavailable):  # a place that can't be written: it is asked again
        proofs.keep(Proof(image_id, inputs.digest, seen.compared, rewritten))
    return Fresh()


def _by_content(
    docker: Docker, fact: ImageFact, inputs: BuildInputs, root: Path, why: str
) -> Judgement:
    """Without a stamp to compare with: bytes can tell stale, and never fresh."""
    from unstale.image.content import compare

    seen = compare(docker, fact.id, inputs)
    wrong = [one for one in seen.differences if one.change == "modified" or not inputs.absent]
    if wrong:
        return Judgement(Stale(difference_reasons(wrong, inputs, root)), "content")
    if seen.differences:
        # The absent image's WORKDIR and variables decide where files are: all may be well.
        return Judgement(Unknown("; ".join(inputs.unknown)), "content")
    if seen.compared:
        equal = f"the {seen.compared} files it copied are equal"
        return Judgement(Unknown(f"{equal}, but {why}: build it with inv image.build"), "content")
    return Judgement(
        Unknown(f"nothing in it can be compared, and {why}: times prove nothing"), "time"
    )


def _reasons(
    docker: Docker,
    fact: ImageFact,
    inputs: BuildInputs,
    stamped: Manifest | None,
    root: Path,
) -> tuple[Reason, ...]:
    from unstale.image.content import compare
    from unstale.image.reasons import differences

    if stamped is not None:
        return differences(stamped, inputs, root)
    seen = compare(docker, fact.id, inputs)
    found = difference_reasons(seen.differences, inputs, root)
    # Not one copied file: an argument, a mode, what only a RUN or a stage read.
    return found or (Reason("build inputs", "configuration"),)


def difference_reasons(
    found: Iterable[Difference], inputs: BuildInputs, root: Path
) -> tuple[Reason, ...]:
    """What a look into an image found, as reasons."""
    from unstale.image.reasons import Readers

    known = Readers.of(inputs)
    return tuple(known.reason(one.source, one.change, root) for one in found)


def _moved_base(fact: ImageFact, inputs: BuildInputs) -> str:
    """The base image that *fact* does not begin with, or nothing.

    Its own layers are the better witness where the base was taken from the
    stamp, since it is not on this machine.
    """
    start = inputs.plan.chain[0].image if inputs.plan else ""
    base = inputs.bases.get(start)
    if base is None or fact.layers[: len(base.layers)] == base.layers:
        return ""
    return start


def _is_more(fact: ImageFact, inputs: BuildInputs) -> str:
    """What *fact* has that its build does not make: it was built or committed on that."""
    if inputs.plan is None:
        return ""
    chain = inputs.plan.chain
    base = inputs.bases.get(chain[0].image)
    most = (len(base.layers) if base else 0) + sum(len(stage.steps) for stage in chain)
    if len(fact.layers) > most:
        return f"it has {len(fact.layers)} layers, and its build makes {most} at most"
    if imageconfig.commands(fact.config) != imageconfig.commands(chain[-1].config):
        return "it does not say of itself what its build says"
    return ""


def _scheme(digest: str) -> str:
    return digest.partition(":")[0]
