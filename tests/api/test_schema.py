"""The migrations build what the models describe."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from accounts.models import Base

pytestmark = pytest.mark.integration


def test_autogenerate_finds_nothing_to_do(engine: Engine) -> None:
    """A column in the models without a migration would be a difference."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )

        assert compare_metadata(context, Base.metadata) == []
