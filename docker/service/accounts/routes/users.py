"""The user's own profile."""

from fastapi import APIRouter

from accounts.dependencies import SessionDep
from accounts.schemas import ProfileUpdate, UserOut
from accounts.security import CurrentUser

router = APIRouter(prefix="/users", tags=["users"])


@router.get("/me")
async def read_profile(user: CurrentUser) -> UserOut:
    """Return the profile of whoever asks."""
    return UserOut.model_validate(user)


@router.patch("/me")
async def update_profile(
    body: ProfileUpdate, user: CurrentUser, session: SessionDep
) -> UserOut:
    """Change the profile of whoever asks."""
    user.display_name = body.display_name
    await session.commit()
    await session.refresh(user)
    return UserOut.model_validate(user)
