"""The migrations, as far as they can be judged without a database."""

import io
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from accounts.models import Base

ALEMBIC_INI = Path(__file__).parents[1] / "alembic.ini"


def revisions() -> list[Script]:
    """Return all revisions, oldest first."""
    scripts = ScriptDirectory.from_config(Config(ALEMBIC_INI))
    return list(reversed(list(scripts.walk_revisions())))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("JWT_SECRET", "unit-only-41d7c09e6fb84a2d97c3e5a1")
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://nobody@db.example.com/x")


def sql(span: str, *, down: bool = False) -> str:
    """Return what a step would execute, without the version table's own lines."""
    written = io.StringIO()
    config = Config(ALEMBIC_INI, output_buffer=written)
    step = command.downgrade if down else command.upgrade
    step(config, span, sql=True)
    return "\n".join(
        line
        for line in written.getvalue().splitlines()
        if line.startswith(("CREATE", "ALTER", "DROP", "UPDATE"))
        and "alembic_version" not in line
    )


def test_the_history_is_one_line() -> None:
    """Each revision follows the one before it."""
    ids = [script.revision for script in revisions()]

    assert [script.down_revision for script in revisions()] == [None, *ids[:-1]]


@pytest.mark.parametrize("script", revisions(), ids=lambda script: script.revision)
def test_no_revision_is_hollow(script: Script) -> None:
    """Each does something, and takes it back."""
    before = script.down_revision or "base"

    assert sql(f"{before}:{script.revision}")
    assert sql(f"{script.revision}:{before}", down=True)


def test_every_table_of_the_models_is_created() -> None:
    """And none besides."""
    created = {
        line.split()[2]
        for line in sql("head").splitlines()
        if line.startswith("CREATE TABLE")
    }

    assert created == set(Base.metadata.tables)
