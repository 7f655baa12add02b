"""What endpoints ask for: settings, a session of their own, passwords."""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from accounts.database import Database
from accounts.passwords import Passwords
from accounts.settings import Settings


def get_settings(request: Request) -> Settings:
    """Return the settings the application was created with."""
    return cast("Settings", request.app.state.settings)


def get_database(request: Request) -> Database:
    """Return the application's database; it exists while the application runs."""
    return cast("Database", request.app.state.database)


def get_passwords(request: Request) -> Passwords:
    """Return the application's password hasher."""
    return cast("Passwords", request.app.state.passwords)


async def get_session(
    database: Annotated[Database, Depends(get_database)],
) -> AsyncIterator[AsyncSession]:
    """Open a session for one request and roll back what it did not commit."""
    async with database.new_session() as session:
        yield session


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
PasswordsDep = Annotated[Passwords, Depends(get_passwords)]
SessionDep = Annotated[AsyncSession, Depends(get_session)]
