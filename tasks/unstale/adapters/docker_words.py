"""What docker and compose say when something is wrong, as errors of ours."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from unstale.errors import EngineUnavailable, Fault, TimedOut, Unavailable, UnstaleError
from unstale.jsontext import narrowed
from unstale.ports import CommandResult, ComposeWarning

__all__ = [
    "ABSENT",
    "GONE",
    "IN_USE",
    "NEEDED",
    "NOT_RUNNING",
    "WITHOUT_DOCKER",
    "absent_base",
    "check_plugins",
    "check_socket",
    "compose_warnings",
    "compose_words",
    "engine_gone",
    "is_inconsistent",
    "last_words",
    "meaningful",
    "no_address",
    "raise_gone",
    "raise_if_no_compose",
    "raise_if_short",
    "raise_unless_done",
    "raise_unless_refused",
    "readable",
    "require_env_files_read",
    "shortage",
    "translated",
    "unreadable",
]

# Compose: the release that knows the override's !reset and !override tags.
# Buildx: 0.13 is the oldest that was tried; what is much older is refused.
NEEDED = {"compose": (2, 24), "buildx": (0, 10)}

WITHOUT_DOCKER = "or compare the env files alone, which needs no docker: --files-only"

GONE = re.compile(
    r"cannot connect to the docker daemon|error during connect|is the docker daemon running"
    r"|permission denied while trying to connect|failed to connect to the docker api",
    re.IGNORECASE,
)
ABSENT = re.compile(
    r"no such |not found|could not find the file|already in progress", re.IGNORECASE
)
NOT_RUNNING = re.compile(r"is not running|no such container|is paused", re.IGNORECASE)
IN_USE = re.compile(r"conflict", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_ADDRESS = re.compile(
    r"could not find an available, non-overlapping IPv4 address pool"
    r"|all predefined address pools have been fully subnetted",
    re.IGNORECASE,
)
_ENGINES_OWN = re.compile(r"Error response from daemon", re.IGNORECASE)
# What `docker network rm` adds to its errors.
_NOISE = re.compile(r"^\s*(-*|exit status \d+)\s*$")
# Compose's own progress: " Container demo-db-1  Starting".
_PROGRESS = re.compile(r"^\s*(Container|Network|Volume|Image|Service)? ?\S+\s+\w+ing\b\s*$")
# Compose quotes the rest of an env file, secrets and all, where it can't read it.
_QUOTED_FILE = re.compile(
    r"(?P<words>near|in variable name|unterminated quoted value|invalid template:)\s*[\"'].*",
    re.DOTALL | re.IGNORECASE,
)
_WARNING = re.compile(r"level=warning msg=\"(?P<words>.*)\"\s*$")
_UNSET = re.compile(r"The \\\"(?P<name>.*)\\\" variable is not set")
_NO_ENDPOINT = re.compile(r"unable to resolve docker endpoint")
# A host that is none, as against one that does not answer.
_NO_HOST = re.compile(
    r"no such host|unable to (?:parse docker host|resolve docker endpoint)|: invalid port"
    r"|could not resolve host",
    re.IGNORECASE,
)
_NO_BASE = re.compile(r"failed to resolve source metadata for (?P<name>[^\s:]+(?::\S+?)?): ")
_BROKEN = 125
# Without the plugin, docker takes compose's options for its own.
_NO_COMPOSE = re.compile(
    r"is not a docker command|unknown (?:shorthand )?flag|unknown docker command", re.IGNORECASE
)


def check_socket(host: str) -> None:
    """Connect to a local engine: the kernel's error says what is wrong."""
    if not host.startswith("unix://"):
        return
    path = host.removeprefix("unix://")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(5)
            link.connect(path)
    except PermissionError as error:
        raise _no_permission(path) from error
    except OSError as error:
        raise EngineUnavailable(
            "The Docker engine is not running.",
            cause=f"{path}: {error.strerror or error}.",
            hint="start it (systemctl start docker, Docker Desktop or ./bootstrap --with-docker)",
        ) from error


