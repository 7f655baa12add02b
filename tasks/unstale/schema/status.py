"""What state a database is in, beside its migrations and models. Pure.

``alembic upgrade`` ending with 0 and ``current == heads`` prove nothing about
tables: after ``drop_all`` or ``stamp head`` both hold on an empty database. So four
witnesses are heard (the floor, the scripts, the models, a database built from the
same migrations), and the state that explains them is named.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from unstale.errors import CouldNotTell, MigrationFailed, Mismatch, UnstaleError
from unstale.jsontext import narrowed, read_json
from unstale.verdict import Fresh, Reason, Stale, Unknown, Verdict

__all__ = [
    "SENTINEL",
    "STATES",
    "Holder",
    "Identity",
    "SchemaStatus",
    "Witness",
    "answer",
    "elsewhere",
    "judge",
    "problem",
    "read",
    "require_current",
    "suggested",
]

SENTINEL = "unstale-probe:"
"""What the probe's answer begins with."""

Word = Literal["ok", "failed", "not checked"]

_MOST = 10
"""More of one kind than a person reads; ``--json`` has them all."""


@dataclass(frozen=True, slots=True)
class State:
    """A state's name in words, and what to type next."""

    explanation: str
    hint: str


STATES: Mapping[str, State] = {
    "current": State("the schema is that of the migrations", ""),
    "behind": State("migrations are available that are not applied", "inv db.migrate"),
    "empty": State("no migration was applied, and there is no table", "inv db.migrate"),
    "downgraded": State("every migration was undone again", "inv db.migrate"),
    "unversioned": State(
        "there are tables, but no migration is recorded as applied: most likely create_all"
        " made them",
        "inv db.reset, or `alembic stamp` by hand if they are right",
    ),
    "multiple-heads": State(
        "the migrations have more than one head",
        'alembic merge heads, or migrate-command = ["alembic", "upgrade", "heads"]',
    ),
    "no-migrations": State(
        "no migration was found: an empty set is no proof",
        'mend alembic-ini, or set schema = "none" in [tool.unstale]',
    ),
    "stamped": State(
        "migrations are recorded as applied, but they never ran: it was stamped", "inv db.reset"
    ),
    "dropped": State(
        "migrations are recorded as applied, and their tables were dropped since", "inv db.reset"
    ),
    "stamped-or-dropped": State(
        "migrations are recorded as applied, but there is no table", "inv db.reset"
    ),
    "hollow": State(
        "every migration is applied, and none of them does anything",
        'alembic revision --autogenerate -m "Create the tables", then inv db.migrate',
    ),
    "hollow-without-models": State(
        "every migration is applied and none does anything, and env.py imports no models",
        "import the models in env.py, then alembic revision --autogenerate",
    ),
    "incomplete": State(
        "tables of the models are missing that the migrations made", "inv db.reset"
    ),
    "moved": State("tables are in another schema than the models look for them in", "inv db.check"),
    "drifted": State(
        "the tables are not what the models say",
        "inv db.check: it tells whether the tables were changed, or the models",
    ),
    "altered": State(
        "the catalog is not what these migrations make: somebody changed it by hand",
        "inv db.reset, or undo by hand what is named above",
    ),
    "no-metadata": State(
        "env.py names no models, so tables can't be compared with them",
        'set target_metadata in env.py, or metadata = "package.module:attribute"',
    ),
    "no-models": State(
        "the metadata that env.py names has no table: it imports no models",
        "import the models in env.py",
    ),
    "rolled-back": State(
        "the migrations ran and were rolled back: env.py runs SQL before context.configure",
        "move that SQL behind context.configure, or to a connection of its own",
    ),
    "scripts-stale": State(
        "the migrations in the image are not those in the tree", "inv image.build db.migrate"
    ),
    "image-older": State(
        "the database has migrations that this code does not know", "inv image.build db.migrate"
    ),
    "other-database": State(
        "the migrations' database is not that of this stack", "look at DATABASE_URL and env.py"
    ),
    "unrepeatable": State(
        "the migrations do not run on a new database, so nothing shows what they make",
        "inv db.check --history",
    ),
    "migrating": State("a migration is going on", "wait, then inv db.status"),
    "unreachable": State("the database, or the migrations, could not be read", "inv stack.logs"),
}
"""Every state that a database can be in, by its stable name."""

