"""The receipt: what was proven, and what was not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from unstale.errors import (
    ConfigError,
    Fault,
    Outcome,
    ReceiptFailed,
    TestsFailed,
    Unavailable,
    UnstaleError,
    exit_code,
    fault_of,
    outcome_of,
    worst,
)
from unstale.facts import CommitFact
from unstale.pipeline.junit import Counts
from unstale.pipeline.receipt import Kept, Receipt, Sign, Step, keep, read, statement
from unstale.pipeline.signature import Envelope, decode, hmac_matches, hmac_signed
from unstale.pipeline.site import StepResult
from unstale.ports import Files

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


# Keeping it

STEM = "20260101T120000Z-ab12"
FOLDER = Path("/demo/.unstale/receipts")
KEY = b"a key that both sides have"


class Full:
    """A file system with room for so many files."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.texts: dict[Path, str] = {}

    def write_atomic(self, path: Path, text: str) -> None:
        if len(self.texts) >= self.room:
            raise Unavailable(f"{path} can't be written.", cause="No space.", fault=Fault.RESOURCES)
        self.texts[path] = text

    def remove(self, path: Path) -> None:
        self.texts.pop(path, None)


def _keep(files: object, sign: Sign | None) -> Kept:
    def text(failed: Sequence[UnstaleError]) -> str:
        return json.dumps({"failed": [one.what for one in failed]})

    return keep(cast("Files", files), FOLDER, STEM, text, sign)


def test_it_is_kept_with_its_signature_beside_it_and_as_the_latest() -> None:
    files = Full(room=9)

    kept = _keep(files, lambda raw: hmac_signed(raw, KEY))

    assert kept == Kept(FOLDER / f"{STEM}.json")
    raw = files.texts[FOLDER / f"{STEM}.json"]
    envelope = decode(files.texts[FOLDER / f"{STEM}.dsse.json"])
    assert (envelope.payload, hmac_matches(envelope, KEY)) == (raw.encode(), True)
    assert files.texts[FOLDER / "latest.json"] == raw


def test_without_a_key_it_has_no_signature() -> None:
    files = Full(room=9)

    _keep(files, None)

    assert sorted(path.name for path in files.texts) == [f"{STEM}.json", "latest.json"]


def test_what_can_not_be_signed_says_so_itself_and_is_kept_unsigned() -> None:
    def sign(_: bytes) -> Envelope:
        raise Unavailable("ssh-keygen could not sign.", cause="agent refused", hint="ssh-add -l")

    files = Full(room=9)

    kept = _keep(files, sign)

    assert kept.path == FOLDER / f"{STEM}.json"
    (error,) = kept.errors
    assert isinstance(error, ReceiptFailed)
    assert error.cause == "ssh-keygen could not sign.\nagent refused"
    assert json.loads(files.texts[kept.path]) == {"failed": ["The receipt could not be signed."]}
    assert sorted(path.name for path in files.texts) == [f"{STEM}.json", "latest.json"]


@pytest.mark.parametrize("room", [0, 1, 2])
def test_one_that_can_not_be_written_whole_is_not_there(room: int) -> None:
    files = Full(room)

    kept = _keep(files, lambda raw: hmac_signed(raw, KEY))

    assert kept.path is None
    assert [(one.what, one.fault) for one in kept.errors] == [
        ("The receipt could not be written.", Fault.RESOURCES)
    ]
    assert files.texts == {}


def test_a_failed_receipt_turns_green_into_5_and_never_hides_red() -> None:
    failed, red = ReceiptFailed("no"), TestsFailed("1 failed")

    assert exit_code(worst([outcome_of(failed)])) == 5
    assert exit_code(worst([outcome_of(failed), outcome_of(red)])) == 1
    assert fault_of([red, failed]) is Fault.TESTS_FAILED
    assert fault_of([failed]) is Fault.RECEIPT_FAILED


# Reading it again


def _read(document: object) -> Receipt:
    return read(json.dumps(document).encode(), "it")


def test_it_is_read_as_it_was_written() -> None:
    found = _read(_receipt(images={"app": f"sha256:{'1' * 64}"}))

    assert found == Receipt(
        result="PASSED",
        outcome="proven",
        started="2026-01-01T12:00:00+00:00",
        environment="ci",
        revision="05a54e1f",
        dirty=True,
        images={"app": f"sha256:{'1' * 64}"},
        inputs={"app": "v1:sha256:ab"},
        passed=("good",),
        failed=("bad",),
        skipped=2,
        schema={"state": "current"},
        steps=(Step("build", "proven", 1.235, "2 images"),),
        subject="v1:sha256:cd",
    )


def _changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = _receipt(images={})
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "damaged"),
        ({}, "damaged"),
        (_changed(lambda d: d.update(_type="other")), "Its _type is not"),
        (_changed(lambda d: d.update(predicateType="other")), "Its predicateType is not"),
        (_changed(lambda d: d["predicate"].update(result="FINE")), "Its result is none of"),
        (_changed(lambda d: d["predicate"].update(passedTests="all")), "damaged"),
        (_changed(lambda d: d["predicate"].update(annotations=[])), "damaged"),
        (_changed(lambda d: d["predicate"]["annotations"].update(dirty="no")), "damaged"),
        (_changed(lambda d: d["predicate"]["annotations"].pop("skipped")), "damaged"),
        (
            _changed(lambda d: d.update(subject=[{"name": "a", "digest": {"sha256": "11"}}])),
            "A subject's digest is none.",
        ),
    ],
)
def test_what_is_no_receipt_is_refused(document: object, why: str) -> None:
    with pytest.raises(ConfigError) as info:
        _read(document)

    assert info.value.what == "it is no receipt."
    assert why in info.value.cause
    assert info.value.fault is Fault.CONTENT


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"[" * 100_000, b"\xef\xbb\xbf{}"])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="no receipt"):
        read(raw, "it")
