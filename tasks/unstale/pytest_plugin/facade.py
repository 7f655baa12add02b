"""A compatibility adapter: a synchronous session behind asynchronous endpoints.

It exists for suites that share a synchronous session with the code under test.
Prefer the application's own ``async_sessionmaker``: then there is nothing to adapt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from unstale.errors import UsageError

__all__ = ["AsyncFacade", "WrongThread"]

# What AsyncSession adds to every statement: rows are read before it returns, so
# that loading them later needs no query.
_BUFFERED = {"prebuffer_rows": True}


class WrongThread(UsageError):
    """Two threads use one session."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Guard:
    """Refuses what a session would load by itself, outside of a call of a facade."""

    facades: int = 0
    """How many strict facades of the session are open."""
    calls: int = 0
    """How many calls are running; one thread owns them all."""

    def __call__(self, state: ORMExecuteState) -> None:
        if self.calls or not (state.is_column_load or state.is_relationship_load):
            return
        what = "a relationship" if state.is_relationship_load else "an expired attribute"
        raise MissingGreenlet(
            f"{what} was read outside of an awaited call. A real AsyncSession fails here too: "
            "a commit expires what was loaded, and reading it again needs the database. "
            "Use expire_on_commit=False or `await session.refresh(...)`, in the application."
        )


# One listener a session, however many facades it has: each request may make one.
_GUARDS: WeakKeyDictionary[Session, _Guard] = WeakKeyDictionary()


def _guard_of(session: Session) -> _Guard:
    return _GUARDS.setdefault(session, _Guard())


class _Transaction:
    """What ``begin()`` returns: awaited, or entered by ``async with``."""

    def __init__(self, facade: AsyncFacade, begin: Callable[[], SessionTransaction]) -> None:
        self._facade = facade
        self._begin = begin
        self._begun: SessionTransaction | None = None

    @property
    def is_active(self) -> bool:
        """Whether it was begun and has not ended."""
        return self._begun is not None and self._begun.is_active

    async def commit(self) -> None:
        """Commit it."""
        self._facade._call(self._started().commit)  # noqa: SLF001 - one thing in two classes

    async def rollback(self) -> None:
        """Roll it back."""
        self._facade._call(self._started().rollback)  # noqa: SLF001 - likewise

    def __await__(self) -> Generator[None, None, _Transaction]:
        self._begun = self._facade._call(self._begin)  # noqa: SLF001 - likewise
        return self
        yield  # makes this a generator, which is what await takes

    async def __aenter__(self) -> Self:
        await self
        self._facade._call(self._started().__enter__)  # noqa: SLF001 - likewise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end = partial(self._started().__exit__, kind, error, trace)
        self._facade._call(end)  # noqa: SLF001 - likewise

    def _started(self) -> SessionTransaction:
        if self._begun is None:
            raise UsageError("The transaction was not begun.", hint="`await session.begin()`")
        return self._begun


