"""Which runs are alive: one locked file a run. The kernel frees it on any death."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from unstale import override
from unstale.adapters import watchdog
from unstale.errors import Fault, Interrupted, Unavailable, UnstaleError, UsageError
from unstale.jsontext import read_json

__all__ = ["ENDPOINT", "Dead", "Endpoint", "Lease", "Leases"]

Endpoint = Mapping[str, str]
"""The variables by which docker reaches an engine, of those in `ENDPOINT`."""

ENDPOINT = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
)

_SCHEMA = "unstale/lease@1"
_KEPT = "unstale/kept@1"
_MACHINE = re.compile(r"[0-9a-f]{16}")
_PASSWORD = re.compile(r"(?<=//)([^/@:]*):[^/@]*@")
_LOOK_S = 0.05
_TRIES = 20
_MACHINE_ID = Path("/etc/machine-id")
_OTHERS_WRITE, _OTHERS_READ = 0o022, 0o044
_MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}


@dataclass(slots=True)
class Lease:
    """The lease of a run that goes on."""

    run: str
    is_left: bool = False
    """Whether something may be left at the block's end, for the watchdog to remove."""


@dataclass(frozen=True, slots=True)
class Dead:
    """What the lease of a run that died tells."""

    run: str
    endpoint: Endpoint = field(default_factory=dict)
    """Of the engine that it used; empty if the lease can't be read."""


