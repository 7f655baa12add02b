"""Tokens: signed ones that carry their claims, and opaque ones kept as digests."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import jwt

ALGORITHM = "HS256"
AUDIENCE = "accounts"


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a valid access token says."""

    user_id: UUID
    epoch: int
    """The user's ``token_epoch`` when the token was issued."""


def issue_access_token(
    claims: AccessClaims, *, secret: str, now: datetime, lifetime: timedelta
) -> str:
    """Sign *claims* into a token that is valid from *now* for *lifetime*."""
    payload = {
        "aud": AUDIENCE,
        "sub": str(claims.user_id),
        "epoch": claims.epoch,
        "iat": now,
        "exp": now + lifetime,
        # Two tokens issued within a second would otherwise be the same.
        "jti": uuid4().hex,
    }
    return jwt.encode(payload, secret, algorithm=ALGORITHM)


def read_access_token(token: str, *, secret: str) -> AccessClaims | None:
    """Return the claims of *token*, ``None`` if it is forged, expired or malformed."""
    try:
        payload = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["exp", "sub", "epoch"]},
        )
        return AccessClaims(user_id=UUID(payload["sub"]), epoch=int(payload["epoch"]))
    except (jwt.InvalidTokenError, ValueError, TypeError):
        return None


def new_opaque_token() -> str:
    """Return a token of 256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what is stored of an opaque token.

    A plain hash is enough: unlike a password, 256 random bits cannot be guessed.
    """
    return hashlib.sha256(token.encode()).hexdigest()
