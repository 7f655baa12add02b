"""What tests without Docker are told of their database, and when a run is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import FakeProcess

from unstale.adapters.files import DiskFiles
from unstale.adapters.local_postgres import Address, Answer, Cluster, Programs, Server
from unstale.config import load
from unstale.errors import ConfigError, NotReady, Outcome
from unstale.mask import Mask
from unstale.pipeline import local
from unstale.pipeline import local_environment as here
from unstale.pipeline.run import RunReport
from unstale.pipeline.site import Ports, StepResult
from unstale.ports import Command, CommandResult, Line

URL = "postgresql+psycopg://app:invented-7@postgres:5432/shop"
HERE = Address("127.0.0.1", 54321, "app", "random-1", "shop")
ANSWER = Answer("15.4", "shop", "app", "public", "C", "7")


# --- what the environment says --------------------------------------------------------


def test_variables_are_filled_in_as_compose_does() -> None:
    values = {"USER": "app", "URL": "//${USER}:${NONE:-x}@${ALSO_NONE}", "BARE": None}

    assert here.expanded(values) == {"USER": "app", "URL": "//app:x@"}


@pytest.mark.parametrize(
    ("values", "texts", "wanted"),
    [
        ({"DATABASE_URL": URL}, [], ("postgresql+psycopg", "app", ("shop",))),
        (
            {"DATABASE_URL": URL, "TEST_DATABASE_URL": "postgresql://x:y@db/other"},
            [],
            ("postgresql+psycopg", "app", ("shop", "other")),
        ),
        (
            {"POSTGRES_USER": "ann", "POSTGRES_DB": "shop"},
            ["DATABASE_URL: postgresql+asyncpg://${POSTGRES_USER}@db/x"],
            ("postgresql+asyncpg", "ann", ("shop",)),
        ),
        ({"POSTGRES_USER": "ann"}, [], ("postgresql", "ann", ("ann",))),
        ({}, [], ("postgresql", "postgres", ("postgres",))),
    ],
)
def test_role_database_and_driver_are_the_environments(
    values: Mapping[str, str], texts: Sequence[str], wanted: tuple[str, str, tuple[str, ...]]
) -> None:
    assert here.want(values, texts) == here.Want(*wanted)


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("postgres:17", 17),
        ('"postgres:16.4-alpine" # pinned', 16),
        ("registry.example.com:5000/library/postgres:15@sha256:00", 15),
        ("postgis/postgis:16-3.4", 16),
        ("pgvector/pgvector:pg18", 18),
        ("${IMAGE:-postgres:17}", 14),
        ("${OTHER:-postgres:17}", 17),
        ("postgres", None),
        ("redis:7", None),
    ],
)
def test_the_stacks_version_is_read_from_its_image(image: str, major: int | None) -> None:
    text = f"services:\n  db:\n    image: {image}\n"

    assert here.stack_major([text], {"IMAGE": "mine/postgres:14"}) == major


def test_every_way_to_the_database_leads_here() -> None:
    values = {
        "LOG_LEVEL": "INFO",
        "DATABASE_URL": f"{URL}?sslmode=require&application_name=shop",
        "AUDIT_URL": "postgresql://x:y@db/audit",
        "POSTGRES_PASSWORD": "invented-7",
        "DB_HOST": "postgres",
        "DB_ENGINE": "django",
        "CACHE_URL": "redis://cache:6379/0",
    }

    env = here.environment(values, HERE, here.want(values))

    assert env == {
        "LOG_LEVEL": "INFO",
        "DATABASE_URL": "postgresql+psycopg://app:random-1@127.0.0.1:54321/shop"
        "?application_name=shop",
        "AUDIT_URL": "postgresql://app:random-1@127.0.0.1:54321/audit",
        "DB_HOST": "127.0.0.1",
        "DB_ENGINE": "django",
        "CACHE_URL": "redis://cache:6379/0",
        "PGHOST": "127.0.0.1",
        "PGPORT": "54321",
        "PGUSER": "app",
        "PGPASSWORD": "random-1",
        "PGDATABASE": "shop",
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": "54321",
        "POSTGRES_USER": "app",
        "POSTGRES_PASSWORD": "random-1",
        "POSTGRES_DB": "shop",
    }


def test_an_exported_url_is_passed_on_as_it_is() -> None:
    mine = "postgresql+asyncpg://me:p%40ss@db.example.com/mine?ssl=require"

    env = here.environment({"DATABASE_URL": URL}, here.address_of(mine), here.want({}), mine)

    assert env["DATABASE_URL"] == mine
    assert (env["PGHOST"], env["PGPORT"], env["PGPASSWORD"]) == ("db.example.com", "5432", "p@ss")


@pytest.mark.parametrize(
    "url", ["sqlite:///shop.db", "postgresql://app:invented-7@db:port/shop"], ids=["other", "port"]
)
def test_a_url_that_is_none_of_postgresql_is_refused_unquoted(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        here.address_of(url)

    assert "invented-7" not in str(error.value)


def test_the_projects_own_python_is_used(tmp_path: Path) -> None:
    for folder in ("active", "project/.venv"):
        (tmp_path / folder / "bin").mkdir(parents=True)
        (tmp_path / folder / "bin/python").touch()
    root = tmp_path / "project"

    active = here.python_of(root, {"VIRTUAL_ENV": str(tmp_path / "active")})

    assert active == str(tmp_path / "active/bin/python")
    assert here.python_of(root, {}) == str(root / ".venv/bin/python")


@pytest.mark.parametrize(
    ("places", "folder"),
    [
        (["alembic.ini", "docker/service/alembic.ini"], "."),
        (["docker/service/alembic.ini", ".venv/x/alembic.ini"], "docker/service"),
        (["backend/alembic.ini"], "backend"),
    ],
)
def test_migrations_run_where_alembic_ini_is(
    tmp_path: Path, places: Sequence[str], folder: str
) -> None:
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()

    assert here.directory(load(tmp_path, DiskFiles(), {}), DiskFiles()) == tmp_path / folder


def test_two_places_of_alembic_ini_are_not_chosen_between(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "alembic.ini").touch()

    with pytest.raises(ConfigError, match="not clear") as error:
        here.directory(load(tmp_path, DiskFiles(), {}), DiskFiles())

    assert "one/alembic.ini, two/alembic.ini" in error.value.cause
    (tmp_path / "pyproject.toml").write_text('[tool.unstale.local]\ndirectory = "two"\n')
    assert here.directory(load(tmp_path, DiskFiles(), {}), DiskFiles()) == tmp_path / "two"


# --- choosing, in a run ------------------------------------------------------------------


class FakeServers:
    """Programs and servers in memory."""

    def __init__(self, programs: Programs | None, mark: Path) -> None:
        self.programs = programs
        self.mark = mark
        self.clusters: list[Cluster] = []
        self.running = 0
        self.on_ask: Callable[[], Answer] = lambda: ANSWER

    def find(self, major: int | None) -> Programs | None:
        del major
        return self.programs

    @contextmanager
    def started(self, cluster: Cluster) -> Iterator[Server]:
        self.clusters.append(cluster)
        self.running += 1
        try:
            yield Server(HERE, self.mark)
        finally:
            self.running -= 1

    def ask(self, python: str, cwd: Path, env: Mapping[str, str]) -> Answer:
        del python, cwd, env
        return self.on_ask()


class Quiet:
    """Nobody watches."""

    def begin(self, step: str) -> None:
        pass

    def end(self, result: StepResult) -> None:
        pass

    def command(self, text: str) -> None:
        del text

    def log(self, step: str) -> Line:
        del step
        return lambda _: None


@pytest.fixture
def servers(tmp_path: Path) -> FakeServers:
    return FakeServers(Programs(tmp_path, "15.4", "the system's"), tmp_path / "ended")


@pytest.fixture
def walk(
    tmp_path: Path, ports: Ports, servers: FakeServers
) -> Callable[[Mapping[str, str]], RunReport]:
    """Run a project without migrations, in an environment."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env/.env.test").write_text(f"DATABASE_URL={URL}\n")
    (tmp_path / "pyproject.toml").write_text('[tool.unstale]\nschema = "none"\n')
    settings = load(tmp_path, DiskFiles(), {})

    def run(environ: Mapping[str, str]) -> RunReport:
        return local.walk(
            local.LocalRun(
                id="r1",
                ports=ports,
                files=DiskFiles(),
                servers=servers,
                settings=settings,
                environment=settings.environments["test"],
                environ=environ,
                arguments=(),
                watch=lambda _mask, _folder: Quiet(),
                machine_folder=tmp_path,
            )
        )

    return run


