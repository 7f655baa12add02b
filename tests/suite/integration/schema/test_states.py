"""The state matrix: each way to have, or not to have, the schema of one's migrations.

What Alembic itself says of a state is asserted beside what unstale says: a state
that Alembic learns to see one day should be noticed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from migrated import Database

HOLLOW = '''"""Nothing."""

revision = "{0}"
down_revision = {1}


def upgrade():
    pass


def downgrade():
    pass
'''


@dataclass(frozen=True)
class State:
    """A row of the matrix."""

    name: str
    """What `db.status` calls it."""
    code: int
    """What `db.status` ends with."""
    arrange: Callable[[Database], None]
    is_head: bool = True
    """Whether ``alembic current --check-heads`` is content."""
    words: str = ""
    """What must stand in the report: the evidence."""
    hint: str = ""
    check: str = ""
    """What `db.check` calls it, where four witnesses know more."""


def _upgrade(db: Database) -> None:
    db.alembic("upgrade", "heads")


def _dropped(db: Database) -> None:
    _upgrade(db)
    db.sql('DROP TABLE users, "Order"')


def _stamped(db: Database) -> None:
    db.alembic("stamp", "head")


def _hollow(db: Database) -> None:
    db.write("migrations/versions/0001_users.py", HOLLOW.format("0001", None))
    db.write("migrations/versions/0002_orders.py", HOLLOW.format("0002", '"0001"'))
    _upgrade(db)


def _hollow_without_models(db: Database) -> None:
    db.write("models.py", "from sqlalchemy import MetaData\n\nmetadata = MetaData()\n")
    _hollow(db)


def _no_metadata(db: Database) -> None:
    db.replace("migrations/env.py", "TARGET = models.metadata", "TARGET = None")
    _upgrade(db)


def _no_models(db: Database) -> None:
    db.write("models.py", "from sqlalchemy import MetaData\n\nmetadata = MetaData()\n")
    _upgrade(db)


def _rolled_back(db: Database) -> None:
    db.replace("migrations/env.py", "# BEFORE CONFIGURE", 'connection.exec_driver_sql("SELECT 1")')
    _upgrade(db)


def _image_older(db: Database) -> None:
    _upgrade(db)
    db.write("migrations/versions/0002_orders.py", "")
    (db.root / "migrations/versions/0002_orders.py").unlink()


def _no_migrations(db: Database) -> None:
    for path in (db.root / "migrations/versions").glob("*.py"):
        path.unlink()


def _two_heads(db: Database) -> None:
    _upgrade(db)
    db.write("migrations/versions/0003_other.py", HOLLOW.format("0003", '"0001"'))


def _table_gone(db: Database) -> None:
    _upgrade(db)
    db.sql('DROP TABLE "Order"')


def _moved(db: Database) -> None:
    _upgrade(db)
    db.sql("CREATE SCHEMA elsewhere", "ALTER TABLE users SET SCHEMA elsewhere")


def _unversioned(db: Database) -> None:
    db.sql("CREATE TABLE users (id serial PRIMARY KEY, name varchar(40) NOT NULL)")


def _downgraded(db: Database) -> None:
    _upgrade(db)
    db.alembic("downgrade", "base")


def _behind(db: Database) -> None:
    db.alembic("upgrade", "0001")


def _drifted(db: Database) -> None:
    _upgrade(db)
    db.replace("models.py", 'Column("name"', 'Column("age", Integer),\n    Column("name"')


def _model_without_migration(db: Database) -> None:
    _upgrade(db)
    db.checkout.append(
        "models.py", '\ninvoices = Table("invoices", metadata, Column("id", Integer))\n'
    )


def _check_gone(db: Database) -> None:
    _upgrade(db)
    db.sql("ALTER TABLE users DROP CONSTRAINT users_have_a_name")


STATES = {
    "1 healthy": State("current", 0, _upgrade),
    "2 drop_all after migrate": State("dropped", 3, _dropped, words="dropped: 6"),
    "3 stamp head": State("stamped", 3, _stamped, words="dropped: 0"),
    "4 hollow revisions": State("hollow", 3, _hollow, words="none of 2 migrations does anything"),
    "5 hollow, no models": State("hollow-without-models", 3, _hollow_without_models),
    "6 target_metadata=None": State("no-metadata", 4, _no_metadata, check="current"),
    "6b no models imported": State("no-models", 4, _no_models, check="current"),
    "7 SQL before configure": State("rolled-back", 3, _rolled_back, is_head=False),
    "9 image older": State("image-older", 3, _image_older, is_head=False, words="0002"),
    "10 no migrations": State("no-migrations", 3, _no_migrations),
    "11 two heads": State("multiple-heads", 3, _two_heads, is_head=False, words="0002, 0003"),
    "12 table dropped": State("incomplete", 3, _table_gone, words="Order"),
    "13 table moved": State("moved", 3, _moved, words="users is now elsewhere.users"),
    "14 create_all first": State("unversioned", 3, _unversioned, is_head=False),
    "15 downgrade base": State("downgraded", 3, _downgraded, is_head=False),
    "empty": State("empty", 3, lambda _db: None, is_head=False),
    "behind": State("behind", 3, _behind, is_head=False, words="0002", hint="inv db.migrate"),
    "drifted": State("drifted", 3, _drifted, words="op.add_column('users'"),
    "a model without a migration": State(
        "drifted", 3, _model_without_migration, words="op.create_table('invoices'"
    ),
    # What autogenerate does not see.
    "a CHECK dropped": State("current", 0, _check_gone, check="altered"),
}


@pytest.mark.parametrize("row", STATES)
def test_each_state_has_its_name_and_its_code_and_nothing_is_written(
    row: str, database: Database
) -> None:
    state = STATES[row]
    state.arrange(database)
    database.alembic("current", "--check-heads", code=0 if state.is_head else 255)
    before, others = database.content(), database.others()

    answer = database.unstale("db.status", "--json").must(state.code)

    assert answer.document()["state"] == state.name
    if state.code:
        assert f"The schema is {state.name}: " in answer.err
        verdict, hint = answer.err.splitlines()[-2:]  # the evidence is in the report alone
        assert verdict.startswith("The schema is ")
        assert hint.startswith("Next: ")
    assert state.words in answer.text
    assert state.hint in answer.err
    assert database.content() == before
    assert database.others() == others


@pytest.mark.parametrize("row", [row for row in STATES if STATES[row].check or row == "1 healthy"])
def test_four_witnesses_know_more_than_three(row: str, database: Database) -> None:
    state = STATES[row]
    state.arrange(database)
    before = database.content()

    answer = database.unstale("db.check", "--json")

    wanted = state.check or state.name
    assert answer.must(0 if wanted == "current" else 3).document()["state"] == wanted
    witness = answer.document()["witnesses"]["reference"]["verdict"]
    assert witness == ("ok" if wanted == "current" else "failed")
    assert database.content() == before


def test_a_catalog_that_was_changed_by_hand_is_named_fact_by_fact(database: Database) -> None:
    _upgrade(database)
    database.sql(
        "CREATE TYPE mood AS ENUM ('sad')",
        "ALTER TABLE users DROP CONSTRAINT users_pkey",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX late ON users (name) WHERE name <> 'x'",
    )

    drift = database.unstale("db.check", "--json").must(3).document()["drift"]

    assert {(one["kind"], one["what"]) for one in drift} >= {
        ("added_in_catalog", "enum public.mood"),
        ("missing_in_catalog", "constraint public.users.users_pkey"),
        ("changed_in_catalog", "relation public.users"),
        ("added_in_catalog", "function public.one()"),
        ("added_in_catalog", "index public.users.late"),
    }


HARMLESS = {
    "nullable": "nick text",
    "default": "nick text NOT NULL DEFAULT ''",
    "sequence": "nick serial",
    "identity": "nick int GENERATED ALWAYS AS IDENTITY",
    "expression": "nick text NOT NULL GENERATED ALWAYS AS (lower(name)) STORED",
    "the domain's default": "nick word NOT NULL",
}


@pytest.mark.parametrize("column", HARMLESS)
def test_a_column_that_fills_itself_is_no_drift_though_the_models_lack_it(
    column: str, database: Database
) -> None:
    _upgrade(database)
    database.sql("CREATE DOMAIN word AS text DEFAULT ''")
    database.sql(f"ALTER TABLE users ADD {HARMLESS[column]}")

    document = database.unstale("db.status", "--json").must(0).document()

    assert document["state"] == "current"
    assert "the models lack users.nick, which does no harm" in document["evidence"]


def test_a_column_that_breaks_each_insert_is_drift_and_by_hand_for_four_witnesses(
    database: Database,
) -> None:
    _upgrade(database)
    database.sql("ALTER TABLE users ADD nick text NOT NULL")

    seen = database.unstale("db.status", "--json").must(3).document()
    known = database.unstale("db.check", "--json").must(3).document()

    assert seen["state"] == "drifted"
    assert seen["witnesses"]["models"]["verdict"] == "failed"
    assert "users.nick" in seen["evidence"][0]
    assert known["state"] == "altered"
    assert known["evidence"][0] == "added: column public.users.nick"
    assert "autogenerate" not in known["next"]


def test_what_was_lost_by_hand_is_named_and_no_migration_is_advised(database: Database) -> None:
    key = ", ForeignKey('users.id', name='fk_user'), primary_key=True"
    made = ', sa.ForeignKey("users.id", name="fk_user"), primary_key=True'
    database.replace("models.py", "import Check", "import ForeignKey, Check")
    database.replace(
        "models.py", 'orders = Table("Order", metadata, Column("id", Integer, primary_key=True))',
        f'orders = Table("Order", metadata, Column("id", Integer{key}))',
    )  # fmt: skip
    database.replace("migrations/versions/0002_orders.py", ", primary_key=True", made)
    _upgrade(database)
    assert database.unstale("db.check").must(0)
    database.sql("ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE")

    answer = database.unstale("db.check", "--json").must(3)

    document = answer.document()
    assert document["state"] == "altered"
    assert "missing: constraint public.users.users_pkey" in document["evidence"]
    assert "missing: constraint public.Order.fk_user" in document["evidence"]
    assert document["suggestion"] == ""
    assert "autogenerate" not in answer.text


def test_a_migration_in_progress_is_told_from_no_migration(database: Database) -> None:
    held = database.hold(
        "BEGIN; CREATE TABLE users (id int); COMMENT ON TABLE users IS 'only-for-me'"
    )
    with held:
        answer = database.unstale("db.status", "--json").must(4)

    document = answer.document()
    assert document["state"] == "migrating"
    assert "tables are being created" in document["evidence"][0]
    assert document["read"] is False
    (holder,) = document["holders"]
    assert (holder["role"], holder["application"]) == ("app", "psql")
    assert (holder["state"], holder["query"]) == (
        "idle in transaction",
        "COMMENT ON TABLE users IS",
    )
    assert f"pg_terminate_backend({holder['pid']})" in document["next"]
    assert "only-for-me" not in answer.text
    assert database.unstale("db.status", "--json").must(3).document()["state"] == "empty"


def test_who_keeps_the_migrators_lock_is_named(database: Database) -> None:
    lock = "DO $$ BEGIN PERFORM pg_advisory_lock(1970170222, 1835625838); END $$"
    with database.hold(f"SET application_name = elsewhere; {lock}"):
        document = database.unstale("db.migrate", "--timeout", "1", "--json").must(4).document()

    assert document["state"] == "migrating"
    (holder,) = document["holders"]
    assert (holder["application"], holder["state"]) == ("elsewhere", "idle")
    assert holder["query"] == "DO"
    assert f"pg_terminate_backend({holder['pid']})" in document["next"]


def test_a_database_elsewhere_is_not_the_stacks(database: Database, elsewhere: str) -> None:
    database.replace("migrations/env.py", "os.environ['UNSTALE_DB_5432']", f"'{elsewhere}'")
    database.replace("migrations/env.py", "os.environ['STATE_DB']", "'app'")

    document = database.unstale("db.migrate", "--json").must(3)

    assert "other-database" in document.text


def test_a_password_that_is_wrong_is_final_and_told_without_itself(database: Database) -> None:
    database.replace("migrations/env.py", "only-for-tests", "not-the-password")

    answer = database.unstale("db.status").must(5)

    assert "auth: " in answer.text
    assert "not-the-password" not in answer.text


def test_a_migration_that_fails_is_named_with_the_databases_words(database: Database) -> None:
    database.replace(
        "migrations/versions/0002_orders.py", 'op.create_table("Order"', 'op.create_table("users"'
    )

    answer = database.unstale("db.migrate").must(5)

    assert "In revision 0001 -> 0002" in answer.err
    assert 'relation "users" already exists' in answer.err
    assert database.unstale("db.status", "--json").document()["state"] == "empty"


def test_a_migration_that_hangs_is_ended_in_the_server_as_well(database: Database) -> None:
    database.replace(
        "migrations/versions/0002_orders.py",
        "def upgrade()",
        "def upgrade():\n    op.execute('SELECT pg_sleep(600)')\n\n\ndef unused()",
    )
    database.extra["UNSTALE_DEADLINES_MIGRATE"] = "8"

    answer = database.unstale("db.migrate", "--json").must(5).document()

    assert answer["outcome"] == "timed out"
    assert "The migration (step migrate) did not end within 8 s." in answer["what"]
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep.600'"
    assert database.sql(asleep) == "0"


def test_rolled_back_migrations_are_noticed_on_a_new_connection(database: Database) -> None:
    database.replace(
        "migrations/env.py", "# BEFORE CONFIGURE", 'connection.exec_driver_sql("SELECT 1")'
    )

    assert "The schema is rolled-back" in database.unstale("db.migrate").must(3).err


def test_migrate_leaves_alone_what_an_upgrade_would_only_hide(database: Database) -> None:
    _unversioned(database)
    before = database.content()

    assert "The schema is unversioned" in database.unstale("db.migrate").must(3).err
    assert database.content() == before


def test_sql_is_shown_and_not_run(database: Database) -> None:
    database.alembic("upgrade", "0001")
    before = database.content()

    shown = database.unstale("db.migrate", "--sql").must(0).out

    assert 'CREATE TABLE "Order"' in shown
    assert "CREATE TABLE users" not in shown
    assert database.content() == before


def test_the_history_is_linted_on_databases_that_are_gone_after_it(database: Database) -> None:
    _upgrade(database)
    green = database.unstale("db.check", "--history").must(0)
    assert "history: 2 migrations ran up, down and up again; one head" in green.out
    assert database.unstale("db.check", "--history", "--json").must(0).document()["history_checked"]
    assert not database.unstale("db.check", "--json").must(0).document()["history_checked"]
    others = database.others()
    database.replace("migrations/versions/0002_orders.py", 'op.drop_table("Order")', "pass")

    answer = database.unstale("db.check", "--history").must(3)

    assert "up-down: 0002: downgrade leaves added relation public.Order" in answer.out
    assert [name for name in database.others() if not name.startswith("unstale_r_")] == [
        name for name in others if not name.startswith("unstale_r_")
    ]


def test_what_the_models_lack_is_told_of_a_history_in_words(database: Database) -> None:
    _upgrade(database)
    database.replace("models.py", '    Column("name", String(40), nullable=False),\n', "")
    database.replace(
        "models.py", '    CheckConstraint("name <> \'\'", name="users_have_a_name"),\n', ""
    )

    answer = database.unstale("db.check", "--history").must(3)

    words = "models: the models lack the column users.name, which the migrations make"
    assert words in answer.out
    assert "downgrade" not in answer.err


def test_several_locations_and_both_heads_work(database: Database) -> None:
    database.checkout.append(
        "alembic.ini", "version_locations = %(here)s/migrations/versions:%(here)s/more\n"
    )
    database.write("more/0003_other.py", HOLLOW.format("0003", '"0001"'))
    database.checkout.append(
        "pyproject.toml",
        '\n[tool.unstale.schema]\nmigrate-command = ["alembic", "upgrade", "heads"]\n',
    )

    document = database.unstale("db.migrate", "--json").must(0).document()

    assert document["state"] == "current"
    assert document["heads"] == ["0002", "0003"]


POOLED = """
import os

