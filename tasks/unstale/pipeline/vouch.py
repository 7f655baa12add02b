"""Whether a receipt can be believed, and whether it is about what is here now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unstale.errors import Mismatch, Outcome
from unstale.mask import MASK
from unstale.pipeline.receipt import Receipt
from unstale.pipeline.signature import (
    NAMESPACE,
    Envelope,
    armored,
    decode,
    hmac_key_id,
    hmac_matches,
    ssh_signature,
)

if TYPE_CHECKING:
    from unstale.pipeline.reuse import Subject

__all__ = ["Check", "Keys", "Now", "Seal", "Verification", "against", "seal", "sealed"]

Word = Literal["holds", "differs", "unknown"]
State = Literal["valid", "invalid", "none", "unchecked"]
Signer = Callable[[bytes, str], str | None]
"""Who made an armored ssh signature of a message; None: nobody whose signature counts.

Raises `Mismatch` where somebody's does not hold.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a receipt, and its answer."""

    name: str
    """Of what: ``signature``, ``revision``, ``subject``, ``image``, as docs/receipts.md lists."""
    about: str
    """The service, for the last two."""
    word: Word
    detail: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What signatures are checked with."""

    shared: bytes | None = None
    signer: Signer | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """What a receipt's signature is worth."""

    state: State
    detail: str
    method: Literal["ssh", "hmac"] | None = None
    key_id: str | None = None
    signer: str | None = None
    """As the file of allowed signers calls them; for ssh alone."""


@dataclass(frozen=True, slots=True)
class Now:
    """What is here, to hold a receipt against."""

    revision: str | None
    dirty: bool | None
    inputs: Mapping[str, str] | None
    """Built service to the digest of its inputs; None: not asked."""
    images: Mapping[str, str]
    """Built service to the id of the image that has its name."""
    present: frozenset[str]
    """The ids of the receipt's images that are on this machine."""
    subject: Subject | None
    """All that a run with the receipt's arguments would depend on; None: not asked."""
    environment_digest: str
    """Of what compose resolves; empty: not asked."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of a receipt that was checked."""

    path: Path
    seal: Seal
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """What is wrong wins over what could not be told."""
        words = {check.word for check in self.checks}
        if "differs" in words:
            return Outcome.MISMATCH
        return Outcome.UNKNOWN if "unknown" in words else Outcome.PROVEN


def seal(raw: bytes, envelope: str | None, keys: Keys) -> Seal:
    """What the signature in the text *envelope* says of the receipt *raw*."""
    if envelope is None:
        return Seal("none", "it is not signed")
    try:
        found = decode(envelope)
        if found.payload != raw:
            return _seal("invalid", "the receipt is not what was signed", found)
        return _by_shared(found, keys) if found.is_shared else _by_ssh(found, keys)
    except Mismatch as error:
        why = " ".join(filter(None, (error.what, error.cause)))
        return Seal("invalid", why[:1].lower() + why[1:])


def _seal(state: State, detail: str, found: Envelope, signer: str | None = None) -> Seal:
    method: Literal["ssh", "hmac"] = "hmac" if found.is_shared else "ssh"
    return Seal(state, detail, method, found.key_id, signer)


def _by_shared(found: Envelope, keys: Keys) -> Seal:
    if keys.shared is None:
        return _no_key(found, keys, "a shared key", "--hmac-key-file")
    if found.key_id != hmac_key_id(keys.shared):
        return _seal("invalid", f"it is signed by another key, {found.key_id}", found)
    if not hmac_matches(found, keys.shared):
        return _seal("invalid", "the signature does not hold", found)
    return _seal("valid", f"signed by the shared key {found.key_id}", found)


def _by_ssh(found: Envelope, keys: Keys) -> Seal:
    told = ssh_signature(found.signature)
    if told.key_id != found.key_id:
        return _seal("invalid", "the signature is of another key than it says", found)
    if told.namespace != NAMESPACE:
        return _seal("invalid", f"it is signed as {told.namespace!r}, not as a receipt", found)
    if keys.signer is None:
        return _no_key(found, keys, "an ssh key", "--allowed-signers")
    who = keys.signer(found.message, armored(found.signature))
    if who is None:
        return _seal("invalid", f"nobody who may sign has the key {found.key_id}", found)
    return _seal("valid", f"signed by {who}, with the key {found.key_id}", found, who)


def _no_key(found: Envelope, keys: Keys, kind: str, flag: str) -> Seal:
    detail = f"it is signed with {kind}, {found.key_id}"
    if keys == Keys():
        return _seal("unchecked", f"{detail}, and there is nothing to check it with: {flag}", found)
    # Whoever says which key counts does not mean just any other kind.
    return _seal("invalid", f"{detail}, and another kind of key counts", found)


