"""``image.*``: is it built from what is here?"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from invoke import Collection, Context, task

from unstale.errors import Mismatch, Outcome, UsageError
from unstale.invocations.boundary import QuietTask, distrust, entry, finish
from unstale.invocations.options import VIEW_HELP
from unstale.invocations.reports import write_page

if TYPE_CHECKING:
    from unstale.image.local import Cleaning

__all__ = ["collection"]

_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@task(
    klass=QuietTask,
    help={
        "service": "only this one",
        "fail-on-stale": "end with 3 if an image is stale or missing",
    },
)
def status(
    _ctx: Context,
    service: str | None = None,
    fail_on_stale: bool = False,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Say for each built service whether its image is fresh, and why not."""
    with entry("image-status", as_json=json) as project:
        found = project.image_status(env, service)
        # Not before: the first command to docker would wait for these.
        from unstale.render import console
        from unstale.verdict import Missing, Stale, Unknown

        if json:
            from unstale.render import document

            document.write(
                "image-status", document.image_status(found, project.stack_containers(env))
            )
        else:
            from unstale.render import text

            known = project.image_background(found, env)
            console.print_lines(text.image_status(found, known, env))
        verdicts = [s.verdict for s in found]
        if fail_on_stale and any(isinstance(v, Stale | Missing) for v in verdicts):
            finish(Outcome.MISMATCH, "Next: inv image.build")
        if any(isinstance(v, Unknown) for v in verdicts):
            finish(Outcome.UNKNOWN, "Next: inv image.build")


@task(
    klass=QuietTask,
    iterable=["service", "build_arg"],
    help={
        "all": "build every service, fresh or not",
        "no-cache": "build the chosen services without the layer cache, fresh or not",
        "pull": "ask the registry for newer base images",
        "service": "only this one; may be repeated",
        "build-arg": "KEY=VALUE; may be repeated",
        "untrusted": "refuse a stack that reaches out of its containers",
        **VIEW_HELP,
    },
)
def build(
    _ctx: Context,
    service: list[str],
    build_arg: list[str],
    all: bool = False,  # noqa: A002 - the option is called --all
    no_cache: bool = False,
    pull: bool = False,
    untrusted: bool = False,
    env: str | None = None,
    verbose: bool = False,
    quiet: bool = False,
    plain: bool = False,
) -> None:
    """Build what is stale, and stamp the proof on it."""
    distrust(untrusted=untrusted)
    with entry("image-build") as project:
        from unstale.render import console, text
        from unstale.render.progress import View, alone

        for argument in build_arg or ():
            if not _ARGUMENT.match(argument):
                raise UsageError(
                    f"--build-arg {argument[:80]!r} has no value, or no name.",
                    cause="A name is of letters, digits and '_', and does not begin with a digit.",
                    hint="--build-arg KEY=VALUE",
                )
        view = View(verbose=verbose, quiet=quiet, plain=plain)
        with alone(project, view, "image.build", streams=True) as line:
            found = project.image_build(
                line,
                env=env,
                services=service or (),
                everything=all,
                no_cache=no_cache,
                pull=pull,
                arguments=build_arg or (),
                note=console.echo(project.mask),
            )
        known = project.image_background(found, env)
        console.print_lines(text.image_status(found, known, env))


@task(
    klass=QuietTask,
    name="list",
    help={"history": "show how each layer was made"},
)
def list_(
    _ctx: Context,
    env: str | None = None,
    history: bool = False,
    json: bool = False,
) -> None:
    """List every image of each service, dangling ones too; secrets of a build are masked."""
    with entry("image-list", as_json=json) as project:
        from unstale.render import console, document, text

        found = project.image_list(env)
        layers = {i.fact.id: project.image_layers(i) for i in found} if history else {}
        if json:
            document.write("image-list", document.image_list(found, layers))
        else:
            console.print_lines(text.image_list(found, layers))


@task(
    klass=QuietTask,
    help={
        "grep": "a fixed text that must be in the file",
        "regex": "an extended regular expression that must match a line",
        "path": "a file or folder in the image; what it copied if not given",
        "service": "the service whose image it is; the runner if not given",
    },
)
def verify(
    _ctx: Context,
    grep: str | None = None,
    regex: str | None = None,
    path: str | None = None,
    service: str | None = None,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Look for the fix in the image and compare bytes, without running it."""
    with entry("image-verify", as_json=json) as project:
        from unstale.render import console, document, text

        if grep and regex:
            raise UsageError("--grep and --regex exclude each other.", hint="give one of them")
        found = project.image_verify(env=env, service=service, path=path, grep=grep, regex=regex)
        if json:
            document.write("image-verify", document.image_verify(found))
        else:
            console.print_lines(text.image_verify(found))
        if found.finding:
            # A build mends bytes that differ; what is in no file it can't bring.
            verb = "build" if found.differences else "status"
            error = Mismatch(found.finding, hint=f"inv image.{verb} --service {found.service}")
            finish(Outcome.MISMATCH, str(error))


@task(
    klass=QuietTask,
    help={
        "service": "only this one",
        "html": "write the drawing to this file, as one page that needs nothing else",
    },
)
def timeline(
    _ctx: Context,
    service: str | None = None,
    html: str | None = None,
    env: str | None = None,
    json: bool = False,
) -> None:
    """Draw builds against commits, and the gap to the first one an image lacks."""
    with entry("image-timeline", as_json=json) as project:
        from unstale.render import console, document
        from unstale.render import html as page
        from unstale.render import timeline as drawing

        shown = project.image_timeline(env, service)
        if html:
            write_page(project, html, page.timeline(shown))
        if json:
            document.write("image-timeline", document.image_timeline(shown))
        else:
            width = max(60, shutil.get_terminal_size((80, 24)).columns)
            console.print_lines(drawing.timeline(shown, width))
        if html and not project.is_dry:
            console.note(f"Written: {html}")


@task(
    klass=QuietTask,
    help={"dry-run": "only say what would be removed", "yes": "do not ask"},
)
def clean(
    _ctx: Context,
    env: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
) -> None:
    """Remove the images of this project's services, none that is in use elsewhere."""
    with entry("image-clean") as project:
        from unstale.render import console, text

        dry_run = dry_run or project.is_dry
        if not (yes or dry_run):
            console.require_answerable(
                "Removing images", "inv image.clean --dry-run to see which, --yes to remove them"
            )

        def confirm(plan: Cleaning) -> bool:
            return console.confirmed(text.image_clean(plan, done=False), "Remove them?")

        found = project.image_clean(
            env, dry_run=dry_run, confirm=(lambda _: True) if yes else confirm
        )
        console.print_lines(text.image_clean(found, done=not dry_run))


def collection() -> Collection:
    """The namespace."""
    return Collection("image", status, build, list_, verify, timeline, clean)