class AsyncFacade:
    """The part of ``AsyncSession`` that endpoints use, over a synchronous session.

    A compatibility adapter, not an AsyncSession: every call blocks the event
    loop. What is not supported is an ``AttributeError``, never a silent half.

    With *strict* an expired attribute, or a relationship that was not loaded, is
    refused as a real AsyncSession refuses it, with ``MissingGreenlet``; this
    holds for the session's objects until the facade is closed. Only the thread
    that made the facade may use it.

    Raises:
        WrongThread: from each call that another thread makes.

    """

    def __init__(self, sync_session: Session, strict: bool = True) -> None:  # noqa: FBT001, FBT002 - read as AsyncFacade(session, strict=...)
        self._session = sync_session
        self._strict = strict
        self._owner = threading.current_thread()
        self._guard = _guard_of(sync_session)
        self._is_watching = False
        self._watch()

    async def execute(self, statement: Any, params: Any = None, **kw: Any) -> Any:  # noqa: ANN401 - the session's own types
        """See ``AsyncSession.execute``."""
        return self._call(self._session.execute, statement, params, **_buffered(kw))

    async def scalars(self, statement: Any, params: Any = None, **kw: Any) -> Any:  # noqa: ANN401 - likewise
        """See ``AsyncSession.scalars``."""
        return self._call(self._session.scalars, statement, params, **_buffered(kw))

    async def scalar(self, statement: Any, params: Any = None, **kw: Any) -> Any:  # noqa: ANN401 - likewise
        """See ``AsyncSession.scalar``."""
        return self._call(self._session.scalar, statement, params, **_buffered(kw))

    async def get(self, entity: Any, ident: Any, **kw: Any) -> Any:  # noqa: ANN401 - likewise
        """See ``AsyncSession.get``."""
        return self._call(self._session.get, entity, ident, **kw)

    async def merge(self, instance: Any, **kw: Any) -> Any:  # noqa: ANN401 - likewise
        """See ``AsyncSession.merge``."""
        return self._call(self._session.merge, instance, **kw)

    def begin(self) -> _Transaction:
        """See ``AsyncSession.begin``."""
        return _Transaction(self, self._session.begin)

    def begin_nested(self) -> _Transaction:
        """See ``AsyncSession.begin_nested``."""
        return _Transaction(self, self._session.begin_nested)

    def add(self, instance: object) -> None:
        """See ``AsyncSession.add``; not awaited there either."""
        self._call(self._session.add, instance)

    def add_all(self, instances: Any) -> None:  # noqa: ANN401 - any iterable
        """See ``AsyncSession.add_all``; not awaited there either."""
        self._call(self._session.add_all, instances)

    async def delete(self, instance: object) -> None:
        """See ``AsyncSession.delete``."""
        self._call(self._session.delete, instance)

    async def flush(self, objects: Any = None) -> None:  # noqa: ANN401 - the session's own type
        """See ``AsyncSession.flush``."""
        self._call(self._session.flush, objects)

    async def commit(self) -> None:
        """See ``AsyncSession.commit``."""
        self._call(self._session.commit)

    async def rollback(self) -> None:
        """See ``AsyncSession.rollback``."""
        self._call(self._session.rollback)

    async def refresh(self, instance: object, *args: Any, **kw: Any) -> None:  # noqa: ANN401 - likewise
        """See ``AsyncSession.refresh``."""
        self._call(self._session.refresh, instance, *args, **kw)

    async def close(self) -> None:
        """Close the session; its objects are detached, as an AsyncSession's are."""
        self._call(self._session.close)
        self._unwatch()

    async def __aenter__(self) -> Self:
        self._watch()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - `exec`, or nothing
        if name == "exec" and hasattr(self._session, "exec"):
            return self._exec
        raise AttributeError(_unsupported(name))

    def __repr__(self) -> str:
        return f"<AsyncFacade: a compatibility adapter over {type(self._session).__name__}>"

    async def _exec(self, statement: Any, **kw: Any) -> Any:  # noqa: ANN401 - SQLModel's own types
        run: Any = self._session
        return self._call(run.exec, statement, **_buffered(kw))

    def _call(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:  # noqa: ANN401 - overloads of the session
        """Run *function* as an awaited call: inside of it anything may load."""
        self._refuse_other_threads()
        self._guard.calls += 1
        try:
            return function(*args, **kw)
        finally:
            self._guard.calls -= 1

    def _refuse_other_threads(self) -> None:
        here = threading.current_thread()
        if here is self._owner:
            return
        raise WrongThread(
            f"The session belongs to thread {self._owner.name!r} and was used in {here.name!r}.",
            cause="A session is for one thread. A fixture made it, and a test client runs the "
            "application in a thread of its own.",
            hint="make a session per request: request_session(..., facade=True)",
        )

    def _watch(self) -> None:
        """Count this facade in, once; the first one listens."""
        if not self._strict or self._is_watching:
            return
        self._is_watching = True
        self._guard.facades += 1
        if self._guard.facades == 1:
            sa.event.listen(self._session, "do_orm_execute", self._guard)

    def _unwatch(self) -> None:
        if not self._is_watching:
            return
        self._is_watching = False
        self._guard.facades -= 1
        if not self._guard.facades:
            sa.event.remove(self._session, "do_orm_execute", self._guard)


def _buffered(kw: dict[str, Any]) -> dict[str, Any]:
    return {**kw, "execution_options": {**(kw.get("execution_options") or {}), **_BUFFERED}}


def _unsupported(name: str) -> str:
    return (
        f"AsyncFacade has no {name!r}: it adapts a synchronous session and supports only what it "
        "can do as an AsyncSession would. Use the application's async_sessionmaker "
        "(SessionSource) instead."
    )
