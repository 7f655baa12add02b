"""`init`: what a project has, and what is to be written of it. Changes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.config import Settings, parsed
from unstale.errors import (
    EngineUnavailable,
    Interrupted,
    UnstaleError,
    UsageError,
    overlooked,
)
from unstale.pipeline import default_addresses, own_files
from unstale.ports import ComposeTarget, Docker, Files
from unstale.survey import composefiles, python, services, tasksfile, written
from unstale.survey.composefiles import Choice, Stack
from unstale.survey.repository import Finding, Repository
from unstale.survey.services import Service
from unstale.survey.tasksfile import TasksFile
from unstale.survey.written import Entry, Table

if TYPE_CHECKING:
    from unstale.parity.report import ParityReport

__all__ = ["Change", "Overlay", "Setup", "Site", "allowed", "apply", "plan"]

_PYPROJECT, _TASKS = "pyproject.toml", "tasks.py"
_DONE = TasksFile("done", ())


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is to be written."""

    path: str
    before: str | None
    """None: there is none yet."""
    after: str

    @property
    def diff(self) -> tuple[str, ...]:
        """The unified diff, a line each."""
        old = (self.before or "").splitlines()
        name = "/dev/null" if self.before is None else f"a/{self.path}"
        lines = difflib.unified_diff(old, self.after.splitlines(), name, f"b/{self.path}")
        return tuple(line.rstrip("\n") for line in lines)


@dataclass(frozen=True, slots=True)
class Setup:
    """What was found, and what comes of it."""

    root: Path
    found: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What could not be told or is in the way, a sentence each."""
    changes: tuple[Change, ...]
    tasks: TasksFile = _DONE
    """What to add to a tasks.py that is there."""
    missing: tuple[str, ...] = ()
    """What a [tool.unstale] that is there does not say."""
    obstacle: str = ""
    """What has to be done before anything can be run; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a survey works with."""

    root: Path
    files: Files
    docker: Docker
    names: tuple[str, ...]
    settings: Settings
    with_baseline: Callable[[str], tuple[str, int]]
    """A pyproject.toml with today's differences allowed, and how many they are."""
    ours: tuple[str, ...] = ()
    """The names at the top of our tasks."""
    in_git: bool = False
    is_cut: bool = False
    """Whether there are more names than these."""


class Overlay:
    """What settings are read from, with another pyproject.toml: that one is not written yet."""

    def __init__(self, files: Files, path: Path, text: str) -> None:
        self._files, self._path, self._text = files, path, text

    def read_text(self, path: Path) -> str:
        """The text of *path*."""
        return self._text if path == self._path else self._files.read_text(path)

    def exists(self, path: Path) -> bool:
        """Whether *path* exists."""
        return path == self._path or self._files.exists(path)

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        """Files under *root* that match *pattern*."""
        return self._files.glob(root, pattern)


@dataclass(frozen=True, slots=True)
class _Environment:
    """One environment, decided."""

    name: str
    stack: Stack
    services: tuple[Service, ...]
    env_files: tuple[str, ...]
    runner: Finding
    database: Finding
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    has_docker: bool = True
    refused: str = ""

    def service(self, name: str) -> Service | None:
        return next((one for one in self.services if one.name == name), None)

    @property
    def profiles(self) -> tuple[str, ...]:
        """Those of the runner and the database, which would not be started without them."""
        chosen = (self.service(one.value) for one in (self.runner, self.database))
        return tuple(sorted({p for one in chosen if one for p in one.profiles}))


