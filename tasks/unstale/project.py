"""A project and what can be asked of it: the Python API and composition root.

The only module that names adapters. What a method alone needs it imports: the
first command to docker must not wait for what it runs beside. Invoke's tasks
call it, and so may you::

    from unstale import Project

    for status in Project.open().image_status():
        print(status.service, status.verdict)
"""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

from unstale import config
from unstale.adapters import watchdog
from unstale.adapters.clock import SystemClock
from unstale.adapters.docker import REMOTES, DockerCli
from unstale.adapters.files import DiskFiles
from unstale.adapters.git import GitCli
from unstale.adapters.leases import Endpoint, Leases
from unstale.adapters.places import refuse_links
from unstale.adapters.process import SystemProcess
from unstale.adapters.signals import Signals
from unstale.afterwards import afterwards
from unstale.errors import (
    ConfigError,
    CouldNotTell,
    EngineUnavailable,
    Fault,
    Interrupted,
    Mismatch,
    NotReady,
    TearDownFailed,
    TestsFailed,
    TimedOut,
    UnknownName,
    UnstaleError,
    UsageError,
    overlooked,
)
from unstale.mask import Mask, joined, mask_for
from unstale.ports import Command, CommandResult, Line
from unstale.stack.names import STANDING, image_project, run_project, standing_run
from unstale.stack.target import target_of

if TYPE_CHECKING:
    from unstale import compose
    from unstale.facts import BuildRecord, ContainerFact, DiskSpace, EngineRoom
    from unstale.image.check import ImageStatus
    from unstale.image.explain import Background
    from unstale.image.local import Cleaning, LocalImage
    from unstale.image.timeline import Timeline
    from unstale.image.verify import VerifyResult
    from unstale.parity.matrix import Matrix
    from unstale.parity.reads import Reads
    from unstale.parity.report import ParityReport
    from unstale.pipeline.adopt import Adopted
    from unstale.pipeline.containers import StackStatus
    from unstale.pipeline.environments import Ground
    from unstale.pipeline.envsync import Synced
    from unstale.pipeline.explanation import Answer, Explanation, Kind
    from unstale.pipeline.forecast import Forecast
    from unstale.pipeline.history import Past, RunKind
    from unstale.pipeline.images import Bench
    from unstale.pipeline.junit import Counts
    from unstale.pipeline.receipt import Receipt, Sign
    from unstale.pipeline.report import Report
    from unstale.pipeline.run import Choices, RunReport
    from unstale.pipeline.setup import Setup
    from unstale.pipeline.shelf import Found
    from unstale.pipeline.site import Deployment, Ports, Progress, Site
    from unstale.pipeline.vouch import Keys, Now, Seal, Verification
    from unstale.schema.postgres import Setting
    from unstale.schema.status import SchemaStatus
    from unstale.stack.lifecycle import Sweep

__all__ = ["Project"]

