"""The public package: light to import, whole, and polite to Invoke."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from invoke import Collection, Program

import unstale

ROOT = Path(__file__).parents[3]
HEAVY = {"alembic", "dotenv", "pydantic", "python_on_whales", "rich", "sqlalchemy", "yaml"}


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    return {name.partition(".")[0] for name in json.loads(output)}


@pytest.mark.parametrize("statement", ["import unstale", "from unstale import ns"])
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    # Invoke's own copy of PyYAML takes its fast part from an installed one.
    invokes = _modules_after("import invoke") if "ns" in statement else set()

    assert _modules_after(statement) & HEAVY - invokes == set()


@pytest.mark.parametrize(
    "module",
    ["unstale.pipeline.images", "unstale.render.console", "unstale.render.text", "unstale.project"],
)
def test_a_look_at_images_needs_nothing_heavy(module: str) -> None:
    assert _modules_after(f"import {module}") & HEAVY == set()


def test_a_project_is_opened_without_what_a_later_question_needs() -> None:
    code = "import unstale.project, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    late = ("unstale.image.", "unstale.schema", "unstale.parity", "unstale.render", "asyncio")
    assert [name for name in loaded if name.startswith(late)] == []


def test_tasks_are_compiled_once_though_invoke_switched_that_off(tmp_path: Path) -> None:
    code = "import sys; sys.dont_write_bytecode = True; import unstale; unstale.ns"
    code += "; print(sys.dont_write_bytecode)"
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**environ, "PYTHONPYCACHEPREFIX": str(tmp_path)},
    ).stdout

    assert output == "True\n"
    assert len(list(tmp_path.glob("**/invocations/*.pyc"))) > 1


def test_the_package_alone_does_not_load_invoke() -> None:
    assert "invoke" not in _modules_after("import unstale")


@pytest.mark.parametrize("name", unstale.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(unstale, name) is not None
    assert name in dir(unstale)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = unstale.nothing


def _tasks(collection: Collection) -> list[str]:
    return sorted(collection.task_names)


def test_the_tasks_of_the_contract_are_there() -> None:
    assert {
        "db.migrate",
        "db.status",
        "env.diff",
        "image.build",
        "image.status",
        "image.verify",
        "stack.down",
        "stack.up",
        "test.integration",
        "test.run",
        "test.smoke",
        "test.unit",
    } <= set(_tasks(unstale.ns))


@pytest.mark.parametrize("name", _tasks(unstale.ns))
def test_no_task_takes_a_flag_from_invoke(name: str) -> None:
    core = {flag for argument in Program().core_args() for flag in argument.names}
    task = {flag for argument in unstale.ns[name].get_arguments() for flag in argument.names}

    assert {flag for flag in task & core if len(flag) == 1} == set()


@pytest.mark.parametrize("name", _tasks(unstale.ns))
def test_every_task_says_what_it_does_in_one_line(name: str) -> None:
    summary, _, rest = (unstale.ns[name].__doc__ or "").partition("\n")

    assert summary.endswith(".")
    assert not rest.strip() or rest.startswith("\n")


@pytest.mark.parametrize("name", _tasks(unstale.ns))
def test_every_option_says_what_it_does(name: str) -> None:
    silent = [one.name for one in unstale.ns[name].get_arguments() if not one.help]

    assert silent == []


def test_a_typing_error_after_test_does_not_start_a_run() -> None:
    for namespace in unstale.ns.collections.values():
        assert namespace.default is None


def test_the_folder_of_the_package_is_no_package_itself() -> None:
    # Invoke's loader and `import tasks` would then find different things.
    assert (ROOT / "tasks" / "unstale" / "__init__.py").is_file()
    assert not (ROOT / "tasks" / "__init__.py").exists()