_NO_ALEMBIC = (
    'if Alembic does not make this schema: schema = "none" in [tool.unstale]; else install it'
    " where the migrate command runs, see service in [tool.unstale.schema]"
)

_UNKNOWN = ("no-metadata", "no-models", "unrepeatable", "migrating")

# What a person or another tool added is theirs; what is missing or other is drift. So is a
# column that rows can't be without, though the models lack it.
_HARMLESS = ("remove_table", "remove_column", "remove_index", "remove_constraint", "remove_fk")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database was looked at."""

    system: str
    """The cluster's system identifier: no two clusters have the same."""
    database: str
    user: str
    search_path: str
    address: str
    version: str
    """``server_version_num``."""
    started: str


@dataclass(frozen=True, slots=True)
class Witness:
    """What one of the four says."""

    name: str
    word: Word
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that migrates, or holds what migrations need."""

    pid: int
    """0 for a prepared transaction, which has no process."""
    role: str = ""
    application: str = ""
    state: str = ""
    """``active``, ``idle in transaction`` ...; empty where this role may not see it."""
    since: str = ""
    """When its transaction, or its state, began: UTC."""
    query: str = ""
    """The first words of its last statement, without any value."""

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction: SELECT * FROM pg_prepared_xacts"
        who = f"pid {self.pid}: role {self.role or 'unknown'}"
        return ", ".join(
            [
                who,
                *([f"application {self.application}"] if self.application else []),
                self.state or "its state may not be seen by this role",
                *([f"since {self.since}"] if self.since else []),
                *([f"last statement: {self.query} ..."] if self.query else []),
            ]
        )

    def to_json(self) -> dict[str, object]:
        """As it stands in the document."""
        return {
            "pid": self.pid,
            "role": self.role,
            "application": self.application,
            "state": self.state,
            "since": self.since,
            "query": self.query,
        }


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a look at the database told."""

    state: str
    """A key of `STATES`."""
    applied: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    missing_tables: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    drift: tuple[tuple[str, str], ...] = ()
    """Kind of change and what it is about; a kind is Alembic's, or the catalog's."""
    detail: str = ""
    """The database's own words, if it refused."""
    models_checked: bool = False
    """False: env.py names no models, so only floor and scripts were heard."""
    evidence: tuple[str, ...] = ()
    suggestion: str = ""
    """The body of the migration that Alembic would generate."""
    witnesses: tuple[Witness, ...] = ()
    identity: Identity | None = None
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Each file of the migrations where they ran, and its SHA-256."""
    ran: int = 0
    """Migrations that this look's `db.migrate` ran."""
    available: tuple[str, ...] = ()
    """Every migration of the scripts."""
    was_read: bool = True
    """False: what is applied, and the tables, were not looked at; nothing here tells of them."""
    holders: tuple[Holder, ...] = ()
    """Who migrates, of `migrating`."""
    advice: str = ""
    """What to type next, where what was seen tells more than the state alone."""

    @property
    def explanation(self) -> str:
        """One sentence on the state."""
        return STATES[self.state].explanation

    @property
    def hint(self) -> str:
        """What to type next."""
        return self.advice or STATES[self.state].hint

    @property
    def verdict(self) -> Verdict:
        """Fresh if current, Unknown if it could not be told, else Stale."""
        if self.state == "current":
            return Fresh()
        if self.state == "unreachable" or self.state in _UNKNOWN:
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
            "drift": [{"kind": kind, "what": what} for kind, what in self.drift],
            "tables": list(self.tables),
            "read": self.was_read,
            "holders": [one.to_json() for one in self.holders],
            "models_checked": self.models_checked,
            "detail": self.detail,
            "explanation": self.explanation,
            "evidence": list(self.evidence),
            "next": self.hint,
            "suggestion": self.suggestion,
            "witnesses": {
                one.name: {"verdict": one.word, "detail": one.detail} for one in self.witnesses
            },
            "database": None
            if self.identity is None
            else {
                "system": self.identity.system,
                "database": self.identity.database,
                "user": self.identity.user,
                "search_path": self.identity.search_path,
                "version": self.identity.version,
            },
        }


