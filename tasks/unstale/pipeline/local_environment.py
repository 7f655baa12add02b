"""What tests on this machine are told of their database, and where they run.

Compose files are read as text: without Docker nobody resolves them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from unstale.adapters.local_postgres import Address
from unstale.config import Settings
from unstale.errors import ConfigError
from unstale.ports import Files

__all__ = [
    "URL",
    "Want",
    "address_of",
    "directory",
    "environment",
    "expanded",
    "python_of",
    "stack_major",
    "want",
]

URL = "DATABASE_URL"
"""The variable that leads to the database."""

_IS_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
_IMAGE = re.compile(r"^[ \t]*image:[ \t]*[\"']?([^\s\"']+)", re.MULTILINE)
_MAJOR = re.compile(r"(?:postg|pgvector|timescale).*:(?:\S*pg)?(\d{1,9})", re.IGNORECASE)
# Of another server: they would not fit the one here.
_OF_THE_SERVER = ("host", "hostaddr", "port", "sslmode", "ssl", "sslrootcert")
# POSTGRES_HOST, DB_NAME and what else projects call the parts of the address.
_PART = re.compile(r"(?:POSTGRES|DATABASE|DB)_([A-Z]+)")
# What libpq reads, and what the official image does.
_BASICS = {
    "PGHOST": "HOST",
    "PGPORT": "PORT",
    "PGUSER": "USER",
    "PGPASSWORD": "PASSWORD",
    "PGDATABASE": "DB",
    "POSTGRES_HOST": "HOST",
    "POSTGRES_PORT": "PORT",
    "POSTGRES_USER": "USER",
    "POSTGRES_PASSWORD": "PASSWORD",
    "POSTGRES_DB": "DB",
}


@dataclass(frozen=True, slots=True)
class Want:
    """What the environment's files say of its database."""

    scheme: str
    """With the driver: ``postgresql+psycopg``."""
    user: str
    databases: tuple[str, ...]
    """The tests' first."""


def expanded(values: Mapping[str, str | None]) -> dict[str, str]:
    """*values* with their ``${NAME}`` and ``${NAME:-default}`` filled in.

    Keys without a value are left out: they are inherited.
    """
    known = {key: value for key, value in values.items() if value is not None}

    def fill(found: re.Match[str]) -> str:
        return known.get(found[1]) or found[2] or ""

    return {key: _VARIABLE.sub(fill, value) for key, value in known.items()}


def stack_major(texts: Sequence[str], variables: Mapping[str, str | None]) -> int | None:
    """The major version in the tag of the compose files' PostgreSQL image, if it tells."""
    for text in texts:
        for image in _IMAGE.findall(text):
            name = expanded({**variables, "": image})[""]
            if found := _MAJOR.search(name.partition("@")[0]):
                return int(found[1])
    return None


def want(values: Mapping[str, str], texts: Sequence[str] = ()) -> Want:
    """Which role and databases the environment expects, and over which driver.

    *texts* are the compose files', which may hold the URL that *values* lack.
    """
    urls = {k: parts for k, v in values.items() if (parts := _split(v))}
    main = urls.get(URL, next(iter(urls.values()), None))
    written = next((found for text in texts for found in _IS_POSTGRES.findall(text)), "")
    user = values.get("POSTGRES_USER") or "postgres"
    if main is not None:
        user = unquote(main.username or "") or user
    databases = [_database(main)] if main is not None and _database(main) else []
    databases += [values[k] for k in ("POSTGRES_DB", "PGDATABASE") if values.get(k)][:1]
    databases = databases[:1] or [user]
    databases += [_database(url) for url in urls.values() if _database(url)]
    return Want(
        scheme=main.scheme if main is not None else written.removesuffix("://") or "postgresql",
        user=user,
        databases=tuple(dict.fromkeys(databases)),
    )


def _split(url: str) -> SplitResult | None:
    """The parts of a PostgreSQL's URL; None if it is none, or can't be read."""
    try:
        parts = urlsplit(url) if _IS_POSTGRES.match(url) else None
        if parts is not None:
            _ = parts.port
    except ValueError:
        return None
    return parts


def _database(url: SplitResult) -> str:
    return unquote(url.path.removeprefix("/"))


