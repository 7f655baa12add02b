"""Add token epochs: a password reset revokes every token."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    for table in ("users", "refresh_tokens"):
        op.add_column(
            table,
            sa.Column("token_epoch", sa.Integer(), server_default="0", nullable=False),
        )


def downgrade() -> None:
    """Take it back."""
    for table in ("refresh_tokens", "users"):
        op.drop_column(table, "token_epoch")
