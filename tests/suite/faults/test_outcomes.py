"""F11 to F15: what the services and the runner do decides, whatever compose says."""

from __future__ import annotations

import pytest
from harness import Checkout
from lightstack import behave


def test_the_light_stack_is_proven(light: Checkout) -> None:
    answer = light.inv("test.integration", "--json").must(0).document()

    assert (answer["outcome"], answer["tests"]["passed"]) == ("proven", 1)


@pytest.mark.parametrize(
    ("tests", "code", "outcome"),
    [("fail", 1, "tests failed"), ("skip", 1, "tests failed"), ("silent", 4, "no evidence")],
)
def test_what_the_runner_does(light: Checkout, tests: str, code: int, outcome: str) -> None:
    behave(light, LIGHT_TESTS=tests, LIGHT_SECONDS="0.1")

    answer = light.inv("test.integration", "--json").must(code).document()

    assert (answer["outcome"], answer["code"]) == (outcome, code)
