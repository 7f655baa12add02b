"""Applied against available, and whether the tables are there. Pure.

``alembic upgrade`` ending with 0 and ``current == heads`` prove nothing about
tables: after ``drop_all`` or ``stamp head`` both hold on an empty database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unstale.errors import CouldNotTell, MigrationFailed, Mismatch, UnstaleError
from unstale.verdict import Fresh, Reason, Stale, Unknown, Verdict

__all__ = ["SchemaStatus", "judge", "problem", "read", "require_current"]

_SENTINEL = "unstale-probe:"

_EXPLANATION = {
    "behind": "migrations are available that are not applied",
    "empty": "no migration was applied",
    "unversioned": "there are tables, but no migration is recorded as applied",
    "multiple-heads": "the migrations have more than one head",
    "no-migrations": "no migration was found: an empty set is no proof",
    "stamped-or-dropped": "migrations are recorded as applied, but there is no table",
    "incomplete": "migrations are recorded as applied, but tables of the models are missing",
    "image-older": "the database has migrations that this code does not know",
    "unreachable": "the database, or the migrations, could not be read",
}
_NEXT = {
    "behind": "inv db.migrate",
    "empty": "inv db.migrate",
    "unversioned": "inv stack.down stack.up db.migrate, or `alembic stamp` by hand",
    "multiple-heads": "alembic merge heads",
    "no-migrations": 'mend alembic-ini, or set schema = "none" in [tool.unstale]',
    "stamped-or-dropped": "inv stack.down stack.up db.migrate",
    "incomplete": "inv stack.down stack.up db.migrate",
    "image-older": "inv image.build",
    "unreachable": "inv stack.logs",
}


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a look at the database told."""

    state: str
    """``current``, or one of the names of the contract."""
    applied: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    missing_tables: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    detail: str = ""
    """The database's own words, if it refused."""
    models_checked: bool = False
    """False: env.py names no models, so only the floor was checked."""

    @property
    def explanation(self) -> str:
        """One sentence on the state."""
        return _EXPLANATION.get(self.state, "the schema is that of the migrations")

    @property
    def verdict(self) -> Verdict:
        """Fresh if current, Unknown if unreachable, else Stale."""
        if self.state == "current":
            return Fresh()
        if self.state == "unreachable":
            return Unknown(self.detail or self.explanation)
        named = self.missing_tables or self.pending or (self.state,)
        return Stale(tuple(Reason(f"database:{name}", "configuration") for name in named))

    def to_json(self) -> dict[str, object]:
        """The contract's document."""
        return {
            "schema": "unstale/db-status@1",
            "state": self.state,
            "applied": list(self.applied),
            "heads": list(self.heads),
            "pending": list(self.pending),
            "missing_tables": list(self.missing_tables),
            "drift": [],
            "tables": list(self.tables),
            "models_checked": self.models_checked,
            "detail": self.detail,
        }


def read(output: str) -> SchemaStatus:
    """Judge what the probe printed.

    Raises:
        CouldNotTell: the probe printed no answer.

    """
    line = next(
        (x for x in reversed(output.splitlines()) if x.startswith(_SENTINEL)),
        "",
    )
    try:
        facts = json.loads(line.removeprefix(_SENTINEL))
    except json.JSONDecodeError:  # none, or cut off: the probe was killed
        raise CouldNotTell(
            "The schema could not be read: the probe printed no answer.",
            cause="\n".join(output.splitlines()[-5:]),
            hint="inv stack.logs",
        ) from None
    return judge(facts)


def judge(facts: Mapping[str, Any]) -> SchemaStatus:
    """Name the state that the probe's *facts* describe."""
    if "error" in facts:
        return SchemaStatus("unreachable", detail=f"{facts['error']}: {facts['message']}")
    applied, heads = tuple(facts["applied"]), tuple(facts["heads"])
    available, tables = tuple(facts["available"]), tuple(facts["tables"])
    missing = facts["missing_tables"]
    unknown = [revision for revision in applied if revision not in available]
    state = _state(applied, heads, tables, tuple(missing or ()), foreign=bool(unknown))
    return SchemaStatus(
        state=state,
        applied=applied,
        heads=heads,
        pending=tuple(h for h in heads if h not in applied),
        missing_tables=tuple(missing or ()) if state != "empty" else (),
        tables=tables,
        models_checked=missing is not None,
    )


def _state(
    applied: tuple[str, ...],
    heads: tuple[str, ...],
    tables: tuple[str, ...],
    missing: tuple[str, ...],
    *,
    foreign: bool,
) -> str:
    if not heads or foreign:
        return "image-older" if foreign else "no-migrations"
    if not applied:
        return "unversioned" if tables else "empty"
    if len(heads) > 1:
        return "multiple-heads"
    if set(applied) != set(heads):
        return "behind"
    if not tables:
        return "stamped-or-dropped"
    return "incomplete" if missing else "current"


def problem(status: SchemaStatus) -> UnstaleError | None:
    """Why *status* can't be accepted, as an error to raise; None if current."""
    if status.state == "current":
        return None
    what = f"The schema is {status.state}: {status.explanation}."
    if status.state == "unreachable":
        return MigrationFailed(what, cause=status.detail, hint=_NEXT[status.state])
    names = ", ".join((status.missing_tables or status.pending)[:10])
    applied = ", ".join(status.applied) or "none"
    cause = f"Applied: {applied}; tables: {len(status.tables)}" + (
        f"; missing: {names}." if names else "."
    )
    return Mismatch(what, cause=cause, hint=_NEXT[status.state])


def require_current(status: SchemaStatus) -> None:
    """Accept only a schema that is current.

    Raises:
        MigrationFailed: it could not be read.
        Mismatch: it is in any other state.

    """
    if (error := problem(status)) is not None:
        raise error
