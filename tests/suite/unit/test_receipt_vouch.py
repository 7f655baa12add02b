"""Whether a receipt can be believed, and whether it is about what is here now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unstale.errors import Mismatch, Outcome
from unstale.mask import MASK
from unstale.pipeline.receipt import Receipt
from unstale.pipeline.reuse import Subject
from unstale.pipeline.signature import NAMESPACE, Envelope, encode, hmac_signed, ssh_signed
from unstale.pipeline.vouch import Check, Keys, Now, Seal, Verification, against, seal, sealed

KEY = b"0123456789abcdef"
RAW = b'{"result": "PASSED"}\n'
APP, TESTS = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
RECEIPT = Receipt(
    result="PASSED",
    outcome="proven",
    started="2026-01-01T12:00:00+00:00",
    environment="test",
    revision="05a54e1f",
    dirty=False,
    images={"app": APP, "tests": TESTS},
    inputs={"app": "v1:sha256:aa", "tests": "v1:sha256:bb"},
    passed=("good",),
    failed=(),
    skipped=0,
    schema=None,
    steps=(),
    arguments=("-q",),
    subject="v1:sha256:5b",
    environment_digest="v1:sha256:ed",
)
NOW = Now(
    revision="05a54e1f",
    dirty=False,
    inputs={"app": "v1:sha256:aa", "tests": "v1:sha256:bb"},
    images={"app": APP, "tests": TESTS},
    present=frozenset({APP, TESTS}),
    subject=Subject("v1:sha256:5b"),
    environment_digest="v1:sha256:ed",
)
OTHER = Subject("v1:sha256:0f")


def _outcome(*checks: Check) -> Outcome:
    return Verification(Path("it"), Seal("none", ""), checks).outcome


def _wrong(receipt: Receipt, now: Now) -> list[tuple[str, str, str]]:
    return [(c.name, c.about, c.word) for c in against(receipt, now) if c.word != "holds"]


def test_a_receipt_about_what_is_here_holds() -> None:
    checks = against(RECEIPT, NOW)

    assert {c.word for c in checks} == {"holds"}
    assert [(c.name, c.about) for c in checks] == [
        ("result", ""),
        ("revision", ""),
        ("uncommitted", ""),
        ("subject", ""),
        ("inputs", "app"),
        ("inputs", "tests"),
        ("image", "app"),
        ("image", "tests"),
    ]
    assert _outcome(*checks) is Outcome.PROVEN


@pytest.mark.parametrize(
    ("receipt", "now", "wrong"),
    [
        ({"result": "FAILED"}, {}, ("result", "", "differs")),
        ({"result": "WARNED"}, {}, ("result", "", "differs")),
        ({}, {"revision": "ffff"}, ("revision", "", "differs")),
        ({}, {"revision": None}, ("revision", "", "unknown")),
        ({"revision": None}, {}, ("revision", "", "unknown")),
        ({}, {"dirty": True}, ("uncommitted", "", "differs")),
        ({"dirty": True}, {}, ("uncommitted", "", "differs")),
        ({"dirty": None}, {}, ("uncommitted", "", "unknown")),
        ({}, {"dirty": None}, ("uncommitted", "", "unknown")),
        (
            {},
            {"inputs": {"app": "v1:sha256:cc", "tests": "v1:sha256:bb"}},
            ("inputs", "app", "differs"),
        ),
        ({}, {"inputs": {"app": "", "tests": "v1:sha256:bb"}}, ("inputs", "app", "unknown")),
        ({}, {"inputs": {"tests": "v1:sha256:bb"}}, ("inputs", "app", "differs")),
        ({"inputs": {"app": "v1:sha256:aa"}}, {}, ("inputs", "tests", "differs")),
        ({}, {"images": {"app": TESTS, "tests": TESTS}}, ("image", "app", "differs")),
        ({}, {"images": {"tests": TESTS}}, ("image", "app", "differs")),
        ({}, {"subject": OTHER}, ("subject", "", "differs")),
        ({}, {"subject": Subject("", "a volume outlives runs")}, ("subject", "", "unknown")),
        ({}, {"subject": None}, ("subject", "", "unknown")),
        ({"arguments": ("-k", MASK)}, {"subject": OTHER}, ("subject", "", "unknown")),
        ({}, {"present": frozenset({TESTS})}, ("image", "app", "unknown")),
    ],
)
def test_what_is_not_as_then_is_named(
    receipt: dict[str, Any], now: dict[str, Any], wrong: tuple[str, str, str]
) -> None:
    assert _wrong(replace(RECEIPT, **receipt), replace(NOW, **now)) == [wrong]


def test_without_git_the_subject_tells() -> None:
    receipt, now = replace(RECEIPT, revision=None), replace(NOW, revision=None)

    assert _wrong(receipt, now) == []
    assert _wrong(replace(receipt, subject=""), now) == [("revision", "", "unknown")]


def test_of_uncommitted_changes_only_the_subject_tells_which() -> None:
    """The inputs of images say nothing of what is mounted, of variables, or of the tests' own."""
    receipt, now = replace(RECEIPT, dirty=True), replace(NOW, dirty=True)

    assert _wrong(receipt, now) == []
    assert _wrong(receipt, replace(now, subject=OTHER)) == [("subject", "", "differs")]
    assert _wrong(replace(receipt, subject=""), now) == [("uncommitted", "", "unknown")]


