"""``test.*``: the pipeline, and single suites."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invoke import Collection, Context, task

from unstale.invocations.boundary import QuietTask, distrust, entry, finish, names, remainder
from unstale.invocations.hints import hinted
from unstale.invocations.options import RUN_HELP, VIEW_HELP, RunOptions, with_run_options
from unstale.invocations.reports import NO_CI_HELP, leave, without_ci
from unstale.spoken import as_typed

if TYPE_CHECKING:
    from unstale.errors import UnstaleError
    from unstale.pipeline.run import RunReport
    from unstale.render.progress import Showing

__all__ = ["collection"]


@task(
    klass=QuietTask,
    help={
        **RUN_HELP,
        **VIEW_HELP,
        "no-ci": NO_CI_HELP,
    },
)
@with_run_options
def integration(
    ctx: Context,
    options: RunOptions,
    verbose: bool = False,
    no_ci: bool = False,
    quiet: bool = False,
    plain: bool = False,
    json: bool = False,
) -> None:
    """Run the integration tests in Docker, and prove what they ran on."""
    without_ci(is_off=no_ci)
    distrust(untrusted=options.untrusted)
    with entry("run", as_json=json) as project:
        from unstale.pipeline import history
        from unstale.pipeline.run import planned
        from unstale.render.progress import Showing, View

        view = View(verbose=verbose, quiet=quiet, plain=plain, json=json)
        choices = options.choices(project, ctx)
        name = project.settings.environment(options.env).name
        showing = Showing(project, view, planned(choices), history.kind(name, choices))
        if not quiet:
            showing.say(project.header(options.env))
        with showing.drawn() as watch:
            found = project.integration(choices, watch, options.env)
        _tell(found, showing)


@task(
    klass=QuietTask,
    help={
        "envs": "the environments, in their order: dev,test,ci",
        "build": RUN_HELP["build"],
        "no-cache": RUN_HELP["no-cache"],
        **VIEW_HELP,
        "no-ci": NO_CI_HELP,
    },
)
def matrix(
    ctx: Context,
    envs: str,
    build: bool = False,
    no_cache: bool = False,
    verbose: bool = False,
    no_ci: bool = False,
    quiet: bool = False,
    plain: bool = False,
    json: bool = False,
) -> None:
    """Run the pipeline in several environments, and show their results in one table."""
    without_ci(is_off=no_ci)
    with entry("test-matrix", as_json=json) as project:
        from unstale.errors import UnstaleError, outcome_of, worst
        from unstale.pipeline import history
        from unstale.pipeline.run import Choices, planned
        from unstale.render import console, document
        from unstale.render.matrix import runs_document, runs_table
        from unstale.render.progress import Showing, View
        from unstale.render.runs import run_row

        arguments = project.integration_arguments(remainder(ctx))
        choices = Choices(build=build or no_cache, no_cache=no_cache, arguments=arguments)
        view = View(verbose=verbose, quiet=quiet, plain=plain, json=json)
        showing = Showing(project, view, planned(choices), history.kind("", choices))

        def begin(env: str) -> None:
            showing.kind = replace(showing.kind, environment=env)
            showing.say([f"--- {env}"])

        with showing.drawn(has_report=False) as watch:
            found = project.test_matrix(names(envs), choices, watch, begin)
        rows = [run_row(env, one, _receipt(one)) for env, one in found]
        for env, one in found:
            if not isinstance(one, UnstaleError):
                leave(project, one)
            errors = [one] if isinstance(one, UnstaleError) else one.errors
            hinted(errors)
            for error in errors:
                console.note(as_typed(project.mask(f"{env}: {error}")))
        if json:
            document.print_document(runs_document(rows))
        else:
            console.print_lines([project.mask(line) for line in runs_table(rows)])
        finish(worst(outcome_of(o) if isinstance(o, UnstaleError) else o.outcome for _, o in found))


@task(klass=QuietTask)
def unit(ctx: Context) -> None:
    """Run the unit tests on this machine, without Docker."""
    with entry("test") as project:
        from unstale.render import console

        project.test_unit(console.echo(project.mask), remainder(ctx))


@task(
    klass=QuietTask,
    help={
        "env": "whose env files are used; default-env of [tool.unstale] if not given",
        **VIEW_HELP,
        "no-ci": NO_CI_HELP,
    },
)
def local(
    ctx: Context,
    env: str | None = None,
    verbose: bool = False,
    quiet: bool = False,
    plain: bool = False,
    no_ci: bool = False,
    json: bool = False,
) -> None:
    """Run the integration tests on this machine, on a PostgreSQL without Docker."""
    without_ci(is_off=no_ci)
    with entry("run", as_json=json) as project:
        from unstale.pipeline.history import RunKind
        from unstale.pipeline.local import NAME, STEPS
        from unstale.render.progress import Showing, View

        view = View(verbose=verbose, quiet=quiet, plain=plain, json=json)
        arguments = remainder(ctx)
        kind = RunKind(NAME, arguments=project.local_arguments(arguments))
        showing = Showing(project, view, STEPS, kind, streams=True)
        with showing.drawn() as watch:
            found = project.test_local(arguments, watch, env)
        _tell(found, showing)


def _tell(found: RunReport, showing: Showing) -> None:
    """Write the run's reports, print how it went, and end with its exit code."""
    from unstale.render import document

    hinted(found.errors)
    page = leave(showing.project, found)
    if showing.view.json:
        body = document.run(found, showing.project.mask)
        document.write("run", {**body, "report": str(page) if page else None})
    else:
        showing.report(found, page)
    finish(found.outcome)


def _receipt(found: RunReport | UnstaleError) -> str:
    from unstale.errors import UnstaleError
    from unstale.render.console import relative

    if isinstance(found, UnstaleError) or found.receipt is None:
        return ""
    return relative(found.receipt)


def _suite(ctx: Context, task: str, env: str | None, seen: tuple[bool, bool, bool]) -> None:
    with entry("test") as project:
        from unstale.render import console
        from unstale.render.progress import View, alone

        suite = task.removeprefix("test.")
        with alone(project, View(*seen), task, streams=True) as line:
            counts = project.test_run(
                line, remainder(ctx), env=env, suite=None if suite == "run" else suite
            )
        console.print_lines(
            [f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"]
        )


def _of_suite(name: str, does: str) -> Any:
    """The task of one suite: they differ in nothing but which that is."""

    def body(
        ctx: Context,
        env: str | None = None,
        verbose: bool = False,
        quiet: bool = False,
        plain: bool = False,
    ) -> None:
        _suite(ctx, f"test.{name}", env, (verbose, quiet, plain))

    body.__name__, body.__doc__ = name, f"{does} in the stack that is up, or is brought up."
    return task(klass=QuietTask, help=VIEW_HELP)(body)


run = _of_suite("run", "Run tests")
smoke = _of_suite("smoke", "Run the smoke suite")
regression = _of_suite("regression", "Run the regression suite")


def collection() -> Collection:
    """The namespace; without a default task, since a typo would start a run."""
    return Collection("test", integration, matrix, unit, local, run, smoke, regression)