def check_plugins(versions: Mapping[str, str], plugins: Sequence[str]) -> None:
    """Raise `EngineUnavailable` where one of *plugins* is missing or too old (name to version)."""
    for plugin in plugins:
        needed = NEEDED[plugin]
        if plugin not in versions:
            raise EngineUnavailable(
                f"docker has no {plugin} plugin.",
                cause=f"`docker {plugin} version` is not known to it.",
                hint=f"install docker-{plugin}-plugin, or ./bootstrap --with-docker",
                fault=Fault.CONFIGURATION,
            )
        found = versions[plugin]
        numbers = re.search(r"(\d{1,9})\.(\d{1,9})", found)
        # A version without numbers is a development build: newer than any release.
        if numbers and (int(numbers[1]), int(numbers[2])) < needed:
            raise EngineUnavailable(
                f"docker {plugin} is too old.",
                cause=f"Found {found}; {needed[0]}.{needed[1]} or newer is needed.",
                hint=f"install a newer docker-{plugin}-plugin",
                fault=Fault.CONFIGURATION,
            )


def _no_permission(where: str) -> EngineUnavailable:
    return EngineUnavailable(
        "The Docker engine may not be used by this user.",
        cause=f"No permission on {where}.",
        hint="use a rootless engine; or join the group of the socket, which equals root on this "
        "machine (usermod -aG docker USER), then log in again",
        fault=Fault.PERMISSION,
    )


def engine_gone(words: str) -> EngineUnavailable:
    """The error for *words* of an engine that does not answer."""
    if "permission denied" in words.lower():
        return _no_permission("its socket")
    if _NO_HOST.search(words):
        return EngineUnavailable(
            "There is no Docker engine where DOCKER_HOST or the context says.",
            cause=last_words(words, 1),
            hint="unset DOCKER_HOST, or docker context ls",
            fault=Fault.CONFIGURATION,
        )
    is_off = "Is the docker daemon running" in words
    return EngineUnavailable(
        f"The Docker engine {'is not running' if is_off else 'does not answer'}.",
        cause=last_words(words, 1),
        hint="start it (systemctl start docker, Docker Desktop or ./bootstrap --with-docker)",
    )


def absent_base(words: str) -> tuple[str, str] | None:
    """The base image that a build could not get, and the registry that it is asked of."""
    found = _NO_BASE.search(words)
    if found is None:
        return None
    name = found["name"]
    host, slash, _ = name.partition("/")
    is_host = slash and (host == "localhost" or "." in host or ":" in host)
    return name, host if is_host else "docker.io"


def raise_gone(words: str, cause: BaseException | None = None) -> None:
    """Raise `EngineUnavailable` if *words* say that the engine is gone."""
    if GONE.search(words):
        raise engine_gone(words) from cause


def raise_unless_done(result: CommandResult, what: str) -> None:
    """Raise `Unavailable`, saying *what*, if the command failed."""
    if result.returncode == 0:
        return
    raise_gone(result.stderr)
    kind = Unavailable if 0 <= result.returncode < _BROKEN else EngineUnavailable
    raise kind(
        what,
        cause=last_words(result.stderr) or f"It ended with {result.returncode} and said nothing.",
        hint="docker version; docker info",
        fault=shortage(result.stderr),
    )


def shortage(words: str) -> Fault | None:
    """`Fault.RESOURCES` if *words* say that disk or addresses ran out, else None."""
    return Fault.RESOURCES if _NO_SPACE.search(words) or no_address(words) else None


def no_address(words: str) -> bool:
    """Whether *words* say that there is no subnet left for a network."""
    return _NO_ADDRESS.search(words) is not None


def raise_if_short(stderr: str) -> None:
    """Raise `Unavailable` if the engine, and not what runs in a container, lacks something."""
    own = [line for line in stderr.splitlines() if _ENGINES_OWN.search(line)]
    if short := shortage("\n".join(own)):
        raise Unavailable(
            "The container could not be started.", cause=last_words("\n".join(own)), fault=short
        )


def meaningful(lines: Iterable[str]) -> list[str]:
    """*lines* without progress, warnings and rules."""
    return [
        line.rstrip()
        for line in lines
        if not (_NOISE.match(line) or _PROGRESS.match(line) or "level=warning" in line)
    ]


def last_words(text: str, count: int = 5) -> str:
    """The last *count* meaningful lines of *text*."""
    return "\n".join(meaningful(text.splitlines())[-count:]).strip()


def compose_words(stderr: str) -> str:
    """Compose's own error, without warnings and without quoted files.

    A warning may carry part of a secret: an unescaped ``$`` in a password makes
    the rest of it the name of a "variable that is not set".
    """
    text = "\n".join(meaningful(stderr.splitlines()))
    return last_words(_QUOTED_FILE.sub(r"\g<words> ...", text))


