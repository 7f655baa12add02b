"""Receipts and their signatures, as nobody writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import soup
from hypothesis import given
from hypothesis import strategies as st

from unstale.pipeline.receipt import PREDICATE, STATEMENT, read
from unstale.pipeline.report import gathered
from unstale.pipeline.shelf import Found
from unstale.pipeline.signature import decode, encode, hmac_signed, ssh_signature, unarmored
from unstale.pipeline.vouch import Seal
from unstale.render.junit import merged
from unstale.render.report import report

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


class _Nothing:
    """Neither a file nor a commit."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: ()


class _NoFiles(_Nothing):
    def end_of(self, path: object, most: int) -> None:
        del path, most


def _full() -> dict[str, Any]:
    one = {"service": "app", "image_id": "sha256:1", "built_at": "2026-01-01T12:00:00+00:00"}
    reason = {"path": "a", "change": "added", "committed_at": "2026-01-01T12:00:00+00:00"}
    judged = {**one, "verdict": "stale", "method": "digest", "reasons": [reason]}
    more = {
        "run": "1f0c2a9b",
        "errors": [{"outcome": "unknown", "what": "w", "cause": "c", "next": "n"}],
        "verdicts": {"before": [judged], "after": [judged]},
        "parity": [{"left": "a", "right": "b", "open": ["c"], "allowed": [], "unknown": []}],
        "variables": {"app": ["A"]},
        "fallen": [{"service": "app", "how": "fell"}],
    }
    told = RECEIPT["predicate"]["annotations"]
    return {**RECEIPT, "predicate": {**RECEIPT["predicate"], "annotations": {**told, **more}}}


FULL = _full()


@given(st.lists(st.integers(0, 20), max_size=8), ANY | st.integers(10**400))
def test_any_value_in_any_place_makes_pages_or_is_refused(path: list[int], value: Any) -> None:
    nothing: Any = _Nothing()
    files: Any = _NoFiles()
    with soup.only_ours():
        raw = json.dumps(_changed(FULL, [3, 4, *path], value)).encode()
        found = Found(Path("/x/receipts/a-b.json"), raw, read(raw, "it"), None)
        told, drawn = gathered(files, nothing, Path("/x"), found, Seal("none", ""), ())
        ET.fromstring(report(told, drawn).removeprefix("<!DOCTYPE html>\n"))
        ET.fromstring(merged(told, None, "").encode())


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