def plan(site: Site) -> Setup:
    """Survey the project and say what would be written; writes and runs nothing of it."""
    repository = Repository(site.names, partial(_looked_at, site))
    environments = tuple(
        _decided(site, repository, one) for one in composefiles.choices(repository)
    )
    default = composefiles.default_of(one.name for one in environments)
    chosen = next((one for one in environments if one.name == default), None)
    about, tables = _shared(repository, chosen, environments)
    beside = composefiles.neighbours(repository)
    notes = [note for one in environments for note in one.notes]
    notes += _remarks(site, environments)
    notes += [f"{file} is a stack beside this one, and no environment" for file in beside.values()]
    found = (*_findings(environments, default), *about)
    if not environments:  # nothing of what could be written would be of use yet
        return Setup(site.root, found, tuple(notes), (), obstacle=_NO_FILE)
    changes, more = _pyproject(site, environments, default, tables, beside)
    others, advice, about_tasks = _tasks(site, repository)
    return Setup(
        site.root,
        found,
        (*notes, *more, *about_tasks),
        (*others, *changes, *_ignored(site, repository, environments)),
        advice,
        _missing(site, environments, chosen),
        _obstacle(environments),
    )


def allowed(text: str, report: ParityReport) -> tuple[str, int]:
    """*text* of a pyproject.toml that allows what differs in *report*, and how many rules more."""
    from unstale.parity import baseline
    from unstale.pipeline import parity

    new = baseline.apply(text, baseline.entries(parity.open_differences(report)))
    header = "[[tool.unstale.parity.allow]]"
    return new, new.count(header) - text.count(header)


def apply(root: Path, changes: Iterable[Change], files: Files) -> None:
    """Write what is planned: all of it, or nothing where a file is not what was shown.

    Raises:
        UsageError: a file is a link, leads out of *root*, or has changed since.

    """
    planned = tuple(changes)
    own_files.refuse_links(root, (change.path for change in planned))
    for change in planned:
        if own_files.text(root, files, change.path) != change.before:
            raise UsageError(
                f"{change.path} has changed since it was looked at.",
                cause="Somebody saved it while the question waited; nothing was written.",
                hint="the same again: it shows what would be written now",
            )
    for change in planned:
        files.write_atomic(root / change.path, change.after)


# --- environments ---------------------------------------------------------------------


def _decided(site: Site, repository: Repository, choice: Choice) -> _Environment:
    env_files, example = composefiles.env_files(repository, choice.name)
    first = choice.stacks[0]
    refusals: list[str] = []
    for stack in choice.stacks:
        target = ComposeTarget(
            f"unstale-init-{choice.name}".lower(),
            tuple(site.root / one for one in stack.files),
            tuple(site.root / one for one in env_files),
            ("*",),
        )
        try:
            model = site.docker.resolved(target).model
        except Interrupted:
            raise
        except EngineUnavailable:
            found = _environment(repository, choice, first, env_files, has_docker=False)
            return _exemplified(found, example)
        except UnstaleError as error:
            cause = error.cause.partition("\n")[0]
            refusals.append(f"{', '.join(stack.files)}: {cause or error.what}")
            continue
        found = _environment(repository, choice, stack, env_files, model, site.root)
        return _exemplified(found, example)
    found = _environment(repository, choice, first, env_files)
    note = f"compose refuses the files of {choice.name!r} ({'; '.join(refusals)})"
    refused = replace(found, notes=(*found.notes, note), refused=note)
    return _exemplified(refused, example)


def _exemplified(found: _Environment, example: str) -> _Environment:
    if not example:
        return found
    made = example.rpartition(".")[0]
    return replace(found, notes=(*found.notes, f"{example} is there, {made} is not: copy it"))


def _environment(
    repository: Repository,
    choice: Choice,
    stack: Stack,
    env_files: tuple[str, ...],
    model: Mapping[str, object] | None = None,
    root: Path = Path(),
    *,
    has_docker: bool = True,
) -> _Environment:
    layers = (
        services.of_yaml(composefiles.services_of(repository, [file]), file) for file in stack.files
    )
    known = services.merged(layers)
    if model is not None:
        known = services.of_model(model, str(root), known)
    return _Environment(
        choice.name,
        stack,
        known,
        env_files,
        services.runner(repository, known),
        services.database(repository, known),
        choice.others,
        has_docker=has_docker,
    )


