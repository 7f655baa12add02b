"""One line on top of the report: which image, which migrations, which database."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

import pytest

from unstale.schema.revisions import heads

__all__ = ["Address", "address", "register"]

# SQLAlchemy's own grammar of a URL, without the parts nobody may see.
_URL = re.compile(
    # Greedy: a password may hold an @ and a slash; the second way, a question mark too.
    r"[\w+]+://(?:(?:[^?]*|[^@/?]*:[^@]*)@)?"
    r"(?:\[(?P<six>[^/?\]]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>\d+))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_PORT = 5432


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is; a user and a password have no place in it."""

    host: str
    port: int
    database: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"

    def is_same_server(self, other: Address) -> bool:
        """Say whether *other* is on this server; all names of this machine are one."""
        return (_server(self.host), self.port) == (_server(other.host), other.port)


def _server(host: str) -> str:
    return "localhost" if host in _LOCAL or host.startswith("/") else host.lower()


def address(url: str) -> Address | None:
    """The address in a database's *url* (SQLAlchemy's form); None if it is none."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    query = parse_qs(found["query"] or "")
    host = query.get("host", [found["six"] or found["host"] or "localhost"])[0]
    port = query.get("port", [found["port"] or ""])[0]
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else _PORT
    return Address(host, number, unquote(found["database"] or ""))


def register(config: pytest.Config) -> None:
    """Add the line where the suite names a database."""
    if config.getini("unstale_database"):
        config.pluginmanager.register(_Header(), "unstale-header")


class _Header:
    """Says what a reader of the log asks first. Connects to nothing."""

    def pytest_report_header(self, config: pytest.Config) -> str:
        root = config.rootpath
        found = heads(root / str(config.getini("unstale_alembic_ini")), root)
        return (
            f"unstale: image {os.environ.get('UNSTALE_IMAGE') or 'host'}, "
            f"migration head {_shown(found)}, "
            f"database {_database(str(config.getini('unstale_database')))}"
        )


def _shown(found: tuple[str, ...] | None) -> str:
    if found is None:
        return "unknown (no migrations found)"
    return ", ".join(found) or "none"


def _database(variable: str) -> str:
    url = os.environ.get(variable)
    if not url:
        return f"unknown ({variable} is not set)"
    return str(address(url) or f"unknown ({variable} holds no database URL)")
