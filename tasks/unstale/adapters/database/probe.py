"""Asks Alembic, the models and PostgreSQL, inside the project's own environment.

This file is piped to the project's Python, so it stands alone: nothing of unstale
is installed there, and the oldest versions it must run on are Python 3.8, Alembic
1.9 and SQLAlchemy 1.4. One start of Python answers one request:

    python - '{"do": "look", "ini": "alembic.ini", "deadline_s": 60}'

`look` never writes: Alembic's own ``history -i`` would create ``alembic_version``;
the project's env.py is run in an EnvironmentContext whose function only reads (the
way of ``alembic check``). One line of JSON follows a sentinel, because env.py may
print and log what it likes.

The database is reached in two ways. env.py opens its own connections; an event
of SQLAlchemy tells how (and can send them to another database of the server).
With that, connections of our own are opened beside: outside of any transaction of
env.py, and each of them new.
"""

import ast
import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import socket
import struct
import subprocess
import sys
import sysconfig
import time
import zlib

SENTINEL = "unstale-probe:"

# Of a session-level advisory lock, which goes with its connection.
LOCK = "1970170222, 1835625838"
TEMPLATE_LOCK = "1970170222, 1953066089"
MIGRATOR = "unstale-migrate"
REFERENCE = "unstale_r_"
SCRATCH = "unstale_s_"

_PAUSE_S = 0.1
_TEMPLATES_KEPT = 3


class Refused(Exception):
    """The database can't be used; *rung* says how far the way to it led."""

    def __init__(self, rung, message, final, holders=()):
        super().__init__(message)
        self.rung = rung
        self.final = final
        self.holders = list(holders)


class NotChecked(Exception):
    """A witness could not be heard; the message says why."""


# --- Connections of our own ---------------------------------------------------


class _Captured(BaseException):
    """Ends env.py as soon as it is known how it connects; nothing may swallow it."""


class Door:
    """How env.py connects: its driver and arguments, seen at its first connection.

    While it is open every connection of SQLAlchemy in this process passes here.
    """

    def __init__(self, name, read_only=False):
        self.name = name
        self.read_only = read_only
        self.database = None  # where connections are sent instead
        self.capturing = False
        self.dialect = None
        self.arguments = ()
        self.parameters = None
        self._engines = []

    def _listeners(self):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        return event, Engine, (("do_connect", self._connecting), ("connect", self._connected))

    def __enter__(self):
        event, engine, listeners = self._listeners()
        for name, listener in listeners:
            event.listen(engine, name, listener)
        event.listen(engine, "engine_connect", self._noted)
        return self

    def __exit__(self, *_error):
        event, engine, listeners = self._listeners()
        for name, listener in listeners:
            event.remove(engine, name, listener)
        event.remove(engine, "engine_connect", self._noted)

    def _noted(self, *event):
        # Before SQLAlchemy 2 there is a second argument.
        connection = event[0]
        if all(connection.engine is not known for known in self._engines):
            self._engines.append(connection.engine)

    def forget(self):
        """Let no pool hand out a connection of before: it would pass this door by."""
        for engine in self._engines:
            try:
                engine.dispose(close=False)
            except TypeError:  # before SQLAlchemy 1.4.33
                engine.dispose()
        self._engines = []

    def _connecting(self, dialect, _record, arguments, parameters):
        if self.parameters is None:
            self.dialect = dialect
            self.arguments, self.parameters = tuple(arguments), dict(parameters)
        if self.capturing:
            raise _Captured
        if dialect.name != "postgresql":
            return
        # Always set: before SQLAlchemy 2.1 the next connection gets the same mapping.
        key = _database_key(dialect, self.parameters)
        name = self.parameters.get(key) if self.database is None else self.database
        if name is not None:
            parameters[key] = name
        _name(dialect.driver, parameters, self.name)

    def _connected(self, link, _record):
        if self.read_only and self.is_postgres:
            cursor = link.cursor()
            cursor.execute("SET default_transaction_read_only = on")
            cursor.close()
            link.commit()

    @property
    def is_postgres(self):
        return self.dialect is not None and self.dialect.name == "postgresql"

    def open(self, database=None):
        """A connection of our own to the same database, or to another of the server."""
        parameters = dict(self.parameters)
        if database is not None:
            parameters[_database_key(self.dialect, parameters)] = database
        return connect(self.dialect.driver, self.arguments, parameters, self.name)


def _database_key(dialect, parameters):
    """What the driver's own argument for the name of the database is called."""
    # psycopg2 knows both, and takes only one: SQLAlchemy 1.4 says "database" to it.
    if "database" in parameters or not dialect.driver.startswith("psycopg"):
        return "database"
    return "dbname"


def _name(driver, parameters, name):
    """Let everybody see in pg_stat_activity who this is."""
    if driver == "asyncpg":
        parameters["server_settings"] = dict(
            parameters.get("server_settings") or {}, application_name=name
        )
    else:
        parameters["application_name"] = name


def connect(driver, arguments, parameters, name):
    """Open a `Link` with the driver that SQLAlchemy uses, and its arguments."""
    parameters = dict(parameters)
    _name(driver, parameters, name)
    if driver.startswith("psycopg2"):
        import psycopg2

        link = psycopg2.connect(*arguments, **parameters)
        link.autocommit = True
        return Link(link)
    if driver.startswith("psycopg"):
        import psycopg

        return Link(psycopg.connect(*arguments, autocommit=True, **parameters))
    if driver == "pg8000":
        import pg8000.dbapi

        link = pg8000.dbapi.connect(*arguments, **parameters)
        link.autocommit = True
        return Link(link)
    if driver == "asyncpg":
        return AsyncLink(parameters)
    raise NotChecked("the driver " + driver + " is not known to unstale")


class Link:
    """An own connection in autocommit: each statement is its own transaction."""

    def __init__(self, link):
        self._link = link

    def rows(self, sql):
        """What *sql* returns; it takes no parameters, see `literal`."""
        cursor = self._link.cursor()
        try:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def close(self):
        self._link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


