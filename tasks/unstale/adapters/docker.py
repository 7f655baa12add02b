"""The engine, through the docker command line.

python-on-whales removes things; its objects and exceptions stay in here.
Whatever streams, may be interrupted, is inspected in bulk or answers a look
goes through the `Process` port.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import sys
import tarfile
import uuid
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn, cast

from unstale.errors import (
    BuildFailed,
    ConfigError,
    EngineUnavailable,
    NotReady,
    TimedOut,
    Unavailable,
    UnstaleError,
)
from unstale.jsontext import read_json
from unstale.mask import is_secret
from unstale.ports import (
    ArchiveMember,
    BuildOptions,
    Command,
    CommandResult,
    ComposeTarget,
    ContainerConfig,
    ContainerFact,
    ImageFact,
    Line,
    MountFact,
    Process,
    RunOptions,
)

if TYPE_CHECKING:
    from python_on_whales import DockerClient

__all__ = ["DockerCli"]

# Compose: the release that knows the override's !reset and !override tags.
# Buildx: 0.13 is the oldest that was tried; what is much older is refused.
_NEEDED = {"compose": (2, 24), "buildx": (0, 10)}

_QUICK_S = 20.0
_REMOVE_S = 60.0
_CONFIG_S = 30.0
_PULL_S = 900.0
# The digest is that of BuildKit: the classic builder reads other things.
_BUILDKIT = {"DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1"}
_ARCHIVE_S = 300.0
_FOREVER_S = 7 * 24 * 3600.0
_MAX_BYTES = 1 << 30
_MAX_MEMBERS = 200_000
_DEFAULT_HOST = "unix:///var/run/docker.sock"
_INSPECTED = "dev.unstale.owner=inspect"

_GONE = re.compile(
    r"cannot connect to the docker daemon|error during connect|is the docker daemon running"
    r"|permission denied while trying to connect|failed to connect to the docker api",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"no such |not found|could not find the file|already in progress", re.IGNORECASE
)
_IN_USE = re.compile(r"conflict", re.IGNORECASE)
# What `docker network rm` adds to its errors.
_NOISE = re.compile(r"^\s*(-*|exit status \d+)\s*$")
# Compose's own progress: " Container demo-db-1  Starting".
_PROGRESS = re.compile(r"^\s*(Container|Network|Volume|Image|Service)? ?\S+\s+\w+ing\b\s*$")
# Compose quotes the rest of an env file, secrets and all, where it can't read it.
_QUOTED_FILE = re.compile(
    r"(?P<words>near|in variable name|unterminated quoted value|invalid template:)\s*[\"'].*",
    re.DOTALL | re.IGNORECASE,
)


Meanwhile = Callable[[], object]


def _nothing() -> None:
    """Done while a command runs that nothing else can be done beside."""


class DockerCli:
    """The `Docker` that *environ* names (``DOCKER_HOST``, ``DOCKER_CONTEXT``)."""

    def __init__(self, process: Process, environ: Mapping[str, str]) -> None:
        self._process = process
        self._environ = dict(environ)

    # Is there an engine?

    def check(self, meanwhile: Meanwhile = _nothing, known: Path | None = None) -> None:
        """Raise `EngineUnavailable` unless engine, compose and buildx will do.

        *known* is a file for a look, whose next call tells of the engine anyway:
        the plugins that were good there are not asked again while they are the same.
        """
        self._require_command()
        _check_socket(self._host())
        if self._noted(known):
            meanwhile()
            return
        # One call tells of the engine and of both plugins.
        form = "[{{json .ServerVersion}},{{json .ServerErrors}},{{json .ClientInfo.Plugins}}]"
        argv = ("docker", "info", "--format", form)
        try:
            result = self._run_beside(argv, _QUICK_S, meanwhile)
        except TimedOut as error:
            raise _engine_gone(error.what) from error
        answer = _json(result.stdout) if result.returncode == 0 else [None, None, None]
        version, errors, plugins = answer
        if not version or errors:
            raise _engine_gone("\n".join(errors or ()) or result.stderr)
        needed = [p for p in plugins or () if p["Name"] in _NEEDED]
        _check_plugins({p["Name"]: str(p.get("Version", "")) for p in needed})
        if known is not None:
            self._note(known, (str(p.get("Path")) for p in needed))

    def _noted(self, known: Path | None) -> Sequence[str]:
        """The paths that were noted in *known*, if none has changed since."""
        if known is None:
            return ()
        try:
            noted = read_json(known.read_text())
            return tuple(noted) if noted == self._files(noted) else ()
        except (OSError, ValueError, TypeError):
            return ()

    def _note(self, known: Path, plugins: Iterable[str]) -> None:
        with contextlib.suppress(OSError):  # a read-only checkout: asked again next time
            known.parent.mkdir(exist_ok=True)
            known.write_text(json.dumps(self._files(plugins)))

    def _files(self, plugins: Iterable[str]) -> dict[str, list[int]]:
        """*plugins* and what chooses them, each with what tells it from another file.

        The user's own plugins win over the machine's: one more there counts.
        """
        command = str(shutil.which("docker", path=self._environ.get("PATH")))
        own = str(_docker_folder(self._environ) / "cli-plugins")
        return {path: _identity(path) for path in (command, own, *plugins)}

    def _require_command(self) -> None:
        if shutil.which("docker", path=self._environ.get("PATH")) is None:
            raise EngineUnavailable(
                "There is no docker command.",
                cause="Docker is not installed, or not on the PATH.",
                hint="install Docker Engine with its compose and buildx plugins",
            )

    def _host(self) -> str:
        if host := self._environ.get("DOCKER_HOST"):
            return host
        context = self._environ.get("DOCKER_CONTEXT") or _configured_context(self._environ)
        if context in ("", "default"):
            return _DEFAULT_HOST
        result = self._docker(
            "context", "inspect", "--format", "{{json .Endpoints.docker.Host}}", context
        )
        if result.returncode != 0:
            raise EngineUnavailable(
                f"There is no docker context called {context!r}.",
                cause=_last_words(result.stderr),
                hint="docker context use default",
            )
        return str(_json(result.stdout))

    # Compose

    def config(
        self,
        target: ComposeTarget,
        meanwhile: Meanwhile = _nothing,
        known: Path | None = None,
    ) -> Mapping[str, object]:
        """The resolved compose model; *known* is the file of `check`."""
        self._require_command()
        argv = _compose(target, "config", "--format", "json")
        # Docker starts a plugin twice, to ask what it is and to run it; compose
        # also runs alone.
        for plugin in (p for p in self._noted(known) if Path(p).name == "docker-compose"):
            argv = (plugin, *argv[2:])
        result = self._run_beside(argv, _CONFIG_S, meanwhile)
        if result.returncode != 0:
            raise ConfigError(
                f"docker compose refuses {', '.join(str(f) for f in target.files)}.",
                cause=_compose_words(result.stderr),
                hint="correct the file; `docker compose config --quiet` tells if it is good",
            )
        return cast("Mapping[str, object]", _json(result.stdout))

    def config_hashes(self, model: Mapping[str, object]) -> Mapping[str, str]:
        """Service to the hash that compose would label its container with.

        The resolved model goes back in: asked of the files themselves, 2.26
        leaves out of the hash what an ``env_file`` says, and `up` does not.
        """
        # Over stdin, since it holds every secret of the stack.
        argv = ("docker", "compose", "--file", "-", "--profile", "*", "config", "--hash", "*")
        result = self._run(argv, _CONFIG_S, stdin=json.dumps(model).encode())
        if result.returncode != 0:
            raise ConfigError(
                "docker compose refuses the model that it printed itself.",
                cause=_compose_words(result.stderr),
                hint="docker compose version",
            )
        return dict(line.split() for line in result.stdout.splitlines() if line.strip())

    def build(
        self, target: ComposeTarget, services: Sequence[str], options: BuildOptions, on_line: Line
    ) -> None:
        """Build *services*; lines of the build go to *on_line*."""
        flags = ["--no-cache"] if options.no_cache else []
        pairs = [argument.partition("=") for argument in options.arguments]
        arguments, env = _pass_on("--build-arg", ((key, value) for key, _, value in pairs))
        argv = _compose(
            target, "build", *flags, *arguments, *services, options=("--progress", "plain")
        )
        lines: list[str] = []
        result = self._run(
            argv, options.deadline_s, _both(lines.append, on_line), env={**env, **_BUILDKIT}
        )
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            raise BuildFailed(
                f"Building {', '.join(services) or 'the images'} failed.",
                cause="\n".join(_meaningful(lines)[-20:]),
                hint="correct the Dockerfile or what it copies, then build again",
            )

    def up(
        self, target: ComposeTarget, services: Sequence[str], on_line: Line, *, deadline_s: float
    ) -> None:
        """Create and start *services*, detached, without their dependencies."""
        argv = _compose(
            target, "up", "--detach", "--no-deps", "--no-build", "--quiet-pull", *services
        )
        result = self._run(argv, deadline_s, on_line)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            raise NotReady(
                f"Starting {', '.join(services) or 'the stack'} failed.",
                cause=_compose_words(result.stderr),
                hint="see the cause: an image to build, a port that is taken, a wrong mount",
            )

    def run(
        self, target: ComposeTarget, service: str, options: RunOptions, on_line: Line
    ) -> CommandResult:
        """Run a command in a new, named container of *service*, which stays.

        Without ``--rm``: its files and its state are evidence.
        """
        variables, env = _pass_on("--env", options.environment)
        flags = [
            *(["--name", options.name] if options.name else []),
            *(["--user", options.user] if options.user else []),
            *variables,
        ]
        argv = _compose(target, "run", "-T", "--no-deps", *flags, service, *options.argv)
        return self._in_container(argv, options, on_line, env)

    def execute(self, container: str, options: RunOptions, on_line: Line) -> CommandResult:
        """Run a command in a running container."""
        variables, env = _pass_on("--env", options.environment)
        flags = [
            *(["--interactive"] if options.stdin else []),
            *(["--user", options.user] if options.user else []),
            *variables,
        ]
        argv = ("docker", "exec", *flags, container, *options.argv)
        return self._in_container(argv, options, on_line, env)

    def follow_logs(self, target: ComposeTarget, services: Sequence[str], on_line: Line) -> None:
        """Print the services' logs until they end or a signal comes."""
        argv = _compose(target, "logs", "--follow", "--tail", "100", *services)
        result = self._run(argv, _FOREVER_S, on_line)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            raise Unavailable("The logs can't be read.", cause=_compose_words(result.stderr))

    def _in_container(
        self,
        argv: Sequence[str],
        options: RunOptions,
        on_line: Line,
        env: Mapping[str, str],
    ) -> CommandResult:
        result = self._run(argv, options.deadline_s, on_line, env=env, stdin=options.stdin)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
        return result

    # Images

    def image(self, reference: str) -> ImageFact | None:
        """The local image called *reference*, or None."""
        return self.images_called([reference]).get(reference)

    def images_called(self, references: Sequence[str]) -> Mapping[str, ImageFact]:
        """The local images among *references*, all in one question."""
        # Not by python-on-whales: its import alone takes longer than the answer.
        wanted = tuple(dict.fromkeys(references))
        found = self._inspect("image", wanted)
        if len(found) == len(wanted):
            return dict(zip(wanted, map(_image_fact, found), strict=True))
        # One is missing, and the answer does not say which name an image answers to.
        singly = ((name, self._inspect("image", [name])) for name in wanted)
        return {name: _image_fact(one[0]) for name, one in singly if one}

    def images(self, labels: Mapping[str, str]) -> tuple[ImageFact, ...]:
        """Local images that carry all *labels*, dangling ones included."""
        ids = self._ids(("image", "ls", "--no-trunc", "--quiet"), labels)
        facts = map(_image_fact, self._inspect("image", tuple(dict.fromkeys(ids))))
        return tuple(sorted(facts, key=lambda fact: fact.id))

    def tag(self, image: str, name: str) -> None:
        """Give the image with the id *image* the name *name*, which another one loses."""
        result = self._docker("image", "tag", image, name)
        _raise_unless_done(result, f"{image} can't be called {name}.")

    def pull(self, reference: str, platform: str = "") -> bool:
        """Fetch an image from its registry; False if it can't be had."""
        flags = ("--platform", platform) if platform else ()
        result = self._run(("docker", "pull", "--quiet", *flags, reference), _PULL_S)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
        return result.returncode == 0

    def platform(self) -> str:
        """What the engine runs on, and builds for if nobody says."""
        result = self._docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        _raise_unless_done(result, "The engine does not say what it builds for.")
        return result.stdout.strip()

    def history(self, image: str) -> tuple[str, ...]:
        """How each layer of *image* was made, newest first."""
        result = self._docker("history", "--no-trunc", "--format", "{{json .CreatedBy}}", image)
        _raise_unless_done(result, f"The history of {image} can't be read.")
        return tuple(str(_json(line)) for line in result.stdout.splitlines())

    def remove_images(self, references: Sequence[str]) -> None:
        """Remove images; those in use stay."""
        with _translated(ignore=(_ABSENT, _IN_USE)):
            if references:
                self._client(_REMOVE_S).image.remove(list(references))

    # Containers, networks, volumes

    def containers(self, labels: Mapping[str, str]) -> tuple[ContainerFact, ...]:
        """Containers in any state that carry all *labels*."""
        ids = self._ids(("ps", "--all", "--no-trunc", "--quiet"), labels)
        return tuple(_container_fact(raw) for raw in self._inspect("container", ids))

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """Networks that carry all *labels*: name to its labels."""
        return self._labelled("network", labels)

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """Volumes that carry all *labels*: name to its labels."""
        return self._labelled("volume", labels)

    def remove_containers(self, ids: Sequence[str]) -> None:
        """Kill and remove containers and their anonymous volumes."""
        with _translated(ignore=(_ABSENT,)):
            self._client(_REMOVE_S).container.remove(list(ids), force=True, volumes=True)

    def remove_networks(self, names: Sequence[str]) -> None:
        """Remove networks."""
        with _translated(ignore=(_ABSENT,)):
            self._client(_REMOVE_S).network.remove(list(names))

    def remove_volumes(self, names: Sequence[str]) -> None:
        """Remove volumes."""
        with _translated(ignore=(_ABSENT,)):
            self._client(_REMOVE_S).volume.remove(list(names))

    def logs(self, container: str, tail: int) -> tuple[str, ...]:
        """The last *tail* lines of a container, both streams; none if it is gone."""
        lines: list[str] = []
        argv = ("docker", "logs", "--tail", str(tail), container)
        result = self._run(argv, _QUICK_S, lines.append)
        if result.returncode == 0:
            return tuple(lines)
        if not _ABSENT.search(result.stderr):
            _raise_unless_done(result, f"The logs of {container} can't be read.")
        return ()

    def _labelled(self, kind: str, labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        names = self._ids((kind, "ls", "--quiet"), labels)
        return {raw["Name"]: raw.get("Labels") or {} for raw in self._inspect(kind, names)}

    def _ids(self, argv: Sequence[str], labels: Mapping[str, str]) -> list[str]:
        filters = [w for label in _label_filters(labels) for w in ("--filter", f"label={label}")]
        result = self._docker(*argv, *filters)
        _raise_unless_done(result, f"`docker {argv[0]}` failed.")
        return result.stdout.split()

    def _inspect(self, kind: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Inspect all at once; what vanished since it was listed is left out."""
        if not ids:
            return []
        result = self._docker("inspect", "--type", kind, *ids)
        wrong = [line for line in result.stderr.splitlines() if not _ABSENT.search(line)]
        if result.returncode != 0 and any(wrong):
            _raise_unless_done(result, f"`docker inspect --type {kind}` failed.")
        return cast("list[dict[str, Any]]", _json(result.stdout or "[]"))

    # Files

    def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        """The files at or under *path* in *image*, without running it."""
        # The name is known before the container is: a signal can't leak it.
        name = f"unstale-inspect-{uuid.uuid4().hex}"
        try:
            # The command, which an image need not have, is never run.
            result = self._docker(
                "create",
                "--pull",
                "never",
                "--network",
                "none",
                "--name",
                name,
                "--label",
                _INSPECTED,
                image,
                "-",
            )
            _raise_unless_done(result, f"The files of {image} can't be read.")
            yield from self.files_in_container(name, path)
        finally:
            self.remove_containers([name])

    def files_in_container(self, container: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        """The files at or under *path* in a container, running or not."""
        links: dict[PurePosixPath, tuple[PurePosixPath, int]] = {}
        with closing(self._archive(container, path)) as entries:
            for tar, entry, place in entries:
                if entry.islnk():
                    links[place] = (_place(path, entry.linkname), entry.mode)
                else:
                    yield _member(tar, entry, place)
        if links:
            yield from self._hard_links(container, path, links)

    def _hard_links(
        self,
        container: str,
        path: PurePosixPath,
        links: Mapping[PurePosixPath, tuple[PurePosixPath, int]],
    ) -> Iterator[ArchiveMember]:
        # A second pass, so that the first need not hold every file in memory.
        wanted = {target for target, _ in links.values()}
        contents: dict[PurePosixPath, ArchiveMember] = {}
        with closing(self._archive(container, path)) as entries:
            for tar, entry, place in entries:
                if place in wanted and not entry.islnk():
                    contents[place] = _member(tar, entry, place)
        for place, (target, mode) in links.items():
            if found := contents.get(target):
                yield ArchiveMember(place, mode, found.link, found.content)

    def _archive(
        self, container: str, path: PurePosixPath
    ) -> Generator[tuple[tarfile.TarFile, tarfile.TarInfo, PurePosixPath], None, None]:
        argv = ("docker", "cp", "--follow-link", f"{container}:{path}", "-")
        command = Command(argv, _ARCHIVE_S, env=self._environ)
        size = count = 0
        with closing(cast("Any", self._process.stream(command))) as chunks:
            try:
                with tarfile.open(fileobj=_Chunks(chunks), mode="r|") as tar:
                    for entry in tar:
                        size, count = size + entry.size, count + 1
                        if size > _MAX_BYTES or count > _MAX_MEMBERS:
                            raise _too_much(path)
                        if entry.isreg() or entry.issym() or entry.islnk():
                            yield tar, entry, _place(path, entry.name)
                        # tarfile would keep a record of every member it has seen.
                        cast("Any", tar).members = []
                for _ in chunks:  # what pads the archive, then the exit code
                    pass
            except tarfile.TarError as error:
                raise Unavailable(
                    f"The archive of {path} can't be read.", cause=str(error)
                ) from error
            except EngineUnavailable:
                raise
            except Unavailable as error:
                if not _is_absent_file(error.cause):
                    _raise_gone(error.cause, error)
                    raise

    # Commands

    def _client(self, deadline_s: float = _QUICK_S) -> DockerClient:
        """python-on-whales with our deadline and session in front of docker."""
        from python_on_whales import DockerClient

        # Its debug switch prints the whole environment, secrets included.
        os.environ.pop("PYTHON_ON_WHALES_DEBUG", None)
        host = self._environ.get("DOCKER_HOST")
        launcher = str(Path(__file__).with_name("launcher.py"))
        return DockerClient(
            host=host or None,
            context=None if host else self._environ.get("DOCKER_CONTEXT") or None,
            client_call=[sys.executable, "-I", "-S", launcher, f"{deadline_s:g}", "docker"],
        )

    def _docker(self, *arguments: str) -> CommandResult:
        return self._run(("docker", *arguments), _QUICK_S)

    def _run(
        self,
        argv: Sequence[str],
        deadline_s: float,
        on_line: Line | None = None,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> CommandResult:
        command = Command(
            tuple(argv), deadline_s, env={**self._environ, **(env or {})}, stdin=stdin
        )
        try:
            return self._process.run(command, on_line)
        except TimedOut:
            raise
        except Unavailable as error:  # no docker command
            raise EngineUnavailable(error.what, cause=error.cause, hint=error.hint) from error

    def _run_beside(
        self, argv: Sequence[str], deadline_s: float, meanwhile: Meanwhile
    ) -> CommandResult:
        """Run a command, and *meanwhile* in the time it takes."""
        command = Command(tuple(argv), deadline_s, env=self._environ)
        with self._process.started(command) as result:
            meanwhile()
            return result()

    def _raise_if_gone(self, stderr: str) -> None:
        """Raise if the engine is gone.

        The words alone prove nothing: a program in a container may print them.
        """
        if _GONE.search(stderr) and self._docker("version").returncode != 0:
            raise _engine_gone(stderr)


class _Chunks(io.RawIOBase):
    """An iterator of bytes as the file object that tarfile streams from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int = -1) -> bytes:
        """The next chunk, of any size: tarfile keeps what it does not need yet."""
        return next(self._chunks, b"")


def _compose(
    target: ComposeTarget, verb: str, *arguments: str, options: Sequence[str] = ()
) -> tuple[str, ...]:
    """The argument list of a compose command.

    Not by python-on-whales: its import takes longer than compose does.
    """
    words = (
        *(word for file in target.files for word in ("--file", str(file))),
        *(word for name in target.profiles for word in ("--profile", name)),
        *(word for file in target.env_files for word in ("--env-file", str(file))),
    )
    project = ("--project-name", target.project)
    return ("docker", "compose", *words, *project, *options, verb, *arguments)


def _both(first: Callable[[str], object], second: Line) -> Line:
    def tell(line: str) -> None:
        first(line)
        second(line)

    return tell


def _pass_on(flag: str, pairs: Iterable[tuple[str, str]]) -> tuple[list[str], dict[str, str]]:
    """Flags for *pairs*; secrets by name alone, with their values in the environment.

    Every user of the machine can read an argument list. The other values stay
    there: in docker's own environment they could change what docker does.
    """
    words: list[str] = []
    env: dict[str, str] = {}
    for key, value in pairs:
        if is_secret(key, value):
            env[key] = value
            words += [flag, key]
        else:
            words += [flag, f"{key}={value}"]
    return words, env


def _label_filters(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" if value else key for key, value in labels.items()]


def _json(text: str) -> Any:  # noqa: ANN401 (JSON is of any shape)
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unavailable(
            "Docker's answer can't be read.",
            cause=f"It is not JSON: {error}.",
            hint="docker version",
        ) from error


# What the engine is and says


def _check_socket(host: str) -> None:
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


def _check_plugins(versions: Mapping[str, str]) -> None:
    for plugin, needed in _NEEDED.items():
        if plugin not in versions:
            raise EngineUnavailable(
                f"docker has no {plugin} plugin.",
                cause=f"`docker {plugin} version` is not known to it.",
                hint=f"install docker-{plugin}-plugin, or ./bootstrap --with-docker",
            )
        found = versions[plugin]
        numbers = re.search(r"(\d+)\.(\d+)", found)
        # A version without numbers is a development build: newer than any release.
        if numbers and (int(numbers[1]), int(numbers[2])) < needed:
            raise EngineUnavailable(
                f"docker {plugin} is too old.",
                cause=f"Found {found}; {needed[0]}.{needed[1]} or newer is needed.",
                hint=f"install a newer docker-{plugin}-plugin",
            )


def _docker_folder(environ: Mapping[str, str]) -> Path:
    own = environ.get("DOCKER_CONFIG")
    return Path(own) if own else Path(environ.get("HOME") or Path.home()) / ".docker"


def _identity(path: str) -> list[int]:
    """What tells one file or folder from another; nothing where there is none."""
    try:
        seen = Path(path).stat()
    except OSError:
        return []
    return [seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]


def _configured_context(environ: Mapping[str, str]) -> str:
    try:
        settings = json.loads((_docker_folder(environ) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(settings.get("currentContext") or "") if isinstance(settings, dict) else ""


def _no_permission(where: str) -> EngineUnavailable:
    return EngineUnavailable(
        "The Docker engine may not be used by this user.",
        cause=f"No permission on {where}.",
        hint="join the group of the socket (usermod -aG docker USER), then log in again",
    )


def _engine_gone(words: str) -> EngineUnavailable:
    if "permission denied" in words.lower():
        return _no_permission("its socket")
    return EngineUnavailable(
        "The Docker engine does not answer.",
        cause=_last_words(words, 1),
        hint="start it (systemctl start docker, Docker Desktop or ./bootstrap --with-docker)",
    )


def _raise_gone(words: str, cause: BaseException | None = None) -> None:
    if _GONE.search(words):
        raise _engine_gone(words) from cause


def _raise_unless_done(result: CommandResult, what: str) -> None:
    if result.returncode == 0:
        return
    _raise_gone(result.stderr)
    raise Unavailable(what, cause=_last_words(result.stderr))


def _meaningful(lines: Iterable[str]) -> list[str]:
    return [
        line.rstrip()
        for line in lines
        if not (_NOISE.match(line) or _PROGRESS.match(line) or "level=warning" in line)
    ]


def _last_words(text: str, count: int = 5) -> str:
    return "\n".join(_meaningful(text.splitlines())[-count:]).strip()


def _compose_words(stderr: str) -> str:
    """Compose's own error, without warnings and without quoted files.

    A warning may carry part of a secret: an unescaped ``$`` in a password makes
    the rest of it the name of a "variable that is not set".
    """
    text = "\n".join(_meaningful(stderr.splitlines()))
    return _last_words(_QUOTED_FILE.sub(r"\g<words> ...", text))


@contextlib.contextmanager
def _translated(ignore: Sequence[re.Pattern[str]] = ()) -> Iterator[None]:
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
        lines = _meaningful((error.stderr or "").splitlines())
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
    _raise_gone(stderr, error)
    raise Unavailable("Docker refused.", cause=_last_words(stderr)) from error


# From the engine's JSON to facts


def _image_fact(raw: Mapping[str, Any]) -> ImageFact:
    config = raw.get("Config") or {}
    created = str(raw.get("Created") or "")
    return ImageFact(
        id=raw["Id"],
        tags=tuple(raw.get("RepoTags") or ()),
        # The engine says year 1, or nothing, where it knows no time.
        created=None if created[:4] in ("", "0001") else _moment(created),
        labels=dict(config.get("Labels") or {}),
        size_bytes=raw.get("Size") or 0,
        architecture=raw.get("Architecture") or "",
        os=raw.get("Os") or "",
        working_dir=str(config.get("WorkingDir") or ""),
        layers=tuple((raw.get("RootFS") or {}).get("Layers") or ()),
        environment=tuple(config.get("Env") or ()),
        config=json.dumps(config, sort_keys=True),
        on_build=tuple(config.get("OnBuild") or ()),
        is_pulled=bool(raw.get("RepoDigests")),
    )


def _moment(text: str) -> datetime:
    # Nanoseconds, which datetime does not have, are cut to microseconds.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def _container_fact(raw: Mapping[str, Any]) -> ContainerFact:
    state, labels = raw["State"], raw["Config"].get("Labels") or {}
    health = state.get("Health") or {}
    status = health.get("Status") or "none"
    return ContainerFact(
        id=raw["Id"],
        name=raw["Name"].removeprefix("/"),
        service=labels.get("com.docker.compose.service", ""),
        project=labels.get("com.docker.compose.project", ""),
        image_id=raw["Image"],
        status=state["Status"],
        exit_code=state["ExitCode"],
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        health=None if status == "none" else status,
        health_output=_health_output(health.get("Log") or ()),
        started_at=state.get("StartedAt") or "",
        finished_at=state.get("FinishedAt") or "",
        restart_count=raw.get("RestartCount") or 0,
        one_off=labels.get("com.docker.compose.oneoff") == "True",
        labels=labels,
        mounts=_mounts(raw),
        ports=_ports((raw.get("NetworkSettings") or {}).get("Ports") or {}),
        config=_container_config(raw),
    )


def _container_config(raw: Mapping[str, Any]) -> ContainerConfig:
    config, host = raw["Config"], raw.get("HostConfig") or {}
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return ContainerConfig(
        image=config.get("Image") or "",
        environment=tuple(config.get("Env") or ()),
        command=tuple(config.get("Cmd") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        user=config.get("User") or "",
        working_dir=config.get("WorkingDir") or "",
        healthcheck=json.dumps(config.get("Healthcheck") or {}, sort_keys=True),
        ports={
            port: frozenset(f"{p.get('HostIp', '')}:{p.get('HostPort', '')}" for p in places or ())
            for port, places in (host.get("PortBindings") or {}).items()
        },
        networks={
            name: frozenset((place or {}).get("Aliases") or ()) for name, place in networks.items()
        },
    )


def _health_output(log: Sequence[Mapping[str, Any]]) -> str:
    failed = (str(e.get("Output") or "").strip() for e in reversed(log) if e.get("ExitCode"))
    return next((output for output in failed if output), "")


def _mounts(raw: Mapping[str, Any]) -> tuple[MountFact, ...]:
    # Those of `tmpfs:` are no mounts to the engine, but an option of the host.
    host = raw.get("HostConfig") or {}
    bare = {
        mount.get("Target")
        for mount in host.get("Mounts") or ()
        if (mount.get("VolumeOptions") or {}).get("NoCopy")
    }
    return (
        *(_mount_fact(mount, bare) for mount in raw.get("Mounts") or ()),
        *(MountFact("tmpfs", "", target) for target in sorted(host.get("Tmpfs") or {})),
    )


def _mount_fact(raw: Mapping[str, Any], bare: Container[str | None]) -> MountFact:
    return MountFact(
        kind=raw.get("Type", ""),
        source=raw.get("Source", ""),
        target=raw.get("Destination", ""),
        name=raw.get("Name", ""),
        copies=raw.get("Destination") not in bare
        and "nocopy" not in str(raw.get("Mode") or "").split(","),
    )


def _ports(raw: Mapping[str, Sequence[Mapping[str, str]] | None]) -> tuple[tuple[int, str], ...]:
    return tuple(
        sorted(
            (int(port.partition("/")[0]), f"{place.get('HostIp', '')}:{place['HostPort']}")
            for port, places in raw.items()
            for place in places or ()
        )
    )


# From `docker cp`'s archive to members


def _place(path: PurePosixPath, name: str) -> PurePosixPath:
    """Where the entry *name* is in the container, if *path* was asked for.

    Names begin with the base name of *path*, or of what it is a link to; for
    the root they are absolute.
    """
    if str(path) == "/":
        return PurePosixPath("/", name)
    return path.joinpath(*PurePosixPath(name).parts[1:])


def _member(tar: tarfile.TarFile, entry: tarfile.TarInfo, place: PurePosixPath) -> ArchiveMember:
    if entry.issym():
        return ArchiveMember(place, entry.mode, entry.linkname, b"")
    file = tar.extractfile(entry)
    return ArchiveMember(place, entry.mode, None, file.read() if file else b"")


def _is_absent_file(words: str) -> bool:
    return "could not find the file" in words.lower() or "no such file" in words.lower()


def _too_much(path: PurePosixPath) -> Unavailable:
    return Unavailable(
        f"There is too much under {path} to read.",
        cause=f"More than {_MAX_BYTES >> 20} MiB or {_MAX_MEMBERS:,} entries.",
        hint="name a folder further down",
    )
