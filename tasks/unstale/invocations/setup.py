"""``init``: set a project up."""

from __future__ import annotations

from json import dumps, loads
from typing import TYPE_CHECKING

from invoke import Context, task

from unstale.invocations.boundary import QuietTask, entry

if TYPE_CHECKING:
    from unstale.pipeline.setup import Setup
    from unstale.project import Project

__all__ = ["init", "is_wanted"]


@task(klass=QuietTask, help={"yes": "write without asking"})
def init(_ctx: Context, yes: bool = False, json: bool = False) -> None:
    """Find what this project has, show what would be written, and write it on yes."""
    with entry("init", as_json=json) as project:
        from unstale.invocations import ns
        from unstale.render import console, document, setup
        from unstale.spoken import as_typed

        planned = project.survey((*ns.tasks, *ns.collections))
        if not json:
            console.print_lines([project.mask(line) for line in setup.as_text(planned)])
        written = is_wanted(project, len(planned.changes), yes=yes, asks=not json)
        if written:
            project.set_up(planned)
        step = as_typed(setup.next_step(planned, written=written))
        if json:
            body = setup.as_document(planned, written=written, step=step)
            document.write("init", loads(project.mask(dumps(body))))
            return
        console.print_lines(["", *_ending(planned, written=written), f"Next: {step}"])


def _ending(planned: Setup, *, written: bool) -> tuple[str, ...]:
    """What became of the plan."""
    from unstale.render import console

    if written:
        return (f"Written: {', '.join(change.path for change in planned.changes)}.",)
    if not planned.changes:
        return ()
    why = "" if console.is_answerable() else ": there is no terminal to ask on"
    return (f"Nothing was written{why}.",)


def is_wanted(project: Project, count: int, *, yes: bool, asks: bool) -> bool:
    """Whether to write *count* files: said, or answered on a terminal. Else no."""
    from unstale.render import console

    if not count or yes or not asks or project.is_dry:
        return bool(count) and yes
    question = f"Write {count} file{'s' if count > 1 else ''}?"
    return console.is_answerable() and console.confirmed([], question)
