"""``db.*``: the database of the standing stack."""

from __future__ import annotations

from json import dumps, loads

from invoke import Collection, Context, task
from invoke.exceptions import Exit

from unstale.errors import outcome_of
from unstale.invocations.boundary import QuietTask, entry, finish, remainder

__all__ = ["collection"]


@task(klass=QuietTask)
def migrate(_ctx: Context, env: str | None = None) -> None:
    """Wait for the real server, upgrade it, and prove that the tables are there."""
    with entry("db-status") as project:
        from unstale.render import console, text

        found = project.db_migrate(console.echo(project.mask, verbose=False), env)
        console.print_lines(text.schema(found))


@task(klass=QuietTask, help={"json": "print one JSON document"})
def status(
    _ctx: Context,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Compare applied with available migrations, and look at the tables."""
    with entry("db-status", as_json=json) as project:
        from unstale.render import console, document, text
        from unstale.schema.status import problem

        found = project.db_status(console.echo(project.mask, verbose=False), env)
        if json:
            document.print_document(loads(project.mask(dumps(found.to_json()))))
        else:
            console.print_lines(text.schema(found))
        if (error := problem(found)) is not None:
            finish(outcome_of(error), project.mask(str(error)))


@task(klass=QuietTask, help={"json": "print one JSON document"})
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
    return Collection("db", migrate, status, tables, shell)
