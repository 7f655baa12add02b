"""Mails with a token: written to the outbox, redeemed once."""

from datetime import datetime, timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from accounts.models import EmailToken, MailPurpose, OutboxMessage, User
from accounts.tokens import digest, new_opaque_token


def queue_mail(
    session: AsyncSession,
    user: User,
    purpose: MailPurpose,
    *,
    now: datetime,
    lifetime: timedelta,
) -> None:
    """Add a token for *user* and the mail that carries it; the caller commits."""
    token = new_opaque_token()
    session.add(
        EmailToken(
            user_id=user.id,
            purpose=purpose,
            digest=digest(token),
            expires_at=now + lifetime,
        )
    )
    session.add(OutboxMessage(recipient=user.email, purpose=purpose, token=token))


async def redeem(
    session: AsyncSession, token: str, purpose: MailPurpose, *, now: datetime
) -> User | None:
    """Use up *token* and return its user, locked until the caller commits.

    ``None`` if the token is unknown, of another purpose, used or expired.
    """
    query = (
        select(EmailToken)
        .where(
            col(EmailToken.digest) == digest(token),
            col(EmailToken.purpose) == purpose,
            col(EmailToken.used_at).is_(None),
            col(EmailToken.expires_at) > now,
        )
        .with_for_update()
    )
    found = (await session.exec(query)).one_or_none()
    if found is None:
        return None
    found.used_at = now
    return await session.get(User, found.user_id, with_for_update=True)
