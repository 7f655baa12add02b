"""Which tests are left to ``inv check --full``: CI has fifteen minutes.

Each has a sibling that stays, which goes the same way with other words.
"""

from __future__ import annotations

import re

import pytest

LONG = (
    r"plugin/test_isolation\.py.*\[(?!savepoint).*xdist\]",
    r"plugin/test_isolation\.py::test_a_role_without_rights.*\[(savepoint|truncate)\]",
    r"plugin/test_isolation\.py::test_who_holds_a_lock_is_named\[dirty-delete\]",
    r"plugin/test_core\.py::(?!test_a_wrong_schema).*xdist",
    r"plugin/test_core\.py::test_a_pytest_inside_of_a_worker",
    r"plugin/test_watch\.py.*arguments1\]",
    r"plugin/test_watch\.py::test_a_suite_that_swallows_errors",
    # Waits for a server that is not there, a minute long.
    r"plugin/test_header\.py::test_the_header_says_image_head_and_database",
    r"integration/schema/test_readiness\.py::test_a_service_that_restarts_in_a_loop",
    r"integration/test_stack_staleness\.py.*\[in \.\]",
    r"integration/test_image_bases\.py::test_a_layer_cache_from_the_registry",
    r"integration/test_image_bases\.py.*\[(stage|relabelled)\]",
    r"bench/test_bench\.py.*\[isolation\]",
    r"integration/test_standing\.py::test_(tasks_chain|keep_leaves|services_leaves)",
    r"integration/schema/test_states\.py::test_(several|a_migrate_command|four.*healthy)",
    r"integration/schema/test_versions\.py::test_each_version",
    r"integration/schema/test_states\.py::test_a_schema.*\[migration\]",
    r"plugin/test_reference\.py::test_(the_same_inputs|both_drop)",
    r"integration/test_local\.py.*\[(2-130|1-129)\]",
    r"integration/schema/test_readiness\.py::test_(an_unknown_role|a_role_without)",
    r"integration/test_environments\.py.*\[dev,test,ci\]",
    r"integration/test_standing\.py::test_a_database_can_be_started_over",
    r"integration/test_pipeline\.py::test_(an_expression_in_quotes|a_second_run_builds)",
    r"integration/test_red_runs\.py::test_a_broken_migration",
    r"integration/test_environments\.py::test_what_can_not_run",
    # The states of the matrix stay, and who is in the way.
    r"integration/schema/test_states\.py::test_(?!each_state|a_migration_in|who_keeps|a_look_can|rolled)",
    r"plugin/test_(docs|reference)\.py",
    r"oracle/dialect/test_docker_run",
    r"faults/test_hygiene\.py",
    r"faults/test_services\.py::test_(an_image_for|what_ends_while|a_database_that_runs_out|who_died)",
    r"faults/test_security\.py::test_(an_untrusted|a_container_that_sees|what_reaches|a_planted)",
    r"faults/test_security\.py::test_(python_dash_m|an_env_file|the_trap)|include-git-in-short",
    r"faults/test_kills\.py.*\[(INT-leader|HUP-leader|(TERM|HUP)-group|KILL-leader|INT2-group)\]",
    r"faults/test_signals\.py.*\[(up-INT2-group|look into an image-TERM-leader|INT)\]",
    r"faults/test_outcomes\.py::(test_a_runner_out_of_memory|test_the_light_stack)",
    r"faults/test_receipts\.py::test_(a_receipt_of_another_tree|no_flipped|an_env_file|a_receipt_that)",
    r"faults/test_leases\.py::test_(a_killed_one_off|a_kept_stack)",
    r"faults/test_sweep\.py::test_(a_run_|a_state)",
    r"integration/test_environments\.py.*\[test,ci\]",
    r"integration/test_foreign\.py::test_a_broken_neighbour",
    r"integration/test_image_bases\.py",
    r"integration/test_local\.py::test_this_projects_own_tests",
    r"integration/test_image_chores\.py::test_cleaning_leaves",
    r"faults/test_concurrency\.py",
    r"faults/test_commands\.py::test_(unit_tests|one_service)",
    # Images with pip, apt and uv in them.
    r"adoption/test_fetched\.py",
    # Of each project its first run stays, and looks.
    r"adoption/test_django_postgres\.py::test_without_a_word",
    r"adoption/test_monorepo\.py::test_what_a_(mount|container)",
    r"adoption/test_no_git\.py::test_a_(second_run|failing)",
    r"adoption/test_two_files\.py::test_a_changed",
    r"adoption/test_flask_on_host\.py::test_a_changed",
    r"unit/test_invoke_traps\.py.*(number|called|chain|its_value|quotes|subfolder).*\[beside\]",
)
_LONG = re.compile("|".join(LONG))
_ROW = re.compile(r"oracle/test_matrix\.py::test_row\[(?P<row>[^:]+):")
_MANY = re.compile(
    r"oracle/(parser|tree|ignore)/test_engine\.py|contract/test_settings_probe\.py"
    r"|plugin/test_(watch|isolation|core|state|sessions|leaks|templates|header|monitor|facade)\.py"
    r"|integration/test_(stack_staleness|image_bases|image_chores|image_proof|reuse)\.py"
    r"|integration/test_(bad_input|leaks_of_secrets|local)\.py"
    r"|integration/test_parity\.py|integration/schema/test_(readiness|stopped|versions|states)\.py"
    r"|faults/test_(bad_input|docker_shim|dry|hostile)\.py"
    r"|unit/test_boundary\.py::test_streams"
)

# Measured in the commands that a test starts, too: a quarter of a second of each, and
# more. What the others reach these and the fast tests reach as well.
_MEASURED = re.compile(
    r"integration/test_(pipeline|red_runs|standing|parity|environments|staleness|image_chores)\.py"
    r"|integration/test_(local|reuse|bad_input|foreign)\.py|integration/schema|suite/plugin"
    r"|faults/test_(dry|receipts)\.py"
)


@pytest.fixture(autouse=True)
def measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the commands of most tests on the engine the coverage measurement."""
    if not _MEASURED.search(request.node.nodeid):
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, most of those where many go the same way, and a row's later cases."""
    rows: set[str] = set()
    for number, item in enumerate(items):
        share = 12 if "/oracle/" in item.nodeid or "/faults/" in item.nodeid else 9
        is_one_of_many = number % share and _MANY.search(item.nodeid)
        if is_one_of_many or _LONG.search(item.nodeid) or _is_of_known_row(item.nodeid, rows):
            item.add_marker(pytest.mark.long)


def _is_of_known_row(name: str, rows: set[str]) -> bool:
    """Whether a case of the same row of the image proof's matrix came before."""
    found = _ROW.search(name)
    if found is None:
        return False
    is_known = found["row"] in rows
    rows.add(found["row"])
    return is_known
