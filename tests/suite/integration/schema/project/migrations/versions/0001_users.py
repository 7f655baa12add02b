"""Create users."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.CheckConstraint("name <> ''", name="users_have_a_name"),
    )


def downgrade():
    op.drop_table("users")
