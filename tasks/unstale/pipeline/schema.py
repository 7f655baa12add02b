"""Ask the probe: once a question, where the migrations live."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from unstale import override
from unstale.afterwards import afterwards
from unstale.errors import (
    ConfigError,
    CouldNotTell,
    Interrupted,
    MigrationFailed,
    NotReady,
    TimedOut,
    Unavailable,
)
from unstale.pipeline import steps
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.ports import Command, CommandResult, Line, RunOptions
from unstale.schema import postgres, status
from unstale.schema.status import SchemaStatus
from unstale.stack.running import published

if TYPE_CHECKING:
    from unstale.pipeline.images import Bench

__all__ = ["check", "history", "is_asked", "look", "migrate", "preview", "scripts", "why_not_asked"]

# The engine's own wait came before; this one is over the tests' own way.
_READY_S = 60.0


def is_asked(site: Site) -> bool:
    """Whether the project has migrations that its database should have."""
    return site.settings.schema.setup == "migrate" and site.database is not None


def why_not_asked(site: Site) -> str:
    """Why there is nothing to compare a schema with, where it is not asked."""
    return (
        "no database" if site.database is None else f"schema.setup = {site.settings.schema.setup!r}"
    )


def look(bench: Bench, deployment: Deployment, line: Line) -> SchemaStatus | None:
    """Hear witnesses 0 to 2 and write nothing; None where it is not asked.

    Raises:
        NotReady: the container of the database ended.
        CouldNotTell: the probe gave no answer.

    """
    return _judged(bench, deployment, {"do": "look"}, line)


def check(bench: Bench, deployment: Deployment, line: Line) -> SchemaStatus | None:
    """Hear all four; the server gets a database that is built from the migrations.

    Raises:
        NotReady: the container of the database ended.
        CouldNotTell: the probe gave no answer.

    """
    return _judged(bench, deployment, {"do": "check", **_reference(bench, deployment)}, line)


def migrate(
    bench: Bench,
    deployment: Deployment,
    line: Line,
    *,
    deadline_s: float = _READY_S,
    system: str | None = None,
) -> SchemaStatus | None:
    """Wait, upgrade once under the lock, and hear all four over new connections.

    *system* identifies the only cluster that may be written to; None: that of the stack.
    A database that an upgrade can't put right is not touched: its state says why.

    Raises:
        NotReady: the container of the database ended.
        TimedOut: it went past its deadline; its sessions were ended.
        MigrationFailed: with the failing revision and the database's own words.
        CouldNotTell: the probe gave no answer.

    """
    if not is_asked(bench.site):
        return None
    # First in the name of its sessions, of which the server keeps 63 letters.
    number = os.urandom(4).hex()
    request = {"do": "migrate", "run": f"{number}:{deployment.run}", **_upgrade(bench.site)}
    request |= _reference(bench, deployment)
    system = _system(bench, deployment) if system is None else system
    try:
        facts = _asked(bench, deployment, {"system": system, **request}, line, deadline_s)
    except (TimedOut, Interrupted) as error:
        with bench.ports.held():
            _end_sessions(bench, deployment, number)
        if isinstance(error, Interrupted):
            raise
        limit = bench.site.settings.deadlines.migrate
        raise TimedOut(
            f"The migration (step migrate) did not end within {limit:g} s.",
            cause=error.cause,
            hint="see what it waits for, or raise migrate in [tool.unstale.deadlines]",
        ) from error
    if failed := facts.get("failed"):
        running = str(failed["running"]).partition("Running upgrade")[2].strip()
        raise MigrationFailed(
            "The migration failed.",
            cause="\n".join(
                [*([f"In revision {running}"] if running else []), _plain(failed["error"])]
            ),
            hint="mend the migration, then inv db.migrate",
        )
    return _status(bench, facts, system)


def _end_sessions(bench: Bench, deployment: Deployment, number: str) -> None:
    """End what a migration that was ended left in the server, which would keep its locks."""
    name = f"unstale-migrate:{number}%"
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE"
    with contextlib.suppress(ConfigError, CouldNotTell, Unavailable):
        container = steps.database_container(bench.ports, bench.site, deployment)
        postgres.rows(bench.ports.docker, container, f"{sql} '{name}'")


def preview(bench: Bench, deployment: Deployment, line: Line) -> str:
    """The SQL that `migrate` would run.

    Raises:
        CouldNotTell: env.py can't work offline, or the database does not answer.

    """
    facts = _asked(bench, deployment, {"do": "sql", **_upgrade(bench.site)}, line)
    if "sql" not in facts:
        raise CouldNotTell(
            "The migrations can't be shown as SQL.",
            cause=f"{facts.get('error')}: {facts.get('message')}",
            hint="inv db.status",
        )
    return str(facts["sql"])


def history(bench: Bench, deployment: Deployment, line: Line) -> tuple[tuple[str, str, str], ...]:
    """Lint the migrations on scratch databases: findings as rule, revision and words.

    Raises:
        CouldNotTell: no scratch database could be made, or a migration failed.

    """
    allowed = _reference(bench, deployment)
    if why := allowed.get("why_not", "" if is_asked(bench.site) else "the project has none"):
        raise CouldNotTell(
            "The history of migrations can't be checked.", cause=f"{why}.", hint="inv db.status"
        )
    request = {"do": "lint", "system": _system(bench, deployment)}
    facts = _asked(bench, deployment, request, line)
    if "findings" not in facts:
        raise CouldNotTell(
            "The history of migrations can't be checked.",
            cause=f"{facts.get('error')}: {facts.get('message')}",
            hint="inv db.status",
        )
    return tuple((str(a), str(b), str(c)) for a, b, c in facts["findings"])


def _system(bench: Bench, deployment: Deployment) -> str:
    """The identifier of the stack's own server; empty where psql can't be asked."""
    try:
        container = steps.database_container(bench.ports, bench.site, deployment)
        return postgres.system_identifier(bench.ports.docker, container)
    except (ConfigError, CouldNotTell, NotReady):
        return ""


def _judged(
    bench: Bench, deployment: Deployment, request: Mapping[str, object], line: Line
) -> SchemaStatus | None:
    if not is_asked(bench.site):
        return None
    system = _system(bench, deployment)
    facts = _asked(bench, deployment, {"system": system, **request}, line)
    return _status(bench, facts, system)


def _status(bench: Bench, facts: Mapping[str, Any], system: str) -> SchemaStatus:
    """*facts* as a state; a URL may lead to another server than *system*, the stack's."""
    found = status.judge(facts, _in_tree(bench, facts.get("scripts") or {}))
    return status.elsewhere(found, system)


