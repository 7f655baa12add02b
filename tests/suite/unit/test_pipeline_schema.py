"""Where the probe is asked, and what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from conftest import DONE
from workshop import Workshop

from unstale.errors import (
    CouldNotTell,
    EngineUnavailable,
    Interrupted,
    MigrationFailed,
    NotReady,
)
from unstale.facts import ContainerFact
from unstale.pipeline import schema
from unstale.pipeline.images import Bench
from unstale.pipeline.site import Deployment
from unstale.ports import Command, CommandResult, ComposeTarget, RunOptions
from unstale.schema import postgres

FACTS = {
    "heads": ["b"],
    "available": ["b"],
    "applied": ["b"],
    "tables": ["t"],
    "missing_tables": [],
    "models": 1,
}


class Asked:
    """Answers for the probe, and notes what was asked of it."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.requests: list[dict[str, Any]] = []
        self.options: list[RunOptions] = []

    def __call__(self, _where: str, options: RunOptions) -> CommandResult:
        if options.argv[-2:-1] != ("-",):
            return replace(DONE, stdout="7\n")  # psql
        self.requests.append(json.loads(options.argv[-1]))
        self.options.append(options)
        return replace(DONE, stdout=f"noise\nunstale-probe:{json.dumps(self.facts)}\n")


@pytest.fixture
def ask(shop: Workshop) -> Callable[..., tuple[Bench, Deployment]]:
    def made(mode: str = "run", command: tuple[str, ...] = ()) -> tuple[Bench, Deployment]:
        bench = shop.bench
        old = bench.site.settings
        settings = replace(
            old,
            runner=replace(old.runner, mode=mode),
            schema=replace(old.schema, migrate_command=command or old.schema.migrate_command),
        )
        site = replace(bench.site, settings=settings, database="db")
        deployment = Deployment("r", ComposeTarget("demo", ()), (), site.state_folder, print)
        return Bench(bench.ports, bench.files, site, {}), deployment

    return made


def test_a_container_of_its_own_runs_python_and_no_entry_point(
    shop: Workshop, ask: Callable[..., Any]
) -> None:
    shop.docker.on_run = asked = Asked(FACTS)

    names = set()
    for _ in range(2):
        found = schema.look(*ask(), lambda _: None)
        names.add(asked.options[-1].name)

    assert found is not None
    assert found.state == "current"
    assert asked.options[0].entrypoint == "python"
    assert asked.options[0].argv[0] == "-"
    assert len(names) == 2  # two shells may ask at once


def test_a_container_that_can_not_be_removed_hides_no_interrupt(
    shop: Workshop, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines = []

    def refuse(_: Sequence[str], deadline_s: float | None = None) -> None:
        deadlines.append(deadline_s)
        raise EngineUnavailable("The Docker engine does not answer.")

    def interrupted(_service: str, _options: RunOptions) -> CommandResult:
        raise Interrupted(2)

    monkeypatch.setattr(shop.docker, "remove_containers", refuse)
    shop.docker.on_run = interrupted

    with pytest.raises(Interrupted) as caught:
        schema.look(*ask(), lambda _: None)

    assert (deadlines, caught.value.is_left) == ([5.0], True)


def test_where_tests_run_inside_a_container_it_is_asked_there(
    shop: Workshop, ask: Callable[..., Any], container: ContainerFact
) -> None:
    shop.docker.on_execute = asked = Asked(FACTS)
    shop.docker.add(
        replace(container, service="app", labels={"com.docker.compose.project": "demo"})
    )

    assert schema.look(*ask("exec"), lambda _: None) is not None
    assert asked.options[0].argv[:2] == ("python", "-")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("alembic", "upgrade", "head"), {"target": "head", "ini": "alembic.ini"}),
        (("alembic", "-c", "db/a.ini", "upgrade", "heads"), {"target": "heads", "ini": "db/a.ini"}),
        (("python", "move.py"), {"command": ["python", "move.py"], "ini": "alembic.ini"}),
    ],
)
def test_how_to_upgrade_is_read_out_of_the_command(
    shop: Workshop, ask: Callable[..., Any], command: tuple[str, ...], told: dict[str, Any]
) -> None:
    shop.docker.on_run = asked = Asked(FACTS)

    schema.migrate(*ask(command=command), lambda _: None)

    assert told.items() <= asked.requests[0].items()


