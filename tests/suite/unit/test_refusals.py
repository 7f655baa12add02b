"""What compose refuses is told by its place. The words are those of compose 2.26.1."""

from __future__ import annotations

import pytest

from unstale.adapters.docker_words import (
    absent_base,
    compose_warnings,
    engine_gone,
    raise_if_no_compose,
    require_env_files_read,
)
from unstale.adapters.refusals import UNKNOWN, refusal, refused_as
from unstale.errors import EngineUnavailable, Fault, exit_code, outcome_of
from unstale.ports import ComposeWarning

SECRET = "SeCrEtVaL"
TOKEN = f"sk_live_{SECRET}7"
SERVICE = "services:\n  app:\n    image: x\n"
OPEN = "`${…}` is not closed, or holds what no variable's name may hold."

ENV_FILES = {
    "an open quote": (
        f'A=1\nPASS="abc {SECRET}\nNEXT=2\n',
        f'line 4: unterminated quoted value "abc {SECRET}',
        "x.env, line 2: PASS: a quote is opened and not closed.",
    ),
    "a name with a space": (
        f"A=1\nMY KEY={SECRET}\n",
        "line 2: key cannot contain a space",
        "x.env, line 2: a name with a space in it.",
    ),
    "a sentence": (
        f"A=1\n{SECRET} junk line\n",
        "line 2: key cannot contain a space",
        "x.env, line 2: a name with a space in it.",
    ),
    "an open variable": (
        f"A=1\nP={SECRET}${{b\n",
        f'Invalid template: "{SECRET}${{b"',
        f"x.env, line 2: P: {OPEN}",
    ),
    "a variable with a space": (
        f"A=1\nexport P=${{a {SECRET}}}\n",
        f'Invalid template: "${{a {SECRET}}}"',
        f"x.env, line 2: P: {OPEN}",
    ),
    "an open variable in quotes": (
        f'A=1\nP="x \\"${{b {SECRET}"\n',
        f'Invalid template: "x \\"${{b {SECRET}"',
        OPEN,
    ),
    "a quoted name": (
        f"A=1\n'K'={SECRET}\n",
        f'line 2: unexpected character "\'" in variable name "\'K\'={SECRET}"',
        "x.env, line 2: a name with a character that none may have.",
    ),
    "a comment of another language": (
        f"A=1\n; {SECRET}\n",
        f'line 2: unexpected character ";" in variable name "; {SECRET}"',
        "x.env, line 2: a name with a character that none may have.",
    ),
    "a required variable": (
        f"A=1\nP={SECRET}${{REQ:?please set it}}\n",
        "required variable REQ is missing a value: please set it",
        "REQ is required, and not set or empty: please set it",
    ),
    "a message with a secret put in": (
        f"A={SECRET}\nP=${{REQ:?not ${{A}}}}\n",
        f"required variable REQ is missing a value: not {SECRET}",
        "REQ is required, and not set or empty.",
    ),
}


@pytest.mark.parametrize("case", ENV_FILES)
def test_a_services_env_file_is_found_by_what_compose_quotes(case: str) -> None:
    text, words, expected = ENV_FILES[case]
    said = refusal(f"{words}\n", {"compose.yml": SERVICE, "x.env": text})

    assert said.endswith(expected)
    assert SECRET not in said


@pytest.mark.parametrize("case", ENV_FILES)
def test_an_env_file_that_compose_names_is_named(case: str) -> None:
    text, words, expected = ENV_FILES[case]
    texts = {"compose.yml": SERVICE, "/p/x.env": text, "/p/y.env": text}
    said = refusal(f"failed to read /p/x.env: {words}\n", texts)

    assert said.startswith("/p/x.env")
    assert said.endswith(expected.removeprefix("x.env, ").removeprefix("line 2: "))
    assert SECRET not in said


def in_environment(value: str) -> str:
    return f"{SERVICE}    environment:\n      P: {value}\n"