def _asked(
    bench: Bench,
    deployment: Deployment,
    request: Mapping[str, object],
    line: Line,
    deadline_s: float = _READY_S,
) -> Mapping[str, Any]:
    settings = bench.site.settings.schema
    text = json.dumps(
        {
            "ini": _ini(bench.site),
            "metadata": settings.metadata,
            "seeds": list(settings.seeds),
            "deadline_s": deadline_s,
            **request,
        }
    )
    _require_running(bench, deployment)
    result = _one_off(bench.ports, bench.site, deployment, ("-", text), line)
    facts = status.answer(result.stdout)
    if facts.get("rung"):
        _require_running(bench, deployment)
    return facts


def _require_running(bench: Bench, deployment: Deployment) -> None:
    """Say at once that the stack's database ended: the probe sees only a name without address.

    Raises:
        NotReady: as `steps.require_running` tells it.

    """
    for one in steps.containers(bench.ports, deployment):
        if one.service == bench.site.database and not one.one_off:
            steps.require_running(bench.ports, one)


def _upgrade(site: Site) -> dict[str, object]:
    """How to upgrade: by Alembic's API where the command is its own."""
    command = site.settings.schema.migrate_command
    match command:
        case ("alembic", "upgrade", target) | ("alembic", "-c", _, "upgrade", target):
            return {"target": target}
        case _:
            return {"command": list(command)}


def _ini(site: Site) -> str:
    """Alembic's file: that of the migrate command, if it names one."""
    match site.settings.schema.migrate_command:
        case ("alembic", "-c", ini, "upgrade", _):
            return ini
        case _:
            return site.settings.schema.alembic_ini


