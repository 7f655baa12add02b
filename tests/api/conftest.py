"""The service in process, on a database of this worker's own."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

import accounts
from accounts.main import create_app
from accounts.settings import Settings, read_settings

# Beside the package, in the image (/app) as in the tree (docker/service).
ALEMBIC_INI = Path(accounts.__file__).parents[1] / "alembic.ini"


@pytest.fixture(scope="session")
def database_url(worker_id: str) -> Iterator[URL]:
    """Create and migrate a database for this worker; drop it, and no other, at the end.

    The name is new each time, so workers and repeated runs share nothing.
    """
    url = make_url(os.environ["DATABASE_URL"])
    own = url.set(database=f"{url.database}_{worker_id}_{uuid4().hex[:8]}")
    server = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    quoted = server.dialect.identifier_preparer.quote_identifier(str(own.database))
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {quoted}"))
    try:
        migrate(own)
        yield own
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {quoted} WITH (FORCE)"))


def migrate(url: URL) -> None:
    """Bring the database at *url* to the newest revision."""
    config = Config(ALEMBIC_INI)
    with create_engine(url, poolclass=NullPool).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@pytest.fixture(scope="session")
def engine(database_url: URL) -> Iterator[Engine]:
    """Connect to the worker's database beside the service, to arrange and to look."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def settings(database_url: URL) -> Settings:
    """Return the environment's settings, with the worker's database."""
    url = SecretStr(database_url.render_as_string(hide_password=False))
    return read_settings().model_copy(update={"database_url": url})


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    """Create the application once for all tests of this worker."""
    return create_app(settings)


@pytest.fixture(scope="session")
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """Start the application; requests carry no credentials."""
    with TestClient(app) as client:
        yield client
