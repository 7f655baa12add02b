"""When a real server is ready, and what is said of one that is not."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from dotenv import dotenv_values
from harness import ROOT, docker

from unstale.adapters.clock import SystemClock
from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.compose import parse
from unstale.errors import NotReady
from unstale.facts import ContainerFact
from unstale.ports import ComposeTarget
from unstale.schema.wait import wait_for_postgres
from unstale.stack.lifecycle import wait_until_up

PROJECT = "com.docker.compose.project"
STARTED = "SELECT pg_postmaster_start_time()"
IMAGE = (
    dotenv_values(ROOT / ".unstale" / "images.env").get("UNSTALE_POSTGRES_IMAGE") or "postgres:17"
)
# A slow set-up: for so long the temporary server, on its socket, looks like the real one.
SLOW_S = 3
LONG_S = 180.0


@dataclass(frozen=True)
class Database:
    """A container of PostgreSQL, as compose would have labelled it."""

    name: str
    cli: DockerCli

    @property
    def fact(self) -> ContainerFact:
        return self.cli.containers({PROJECT: self.name})[0]

    def wait(self, clock: SystemClock | None = None, deadline_s: float = LONG_S) -> None:
        """Wait as a run does."""
        wait_for_postgres(self.cli, clock or SystemClock(), self.fact, deadline_s=deadline_s)

    def sh(self, script: str, code: int | None = 0) -> str:
        """Run *script* in it, as the server's own user."""
        return docker("exec", "--user", "postgres", self.name, "sh", "-c", script, code=code).out

    def over_socket(self, sql: str, database: str = "appdb", code: int | None = 0) -> str:
        """What psql says over the socket, where no password is asked for."""
        return self.sh(f'psql -XAtq -U app -d {database} -c "{sql}"', code).strip()

    def over_port(self, sql: str) -> str:
        """The first value of a query over the published port: the path of tests on the host."""
        host, port = self.fact.ports[0][1].rsplit(":", 1)
        url = f"host={host} port={port} user=app password=example dbname=appdb"
        with psycopg.connect(url) as connection:
            row = connection.execute(sql).fetchone()
        assert row is not None
        return str(row[0])


class Watching(SystemClock):
    """A clock that does something in each pause of the wait."""

    def __init__(self, look: Callable[[int], None]) -> None:
        self.pauses = 0
        self._look = look

    def sleep(self, seconds: float) -> None:
        self.pauses += 1
        self._look(self.pauses)
        super().sleep(seconds)


@pytest.fixture(scope="module")
def cli() -> DockerCli:
    return DockerCli(SystemProcess(), os.environ)


Starter = Callable[..., Database]


@pytest.fixture
def start(cli: DockerCli, tmp_path: Path) -> Iterator[Starter]:
    """Start a database, which may have files for its first start; removed at the end."""
    started: list[str] = []

    def run(*command: str, init: str = "", options: tuple[str, ...] = ()) -> Database:
        name = f"readiness-{uuid.uuid4().hex[:10]}"
        labels = ("--label", f"{PROJECT}={name}", "--label", "com.docker.compose.service=postgres")
        variables = ("POSTGRES_USER=app", "POSTGRES_PASSWORD=example", "POSTGRES_DB=appdb")
        environment = [word for pair in variables for word in ("--env", pair)]
        published = ("--publish", "127.0.0.1::5432")
        docker(
            *("create", "--name", name, *labels, *environment, *published, *options),
            *(IMAGE, *command),
        )
        started.append(name)
        if init:
            script = tmp_path / "slow.sh"
            script.write_text(init)
            script.chmod(0o755)
            docker("cp", str(script), f"{name}:/docker-entrypoint-initdb.d/slow.sh")
        docker("start", name)
        return Database(name, cli)

    yield run
    for name in started:
        docker("rm", "--force", "--volumes", name, code=None)


@pytest.fixture
def database(start: Starter) -> Database:
    """A database that is ready."""
    found = start()
    found.wait()
    return found


def _failure(database: Database, deadline_s: float = 60) -> tuple[NotReady, float]:
    """What the wait said, and after how many seconds."""
    begun = time.monotonic()
    with pytest.raises(NotReady) as caught:
        database.wait(deadline_s=deadline_s)
    return caught.value, time.monotonic() - begun


# --- The race ---


