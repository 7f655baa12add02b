"""Stops a session whose own fixtures are about to undo the migrations.

``drop_all`` after a migrate leaves ``alembic_version`` alone: the next ``alembic
upgrade head`` does nothing, and every tool stays green.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import pytest

from unstale.pytest_plugin.actors import Cast, is_of_project, place
from unstale.pytest_plugin.header import Address, address

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData, Table

__all__ = ["allowed", "register"]

_NOT_PROVEN = 3
_OURS = "unstale_"
_HERE = Path(__file__).parent
# What these two run is the project's own: a session behind them is called by its tests.
_PASS_ON = frozenset({"facade.py", "sessions.py"})

_allowed: ContextVar[bool] = ContextVar("unstale_schema_change_allowed", default=False)

# What follows the words is looked at only where this is found: it is asked of every statement.
_SUSPECT = re.compile(r"\b(?:drop|truncate|delete)\b", re.IGNORECASE)
_QUIET = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_QUALIFIED = rf"{_NAME}(?:\s*\.\s*{_NAME})?"
_NAMES = rf"(?P<names>(?:only\s+)?{_QUALIFIED}(?:\s*\*)?(?:\s*,\s*(?:only\s+)?{_QUALIFIED})*)"
_DROP = re.compile(
    rf"\s*drop\s+(?P<kind>table|schema|database)\s+(?:if\s+exists\s+)?{_NAMES}", re.IGNORECASE
)
_EMPTY = re.compile(rf"\s*(?:truncate(?:\s+table)?|delete\s+from)\s+{_NAMES}", re.IGNORECASE)
_SCHEMA_WORDS = re.compile(
    r"\b(?:create_all|drop_all|alembic)\b|\bcommand\.(?:upgrade|downgrade)\b"
)

# Tables that look like a version table, whatever its name and schema, and have a
# row. quote_ident instead of format(): a driver may read % as a placeholder.
_VERSION_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_'
AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
AND (SELECT array_agg(a.attname::text) FROM pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) = ARRAY['version_num']
AND (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || quote_ident(n.nspname)
     || '.' || quote_ident(c.relname), false, true, '')))[1]::text <> '0'
"""

