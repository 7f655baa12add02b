"""A comparison as JSON and as text: complete, in order, and without a secret."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from unstale.parity.model import Difference, Source
from unstale.parity.report import (
    AllowedDifference,
    Home,
    PairReport,
    ParityReport,
    Remark,
    SyncRow,
    effect,
)
from unstale.render.parity import (
    View,
    check_document,
    check_text,
    diff_document,
    diff_text,
    sync_document,
    sync_text,
)

CI, TEST = Source("env-file", "env/.env.ci", 3), Source("env-file", "env/.env.test", 7)
PREFIX = Difference("file", "API_V1_PREFIX", "missing_left", right="/api", right_source=TEST)
LEVEL = Difference(
    "file", "LOG_LEVEL", "different", left="WARNING", right="INFO", left_source=CI,
    right_source=TEST,
)  # fmt: skip
SECRET = Difference("file", "JWT_SECRET", "different", secret=True)
COMMIT = Difference(
    "command", "synchronous_commit", "missing_right", services=("postgres",), left="off",
    left_source=Source("compose", "docker/ci.yml", 31),
)  # fmt: skip
NAME = Difference(
    "other", "container_name", "different", services=("api",), left="a", right="b", identity=True
)
UNUSED = Remark("unused", "OLD_KEY", "pyproject.toml", 77, "it matches no difference")
VALUES = View(values_shown=True)


def report(*found: Difference, **more: object) -> ParityReport:
    return ParityReport((replace(PairReport("ci", "test", open=found), **more),))  # type: ignore[arg-type]


def in_services(difference: Difference, *services: str) -> Difference:
    return replace(difference, field="environment", services=services)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        pytest.param(COMMIT, "behaviour", id="flag"),
        pytest.param(LEVEL, "value", id="variable"),
        pytest.param(replace(LEVEL, detail="only the host differs"), "place", id="host"),
        pytest.param(replace(LEVEL, detail="only host and port differ"), "place", id="both"),
        pytest.param(replace(LEVEL, detail="only the password differs"), "value", id="password"),
        pytest.param(replace(LEVEL, detail="empty in ci"), "value", id="empty"),
        pytest.param(replace(LEVEL, no_effect="the default"), "none", id="default"),
        pytest.param(NAME, "identity", id="name"),
    ],
)
def test_a_difference_is_weighed_by_what_it_changes(difference: Difference, expected: str) -> None:
    assert effect(difference) == expected


def test_one_open_difference_ends_parity() -> None:
    assert not report(PREFIX).parity
    assert report(identity=(NAME,)).parity


def test_a_permission_that_nobody_needs_ends_parity_of_the_whole() -> None:
    found = replace(report(), policy_findings=(UNUSED,))

    assert found.pairs[0].parity
    assert not found.parity


def test_the_document_has_the_keys_of_the_contract() -> None:
    allowed = (AllowedDifference(LEVEL, "because"),)

    document = diff_document(report(PREFIX, SECRET, COMMIT, allowed=allowed))

    contract = {
        "schema": "unstale/env-diff@1",
        "left": "ci",
        "right": "test",
        "parity": False,
        "missing_left": ["API_V1_PREFIX"],
        "missing_right": [],
        "different": [{"key": "JWT_SECRET", "secret": True}],
    }
    assert contract.items() <= document.items()
    assert [(a["key"], a["kind"], a["reason"]) for a in document["allowed"]] == [
        ("LOG_LEVEL", "different", "because")
    ]


def test_a_harmless_server_setting_is_shown_without_being_asked_for() -> None:
    view = View(is_showable=lambda setting, value: (setting, value) == (COMMIT.item, "off"))

    (row,) = diff_document(report(COMMIT), view)["services"]

    expected = {
        "service": "postgres",
        "field": "command",
        "item": "synchronous_commit",
        "left": "off",
        "right": None,
        "kind": "missing_right",
    }
    assert expected.items() <= row.items()


def test_a_variable_is_no_server_setting_whatever_its_name() -> None:
    found = in_services(replace(LEVEL, item="synchronous_commit"), "api")

    (row,) = diff_document(report(found), View(is_showable=lambda *_: True))["services"]

    assert (row["left"], row["right"]) == (None, None)


def test_each_service_has_a_row_of_its_own_and_a_folded_one_for_all() -> None:
    document = diff_document(report(in_services(LEVEL, "api", "worker"), COMMIT))

    assert [row["service"] for row in document["services"]] == ["api", "postgres", "worker"]
    assert [row["services"] for row in document["differences"]] == [
        ["api", "worker"],
        ["postgres"],
    ]


def test_a_difference_of_containers_is_not_listed_with_the_files() -> None:
    document = diff_document(report(in_services(PREFIX, "api")))

    assert document["missing_left"] == []
    assert not document["parity"]


def test_a_difference_without_effect_is_open_and_marked() -> None:
    document = diff_document(report(replace(PREFIX, no_effect="the default")))

    assert not document["parity"]
    assert document["missing_left"] == ["API_V1_PREFIX"]
    assert [d["no_effect"] for d in document["no_effect"]] == ["the default"]


def test_each_side_of_a_difference_names_its_source() -> None:
    (row,) = diff_document(report(PREFIX))["differences"]

    assert row["left_source"] is None
    assert row["right_source"] == {"file": "env/.env.test", "line": 7, "kind": "env-file"}


def test_show_values_reveals_what_is_not_secret() -> None:
    document = diff_document(report(LEVEL, SECRET), VALUES)

    assert document["different"] == [
        {"key": "LOG_LEVEL", "secret": False, "left_value": "WARNING", "right_value": "INFO"},
        {"key": "JWT_SECRET", "secret": True},
    ]
    assert "ci 'WARNING' at env/.env.ci:3" in "\n".join(diff_text(report(LEVEL), VALUES))


def test_without_show_values_no_value_is_shown() -> None:
    found = report(
        replace(LEVEL, left="left-value", right="right-value"),
        in_services(replace(PREFIX, right="more-value"), "api"),
        allowed=(AllowedDifference(replace(LEVEL, left="own-value"), "because"),),
        identity=(replace(NAME, left="name-value"),),
    )

    documents = json.dumps([diff_document(found), check_document(found)])
    lines = "\n".join((*diff_text(found, View(identity_shown=True)), *check_text(found)))
    assert "-value" not in documents + lines


def test_a_value_marked_secret_is_not_shown_even_if_it_got_in() -> None:
    found = report(replace(SECRET, left="heron-72", right="heron-73"), replace(COMMIT, secret=True))
    view = View(values_shown=True, is_showable=lambda *_: True)

    output = json.dumps(diff_document(found, view)) + "".join(diff_text(found, view))
    assert "heron" not in output
    assert "off" not in output


def test_the_headline_counts_what_a_person_counts() -> None:
    found = report(
        LEVEL,
        in_services(LEVEL, "api", "worker"),
        COMMIT,
        allowed=(AllowedDifference(PREFIX, "because"),),
        identity=(NAME,),
    )

    assert diff_text(found)[0] == (
        "ci and test differ: 2 differences in 3 services, 1 allowed, 1 of identity folded"
    )


def test_parity_is_said_in_so_many_words_and_asks_for_nothing() -> None:
    assert diff_text(report()) == ("ci and test are at parity",)


def test_what_matters_most_comes_first() -> None:
    lines = diff_text(report(LEVEL, COMMIT, replace(PREFIX, no_effect="the default")))

    heads = [line for line in lines if line.endswith(":")]
    assert heads == ["What runs:", "Variables:", "Without effect:"]


def test_a_variable_of_the_files_and_of_every_container_is_one_line() -> None:
    found = report(LEVEL, in_services(LEVEL, "api", "worker"), services=("api", "worker"))

    (line,) = [line for line in diff_text(found) if "LOG_LEVEL" in line]
    assert line == (
        "  LOG_LEVEL  different  files, all services  (ci env/.env.ci:3; test env/.env.test:7)"
    )


def test_containers_that_differ_in_another_way_have_a_line_of_their_own() -> None:
    found = report(LEVEL, in_services(replace(LEVEL, left="DEBUG"), "api"))

    assert sum("LOG_LEVEL" in line for line in diff_text(found)) == 2


def test_names_are_folded_until_they_are_asked_for() -> None:
    found = report(identity=(NAME,))

    assert "container_name" not in "\n".join(diff_text(found))
    assert "container_name" in "\n".join(diff_text(found, View(identity_shown=True)))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_text_keeps_to_the_width_between_words(width: int) -> None:
    found = report(
        in_services(LEVEL, *(f"service-{n}" for n in range(9))),
        allowed=(AllowedDifference(PREFIX, "a reason of many words " * 9),),
    )

    lines = diff_text(found, View(width=width))

    assert [line for line in lines[1:-1] if len(line) > width] == []


def test_the_source_of_a_value_says_who_decided_it() -> None:
    image = replace(LEVEL, left_source=Source("image", "postgres:16"))
    expanded = replace(LEVEL, left_source=Source("interpolation", "ci.yml", 9, "LEVEL"))

    assert "ci image postgres:16;" in "\n".join(diff_text(report(image)))
    assert "ci ci.yml:9 (${LEVEL});" in "\n".join(diff_text(report(expanded)))


def test_a_terminal_control_sequence_is_printed_as_text() -> None:
    evil = "\x1b[2J\u202e\n"
    hostile = replace(
        LEVEL, item=evil, left=evil, right=evil, detail=evil, left_source=Source("compose", evil)
    )
    found = ParityReport(
        (PairReport(evil, evil, (hostile,), (AllowedDifference(hostile, evil),), notes=(evil,)),),
        hazards=(Remark(evil, evil, evil, 1, evil),),
        notes=(evil,),
    )

    assert [
        line for line in check_text(found, VALUES) if not (line.isprintable() or not line)
    ] == []
    assert [
        line for line in sync_text([SyncRow(evil, evil, "add")], written=False) if "\x1b" in line
    ] == []


def test_a_check_without_a_policy_says_how_to_begin_one() -> None:
    lines = check_text(report(LEVEL), gating=False)

    assert lines[-1].endswith("inv env.check --baseline")
    assert check_document(report(LEVEL), gating=False)["gating"] is False


def test_a_check_lists_every_pair_and_what_is_wrong_with_the_policy() -> None:
    found = ParityReport(
        (PairReport("ci", "test", (LEVEL,)), PairReport("dev", "test")), policy_findings=(UNUSED,)
    )

    document = check_document(found)

    assert [(p["left"], p["parity"]) for p in document["pairs"]] == [("ci", False), ("dev", True)]
    assert [p["key"] for p in document["policy"]] == ["OLD_KEY"]
    assert "  pyproject.toml:77  OLD_KEY  unused: it matches no difference" in check_text(found)


def test_hazards_and_findings_are_in_text_and_json() -> None:
    hazard = Remark("dollar", "DB_OPTIONS", "env/.env.ci", 12, "read differently")
    finding = Remark("near-miss", "CALLBACK_PORT", "app.py", 9, "CALLBACK_SERVER_PORT is set")
    found = replace(report(), hazards=(hazard,), findings=(finding,))

    document, lines = diff_document(found), "\n".join(diff_text(found))

    assert [h["line"] for h in document["hazards"]] == [12]
    assert [f["key"] for f in document["findings"]] == ["CALLBACK_PORT"]
    assert "env/.env.ci:12  DB_OPTIONS" in lines
    assert "app.py:9  CALLBACK_PORT" in lines


def test_a_remark_without_a_name_is_told_by_its_place() -> None:
    found = replace(report(), hazards=(Remark("docker run refuses it", "", "env/.env.ci", 4),))

    assert "  env/.env.ci:4  docker run refuses it" in diff_text(found)


def test_a_permission_to_mend_is_the_next_thing_to_do() -> None:
    lines = check_text(replace(report(), policy_findings=(UNUSED,)))

    assert lines[-1] == "Next: mend or remove these [[tool.unstale.parity.allow]]"


def test_what_could_not_be_told_is_told() -> None:
    found = report(notes=("no Dockerfile of api",))

    assert "  no Dockerfile of api" in diff_text(found)
    assert diff_document(found)["notes"] == ["no Dockerfile of api"]


def test_a_dry_run_of_sync_says_what_it_would_do_and_what_to_type() -> None:
    rows = [
        SyncRow("env/.env.ci", "A", "add", "example", 9),
        SyncRow("env/.env.ci", "B", "refused", why="no dialect reads it back"),
    ]

    assert sync_text(rows, written=False) == (
        "env/.env.ci:9  A  would be added (example)",
        "env/.env.ci  B  refused: no dialect reads it back",
        "1 key would be added, 1 refused",
        "Next: inv env.sync --write",
    )
    assert sync_document(rows, written=False)["complete"] is False


def test_nothing_to_sync_is_said() -> None:
    assert sync_text([], written=False) == ("No key is missing.",)


def test_homes_are_empty_by_default() -> None:
    assert PairReport("a", "b").left_home == Home("", "")
