"""Which key signs this project's receipts, and which ones count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from unstale.config import ReceiptSettings
from unstale.errors import ConfigError, UsageError
from unstale.pipeline.receipt import Sign
from unstale.pipeline.signature import NAMESPACE, Envelope, hmac_signed, ssh_signed, unarmored
from unstale.pipeline.vouch import Keys
from unstale.ports import Files

__all__ = ["Ssh", "keys", "sign"]

_SHORTEST = 16
_WHERE = "[tool.unstale.receipts]"
_NEW_KEY = "openssl rand -hex 32"


class Ssh(Protocol):
    """What signs with a key of ssh."""

    def sign(self, message: bytes, key: Path, namespace: str) -> str:
        """An armored signature of *message*."""
        ...

    def signer(self, message: bytes, signature: str, allowed: Path, namespace: str) -> str | None:
        """Who of the file *allowed* signed *message*; None if nobody of it did."""
        ...


def sign(
    settings: ReceiptSettings, files: Files, environ: Mapping[str, str], ssh: Ssh
) -> Sign | None:
    """What signs receipts; None: they are not to be signed.

    Raises:
        ConfigError: there is no such key, which is better told before a run than after it.

    """
    match settings.sign:
        case None:
            return None
        case "hmac":
            shared = _shared(settings, files, environ)
            return lambda raw: hmac_signed(raw, shared)
        case "ssh":
            key = settings.key
            if key is None or not files.exists(key):
                raise _no_key("The key that signs receipts is not there.")
            return lambda raw: _by_ssh(raw, key, ssh)


def _by_ssh(raw: bytes, key: Path, ssh: Ssh) -> Envelope:
    unsigned = Envelope(raw, "", b"")
    return ssh_signed(raw, unarmored(ssh.sign(unsigned.message, key, NAMESPACE)))


def keys(
    settings: ReceiptSettings,
    files: Files,
    environ: Mapping[str, str],
    ssh: Ssh,
    *,
    hmac_key_file: Path | None = None,
    allowed_signers: Path | None = None,
) -> Keys:
    """What signatures are checked with: what is given, and nothing else, or what is configured.

    Raises:
        ConfigError: a key is named that is not there.

    """
    if hmac_key_file is not None or allowed_signers is not None:
        shared = _text(hmac_key_file, files) if hmac_key_file is not None else None
        allowed = allowed_signers
    else:
        # A key to check with need not be here, if nobody gave one: it is said then.
        is_here = settings.key_env is None or bool(environ.get(settings.key_env))
        has_shared = settings.sign == "hmac" and is_here
        shared = _shared(settings, files, environ) if has_shared else None
        allowed = settings.allowed_signers
    if allowed is None:
        return Keys(shared)
    return Keys(shared, lambda message, text: ssh.signer(message, text, allowed, NAMESPACE))


def _shared(settings: ReceiptSettings, files: Files, environ: Mapping[str, str]) -> bytes:
    if settings.key is not None:
        return _text(settings.key, files)
    value = environ.get(settings.key_env or "", "").strip()
    if not value:
        raise ConfigError(
            f"The variable {settings.key_env} is not set.",
            cause=f"'key-env' of {_WHERE} says that it holds the key of receipts.",
            hint="export it, or unset sign",
        )
    return _long_enough(value)


def _text(path: Path, files: Files) -> bytes:
    try:
        text = files.read_text(path).strip()
    except UsageError:
        # The path is not told: somebody may have written the key in its place.
        raise _no_key("The shared key of receipts can't be read.") from None
    return _long_enough(text)


def _long_enough(text: str) -> bytes:
    if len(text) < _SHORTEST:
        raise ConfigError(
            "The shared key of receipts is too short.",
            cause=f"It has fewer than {_SHORTEST} characters, and could be guessed.",
            hint=_NEW_KEY,
        )
    return text.encode()


def _no_key(what: str) -> ConfigError:
    return ConfigError(
        what,
        cause=f"'key' of {_WHERE}, or the option, has to name a file that may be read.",
        hint="mend pyproject.toml, or UNSTALE_RECEIPTS_KEY",
    )
