"""`image.verify`: whose image is meant, and what is looked for without an option."""

from __future__ import annotations

from dataclasses import replace

import pytest
from workshop import Workshop

from unstale.config import VerifyRule
from unstale.errors import UnknownName, UsageError
from unstale.pipeline.images import Bench
from unstale.pipeline.looks import Wanted, look
from unstale.verdict import Fresh, Stale

HOLDS, LACKS = VerifyRule(None, "/app/app.py", "v1"), VerifyRule("app", "/app/app.py", "v9")


def bench(shop: Workshop, *rules: VerifyRule, runner: str | None = "app") -> Bench:
    found = shop.bench
    settings = replace(found.site.settings, verify=rules)
    site = replace(found.site, settings=settings, runner=runner)
    return Bench(found.ports, found.files, site, found.environ)


def test_without_an_option_the_settings_say_what_to_look_for(shop: Workshop) -> None:
    shop.build()

    found = look(bench(shop, HOLDS), Wanted())

    assert (found.verdict, found.finding) == (Fresh(), "")
    assert [(r.service, r.pattern, r.matches[0].line) for r in found.rules] == [("app", "v1", 1)]


def test_one_text_that_is_not_there_decides(shop: Workshop) -> None:
    shop.build()

    found = look(bench(shop, HOLDS, LACKS), Wanted())

    assert isinstance(found.verdict, Stale)
    assert found.finding == "pattern not found: 'v9' is nowhere in /app/app.py"


@pytest.mark.parametrize("given", [{"grep": "v1"}, {"regex": "v[0-9]"}, {"path": "/app"}])
def test_who_asks_for_something_gets_that_alone(shop: Workshop, given: dict[str, str]) -> None:
    shop.build()

    assert look(bench(shop, LACKS), Wanted(**given)).rules == ()


def test_a_service_that_is_named_is_asked_for_its_own_texts(shop: Workshop) -> None:
    shop.services["jobs"] = {}
    shop.build()

    assert look(bench(shop, LACKS), Wanted("jobs")).rules == ()
    assert len(look(bench(shop, LACKS), Wanted("app")).rules) == 1


@pytest.mark.parametrize("runner", ["host", None])
def test_where_no_service_runs_tests_the_only_built_one_is_meant(
    shop: Workshop, runner: str | None
) -> None:
    shop.build()
    assert look(bench(shop, runner=runner), Wanted()).service == "app"

    shop.services["jobs"] = {}
    shop.build()
    with pytest.raises(UsageError, match="whose image") as refused:
        look(bench(shop, runner=runner), Wanted())
    assert refused.value.hint == "--service NAME"
    assert look(bench(shop, VerifyRule("jobs", "/app", "v1"), runner=runner), Wanted()).service


def test_a_service_that_is_not_there_is_refused(shop: Workshop) -> None:
    with pytest.raises(UnknownName):
        look(bench(shop), Wanted("ap"))