COMPOSE_FILES = {
    "a list": (
        f"- {SECRET}\n",
        "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!seq into cli.named",
        "compose.yml, line 1: a seq where something else is expected.",
    ),
    "a word": (
        f"{SECRET}\n",
        f"yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `{SECRET}` into cli.named",
        "compose.yml, line 1: a str where something else is expected.",
    ),
    "a key that is none": (
        f"{SERVICE}    imagine: {SECRET}\n",
        "validating /p/compose.yml: services.app Additional property imagine is not allowed",
        "/p/compose.yml: services.app: compose does not know imagine there.",
    ),
    "a token for a key": (
        f"{SERVICE}    {TOKEN}: x\n",
        f"validating /p/compose.yml: services.app Additional property {TOKEN} is not allowed",
        "/p/compose.yml: services.app: compose does not know a key there.",
    ),
    "a token for a key twice": (
        f"{SERVICE}    {TOKEN}: x\n    {TOKEN}: x\n",
        f'yaml: unmarshal errors:\n  line 5: mapping key "{TOKEN}" already defined at line 4',
        "compose.yml, line 5: a key is there twice, first in line 4.",
    ),
    "an assignment for a key": (
        f"{SERVICE}    PASS={SECRET}: x\n",
        f"validating /p/compose.yml: services.app Additional property PASS={SECRET} is not allowed",
        "/p/compose.yml: services.app: compose does not know a key there.",
    ),
    "no such anchor": (
        f"{SERVICE}    environment:\n      <<: *{SECRET}\n",
        f"yaml: unknown anchor '{SECRET}' referenced",
        "compose.yml, line 5: an alias for which there is no anchor.",
    ),
    "a tab": (
        f"{SERVICE}\tenvironment: {SECRET}\n",
        "yaml: line 3: found a tab character that violates indentation",
        "compose.yml, line 3: found a tab character that violates indentation.",
    ),
    "two colons": (
        f"{SERVICE}    command: a: {SECRET}\n",
        "yaml: line 4: mapping values are not allowed in this context",
        "compose.yml, line 4: mapping values are not allowed in this context.",
    ),
    "a key twice": (
        f"{SERVICE}    environment:\n      P: {SECRET}1\n      P: {SECRET}\n",
        'yaml: unmarshal errors:\n  line 6: mapping key "P" already defined at line 5',
        "compose.yml, line 6: P is there twice, first in line 5.",
    ),
    "an open variable": (
        in_environment(f"{SECRET}${{b"),
        (
            "invalid interpolation format for services.app.environment.P.\n"
            f"You may need to escape any $ with another $.\n{SECRET}${{b"
        ),
        f"compose.yml, line 5: services.app.environment.P: {OPEN}",
    ),
    "a required variable": (
        in_environment(f"{SECRET}${{REQ:?set it}}"),
        (
            "error while interpolating services.app.environment.P: "
            "required variable REQ is missing a value: set it"
        ),
        "services.app.environment.P: REQ is required, and not set or empty: set it",
    ),
    "no boolean": (
        f"{SERVICE}    privileged: {SECRET}\n",
        (
            "error while interpolating services.app.privileged: failed to cast to expected type: "
            f"invalid boolean: {SECRET}"
        ),
        "services.app.privileged: the value is not of the type that is needed.",
    ),
    "a list for a value": (
        in_environment(f"[{SECRET}]"),
        (
            "validating /p/compose.yml: services.app.environment.P must be a string, number, "
            "boolean or null"
        ),
        "/p/compose.yml: services.app.environment.P must be a string, number, boolean or null.",
    ),
    "a word for a mapping": (
        f"services:\n  app: {SECRET}\n",
        "services.app must be a mapping",
        "services.app must be a mapping.",
    ),
    "a list in a list": (
        f"{SERVICE}    environment: [1, {SECRET}]\n",
        "services.app.environment.[0]: unexpected type int",
        "services.app.environment.[0] unexpected type int.",
    ),
    "one of several words": (
        f"{SERVICE}    pull_policy: {SECRET}\n",
        (
            "validating /p/compose.yml: services.app.pull_policy services.app.pull_policy must be "
            'one of the following: "always", "never"'
        ),
        "/p/compose.yml: services.app.pull_policy is not what compose expects there.",
    ),
    "no duration": (
        f"{SERVICE}    healthcheck: {{interval: {SECRET}}}\n",
        (
            "decoding failed due to the following error(s):\n\nerror decoding "
            f"'services[app].healthcheck.interval': time: invalid duration \"{SECRET}\""
        ),
        "services[app].healthcheck.interval is not what compose expects there.",
    ),
    "no port": (
        f"{SERVICE}    ports: ['{SECRET}:x']\n",
        f"Invalid ip address: {SECRET}",
        "compose.yml, line 4: a port is written as none is.",
    ),
    "no volume": (
        f"{SERVICE}    volumes: [':{SECRET}:/x']\n",
        f"invalid spec: :{SECRET}:/x: empty section between colons",
        "A volume is written as none is.",
    ),
    "no such volume": (
        f"{SERVICE}    volumes: ['data:/x']\n",
        'service "app" refers to undefined volume data: invalid compose project',
        "The service app names a volume data that is not defined.",
    ),
    "no such volume, from a variable": (
        f"{SERVICE}    volumes: ['${{TOKEN}}:/x']\n",
        f'service "app" refers to undefined volume {SECRET}: invalid compose project',
        "The service app names a volume that is not defined.",
    ),
    "no such service": (
        f"{SERVICE}    depends_on: [db]\n",
        'service "app" depends on undefined service "db": invalid compose project',
        "The service app names a service db that is not defined.",
    ),
    "no image": (
        f"services:\n  app:\n    environment: {{P: {SECRET}}}\n",
        'service "app" has neither an image nor a build context specified: invalid compose project',
        "The service app has neither an image nor a build.",
    ),
    "no env file": (
        f"{SERVICE}    env_file: none.env\n",
        "env file /p/none.env not found: stat /p/none.env: no such file or directory",
        "There is no env file /p/none.env.",
    ),
    "no file to extend": (
        "services: {app: {extends: {file: no.yml, service: x}}}",
        "open /p/no.yml: no such file or directory",
        "There is no file /p/no.yml.",
    ),
    "an empty file": ("# none\n", "empty compose file", "compose.yml is empty."),
    "a port that is put in": (
        f"{SERVICE}    ports: ['$P:1']\n",
        f"Invalid hostPort: {SECRET}",
        "A port is written as none is.",
    ),
    "a key at the top": (
        "services: {}\nvolums: 1\n",
        "validating compose.yml: (root) Additional property volums is not allowed",
        "compose.yml: at the top: compose does not know volums there.",
    ),
    "a circle": (
        SERVICE,
        "dependency cycle detected: a -> b -> a",
        "dependency cycle detected: a -> b -> a.",
    ),
    "words nobody knows": (SERVICE, f"what is {SECRET}?", UNKNOWN),
}


