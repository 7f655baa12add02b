"""Why a schema is what it is: migrations, tables and columns, each by its file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from checkout import member
from workshop import Workshop

from unstale.facts import CommitFact
from unstale.pipeline import schema
from unstale.pipeline.explanation import Cause, Place
from unstale.pipeline.why_schema import Migrations, explain, migrations
from unstale.schema.revisions import Made, made
from unstale.schema.status import Identity, SchemaStatus, Witness

ROOT = Path("/home/robin/shop")
FIRST, SECOND = ROOT / "versions/0001.py", ROOT / "versions/0002.py"
COMMIT = CommitFact("a" * 40, "aaaaaaa", datetime(2026, 1, 1, tzinfo=UTC), "Add users")
KNOWN = Migrations(
    files={
        "0001": (FIRST, Made("0001", {"users": 12, "users.id": 13})),
        "0002": (SECOND, Made("0002", {"users.age": 12, "keys": 20})),
    },
    commits={FIRST: COMMIT},
    uncommitted=frozenset({SECOND}),
)
SCRIPT = b'''
"""Make tables."""
revision: str = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid()),
        Column("age", Integer),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("users", sa.Column("nick", sa.String(32)))
    op.add_column(TABLE, sa.Column("x"))
    op.rename_table("old", "new")
    with op.batch_alter_table("users") as batch:
        batch.add_column(sa.Column("later"))


def downgrade() -> None:
    op.create_table("gone")
'''


def why(state: str, **facts: Any) -> tuple[Cause, ...]:
    (found,) = explain("postgres", SchemaStatus(state, **facts), KNOWN, ROOT)
    return found.causes


def test_what_a_migration_makes_is_read_from_its_upgrade_alone() -> None:
    found = made(SCRIPT)

    assert found == Made(
        "0001", {"users": 8, "users.id": 10, "users.age": 11, "users.nick": 14, "new": 16}
    )


@pytest.mark.parametrize("text", [b"", b"x = (", b"revision = 3\n", b"down_revision = '1'\n"])
def test_what_is_no_migration_makes_nothing(text: bytes) -> None:
    assert made(text) is None


def test_a_pending_migration_has_its_file_and_commit() -> None:
    found = why("behind", pending=("0001", "0002", "0009"))

    assert found == (
        Cause(
            "0001",
            "is here, and not applied",
            (Place("versions/0001.py", None, "makes it"),),
            COMMIT,
        ),
        Cause(
            "0002",
            "is here, and not applied",
            (Place("versions/0002.py", None, "makes it"),),
            is_uncommitted=True,
        ),
        Cause("0009", "is here, and not applied; no file of the tree says so"),
    )


def test_a_migration_that_this_code_lacks_is_named() -> None:
    found = why("image-older", applied=("0007",), available=("0001", "0002"))

    assert found == (Cause("0007", "is applied, and no file here has it"),)


def test_a_file_that_is_not_what_ran_has_its_commit() -> None:
    known = replace(KNOWN, differing=((FIRST, "is another one"), (SECOND, "is not there")))
    (found,) = explain("postgres", SchemaStatus("scripts-stale"), known, ROOT)

    assert found.causes == (
        Cause("versions/0001.py", "is another one", commit=COMMIT),
        Cause("versions/0002.py", "is not there", is_uncommitted=True),
    )


def test_a_missing_table_has_the_line_that_makes_it() -> None:
    twice = (("add_table", "keys"),)
    found = why("incomplete", missing_tables=("keys", "ghosts"), drift=twice)

    assert len(found) == 2
    assert found[0].places == (Place("versions/0002.py", 20, "0002 makes it"),)
    assert found[1] == Cause("ghosts", "the table is missing")


@pytest.mark.parametrize(
    ("kind", "what", "how", "at"),
    [
        (
            "modify_type",
            "users.age",
            "it has another type than in the models",
            ("versions/0002.py", 12, "0002"),
        ),
        (
            "add_column",
            "users.nick",
            "the models have this column, and the database has not",
            ("versions/0001.py", 12, "0001"),  # its table
        ),
        (
            "missing_in_catalog",
            "constraint public.users.positive",
            "these migrations make it, and the catalog has it not",
            ("versions/0001.py", 12, "0001"),
        ),
        ("add_fk", "orders.fk_user", "add fk", None),
    ],
)
def test_drift_is_explained_by_the_migration_of_its_column_or_table(
    kind: str, what: str, how: str, at: tuple[str, int, str] | None
) -> None:
    (cause,) = why("drifted", drift=((kind, what),))

    assert (cause.what, cause.how) == (what, how)
    assert cause.places == ((Place(at[0], at[1], f"{at[2]} makes it"),) if at is not None else ())


def test_witnesses_and_evidence_are_told_and_what_to_type() -> None:
    status = SchemaStatus(
        "stamped",
        applied=("0001",),
        heads=("0001",),
        witnesses=(Witness("scripts", "ok", "0001 is head"), Witness("models", "failed", "none")),
        identity=Identity("1", "shop", "robin", "public", "", "17", ""),
        evidence=("no row was ever inserted",),
    )
    (found,) = explain("postgres", status, KNOWN, ROOT)

    assert (found.verdict, found.next) == ("stale", "inv db.reset")
    assert found.summary.startswith("stamped: migrations are recorded as applied")
    assert found.evidence == (
        "applied: 0001",
        "heads: 0001",
        "database: shop as robin",
        "scripts: ok: 0001 is head",
        "models: failed: none",
        "no row was ever inserted",
    )


def test_of_a_database_that_was_not_read_only_the_words_are_told() -> None:
    status = SchemaStatus("unreachable", detail="auth: refused\nmore", was_read=False)
    (found,) = explain("postgres", status, KNOWN, ROOT)

    assert (found.verdict, found.evidence) == ("unknown", ("auth: refused", "more"))


def test_the_migrations_of_the_tree_are_found_by_what_the_image_copies(shop: Workshop) -> None:
    shop.checkout.write(
        {
            "src/versions/0001.py": SCRIPT,
            "src/versions/0002.py": SCRIPT.replace(b"0001", b"0002"),
            "src/versions/notes.txt": "",
        }
    )
    shop.held = [[member("/app/app.py", "v1")]]
    bench = shop.bench
    ran = {"/app/versions/0001.py": "aa", "/app/versions/env.py": "bb"}

    found = schema.scripts(bench, ran)
    root = shop.checkout.root
    assert found == {
        "/app/versions/0001.py": root / "src/versions/0001.py",
        # Not in the image that was asked: it is pending.
        "/app/versions/0002.py": root / "src/versions/0002.py",
    }
    same = {"/app/versions/0001.py": hashlib.sha256(SCRIPT).hexdigest()}
    known = migrations(bench, SchemaStatus("behind", scripts={**ran, **same}))
    assert known.differing == (
        (root / "src/versions/0002.py", "is not there where the migrations run"),
    )
    known = migrations(bench, SchemaStatus("behind", scripts=ran))
    assert known.differing[0] == (
        root / "src/versions/0001.py",
        "is another one where the migrations run",
    )
    assert {name: path for name, (path, _) in known.files.items()} == {
        "0001": root / "src/versions/0001.py",
        "0002": root / "src/versions/0002.py",
    }
    assert schema.scripts(bench, {}) == {}
