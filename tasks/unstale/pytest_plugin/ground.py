"""The database that one process of a pytest run works on."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from unstale.errors import ConfigError
from unstale.pytest_plugin.settings import Settings

__all__ = ["Ground", "Place", "place_of", "point", "point_early", "restore", "workers"]

_PLACE = pytest.StashKey["Place"]()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process works, known before anything was asked."""

    base: str = field(repr=False)
    """The URL that the suite was given."""
    url: str = field(repr=False)
    """The same, or that of the worker's own database, which may not be there yet."""
    owner: str
    """Names this process in the names of its databases."""

    @property
    def is_apart(self) -> bool:
        """Whether this process has a database of its own."""
        return self.url != self.base


@dataclass(frozen=True, slots=True)
class Ground:
    """The database of this process, proven and ready."""

    base: str = field(repr=False)
    """The URL that the suite was given; locks are held there."""
    url: str = field(repr=False)
    """The URL to work with; the environment variable has it, too."""
    owner: str
    template: str | None
    """What clones are made of, where the isolation asks for it."""
    version_table: tuple[str | None, str] | None
    """Schema and name of Alembic's table, where it was asked for."""


def workers(config: pytest.Config) -> int:
    """How many xdist workers there are, if this process is one; else 1."""
    given: dict[str, int] | None = getattr(config, "workerinput", None)
    return given["workercount"] if given else 1


def point_early(config: pytest.Config, settings: Settings) -> None:
    """Point a worker at its own database, before the suite's conftest files are imported.

    An application may read its settings when it is imported.
    """
    # xdist tells a worker's configuration later that it is one. Its variables alone
    # are no sign: a pytest that a test starts inherits them, but not the `-c`.
    if "PYTEST_XDIST_WORKER" in os.environ and sys.argv[:1] == ["-c"]:
        _point(config, settings, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def point(config: pytest.Config, settings: Settings) -> Place | None:
    """Let the environment variable lead to the database of this process.

    None while the variable is not set.
    """
    known = config.stash.get(_PLACE, None)
    if known is not None and known.is_apart and not settings.is_apart(workers(config)):
        restore(config, settings)
        del config.stash[_PLACE]
    return _point(config, settings, workers(config))


def _point(config: pytest.Config, settings: Settings, count: int) -> Place | None:
    known = config.stash.get(_PLACE, None)
    given = os.environ.get(settings.database)
    if known is not None and given == known.url:
        return known
    if not given:
        return None
    owner = uuid4().hex[:8]
    url = _own_url(given, owner) if settings.is_apart(count) else given
    os.environ[settings.database] = url
    place = Place(given, url, owner)
    config.stash[_PLACE] = place
    return place


def _own_url(given: str, owner: str) -> str:
    from sqlalchemy import make_url

    from unstale.pytest_plugin.engines import server_of, sync_url
    from unstale.pytest_plugin.templates import clone_name

    sync_url(given)
    return server_of(given, clone_name(make_url(given).database or "", owner, "w"))


def place_of(config: pytest.Config, settings: Settings) -> Place:
    """Where this process works; a conftest may have set the variable by now.

    Raises:
        ConfigError: nobody did.

    """
    place = point(config, settings)
    if place is None:
        raise ConfigError(
            f"The environment variable {settings.database} is not set.",
            cause="unstale_database names it as the one with the database's URL.",
            hint=f"export {settings.database}=postgresql+psycopg://user:password@host:5432/name",
        )
    return place


def restore(config: pytest.Config, settings: Settings) -> None:
    """Give the environment variable the value that it had."""
    place = config.stash.get(_PLACE, None)
    if place is not None and os.environ.get(settings.database) == place.url:
        os.environ[settings.database] = place.base
