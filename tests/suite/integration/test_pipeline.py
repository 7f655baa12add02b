"""The main job, as a user types it."""

from __future__ import annotations

import json

from harness import Checkout

STEPS = (
    "sweep",
    "env_parity",
    "image_freshness",
    "build_if_needed",
    "find_receipt",
    "prepare_stack",
    "database_ready",
    "migrate",
    "schema_status",
    "up",
    "running_image",
    "run_tests",
    "verify_in_image",
    "inputs_unchanged",
    "down",
)


def test_a_cold_run_is_green_and_leaves_its_evidence(stack: Checkout) -> None:
    before = set((stack.root / ".unstale/runs").glob("*/junit.xml"))
    result = stack.inv("test.integration", "--build", "--no-cache").must(0)

    for step in STEPS:
        assert step in result.out
    assert "PROVEN (exit code 0)" in result.out
    assert stack.git("log", "-1", "--format=%H %ci").strip()[:60] in result.err
    assert stack.leftovers() == []

    receipt = json.loads((stack.root / ".unstale/receipts/latest.json").read_text())
    assert receipt["_type"] == "https://in-toto.io/Statement/v1"
    assert receipt["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert {s["name"] for s in receipt["subject"]} == {"app", "test-runner"}
    assert all(len(s["digest"]["sha256"]) == 64 for s in receipt["subject"])
    assert receipt["predicate"]["result"] == "PASSED"
    passed = receipt["predicate"]["passedTests"]
    assert any("test_complete_authentication_flow" in name for name in passed)

    reports = list(set((stack.root / ".unstale/runs").glob("*/junit.xml")) - before)
    assert len(reports) == 1
    assert "test_complete_authentication_flow" in reports[0].read_text()
    assert list((reports[0].parent / "coverage").iterdir())


def test_a_second_run_builds_nothing_with_two_workers_and_answers_in_one_document(
    stack: Checkout,
) -> None:
    result = stack.inv("test.integration", "--json", "--", "-n", "2").must(0)

    answer = result.document()
    assert answer["schema"] == "unstale/run@1"
    assert (answer["outcome"], answer["code"]) == ("proven", 0)
    assert tuple(s["name"] for s in answer["steps"]) == STEPS
    details = {s["name"]: s["detail"] for s in answer["steps"]}
    assert details["build_if_needed"] == "every image is fresh"
    assert answer["tests"]["failed"] == 0
    assert answer["tests"]["passed"] > 10
    assert answer["database"]["state"] == "current"
    assert (stack.folder(result) / "junit.xml").exists()
    assert "2 workers" in (stack.folder(result) / "logs" / "run_tests.log").read_text()


def test_an_expression_in_quotes_arrives_as_one_word(stack: Checkout) -> None:
    expression = ("-k", "login and rejected and not nothing")
    result = stack.inv("test.integration", "--json", "--", *expression).must(0)

    assert result.document()["tests"]["passed"] == 1
