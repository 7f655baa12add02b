"""What a run leaves for people and dashboards: its page, and its steps as test cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.errors import Interrupted, Unavailable, UnstaleError, UsageError

if TYPE_CHECKING:
    from unstale.image.timeline import Timeline
    from unstale.pipeline.report import Report
    from unstale.pipeline.run import RunReport
    from unstale.project import Project

__all__ = ["NO_CI_HELP", "leave", "without_ci", "write_page"]

NO_CI_HELP = "no groups, annotations and summary for a CI system, though it is one"

_PAGE, _JUNIT = "report.html", "report.junit.xml"


def leave(project: Project, found: RunReport) -> Path | None:
    """Write the reports of a run beside its evidence; returns its page.

    Whatever goes wrong here, the run's verdict stands. After a signal there is no time
    for it, and a run that was spared has those of the earlier one.
    """
    page = found.folder / _PAGE
    if found.state.reused is not None:
        return page if project.files.exists(page) else None
    if found.receipt is None or any(isinstance(e, Interrupted) for e in found.errors):
        return None
    is_written = False
    with _noted(project, "report"):
        told, drawn = project.run_report(str(found.receipt))
        with _noted(project, "report"):
            _write(project, found.folder, told, drawn)
            is_written = True
        with _noted(project, "summary"):
            _tell_ci(project, told)
    return page if is_written else None


@contextmanager
def _noted(project: Project, missing: str) -> Iterator[None]:
    """Say what is *missing* where a block fails, and go on."""
    from unstale.errors import overlooked
    from unstale.render.console import note

    try:
        yield
    except Interrupted:
        raise
    except UnstaleError as error:
        with overlooked():
            note(project.mask(f"There is no {missing} of this run: {error.what}"))


def _write(project: Project, folder: Path, told: Report, drawn: Timeline | None) -> None:
    from unstale.pipeline.report import tests_of
    from unstale.render.junit import merged
    from unstale.render.report import report

    tests, why_not = tests_of(project.files, folder)
    project.files.write_atomic(folder / _JUNIT, merged(told, tests, why_not))
    project.files.write_atomic(folder / _PAGE, report(told, drawn))


def _tell_ci(project: Project, told: Report) -> None:
    """Show the run where GitHub shows it: at its lines, and in the summary of the step."""
    from unstale.config import below_workspace, ci_system

    if ci_system(project.environ) != "github":
        return
    from unstale.render.annotations import below, of_run
    from unstale.render.console import print_orders
    from unstale.render.summary import MOST_BYTES, summary

    root = project.settings.root
    found = of_run(told, lambda path: project.files.exists(root / path))
    print_orders(below(below_workspace(project.environ, root), found))
    if name := project.environ.get("GITHUB_STEP_SUMMARY"):
        path = Path(name)
        _, size = project.files.end_of(path, 0) or (b"", 0)
        project.files.append(path, summary(told, MOST_BYTES - size))


def without_ci(*, is_off: bool) -> None:
    """Let no log be told what a CI system would obey, to the end of the command line."""
    if is_off:
        os.environ["UNSTALE_CI"] = "0"


def write_page(project: Project, name: str, text: str) -> None:
    """Write a page where a task's ``--html`` wants it."""
    try:
        project.files.write_atomic(Path(name), text)
    except Unavailable as error:
        raise UsageError(error.what, cause=error.cause, hint="--html FILE") from error