def _findings(environments: Sequence[_Environment], default: str) -> Iterator[Finding]:
    if not environments:
        yield Finding("compose files", "none", "")
        return
    yield Finding("default environment", default, "its name")
    for one in environments:
        yield Finding(f"{one.name}: compose", ", ".join(one.stack.files), _why(one), _doubt(one))
        if one.env_files:
            yield Finding(f"{one.name}: env file", ", ".join(one.env_files), "")
        yield replace(one.runner, what=f"{one.name}: runner")
        yield replace(one.database, what=f"{one.name}: database")


def _why(one: _Environment) -> str:
    return "" if one.stack.is_unsure else one.stack.why


def _doubt(one: _Environment) -> str:
    others = f"also found: {', '.join(one.others)}" if one.others else ""
    return "; ".join(filter(None, (one.stack.why if one.stack.is_unsure else "", others)))


def _remarks(site: Site, environments: Sequence[_Environment]) -> Iterator[str]:
    if site.is_cut:
        yield f"there are more files than the {len(site.names)} that were looked at"
    if not site.in_git:
        yield "git has no repository here, so no commit is named in what a run proves"
    if any(not one.has_docker for one in environments):
        yield (
            "there is no docker command with its compose plugin, so compose files were read as"
            " YAML: variables, includes and profiles could not be told"
        )
    for one in environments:
        hidden = sorted({p for s in one.services for p in s.profiles} - set(one.profiles))
        if hidden:
            yield (
                f"{one.name!r} has services that only start with a profile ({', '.join(hidden)});"
                " profiles = [...] in its table switches it on"
            )


# --- pyproject.toml ---------------------------------------------------------------------