class AsyncLink(Link):
    """The same through asyncpg, on an event loop that nobody else uses."""

    def __init__(self, parameters):
        import asyncio

        import asyncpg

        # SQLAlchemy's own, which its dialect takes out.
        own = ("prepared_statement_", "async_")
        given = {k: v for k, v in parameters.items() if not k.startswith(own)}
        self._loop = asyncio.new_event_loop()
        try:
            super().__init__(self._loop.run_until_complete(asyncpg.connect(**given)))
        except BaseException:
            self._loop.close()
            raise

    def rows(self, sql):
        return [tuple(row) for row in self._loop.run_until_complete(self._link.fetch(sql))]

    def close(self):
        self._loop.run_until_complete(self._link.close())
        self._loop.close()


def literal(text):
    """*text* as an SQL literal; a backslash means itself, as the standard says."""
    return "'" + str(text).replace("'", "''") + "'"


def quoted(name):
    """*name* as an SQL identifier."""
    return '"' + str(name).replace('"', '""') + '"'


# --- Readiness ------------------------------------------------------------------

_FINAL_STATES = {"28P01": "auth", "28000": "auth", "3D000": "database", "42501": "auth"}
_FINAL_WORDS = (
    ("auth", "password authentication failed"),
    ("auth", "no pg_hba.conf entry"),
    ("auth", "no password supplied"),
    ("auth", 'role "'),
    ("database", 'database "'),
)


def _sqlstate(error):
    """PostgreSQL's code of what *error* of a driver, or of SQLAlchemy, is about."""
    error = getattr(error, "orig", None) or error
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None and error.args and isinstance(error.args[0], dict):  # pg8000
        state = error.args[0].get("C")
    return state


def _refusal(error):
    """The rung that *error* of a driver is about, and whether waiting could help."""
    words, state = str(error), _sqlstate(error)
    if error.args and isinstance(error.args[0], dict):  # pg8000
        words = str(error.args[0].get("M"))
    if state in _FINAL_STATES:
        return Refused(_FINAL_STATES[state], words, True)
    for rung, text in _FINAL_WORDS:
        if text in words and ("does not exist" in words or not text.endswith('"')):
            return Refused(rung, words, True)
    return Refused("query", words, False)


def climb(door):
    """Go up the ladder once: name, TCP, protocol byte, auth, database, query.

    Returns when the server's process started. The temporary server of an image's
    first start is not met: it listens on a socket of its own container only.
    """
    for host, port in _addresses(door.parameters):
        _knock(host, port)
    try:
        link = door.open()
    except NotChecked:
        raise
    except Exception as error:  # each driver has errors of its own
        raise _refusal(error) from error
    with link:
        started, recovering = link.rows(
            "SELECT pg_postmaster_start_time()::text, pg_is_in_recovery()"
        )[0]
    if recovering:
        raise Refused("query", "the server is in recovery", False)
    return started


def _addresses(parameters):
    hosts = parameters.get("host") or ""
    ports = parameters.get("port") or 5432
    hosts = hosts if isinstance(hosts, (list, tuple)) else str(hosts).split(",")
    ports = ports if isinstance(ports, (list, tuple)) else str(ports).split(",")
    if len(hosts) != 1 or not hosts[0] or hosts[0].startswith("/"):
        return []  # a socket, a default or a choice of hosts: the driver knows
    return [(hosts[0], int(ports[0] or 5432))]


def _knock(host, port):
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Refused("name", host + ": " + str(error), False) from error
    try:
        link = socket.create_connection((host, port), timeout=3)  # each of its addresses
    except OSError as error:
        raise Refused("tcp", host + ":" + str(port) + ": " + str(error), False) from error
    with link:
        try:
            # SSLRequest: a server answers with one letter; a proxy with nobody behind it
            # accepts, and closes.
            link.sendall(struct.pack("!ii", 8, 80877103))
            answer = link.recv(1)
        except OSError as error:
            raise Refused("protocol", str(error), False) from error
    if answer not in (b"S", b"N"):
        raise Refused("protocol", "nobody answers behind the port", False)


def wait_until_ready(door, deadline_s):
    """Climb until the same server answered twice in a row; the rungs that failed, by count."""
    end = time.monotonic() + deadline_s
    first, failed = None, {}
    while True:
        try:
            started = climb(door)
        except Refused as refused:
            failed[refused.rung] = failed.get(refused.rung, 0) + 1
            if refused.final or time.monotonic() >= end:
                raise
            first = None
        else:
            if started == first:
                return failed
            first = started
            continue  # the second look comes at once
        time.sleep(_PAUSE_S)


# --- The project's Alembic --------------------------------------------------------


