"""Answers as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unstale.image.check import LABEL_INPUTS, ImageStatus
from unstale.image.verify import VerifyResult
from unstale.ports import CommitFact, ImageFact
from unstale.schema.status import SchemaStatus
from unstale.verdict import Stale, Unknown, word

__all__ = ["image_list", "image_status", "image_verify", "schema"]


def image_status(statuses: Sequence[ImageStatus], head: CommitFact | None) -> tuple[str, ...]:
    """One paragraph a service, and HEAD below."""
    lines: list[str] = []
    for status in statuses:
        built = status.built_at.isoformat(" ", "seconds") if status.built_at else "never"
        lines.append(f"{status.service}: {word(status.verdict)}   (built {built})")
        if status.commits_behind:
            behind = f"{status.commits_behind} commits and {status.hours_behind or 0:.1f} h"
            lines.append(f"  {behind} behind HEAD")
        lines += _why(status)
    if head is not None:
        lines.append(f"HEAD {head.short} {head.committed_at:%Y-%m-%d %H:%M:%S %z} {head.subject}")
    return tuple(lines)


def _why(status: ImageStatus) -> list[str]:
    match status.verdict:
        case Stale(reasons):
            shown = [
                f"  {r.change}: {r.path}" + (f" ({r.commit})" if r.commit else "")
                for r in reasons[:20]
            ]
            more = [f"  and {len(reasons) - 20} more"] if len(reasons) > 20 else []
            return [*shown, *more, f"  Next: inv image.build --service {status.service}"]
        case Unknown(why):
            return [f"  {why}"]
        case _:
            return []


def image_list(
    images: Sequence[ImageFact], used: frozenset[str], layers: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """One line an image; *used* are ids that a container refers to."""
    lines: list[str] = []
    for image in images:
        marks = [
            *([] if image.tags else ["dangling"]),
            *(["stamped"] if LABEL_INPUTS in image.labels else []),
            *(["in use"] if image.id in used else []),
        ]
        created = image.created.isoformat(" ", "seconds") if image.created else "unknown time"
        lines.append(
            f"{', '.join(image.tags) or '<none>'}  {image.id[7:19]}  {created}  "
            f"{image.size_bytes / 1e6:.1f} MB  {', '.join(marks)}"
        )
        lines += [f"    {layer}" for layer in layers.get(image.id, ())]
    return tuple(lines or ["There is no image."])


def image_verify(result: VerifyResult) -> tuple[str, ...]:
    """Where the pattern was found, and which bytes differ."""
    about = f"{result.image_id[7:19]}, {result.compared} files compared"
    return (
        f"{result.service}: {word(result.verdict)}   ({about})",
        *(f"  {m.path}:{m.line}" for m in result.matches[:20]),
        *(f"  {d.change}: {d.path}" for d in result.differences[:20]),
    )


def schema(status: SchemaStatus | None) -> tuple[str, ...]:
    """The state of the schema and what it rests on."""
    if status is None:
        return ("not asked: the project has no migrations",)
    missing = f", missing: {', '.join(status.missing_tables)}" if status.missing_tables else ""
    models = "" if status.models_checked else " (models: not checked)"
    return (
        f"{status.state}: {status.explanation}",
        f"  applied  {', '.join(status.applied) or 'none'}",
        f"  heads    {', '.join(status.heads) or 'none'}",
        f"  tables   {len(status.tables)}{missing}{models}",
    )
