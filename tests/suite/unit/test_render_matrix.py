"""The table of environments as text, JSON and a page; and the table of runs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from unstale.errors import Outcome
from unstale.parity.matrix import Cell, Mark, Matrix, Row
from unstale.parity.model import Source
from unstale.render.matrix import (
    RunRow,
    matrix_document,
    matrix_page,
    matrix_text,
    runs_document,
    runs_table,
)

XHTML = "{http://www.w3.org/1999/xhtml}"
HOSTILE = "</td><script>alert(1)</script>&\"'<img src=x onerror=y>\x1b[31m\u202e"
LEVEL = Row(
    "LOG_LEVEL",
    "LOG_LEVEL",
    ("file", "environment"),
    ("api",),
    (
        Cell("value", "A", "own-value", Source("env-file", "env/.env.dev", 3)),
        Cell("missing", "-"),
        Cell("empty", "''", ""),
        Cell("null", "0"),
    ),
)
EQUAL = Row("SAME", "SAME", ("file",), (), (Cell("value", "A", "x"),) * 4)
NAME = Row(
    "other:container_name", "container_name", ("other",), ("api",),
    tuple(Cell("value", sign, sign) for sign in "AABC"), identity=True,
)  # fmt: skip
ENVIRONMENTS = ("dev", "test", "ci", "qa")
FOUND = Matrix(ENVIRONMENTS, (LEVEL, NAME, EQUAL))
RUN = RunRow(
    "test", Outcome.PROVEN, 38, 0, 1, 92.43, receipt=".unstale/receipts/a.json",
    image="sha256:0123456789abcdef", migration="7f3a",
)  # fmt: skip


def body(page: str) -> ET.Element:
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def test_the_text_shows_what_differs_by_class() -> None:
    lines = matrix_text(FOUND)

    assert lines[:2] == (
        "key        dev  test  ci     qa    where",
        "LOG_LEVEL  A    -     empty  null  env files, api",
    )
    assert lines[-1] == "1 of 2 keys differ in dev, test, ci, qa, 1 of identity folded"


def test_equal_keys_and_names_are_there_if_asked_for() -> None:
    text = "\n".join(matrix_text(FOUND, everything=True, identity_shown=True))

    assert "SAME" in text
    assert "container_name" in text
    assert "SAME" not in "\n".join(matrix_text(FOUND))


def test_no_difference_is_one_line() -> None:
    assert matrix_text(Matrix(ENVIRONMENTS, (EQUAL,))) == (
        "0 of 1 keys differ in dev, test, ci, qa",
    )


def test_an_explained_difference_has_its_reason() -> None:
    row = replace(LEVEL, mark=Mark("allowed", "because"))

    assert matrix_text(Matrix(ENVIRONMENTS, (row,)))[1].endswith("allowed: because")


def test_no_value_is_shown_unasked() -> None:
    output = json.dumps(matrix_document(FOUND)) + matrix_page(FOUND) + "".join(matrix_text(FOUND))

    assert "own-value" not in output
    assert "No value is on this page" in output


def test_values_are_shown_where_asked_for() -> None:
    assert "A 'own-value'" in "\n".join(matrix_text(FOUND, values_shown=True))
    assert "<code>own-value</code>" in matrix_page(FOUND, values_shown=True)
    cell = matrix_document(FOUND, values_shown=True)["rows"][0]["cells"][0]
    assert cell["value"] == "own-value"


def test_a_secret_row_shows_no_value_even_if_one_got_in() -> None:
    found = Matrix(ENVIRONMENTS, (replace(LEVEL, secret=True),))

    output = json.dumps(matrix_document(found, values_shown=True))
    output += matrix_page(found, values_shown=True)
    output += "".join(matrix_text(found, values_shown=True))
    assert "own-value" not in output
    assert "secret" in output


def test_the_document_has_every_key_and_the_state_of_each_cell() -> None:
    document = matrix_document(FOUND)

    assert document["schema"] == "unstale/env-matrix@1"
    assert [row["key"] for row in document["rows"]] == ["LOG_LEVEL", NAME.path, "SAME"]
    assert document["rows"][0]["cells"][:2] == [
        {
            "environment": "dev",
            "class": "A",
            "state": "value",
            "source": {"file": "env/.env.dev", "line": 3},
        },
        {"environment": "test", "class": None, "state": "missing", "source": None},
    ]


def test_names_alone_do_not_end_parity() -> None:
    assert matrix_document(Matrix(ENVIRONMENTS, (NAME, EQUAL)))["parity"]
    assert not matrix_document(FOUND)["parity"]


def test_lines_are_cut_at_the_width() -> None:
    row = replace(LEVEL, mark=Mark("allowed", "many words " * 30))

    lines = matrix_text(Matrix(ENVIRONMENTS, (row,)), width=80)
    assert max(map(len, lines[:2])) == 80


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = matrix_page(FOUND)

    tags = {element.tag.removeprefix(XHTML) for element in body(page).iter()}
    assert not tags & {"link", "img", "iframe", "object"}
    assert not re.search(r"""(?:src|href|url)\s*[=(]""", page)


def test_the_page_allows_its_own_script_and_no_other() -> None:
    page = matrix_page(FOUND)
    (script,) = [element.text or "" for element in body(page).iter(f"{XHTML}script")]

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not set("<&") & set(script)


def test_a_screen_reader_is_told_what_heads_what() -> None:
    page = body(matrix_page(FOUND))

    scopes = [(h.get("scope"), "".join(h.itertext())) for h in page.iter(f"{XHTML}th")]
    assert [t for s, t in scopes if s == "col"] == ["Key", *ENVIRONMENTS, "Effect", "Where", "Note"]
    assert [t for s, t in scopes if s == "row"] == ["LOG_LEVEL", NAME.path, "SAME"]
    assert page.find(f".//{XHTML}caption") is not None


def test_a_state_is_a_word_or_a_sign_and_not_a_colour_alone() -> None:
    row = next(body(matrix_page(FOUND)).iter(f"{XHTML}tbody"))[0]

    cells = ["".join(cell.itertext()) for cell in row.iter(f"{XHTML}td")]
    assert cells[:4] == ["A", "-", "empty", "null"]


def test_without_scripts_every_row_is_there() -> None:
    rows = next(body(matrix_page(FOUND)).iter(f"{XHTML}tbody"))

    assert [row.get("hidden") for row in rows] == [None] * 3


def test_foreign_text_stays_text() -> None:
    row = replace(
        LEVEL,
        path=HOSTILE,
        services=(HOSTILE,),
        cells=(Cell("value", "A", HOSTILE, Source("compose", HOSTILE)), *LEVEL.cells[1:]),
        mark=Mark("allowed", HOSTILE),
    )
    found = Matrix((HOSTILE, *ENVIRONMENTS[1:]), (row,), (HOSTILE,))

    page = matrix_page(found, values_shown=True)

    assert len(list(body(page).iter(f"{XHTML}script"))) == 1
    assert "<img" not in page
    assert all(line.isprintable() for line in matrix_text(found, values_shown=True))


def test_the_table_of_runs_has_what_the_receipts_say() -> None:
    lines = runs_table([RunRow("dev", None), RUN])

    assert lines == (
        "environment  result      passed  failed  skipped  seconds  image         migration  notes",
        "dev          no receipt  -       -       -        -        -             -",
        "test         proven      38      0       1        92.4     0123456789ab  7f3a",
        "",
        "test: .unstale/receipts/a.json",
    )


@pytest.mark.parametrize(
    ("rows", "proven"),
    [
        pytest.param([RUN], True, id="all"),
        pytest.param([RUN, RunRow("ci", None)], False, id="an-expectation-is-no-result"),
        pytest.param([RUN, replace(RUN, outcome=Outcome.TESTS_FAILED)], False, id="failed"),
        pytest.param([], False, id="nothing-was-run"),
    ],
)
def test_runs_are_proven_only_together(rows: list[RunRow], proven: bool) -> None:
    assert runs_document(rows)["proven"] is proven


def test_a_run_without_a_receipt_has_no_outcome_in_json() -> None:
    (run,) = runs_document([RunRow("ci", None)])["runs"]

    assert run["outcome"] is None
    assert run["receipt"] is None
