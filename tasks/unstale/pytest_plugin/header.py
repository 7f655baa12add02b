"""One line on top of the report: which image, which migrations, which database."""

from __future__ import annotations

import ast
import configparser
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

__all__ = ["Address", "address", "heads", "register"]

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


def heads(ini: Path, root: Path) -> tuple[str, ...] | None:
    """The migrations that no other follows, sorted; None where no scripts are found.

    Only reads text: neither Alembic nor a migration is imported.
    """
    folders = [folder for folder in _versions(ini, root) if os.path.isdir(folder)]  # noqa: PTH112 - a name too long
    if not folders:
        return None
    scripts = [_links(path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    followed = {down for _, downs in scripts for down in downs if isinstance(down, str)}
    return tuple(sorted({name for name, _ in scripts if name} - followed))


def _versions(ini: Path, root: Path) -> Iterator[Path]:
    """The folders of migrations that *ini* names."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(ini, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return
    location = parser.get("alembic", "script_location", fallback="").strip()
    named = parser.get("alembic", "version_locations", fallback="").strip()
    if not location:
        return
    for part in re.split(_separator(parser), named) if named else (f"{location}/versions",):
        if part.strip():
            yield _folder(part.strip(), ini, root)


def _separator(parser: configparser.RawConfigParser) -> str:
    """What parts the folders, as a pattern. Alembic's older releases say it in two ways."""
    older = parser.get("alembic", "version_path_separator", fallback="")
    word = parser.get("alembic", "path_separator", fallback=older).strip()
    by_name = {"": r"[\s,]+", "space": r"\s+", "newline": r"\n", "os": re.escape(os.pathsep)}
    return by_name.get(word, re.escape(word))


def _folder(text: str, ini: Path, root: Path) -> Path:
    path = text.replace("%(here)s", str(ini.parent))
    package, colon, inside = path.partition(":")
    # `package:folder` names a folder of an importable package.
    return root / (f"{package.replace('.', '/')}/{inside}" if colon else path)


def _links(script: Path) -> tuple[str | None, tuple[str, ...]]:
    """A migration's own name and the names of those it follows."""
    try:
        body = ast.parse(script.read_bytes()).body
    # The last two: Python's parser went too deep.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, ()
    values = dict(_constants(body))
    name, downs = values.get("revision"), values.get("down_revision")
    followed = downs if isinstance(downs, (tuple, list)) else (downs,)
    return name if isinstance(name, str) else None, tuple(d for d in followed if d is not None)


def _constants(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    yield name, ast.literal_eval(value)
                # A set of lists; sums of a thousand terms.
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue


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