def answer(output: str) -> Mapping[str, Any]:
    """The facts that the probe printed.

    Raises:
        CouldNotTell: it printed no answer.

    """
    line = next((x for x in reversed(output.splitlines()) if x.startswith(SENTINEL)), "")
    facts = read_json(line.removeprefix(SENTINEL))
    if not isinstance(facts, dict):  # none, or cut off: the probe was killed
        raise CouldNotTell(
            "The schema could not be read: the probe printed no answer.",
            cause="\n".join(output.splitlines()[-5:]),
            hint="inv stack.logs",
        )
    return facts


def read(output: str) -> SchemaStatus:
    """Judge what the probe printed.

    Raises:
        CouldNotTell: the probe printed no answer.

    """
    return judge(answer(output))


@narrowed(
    lambda why: CouldNotTell(
        "The schema could not be read: the probe's answer is of another form.",
        cause=f"Something else prints lines that begin like it ({why}).",
        hint="inv db.status again",
    )
)
def judge(facts: Mapping[str, Any], in_tree: Mapping[str, str] | None = None) -> SchemaStatus:
    """Name the state that the probe's *facts* describe.

    *in_tree* has the SHA-256 of each migration file as it is in the tree, by its path
    where the migrations ran; None where that can't be told.

    Raises:
        CouldNotTell: *facts* are none of the probe's.

    """
    if "error" in facts:
        return _refused(facts)
    seen = _Seen.of(facts, in_tree)
    state, evidence = _state(seen)
    return SchemaStatus(
        state=state,
        applied=seen.applied,
        heads=seen.heads,
        available=seen.available,
        was_read=not seen.in_progress,
        holders=seen.holders,
        advice=_advice(seen, state),
        pending=seen.pending,
        missing_tables=seen.missing if state != "empty" else (),
        tables=seen.tables,
        drift=(
            *seen.drift,
            *((f"{how}_in_catalog", what) for how, what in (*seen.altered, *seen.foreign)),
        ),
        models_checked=seen.models is not None and seen.models > 0,
        evidence=(*evidence, *seen.remarks),
        # In any other state the migration is there already, or the tables are wrong.
        suggestion=seen.suggestion if state in ("drifted", "hollow") else "",
        witnesses=_witnesses(seen),
        identity=seen.identity,
        scripts=dict(facts.get("scripts") or {}),
        ran=int(facts.get("ran") or 0),
    )


def _refused(facts: Mapping[str, Any]) -> SchemaStatus:
    """The state of a database that was not read."""
    message = str(facts["message"])
    if facts.get("rung") == "lock":
        holders = _holders(facts)
        return SchemaStatus(
            "migrating",
            detail=message,
            evidence=(message, *map(str, holders)),
            was_read=False,
            holders=holders,
            advice=_to_end(holders),
        )
    rung = facts.get("rung") or facts["error"]
    # Not by convention: a database is found by its image, and may be another tool's.
    advice = _NO_ALEMBIC if rung == "ModuleNotFoundError" else ""
    return SchemaStatus("unreachable", detail=f"{rung}: {message}", was_read=False, advice=advice)


def _holders(found: Mapping[str, Any]) -> tuple[Holder, ...]:
    return tuple(Holder(**one) for one in found.get("holders", ()))


def _to_end(holders: Sequence[Holder]) -> str:
    """What to type next while a migration goes on."""
    ends = ", ".join(f"pg_terminate_backend({one.pid})" for one in holders if one.pid)
    after = f"; if it hangs for ever: inv db.shell -- -c 'SELECT {ends}'" if ends else ""
    return STATES["migrating"].hint + after