def _pyproject(
    site: Site,
    environments: Sequence[_Environment],
    default: str,
    shared: Sequence[Table],
    beside: Mapping[str, str],
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    before = own_files.text(site.root, site.files, _PYPROJECT)
    tool = parsed(before or "").get("tool")
    if isinstance(tool, Mapping) and "unstale" in tool:
        return (), ()
    tables = [
        Table(("tool", "unstale"), (Entry("default-env", default),)),
        *(_table(one) for one in environments),
        *shared,
        *_pairs([one.name for one in environments], beside),
    ]
    text = written.added(before or "", tables)
    text, notes = _baselined(site, environments, text)
    return (Change(_PYPROJECT, before, text),), notes


def _pairs(names: Sequence[str], beside: Mapping[str, str]) -> Iterator[Table]:
    """What is compared, where by convention something else would be as well."""
    pairs = tuple(f"{one}/{other}" for one, other in combinations(names, 2))
    if beside and pairs:
        why = f"{', '.join(beside.values())} is beside this stack"
        yield Table(("tool", "unstale", "parity"), (Entry("pairs", pairs, why=why),))


def _baselined(
    site: Site, environments: Sequence[_Environment], text: str
) -> tuple[str, tuple[str, ...]]:
    """*text* with today's differences, and what to say of them."""
    later = "no baseline of differences was made: {}; later: inv env.check --baseline"
    if len(environments) < 2:
        return text, ()
    if any(not one.has_docker for one in environments):
        return text, (later.format("there is no docker command"),)
    try:
        whole, count = site.with_baseline(text)
    except Interrupted:
        raise
    except UnstaleError as error:
        return text, (later.format(error.what.rstrip(".")),)
    if not count:
        return whole, ("the environments do not differ; from now on a difference needs a reason",)
    noun = "difference is" if count == 1 else "differences are"
    return whole, (f"{count} {noun} allowed as of today, with the reason 'baseline, unreviewed'",)


def _table(one: _Environment) -> Table:
    refused = (f"unsure: {one.refused}",) if one.refused else ()
    files = Entry("compose-files", one.stack.files, _doubt(one), _why(one))
    env_files = one.env_files
    entries = (
        files,
        *((Entry("env-file", env_files[0]),) if len(env_files) == 1 else ()),
        *((Entry("env-file", env_files),) if len(env_files) > 1 else ()),
        Entry("runner", one.runner.value, one.runner.unsure),
        Entry("database", one.database.value, one.database.unsure),
        *((Entry("profiles", one.profiles),) if one.profiles else ()),
    )
    return Table(("tool", "unstale", "environments", one.name), entries, refused)


def _shared(
    repository: Repository, default: _Environment | None, environments: Sequence[_Environment]
) -> tuple[tuple[Finding, ...], tuple[Table, ...]]:
    """What all environments share: how tests run, suites, migrations."""
    words, how = python.command(repository)
    runner = default.service(default.runner.value) if default else None
    if runner and words == ("pytest",) and (own := python.launched(runner.command)):
        words, how = own, Finding("test command", " ".join(own), runner.where)
    suites, found = _suites(repository, runner)
    schema, migrations = _schema(repository, default, runner)
    addresses = _addresses(repository, environments)
    wanted = (_runner_table(words, how, runner), *addresses, suites, schema)
    told = (Finding(f"address {e.key}", str(e.value), e.why) for t in addresses for e in t.entries)
    return (how, *told, *found, migrations), tuple(one for one in wanted if one.entries)


def _addresses(repository: Repository, environments: Sequence[_Environment]) -> tuple[Table, ...]:
    """Where services are, under the names that tests on this machine read; if all run there."""
    if any(one.runner.value != "host" for one in environments):
        return ()
    known = [one.services for one in environments]
    entries = tuple(
        Entry(one.variable, one.value, why=one.place)
        for one in default_addresses.found(repository, known)
    )
    return (Table(("tool", "unstale", "runner", "environment"), entries),)


def _runner_table(words: tuple[str, ...], how: Finding, runner: Service | None) -> Table:
    inside = [python.relative_to(one, runner.context) or one for one in words] if runner else words
    return Table(("tool", "unstale", "runner"), (Entry("command", tuple(inside), how.unsure),))


def _suites(repository: Repository, runner: Service | None) -> tuple[Table, tuple[Finding, ...]]:
    """The suites; paths are those in the image, where they run in one."""
    entries, findings = [], []
    for name, paths in python.suites(repository).items():
        inside = paths
        if runner is not None and name != "unit":
            inside = tuple(p for one in paths if (p := python.relative_to(one, runner.context)))
        findings.append(Finding(f"suite {name}", ", ".join(paths), "the folder's name"))
        if not inside:
            where = runner.name if runner else ""
            note = f"{', '.join(paths)} is in no build context of {where!r}"
            findings[-1] = replace(findings[-1], unsure=note)
            continue
        why = "what test.integration runs; without it, all that pytest finds there"
        entries.append(Entry(name, inside, why=why if name == "integration" else ""))
    folders = python.test_folders(repository)
    if folders:
        findings.insert(0, Finding("tests", ", ".join(folders[:5]), "the names of files"))
    return Table(("tool", "unstale", "suites"), tuple(entries)), tuple(findings)


def _schema(
    repository: Repository, default: _Environment | None, runner: Service | None
) -> tuple[Table, Finding]:
    path = ("tool", "unstale", "schema")
    found = python.migrations(repository)
    if found is None:
        is_django = bool(repository.called("manage.py"))
        doubt = "Django's test runner migrates" if is_django else "no alembic.ini was found"
        doubt += '; "create-all" if the tests or the application make the tables'
        return Table(path, (Entry("setup", "none", doubt),)), Finding("migrations", "none", "")
    about = Finding("migrations", "Alembic", found.ini, found.unsure)
    if found.metadata:
        about = replace(about, value=f"Alembic, models {found.metadata}")
    service, doubt = _migrates(found.ini, default, runner)
    inside = found.ini
    if context := (service or runner):
        inside = python.relative_to(found.ini, context.context) or found.ini
    is_usual = inside == "alembic.ini"
    flags = () if is_usual or not inside.endswith(".ini") else ("-c", inside)
    unsure = "; ".join(filter(None, (found.unsure, doubt)))
    entries = [
        Entry("setup", "migrate", unsure),
        Entry("migrate-command", ("alembic", *flags, "upgrade", "head")),
        *(() if is_usual else (Entry("alembic-ini", inside, why="as seen from where it runs"),)),
        *((Entry("service", service.name, why=_WHERE),) if service else ()),
    ]
    return Table(path, tuple(entries)), about


_WHERE = "where migrations run: a service whose build context has them"


def _migrates(
    ini: str, default: _Environment | None, runner: Service | None
) -> tuple[Service | None, str]:
    """The service that the migrations run in, if not the runner; and a doubt."""
    built = [one for one in (default.services if default else ()) if one.is_built]
    if runner is not None and runner.is_built and python.relative_to(ini, runner.context):
        return None, ""
    context = python.in_contexts(ini, [one.context for one in built])
    holding = [one for one in built if one.context == context]
    database = default.database.value if default else ""
    holding.sort(key=lambda one: (database not in one.needs, one.name))
    if holding:
        return holding[0], ""
    return None, f"{ini} is in the build context of no service"


# --- other files --------------------------------------------------------------------------


def _tasks(
    site: Site, repository: Repository
) -> tuple[tuple[Change, ...], TasksFile, tuple[str, ...]]:
    before = own_files.text(site.root, site.files, _TASKS)
    if before is not None:
        return (), tasksfile.advice(before, site.ours), ()
    if next(repository.below("tasks"), None) is not None:
        note = "no tasks.py is written, since it would hide the folder tasks/ from imports"
        return (), _DONE, (f"{note}: use `unstale TASK`",)
    return (Change(_TASKS, None, tasksfile.NEW),), _DONE, ()


def _ignored(
    site: Site, repository: Repository, environments: Iterable[_Environment]
) -> Iterator[Change]:
    dockerfiles = {s.dockerfile for e in environments for s in e.services if s.context == ""}
    names = {".dockerignore", *(f"{one}.dockerignore" for one in dockerfiles)}
    wanted = [".gitignore"] if site.in_git or repository.has(".gitignore") else []
    wanted += sorted(one for one in names if repository.has(one))
    for name in wanted:
        before = own_files.text(site.root, site.files, name)
        after = written.ignoring(before or "")
        if after != before:
            yield Change(name, before, after)


def _missing(
    site: Site, environments: Sequence[_Environment], default: _Environment | None
) -> tuple[str, ...]:
    """What the project's own [tool.unstale] leaves open."""
    tool = parsed(own_files.text(site.root, site.files, _PYPROJECT) or "").get("tool")
    ours = tool.get("unstale") if isinstance(tool, Mapping) else None
    if not isinstance(ours, Mapping):
        return ()
    known, found = site.settings.environments, []
    for one in environments:
        if one.name not in known or not known[one.name].compose_files:
            files = ", ".join(one.stack.files)
            found.append(f"[tool.unstale.environments.{one.name}]: {files} is there")
    wanted = known.get(site.settings.default_env)
    runner = default.runner if default else None
    if runner and wanted and wanted.runner is None and (runner.unsure or runner.value == "host"):
        where = f"runner in [tool.unstale.environments.{wanted.name}], such as {runner.value!r}"
        found.append(f"{where}: {runner.unsure or 'no service is built'}")
    if len(site.settings.pairs) > 0 and not site.settings.parity.has_policy:
        found.append("[[tool.unstale.parity.allow]]: inv env.check --baseline")
    return tuple(found)


_NO_FILE = "write a compose file for the tests, such as docker-compose.test.yml"


def _obstacle(environments: Sequence[_Environment]) -> str:
    if any(not one.has_docker for one in environments):
        return "install docker with its compose and buildx plugins"
    return ""


def _looked_at(site: Site, name: str) -> str:
    """What is in *name*; nothing where that can't be read, or is too much to be written by hand."""
    found: str | None = None
    with overlooked():
        found = own_files.text(site.root, site.files, name)
    return found or ""
