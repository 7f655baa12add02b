"""Where the probe is asked, and what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import DONE
from workshop import Workshop

from unstale.errors import MigrationFailed
from unstale.facts import ContainerFact
from unstale.pipeline import schema
from unstale.pipeline.images import Bench
from unstale.pipeline.site import Deployment
from unstale.ports import CommandResult, ComposeTarget, RunOptions

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
            return DONE  # psql
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
        deployment = Deployment("r", ComposeTarget("demo", ()), (), site.state_folder)
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
