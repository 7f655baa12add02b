"""A user's way through the running service, from registration to logout.

Over HTTP, against the container: nothing is overridden and nothing shared. Mail
is read where a mail server would fetch it, in the outbox table.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import NullPool, create_engine, text

from unstale.pytest_plugin.ground import Ground

pytestmark = [pytest.mark.integration, pytest.mark.smoke]

MailedToken = Callable[[str, str], str]
"""From recipient and purpose to a token."""

API = os.environ.get("API_V1_PREFIX", "/api/v1")
PASSWORD = "Correct-Horse-7-Battery"
NEW_PASSWORD = "Staple-Clip-42-Drawer"


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    """Connect to the running service."""
    base_url = os.environ.get("APP_URL", "http://app:8000")
    # trust_env: the engine's client may hand its own proxy to containers, and
    # that one does not know where `app` is.
    with httpx2.Client(base_url=base_url, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def email() -> str:
    """Return an address that nobody has registered."""
    return f"smoke-{uuid4().hex}@example.com"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login or a refresh answered."""

    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """One person's requests; each answers with the raw response."""

    http: httpx2.Client
    email: str

    def register(self, password: str = PASSWORD) -> httpx2.Response:
        """Ask for an account."""
        return self._post(
            "/auth/register",
            {"email": self.email, "password": password, "display_name": "Ada"},
        )

    def verify(self, token: str) -> httpx2.Response:
        """Follow the link in the verification mail."""
        return self._post("/auth/verify-email", {"token": token})

    def log_in(self, password: str = PASSWORD) -> httpx2.Response:
        """Ask for tokens."""
        return self._post("/auth/login", {"email": self.email, "password": password})

    def refresh(self, token: str) -> httpx2.Response:
        """Exchange a refresh token."""
        return self._post("/auth/refresh", {"refresh_token": token})

    def ask_for_reset(self) -> httpx2.Response:
        """Say that the password is forgotten."""
        return self._post("/auth/password-reset", {"email": self.email})

    def confirm_reset(self, token: str, password: str) -> httpx2.Response:
        """Follow the link in the reset mail."""
        body = {"token": token, "new_password": password}
        return self._post("/auth/password-reset/confirm", body)

    def log_out(self, tokens: Tokens) -> httpx2.Response:
        """End one login."""
        body = {"refresh_token": tokens.refresh}
        return self._post("/auth/logout", body, access=tokens.access)

    def me(self, access: str) -> httpx2.Response:
        """Read the profile, which is protected."""
        return self.http.get(f"{API}/users/me", headers=bearer(access))

    def rename(self, access: str, display_name: str) -> httpx2.Response:
        """Change the profile."""
        body = {"display_name": display_name}
        return self.http.patch(f"{API}/users/me", json=body, headers=bearer(access))

    def _post(self, path: str, body: dict[str, str], access: str | None = None) -> httpx2.Response:
        headers = bearer(access) if access else {}
        return self.http.post(f"{API}{path}", json=body, headers=headers)


def bearer(access: str) -> dict[str, str]:
    """Return the header that carries an access token."""
    return {"Authorization": f"Bearer {access}"}


def expect(response: httpx2.Response, status: int) -> Any:
    """Return the body of a response that has the expected *status*."""
    assert response.status_code == status, f"{response.request.url}: {response.text}"
    return response.json() if response.content else None


def tokens_of(response: httpx2.Response) -> Tokens:
    """Return the tokens of a successful login or refresh."""
    body = expect(response, 200)
    return Tokens(access=body["access_token"], refresh=body["refresh_token"])


@pytest.fixture
def mailed_token(unstale_schema_guard: Ground) -> MailedToken:
    """Find the token in the one mail of a purpose to a recipient.

    In the database of the service: with -n, a worker's variable leads to its own.
    """
    engine = create_engine(unstale_schema_guard.base, poolclass=NullPool)
    query = text("SELECT token FROM outbox WHERE recipient = :recipient AND purpose = :purpose")

    def find(recipient: str, purpose: str) -> str:
        with engine.connect() as connection:
            found = connection.execute(query, {"recipient": recipient, "purpose": purpose})
            return str(found.scalar_one())

    return find


