"""The service in process, on a database that is proven before and mended after each test."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import URL, Engine, create_engine, make_url

from accounts.main import create_app
from accounts.settings import Settings, read_settings
from unstale.pytest_plugin.ground import Ground
from unstale.pytest_plugin.isolation import IsolatedDatabase


@pytest.fixture(scope="session")
def database_url(unstale_schema_guard: Ground) -> URL:
    """The migrated database, which the plugin has proven; with -n a clone for each worker."""
    return make_url(unstale_schema_guard.url)


@pytest.fixture(autouse=True)
def _clean(isolated_database: IsolatedDatabase) -> None:
    """What a test writes is gone after it."""


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