from alembic import context
from sqlalchemy import create_engine

import models

URL = f"postgresql+psycopg://app:only-for-tests@{os.environ['UNSTALE_DB_5432']}/{os.environ['STATE_DB']}"
if "shared" not in vars(models):
    models.shared = create_engine(URL)

with models.shared.connect() as connection:
    context.configure(connection=connection, target_metadata=models.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_a_pooled_connection_never_leads_a_check_to_the_real_database(database: Database) -> None:
    database.write("migrations/env.py", POOLED)
    database.alembic("upgrade", "0001")
    before = database.content()

    assert database.unstale("db.check", "--json").must(3).document()["state"] == "behind"
    database.unstale("db.check", "--history").must(3)

    assert database.content() == before
    assert database.unstale("db.migrate", "--json").must(0).document()["state"] == "current"


def test_tables_of_an_init_script_or_an_extension_are_nobodys_fault(database: Database) -> None:
    database.sql("CREATE EXTENSION pg_buffercache", "CREATE SCHEMA tools")
    database.sql("CREATE TABLE tools.notes (id serial PRIMARY KEY)")
    _upgrade(database)

    document = database.unstale("db.check", "--json").must(0).document()

    assert document["state"] == "current"
    assert "relation tools.notes" in " ".join(document["evidence"])


@pytest.mark.parametrize("maker", ["init script", "migration", "restored dump"])
def test_a_schema_is_where_the_migrations_find_it_whoever_made_it(
    maker: str, database: Database
) -> None:
    database.sql(f"ALTER DATABASE {database.name} SET search_path = app, public")
    if maker != "init script":
        body = "def upgrade():\n    op.execute('CREATE SCHEMA app')\n"
        database.replace("migrations/versions/0001_users.py", "def upgrade():\n", body)
    else:
        database.sql("CREATE SCHEMA app")
    database.sql("CREATE SCHEMA other")
    _upgrade(database)
    if maker == "restored dump":  # it makes schemas first, then tables
        database.sql(
            "DROP TABLE alembic_version",
            "CREATE TABLE public.alembic_version"
            " (version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('0002')",
        )

    document = database.unstale("db.check", "--json").must(0).document()

    assert document["state"] == "current"
    assert document["witnesses"]["reference"]["verdict"] == "ok"
    assert database.sql("SELECT to_regclass('app.users') IS NOT NULL") == "t"


def test_migrations_that_do_not_run_from_nothing_prove_nothing(database: Database) -> None:
    _upgrade(database)
    database.replace(
        "migrations/versions/0001_users.py", "def upgrade():\n", "def upgrade():\n    assert 0\n"
    )

    assert database.unstale("db.check", "--json").must(4).document()["state"] == "unrepeatable"


def test_a_look_can_not_write_even_if_env_py_would(database: Database) -> None:
    _upgrade(database)
    database.replace(
        "migrations/env.py",
        "# BEFORE CONFIGURE",
        'connection.exec_driver_sql("CREATE SCHEMA side"); connection.commit()',
    )
    before = database.content()

    answer = database.unstale("db.status").must(5)

    assert "read-only transaction" in answer.text
    assert database.content() == before


def test_a_head_that_another_one_depends_on_is_applied(database: Database) -> None:
    text = HOLLOW.format("0003", None).replace("def up", 'depends_on = "0002"\n\n\ndef up', 1)
    database.write("migrations/versions/0003_other.py", text)
    database.checkout.append(
        "pyproject.toml",
        '\n[tool.unstale.schema]\nmigrate-command = ["alembic", "upgrade", "heads"]\n',
    )

    document = database.unstale("db.migrate", "--json").must(0).document()

    assert (document["state"], document["heads"]) == ("current", ["0003"])


ASYNC = """
import asyncio
import logging.config
import os

from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

import models

URL = f"postgresql+psycopg_async://app:only-for-tests@{os.environ['UNSTALE_DB_5432']}/{os.environ['STATE_DB']}"
logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
print("noise on standard output")


def run(connection):
    context.configure(connection=connection, target_metadata=models.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with create_async_engine(URL, poolclass=pool.NullPool).connect() as connection:
        await connection.run_sync(run)


asyncio.run(main())
"""


def test_an_async_env_py_that_makes_noise_works(database: Database) -> None:
    database.write("migrations/env.py", ASYNC)

    assert database.unstale("db.migrate", "--json").must(0).document()["state"] == "current"


def test_a_migrate_command_of_ones_own_runs_under_the_lock(database: Database) -> None:
    database.write(
        "move.py",
        "import subprocess, sys\n"
        "sys.exit(subprocess.call([sys.executable, '-m', 'alembic', 'upgrade', 'head']))\n",
    )
    database.checkout.append(
        "pyproject.toml", '\n[tool.unstale.schema]\nmigrate-command = ["python", "move.py"]\n'
    )

    assert database.unstale("db.migrate", "--json").must(0).document()["state"] == "current"