@pytest.mark.parametrize("case", COMPOSE_FILES)
def test_a_compose_file_is_told_by_line_and_key(case: str) -> None:
    text, words, expected = COMPOSE_FILES[case]

    file = "/p/compose.yml" if "/p/" in words else "compose.yml"
    said = refusal(f"{words}\n", {file: text})

    assert said == expected
    assert SECRET not in said


@pytest.mark.parametrize(
    ("written", "path", "shown"),
    [
        ("none.env", "/p/none.env", "/p/none.env"),
        ("../none.env", "/none.env", "/none.env"),
        ("/etc/none.env", "/etc/none.env", "/etc/none.env"),
        ("${M}.env", f"/p/{SECRET}.env", "${M}.env"),
        ("./env/${M}/a.env", f"/p/env/{SECRET}/a.env", "./env/${M}/a.env"),
        ("${M}/none.env", f"/p/{SECRET}/none.env", "${M}/none.env"),
        ("$M.env", f"/p/{SECRET}.env", "$M.env"),
        (f"${{M:-{SECRET}}}.env", f"/p/{SECRET}.env", "${M}.env"),
    ],
)
def test_a_path_is_told_as_it_is_written(written: str, path: str, shown: str) -> None:
    texts = {"/p/compose.yml": f"{SERVICE}    env_file: ['{written}']\n"}
    words = (
        f"env file {path} not found: stat {path}: no such file or directory",
        f"open {path}: no such file or directory",
        f"failed to read {path}: line 2: key cannot contain a space",
    )

    said = [refusal(one, texts) for one in words]

    assert said == [
        f"There is no env file {shown}.",
        f"There is no file {shown}.",
        f"{shown}, line 2: a name with a space in it.",
    ]


@pytest.mark.parametrize("written", ["${M}", "other.env"])
def test_a_path_that_nobody_wrote_is_not_told(written: str) -> None:
    texts = {"/p/compose.yml": f"{SERVICE}    env_file: ['{written}']\n"}

    said = refusal(f"env file /p/{SECRET} not found: stat", texts)

    assert said == "An env file that is named is not there."


def test_a_file_that_is_extended_is_told_as_it_is_written() -> None:
    texts = {"/p/c.yml": "services: {app: {extends: {file: '${M}.yml', service: x}}}"}
    words = f'cannot extend service "app" in /p/{SECRET}.yml: service "x" not found'

    assert refusal(words, texts) == "${M}.yml: the service that app extends is not there."


