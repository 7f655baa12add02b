"""Questions to PostgreSQL, asked with the psql of its own container."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from unstale.errors import CouldNotTell
from unstale.facts import ContainerFact
from unstale.jsontext import narrowed
from unstale.mask import is_secret
from unstale.ports import CommandResult, Docker, RunOptions

__all__ = ["Setting", "interactive", "psql", "rows", "settings", "system_identifier", "tables"]

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

_NARROWED = narrowed(
    lambda why: CouldNotTell(
        "The database's answer can't be read.",
        cause=f"It is not what psql prints for the query ({why}).",
        hint="inv db.shell",
    )
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
            hint="inv stack.logs" if container.status == "running" else "inv stack.up",
        )
    return tuple(tuple(line.split("\t")) for line in answer.stdout.splitlines() if line)


@_NARROWED
def tables(docker: Docker, container: ContainerFact) -> tuple[tuple[str, int], ...]:
    """Each table, schema-qualified outside ``public``, with its number of rows."""
    return tuple((row[0], int(row[1])) for row in rows(docker, container, _COUNTS))


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the server that is not its default."""

    name: str
    value: str
    """With its unit; hidden where it may hold a password."""
    source: str
    """``command line``, ``configuration file``, ``database``, ``user`` ..."""
    place: str
    """The file, if it is from one."""

    def to_json(self) -> dict[str, str]:
        """As it stands in documents and receipts."""
        return {
            "name": self.name,
            "value": self.value,
            "source": self.source,
            "file": self.place,
        }


# What a client, this session or the build of the server sets says nothing of the stack.
_SETTINGS = """
SELECT json_build_array(
       name, CASE WHEN unit IS NULL THEN setting ELSE setting || ' ' || unit END, source,
       coalesce(sourcefile, ''))
  FROM pg_settings
 WHERE source NOT IN ('default', 'client', 'session', 'override', 'environment variable')
 ORDER BY name
"""


@_NARROWED
def settings(docker: Docker, container: ContainerFact) -> tuple[Setting, ...]:
    """The server's settings that are not by default, each with its source."""
    # As JSON: log_line_prefix may well hold a tab.
    found = [json.loads(row[0]) for row in rows(docker, container, _SETTINGS)]
    texts = ((str(one) for one in row) for row in found)
    return tuple(Setting(n, _shown(n, value), source, place) for n, value, source, place in texts)


def _shown(name: str, value: str) -> str:
    # A connection string or a command may carry a password.
    may_tell = "conninfo" in name or name.endswith("_command") or is_secret(name, value)
    return "(hidden)" if may_tell and value else value


@_NARROWED
def system_identifier(docker: Docker, container: ContainerFact) -> str:
    """What no two clusters have in common."""
    sql = "SELECT system_identifier FROM pg_control_system()"
    return rows(docker, container, sql)[0][0]


def interactive() -> tuple[str, ...]:
    """The command of a psql on the terminal, inside the container."""
    return ("sh", "-c", _PSQL, "psql")
