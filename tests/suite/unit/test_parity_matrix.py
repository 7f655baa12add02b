"""All environments at once: who agrees with whom, and nothing that is secret."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from unstale.mask import is_secret
from unstale.parity.matrix import Mark, Matrix, Row, marks_of, matrix
from unstale.parity.model import (
    Difference,
    EnvironmentFacts,
    Item,
    ServiceFacts,
    Source,
    Variable,
)
from unstale.parity.report import AllowedDifference, PairReport

FILE = Source("env-file", "env/.env", 1)
COMMIT = Item("command", "synchronous_commit", "off")
LEVEL = Difference("file", "LOG_LEVEL", "different")


def env(
    name: str,
    files: dict[str, str | None] | None = None,
    services: dict[str, list[Item]] | None = None,
) -> EnvironmentFacts:
    return EnvironmentFacts(
        name,
        None if files is None else {k: Variable(v, FILE) for k, v in files.items()},
        None
        if services is None
        else tuple(ServiceFacts(s, tuple(items)) for s, items in sorted(services.items())),
    )


def variable(key: str, value: str | None) -> Item:
    return Item("environment", key, value)


def look(*environments: EnvironmentFacts, marks: dict[str, Mark] | None = None) -> Matrix:
    return matrix(environments, is_secret, marks)


def signs(row: Row) -> str:
    return " ".join(cell.sign for cell in row.cells)


def states(row: Row) -> list[str]:
    return [cell.state for cell in row.cells]


def test_equal_values_have_equal_letters() -> None:
    (row,) = look(env("a", {"K": "1"}), env("b", {"K": "1"}), env("c", {"K": "true"})).rows

    assert signs(row) == "A A B"
    assert row.differs


def test_missing_empty_null_and_not_compared_are_four_states() -> None:
    (row,) = look(
        env("a", {"K": "1"}), env("b", {}), env("c", {"K": ""}), env("d", {"K": None}), env("e")
    ).rows

    assert states(row) == ["value", "missing", "empty", "null", "not compared"]
    assert len({cell.sign for cell in row.cells}) == 5


def test_what_was_not_compared_is_no_difference() -> None:
    (row,) = look(env("a", {"K": "1"}), env("b", {"K": "1"}), env("c")).rows

    assert not row.differs


def test_a_key_that_is_the_same_in_files_and_services_is_one_row() -> None:
    sides = [
        env(name, {"K": value}, {"api": [variable("K", value)], "worker": [variable("K", value)]})
        for name, value in (("a", "1"), ("b", "2"))
    ]

    (row,) = look(*sides).rows
    assert (row.fields, row.services) == (("file", "environment"), ("api", "worker"))


def test_services_whose_environments_stand_alike_are_folded_without_a_common_value() -> None:
    sides = [
        env(name, None, {"api": [variable("K", f"{name}1")], "worker": [variable("K", f"{name}2")]})
        for name in ("a", "b")
    ]

    (row,) = look(*sides).rows
    assert row.services == ("api", "worker")
    assert [cell.value for cell in row.cells] == [None, None]


def test_services_that_stand_to_each_other_differently_have_rows_of_their_own() -> None:
    left = env("a", None, {"api": [variable("K", "1")], "worker": [variable("K", "1")]})
    right = env("b", None, {"api": [variable("K", "1")], "worker": [variable("K", "2")]})

    rows = look(left, right).rows
    assert [(row.services, signs(row)) for row in rows] == [
        (("worker",), "A B"),
        (("api",), "A A"),
    ]


def test_a_service_that_an_environment_lacks_is_one_row_that_differs() -> None:
    left = env("a", None, {"db": [COMMIT, Item("image", "image", "postgres:16")]})

    rows = look(left, env("b", None, {})).rows
    assert [(row.path, row.services, signs(row)) for row in rows if row.differs] == [
        ("other:service", ("db",), "A -")
    ]
    assert [states(row)[1] for row in rows if not row.differs] == ["no service"] * 2


def test_effect_comes_first_then_the_name_and_what_is_equal_last() -> None:
    name = Item("other", "container_name", "a", identity=True)
    left = env("a", {"B": "1", "A": "1", "EQUAL": "1", "L": "1"}, {"db": [COMMIT, name]})
    right = env(
        "b",
        {"B": "2", "A": "2", "EQUAL": "1", "L": "2", "NONE": "1"},
        {"db": [replace(name, value="b")]},
    )
    marks = {"L": Mark("allowed", "because"), "NONE": Mark("no effect", "the default")}

    assert [row.path for row in look(left, right, marks=marks).rows] == [
        "command:synchronous_commit",
        "A",
        "B",
        "NONE",
        "L",
        "other:container_name",
        "EQUAL",
    ]


def test_the_order_of_facts_does_not_matter() -> None:
    keys = {"A": "1", "B": "2", "C": "3"}

    tables = {look(env("a", dict(order)), env("b", {})) for order in permutations(keys.items())}
    assert len(tables) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [("JWT_SECRET", "heron-72"), ("CACHE_URL", "redis://:heron-72@cache.example.com/0")],
    ids=["by-name", "by-value"],
)
def test_one_secret_value_hides_the_whole_row(key: str, value: str) -> None:
    found = look(env("a", {key: value}), env("b", {key: "plover"}))

    (row,) = found.rows
    assert row.secret
    assert [cell.value for cell in row.cells] == [None, None]
    assert signs(row) == "A B"


def test_no_value_is_in_a_repr() -> None:
    assert "own-value" not in repr(look(env("a", {"K": "own-value"}), env("b", {})))


def test_more_than_26_values_have_letters_of_their_own() -> None:
    (row,) = look(*(env(f"e{n}", {"K": str(n)}) for n in range(28))).rows

    assert signs(row).endswith("Z AA AB")


def test_what_could_not_be_told_names_its_environment() -> None:
    assert look(replace(env("a", {}), notes=("no Dockerfile",))).notes == ("a: no Dockerfile",)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param(
            [PairReport("a", "b", allowed=(AllowedDifference(LEVEL, "because"),))],
            Mark("allowed", "because"),
            id="allowed",
        ),
        pytest.param(
            [PairReport("a", "b", open=(replace(LEVEL, no_effect="the default"),))],
            Mark("no effect", "the default"),
            id="no-effect",
        ),
        pytest.param(
            [PairReport("a", "b", open=(replace(LEVEL, detail="only the host differs"),))],
            Mark("place", "only the host differs"),
            id="host",
        ),
        pytest.param(
            [
                PairReport("a", "b", allowed=(AllowedDifference(LEVEL, "because"),)),
                PairReport("a", "c", open=(LEVEL,)),
            ],
            None,
            id="open-in-another-pair",
        ),
    ],
)
def test_a_key_is_marked_if_every_pair_explains_it(
    pairs: list[PairReport], expected: Mark | None
) -> None:
    assert marks_of(pairs).get("LOG_LEVEL") == expected
