"""Receipts and their signatures, as nobody writes them."""

from __future__ import annotations

import json
from typing import Any

import soup
from hypothesis import given
from hypothesis import strategies as st

from unstale.pipeline.receipt import PREDICATE, STATEMENT, read
from unstale.pipeline.signature import decode, encode, hmac_signed, ssh_signature, unarmored

RECEIPT: dict[str, Any] = {
    "_type": STATEMENT,
    "subject": [{"name": "app", "digest": {"sha256": "1" * 64}}],
    "predicateType": PREDICATE,
    "predicate": {
        "result": "PASSED",
        "configuration": [{"name": "inputs of app", "digest": {"unstale": "v1:sha256:ab"}}],
        "passedTests": ["good"],
        "failedTests": [],
        "annotations": {
            "outcome": "proven",
            "started": "2026-01-01T12:00:00+00:00",
            "environment": "ci",
            "revision": None,
            "dirty": True,
            "schema": {"state": "current"},
            "skipped": 0,
            "steps": [{"name": "up", "outcome": "proven", "seconds": 1.2, "detail": ""}],
        },
    },
}
TEXT = json.dumps(RECEIPT)
ENVELOPE = encode(hmac_signed(b"{}", b"0123456789abcdef"))
ANY = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
)


def _changed(document: Any, path: list[int], value: Any) -> Any:
    """*document* with *value* at the place to which *path* leads."""
    if not path or not isinstance(document, dict | list) or not document:
        return value
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key, copy = keys[path[0] % len(keys)], document.copy()
    copy[key] = _changed(document[key], path[1:], value)
    return copy


@given(soup.texts([TEXT]))
def test_any_text_is_a_receipt_or_refused(text: str) -> None:
    with soup.only_ours():
        read(text.encode(errors="surrogatepass"), "it")


@given(st.lists(st.integers(0, 9), max_size=6), ANY | st.integers(10**400))
def test_any_value_in_any_place_is_a_receipt_or_refused(path: list[int], value: Any) -> None:
    with soup.only_ours():
        read(json.dumps(_changed(RECEIPT, path, value)).encode(), "it")


@given(soup.texts([ENVELOPE]))
def test_any_text_is_an_envelope_in_one_way_or_refused(text: str) -> None:
    with soup.only_ours():
        assert encode(decode(text)) == text
    unarmored(text)


@given(st.binary())
def test_any_blob_is_a_signature_or_refused(blob: bytes) -> None:
    for one in (blob, b"SSHSIG\0\0\0\1" + blob):
        with soup.only_ours():
            ssh_signature(one)
