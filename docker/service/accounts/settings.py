"""What the service is told by its environment; env/.env.example documents each key."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[int, Field(gt=0)]
Days = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """The settings of one process, read once when the application is created."""

    model_config = SettingsConfigDict(frozen=True)

    environment: Literal["dev", "test", "ci", "production"]
    debug: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    api_v1_prefix: str = Field(default="/api/v1", pattern=r"^(/[a-z0-9-]+)+$")

    # Secret as a whole: the URL holds the password.
    database_url: SecretStr

    # RFC 7518, 3.2: an HS256 key has at least the 256 bits of its hash.
    jwt_secret: SecretStr = Field(min_length=32)
    access_token_seconds: Seconds = 900
    refresh_token_seconds: Seconds = 1_209_600
    email_token_seconds: Seconds = 86_400

    password_hash_time_cost: int = Field(default=3, ge=1)
    password_hash_memory_kib: int = Field(default=65_536, ge=8_192)

    max_api_keys_per_user: int = Field(default=5, ge=1)
    api_key_default_days: Days = 90
    api_key_max_days: Days = 365


def read_settings() -> Settings:
    """Read the settings from the process environment.

    Raises pydantic's ``ValidationError`` when a key is missing or out of range.
    """
    # Validating an empty mapping, since a plain call has, for a type checker,
    # missing arguments: it cannot see that the environment supplies them.
    return Settings.model_validate({})
