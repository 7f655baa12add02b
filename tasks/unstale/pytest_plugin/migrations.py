"""Asks Alembic and the models, each time in a Python of its own.

env.py may call ``asyncio.run`` or ``fileConfig``: neither belongs into the
process of the tests. ``python -m unstale.pytest_plugin.migrations REQUEST``
answers with one line of JSON after a sentinel, whatever env.py prints.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from unstale.errors import MigrationFailed
from unstale.jsontext import read_json
from unstale.pytest_plugin.engines import child_environment, masked, sqlstate
from unstale.pytest_plugin.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from sqlalchemy.exc import DBAPIError

__all__ = ["SchemaExists", "Survey", "build", "survey"]

_SENTINEL = "unstale-survey:"
_SCHEMA_EXISTS = "unstale: the schema exists"
_LONGEST_S = 600
_VERSIONED = ("alembic", "SQLAlchemy", "sqlmodel")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a database built by this code depends on, as far as files tell."""

    digest: str
    """Of the files, Alembic's options, the tables' DDL and the versions of both."""
    version_table: tuple[str | None, str] | None
    """Schema and name of Alembic's table; None where no migration is asked for."""


class SchemaExists(MigrationFailed):
    """A migration makes a schema that is there already."""


def survey(settings: Settings, url: str) -> Survey:
    """Load what builds the schema, without writing, and say what it is.

    Raises:
        MigrationFailed: env.py, a migration or the models can't be loaded.

    """
    found = _ask(settings, url, "survey")
    table = found["version_table"]
    return Survey(found["digest"], (table[0], table[1]) if table else None)


def build(settings: Settings, url: str) -> None:
    """Fill the empty database of *url*: upgrade to all heads, or create the tables.

    Raises:
        SchemaExists: a migration makes a schema that the database had.
        MigrationFailed: a migration failed, or env.py went to another database.

    """
    _ask(settings, url, "build")


