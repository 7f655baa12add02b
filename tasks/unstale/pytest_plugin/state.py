"""What is in the database now, and why it is not what a test expected.

A count is taken where only committed rows are seen. When it is wrong, the
message tells apart what looks the same to a test: not committed, stale in the
session, in another database, truncated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import pytest

from unstale.errors import UnstaleError, UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session, SessionTransaction

    from unstale.pytest_plugin.evidence import Churn, Reader, Sight, Start

__all__ = ["assert_db_state", "assert_db_state_async", "diagnose", "register"]

OPTION = "unstale_database"
SECTION = "unstale: database state"

Expected = int | Callable[[int], object]
"""A number of rows, or what says of a number whether it is right."""

_PREFIX = "expected_"
_MOST_NAMED = 10


@dataclass(slots=True)
class _Surroundings:
    """What the running test is known to be in; the plugin fills it in."""

    variable: str = ""
    """Name of the environment variable with the database's URL."""
    fixture: Any = None
    """The running test's ``isolated_database``, if it has one."""
    starts: dict[tuple[object, ...], Start] = field(default_factory=dict)
    """A database's address to what was there when the test's first session there began."""

    @property
    def connection(self) -> Connection | None:
        """The isolating fixture's connection, under savepoint isolation."""
        return cast("Connection | None", getattr(self.fixture, "connection", None))

    @property
    def named(self) -> tuple[str, str]:
        """The URL that the test should be using, and what names it."""
        url = getattr(self.fixture, "url", None)
        if isinstance(url, str):
            return url, "the fixture isolated_database"
        return os.environ.get(self.variable, ""), f"${self.variable}"


_NOW = _Surroundings()


def assert_db_state(
    target: object,
    counts: Mapping[Any, Expected] | None = None,
    /,
    **expected: Expected,
) -> None:
    """Fail unless the tables have the expected numbers of committed rows.

    ``assert_db_state(session, expected_users=1)``: ``expected_`` and a table that
    the search path finds. *counts* has tables, mapped classes or
    ``"schema.table"`` as keys. A callable gets the number and says if it is right.

    *target* is a session, an engine, a connection or a URL. Rows are counted over
    a new connection, which sees only what is committed; under savepoint isolation
    over the fixture's connection, the only one that can see the test's rows.

    Raises:
        AssertionError: with what was expected, what is there, and the likely cause.
        UsageError: *target* or a name can't be used.

    """
    __tracebackhide__ = True
    if _is_async(target):
        raise UsageError(
            f"A {type(target).__name__} can't be asked without awaiting.",
            hint="await assert_db_state_async(...)",
        )
    _assert(target, _wanted(counts, expected), is_awaited=False)


async def assert_db_state_async(
    target: object,
    counts: Mapping[Any, Expected] | None = None,
    /,
    **expected: Expected,
) -> None:
    """Do what `assert_db_state` does, also for asynchronous sessions and engines."""
    __tracebackhide__ = True
    from sqlalchemy.util import greenlet_spawn

    await greenlet_spawn(_assert, target, _wanted(counts, expected), is_awaited=True)


def diagnose(session: Session) -> tuple[str, ...]:
    """What is doubtful in *session* and its database, a line each.

    The first line says which database it is. A line that begins with
    ``not checked`` names what could not be told, and why.
    """
    from unstale.pytest_plugin.evidence import sight

    with sight(session, fixture=_NOW.connection) as seen:
        return tuple(_lines(seen))


def _is_async(target: object) -> bool:
    from unstale.pytest_plugin import asynchronous

    asked = (asynchronous.is_connection, asynchronous.is_engine, asynchronous.is_session)
    return any(is_one(target) for is_one in asked)