def _reference(bench: Bench, deployment: Deployment) -> dict[str, object]:
    """Whether a database may be made on this server: only on one that is ours."""
    try:
        container = steps.database_container(bench.ports, bench.site, deployment)
    except NotReady as error:
        return {"why_not": error.what}
    if container.labels.get(override.LABEL_RUN) != deployment.run:
        return {"why_not": "the server was not started by unstale"}
    return {"reference": True}


def _plain(words: object) -> str:
    """The database's own words, without what SQLAlchemy adds to them."""
    return str(words).partition("(Background on")[0].strip()


# --- Where the migrations live ---------------------------------------------------


def _probe() -> bytes:
    # Read as a file, never imported: it belongs to the container's Python.
    return (Path(__file__).parents[1] / "adapters" / "database" / "probe.py").read_bytes()


def _one_off(
    ports: Ports, site: Site, deployment: Deployment, argv: Sequence[str], line: Line
) -> CommandResult:
    """Run Python with *argv* in a container that is removed after it, or on the host."""

    # What it answers is for us, and no line for a person.
    def shown(text: str) -> None:
        if not text.startswith(status.SENTINEL):
            line(text)

    service = site.settings.schema.service or site.require_runner()
    if service == "host" and site.settings.schema.service is None:
        command = Command(
            ("python", *argv),
            site.settings.deadlines.migrate,
            cwd=site.settings.root,
            env={**dict(site.values), **published(steps.containers(ports, deployment))},
            stdin=_probe(),
            changes=True,
        )
        return ports.process.run(command, shown)
    if (running := _running(ports, site, deployment, service)) is not None:
        options = RunOptions(("python", *argv), site.settings.deadlines.migrate, stdin=_probe())
        return ports.docker.execute(running, options, shown)
    # A name of its own: two shells may ask at once. Python and not the image's entry point, which
    # may well run migrations itself.
    container = f"{deployment.target.project}-probe-{os.urandom(4).hex()}"
    options = RunOptions(
        tuple(argv),
        site.settings.deadlines.migrate,
        name=container,
        stdin=_probe(),
        entrypoint="python",
    )
    with afterwards(partial(ports.docker.remove_containers, [container]), ports.held):
        return ports.docker.run(deployment.target, service, options, shown)


def _running(ports: Ports, site: Site, deployment: Deployment, service: str) -> str | None:
    """The container to ask in, where tests run inside one that is up anyway."""
    if site.settings.runner.mode != "exec":
        return None
    found = steps.containers(ports, deployment)
    return next(
        (c.id for c in found if c.service == service and c.status == "running" and not c.one_off),
        None,
    )


# --- Migrations in the image and in the tree ----------------------------------------


def _in_tree(bench: Bench, found: Mapping[str, str]) -> Mapping[str, str] | None:
    """The SHA-256 of the tree's migrations, by their paths where they ran.

    None where no build copies them: nothing says which files they were.
    """
    if _where(bench.site) == "host":  # they ran where the tree is
        return found or None
    texts = {path: source.read_bytes() for path, source in scripts(bench, found).items()}
    digests = {
        path: hashlib.sha256(text).hexdigest()
        for path, text in texts.items()
        if path in found or b"down_revision" in text
    }
    return digests or None


def _where(site: Site) -> str:
    return site.settings.schema.service or site.require_runner()


def scripts(bench: Bench, found: Mapping[str, str]) -> Mapping[str, Path]:
    """The tree's files beside the migrations *found* where they ran, by their paths there."""
    name = _where(bench.site)
    if name == "host":
        return {path: Path(path) for path in found}
    service = bench.site.stack.service(name)
    if not found or service is None or service.build is None:
        return {}
    from unstale.pipeline.images import placed

    folders = {str(PurePosixPath(path).parent) for path in found if not path.endswith("/env.py")}
    copies = {
        str(one.dest): one.source
        for one in placed(bench.inputs(service))
        if not one.derived
        if str(one.dest) in found or str(one.dest.parent) in folders
    }
    return {path: source for path, source in copies.items() if _is_script(path)}


def _is_script(path: str) -> bool:
    return path.endswith(".py")