@dataclass(frozen=True, slots=True)
class _Seen:
    """The probe's facts, typed."""

    applied: tuple[str, ...]
    heads: tuple[str, ...]
    available: tuple[str, ...]
    tables: tuple[str, ...]
    missing: tuple[str, ...]
    moved: tuple[str, ...]
    unmigrated: tuple[str, ...]
    drift: tuple[tuple[str, str], ...]
    unfilled: tuple[str, ...]
    """Columns that the models lack, NOT NULL and without a default."""
    suggestion: str
    models: int | None
    """Tables of the models; None without metadata."""
    effective: int
    """Migrations that do anything."""
    version_table: str
    has_version_table: bool
    begun_before_configure: bool
    in_progress: tuple[str, ...]
    holders: tuple[Holder, ...]
    traces: tuple[int, int] | None
    """Rows inserted into the catalog of relations, and deleted from it."""
    identity: Identity | None
    differing: tuple[str, ...] | None
    """Migration files that are not as in the tree; None: not checked."""
    unbuilt: tuple[str, ...]
    """Those of the tree that are not where the migrations ran."""
    pending: tuple[str, ...]
    altered: tuple[tuple[str, str], ...]
    """How the catalog differs from that of these migrations."""
    foreign: tuple[tuple[str, str], ...]
    """What it has besides, and no table of the migrations has to do with."""
    unrepeatable: str
    """Why no reference could be built, if it was tried."""
    reference: str | None
    """Why the catalog was not compared; empty if it was, None if nobody asked."""

    @classmethod
    def of(cls, facts: Mapping[str, Any], in_tree: Mapping[str, str] | None) -> _Seen:
        server = facts.get("server") or {}
        traces = server.get("traces")
        identity = server.get("identity")
        reference = facts.get("reference")
        models = facts.get("models")
        missing = facts.get("missing_tables")
        differences = tuple((str(how), str(what)) for how, what in _differences(reference))
        foreign = _foreign(differences)
        heads, applied = tuple(facts["heads"]), tuple(facts.get("applied", ()))
        in_progress = tuple(server.get("in_progress", ()))
        scripts = facts.get("scripts") or {}
        return cls(
            applied=applied,
            heads=heads,
            pending=tuple(_pending(facts)) if not in_progress else (),
            available=tuple(facts["available"]),
            tables=tuple(facts.get("tables", ())),
            missing=tuple(missing or ()),
            moved=tuple(facts.get("moved", ())),
            unmigrated=tuple(facts.get("unmigrated", ())),
            drift=tuple((str(kind), str(what)) for kind, what in facts.get("drift", ())),
            unfilled=tuple(facts.get("unfilled", ())),
            suggestion=str(facts.get("suggestion", "")).strip(),
            models=models,
            effective=int(facts.get("effective", 1)),
            version_table=str(facts.get("version_table", "alembic_version")),
            has_version_table=bool(facts.get("has_version_table", facts.get("applied"))),
            begun_before_configure=bool(facts.get("begun_before_configure")),
            in_progress=in_progress,
            holders=_holders(server),
            traces=(int(traces["inserted"]), int(traces["deleted"])) if traces else None,
            identity=Identity(**identity) if identity else None,
            differing=_differing(scripts, in_tree),
            unbuilt=tuple(sorted(set(in_tree or ()) - set(scripts))),
            altered=tuple(one for one in differences if one not in foreign),
            foreign=foreign,
            unrepeatable=str((reference or {}).get("failed", "")),
            reference=None
            if reference is None
            else str(reference.get("why_not", reference.get("failed", ""))),
        )

    @property
    def found_drift(self) -> tuple[tuple[str, str], ...]:
        """What the models have and the tables do not, or have in another way."""
        return tuple(
            (kind, what)
            for kind, what in self.drift
            if kind not in _HARMLESS or (kind == "remove_column" and what in self.unfilled)
        )

    @property
    def missing_revisions(self) -> tuple[str, ...]:
        """What is applied and not among the scripts."""
        return tuple(one for one in self.applied if one not in self.available)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is remarkable in any state."""
        tables = [what for kind, what in self.drift if kind == "remove_table"]
        others = [what for _, what in self.foreign]
        columns = [
            what
            for kind, what in self.drift
            if kind == "remove_column" and what not in self.unfilled
        ]
        do = "does" if len(columns) == 1 else "do"
        return (
            *([f"the models lack {', '.join(columns)}, which {do} no harm"] if columns else []),
            *([f"tables of nobody's models: {', '.join(tables)}"] if tables else []),
            *([f"of nobody's migrations: {', '.join(others[:10])}"] if others else []),
        )


def _pending(facts: Mapping[str, Any]) -> Sequence[str]:
    if "pending" in facts:
        return tuple(facts["pending"])
    return [one for one in facts["heads"] if one not in facts.get("applied", ())]


def _differing(
    found: Mapping[str, str], in_tree: Mapping[str, str] | None
) -> tuple[str, ...] | None:
    if in_tree is None or not found:
        return None
    names = {*found, *in_tree}
    return tuple(sorted(name for name in names if found.get(name) != in_tree.get(name)))


def _differences(reference: Mapping[str, Any] | None) -> Sequence[Sequence[str]]:
    return (reference or {}).get("differences") or ()


Named = tuple[str, tuple[str, ...]]
"""A state, and what it was recognized by."""


def _foreign(differences: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What was added beside the tables of the migrations: an init script's, another tool's."""
    added = {what for how, what in differences if how == "added"}
    relations = {what.partition(" ")[2] for what in added if what.startswith("relation ")}

    def is_apart(what: str) -> bool:
        kind = what.partition(" ")[0]
        if kind in ("schema", "extension", "function", "enum", "domain"):
            return True
        return _is_of(what, relations) or kind == "sequence"

    return tuple(one for one in differences if one[0] == "added" and is_apart(one[1]))


