"""What is published of the documents: all of it, well-formed, and it refuses what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from described import bodies, require_described, validator
from jsonschema import Draft202012Validator
from told import green, red

from unstale import schemas
from unstale.render import document
from unstale.schemas.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
NAMES = schemas.names()
ANSWERS = [name for name in NAMES if name != "statement"]


def test_every_document_that_is_printed_is_described() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tasks" / "unstale").rglob("*.py")
    )
    written = {
        *re.findall(r'\bwrite\(\s*"([a-z-]+)"', text),
        *re.findall(r'"schema": "unstale/([a-z-]+)@1"', text),
        *re.findall(r'\bentry\(\s*"([a-z-]+)",\s*as_json', text),
    }

    # Files of ours, which no task prints.
    assert written - {"kept", "lease"} == set(ANSWERS)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schemas.text(name)))


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    "body", [{}, {"dry": True}, {"error": "no"}, {"outcome": "fine", "code": 0}], ids=json.dumps
)
def test_what_is_no_answer_is_refused(name: str, body: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=f"{name}.json"):
        require_described({"schema": f"unstale/{name}@1", **body})


@pytest.mark.parametrize("name", ANSWERS)
def test_a_failure_and_a_dry_run_are_described_with_each(name: str) -> None:
    failure = {"outcome": "usage", "code": 2, "step": name, "error": "no", "what": "no"}

    require_described({"schema": f"unstale/{name}@1", **failure, "why": "", "next": ""})
    require_described({"schema": f"unstale/{name}@1", "dry": True, "would": ["would run it"]})


@pytest.mark.parametrize("name", ANSWERS)
def test_a_document_of_another_name_is_refused(name: str) -> None:
    assert not validator(name).is_valid({"schema": "unstale/x@1", "dry": True, "would": []})


def test_most_documents_are_looked_at_wherever_a_test_makes_one() -> None:
    # These are made where they are printed, and looked at there.
    assert set(NAMES) - bodies().keys() == {
        *("ci-workflow", "db-migrate-sql", "db-settings", "db-tables", "env-baseline"),
        *("adopt", "completion", "hook", "watch"),
    }
    with pytest.raises(AssertionError, match=r"image-status.json.*'services' is a required"):
        document.write("image-status", {})


# The receipt, as in-toto has it


def test_receipts_are_statements_with_a_test_result() -> None:
    require_described(green())
    require_described(red())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["_type"], "https://in-toto.io/Statement/v0.1"),
        (["subject"], {}),
        (["subject", 0, "digest"], {}),
        (["subject", 0, "digest", "sha256"], 7),
        (["predicateType"], "https://in-toto.io/attestation/test-result/v0.2"),
        (["predicate"], []),
        (["predicate", "result"], "passed"),
        (["predicate", "configuration"], [{"name": "neither uri nor digest"}]),
        (["predicate", "passedTests"], "tests.a"),
        (["predicate", "failedTests"], [1]),
        (["predicate", "annotations", "outcome"], "fine"),
        (["predicate", "annotations", "errors"], [{"what": "half"}]),
    ],
    ids=str,
)
def test_what_is_no_statement_is_refused(path: list[Any], value: Any) -> None:
    broken = json.loads(json.dumps(red()))
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert not validator("statement").is_valid(broken)


@pytest.mark.parametrize("key", ["_type", "subject", "predicateType", "predicate"])
def test_a_statement_lacks_nothing_that_in_toto_requires(key: str) -> None:
    broken = green()
    del broken[key]

    assert not validator("statement").is_valid(broken)


def test_others_may_add_what_they_like() -> None:
    require_described({**green(), "example.com/more": 1})


# Printing one


def test_a_schema_is_printed_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 0
    assert json.loads(capsys.readouterr().out)["$id"] == "urn:unstale:run@1"
    assert main([]) == 0
    assert capsys.readouterr().out.split() == list(NAMES)


def test_a_name_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 2
    assert "Did you mean 'run'?" in capsys.readouterr().err
    with pytest.raises(KeyError):
        schemas.text("../errors")


def test_the_module_is_a_command() -> None:
    command = [sys.executable, "-m", "unstale.schemas", "plan"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)

    assert json.loads(done.stdout)["title"] == "plan"
