"""Runs the migrations on the database that STATE_DB names."""

import os

import models
from alembic import context
from sqlalchemy import create_engine, pool

URL = f"postgresql+psycopg://app:only-for-tests@{os.environ['UNSTALE_DB_5432']}/{os.environ['STATE_DB']}"
TARGET = models.metadata

if context.is_offline_mode():
    context.configure(url=URL, target_metadata=TARGET, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(URL, poolclass=pool.NullPool).connect() as connection:
        # BEFORE CONFIGURE
        context.configure(connection=connection, target_metadata=TARGET)
        with context.begin_transaction():
            context.run_migrations()