def _is_of(fact: str, relations: Container[str]) -> bool:
    """Whether *fact* is of, or in, one of *relations*."""
    name = fact.partition(" ")[2]
    return name in relations or name.rpartition(".")[0] in relations


def _in_catalog(seen: _Seen) -> tuple[str, ...]:
    """How the catalog differs, what the rest hangs on first; a lost table says it for its own."""
    whole = {
        (how, what.partition(" ")[2])
        for how, what in seen.altered
        if how != "changed" and what.startswith("relation ")
    }
    told = [
        (how, what)
        for how, what in seen.altered
        if what.startswith("relation ")
        or not _is_of(what, {name for change, name in whole if change == how})
    ]
    told.sort(key=lambda one: not one[1].startswith("relation "))
    more = [f"and {len(told) - _MOST} facts more: --json"] if len(told) > _MOST else []
    return (*(f"{how}: {what}" for how, what in told[:_MOST]), *more)


def _beside_tables(seen: _Seen) -> tuple[str, ...]:
    """How the models differ from the tables."""
    told = [
        f"the models lack {what}, which is NOT NULL without a default: each insert of theirs fails"
        if kind == "remove_column"
        else f"{kind.replace('_', ' ')} {what}"
        for kind, what in seen.found_drift
    ]
    return tuple(told[:_MOST]) or (f"not there: {', '.join(seen.missing)}",)


def _advice(seen: _Seen, state: str) -> str:
    """What to type next, if that is not the same whenever the state is *state*."""
    match state:
        case "migrating":
            return _to_end(seen.holders)
        case "image-older" if seen.differing is None:
            return "switch to the branch that has it, or to a newer image, or inv db.reset"
        case "image-older" if not seen.unbuilt:
            return "switch to the branch that has it, or inv db.reset: no build brings it"
        case "drifted" if seen.reference == "":
            add = "add to the models what they lack, or " if seen.unfilled else ""
            return f"{add}alembic revision --autogenerate, then inv db.migrate"
        case "drifted" if seen.reference is not None:
            return (
                "alembic revision --autogenerate if the models were changed,"
                " inv db.reset if the tables were"
            )
        case _:
            return ""


def _state(seen: _Seen) -> Named:
    return next(_candidates(seen))


def _candidates(seen: _Seen) -> Iterator[Named]:
    """The states that explain what was seen, the most telling first."""
    is_applied = set(seen.applied) == set(seen.heads)
    if seen.in_progress:
        yield "migrating", (*seen.in_progress, *map(str, seen.holders))
    if not seen.heads:
        yield "no-migrations", ("the folder of migrations has no revision",)
    if seen.missing_revisions:
        yield "image-older", _unknown_here(seen)
    if not seen.applied:
        yield _without_version(seen)
    if not is_applied and len(seen.heads) > 1:
        yield "multiple-heads", (f"heads: {', '.join(seen.heads)}",)
    if not is_applied:
        yield _or_stale(seen, "behind", (f"not applied: {', '.join(seen.pending)}",))
    if not seen.tables:
        yield _without_tables(seen)
    yield _or_stale(seen, *next(_beside_models(seen)))


