"""Access tokens, and the rotation of refresh tokens."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from accounts.models import RefreshToken
from accounts.refresh import RefreshState, state_of
from accounts.tokens import (
    ALGORITHM,
    AUDIENCE,
    AccessClaims,
    digest,
    issue_access_token,
    new_opaque_token,
    read_access_token,
)

SECRET = "unit-only-8c1e55d0ab7f4296b3d9e1f0"
CLAIMS = AccessClaims(user_id=uuid4(), epoch=3)
MINUTE = timedelta(minutes=1)
NOW = datetime.now(UTC)


def issue(*, secret: str = SECRET, now: datetime | None = None) -> str:
    """Return an access token that lives for a minute, from now on if nothing is said."""
    began = now or datetime.now(UTC)
    return issue_access_token(CLAIMS, secret=secret, now=began, lifetime=MINUTE)


def test_an_access_token_gives_back_its_claims() -> None:
    """What was signed is what is read."""
    assert read_access_token(issue(), secret=SECRET) == CLAIMS


def test_two_access_tokens_of_one_moment_differ() -> None:
    """A log that mentions one does not mean the other."""
    assert issue() != issue()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(issue(now=NOW - 2 * MINUTE), id="expired"),
        pytest.param(issue(secret=SECRET[::-1]), id="signed by somebody else"),
        pytest.param("not.a.token", id="malformed"),
        pytest.param(
            jwt.encode(
                {"aud": AUDIENCE, "sub": "ada", "epoch": 0, "exp": NOW + MINUTE},
                SECRET,
                algorithm=ALGORITHM,
            ),
            id="subject is no id",
        ),
        pytest.param(
            jwt.encode(
                {"aud": "else", "sub": str(uuid4()), "epoch": 0, "exp": NOW + MINUTE},
                SECRET,
                algorithm=ALGORITHM,
            ),
            id="for another service",
        ),
        pytest.param(
            jwt.encode(
                {"aud": AUDIENCE, "sub": str(uuid4()), "exp": NOW + MINUTE},
                SECRET,
                algorithm=ALGORITHM,
            ),
            id="without an epoch",
        ),
    ],
)
def test_a_token_that_is_not_ours_and_valid_has_no_claims(token: str) -> None:
    """It is refused, whatever is wrong with it."""
    assert read_access_token(token, secret=SECRET) is None


def test_opaque_tokens_are_unique_and_kept_as_digests() -> None:
    """A stolen table holds no token."""
    token = new_opaque_token()

    assert token != new_opaque_token()
    assert digest(token) == digest(token)
    assert token not in digest(token)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, RefreshState.LIVE, id="untouched"),
        pytest.param({"expires_at": NOW}, RefreshState.EXPIRED, id="at its end"),
        pytest.param({"used_at": NOW}, RefreshState.REUSED, id="seen before"),
        pytest.param({"revoked_at": NOW}, RefreshState.REVOKED, id="logged out"),
        pytest.param(
            {"token_epoch": 2}, RefreshState.REVOKED, id="older than the reset"
        ),
        pytest.param(
            {"used_at": NOW, "revoked_at": NOW},
            RefreshState.REVOKED,
            id="used, then logged out",
        ),
        pytest.param(
            {"used_at": NOW, "expires_at": NOW - MINUTE},
            RefreshState.REUSED,
            id="seen before, expired since",
        ),
    ],
)
def test_the_state_of_a_refresh_token(
    changes: dict[str, object], expected: RefreshState
) -> None:
    """Revoked comes before reused, and reused before expired."""
    token = RefreshToken(
        user_id=uuid4(),
        family_id=uuid4(),
        token_epoch=3,
        digest=digest("token"),
        expires_at=NOW + MINUTE,
    )
    for name, value in changes.items():
        setattr(token, name, value)

    assert state_of(token, epoch=3, now=NOW) is expected
