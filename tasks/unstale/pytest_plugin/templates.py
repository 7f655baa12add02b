"""Databases that are built once for a digest of the code, and then cloned.

The protocol is pgtestdb's: whoever builds holds an advisory lock; a template
is finished when ``datistemplate`` is set, which comes last; what somebody left
half-built is dropped. Advisory locks count within one database, so all who share
templates hold theirs in the same one: the database of the suite's URL, *admin*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from unstale.errors import Unavailable
from unstale.pytest_plugin.engines import open_engine, sqlstate
from unstale.pytest_plugin.locks import exclusive, release, share, tried
from unstale.pytest_plugin.migrations import SchemaExists
from unstale.pytest_plugin.watch import allowed

__all__ = [
    "clone",
    "clone_name",
    "drop",
    "ensure_template",
    "held_template",
    "key",
    "own_clones",
    "sweep",
]

_KEPT = 3
# Settings whose value is a list of quoted names already (pg_dump knows the same).
_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries")

_SERVER = text(
    """
    SELECT current_setting('server_version_num'), current_user::text,
           pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
           (SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname)
              FROM pg_extension),
           (SELECT string_agg(name || ' ' || default_version, ', ' ORDER BY name)
              FROM pg_available_extensions),
           (SELECT string_agg(array_to_string(setconfig, ', '), ', ' ORDER BY setrole)
              FROM pg_db_role_setting WHERE setdatabase = d.oid)
      FROM pg_database d WHERE d.datname = current_database()
    """
)


def key(admin: Engine, digest: str, *, seeds: Iterable[Path] = ()) -> str:
    """The name of all that a built database depends on.

    *digest* stands for the code (see `migrations.survey`), *seeds* for files
    with rows; the server's version, extensions, encoding, locale, settings, the
    role and the schemas of no migration are asked from *admin*.
    """
    parts = [digest]
    parts += [f"{p.name} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in sorted(seeds)]
    with admin.connect() as connection:
        parts += [str(value) for value in connection.execute(_SERVER).one()]
        parts += connection.execute(_SCHEMAS).scalars()
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ensure_template(admin: Engine, key: str, build: Callable[[str], None]) -> str:
    """The name of the finished template of *key*; who comes second waits.

    *build* fills a new database, whose name it is given. That has the settings, the
    extensions and the schemas that a script of the image gave the suite's own; if
    *build* makes such a schema itself, it is called again without that one. Older
    templates of the same database are dropped, but for the newest three and those in use.

    Raises:
        Unavailable: the role may not create databases.
        SchemaExists: *build* makes a schema twice.

    """
    name = _prefix(admin, "t") + key[:24]
    with admin.connect() as connection, exclusive(connection, name):
        if _is_finished(connection, name):
            return name
        try:
            _build(admin, connection, name, build)
        except BaseException:
            drop(admin, name)
            raise
        connection.execute(text(f"ALTER DATABASE {_quoted(name)} WITH ALLOW_CONNECTIONS false"))
        connection.execute(_DISCONNECT, {"name": name})
        connection.execute(text(f"ALTER DATABASE {_quoted(name)} WITH IS_TEMPLATE true"))
        _forget_old(admin, connection, name)
    return name


def _build(admin: Engine, connection: Connection, name: str, build: Callable[[str], None]) -> None:
    schemas = list(connection.execute(_SCHEMAS).scalars())
    while True:
        # From nothing, each time: what ran before an error may have been committed.
        drop(admin, name)
        _create(connection, name)
        # First: migrations may rely on a search_path.
        _configure(connection, name)
        _furnish(admin, name, schemas)
        try:
            build(name)
        except SchemaExists as error:
            again = [schema for schema in schemas if f'"{schema}"' in str(error)] or schemas
            if not again:
                raise
            schemas = [schema for schema in schemas if schema not in again]
        else:
            return


@contextmanager
def held_template(admin: Engine, key: str, build: Callable[[str], None]) -> Iterator[str]:
    """`ensure_template`, and nobody drops it before the end of the block."""
    with admin.connect() as connection:
        while True:
            name = ensure_template(admin, key, build)
            share(connection, name)
            if _is_finished(connection, name):
                break
            # Dropped between the two statements: it was old, and nobody held it.
            release(connection, name)
        yield name


def clone(admin: Engine, template: str, name: str) -> None:
    """Make the database *name*, equal to *template* and with its settings.

    Raises:
        Unavailable: the role may not create databases.

    """
    with admin.connect() as connection:
        try:
            connection.execute(
                text(f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}")
            )
        except DBAPIError as error:
            _explain(connection, error)
        _configure(connection, name)


def drop(admin: Engine, name: str) -> None:
    """Drop the database *name*, template or not, whoever is connected to it."""
    with allowed(), admin.connect() as connection:
        marked = connection.execute(_IS_TEMPLATE, {"name": name}).scalar()
        if marked is None:
            return
        if marked:
            connection.execute(text(f"ALTER DATABASE {_quoted(name)} WITH IS_TEMPLATE false"))
        connection.execute(text(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)"))


# --- Clones and their owners -------------------------------------------------


def clone_name(database: str, owner: str, number: str) -> str:
    """The name of a clone that *owner* (8 letters) makes beside *database*."""
    return f"unstale_c_{_short(database)}_{owner}_{number}"


@contextmanager
def own_clones(admin: Engine, owner: str) -> Iterator[None]:
    """Tell others that *owner* lives: `sweep` leaves its clones alone."""
    with admin.connect() as connection, exclusive(connection, f"clones of {owner}"):
        yield


def sweep(admin: Engine) -> tuple[str, ...]:
    """Drop the clones whose owner died, and name them."""
    prefix = _prefix(admin, "c")
    dropped = []
    with admin.connect() as connection:
        for name in connection.execute(_NAMES, {"prefix": prefix}).scalars().all():
            owner = name.removeprefix(prefix).partition("_")[0]
            with tried(connection, f"clones of {owner}") as is_free:
                if is_free:
                    drop(admin, name)
                    dropped.append(name)
    return tuple(dropped)


# --- The server's words ------------------------------------------------------

_IS_TEMPLATE = text("SELECT datistemplate FROM pg_database WHERE datname = :name")
_NAMES = text(
    "SELECT datname::text FROM pg_database WHERE left(datname, length(:prefix)) = :prefix"
    " ORDER BY oid DESC"
)
_DISCONNECT = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
_LIKE_THIS = text("SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()")
_EXTENSIONS = text(
    """
    SELECT e.extname::text, e.extversion, n.nspname::text
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
     WHERE e.extname <> 'plpgsql' ORDER BY e.oid
    """
)
# Those that were there before Alembic was: its table is the first that it makes.
_SCHEMAS = text(
    r"""
    SELECT n.nspname::text FROM pg_namespace n
     WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'public')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e'
                        AND d.classid = 'pg_namespace'::regclass AND d.objid = n.oid)
       AND n.oid < ALL (SELECT oid FROM pg_class
                         WHERE relname = 'alembic_version' AND relkind = 'r')
     ORDER BY 1
    """
)
_SETTINGS = text(
    """
    SELECT split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)
      FROM pg_db_role_setting, unnest(setconfig) s
     WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database
                                           WHERE datname = current_database())
    """
)


def _is_finished(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_IS_TEMPLATE, {"name": name}).scalar())


def _create(connection: Connection, name: str) -> None:
    """An empty database with the encoding and the locale of the connection's own."""
    like: dict[str, Any] = connection.execute(_LIKE_THIS).scalar_one()
    encoding = connection.execute(
        text("SELECT pg_encoding_to_char(:n)"), {"n": like["encoding"]}
    ).scalar_one()
    options = {"ENCODING": encoding, "LC_COLLATE": like["datcollate"], "LC_CTYPE": like["datctype"]}
    locale = like.get("datlocale") or like.get("daticulocale")
    if like.get("datlocprovider") == "i":
        options |= {"LOCALE_PROVIDER": "icu", "ICU_LOCALE": locale}
    elif like.get("datlocprovider") == "b":
        options |= {"LOCALE_PROVIDER": "builtin", "BUILTIN_LOCALE": locale}
    words = " ".join(f"{option} {_literal(value)}" for option, value in options.items())
    try:
        connection.execute(text(f"CREATE DATABASE {_quoted(name)} TEMPLATE template0 {words}"))
    except DBAPIError as error:
        _explain(connection, error)