def address_of(url: str) -> Address:
    """The parts of the database's URL that the user exported.

    Raises:
        ConfigError: it is not PostgreSQL's, or can't be read.

    """
    if not _IS_POSTGRES.match(url):
        raise ConfigError(
            f"{URL} is set, and is not the URL of a PostgreSQL.",
            hint=f"unset {URL}, and a server is started for the run",
        )
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        port = parts.port or int(query.get("port", "5432"))
    except ValueError:
        # The error's own text quotes the URL, which holds a password.
        raise ConfigError(f"{URL} can't be read: its host or port is wrong.") from None
    return Address(
        host=parts.hostname or query.get("host", ""),
        port=port,
        user=unquote(parts.username or "") or query.get("user", ""),
        password=unquote(parts.password or ""),
        database=_database(parts) or query.get("dbname", ""),
    )


def environment(
    values: Mapping[str, str], address: Address, wanted: Want, exported: str | None = None
) -> dict[str, str]:
    """The env files' *values*, with every way to the database leading to *address*.

    *exported* is the user's own URL, which is passed on as it is.
    """
    user, password = _quoted(address.user), _quoted(address.password)
    netloc = f"{user}:{password}@{address.host}:{address.port}"
    url = f"{wanted.scheme}://{netloc}/{_quoted(address.database)}"
    parts = {
        **dict.fromkeys(("HOST", "SERVER", "HOSTNAME"), address.host),
        "PORT": str(address.port),
        **dict.fromkeys(("USER", "USERNAME"), address.user),
        **dict.fromkeys(("PASSWORD", "PASS"), address.password),
        **dict.fromkeys(("DB", "NAME", "DATABASE"), address.database),
    }
    own = {k: parts[m[1]] for k in values if (m := _PART.fullmatch(k)) and m[1] in parts}
    written = {key: parts[part] for key, part in _BASICS.items() if parts[part]}
    others = {} if exported else {k: _moved(v, netloc) for k, v in values.items()}
    return {**values, **others, **own, **written, URL: exported or others.get(URL) or url}


def _quoted(text: str) -> str:
    return quote(text, safe="", errors=_how(text))


def _how(text: str) -> str:
    """How half a character is encoded."""
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # what a setting says need not be text
        return "replace"
    return "surrogateescape"  # and what the shell hands over need not be UTF-8


def _moved(value: str, netloc: str) -> str:
    """*value*; if it is a PostgreSQL's URL, the same database on another server."""
    parts = _split(value)
    if parts is None:
        return value
    query = [(k, v) for k, v in parse_qsl(parts.query) if k not in _OF_THE_SERVER]
    told = urlencode(query, errors=_how(parts.query))
    return urlunsplit(parts._replace(netloc=netloc, query=told))


def python_of(root: Path, environ: Mapping[str, str]) -> str:
    """The Python that has the project's packages.

    Ours if it is in the project, then the active environment's, then the one of
    the project's ``.venv``; else ours.
    """
    active = environ.get("VIRTUAL_ENV")
    places = ([Path(active)] if active else []) + [root / ".venv", root / "venv"]
    if not Path(sys.prefix).is_relative_to(root):
        for place in places:
            if (place / "bin" / "python").exists():
                return str(place / "bin" / "python")
    return sys.executable


def directory(settings: Settings, files: Files) -> Path:
    """The folder that in the image is the working directory: alembic.ini is there.

    Raises:
        ConfigError: it is not configured, and there are none or several.

    """
    root, schema = settings.root, settings.schema
    if settings.local.directory is not None:
        return root / settings.local.directory
    # In an image it may be absolute.
    ini = PurePosixPath(schema.alembic_ini)
    relative = str(ini.name if ini.is_absolute() else ini)
    if schema.setup != "migrate" or files.exists(root / relative):
        return root
    found = [
        path
        for pattern in (f"*/{relative}", f"*/*/{relative}")
        for path in files.glob(root, pattern)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(root)) for path in found) or "none"
        raise ConfigError(
            f"It is not clear where the migrations are: no {relative} in the project's folder.",
            cause=f"Found in its subfolders: {names}.",
            hint='set directory = "..." in [tool.unstale.local]',
        )
    return Path(str(found[0]).removesuffix(f"/{relative}"))
