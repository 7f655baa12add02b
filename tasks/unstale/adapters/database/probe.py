"""Reads what Alembic and the database say, inside the project's container.

This file is piped to the container's Python, so it stands alone: nothing of
unstale is installed there, and the oldest Python it must run on is 3.8.

It never writes. Alembic's own ``history -i`` would create ``alembic_version``;
the project's env.py is run in an EnvironmentContext with a function that only
reads (the way of ``alembic check``). One line of JSON follows a sentinel,
because env.py may print and log what it likes.
"""

import json
import sys

SENTINEL = "unstale-probe:"


def _metadata_tables(context):
    """Schema-qualified names of the tables of the project's models."""
    target = context.opts.get("target_metadata")
    if target is None:
        return None
    group = target if isinstance(target, (list, tuple)) else [target]
    return [(t.schema, t.name) for metadata in group for t in metadata.tables.values()]


def _present(connection, version_table):
    """Tables of the database by schema, without the version table."""
    from sqlalchemy import inspect

    inspector = inspect(connection)
    found = []
    for schema in inspector.get_schema_names():
        if schema in ("information_schema",) or schema.startswith("pg_"):
            continue
        found += [(schema, name) for name in inspector.get_table_names(schema=schema)]
    return inspector.default_schema_name, [t for t in found if t[1] != version_table]


def probe(ini):
    """What is applied, what is available, and which tables there are."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import text

    config = Config(ini)
    scripts = ScriptDirectory.from_config(config)
    facts = {
        "heads": sorted(scripts.get_heads()),
        "available": [r.revision for r in scripts.walk_revisions()],
    }

    def read(applied, context):
        connection = context.connection
        default, present = _present(connection, context.version_table)
        wanted = _metadata_tables(context)
        facts["applied"] = sorted(applied)
        facts["tables"] = sorted(
            name if schema == default else schema + "." + name for schema, name in present
        )
        facts["missing_tables"] = (
            None
            if wanted is None
            else sorted(
                name if schema in (None, default) else schema + "." + name
                for schema, name in wanted
                if (schema or default, name) not in present
            )
        )
        if connection.dialect.name == "postgresql":
            row = connection.execute(
                text("SELECT current_database(), current_user, current_setting('search_path')")
            ).one()
            facts["database"], facts["user"], facts["search_path"] = row
        return []

    with EnvironmentContext(config, scripts, fn=read, dont_mutate=True):
        scripts.run_env()
    return facts


if __name__ == "__main__":
    try:
        answer = probe(sys.argv[1])
    except BaseException as error:  # whatever env.py raises is the answer
        answer = {"error": type(error).__name__, "message": str(error).strip()[-2000:]}
    sys.stdout.write("\n" + SENTINEL + json.dumps(answer) + "\n")