def test_an_env_file_with_a_line_without_a_name_is_found() -> None:
    texts = {"compose.yml": SERVICE, "x.env": f"A=1\n={SECRET}\n"}

    assert refusal("setenv: invalid argument\n", texts) == (
        "x.env, line 2: a line that begins with `=`."
    )


def test_a_line_that_may_be_any_files_is_of_none() -> None:
    texts = {"a.env": "A=1\nB C=1\n", "b.env": "A=1\nB C=1\n"}

    assert refusal("line 2: key cannot contain a space", texts) == (
        "An env file, line 2: a name with a space in it."
    )


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("yaml: line 3: did not find expected node content", Fault.CONTENT),
        ("dependency cycle detected: a -> b -> a", Fault.CONTENT),
        ("words that nobody knows", Fault.CONTENT),
        ("failed to read /p/x.env: line 2: key cannot contain a space", Fault.CONTENT),
        ("required variable REQ is missing a value", Fault.CONFIGURATION),
        (
            "error while interpolating services.a.image: required variable R is missing a value",
            Fault.CONFIGURATION,
        ),
        ("env file /p/x.env not found: stat /p/x.env", Fault.MISSING_FILE),
        ("open /p/no.yml: no such file or directory", Fault.MISSING_FILE),
    ],
)
def test_a_refusal_is_a_fault_of_its_kind(words: str, fault: Fault) -> None:
    assert refused_as(words) is fault


def test_warnings_before_a_refusal_are_no_part_of_it() -> None:
    warning = rf'time="x" level=warning msg="The \"{SECRET}\" variable is not set."'

    assert refusal(f"{warning}\nempty compose file", {}) == "A compose file is empty."


WARNINGS = rf"""
time="T" level=warning msg="The \"{SECRET}\" variable is not set."
time="T" level=warning msg="The \"{SECRET}\" variable is not set."
time="T" level=warning msg="/p/compose.yml: the attribute `version` is obsolete, it will be ignored"
time="T" level=warning msg="something about {SECRET}"
"""


def test_warnings_are_facts_each_once_and_show_no_secret() -> None:
    found = compose_warnings(WARNINGS)

    assert found == (
        ComposeWarning("unset", SECRET),
        ComposeWarning("obsolete"),
        ComposeWarning("other"),
    )
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "words",
    [
        "docker: 'compose' is not a docker command.\nSee 'docker --help'",
        "unknown flag: --file\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]",
        "unknown flag: --no-interpolate",
        "unknown shorthand flag: 'f' in -f",
    ],
)
def test_without_compose_the_engine_is_unavailable_and_files_can_still_be_compared(
    words: str,
) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        raise_if_no_compose(words)

    assert exit_code(outcome_of(caught.value)) == 5
    assert "--files-only" in caught.value.hint


def test_a_compose_that_leaves_env_files_out_can_compare_no_containers() -> None:
    require_env_files_read({"services": {"a": {"environment": {"A": "1"}}, "b": None}})
    with pytest.raises(EngineUnavailable) as caught:
        require_env_files_read({"services": {"a": {"env_file": [{"path": "/p/x.env"}]}}})

    assert "2.24.7" in caught.value.cause
    assert "--files-only" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("Cannot connect to the Docker daemon at tcp://127.0.0.1:1.", Fault.ENGINE),
        ("error during connect: dial tcp: lookup heron: no such host", Fault.CONFIGURATION),
        ("unable to parse docker host `a:b:c`", Fault.CONFIGURATION),
        ("permission denied while trying to connect", Fault.PERMISSION),
    ],
)
def test_an_engine_that_is_not_reached_is_a_fault_of_its_kind(words: str, fault: Fault) -> None:
    error = engine_gone(words)

    assert error.fault is fault
    assert exit_code(outcome_of(error)) == 5
    assert error.hint


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("heron", "docker.io"),
        ("birds/heron:1", "docker.io"),
        ("example.com/heron:1", "example.com"),
        ("localhost:5000/heron", "localhost:5000"),
        (f"example.com/heron@sha256:{'0' * 64}", "example.com"),
    ],
)
def test_a_base_image_is_named_with_its_registry(name: str, host: str) -> None:
    words = f"failed to solve: {name}: failed to resolve source metadata for {name}: not found"

    assert absent_base(words) == (name, host)
    assert absent_base("failed to solve: process did not complete") is None
