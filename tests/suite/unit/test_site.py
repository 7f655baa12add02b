"""Who runs the tests, and who needs to know."""

from __future__ import annotations

from dataclasses import replace

import pytest
from workshop import Workshop

from unstale.compose import parse
from unstale.config import Environment
from unstale.errors import ConfigError, UnknownName
from unstale.pipeline.site import Site, runner_of

BUILD = {"build": {"context": "/p"}}


def site(shop: Workshop, *names: str, runner: str | None = None) -> Site:
    services = dict.fromkeys(names, BUILD) | {"db": {"image": "postgres:17"}}
    stack = parse({"name": "demo", "services": services})
    environment = Environment("test", (), (), runner)
    return replace(
        shop.bench.site,
        stack=stack,
        environment=environment,
        runner=runner_of(environment, stack),
    )


@pytest.mark.parametrize(
    ("names", "told", "expected"),
    [
        (("app", "app-tests"), None, "app-tests"),
        (("app",), None, None),
        (("api-tests", "e2e-tests"), None, None),
        (("app", "app-tests"), "app", "app"),
        (("app",), "host", "host"),
        (("app",), "db", "db"),
    ],
)
def test_the_runner_is_as_configured_or_the_one_built_service_that_says_test(
    shop: Workshop, names: tuple[str, ...], told: str | None, expected: str | None
) -> None:
    assert site(shop, *names, runner=told).runner == expected


def test_a_runner_that_is_no_service_is_refused_at_once(shop: Workshop) -> None:
    with pytest.raises(UnknownName, match="'ap'"):
        site(shop, "app", runner="ap")


def test_only_who_runs_tests_needs_to_know_where(shop: Workshop) -> None:
    found = site(shop, "app")

    assert found.started_services == ("app", "db")
    with pytest.raises(ConfigError, match="not clear") as refused:
        found.require_runner()
    assert refused.value.cause == "Built services whose name says test: none."
    assert refused.value.hint.endswith("to one of: app, db, host")


def test_a_stack_starts_none_of_several_that_may_run_the_tests(shop: Workshop) -> None:
    assert site(shop, "api-tests", "e2e-tests").started_services == ("db",)
