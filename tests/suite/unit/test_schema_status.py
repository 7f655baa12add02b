"""Applied against available migrations, and whether the tables are there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from unstale.adapters.database.probe import first_words
from unstale.errors import CouldNotTell, MigrationFailed, Mismatch, Outcome
from unstale.render import text
from unstale.schema.status import STATES, elsewhere, judge, problem, read, require_current
from unstale.verdict import Fresh, Stale, Unknown, outcome

IDENTITY = {
    "system": "7",
    "database": "app",
    "user": "app",
    "search_path": "public",
    "address": "10.0.0.2",
    "version": "170000",
    "started": "2026-11-26 10:00:00+00",
}
CURRENT: dict[str, Any] = {
    "applied": ["b"],
    "heads": ["b"],
    "available": ["a", "b"],
    "effective": 2,
    "tables": ["users"],
    "missing_tables": [],
    "models": 1,
    "version_table": "public.alembic_version",
    "has_version_table": True,
    "scripts": {"/app/migrations/versions/b.py": "1"},
    "server": {
        "identity": IDENTITY,
        "in_progress": [],
        "traces": {"inserted": 4, "deleted": 0},
    },
}
GONE = {"tables": [], "missing_tables": ["users"]}
EQUAL = {"reference": {"differences": [], "facts": 9}}
SUGGESTED = {"suggestion": "# commands\nop.add_column('users')"}
NO_KEY = {
    "reference": {
        "differences": [
            ["missing", "constraint public.orders.fk_orders_user"],
            ["missing", "constraint public.users.pk_users"],
        ]
    }
}
HOLDER = {
    "pid": 42,
    "role": "app",
    "application": "psql",
    "state": "idle in transaction",
    "since": "2026-11-26 10:00:00 UTC",
    "query": "ALTER TABLE users",
}


def _server(**changes: Any) -> dict[str, Any]:
    return {"server": CURRENT["server"] | changes}


# What differs from CURRENT, by the state that it makes.
BROKEN: dict[str, dict[str, Any]] = {
    "stamped": GONE,
    "dropped": GONE | _server(traces={"inserted": 4, "deleted": 3}),
    "stamped-or-dropped": GONE | _server(traces={"inserted": 0, "deleted": 0}),
    "hollow": GONE | {"effective": 0},
    "hollow-without-models": {"tables": [], "missing_tables": None, "models": 0, "effective": 0},
    "incomplete": {"missing_tables": ["api_keys"]},
    "moved": {"missing_tables": ["users"], "moved": ["users is now old.users"]},
    "drifted": {"drift": [["add_column", "users.age"]]},
    "altered": {"reference": {"differences": [["missing", "constraint public.users.positive"]]}},
    "no-metadata": {"missing_tables": None, "models": None},
    "no-models": {"missing_tables": None, "models": 0},
    "behind": {"applied": ["a"]},
    "empty": GONE | {"applied": [], "has_version_table": False},
    "downgraded": GONE | {"applied": []},
    "rolled-back": GONE
    | {"applied": [], "has_version_table": False, "begun_before_configure": True},
    "unversioned": {"applied": []},
    "multiple-heads": {"heads": ["b", "c"], "available": ["a", "b", "c"]},
    "image-older": {"applied": ["z"]},
    "no-migrations": {"applied": [], "heads": [], "available": [], "tables": []},
    "unrepeatable": {"reference": {"failed": "ProgrammingError: no such table"}},
    "migrating": _server(in_progress=["the migration lock is held"]),
    "unreachable": {"error": "OperationalError", "message": "connection refused"},
}
EXPECTED = {
    "unreachable": MigrationFailed,
    "migrating": CouldNotTell,
    "no-metadata": CouldNotTell,
    "no-models": CouldNotTell,
    "unrepeatable": CouldNotTell,
}


def _facts(state: str) -> Mapping[str, Any]:
    return BROKEN[state] if state == "unreachable" else CURRENT | BROKEN[state]


def test_a_project_without_alembic_is_told_how_to_say_so() -> None:
    facts = {**_facts("unreachable"), "error": "ModuleNotFoundError", "message": "No module named"}

    assert 'schema = "none" in [tool.unstale]' in judge(facts).hint
    assert "schema" not in judge(_facts("unreachable")).hint


def test_head_applied_and_all_tables_there_is_current() -> None:
    status = judge(CURRENT)

    assert status.state == "current"
    assert status.verdict == Fresh()
    assert problem(status) is None
    require_current(status)


@pytest.mark.parametrize("state", BROKEN)
def test_each_broken_state_has_its_name_and_is_not_green(state: str) -> None:
    status = judge(_facts(state))

    assert status.state == state
    assert outcome(status.verdict) is not Outcome.PROVEN
    assert status.explanation != judge(CURRENT).explanation


@pytest.mark.parametrize("state", BROKEN)
def test_each_broken_state_stops_a_run_and_says_what_to_do(state: str) -> None:
    with pytest.raises(EXPECTED.get(state, Mismatch), match=f"The schema is {state}: ") as caught:
        require_current(judge(_facts(state)))

    assert caught.value.hint


@pytest.mark.parametrize("tables", [[], ["users"]])
def test_no_migration_at_all_is_never_current(tables: list[str]) -> None:
    facts = CURRENT | {"applied": [], "heads": [], "available": [], "tables": tables}

    assert judge(facts).state == "no-migrations"


def test_two_heads_are_current_if_both_are_applied() -> None:
    facts = CURRENT | {"applied": ["b", "c"], "heads": ["b", "c"], "available": ["b", "c"]}

    assert judge(facts).state == "current"
    assert judge(facts | {"applied": ["b"]}).state == "multiple-heads"


def test_every_state_of_the_docs_can_be_reached() -> None:
    assert {"current", "scripts-stale", "other-database", *BROKEN} == set(STATES)


@pytest.mark.parametrize("missing", ["no-metadata", "no-models"])
def test_without_models_the_catalogs_fingerprint_is_proof_enough(missing: str) -> None:
    not_heard = {"reference": {"why_not": "the role lacks CREATEDB"}}

    assert judge(CURRENT | BROKEN[missing] | EQUAL).state == "current"
    assert judge(CURRENT | BROKEN[missing] | not_heard).state == missing


def test_migrations_that_are_not_those_of_the_tree_are_stale() -> None:
    tree = {"/app/migrations/versions/b.py": "1", "/app/migrations/versions/c.py": "2"}

    status = judge(CURRENT, tree)

    assert status.state == "scripts-stale"
    assert "c.py" in status.evidence[0]
    assert judge(CURRENT, {"/app/migrations/versions/b.py": "1"}).state == "current"


def test_a_dropped_table_is_worse_news_than_a_stale_script() -> None:
    assert judge(CURRENT | BROKEN["dropped"], {"/app/x.py": "9"}).state == "dropped"


def test_another_cluster_is_another_database() -> None:
    status = judge(CURRENT)

    assert elsewhere(status, "7") == status
    assert elsewhere(status, "8").state == "other-database"
    assert not isinstance(elsewhere(status, "8").verdict, Fresh)
    assert elsewhere(status, "").evidence == ("whose cluster it is: not checked",)
    assert elsewhere(status, "").state == "current"


def test_what_others_added_is_remarked_and_no_drift() -> None:
    status = judge(CURRENT | {"drift": [["remove_table", "spatial_ref_sys"]]})

    assert status.state == "current"
    assert status.evidence == ("tables of nobody's models: spatial_ref_sys",)


def test_what_was_made_beside_the_migrations_tables_is_remarked() -> None:
    apart = [
        ["added", "relation public.spatial"],
        ["added", "column public.spatial.id"],
        ["added", "index public.spatial.spatial_pkey"],
        ["added", "extension postgis"],
        ["added", "function public.area()"],
    ]
    status = judge(CURRENT | {"reference": {"differences": apart}})

    assert status.state == "current"
    assert status.evidence[0].startswith("of nobody's migrations: relation public.spatial")
    inside = ["added", "column public.users.age"]
    assert judge(CURRENT | {"reference": {"differences": [*apart, inside]}}).state == "altered"


def test_current_means_that_no_witness_failed() -> None:
    missing = CURRENT | {"missing_tables": ["invoices"], "unmigrated": ["invoices"]}

    assert judge(missing).state == "drifted"


def test_a_lock_that_another_one_holds_is_a_migration_in_progress() -> None:
    facts = {"error": "Refused", "rung": "lock", "message": "another migration holds the lock"}

    assert judge(facts).state == "migrating"


def test_each_witness_has_a_word_and_not_checked_is_not_ok() -> None:
    words = {one.name: one.word for one in judge(CURRENT).witnesses}
    assert words == {"floor": "ok", "scripts": "ok", "models": "ok", "reference": "not checked"}

    words = {one.name: one.word for one in judge(CURRENT | BROKEN["no-metadata"]).witnesses}
    assert words["models"] == "not checked"


def test_a_failure_shows_the_migration_that_would_be_generated() -> None:
    facts = CURRENT | BROKEN["drifted"] | EQUAL | SUGGESTED

    error = str(problem(judge(facts)))

    assert "A migration for it would be:\n  op.add_column('users')" in error
    assert "# commands" not in error


def test_a_migration_that_the_code_does_not_know_wins_over_being_behind() -> None:
    assert judge(CURRENT | {"applied": ["a", "z"]}).state == "image-older"


def test_missing_tables_are_named_as_reasons() -> None:
    verdict = judge(_facts("incomplete")).verdict

    assert isinstance(verdict, Stale)
    assert [reason.path for reason in verdict.reasons] == ["database:api_keys"]


def test_a_head_not_applied_is_pending() -> None:
    status = judge(_facts("behind"))

    assert status.pending == ("b",)
    assert isinstance(status.verdict, Stale)
    assert [reason.path for reason in status.verdict.reasons] == ["database:b"]


def test_an_empty_database_does_not_list_every_table_as_missing() -> None:
    assert judge(_facts("empty")).missing_tables == ()


def test_the_databases_own_words_are_kept() -> None:
    status = judge(_facts("unreachable"))

    assert status.verdict == Unknown("OperationalError: connection refused")
    assert "connection refused" in str(problem(status))


def test_the_probes_last_answer_is_read_out_of_other_output() -> None:
    older = f"unstale-probe:{json.dumps(CURRENT | BROKEN['behind'])}"
    output = f"INFO starting\n{older}\nunstale-probe:{json.dumps(CURRENT)}\nINFO bye\n"

    assert read(output) == judge(CURRENT)


@pytest.mark.parametrize("output", ["", "Traceback ...\nModuleNotFoundError: alembic\n"])
def test_a_probe_without_an_answer_could_not_tell(output: str) -> None:
    with pytest.raises(CouldNotTell) as caught:
        read(output)

    assert caught.value.cause == output.strip()


@pytest.mark.parametrize("answer", ["", "{", '{"applied": ["a"'])
def test_a_probe_cut_off_in_its_answer_could_not_tell(answer: str) -> None:
    with pytest.raises(CouldNotTell):
        read(f"unstale-probe:{answer}\n")


def test_the_document_has_the_contracts_keys() -> None:
    document = judge(CURRENT).to_json()

    assert document["schema"] == "unstale/db-status@1"
    assert document["state"] == "current"
    assert document["applied"] == document["heads"] == ["b"]
    assert document["pending"] == document["missing_tables"] == document["drift"] == []


# --- What the models lack ---


def test_a_column_that_rows_can_not_be_without_is_drift_though_the_models_lack_it() -> None:
    lacking = {"drift": [["remove_column", "users.nick"]], "unfilled": ["users.nick"]}

    status = judge(CURRENT | lacking)

    assert status.state == "drifted"
    assert status.evidence[0].startswith("the models lack users.nick, which is NOT NULL without")
    assert next(one.word for one in status.witnesses if one.name == "models") == "failed"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["users.nick"], "the models lack users.nick, which does no harm"),
        (["users.a", "users.b"], "the models lack users.a, users.b, which do no harm"),
    ],
    ids=["one", "two"],
)
def test_a_column_that_fills_itself_is_named_and_no_drift(columns: list[str], words: str) -> None:
    status = judge(CURRENT | {"drift": [["remove_column", one] for one in columns]})

    assert status.state == "current"
    assert status.evidence == (words,)


# --- What the migrations did not make ---


def test_what_no_migration_made_is_altered_whatever_the_models_say() -> None:
    lost = {"drift": [["add_fk", "orders.fk_orders_user"]]} | SUGGESTED

    status = judge(CURRENT | lost | NO_KEY)

    assert status.state == "altered"
    assert status.evidence == (
        "missing: constraint public.orders.fk_orders_user",
        "missing: constraint public.users.pk_users",
        "models: add fk orders.fk_orders_user",
    )
    assert "db.reset" in status.hint
    assert "migration" not in status.hint
    assert status.suggestion == ""


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ({}, "inv db.check"),
        (EQUAL, "alembic revision --autogenerate"),
        ({"reference": {"why_not": "no CREATEDB"}}, "if the models were changed"),
    ],
    ids=["not asked", "equal", "not heard"],
)
def test_a_migration_is_advised_where_the_tables_are_known_to_be_right(
    reference: dict[str, Any], hint: str
) -> None:
    assert hint in judge(CURRENT | BROKEN["drifted"] | reference).hint


def test_a_suggested_migration_says_what_it_rests_on() -> None:
    facts = CURRENT | BROKEN["drifted"] | SUGGESTED

    assert "if the tables are what migrations made:" in str(problem(judge(facts)))
    assert "would be:" in str(problem(judge(facts | EQUAL)))


def test_a_table_that_a_migration_makes_is_in_no_suggested_migration() -> None:
    status = judge(_facts("incomplete") | SUGGESTED)

    assert status.suggestion == ""
    assert "op.add_column" not in str(problem(status))


def test_a_lost_table_says_it_for_all_that_is_in_it() -> None:
    lost = [
        ["missing", "column public.users.id"],
        ["missing", "constraint public.users.users_pkey"],
        ["missing", "enum public.mood"],
        ["missing", "relation public.users"],
    ]

    status = judge(CURRENT | {"reference": {"differences": lost}})

    assert status.evidence == ("missing: relation public.users", "missing: enum public.mood")
    assert len(status.drift) == 4


def test_more_facts_than_a_person_reads_are_counted() -> None:
    many = [["missing", f"enum public.e{number:02}"] for number in range(12)]

    evidence = judge(CURRENT | {"reference": {"differences": many}}).evidence

    assert len(evidence) == 11
    assert evidence[-1] == "and 2 facts more: --json"


# --- A revision that the code does not know ---

B = "/app/migrations/versions/b.py"


@pytest.mark.parametrize(
    ("tree", "hint", "evidence"),
    [
        ({B: "1"}, "switch to the branch that has it, or inv db.reset", "the tree has no such"),
        ({B: "1", "/app/migrations/versions/z.py": "2"}, "inv image.build db.migrate", "z.py"),
        (None, "or to a newer image", "applied and not known here: z"),
    ],
    ids=["the tree has it neither", "the tree has it", "no tree to look at"],
)
def test_a_build_is_advised_only_where_it_brings_the_revision(
    tree: dict[str, str] | None, hint: str, evidence: str
) -> None:
    status = judge(_facts("image-older"), tree)

    assert status.hint.startswith(hint) or hint in status.hint
    assert ("image.build" in status.hint) == ("image.build" in hint)
    assert evidence in status.evidence[-1]


# --- A migration that goes on ---


def test_what_was_not_read_during_a_migration_is_not_told_as_none() -> None:
    status = judge({k: v for k, v in _facts("migrating").items() if k != "applied"})
    document = status.to_json()

    assert document["read"] is False
    assert document["applied"] == document["pending"] == document["missing_tables"] == []
    assert "not read" in str(problem(status))
    assert "none" not in str(problem(status))
    assert text.schema(status)[1] == "  applied  not read"
    assert text.schema(status)[3] == "  tables   not read"


def test_who_migrates_is_named_and_how_to_end_it() -> None:
    busy = _server(in_progress=["1 tables are being created"], holders=[HOLDER])

    status = judge(CURRENT | busy)

    assert status.evidence[1] == (
        "pid 42: role app, application psql, idle in transaction, since 2026-11-26 10:00:00 UTC,"
        " last statement: ALTER TABLE users ..."
    )
    assert "inv db.shell -- -c 'SELECT pg_terminate_backend(42)'" in status.hint
    assert status.to_json()["holders"] == [HOLDER]


def test_who_holds_the_lock_for_too_long_is_named() -> None:
    refused = {"error": "Refused", "rung": "lock", "message": "it is held", "holders": [HOLDER]}

    status = judge(refused)

    assert status.evidence[0] == "it is held"
    assert status.evidence[1].startswith("pid 42: role app")
    assert "it is held" in str(problem(status))


def test_a_session_that_may_not_be_seen_and_a_prepared_transaction_are_told() -> None:
    hidden = {**HOLDER, "state": "", "since": "", "query": ""}
    prepared = {**HOLDER, "pid": 0}
    busy = _server(in_progress=["alembic_version is being written"], holders=[hidden, prepared])

    status = judge(CURRENT | busy)

    assert status.evidence[1].endswith("its state may not be seen by this role")
    assert "pg_prepared_xacts" in status.evidence[2]
    assert "(0)" not in status.hint


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("INSERT INTO users (name)\n VALUES ('secret')", "INSERT INTO users (name) VALUES ("),
        ("UPDATE users SET age = 41", "UPDATE users SET age"),
        ("SELECT $x$secret$x$", "SELECT"),
        ("ALTER ROLE app PASSWORD E'sec\\'ret'", "ALTER ROLE app PASSWORD E"),
        ("SET app.token TO secret", "SET app.token"),
        ("ALTER TABLE t1 ADD CHECK (n > 12)", "ALTER TABLE t1 ADD CHECK (n >"),
        ("/* secret */ SELECT x", ""),
        ("SELECT x -- secret", "SELECT x"),
        ("<insufficient privilege>", ""),
        ("select a, b, c, d, e, f, g, h, i", "select a, b, c, d, e, f, g,"),
    ],
)
def test_of_a_statement_no_value_is_shown(query: str, shown: str) -> None:
    assert first_words(query) == shown


# --- Words ---


def test_that_create_all_made_the_tables_is_no_certainty() -> None:
    status = judge(CURRENT | {"applied": [], "has_version_table": False})

    assert "most likely create_all" in status.explanation
    assert status.evidence == ("1 tables (users), and no version table",)
    assert "no row in the version table" in judge(CURRENT | {"applied": []}).evidence[0]


@pytest.mark.parametrize(
    ("change", "tree", "name", "detail"),
    [
        ({"applied": ["a"], "pending": ["b"]}, None, "scripts", "not applied: b"),
        ({"applied": ["z"], "pending": []}, None, "scripts", "applied and not known here: z"),
        ({}, {B: "2"}, "scripts", "not as in the tree: b.py"),
        (BROKEN["no-migrations"], None, "scripts", "no migration was found"),
        (
            {"missing_tables": ["keys"], "drift": [["add_table", "keys"]], "models": 5},
            None,
            "models",
            "of 5 tables of the models, not there: keys",
        ),
        (BROKEN["drifted"], None, "models", "of 1 tables of the models, not alike: users.age"),
        (NO_KEY, None, "reference", "missing: constraint public.users.pk_users"),
    ],
    ids=["pending", "unknown", "files", "empty", "missing", "differing", "catalog"],
)
def test_a_witness_that_failed_says_what_it_saw(
    change: dict[str, Any], tree: dict[str, str] | None, name: str, detail: str
) -> None:
    witness = next(one for one in judge(CURRENT | change, tree).witnesses if one.name == name)

    assert witness.word == "failed"
    assert detail in witness.detail


def test_the_report_has_the_evidence_and_the_suggestion() -> None:
    lines = text.schema(judge(CURRENT | BROKEN["drifted"] | EQUAL | SUGGESTED))

    assert lines[-3:] == (
        "  add column users.age",
        "A migration for it would be:",
        "  op.add_column('users')",
    )


def test_the_report_has_the_databases_own_words() -> None:
    lines = text.schema(judge(_facts("unreachable")))

    assert lines[-1] == "  OperationalError: connection refused"
    assert "  heads    not read" in lines
