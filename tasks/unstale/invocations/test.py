"""``test.*``: the pipeline, and single suites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Collection, Context, task

from unstale.invocations.boundary import QuietTask, distrust, entry, finish, names, remainder
from unstale.invocations.options import RUN_HELP, RunOptions, with_run_options
from unstale.invocations.reports import NO_CI_HELP, leave, watcher, without_ci

if TYPE_CHECKING:
    from unstale.errors import UnstaleError
    from unstale.pipeline.run import RunReport
    from unstale.project import Project

__all__ = ["collection"]


@task(
    klass=QuietTask,
    help={
        **RUN_HELP,
        "verbose": "stream what builds and tests print",
        "no-ci": NO_CI_HELP,
    },
)
@with_run_options
def integration(
    ctx: Context,
    options: RunOptions,
    verbose: bool = False,
    no_ci: bool = False,
    json: bool = False,
) -> None:
    """Run the integration tests in Docker, and prove what they ran on."""
    without_ci(is_off=no_ci)
    distrust(untrusted=options.untrusted)
    with entry("run", as_json=json) as project:
        from unstale.render import console

        choices = options.choices(project, ctx)
        for line in project.header(options.env):
            console.note(line)
        watch = watcher(project, verbose=verbose)
        _tell(project, project.integration(choices, watch, options.env), as_json=json)


@task(
    klass=QuietTask,
    help={
        "envs": "the environments, in their order: dev,test,ci",
        "build": RUN_HELP["build"],
        "no-cache": RUN_HELP["no-cache"],
        "verbose": "stream what builds and tests print",
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
    json: bool = False,
) -> None:
    """Run the pipeline in several environments, and show their results in one table."""
    without_ci(is_off=no_ci)
    with entry("test-matrix", as_json=json) as project:
        from unstale.errors import UnstaleError, outcome_of, worst
        from unstale.pipeline.run import Choices
        from unstale.render import console, document
        from unstale.render.matrix import runs_document, runs_table
        from unstale.render.runs import run_row

        arguments = project.integration_arguments(remainder(ctx))
        choices = Choices(build=build or no_cache, no_cache=no_cache, arguments=arguments)
        watch = watcher(project, verbose=verbose)
        found = project.test_matrix(
            names(envs), choices, watch, lambda env: console.note(f"--- {env}")
        )
        rows = [run_row(env, one, _receipt(one)) for env, one in found]
        for env, one in found:
            if not isinstance(one, UnstaleError):
                leave(project, one)
            errors = [one] if isinstance(one, UnstaleError) else one.errors
            for error in errors:
                console.note(project.mask(f"{env}: {error}"))
        if json:
            document.print_document(runs_document(rows))
        else:
            console.print_lines([project.mask(line) for line in runs_table(rows)])
        finish(worst(outcome_of(o) if isinstance(o, UnstaleError) else o.outcome for _, o in found))


def _tell(project: Project, found: RunReport, *, as_json: bool) -> None:
    """Write the run's reports, print how it went, and end with its exit code."""
    from unstale.render import console, document

    page = leave(project, found)
    if as_json:
        body = document.run(found, project.mask)
        document.write("run", {**body, "report": str(page) if page else None})
    else:
        console.report(found, project.mask)
        if page:
            console.print_lines([f"Report: {console.relative(page)}"])
    finish(found.outcome)


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
        "no-ci": NO_CI_HELP,
    },
)
def local(ctx: Context, env: str | None = None, no_ci: bool = False, json: bool = False) -> None:
    """Run the integration tests on this machine, on a PostgreSQL without Docker."""
    without_ci(is_off=no_ci)
    with entry("run", as_json=json) as project:
        watch = watcher(project, verbose=True)
        _tell(project, project.test_local(remainder(ctx), watch, env), as_json=json)


def _receipt(found: RunReport | UnstaleError) -> str:
    from unstale.errors import UnstaleError
    from unstale.render.console import relative

    if isinstance(found, UnstaleError) or found.receipt is None:
        return ""
    return relative(found.receipt)


def _suite(ctx: Context, name: str | None, env: str | None) -> None:
    with entry("test") as project:
        from unstale.render import console

        counts = project.test_run(console.echo(project.mask), remainder(ctx), env=env, suite=name)
        console.print_lines(
            [f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"]
        )


@task(klass=QuietTask)
def run(ctx: Context, env: str | None = None) -> None:
    """Run tests in the stack that is up, or is brought up."""
    _suite(ctx, None, env)


@task(klass=QuietTask)
def smoke(ctx: Context, env: str | None = None) -> None:
    """Run the smoke suite in the stack that is up, or is brought up."""
    _suite(ctx, "smoke", env)


@task(klass=QuietTask)
def regression(ctx: Context, env: str | None = None) -> None:
    """Run the regression suite in the stack that is up, or is brought up."""
    _suite(ctx, "regression", env)


def collection() -> Collection:
    """The namespace; without a default task, since a typo would start a run."""
    return Collection("test", integration, matrix, unit, local, run, smoke, regression)
