"""Whether a difference matters, and which variables nobody uses or nobody sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from unstale.parity.compare import compare
from unstale.parity.defaults import ABSENT, Absent, Known, NoDefault, NotKnown, Read, Required
from unstale.parity.effects import Finding, Side, inert, no_effect, with_effects
from unstale.parity.model import Difference, EnvironmentFacts, Item, ServiceFacts, Source, Variable
from unstale.parity.near import nearest
from unstale.parity.reads import Reads, code_reads

CODE = "import os\nos.getenv('LEVEL', 'INFO')\n"


def read(name: str = "X", **changes: object) -> Read:
    base = Read(name, "app/config.py", 12, "settings", Known("5"), is_case_sensitive=False)
    return replace(base, **changes)  # type: ignore[arg-type]


def service(
    name: str = "api", *, built: bool = True, source: Source | None = None, **variables: str | None
) -> ServiceFacts:
    # What is built here is known to run the code.
    build = (
        Item("command", "word 1", "uvicorn"),
        Item("image", "build.context", "."),
        Item("image", "build.target", "app"),
    )
    found = (Item("environment", key, value, source=source) for key, value in variables.items())
    return ServiceFacts(name, (*(build if built else ()), *found))


def environment(
    name: str,
    files: Mapping[str, str | None] | None = None,
    services: Sequence[ServiceFacts] | None = None,
) -> EnvironmentFacts:
    """An environment whose env file has its keys on lines 1, 2, 3 …"""
    path = f"env/.env.{name}"
    variables = files and {
        key: Variable(value, Source("env-file", path, line))
        for line, (key, value) in enumerate(files.items(), start=1)
    }
    return EnvironmentFacts(name, variables, None if services is None else tuple(services))


def reads_of(text: str = CODE) -> Reads:
    return code_reads([("app/config.py", text)])


def effects(
    left: EnvironmentFacts, right: EnvironmentFacts, text: str = CODE, **options: Any
) -> list[tuple[str, str]]:
    """Field and reason of each difference, in the order of `compare`."""
    found = with_effects(compare(left, right), left, right, reads_of(text), **options)
    return [(one.field, one.no_effect) for one in found]


@pytest.mark.parametrize(
    ("left", "right", "rule", "expected"),
    [
        (ABSENT, "5", "int", "app/config.py:12 has the same default"),
        ("5", ABSENT, "int", "app/config.py:12 has the same default"),
        (ABSENT, "05", "int", "app/config.py:12 has the same default"),
        (ABSENT, "05", "text", ""),
        (ABSENT, "6", "int", ""),
        (ABSENT, "", "int", ""),
        (ABSENT, "", "text", ""),
        ("05", "5", "int", "app/config.py:12 reads both as the same"),
        ("5", "6", "int", ""),
    ],
)
def test_a_variable_matters_unless_the_default_is_the_other_value(
    left: str | Absent, right: str | Absent, rule: str, expected: str
) -> None:
    assert no_effect("X", Side(left), Side(right), [read(rule=rule)]) == expected


@pytest.mark.parametrize("default", [Required(), NotKnown(), NoDefault()])
def test_without_a_known_default_a_missing_variable_matters(default: object) -> None:
    assert no_effect("X", Side(ABSENT), Side("5"), [read(default=default)]) == ""


def test_what_nobody_reads_may_matter() -> None:
    assert no_effect("X", Side(ABSENT), Side("5"), []) == ""


def test_all_that_read_it_have_to_agree() -> None:
    other = read(file="app/other.py", line=3)

    agreed = no_effect("X", Side(ABSENT), Side("5"), [other, read()])
    refused = no_effect("X", Side(ABSENT), Side("5"), [read(), replace(other, default=Known("6"))])

    assert agreed == "app/config.py:12 has the same default, and so does 1 more"
    assert refused == ""


def test_empty_and_missing_are_the_same_where_the_code_says_so() -> None:
    reads = [read(default=NoDefault(), ignores_empty=True)]

    reason = no_effect("X", Side(ABSENT), Side(""), reads)

    assert reason == "app/config.py:12 takes empty and missing for the same"


def test_another_name_of_the_setting_makes_its_default_void() -> None:
    reads = [read(alternatives=("Y",))]

    assert no_effect("X", Side(ABSENT, {"Z"}), Side("5"), reads) != ""
    assert no_effect("X", Side(ABSENT, {"y"}), Side("5"), reads) == ""


def test_the_image_stands_in_for_what_is_not_set() -> None:
    side = Side(ABSENT, image={"X": "7"})

    assert no_effect("X", side, Side("7"), []) == "the image sets the same value"
    assert no_effect("X", side, Side("5"), [read()]) == ""


@pytest.mark.parametrize("name", ["PATH", "PYTHONHASHSEED", "TZ", "PGHOST", "HTTP_PROXY", "CI"])
def test_what_libraries_read_themselves_is_not_judged_by_the_code(name: str) -> None:
    assert no_effect(name, Side(ABSENT), Side("5"), [read(name)]) == ""


def test_no_repr_and_no_reason_has_a_value() -> None:
    side = Side("hunter2", image={"X": "hunter2"})

    reason = no_effect("X", side, Side(ABSENT), [read(default=Known("hunter2"))])

    assert "hunter2" not in repr(side) + reason


def test_a_missing_variable_with_the_same_default_has_no_effect_in_files_and_containers() -> None:
    left = environment("ci", {"A": "1"}, [service(A="1")])
    right = environment("test", {"A": "1", "LEVEL": "INFO"}, [service(A="1", LEVEL="INFO")])

    assert effects(left, right) == [
        ("file", "app/config.py:2 has the same default"),
        ("environment", "app/config.py:2 has the same default"),
    ]


def test_the_default_of_the_code_says_nothing_of_another_image() -> None:
    left = environment("ci", {"A": "1"}, [service("db", built=False)])
    right = environment("test", {"LEVEL": "INFO"}, [service("db", built=False, LEVEL="INFO")])

    assert {reason for _, reason in effects(left, right)} == {""}


def test_one_service_that_is_not_ours_is_enough() -> None:
    left = environment("ci", None, [service(), service("db", built=False)])
    right = environment(
        "test", None, [service(LEVEL="INFO"), service("db", built=False, LEVEL="INFO")]
    )

    assert effects(left, right) == [("environment", "")]


def test_files_alone_are_judged_by_the_code() -> None:
    left, right = environment("ci", {}), environment("test", {"LEVEL": "INFO"})

    assert effects(left, right) == [("file", "app/config.py:2 has the same default")]


def test_a_file_does_not_matter_where_every_container_gets_the_same() -> None:
    left = environment("ci", {"LEVEL": "DEBUG"}, [service(LEVEL="INFO")])
    right = environment("test", {"LEVEL": "WARN"}, [service(LEVEL="INFO")])

    assert effects(left, right) == [("file", "every container gets the same value")]
    assert effects(left, right, on_host=True) == [("file", "")]


def pair(*items: Item, **variables: str) -> tuple[EnvironmentFacts, EnvironmentFacts]:
    """Two environments, of which the right one has *variables*; both have *items*."""
    one, other = service(A="1"), service(A="1", **variables)
    return (
        environment("ci", {"A": "1"}, [replace(one, items=(*one.items, *items))]),
        environment(
            "test", {"A": "1", **variables}, [replace(other, items=(*other.items, *items))]
        ),
    )


@pytest.mark.parametrize(
    "item",
    [
        Item("command", "script", 'gunicorn --workers "${LEVEL:-1}"'),
        Item("command", "entrypoint word 2", "$LEVEL"),
        Item("command", "word 2", "printenv LEVEL"),
        Item("healthcheck", "test", '["CMD-SHELL", "test ${LEVEL:-b} = a"]'),
        Item("other", "labels.com.example.tier", "$LEVEL"),
        Item("other", "configs.c.content (private)", "level = ${LEVEL}"),
        Item("environment", "DSN", "db://$LEVEL"),
        Item("command", "--level", "1", source=Source("compose", variables=("Q", "LEVEL"))),
        Item("environment", "DSN", "1", source=Source("interpolation", variable="LEVEL")),
    ],
    ids=lambda item: item.item,
)
def test_a_variable_that_something_else_in_the_model_uses_may_matter(item: Item) -> None:
    assert effects(*pair(item, LEVEL="INFO")) == [("file", ""), ("environment", "")]


def test_a_variable_that_the_compose_files_use_as_a_whole_may_matter() -> None:
    left, right = pair(LEVEL="INFO")

    found = effects(left, replace(right, interpolated=frozenset({"LEVEL"})))

    assert found == [("file", ""), ("environment", "")]


def test_a_variable_that_a_script_of_the_project_mentions_may_matter() -> None:
    found = effects(*pair(LEVEL="INFO"), mentions={"LEVEL"})

    assert found == [("file", ""), ("environment", "")]


def test_a_compose_file_that_hands_a_variable_on_as_it_is_uses_it_not() -> None:
    source = Source("interpolation", variable="LEVEL", variables=("LEVEL",))
    left = environment("ci", None, [service()])
    right = environment("test", None, [service(source=source, LEVEL="INFO")])

    assert effects(left, right) == [("environment", "app/config.py:2 has the same default")]


def test_code_that_has_the_whole_environment_makes_every_variable_matter() -> None:
    found = effects(*pair(LEVEL="INFO"), text=CODE + "f(os.environ)\n")

    assert found == [("file", ""), ("environment", "")]


def test_on_the_host_the_env_file_and_the_containers_have_to_agree() -> None:
    left = environment("ci", {"A": "1"}, [service("db", built=False)])
    right = environment(
        "test", {"A": "1", "LEVEL": "INFO"}, [service("db", built=False, LEVEL="INFO")]
    )

    assert effects(left, right, on_host=True) == [("file", ""), ("environment", "")]
    assert effects(*pair(LEVEL="INFO"), on_host=True)[0][1] != ""


def test_the_code_of_another_folder_says_nothing_of_a_service() -> None:
    def built(**variables: str) -> ServiceFacts:
        one = service(**variables)
        context = Item("image", "build.context", "other")
        return replace(
            one, items=tuple(context if i.item == "build.context" else i for i in one.items)
        )

    left, right = (
        environment("ci", None, [built()]),
        environment("test", None, [built(LEVEL="INFO")]),
    )

    assert effects(left, right) == [("environment", "")]
    assert effects(left, right, code_services={"api": ["app/config.py"]})[0][1] != ""


def test_what_is_known_of_a_service_is_asked_for_rather_than_guessed() -> None:
    left, right = pair(LEVEL="INFO")

    assert effects(left, right, code_services={"api": ()})[1] == ("environment", "")
    assert effects(left, right, code_services={"api": ["app"]})[1][1] != ""


def test_what_the_compose_file_takes_for_something_else_matters() -> None:
    taken = Item("image", "name", "app:INFO", source=Source("interpolation", variable="LEVEL"))
    left = environment("ci", {"A": "1"}, [service()])
    holder = service(LEVEL="INFO")
    right = environment(
        "test", {"A": "1", "LEVEL": "INFO"}, [replace(holder, items=(*holder.items, taken))]
    )

    assert ("file", "") in effects(left, right)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_variable_without_a_value_may_be_anything(side: str) -> None:
    bare, other = (
        environment("ci", None, [service(LEVEL=None)]),
        environment("test", None, [service()]),
    )
    pair = (bare, other) if side == "left" else (other, bare)

    assert effects(*pair) == [("environment", "")]


def test_what_an_env_file_of_the_code_sets_is_not_judged() -> None:
    left, right = environment("ci", {}), environment("test", {"LEVEL": "INFO"})
    differences = compare(left, right)

    assert with_effects(differences, left, right, reads_of(), elsewhere={"LEVEL"}) == differences


def test_what_is_no_variable_stays_as_it_is() -> None:
    difference = Difference("command", "LEVEL", "missing_left", ("api",))
    left, right = environment("ci", {}), environment("test", {})

    assert with_effects([difference], left, right, reads_of()) == (difference,)


def kinds(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in findings]


def test_a_needed_variable_that_nothing_sets_is_found_where_it_is_read() -> None:
    reads = reads_of("import os\n\nos.environ['NEEDED']\nos.getenv('OPTIONAL')\n")

    findings = inert([environment("ci", {"A": "1"})], reads)

    assert kinds(findings) == [("undefined", "NEEDED"), ("optional", "OPTIONAL")]
    assert (findings[0].file, findings[0].line) == ("app/config.py", 3)


def test_a_documented_optional_variable_is_no_finding_and_a_needed_one_is() -> None:
    reads = reads_of("import os\nos.environ['NEEDED']\nos.getenv('OPTIONAL')\n")

    findings = inert([environment("ci", {})], reads, documented={"NEEDED", "OPTIONAL"})

    assert kinds(findings) == [("undefined", "NEEDED")]


@pytest.mark.parametrize(
    ("files", "services"),
    [({"NEEDED": "1"}, None), ({}, [service(NEEDED="1")]), ({"NEEDED": None}, None)],
)
def test_a_variable_that_something_sets_is_not_undefined(
    files: Mapping[str, str | None], services: Sequence[ServiceFacts] | None
) -> None:
    reads = reads_of("import os\nos.environ['NEEDED']\n")

    assert "undefined" not in dict(kinds(inert([environment("ci", files, services)], reads)))


def test_one_environment_that_sets_it_is_enough() -> None:
    environments = [environment("ci", {}), environment("test", {"LEVEL": "INFO"})]

    assert inert(environments, reads_of()) == ()


def test_any_of_a_setting_s_names_will_do() -> None:
    reads = Reads((read("A", alternatives=("B",)), read("B", alternatives=("A",))))

    assert inert([environment("ci", {"b": "1"})], reads) == ()


def test_a_variable_that_reaches_no_container_is_found_in_the_file() -> None:
    facts = environment("ci", {"LEVEL": "INFO", "OTHER": "1"}, [service(A="1")])

    findings = inert([facts], reads_of())

    assert kinds(findings) == [("unreached", "LEVEL"), ("unused", "OTHER")]
    assert (findings[0].file, findings[0].line, findings[0].services) == (
        "env/.env.ci",
        1,
        ("api",),
    )


def test_what_a_compose_file_takes_is_used() -> None:
    taken = service(source=Source("interpolation", variable="OTHER"), TAG="1")

    assert inert([environment("ci", {"OTHER": "1"}, [taken])], Reads()) == ()
    facts = environment("ci", {"OTHER": "1"}, [service()])
    assert inert([replace(facts, interpolated=frozenset({"OTHER"}))], Reads()) == ()


def test_on_the_host_the_code_is_reached_by_the_env_files() -> None:
    facts = environment("ci", {"LEVEL": "INFO", "OTHER": "1"}, [service(A="1")])
    reads = reads_of()

    assert kinds(inert([facts], reads, on_host=True)) == [("unused", "OTHER")]
    assert inert([facts], replace(reads, is_open=True), on_host=True) == ()


def test_what_a_script_mentions_is_not_unused_and_no_near_miss() -> None:
    reads = reads_of("import os\nos.getenv('CALLBACK_PORT', '80')\n")
    files = {"CALLBACK_SERVER_PORT": "1", "OTHER": "1"}

    findings = inert(
        [environment("ci", files, [service()])],
        reads,
        mentions={"OTHER", "CALLBACK_SERVER_PORT"},
        documented={"CALLBACK_PORT"},
    )

    assert findings == ()


def test_an_empty_variable_of_what_may_be_another_program_is_no_finding() -> None:
    db = ServiceFacts(
        "db", (Item("environment", "LEVEL", ""), Item("image", "build.context", "db"))
    )

    assert inert([environment("ci", None, [db])], reads_of()) == ()


def test_without_containers_nothing_is_said_of_them() -> None:
    assert inert([environment("ci", {"OTHER": "1"})], reads_of("")) == ()


def test_with_nothing_known_nothing_is_found() -> None:
    assert inert([environment("ci")], reads_of("import os\nos.environ['NEEDED']\n")) == ()


def test_a_near_miss_is_told_with_both_places() -> None:
    reads = reads_of("import os\nos.getenv('CALLBACK_SERVER_PORT', '80')\n")

    findings = inert([environment("ci", {"CALLBACK_PORT": "8182"})], reads)

    assert findings == (
        Finding(
            "near-miss",
            "CALLBACK_SERVER_PORT",
            "app/config.py",
            2,
            suggestion="nothing sets it; env/.env.ci:1 sets CALLBACK_PORT, which no code reads",
        ),
    )


def test_a_name_that_is_read_or_is_another_image_s_is_no_near_miss() -> None:
    reads = reads_of("import os\nos.environ['DB_PORT']; os.environ['APP_DB_PORT']\n")
    db = service("db", built=False, SMTP_DB_PORT="1")

    findings = inert([environment("ci", {"DB_PORT": "1"}, [db, service(DB_PORT="1")])], reads)

    assert kinds(findings) == [("undefined", "APP_DB_PORT")]


def test_an_empty_variable_in_the_way_of_a_default_is_found() -> None:
    place = Source("env-file", "env/.env.ci", 4)
    services = [service(source=place, LEVEL=""), service("job", source=place, LEVEL="")]

    (finding,) = inert([environment("ci", None, services)], reads_of())

    assert finding.suggestion == (
        "it is set and empty, so app/config.py:2 does not use its default;"
        " leave the line out, or fill it in"
    )
    assert (finding.kind, finding.line, finding.services) == ("empty", 4, ("api", "job"))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("CALLBACK_PORT", "CALLBACK_SERVER_PORT"),
        ("CALLBACK_URL", "FASTAPI_CALLBACK_URL"),
        ("DATABASE_URL", "DATABASEURL"),
        ("DATABASE_URL", "DATABSE_URL"),
        ("DATABASE_URL", "DATABAES_URL"),
        ("SECRET_KEY", "KEY_SECRET"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("log_level", "LOG_LEVEL"),
    ],
)
def test_names_that_are_near(name: str, other: str) -> None:
    assert nearest(name, {other, "UNRELATED"}) == other
    assert nearest(other, [name]) == name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("DB_HOST", "DB_PORT"),
        ("API_V1_PREFIX", "API_V2_PREFIX"),
        ("MAX_SIZE", "MIN_SIZE"),
        ("HTTP_URL", "HTTPS_URL"),
        ("PORT", "DB_PORT"),
        ("DB_USER", "DB_USER_PASSWORD"),
        ("SERVER_1", "SERVER_2"),
        ("POST_URL", "HOST_URL"),
        ("A_B_C_D_PORT", "A_PORT"),
        ("REDIS_URL", "DATABASE_URL"),
    ],
)
def test_names_that_are_not_near(name: str, other: str) -> None:
    assert nearest(name, {other}) is None


def test_the_nearest_of_several_is_chosen() -> None:
    assert nearest("CALLBACK_PORT", {"A_CALLBACK_PORT", "CALLBACK_B_C_PORT"}) == "A_CALLBACK_PORT"
