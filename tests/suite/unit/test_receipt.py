"""The receipt: what was proven, and what was not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from unstale.errors import Fault, Outcome
from unstale.facts import CommitFact
from unstale.pipeline.junit import Counts
from unstale.pipeline.receipt import statement
from unstale.pipeline.site import StepResult

AT = datetime(2026, 1, 1, 12, 0, 0, 999, tzinfo=UTC)


def _receipt(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "outcome": Outcome.PROVEN,
        "fault": Fault.PROVEN,
        "stale_allowed": False,
        "images": {"test-runner": "sha256:22", "app": "sha256:11"},
        "inputs": {"app": "v1:sha256:ab"},
        "head": CommitFact("05a54e1f", "05a54e1", AT, "Fix it"),
        "dirty": True,
        "environment": "ci",
        "schema": {"state": "current"},
        "counts": Counts(1, 1, 2, failures=("bad",), passes=("good",)),
        "steps": (StepResult("build", Outcome.PROVEN, 1.23456, "2 images"),),
        "started": AT,
        "more": {"subject": "v1:sha256:cd", "builder": ["app is sent under a new name"]},
    }
    return statement(**{**given, **changes})


def test_its_subjects_are_the_images_by_digest() -> None:
    receipt = _receipt()

    assert receipt["_type"] == "https://in-toto.io/Statement/v1"
    assert receipt["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert receipt["subject"] == [
        {"name": "app", "digest": {"sha256": "11"}},
        {"name": "test-runner", "digest": {"sha256": "22"}},
    ]


@pytest.mark.parametrize(
    ("outcome", "stale_allowed", "result"),
    [
        (Outcome.PROVEN, False, "PASSED"),
        (Outcome.PROVEN, True, "PASSED"),
        (Outcome.MISMATCH, True, "WARNED"),
        (Outcome.MISMATCH, False, "FAILED"),
        (Outcome.TESTS_FAILED, True, "FAILED"),
        (Outcome.UNKNOWN, True, "FAILED"),
        (Outcome.TEAR_DOWN_FAILED, False, "FAILED"),
        (Outcome.INTERRUPTED, False, "FAILED"),
    ],
)
def test_only_a_proof_passed_and_allowed_staleness_is_a_warning(
    outcome: Outcome, stale_allowed: bool, result: str
) -> None:
    receipt = _receipt(outcome=outcome, stale_allowed=stale_allowed)

    assert receipt["predicate"]["result"] == result


def test_it_tells_what_ran_on_what() -> None:
    predicate = _receipt()["predicate"]

    assert predicate["passedTests"] == ["good"]
    assert predicate["failedTests"] == ["bad"]
    assert predicate["configuration"] == [
        {"name": "inputs of app", "digest": {"unstale": "v1:sha256:ab"}}
    ]
    assert predicate["annotations"] == {
        "outcome": "proven",
        "started": "2026-01-01T12:00:00+00:00",
        "environment": "ci",
        "revision": "05a54e1f",
        "dirty": True,
        "schema": {"state": "current"},
        "skipped": 2,
        "subject": "v1:sha256:cd",
        "builder": ["app is sent under a new name"],
        "steps": [{"name": "build", "outcome": "proven", "seconds": 1.235, "detail": "2 images"}],
    }


def test_a_run_that_ended_early_still_has_a_receipt() -> None:
    receipt = _receipt(
        outcome=Outcome.UNAVAILABLE, images={}, inputs={}, head=None, schema=None, counts=None
    )

    assert receipt["subject"] == []
    assert receipt["predicate"]["passedTests"] == []
    assert receipt["predicate"]["annotations"]["revision"] is None


def test_it_is_json() -> None:
    assert json.loads(json.dumps(_receipt())) == _receipt()