def test_a_receipt_without_a_subject_speaks_of_its_commit_alone() -> None:
    on_the_host = replace(RECEIPT, subject="", environment_digest="", inputs={}, images={})
    now = replace(NOW, inputs=None, subject=None)

    assert _wrong(on_the_host, now) == []
    assert "subject" not in {c.name for c in against(on_the_host, now)}


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"environment_digest": "v1:sha256:00"}, "an env file"),
        ({"inputs": {"app": "v1:sha256:aa", "tests": "v1:sha256:cc"}}, "the inputs of an image"),
        ({}, "a mounted file"),
    ],
)
def test_what_kind_of_thing_differs_is_told_where_it_can_be(
    now: dict[str, Any], reason: str
) -> None:
    checks = against(RECEIPT, replace(NOW, subject=OTHER, **now))

    (found,) = (c for c in checks if c.name == "subject")
    assert found.word == "differs"
    assert reason in found.detail


def test_what_can_not_be_told_of_an_image_is_no_other_subject() -> None:
    now = replace(NOW, inputs={"app": "", "tests": "v1:sha256:bb"}, subject=OTHER)

    assert ("subject", "", "unknown") in _wrong(RECEIPT, now)


def test_what_is_wrong_wins_over_what_is_not_known() -> None:
    unknown, wrong = Check("image", "a", "unknown", ""), Check("result", "", "differs", "")

    assert _outcome(unknown) is Outcome.UNKNOWN
    assert _outcome(unknown, wrong) is Outcome.MISMATCH


# Signatures


def _blob(namespace: str = NAMESPACE) -> bytes:
    strings = (b"key", namespace.encode(), b"", b"sha512", b"signature")
    return b"SSHSIG\0\0\0\1" + b"".join(len(one).to_bytes(4) + one for one in strings)


def _nobody(_message: bytes, _signature: str) -> None:
    return None


def _somebody(_message: bytes, _signature: str) -> str:
    return "robin@example.com"


def _breaks(_message: bytes, _signature: str) -> str:
    raise Mismatch("The signature of 'robin' does not hold.")


SHARED, SSH = encode(hmac_signed(RAW, KEY)), encode(ssh_signed(RAW, _blob()))


@pytest.mark.parametrize(
    ("raw", "envelope", "keys", "state", "detail"),
    [
        (RAW, None, Keys(KEY), "none", "not signed"),
        (RAW, SHARED, Keys(KEY), "valid", "signed by the shared key hmac-sha256:"),
        (RAW, SHARED, Keys(KEY[::-1]), "invalid", "signed by another key"),
        (RAW, SHARED, Keys(), "unchecked", "--hmac-key-file"),
        (RAW, SHARED, Keys(signer=_somebody), "invalid", "another kind of key counts"),
        (RAW + b" ", SHARED, Keys(KEY), "invalid", "not what was signed"),
        (RAW + b" ", SHARED, Keys(), "invalid", "not what was signed"),
        (RAW, SHARED[:-3], Keys(KEY), "invalid", "damaged"),
        (RAW, SSH, Keys(signer=_somebody), "valid", "signed by robin@example.com"),
        (RAW, SSH, Keys(signer=_nobody), "invalid", "nobody who may sign has the key SHA256:"),
        (RAW, SSH, Keys(signer=_breaks), "invalid", "does not hold"),
        (RAW, SSH, Keys(), "unchecked", "--allowed-signers"),
        (RAW, SSH, Keys(KEY), "invalid", "another kind of key counts"),
        (RAW + b" ", SSH, Keys(signer=_somebody), "invalid", "not what was signed"),
        (
            RAW,
            encode(ssh_signed(RAW, _blob("git"))),
            Keys(signer=_somebody),
            "invalid",
            "signed as 'git', not as a receipt",
        ),
        (
            RAW,
            encode(Envelope(RAW, "SHA256:of-another", _blob())),
            Keys(signer=_somebody),
            "invalid",
            "of another key than it says",
        ),
        (RAW, encode(Envelope(RAW, "hmac-sha256:0", b"")), Keys(KEY), "invalid", "another key"),
        (RAW, encode(Envelope(RAW, "", b"")), Keys(KEY), "invalid", "damaged"),
    ],
)
def test_what_a_signature_is_worth(
    raw: bytes, envelope: str | None, keys: Keys, state: str, detail: str
) -> None:
    found = seal(raw, envelope, keys)

    assert found.state == state
    assert detail in found.detail


@pytest.mark.parametrize(
    ("state", "required", "words"),
    [
        ("none", False, []),
        ("none", True, ["differs"]),
        ("valid", False, ["holds"]),
        ("invalid", False, ["differs"]),
        ("unchecked", False, ["unknown"]),
        ("unchecked", True, ["unknown"]),
    ],
)
def test_what_follows_from_a_signature(state: Any, required: bool, words: list[str]) -> None:
    assert [c.word for c in sealed(Seal(state, "it"), required=required)] == words
