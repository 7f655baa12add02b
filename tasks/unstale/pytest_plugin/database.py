"""The guard: no test runs against a schema that is not proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, make_url, text
from sqlalchemy.exc import DBAPIError

from unstale.errors import ConfigError, Mismatch, TimedOut, UnstaleError
from unstale.jsontext import read_json
from unstale.pytest_plugin import ground as grounds
from unstale.pytest_plugin import migrations, tables, templates
from unstale.pytest_plugin.creation import Created, create_missing, drop_created
from unstale.pytest_plugin.engines import child_environment, masked, open_engine, server_of
from unstale.pytest_plugin.ground import Ground, Place, place_of
from unstale.pytest_plugin.locks import exclusive, release, share
from unstale.pytest_plugin.readiness import (
    migrations_in_progress,
    wait_for_migrations,
    wait_until_ready,
)
from unstale.pytest_plugin.settings import Settings
from unstale.schema import status as schema_status

if TYPE_CHECKING:
    from unstale.schema.status import SchemaStatus

__all__ = ["EXIT_STATUS", "register"]

_GUARD = pytest.StashKey["_Guard"]()
EXIT_STATUS = 3
"""pytest's, when the schema is not what it should be, as in the contract."""

_READY_S = 60.0
_MIGRATED_S = 300.0
_PROBE_S = 120.0
# Other workers may still run tests on the tables that this one created.
_OTHERS_S = 600.0
_CREATING, _USING = "creating tables", "using tables"


def register(config: pytest.Config) -> None:
    """Guard a suite that named its database."""
    settings = Settings.of(config)
    if settings.database:
        guard = config.stash[_GUARD] = _Guard(config, settings)
        config.pluginmanager.register(guard, "unstale-database")
        config.pluginmanager.register(sys.modules[__name__], "unstale-database-fixtures")