def _ask(settings: Settings, url: str, action: str) -> dict[str, Any]:
    request = {
        "action": action,
        "ini": str(settings.alembic_ini) if settings.schema == "migrate" else "",
        "metadata": settings.metadata,
        "name": settings.database,
        "root": str(settings.root),
    }
    command = (sys.executable, "-m", __spec__.name, json.dumps(request))
    done = subprocess.run(
        command,
        cwd=settings.root,
        env=child_environment({settings.database: url}, str(settings.root)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith(_SENTINEL)]
    answer: Any = read_json(answers[-1].removeprefix(_SENTINEL)) if answers else None
    if done.returncode == 0 and _fits(answer, action):
        return dict(answer)
    kind = SchemaExists if _SCHEMA_EXISTS in done.stderr.splitlines() else MigrationFailed
    raise kind(
        "No database could be built from this code."
        if action == "build"
        else "What builds the schema could not be loaded.",
        cause=masked(url)("\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])),
        hint=f"run alembic -c {settings.alembic_ini.name} upgrade heads against an empty database",
    )


def _fits(answer: object, action: str) -> bool:
    """Whether it is what the child prints; env.py may print that line, too."""
    match answer:
        case {"digest": str(), "version_table": None | [_, str()]}:
            return True
        case dict():
            return action == "build"
        case _:
            return False


# --- In the child ------------------------------------------------------------


def _answer(request: Mapping[str, str]) -> dict[str, Any]:
    actions = {
        ("survey", True): _survey_migrations,
        ("survey", False): _survey_metadata,
        ("build", True): _upgrade,
        ("build", False): _create,
    }
    return actions[request["action"], bool(request["ini"])](request)


def _survey_migrations(request: Mapping[str, str]) -> dict[str, Any]:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config(request["ini"])
    scripts = ScriptDirectory.from_config(config)
    list(scripts.walk_revisions())
    table: list[str | None] = []

    def read(_applied: object, context: MigrationContext) -> list[RevisionStep]:
        table[:] = [context.version_table_schema, context.version_table]
        return []

    with EnvironmentContext(config, scripts, fn=read, dont_mutate=True):
        scripts.run_env()
    # SQL that a migration opens lies in these folders, too.
    folders = {Path(scripts.dir), *map(Path, scripts.version_locations or ())}
    files = {path for folder in folders for path in folder.rglob("*") if _is_source(path)}
    section = config.config_ini_section
    options = dict(config.file_config.items(section, raw=True) if _has_section(config) else ())
    options.pop("here", None)
    return {"digest": _digest(request["root"], files, options), "version_table": table}


def _has_section(config: Config) -> bool:
    """Whether the ini file has Alembic's section (pyproject.toml may have it instead)."""
    return bool(config.file_config.has_section(config.config_ini_section))


def _survey_metadata(request: Mapping[str, str]) -> dict[str, Any]:
    from sqlalchemy import create_mock_engine
    from sqlalchemy.engine.mock import MockConnection

    statements: list[str] = []

    def note(ddl: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - whatever create_all executes
        statements.append(str(ddl.compile(dialect=engine.dialect)))

    engine: MockConnection = create_mock_engine("postgresql://", note)
    resolve_name(request["metadata"]).create_all(engine, checkfirst=False)
    return {
        "digest": _digest(request["root"], (), dict(enumerate(statements))),
        "version_table": None,
    }


def _upgrade(request: Mapping[str, str]) -> dict[str, Any]:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import make_url

    wanted = make_url(os.environ[request["name"]]).database
    config = Config(request["ini"])
    scripts = ScriptDirectory.from_config(config)

    def steps(applied: tuple[str, ...], context: MigrationContext) -> list[RevisionStep]:
        assert context.connection is not None  # noqa: S101 - None means: print the SQL
        found = context.connection.exec_driver_sql("SELECT current_database()").scalar()
        if found != wanted:
            # Before the first statement: another database must not be migrated.
            message = f"env.py went to {found!r}: it does not take its URL from {request['name']}"
            raise RuntimeError(message)
        return scripts._upgrade_revs("heads", cast("str", applied))  # noqa: SLF001 - as alembic.command does

    with EnvironmentContext(config, scripts, fn=steps, destination_rev="heads"):
        scripts.run_env()
    return {}


def _create(request: Mapping[str, str]) -> dict[str, Any]:
    from unstale.pytest_plugin.creation import create_missing
    from unstale.pytest_plugin.engines import open_engine

    create_missing(open_engine(os.environ[request["name"]]), resolve_name(request["metadata"]))
    return {}


def _digest(root: str, files: Iterable[Path], options: Mapping[Any, str]) -> str:
    known = {*files, *_project_modules()}
    named = sorted((os.path.relpath(path, root), path) for path in known)
    parts = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in named]
    parts += [f"{key}={value}" for key, value in options.items()]
    parts += [f"{name} {_version(name)}" for name in _VERSIONED]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _project_modules() -> Iterable[Path]:
    """Files of loaded modules that neither Python nor an installer brought."""
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = tuple(os.path.realpath(sysconfig.get_paths()[key]) + os.sep for key in keys)
    own = str(Path(__file__).resolve().parents[1])
    for module in list(sys.modules.values()):
        path = os.path.realpath(getattr(module, "__file__", None) or os.devnull)
        if path.endswith(".py") and not path.startswith((*installed, own)):
            yield Path(path)


def _main(request: Mapping[str, str]) -> None:
    try:
        answer = _answer(request)
    except Exception as error:
        original: Any = getattr(error, "orig", None)
        # SQLAlchemy has no class for it, and the server's words may be translated.
        if isinstance(original, Exception) and sqlstate(cast("DBAPIError", error)) == "42P06":
            sys.stderr.write(f"\n{_SCHEMA_EXISTS}\n")
        raise
    sys.stdout.write("\n" + _SENTINEL + json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