class Project:
    """Alembic's view of the project: its configuration, scripts and env.py."""

    def __init__(self, ini, door):
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        self.ini = ini
        self.door = door
        try:
            self.config = Config(ini, toml_file="pyproject.toml")
        except TypeError:  # before Alembic 1.16
            self.config = Config(ini)
        self.scripts = ScriptDirectory.from_config(self.config)

    def run_env(self, read, **options):
        """Run env.py with *read* in place of the migrations; None is what it returns."""
        from alembic.runtime.environment import EnvironmentContext

        self.door.forget()
        with EnvironmentContext(self.config, self.scripts, fn=read, **options):
            self.scripts.run_env()

    @property
    def heads(self):
        """What the version table has after an upgrade to all heads, sorted.

        A head that another one depends on is not there.
        """
        found = getattr(self.scripts.revision_map, "_real_heads", None)
        return sorted(self.scripts.get_heads() if found is None else found)

    def capture(self):
        """Learn how env.py connects, without connecting."""
        door = self.door
        door.capturing = True
        try:
            self.run_env(lambda _heads, _context: [], dont_mutate=True)
        except _Captured:
            pass
        finally:
            door.capturing = False
        if door.parameters is None:
            raise NotChecked("env.py opened no connection through SQLAlchemy")

    def upgrade(self, target, database=None):
        """Run the migrations; which one ran last is in the error's ``running``.

        Nothing runs if env.py goes to another database than *database*.
        """
        return self._walk(target, database, self.scripts._upgrade_revs)

    def downgrade(self, target, database):
        """Undo migrations, in *database* alone."""
        return self._walk(target, database, self.scripts._downgrade_revs)

    def _walk(self, target, database, steps_to):
        from alembic.runtime import migration

        if database is not None:  # before Alembic makes its table there
            self.run_env(lambda _heads, context: _require(context, database), dont_mutate=True)

        def steps(heads, context):
            if database is not None:
                _require(context, database)
            return steps_to(target, heads)

        recorder = migration.log = _Recorder(migration.log)
        try:
            self.run_env(steps, destination_rev=target)
        except BaseException as error:
            error.running = recorder.last
            raise
        finally:
            migration.log = recorder.log
        return recorder.count

    def sql(self, span):
        """The SQL of ``alembic upgrade SPAN --sql``."""
        import io

        from alembic import command

        self.door.forget()
        self.config.output_buffer = io.StringIO()
        command.upgrade(self.config, span, sql=True)
        return self.config.output_buffer.getvalue()

    def folder_files(self):
        """Every file beside the migrations: some run the SQL that lies there."""
        folders = [self.scripts.dir] + list(self.scripts.version_locations or ())
        for folder in folders:
            for at, _, names in os.walk(folder):
                for name in names:
                    if "__pycache__" not in at:
                        yield os.path.abspath(os.path.join(at, name))

    def files(self):
        """Each file of the migrations, absolute: revisions and env.py."""
        found = [os.path.abspath(os.path.join(self.scripts.dir, "env.py"))]
        found += [os.path.abspath(one.path) for one in self.scripts.walk_revisions()]
        return sorted(set(found))


def _require(context, database):
    found = context.connection.exec_driver_sql("SELECT current_database()").scalar()
    if found != database:
        raise NotChecked(
            "env.py went to the database " + str(found) + " instead of a scratch database"
        )
    return []


class _Recorder:
    """Alembic's log, which remembers the migration that began last.

    A handler would not do: ``fileConfig`` in env.py removes it.
    """

    def __init__(self, log):
        self.log = log
        self.last = ""
        self.count = 0

    def info(self, message, *arguments):
        text = message % arguments if arguments else message
        if text.startswith("Running upgrade"):
            self.last = text
            self.count += 1
        self.log.info(message, *arguments)

    def __getattr__(self, name):
        return getattr(self.log, name)


def _effects(path):
    """Whether a revision's ``upgrade`` does anything, and the string constants in it."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return True, []
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "upgrade"]
    words = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    idle = (ast.Pass, ast.Return)
    does = any(
        not isinstance(line, idle)
        and not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for function in found
        for line in function.body
    )
    return does, words


# --- Looking --------------------------------------------------------------------


def scripts_facts(project):
    """What the scripts say, without a database."""
    revisions = list(project.scripts.walk_revisions())
    effects = [_effects(one.path) for one in revisions]
    return {
        "heads": project.heads,
        "available": [one.revision for one in revisions],
        "effective": sum(does for does, _ in effects),
        "scripts": {path: _file_digest(path) for path in project.files()},
        "versions": _versions(),
    }, [word for _, words in effects for word in words]


def _file_digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _versions():
    import alembic
    import sqlalchemy

    return {
        "python": platform.python_version(),
        "alembic": alembic.__version__,
        "sqlalchemy": sqlalchemy.__version__,
    }


def schema_facts(project, words, metadata_name=None):
    """What the database has, beside what scripts and models want. Never writes."""
    facts = {}

    def read(heads, context):
        if facts:
            raise NotChecked("env.py goes to several databases, of which only one can be judged")
        connection = context.connection
        inspector, present = _present(connection)
        default = inspector.default_schema_name
        version = (context.version_table_schema or default, context.version_table)
        tables = [one for one in present if one != version]
        facts["applied"] = sorted(heads)
        facts["pending"] = _pending(project, heads)
        facts["version_table"] = ".".join(part for part in version if part)
        facts["has_version_table"] = version in present
        facts["tables"] = sorted(_shown(one, default) for one in tables)
        # Whatever env.py asked before `configure` began a transaction, which Alembic
        # takes for the caller's, and does not commit.
        facts["begun_before_configure"] = bool(getattr(context, "_in_external_transaction", False))
        metadata = _metadata(context, metadata_name)
        facts["models"] = None if metadata is None else _count(metadata)
        if metadata is None or not facts["models"]:
            facts["missing_tables"] = None
            return []
        facts.update(_compared(context, metadata, inspector, tables, words))
        return []

    project.run_env(read, dont_mutate=True)
    return facts


def _pending(project, applied):
    """The migrations that are not applied, oldest first."""
    try:
        found = [
            one.revision for one in project.scripts.iterate_revisions("heads", applied or "base")
        ]
    except Exception:  # what is applied is not known here
        return []
    return found[::-1]


_EXTENDED = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
"""


def _present(connection):
    """The inspector, and every table by schema, but for those of extensions."""
    from sqlalchemy import inspect

    inspector = inspect(connection)
    found = []
    for schema in inspector.get_schema_names():
        if schema != "information_schema" and not schema.startswith("pg_"):
            found += [(schema, name) for name in inspector.get_table_names(schema=schema)]
    if connection.dialect.name == "postgresql":
        extended = {tuple(row) for row in connection.exec_driver_sql(_EXTENDED)}
        found = [one for one in found if one not in extended]
    return inspector, found


def _shown(table, default):
    schema, name = table
    return name if schema in (None, default) else schema + "." + name


def _metadata(context, name):
    """The models: what env.py names, else what the configuration does."""
    found = context.opts.get("target_metadata")
    if found is None and name:
        import importlib

        module, _, attribute = name.partition(":")
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    return found


def _group(metadata):
    return list(metadata) if isinstance(metadata, (list, tuple)) else [metadata]


def _count(metadata):
    return sum(len(one.tables) for one in _group(metadata))


