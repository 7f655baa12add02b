"""Settings: what convention finds, what a project writes, what the shell overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unstale.config import (
    AllowRule,
    Deadlines,
    Environment,
    ParitySettings,
    RunnerSettings,
    SchemaSettings,
    Settings,
    VerifyRule,
    load,
    require_known,
)
from unstale.errors import ConfigError, MissingFile, UnknownName, UsageError

if TYPE_CHECKING:
    from conftest import FakeFiles

ROOT = Path("/srv/demo")
RULE = "[[tool.unstale.parity.allow]]\nkey = 'A'\nreason = 'b'\n"
Loader = Callable[..., Settings]


@pytest.fixture
def settings(files: Callable[[Mapping[Path, str]], FakeFiles]) -> Loader:
    """Load the settings of a project that consists of a table and other files."""

    def build(toml: str = "", *others: str, **environ: str) -> Settings:
        texts = {ROOT / other: "" for other in others}
        if toml:
            texts[ROOT / "pyproject.toml"] = toml
        return load(ROOT, files(texts), environ)

    return build


def test_a_project_that_says_nothing_gets_every_default(settings: Loader) -> None:
    found = settings()

    assert found.default_env == "test"
    assert found.environments == {}
    assert found.runner == RunnerSettings(command=("pytest",), mode="run", junit=None)
    assert found.schema == SchemaSettings(
        setup="migrate",
        migrate_command=("alembic", "upgrade", "head"),
        alembic_ini="alembic.ini",
    )
    assert (found.suites, found.verify, found.parity) == ({}, (), ParitySettings())


def test_a_pyproject_without_our_table_says_nothing(settings: Loader) -> None:
    assert settings('[project]\nname = "demo"') == settings()


@pytest.mark.parametrize(
    "path",
    [
        f"{folder}{stem}.test.{suffix}"
        for folder in ("docker/", "compose/", "")
        for stem in ("docker-compose", "compose")
        for suffix in ("yml", "yaml")
    ],
)
def test_a_compose_file_is_found_wherever_convention_puts_it(settings: Loader, path: str) -> None:
    assert settings("", path).environment().compose_files == (ROOT / path,)


@pytest.mark.parametrize("folder", ["docker/", "compose/", ""])
@pytest.mark.parametrize(
    "name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"]
)
def test_a_file_that_names_no_environment_serves_the_default_one(
    settings: Loader, folder: str, name: str
) -> None:
    found = settings("", folder + name, UNSTALE_DEFAULT_ENV="local")

    assert found.environment().compose_files == (ROOT / folder / name,)
    assert list(found.environments) == ["local"]


def test_compose_would_lay_the_override_over_it_and_so_do_we(settings: Loader) -> None:
    found = settings("", "docker-compose.yml", "docker-compose.override.yml").environment()

    assert found.compose_files == (
        ROOT / "docker-compose.yml",
        ROOT / "docker-compose.override.yml",
    )


def test_a_file_that_names_the_environment_goes_before_one_that_names_none(
    settings: Loader,
) -> None:
    found = settings("", "compose.yml", "compose.ci.yml", "docker/compose.test.yml")

    assert found.environment().compose_files == (ROOT / "docker/compose.test.yml",)
    assert found.environment("ci").compose_files == (ROOT / "compose.ci.yml",)


def test_an_environment_that_is_not_the_default_has_no_use_for_a_file_without_a_name(
    settings: Loader,
) -> None:
    found = settings("", "compose.yml", "env/.env.ci")

    with pytest.raises(MissingFile, match="'ci' has no compose file") as refused:
        found.environment("ci")
    assert "compose.yml," not in refused.value.cause


@pytest.mark.parametrize("path", ["env/.env.test", "env/test.env", ".env.test", ".envs/.test/db"])
def test_an_env_file_is_found_wherever_convention_puts_it(settings: Loader, path: str) -> None:
    found = settings("", "compose.test.yml", path).environment()

    assert found.env_files == (ROOT / path,)


def test_a_template_of_an_env_file_is_no_environment(settings: Loader) -> None:
    found = settings("", "env/.env.example", "env/.env.ci", "docker/docker-compose.override.yml")

    assert list(found.environments) == ["ci"]


def test_what_is_written_wins_over_convention(settings: Loader) -> None:
    toml = """
    [tool.unstale.environments.test]
    compose-files = ["base.yml", "more.yml"]
    env-file = ["a.env", "b.env"]
    runner = "host"
    database = "none"
    profiles = ["full"]
    """

    found = settings(toml, "base.yml", "more.yml", "compose.test.yml", "env/.env.test")

    assert found.environment("test") == Environment(
        name="test",
        compose_files=(ROOT / "base.yml", ROOT / "more.yml"),
        env_files=(ROOT / "a.env", ROOT / "b.env"),
        runner="host",
        database="none",
        profiles=("full",),
    )


def test_every_section_is_read(settings: Loader) -> None:
    found = settings("""
    [tool.unstale]
    default-env = "ci"
    [tool.unstale.runner]
    command = ["tox", "-q"]
    mode = "exec"
    junit = "/r/junit.xml"
    environment = {URL = "http://{web:80}"}
    [tool.unstale.suites]
    smoke = ["checks/smoke"]
    [tool.unstale.schema]
    setup = "create-all"
    migrate-command = ["make", "migrate"]
    alembic-ini = "db/alembic.ini"
    metadata = "app.models:Base"
    service = "app"
    [[tool.unstale.verify]]
    path = "/app/a.py"
    grep = "fix"
    [[tool.unstale.parity.allow]]
    key = "LOG_LEVEL"
    reason = "short logs"
    """)

    assert found.default_env == "ci"
    told = (("URL", "http://{web:80}"),)
    assert found.runner == RunnerSettings(("tox", "-q"), "exec", "/r/junit.xml", told)
    assert found.suites == {"smoke": ("checks/smoke",)}
    assert found.schema == SchemaSettings(
        "create-all", ("make", "migrate"), "db/alembic.ini", "app.models:Base", "app"
    )
    assert found.verify == (VerifyRule(None, "/app/a.py", "fix"),)
    assert found.parity.allow == (AllowRule("LOG_LEVEL", "short logs"),)


def test_everything_about_parity_is_read(settings: Loader) -> None:
    found = settings("""
    [tool.unstale.parity]
    pairs = ["ci/test"]
    settings = "app.config:Settings"
    code = ["src"]
    shell = ["HOME"]
    [[tool.unstale.parity.allow]]
    key = "command:fsync"
    reason = "a test may lose its data"
    pairs = ["dev/test", "ci/dev"]
    service = ["postgres*", "db"]
    expires = 2030-01-31
    relation = "missing"
    must = {test = "off", ci = "on"}
    """)

    rule = AllowRule(
        key="command:fsync",
        reason="a test may lose its data",
        pairs=(("dev", "test"), ("ci", "dev")),
        services=("postgres*", "db"),
        expires=date(2030, 1, 31),
        relation="missing",
        must=(("ci", "on"), ("test", "off")),
    )
    assert found.parity == ParitySettings(
        allow=(rule,),
        pairs=(("ci", "test"),),
        settings="app.config:Settings",
        code=(ROOT / "src",),
        shell=("HOME",),
        has_policy=True,
    )


def test_one_service_needs_no_list(settings: Loader) -> None:
    rule = "[[tool.unstale.parity.allow]]\nkey = 'A'\nreason = 'b'\nservice = 'api'"

    assert settings(rule).parity.allow[0].services == ("api",)


@pytest.mark.parametrize(
    ("toml", "has_policy"),
    [
        ("[tool.unstale.parity]\nallow = []", True),
        ("[tool.unstale.parity]\npairs = []", True),
        ("[tool.unstale.parity]\ncode = ['src']", False),
        ("[tool.unstale.parity]", False),
        ("", False),
    ],
)
def test_an_empty_policy_is_one(settings: Loader, toml: str, has_policy: bool) -> None:
    assert settings(toml).parity.has_policy is has_policy


def test_every_two_environments_that_have_files_are_a_pair(settings: Loader) -> None:
    found = settings(
        "[tool.unstale.environments.bare]\nrunner = 'host'",
        "compose.test.yml",
        "env/.env.ci",
        "env/.env.test",
        "env/.env.dev",
    )

    assert found.pairs == (("ci", "dev"), ("ci", "test"), ("dev", "test"))


def test_written_pairs_are_all_pairs(settings: Loader) -> None:
    toml = "[tool.unstale.parity]\npairs = ['test/ci']"

    assert settings(toml, "env/.env.ci", "env/.env.dev").pairs == (("test", "ci"),)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        pytest.param(
            "[tool.unstale.parity]\npairs = ['ci/tset']",
            "'pairs' of [tool.unstale.parity]",
            id="all",
        ),
        pytest.param(
            f"{RULE}pairs = ['ci/test', 'tset/ci']",
            "'pairs' of the rule for 'A' (line 1)",
            id="rule",
        ),
        pytest.param(
            f"{RULE}must = {{ci = '1', tset = '1'}}",
            "'must' of the rule for 'A' (line 1)",
            id="must",
        ),
    ],
)
def test_a_policy_for_an_unknown_environment_names_the_nearest(
    settings: Loader, toml: str, named: str
) -> None:
    found = settings(toml, "env/.env.ci", "env/.env.test")

    with pytest.raises(ConfigError) as refused:
        require_known(found)

    assert str(refused.value) == (
        f"There is no environment called 'tset', which {named} in pyproject.toml names.\n"
        "Did you mean 'test'? Known: ci, test.\n"
        "Next: mend pyproject.toml"
    )


def test_a_policy_for_known_environments_is_accepted(settings: Loader) -> None:
    toml = f"{RULE}pairs = ['ci/test']\nmust = {{ci = '1'}}"

    require_known(settings(toml, "env/.env.ci", "env/.env.test"))


def test_a_rule_knows_its_line(settings: Loader) -> None:
    found = settings(
        "# rules\n"
        "[[tool.unstale.parity.allow]]\nkey = 'A'\nreason = 'a'\n"
        "  [[ tool.unstale . parity.allow ]] # two\nkey = 'B'\nreason = 'b'\n"
    )

    assert [rule.line for rule in found.parity.allow] == [2, 5]


def test_a_rule_of_a_list_has_no_line(settings: Loader) -> None:
    found = settings("[tool.unstale.parity]\nallow = [{key = 'A', reason = 'a'}]")

    assert [rule.line for rule in found.parity.allow] == [None]


def test_suites_are_folders_of_tests_unless_written_otherwise(settings: Loader) -> None:
    found = settings(
        '[tool.unstale.suites]\nsmoke = ["checks"]',
        "tests/unit/test_a.py",
        "tests/smoke/test_b.py",
    )

    assert found.suites == {"unit": ("tests/unit",), "smoke": ("checks",)}


def test_a_schema_of_none_has_a_short_form(settings: Loader) -> None:
    short = settings('[tool.unstale]\nschema = "none"').schema

    assert short == settings('[tool.unstale.schema]\nsetup = "none"').schema
    assert short.setup == "none"


@pytest.mark.parametrize(
    ("toml", "near"),
    [
        ("[tool.unstale]\nrunnner = {}", "runner"),
        ("[tool.unstale.runner]\ncomand = ['pytest']", "command"),
        ("[tool.unstale.schema]\nsetupp = 'none'", "setup"),
        ("[tool.unstale.environments.test]\nenv-files = 'x'", "env-file"),
        ("[[tool.unstale.verify]]\npaht = 'x'", "path"),
        ("[tool.unstale.deadlines]\ntest = 1", "tests"),
        ("[[tool.unstale.parity.allow]]\nreasn = 'x'", "reason"),
        ("[[tool.unstale.parity.alow]]\nkey = 'x'", "allow"),
        ("[[tool.unstale.parity.allow]]\nexpired = 'x'", "expires"),
        ("[tool.unstale.parity]\npair = []", "pairs"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(
    settings: Loader, toml: str, near: str
) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean '{near}'"):
        settings(toml)


def test_deadlines_are_seconds_and_a_variable_wins(settings: Loader) -> None:
    toml = "[tool.unstale.deadlines]\ntests = 60\nready = 0.5"

    found = settings(toml, UNSTALE_DEADLINES_READY="2")

    assert found.deadlines == Deadlines(tests=60.0, ready=2.0)


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "true", "'60'"])
def test_a_deadline_is_a_number_above_0(settings: Loader, value: str) -> None:
    with pytest.raises(ConfigError, match="must be a number of seconds"):
        settings(f"[tool.unstale.deadlines]\ntests = {value}")


def test_a_variable_that_is_no_number_is_named(settings: Loader) -> None:
    with pytest.raises(ConfigError, match="UNSTALE_DEADLINES_ENGINE is no number"):
        settings(UNSTALE_DEADLINES_ENGINE="soon")


def test_an_unknown_key_far_from_all_lists_the_known_ones(settings: Loader) -> None:
    with pytest.raises(ConfigError, match="Known: command, mode, junit"):
        settings("[tool.unstale.runner]\nzzz = 1")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[tool.unstale]\ndefault-env = 1", "'default-env' of .* must be a string"),
        ("[tool.unstale]\nrunner = 'x'", r"\[tool.unstale.runner\] must be a table"),
        ("[tool.unstale]\nschema = 1", r"\[tool.unstale.schema\] must be a table"),
        ("[tool]\nunstale = 1", r"\[tool.unstale\] must be a table"),
        ("tool = 1", r"\[tool\] must be a table"),
        ("[tool.unstale.runner]\ncommand = 'pytest'", "'command' of .* must be a list of strings"),
        ("[tool.unstale.runner]\ncommand = [1]", "'command' of .* must be a list of strings"),
        ("[tool.unstale.runner]\nmode = 'walk'", "mode = 'walk'"),
        ("[tool.unstale.runner.environment]\nPORT = 1", "must be names and values in quotes"),
        ("[tool.unstale.schema]\nsetup = 'maybe'", "setup = 'maybe'"),
        ("[tool.unstale]\nschema = 'maybe'", "setup = 'maybe'"),
        ("[tool.unstale.suites]\nunit = 'tests'", "'unit' of .* must be a list of strings"),
        ("[tool.unstale]\nverify = 'x'", "'verify' of .* must be a list of tables"),
        ("[tool.unstale]\nverify = ['x']", "'verify' of .* must be a list of tables"),
        ("[[tool.unstale.verify]]\npath = '/a'", "lacks 'path' or 'grep'"),
        ("[[tool.unstale.parity.allow]]\nkey = 'A'", "lacks 'key' or 'reason'"),
        ("[[tool.unstale.parity.allow]]\nkey = 'A'\nreason = '  '", "lacks 'key' or 'reason'"),
        (f"{RULE}relation = 'same'", "relation = 'same' .*\n.*host only, missing, different"),
        (f"{RULE}expires = '2030-01-31'", "'expires' of .* must be a date, without quotes"),
        (f"{RULE}expires = 2030-01-31T10:00:00Z", "'expires' of .* must be a date"),
        (f"{RULE}pairs = ['ci']", "'ci' in 'pairs' .* is not a pair"),
        (f"{RULE}pairs = ['ci/ci']", "'ci/ci' in 'pairs' .* is not a pair"),
        (f"{RULE}pairs = ['a/b/c']", "'a/b/c' in 'pairs' .* is not a pair"),
        (f"{RULE}must = {{ci = true}}", "'must' of .* values in quotes"),
        (f"{RULE}must = 'x'", r"allow.must\] must be a table"),
        (f"{RULE}service = 1", "'service' of .* must be a string"),
        ("[tool.unstale.parity]\npairs = ['/x']", "'/x' in 'pairs' .* is not a pair"),
        ("[tool.unstale.parity]\nsettings = 'app'", 'must be "module:Class"'),
        ("[tool.unstale.parity]\ncode = 'src'", "'code' of .* must be a list of strings"),
        ("[tool.unstale.environments]\ntest = 'x'", r"environments.test\] must be a table"),
        ("[tool.unstale.environments.test]\nenv-file = 1", "'env-file' of .* must be a string"),
        ("[tool.unstale\n", "can't be parsed"),
    ],
)
def test_a_wrong_value_is_a_configuration_error(settings: Loader, toml: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(toml)


def test_the_shell_overrides_what_is_written(settings: Loader) -> None:
    found = settings(
        """
        [tool.unstale]
        default-env = "test"
        schema = "none"
        [tool.unstale.runner]
        command = ["pytest"]
        mode = "run"
        junit = "/a.xml"
        """,
        UNSTALE_DEFAULT_ENV="ci",
        UNSTALE_RUNNER_MODE="exec",
        UNSTALE_RUNNER_JUNIT="/b.xml",
        UNSTALE_RUNNER_COMMAND="pytest -k 'a b'",
        UNSTALE_SCHEMA_SETUP="migrate",
        UNSTALE_SCHEMA_MIGRATE_COMMAND="make migrate",
    )

    assert found.default_env == "ci"
    assert found.runner == RunnerSettings(("pytest", "-k", "a b"), "exec", "/b.xml")
    assert found.schema.setup == "migrate"
    assert found.schema.migrate_command == ("make", "migrate")


def test_an_override_keeps_the_rest_of_its_section(settings: Loader) -> None:
    found = settings('[tool.unstale.runner]\njunit = "/a.xml"', UNSTALE_RUNNER_MODE="exec").runner

    assert found == RunnerSettings(mode="exec", junit="/a.xml")


def test_an_empty_variable_overrides_nothing(settings: Loader) -> None:
    assert settings(UNSTALE_DEFAULT_ENV="").default_env == "test"


def test_an_override_is_checked_like_a_written_value(settings: Loader) -> None:
    with pytest.raises(ConfigError, match="mode = 'walk'"):
        settings(UNSTALE_RUNNER_MODE="walk")


def test_an_override_with_an_open_quote_is_a_configuration_error(settings: Loader) -> None:
    with pytest.raises(ConfigError, match="UNSTALE_RUNNER_COMMAND"):
        settings(UNSTALE_RUNNER_COMMAND="pytest 'x")


@pytest.mark.parametrize("written", ["gone.yml", "/elsewhere/gone.yml", "../gone.yml"])
def test_a_written_compose_file_that_is_not_there_is_named(settings: Loader, written: str) -> None:
    with pytest.raises(MissingFile, match=r"gone\.yml of 'test' does not exist"):
        settings(f"[tool.unstale.environments.test]\ncompose-files = ['{written}']")


def test_an_environment_without_a_compose_file_says_where_one_was_looked_for(
    settings: Loader,
) -> None:
    with pytest.raises(MissingFile, match=r"docker/docker-compose\.ci\.yml"):
        settings("", "env/.env.ci").environment("ci")


def test_an_unknown_environment_names_the_nearest(settings: Loader) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'test'"):
        settings("", "compose.test.yml").environment("tset")


def test_what_the_user_wrote_ends_with_usage(settings: Loader) -> None:
    with pytest.raises(UsageError):
        settings("[tool.unstale]\nzzz = 1")


@pytest.mark.parametrize(
    ("text", "environ", "strict"),
    [
        ("", {}, False),
        ("", {"CI": "true"}, True),
        ("", {"CI": "1"}, True),
        ("", {"CI": "false"}, False),
        ("", {"CI": ""}, False),
        ("[tool.unstale]\nstrict = true\n", {}, True),
        ("[tool.unstale]\nstrict = false\n", {"CI": "true"}, False),
        ("[tool.unstale]\nstrict = false\n", {"UNSTALE_STRICT": "1"}, True),
        ("", {"CI": "true", "UNSTALE_STRICT": "0"}, False),
    ],
)
def test_settings_are_strict_in_ci_unless_somebody_says_otherwise(
    settings: Loader, text: str, environ: dict[str, str], *, strict: bool
) -> None:
    assert settings(text, **environ).strict is strict


def test_strict_is_a_yes_or_a_no(settings: Loader) -> None:
    with pytest.raises(ConfigError, match="'strict'"):
        settings('[tool.unstale]\nstrict = "yes"\n')
