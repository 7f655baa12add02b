"""Why an image is fresh, stale or neither: down to file, line and commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from unstale.compose import Service
from unstale.errors import MissingFile
from unstale.image.check import ImageStatus
from unstale.image.explain import Background, change_words, clock, the_fix
from unstale.image.inputs import BuildInputs, text_of
from unstale.image.program import familiar
from unstale.image.rebuild import Rebuild, rebuild
from unstale.mask import is_secret
from unstale.pipeline.explanation import TAKES, Answer, Behind, Cause, Place
from unstale.pipeline.images import Bench
from unstale.verdict import Fresh, Missing, NotAsked, Reason, Stale, Unknown, Verdict, word

if TYPE_CHECKING:
    from unstale.pipeline.shelf import Found

__all__ = ["causes", "explain"]

_BASE = "base:"
# Reasons that name no file: what differs may be a secret.
_VALUES = frozenset({"build arguments", "build inputs"})


def explain(
    bench: Bench,
    statuses: Sequence[ImageStatus],
    known: Background,
    receipts: Iterable[Found],
    option: str = "",
) -> tuple[Answer, ...]:
    """An answer for each of *statuses*; *option* names the environment in what to type."""
    filed = tuple(receipts)
    return tuple(_answer(bench, status, known, filed, option) for status in statuses)


def _answer(
    bench: Bench, status: ImageStatus, known: Background, receipts: Sequence[Found], option: str
) -> Answer:
    service = bench.site.stack.service(status.service)
    if service is None or service.build is None:
        message = f"BUG: {status.service} is not built here. Please report it."
        raise AssertionError(message)
    is_fresh = isinstance(status.verdict, Fresh)
    return Answer(
        subject=status.service,
        verdict=word(status.verdict),
        summary=_summary(status, known),
        since=_since(status, known),
        behind=_behind(status, known),
        causes=causes(service, status, known),
        evidence=tuple(_evidence(bench, status, known, receipts)),
        redone="" if is_fresh else _redone(bench, service, status.verdict),
        next="" if is_fresh else f"inv image.build --service {status.service}{option}",
    )


def _summary(status: ImageStatus, known: Background) -> str:
    match status.verdict:
        case Missing():
            return f"there is no image {status.image}"
        case Unknown(why) | NotAsked(why):
            return why
        case Fresh() | Stale():
            return known.summary(status)
        case _ as never:
            assert_never(never)


def _since(status: ImageStatus, known: Background) -> datetime | None:
    """When the first commit was made that the image lacks; None where only the disk has it."""
    built = known.build_time(status.image_id, status.built_at)
    if built is None or not isinstance(status.verdict, Stale):
        return None
    fix = the_fix(status.verdict.reasons, built.at)
    return fix.committed_at if fix else None


def _behind(status: ImageStatus, known: Background) -> Behind | None:
    """Commits after the build that made the image: its layers may be older than that."""
    built = known.build_time(status.image_id, status.built_at)
    if built is None:
        return None
    later = [one.committed_at - built.at for one in known.log if one.committed_at > built.at]
    return Behind(len(later), max(later).total_seconds() / 3600 if later else 0.0)


def causes(service: Service, status: ImageStatus, known: Background) -> tuple[Cause, ...]:
    """What changed since the image of *service* was built, and what a mount makes harmless."""
    reasons = status.verdict.reasons if isinstance(status.verdict, Stale) else ()
    lines = _lines(service)
    return tuple(_cause(reason, known, lines) for reason in (*reasons, *status.masked))


def _cause(reason: Reason, known: Background, lines: Sequence[str]) -> Cause:
    commit = known.commits.get(reason.path)
    return Cause(
        what=reason.path,
        how=_how(reason),
        places=_reader(reason, lines),
        commit=commit if commit and commit.short == reason.commit else None,
        is_uncommitted=reason.path in known.uncommitted,
        is_accepted=reason.masked,
    )


def _how(reason: Reason) -> str:
    if reason.path.startswith(_BASE):
        return "another image has that name now, or it is not fresh itself"
    masked = ", and a bind mount lays the current file over it" if reason.masked else ""
    return change_words(reason.change) + masked


def _reader(reason: Reason, lines: Sequence[str]) -> tuple[Place, ...]:
    file, colon, number = reason.reader.rpartition(":")
    if not colon or not number.isdecimal():
        return ()
    at = int(number)
    text = lines[at - 1] if 0 < at <= len(lines) else ""
    return (Place(file, at, TAKES if reason.path != file else "is another step", text),)


def _lines(service: Service) -> tuple[str, ...]:
    """The Dockerfile's lines; none where it is gone."""
    if service.build is None:
        return ()
    try:
        return tuple(map(_shown, text_of(service.build).split("\n")))
    except MissingFile:
        return ()


