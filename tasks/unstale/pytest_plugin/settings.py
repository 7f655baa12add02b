"""What a suite opted in to, from its own pytest configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pytest

__all__ = ["OPTIONS", "Isolation", "SchemaMode", "Settings"]

SchemaMode = Literal["migrate", "create-all", "none"]
Isolation = Literal["none", "savepoint", "dirty-delete", "clone", "truncate"]
_Kind = Literal["string", "linelist", "bool"]

OPTIONS: tuple[tuple[str, _Kind, str | bool | list[str], str], ...] = (
    ("database", "string", "", "NAME of the environment variable with the database's URL"),
    ("schema", "string", "migrate", "migrate, create-all or none"),
    ("alembic_ini", "string", "alembic.ini", "Alembic's configuration, relative to rootdir"),
    ("metadata", "string", "", "package.module:attribute of the MetaData"),
    ("isolation", "string", "none", "savepoint, dirty-delete, clone, truncate or none"),
    ("keep_tables", "linelist", [], "tables whose rows are kept; default: those that have some"),
    ("sessionmaker", "string", "", "package.module:attribute of the application's sessionmaker"),
    ("app", "linelist", [], "package.module:attribute of what is watched for leaks"),
    ("leaks", "bool", False, "name the test that leaves an override or a transaction behind"),
    ("session_monitor", "bool", False, "log what sessions do, as unstale.sessions"),
)
"""Each ini option without its prefix ``unstale_``: type, default, help."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The ini options of one pytest run, checked."""

    root: Path
    """pytest's rootdir: what relative paths start from."""
    database: str
    """Name of an environment variable; empty: the database part is off."""
    schema: SchemaMode
    alembic_ini: Path
    metadata: str
    isolation: Isolation
    keep_tables: tuple[str, ...]
    """``table`` or ``schema.table``; empty: tables that have rows at the start."""
    sessionmaker: str
    app: tuple[str, ...]
    leaks: bool
    session_monitor: bool

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read and check the options.

        Raises:
            pytest.UsageError: an option has a value that it can't have.

        """
        values = {name: config.getini(f"unstale_{name}") for name, *_ in OPTIONS}
        for name, known in (("schema", SchemaMode), ("isolation", Isolation)):
            if values[name] not in get_args(known):
                raise pytest.UsageError(
                    f"unstale_{name} is {values[name]!r}, which is not known. "
                    f"Known: {', '.join(get_args(known))}."
                )
        settings = cls(
            root=config.rootpath,
            **{
                **values,
                "alembic_ini": config.rootpath / values["alembic_ini"],
                "keep_tables": tuple(values["keep_tables"]),
                "app": tuple(values["app"]),
            },
        )
        settings._check()
        return settings

    def _check(self) -> None:
        if self.isolation != "none" and not self.database:
            raise pytest.UsageError(
                f"unstale_isolation = {self.isolation} needs unstale_database: the name of the "
                "environment variable with the database's URL."
            )
        if self.schema == "create-all" and not self.metadata:
            raise pytest.UsageError(
                "unstale_schema = create-all needs unstale_metadata: package.module:attribute."
            )
        if self.schema == "none" and self.isolation == "clone":
            raise pytest.UsageError(
                "unstale_isolation = clone needs a schema to clone: "
                "set unstale_schema to migrate or create-all."
            )

    def is_apart(self, workers: int) -> bool:
        """Whether each of *workers* gets a database of its own."""
        return workers > 1 and self.isolation != "none" and self.schema != "none"
