"""What docs/recipes/commands.md has and no other test types, on the light stack."""

from __future__ import annotations

from harness import Checkout, docker


def test_a_suite_of_its_own_runs_in_the_stack_that_is_brought_up(light: Checkout) -> None:
    light.append("pyproject.toml", '\n[tool.unstale.suites]\nregression = ["regression"]\n')

    assert "1 passed, 0 failed" in light.inv("test.regression").must(0).out
    light.inv("stack.down").must(0)


def test_unit_tests_run_here_and_get_their_arguments(light: Checkout) -> None:
    folder = light.root / "tests" / "unit"
    folder.mkdir(parents=True)
    (folder / "test_birds.py").write_text(
        "def test_heron():\n    assert False\ndef test_egret(): pass\n"
    )

    light.inv("test.unit").must(1)
    light.inv("test.unit", "--", "-k", "egret").must(0)


def test_one_service_is_built_from_nothing(light: Checkout) -> None:
    before = docker("image", "inspect", "--format", "{{.Id}}", light.image("test-runner")).out

    light.inv("image.build", "--no-cache", "--service", "db").must(0)

    after = docker("image", "inspect", "--format", "{{.Id}}", light.image("test-runner")).out
    assert before == after
    light.inv("image.status", "--service", "db", "--fail-on-stale").must(0)
