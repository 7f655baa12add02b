"""Refresh tokens over HTTP: rotation, reuse, and two requests at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine
from sqlmodel import Session

from accounts.models import RefreshToken, User
from accounts.settings import Settings
from accounts.tokens import digest, new_opaque_token

pytestmark = pytest.mark.integration


@pytest.fixture
def first_token(engine: Engine) -> str:
    """Log a new user in, as far as the database is concerned."""
    token = new_opaque_token()
    user = User(
        email=f"{uuid4().hex}@example.com",
        password_hash="nobody logs in with it",
        email_verified=True,
        display_name="Ada",
    )
    with Session(engine) as session:
        session.add(user)
        session.flush()
        session.add(
            RefreshToken(
                user_id=user.id,
                family_id=uuid4(),
                digest=digest(token),
                expires_at=datetime.now(UTC) + timedelta(hours=1),
            )
        )
        session.commit()
    return token


def refresh(client: TestClient, settings: Settings, token: str) -> Response:
    """Ask for a new pair of tokens."""
    url = f"{settings.api_v1_prefix}/auth/refresh"
    return client.post(url, json={"refresh_token": token})


def test_reuse_revokes_the_successor_too(
    anonymous: TestClient, settings: Settings, first_token: str
) -> None:
    """Whoever has a copy of a used token gets nothing, nor does its owner."""
    successor = refresh(anonymous, settings, first_token).json()["refresh_token"]

    reused = refresh(anonymous, settings, first_token)

    assert reused.status_code == 401
    assert refresh(anonymous, settings, successor).status_code == 401


def test_of_two_requests_at_once_one_is_served(
    anonymous: TestClient, settings: Settings, first_token: str
) -> None:
    """The row lock makes the second request see the first one's use."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = pool.map(
            lambda _: refresh(anonymous, settings, first_token).status_code, range(2)
        )

    assert sorted(answers) == [200, 401]
