"""Every module that turns text, bytes or JSON from outside into values, and where it is fed.

A module is one if a public function of it takes such a thing first, or if it uses a reader
of the standard library. It is in one of the two tables, or this fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import soup

PACKAGE = soup.REPOSITORY / "tasks" / "unstale"

# Module to the tests that feed it; some are fed where another one calls them.
FED = {
    "adapters/docker.py": "docker: test_docker test_configuration_of_docker",
    "adapters/docker_facts.py": "docker: test_docker test_image test_container test_deaths",
    "adapters/docker_files.py": "docker: test_archive",
    "adapters/docker_words.py": "docker: test_words test_env_files_of_a_model",
    "adapters/engine.py": "docker: test_engine",
    "adapters/files.py": "settings: test_place",
    "adapters/git.py": "docker: test_git",
    "adapters/leases.py": "run: test_leases",
    "adapters/local_postgres.py": "run: test_server_of_this_machine test_files_of_a_server",
    "adapters/podman.py": "docker: test_podman",
    "adapters/refusals.py": "docker: test_refusal test_docker",
    "adapters/settings_probe.py": "settings: test_asked test_answer_of_the_probe",
    "compose.py": "compose: test_stack",
    "config.py": "settings: test_settings test_tables_of_settings",
    "doctor/engine.py": "doctor: test_answer",
    "facts.py": "image: test_ledger",
    "image/dockerfile.py": "image: test_dockerfile test_trigger test_mount",
    "image/dockerignore.py": "image: test_ignore_file",
    "image/explain.py": "image: test_ledger",
    "image/goglob.py": "image: test_pattern test_ignore_file",
    "image/goregexp.py": "image: test_expression test_ignore_file",
    "image/imageconfig.py": "image: test_config_of_a_stamp",
    "image/layers.py": "image: test_history_of_layers",
    "image/ledger.py": "image: test_ledger",
    "image/listing.py": "image: test_stat_cache",
    "image/manifest.py": "image: test_stamp",
    "image/program.py": "image: test_dockerfile test_reference",
    "image/proof.py": "image: test_proof",
    "image/reference.py": "image: test_reference",
    "image/shell.py": "image: test_words_of_a_shell",
    "image/statcache.py": "image: test_stat_cache",
    "image/statements.py": "image: test_statement",
    "image/transfer.py": "image: test_sent",
    "jsontext.py": "run: test_json",
    "mask.py": "mask: test_rules test_nothing_is_left",
    "parity/asked.py": "settings: test_asked",
    "parity/baseline.py": "settings: test_baseline",
    "parity/containers.py": "compose: test_parity",
    "parity/defaults.py": "settings: test_meaning",
    "parity/effects.py": "compose: test_parity",
    "parity/envfile.py": "settings: test_env_file test_place",
    "parity/environ_reads.py": "settings: test_source",
    "parity/flags.py": "compose: test_flags",
    "parity/hazards.py": "settings: test_hazards test_env_file",
    "parity/keys.py": "settings: test_keys",
    "parity/near.py": "settings: test_keys",
    "parity/pysource.py": "settings: test_source test_type",
    "parity/reads.py": "settings: test_code test_mentions",
    "parity/servers.py": "compose: test_parity test_configuration_of_a_server",
    "parity/sources.py": "compose: test_sources",
    "parity/sync.py": "settings: test_sync test_keys",
    "parity/topology.py": "compose: test_parity test_peers",
    "parity/urls.py": "compose: test_urls",
    "parity/written.py": "compose: test_written test_sources",
    "parity/yaml_lines.py": "compose: test_lines",
    "pipeline/builds.py": "image: test_rewritten",
    "pipeline/junit.py": "run: test_junit",
    "pipeline/local_environment.py": "settings: test_address test_version_of_the_stack",
    "pipeline/printed.py": "run: test_printed",
    "pipeline/receipt.py": "receipts: test_any_text_is_a_receipt_or_refused",
    "pipeline/report.py": "receipts: test_any_value_in_any_place_makes_pages_or_is_refused",
    "pipeline/reuse.py": "run: test_receipts_of_earlier_runs",
    "pipeline/signature.py": "receipts: test_any_text_is_an_envelope_in_one_way_or_refused",
    "pipeline/why_env.py": "settings: test_lines_of_rules",
    "printable.py": "run: test_printable",
    "project.py": "run: test_receipts_of_earlier_runs",
    "pytest_plugin/database.py": "plugin: test_memo test_told",
    "pytest_plugin/engines.py": "plugin: test_urls",
    "pytest_plugin/header.py": "plugin: test_urls",
    "pytest_plugin/migrations.py": "plugin: test_survey",
    "pytest_plugin/settings.py": "plugin: test_settings",
    "schema/ladder.py": "run: test_rows",
    "schema/postgres.py": "run: test_rows",
    "schema/revisions.py": "plugin: test_heads test_made",
    "schema/status.py": "run: test_schema test_probe",
    "stack/autopsy.py": "run: test_autopsy",
    "stack/drift.py": "compose: test_drift",
    "stack/names.py": "settings: test_names",
    "stack/policy.py": "compose: test_reaches",
    "survey/python.py": "settings: test_survey",
    "survey/services.py": "compose: test_services_of_a_model",
    "survey/tasksfile.py": "settings: test_tasks_file",
    "survey/written.py": "settings: test_written",
    "yamltree.py": "compose: test_lines",
    "survey/adoption.py": "adopt: test_makefile test_script",
    "survey/makefile.py": "adopt: test_makefile",
    "survey/neighbours.py": "doctor: test_tasks",
    "survey/script.py": "adopt: test_script",
    "survey/thin.py": "adopt: test_makefile",
}

# Module to why nothing from outside reaches it in a form that it has to read.
NOT_FED = {
    "__main__.py": "looks for a word in file names",
    "doctor/finding.py": "takes words of ours",
    "image/check.py": "takes an image's id",
    "image/local.py": "takes names out of facts",
    "image/timeline.py": "takes an environment's name",
    "parity/report.py": "takes an environment's name, and a plan of sync",
    "pipeline/history.py": "takes an environment's name",
    "pipeline/images.py": "reads the Config that program.py wrote",
    "pipeline/absent.py": "takes what a runner printed, and looks for words",
    "pipeline/setup.py": "hands texts to baseline.py and config.py",
    "pipeline/tests.py": "takes UNSTALE_* as text, and hands it on",
    "pipeline/vouch.py": "hands bytes to signature.py",
    "pipeline/why_schema.py": "takes a service's name, and a status that schema/status.py read",
    "pipeline/why_stack.py": "takes an environment's name",
    "pytest_plugin/actors.py": "takes a frame's file name",
    "pytest_plugin/asynchronous.py": "asks for types",
    "pytest_plugin/evidence.py": "takes a URL that engines.py reads",
    "pytest_plugin/ground.py": "takes a URL that engines.py read",
    "pytest_plugin/readiness.py": "takes a URL that engines.py reads",
    "pytest_plugin/sessions.py": "takes a mapped object",
    "pytest_plugin/templates.py": "takes names of ours",
    "schemas/__init__.py": "takes a name, and reads files of ours",
    "stack/judge.py": "reads a time that facts.py reads",
    "spoken.py": "takes messages of ours, and words of our own process",
    "stack/running.py": "reads a time that facts.py reads",
}

_FROM_OUTSIDE = {
    *("str", "bytes", "str | bytes", "str | None", "bytes | memoryview", "object", "Any"),
    *("Json", "Mapping[str, Any]", "Mapping[str, object]"),
}
_READERS = re.compile(
    r"json\.loads|read_json\(|fromisoformat|moment\(|ast\.parse|literal_eval|tomllib|fromstring"
    r"|shlex\.split|yaml\.|raw_decode|urlsplit|make_url|configparser|marshal\."
)
# What renders takes values and gives text; tasks take what Invoke parsed. The probe runs in
# the project's own Python.
_NONE = ("render/", "invocations/", "adapters/database/probe.py")


def _reading() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
        functions = (one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef))
        takes = any(_takes_text(one) for one in functions if not one.name.startswith("_"))
        if not name.startswith(_NONE) and (takes or _READERS.search(text)):
            yield name


def _takes_text(function: ast.FunctionDef) -> bool:
    first = next(iter(function.args.args), None)
    kind = first.annotation if first else None
    return kind is not None and ast.unparse(kind) in _FROM_OUTSIDE


def test_every_reader_is_in_a_table() -> None:
    assert set(_reading()) - FED.keys() - NOT_FED.keys() == set()


def test_no_module_is_in_both_or_gone() -> None:
    assert FED.keys() & NOT_FED.keys() == set()
    assert [name for name in (*FED, *NOT_FED) if not (PACKAGE / name).exists()] == []


def test_each_test_that_is_named_is_there() -> None:
    for module, where in FED.items():
        file, _, names = where.partition(": ")
        text = (Path(__file__).parent / f"test_{file}.py").read_text(encoding="utf-8")
        missing = [name for name in names.split() if f"def {name}(" not in text]

        assert (module, missing) == (module, [])
