"""The only way a value becomes text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

__all__ = ["MASK", "Mask", "is_secret", "mask_for"]

MASK = "********"

# Shorter values ("1", "true", "test") occur in ordinary output; hiding them
# would garble it and tell which words are secrets.
_SHORTEST = 6

_SECRET_KEY = re.compile(
    r"PASS|PWD|SECRET|TOKEN|KEY|DSN|CRED|SALT|PRIVATE|JWT|PAT$|AUTH|COOKIE|CERT|SIGNATURE|WEBHOOK",
    re.IGNORECASE,
)
# Greedy up to the last @: a password may contain one, and a slash.
_URL_PASSWORD = re.compile(
    r"(?P<head>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*:)(?P<password>[^\s\"']+)@"
)
# A user name without a password is often a token.
_URL_TOKEN = re.compile(r"(?P<head>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<password>[^\s\"'/@:*]+)@")

_QUERY_PASSWORD = re.compile(
    r"(?P<head>://[^\s\"']*[?&](?:ssl)?password=)(?P<password>[^&\s\"'#]+)"
)


def is_secret(key: str, value: str | None = None) -> bool:
    """Say whether *key* names a secret, or *value* is a URL with a password."""
    if _SECRET_KEY.search(key):
        return True
    return value is not None and bool(_in_urls(value))


def _in_urls(text: str) -> tuple[str, ...]:
    """Passwords, and user names that stand alone, in the URLs of *text*."""
    return tuple(
        found.group("password")
        for pattern in (_URL_PASSWORD, _URL_TOKEN, _QUERY_PASSWORD)
        for found in pattern.finditer(text)
    )


@dataclass(frozen=True, slots=True)
class Mask:
    """Replaces secret values in text, the longest first."""

    secrets: tuple[str, ...] = ()
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {form for s in self.secrets if len(s) >= _SHORTEST for form in _forms(s)}
        words = sorted(found, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, words))) if words else None
        object.__setattr__(self, "_pattern", pattern)

    def __call__(self, text: str) -> str:
        """*text* without secret values and without passwords in URLs."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for pattern in (_URL_PASSWORD, _URL_TOKEN):
            text = pattern.sub(rf"\g<head>{MASK}@", text)
        return _QUERY_PASSWORD.sub(rf"\g<head>{MASK}", text)

    def __repr__(self) -> str:
        # The dataclass repr would print the values this object exists to hide.
        return f"Mask({len(self.secrets)} secrets)"


def _forms(secret: str) -> tuple[str, ...]:
    """How *secret* may be spelled: as it is, in JSON, in a URL, in base64."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), encoded)


def mask_for(values: Mapping[str, str | None] | Iterable[tuple[str, str | None]]) -> Mask:
    """A mask for the secret ones among *values* (key to value; as pairs, keys may recur)."""
    secrets: set[str] = set()
    for key, value in values.items() if isinstance(values, Mapping) else values:
        if value is None or not is_secret(key, value):
            continue
        secrets.update(_in_urls(value) or (value,))
    return Mask(tuple(sorted(secrets)))