def _compared(context, metadata, inspector, tables, words):
    """Models against tables: what is missing, moved, and what else differs."""
    from alembic.autogenerate import produce_migrations, render_python_code

    default = inspector.default_schema_name
    chosen = context.opts.get("include_object") or (lambda *_object: True)
    wanted = [
        (table.schema or default, table.name)
        for one in _group(metadata)
        for table in one.tables.values()
        if chosen(table, table.name, "table", False, None)
    ]
    # Views and foreign tables count: a model may be mapped to one.
    there = {one for one in wanted if inspector.has_table(one[1], schema=one[0])}
    missing = [one for one in wanted if one not in there]
    names = {name for _, name in tables}
    script = produce_migrations(context, metadata)
    diffs = list(_flat(script.upgrade_ops.as_diffs()))
    drift = [_difference(one) for one in diffs]
    shown = {_shown(one, default) for one in there} | {".".join(one) for one in there}
    drift = [one for one in drift if one[0] != "add_table" or one[1] not in shown]
    try:
        suggestion = render_python_code(script.upgrade_ops) if drift else ""
    except Exception:  # a type that can't be rendered is no reason to say nothing
        suggestion = ""
    return {
        "missing_tables": sorted(_shown(one, default) for one in missing),
        "moved": sorted(
            _shown((schema, name), default) + " is now " + _shown(found, default)
            for schema, name in missing
            if name in names
            for found in tables
            if found[1] == name
        ),
        # A table that no migration speaks of is a model without a migration.
        "unmigrated": sorted(
            _shown(one, default) for one in missing if not any(one[1] in word for word in words)
        ),
        "drift": drift,
        # Columns that the models lack, and that a row can't be without.
        "unfilled": sorted(
            _difference(one)[1]
            for one in diffs
            if one[0] == "remove_column" and not _fills_itself(one[3])
        ),
        "suggestion": suggestion,
    }


def _fills_itself(column):
    """Whether a row may be inserted that says nothing of *column*."""
    # A default of the server is also that of a sequence, an identity or an expression.
    return column.nullable or column.server_default is not None or column.autoincrement is True


def _flat(diffs):
    for one in diffs:
        if isinstance(one, list):
            for inner in _flat(one):
                yield inner
        else:
            yield one


def _difference(diff):
    """One difference as ``[kind, what]``; kinds are Alembic's."""
    kind = diff[0]
    if kind in ("add_table", "remove_table"):
        return [kind, diff[1].fullname]
    if kind in ("add_column", "remove_column"):
        return [kind, ".".join(p for p in (diff[1], diff[2], diff[3].name) if p)]
    if kind.startswith("modify_"):
        return [kind, ".".join(str(p) for p in diff[1:4] if p)]
    named = getattr(diff[1], "name", None) or str(diff[1])
    table = getattr(getattr(diff[1], "table", None), "name", "")
    return [kind, table + "." + str(named) if table else str(named)]


# --- The server ------------------------------------------------------------------

_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()), current_database(),
       current_user::text, current_setting('search_path'),
       coalesce(host(inet_server_addr()), ''), current_setting('server_version_num'),
       pg_postmaster_start_time()::text
"""

# An uncommitted table has a lock that everybody sees, and a row that nobody does. Who waits
# for the migrators' lock does nothing yet, so only its holder counts.
_IN_PROGRESS = """
SELECT
  (SELECT count(*) FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND c.oid IS NULL),
  (SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.locktype = 'relation' AND l.granted AND c.relname = 'alembic_version'
      AND l.pid <> pg_backend_pid()
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())),
  (SELECT coalesce(string_agg(a.application_name || ' (pid ' || l.pid || ')', ', '), '')
     FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND a.application_name <> {own}
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = split_part('{lock}', ', ', 1)::bigint::oid
      AND l.objid = split_part('{lock}', ', ', 2)::bigint::oid)