def compose_warnings(stderr: str) -> tuple[ComposeWarning, ...]:
    """What compose warns of, each once; it tells some of them three times."""
    found = (_WARNING.search(line) for line in stderr.splitlines())
    return tuple(dict.fromkeys(_warning(match["words"]) for match in found if match))


def _warning(words: str) -> ComposeWarning:
    if unset := _UNSET.search(words):
        return ComposeWarning("unset", unset["name"])
    return ComposeWarning("obsolete" if "is obsolete" in words else "other")


def is_inconsistent(stderr: str) -> bool:
    """Whether compose can read a project, but its parts do not fit each other."""
    return "invalid compose project" in stderr


def raise_if_no_compose(stderr: str) -> None:
    """Raise `EngineUnavailable` if *stderr* says that docker has no compose that will do.

    Or that docker itself does not begin, since its engine's address is none.
    """
    if _NO_ENDPOINT.search(stderr):
        raise engine_gone(stderr)
    if _NO_COMPOSE.search(stderr):
        raise EngineUnavailable(
            "docker has no compose plugin, or too old a one.",
            cause="`docker compose config` is not known to it.",
            hint=f"install docker-compose-plugin, or ./bootstrap --with-docker, {WITHOUT_DOCKER}",
            fault=Fault.CONFIGURATION,
        )


def raise_unless_refused(result: CommandResult) -> None:
    """Raise `EngineUnavailable` if it was not compose that refused, for want of one that can.

    Compose's own exit codes are 1 and 14 to 18; a shell's and a signal's are higher.
    """
    raise_if_no_compose(result.stderr)
    if not 0 <= result.returncode < _BROKEN:
        raise EngineUnavailable(
            f"`docker compose` broke off with exit code {result.returncode}.",
            cause=last_words(result.stderr, 1) or "It said nothing.",
            hint="docker compose version",
        )


def require_env_files_read(model: Mapping[str, Any]) -> None:
    """Raise `EngineUnavailable` if compose left env files for later.

    2.24.7 did (docker/compose#11598): every variable of theirs would seem missing.
    """
    if any((service or {}).get("env_file") for service in (model.get("services") or {}).values()):
        raise EngineUnavailable(
            "This docker compose does not say what env files give to a container.",
            cause="Release 2.24.7 is known to leave them out of `docker compose config`.",
            hint=f"install a newer docker-compose-plugin, {WITHOUT_DOCKER}",
            fault=Fault.CONFIGURATION,
        )


def unreadable(why: str) -> EngineUnavailable:
    """The error for an answer that is not docker's."""
    return EngineUnavailable(
        "Docker's answer can't be read.",
        cause=f"{why} What is called docker here may be another program.",
        hint="docker version",
    )


def readable() -> contextlib.AbstractContextManager[None]:
    """Turn what reading an answer of another form raises into `EngineUnavailable`."""
    return narrowed(lambda why: unreadable(f"It lacks what docker always says ({why})."))


@contextlib.contextmanager
def translated(ignore: Sequence[re.Pattern[str]] = ()) -> Iterator[None]:
    """Turn errors of python-on-whales into ours.

    Those whose every line matches one of *ignore* are none: the verbs that
    remove go on after an object that is not there.
    """
    from python_on_whales import ClientNotFoundError
    from python_on_whales.exceptions import DockerException

    try:
        yield
    except ClientNotFoundError as error:
        raise EngineUnavailable(
            "There is no docker command.", hint="install Docker Engine"
        ) from error
    except DockerException as error:
        lines = meaningful((error.stderr or "").splitlines())
        if lines and all(any(p.search(line) for p in ignore) for line in lines):
            return
        _raise_translated(error.return_code, error.stderr or "", error)
    except UnstaleError:
        raise
    except ValueError as error:  # pydantic: a field of a type it does not expect
        raise Unavailable(
            "Docker's answer can't be read.",
            cause="python-on-whales does not know this engine's format.",
            hint="update python-on-whales",
        ) from error


def _raise_translated(code: int, stderr: str, error: Exception) -> NoReturn:
    from unstale.adapters.launcher import NOT_FOUND, TIMED_OUT

    if code == TIMED_OUT:
        raise TimedOut("The Docker engine did not answer in time.", hint="docker info") from error
    if code == NOT_FOUND:
        raise EngineUnavailable(
            "There is no docker command.", hint="install Docker Engine"
        ) from error
    raise_gone(stderr, error)
    short = shortage(stderr)
    raise Unavailable("Docker refused.", cause=last_words(stderr), fault=short) from error