_NOT_TRUSTED = "that would run code of this checkout; UNSTALE_TRUST=1 allows it"
_MARKS = ("tasks.py", "pyproject.toml", ".git")
# For those who start or migrate the standing stack: one after the other.
_CHANGE_S = 120.0
_SERVER_S = 60.0
# For a run that is over and to be kept: another one that is kept removes a stack first.
_KEEP_S = 10.0
# For those who look into it; who tests in it is not waited for.
_END_S = 5.0
# For an answer of an engine that a dead run used, and that may be gone for good: of that
# each later run waits for the shorter one.
_ELSEWHERE_S, _IN_PASSING_S = 5.0, 2.0
_NOTED = ("lease", "kept")  # the files that are about a run
# The engine goes on with what a command asked for that a signal or its deadline ended: on a
# machine with eight times the load it can bear a container came after two empty listings.
_SETTLE_S = 1.0
_CLEAR_S = 10.0


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _leased(
    method: Callable[Concatenate[Project, _P], _R],
) -> Callable[Concatenate[Project, _P], _R]:
    """Run a method under a lease: what it starts ends with this process, however that ends."""

    @functools.wraps(method)
    def leased(self: Project, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.leases.ours(self.docker.endpoint):
            return method(self, *args, **kwargs)

    return leased


@dataclass(frozen=True, slots=True)
class Project:
    """A checkout, its settings, and the adapters that reach the world."""

    settings: config.Settings
    docker: DockerCli
    git: GitCli
    clock: SystemClock
    process: SystemProcess
    files: DiskFiles
    leases: Leases
    signals: Signals
    environ: Mapping[str, str]

    @classmethod
    def open(
        cls,
        root: Path | None = None,
        *,
        signals: Signals | None = None,
        dry: bool = False,
        echo: Line | None = None,
        tell: Line = print,
    ) -> Project:
        """Open the project that *root*, by default the working folder, is in.

        The project's folder is the nearest one upwards with a ``pyproject.toml``,
        ``tasks.py`` or ``.git``. *echo* is told each command before it is run, without
        secrets. *dry*: nothing is changed; *tell* hears what would be, and then a
        method raises `NotDone`.

        Raises:
            UsageError: its settings are wrong.
            Unavailable: what is written to is a link.

        """
        folder = find_root(root or Path.cwd())
        refuse_links(folder / config.STATE_FOLDER)
        environ = dict(os.environ)
        # It is the name of a run that this process is a part of, and would go before ours.
        environ.pop(watchdog.TAG, None)
        if not config.trusts_code(environ):
            environ |= dict.fromkeys(REMOTES, "false")
        process, files = SystemProcess(dry=dry, echo=echo), DiskFiles()
        settings = config.load(folder, files, environ)
        leases = Leases(environ)
        project = cls(
            settings=settings,
            docker=DockerCli(process, environ, settings.deadlines.engine, leases),
            git=GitCli(process, folder),
            clock=SystemClock(),
            process=process,
            files=files,
            leases=leases,
            signals=signals or Signals(),
            environ=environ,
        )
        if dry or echo:
            process.hide = project.mask
        if not dry:
            return project
        from unstale.dry import dried

        return dried(project, lambda text: tell(process.hide(text)))

    @property
    def is_dry(self) -> bool:
        """Whether nothing is changed."""
        return self.process.is_dry

    # --- what a project is -------------------------------------------------

    def site(
        self, env: str | None = None, *, is_look: bool = False, without_engine: bool = False
    ) -> Site:
        """Resolve an environment: its stack, roles, variables and mask.

        *is_look*: it is only asked of the engine, which then tells that it is gone.
        *without_engine*: compose alone is asked.

        Raises:
            UnknownName: no such environment, or no such runner or database.
            MissingFile: a compose or env file is not there.
            ConfigError: compose refuses the files.
            EngineUnavailable: no engine, or a plugin is missing or too old.

        """
        environment = self.settings.environment(env)
        target = target_of(self.settings, environment)
        values: dict[str, str | None] = {}
        # Asked first: it refuses a folder that somebody else may write to, and the record
        # of docker's plugins names programs.
        owner = self.leases.owner
        known = self.leases.folder / "docker.json" if is_look and not self.is_dry else None

        def meanwhile() -> None:
            if environment.env_files:
                from unstale.parity import envfile

                values.update(envfile.merged(environment.env_files))
            # Its error comes first: without its plugin, compose seems to refuse the files.
            if not without_engine:
                self.docker.check(_load, known)

        resolved = self.docker.config(target, meanwhile, known)
        model = resolved.model
        from unstale import compose
        from unstale.pipeline.site import Site, runner_of

        stack = compose.parse(model)
        if not stack.services:
            raise ConfigError(
                f"The stack of {environment.name!r} has no service.",
                cause=f"There is none in {', '.join(str(f) for f in environment.compose_files)}.",
                hint="look at compose-files in [tool.unstale]",
                fault=Fault.CONTENT,
            )
        _require_profiles(environment, stack)
        passed = [pair for s in stack.services for pair in (*s.environment, *_arguments(s))]
        given = [(k, self.environ.get(k) if v is None else v) for k, v in passed]
        mask = mask_for((*values.items(), *given))
        # A command may have secrets of each environment that was looked at.
        self.process.hide = joined(self.process.hide, mask)
        return Site(
            settings=self.settings,
            environment=environment,
            stack=stack,
            target=target,
            runner=runner_of(environment, stack),
            database=_database(environment, stack),
            values=tuple((k, v) for k, v in values.items() if v is not None),
            mask=mask,
            owner=owner,
            machine_folder=self.leases.folder,
            seal=self.leases.seal,
            model=model,
            warnings=resolved.warnings,
        )

    def _site_to_start(self, env: str | None) -> Site:
        """The site of what is about to be built or started.

        Raises:
            ConfigError: it is untrusted, and reaches out of its containers.

        """
        site = self.site(env)
        if config.is_untrusted(self.environ):
            from unstale.pipeline import reach

            reach.require_none(self.docker, self.files, site, self.environ)
        return site

    def _site_to_test(self, env: str | None) -> Site:
        """The same, of what tests are about to run in.

        Raises:
            ConfigError: it is not clear where they run, or what `_site_to_start` says.

        """
        site = self._site_to_start(env)
        site.require_runner()
        return site

    def reaches(self, env: str | None = None) -> tuple[str, ...]:
        """What the stack reaches outside of its containers, in a line each."""
        from unstale.pipeline import reach

        return reach.told(self.site(env))

    @property
    def ports(self) -> Ports:
        """The effects, as the pipeline takes them."""
        from unstale.pipeline.site import Ports

        held = self.signals.held
        return Ports(self.docker, self.git, self.clock, self.process, held, self.is_dry)

    @property
    def mask(self) -> Mask:
        """Hides the secrets of every environment, whichever is asked for."""
        masks: list[Mask] = []
        for path in (p for e in self.settings.environments.values() for p in e.env_files):
            from unstale.parity import envfile

            try:
                masks.append(mask_for(envfile.merged([path])))
            except Interrupted:
                raise
            except UnstaleError:
                continue  # the task that needs this file will say so
        return joined(*masks)

    def header(self, env: str | None = None) -> tuple[str, ...]:
        """What a run's first lines say: image times beside HEAD."""
        site = self.site(env)
        head = self.git.head()
        lines = []
        for service in site.stack.built:
            image = self.docker.image(service.image)
            when = image.created.isoformat(" ", "seconds") if image and image.created else "never"
            lines.append(f"image  {service.name}: built {when}")
        text = f"{head.sha} {head.committed_at:%Y-%m-%d %H:%M:%S %z} {head.subject}" if head else ""
        from unstale.pipeline import engines, reach

        lines += [f"engine {engines.PODMAN}"] if self.docker.is_podman() else []
        lines += [f"reach  {what}" for what in reach.told(site)]
        return (*lines, f"HEAD   {text or 'no git commit'}")

    def integration_arguments(self, given: Sequence[str]) -> tuple[str, ...]:
        """The test command's arguments: the suite's if configured, then *given*."""
        from unstale.pipeline import tests

        return tests.arguments_for(self.settings.suites.get("integration", ()), given)

    def local_arguments(self, given: Sequence[str]) -> tuple[str, ...]:
        """The test command's arguments without Docker: the suite's if configured, then *given*."""
        from unstale.pipeline import tests

        suites = self.settings.suites
        return tests.arguments_for(suites.get("local", suites.get("integration", ())), given)

    # --- images ------------------------------------------------------------

    def image_status(
        self, env: str | None = None, service: str | None = None
    ) -> tuple[ImageStatus, ...]:
        """The verdict for each built service."""
        site = self.site(env, is_look=True)
        # Not before: `site` loads it while docker answers.
        from unstale.pipeline import images

        if service:
            from unstale.pipeline import steps

            steps.require_service(site, service, built=True)
        return images.statuses(self._looked_over(site), [service] if service else None)

    def reread(self) -> Project:
        """The same project with its settings as they are written now.

        Raises:
            ConfigError: they are wrong.

        """
        settings = config.load(self.settings.root, self.files, self.environ)
        return replace(self, settings=settings)

    def changes(self) -> Iterator[frozenset[str]]:
        """What changes below the project's folder, as paths relative to it; the first is empty.

        Raises:
            UsageError: watchfiles, of the extra ``watch``, is not installed.

        """
        from unstale.adapters.watcher import changes

        return changes(self.settings.root, self.signals)

    def footing(self, env: str | None = None) -> tuple[Site, tuple[ImageStatus, ...]]:
        """What an environment is, and the verdict for each built service."""
        site = self.site(env, is_look=True)
        from unstale.pipeline import images

        return site, images.statuses(self._looked_over(site))

    def _looked_over(self, site: Site) -> Bench:
        """The bench of *site*, unless its builds lack what git did not check out."""
        bench = self._bench(site)
        if self.git.absent_submodules():
            from unstale.pipeline import preflight

            preflight.require_checked_out(bench)
        return bench

    def _bench(self, site: Site) -> Bench:
        from unstale.pipeline.images import Bench

        return Bench(self.ports, self.files, site, self.environ)

    @_leased
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
        """Build what is stale, stamp it, and return what is proven then.

        With *no_cache*, the chosen services are built fresh or not. *note* hears what is
        remarkable; by default *line* does, which hears what builds print.

        Raises:
            BuildFailed: a build failed.
            Mismatch: an image does not hold the bytes that are here.
            CouldNotTell: the tree changed during the build.

        """
        from unstale.pipeline import builds, images, preflight, steps

        site = self._site_to_start(env)
        for remark in preflight.blanks(self.ports, self.files, site):
            (note or line)(f"Note: {remark}.")
        for service in services:
            steps.require_service(site, service, built=True)
        chosen = images.statuses(self._looked_over(site), services or None)
        forced = everything or no_cache or pull or bool(arguments)
        wanted = [s.service for s in chosen if forced or images.needs_build(s)]
        if not wanted:
            return chosen
        bench = self._bench(site)
        choice = builds.Build(no_cache=no_cache, pull=pull, arguments=tuple(arguments))
        typed = (argument.partition("=") for argument in arguments)
        new = mask_for((key, value) for key, _, value in typed)
        hide = joined(site.mask, new)
        with _hidden(hide), self._weighing():
            for told in builds.build(bench, wanted, choice, lambda text: line(hide(text))):
                (note or line)(told)
        after = images.statuses(self._bench(site), services or None)
        if not arguments:
            images.require_fresh([s for s in after if images.needs_build(s)])
        return after

    def image_verify(
        self,
        *,
        env: str | None = None,
        service: str | None = None,
        path: str | None = None,
        grep: str | None = None,
        regex: str | None = None,
    ) -> VerifyResult:
        """Look into an image without running it; unasked, for what the settings say."""
        from unstale.pipeline import looks

        wanted = looks.Wanted(service, path, grep, regex)
        return looks.look(self._bench(self.site(env)), wanted)

    def image_background(
        self, statuses: Sequence[ImageStatus], env: str | None = None
    ) -> Background:
        """What git and the ledger of builds know beside *statuses*."""
        from unstale.image.explain import background

        return background(self.git, self.settings.root, statuses, self._builds(env))

    def _builds(self, env: str | None) -> tuple[BuildRecord, ...]:
        from unstale.image.ledger import parse_records

        name = self.settings.environment(env).name
        path = self.settings.state_folder / "builds" / f"{name}.jsonl"
        return parse_records(self.files.read_text(path)) if self.files.exists(path) else ()

    def image_timeline(self, env: str | None = None, service: str | None = None) -> Timeline:
        """The builds of each service, or of one, against the commits since the first of them."""
        from unstale.image.timeline import oldest_build, timeline

        statuses = self.image_status(env, service)
        names = {status.service for status in statuses}
        records = tuple(r for r in self._builds(env) if r.service in names)
        local = tuple(i for i in self.image_list(env) if i.service in names)
        oldest = oldest_build(local, records)
        later = (self.git.commits_since(oldest) or ()) if oldest is not None else ()
        # One more: what was there before the first build.
        commits = (*later, *self.git.log(limit=len(later) + 1))
        return timeline(
            self.settings.environment(env).name,
            statuses,
            local,
            records,
            commits,
            self.image_background(statuses, env),
        )

    def image_list(self, env: str | None = None) -> tuple[LocalImage, ...]:
        """Every image of this environment's built services, dangling ones too."""
        return self._local_images(self.site(env))

    def _local_images(self, site: Site) -> tuple[LocalImage, ...]:
        from unstale.image.local import local_images
        from unstale.stack.lifecycle import PROJECT

        return local_images(
            site.stack.built,
            self.docker.images_called([s.image for s in site.stack.built]),
            self.docker.images({PROJECT: site.target.project}),
            self.docker.containers({}),
        )

    def image_layers(self, image: LocalImage) -> tuple[str, ...]:
        """How each layer of *image* was made, newest first, without secret values."""
        from unstale.image.layers import masked_history

        return masked_history(self.docker.history(image.fact.id), self.mask)

    def image_clean(
        self,
        env: str | None = None,
        *,
        dry_run: bool = False,
        confirm: Callable[[Cleaning], bool] = lambda _: True,
    ) -> Cleaning:
        """Remove the images of this environment's built services.

        Never one that a container was made from, or that has a name which no
        service here has. *confirm* is asked first; after a "no" nothing is removed.
        """
        from unstale.image.local import cleaning, settled

        site = self.site(env)
        plan = cleaning(self._local_images(site), site.stack.built)
        if dry_run:
            return plan
        if not plan.removed or not confirm(plan):
            return replace(plan, removed=())
        # By each of its names: the engine refuses an id that has several.
        self.docker.remove_images([n for i in plan.removed for n in i.fact.tags or (i.fact.id,)])
        left = self.docker.images_called([image.fact.id for image in plan.removed])
        return settled(plan, frozenset(left))

    # --- the standing stack --------------------------------------------------

    def standing(self, site: Site, *, create: bool) -> Deployment:
        """The checkout's standing stack; *create* writes it down if there is none.

        Raises:
            NotReady: there is none, and none is to be made.

        """
        if create:
            self._preflight(site)
        name = site.environment.name
        if stands := self._stands(name):
            return self._deployment(site, *stands)
        if not create:
            raise NotReady(f"No stack of {name!r} is up.", hint="inv stack.up")
        run, project = self._standing_names(name)
        self.files.write_atomic(self._record(name), f"{run} {project}\n")
        return self._deployment(site, run, project)

    def _preflight(self, site: Site) -> tuple[str, ...]:
        """Refuse a stack that can't come up; returns what is only suspicious, in words."""
        from unstale.pipeline import preflight, resources

        blanks = preflight.blanks(self.ports, self.files, site)
        preflight.require(self.ports, site)
        room = self.docker.room()
        return (*blanks, *resources.warnings(room, self._spaces(room)))

    def _spaces(self, room: EngineRoom | None) -> tuple[DiskSpace, ...]:
        """The disks that are written to: the engine's, if it is here, and the checkout's."""
        root = room.data_root if room else ""
        # Path.is_dir fails below a folder that may not be looked into.
        here = [Path(root)] if os.path.isdir(root) else []  # noqa: PTH112
        places = [*here, self.settings.state_folder]
        return tuple(one for place in places if (one := self.files.space(place)))

    def _weighed(self, error: UnstaleError) -> UnstaleError:
        """*error*, explained if something ran out: what is left of it, and who has the rest."""
        from unstale.adapters.docker_words import no_address
        from unstale.pipeline import resources

        is_short = error.fault is Fault.RESOURCES
        if not is_short and not isinstance(error, TestsFailed | NotReady | CouldNotTell):
            return error
        with overlooked():
            spaces = self._spaces(self.docker.room())
            found = None
            if is_short and no_address(error.cause):
                labels = self.docker.networks({})
                found = resources.leaks(labels, self.leases.owner, self._lives)
            if is_short or resources.full(spaces):
                return resources.explain(error, spaces, found)
        return error

    @contextmanager
    def _weighing(self) -> Iterator[None]:
        """Errors that come out of here say what is left, where something ran out."""
        try:
            yield
        except Interrupted:
            raise
        except UnstaleError as error:
            raise self._weighed(error) from error

    def _without_git(self) -> tuple[str, ...]:
        """In words that no revision can be told, and why."""
        if self.git.head() is not None:
            return ()
        why = "git has none here"
        if self.git.is_foreign():
            advice = f"git config --global --add safe.directory {self.settings.root}"
            why = f"git takes no repository of another user ({advice})"
        return (f"no commit is named: {why}",)

    def _standing_names(self, environment: str) -> tuple[str, str]:
        root = self.settings.root
        return standing_run(root, environment), f"{image_project(root, environment)}-up"

    def _stands(self, environment: str) -> tuple[str, str] | None:
        """The run and the compose project of the standing stack, if there is a record of one.

        A record that names another checkout's is none: it came with this checkout, and
        whoever believed it would look into that stack, and take it down. Of a kept run
        there is a mark outside of the checkout, which may have been cleaned.
        """
        kept = self._kept(environment)
        try:
            run, project = self._record(environment).read_text().split()
        except (OSError, ValueError):
            return kept[0] if kept else None
        if (run, project) == self._standing_names(environment) or (run, project) in kept:
            return run, project
        return None

    def _kept(self, environment: str) -> tuple[tuple[str, str], ...]:
        """The run and the compose project of each stack that a run here was asked to keep."""
        root = self.settings.root
        return tuple((run, run_project(root, run)) for run in self.leases.kept(root, environment))

    def _to_end(self, environment: str) -> tuple[tuple[str, str], ...]:
        """All that is to go with the standing stack, as run and compose project."""
        # Without its record (somebody cleaned the checkout) it still has its name.
        first = self._stands(environment) or self._standing_names(environment)
        return tuple(dict.fromkeys((first, *self._kept(environment))))

    def _deployment(self, site: Site, run: str, project: str) -> Deployment:
        from unstale.pipeline import steps

        proven = {
            s.name: image.id
            for s in site.stack.built
            if (image := self.docker.image(s.image)) is not None
        }
        return steps.deploy(
            self.files,
            site,
            run=run,
            project=project,
            images=proven,
            unique=True,
            is_podman=self.docker.is_podman(),
        )

    def _record(self, environment: str) -> Path:
        return self.settings.state_folder / "standing" / environment

    @contextmanager
    def _used(self, environment: str) -> Iterator[None]:
        """Nobody ends the standing stack meanwhile; others may use it, too."""
        with self.leases.locked(self._lock(environment, "use"), shared=True, patience_s=_CHANGE_S):
            yield

    @contextmanager
    def _changed(self, environment: str, *, patience_s: float = _CHANGE_S) -> Iterator[None]:
        """Nobody else changes the standing stack meanwhile.

        Raises:
            Unavailable: somebody does.

        """
        with self.leases.locked(self._lock(environment, "change"), patience_s=patience_s):
            yield

    @contextmanager
    def _ended(self, environment: str, *, patience_s: float = _CHANGE_S) -> Iterator[None]:
        """Nobody uses the standing stack meanwhile.

        Raises:
            Unavailable: somebody does: tests, or a migration.

        """
        with (
            self._changed(environment, patience_s=patience_s),
            self.leases.locked(self._lock(environment, "use"), patience_s=_END_S),
        ):
            yield

    def _lock(self, environment: str, kind: str) -> str:
        return f"{standing_run(self.settings.root, environment)}.{kind}"

    @_leased
    def stack_up(self, line: Line, env: str | None = None) -> Deployment:
        """Start the standing stack and wait until it is ready."""
        site = self._site_to_start(env)
        with self._changed(site.environment.name), self._weighing():
            return self._up(site, line)

    def _up(self, site: Site, line: Line) -> Deployment:
        from unstale.pipeline import images, steps

        images.require_present(self.ports, site)
        deployment = self.standing(site, create=True)
        steps.database_up(self.ports, site, deployment, line)
        steps.up(self.ports, site, deployment, line)
        return deployment

    def stack_down(self, env: str | None = None) -> int:
        """Remove the standing stack, volumes and orphans too; counts objects.

        Raises:
            Unavailable: somebody uses it: tests, or a migration.

        """
        site = self.site(env)
        with self._ended(site.environment.name):
            # A container of a test run that died would keep its network.
            here = self.docker.endpoint()
            self._sweep(self.docker.at(here, _ELSEWHERE_S), here, [])
            return self._down(site)

    def _down(self, site: Site) -> int:
        from unstale.stack.lifecycle import remove

        name = site.environment.name
        count = 0
        with self.signals.held():
            for run, project in self._to_end(name):
                count += remove(
                    self.docker,
                    self.clock,
                    self._labels(run),
                    project=project,
                    deadline_s=self.settings.deadlines.down,
                )
                self.leases.forget(run)
            self._record(name).unlink(missing_ok=True)
        return count

    def migration_heads(self) -> dict[str, tuple[str, ...] | None]:
        """The heads that the files of each ``alembic.ini`` have; None: they are not found."""
        from unstale.schema import revisions

        root, written = self.settings.root, self.settings.schema.alembic_ini
        # It may be the path in an image, where the same file has another name.
        listed = self.git.listed("alembic.ini") or ()
        found = [root / written] if (root / written).exists() else listed
        return {
            os.path.relpath(ini, root): revisions.heads(ini, root) for ini in found if ini.exists()
        }

    def stack_containers(self, env: str | None = None) -> tuple[ContainerFact, ...]:
        """The standing stack's containers; empty if none is up."""
        from unstale.pipeline import steps

        if not self._stands(self.settings.environment(env).name):
            return ()
        return steps.containers(self.ports, self.standing(self.site(env), create=False))

    def stack_status(self, env: str | None = None) -> StackStatus:
        """Whether the standing stack's containers are what they should be.

        Their image, their configuration and what their mounts show; a stack
        that is not up has no containers, and is Missing.
        """
        from unstale.pipeline import containers
        from unstale.pipeline.containers import StackStatus

        site = self.site(env)
        if not self._stands(site.environment.name):
            return StackStatus("", (), site.started_services)
        deployment = self.standing(site, create=False)
        return containers.status(self._bench(site), deployment)

    def stack_logs(self, line: Line, env: str | None = None, *, follow: bool = False) -> None:
        """The last lines of each service of the standing stack."""
        from unstale.pipeline import steps

        site = self.site(env)
        deployment = self.standing(site, create=False)
        if follow:
            self.docker.follow_logs(
                deployment.target, site.started_services, lambda text: line(site.mask(text))
            )
            return
        for container in steps.containers(self.ports, deployment):
            for text in self.docker.logs(container.id, 100):
                line(f"{container.service} | {site.mask(text)}")

    def stack_reap(self, *, homeless: bool = True) -> tuple[Sweep, ...]:
        """Remove what dead runs of this machine and user left, and only that.

        In this engine, which comes first, and in each that the lease of a dead run notes.
        With *homeless*, a kept stack whose checkout is gone counts as left.
        """
        return self._reaped(_ELSEWHERE_S, homeless=homeless)

    def _reaped(self, elsewhere_s: float, *, homeless: bool) -> tuple[Sweep, ...]:
        return tuple(
            self._sweep(self.docker.at(place, elsewhere_s), place, died)
            for place, died in self._places(homeless=homeless)
        )

    def _places(self, *, homeless: bool) -> tuple[tuple[Endpoint, tuple[str, ...]], ...]:
        """Each engine to sweep, this one first, with the runs that died there."""
        here = self.docker.endpoint()
        dead = self.leases.dead(homeless=homeless)
        noted = {tuple(sorted(one.endpoint.items())) for one in dead if one.endpoint}
        places = (here, *(dict(place) for place in sorted(noted) if dict(place) != here))
        return tuple(
            (place, tuple(d.run for d in dead if (d.endpoint or here) == place)) for place in places
        )

    def _sweep(self, docker: DockerCli, place: Endpoint, died: Sequence[str]) -> Sweep:
        from unstale.stack.lifecycle import sweep

        owner = self.leases.owner
        found = sweep(docker, self.clock, called(place), owner, died, self._lives)
        if found.error is None:
            for run in died:
                self.leases.drop(run)
        elif place != self.docker.endpoint() and not isinstance(found.error, TearDownFailed):
            noted = (self.leases.folder / f"{run}.{kind}" for run in died for kind in _NOTED)
            files = shlex.join(str(path) for path in noted if path.exists())
            found.error.hint = f"inv stack.reap when it is back; if it is gone for good: rm {files}"
        return found

    def _swept(self) -> str:
        """Sweep before a run: in words what was removed, or could not be.

        Raises:
            EngineUnavailable: the run's own engine is gone.

        """
        found = self._reaped(_IN_PASSING_S, homeless=False)
        if isinstance(found[0].error, EngineUnavailable):
            raise found[0].error
        names = self.image_reap()
        words = [f"{len(names)} names of images that were never proven removed"] if names else []
        hints = [f"Next: {one.error.hint}" for one in found[1:] if one.error and one.error.hint]
        return "; ".join([*(one.words for one in found if one.words), *words, *hints])

    def image_reap(self) -> tuple[str, ...]:
        """Take the names away that killed builds of this machine and user left.

        A build that goes on holds its checkout's lock, and a name that fits no lock here
        is somebody else's.
        """
        from unstale.image.local import UNPROVEN
        from unstale.stack.names import locked_by

        names = self.docker.image_names(UNPROVEN.removesuffix(":"))
        locks = self.files.glob(self.leases.folder, "build-*.lock") if names else ()
        removed: list[str] = []
        for lock in locks:
            mine = [name for name in names if locked_by(lock, name)]
            if mine:
                with suppress(TimedOut), self.files.locked(lock, 0.0):
                    self.docker.remove_images(mine)
                    removed += mine
        return tuple(removed)

    def _tidy(self, report: RunReport, progress: Progress) -> None:
        """Remove what is old; whatever goes wrong there, the run's verdict stands."""
        from unstale.pipeline import retention

        if self.is_dry or any(isinstance(e, Interrupted) for e in report.errors):
            return
        state, keep = self.settings.state_folder, self.settings.keep.runs
        with self.signals.held(), suppress(OSError):
            try:
                retention.after_run(self.files, state, keep, self._lives)
            except Interrupted:
                raise
            except UnstaleError as error:
                with overlooked():
                    progress.log("retention")(f"not removed: {error.what}")

    def _labels(self, run: str) -> dict[str, str]:
        """What all that *run* made carries."""
        from unstale import override

        return {override.LABEL_RUN: run, override.LABEL_OWNER: self.leases.owner}

    def _lives(self, run: str) -> bool:
        # In this order: a run is kept before its lease ends.
        return run.startswith(STANDING) or self.leases.is_alive(run) or self.leases.is_kept(run)

    # --- the database --------------------------------------------------------

    @_leased
    def db_migrate(
        self, line: Line, env: str | None = None, *, deadline_s: float = _SERVER_S
    ) -> SchemaStatus | None:
        """Wait for the standing stack's database, upgrade it, and say what it is then.

        Returns None where the project has no migrations. Whether the state is accepted is for
        the caller to say: `schema.status.require_current`.

        Raises:
            NotReady: the server did not answer within *deadline_s* seconds.
            MigrationFailed: a migration failed.

        """
        site = self._site_to_start(env)
        name = site.environment.name
        with self._used(name), self._changed(name):
            return self._migrate(site, line, deadline_s)

    def _migrate(self, site: Site, line: Line, deadline_s: float) -> SchemaStatus | None:
        from unstale.pipeline import images, schema, steps

        images.require_present(self.ports, site)
        deployment = self.standing(site, create=True)
        steps.database_up(self.ports, site, deployment, line)
        return schema.migrate(self._bench(site), deployment, line, deadline_s=deadline_s)

    @_leased
    def db_preview(self, line: Line, env: str | None = None) -> str:
        """The SQL that `db_migrate` would run; runs none of it."""
        from unstale.pipeline import schema

        with self._database_in_use(env) as (site, deployment):
            return schema.preview(self._bench(site), deployment, line)

    @_leased
    def db_status(self, line: Line, env: str | None = None) -> SchemaStatus:
        """Hear witnesses 0 to 2 on the standing stack's database; never writes to it.

        Raises:
            CouldNotTell: the project has no migrations to compare with.

        """
        from unstale.pipeline import schema

        with self._database_in_use(env) as (site, deployment):
            return self._asked(schema.look(self._bench(site), deployment, line))

    @_leased
    def db_check(self, line: Line, env: str | None = None) -> SchemaStatus:
        """Hear all four witnesses.

        The last compares the catalog with that of a database built from the same
        migrations, on the same server.
        """
        from unstale.pipeline import schema

        with self._database_in_use(env) as (site, deployment):
            return self._asked(schema.check(self._bench(site), deployment, line))

    @_leased
    def db_history(self, line: Line, env: str | None = None) -> tuple[tuple[str, str, str], ...]:
        """Lint the migrations: rule, revision and words of each finding."""
        from unstale.pipeline import schema

        with self._database_in_use(env) as (site, deployment):
            return schema.history(self._bench(site), deployment, line)

    def _asked(self, found: SchemaStatus | None) -> SchemaStatus:
        if found is None:
            raise CouldNotTell(
                "There is nothing to compare with.",
                cause=f'schema.setup = "{self.settings.schema.setup}", or no database.',
                hint='set schema.setup = "migrate" in [tool.unstale]',
            )
        return found

    @contextmanager
    def _database_in_use(self, env: str | None) -> Iterator[tuple[Site, Deployment]]:
        site = self.site(env)
        with self._used(site.environment.name):
            yield site, self._with_database(site)

    def _with_database(self, site: Site) -> Deployment:
        from unstale.pipeline import steps

        deployment = self.standing(site, create=False)
        steps.database_container(self.ports, site, deployment)
        return deployment

    def db_settings(self, env: str | None = None) -> tuple[Setting, ...]:
        """The server's settings that are not by default, each with its source."""
        from unstale.schema import postgres

        return postgres.settings(self.docker, self._database(env))

    @_leased
    def db_reset(self, line: Line, env: str | None = None) -> SchemaStatus | None:
        """Remove the standing stack's database with its data, and make it anew, migrated.

        Raises:
            Mismatch: its data is in a volume that unstale did not create.

        """
        from unstale.pipeline import steps

        site = self._site_to_start(env)
        with self._ended(site.environment.name):
            deployment = self._with_database(site)
            with self.signals.held():
                steps.remove_database(self.ports, site, deployment)
            return self._migrate(site, line, _SERVER_S)

    def db_tables(self, env: str | None = None) -> tuple[tuple[str, int], ...]:
        """Each table of the standing stack's database with its number of rows."""
        from unstale.schema import postgres

        return postgres.tables(self.docker, self._database(env))

    def db_shell(self, arguments: Sequence[str], env: str | None = None) -> CommandResult:
        """Psql in the database's container; on the terminal without *arguments*."""
        from unstale.schema import postgres

        container = self._database(env)
        if arguments:
            return postgres.psql(self.docker, container, arguments)
        argv = ("docker", "exec", "-it", container.id, *postgres.interactive())
        return self.process.run(
            Command(argv, 86400.0, env=self.docker.endpoint(), interactive=True, changes=True)
        )

    def _database(self, env: str | None) -> ContainerFact:
        from unstale.pipeline import steps

        site = self.site(env)
        return steps.database_container(self.ports, site, self.standing(site, create=False))

    # --- tests -----------------------------------------------------------------

    @_leased
    def test_run(
        self,
        line: Line,
        arguments: Sequence[str],
        *,
        env: str | None = None,
        suite: str | None = None,
    ) -> Counts:
        """Run tests in the standing stack, which is brought up if need be.

        Raises:
            UnknownName: no such suite.
            TestsFailed: tests failed, or none ran.
            CouldNotTell: green without evidence.

        """
        from unstale.pipeline import containers, images, tests

        site = self._site_to_test(env)
        paths = self._suite(suite)
        statuses = images.statuses(self._bench(site))
        ids = {s.service: s.image_id for s in statuses}
        old = [s.service for s in statuses if images.needs_build(s)]
        if old:
            raise Mismatch(
                f"Not built from what is here: {', '.join(old)}.",
                cause="These tests would run on other code than this.",
                hint="inv image.build, then the same again",
            )
        name = site.environment.name
        with self._used(name):
            with self._changed(name):
                schema = self._require_schema(site, line)
                # What an earlier build made stale is created anew; what is up stays.
                deployment = self._up(site, line)
            containers.verify_running(self._bench(site), deployment, is_new=False)
            told = tests.told(ids.get(site.require_runner()), schema)
            return self._tested(site, deployment, tests.arguments_for(paths, arguments), told, line)

    def _tested(
        self,
        site: Site,
        deployment: Deployment,
        arguments: Sequence[str],
        told: Mapping[str, str],
        line: Line,
    ) -> Counts:
        from unstale.pipeline import containers, tests

        number = os.urandom(4).hex()
        runner = f"{deployment.target.project}-tests-{number}"
        gone = functools.partial(self.docker.remove_containers, [runner])
        with afterwards(gone, self.signals.held):
            found = tests.run_tests(
                self.ports,
                site,
                deployment,
                arguments,
                number=number,
                deadline_s=self.settings.deadlines.tests,
                line=line,
                environment=told,
            )
            counts = tests.judge(self.ports, found)
            containers.verify_runner(self._bench(site), deployment, found.runner, is_new=False)
            return counts

    def _require_schema(self, site: Site, line: Line) -> SchemaStatus | None:
        """Migrate the standing stack's database where it is behind; accept it else."""
        from unstale.pipeline import schema, steps
        from unstale.schema.status import require_current

        deployment = self.standing(site, create=True)
        steps.database_up(self.ports, site, deployment, line)
        if not schema.is_asked(site):
            return None
        found = schema.check(self._bench(site), deployment, lambda _: None)
        if found is not None and found.state in ("empty", "behind", "downgraded"):
            found = self._migrate(site, line, _SERVER_S)
        if found is not None:
            require_current(found)
        return found

    def test_unit(self, line: Line, arguments: Sequence[str]) -> None:
        """Run the unit tests on the host, without Docker.

        Raises:
            TestsFailed: with the runner's exit code in the message.

        """
        from unstale.pipeline import tests

        paths = self._suite("unit")
        argv = (sys.executable, "-m", "pytest", *tests.arguments_for(paths, arguments))
        deadline_s, root = self.settings.deadlines.tests, self.settings.root
        command = Command(argv, deadline_s, cwd=root, changes=True, tail_bytes=1)
        code = self.process.run(command, line).returncode
        if code != 0:
            raise TestsFailed(
                "No test ran." if code == 5 else f"Unit tests failed (exit code {code})."
            )

    def test_local(
        self,
        arguments: Sequence[str],
        watch: Callable[[Mask, Path], Progress],
        env: str | None = None,
    ) -> RunReport:
        """Run the integration tests here, on a PostgreSQL that needs no Docker.

        *watch* makes the run's watcher, like that of `integration`.

        Raises:
            UsageError: settings, env files or ``DATABASE_URL`` are wrong.

        """
        from unstale.adapters.local_postgres import LocalPostgres
        from unstale.pipeline import local

        settings = self.settings
        run = os.urandom(4).hex()
        seen: list[Progress] = []

        def watched(mask: Mask, folder: Path) -> Progress:
            seen.append(watch(mask, folder))
            return seen[0]

        wanted = local.LocalRun(
            id=run,
            ports=self.ports,
            files=self.files,
            servers=LocalPostgres(self.process, self.clock, self.signals.held, self.environ),
            settings=settings,
            environment=settings.environments.get(env or settings.default_env)
            or settings.environment(env),
            environ=self.environ,
            arguments=self.local_arguments(arguments),
            watch=watched,
            machine_folder=self.leases.folder,
            sign=self._sign(),
        )
        # Nothing is in an engine: by its lease those who tidy know that it goes on.
        with self.leases.held(run):
            report = local.walk(wanted)
            self._tidy(report, seen[0])
        return report

    def _suite(self, name: str | None) -> tuple[str, ...]:
        if name is None:
            return ()
        if name not in self.settings.suites:
            raise UnknownName(
                "suite",
                name,
                self.settings.suites,
                hint=f'add {name} = ["tests/{name}"] to [tool.unstale.suites]',
            )
        return self.settings.suites[name]

    def integration(
        self, choices: Choices, watch: Callable[[Mask, Path], Progress], env: str | None = None
    ) -> RunReport:
        """Run the whole pipeline; the run's stack is gone at the end, or kept.

        *watch* makes the run's watcher, from what it must hide (the secrets of
        the compose files too) and the folder of its evidence.
        """
        from unstale.pipeline.run import Run, walk

        site = self._site_to_test(env)
        remarks = (*self._preflight(site), *self._without_git())
        self._looked_over(site)
        run = os.urandom(4).hex()
        sign = self._sign()
        progress = watch(site.mask, site.state_folder / "runs" / run)
        self.process.noted = progress.command

        def keep(deployment: Deployment) -> None:
            name = site.environment.name
            with self._ended(name, patience_s=_KEEP_S), self.signals.held():
                if self._stands(name):
                    self._down(site)
                # In this order: a record of a run that is not kept is none.
                text = f"{deployment.run} {deployment.target.project}\n"
                self.files.write_atomic(self._record(name), text)
                self.leases.keep(run, self.settings.root, name)

        # As it is now: its context may be gone when the stack is to go.
        engine = self.docker.endpoint()
        with self.leases.held(run, engine) as lease:
            try:
                report = walk(
                    Run(
                        id=run,
                        ports=self.ports,
                        files=self.files,
                        site=site,
                        choices=choices,
                        progress=progress,
                        sweep=self._swept,
                        compare=lambda: self.env_check(in_shell=site.environment.name),
                        keep=keep,
                        environ=self.environ,
                        sign=sign,
                        believes=self._believes,
                        weighed=self._weighed,
                        remarks=remarks,
                    )
                )
            except BaseException:
                # A late signal, a pipe that nobody reads, a bug: whatever ends
                # the walk, nothing else would take the stack down.
                with self.signals.held():
                    self._clear(run)
                    self._unkeep(run, site.environment.name)
                raise
            if report.kept is None and report.is_cut_short:
                # The signal may have come when it was kept already.
                with self.signals.held():
                    self._unkeep(run, site.environment.name)
            may_land = report.is_cut_short and report.kept is None
            lease.is_left = self.leases.is_used and (may_land or not report.is_removed)
            # One whose tear-down failed has had its time; the watchdog goes on.
            if lease.is_left and may_land and (report.is_removed or not report.state.deployment):
                with self.signals.held():
                    self._clear(run)
        for error in report.errors:
            error.hide(site.mask)
        self._tidy(report, progress)
        return report

    def plan(self, choices: Choices, env: str | None = None) -> Forecast:
        """What a run would do, why, and how long it would take; starts and changes nothing.

        Raises:
            UsageError: what is configured can't be used.
            EngineUnavailable: there is no docker command with its compose plugin.

        """
        # What must not change anything is done by one that can't.
        still = Project.open(self.settings.root, signals=self.signals, dry=True)
        return still.plan(choices, env)

    def _unkeep(self, run: str, environment: str) -> None:
        """Let *run* not be the standing stack, if it had come to be."""
        if (self._stands(environment) or ("",))[0] == run:
            self._record(environment).unlink(missing_ok=True)
        self.leases.forget(run)

    def _clear(self, run: str) -> None:
        """Remove all of a run that was cut short; what does not go now its watchdog removes."""
        from unstale.stack.lifecycle import remove

        with overlooked():
            labels = self._labels(run)
            remove(self.docker, self.clock, labels, deadline_s=_CLEAR_S, settle_s=_SETTLE_S)

    def test_matrix(
        self,
        envs: Sequence[str],
        choices: Choices,
        watch: Callable[[Mask, Path], Progress],
        begin: Line = lambda _: None,
    ) -> tuple[tuple[str, RunReport | UnstaleError], ...]:
        """Run the pipeline in each of *envs*, in their order, whatever the one before said.

        *begin* is told each name. What can't even begin (no such compose file, no
        engine) is the error that said so.

        Raises:
            UsageError: *envs* is empty, or names one twice.
            Interrupted: a signal came; no further environment is begun.

        """
        if not envs or len(set(envs)) < len(envs):
            raise UsageError(
                "--envs names no environment." if not envs else "--envs names one twice.",
                cause=f"Known: {', '.join(sorted(self.settings.environments)) or 'none'}.",
                hint="inv test.matrix --envs dev,test,ci",
            )
        return tuple((env, self._one_of_matrix(env, choices, watch, begin)) for env in envs)

    def _one_of_matrix(
        self, env: str, choices: Choices, watch: Callable[[Mask, Path], Progress], begin: Line
    ) -> RunReport | UnstaleError:
        begin(env)
        try:
            report = self.integration(choices, watch, env)
        except Interrupted:
            raise
        except UnstaleError as error:
            return error
        for one in report.errors:
            if isinstance(one, Interrupted):
                raise one
        return report

    # --- receipts ----------------------------------------------------------------

    def past(self, kind: RunKind) -> Past:
        """What earlier runs tell of the seconds that one of *kind* takes."""
        from unstale.pipeline import history

        return history.Past(history.past(self.files, self.settings.state_folder / "receipts"), kind)

    def _sign(self) -> Sign | None:
        from unstale.adapters.ssh_keys import SshKeys
        from unstale.pipeline import signing

        return signing.sign(self.settings.receipts, self.files, self.environ, SshKeys(self.process))

    def _believes(self, found: Found) -> bool:
        """Whether a receipt may spare a run: where this project signs, it has to be signed."""
        from unstale.pipeline import vouch

        if self.settings.receipts.sign is None:
            return True
        seal = vouch.seal(found.raw, found.envelope, self._keys(None, None))
        return seal.state == "valid"

    def receipt_show(self, which: str = "latest") -> tuple[Found, Seal]:
        """The receipt that *which* means (``latest``, a run's id, a path), and its signature.

        Raises:
            MissingFile: there is none.
            ConfigError: it is no receipt.

        """
        from unstale.pipeline import vouch
        from unstale.pipeline.vouch import Keys

        found = self._receipt(which)
        try:
            return found, vouch.seal(found.raw, found.envelope, self._keys(None, None))
        except Interrupted:
            raise
        except UnstaleError:
            return found, vouch.seal(found.raw, found.envelope, Keys())

    def run_report(self, which: str = "latest") -> tuple[Report, Timeline | None]:
        """What is told of the run whose receipt *which* means, and its builds beside commits.

        Raises what `receipt_show` does, and a ConfigError for a receipt of another form.
        """
        from unstale.pipeline import report

        found, seal = self.receipt_show(which)
        name = found.receipt.environment
        records = self._builds(name) if name in self.settings.environments else ()
        folder = self.settings.state_folder
        return report.gathered(self.files, self.git, folder, found, seal, records)

    def receipt_verify(
        self,
        which: str = "latest",
        *,
        require_signature: bool = False,
        hmac_key_file: Path | None = None,
        allowed_signers: Path | None = None,
    ) -> Verification:
        """Whether a receipt is genuine, passed, and about what is here now.

        It has to be signed if the project signs, a key is given, or *require_signature*.

        Raises:
            MissingFile: there is none.
            ConfigError: it is no receipt, or a key that is named is not there.
            EngineUnavailable: its images can't be asked for.

        """
        from unstale.pipeline import vouch
        from unstale.pipeline.vouch import Verification

        found = self._receipt(which)
        keys = self._keys(hmac_key_file, allowed_signers)
        seal = vouch.seal(found.raw, found.envelope, keys)
        is_given = hmac_key_file is not None or allowed_signers is not None
        required = require_signature or is_given or self.settings.receipts.sign is not None
        checks = vouch.against(found.receipt, self._now(found.receipt))
        return Verification(found.path, seal, (*vouch.sealed(seal, required=required), *checks))

    def _receipt(self, which: str) -> Found:
        from unstale.pipeline import shelf

        return shelf.find(self.files, self.settings.state_folder / "receipts", which)

    def _keys(self, hmac_key_file: Path | None, allowed_signers: Path | None) -> Keys:
        from unstale.adapters.ssh_keys import SshKeys
        from unstale.pipeline import signing

        return signing.keys(
            self.settings.receipts,
            self.files,
            self.environ,
            SshKeys(self.process),
            hmac_key_file=hmac_key_file,
            allowed_signers=allowed_signers,
        )

    def _now(self, receipt: Receipt) -> Now:
        from unstale.pipeline import images, reuse
        from unstale.pipeline.vouch import Now
        from unstale.verdict import Unknown

        head, env = self.git.head(), receipt.environment
        is_asked = bool(receipt.images or receipt.inputs or receipt.subject)
        statuses: tuple[ImageStatus, ...] = ()
        subject, resolved = reuse.Subject("", f"there is no environment {env!r} here"), ""
        if is_asked and env in self.settings.environments:
            site = self.site(env, is_look=True)
            bench = self._looked_over(site)
            statuses = images.statuses(bench)
            subject = reuse.subject(bench, statuses, receipt.arguments)
            resolved = reuse.environment_digest(site.model)
        told = {s.service: "" if isinstance(s.verdict, Unknown) else s.inputs for s in statuses}
        present = self.docker.images_called([*receipt.images.values()]) if is_asked else {}
        return Now(
            revision=head.sha if head else None,
            dirty=self.git.is_dirty(),
            inputs=told if is_asked else None,
            images={s.service: s.image_id for s in statuses if s.image_id is not None},
            present=frozenset(image.id for image in present.values()),
            subject=subject if is_asked else None,
            environment_digest=resolved,
        )

    # --- verdicts explained --------------------------------------------------------

    def why_image(self, env: str | None = None, service: str | None = None) -> Explanation:
        """Why each image is fresh or stale. Raises what `image_status` raises."""
        from unstale.pipeline import images, shelf, steps, why_image

        site = self.site(env, is_look=True)
        if service:
            steps.require_service(site, service, built=True)
        bench = self._looked_over(site)
        statuses = images.statuses(bench, [service] if service else None)
        known = self.image_background(statuses, env)
        receipts = shelf.newest(self.files, site.state_folder / "receipts")
        option = f" --env {env}" if env else ""
        answers = why_image.explain(bench, statuses, known, receipts, option)
        return self._explained("image", site.environment.name, answers, site.mask)

    def why_stack(self, env: str | None = None, service: str | None = None) -> Explanation:
        """Why each container is what it should be. Raises what `stack_status` raises."""
        from unstale.pipeline import containers, images, steps, why_stack
        from unstale.pipeline.environments import known

        site = self.site(env)
        name = site.environment.name
        if service:
            steps.require_service(site, service)
        if not self._stands(name):
            return self._explained("stack", name, why_stack.nothing_up(name), site.mask)
        bench = self._bench(site)
        status = containers.status(bench, self.standing(site, create=False))
        built = images.statuses(bench)
        stage = why_stack.Stage(
            root=self.settings.root,
            services=site.stack.service,
            images={one.service: one for one in built},
            known=self.image_background(built, env),
            written=lambda: known(self._ground(), [name])[0].facts.services or (),
        )
        return self._explained("stack", name, why_stack.explain(status, stage, service), site.mask)

    @_leased
    def why_schema(self, line: Line, env: str | None = None) -> Explanation:
        """Why the schema is what it is. Raises what `db_status` raises."""
        from unstale.pipeline import schema, why_schema

        with self._database_in_use(env) as (site, deployment):
            bench = self._bench(site)
            status = self._asked(schema.look(bench, deployment, line))
            known = why_schema.migrations(bench, status)
            root, subject = self.settings.root, site.database or ""
            answers = why_schema.explain(subject, status, known, root)
            return self._explained("schema", site.environment.name, answers, site.mask)

    def why_env(self, env: str | None = None, service: str | None = None) -> Explanation:
        """Why an environment is at parity with the others. Raises what `env_check` raises."""
        from unstale.pipeline import parity, why_env

        name = self.settings.environment(env).name
        report = self.env_check(parity.pairs_of(self.settings, name))
        path = self.settings.root / "pyproject.toml"
        rules = why_env.rule_lines(_content(path).decode(errors="replace"))
        answers = why_env.explain(report, rules, service)
        return self._explained("env", name, answers, self.mask)

    def _explained(
        self, kind: Kind, environment: str, answers: Sequence[Answer], mask: Mask
    ) -> Explanation:
        from unstale.pipeline.explanation import Explanation, blamed, hidden

        told = hidden(blamed(self.git, self.settings.root, answers), mask)
        return Explanation(kind, environment, told)

    # --- environments ------------------------------------------------------------

    def env_diff(self, left: str, right: str, *, files_only: bool = False) -> ParityReport:
        """Compare two environments: their env files, and what their containers get.

        Raises:
            UnknownName: no such environment.
            MissingFile: one has neither env file nor compose file, or it is not there.
            ConfigError: a file can't be parsed, or compose refuses it.
            CouldNotTell: a file is encrypted or may not be read.
            EngineUnavailable: there is no docker command with its compose plugin.

        """
        from unstale.pipeline import parity

        return parity.compared(self._ground(files_only=files_only), [(left, right)])

    def env_check(self, pairs: Sequence[config.Pair] = (), *, in_shell: str = "") -> ParityReport:
        """Compare *pairs*, or all of the project, and judge them by its policy.

        *in_shell* is the environment of a run: its containers get what this shell decides,
        and so it is judged. Raises what `env_diff` raises, and:

        Raises:
            UsageError: there are not two environments to compare.

        """
        from unstale.pipeline import parity

        config.require_known(self.settings)
        chosen = tuple(pairs) or self.settings.pairs
        if not chosen:
            raise UsageError(
                "There are not two environments to compare.",
                cause=f"Known: {', '.join(sorted(self.settings.environments)) or 'none'}.",
                hint="add a compose file or an env file for another one, as docs/parity.md says",
            )
        # Without receipts: what passes must not depend on what ran on this machine.
        ground = replace(self._ground(), receipt=lambda _: None, in_shell=in_shell)
        return parity.compared(ground, chosen, is_whole=not pairs)

    def env_baseline(self, report: ParityReport) -> int:
        """Write what nobody explained in *report* into pyproject.toml, as allowed.

        Returns how many permissions were added.

        Raises:
            ConfigError: pyproject.toml leaves no room for them.

        """
        from unstale.pipeline import setup

        path = self.settings.root / "pyproject.toml"
        # As it is: a text mode would translate line ends.
        old = path.read_bytes().decode() if path.exists() else ""
        new, count = setup.allowed(old, report)
        if new != old:
            self.files.write_atomic(path, new)
        return count

    def survey(self, ours: Sequence[str] = ()) -> Setup:
        """What is found here, and what `init` would write of it; nothing is written or run.

        *ours* are the names of tasks and groups of them that a tasks.py would have to have
        beside its own.

        Raises:
            ConfigError: a file that is to be added to can't be read, or leaves no room.

        """
        from unstale.adapters import walk
        from unstale.pipeline import setup

        root = self.settings.root
        names, is_cut = walk.names(root)
        return setup.plan(
            setup.Site(
                root,
                self.files,
                self.docker,
                names,
                self.settings,
                self._with_baseline,
                tuple(ours),
                in_git=self.git.listed("") is not None,
                is_cut=is_cut,
            )
        )

    def _with_baseline(self, text: str) -> tuple[str, int]:
        """*text* of a pyproject.toml with what differs by it today, and how many rules that is."""
        from unstale.pipeline import setup

        root = self.settings.root
        files = setup.Overlay(self.files, root / "pyproject.toml", text)
        planned = replace(self, settings=config.load(root, files, self.environ))
        return setup.allowed(text, planned.env_check())

    def adopt(
        self, file: Path, ours: Sequence[str] = (), *, with_makefile: bool = False
    ) -> Adopted:
        """What a Makefile or shell script becomes; nothing of it is run, nothing written.

        *ours* is as for `survey`. *with_makefile*: targets that are understood are to call inv.

        Raises:
            MissingFile: there is no such file.
            ConfigError: a file can't be read, or leaves no room.

        """
        from unstale.pipeline import adopt

        root = self.settings.root
        here = Path.cwd() / file
        given = here if self.files.exists(here) else root / file
        return adopt.plan(root, self.files, given, ours, self.environ, with_makefile=with_makefile)

    def set_up(self, planned: Setup | Adopted) -> None:
        """Write what `survey` or `adopt` planned."""
        from unstale.pipeline import setup

        setup.apply(self.settings.root, planned.changes, self.files)

    def write_workflow(self, place: Path, text: str) -> None:
        """Write a workflow, and the folders that it needs; none that is a link."""
        from unstale.pipeline import own_files

        root = self.settings.root
        own_files.refuse_links(root, [str(place.relative_to(root))])
        self.files.write_atomic(place, text)

    def env_matrix(self, names: Sequence[str] = (), *, files_only: bool = False) -> Matrix:
        """All environments, or those in *names*, at once. Raises what `env_diff` raises."""
        from unstale.pipeline import parity

        known = self.settings.environments
        written = [n for n in sorted(known) if known[n].compose_files or known[n].env_files]
        return parity.matrix(self._ground(files_only=files_only), tuple(names) or tuple(written))

    def env_sync(self, names: Sequence[str] = (), *, write: bool = False) -> tuple[Synced, ...]:
        """Plan the keys that env files lack, and with *write* add them.

        Raises:
            UnknownName: no such environment.
            MissingFile: a file is not there.
            ConfigError: a line is no assignment.
            CouldNotTell: a file is encrypted or may not be read.

        """
        from unstale.pipeline.envsync import synced

        return synced(self.settings, self.files, names, write=write)

    def _ground(self, *, files_only: bool = False) -> Ground:
        from unstale.pipeline.environments import Ground
        from unstale.pipeline.image_env import Images

        settings = self.settings
        images = Images(self.docker, self.environ, settings.root)
        return Ground(
            settings=settings,
            docker=self.docker,
            files=self.files,
            reads=self._reads,
            mentions=self._mentions,
            images=images.of,
            receipt=self._last_receipt,
            today=self.clock.now().date(),
            files_only=files_only,
            shell=tuple(self.environ),
        )

    def _reads(self) -> Reads:
        """What the project's code reads from the environment."""
        from unstale.parity.reads import code_reads, is_code, with_asked

        root, parity = self.settings.root, self.settings.parity
        listed = self.git.listed(".py")
        paths = self.files.glob(root, "**/*.py") if listed is None else listed
        folders = parity.code or (root,)
        named = (
            (path.relative_to(root).as_posix(), path)
            for path in paths
            if any(path.is_relative_to(folder) for folder in folders) and path.is_file()
        )
        wanted = ((name, path) for name, path in named if is_code(name))
        found = code_reads((name, text) for name, path in wanted if (text := _content(path)))
        if parity.settings is None:
            return found
        if self.is_dry:
            return with_asked(found, (), f"{parity.settings} was not asked: this is a dry run")
        if not config.trusts_code(self.environ):
            return with_asked(found, (), f"{parity.settings} was not asked: {_NOT_TRUSTED}")
        from unstale.adapters.settings_probe import probe_settings
        from unstale.parity.asked import asked_reads

        package = parity.settings.partition(":")[0].partition(".")[0]
        places = (root, root / "src", *(folder.parent for folder in parity.code), *parity.code)
        holds = (p for p in places if (p / package).is_dir() or (p / f"{package}.py").exists())
        asked = probe_settings(self.process, [sys.executable], parity.settings, next(holds, root))
        return with_asked(found, asked_reads(asked.answer) if asked.answer else (), asked.note)

    def _mentions(self) -> frozenset[str]:
        """The names that the project's scripts, Dockerfiles and other programs use."""
        from unstale.parity.reads import is_program, mentions

        root, listed = self.settings.root, self.git.listed("")
        paths = self.files.glob(root, "**/*") if listed is None else listed
        named = ((path.relative_to(root).as_posix(), path) for path in paths)
        wanted = ((name, path) for name, path in named if is_program(name) and path.is_file())
        return mentions((name, _content(path)) for name, path in wanted)

    def _last_receipt(self, environment: str) -> Mapping[str, object] | None:
        """The newest receipt of a run in *environment* that got as far as its database."""
        from unstale.jsontext import MISFITS, read_json
        from unstale.parity.servers import from_receipt
        from unstale.pipeline import shelf

        for found in shelf.newest(self.files, self.settings.state_folder / "receipts"):
            if found.receipt.environment == environment:
                document = read_json(found.raw.decode())
                # What a server said of itself is nothing that every receipt has.
                with suppress(*MISFITS):
                    if from_receipt(document):
                        return cast("Mapping[str, object]", document)
        return None


def called(place: Endpoint) -> str:
    """The engine at *place*, for people."""
    return place.get("DOCKER_HOST") or f"context {place.get('DOCKER_CONTEXT')}"


def _content(path: Path) -> bytes:
    """The bytes of *path*; none if it may not be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _load() -> None:
    """Import what comes next in the time that docker takes to answer."""
    # The import is the purpose.
    from unstale.adapters import docker_facts, engine  # noqa: F401
    from unstale.pipeline import images  # noqa: F401


@contextmanager
def _hidden(mask: Mask) -> Iterator[None]:
    """Errors that come out of here quote no secret that *mask* knows."""
    try:
        yield
    except UnstaleError as error:
        error.hide(mask)
        raise


def _arguments(service: compose.Service) -> tuple[tuple[str, str | None], ...]:
    return service.build.args if service.build else ()


def find_root(start: Path) -> Path:
    """The nearest folder from *start* upwards that looks like a project's."""
    for folder in (start, *start.parents):
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
    return start


def _require_profiles(environment: config.Environment, stack: compose.Stack) -> None:
    """Refuse a profile that no service has: compose starts nothing for it, in silence."""
    known = {profile for service in stack.services for profile in service.profiles}
    for name in environment.profiles:
        if name not in (*known, "*"):
            where = f"[tool.unstale.environments.{environment.name}]"
            raise UnknownName("profile", name, known, hint=f"mend profiles in {where}")


def _database(environment: config.Environment, stack: compose.Stack) -> str | None:
    if environment.database == "none":
        return None
    names = [s.name for s in stack.services]
    if environment.database is not None:
        if environment.database not in names:
            raise UnknownName("service", environment.database, names)
        return environment.database
    return next((s.name for s in stack.services if "postgres" in s.image), None)
