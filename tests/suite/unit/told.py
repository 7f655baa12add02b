"""Receipts and evidence of runs that never were, for whatever tells of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from unstale.errors import Fault, Mismatch, Outcome, TestsFailed, fault_of, outcome_of, worst
from unstale.facts import CommitFact
from unstale.image.check import ImageStatus
from unstale.pipeline.junit import Counts
from unstale.pipeline.receipt import read, statement
from unstale.pipeline.report import errors_told, verdicts_told
from unstale.pipeline.shelf import Found
from unstale.pipeline.site import StepResult
from unstale.pipeline.vouch import Seal
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict

__all__ = ["AT", "EVIDENCE", "HEAD", "HOSTILE", "JUNIT", "STATE", "found", "green", "red", "status"]

STATE = Path("/checkout/.unstale")
EVIDENCE = STATE / "runs" / "1f0c2a9b"
AT = datetime(2026, 11, 12, 1, 2, 3, tzinfo=UTC)
HEAD = CommitFact("7b51437" + "0" * 33, "7b51437", AT - timedelta(hours=1), "Tidy")
FIX = CommitFact("05a54e1" + "0" * 33, "05a54e1", AT - timedelta(hours=9), "Override it")

# What somebody may write who means harm: markup, commands of CI systems, colours,
# controls, the end of a script, the other reading order, and half a character.
HOSTILE = (
    "</pre></title></svg><script>alert(1)</script>&\"'<img src=x onerror=y>]]>"
    "\n::error file=a.py::planted\n##[error]planted\x1b[31m\x1b[2J\x00\u202eevil\u2066\ufffe é"
)

JUNIT = f"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="2" skipped="0"
 tests="3" time="1.234" timestamp="2026-11-12T01:02:03.456789+00:00" hostname="{"h" * 12}">
<testcase classname="tests.api.test_login" name="test_refused" time="0.1"><failure
 message="assert 500 == 401">def test_refused():
&gt;       assert client.get("/me").status_code == 401
E       assert 500 == 401

tests/api/test_login.py:42: AssertionError</failure></testcase>
<testcase classname="tests.api.test_login" name="test_good" time="0.2" />
<testcase classname="tests.api.test_x" name="test_odd[&lt;/script&gt;]" time="0.2"><error
 message="&lt;img src=x&gt;">::error::planted by a test</error></testcase>
</testsuite></testsuites>"""
NAMES = ("tests.api.test_login::test_refused", "tests.api.test_x::test_odd[</script>]")


def status(verdict: Verdict, service: str = "app", **more: Any) -> ImageStatus:
    given: dict[str, Any] = {
        "service": service,
        "image": f"demo-{service}",
        "image_id": f"sha256:{'0123456789abcdef' * 4}",
        "built_at": AT - timedelta(hours=13, minutes=30),
        "verdict": verdict,
        "method": "digest",
        "inputs": "",
        "dependencies": "",
        "commits_behind": 2,
        "hours_behind": 12.5,
    }
    return ImageStatus(**{**given, **more})


WHEN = FIX.committed_at
REASONS = (
    Reason("src/app.py", "modified", FIX.short, reader="Dockerfile:52", committed_at=WHEN),
    Reason("src/new.py", "added"),
)
SCHEMA = {
    "state": "current",
    "explanation": "the schema is that of the migrations",
    "applied": ["0007"],
    "heads": ["0007"],
    "tables": ["accounts", "tokens"],
    "witnesses": {"floor": {"verdict": "ok", "detail": "2 tables"}},
}


def found(document: Mapping[str, Any], name: str = "20261112T010203Z-1f0c2a9b.json") -> Found:
    """*document* as it is found on the shelf."""
    raw = json.dumps(document).encode()
    return Found(STATE / "receipts" / name, raw, read(raw, name), None)


def _document(**changes: Any) -> dict[str, Any]:
    more = {"run": "1f0c2a9b", **changes.pop("more")}
    errors = changes.pop("errors", ())
    return statement(
        **{
            "outcome": worst(outcome_of(e) for e in errors),
            "fault": fault_of(errors),
            "stale_allowed": False,
            "images": {"app": f"sha256:{'1' * 64}"},
            "inputs": {"app": "v1:sha256:ab"},
            "head": HEAD,
            "dirty": False,
            "environment": "test",
            "schema": SCHEMA,
            "started": AT,
            "more": {"errors": errors_told(errors), **more},
            **changes,
        }
    )


def green() -> dict[str, Any]:
    """A run that found a stale image, built it, and passed."""
    before = status(Stale(REASONS))
    after = status(Fresh(), image_id=f"sha256:{'1' * 64}", built_at=AT)
    return _document(
        counts=Counts(21, 0, 0, passes=("tests.a::test_b",)),
        steps=(
            StepResult("image_freshness", Outcome.PROVEN, 0.4, "app stale"),
            StepResult("build_if_needed", Outcome.PROVEN, 9.5, "built app"),
            StepResult("find_receipt", Outcome.PROVEN, 0.0, "not asked: no --reuse"),
            StepResult("run_tests", Outcome.PROVEN, 4.2, "21 passed"),
            StepResult("down", Outcome.PROVEN, 0.7, "4 objects removed"),
        ),
        more={
            "verdicts": verdicts_told([before], [after]),
            "variables": {"app": ["DATABASE_URL", "LOG_LEVEL"]},
            "parity": [
                {
                    "left": "ci",
                    "right": "test",
                    "parity": True,
                    "open": [],
                    "allowed": ["LOG_LEVEL"],
                    "unknown": [],
                }
            ],
            "remarks": ["LOG_LEVEL is set by nobody"],
            "unreached": [],
        },
    )


def red(foreign: str = HOSTILE) -> dict[str, Any]:
    """A run whose tests failed beside a service that fell; *foreign* is in all its words."""
    failed = TestsFailed(
        "2 of 3 tests failed.",
        cause=f"  {NAMES[0]}\n  {foreign}",
        hint=f"inv test.run -- {foreign}",
    )
    stale = Mismatch("The tests ran on a stale image.", cause=foreign)
    verdicts = (status(Stale((Reason(foreign, "added"),)), foreign), status(Unknown(foreign), "db"))
    return _document(
        errors=(failed, stale),
        fault=Fault.TESTS_FAILED,
        environment="test",
        counts=Counts(1, 2, 0, failures=NAMES, passes=("tests.api.test_login::test_good",)),
        steps=(
            StepResult("build_if_needed", Outcome.PROVEN, 9.5, foreign),
            StepResult("run_tests", Outcome.TESTS_FAILED, 4.2, failed.what),
            StepResult("down", Outcome.PROVEN, 0.7, "4 objects removed"),
        ),
        schema={**SCHEMA, "state": "drifted", "explanation": foreign, "evidence": [foreign]},
        more={
            "verdicts": verdicts_told([*verdicts, status(Missing(), "web")], verdicts),
            "variables": {"app": [foreign]},
            "parity": [
                {
                    "left": foreign,
                    "right": "test",
                    "parity": False,
                    "open": [foreign],
                    "allowed": [],
                    "unknown": [foreign],
                }
            ],
            "remarks": [foreign],
            "fallen": [{"service": "postgres", "how": f"ended with 137 {foreign}"}],
            "unreached": ["verify_in_image"],
        },
    )


UNSIGNED = Seal("none", "it is not signed")
