"""API keys: create, list, revoke."""

from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from fastapi import APIRouter, HTTPException, status
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from accounts.dependencies import SessionDep, SettingsDep
from accounts.models import ApiKey, User, utc_now
from accounts.schemas import ApiKeyOut, ApiKeyRequest, NewApiKey
from accounts.security import CurrentUser
from accounts.settings import Settings
from accounts.tokens import digest, new_opaque_token

router = APIRouter(prefix="/api-keys", tags=["api keys"])

PREFIX_LENGTH = 12

Row = TypeVar("Row")


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_api_key(
    body: ApiKeyRequest, user: CurrentUser, session: SessionDep, settings: SettingsDep
) -> NewApiKey:
    """Create a key and return it with its secret, this once."""
    now = utc_now()
    expires_at = now + _lifetime(body.expires_in_days, settings)
    await _refuse_one_too_many(session, user, settings.max_api_keys_per_user, now=now)
    secret = f"ak_{new_opaque_token()}"
    key = ApiKey(
        user_id=user.id,
        name=body.name,
        prefix=secret[:PREFIX_LENGTH],
        digest=digest(secret),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(key)
    await session.commit()
    return NewApiKey(**ApiKeyOut.model_validate(key).model_dump(), key=secret)


@router.get("")
async def list_api_keys(user: CurrentUser, session: SessionDep) -> list[ApiKeyOut]:
    """Return the keys in force, oldest first."""
    query = _in_force(select(ApiKey), user.id, now=utc_now())
    keys = await session.exec(query.order_by(col(ApiKey.created_at)))
    return [ApiKeyOut.model_validate(key) for key in keys]


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_api_key(key_id: UUID, user: CurrentUser, session: SessionDep) -> None:
    """Revoke one key; 404 for a stranger's as for one that does not exist."""
    now = utc_now()
    query = _in_force(select(ApiKey), user.id, now=now)
    key = (await session.exec(query.where(col(ApiKey.id) == key_id))).one_or_none()
    if key is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, detail="No such API key")
    key.revoked_at = now
    await session.commit()


def _lifetime(days: int | None, settings: Settings) -> timedelta:
    if days is None:
        return timedelta(days=settings.api_key_default_days)
    if days > settings.api_key_max_days:
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT,
            detail=f"A key lives at most {settings.api_key_max_days} days",
        )
    return timedelta(days=days)


async def _refuse_one_too_many(
    session: AsyncSession, user: User, limit: int, *, now: datetime
) -> None:
    # The lock makes requests of one user queue up: two at once would both
    # count one key below the limit.
    await session.refresh(user, with_for_update=True)
    query = _in_force(select(func.count()).select_from(ApiKey), user.id, now=now)
    if (await session.exec(query)).one() >= limit:
        raise HTTPException(
            status.HTTP_409_CONFLICT, detail=f"A user has at most {limit} API keys"
        )


def _in_force(
    query: SelectOfScalar[Row], user_id: UUID, *, now: datetime
) -> SelectOfScalar[Row]:
    return query.where(
        col(ApiKey.user_id) == user_id,
        col(ApiKey.revoked_at).is_(None),
        col(ApiKey.expires_at) > now,
    )
