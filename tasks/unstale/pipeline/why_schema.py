"""Why a database's schema is what it is: migrations, tables and columns, by file and commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from unstale.facts import CommitFact
from unstale.pipeline import schema
from unstale.pipeline.explanation import Answer, Cause, Place
from unstale.pipeline.images import Bench
from unstale.ports import Git
from unstale.schema.revisions import Made, made
from unstale.schema.status import SchemaStatus, suggested
from unstale.verdict import word

__all__ = ["Migrations", "explain", "migrations"]


@dataclass(frozen=True, slots=True)
class Migrations:
    """The migrations of the tree, and what git says of their files."""

    files: Mapping[str, tuple[Path, Made]]
    """By revision."""
    commits: Mapping[Path, CommitFact]
    uncommitted: frozenset[Path]
    differing: tuple[tuple[Path, str], ...] = ()
    """The files that are not as where they ran, and how."""


def migrations(bench: Bench, status: SchemaStatus) -> Migrations:
    """Read, and run nothing of, the files of the tree that *status* tells of."""
    paths = schema.scripts(bench, status.scripts)
    texts = {path: _content(path) for path in paths.values()}
    read = {path: found for path, text in texts.items() if (found := made(text))}
    differing = tuple(_differing(paths, texts, read, status.scripts))
    asked = tuple({**read, **dict(differing)})
    git: Git = bench.ports.git
    return Migrations(
        files={found.revision: (path, found) for path, found in read.items()},
        commits=git.last_commits(asked),
        uncommitted=git.uncommitted(asked),
        differing=differing,
    )


def _differing(
    paths: Mapping[str, Path],
    texts: Mapping[Path, bytes],
    read: Collection[Path],
    ran: Mapping[str, str],
) -> Iterator[tuple[Path, str]]:
    for name, path in sorted(paths.items()):
        if name in ran and hashlib.sha256(texts[path]).hexdigest() != ran[name]:
            yield path, "is another one where the migrations run"
        elif name not in ran and path in read:
            yield path, "is not there where the migrations run"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def explain(
    subject: str, status: SchemaStatus, known: Migrations, root: Path
) -> tuple[Answer, ...]:
    """The answer on the database *subject*."""
    return (
        Answer(
            subject=subject,
            verdict=word(status.verdict),
            summary=f"{status.state}: {status.explanation}",
            causes=tuple(_causes(status, known, root)),
            evidence=tuple(_evidence(status)),
            next=status.hint,
        ),
    )


def _causes(status: SchemaStatus, known: Migrations, root: Path) -> Iterator[Cause]:
    for name in status.applied:
        # Two looks at one thing: what is applied, and what this code has.
        if name not in (*status.available, *known.files) and status.available:
            yield Cause(name, "is applied, and no file here has it")
    for path, how in known.differing:
        name = _relative(path, root)
        is_new = path in known.uncommitted
        yield Cause(name, how, (), known.commits.get(path), is_uncommitted=is_new)
    for name in status.pending:
        yield _migration(name, "is here, and not applied", known, root)
    for table in status.missing_tables:
        yield Cause(table, "the table is missing", tuple(_makers(table, known, root)))
    for kind, what in status.drift:
        if kind == "add_table" and what in status.missing_tables:
            continue  # it is there already
        yield Cause(what, _DRIFT.get(kind, kind.replace("_", " ")), _near(what, known, root))


_DRIFT = {
    "add_table": "the models have this table, and the database has not",
    "add_column": "the models have this column, and the database has not",
    "remove_table": "the database has this table, and the models have not",
    "remove_column": "the database has this column, and the models have not",
    "modify_type": "it has another type than in the models",
    "modify_nullable": "it may be NULL on one side alone",
    "modify_default": "it has another default than in the models",
    "missing_in_catalog": "these migrations make it, and the catalog has it not",
    "added_in_catalog": "the catalog has it, and these migrations do not make it",
}


def _migration(name: str, how: str, known: Migrations, root: Path) -> Cause:
    if name not in known.files:
        return Cause(name, f"{how}; no file of the tree says so")
    path, _ = known.files[name]
    return Cause(
        name,
        how,
        (Place(_relative(path, root), None, "makes it"),),
        commit=known.commits.get(path),
        is_uncommitted=path in known.uncommitted,
    )


def _makers(name: str, known: Migrations, root: Path) -> Iterator[Place]:
    """The lines of migrations that make *name*, a table or a column."""
    for revision, (path, found) in known.files.items():
        if name in found.lines:
            yield Place(_relative(path, root), found.lines[name], f"{revision} makes it")


def _near(what: str, known: Migrations, root: Path) -> tuple[Place, ...]:
    """Where *what* is made; of a thing that no migration names: where its table is."""
    words = _names(what)
    return next((found for one in words if (found := tuple(_makers(one, known, root)))), ())


def _names(what: str) -> Iterable[str]:
    """``constraint public.users.positive`` as the names that it may have in a migration."""
    *_, last = what.split(" ") or ("",)
    parts = last.split(".")
    return dict.fromkeys(
        ".".join(parts[start:end])
        for length in (2, 1)
        for start in range(len(parts))
        if (end := start + length) <= len(parts)
    )


def _evidence(status: SchemaStatus) -> Iterator[str]:
    if status.was_read:
        yield f"applied: {', '.join(status.applied) or 'none'}"
        yield f"heads: {', '.join(status.heads) or 'none'}"
    if (where := status.identity) is not None:
        yield f"database: {where.database} as {where.user}"
    yield from (f"{one.name}: {one.word}: {one.detail}" for one in status.witnesses)
    yield from status.detail.splitlines() if status.detail not in status.evidence else ()
    yield from status.evidence
    yield from suggested(status)


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()