def test_the_temporary_server_of_the_first_start_does_not_count(start: Starter) -> None:
    database = start(init=f"#!/bin/sh\nsleep {SLOW_S}\n")
    careless: set[str] = set()

    def look(_pause: int) -> None:
        # What the usual health check asks; then the query that many put in its place.
        if docker("exec", database.name, "pg_isready", "-U", "app", code=None).code == 0:
            careless.add(database.over_socket(STARTED, code=None))

    database.wait(Watching(look))

    real = database.over_port(STARTED)  # the first query right after works
    assert real == database.over_port(STARTED)
    temporary = {started for started in careless if started} - {_utc(real, database)}
    assert temporary, "the race did not happen: nothing was green before the real server"
    assert database.over_socket(STARTED) not in temporary


def _utc(started: str, database: Database) -> str:
    """*started*, as this database's psql writes it."""
    return database.over_socket(f"SELECT '{started}'::timestamptz")


def test_the_socket_is_green_while_the_wait_says_that_nothing_listens(start: Starter) -> None:
    database = start(init="#!/bin/sh\nuntil [ -e /tmp/go-on ]; do sleep 0.1; done\n")
    _until(lambda: "1" in database.over_socket("SELECT 1", code=None))

    error, seconds = _failure(database, deadline_s=2)

    assert docker("exec", database.name, "pg_isready", "-U", "app").code == 0
    assert "within 2 s; it was last stopped at tcp: " in error.what
    assert "Connection refused" in error.what
    assert "running /docker-entrypoint-initdb.d/slow.sh" in error.cause
    assert seconds < 15
    database.sh("touch /tmp/go-on")
    database.wait()
    assert database.over_port("SELECT 1") == "1"


def _until(happens: Callable[[], bool], within_s: float = 120) -> None:
    end = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.1)


# --- Refused for good ---


def test_a_wrong_password_is_final(database: Database) -> None:
    database.over_socket("ALTER ROLE app PASSWORD 'another-heron'")

    error, seconds = _failure(database)

    assert seconds < 5
    assert "refused for good at auth" in error.what
    assert 'password authentication failed for user "app"' in error.what
    assert "password authentication failed" in error.cause, "the server's own last lines"
    assert "example" not in str(error)


def test_an_unknown_role_is_final(database: Database) -> None:
    database.over_socket("CREATE ROLE other SUPERUSER LOGIN", "postgres")
    database.sh("psql -XAtq -U other -d postgres -c 'ALTER ROLE app RENAME TO gone'")

    error, seconds = _failure(database)

    assert seconds < 5
    assert "refused for good at auth" in error.what


def test_a_role_without_an_entry_in_pg_hba_is_final(database: Database) -> None:
    loaded = database.over_socket("SELECT pg_conf_load_time()")
    database.sh('sed -i "s/^host all all all/#&/" "$PGDATA/pg_hba.conf"')
    database.over_socket("SELECT pg_reload_conf()")
    _until(lambda: database.over_socket("SELECT pg_conf_load_time()") != loaded)

    error, seconds = _failure(database)

    assert seconds < 5
    assert "refused for good at auth" in error.what
    assert "no pg_hba.conf entry" in error.what


def test_an_unknown_database_is_final(database: Database) -> None:
    database.over_socket("ALTER DATABASE appdb RENAME TO elsewhere", "postgres")

    error, seconds = _failure(database)

    assert seconds < 5
    assert "refused for good at database: " in error.what
    assert 'database "appdb" does not exist' in error.what
    assert "A volume keeps that of its first start" in error.cause


def test_a_container_that_ended_is_final_and_shows_its_last_lines(start: Starter) -> None:
    database = start("sh", "-c", "echo the disk is full of herons; exit 7")
    _until(lambda: database.fact.status == "exited")

    error, seconds = _failure(database)

    assert seconds < 5
    assert error.what == "The database 'postgres' ended with exit code 7."
    assert "the disk is full of herons" in error.cause


def test_files_of_the_first_start_that_fail_end_the_wait(start: Starter) -> None:
    database = start(init="#!/bin/sh\necho there is no heron to seed >&2\nexit 4\n")

    error, _ = _failure(database, deadline_s=LONG_S)

    assert "ended with exit code 4" in error.what
    assert "there is no heron to seed" in error.cause


# --- A server that does not stay ---


def test_a_server_that_is_killed_between_two_queries_begins_anew(database: Database) -> None:
    first = database.over_port(STARTED)

    def kill(pause: int) -> None:
        if pause == 1:  # after the first answer
            docker("kill", database.name)
            docker("start", database.name)
            # The new one answers at the next look: only its start tells it from the old one.
            _until(lambda: database.over_socket("SELECT 1", code=None) == "1")

    clock = Watching(kill)
    database.wait(clock)

    second = database.over_port(STARTED)
    assert second != first
    assert clock.pauses >= 2, "one answer of each server is not two of one"
    assert database.over_port(STARTED) == second