def _wanted(
    counts: Mapping[Any, Expected] | None, expected: Mapping[str, Expected]
) -> dict[sa.FromClause, Expected]:
    """Each table with what is expected of it."""
    wanted: dict[sa.FromClause, Expected] = {}
    for key, value in (counts or {}).items():
        wanted[_table(key)] = value
    for name, value in expected.items():
        if not name.startswith(_PREFIX):
            raise UsageError(
                f"{name!r} is no expectation.", hint=f"write {_PREFIX}{name}= for the table {name}"
            )
        wanted[_table(name.removeprefix(_PREFIX))] = value
    if not wanted:
        raise UsageError("Nothing is expected.", hint="add expected_TABLE=NUMBER")
    for value in wanted.values():
        if isinstance(value, bool) or not (isinstance(value, int) or callable(value)):
            raise UsageError("An expectation is a number of rows, or a callable that gets it.")
    return wanted


def _table(key: object) -> sa.FromClause:
    import sqlalchemy as sa

    if isinstance(key, str):
        schema, _, name = key.rpartition(".")
        return sa.table(name, schema=schema or None)
    if isinstance(key, sa.FromClause):
        return key
    mapped = sa.inspect(key, raiseerr=False)
    if mapped is None:
        raise UsageError(f"{key!r} is no table.", hint="use a Table, a mapped class or a name")
    return cast("sa.FromClause", mapped.local_table)


def _name(table: sa.FromClause) -> str:
    schema, name = getattr(table, "schema", None), getattr(table, "name", str(table))
    return f"{schema}.{name}" if schema else str(name)


def _assert(target: object, wanted: Mapping[sa.FromClause, Expected], *, is_awaited: bool) -> None:
    __tracebackhide__ = True
    from unstale.pytest_plugin.evidence import sight

    with sight(target, fixture=_NOW.connection, is_awaited=is_awaited) as seen:
        found = [(table, _count(seen, table), value) for table, value in wanted.items()]
        wrong = [(table, n, value) for table, n, value in found if not _is_right(n, value)]
        lines = [line for table, n, value in wrong for line in _wrong(seen, table, n, value)]
        if lines:
            lines += _lines(
                seen, tuple((table, _is_surplus(n, value)) for table, n, value in wrong)
            )
    if lines:
        raise AssertionError("\n".join(lines))


def _is_right(found: int, expected: Expected) -> bool:
    return bool(expected(found)) if callable(expected) else found == expected


def _is_surplus(found: int, expected: Expected) -> bool:
    return isinstance(expected, int) and found > expected


def _count(seen: Sight, table: sa.FromClause) -> int:
    """The rows of *table* that count.

    Raises:
        AssertionError: there is no such table, or it is locked against readers.

    """
    __tracebackhide__ = True
    from sqlalchemy.exc import DBAPIError

    from unstale.pytest_plugin import evidence

    try:
        return evidence.count(seen.committed, table)
    except DBAPIError as error:
        where = evidence.place(seen.committed)
        if evidence.is_missing(error):
            why = _missing(table, evidence.known(seen.committed))
        elif evidence.is_locked(error):
            held = ", ".join(evidence.blockers(seen.committed, table)) or "nobody who still is"
            why = (
                f"{_name(table)} is locked against readers by {held}. A transaction that "
                "truncated or altered the table is still open: end it."
            )
        else:
            raise
    message = f"{why}\n  database: {where}"
    raise AssertionError(message)


def _missing(table: sa.FromClause, known: Sequence[str]) -> str:
    """Why there is no *table*, as far as its name and the *known* tables tell."""
    import sqlalchemy as sa

    there_is_none = f"there is no table {_name(table)}"
    if set(known) <= {"alembic_version"}:
        return f"{there_is_none}, nor any other. Apply the migrations: inv db.migrate"
    # The name of a model's table is no typing error.
    is_typed = not isinstance(table, sa.Table)
    near = _nearest(_name(table), known, is_typed=is_typed)
    if near is not None:
        how = f"{_PREFIX}{near}=" if near.isidentifier() else f'{{"{near}": ...}}'
        return f"{there_is_none}. Did you mean {near}?" + (f" Write {how}" if is_typed else "")
    listed = ", ".join(known[:_MOST_NAMED])
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    next_step = "" if is_typed else " Its migration may not be applied: inv db.status"
    return f"{there_is_none}. Known: {listed}{more}.{next_step}"


