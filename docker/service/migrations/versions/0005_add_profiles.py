"""Add profiles: a display name, taken from the address where there is none."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("users", sa.Column("display_name", sa.String(100), nullable=True))
    op.execute("UPDATE users SET display_name = left(split_part(email, '@', 1), 100)")
    op.alter_column("users", "display_name", nullable=False)
    op.add_column(
        "users",
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("users", "updated_at")
    op.drop_column("users", "display_name")
