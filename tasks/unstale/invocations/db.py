"""``db.*``: the database of the standing stack."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps, loads
from typing import TYPE_CHECKING

from invoke import Collection, Context, task
from invoke.exceptions import Exit

from unstale.errors import Outcome, outcome_of
from unstale.invocations.boundary import QuietTask, entry, finish, remainder
from unstale.invocations.options import VIEW_HELP

if TYPE_CHECKING:
    from unstale.project import Project
    from unstale.schema.status import SchemaStatus

__all__ = ["collection"]


@task(
    klass=QuietTask,
    help={
        "sql": "print what would run as SQL, and run nothing",
        "timeout": "seconds to wait for the server and for other migrations",
        **VIEW_HELP,
    },
)
def migrate(
    _ctx: Context,
    env: str | None = None,
    sql: bool = False,
    timeout: int = 60,
    verbose: bool = False,
    quiet: bool = False,
    plain: bool = False,
    json: bool = False,
) -> None:
    """Wait for the real server, upgrade it, and prove the result."""
    with entry("db-status", as_json=json) as project:
        from unstale.render import console, document
        from unstale.render.progress import View, alone

        if sql:
            line = console.echo(project.mask, verbose=False)
            shown = project.mask(project.db_preview(line, env))
            if json:
                document.write("db-migrate-sql", {"sql": shown})
            else:
                console.print_lines(shown.splitlines())
            return
        view = View(verbose=verbose, quiet=quiet, plain=plain, json=json)
        with alone(project, view, "db.migrate", streams=False) as line:
            found = project.db_migrate(line, env, deadline_s=float(timeout))
        _tell(project, found, as_json=json)


@task(klass=QuietTask)
def status(
    _ctx: Context,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Compare applied with available migrations, and models with tables; write nothing."""
    with entry("db-status", as_json=json) as project:
        from unstale.render import console

        found = project.db_status(console.echo(project.mask, verbose=False), env)
        _tell(project, found, as_json=json)


@task(
    klass=QuietTask,
    help={
        "history": "also run each migration up, down and up again on a scratch database",
    },
)
def check(
    _ctx: Context,
    env: str | None = None,
    history: bool = False,
    json: bool = False,
) -> None:
    """The same, and the catalog against a database that these migrations made."""
    with entry("db-status", as_json=json) as project:
        from unstale.render import console, text

        line = console.echo(project.mask, verbose=False)
        findings = project.db_history(line, env) if history else None
        found = project.db_check(line, env)
        if findings is not None and not json:
            console.print_lines(text.history(findings, len(found.available)))
        _tell(project, found, as_json=json, findings=findings)
        if findings:
            finish(Outcome.MISMATCH, f"Next: {text.history_next(findings)}")


def _tell(
    project: Project,
    found: SchemaStatus | None,
    *,
    as_json: bool,
    findings: Sequence[tuple[str, str, str]] | None = None,
) -> None:
    """Print a status, and end with what it means; *findings* are the history's, None: not asked."""
    from unstale.render import console, document, text
    from unstale.schema.status import problem

    if found is None:
        if as_json:
            document.write("db-status", {"state": None, "explanation": "not asked"})
        else:
            console.print_lines(text.schema(None))
        return
    if as_json:
        _document(project, found, findings)
    else:
        console.print_lines(text.schema(found))
    if (error := problem(found)) is not None:
        # The evidence is in the report already.
        finish(outcome_of(error), project.mask(f"{error.what}\nNext: {error.hint}"))


def _document(
    project: Project, found: SchemaStatus, findings: Sequence[tuple[str, str, str]] | None
) -> None:
    from unstale.render import document

    body = {
        **found.to_json(),
        "history_checked": findings is not None,
        "history": [{"rule": a, "revision": b, "finding": c} for a, b, c in findings or ()],
    }
    document.print_document(loads(project.mask(dumps(body))))


@task(klass=QuietTask)
def tables(
    _ctx: Context,
    env: str | None = None,
    json: bool = False,
) -> None:
    """List the tables with their numbers of rows."""
    with entry("db-tables", as_json=json) as project:
        from unstale.render import console, document

        found = project.db_tables(env)
        if json:
            body = [{"table": name, "rows": count} for name, count in found]
            document.write("db-tables", {"tables": body})
        else:
            lines = [f"{name:<40} {count:>10}" for name, count in found]
            console.print_lines(lines or ["There is no table."])


@task(klass=QuietTask)
def settings(
    _ctx: Context,
    env: str | None = None,
    json: bool = False,
) -> None:
    """List the server's settings that are not by default, each with its source."""
    with entry("db-settings", as_json=json) as project:
        from unstale.render import console, document, text

        found = project.db_settings(env)
        if json:
            document.write("db-settings", {"settings": [one.to_json() for one in found]})
        else:
            console.print_lines(text.settings(found))


@task(klass=QuietTask, help={"yes": "do not ask"})
def reset(_ctx: Context, env: str | None = None, yes: bool = False, json: bool = False) -> None:
    """Start over: remove the database with its data, start it anew and migrate it."""
    with entry("db-status", as_json=json) as project:
        from unstale.render import console, document

        if yes or _may_be_removed(project, env):
            found = project.db_reset(console.echo(project.mask, verbose=False), env)
            _tell(project, found, as_json=json)
        elif json:
            document.write("db-status", {"state": None, "explanation": "nothing was removed"})
        else:
            console.print_lines(["Nothing was removed."])


def _may_be_removed(project: Project, env: str | None) -> bool:
    """Ask for the database of the standing stack, which may have data of days."""
    from unstale.render import console

    name = project.settings.environment(env).name
    typed = " ".join(["inv db.reset --yes", *([f"--env {name}"] if env else [])])
    console.require_answerable("Removing a database", typed)
    row = f"The database of the standing stack of {name!r} will be removed, with all its data."
    return console.confirmed([row], "Remove it?")


@task(klass=QuietTask)
def shell(ctx: Context, env: str | None = None) -> None:
    """Open psql in the container; after ``--``, psql's own arguments."""
    with entry("db-shell") as project:
        from unstale.render import console

        answer = project.db_shell(remainder(ctx), env)
        console.print_lines(answer.stdout.splitlines())
        if answer.stderr:
            console.note(project.mask(answer.stderr.rstrip()))
        if answer.returncode:
            raise Exit(code=answer.returncode)


def collection() -> Collection:
    """The namespace."""
    return Collection("db", migrate, status, check, tables, settings, shell, reset)