def _nearest(name: str, known: Sequence[str], *, is_typed: bool) -> str | None:
    """The one of *known* that was most likely meant."""
    bare = {one: one.rpartition(".")[2].casefold() for one in known}
    wanted = name.rpartition(".")[2].casefold()
    cutoff = 0.7 if is_typed else 1.0
    for near in get_close_matches(wanted, bare.values(), 1, cutoff):
        return next(one for one, plain in bare.items() if plain == near)
    return None


def _wrong(seen: Sight, table: sa.FromClause, found: int, expected: Expected) -> Iterator[str]:
    """What is wrong with one table, and what of that the session explains."""
    from unstale.pytest_plugin import evidence

    wanted = f"what {expected!r} accepts" if callable(expected) else _rows(expected)
    kind = "in the test's transaction" if seen.is_shared else "committed"
    own = None
    if seen.own is not None and not seen.is_shared:
        own = evidence.count(seen.own, table)
    counted = f"; the session itself counts {own}" if own is not None else ""
    if own is None and seen.session is not None and not seen.is_shared:
        counted = f"; the session itself was not asked: {seen.own_why}"
    yield f"{_name(table)}: expected {wanted}, {kind} are {found}{counted}."
    if own is None or own == found:
        return
    if own > found:
        yield (
            "  uncommitted: the session counts more than is committed. "
            "Next: commit in the code that wrote the rows."
        )
    else:
        yield (
            "  uncommitted: the session counts fewer than are committed: it deleted rows without "
            "a commit, or its snapshot is older than they are."
        )


def _rows(number: object) -> str:
    return f"{number} row" if number == 1 else f"{number} rows"


def _lines(seen: Sight, wrong: tuple[tuple[sa.FromClause, bool], ...] | None = None) -> list[str]:
    """The findings about *seen*, each on a line.

    *wrong* are the tables in question, and whether they have too many rows; None: all.
    """
    tables = tuple(table for table, _ in wrong or ())
    surplus = tuple(table for table, is_surplus in wrong or () if is_surplus)
    lacking = None if wrong is None else tuple(t for t in tables if t not in surplus)
    steps: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: _place(seen),
        lambda: _open_transaction(seen),
        lambda: _unflushed(seen),
        lambda: _doubtful(seen),
        lambda: _elsewhere(seen, tables),
        lambda: _earlier(seen, surplus),
        lambda: _emptied(seen, lacking),
    )
    return [f"  {line}" for step in steps for line in _attempt(step)]


