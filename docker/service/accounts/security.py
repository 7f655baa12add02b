"""From the Authorization header to the user who sent it."""

from typing import Annotated

from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from accounts.dependencies import SessionDep, SettingsDep
from accounts.models import User
from accounts.tokens import AccessClaims, read_access_token

# One instance for the whole service: FastAPI finds an override by the very
# object that was depended on, so tests override this one and no copy of it.
bearer_scheme = HTTPBearer(auto_error=False, description="An access token")


def unauthorized(*, detail: str) -> HTTPException:
    """Return a 401 with the challenge that RFC 9110, 11.6.1 asks for."""
    return HTTPException(
        status.HTTP_401_UNAUTHORIZED,
        detail=detail,
        headers={"WWW-Authenticate": "Bearer"},
    )


def access_claims(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)],
    settings: SettingsDep,
) -> AccessClaims:
    """Return what the request's access token says; needs no database."""
    if credentials is None:
        raise unauthorized(detail="Not authenticated")
    claims = read_access_token(
        credentials.credentials, secret=settings.jwt_secret.get_secret_value()
    )
    if claims is None:
        raise unauthorized(detail="Invalid or expired access token")
    return claims


async def current_user(
    claims: Annotated[AccessClaims, Depends(access_claims)], session: SessionDep
) -> User:
    """Return the token's user, unless the token was revoked since."""
    user = await session.get(User, claims.user_id)
    if user is None or user.token_epoch != claims.epoch:
        raise unauthorized(detail="Access token was revoked")
    return user


CurrentUser = Annotated[User, Depends(current_user)]
