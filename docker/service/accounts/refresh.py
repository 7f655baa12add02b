"""Refresh tokens: each works once and is replaced by its successor.

A token seen twice means that somebody else has a copy, and it is not known who
came first. So reuse revokes the whole family, back to the login it began with
(RFC 9700, 4.14.2).
"""

import logging
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID, uuid4

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from accounts.models import RefreshToken, User
from accounts.tokens import digest, new_opaque_token

logger = logging.getLogger(__name__)


class RefreshState(Enum):
    """What a stored refresh token is worth."""

    LIVE = auto()
    EXPIRED = auto()
    REVOKED = auto()
    REUSED = auto()


def state_of(token: RefreshToken, *, epoch: int, now: datetime) -> RefreshState:
    """Judge *token* against its user's current *epoch*.

    Revocation is looked at first: a token that is void cannot be reused.
    """
    if token.revoked_at is not None or token.token_epoch != epoch:
        return RefreshState.REVOKED
    if token.used_at is not None:
        return RefreshState.REUSED
    if token.expires_at <= now:
        return RefreshState.EXPIRED
    return RefreshState.LIVE


def add_refresh_token(
    session: AsyncSession,
    user: User,
    *,
    expires_at: datetime,
    family_id: UUID | None = None,
) -> str:
    """Add a token for *user* and return it; without *family_id* it starts a family."""
    token = new_opaque_token()
    session.add(
        RefreshToken(
            user_id=user.id,
            family_id=family_id or uuid4(),
            token_epoch=user.token_epoch,
            digest=digest(token),
            expires_at=expires_at,
        )
    )
    return token


async def rotate(
    session: AsyncSession, token: str, *, now: datetime, lifetime: timedelta
) -> tuple[User, str] | None:
    """Replace *token* by its successor, or return ``None`` if it is not live.

    The caller commits in both cases: a reused token has revoked its family.
    """
    found = await _locked(session, token)
    if found is None:
        return None
    user = await session.get_one(User, found.user_id)
    match state_of(found, epoch=user.token_epoch, now=now):
        case RefreshState.LIVE:
            found.used_at = now
            successor = add_refresh_token(
                session, user, expires_at=now + lifetime, family_id=found.family_id
            )
            return user, successor
        case RefreshState.REUSED:
            logger.warning("Refresh token reused: family %s revoked", found.family_id)
            await _revoke_family(session, found.family_id, now=now)
            return None
        case RefreshState.EXPIRED | RefreshState.REVOKED:
            return None


async def end_family(
    session: AsyncSession, token: str, *, user_id: UUID, now: datetime
) -> None:
    """Revoke *token* and its family if they are the user's; the caller commits."""
    found = await _locked(session, token)
    if found is not None and found.user_id == user_id:
        await _revoke_family(session, found.family_id, now=now)


async def _locked(session: AsyncSession, token: str) -> RefreshToken | None:
    """Find *token* and lock its row: of two requests at once, the second waits."""
    query = (
        select(RefreshToken)
        .where(col(RefreshToken.digest) == digest(token))
        .with_for_update()
    )
    return (await session.exec(query)).one_or_none()


async def _revoke_family(
    session: AsyncSession, family_id: UUID, *, now: datetime
) -> None:
    await session.exec(
        update(RefreshToken)
        .where(
            col(RefreshToken.family_id) == family_id,
            col(RefreshToken.revoked_at).is_(None),
        )
        .values(revoked_at=now)
    )
