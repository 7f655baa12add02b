"""The examples of the docs run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

_DOCS = Path(__file__).parents[3] / "docs"
_MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
"""
_DB = """
import os
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

SessionMaker = sessionmaker(create_engine(os.environ["APP_URL"]), expire_on_commit=False)
"""
_APPLICATION = """
from app import db
from app.models import User

def test_the_application_is_led_to_the_isolation(isolated_database):
    with db.SessionMaker() as session:
        session.add(User(id=1, name="Ann"))
        session.commit()
        assert not session.expire_on_commit
    with isolated_database.session() as session:
        assert session.get(User, 1).name == "Ann"
"""


@pytest.fixture
def project(suite: Any) -> Any:
    suite.write("app/__init__.py", "")
    suite.write("app/models.py", _MODELS)
    suite.write("app/db.py", _DB)
    return suite


def examples(page: str) -> list[str]:
    """The Python blocks of *page*."""
    return re.findall(r"```python\n(.*?)```", (_DOCS / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("isolation", ["savepoint", "dirty-delete"])
def test_the_examples_of_isolation_run(project: Any, isolation: str) -> None:
    project.opts(
        isolation=isolation,
        schema="create-all",
        metadata="app.models:Base.metadata",
        sessionmaker="app.db:SessionMaker",
        leaks="true",
    )
    tests, conftest = examples("pytest-plugin.md")
    (source,) = (block for block in examples("sessions.md") if "with session_source()" in block)
    project.write("tests/test_users.py", tests)
    project.write("other/conftest.py", conftest)
    project.write("other/test_application.py", _APPLICATION)
    project.write("test_source.py", f"from app.models import User\n\n{source}")

    result = project.run()

    result.assert_outcomes(passed=4)
