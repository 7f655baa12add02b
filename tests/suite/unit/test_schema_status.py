"""Applied against available migrations, and whether the tables are there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from unstale.errors import CouldNotTell, MigrationFailed, Mismatch, Outcome
from unstale.schema.status import judge, problem, read, require_current
from unstale.verdict import Fresh, Stale, Unknown, outcome

CURRENT: dict[str, Any] = {
    "applied": ["b"],
    "heads": ["b"],
    "available": ["a", "b"],
    "tables": ["users"],
    "missing_tables": [],
}

# What differs from CURRENT, by the state that it makes.
BROKEN: dict[str, dict[str, Any]] = {
    "stamped-or-dropped": {"tables": [], "missing_tables": ["users"]},
    "incomplete": {"missing_tables": ["api_keys"]},
    "behind": {"applied": ["a"]},
    "empty": {"applied": [], "tables": [], "missing_tables": ["users"]},
    "unversioned": {"applied": []},
    "multiple-heads": {"heads": ["b", "c"], "available": ["a", "b", "c"]},
    "image-older": {"applied": ["z"]},
    "no-migrations": {"applied": [], "heads": [], "available": [], "tables": []},
    "unreachable": {"error": "OperationalError", "message": "connection refused"},
}


def _facts(state: str) -> Mapping[str, Any]:
    return BROKEN[state] if state == "unreachable" else CURRENT | BROKEN[state]


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
    expected = MigrationFailed if state == "unreachable" else Mismatch

    with pytest.raises(expected, match=f"The schema is {state}: ") as caught:
        require_current(judge(_facts(state)))

    assert caught.value.hint


@pytest.mark.parametrize("tables", [[], ["users"]])
def test_no_migration_at_all_is_never_current(tables: list[str]) -> None:
    facts = CURRENT | {"applied": [], "heads": [], "available": [], "tables": tables}

    assert judge(facts).state == "no-migrations"


def test_both_of_two_heads_applied_are_still_two_heads() -> None:
    facts = CURRENT | {"applied": ["b", "c"], "heads": ["b", "c"], "available": ["b", "c"]}

    assert judge(facts).state == "multiple-heads"


def test_a_migration_that_the_code_does_not_know_wins_over_being_behind() -> None:
    assert judge(CURRENT | {"applied": ["a", "z"]}).state == "image-older"


def test_models_that_can_not_be_loaded_leave_the_floor_and_say_so() -> None:
    status = judge(CURRENT | {"missing_tables": None})

    assert (status.state, status.models_checked) == ("current", False)
    assert judge(CURRENT | {"missing_tables": None, "tables": []}).state == "stamped-or-dropped"


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
