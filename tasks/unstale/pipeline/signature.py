"""Signed receipts: DSSE envelopes around an in-toto statement. Pure.

Source: https://github.com/secure-systems-lab/dsse, ``envelope.md`` and ``protocol.md``,
and OpenSSH's ``PROTOCOL.sshsig``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass

from unstale.errors import Mismatch
from unstale.jsontext import read_json

__all__ = [
    "HMAC",
    "NAMESPACE",
    "PAYLOAD_TYPE",
    "Envelope",
    "SshSignature",
    "armored",
    "decode",
    "encode",
    "hmac_key_id",
    "hmac_matches",
    "hmac_signed",
    "pae",
    "ssh_signature",
    "ssh_signed",
    "unarmored",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"

NAMESPACE = "receipt@unstale.dev"
"""What an ssh signature of a receipt is for: one of a commit or a file is none."""

HMAC = "hmac-sha256:"
"""How the key id of a signature by a shared key begins."""

_MAGIC = b"SSHSIG\0\0\0\1"
_LENGTH = 4
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_WIDTH = 70
_ARMOR = re.compile(rf"{_BEGIN}\s(?P<body>[A-Za-z0-9+/=\s]+)\s{_END}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A receipt's bytes with a signature of them."""

    payload: bytes
    """The receipt, byte for byte as it lies beside."""
    key_id: str
    """Which key it was: follows from the key, or from the signature."""
    signature: bytes

    @property
    def message(self) -> bytes:
        """What is signed."""
        return pae(self.payload)

    @property
    def is_shared(self) -> bool:
        """Whether the key that signs is also the one that checks."""
        return self.key_id.startswith(HMAC)


@dataclass(frozen=True, slots=True)
class SshSignature:
    """What an ssh signature says of itself."""

    key_id: str
    """The public key's fingerprint, ``SHA256:...``."""
    namespace: str


def pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the type is signed with the payload."""
    return b"DSSEv1 %d %s %d %s" % (
        len(PAYLOAD_TYPE),
        PAYLOAD_TYPE.encode(),
        len(payload),
        payload,
    )


def encode(envelope: Envelope) -> str:
    """The envelope as its file has it; there is one text for an envelope."""
    document = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(envelope.payload).decode(),
        "signatures": [
            {"keyid": envelope.key_id, "sig": base64.b64encode(envelope.signature).decode()}
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def decode(text: str) -> Envelope:
    """The envelope in *text*.

    Raises:
        Mismatch: it is not what `encode` writes: damaged, or somebody else's.

    """
    match read_json(text):
        case {
            "payloadType": str(),
            "payload": str(payload),
            "signatures": [{"keyid": str(key_id), "sig": str(signature)}],
        }:
            found = _envelope(payload, key_id, signature)
        case _:
            found = None
    # One bit of a base64 text, or a space, could else change and nobody would notice.
    if found is None or encode(found) != text:
        raise Mismatch("The signature file is damaged.", cause="It is no envelope of a receipt.")
    return found


def _envelope(payload: str, key_id: str, signature: str) -> Envelope | None:
    try:
        return Envelope(
            base64.b64decode(payload, validate=True),
            key_id,
            base64.b64decode(signature, validate=True),
        )
    except ValueError:  # a character that is not of base64, or not of ASCII
        return None


# A key that both sides have


def hmac_signed(payload: bytes, key: bytes) -> Envelope:
    """*payload* signed with a shared *key*."""
    return Envelope(payload, hmac_key_id(key), _tag(key, pae(payload)))


def hmac_key_id(key: bytes) -> str:
    """A name for *key* from which it can't be computed."""
    return HMAC + _tag(key, b"unstale: the id of this key")[:8].hex()


def hmac_matches(envelope: Envelope, key: bytes) -> bool:
    """Whether *key* signed *envelope*; takes as long whatever differs."""
    return hmac.compare_digest(envelope.signature, _tag(key, envelope.message))


def _tag(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


# A key of ssh


def ssh_signed(payload: bytes, blob: bytes) -> Envelope:
    """*payload* with the signature *blob* that ssh-keygen made of it.

    Raises:
        Mismatch: the blob is no ssh signature.

    """
    return Envelope(payload, ssh_signature(blob).key_id, blob)


def ssh_signature(blob: bytes) -> SshSignature:
    """What the ssh signature *blob* says of itself, which proves nothing yet.

    Raises:
        Mismatch: it is none, or has something in a place that must be empty.

    """
    fields = _strings(blob.removeprefix(_MAGIC)) if blob.startswith(_MAGIC) else ()
    match fields:
        # ssh-keygen passes over what is reserved, the third, and does not sign it.
        case (key, namespace, b"", _, _):
            digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
            return SshSignature(f"SHA256:{digest}", namespace.decode(errors="replace"))
        case _:
            raise Mismatch("The signature file is damaged.", cause="It holds no ssh signature.")


def _strings(data: bytes) -> tuple[bytes, ...]:
    """*data* as strings of ssh, each behind its length; nothing if it is anything else."""
    found: list[bytes] = []
    while data:
        length = int.from_bytes(data[:4]) if len(data) >= _LENGTH else len(data)
        if length > len(data) - _LENGTH:
            return ()
        found.append(data[_LENGTH : _LENGTH + length])
        data = data[_LENGTH + length :]
    return tuple(found)


def armored(blob: bytes) -> str:
    """The signature *blob* as ssh-keygen reads it."""
    text = base64.b64encode(blob).decode()
    lines = (text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH))
    return "\n".join((_BEGIN, *lines, _END, ""))


def unarmored(text: str) -> bytes:
    """The signature in *text*, which ssh-keygen wrote; empty if there is none."""
    found = _ARMOR.fullmatch(text.strip())
    try:
        return base64.b64decode("".join(found["body"].split()) if found else "", validate=True)
    except ValueError:
        return b""
