"""Register, verify, log in, refresh, log out, reset the password."""

from datetime import timedelta

from fastapi import APIRouter, HTTPException, status
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from accounts.dependencies import PasswordsDep, SessionDep, SettingsDep
from accounts.mail import queue_mail, redeem
from accounts.models import MailPurpose, User, utc_now
from accounts.refresh import add_refresh_token, end_family, rotate
from accounts.schemas import (
    Credentials,
    EmailTokenIn,
    RefreshTokenIn,
    Registration,
    ResetConfirmation,
    ResetRequest,
    TokenPair,
    UserOut,
)
from accounts.security import CurrentUser, unauthorized
from accounts.settings import Settings
from accounts.tokens import AccessClaims, issue_access_token

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/register", status_code=status.HTTP_201_CREATED)
async def register(
    body: Registration,
    session: SessionDep,
    passwords: PasswordsDep,
    settings: SettingsDep,
) -> UserOut:
    """Create an unverified account and mail its verification token."""
    user = User(
        email=body.email,
        password_hash=await passwords.hash(body.password),
        display_name=body.display_name,
    )
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        # The unique constraint decides; asking first would be a race.
        raise HTTPException(
            status.HTTP_409_CONFLICT, detail="This e-mail address is registered"
        ) from error
    _queue(session, user, MailPurpose.VERIFY_EMAIL, settings)
    await session.commit()
    return UserOut.model_validate(user)


@router.post("/verify-email")
async def verify_email(body: EmailTokenIn, session: SessionDep) -> UserOut:
    """Redeem the token from the verification mail."""
    user = await redeem(session, body.token, MailPurpose.VERIFY_EMAIL, now=utc_now())
    if user is None:
        raise _bad_email_token()
    user.email_verified = True
    await session.commit()
    await session.refresh(user)
    return UserOut.model_validate(user)


@router.post("/login")
async def login(
    body: Credentials,
    session: SessionDep,
    passwords: PasswordsDep,
    settings: SettingsDep,
) -> TokenPair:
    """Exchange e-mail address and password for a pair of tokens."""
    user = await _user_by_email(session, body.email)
    hashed = user.password_hash if user else None
    if not await passwords.matches(body.password, hashed) or user is None:
        raise unauthorized(detail="Wrong e-mail address or password")
    if not user.email_verified:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, detail="The e-mail address is not verified"
        )
    expires_at = utc_now() + timedelta(seconds=settings.refresh_token_seconds)
    refresh_token = add_refresh_token(session, user, expires_at=expires_at)
    await session.commit()
    return _token_pair(user, refresh_token, settings)


@router.post("/refresh")
async def refresh(
    body: RefreshTokenIn, session: SessionDep, settings: SettingsDep
) -> TokenPair:
    """Exchange a refresh token for a new pair; the old one is used up."""
    rotated = await rotate(
        session,
        body.refresh_token,
        now=utc_now(),
        lifetime=timedelta(seconds=settings.refresh_token_seconds),
    )
    await session.commit()
    if rotated is None:
        raise unauthorized(detail="Invalid refresh token")
    user, refresh_token = rotated
    return _token_pair(user, refresh_token, settings)


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout(body: RefreshTokenIn, user: CurrentUser, session: SessionDep) -> None:
    """Revoke the login that the refresh token belongs to.

    The access token runs out by itself, within its few minutes.
    """
    await end_family(session, body.refresh_token, user_id=user.id, now=utc_now())
    await session.commit()


@router.post("/password-reset", status_code=status.HTTP_202_ACCEPTED)
async def request_reset(
    body: ResetRequest, session: SessionDep, settings: SettingsDep
) -> dict[str, str]:
    """Mail a reset token; the answer is the same for an unknown address."""
    user = await _user_by_email(session, body.email)
    if user is not None:
        _queue(session, user, MailPurpose.RESET_PASSWORD, settings)
        await session.commit()
    return {"detail": "If the address is registered, a mail is on its way"}


@router.post("/password-reset/confirm", status_code=status.HTTP_204_NO_CONTENT)
async def confirm_reset(
    body: ResetConfirmation, session: SessionDep, passwords: PasswordsDep
) -> None:
    """Set a new password and revoke every token of the user."""
    hashed = await passwords.hash(body.new_password)
    user = await redeem(session, body.token, MailPurpose.RESET_PASSWORD, now=utc_now())
    if user is None:
        raise _bad_email_token()
    user.password_hash = hashed
    user.token_epoch += 1
    await session.commit()


async def _user_by_email(session: AsyncSession, email: str) -> User | None:
    return (
        await session.exec(select(User).where(col(User.email) == email))
    ).one_or_none()


def _queue(
    session: AsyncSession, user: User, purpose: MailPurpose, settings: Settings
) -> None:
    lifetime = timedelta(seconds=settings.email_token_seconds)
    queue_mail(session, user, purpose, now=utc_now(), lifetime=lifetime)


def _token_pair(user: User, refresh_token: str, settings: Settings) -> TokenPair:
    access_token = issue_access_token(
        AccessClaims(user_id=user.id, epoch=user.token_epoch),
        secret=settings.jwt_secret.get_secret_value(),
        now=utc_now(),
        lifetime=timedelta(seconds=settings.access_token_seconds),
    )
    return TokenPair(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_in=settings.access_token_seconds,
    )


def _bad_email_token() -> HTTPException:
    return HTTPException(
        status.HTTP_400_BAD_REQUEST, detail="The token is invalid, used or expired"
    )
