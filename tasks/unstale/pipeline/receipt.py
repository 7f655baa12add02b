"""The receipt of a run: an in-toto Statement with a test-result predicate. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from unstale.errors import Fault, Outcome
from unstale.facts import CommitFact
from unstale.pipeline.junit import Counts
from unstale.pipeline.site import StepResult

__all__ = ["PREDICATE", "STATEMENT", "statement"]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def statement(
    *,
    outcome: Outcome,
    fault: Fault,
    stale_allowed: bool,
    images: Mapping[str, str],
    inputs: Mapping[str, str],
    head: CommitFact | None,
    dirty: bool | None,
    environment: str,
    schema: Mapping[str, object] | None,
    counts: Counts | None,
    steps: Sequence[StepResult],
    started: datetime,
    more: Mapping[str, object],
) -> dict[str, Any]:
    """The receipt as a JSON document.

    *fault* says in a word why *outcome* is what it is. *images* and *inputs* map
    services to image ids and input digests, *more* are annotations: what the run
    depends on, what the builder did, what was verified. The result is PASSED for a
    proof, WARNED where staleness was allowed with green tests, else FAILED.
    """
    green = outcome is Outcome.PROVEN
    # Without a test (--services) nothing passed, though every step was green.
    passed = "PASSED" if green and counts else "WARNED" if green else "FAILED"
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": service, "digest": {"sha256": image.removeprefix("sha256:")}}
            for service, image in sorted(images.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "WARNED" if stale_allowed and outcome is Outcome.MISMATCH else passed,
            "configuration": [
                {
                    "name": f"inputs of {service}",
                    "digest": {"unstale": digest},
                }
                for service, digest in sorted(inputs.items())
            ],
            "passedTests": list(counts.passes) if counts else [],
            "failedTests": list(counts.failures) if counts else [],
            "annotations": {
                "outcome": fault.value,
                "started": started.isoformat(timespec="seconds"),
                "environment": environment,
                "revision": head.sha if head else None,
                "dirty": dirty,
                "schema": schema,
                "skipped": counts.skipped if counts else 0,
                **more,
                "steps": [
                    {
                        "name": s.name,
                        "outcome": s.outcome.value,
                        "seconds": round(s.seconds, 3),
                        "detail": s.detail,
                    }
                    for s in steps
                ],
            },
        },
    }
