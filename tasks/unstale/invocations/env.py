"""``env.*``: do the environments agree?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Collection, Context, task

from unstale.errors import Outcome, UsageError
from unstale.invocations.boundary import QuietTask, entry, finish, names
from unstale.invocations.reports import write_page
from unstale.spoken import as_typed

if TYPE_CHECKING:
    from unstale.parity.report import ParityReport
    from unstale.project import Project
    from unstale.render.parity import View

__all__ = ["FORMATS", "collection", "outcome", "view"]

FORMATS = ("text", "json", "github", "sarif")
"""How a comparison is written."""
_FORMAT_HELP = "text, json, github (annotations) or sarif"


@task(
    klass=QuietTask,
    positional=["left", "right"],
    help={
        "left": "an environment",
        "right": "another one",
        "files-only": "compare the env files only; needs no docker",
        "show-values": "show values that are not secret",
        "identity": "list names and published ports, too",
        "format": _FORMAT_HELP,
    },
)
def diff(
    _ctx: Context,
    left: str,
    right: str,
    files_only: bool = False,
    show_values: bool = False,
    identity: bool = False,
    format: str = "text",  # noqa: A002 - it is what users type
    json: bool = False,
) -> None:
    """Compare two environments: their env files, and what their containers get."""
    form = "json" if json else format
    with entry("env-diff", as_json=form == "json") as project:
        _require_format(form)
        from unstale.render import parity

        # Before anything else: after a typo, Invoke takes an option for an
        # environment and would go on to run a task called like the other.
        found = project.env_diff(left, right, files_only=files_only)
        seen = view(show_values=show_values, identity=identity)
        _show(
            project,
            found,
            form,
            lambda: parity.diff_document(found, seen),
            lambda: parity.diff_text(found, seen),
        )
        finish(outcome(found))


@task(
    klass=QuietTask,
    help={
        "pairs": "what to compare, like ci/test,dev/test; all pairs if not given",
        "baseline": "write what nobody explained into pyproject.toml, as allowed",
        "show-values": "show values that are not secret",
        "format": _FORMAT_HELP,
    },
)
def check(
    _ctx: Context,
    pairs: str | None = None,
    baseline: bool = False,
    show_values: bool = False,
    format: str = "text",  # noqa: A002 - it is what users type
    json: bool = False,
) -> None:
    """Hold all environments against the project's policy."""
    form = "json" if json else format
    with entry("env-check", as_json=form == "json") as project:
        _require_format(form)
        from unstale.render import console, document, parity

        found = project.env_check(_pairs(pairs))
        if baseline:
            count = project.env_baseline(found)
            console.note(
                f"{count} {'permission was' if count == 1 else 'permissions were'} added to "
                "pyproject.toml, each 'baseline, unreviewed'.\n"
                + as_typed("Next: replace each reason by a true one, then inv env.check")
            )
            if json:
                document.write("env-baseline", {"added": count})
            return
        seen = view(show_values=show_values)
        gating = project.settings.parity.has_policy
        _show(
            project,
            found,
            form,
            lambda: parity.check_document(found, seen, gating=gating),
            lambda: parity.check_text(found, seen, gating=gating),
        )
        finish(outcome(found))


@task(
    klass=QuietTask,
    help={
        "envs": "the environments, like dev,test,ci; all if not given",
        "files-only": "compare the env files only; needs no docker",
        "everything": "list what is equal, too",
        "identity": "list names and published ports, too",
        "show-values": "show values that are not secret",
        "html": "write a page to this file",
    },
)
def matrix(
    _ctx: Context,
    envs: str | None = None,
    files_only: bool = False,
    everything: bool = False,
    identity: bool = False,
    show_values: bool = False,
    html: str | None = None,
    json: bool = False,
) -> None:
    """Show all environments at once, one row a key."""
    with entry("env-matrix", as_json=json) as project:
        from unstale.render import console, document
        from unstale.render.matrix import matrix_document, matrix_page, matrix_text

        found = project.env_matrix(names(envs), files_only=files_only)
        if html is not None:
            write_page(project, html, matrix_page(found, values_shown=show_values))
            if not project.is_dry:
                console.note(f"written: {html}")
        if json:
            document.print_document(matrix_document(found, values_shown=show_values))
        elif html is None:
            console.print_lines(
                matrix_text(
                    found,
                    values_shown=show_values,
                    everything=everything,
                    identity_shown=identity,
                    width=_width(),
                )
            )


@task(
    klass=QuietTask,
    help={
        "envs": "the environments, like dev,test,ci; all if not given",
        "write": "add the keys; without it they are only listed",
        "show-values": "show values that are not secret",
    },
)
def sync(
    _ctx: Context,
    envs: str | None = None,
    write: bool = False,
    show_values: bool = False,
    json: bool = False,
) -> None:
    """Add the keys that env files lack, never another environment's secret."""
    with entry("env-sync", as_json=json) as project:
        from unstale.parity.report import sync_rows
        from unstale.parity.sync import preview
        from unstale.render import console, document
        from unstale.render.parity import sync_document, sync_text

        write = write and not project.is_dry
        found = project.env_sync(names(envs), write=write)
        rows = [row for one in found for row in sync_rows(one.name, one.text, one.plan)]
        if json:
            document.print_document(sync_document(rows, written=write))
        else:
            console.print_lines(
                [
                    *(
                        line
                        for one in found
                        for line in preview(
                            one.text,
                            replace(one.plan, path=Path(one.name)),
                            show_values=show_values,
                            mask=project.mask,
                        )
                    ),
                    *sync_text(rows, written=write),
                ]
            )
        refused = any(row.state == "refused" for row in rows)
        finish(Outcome.MISMATCH if refused else Outcome.PROVEN)


def outcome(found: ParityReport) -> Outcome:
    """What is wrong wins over what could not be told."""
    if found.parity:
        return Outcome.PROVEN
    is_wrong = bool(found.policy_findings) or any(pair.open for pair in found.pairs)
    return Outcome.MISMATCH if is_wrong else Outcome.UNKNOWN


def _pairs(listed: str | None) -> tuple[tuple[str, str], ...]:
    found = []
    for pair in names(listed):
        left, slash, right = pair.partition("/")
        if not (left and slash and right):
            raise UsageError(f"{pair!r} is no pair.", hint="--pairs ci/test,dev/test")
        found.append((left, right))
    return tuple(found)


def _require_format(form: str) -> None:
    if form not in FORMATS:
        raise UsageError(f"There is no format {form!r}.", cause=f"One of: {', '.join(FORMATS)}.")


def view(*, show_values: bool, identity: bool = False) -> View:
    """How much of a comparison is shown, and how wide."""
    from unstale.parity.servers import is_showable
    from unstale.render.parity import View

    return View(
        values_shown=show_values,
        identity_shown=identity,
        is_showable=is_showable,
        width=_width() or 100,
    )


def _width() -> int | None:
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _show(
    project: Project,
    found: ParityReport,
    form: str,
    as_document: Callable[[], dict[str, object]],
    as_text: Callable[[], tuple[str, ...]],
) -> None:
    from unstale.config import below_workspace
    from unstale.render import annotations, console, document

    match form:
        case "json":
            document.print_document(as_document())
        case "github":
            folder = below_workspace(project.environ, project.settings.root)
            document.print_text(annotations.below(folder, annotations.commands(found)))
        case "sarif":
            from unstale.render.sarif import sarif

            document.print_document(sarif(found, _version()))
        case _:
            console.print_lines(as_text())


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("unstale")
    except PackageNotFoundError:
        return "0"


def collection() -> Collection:
    """The namespace."""
    return Collection("env", diff, check, matrix, sync)
