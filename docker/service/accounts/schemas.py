"""What clients send and get."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    StringConstraints,
)

from accounts.passwords import unmet_rules


def _strong(password: str) -> str:
    if unmet := unmet_rules(password):
        message = "The password needs " + ", ".join(unmet)
        raise ValueError(message)
    return password


Email = Annotated[EmailStr, AfterValidator(str.lower)]
NewPassword = Annotated[str, AfterValidator(_strong)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)
]


class Request(BaseModel):
    """A request body; a misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


class Response(BaseModel):
    """A response body, readable from a row."""

    model_config = ConfigDict(from_attributes=True)


class Registration(Request):
    """Somebody asks for an account."""

    email: Email
    password: NewPassword
    display_name: Name


class Credentials(Request):
    """Somebody logs in; the password is not judged, only compared."""

    email: Email
    password: str


class EmailTokenIn(Request):
    """The token from a mail."""

    token: str


class RefreshTokenIn(Request):
    """A refresh token, to be renewed or given up."""

    refresh_token: str


class ResetRequest(Request):
    """Somebody forgot their password."""

    email: Email


class ResetConfirmation(Request):
    """The token from the reset mail and the password to be."""

    token: str
    new_password: NewPassword


class TokenPair(Response):
    """What a login or a refresh answers."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int
    """Seconds until the access token expires."""


class UserOut(Response):
    """A user, as they see themselves."""

    id: UUID
    email: str
    email_verified: bool
    display_name: str
    created_at: datetime
    updated_at: datetime


class ProfileUpdate(Request):
    """What a user may change about themselves."""

    display_name: Name


class ApiKeyRequest(Request):
    """Somebody wants a key; the service's settings bound its days."""

    name: Name
    expires_in_days: int | None = Field(default=None, ge=1)


class ApiKeyOut(Response):
    """A key without its secret."""

    id: UUID
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime


class NewApiKey(ApiKeyOut):
    """A key with its secret, which is shown this once."""

    key: str
