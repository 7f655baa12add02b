"""This repository's own environments: at parity, and each green."""

from __future__ import annotations

import json

import pytest
from harness import Checkout


def test_our_own_environments_are_at_parity_and_each_difference_has_its_reason(
    checkout: Checkout,
) -> None:
    document = checkout.inv("env.check", "--json").must(0).document()

    assert {(p["left"], p["right"]) for p in document["pairs"]} == {
        ("ci", "dev"),
        ("ci", "test"),
        ("dev", "test"),
    }
    assert document["policy"] == []
    assert all(a["reason"] for pair in document["pairs"] for a in pair["allowed"])


def test_an_unexplained_difference_ends_a_run_before_anything_is_built(
    checkout: Checkout,
) -> None:
    checkout.replace("env/.env.ci", "API_V1_PREFIX=/api/v1", "API_V1_PREFIX=/api/v2")

    found = checkout.inv("test.integration", "--json").must(3).document()

    assert [step["name"] for step in found["steps"]] == ["sweep", "env_parity"]
    assert "API_V1_PREFIX (ci and test)" in str(found["errors"])


def test_a_run_is_judged_by_what_its_own_shell_decides(checkout: Checkout) -> None:
    for name in ("ci", "test"):
        checkout.replace(
            f"docker/docker-compose.{name}.yml",
            "POSTGRES_INITDB_ARGS: --encoding=UTF8 --locale=C.UTF-8",
            "POSTGRES_INITDB_ARGS: --encoding=${ENCODING:-UTF8} --locale=C.UTF-8",
        )

    checkout.inv("env.check", "--pairs", "ci/test", env={"ENCODING": "LATIN1"}).must(0)
    found = checkout.inv("test.integration", "--json", env={"ENCODING": "LATIN1"}).must(3)

    assert [step["name"] for step in found.document()["steps"]] == ["sweep", "env_parity"]
    assert "POSTGRES_INITDB_ARGS" in str(found.document()["errors"])


def test_without_a_policy_a_difference_is_mentioned_and_the_run_goes_on(
    checkout: Checkout,
) -> None:
    checkout.without_policy()
    checkout.replace("env/.env.ci", "API_V1_PREFIX=/api/v1", "API_V1_PREFIX=/api/v2")
    # Nothing can be built: what matters is how far it came.
    (checkout.root / "docker/Dockerfile").write_text("FROM scratch\nCOPY nowhere /\n")

    found = checkout.inv("test.integration", "--json").document()

    parity = next(step for step in found["steps"] if step["name"] == "env_parity")
    assert parity["outcome"] == "proven"
    assert "not judged" in parity["detail"]
    assert found["steps"][-1]["name"] != "env_parity"


@pytest.mark.parametrize("envs", ["test,ci", "dev,test,ci"])
def test_each_environment_is_green_and_one_table_says_so(checkout: Checkout, envs: str) -> None:
    found = checkout.inv("test.matrix", "--envs", envs, "--json").must(0).document()

    assert found["schema"] == "unstale/test-matrix@1"
    assert found["proven"]
    assert [run["environment"] for run in found["runs"]] == envs.split(",")
    for run in found["runs"]:
        receipt = json.loads((checkout.root / run["receipt"]).read_text())
        assert receipt["predicate"]["annotations"]["environment"] == run["environment"]
        assert run["passed"] == len(receipt["predicate"]["passedTests"]) > 0
    assert checkout.leftovers() == []


def test_what_can_not_run_has_no_result_and_the_others_run(checkout: Checkout) -> None:
    done = checkout.inv("test.matrix", "--envs", "nowhere,test", "--", "-k", "nothing_is_called_so")

    rows = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert "no receipt" in rows["nowhere"]
    assert "tests failed" in rows["test"]
    assert done.code == 2
