"""From the application's URL to a connection that plain code can use."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from unstale.errors import ConfigError
from unstale.mask import Mask, mask_for

__all__ = ["child_environment", "masked", "open_engine", "server_of", "sqlstate", "sync_url"]

_SYNC = ("psycopg", "psycopg2", "pg8000")
# What only asyncpg takes from a URL.
_ASYNC_ONLY = frozenset(
    {"prepared_statement_cache_size", "prepared_statement_name_func", "command_timeout", "ssl"}
)


def sync_url(url: str) -> URL:
    """*url* with a driver that works without an event loop.

    Raises:
        ConfigError: not a URL of PostgreSQL, or no such driver is installed.

    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _unreadable() from None
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(f"The database is {parsed.get_backend_name()}; only postgresql is known.")
    named = parsed.drivername.partition("+")[2]
    if named in _SYNC and find_spec(named):
        return parsed
    driver = next((name for name in _SYNC if find_spec(name)), None)
    if driver is None:
        raise ConfigError(
            f"No driver without an event loop is installed beside {named or 'the default'!r}.",
            cause="The plugin looks at the database with plain connections.",
            hint="pip install 'psycopg[binary]'",
        )
    query = {key: value for key, value in parsed.query.items() if key not in _ASYNC_ONLY}
    if "ssl" in parsed.query and driver != "pg8000":
        query["sslmode"] = parsed.query["ssl"]
    return parsed.set(drivername=f"postgresql+{driver}", query=query)


def open_engine(
    url: str, *, autocommit: bool = False, database: str | None = None, keeps_one: bool = False
) -> Engine:
    """An engine without a pool: who closes a connection is gone from the server.

    With *keeps_one* one connection stays open until the engine is disposed of.

    Raises:
        ConfigError: as `sync_url`.

    """
    parsed = sync_url(url)
    if database is not None:
        parsed = parsed.set(database=database)
    arguments: dict[str, Any] = {}
    if "application_name" not in parsed.query:
        arguments["application_name"] = "unstale-pytest"
    if parsed.get_driver_name() != "pg8000" and "connect_timeout" not in parsed.query:
        arguments["connect_timeout"] = 5
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    options |= {"pool_size": 1} if keeps_one else {"poolclass": NullPool}
    try:
        return create_engine(parsed, connect_args=arguments, **options)
    except (ArgumentError, ValueError):  # a port in the query that is none
        raise _unreadable() from None


def _unreadable() -> ConfigError:
    # SQLAlchemy's own words quote it.
    return ConfigError(
        "The database's URL can't be read.",
        hint="write it as postgresql+psycopg://user:password@host:5432/database",
    )


def server_of(url: str, database: str) -> str:
    """*url*, driver and all, with another *database* of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's five letters for *error*; empty if it never reached the server."""
    original: Any = error.orig
    found = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    if found is None and original.args and isinstance(original.args[0], dict):
        found = original.args[0].get("C")  # pg8000
    return str(found or "")


def masked(url: str) -> Mask:
    """What hides the password of *url*."""
    return mask_for({"DATABASE_URL": url})


def child_environment(values: Mapping[str, str], root: str) -> dict[str, str]:
    """The environment of a Python that imports what this one can, with *values*.

    pytest's ``pythonpath`` changes sys.path alone, and a child does not see it.
    """
    own = [path for path in sys.path if path.startswith(root)]
    path = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **values}
