"""``env.*``: do the environments agree?"""

from __future__ import annotations

from invoke import Collection, Context, task

from unstale.errors import Outcome
from unstale.invocations.boundary import QuietTask, entry, finish

__all__ = ["collection"]


@task(
    klass=QuietTask,
    positional=["left", "right"],
    help={
        "left": "an environment",
        "right": "another one",
        "files-only": "compare the env files only",
        "show-values": "show values that are not secret",
        "json": "print one JSON document",
    },
)
def diff(
    _ctx: Context,
    left: str,
    right: str,
    files_only: bool = False,  # noqa: ARG001 - files are all there is yet
    show_values: bool = False,
    json: bool = False,
) -> None:
    """Compare two environments: what is missing, what is different."""
    with entry("env-diff", as_json=json) as project:
        from unstale.parity.document import to_json, to_text
        from unstale.render import console, document

        # Checked before anything else: after a typo, Invoke takes an option for
        # an environment and would go on to run a task called like the other.
        found = project.env_diff(left, right)
        if json:
            document.print_document(to_json(found, left, right, values_shown=show_values))
        else:
            console.print_lines(to_text(found, left, right, values_shown=show_values))
        if not found.parity:
            finish(
                Outcome.MISMATCH,
                "Next: make them equal, or write a [[tool.unstale.parity.allow]] with its reason",
            )


def collection() -> Collection:
    """The namespace."""
    return Collection("env", diff)