def _shown(line: str) -> str:
    """*line* without what follows its first word, if there may be a secret in it."""
    text = line.strip()
    # A text may name what it holds: --token=..., or TOKEN=... of a variable.
    return f"{text.split()[0]} ..." if text and (is_secret(text) or is_secret("", text)) else text


# Evidence


def _evidence(
    bench: Bench, status: ImageStatus, known: Background, receipts: Sequence[Found]
) -> Iterator[str]:
    built = known.build_time(status.image_id, status.built_at)
    if status.image_id is None:
        return
    if built is not None:
        verb = "built" if built.is_exact else "first built"
        yield f"{verb} {clock(built.at)}{_from(bench, status)}"
    if isinstance(status.verdict, Fresh):
        yield "stamp: the digest of its inputs is that of the tree"
        yield _bytes(bench, status)
        yield _proven(status, receipts)
    elif isinstance(status.verdict, Stale):
        yield {
            "digest": "stamp: the digest of its inputs is another one than the tree's",
            "content": "bytes: copied files differ in the image",
            "time": "times alone, which prove nothing",
        }[status.method]


def _from(bench: Bench, status: ImageStatus) -> str:
    """Of which commit, if the ledger of builds has it."""
    made = [one for one in bench.records() if one.image_id == status.image_id and one.revision]
    if not made:
        return ""
    dirty = ", with uncommitted changes" if made[-1].dirty else ""
    return f", from {made[-1].revision[:7]}{dirty}"


def _bytes(bench: Bench, status: ImageStatus) -> str:
    proof = bench.proofs.of(status.image_id or "", status.inputs)
    if proof is None:
        return "bytes: compared just now"
    rewritten = f", {len(proof.rewritten)} of them rewritten by a RUN" if proof.rewritten else ""
    return f"bytes: {proof.compared} copied files were compared with the tree{rewritten}"


def _proven(status: ImageStatus, receipts: Sequence[Found]) -> str:
    for found in receipts:
        told = found.receipt
        is_same = (
            told.images.get(status.service) == status.image_id
            and told.inputs.get(status.service) == status.inputs
        )
        if is_same and told.result == "PASSED":
            count = len(told.passed)
            tests = "1 test" if count == 1 else f"{count} tests"
            return f"receipt: {found.path.name}, {tests} passed on it"
    return "receipt: none yet, no run has passed on it"


# What a rebuild does


def _redone(bench: Bench, service: Service, verdict: Verdict) -> str:
    inputs = bench.inputs(service)
    if inputs.plan is None:
        return "a rebuild makes all anew, as far as can be told: the Dockerfile can't be followed"
    if not isinstance(verdict, Stale):
        return ""
    from unstale.image.reasons import Readers

    if _VALUES.intersection(reason.path for reason in verdict.reasons):
        return "which steps a rebuild redoes is not known: a value has no line"
    root = bench.site.settings.root
    known = Readers.of(inputs)
    lines = {line for r in verdict.reasons for line in known.of_reason(r.path, root)}
    lines |= {int(n) for r in verdict.reasons if (n := r.reader.rpartition(":")[2]).isdecimal()}
    found = rebuild(inputs.plan, lines, _others(bench, inputs, verdict.reasons))
    return _told(found, service)


def _others(bench: Bench, inputs: BuildInputs, reasons: Sequence[Reason]) -> frozenset[str]:
    """The images that are others now, as the Dockerfile calls them."""
    named = {r.path.removeprefix(_BASE) for r in reasons if r.path.startswith(_BASE)}
    ours = {familiar(s.image) for s in bench.services if s.name in named}
    return frozenset(i for i in inputs.images if i in named or familiar(i) in ours)


def _told(found: Rebuild, service: Service) -> str:
    if not found.steps:
        return "no step reads what changed: a rebuild takes all layers from its cache"
    first = found.steps[0]
    lines = _lines(service)
    text = lines[first.line - 1] if 0 < first.line <= len(lines) else ""
    where = f"line {first.line} ({text})" if text else "its base image"
    return f"a rebuild redoes at most {len(found.steps)} of {found.of} steps, from {where} on"