def test_a_migration_that_failed_is_named_without_sqlalchemys_advertisement(
    shop: Workshop, ask: Callable[..., Any]
) -> None:
    failed = {
        "error": "DuplicateTable: t (Background on this error)",
        "running": "Running upgrade a -> b",
    }
    shop.docker.on_run = Asked(FACTS | {"failed": failed})

    with pytest.raises(MigrationFailed) as caught:
        schema.migrate(*ask(), lambda _: None)

    assert caught.value.cause == "In revision a -> b\nDuplicateTable: t"


def _database(container: ContainerFact, **changes: Any) -> ContainerFact:
    labels = {"com.docker.compose.project": "demo"}
    return replace(container, id="d", service="db", labels=labels, **changes)


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        ("exited", "ended with exit code 137", "inv stack.up"),
        ("created", "was never started", "inv stack.up"),
        ("paused", "is paused", "docker unpause"),
    ],
)
@pytest.mark.parametrize("do", [schema.look, schema.check, schema.migrate, schema.preview])
def test_a_database_that_is_not_up_is_told_at_once_with_its_last_words(
    shop: Workshop,
    ask: Callable[..., Any],
    container: ContainerFact,
    do: Callable[..., object],
    status: str,
    words: str,
    hint: str,
) -> None:
    shop.docker.on_run = shop.docker.on_execute = asked = Asked(FACTS)
    shop.docker.add(_database(container, status=status, exit_code=137))
    shop.docker.printed["d"] = ("received smart shutdown request",)

    with pytest.raises(NotReady, match=words) as caught:
        do(*ask(), lambda _: None)

    assert not asked.requests  # nothing waited for it
    assert "received smart shutdown request" in caught.value.cause
    assert caught.value.hint.startswith(hint)


def test_a_database_that_ends_while_it_is_waited_for_is_told(
    shop: Workshop, ask: Callable[..., Any], container: ContainerFact
) -> None:
    shop.docker.add(_database(container, status="running"))

    def ends(_service: str, options: RunOptions) -> CommandResult:
        shop.docker.change("db", status="exited", exit_code=1)
        refused = {"error": "Refused", "rung": "name", "message": "Name or service not known"}
        return Asked(refused)("", options)

    shop.docker.on_run = ends
    shop.docker.on_execute = Asked(FACTS)

    with pytest.raises(NotReady, match="ended with exit code 1"):
        schema.look(*ask(), lambda _: None)


def test_what_the_stopped_database_is_asked_for_names_the_way_up(
    shop: Workshop, container: ContainerFact
) -> None:
    shop.docker.on_execute = lambda _container, _options: replace(DONE, returncode=1)
    stopped = _database(container, status="exited")

    with pytest.raises(CouldNotTell) as caught:
        postgres.tables(shop.docker, stopped)

    assert caught.value.hint == "inv stack.up"


def test_on_the_host_the_migrations_are_those_of_the_tree(ask: Callable[..., Any]) -> None:
    bench, deployment = ask()
    facts = FACTS | {"applied": ["z"], "scripts": {"/home/me/migrations/versions/b.py": "1"}}
    ports = replace(bench.ports, process=Told(facts))
    bench = Bench(ports, bench.files, replace(bench.site, runner="host"), {})

    found = schema.look(bench, deployment, lambda _: None)

    assert found is not None
    assert found.state == "image-older"
    assert "image" not in found.hint


@dataclass
class Told:
    """A host's Python that answers for the probe."""

    facts: dict[str, Any]

    def run(self, _command: Command, _line: object = None) -> CommandResult:
        return replace(DONE, stdout=f"unstale-probe:{json.dumps(self.facts)}\n")