def test_a_server_that_the_engine_started_again_is_not_trusted(start: Starter) -> None:
    database = start(options=("--restart", "always"))
    database.wait()

    def end(pause: int) -> None:
        if pause == 1:
            database.sh("kill -INT 1", code=None)
            _until(lambda: database.fact.restart_count == 1)

    with pytest.raises(NotReady, match="was started again by the engine"):
        database.wait(Watching(end))


def test_a_server_in_recovery_is_not_ready(database: Database) -> None:
    database.sh('touch "$PGDATA/standby.signal"')
    docker("restart", database.name)
    _until(lambda: database.over_socket("SELECT 1", code=None) == "1")

    error, _ = _failure(database, deadline_s=2)

    assert "stable: the server is in recovery" in error.what


# --- Services beside it ---


@pytest.fixture
def services(cli: DockerCli, tmp_path: Path) -> Iterator[Callable[[str], ComposeTarget]]:
    """A compose project from the lines of its services, removed at the end."""
    name = f"readiness-{uuid.uuid4().hex[:10]}"

    def write(lines: str) -> ComposeTarget:
        path = tmp_path / "compose.yml"
        path.write_text(f"services:\n{lines}")
        return ComposeTarget(name, (path,))

    yield write
    label = {PROJECT: name}
    cli.remove_containers([c.id for c in cli.containers(label)])
    cli.remove_networks(list(cli.networks(label)))


def _service(name: str, command: str, more: str = "") -> str:
    return f'  {name}: {{image: "{IMAGE}", init: true, command: [sh, -c, "{command}"]{more}}}\n'


def _bring_up(cli: DockerCli, target: ComposeTarget, *names: str, deadline_s: float = 60) -> None:
    stack = parse(cli.config(target).model)
    for name in names:  # one by one: compose would wait for the conditions itself
        cli.up(target, [name], lambda _: None, deadline_s=120)
    wait_until_up(
        *(cli, SystemClock(), target.project, names),
        deadline_s=deadline_s,
        one_shots=stack.one_shots,
    )


def test_a_one_shot_is_done_when_it_ended_though_compose_calls_that_a_failure(
    cli: DockerCli, services: Callable[[str], ComposeTarget]
) -> None:
    waits = ", depends_on: {seed: {condition: service_completed_successfully}}"
    target = services(
        _service("seed", "echo seeded")
        + _service("tidy", "echo tidied", ', restart: "no"')
        + _service("app", "sleep 60")
        + _service("runner", "true", waits)
    )

    _bring_up(cli, target, "seed", "tidy", "app")

    ended = {c.service: c.status for c in cli.containers({PROJECT: target.project})}
    assert ended["app"] == "running"


def test_a_one_shot_that_fails_is_told_with_its_last_lines(
    cli: DockerCli, services: Callable[[str], ComposeTarget]
) -> None:
    target = services(
        _service("seed", "echo no heron to seed; exit 3", ', restart: "no"')
        + _service("app", "sleep 60")
    )

    with pytest.raises(NotReady, match="'seed' exited with 3") as caught:
        _bring_up(cli, target, "app", "seed")

    assert "no heron to seed" in caught.value.cause


def test_a_service_that_ends_unasked_is_named(
    cli: DockerCli, services: Callable[[str], ComposeTarget]
) -> None:
    target = services(_service("app", "echo nothing to serve"))

    with pytest.raises(NotReady, match="'app' ended with 0, though nobody waits") as caught:
        _bring_up(cli, target, "app")

    assert "nothing to serve" in caught.value.cause


def test_an_unhealthy_service_is_told_with_the_words_of_its_check(
    cli: DockerCli, services: Callable[[str], ComposeTarget]
) -> None:
    check = '{test: [CMD-SHELL, "echo the pond is dry; exit 1"], interval: 1s, retries: 1}'
    target = services(_service("app", "sleep 60", f", healthcheck: {check}"))

    with pytest.raises(NotReady, match="'app' is unhealthy") as caught:
        _bring_up(cli, target, "app")

    assert "the pond is dry" in caught.value.cause


def test_a_service_that_restarts_in_a_loop_is_named_before_the_deadline(
    cli: DockerCli, services: Callable[[str], ComposeTarget]
) -> None:
    target = services(_service("app", "echo no heron; exit 3", ", restart: always"))
    begun = time.monotonic()

    with pytest.raises(NotReady, match="'app' restarts in a loop") as caught:
        _bring_up(cli, target, "app", deadline_s=300)

    assert "no heron" in caught.value.cause
    assert time.monotonic() - begun < 120