def _attempt(step: Callable[[], Iterator[str]]) -> list[str]:
    """The lines of *step*; a part that can't be told must not hide the others."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return list(step())
    except UnstaleError as error:
        return [f"not checked: {error.what}"]
    except (SQLAlchemyError, OSError) as error:
        # Its text may hold a statement's parameters: rows.
        reason = type(getattr(error, "orig", None) or error).__name__
        return [f"not checked: the database answered {reason}"]


def _place(seen: Sight) -> Iterator[str]:
    from unstale.pytest_plugin.evidence import place

    here = place(seen.committed)
    yield f"database: {here}"
    if seen.own is None or seen.is_shared:
        return
    theirs = place(seen.own)
    if not theirs.is_same(here) or theirs.search_path != here.search_path:
        yield f"the session's own connection: {theirs}"


def _open_transaction(seen: Sight) -> Iterator[str]:
    from unstale.pytest_plugin.evidence import activity

    if seen.is_shared:
        yield (
            "counted over the isolating fixture's connection: "
            "what the session flushed and did not commit is in it"
        )
        return
    for pid in seen.pids:
        found = activity(seen.committed, pid)
        if found is None:
            yield f"the session's backend {pid} is gone"
        elif found.has_written:
            written = ", ".join(found.tables[:_MOST_NAMED]) or "tables it no longer locks"
            yield (
                f"uncommitted: the session's transaction (backend {pid}, {found.state}, "
                f"{found.age_ms} ms old) has written to {written}"
            )


def _unflushed(seen: Sight) -> Iterator[str]:
    if seen.session is None:
        return
    from unstale.pytest_plugin.sessions import identity, unflushed

    for word, objects in unflushed(seen.session):
        if objects:
            names = ", ".join(sorted(map(identity, objects))[:_MOST_NAMED])
            yield f"uncommitted: {len(objects)} {word} and not even flushed: {names}"


_DOUBTS = {
    "stale": "stale in the identity map",
    "uncommitted": "uncommitted",
    "snapshot": "the session's snapshot is older than what is committed",
    "differs": "stale in the identity map, or uncommitted",
}


def _doubtful(seen: Sight) -> Iterator[str]:
    from unstale.pytest_plugin.evidence import doubts

    found = doubts(seen)
    for kind, words in _DOUBTS.items():
        those = [doubt.what for doubt in found if doubt.kind == kind]
        if those:
            more = f" and {len(those) - _MOST_NAMED} more" if len(those) > _MOST_NAMED else ""
            yield f"{words}: {'; '.join(those[:_MOST_NAMED])}{more}"


def _elsewhere(seen: Sight, tables: tuple[sa.FromClause, ...]) -> Iterator[str]:
    from unstale.pytest_plugin.evidence import environment, place

    url, name = _NOW.named
    if not url:
        yield (
            "not checked: whether it is another database than the environment's "
            f"({OPTION} names no variable that is set)"
        )
        return
    with environment(url) as reader:
        there, here = place(reader), place(seen.own or seen.committed)
        if there.is_same(here):
            return
        counted = ", ".join(f"{_name(table)} has {_there(reader, table)}" for table in tables)
        yield (
            f"another database: {name} names {there}" + (f"; there {counted}" if counted else "")
        )


def _there(reader: Reader, table: sa.FromClause) -> str:
    from sqlalchemy.exc import DBAPIError

    from unstale.pytest_plugin.evidence import count, is_missing

    try:
        return _rows(count(reader, table))
    except DBAPIError as error:
        if is_missing(error):
            return "no table"
        raise


def _earlier(seen: Sight, tables: tuple[sa.FromClause, ...]) -> Iterator[str]:
    """Which of the rows that are too many were not written in the test's isolation."""
    from unstale.pytest_plugin.evidence import count, count_earlier, environment

    url = seen.committed.connection.engine.url
    began = _NOW.starts.get(_address(url))
    if not tables or (began is None and not seen.is_shared):
        return
    # The isolating connection sees its own rows, too.
    outside: AbstractContextManager[Reader] = nullcontext(seen.committed)
    if seen.is_shared:
        outside = environment(url.render_as_string(hide_password=False))
    with outside as reader:
        for table in tables:
            earlier = count_earlier(reader, table, began) if began else 0
            if earlier:
                yield (
                    f"committed earlier: {_rows(earlier)} of {_name(table)} "
                    f"{'was' if earlier == 1 else 'were'} there before the test's first session "
                    "began: a migration, a fixture or an earlier test committed outside of this "
                    "test's isolation. Next: unstale_leaks = true names the test"
                )
            beside = count(reader, table) - earlier if seen.is_shared else 0
            if beside:
                yield (
                    f"committed outside of the isolation: {_rows(beside)} of {_name(table)}, over "
                    "another connection than the test's. Next: let the code under test have "
                    "sessions of isolated_database"
                )


def _emptied(seen: Sight, tables: tuple[sa.FromClause, ...] | None) -> Iterator[str]:
    """What became of rows that are not there; of all tables, only what is sure."""
    from unstale.pytest_plugin.evidence import churn

    began = _NOW.starts.get(_address(seen.committed.connection.engine.url))
    asked = churn(seen.committed) if tables is None else ()
    for table in tables or ():
        asked += churn(seen.committed, table)
    for one in asked:
        before = began.tables.get(one.oid) if began else None
        if before is not None and before.filenode != one.filenode:
            yield (
                f"truncated: {one.table} got a new file since the test's first session began: "
                "TRUNCATE (or VACUUM FULL, CLUSTER, an ALTER that rewrites)"
            )
        elif tables is not None:
            yield from _fate(one, before)


def _address(url: sa.URL) -> tuple[object, ...]:
    return (url.host, url.port, url.database, *sorted(url.query.items()))