def test_complete_authentication_flow(
    http: httpx2.Client, email: str, mailed_token: MailedToken
) -> None:
    """Eighteen steps, each building on those before it."""
    ada = Visitor(http, email)

    # 1. Register.
    registered = expect(ada.register(), 201)
    assert registered["email"] == email
    assert registered["email_verified"] is False

    # 2. The same address again is refused.
    expect(ada.register(), 409)

    # 3. Nobody logs in before the address is verified.
    expect(ada.log_in(), 403)

    # 4. Verify the address with the token from the mail.
    verified = expect(ada.verify(mailed_token(email, "verify_email")), 200)
    assert verified["email_verified"] is True

    # 5. Log in, on two devices.
    phone = tokens_of(ada.log_in())
    laptop = tokens_of(ada.log_in())

    # 6. The access token opens the protected endpoint.
    assert expect(ada.me(phone.access), 200)["id"] == registered["id"]

    # 7. Refresh, and use the new access token.
    refreshed = tokens_of(ada.refresh(phone.refresh))
    assert refreshed.refresh != phone.refresh
    expect(ada.me(refreshed.access), 200)

    # 8. The refresh token that was used up is refused.
    expect(ada.refresh(phone.refresh), 401)

    # 9. Update the profile.
    assert expect(ada.rename(laptop.access, "Countess"), 200)["display_name"] == ("Countess")

    # 10. The update was kept: another login's token reads it.
    assert expect(ada.me(refreshed.access), 200)["display_name"] == "Countess"

    # 11. Ask for a password reset.
    expect(ada.ask_for_reset(), 202)

    # 12. Confirm it with the token from the mail.
    expect(ada.confirm_reset(mailed_token(email, "reset_password"), NEW_PASSWORD), 204)

    # 13. The access token from before the reset is refused.
    expect(ada.me(laptop.access), 401)

    # 14. So is the refresh token, which the laptop had not used yet.
    expect(ada.refresh(laptop.refresh), 401)

    # 15. So is the old password.
    expect(ada.log_in(PASSWORD), 401)

    # 16. Log in with the new one.
    renewed = tokens_of(ada.log_in(NEW_PASSWORD))
    expect(ada.me(renewed.access), 200)

    # 17. Log out.
    expect(ada.log_out(renewed), 204)

    # 18. The refresh token of the login that ended is refused.
    expect(ada.refresh(renewed.refresh), 401)


def test_smoke_health_check(http: httpx2.Client) -> None:
    """The service answers, and so does its database."""
    assert expect(http.get("/health"), 200) == {"status": "ok", "database": "ok"}


def test_smoke_api_docs_accessible(http: httpx2.Client) -> None:
    """The documentation is served, and describes what is served."""
    assert http.get("/docs").status_code == 200
    assert f"{API}/auth/login" in expect(http.get("/openapi.json"), 200)["paths"]


def test_smoke_invalid_login_rejected(
    http: httpx2.Client, email: str, mailed_token: MailedToken
) -> None:
    """A wrong password and an unknown address get the same answer."""
    ada = Visitor(http, email)
    unknown = expect(ada.log_in(), 401)
    expect(ada.register(), 201)
    expect(ada.verify(mailed_token(email, "verify_email")), 200)

    wrong = expect(ada.log_in(NEW_PASSWORD), 401)

    assert wrong == unknown


def test_smoke_weak_password_rejected(http: httpx2.Client, email: str) -> None:
    """The answer says what is missing, and does not repeat the password."""
    response = Visitor(http, email).register(password="hunter2")

    assert "12 characters" in expect(response, 422)["detail"][0]["msg"]
    assert "hunter2" not in response.text