def sealed(found: Seal, *, required: bool) -> tuple[Check, ...]:
    """The check of a signature; none for what need not be signed and is not."""
    match found.state:
        case "none":
            return (Check("signature", "", "differs", found.detail),) if required else ()
        case "valid":
            return (Check("signature", "", "holds", found.detail),)
        case "invalid":
            return (Check("signature", "", "differs", found.detail),)
        case "unchecked":
            return (Check("signature", "", "unknown", found.detail),)


def against(receipt: Receipt, now: Now) -> tuple[Check, ...]:
    """Hold *receipt* against what is here *now*."""
    return (
        _result(receipt),
        _revision(receipt, now),
        _uncommitted(receipt, now),
        *_subject(receipt, now),
        *_inputs(receipt, now),
        *_images(receipt, now),
    )


def _result(receipt: Receipt) -> Check:
    passed = receipt.result == "PASSED"
    detail = f"the run {receipt.result.lower()}: {receipt.outcome}"
    return Check("result", "", "holds" if passed else "differs", detail)


def _revision(receipt: Receipt, now: Now) -> Check:
    then, here = receipt.revision, now.revision
    if then is None or here is None:
        one = "the receipt names no commit" if then is None else "there is no commit here"
        same = then is here
        # Without git on both sides the subject has to tell.
        return Check("revision", "", "holds" if same and receipt.subject else "unknown", one)
    if then != here:
        return Check("revision", "", "differs", f"the receipt is about {then}, HEAD is {here}")
    return Check("revision", "", "holds", here)


def _uncommitted(receipt: Receipt, now: Now) -> Check:
    words = {True: "uncommitted changes", False: "no uncommitted changes", None: "it is not known"}
    then, here = words[receipt.dirty], words[now.dirty]
    if receipt.dirty is None or now.dirty is None:
        return Check("uncommitted", "", "unknown", f"then: {then}; now: {here}")
    if receipt.dirty != now.dirty:
        return Check("uncommitted", "", "differs", f"then: {then}; now: {here}")
    if receipt.dirty and not receipt.subject:
        return Check("uncommitted", "", "unknown", "then and now, and no subject tells which")
    detail = f"{here}, then and now" + ("; the subject tells which" if receipt.dirty else "")
    return Check("uncommitted", "", "holds", detail)


def _subject(receipt: Receipt, now: Now) -> tuple[Check, ...]:
    """What no commit and no image's inputs cover as well: mounts, variables, other images."""
    then, here = receipt.subject, now.subject
    if not then:
        return ()
    if here is None or not here.digest:
        return (Check("subject", "", "unknown", here.why_not if here else "it was not asked"),)
    if then == here.digest:
        return (Check("subject", "", "holds", then),)
    if why := _doubt(receipt, now):
        return (Check("subject", "", "unknown", why),)
    return (Check("subject", "", "differs", _other(receipt, now)),)


def _doubt(receipt: Receipt, now: Now) -> str:
    """Why another subject need not be another run; empty if it is one."""
    if any(MASK in argument for argument in receipt.arguments):
        return "the receipt hides an argument of the tests"
    if not all((now.inputs or {}).values()):
        return "what an image is built from can't be told"
    return ""


def _other(receipt: Receipt, now: Now) -> str:
    if receipt.environment_digest != now.environment_digest:
        return "what compose resolves is not the same: a compose file, an env file or a variable"
    if receipt.inputs != now.inputs:
        return "the inputs of an image are not the same"
    return (
        "not the same: a mounted file, what a config or secret holds, an image that is not"
        " built here, or a setting of the tests"
    )


def _inputs(receipt: Receipt, now: Now) -> tuple[Check, ...]:
    here = now.inputs
    if here is None:
        return ()
    names = sorted({*receipt.inputs, *here})
    return tuple(_input(name, receipt.inputs.get(name), here.get(name)) for name in names)


def _input(name: str, then: str | None, here: str | None) -> Check:
    if then == here and then is not None:
        return Check("inputs", name, "holds", then)
    if then is None:
        return Check("inputs", name, "differs", "it is built here, and not in the receipt")
    if here is None:
        return Check("inputs", name, "differs", "it is in the receipt, and not built here")
    if not here:
        return Check("inputs", name, "unknown", "what its image is built from can't be told")
    return Check("inputs", name, "differs", f"the receipt is about {then}, here is {here}")


def _images(receipt: Receipt, now: Now) -> tuple[Check, ...]:
    return tuple(_image(name, one, now) for name, one in sorted(receipt.images.items()))


def _image(name: str, then: str, now: Now) -> Check:
    if then not in now.present:
        return Check("image", name, "unknown", f"{then} is not on this machine")
    here = now.images.get(name)
    if here is None:
        return Check("image", name, "differs", f"the service's name does not lead to {then}")
    if here != then:
        return Check("image", name, "differs", f"the receipt is about {then}, here is {here}")
    return Check("image", name, "holds", then)