def _unknown_here(seen: _Seen) -> tuple[str, ...]:
    """What is applied and not known, and where it is not."""
    unknown = f"applied and not known here: {', '.join(seen.missing_revisions)}"
    if seen.unbuilt:
        return (unknown, f"in the tree and not in the image: {_names(seen.unbuilt)}")
    return (unknown,) if seen.differing is None else (unknown, "the tree has no such file, either")


def _names(paths: Sequence[str]) -> str:
    """The first of *paths*, without their folders."""
    return ", ".join(path.rpartition("/")[2] for path in paths[:5])


def _or_stale(seen: _Seen, state: str, evidence: tuple[str, ...]) -> Named:
    """*state*, unless the migrations that say so are not those of the tree."""
    if seen.differing and state in ("current", "behind", "no-metadata"):
        return "scripts-stale", (f"not as in the tree: {_names(seen.differing)}", *evidence)
    return state, evidence


def _without_version(seen: _Seen) -> Named:
    """No migration is recorded as applied."""
    if seen.tables:
        shown = ", ".join(seen.tables[:5])
        row = "no row in the version table" if seen.has_version_table else "no version table"
        return "unversioned", (f"{len(seen.tables)} tables ({shown}), and {row}",)
    if seen.begun_before_configure:
        return "rolled-back", ("a transaction was open before Alembic was configured",)
    if seen.has_version_table:
        return "downgraded", (f"{seen.version_table} is there, and empty",)
    return "empty", ()


def _without_tables(seen: _Seen) -> Named:
    """Applied is what is available, and there is not one table."""
    if not seen.effective:
        count = f"none of {len(seen.available)} migrations does anything"
        if seen.models:
            return "hollow", (count, f"the models have {seen.models} tables")
        return "hollow-without-models", (count, "the models have no table")
    if seen.traces is None or not seen.traces[0]:
        return "stamped-or-dropped", ("the server has no statistics that would tell which",)
    inserted, deleted = seen.traces
    trace = f"relations made: {inserted}, dropped: {deleted}, by the catalog's statistics"
    return ("dropped" if deleted else "stamped"), (trace,)


def _beside_models(seen: _Seen) -> Iterator[Named]:
    """There are tables, and every migration is applied."""
    made = tuple(name for name in seen.missing if name not in seen.unmigrated)
    if seen.moved and len(seen.moved) >= len(seen.missing):
        yield "moved", seen.moved
    if made:
        names = f"made by the migrations and not there: {', '.join(made)}"
        yield "incomplete", (names, *_in_catalog(seen))
    differs = bool(seen.found_drift or seen.missing)
    # Before "drifted": no migration mends what the migrations did not make.
    if seen.altered:
        beside = [f"models: {one}" for one in _beside_tables(seen)] if differs else []
        yield "altered", (*_in_catalog(seen), *beside)
    if differs:
        yield "drifted", _beside_tables(seen)
    if seen.unrepeatable:
        yield "unrepeatable", (seen.unrepeatable,)
    # Every fact of the catalog is what the migrations make: that is the stronger proof.
    if seen.models is None and seen.reference != "":
        yield "no-metadata", ("target_metadata is None",)
    if seen.models == 0 and seen.reference != "":
        yield "no-models", ("the metadata has no table",)
    yield "current", ()


def _witnesses(seen: _Seen) -> tuple[Witness, ...]:
    is_applied = bool(seen.heads) and set(seen.applied) == set(seen.heads)
    if seen.in_progress:
        names = ("floor", "scripts", "models", "reference")
        return tuple(Witness(name, "not checked", "a migration is going on") for name in names)
    return (
        _witness("floor", bool(seen.tables), f"{len(seen.tables)} tables"),
        _scripts_witness(seen, is_applied=is_applied),
        _models_witness(seen),
        _reference_witness(seen),
    )


def _witness(name: str, is_good: bool, detail: str) -> Witness:  # noqa: FBT001 - what it says
    return Witness(name, "ok" if is_good else "failed", detail)


def _scripts_witness(seen: _Seen, *, is_applied: bool) -> Witness:
    if not is_applied or seen.differing:
        return Witness("scripts", "failed", _scripts_fault(seen))
    if seen.differing is None:
        return Witness("scripts", "ok", "applied is what is available; files: not checked")
    return Witness("scripts", "ok", "applied is what is available, and files are as in the tree")


