"""The tables. migrations/ builds the same schema step by step."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, DateTime, Index, MetaData, String, func, text
from sqlmodel import Field, SQLModel

# Every constraint has a name that can be foretold, so that a migration can
# drop it: https://alembic.sqlalchemy.org/en/latest/naming.html
NAMING_CONVENTION = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Timestamp = DateTime(timezone=True)


class Base(SQLModel):
    """What all tables share: the metadata with its naming convention."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class MailPurpose(StrEnum):
    """Why a mail with a token was sent; stored as text."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"


def purpose_check() -> CheckConstraint:
    """Allow only the known purposes in a table's ``purpose`` column."""
    allowed = ", ".join(f"'{purpose}'" for purpose in MailPurpose)
    return CheckConstraint(f"purpose IN ({allowed})", name="purpose")


def utc_now() -> datetime:
    """Return the current time, aware of its zone."""
    return datetime.now(UTC)


class User(Base, table=True):
    """Somebody with an account."""

    __tablename__ = "users"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    email: str = Field(sa_type=String(320), unique=True)
    """In lower case; 320 is the longest address that RFC 3696 allows."""
    password_hash: str = Field(sa_type=String(255))
    email_verified: bool = Field(
        default=False, sa_column_kwargs={"server_default": text("false")}
    )
    display_name: str = Field(sa_type=String(100))
    token_epoch: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    """Tokens of an earlier epoch are void: adding one revokes them all."""
    created_at: datetime = Field(
        default_factory=utc_now,
        sa_type=Timestamp,
        sa_column_kwargs={"server_default": func.now()},
    )
    updated_at: datetime = Field(
        default_factory=utc_now,
        sa_type=Timestamp,
        sa_column_kwargs={"server_default": func.now(), "onupdate": func.now()},
    )


class EmailToken(Base, table=True):
    """A token that was mailed to somebody and can be redeemed once."""

    __tablename__ = "email_tokens"
    __table_args__ = (purpose_check(),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    purpose: str = Field(sa_type=String(32))
    digest: str = Field(sa_type=String(64), unique=True)
    expires_at: datetime = Field(sa_type=Timestamp)
    used_at: datetime | None = Field(default=None, sa_type=Timestamp)


class OutboxMessage(Base, table=True):
    """A mail to be sent, written in the transaction that asks for it."""

    __tablename__ = "outbox"
    __table_args__ = (purpose_check(),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    recipient: str = Field(sa_type=String(320), index=True)
    purpose: str = Field(sa_type=String(32))
    token: str = Field(sa_type=String(64))
    created_at: datetime = Field(
        default_factory=utc_now,
        sa_type=Timestamp,
        sa_column_kwargs={"server_default": func.now()},
    )


class RefreshToken(Base, table=True):
    """One link in a chain of refresh tokens that starts with a login."""

    __tablename__ = "refresh_tokens"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    family_id: UUID = Field(index=True)
    token_epoch: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    digest: str = Field(sa_type=String(64), unique=True)
    expires_at: datetime = Field(sa_type=Timestamp)
    used_at: datetime | None = Field(default=None, sa_type=Timestamp)
    revoked_at: datetime | None = Field(default=None, sa_type=Timestamp)


class ApiKey(Base, table=True):
    """A key for programs; its secret is shown once and kept as a digest."""

    __tablename__ = "api_keys"
    __table_args__ = (
        # Listing and counting look at the keys in force, a small part in time.
        Index(
            "ix_api_keys_user_id_in_force",
            "user_id",
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = Field(sa_type=String(100))
    prefix: str = Field(sa_type=String(12))
    digest: str = Field(sa_type=String(64), unique=True)
    created_at: datetime = Field(
        default_factory=utc_now,
        sa_type=Timestamp,
        sa_column_kwargs={"server_default": func.now()},
    )
    expires_at: datetime = Field(sa_type=Timestamp)
    revoked_at: datetime | None = Field(default=None, sa_type=Timestamp)
