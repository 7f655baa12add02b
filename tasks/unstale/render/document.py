"""Standard output as exactly one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unstale.errors import UnstaleError, exit_code, fault_of, outcome_of
from unstale.facts import ContainerFact
from unstale.image.check import LABEL_INPUTS, ImageStatus
from unstale.mask import Mask
from unstale.spoken import as_typed
from unstale.verdict import Stale, Unknown, word

if TYPE_CHECKING:
    from unstale.image.local import LocalImage
    from unstale.image.timeline import Lane, Timeline
    from unstale.image.verify import VerifyResult
    from unstale.pipeline.run import RunReport

__all__ = [
    "answered",
    "failure",
    "image_list",
    "image_status",
    "image_timeline",
    "image_verify",
    "print_document",
    "print_text",
    "run",
    "write",
]


answered: ContextVar[bool] = ContextVar("answered", default=False)
"""Whether standard output has its document; a signal may come after that."""


def write(document: str, body: Mapping[str, object]) -> None:
    """Print *body* under the schema ``unstale/<document>@1``."""
    print_document({"schema": f"unstale/{document}@1", **body})


def print_document(document: Mapping[str, object]) -> None:
    """Print a whole document."""
    # The same value, and no order to a CI system, see `printable`.
    text = (
        json.dumps(document, indent=2).replace("##[", "#\\u0023[").replace("##vso[", "#\\u0023vso[")
    )
    print_text([text])


def print_text(lines: Sequence[str]) -> None:
    """Print *lines* of a form that has its own rules, as they are."""
    answered.set(True)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def image_status(
    statuses: Sequence[ImageStatus], containers: Sequence[ContainerFact] = ()
) -> dict[str, Any]:
    """The body of ``image-status``."""
    return {"services": [_service(s, containers) for s in statuses]}


def _service(status: ImageStatus, containers: Sequence[ContainerFact]) -> dict[str, Any]:
    verdict = status.verdict
    reasons = verdict.reasons if isinstance(verdict, Stale) else ()
    return {
        "service": status.service,
        "image": status.image,
        "image_id": status.image_id,
        "built_at": status.built_at.isoformat() if status.built_at else None,
        "verdict": word(verdict),
        "method": status.method,
        "inputs": status.inputs,
        "dependencies": status.dependencies,
        "commits_behind": status.commits_behind,
        "hours_behind": status.hours_behind,
        "why": verdict.why if isinstance(verdict, Unknown) else None,
        "reasons": [r.to_json() for r in (*reasons, *status.masked)],
        "not_covered": list(status.not_covered),
        "containers": [
            {
                "id": c.id,
                "image_id": c.image_id,
                "verdict": "fresh" if c.image_id == status.image_id else "stale",
            }
            for c in containers
            if c.service == status.service
        ],
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def image_verify(result: VerifyResult) -> dict[str, Any]:
    """The body of ``image-verify``."""
    return {
        "service": result.service,
        "image_id": result.image_id,
        "verdict": word(result.verdict),
        "finding": result.finding,
        "matches": [{"path": str(m.path), "line": m.line} for m in result.matches],
        "compared": result.compared,
        "cited": result.is_cited,
        "differences": [{"path": str(d.path), "change": d.change} for d in result.differences],
        "rules": [
            {
                "service": rule.service,
                "path": str(rule.path),
                "grep": rule.pattern,
                "verdict": word(rule.verdict),
                "finding": rule.finding,
                "matches": [{"path": str(m.path), "line": m.line} for m in rule.matches],
            }
            for rule in result.rules
        ],
    }


def image_list(images: Sequence[LocalImage], layers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The body of ``image-list``; *layers* are masked already."""
    return {
        "images": [
            {
                "service": i.service,
                "id": i.fact.id,
                "tags": list(i.fact.tags),
                "current": i.is_current,
                "created": _moment(i.fact.created),
                "size_bytes": i.fact.size_bytes,
                "dangling": not i.fact.tags,
                "stamped": LABEL_INPUTS in i.fact.labels,
                "in_use": bool(i.users),
                "containers": list(i.users),
                "history": list(layers.get(i.fact.id, ())),
            }
            for i in images
        ]
    }


def image_timeline(shown: Timeline) -> dict[str, Any]:
    """The body of ``image-timeline``."""
    return {
        "environment": shown.environment,
        "head": shown.head.sha if shown.head else None,
        "services": [_lane(lane) for lane in shown.lanes],
        "commits": [
            {
                "sha": c.sha,
                "short": c.short,
                "committed_at": _moment(c.committed_at),
                "subject": c.subject,
                "missing_in": [lane.service for lane in shown.lacking(c)],
            }
            for c in shown.commits
        ],
    }


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "service": lane.service,
        "verdict": lane.verdict,
        "summary": lane.sentence,
        "fix": lane.fix.commit if lane.fix else None,
        "gap_seconds": int(lane.gap.total_seconds()) if lane.gap is not None else None,
        "earlier_builds": lane.earlier,
        "builds": [
            {
                "image_id": b.image_id,
                "built_at": _moment(b.time.at),
                "exact": b.time.is_exact,
                "revision": b.revision or None,
                "dirty": b.dirty,
                "in_use": b == lane.current,
            }
            for b in lane.builds
        ],
    }


def run(found: RunReport, mask: Mask) -> dict[str, Any]:
    """The body of ``run``."""
    counts = found.state.counts
    schema = found.state.schema
    return {
        "outcome": fault_of(found.errors).value,
        "code": exit_code(found.outcome),
        "step": next((s.name for s in found.state.results if not s.is_green), None),
        "errors": [mask(str(e)) for e in found.errors],
        "steps": [
            {
                "name": s.name,
                "outcome": s.outcome.value,
                "seconds": round(s.seconds, 3),
                "detail": mask(s.detail),
            }
            for s in found.state.results
        ],
        "tests": None
        if counts is None
        else {
            "passed": counts.passed,
            "failed": counts.failed,
            "skipped": counts.skipped,
            "failures": list(counts.failures),
        },
        "images": found.state.image_ids,
        "database": None if schema is None else schema.to_json(),
        "receipt": str(found.receipt) if found.receipt else None,
        "evidence": str(found.folder),
        "kept": found.kept,
        "remarks": [mask(remark) for remark in found.remarks],
    }


def failure(step: str, error: UnstaleError) -> dict[str, Any]:
    """The body of any document where there is nothing to tell but why; *error* is masked."""
    return {
        "outcome": fault_of([error]).value,
        "code": exit_code(outcome_of(error)),
        "step": step,
        "error": str(error),
        "what": error.what,
        "why": error.cause,
        "next": as_typed(error.hint),
    }