_WHY = {
    "drop": (
        "Why: alembic_version stays behind when the tables go. After that"
        " `alembic upgrade head` does nothing, and every tool stays green."
    ),
    "create": (
        "Why: the migrations do not make these tables. Made here, they hide that a"
        " migration is missing, and block it when it comes."
    ),
    "version": (
        "Why: without its row in the version table the database looks unmigrated,"
        " and the next `alembic upgrade head` fails on tables that exist."
    ),
}
_NEXT = {
    "drop": (
        "Next: take the drop out. To empty the tables between tests, set unstale_isolation"
        " to savepoint, dirty-delete, truncate or clone; to test migrations, use a"
        " database of their own."
    ),
    "create": (
        "Next: take the create_all out and write the migration:"
        " alembic revision --autogenerate. Tables of tests alone belong in a database of"
        " their own."
    ),
    "version": "Next: leave the version table out; unstale_isolation = truncate does.",
}
Harm = Literal["drop", "create", "version"]


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """Let the code inside change the schema of the tests' database."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def register(config: pytest.Config) -> None:
    """Watch, where the suite names a database with a schema."""
    if config.getini("unstale_database") and config.getini("unstale_schema") != "none":
        config.pluginmanager.register(_Watch(config), "unstale-watch")


class _Watch:
    """Sees what this process does to the schema of the tests' database."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._variable = str(config.getini("unstale_database"))
        self._first = _configured(self._variable)
        self._cast = Cast.of(config)
        self._notes: dict[str, None] = {}
        self._idle: dict[str, str] | None = None
        self._versions: dict[Address, list[str]] = {}
        self._stop: str | None = None
        self._session: pytest.Session | None = None
        if not _is_controller(config):
            _listen(self)

    # What SQLAlchemy tells.

    def before_create(
        self,
        target: MetaData | Table,
        connection: Connection,
        tables: Iterable[Table] | None = None,
        **_: object,
    ) -> None:
        """Stop what creates tables beside the migrations; note what creates none."""
        if not self._is_protected(connection) or _migrating() == "upgrade":
            return
        names = _lasting(target, tables)
        if not _version_tables(connection):
            return
        if names:
            self._refuse("create", f"create {_listed(names)}", connection)
        elif tables is not None and not list(tables):
            note = (
                f"{self._culprit()} called create_all on a migrated database, where it found"
                " nothing to create. Next: take it out; the migrations make the tables."
            )
            self._notes.setdefault(note)

    def before_drop(
        self,
        target: MetaData | Table,
        connection: Connection,
        tables: Iterable[Table] | None = None,
        **_: object,
    ) -> None:
        """Stop what drops tables that the migrations made."""
        names = _lasting(target, tables)
        if not names or not self._is_protected(connection) or _migrating() == "upgrade":
            return
        if _version_tables(connection):
            self._refuse("drop", f"drop {_listed(names)}", connection)

    def before_cursor_execute(
        self,
        conn: Connection,
        cursor: object,  # noqa: ARG002  # SQLAlchemy passes all six
        statement: str,
        parameters: object,  # noqa: ARG002
        context: object,  # noqa: ARG002
        executemany: bool,  # noqa: ARG002, FBT001
    ) -> None:
        """Stop a statement that does by hand what ``drop_all`` does."""
        if not _SUSPECT.search(statement) or self._is_ours():
            return
        for part in _QUIET.sub(" ", statement).split(";"):
            if (dropped := _DROP.match(part)) is not None:
                self._judge_drop(dropped["kind"].lower(), _split(dropped["names"]), conn)
            elif (emptied := _EMPTY.match(part)) is not None:
                self._judge_emptied(_split(emptied["names"]), conn)

    def _judge_emptied(self, names: list[str], connection: Connection) -> None:
        if not self._is_protected(connection) or _migrating() is not None:
            return
        at = _address_of(connection)
        # Tests delete rows all the time: ask the server once, then compare names.
        if at not in self._versions:
            self._versions[at] = _version_tables(connection)
        known = {_bare(name) for name in self._versions[at]}
        suspects = [name for name in names if _bare(name) in known]
        if suspects and (hit := _same_tables(connection, suspects, self._versions[at])):
            self._refuse("version", f"empty {_listed(hit)}", connection)

    def _judge_drop(self, kind: str, names: list[str], connection: Connection) -> None:
        if kind == "database":
            ours = self._protected()
            at = _address_of(connection)
            hit = [n for n in names if any(o.is_same_server(at) and o.database == n for o in ours)]
            if hit:
                self._refuse("drop", f"drop database {_listed(hit)}", connection)
            return
        if not self._is_protected(connection) or _migrating() == "upgrade":
            return
        found = _relations(connection, names) if kind == "table" else _schemas(connection, names)
        if found and _version_tables(connection):
            what = _listed(found) if kind == "table" else f"schema {_listed(found)}"
            self._refuse("drop", f"drop {what}", connection)

    def _protected(self) -> tuple[Address, ...]:
        """Where the tests' database is: as the session began, and as it is set now."""
        return tuple({a for a in (self._first, _configured(self._variable)) if a is not None})

    def _is_protected(self, connection: Connection) -> bool:
        if connection.dialect.name != "postgresql" or self._is_ours():
            return False
        at = _address_of(connection)
        return any(
            at.is_same_server(ours)
            and (at.database == ours.database or at.database.startswith(_OURS))
            for ours in self._protected()
        )

    def _is_ours(self) -> bool:
        """Say whether this plugin itself is at work, or was told to look away."""
        innermost = next(_known_frames(self._cast), None)
        return _allowed.get() or (innermost is not None and _is_plugin(innermost))

    def _culprit(self) -> str:
        actor = self._cast.acting
        line = _line_of_project(self._cast)
        return " ".join(filter(None, (str(actor or "the collection"), line and f"at {line}")))

    def _refuse(self, harm: Harm, what: str, connection: Connection) -> None:
        """End the session before the statement is sent."""
        message = (
            f"unstale stopped the session: {self._culprit()} was about to {what} in"
            f" {_address_of(connection)}, a migrated database. Nothing was changed.\n"
            f"{_WHY[harm]}\n{_NEXT[harm]}"
        )
        self._stop = self._stop or message
        if self._session is not None:
            # A suite that swallows exceptions around its set-up ends all the same.
            self._session.shouldstop = message.splitlines()[0]
        if hasattr(self._config, "workerinput"):
            # A worker that exits reads as a crash; one that fails and stops does not.
            pytest.fail(message, pytrace=False)
        pytest.exit(message, returncode=_NOT_PROVEN)

    # What pytest tells.

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        # First of all, before -k and -m take tests away.
        asked = {name for item in items for name in getattr(item, "fixturenames", ())}
        self._idle = dict(_idle_fixtures(session, asked, self._cast))

    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:  # of any value
        # request.getfixturevalue() asks for a fixture that no signature names.
        if self._idle is not None:
            self._idle.pop(fixturedef.argname, None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output["unstale_watch"] = (self._stop, list(self._notes), self._idle)
        elif self._stop is not None:
            session.exitstatus = _NOT_PROVEN

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401  # xdist's own class
        told = getattr(node, "workeroutput", {}).get("unstale_watch")
        if told is None:  # it crashed
            return
        stop, notes, idle = told
        self._stop = self._stop or stop
        self._notes.update(dict.fromkeys(notes))
        # Each worker runs a part of the tests: idle is what none of them used.
        known = idle if self._idle is None else self._idle
        self._idle = {name: text for name, text in known.items() if name in idle}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [*filter(None, (self._stop,)), *self._notes, *(self._idle or {}).values()]
        if lines:
            terminalreporter.write_sep("=", "unstale: schema")
        for line in lines:
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        if not _is_controller(self._config):
            _listen(self, on=False)


def _is_controller(config: pytest.Config) -> bool:
    """Say whether xdist's workers run the tests, not this process."""
    return config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")


def _listen(watch: _Watch, *, on: bool = True) -> None:
    """Hear of every engine in this process, also of asynchronous ones."""
    from sqlalchemy import Engine, MetaData, Table, event

    change = event.listen if on else event.remove
    for target in (MetaData, Table):
        change(target, "before_create", watch.before_create)
        change(target, "before_drop", watch.before_drop)
    change(Engine, "before_cursor_execute", watch.before_cursor_execute)


def _configured(variable: str) -> Address | None:
    return address(os.environ.get(variable, ""))


def _address_of(connection: Connection) -> Address:
    url = connection.engine.url
    plain = address(url.render_as_string(hide_password=True))
    assert plain is not None, "BUG: SQLAlchemy's own URL is not read; please report it"  # noqa: S101
    return plain


def _lasting(target: MetaData | Table, tables: Iterable[Table] | None) -> list[str]:
    """Names of the tables at stake, without temporary ones."""
    found: Iterable[Any] = (target,) if tables is None else tables
    return [
        table.fullname
        for table in found
        if not any("temp" in str(prefix).lower() for prefix in getattr(table, "_prefixes", ()))
    ]


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more


def _split(names: str) -> list[str]:
    parts = re.findall(rf"(?:only\s+)?({_QUALIFIED})", names, re.IGNORECASE)
    return [re.sub(r"\s", "", part) for part in parts]


def _column(connection: Connection, sql: str) -> list[str]:
    return [str(row[0]) for row in connection.exec_driver_sql(sql)]


def _version_tables(connection: Connection) -> list[str]:
    return _column(connection, _VERSION_TABLES)


def _relations(connection: Connection, names: list[str]) -> list[str]:
    """Those of *names* that are tables here, temporary ones left out."""
    oids = ", ".join(f"to_regclass({_quoted(name)})" for name in names)
    return _column(
        connection,
        "SELECT oid::regclass::text FROM pg_class"  # noqa: S608  # names are quoted
        f" WHERE relpersistence <> 't' AND oid IN ({oids})",
    )


def _schemas(connection: Connection, names: list[str]) -> list[str]:
    """Those of *names* that are schemas with a table in them."""
    wanted = ", ".join(_quoted(_folded(name)) for name in names)
    return _column(
        connection,
        "SELECT nspname FROM pg_namespace n"  # noqa: S608  # names are quoted
        f" WHERE nspname IN ({wanted})"
        " AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r')",
    )


def _same_tables(connection: Connection, names: list[str], tables: list[str]) -> list[str]:
    """Those of *names* that are among *tables*, however they are spelled."""
    return [name for name in _relations(connection, names) if name in tables]


def _bare(name: str) -> str:
    """The name of a table without its schema and its quotes."""
    return _folded(re.findall(_NAME, name)[-1])


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def _migrating() -> Literal["upgrade", "downgrade"] | None:
    """Which way Alembic walks on this stack, if it does."""
    for frame in _frames():
        if frame.f_code.co_name == "run_migrations" and "step" in frame.f_locals:
            up = getattr(frame.f_locals["step"], "is_upgrade", True)
            return "upgrade" if up else "downgrade"
    return None


def _known_frames(cast: Cast) -> Iterator[FrameType]:
    """The project's frames and the plugin's on this stack; none inside an asynchronous call."""
    for frame in _frames():
        name = frame.f_code.co_filename
        if name != __file__ and (is_of_project(name, cast.root) or _is_plugin(frame)):
            yield frame


def _is_plugin(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    return path.is_relative_to(_HERE) and path.name not in _PASS_ON


def _line_of_project(cast: Cast) -> str | None:
    """The project's innermost line on this stack."""
    for frame in _known_frames(cast):
        if not _is_plugin(frame):
            return f"{os.path.relpath(frame.f_code.co_filename, cast.root)}:{frame.f_lineno}"
    return None


def _idle_fixtures(
    session: pytest.Session, asked: set[str], cast: Cast
) -> Iterator[tuple[str, str]]:
    """Session fixtures that would touch the schema and that nobody asks for."""
    known = session._fixturemanager  # noqa: SLF001  # pytest lists fixtures nowhere else
    for name, definitions in _definitions(known):
        for fixture in definitions:
            if fixture.scope != "session" or name in asked or _is_autouse(known, name):
                continue
            if words := _schema_words(fixture.func, cast):
                yield (
                    name,
                    (
                        f"fixture {name} ({place(fixture.func, cast.root)}) touches the schema"
                        f" ({words}), but it is neither autouse nor requested by a collected test:"
                        " it does not run. Next: request it where it is needed, or delete it."
                    ),
                )


def _definitions(
    known: Any,  # noqa: ANN401  # pytest's private class
) -> Iterator[tuple[str, list[pytest.FixtureDef[Any]]]]:
    """Each name of a fixture with what it may mean. pytest 9.2 keeps them by node."""
    for name, found in getattr(known, "_arg2fixturedefs", {}).items():
        yield name, found
    for table in ("_arg2node2fixturedefs", "_arg2nodeid2fixturedefs"):
        for name, by_node in getattr(known, table, {}).items():
            for found in by_node.values():
                yield name, found


def _is_autouse(known: Any, name: str) -> bool:  # noqa: ANN401  # pytest's private class
    tables = ("_node_autousenames", "_nodeid_autousenames")
    return any(name in names for t in tables for names in getattr(known, t, {}).values())


def _schema_words(function: Any, cast: Cast) -> str:  # noqa: ANN401  # any callable
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None or not is_of_project(code.co_filename, cast.root):
        return ""
    try:
        source = inspect.getsource(function)
    except OSError:
        return ""
    return ", ".join(dict.fromkeys(_SCHEMA_WORDS.findall(source)))
