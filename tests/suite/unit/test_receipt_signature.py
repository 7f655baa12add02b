"""DSSE envelopes: one text for an envelope, and whatever is changed in it is seen."""

from __future__ import annotations

import base64
import json

import pytest

from unstale.errors import Mismatch
from unstale.pipeline.signature import (
    NAMESPACE,
    Envelope,
    armored,
    decode,
    encode,
    hmac_key_id,
    hmac_matches,
    hmac_signed,
    pae,
    ssh_signature,
    ssh_signed,
    unarmored,
)

KEY = b"a key that both sides have"
# What `ssh-keygen -Y sign -n receipt@unstale.dev` made, with a key that was thrown away.
SIGNATURE = """-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg
-----END SSH SIGNATURE-----
"""


def test_the_type_is_signed_with_the_payload() -> None:
    # The example of DSSE's protocol.md, with the type of in-toto.
    assert pae(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


def test_an_envelope_is_what_others_read() -> None:
    document = json.loads(encode(hmac_signed(b"{}", KEY)))

    assert document["payloadType"] == "application/vnd.in-toto+json"
    assert base64.b64decode(document["payload"]) == b"{}"
    assert [sorted(one) for one in document["signatures"]] == [["keyid", "sig"]]


def test_what_was_signed_comes_back_and_matches_its_key_alone() -> None:
    found = decode(encode(hmac_signed(b'{"a": 1}', KEY)))

    assert found.payload == b'{"a": 1}'
    assert hmac_matches(found, KEY)
    assert not hmac_matches(found, KEY + b"!")
    assert found.key_id == hmac_key_id(KEY) != hmac_key_id(KEY + b"!")


def test_every_flipped_bit_of_an_envelope_is_found() -> None:
    whole = encode(hmac_signed(b'{"result": "PASSED"}', KEY)).encode()

    for at in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            assert not _holds(bytes(changed)), (at, bit)


def _holds(raw: bytes) -> bool:
    try:
        found = decode(raw.decode("utf-8", "surrogateescape"))
    except Mismatch:
        return False
    return found.key_id == hmac_key_id(KEY) and hmac_matches(found, KEY)


def test_a_truncated_envelope_is_damaged() -> None:
    whole = encode(hmac_signed(b"{}", KEY))

    for end in range(len(whole)):
        with pytest.raises(Mismatch, match="damaged"):
            decode(whole[:end])


@pytest.mark.parametrize(
    "text",
    [
        encode(hmac_signed(b"{}", KEY)) + "\n",
        encode(hmac_signed(b"{}", KEY)).replace('"signatures"', '"more": 1, "signatures"'),
        encode(hmac_signed(b"{}", KEY)).replace("vnd.in-toto", "vnd.other"),
        encode(hmac_signed(b"{}", KEY)).replace('"e30="', '"e31="'),
        encode(hmac_signed(b"{}", KEY)).replace('"e30="', '"e30é"'),
        "[]",
        "[" * 100_000,
    ],
    ids=["newline", "key", "type", "trailing bits", "not ASCII", "list", "deep"],
)
def test_another_text_for_the_same_envelope_is_damaged(text: str) -> None:
    with pytest.raises(Mismatch):
        decode(text)


def _blob(*strings: bytes, magic: bytes = b"SSHSIG\0\0\0\1") -> bytes:
    return magic + b"".join(len(one).to_bytes(4) + one for one in strings)


WHOLE = (b"the public key", NAMESPACE.encode(), b"", b"sha512", b"the signature")


def test_an_ssh_signature_names_its_key_and_what_it_is_for() -> None:
    found = ssh_signature(_blob(*WHOLE))

    # Of the key, as `ssh-keygen -lf` prints it.
    assert found.key_id == "SHA256:KYnq/HfuDyGv00ziAUibLZKu6TCSeKsEVgqj86G3INI"
    assert found.namespace == "receipt@unstale.dev"
    assert ssh_signed(b"{}", _blob(*WHOLE)) == Envelope(b"{}", found.key_id, _blob(*WHOLE))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        _blob(*WHOLE, magic=b"SSHSIG\0\0\0\2"),
        _blob(*WHOLE)[:-1],
        _blob(*WHOLE) + b"\0",
        _blob(*WHOLE, b"more"),
        _blob(WHOLE[0], WHOLE[1], b"in here", *WHOLE[3:]),
    ],
    ids=["empty", "version", "short", "long", "more", "reserved"],
)
def test_what_is_no_ssh_signature_is_damaged(blob: bytes) -> None:
    with pytest.raises(Mismatch, match="damaged"):
        ssh_signature(blob)


@pytest.mark.parametrize("blob", [b"a", b"ab", b"abc", bytes(52), bytes(53), bytes(400)])
def test_an_armor_holds_what_it_was_made_of(blob: bytes) -> None:
    assert unarmored(armored(blob)) == blob


@pytest.mark.parametrize("text", ["", "Signing data on standard input\n", SIGNATURE[:40]])
def test_what_is_no_armor_is_none(text: str) -> None:
    with pytest.raises(Mismatch, match="damaged"):
        ssh_signed(b"{}", unarmored(text))
