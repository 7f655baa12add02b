"""Secrets: whatever they are, and in whatever text, none is left."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import soup
from hypothesis import example, given
from hypothesis import strategies as st

from unstale.mask import MASK, Mask, is_secret, is_token, mask_for

_NAMES = (
    "PASSWORD",
    "API_KEY",
    "JWT_SECRET",
    "DATABASE_URL",
    "LOGIN",
    "SEED_PHRASE",
    "AUTH",
    "LOG_LEVEL",
)
_VALUES = (
    "postgresql://robin:heron-72@db/app?password=x&token=y",
    "ghp_0123456789abcdefghij",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----",
    "Zm9vYmFyOmJhei1xdXV4LTEyMw==",
    "a$b${C:-d}e",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "curl -u robin:heron https://example.com",
)
_PIECES = (
    "://",
    "@",
    "=",
    "PASSWORD=",
    "--password ",
    "token: ",
    "Bearer ",
    "$",
    "${A}",
    "a.",
    "a-",
    "?x=",
)
secrets = soup.texts(_VALUES, _PIECES)
contexts = soup.texts(_VALUES, _PIECES)


@given(st.sampled_from(_NAMES) | soup.texts(words=_NAMES), secrets)
@example("PASSWORD", "\ud800" * 8)
@example("PASSWORD", "\udcff" * 8)
@example("LOGIN", "Zm9vYmFyOmJhei1xdXV4LTEyMw==")
def test_rules(key: str, value: str) -> None:
    is_secret(key, value)
    is_secret(key)
    is_token(value)
    mask_for([(key, value), (value, key)])("x")


@given(st.lists(secrets, max_size=3), contexts, contexts)
@example(["\ud800" * 8], "", "")
@example(["\udcff" * 8], "", "")
@example([f"{MASK}{MASK}"], "", "")
def test_nothing_is_left(values: list[str], before: str, after: str) -> None:
    mask = Mask(tuple(values))
    for secret in values:
        shown = mask(f"{before}{secret}{after}")

        # One that is part of the mask itself, or of another's, can't be told from it.
        if (
            len(secret) >= 6
            and secret.lower() not in ("secret", "password")
            and _is_telling(secret)
        ):
            assert secret not in shown.replace(MASK, "\0")


def _is_telling(secret: str) -> bool:
    from unstale.mask import _COMMON

    is_number = secret.isdecimal() and len(secret) < 6
    return secret.lower() not in _COMMON and not is_number and not set(secret) <= {"*"}


@given(contexts)
def test_masking_twice_is_masking_once(text: str) -> None:
    mask = Mask(("heron-72-lake", "osprey-mist-9", "short", "ab"))
    once = mask(text)

    assert mask(once) == once


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=12, max_size=30), contexts)
def test_other_spellings_are_hidden(secret: str, before: str) -> None:
    """What becomes of a secret as JSON, in a URL and in base64."""
    if not _is_telling(secret):
        return
    mask = Mask((secret,))
    head = before.replace(secret, "")
    for form in (json.dumps(secret)[1:-1], quote(secret, safe=""), _base64(secret)):
        if form not in MASK and form not in head:
            assert form not in mask(f"{head} {form} ").replace(MASK, "\0")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")
