"""A suite that asks for nothing pays for nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import unstale.pytest_plugin as plugin

HEAVY = (
    *("alembic", "asyncpg", "invoke", "psycopg", "psycopg2", "pydantic"),
    *("python_on_whales", "rich", "sqlalchemy", "sqlmodel", "unstale.project", "yaml"),
)


def loaded(code: str, folder: Path) -> list[str]:
    """Those of the heavy modules that are there after *code*."""
    words = f"import sys\n{code}\nprint('LOADED', *(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        (sys.executable, "-c", words), cwd=folder, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    return line.split()[1:]


@pytest.fixture
def trivial(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("def test_passes(): pass\n")
    return tmp_path


def test_importing_the_plugin_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded("import unstale.pytest_plugin", tmp_path) == []


@pytest.mark.parametrize("arguments", [["--collect-only"], []], ids=["collect", "run"])
def test_an_idle_pytest_loads_nothing_heavy(trivial: Path, arguments: list[str]) -> None:
    # anyio's own plugin is not ours, and comes with whatever it likes.
    given = ["-q", "-p", "no:cacheprovider", "-p", "no:anyio", *arguments]
    code = (
        "import pytest\n"
        "class Seen:\n"
        "    def pytest_configure(self, config):\n"
        "        assert config.pluginmanager.hasplugin('unstale')\n"
        f"assert pytest.main({given!r}, plugins=[Seen()]) == 0"
    )

    assert loaded(code, trivial) == []


def test_an_idle_pytest_gets_the_marker_and_no_other_part(trivial: Path) -> None:
    code = (
        "import pytest\n"
        "class Seen:\n"
        "    @pytest.hookimpl(trylast=True)\n"
        "    def pytest_configure(self, config):\n"
        "        names = [n for n, _ in config.pluginmanager.list_name_plugin()]\n"
        "        found = sorted(n for n in names if n.startswith('unstale'))\n"
        "        assert found == ['unstale', 'unstale-sensitive'], found\n"
        "assert pytest.main(['-q', '-p', 'no:cacheprovider'], plugins=[Seen()]) == 0"
    )

    loaded(code, trivial)


def test_the_public_names_are_those_that_are_fetched() -> None:
    assert sorted(plugin.__all__) == sorted(plugin._HOMES)
    for name in plugin.__all__:
        assert getattr(plugin, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plugin.nothing  # noqa: B018
