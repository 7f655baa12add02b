"""Standard output as exactly one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from unstale.errors import exit_code
from unstale.image.check import LABEL_INPUTS, ImageStatus
from unstale.image.verify import VerifyResult
from unstale.mask import Mask
from unstale.pipeline.run import RunReport
from unstale.ports import ContainerFact, ImageFact
from unstale.verdict import Stale, Unknown, word

__all__ = ["image_list", "image_status", "image_verify", "print_document", "run", "write"]


def write(document: str, body: Mapping[str, object]) -> None:
    """Print *body* under the schema ``unstale/<document>@1``."""
    print_document({"schema": f"unstale/{document}@1", **body})


def print_document(document: Mapping[str, object]) -> None:
    """Print a whole document."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
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
        "reasons": [
            {"path": r.path, "change": r.change, "commit": r.commit, "masked": r.masked}
            for r in reasons
        ],
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


def image_verify(result: VerifyResult) -> dict[str, Any]:
    """The body of ``image-verify``."""
    return {
        "service": result.service,
        "image_id": result.image_id,
        "verdict": word(result.verdict),
        "finding": result.finding,
        "matches": [{"path": str(m.path), "line": m.line} for m in result.matches],
        "compared": result.compared,
        "differences": [{"path": str(d.path), "change": d.change} for d in result.differences],
    }


def image_list(
    images: Sequence[ImageFact], used: frozenset[str], layers: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The body of ``image-list``; *used* are ids that a container refers to."""
    return {
        "images": [
            {
                "id": i.id,
                "tags": list(i.tags),
                "created": i.created.isoformat() if i.created else None,
                "size_bytes": i.size_bytes,
                "dangling": not i.tags,
                "stamped": LABEL_INPUTS in i.labels,
                "in_use": i.id in used,
                "history": list(layers.get(i.id, ())),
            }
            for i in images
        ]
    }


def run(found: RunReport, mask: Mask) -> dict[str, Any]:
    """The body of ``run``."""
    counts = found.state.counts
    schema = found.state.schema
    return {
        "outcome": found.outcome.value,
        "code": exit_code(found.outcome),
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
        "receipt": str(found.receipt),
        "evidence": str(found.folder),
        "kept": found.kept,
    }
