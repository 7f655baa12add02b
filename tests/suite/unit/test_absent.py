"""A runner without the test command says so, and what to do."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from workshop import Workshop

from unstale.config import RunnerSettings
from unstale.errors import Fault
from unstale.pipeline.absent import not_here, not_there
from unstale.pipeline.site import Site

MODULE = ("python", "-m", "pytest")


def site(shop: Workshop, *command: str) -> Site:
    shop.services["jobs"] = {}
    found = shop.bench.site
    return replace(
        found, settings=replace(found.settings, runner=RunnerSettings(command or ("pytest",)))
    )


# As Docker 26 with runc, crun, tini, dash, bash, coreutils and CPython 3.13 print it.
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ((), 127, 'runc create failed: exec: "pytest": executable file not found in $PATH'),
        (
            (),
            126,
            'OCI runtime exec failed: exec failed: exec: "pytest": executable file not found',
        ),
        ((), 127, "crun: executable file `pytest` not found in $PATH: No such file or directory"),
        ((), 127, "[FATAL tini (7)] exec pytest failed: No such file or directory"),
        ((), 127, "sh: 1: exec: pytest: not found"),
        ((), 127, "/entrypoint.sh: line 3: exec: pytest: not found"),
        ((), 127, "env: ‘pytest’: No such file or directory"),  # noqa: RUF001
        (MODULE, 1, "a line\n/usr/local/bin/python: No module named pytest"),
    ],
)
def test_a_runner_without_the_command_is_told_so(
    shop: Workshop, command: tuple[str, ...], code: int, said: str
) -> None:
    found = not_there(site(shop, *command), "app", f"\n{said}\n", code)

    assert found is not None
    assert found.what == "The test command 'pytest' is not in the image of 'app'."
    assert found.fault is Fault.CONFIGURATION
    assert "set runner in [tool.unstale.environments.test] to jobs, host" in found.hint


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ((), 1, "E   ModuleNotFoundError: No module named 'pytest'"),
        ((), 1, "/usr/bin/python: No module named pytest"),  # a test's own child
        (MODULE, 1, "/usr/bin/python: No module named pytest_cov"),
        ((), 127, "/entrypoint.sh: 3: pg_isready: not found"),
        ((), 5, 'exec: "pytest": executable file not found in $PATH'),
        ((), 127, "my-pytest: not found"),
    ],
)
def test_another_failure_is_not_taken_for_it(
    shop: Workshop, command: tuple[str, ...], code: int, said: str
) -> None:
    assert not_there(site(shop, *command), "app", said, code) is None


def test_on_this_machine_the_virtual_environment_is_named(shop: Workshop) -> None:
    said = f"{sys.executable}: No module named pytest"

    found = not_here(site(shop, sys.executable, "-m", "pytest"), said, 1)

    assert found is not None
    assert found.what == "The test command 'pytest' is not on this machine."
    assert '".venv/bin/python", "-m", "pytest"' in found.hint


def test_a_command_that_could_not_be_started_is_told_in_the_same_words(shop: Workshop) -> None:
    assert not_here(site(shop), "There is no program called pytest.") is not None
    assert not_here(site(shop), "There is no folder /x to run pytest in.") is None