"""

# The sessions that `_IN_PROGRESS` counts; a prepared transaction has none.
_HOLDERS = """
SELECT DISTINCT coalesce(l.pid, 0), coalesce(a.usename, ''), coalesce(a.application_name, ''),
       coalesce(a.state, ''),
       coalesce(to_char(coalesce(a.xact_start, a.state_change, a.backend_start)
                        AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), ''),
       coalesce(a.query, '')
  FROM pg_locks l LEFT JOIN pg_class c ON l.locktype = 'relation' AND c.oid = l.relation
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND ((l.locktype = 'relation' AND c.oid IS NULL AND l.mode = 'AccessExclusiveLock')
     OR (l.locktype = 'relation' AND c.relname = 'alembic_version'
         AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock'))
     OR (l.locktype = 'advisory' AND a.application_name <> {own}
         AND l.classid = split_part('{lock}', ', ', 1)::bigint::oid
         AND l.objid = split_part('{lock}', ', ', 2)::bigint::oid))
 ORDER BY 1
"""

# Where the first value of a statement may begin: a literal, a comment, SET name TO value.
_VALUE = re.compile(r"""['$=]|--|/\*|\b\d|\bTO\b""", re.IGNORECASE)
_MOST_WORDS = 8

# Tables leave traces in the catalog's statistics when they are dropped; `stamp` leaves none.
_TRACES = """
SELECT coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_del), 0)
  FROM pg_stat_sys_tables WHERE schemaname = 'pg_catalog' AND relname = 'pg_class'
"""


def server_facts(link, own):
    """Which database this is, and what else goes on in it."""
    names = ("system", "database", "user", "search_path", "address", "version", "started")
    identity = dict(zip(names, link.rows(_IDENTITY)[0]))
    inserted, deleted = link.rows(_TRACES)[0]
    busy = in_progress(link, own)
    return {
        "identity": identity,
        "in_progress": busy,
        "holders": holders(link, own) if busy else [],
        "traces": {"inserted": int(inserted), "deleted": int(deleted)},
    }


def in_progress(link, own):
    """What shows that somebody else migrates this database; empty if nothing does."""
    unborn, versions, holders = link.rows(_IN_PROGRESS.format(lock=LOCK, own=literal(own)))[0]
    found = []
    if unborn:
        found.append(str(unborn) + " tables are being created and not yet committed")
    if versions:
        found.append("alembic_version is being written")
    if holders:
        found.append("the migration lock is held by " + holders)
    return found


def holders(link, own):
    """The sessions behind `in_progress`, each with what it did last, but for any value."""
    names = ("pid", "role", "application", "state", "since")
    return [
        dict(zip(names, row), query=first_words(row[-1]))
        for row in link.rows(_HOLDERS.format(lock=LOCK, own=literal(own)))
    ]


def first_words(query):
    """The beginning of *query*, up to where a value may stand: it may be a secret."""
    if query.startswith("<"):  # <insufficient privilege>
        return ""
    return " ".join(_VALUE.split(query, 1)[0].split()[:_MOST_WORDS])


# --- The catalog's fingerprint ------------------------------------------------------

# With an empty search path every name is written in full, whoever asks. What belongs to an
# extension is the extension's; a fact is a kind, a name and a definition.
_FINGERPRINT = r"""
WITH own AS (
  SELECT n.oid, n.nspname FROM pg_namespace n
   WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e'
                      AND d.classid = 'pg_namespace'::regclass AND d.objid = n.oid)),
extended AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
relation AS (
  SELECT c.*, own.nspname || '.' || c.relname AS full_name FROM pg_class c
    JOIN own ON own.oid = c.relnamespace
   WHERE NOT EXISTS (SELECT FROM extended e
                      WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid))
SELECT 'schema', nspname, '' FROM own
UNION ALL
SELECT 'relation', full_name, relkind::text || ' ' || relpersistence::text || ' '
       || CASE WHEN relrowsecurity THEN 'rls ' ELSE '' END
       || CASE WHEN relforcerowsecurity THEN 'forced ' ELSE '' END
       || coalesce(pg_get_expr(relpartbound, oid), '')
       || CASE WHEN relkind IN ('v', 'm') THEN md5(pg_get_viewdef(oid)) ELSE '' END
       || CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) ELSE '' END
       || ' ' || coalesce(array_to_string(reloptions, ','), '')
  FROM relation WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
UNION ALL
SELECT 'column', r.full_name || '.' || a.attname,
       format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || ' ' || a.attidentity::text || a.attgenerated::text
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
       || coalesce(' collate ' || nullif(a.attcollation, t.typcollation)::regcollation::text, '')
  FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
   AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
 WHERE r.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'constraint', r.full_name || '.' || k.conname, pg_get_constraintdef(k.oid)
       || CASE WHEN k.convalidated THEN '' ELSE ' not validated' END
  FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid
 WHERE k.contype <> 'n'
UNION ALL
SELECT 'index', t.full_name || '.' || r.relname, pg_get_indexdef(i.indexrelid)
       || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
  FROM pg_index i JOIN relation r ON r.oid = i.indexrelid JOIN relation t ON t.oid = i.indrelid
UNION ALL
SELECT 'trigger', r.full_name || '.' || t.tgname,
       pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
  FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'policy', r.full_name || '.' || p.polname,
       p.polcmd::text || ' ' || p.polpermissive::text || ' '
       || coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' '
       || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
  FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
UNION ALL
SELECT 'rule', r.full_name || '.' || u.rulename, pg_get_ruledef(u.oid)
  FROM pg_rewrite u JOIN relation r ON r.oid = u.ev_class WHERE u.rulename <> '_RETURN'
UNION ALL
SELECT 'enum', own.nspname || '.' || t.typname,
       (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e
         WHERE e.enumtypid = t.oid)
  FROM pg_type t JOIN own ON own.oid = t.typnamespace WHERE t.typtype = 'e'
   AND NOT EXISTS (SELECT FROM extended e
                    WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
SELECT 'domain', own.nspname || '.' || t.typname,
       format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
       || coalesce(' default ' || t.typdefault, '')
       || coalesce((SELECT ' ' || string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
                      FROM pg_constraint k WHERE k.contypid = t.oid), '')
  FROM pg_type t JOIN own ON own.oid = t.typnamespace WHERE t.typtype = 'd'
   AND NOT EXISTS (SELECT FROM extended e
                    WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
SELECT 'function', own.nspname || '.' || p.proname || '('
       || pg_get_function_identity_arguments(p.oid) || ')',
       CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE md5(pg_get_functiondef(p.oid)) END
  FROM pg_proc p JOIN own ON own.oid = p.pronamespace
 WHERE NOT EXISTS (SELECT FROM extended e
                    WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
SELECT 'sequence', r.full_name, format_type(s.seqtypid, NULL) || ' ' || s.seqstart || ' '
       || s.seqincrement || ' ' || s.seqmax || ' ' || s.seqmin || ' ' || s.seqcycle
  FROM pg_sequence s JOIN relation r ON r.oid = s.seqrelid
UNION ALL
SELECT 'extension', x.extname, x.extversion FROM pg_extension x
"""


def fingerprint(link):
    """Every fact of the catalog, ``kind name`` to its definition; one query.

    Two databases of servers of one major version that were made by the same
    statements have the same facts, whatever happened to their rows.
    """
    before = link.rows("SELECT current_setting('search_path')")[0][0]
    link.rows("SELECT set_config('search_path', '', false)")
    try:
        found = link.rows(_FINGERPRINT)
    finally:
        link.rows("SELECT set_config('search_path', " + literal(before) + ", false)")
    return {kind + " " + name: definition or "" for kind, name, definition in found}


def fingerprint_digest(facts):
    """One word for the facts of `fingerprint`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def compared(wanted, found):
    """How *found* differs from *wanted*: lists of ``[change, fact]``."""
    differences = []
    for fact in sorted(set(wanted) | set(found)):
        if fact not in found:
            differences.append(["missing", fact])
        elif fact not in wanted:
            differences.append(["added", fact])
        elif wanted[fact] != found[fact]:
            differences.append(["changed", fact])
    return differences


# --- Databases that are built from the migrations -------------------------------------


def template_key(project, link, seeds=()):
    """A digest of all that a database built by these migrations depends on."""
    parts = [json.dumps(_versions(), sort_keys=True)]
    files = set(project.folder_files()) | set(_project_modules())
    for pattern in seeds:
        import glob

        files |= {os.path.abspath(one) for one in glob.glob(pattern, recursive=True)}
    for path in sorted(files):
        parts.append(path + " " + (_file_digest(path) if os.path.isfile(path) else "none"))
    section = project.config.file_config
    if section.has_section("alembic"):
        parts.append(json.dumps(section.items("alembic", raw=True)))
    parts += [str(row) for row in link.rows(_KEY) + link.rows(_SCHEMAS)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_KEY = """
SELECT current_setting('server_version_num'), current_user::text,
       pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       (SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname) FROM pg_extension),
       (SELECT string_agg(array_to_string(setconfig, ', '), ', ' ORDER BY setrole)
          FROM pg_db_role_setting WHERE setdatabase = d.oid)
  FROM pg_database d WHERE d.datname = current_database()
"""

# Settings that are a list of quoted names already; pg_dump knows the same.
_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries")
_SETTINGS = """
SELECT split_part(s, '=', 1), substr(s, strpos(s, '=') + 1)
  FROM pg_db_role_setting, unnest(setconfig) s
 WHERE setrole = 0
   AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Those that were there before Alembic was: its table is the first that it makes.
_SCHEMAS = """
SELECT n.nspname FROM pg_namespace n
 WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'public')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e'
                    AND d.classid = 'pg_namespace'::regclass AND d.objid = n.oid)
   AND n.oid < ALL (SELECT oid FROM pg_class WHERE relname = 'alembic_version' AND relkind = 'r')
 ORDER BY 1
"""


def _project_modules():
    """The files of loaded modules that neither Python nor a package installed."""
    installed = {
        os.path.realpath(path) + os.sep
        for key, path in sysconfig.get_paths().items()
        if key in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not path or not os.path.isfile(path):
            continue
        path = os.path.realpath(path)
        if not path.startswith(tuple(installed)) and path.endswith(".py"):
            yield path


class Template:
    """A sealed database: made by the migrations, closed, and ready to be cloned."""

    def __init__(self, name, facts, is_new):
        self.name = name
        self.facts = facts
        self.is_new = is_new


def ensure_template(link, key, build):
    """The template of *key*; *build* fills a new, empty database of the name it is given.

    Whoever comes second waits. What somebody left half-built is dropped: only a
    sealed database (``datistemplate``, set last) is believed.

    *build* returns the facts of `fingerprint`, which are kept with the template.
    """
    name = _prefix(link) + key[:24]
    link.rows("SELECT pg_advisory_lock(" + TEMPLATE_LOCK + ")")
    try:
        sealed = _sealed(link, name)
        if sealed is not None:
            return Template(name, sealed, False)
        create_database(link, name)
        facts = build(name)
        noted = base64.b64encode(zlib.compress(json.dumps(facts, sort_keys=True).encode()))
        link.rows("COMMENT ON DATABASE " + quoted(name) + " IS " + literal(noted.decode()))
        link.rows("ALTER DATABASE " + quoted(name) + " WITH ALLOW_CONNECTIONS false")
        link.rows("ALTER DATABASE " + quoted(name) + " WITH IS_TEMPLATE true")
        _forget_old(link, name)
        return Template(name, facts, True)
    finally:
        link.rows("SELECT pg_advisory_unlock(" + TEMPLATE_LOCK + ")")


def _prefix(link):
    """One a database: its lock is, too."""
    database = link.rows("SELECT current_database()")[0][0]
    return REFERENCE + hashlib.sha256(database.encode()).hexdigest()[:8] + "_"


def _sealed(link, name):
    found = link.rows(
        "SELECT datistemplate, shobj_description(oid, 'pg_database') FROM pg_database"
        " WHERE datname = " + literal(name)
    )
    if not found:
        return None
    if found[0][0] and found[0][1]:
        return json.loads(zlib.decompress(base64.b64decode(found[0][1])).decode())
    drop_database(link, name)
    return None


def _forget_old(link, newest):
    """Drop all templates but the newest few; whoever clones one holds the lock."""
    names = link.rows(
        "SELECT datname FROM pg_database WHERE starts_with(datname, " + literal(_prefix(link)) + ")"
        " AND datname <> "
        + literal(newest)
        + " ORDER BY oid DESC OFFSET "
        + str(_TEMPLATES_KEPT - 1)
    )
    for (name,) in names:
        drop_database(link, name)


def create_database(link, name, template=None):
    """Make an empty database like the one *link* is in, or a clone of *template*."""
    try:
        if template is not None:
            link.rows("CREATE DATABASE " + quoted(name) + " TEMPLATE " + quoted(template))
        else:
            link.rows("CREATE DATABASE " + quoted(name) + " TEMPLATE template0 " + _like(link))
    except Exception as error:
        if "permission denied to create database" in str(error):
            raise NotChecked("the role may not create databases: it lacks CREATEDB") from error
        raise
    _configure(link, name)


def _configure(link, name):
    """Repeat ALTER DATABASE ... SET: CREATE DATABASE copies no such settings."""
    for setting, value in link.rows(_SETTINGS):
        words = value if setting in _LISTS else literal(value)
        # What only a superuser may set decides nothing about a schema.
        with contextlib.suppress(Exception):
            link.rows("ALTER DATABASE " + quoted(name) + " SET " + setting + " TO " + words)


def _like(link):
    """Encoding and locale of the database that *link* is in, as words for CREATE DATABASE."""
    # As JSON: the columns of a locale have other names in each major version.
    like = link.rows(
        "SELECT to_jsonb(d)::text, pg_encoding_to_char(d.encoding) FROM pg_database d"
        " WHERE d.datname = current_database()"
    )[0]
    encoding, like = like[1], json.loads(like[0])
    words = {
        "ENCODING": encoding,
        "LC_COLLATE": like["datcollate"],
        "LC_CTYPE": like["datctype"],
    }
    locale = like.get("datlocale") or like.get("daticulocale")
    if like.get("datlocprovider") == "i":
        words.update({"LOCALE_PROVIDER": "icu", "ICU_LOCALE": locale})
    elif like.get("datlocprovider") == "b":
        words.update({"LOCALE_PROVIDER": "builtin", "BUILTIN_LOCALE": locale})
    return " ".join(option + " " + literal(value) for option, value in words.items())


def drop_database(link, name):
    """Drop a database of ours, sealed or not, whoever is connected to it."""
    exists = link.rows("SELECT datistemplate FROM pg_database WHERE datname = " + literal(name))
    if not exists:
        return
    if exists[0][0]:
        link.rows("ALTER DATABASE " + quoted(name) + " WITH IS_TEMPLATE false")
    link.rows("DROP DATABASE IF EXISTS " + quoted(name) + " WITH (FORCE)")


def reference(project, door, link, seeds=()):
    """The template of the project's migrations; its facts are what a database should have."""

    def build(name):
        schemas = [schema for (schema,) in link.rows(_SCHEMAS)]
        while True:
            _furnish(door, link, name, schemas)
            try:
                with _redirected(project, door, name):
                    project.upgrade("heads", name)
                break
            except Exception as error:
                again = _made_anyway(error, schemas)
                if not again:
                    raise
            # From nothing: what ran before the error may have been committed.
            schemas = [schema for schema in schemas if schema not in again]
            drop_database(link, name)
            create_database(link, name)
        with door.open(name) as own:
            return fingerprint(own)

    return ensure_template(link, template_key(project, link, seeds), build)


def _furnish(door, link, name, schemas):
    """Make what an init script of the image may have made, perhaps with more rights."""
    extensions = link.rows(
        "SELECT extname, extversion, nspname FROM pg_extension"
        " JOIN pg_namespace n ON n.oid = extnamespace WHERE extname <> 'plpgsql'"
    )
    with door.open(name) as own:
        for schema in schemas:
            own.rows("CREATE SCHEMA IF NOT EXISTS " + quoted(schema))
        for extension, version, schema in extensions:
            # Where it is there; a migration's own schema is not there yet.
            place = " SCHEMA " + quoted(schema) if schema in [*schemas, "public"] else ""
            own.rows(
                "CREATE EXTENSION IF NOT EXISTS "
                + quoted(extension)
                + place
                + " VERSION "
                + literal(version)
                + " CASCADE"
            )


def _made_anyway(error, schemas):
    """Those of *schemas* that a migration makes itself, if that is what *error* says."""
    if _sqlstate(error) != "42P06":  # duplicate_schema
        return []
    words = str(getattr(error, "orig", None) or error)
    return [schema for schema in schemas if '"' + schema + '"' in words] or schemas


@contextlib.contextmanager
def _redirected(project, door, database):
    """Send env.py to another database of the server for a while."""
    door.database = database
    try:
        yield
    finally:
        door.database = None
        door.forget()


# --- Linting the history ---------------------------------------------------------------


def lint(project, door, link):
    """Up, down and up again, one migration at a time, on a scratch database.

    Returns findings as ``[rule, revision, words]``.
    """
    heads = project.scripts.get_heads()
    findings = []
    if len(heads) > 1:
        findings.append(["single-head", ", ".join(sorted(heads)), "the history has several heads"])
    with _scratch(project, door, link) as name:
        # From the oldest: each finds the schema of those before it.
        for revision in reversed(list(project.scripts.walk_revisions())):
            found = _up_down(project, door, name, revision)
            findings += found
            if found:
                break  # what it left is in the way of the rest
    return findings


@contextlib.contextmanager
def _scratch(project, door, link, template=None):
    """A database that is gone at the end, to which env.py is sent."""
    name = SCRATCH + hashlib.sha256(os.urandom(16)).hexdigest()[:24]
    create_database(link, name, template)
    try:
        with _redirected(project, door, name):
            yield name
    finally:
        drop_database(link, name)


def _up_down(project, door, name, revision):
    def facts():
        with door.open(name) as own:
            return fingerprint(own)

    before = facts()
    project.upgrade(revision.revision, name)
    after = facts()
    down = revision.down_revision
    if isinstance(down, (tuple, list)):
        return []  # a merge: there is nothing to undo
    try:
        project.downgrade(down or "base", name)
    except Exception as error:
        return [["up-down", revision.revision, "it can't be undone: " + _words(error)]]
    # The version table stays, by whatever name.
    left = [d for d in compared(before, facts()) if down or not _is_version(d[1], after)]
    if left:
        return [["up-down", revision.revision, "downgrade leaves " + _listed(left)]]
    try:
        project.upgrade(revision.revision, name)
    except Exception as error:
        return [["up-down", revision.revision, "it does not run a second time: " + _words(error)]]
    again = compared(after, facts())
    if again:
        words = "a second upgrade gives another schema: " + _listed(again)
        return [["up-down", revision.revision, words]]
    return []


def _is_version(fact, facts):
    """Whether *fact* is of the table that has the column version_num."""
    tables = [one[7 : -len(".version_num")] for one in facts if one.endswith(".version_num")]
    name = fact.partition(" ")[2]
    return any(name == table or name.startswith(table + ".") for table in tables)


def _listed(differences):
    # What other facts are about comes first.
    differences = sorted(differences, key=lambda one: not one[1].startswith("relation"))
    return ", ".join(change + " " + fact for change, fact in differences[:5])


# --- Requests ----------------------------------------------------------------------------


def answer(request):
    """The facts that *request* asks for; what goes wrong is a fact, too."""
    own = MIGRATOR + ":" + request.get("run", str(os.getpid()))
    name = own if request["do"] == "migrate" else "unstale-look"
    with Door(name, read_only=request["do"] == "look") as door:
        project = Project(request["ini"], door)
        project.capture()
        if not door.is_postgres:
            facts, words = scripts_facts(project)
            facts.update(schema_facts(project, words, request.get("metadata")))
            facts["server"] = None
            return facts
        wait_until_ready(door, request.get("deadline_s", 0))
        with door.open() as link:
            return _ACTIONS[request["do"]](project, door, link, request)


def _is_elsewhere(facts, request):
    """Whether this is another cluster than that of the stack, which alone may be written to."""
    wanted = request.get("system")
    return bool(wanted) and facts["server"]["identity"]["system"] != wanted


def _look(project, door, link, request):
    facts, words = scripts_facts(project)
    facts["server"] = server_facts(link, door.name)
    if not facts["server"]["in_progress"]:
        facts.update(schema_facts(project, words, request.get("metadata")))
    return facts


def _check(project, door, link, request):
    facts = _look(project, door, link, request)
    if not facts["server"]["in_progress"] and not _is_elsewhere(facts, request):
        facts["reference"] = _referred(project, door, link, request)
    return facts


def _referred(project, door, link, request):
    """The fourth witness: this catalog against one that these migrations made."""
    if not request.get("reference"):
        return {"why_not": request.get("why_not", "not asked")}
    try:
        made = reference(project, door, link, request.get("seeds", ()))
    except NotChecked as error:
        return {"why_not": str(error)}
    except Exception as error:
        return {"failed": _words(error)}
    with door.open() as own:
        found = fingerprint(own)
    return {"facts": len(made.facts), "differences": compared(made.facts, found)}


def _migrate(project, door, link, request):
    """Upgrade under the lock, and look again through new connections."""
    end = time.monotonic() + request.get("deadline_s", 0)
    _lock(link, door, end)
    before = _look(project, door, link, request)
    if "applied" not in before or _is_elsewhere(before, request):
        return dict(before, ran=0)
    facts = {"before": before, "ran": 0}
    if _may_upgrade(before, request):
        try:
            facts["ran"] = _upgrade(project, request, door.name)
        except BaseException as error:  # whatever a migration raises
            facts["failed"] = {"error": _words(error), "running": getattr(error, "running", "")}
    with door.open() as fresh:
        facts.update(_check(Project(request["ini"], door), door, fresh, request))
    return facts


def _lock(link, door, end):
    """Hold the lock of migrators, on a connection that nothing else uses."""
    while not link.rows("SELECT pg_try_advisory_lock(" + LOCK + ")")[0][0]:
        if time.monotonic() >= end:
            words = "another migration holds the lock"
            raise Refused("lock", words, True, holders(link, door.name))
        time.sleep(_PAUSE_S)
    while True:
        busy = in_progress(link, door.name)
        if not busy:
            return
        if time.monotonic() >= end:
            words = "another migration is going on: " + "; ".join(busy)
            raise Refused("lock", words, True, holders(link, door.name))
        time.sleep(_PAUSE_S)


def _may_upgrade(before, request):
    """Whether an upgrade could do any good: it would only hide what is wrong else."""
    heads, applied = before["heads"], before["applied"]
    if not heads or any(one not in before["available"] for one in applied):
        return False
    if len(heads) > 1 and request.get("target") == "head":
        return False
    if not applied and before["tables"]:
        return False
    return set(applied) != set(heads)


def _upgrade(project, request, name):
    if request.get("target"):
        return project.upgrade(request["target"])
    done = subprocess.run(  # noqa: S603
        request["command"], env=dict(os.environ, PGAPPNAME=name), stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(" ".join(request["command"]) + " ended with " + str(done.returncode))
    return 1


def _sql(project, door, link, request):
    """What an upgrade would do, as SQL, from what is applied."""
    facts, words = scripts_facts(project)
    facts.update(schema_facts(project, words, None))
    applied = facts["applied"]
    if len(applied) > 1:
        raise NotChecked("several heads are applied: Alembic can't render from more than one")
    start = applied[0] + ":" if applied else ""
    return {"sql": project.sql(start + (request.get("target") or "heads"))}


def _lint(project, door, link, request):
    facts, words = scripts_facts(project)
    facts["server"] = server_facts(link, door.name)
    if _is_elsewhere(facts, request):
        raise NotChecked("env.py goes to another server than that of the stack")
    facts["findings"] = lint(project, door, link)
    if facts["findings"]:
        return facts
    # The models against a database that has only these migrations.
    made = reference(project, door, link, request.get("seeds", ()))
    with _scratch(project, door, link, made.name):
        models = schema_facts(project, words, request.get("metadata"))
    facts["findings"] += [
        ["models", "", _disagreement(kind, what)] for kind, what in models.get("drift") or ()
    ]
    return facts


def _disagreement(kind, what):
    """A difference between models and migrations, in words; *kind* is Alembic's."""
    how, _, thing = kind.partition("_")
    if how == "add":
        return "the models have the " + thing + " " + what + ", which no migration makes"
    if how == "remove":
        return "the models lack the " + thing + " " + what + ", which the migrations make"
    return "models and migrations differ: " + kind.replace("_", " ") + " " + what


_ACTIONS = {
    "look": _look,
    "check": _check,
    "migrate": _migrate,
    "sql": _sql,
    "lint": _lint,
}


def _words(error):
    return (type(error).__name__ + ": " + str(error).strip())[:2000]


def _prefer_library():
    """Import the library where a folder here has its name, and would be taken for it.

    The project's own `alembic` command does not look into the working folder first.
    """
    here = os.getcwd()
    if not os.path.isfile(os.path.join(here, "alembic", "__init__.py")):
        return
    before = sys.path[:]
    sys.path[:] = [place for place in before if os.path.abspath(place) != here]
    try:
        import alembic.config
    except ImportError:
        pass
    finally:
        sys.path[:] = before


def main(text):
    try:
        _prefer_library()
        found = answer(json.loads(text))
    except Refused as error:
        found = {"error": "Refused", "rung": error.rung, "message": str(error).strip()[-2000:]}
        found["holders"] = error.holders
    except BaseException as error:  # whatever env.py raises is the answer
        found = {"error": type(error).__name__, "message": str(error).strip()[-2000:]}
    sys.stdout.write("\n" + SENTINEL + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
