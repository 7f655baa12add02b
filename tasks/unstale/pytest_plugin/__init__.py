"""The pytest plugin. A suite that does not ask for anything pays for nothing.

This module has hooks only and imports pytest alone; each part is imported when
the ini option that asks for it is set, and registers itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from unstale.pytest_plugin.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from unstale.pytest_plugin.facade import AsyncFacade
    from unstale.pytest_plugin.sessions import (
        SessionSource,
        UnflushedChanges,
        fresh,
        fresh_async,
        request_session,
    )
    from unstale.pytest_plugin.state import assert_db_state, assert_db_state_async

__all__ = [
    "AsyncFacade",
    "SessionSource",
    "UnflushedChanges",
    "assert_db_state",
    "assert_db_state_async",
    "fresh",
    "fresh_async",
    "request_session",
]

_HOMES = {
    "AsyncFacade": "facade",
    "SessionSource": "sessions",
    "UnflushedChanges": "sessions",
    "assert_db_state": "state",
    "assert_db_state_async": "state",
    "fresh": "sessions",
    "fresh_async": "sessions",
    "request_session": "sessions",
}


# No __dir__ with these names: pytest looks for hooks in dir() and would fetch them all.
def __getattr__(name: str) -> object:
    """Import the public *name* from its module, at first use.

    Raises:
        AttributeError: the plugin has no such name.

    """
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what a suite's own configuration can ask for."""
    for name, kind, default, words in OPTIONS:
        parser.addini(f"unstale_{name}", words, type=kind, default=default)
    parser.getgroup("unstale").addoption(
        "--ci-sensitive-repeat",
        type=int,
        default=1,
        metavar="N",
        help="run each test that is marked ci_sensitive N times",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Point a worker at its own database before anything of the suite is imported."""
    settings = Settings.of(early_config)
    if settings.database:
        from unstale.pytest_plugin.ground import point_early

        point_early(early_config, settings)


def pytest_configure(config: pytest.Config) -> None:
    """Let the parts that were asked for register themselves."""
    settings = Settings.of(config)
    if settings.database:
        from unstale.pytest_plugin.ground import point

        point(config, settings)
    for part in _parts(settings):
        importlib.import_module(f"{__name__}.{part}").register(config)


def _parts(settings: Settings) -> tuple[str, ...]:
    has_database = bool(settings.database)
    asked = {
        "sensitive": True,  # a marker has to be known before somebody uses it
        "header": has_database,
        "watch": has_database,
        "database": has_database,
        "isolation": has_database,
        "state": has_database,
        "leaks": settings.leaks,
        "monitor": settings.session_monitor,
        "sessions": bool(settings.sessionmaker),
    }
    return tuple(part for part, is_asked in asked.items() if is_asked)
