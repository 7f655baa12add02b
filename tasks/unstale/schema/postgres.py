"""Questions to PostgreSQL, asked with the psql of its own container."""

from __future__ import annotations

from collections.abc import Sequence

from unstale.errors import CouldNotTell
from unstale.facts import ContainerFact
from unstale.ports import CommandResult, Docker, RunOptions

__all__ = ["interactive", "psql", "rows", "tables"]

# Over the container's own network address: the temporary server of the image's
# first start listens on a socket only, and socket or loopback may be trusted
# without a password. Values come from the container's environment, never argv.
_PSQL = (
    'export PGPASSWORD="${POSTGRES_PASSWORD:-}" PGCONNECT_TIMEOUT=3; '
    'if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then '
    'PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); fi; '
    'exec psql -h "$(hostname -i | cut -d" " -f1)" -U "${POSTGRES_USER:-postgres}" '
    '-d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" "$@"'
)

# One statement for all counts; format() quotes names like "Order" and "user".
_COUNTS = """
SELECT CASE WHEN table_schema = 'public' THEN table_name
            ELSE table_schema || '.' || table_name END,
       (xpath('/row/n/text()', query_to_xml(
           format('SELECT count(*) AS n FROM %I.%I', table_schema, table_name),
           false, true, '')))[1]::text
FROM information_schema.tables
WHERE table_type = 'BASE TABLE'
  AND table_schema NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1
"""


def psql(
    docker: Docker, container: ContainerFact, arguments: Sequence[str], *, deadline_s: float = 30.0
) -> CommandResult:
    """Run psql in *container* with *arguments*; its exit code is the answer's."""
    argv = ("sh", "-c", _PSQL, "psql", *arguments)
    # What it says of a connection has no code, so it must be said in one language.
    options = RunOptions(argv, deadline_s, environment=(("LC_ALL", "C"),))
    return docker.execute(container.id, options, lambda _: None)


def rows(docker: Docker, container: ContainerFact, sql: str) -> tuple[tuple[str, ...], ...]:
    """The rows that *sql* returns, as text.

    Raises:
        CouldNotTell: the server refused; the cause is its own message.

    """
    answer = psql(docker, container, ("-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql))
    if answer.returncode != 0:
        raise CouldNotTell(
            f"The database {container.service!r} did not answer a query.",
            cause=(answer.stderr or answer.stdout).strip(),
            hint="inv stack.logs",
        )
    return tuple(tuple(line.split("\t")) for line in answer.stdout.splitlines() if line)


def tables(docker: Docker, container: ContainerFact) -> tuple[tuple[str, int], ...]:
    """Each table, schema-qualified outside ``public``, with its number of rows."""
    return tuple((row[0], int(row[1])) for row in rows(docker, container, _COUNTS))


def interactive() -> tuple[str, ...]:
    """The command of a psql on the terminal, inside the container."""
    return ("sh", "-c", _PSQL, "psql")