Walk = Callable[[Mapping[str, str]], RunReport]


def passes(command: Command) -> CommandResult:
    """Write the JUnit file of one test that passed."""
    report = next(w.partition("=")[2] for w in command.argv if w.startswith("--junit-xml="))
    Path(report).parent.mkdir(parents=True, exist_ok=True)
    Path(report).write_text("<testsuite><testcase classname='a' name='b'/></testsuite>")
    return CommandResult(0, "", "", 0.0)


def test_an_exported_url_is_used_and_nothing_is_started(
    walk: Walk, servers: FakeServers, process: FakeProcess
) -> None:
    process.on_run = passes

    report = walk({"DATABASE_URL": "postgresql://me:mine-own-9@db.example.com/mine"})

    assert report.outcome is Outcome.PROVEN
    assert servers.clusters == []
    assert "mine-own-9" not in report.receipt.read_text()


def test_without_one_a_server_is_started_and_ended(
    walk: Walk, servers: FakeServers, process: FakeProcess
) -> None:
    process.on_run = passes

    report = walk({})

    [made] = servers.clusters
    assert (made.user, made.databases) == ("app", ("shop",))
    assert servers.running == 0
    assert report.outcome is Outcome.PROVEN
    annotations = json.loads(report.receipt.read_text())["predicate"]["annotations"]
    assert annotations["environment"] == "local"
    assert annotations["postgres"]["major"] == 15
    assert made.password not in report.receipt.read_text()


