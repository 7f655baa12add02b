"""The chain from the docker command to a builder: which link is the first that is broken."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from unstale.adapters.docker import DockerCli
from unstale.adapters.docker_words import NEEDED, check_plugins, engine_gone
from unstale.doctor.finding import Finding, Need, State, blocked, fail, not_asked, ok
from unstale.errors import EngineUnavailable, Fault, Interrupted, Unavailable, UnstaleError
from unstale.facts import moment
from unstale.jsontext import MISFITS, read_json
from unstale.ports import Command, Process

__all__ = ["CHAIN", "Engine", "findings", "look", "needs", "with_plugins"]

CHAIN = ("docker command", "engine", "permission", "context", "compose", "buildx")

_ANSWER_S = 5.0  # a doctor who waits for 20 is none
_FORM = (
    "[{{json .ServerVersion}},{{json .ServerErrors}},{{json .ClientInfo.Plugins}},"
    "{{json .DockerRootDir}},{{json .SystemTime}}]"
)
_REACHED = "reached"
# Where engines listen besides the default place, by what puts them there.
_SOCKETS = (
    ("rootless Docker or Podman", "{run}/docker.sock"),
    ("Podman", "{run}/podman/podman.sock"),
    ("Docker Desktop", "{home}/.docker/run/docker.sock"),
    ("Docker Desktop", "{home}/.docker/desktop/docker.sock"),
    ("Colima", "{home}/.colima/default/docker.sock"),
    ("Rancher Desktop", "{home}/.rd/docker.sock"),
    ("OrbStack", "{home}/.orbstack/run/docker.sock"),
    ("the default place", "/var/run/docker.sock"),
)


@dataclass(frozen=True, slots=True)
class Engine:
    """What was seen of docker and its engine."""

    command: str | None = None
    """Where the docker command is."""
    host: str = ""
    """Which engine is asked: ``unix:///var/run/docker.sock``; empty: a context with keys."""
    lost: UnstaleError | None = None
    """Why it is not known which."""
    link: int | str = ""
    """What connecting to a local one gave: "reached", or an error of the kernel."""
    elsewhere: tuple[str, str] | None = None
    """Another engine that listens here: what it is of, and its address."""
    version: str = ""
    """Of the engine; empty: it did not answer."""
    words: str = ""
    """What docker said instead."""
    plugins: Mapping[str, str] | None = None
    """Name to version; None: docker did not say."""
    data_root: str = ""
    ahead_s: float | None = None
    """How much the engine's clock is ahead of this one; None: not told."""

    @property
    def is_local(self) -> bool:
        """Whether it is reached over a socket of this machine."""
        return self.host.startswith("unix://")

    @property
    def answers(self) -> bool:
        """Whether there is one."""
        return bool(self.version)


def look(
    process: Process,
    docker: DockerCli,
    environ: Mapping[str, str],
    meanwhile: Callable[[], object] = lambda: None,
    *,
    answer_s: float = _ANSWER_S,
) -> Engine:
    """Ask docker about itself and its engine; *meanwhile* is done in the time that takes.

    One that takes longer than *answer_s* seconds does not answer.
    """
    command = shutil.which("docker", path=environ.get("PATH"))
    if command is None:
        meanwhile()
        return Engine(elsewhere=_elsewhere(environ, ""))
    try:
        host = docker.endpoint().get("DOCKER_HOST", "")
    except Interrupted:
        raise
    except UnstaleError as error:
        meanwhile()
        return Engine(command, lost=error, elsewhere=_elsewhere(environ, ""))
    asked = Command(("docker", "info", "--format", _FORM), answer_s)
    answer, before = None, time.time()
    try:
        with process.started(asked) as result:
            meanwhile()
            done = result()
        answer, said = read_json(done.stdout), done.stderr
    except Unavailable as error:
        said = f"{error.what} {error.cause}"
    version, errors, plugins, root, at = _read(answer)
    return Engine(
        command,
        host,
        link="" if version else _link(host),
        elsewhere=None if version else _elsewhere(environ, host),
        version=version,
        words=errors or said,
        plugins=plugins,
        data_root=root,
        ahead_s=_ahead(at, before),
    )


def with_plugins(seen: Engine, process: Process, answer_s: float) -> Engine:
    """*seen* with its plugins: the client, which needs no engine, is asked for untold ones."""
    if seen.command is None or seen.plugins is not None:
        return seen
    told = {name: _version(process, name, answer_s) for name in NEEDED}
    return replace(seen, plugins={name: found for name, found in told.items() if found})


def _version(process: Process, plugin: str, answer_s: float) -> str:
    """What *plugin* says of its version; empty: it does not answer."""
    # A context that can't be used stops the client before any plugin.
    env, unset = {"DOCKER_CONTEXT": "default"}, ("DOCKER_HOST",)
    try:
        done = process.run(Command(("docker", plugin, "version"), answer_s, env=env, unset=unset))
    except Unavailable:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(answer: object) -> tuple[str, str, Mapping[str, str] | None, str, str]:
    """Version, errors, plugins, data root and time of an answer, as far as it has them."""
    if not isinstance(answer, list):
        return "", "", None, "", ""
    version, errors, plugins, root, at = (*answer, *[None] * 5)[:5]
    try:
        named = {str(p["Name"]): str(p.get("Version", "")) for p in plugins or ()}
        wrong = "\n".join(map(str, errors or ()))
    except MISFITS:
        return "", "", None, "", ""
    known = {name: found for name, found in named.items() if name in NEEDED}
    return str(version or "") if not wrong else "", wrong, known, str(root or ""), str(at or "")