def _furnish(admin: Engine, name: str, schemas: Sequence[str]) -> None:
    """Make *schemas*, and the extensions of *admin*: a script of the image made them."""
    with admin.connect() as connection:
        extensions = connection.execute(_EXTENSIONS).all()
    if not extensions and not schemas:
        return
    url = admin.url.render_as_string(hide_password=False)
    with open_engine(url, autocommit=True, database=name).connect() as connection:
        for schema in schemas:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}"))
        for extension, version, schema in extensions:
            # Where it is there; a migration's own schema is not there yet.
            place = f"SCHEMA {_quoted(schema)} " if schema in {*schemas, "public"} else ""
            connection.execute(
                text(
                    f"CREATE EXTENSION IF NOT EXISTS {_quoted(extension)} {place}"
                    f"VERSION {_literal(version)} CASCADE"
                )
            )


def _configure(connection: Connection, name: str) -> None:
    """Repeat ALTER DATABASE ... SET: CREATE DATABASE copies no such settings."""
    for setting, value in connection.execute(_SETTINGS).all():
        words = value if setting in _LISTS else _literal(value)
        # What only a superuser may set decides nothing about a schema.
        with suppress(DBAPIError):
            connection.execute(text(f"ALTER DATABASE {_quoted(name)} SET {setting} TO {words}"))


def _forget_old(admin: Engine, connection: Connection, newest: str) -> None:
    # The oid grows with each new database: the order of creation.
    names = connection.execute(_NAMES, {"prefix": _prefix(admin, "t")}).scalars().all()
    for name in [name for name in names if name != newest][_KEPT - 1 :]:
        with tried(connection, name) as is_free:
            if is_free:
                drop(admin, name)


def _explain(connection: Connection, error: DBAPIError) -> NoReturn:
    if sqlstate(error) != "42501":
        raise error
    role = connection.execute(text("SELECT quote_ident(current_user)")).scalar_one()
    raise Unavailable(
        f"The role {role} may not create databases.",
        cause="Isolation by clone, and more than one xdist worker, need a database each.",
        hint=f"as a superuser: ALTER ROLE {role} CREATEDB",
    ) from error


def _prefix(admin: Engine, kind: str) -> str:
    return f"unstale_{kind}_{_short(admin.url.database or '')}_"


def _short(database: str) -> str:
    return hashlib.sha256(database.encode()).hexdigest()[:8]


def _quoted(name: str) -> str:
    # Colons would be taken for SQLAlchemy's parameters.
    return '"' + name.replace('"', '""').replace(":", r"\:") + '"'


def _literal(value: str) -> str:
    return "'" + str(value).replace("'", "''").replace(":", r"\:") + "'"