def _fate(now: Churn, before: Churn | None) -> Iterator[str]:
    """What became of a table's rows, as far as its statistics show."""
    inserted, deleted, live, dead = (
        getattr(now, name) - (getattr(before, name) if before else 0)
        for name in ("inserted", "deleted", "live", "dead")
    )
    # What an earlier test did may be counted only now.
    since = "since the test's first session began" if before else "since the table was made"
    statistics = (
        f"(statistics {since}, up to 10 s late, so maybe of an earlier test: "
        f"{inserted} inserted, {deleted} deleted, {live} live, {dead} dead)"
    )
    if before is None and inserted > deleted and not live and not dead and now.is_rewritten:
        yield f"truncated: {now.table} had rows, none was deleted, and its file is new {statistics}"
    elif deleted > 0:
        yield f"deleted: rows of {now.table} were deleted {statistics}"
    elif inserted > live + deleted and dead > 0:
        yield f"rolled back: rows of {now.table} were inserted and not committed {statistics}"
    elif not now.inserted:
        yield f"no row was inserted into {now.table} yet {statistics}"


class DatabaseState:
    """Attaches the diagnosis of every session that a failing test used."""

    def __init__(self, variable: str) -> None:
        self._sessions: WeakSet[Session] = WeakSet()
        self._noted: set[sa.URL] = set()
        _NOW.variable = variable

    def start(self) -> None:
        """Begin to follow sessions."""
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        event.listen(Session, "after_begin", self._follow)

    def stop(self) -> None:
        """Leave no listener and no knowledge behind."""
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        event.remove(Session, "after_begin", self._follow)
        _NOW.variable, _NOW.fixture = "", None
        _NOW.starts.clear()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Stop with the test run."""
        self.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Know each test's own sessions only."""
        __tracebackhide__ = True
        del item
        self._forget()
        try:
            return (yield)
        finally:
            self._forget()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[Any]:
        """Know the fixture that isolates the test."""
        __tracebackhide__ = True
        _NOW.fixture = getattr(item, "funcargs", {}).get("isolated_database")
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the section while fixtures, and so sessions, are still there."""
        report = yield
        if report.failed and call.when in {"setup", "call"}:
            lines = [line for session in tuple(self._sessions) for line in self._told(session)]
            if lines:
                report.sections.append((SECTION, "\n".join(lines)))
        return report

    def _told(self, session: Session) -> tuple[str, ...]:
        from sqlalchemy.exc import SQLAlchemyError

        head = f"session {session.hash_key} ({type(session).__name__}):"
        try:
            return (head, *diagnose(session))
        except (UnstaleError, SQLAlchemyError, OSError) as error:
            return (head, f"  not checked: {type(error).__name__}")

    def _forget(self) -> None:
        self._sessions.clear()
        self._noted.clear()
        _NOW.fixture = None
        _NOW.starts.clear()

    def _follow(self, session: Session, _: SessionTransaction, connection: Connection) -> None:
        self._sessions.add(session)
        url = connection.engine.url
        if url not in self._noted:
            self._noted.add(url)
            self._note_start(url)

    def _note_start(self, url: sa.URL) -> None:
        """Note, once a test, what the database is like before the test changes it.

        Over a connection of its own: a query in the session's transaction would
        take its snapshot, and forbid SET TRANSACTION.
        """
        from unstale.pytest_plugin.evidence import environment, start

        plain = url.render_as_string(hide_password=False)
        with _unless_broken(), environment(plain) as reader:
            _NOW.starts[_address(url)] = start(reader)


@contextmanager
def _unless_broken() -> Iterator[None]:
    """Evidence that can't be had must not fail the test that it would explain."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (UnstaleError, SQLAlchemyError, OSError):
        return


def register(config: pytest.Config) -> None:
    """Follow sessions if the suite has ``unstale_database``."""
    variable = config.getini(OPTION)
    if not variable:
        return
    plugin = DatabaseState(variable)
    plugin.start()
    config.pluginmanager.register(plugin, "unstale-database-state")