class Leases:
    """Leases of this user on this machine, for one thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._environ.pop(watchdog.TAG, None)  # of a run that this one is a part of
        self._held = ""
        self.is_used = False
        """Whether something was asked for, since the lease was taken, that may stay."""

    @property
    def folder(self) -> Path:
        """What is true of this user on this machine is kept here.

        Raises:
            UsageError: there is no home folder.

        """
        base = self._environ.get("XDG_STATE_HOME", "")
        # The XDG specification: a relative path is to be ignored.
        given = Path(base).is_absolute()
        return (Path(base) if given else self._home() / ".local" / "state") / "unstale"

    @property
    def owner(self) -> str:
        """The label that marks this machine's and user's objects.

        A copy of the folder (in an image, in a template of machines) is none of this
        machine, or a sweep there would take our living runs for dead ones.

        Raises:
            UsageError: the folder is not ours alone, can't be written, or is damaged.

        """
        path = self._made() / "machine"
        with _told(path):
            if not path.exists():
                _write_first(path, os.urandom(8).hex())
            text = path.read_text(errors="replace").strip()
        if not _MACHINE.fullmatch(text):
            raise UsageError(
                f"{path} is damaged.",
                cause="It names this machine in the labels of what runs make.",
                hint=f"rm {path}; what earlier runs left must then be removed by hand",
                fault=Fault.CONTENT,
            )
        machine = hashlib.sha256("\n".join((text, *self._host)).encode()).hexdigest()[:16]
        return f"{machine}-{os.getuid()}"

    @property
    def seal(self) -> bytes:
        """A secret by which this machine and user know what they wrote into a checkout.

        Raises what `owner` raises.
        """
        path = self._made() / "seal"
        with _told(path):
            if not path.exists():
                _write_first(path, os.urandom(32).hex())
            return path.read_bytes()[:64]

    @contextmanager
    def held(self, run: str, endpoint: Endpoint | None = None) -> Iterator[Lease]:
        """Hold the lease of *run*; taken before the run makes its first object.

        With *endpoint* a watchdog stands by: it removes from that engine whatever the
        run leaves, if the process dies, or the block ends by an error that may have
        left something, or with `Lease.is_left`.

        Raises:
            UsageError: the folder is not ours alone, or can't be written.
            Unavailable: no watchdog can be started.

        """
        lease, before = Lease(run), self._held
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._locked(run, endpoint or {}))
            try:
                done = self._watched(stack, run, endpoint) if endpoint is not None else _nothing
            except BaseException:
                self.drop(run)  # nothing was made under it
                raise
            self._held, self.is_used = run, False
            try:
                yield lease
            except BaseException as error:
                # An engine that never answered is not to be asked again by each later run.
                asked = endpoint is not None and self.is_used
                lease.is_left |= asked and _may_leave_something(error)
                raise
            finally:
                self._held = before
                if not lease.is_left:
                    self._path(run).unlink(missing_ok=True)
                    done()

    @contextmanager
    def ours(self, endpoint: Callable[[], Endpoint]) -> Iterator[Mapping[str, str]]:
        """The labels of an object that is made in the block.

        It is under the lease that is held, or under one for the block.
        """
        if self._held:
            yield self._labels()
            return
        with self.held(os.urandom(4).hex(), endpoint()):
            yield self._labels()

    @contextmanager
    def locked(self, name: str, *, shared: bool = False, patience_s: float = 0.0) -> Iterator[None]:
        """Hold the lock *name*, alone or beside others that share it.

        Raises:
            Unavailable: somebody had it for more than *patience_s* seconds.

        """
        path = self._made() / f"{name}.lock"
        with _told(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            _lock(descriptor, path, kind, time.monotonic() + patience_s)
            yield
        finally:
            os.close(descriptor)

    def is_alive(self, run: str) -> bool:
        """Whether somebody holds the lease of *run*."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path(run), flags)
        except OSError as error:
            # What may not be looked at may be alive.
            return error.errno not in (errno.ENOENT, errno.ELOOP)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def dead(self, *, homeless: bool = False) -> tuple[Dead, ...]:
        """The runs that died and were not kept.

        With *homeless*, the kept ones, too, whose checkout is gone: for who asks for that,
        since the disk that it is on may only be away.
        """
        folder = self._made()
        for path in folder.glob("*.new"):  # died before its lease was one
            if not _is_locked(path):
                path.unlink(missing_ok=True)
        return self.seen_dead(homeless=homeless)

    def seen_dead(self, *, homeless: bool = False) -> tuple[Dead, ...]:
        """What `dead` returns, for who only looks: nothing is made or removed."""
        paths = (*self.folder.glob("*.lease"), *self.folder.glob("*.kept"))
        runs = sorted({path.stem for path in paths})
        # In this order: a run is kept before its lease ends.
        gone = [run for run in runs if not self.is_alive(run)]
        left = [r for r in gone if not self.is_kept(r) or (homeless and self._is_homeless(r))]
        return tuple(Dead(run, self._endpoint(run)) for run in left)

    def drop(self, run: str) -> None:
        """Remove the lease of *run*: it is dead, and nothing of it is left."""
        self._path(run).unlink(missing_ok=True)
        if self._is_homeless(run):
            self._mark(run).unlink(missing_ok=True)

    def keep(self, run: str, root: Path, environment: str) -> None:
        """Mark *run* as one that a person asked to keep, in *environment* of the folder *root*."""
        place = {"root": str(root.resolve()), "environment": environment}
        text = json.dumps({"schema": _KEPT, "run": run, **place, "endpoint": self._endpoint(run)})
        with _told(self._mark(run)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(self._mark(run), flags, 0o600), "w") as file:
                file.write(f"{text}\n")

    def forget(self, run: str) -> None:
        """Drop the mark of a kept run, and its lease."""
        self._mark(run).unlink(missing_ok=True)
        if not self.is_alive(run):
            self.drop(run)

    def is_kept(self, run: str) -> bool:
        """Whether *run* is one that a person asked to keep."""
        return self._mark(run).exists()

    def _is_homeless(self, run: str) -> bool:
        """Whether *run* was kept in a checkout that is not there."""
        root = _noted(self._mark(run)).get("root")
        return isinstance(root, str) and _is_gone(root)

    def kept(self, root: Path, environment: str) -> tuple[str, ...]:
        """The runs that a person asked to keep in *environment* of the folder *root*."""
        wanted = (str(root.resolve()), environment)
        marks = ((path.stem, _noted(path)) for path in sorted(self.folder.glob("*.kept")))
        return tuple(
            r for r, note in marks if (note.get("root"), note.get("environment")) == wanted
        )

    @cached_property
    def _host(self) -> tuple[str, str]:
        """What a copy of the folder does not have; once, for it may change during a run."""
        text = ""
        with contextlib.suppress(OSError):  # not everywhere is one
            text = _MACHINE_ID.read_text(errors="replace").strip()
        return text, os.uname().nodename

    def _labels(self) -> Mapping[str, str]:
        return {override.LABEL_RUN: self._held, override.LABEL_OWNER: self.owner}

    def _path(self, run: str) -> Path:
        return self.folder / f"{run}.lease"

    def _mark(self, run: str) -> Path:
        return self.folder / f"{run}.kept"

    def _home(self) -> Path:
        home = self._environ.get("HOME", "")
        with contextlib.suppress(KeyError):
            home = home or pwd.getpwuid(os.getuid()).pw_dir
        if not Path(home).is_absolute():
            raise UsageError(
                "There is no folder to note in which runs are alive.",
                cause=f"HOME is {home!r}." if home else "HOME is not set.",
                hint="set XDG_STATE_HOME to a folder of your own",
                fault=Fault.PERMISSION,
            )
        return Path(home)

    def _made(self) -> Path:
        """The folder, which is ours alone: who can write to it decides what a sweep removes."""
        folder = self.folder
        with _told(folder):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True, mode=0o700)
            seen = folder.lstat()
        wrong = ""
        if not stat.S_ISDIR(seen.st_mode):
            wrong = "It is a link, or no folder."
        elif seen.st_uid != os.geteuid():
            wrong = f"It belongs to the user {seen.st_uid}, and this is {os.geteuid()}."
        elif seen.st_mode & _OTHERS_WRITE:
            wrong = "Others can write to it."
        if wrong:
            raise UsageError(
                f"{folder} is not a folder of yours alone.",
                cause=f"{wrong} What is in it decides what is removed from the engine.",
                hint=f"ls -ld {folder}; mend or remove it, or set XDG_STATE_HOME",
                fault=Fault.PERMISSION,
            )
        if seen.st_mode & _OTHERS_READ:
            with _told(folder):
                folder.chmod(stat.S_IMODE(seen.st_mode) & ~_OTHERS_READ)
        return folder

    @contextmanager
    def _locked(self, run: str, endpoint: Endpoint) -> Iterator[None]:
        path = self._made() / f"{run}.lease"
        safe = {k: _PASSWORD.sub(r"\1@", v) for k, v in endpoint.items()}
        text = json.dumps({"schema": _SCHEMA, "run": run, "pid": os.getpid(), "endpoint": safe})
        with _told(path):
            descriptor = _taken(path, text.encode() + b"\n")
        try:
            yield
        finally:
            os.close(descriptor)

    def _watched(
        self, stack: contextlib.ExitStack, run: str, endpoint: Endpoint
    ) -> Callable[[], None]:
        """Start the watchdog of *run*; what tells it that all is well.

        Only this process holds the end of the pipe: no command inherits it.
        """
        docker = shutil.which("docker", path=self._environ.get("PATH")) or "docker"
        words = (str(self.folder), run, self.owner, str(Path(docker).absolute()))
        theirs, ours = os.pipe()
        stack.callback(os.close, ours)
        try:
            with _told(Path(watchdog.__file__)):
                process = subprocess.Popen(
                    (sys.executable, "-I", "-S", watchdog.__file__, *words),
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=self._reaching(endpoint),
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        stack.callback(process.wait)  # its child is the one that watches
        _tag(stack, run)

        def done() -> None:
            with contextlib.suppress(OSError):  # somebody ended it
                os.write(ours, watchdog.DONE)

        return done

    def _reaching(self, endpoint: Endpoint) -> dict[str, str]:
        """The environment of the watchdog, which is no command of the run."""
        # Marks of ours lead those who look for strays to it.
        kept = {
            k: v
            for k, v in self._environ.items()
            if k not in ENDPOINT[:-1] and not k.startswith("UNSTALE_")
        }
        if config := kept.get("DOCKER_CONFIG"):
            kept["DOCKER_CONFIG"] = str(Path(config).absolute())
        return {**kept, **endpoint}

    def _endpoint(self, run: str) -> Endpoint:
        """What its lease notes, or its mark; nothing if that is damaged."""
        found = (_noted(self._path(run)) or _noted(self._mark(run))).get("endpoint")
        return {str(k): str(v) for k, v in _table(found).items() if k in ENDPOINT}


def _noted(path: Path) -> Mapping[str, object]:
    """What is written in *path*; nothing if that is damaged."""
    try:
        return _table(read_json(path.read_text()))
    except (OSError, ValueError):
        return {}


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _is_gone(folder: str) -> bool:
    """Whether there is no such folder; what can't be looked at may be there."""
    try:
        Path(folder).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _nothing() -> None:
    """Tell nobody: there is no watchdog."""


def _may_leave_something(error: BaseException) -> bool:
    """Whether it may have cut a removal short, or tells that one failed."""
    if isinstance(error, GeneratorExit):  # somebody has read enough
        return False
    if not isinstance(error, UnstaleError):
        return True
    return error.is_left or isinstance(error, Unavailable | Interrupted)


def _tag(stack: contextlib.ExitStack, run: str) -> None:
    """Let the commands of *run* carry its name, by which the watchdog finds them."""
    before = os.environ.get(watchdog.TAG)
    os.environ[watchdog.TAG] = run

    def restore() -> None:
        if before is None:
            os.environ.pop(watchdog.TAG, None)
        else:
            os.environ[watchdog.TAG] = before

    stack.callback(restore)


def _write_first(path: Path, text: str) -> None:
    """Write *path*, unless somebody did: both then read one text."""
    new = path.with_name(f"{path.name}.{os.urandom(16).hex()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _taken(path: Path, content: bytes) -> int:
    """Make *path*, and lock it; until it is locked it has another name.

    The sweep of another start may look at it then, or take it for what a dead run left
    and remove it: then it is made anew.
    """
    left = _TRIES
    while True:
        left -= 1
        try:
            return _new(path, content)
        except (BlockingIOError, FileNotFoundError):
            if not left:
                raise
        time.sleep(_LOOK_S)


def _new(path: Path, content: bytes) -> int:
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, content)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(path)
    except BaseException:
        os.close(descriptor)
        fresh.unlink(missing_ok=True)
        raise
    return descriptor


def _lock(descriptor: int, path: Path, kind: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Unavailable(
                    "Another command is using the standing stack.",
                    cause=f"It holds {path}, and has not ended yet.",
                    hint="the same again when it has; `inv stack.status` tells what is up",
                    fault=Fault.BUSY,
                ) from None
            time.sleep(_LOOK_S)
        else:
            return


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{path} can't be used."
        cause = f"{error.strerror}. It is needed to know which runs are alive."
        if error.errno in _MENDABLE:
            hint = f"ls -ld {path.parent}; mend that, or set XDG_STATE_HOME to a folder of yours"
            raise UsageError(what, cause=cause, hint=hint, fault=Fault.PERMISSION) from error
        fault = Fault.RESOURCES if error.errno in _FULL else None
        raise Unavailable(what, cause=cause, hint=f"df {path.parent}", fault=fault) from error
