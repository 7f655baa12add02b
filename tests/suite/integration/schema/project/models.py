"""What the application believes to have."""

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, String, Table

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(40), nullable=False),
    CheckConstraint("name <> ''", name="users_have_a_name"),
)

orders = Table("Order", metadata, Column("id", Integer, primary_key=True))
