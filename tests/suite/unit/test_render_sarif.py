"""A SARIF log: what the standard asks for, the same for the same findings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from unstale.parity.model import Difference, Source
from unstale.parity.report import AllowedDifference, Home, PairReport, ParityReport, Remark
from unstale.render.sarif import sarif

TEST = Source("env-file", "env/.env.test", 7)
PREFIX = Difference("file", "API_V1_PREFIX", "missing_left", right="/own-value", right_source=TEST)
LEVEL = Difference(
    "environment", "LOG_LEVEL", "different", ("api",), left="own-value", left_source=TEST
)
PAIR = PairReport(
    "ci",
    "test",
    open=(PREFIX, LEVEL),
    allowed=(AllowedDifference(replace(LEVEL, item="DEBUG"), "because"),),
    left_home=Home("env/.env ci", "docker/ci.yml"),
)
FOUND = ParityReport(
    (PAIR,),
    hazards=(
        Remark("dollar", "A", "env/.env.ci", 3, "read differently"),
        Remark("dollar", "A", "env/.env.ci", 9, "read differently"),
    ),
    findings=(Remark("near-miss", "B", "app.py", 4), Remark("undefined", "C", "app.py", 5)),
    policy_findings=(
        Remark("unused", "D", "pyproject.toml", 9),
        Remark("expired", "E"),
        Remark("must", "F"),
    ),
)


def results(found: ParityReport = FOUND) -> list[dict[str, Any]]:
    return list(sarif(found, "0.1.0")["runs"][0]["results"])


def test_the_log_has_what_the_standard_requires() -> None:
    log = sarif(FOUND, "0.1.0")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]

    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "unstale")
    assert all(rule["shortDescription"]["text"] for rule in rules)
    for result in run["results"]:
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        assert not physical["artifactLocation"]["uri"].startswith("/")
        assert physical["region"]["startLine"] >= 1


def test_every_rule_is_there_whatever_was_found() -> None:
    rules = sarif(ParityReport(), "0.1.0")["runs"][0]["tool"]["driver"]["rules"]

    assert [rule["id"] for rule in rules] == [
        "parity/demanded-value",
        "parity/different",
        "parity/expired-permission",
        "parity/hazard",
        "parity/inert",
        "parity/missing",
        "parity/near-miss",
        "parity/unused-permission",
    ]


def test_each_finding_has_its_rule() -> None:
    assert [result["ruleId"] for result in results()] == [
        "parity/missing",
        "parity/different",
        "parity/different",
        "parity/unused-permission",
        "parity/expired-permission",
        "parity/demanded-value",
        "parity/hazard",
        "parity/hazard",
        "parity/near-miss",
        "parity/undefined",
    ]


def test_what_is_allowed_is_suppressed_with_its_reason() -> None:
    (suppressed,) = [result for result in results() if "suppressions" in result]

    assert suppressed["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "because"}
    ]


def test_a_path_becomes_a_relative_uri() -> None:
    location = results()[0]["locations"][0]["physicalLocation"]["artifactLocation"]

    assert location == {"uri": "env/.env%20ci", "uriBaseId": "%SRCROOT%"}


def test_no_value_is_in_the_log() -> None:
    assert "own-value" not in json.dumps(sarif(FOUND, "0.1.0"))


def test_a_fingerprint_stays_when_a_value_or_a_line_changes() -> None:
    moved = replace(LEVEL, left="other", left_source=replace(TEST, line=99))
    later = replace(FOUND, pairs=(replace(PAIR, open=(PREFIX, moved)),))

    prints = [result["partialFingerprints"] for result in results()]
    assert prints == [result["partialFingerprints"] for result in results(later)]
    assert len({json.dumps(one) for one in prints}) == len(prints)


def test_without_a_policy_nothing_is_an_error() -> None:
    found = replace(FOUND, policy_findings=())

    levels = {r["level"] for r in sarif(found, "0.1.0", gating=False)["runs"][0]["results"]}
    assert levels == {"warning", "note"}
