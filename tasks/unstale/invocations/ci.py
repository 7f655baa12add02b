"""``ci.*``: a workflow for the project at hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from invoke import Collection, Context, task

from unstale.errors import UsageError
from unstale.invocations.boundary import QuietTask, entry

if TYPE_CHECKING:
    from pathlib import Path

    from unstale.project import Project

__all__ = ["collection"]

# Written into YAML as it is.
_BRANCH = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
# A package of uv's lock; where one is only needed, it is named within a line.
_LOCKED = re.compile(r'^name = "unstale"\r?$', re.MULTILINE)


@task(
    klass=QuietTask,
    help={
        "provider": "github or gitlab; if not given, gitlab where .gitlab-ci.yml is there",
        "write": "write it where the provider looks for it, on yes",
        "yes": "write without asking",
    },
)
def workflow(
    _ctx: Context,
    provider: str | None = None,
    write: bool = False,
    yes: bool = False,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Print a workflow to start from, or write it: GitHub Actions or GitLab CI."""
    with entry("ci-workflow", as_json=json) as project:
        from unstale.render import console, document
        from unstale.render import workflow as templates

        root = project.settings.root
        has_gitlab = (root / templates.PLACES["gitlab"]).exists()
        chosen = templates.provider_of(provider or "", has_gitlab=has_gitlab)
        # Refused before it is written down: a name that no environment has.
        name = project.settings.environment(env).name if env else ""
        job = templates.Job(name, _default_branch(project), _has_lock(project))
        text, place = templates.text(chosen, job), root / templates.PLACES[chosen]
        if write:
            _require_top(root)
        written = write and _written(project, place, text, yes=yes)
        if json:
            body = {"provider": chosen, "path": templates.PLACES[chosen], "text": text}
            document.write("ci-workflow", {**body, "written": written})
        elif written:
            console.print_lines([f"Written: {templates.PLACES[chosen]}"])
        elif not write:
            console.print_lines(text.splitlines())
        else:
            console.print_lines(["Nothing was written."])


def _require_top(root: Path) -> None:
    """See that *root* is what a provider checks out: it looks nowhere else for its file."""
    real = root.resolve()
    top = next((one for one in (real, *real.parents) if (one / ".git").exists()), real)
    if top != real:
        raise UsageError(
            f"{real.relative_to(top)} is not the top of its repository.",
            cause="A provider looks for its file at the top alone, and starts each command there.",
            hint="copy what this prints, and set the working directory: inv ci.workflow",
        )


def _has_lock(project: Project) -> bool:
    """Whether uv has locked unstale with the project: without that it can't run it from there."""
    lock = project.settings.root / "uv.lock"
    return lock.is_file() and _LOCKED.search(project.files.read_text(lock)) is not None


def _default_branch(project: Project) -> str:
    """The branch that a clone of the project checks out, as git noted it; else main."""
    noted = project.settings.root / ".git" / "refs" / "remotes" / "origin" / "HEAD"
    if not noted.is_file():
        return "main"
    head = project.files.read_text(noted).strip().removeprefix("ref: refs/remotes/origin/")
    return head if _BRANCH.fullmatch(head) else "main"


def _written(project: Project, place: Path, text: str, *, yes: bool) -> bool:
    """Write *text*, if that is wanted; what somebody wrote there is left alone."""
    from unstale.render import console

    name = place.relative_to(project.settings.root)
    if place.exists() or place.is_symlink():
        if place.is_file() and project.files.read_text(place) == text:
            return True
        raise UsageError(
            f"{name} is there, and is another one.",
            cause="What somebody wrote there is not replaced.",
            hint="take what you want from: inv ci.workflow",
        )
    if not yes and not project.is_dry:
        console.require_answerable(f"Writing {name}", "inv ci.workflow --write --yes")
        if not console.confirmed([f"{name} will be written."], "Write it?"):
            return False
    project.write_workflow(place, text)
    return True


def collection() -> Collection:
    """The namespace."""
    return Collection("ci", workflow)
