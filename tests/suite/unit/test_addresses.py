"""What tests on this machine are told, under the project's own names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from workshop import Workshop

from unstale import compose
from unstale.config import RunnerSettings
from unstale.errors import ConfigError, Unavailable
from unstale.facts import ContainerFact
from unstale.pipeline import addresses
from unstale.pipeline.site import Site


@pytest.fixture
def site(shop: Workshop) -> Site:
    """A web service that publishes port 5000; the tests run on the host."""
    web: dict[str, Any] = {"image": "x", "ports": [{"target": 5000, "published": "5000"}]}
    model = {"name": "demo", "services": {"db": {"image": "y"}, "web": web}}
    return replace(shop.bench.site, stack=compose.parse(model), runner="host")


def _told(site: Site, **variables: str) -> Site:
    runner = RunnerSettings(environment=tuple(variables.items()))
    return replace(site, settings=replace(site.settings, runner=runner))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http://{web:5000}/v1", "http://127.0.0.1:32768/v1"),
        ("{web:5000:host}", "127.0.0.1"),
        ("{web:5000:port}", "32768"),
        ("{web:5000} {web:5000:port}", "127.0.0.1:32768 32768"),
        ("plain {} {web} {web:x}", "plain {} {web} {web:x}"),
    ],
)
def test_an_address_is_put_in(site: Site, container: ContainerFact, text: str, value: str) -> None:
    web = replace(container, service="web", ports=((5000, "0.0.0.0:32768"), (5000, ":::32768")))

    assert addresses.variables(_told(site, URL=text), [web]) == {"URL": value}


def test_a_port_that_the_engine_did_not_publish_is_named(
    site: Site, container: ContainerFact
) -> None:
    with pytest.raises(Unavailable, match="port 5000 of 'web' is published nowhere"):
        addresses.variables(_told(site, URL="{web:5000}"), [replace(container, service="web")])


@pytest.mark.parametrize("text", ["{web:8000}", "{db:5432:port}", "{nobody:1}"])
def test_a_port_that_no_service_publishes_is_refused_before_anything_begins(
    site: Site, text: str
) -> None:
    with pytest.raises(ConfigError, match="publishes no port") as caught:
        addresses.require(_told(site, URL=text))

    assert caught.value.cause == "Published: web: 5000."
    assert "ports:" in caught.value.hint


def test_what_tests_in_a_container_get_is_the_compose_files_business(site: Site) -> None:
    addresses.require(_told(site, URL="{web:5000}"))
    with pytest.raises(ConfigError, match="The tests run in 'web'") as caught:
        addresses.require(replace(_told(site, URL="{web:5000}"), runner="web"))

    assert "URL" in caught.value.hint
