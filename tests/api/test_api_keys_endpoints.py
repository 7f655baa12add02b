"""API keys, by a user whom the tests log in through an override.

The override replaces ``bearer_scheme``: requests then carry a user's token
without an Authorization header. Without it every test here gets a 401.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.security import HTTPAuthorizationCredentials
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlmodel import Session

from accounts.models import User
from accounts.security import bearer_scheme
from accounts.settings import Settings
from accounts.tokens import AccessClaims, issue_access_token

pytestmark = pytest.mark.integration


@pytest.fixture
def user(engine: Engine) -> User:
    """Create a verified user that no other test knows."""
    user = User(
        email=f"{uuid4().hex}@example.com",
        password_hash="nobody logs in with it",
        email_verified=True,
        display_name="Ada",
    )
    with Session(engine, expire_on_commit=False) as session:
        session.add(user)
        session.commit()
    return user


@pytest.fixture
def client(
    app: FastAPI, anonymous: TestClient, settings: Settings, user: User
) -> Iterator[TestClient]:
    """Make every request the user's, and take back exactly this override."""
    token = issue_access_token(
        AccessClaims(user_id=user.id, epoch=user.token_epoch),
        secret=settings.jwt_secret.get_secret_value(),
        now=datetime.now(UTC),
        lifetime=timedelta(minutes=5),
    )
    app.dependency_overrides[bearer_scheme] = lambda: HTTPAuthorizationCredentials(
        scheme="Bearer", credentials=token
    )
    yield anonymous
    del app.dependency_overrides[bearer_scheme]


@pytest.fixture
def url(settings: Settings) -> str:
    """Return where API keys are served."""
    return f"{settings.api_v1_prefix}/api-keys"


def days_until(moment: str) -> float:
    """Return how many days from now *moment*, as JSON gives it, is."""
    return (datetime.fromisoformat(moment) - datetime.now(UTC)) / timedelta(days=1)


class TestCreateAPIKey:
    """POST /api-keys."""

    def test_create_api_key_success(self, client: TestClient, url: str, settings: Settings) -> None:
        """A key is shown with its secret, and lives for the default time."""
        response = client.post(url, json={"name": "deploy"})

        assert response.status_code == 201, response.text
        created = response.json()
        assert created["name"] == "deploy"
        assert created["key"].startswith(created["prefix"])
        assert days_until(created["expires_at"]) == pytest.approx(
            settings.api_key_default_days, abs=0.01
        )

    def test_create_api_key_with_custom_expiration(self, client: TestClient, url: str) -> None:
        """A key lives for the days that were asked for."""
        response = client.post(url, json={"name": "short", "expires_in_days": 7})

        assert response.status_code == 201, response.text
        assert days_until(response.json()["expires_at"]) == pytest.approx(7, abs=0.01)

    def test_create_api_key_max_keys_exceeded(
        self, client: TestClient, url: str, settings: Settings
    ) -> None:
        """The key above the limit is refused and not kept."""
        limit = settings.max_api_keys_per_user
        for number in range(limit):
            created = client.post(url, json={"name": f"key {number}"})
            assert created.status_code == 201, created.text

        response = client.post(url, json={"name": "one too many"})

        assert response.status_code == 409
        assert str(limit) in response.json()["detail"]
        assert len(client.get(url).json()) == limit

    def test_create_api_key_missing_name(self, client: TestClient, url: str) -> None:
        """A key without a name is refused, and the answer names the field."""
        response = client.post(url, json={})

        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["body", "name"]

    def test_create_api_key_invalid_expiration(
        self, client: TestClient, url: str, settings: Settings
    ) -> None:
        """A life of no days, of less, or beyond the maximum is refused."""
        for days in (0, -1, settings.api_key_max_days + 1):
            body = {"name": "odd", "expires_in_days": days}

            assert client.post(url, json=body).status_code == 422, days

        assert client.get(url).json() == []


class TestListAPIKeys:
    """GET /api-keys."""

    def test_a_key_is_listed_without_its_secret(self, client: TestClient, url: str) -> None:
        """The secret is shown once, when the key is made."""
        created = client.post(url, json={"name": "deploy"}).json()

        listed = client.get(url).json()

        assert [key["id"] for key in listed] == [created["id"]]
        assert "key" not in listed[0]

    def test_without_credentials_nothing_is_listed(self, anonymous: TestClient, url: str) -> None:
        """No override is left behind by another test: 401."""
        response = anonymous.get(url)

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"


class TestRevokeAPIKey:
    """DELETE /api-keys/{id}."""

    def test_a_revoked_key_is_gone_and_makes_room(
        self, client: TestClient, url: str, settings: Settings
    ) -> None:
        """Only keys in force count against the limit."""
        keys = [
            client.post(url, json={"name": f"key {number}"}).json()
            for number in range(settings.max_api_keys_per_user)
        ]

        response = client.delete(f"{url}/{keys[0]['id']}")

        assert response.status_code == 204
        assert keys[0]["id"] not in [key["id"] for key in client.get(url).json()]
        assert client.post(url, json={"name": "next"}).status_code == 201

    def test_a_key_that_does_not_exist_is_not_found(self, client: TestClient, url: str) -> None:
        """The answer for a stranger's key is the same."""
        assert client.delete(f"{url}/{uuid4()}").status_code == 404
