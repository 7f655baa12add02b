"""Run the migrations: on the service's database, or on a connection handed over."""

from logging.config import fileConfig

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from accounts.models import Base
from accounts.settings import read_settings

config = context.config


def configure_logging() -> None:
    """Log as alembic.ini says, to stderr, and leave existing loggers alone."""
    if config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)


def database_url() -> str:
    """Return the URL the service itself uses; its driver works both ways."""
    return read_settings().database_url.get_secret_value()


def run_offline() -> None:
    """Write the migrations as SQL (``alembic upgrade head --sql``)."""
    context.configure(
        url=database_url(),
        target_metadata=Base.metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Run the migrations on *connection*, which nothing has used yet.

    A query before ``configure`` would begin a transaction that Alembic takes
    for the caller's and does not commit.
    """
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_type=True
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Use the caller's connection, if there is one, else connect."""
    handed_over = config.attributes.get("connection")
    if handed_over is not None:
        run_on(handed_over)
        return
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        run_on(connection)


if context.is_offline_mode():
    configure_logging()
    run_offline()
else:
    if "connection" not in config.attributes:
        configure_logging()
    run_online()
