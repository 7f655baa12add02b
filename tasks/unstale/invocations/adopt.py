"""``adopt``: from a Makefile or script to tasks."""

from __future__ import annotations

from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, task

from unstale.invocations.boundary import QuietTask, entry
from unstale.invocations.setup import is_wanted

if TYPE_CHECKING:
    from unstale.pipeline.adopt import Adopted

__all__ = ["adopt"]


@task(
    klass=QuietTask,
    positional=["file"],
    help={
        "file": "a Makefile or a shell script",
        "makefile": "let the targets that are understood call inv, too",
        "yes": "write without asking",
        "json": "print one JSON document",
    },
)
def adopt(
    _ctx: Context, file: str, makefile: bool = False, yes: bool = False, json: bool = False
) -> None:
    """Show what a Makefile or script becomes, line by line, and write the rest on yes."""
    with entry("adopt", as_json=json) as project:
        from unstale.invocations import ns
        from unstale.mask import joined, mask_for
        from unstale.render import adopt as shown
        from unstale.render import console, document

        ours = (*ns.tasks, *ns.collections)
        found = project.adopt(Path(file), ours, with_makefile=makefile)
        hide = joined(project.mask, mask_for(found.spoken))
        if not json:
            console.print_lines([hide(line) for line in shown.as_text(found)])
        written = is_wanted(project, len(found.changes), yes=yes, asks=not json)
        if written:
            project.set_up(found)
        if json:
            body = shown.as_document(found, written=written)
            document.write("adopt", loads(hide(dumps(body))))
            return
        console.print_lines(["", *_ending(found, written=written)])
        console.print_lines([hide(f"Next: {shown.next_step(found, written=written)}")])


def _ending(found: Adopted, *, written: bool) -> tuple[str, ...]:
    """What became of the plan."""
    if written:
        return (f"Written: {', '.join(change.path for change in found.changes)}.",)
    return ("Nothing was written.",) if found.changes else ("Nothing is to be written.",)