def _scripts_fault(seen: _Seen) -> str:
    """Which of applied, available and files does not agree."""
    unknown, pending = ", ".join(seen.missing_revisions), ", ".join(seen.pending)
    told = [
        *([] if seen.heads else ["no migration was found"]),
        *([f"applied and not known here: {unknown}"] if unknown else []),
        *([f"not applied: {pending}"] if pending else []),
        *([f"not as in the tree: {_names(seen.differing)}"] if seen.differing else []),
    ]
    return "; ".join(told) or "applied is not what is available"


def _models_witness(seen: _Seen) -> Witness:
    if not seen.models:
        return Witness("models", "not checked", "env.py names no models")
    count = f"{seen.models} tables of the models"
    other = [one for one in seen.found_drift if one[0] != "add_table"]
    if not seen.missing and not seen.found_drift:
        return Witness("models", "ok", count)
    told = [
        *([f"not there: {_first(seen.missing)}"] if seen.missing else []),
        *([f"not alike: {_first([what for _, what in other])}"] if other else []),
    ]
    return Witness("models", "failed", f"of {count}, {'; '.join(told)}")


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _reference_witness(seen: _Seen) -> Witness:
    if seen.reference is None:
        return Witness("reference", "not checked", "only db.check and runs build one")
    if seen.unrepeatable:
        return Witness("reference", "failed", seen.unrepeatable)
    if seen.reference:
        return Witness("reference", "not checked", seen.reference)
    if seen.altered:
        facts = _first(_in_catalog(seen))
        return Witness("reference", "failed", f"these migrations make another catalog: {facts}")
    return Witness("reference", "ok", "against a database of these migrations")


def problem(status: SchemaStatus) -> UnstaleError | None:
    """Why *status* can't be accepted, as an error to raise; None if current."""
    what = f"The schema is {status.state}: {status.explanation}."
    match status.verdict:
        case Fresh():
            return None
        case Unknown(why):
            if status.state == "unreachable":
                return MigrationFailed(what, cause=status.detail, hint=status.hint)
            return CouldNotTell(what, cause=_cause(status) or why, hint=status.hint)
        case _:
            return Mismatch(what, cause=_cause(status), hint=status.hint)


def _cause(status: SchemaStatus) -> str:
    """Counts, evidence, and the migration that Alembic would write."""
    names = ", ".join((status.missing_tables or status.pending)[:_MOST])
    applied = ", ".join(status.applied) or "none"
    counts = f"Applied: {applied}; tables: {len(status.tables)}"
    missing = f"; missing: {names}." if names else "."
    first = counts + missing if status.was_read else "What is applied, and the tables: not read."
    return "\n".join([first, *(f"  {one}" for one in status.evidence), *suggested(status)])


def suggested(status: SchemaStatus) -> tuple[str, ...]:
    """The migration that Alembic would write, in lines; none where it would mend nothing."""
    lines = [line for line in status.suggestion.splitlines() if line.strip()]
    body = [line for line in lines if not line.lstrip().startswith("#")]
    if not body:
        return ()
    is_sure = any(one.name == "reference" and one.word == "ok" for one in status.witnesses)
    sure = "" if is_sure or status.state == "hollow" else ", if the tables are what migrations made"
    more = [f"  ... and {len(body) - 20} lines more"] if len(body) > 20 else []
    return (f"A migration for it would be{sure}:", *(f"  {line}" for line in body[:20]), *more)


def require_current(status: SchemaStatus) -> None:
    """Accept only a schema that is current.

    Raises:
        MigrationFailed: it could not be read.
        CouldNotTell: something that would prove it is missing.
        Mismatch: it is in any other state.

    """
    if (error := problem(status)) is not None:
        raise error


def elsewhere(status: SchemaStatus, system: str) -> SchemaStatus:
    """*status* of a database that is not in the cluster *system*, where the tests look.

    An empty *system* is not known: that is remarked.
    """
    if status.identity is None or status.identity.system == system:
        return status
    if not system:
        return replace(status, evidence=(*status.evidence, "whose cluster it is: not checked"))
    found = f"env.py goes to {status.identity.database} of cluster {status.identity.system}"
    return replace(
        status, state="other-database", evidence=(found, f"this stack's cluster is {system}")
    )