# Functions of the module: pytest 9.2 warns of session fixtures that are methods.
@pytest.fixture(scope="session", autouse=True)
def unstale_schema_guard(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Wait for the database, prove its schema, and prove it again at the end."""
    yield from request.config.stash[_GUARD].around(request.session, tmp_path_factory)


@dataclass(frozen=True, slots=True)
class _Proof:
    """What one worker found out for all of this run."""

    problem: str
    """Why no test may run; empty if the schema is right."""
    state: str
    survey: tuple[str, str | None, str] | None
    """Digest, and the version table's schema and name (empty: none)."""


@dataclass(slots=True)
class _Report:
    """What a process tells at the end; a worker sends it to its controller."""

    notes: list[str] = field(default_factory=list)
    problem: str = ""


class _Guard:
    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._report = _Report()

    def around(self, session: pytest.Session, tmp: pytest.TempPathFactory) -> Iterator[Ground]:
        with ExitStack() as stack:
            try:
                ground = self._enter(stack, tmp)
                before = self._catalog(ground)
            except (UnstaleError, DBAPIError) as error:
                self._stop(session, str(error))
            yield ground
            # Session fixtures of the suite are torn down by now: this one came first.
            self._compare(before, self._catalog(ground))

    def _stop(self, session: pytest.Session, message: str) -> None:
        """End the session before its first test."""
        given = self._settings.database
        message = f"No test was run. {_masked(self._settings, message)}"
        self._report.problem = message
        if hasattr(self._config, "workeroutput"):
            # The controller asks a worker for this; without it, tests that were
            # handed out and not run are an internal error of xdist.
            session.shouldstop = f"unstale: the database of {given} is not as it should be"
        pytest.exit(message, returncode=EXIT_STATUS)

    def _enter(self, stack: ExitStack, tmp: pytest.TempPathFactory) -> Ground:
        settings, place = self._settings, place_of(self._config, self._settings)
        wait_until_ready(place.base, deadline_s=_READY_S, tell=self._tell_now)
        admin = open_engine(place.base, autocommit=True)
        _require_the_runs(admin)
        wait_for_migrations(admin, deadline_s=_MIGRATED_S, tell=self._tell_now)
        self._refuse_sharing()
        keeper = stack.enter_context(admin.connect())
        memo = _Memo(self._config, tmp)
        with exclusive(keeper, _CREATING):
            proof = memo.read() or memo.write(
                _prove(settings, place, admin, is_apart=place.is_apart)
            )
        if proof.problem:
            raise UnstaleError(proof.problem)
        self._say(f"unstale.schema {settings.schema}: {proof.state}")
        template = None
        if place.is_apart or settings.isolation == "clone":
            template = self._template(stack, admin, place, proof)
        if place.is_apart:
            self._own(stack, admin, place, template)
        elif settings.schema == "create-all":
            stack.enter_context(self._created(keeper, place))
        version_table = (proof.survey[1], proof.survey[2]) if proof.survey else None
        return Ground(place.base, place.url, place.owner, template, version_table)

    def _refuse_sharing(self) -> None:
        shared = grounds.workers(self._config) > 1 and self._settings.schema == "none"
        if shared and self._settings.isolation in ("truncate", "dirty-delete"):
            raise ConfigError(
                f"With unstale_schema = none, workers share one database, and "
                f"{self._settings.isolation} of one would empty the tables of another.",
                hint="set unstale_schema to migrate or create-all, or run without -n",
            )

    def _template(self, stack: ExitStack, admin: Engine, place: Place, proof: _Proof) -> str:
        assert proof.survey is not None, "BUG: a template without a survey"  # noqa: S101
        digest = templates.key(admin, proof.survey[0])

        def build(name: str) -> None:
            migrations.build(self._settings, server_of(place.base, name))

        stack.enter_context(templates.own_clones(admin, place.owner))
        return stack.enter_context(templates.held_template(admin, digest, build))

    def _own(self, stack: ExitStack, admin: Engine, place: Place, template: str | None) -> None:
        assert template is not None, "BUG: a worker of its own without a template"  # noqa: S101
        name = make_url(place.url).database or ""
        templates.sweep(admin)
        templates.clone(admin, template, name)
        stack.callback(templates.drop, admin, name)

    @contextmanager
    def _created(self, keeper: Connection, place: Place) -> Iterator[None]:
        """Create what is missing; in the end drop that alone, after all others ended."""
        metadata = _metadata(self._settings)
        with exclusive(keeper, _CREATING):
            created = create_missing(open_engine(place.base), metadata)
            share(keeper, _USING)
        self._say(
            f"unstale.schema create-all: {len(created.tables)} tables created by this process"
        )
        try:
            yield
        finally:
            release(keeper, _USING)
            self._drop(keeper, place, created)

    def _drop(self, keeper: Connection, place: Place, created: Created) -> None:
        if not created.objects:
            return
        keeper.execute(text(f"SET lock_timeout = {int(_OTHERS_S * 1000)}"))
        try:
            with exclusive(keeper, _USING):
                self._say(
                    f"unstale.schema create-all: {drop_created(open_engine(place.base), created)}"
                )
        except (UnstaleError, DBAPIError) as error:
            self._fail(str(error))

    def _catalog(self, ground: Ground) -> frozenset[str]:
        if self._settings.schema == "none":
            return frozenset()
        return tables.catalog(open_engine(ground.url))

    def _compare(self, before: frozenset[str], after: frozenset[str]) -> None:
        if before == after:
            return
        gone, come = sorted(before - after), sorted(after - before)
        changes = [*(f"  gone: {x}" for x in gone[:10]), *(f"  new: {x}" for x in come[:10])]
        more = len(gone) + len(come) - len(changes)
        changes += [f"  and {more} more"] if more else []
        self._fail(
            "The schema is not what it was before the first test:\n"
            + "\n".join(changes)
            + "\nMost likely a fixture or a test called create_all, drop_all or Alembic."
            + "\nNext: let it work on a database of its own, then migrate this one anew."
        )

    def _tell_now(self, words: str) -> None:
        """Write a line at once, though a fixture's output is captured."""
        given: dict[str, str] | None = getattr(self._config, "workerinput", None)
        if given and given["workerid"] != "gw0":
            return  # one worker speaks for them all
        manager = self._config.pluginmanager
        capture: Any = manager.get_plugin("capturemanager")  # None with -p no:capture
        reporter: pytest.TerminalReporter | None = manager.get_plugin("terminalreporter")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(words)
                reporter.flush()
            else:
                print(words, file=sys.stderr, flush=True)  # noqa: T201 - a worker's only way

    def _say(self, words: str) -> None:
        self._report.notes.append(words)

    def _fail(self, message: str) -> None:
        words = _masked(self._settings, message)
        self._report.problem = "\n".join(filter(None, (self._report.problem, words)))

    # --- Told at the end ---

    # Innermost: fixtures are torn down inside it, also after -x; xdist sends the
    # worker's output around it.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Send the report to the controller, or let it decide the exit status."""
        self._record()
        yield
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["unstale_database"] = asdict(self._report)
        elif self._report.problem and session.exitstatus != pytest.ExitCode.TESTS_FAILED:
            session.exitstatus = EXIT_STATUS

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take over what a worker reports; xdist calls it, where it is installed."""
        sent = getattr(node, "workeroutput", {}).get("unstale_database")
        if sent:
            self._report.notes += [x for x in sent["notes"] if x not in self._report.notes]
            if sent["problem"] not in self._report.problem:
                self._report.problem += ("\n" if self._report.problem else "") + sent["problem"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which schema the tests ran on, and what is wrong with it."""
        for note in self._report.notes:
            terminalreporter.write_line(note)
        if self._report.problem:
            terminalreporter.section("unstale: the database", red=True, bold=True)
            terminalreporter.write_line(self._report.problem)

    def _record(self) -> None:
        """The property of the JUnit file, as record_testsuite_property writes it.

        That fixture does nothing in a worker, so the controller writes it.
        """
        from _pytest.junitxml import xml_key

        xml = self._config.stash.get(xml_key, None)
        if xml is not None and self._report.notes:
            words = [note.removeprefix("unstale.schema ") for note in self._report.notes]
            xml.add_global_property("unstale.schema", "; ".join(words))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Leave the environment as it was found."""
        grounds.restore(self._config, self._settings)


class _Memo:
    """What the first worker proved, for those that come after it in the same run."""

    def __init__(self, config: pytest.Config, tmp: pytest.TempPathFactory) -> None:
        given: dict[str, str] | None = getattr(config, "workerinput", None)
        name = f"unstale-{given['testrunuid']}.json" if given else None
        # The parent of a worker's own folder is common to the workers.
        self._path: Path | None = tmp.getbasetemp().parent / name if name else None

    def read(self) -> _Proof | None:
        if self._path is None or not self._path.exists():
            return None
        match read_json(self._path.read_text(errors="replace")):
            case {"problem": str(problem), "state": str(state), "survey": None}:
                return _Proof(problem, state, None)
            case {"problem": str(problem), "state": str(state), "survey": [digest, schema, name]}:
                return _Proof(problem, state, (digest, schema, name))
            case _:  # the worker was killed while it wrote
                return None

    def write(self, proof: _Proof) -> _Proof:
        if self._path is not None:
            self._path.write_text(json.dumps(asdict(proof)))
        return proof


_IDENTITY = text(
    """
    SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system,
           current_database()::text AS database
    """
)


def _told() -> Any:  # noqa: ANN401 - JSON of an environment variable
    """Which database a run of unstale migrated; None if pytest was started by hand."""
    return read_json(os.environ.get("UNSTALE_DATABASE", "null"))


def _require_the_runs(admin: Engine) -> None:
    """Refuse another database than the one that this run of unstale has migrated.

    Raises:
        Mismatch: the tests are connected to another one.

    """
    told = _told()
    if not isinstance(told, dict):
        return  # pytest was started by hand
    with admin.connect() as connection:
        found = connection.execute(_IDENTITY).one()._asdict()
    if any(told.get(name) != value for name, value in found.items()):
        raise Mismatch(
            "The tests are connected to another database than the one that was migrated.",
            cause=f"Migrated: {told.get('database')} of cluster {told.get('system')}; "
            f"here: {found['database']} of cluster {found['system']}.",
            hint="let env.py and the tests take the URL from the same variable",
        )


def _prove(settings: Settings, place: Place, admin: Engine, *, is_apart: bool) -> _Proof:
    if settings.schema == "none":
        return _Proof("", "not asked, only waited for the database", None)
    needs_survey = is_apart or settings.isolation in ("clone", "truncate", "dirty-delete")
    problem, state = "", f"the tables of {settings.metadata}"
    if settings.schema == "migrate":
        problem, state = _judged(settings, place, admin)
    if problem or not needs_survey:
        return _Proof(problem, state, None)
    found = migrations.survey(settings, place.base)
    schema, name = found.version_table or (None, "")
    return _Proof(problem, state, (found.digest, schema, name))


def _judged(settings: Settings, place: Place, admin: Engine) -> tuple[str, str]:
    """What is wrong with the schema, if anything, and its state in words."""
    while True:
        status = _schema_state(settings, place.base)
        error = schema_status.problem(status)
        if error is None:
            return "", f"{status.state}, at {', '.join(status.heads)}"
        with admin.connect() as connection:
            if not migrations_in_progress(connection):
                return str(error), status.state
        # It began, or went on, while the probe looked.
        wait_for_migrations(admin, deadline_s=_MIGRATED_S)


def _schema_state(settings: Settings, url: str) -> SchemaStatus:
    """What the piped probe says of the database, in a Python of its own."""
    probe = Path(schema_status.__file__).parents[1] / "adapters" / "database" / "probe.py"
    # A server of unstale's own run may get a database to compare with.
    is_ours = isinstance(_told(), dict)
    request = {
        "do": "check" if is_ours else "look",
        "ini": str(settings.alembic_ini),
        "metadata": settings.metadata or None,
        "reference": is_ours,
        "why_not": "unstale did not start this server",
    }
    done = _run_probe(
        (sys.executable, "-", json.dumps(request)),
        input=probe.read_text(),
        cwd=settings.root,
        env=child_environment({settings.database: url}, str(settings.root)),
    )
    # Errors last: without an answer, the end of it all is the cause.
    return schema_status.read(f"{done.stdout}\n{done.stderr}")


def _run_probe(command: tuple[str, ...], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401 - subprocess.run's own
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_S, check=False, **options
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(
            f"The schema could not be read within {_PROBE_S:g} s.",
            cause="env.py waits for something, or the machine is very busy.",
            hint="run alembic current by hand",
        ) from error


def _metadata(settings: Settings) -> MetaData:
    try:
        found = resolve_name(settings.metadata)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"unstale_metadata = {settings.metadata} can't be imported.",
            cause=str(error),
            hint="write it as package.module:Base.metadata",
        ) from error
    if not isinstance(found, MetaData):
        raise ConfigError(
            f"unstale_metadata = {settings.metadata} is a {type(found).__name__}, not a MetaData.",
            hint="write it as package.module:Base.metadata",
        )
    return found


def _masked(settings: Settings, message: str) -> str:
    return masked(os.environ.get(settings.database, ""))(message)