def _ahead(at: str, before: float) -> float | None:
    """By how many seconds the engine's time *at* is ahead; it was told after *before*."""
    try:
        there = moment(at).timestamp()
    except MISFITS:
        return None
    return max(there - time.time(), 0.0) or min(there - before, 0.0)


def _link(host: str) -> int | str:
    """Connect to the local engine at *host*: the kernel tells what is wrong."""
    if not host.startswith("unix://"):
        return ""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(_ANSWER_S)
            link.connect(host.removeprefix("unix://"))
    except OSError as error:
        return error.errno or errno.EIO
    return _REACHED


def _elsewhere(environ: Mapping[str, str], asked: str) -> tuple[str, str] | None:
    """An engine that listens at another of the usual places."""
    home = environ.get("HOME") or "/nonexistent"
    run = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    for kind, pattern in _SOCKETS:
        place = f"unix://{pattern.format(home=home, run=run)}"
        if place != asked and _link(place) == _REACHED:
            return kind, place
    return None


def findings(seen: Engine) -> tuple[Finding, ...]:
    """The links of the chain up to the first that is broken, and who was not asked then."""
    found: list[Finding] = []
    for one in _links(seen):
        found.append(one)
        if one.state is State.FAIL:
            rest = CHAIN[len(found) :]
            return (*found, *(blocked(name, one) for name in rest))
    return tuple(found)


def _links(seen: Engine) -> Iterator[Finding]:
    yield _command(seen)
    yield from _reached(seen)
    for plugin in ("compose", "buildx"):
        yield _plugin(seen, plugin)


def _command(seen: Engine) -> Finding:
    if seen.command is None:
        return fail(
            "docker command",
            "There is no docker command on the PATH.",
            "install Docker Engine with its compose and buildx plugins",
            needs=needs(seen),
        )
    return ok("docker command", seen.command)


def _reached(seen: Engine) -> Iterator[Finding]:
    """Engine, permission and context: three ways not to get an answer."""
    if seen.answers:
        yield ok("engine", f"{seen.version} answers")
        yield ok("permission", "it may be asked")
        yield ok("context", seen.host or "the context's engine")
        return
    words = seen.words.lower() if seen.is_local else ""
    if seen.link == errno.EACCES or "permission denied" in words:
        yield not_asked("engine", f"{_place(seen)} is there, and may not be opened")
        yield _forbidden(seen)
        return
    if seen.elsewhere or seen.lost or not seen.is_local:
        yield from _misled(seen)
        return
    yield _dead(seen)


def _place(seen: Engine) -> str:
    return seen.host.removeprefix("unix://") or "its context's"


def _dead(seen: Engine) -> Finding:
    start = "start it: systemctl start docker, Docker Desktop or ./bootstrap --with-docker"
    match seen.link:
        case errno.ENOENT:
            said = f"No engine runs: {_place(seen)} is not there (ENOENT)."
        case errno.ECONNREFUSED:
            said = f"The engine has ended: nobody listens at {_place(seen)} (ECONNREFUSED)."
        case int(number):
            said = f"{_place(seen)} can't be connected to: {os.strerror(number)}."
        case _:
            said = f"Something listens at {_place(seen)}, and gives no answer."
            start = "look at its log: journalctl -u docker; then restart it"
    return fail("engine", said, start, needs=needs(seen))


def _forbidden(seen: Engine) -> Finding:
    return fail(
        "permission",
        f"{_place(seen)} may not be opened by this user (EACCES).",
        "use a rootless engine (dockerd-rootless-setuptool.sh install) or Podman; or join the "
        "socket's group, which equals root on this machine",
        needs=["group"],
    )


def _misled(seen: Engine) -> Iterator[Finding]:
    """Of an engine that is not where docker looks."""
    if seen.elsewhere:
        kind, place = seen.elsewhere
        yield ok("engine", f"one listens at {place.removeprefix('unix://')}, of {kind}")
        yield ok("permission", "it may be connected to")
        where = seen.lost.what if seen.lost else f"docker looks at {seen.host or 'its context'}."
        yield fail("context", f"{where} No engine answers there.", f"export DOCKER_HOST={place}")
        return
    error = seen.lost or engine_gone(seen.words)
    if error.fault is not Fault.CONFIGURATION:
        yield fail(
            "engine",
            f"No engine answers at {seen.host or 'the place that the context names'}.",
            "start that engine, or unset DOCKER_HOST, or docker context use default",
        )
        return
    yield not_asked("engine", "it is not known where it is")
    yield not_asked("permission", "it is not known where it is")
    yield fail("context", error.what, error.hint)


def _plugin(seen: Engine, plugin: str) -> Finding:
    try:
        check_plugins(seen.plugins or {}, (plugin,))
    except EngineUnavailable as error:
        return fail(plugin, f"{error.what} {error.cause}", error.hint, needs=needs(seen))
    return ok(plugin, (seen.plugins or {})[plugin])


def needs(seen: Engine, *, has_dockerd: bool | None = None) -> tuple[Need, ...]:
    """What is to be installed and started so that all of the chain holds.

    Not only its first broken link: packages are installed together.
    """
    if has_dockerd is None:
        has_dockerd = shutil.which("dockerd") is not None
    found: list[Need] = [] if seen.command else ["command"]
    if not seen.answers:
        found += ["start"] if has_dockerd else ["engine", "start"]
    lacking: tuple[Need, ...] = ("buildx", "compose")
    return (*found, *(plugin for plugin in lacking if not _will_do(seen, plugin)))


def _will_do(seen: Engine, plugin: str) -> bool:
    try:
        check_plugins(seen.plugins or {}, (plugin,))
    except EngineUnavailable:
        return False
    return True
