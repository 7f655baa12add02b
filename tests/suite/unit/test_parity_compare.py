"""What differs between two environments: states, folding, secrets, order, classes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from unstale.parity.compare import MISSING, Absent, classes, compare, order
from unstale.parity.flags import flag_map
from unstale.parity.model import (
    Difference,
    EnvironmentFacts,
    Field,
    Item,
    ServiceFacts,
    Source,
    Variable,
)

ENV_FILE = Source("env-file", "env/.env", 1)
Values = Mapping[str, str | None]


def files(name: str, values: Values) -> EnvironmentFacts:
    """An environment that is known by its env files only."""
    return EnvironmentFacts(name, {k: Variable(v, ENV_FILE) for k, v in values.items()}, None)


def service(name: str, *items: Item) -> ServiceFacts:
    """A service that has *items*."""
    return ServiceFacts(name, items)


def containers(name: str, *services: ServiceFacts) -> EnvironmentFacts:
    """An environment that is known by its containers only."""
    return EnvironmentFacts(name, None, services)


def of_files(left: Values, right: Values) -> tuple[Difference, ...]:
    """What differs between the env files of ci and test."""
    return compare(files("ci", left), files("test", right))


def variable(value: str | None, item: str = "A") -> Item:
    """A variable of a container."""
    return Item("environment", item, value)


def test_equal_environments_do_not_differ() -> None:
    one = service("api", variable("1"))
    ci = EnvironmentFacts("ci", {"A": Variable("1", ENV_FILE)}, (one,))
    there = Source("env-file", "elsewhere", 9)
    test = EnvironmentFacts("test", {"A": Variable("1", there)}, (one,))

    assert compare(ci, test) == ()


def test_each_side_lacks_its_own_variables() -> None:
    found = of_files({"A": "1", "C": "1"}, {"B": "1", "C": "1"})

    assert [(d.item, d.kind) for d in found] == [("A", "missing_right"), ("B", "missing_left")]


@pytest.mark.parametrize(
    ("left", "right", "kind", "detail"),
    [
        pytest.param({"A": ""}, {"A": "x"}, "different", "empty in ci", id="empty"),
        pytest.param({"A": "x"}, {"A": None}, "different", "without a value in test", id="null"),
        pytest.param(
            {"A": None}, {"A": ""}, "different", "without a value in ci, empty in test", id="both"
        ),
        pytest.param({}, {"A": ""}, "missing_left", "empty in test", id="missing-or-empty"),
        pytest.param({"A": None}, {}, "missing_right", "without a value in ci", id="null-or-none"),
        pytest.param({"A": "1"}, {"A": "true"}, "different", "", id="spelling"),
        pytest.param({}, {"A": "x"}, "missing_left", "", id="missing"),
    ],
)
def test_missing_empty_and_without_a_value_are_three_states(
    left: Values, right: Values, kind: str, detail: str
) -> None:
    (found,) = of_files(left, right)

    assert (found.kind, found.detail) == (kind, detail)


@pytest.mark.parametrize(
    ("left", "right", "detail"),
    [
        ("http://a.example.com/x", "http://b.example.com/x", "only the host differs"),
        ("redis://a:6379/0", "redis://b:6380/0", "only host and port differ"),
        ("redis://u:one@a/0", "redis://u:two@a/0", "only the password differs"),
    ],
)
def test_of_urls_the_parts_that_differ_are_told(left: str, right: str, detail: str) -> None:
    (found,) = of_files({"A": left}, {"A": right})

    assert found.detail == detail


@pytest.mark.parametrize(
    ("item", "detail"),
    [
        (Item("environment", "CACHE", ""), "only the host differs"),
        (Item("environment", "CACHE_IMAGE", ""), ""),
        (Item("image", "name", ""), ""),
        (Item("image", "build.args.BASE", ""), ""),
    ],
)
def test_the_name_of_a_service_is_a_host_but_not_of_an_image(item: Item, detail: str) -> None:
    others = service("cache"), service("redis")
    left, right = (
        containers(name, service("api", replace(item, value=f"{host}:6379")), *others)
        for name, host in (("ci", "cache"), ("test", "redis"))
    )

    (found,) = compare(left, right)

    assert found.detail == detail


def test_both_sources_are_told() -> None:
    ci = EnvironmentFacts("ci", {"A": Variable("1", Source("env-file", "ci.env", 3))}, None)
    test = EnvironmentFacts("test", {"A": Variable("2", Source("env-file", "test.env", 4))}, None)

    (found,) = compare(ci, test)

    assert (found.left_source, found.right_source) == (
        Source("env-file", "ci.env", 3),
        Source("env-file", "test.env", 4),
    )


def of_commands(left: str, right: str, prefix: str = "") -> list[tuple[str, str]]:
    """What differs between two commands of a service, and what is told of it."""
    sides = (
        service("a", *(Item("command", prefix + k, v) for k, v in flag_map(text.split()).items()))
        for text in (left, right)
    )
    found = compare(*(containers(n, one) for n, one in zip(("ci", "test"), sides, strict=True)))
    return [(one.item, one.detail) for one in found]


@pytest.mark.parametrize("prefix", ["", "entrypoint "])
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("find . -delete -print", "find . -print -delete"),
        ("rsync --exclude=* --include=a", "rsync --include=a --exclude=*"),
        ("pytest -x tests", "pytest -xtests"),
    ],
)
def test_flags_in_another_order_are_one_difference(left: str, right: str, prefix: str) -> None:
    detail = "the same flags in another order or spelling"

    assert of_commands(left, right, prefix) == [(f"{prefix}order", detail)]


@pytest.mark.parametrize(
    ("left", "right", "items"),
    [
        ("web --a 1 --b 2 run", "web --b 2 run", ["--a before word 2"]),
        ("web --a 1 --b", "web --a 2 --b", ["--a"]),
        ("web --a", "web", ["--a"]),
        ("web --a --b --c", "web --b --a", ["--c", "order"]),
    ],
)
def test_an_order_is_told_only_beyond_what_else_differs(
    left: str, right: str, items: list[str]
) -> None:
    assert [item for item, _ in of_commands(left, right)] == items


def test_an_order_is_not_explained_by_the_other_command() -> None:
    def both(order: str, word: str) -> ServiceFacts:
        flags = flag_map(["x", *order.split()])
        items = [Item("command", k, v) for k, v in flags.items()]
        return service("a", *items, Item("command", "entrypoint --a", word))

    found = compare(
        containers("ci", both("--a --b", "x")), containers("test", both("--b --a", "y"))
    )

    assert [one.item for one in found] == ["entrypoint --a", "order"]


def test_the_same_difference_in_several_services_is_one() -> None:
    names = ("web", "api", "worker")
    ci = containers("ci", *(service(n, variable("1"), variable("x", "B")) for n in names))
    test = containers(
        "test",
        service("web", variable("2"), variable("y", "B")),
        service("api", variable("2"), variable("y", "B")),
        service("worker", variable("3"), variable("y", "B")),
    )

    found = compare(ci, test)

    assert [(d.item, d.services, d.right) for d in found] == [
        ("A", ("api", "web"), "2"),
        ("A", ("worker",), "3"),
        ("B", ("api", "web", "worker"), "y"),
    ]


def test_twenty_three_variables_in_four_services_are_twenty_three_rows() -> None:
    items = tuple(variable("1", f"V{n}") for n in range(23))
    names = ("a", "b", "c", "d")

    found = compare(
        containers("ci", *(service(n) for n in names)),
        containers("test", *(service(n, *items) for n in names)),
    )

    assert len(found) == 23
    assert {d.services for d in found} == {names}


def test_secrets_fold_by_their_values_and_show_none() -> None:
    def side(name: str, *values: str) -> EnvironmentFacts:
        services = (service(f"s{n}", variable(v, "API_TOKEN")) for n, v in enumerate(values))
        return containers(name, *services)

    found = compare(
        side("ci", "plover-1", "plover-1", "plover-1"),
        side("test", "heron-2", "heron-2", "egret-3"),
    )

    assert [(d.services, d.secret, d.left, d.right) for d in found] == [
        (("s0", "s1"), True, None, None),
        (("s2",), True, None, None),
    ]


def test_a_service_of_one_side_is_one_difference() -> None:
    ci = containers("ci", service("api", variable("1")))
    test = containers(
        "test",
        service("api", variable("1")),
        service("mail", variable("1"), variable("2", "B")),
        service("s3", variable("1")),
    )

    found = compare(ci, test)

    assert [(d.path, d.kind, d.services, d.detail) for d in found] == [
        ("other:service", "missing_left", ("mail",), ""),
        ("other:service", "missing_left", ("s3",), ""),
    ]


def test_a_variable_called_service_is_none() -> None:
    both = ("a", "b")

    found = compare(
        containers("ci", *(service(n, variable("", "service")) for n in both)),
        containers("test", *(service(n, variable("x", "service")) for n in both)),
    )

    assert [(d.services, d.detail) for d in found] == [(both, "empty in ci")]


def test_fields_of_one_name_are_apart() -> None:
    fields: tuple[Field, ...] = ("environment", "command", "volumes")

    found = compare(
        containers("ci", service("a", *(Item(f, "x", "1") for f in fields))),
        containers("test", service("a", *(Item(f, "x", "2") for f in fields))),
    )

    assert sorted(d.path for d in found) == ["command:x", "volumes:x", "x"]


def test_what_only_names_things_stays_marked() -> None:
    name = Item("other", "container_name", "a", identity=True)

    (found,) = compare(
        containers("ci", service("a", name)),
        containers("test", service("a", replace(name, value="b"))),
    )

    assert found.identity


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (files("ci", {"A": "1"}), containers("test", service("a"))),
        (containers("ci", service("a")), files("test", {"A": "1"})),
    ],
)
def test_a_side_that_has_no_files_or_no_services_is_not_compared(
    left: EnvironmentFacts, right: EnvironmentFacts
) -> None:
    assert compare(left, right) == ()


@pytest.mark.parametrize(
    ("key", "value", "secret"),
    [
        pytest.param("DB_PASSWORD", "zq", "zq", id="named-so"),
        pytest.param("DATABASE_URL", "postgresql://u:heron-72@db/x", "heron-72", id="in-a-url"),
        pytest.param("OPTIONS", "--sign-with=heron-72-plover", "heron-72-plover", id="repeated"),
        pytest.param("NICKNAME", "zq", "zq", id="repeated-and-short"),
        pytest.param("HEADER", "x aGVyb24tNzItcGxvdmVy", "heron-72-plover", id="in-base64"),
    ],
)
def test_a_secret_is_not_even_in_the_comparison(key: str, value: str, secret: str) -> None:
    (found,) = of_files({"JWT_SECRET": secret, key: value}, {"JWT_SECRET": secret, key: "other"})

    assert (found.secret, found.left, found.right) == (True, None, None)
    assert secret not in repr(found)


def test_a_secret_of_the_files_is_one_in_a_container() -> None:
    def side(name: str, flag: str) -> EnvironmentFacts:
        item = Item("healthcheck", "test", flag)
        known = {"JWT_SECRET": Variable("heron-72-plover", ENV_FILE)}
        return EnvironmentFacts(name, known, (service("a", item),))

    (found,) = compare(side("ci", "curl -H heron-72-plover api"), side("test", "curl api"))

    assert found.secret


@pytest.mark.parametrize("item", ["PLAIN", "REPEATS"])
def test_a_variable_may_be_declared_secret(item: str) -> None:
    values = {"PLAIN": "heron-72-plover", "REPEATS": "x=heron-72-plover"}
    ci = files("ci", {"PLAIN": "heron-72-plover", item: values[item]})
    test = files("test", {"PLAIN": "heron-72-plover", item: "other"})

    (found,) = compare(ci, test, secrets=["PLAIN"])

    assert (found.secret, found.left, found.right) == (True, None, None)


def test_a_value_that_is_no_secret_is_kept() -> None:
    (found,) = of_files({"LOG_LEVEL": "INFO"}, {"LOG_LEVEL": "DEBUG"})

    assert (found.secret, found.left, found.right) == (False, "INFO", "DEBUG")


@pytest.mark.parametrize("seed", range(100))
def test_no_secret_value_is_in_any_difference(seed: int) -> None:
    chance = random.Random(seed)
    secrets = [f"s3cr{chance.getrandbits(40):x}" for _ in range(4)]
    kinds = {
        "API_KEY": "{}",
        "POSTGRES_PASSWORD": "{}",
        "CACHE_URL": "redis://:{}@cache.example.com:6379/0",
        "BROKER": "amqp://worker:{}@mq.example.com",
        "PLAIN": "value",
    }

    def side(name: str) -> EnvironmentFacts:
        chosen = chance.sample(sorted(kinds), chance.randint(1, len(kinds)))
        values = {key: kinds[key].format(chance.choice(secrets)) for key in chosen}
        items = tuple(Item("environment", k, v) for k, v in values.items())
        return replace(files(name, values), services=(service("a", *items),))

    output = repr(compare(side("ci"), side("test")))

    assert not [secret for secret in secrets if secret in output]


def test_what_matters_most_comes_first() -> None:
    expected = [
        Difference("command", "fsync", "different", ("db",)),
        Difference("volumes", "/data", "different", ("db",)),
        Difference("file", "A", "different"),
        Difference("environment", "A", "different", ("api",)),
        Difference("environment", "A", "missing_left", ("web",)),
        Difference("environment", "B", "different", ("api",)),
        Difference("file", "A_URL", "different", detail="only the host differs"),
        Difference("file", "A", "missing_left", no_effect="the default is the same"),
        Difference("other", "container_name", "different", ("api",), identity=True),
    ]
    shuffled = random.Random(5).sample(expected, len(expected))

    assert sorted(shuffled, key=order) == expected


def test_the_order_of_what_is_read_changes_nothing() -> None:
    values = {f"V{n}": str(n) for n in range(9)}
    backwards = dict(reversed(values.items()))

    assert of_files(values, {"V1": "x"}) == of_files(backwards, {"V1": "x"})


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        (("x", "x", "y"), "A A B"),
        (("y", "x", "y"), "A B A"),
        ((MISSING, "x", None, "", "x"), "- A 0 '' A"),
        ((MISSING, MISSING), "- -"),
        (("0", "-", "''"), "A B C"),
        ((), ""),
    ],
)
def test_equal_values_get_equal_marks(values: Sequence[str | Absent | None], marks: str) -> None:
    assert classes(values) == marks


def test_after_z_comes_aa() -> None:
    marks = classes([str(n) for n in range(26 * 27 + 1)]).split()

    assert marks[25:27] == ["Z", "AA"]
    assert marks[-2:] == ["ZZ", "AAA"]
    assert len(set(marks)) == len(marks)