def test_an_exported_url_that_does_not_answer_is_no_reason_to_start_another(
    walk: Walk, servers: FakeServers
) -> None:
    def refuse() -> Answer:
        raise NotReady("The database did not answer a query.")

    servers.on_ask = refuse

    report = walk({"DATABASE_URL": "postgresql://me:mine-own-9@db.example.com/mine"})

    assert report.outcome is Outcome.UNAVAILABLE
    assert servers.clusters == []
    assert "unset DATABASE_URL" in report.errors[0].hint


def test_with_nothing_at_all_the_three_ways_are_named(walk: Walk, servers: FakeServers) -> None:
    servers.programs = None

    report = walk({})

    assert report.outcome is Outcome.UNAVAILABLE
    hint = report.errors[0].hint
    assert all(way in hint for way in ("DATABASE_URL", "apt-get install", "unstale[embedded]"))


def test_a_server_that_dies_under_the_tests_makes_them_void(
    walk: Walk, servers: FakeServers, process: FakeProcess, tmp_path: Path
) -> None:
    log = tmp_path / ".unstale/runs/r1/logs/service-postgres.log"

    def dies(command: Command) -> CommandResult:
        servers.mark.write_text("1\n")
        log.parent.mkdir(parents=True)
        log.write_text("PANIC: no space left\n")
        return passes(command)

    process.on_run = dies

    report = walk({})

    assert report.outcome is Outcome.UNAVAILABLE
    assert "no space left" in report.errors[0].cause


def test_what_leads_to_another_server_is_made_harmless(walk: Walk, process: FakeProcess) -> None:
    process.on_run = passes

    walk({"PGHOSTADDR": "192.0.2.1", "PGSSLMODE": "require"})

    env = process.commands[-1].env
    assert (env["PGHOSTADDR"], env["PGSSLMODE"]) == ("127.0.0.1", "prefer")
    assert "PGOPTIONS" not in env


def test_green_without_a_test_is_red(walk: Walk, process: FakeProcess) -> None:
    process.on_run = lambda _: CommandResult(0, "", "", 0.0)

    assert walk({}).outcome is Outcome.UNKNOWN


def test_the_report_of_the_tests_quotes_no_secret(walk: Walk, process: FakeProcess) -> None:
    def fails(command: Command) -> CommandResult:
        passes(command)
        report = next(w.partition("=")[2] for w in command.argv if w.startswith("--junit-xml="))
        text = f"<testsuite><testcase name='b'><failure>{URL}</failure></testcase></testsuite>"
        Path(report).write_text(text)
        return CommandResult(1, "", "", 0.0)

    process.on_run = fails

    report = walk({})

    assert report.outcome is Outcome.TESTS_FAILED
    assert "invented-7" not in (report.folder / "junit.xml").read_text()
    assert report.errors[0].hint == "inv test.local -- --last-failed"


def test_the_next_step_of_tests_that_were_deselected_is_one_of_here(
    walk: Walk, process: FakeProcess
) -> None:
    process.on_run = lambda _: CommandResult(5, "12 deselected in 0.05s", "", 0.0)

    [error] = walk({}).errors

    assert "all 12 that were collected were deselected" in error.what
    assert error.hint.startswith("inv test.local -- --collect-only -q")


def test_the_mask_knows_the_random_password(walk: Walk, servers: FakeServers) -> None:
    walk({})

    password = servers.clusters[0].password
    assert password not in repr(servers.clusters[0])
    assert password not in repr(Mask((password,)))
