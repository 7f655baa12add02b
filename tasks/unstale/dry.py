"""A project in which nothing is changed: what would be is told instead.

Each method that would change something tells it all and then raises `NotDone`; what
only asks (compose, git, the engine's lists, files) is asked. Code of the checkout is
not run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from unstale.adapters.docker import DockerCli
from unstale.adapters.files import DryFiles
from unstale.adapters.leases import Dead, Endpoint, Lease, Leases
from unstale.config import STATE_FOLDER
from unstale.errors import (
    EngineUnavailable,
    Interrupted,
    Mismatch,
    NotDone,
    UnstaleError,
    outcome_of,
    worst,
)
from unstale.mask import Mask
from unstale.ports import Command, Line
from unstale.project import Project, called

if TYPE_CHECKING:
    from unstale.image.check import ImageStatus
    from unstale.image.local import Cleaning
    from unstale.parity.report import ParityReport
    from unstale.pipeline.adopt import Adopted
    from unstale.pipeline.envsync import Synced
    from unstale.pipeline.forecast import Forecast
    from unstale.pipeline.junit import Counts
    from unstale.pipeline.run import Choices, Run, RunReport
    from unstale.pipeline.setup import Setup
    from unstale.pipeline.site import Deployment, Progress, Site, StepResult
    from unstale.schema.status import SchemaStatus
    from unstale.stack.lifecycle import Sweep

__all__ = ["DryProject", "dried"]

_ELSEWHERE_S = 5.0  # as `stack_reap` waits for another engine


class _Leases(Leases):
    """The leases of this machine, which are only read."""

    @property
    def owner(self) -> str:
        if (self.folder / "machine").exists():
            return super().owner
        return f"{'0' * 16}-{os.getuid()}"  # nothing was ever made here

    @property
    def seal(self) -> bytes:
        if (self.folder / "seal").exists():
            return super().seal
        return os.urandom(32).hex().encode()  # so nothing is sealed here

    @contextmanager
    def held(self, run: str, endpoint: Endpoint | None = None) -> Iterator[Lease]:
        del endpoint
        before, self._held = self._held, run
        try:
            yield Lease(run)
        finally:
            self._held = before

    @contextmanager
    def locked(self, name: str, *, shared: bool = False, patience_s: float = 0.0) -> Iterator[None]:
        del name, shared, patience_s
        yield

    def dead(self, *, homeless: bool = False) -> tuple[Dead, ...]:
        return self.seen_dead(homeless=homeless)  # and what is not a lease yet stays


class _Unseen:
    """Watches a run that is not made."""

    def begin(self, step: str) -> None:
        del step

    def end(self, result: StepResult) -> None:
        del result

    def command(self, text: str) -> None:
        del text

    def log(self, step: str) -> Line:
        del step
        return lambda _: None


@dataclass(frozen=True, slots=True)
class DryProject(Project):
    """A `Project` that tells what it would do."""

    tell: Line

    def image_build(
        self,
        line: Line,
        *,
        env: str | None = None,
        services: Sequence[str] = (),
        everything: bool = False,
        no_cache: bool = False,
        pull: bool = False,
        arguments: Sequence[str] = (),
        note: Line | None = None,
    ) -> tuple[ImageStatus, ...]:
        """Tell which images would be built."""
        from unstale.pipeline import images, rehearsal, steps

        del line, note
        site = self._site_to_start(env)
        for service in services:
            steps.require_service(site, service, built=True)
        chosen = images.statuses(self._looked_over(site), services or None)
        forced = everything or no_cache or pull or bool(arguments)
        unsure = [] if forced else rehearsal.not_compared(chosen, self.tell)
        wanted = [s for s in chosen if s not in unsure and (forced or images.needs_build(s))]
        rehearsal.build(self.ports, site, wanted, self.tell, no_cache=no_cache)
        rehearsal.require_compared(unsure)
        self._end()

    def image_clean(
        self,
        env: str | None = None,
        *,
        dry_run: bool = False,
        confirm: Callable[[Cleaning], bool] = lambda _: True,
    ) -> Cleaning:
        """What would be removed."""
        del dry_run
        return Project.image_clean(self, env, dry_run=True, confirm=confirm)

    def stack_up(self, line: Line, env: str | None = None) -> Deployment:
        """Tell what would be started."""
        from unstale.pipeline import images, rehearsal

        del line
        site = self._site_to_start(env)
        images.require_present(self.ports, site)
        rehearsal.start(self.ports, site, self.standing(site, create=True), self.tell)
        self._end()

    def stack_down(self, env: str | None = None) -> int:
        """Tell what would be removed."""
        name = self.site(env).environment.name
        found = [text for run, _ in self._to_end(name) for text in self._left(self.docker, run)]
        self._end(*(found or ("nothing to remove",)))

    def stack_reap(self, *, homeless: bool = True) -> tuple[Sweep, ...]:
        """Tell what dead runs left in this engine, and in those that their leases note."""
        self.docker.check()
        texts, errors = self._dead_leave(homeless=homeless)
        for text in texts or ("nothing is left over",):
            self.tell(text)
        if errors:
            raise errors[0]
        self._end()

    def _dead_leave(
        self, *, homeless: bool = True
    ) -> tuple[tuple[str, ...], tuple[UnstaleError, ...]]:
        """What a sweep would remove, in words, and why it can't be told of an engine."""
        from unstale.stack.lifecycle import dead_runs

        texts: list[str] = []
        errors: list[UnstaleError] = []
        (here, _), *_ = places = self._places(homeless=homeless)
        for place, died in places:
            docker, where = (
                self.docker.at(place, _ELSEWHERE_S),
                "" if place == here else f"{called(place)}: ",
            )
            try:
                runs = {*died, *dead_runs(docker, self.leases.owner, self._lives)}
                texts += [where + text for run in sorted(runs) for text in self._left(docker, run)]
            except EngineUnavailable as error:
                if place == here:
                    raise
                texts.append(f"{called(place)} could not be swept: {error.what}")
                errors.append(error)
        return tuple(texts), tuple(errors)

    def _left(self, docker: DockerCli, run: str) -> tuple[str, ...]:
        from unstale.pipeline import rehearsal

        return rehearsal.left(docker, self._labels(run))

    def db_migrate(
        self, line: Line, env: str | None = None, *, deadline_s: float = 60.0
    ) -> SchemaStatus | None:
        """Tell what would be started and run."""
        del deadline_s
        self.stack_up(line, env)
        return None

    def db_reset(self, line: Line, env: str | None = None) -> SchemaStatus | None:
        """Tell what would be removed, and made anew."""
        from unstale import override
        from unstale.pipeline import steps

        site = self._site_to_start(env)
        deployment = self._with_database(site)
        container = steps.database_container(self.ports, site, deployment)
        ours = self.docker.volumes({override.LABEL_RUN: deployment.run})
        named = [m.name for m in container.mounts if m.name in ours]
        self.tell(f"would remove container {container.name} and its data")
        for name in named:
            self.tell(f"would remove volume {name}")
        return self.db_migrate(line, env)

    def test_run(
        self,
        line: Line,
        arguments: Sequence[str],
        *,
        env: str | None = None,
        suite: str | None = None,
    ) -> Counts:
        """Tell what would be started, and how the tests would be run."""
        from unstale.pipeline import images, rehearsal, tests

        del line
        site = self._site_to_test(env)
        paths = self._suite(suite)
        statuses = images.statuses(self._bench(site))
        unsure = rehearsal.not_compared(statuses, self.tell)
        old = [s.service for s in statuses if s not in unsure and images.needs_build(s)]
        if old:
            raise Mismatch(
                f"Not built from what is here: {', '.join(old)}.",
                cause="The tests would not be run.",
                hint="inv image.build, then the same again",
            )
        deployment = self.standing(site, create=True)
        rehearsal.start(self.ports, site, deployment, self.tell)
        words = tests.arguments_for(paths, arguments)
        rehearsal.tested(self.ports, site, deployment, words, self.tell)
        rehearsal.require_compared(unsure)
        self._end()

    def test_local(
        self,
        arguments: Sequence[str],
        watch: Callable[[Mask, Path], Progress],
        env: str | None = None,
    ) -> RunReport:
        """Tell on which server the tests would be run, and how."""
        from unstale.pipeline import tests
        from unstale.pipeline.local_environment import URL, python_of

        del watch
        settings, suites = self.settings, self.settings.suites
        if env is not None and env not in settings.environments:
            settings.environment(env)
        theirs = bool(self.environ.get(URL))
        self.tell(
            f"would use the server at {URL}" if theirs else "would start a PostgreSQL of its own"
        )
        self.tell(f"would migrate it: {' '.join(settings.schema.migrate_command)}")
        paths = suites.get("local", suites.get("integration", ()))
        words = tests.arguments_for(paths, arguments)
        argv = (python_of(settings.root, self.environ), "-m", "pytest", *words)
        self.process.run(Command(argv, settings.deadlines.tests, changes=True))
        raise AssertionError("BUG: a dry run ran something. Please report it.")

    def integration(
        self, choices: Choices, watch: Callable[[Mask, Path], Progress], env: str | None = None
    ) -> RunReport:
        """Tell each step of a run."""
        from unstale.pipeline import rehearsal

        del watch
        site = self._site_to_test(env)
        remarks = (*self._preflight(site), *self._without_git())
        self._looked_over(site)
        wanted = self._wanted(site, choices, remarks)
        with self.leases.held(wanted.id):
            rehearsal.rehearse(wanted, self._dead_leave()[0], self.tell)
        self._end()

    def _wanted(self, site: Site, choices: Choices, remarks: tuple[str, ...] = ()) -> Run:
        """A run of which only the looks are taken."""
        from unstale.pipeline.run import Run

        return Run(
            id=os.urandom(4).hex(),
            ports=self.ports,
            files=self.files,
            site=site,
            choices=choices,
            progress=_Unseen(),
            sweep=lambda: "",
            compare=lambda: self.env_check(in_shell=site.environment.name),
            keep=lambda _: None,
            environ=self.environ,
            believes=self._believes,
            remarks=remarks,
        )

    def plan(self, choices: Choices, env: str | None = None) -> Forecast:
        """What a run would do, why, and how long it would take."""
        from unstale.pipeline import forecast, history, rehearsal

        receipts = history.past(self.files, self.settings.state_folder / "receipts")
        try:
            site = self._site_to_start(env)
        except EngineUnavailable as error:
            wanted = self._wanted(self.site(env, without_engine=True), choices)
            return forecast.blind(wanted, error, receipts)
        try:
            remarks = (*self._preflight(site), *self._without_git())
            self._looked_over(site)
        except Interrupted:
            raise
        except UnstaleError as error:
            return forecast.refused(self._wanted(site, choices), error, receipts)
        wanted = self._wanted(site, choices, remarks)
        with self.leases.held(wanted.id):
            left = self._dead_leave()[0]
            return forecast.forecast(wanted, rehearsal.look(wanted), left, receipts)

    def test_matrix(
        self,
        envs: Sequence[str],
        choices: Choices,
        watch: Callable[[Mask, Path], Progress],
        begin: Line = lambda _: None,
    ) -> tuple[tuple[str, RunReport | UnstaleError], ...]:
        """Tell each step of each run; what is wrong in one does not hide the others."""
        found = Project.test_matrix(self, envs, choices, watch, begin)
        errors = [error for _, error in found if isinstance(error, UnstaleError)]
        decisive = worst(outcome_of(error) for error in errors)
        for error in errors:
            if not isinstance(error, NotDone) and outcome_of(error) is decisive:
                raise error
        self._end()

    def env_baseline(self, report: ParityReport) -> int:
        """Tell that pyproject.toml would be written."""
        count = Project.env_baseline(self, report)
        self._end(f"would add {count} permissions to pyproject.toml")

    def set_up(self, planned: Setup | Adopted) -> None:
        """Tell what would be written."""
        Project.set_up(self, planned)
        self._end()

    def write_workflow(self, place: Path, text: str) -> None:
        """Tell what would be written."""
        del text
        self._end(f"would write {place}")

    def env_sync(self, names: Sequence[str] = (), *, write: bool = False) -> tuple[Synced, ...]:
        """What would be added."""
        del write
        return Project.env_sync(self, names, write=False)

    def _end(self, *texts: str) -> NoReturn:
        for text in texts:
            self.tell(text)
        raise NotDone("")


def dried(project: Project, tell: Line) -> DryProject:
    """*project*, in which nothing is changed.

    Raises:
        UsageError: there is no home folder.

    """
    leases = _Leases(project.environ)
    own = (project.settings.root / STATE_FOLDER, leases.folder)
    parts = {one.name: getattr(project, one.name) for one in fields(Project)}
    parts |= {
        "leases": leases,
        "files": DryFiles(tell, own),
        "docker": DockerCli(
            project.process, project.environ, project.settings.deadlines.engine, leases
        ),
    }
    return DryProject(**parts, tell=tell)
