"""The engine, through the docker command line.

python-on-whales removes things; its objects and exceptions stay in here.
Whatever streams, may be interrupted, is inspected in bulk or answers a look
goes through the `Process` port.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from unstale.adapters.docker_words import (
    ABSENT,
    GONE,
    IN_USE,
    NEEDED,
    NOT_RUNNING,
    WITHOUT_DOCKER,
    absent_base,
    check_plugins,
    check_socket,
    compose_warnings,
    compose_words,
    engine_gone,
    is_inconsistent,
    last_words,
    meaningful,
    raise_if_short,
    raise_unless_done,
    raise_unless_refused,
    readable,
    require_env_files_read,
    shortage,
    translated,
    unreadable,
)
from unstale.adapters.leases import ENDPOINT, Endpoint, Leases
from unstale.afterwards import afterwards
from unstale.errors import (
    BuildFailed,
    ConfigError,
    EngineUnavailable,
    Fault,
    Interrupted,
    NotReady,
    TimedOut,
    Unavailable,
)
from unstale.jsontext import read_json
from unstale.mask import is_secret
from unstale.ports import (
    ANYTHING,
    Allowance,
    BuildOptions,
    Command,
    CommandResult,
    ComposeTarget,
    Line,
    Process,
    ResolvedModel,
    RunOptions,
)

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from python_on_whales import DockerClient

    from unstale.facts import ArchiveMember, ContainerFact, Death, EngineRoom, ImageFact

__all__ = ["REMOTES", "DockerCli"]

_QUICK_S = 20.0
# An id, or the name of a volume.
_LISTED = re.compile(r"(?:sha256:)?[A-Za-z0-9][A-Za-z0-9_.-]*")
_REMOVALS = 3.0  # as long as so many answers: the engine stops what it removes
_PULL_S = 900.0
# The digest is that of BuildKit: the classic builder reads other things.
_BUILDKIT = {"DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1"}
# Podman has a builder of its own; BuildKit would be a container there, which sees none
# of its images.
_PODMAN = dict.fromkeys(_BUILDKIT, "0")
# Compose, of secrets, SSH agents and additional contexts.
_ONLY_BUILDKIT = re.compile(r"classic builder doesn't support|to use BuildKit", re.IGNORECASE)
_ARCHIVE_S = 300.0
_GREETING_S = 2.0  # for what an engine says at once, before the question that matters
_BUILD_LINES = 20
_FOREVER_S = 7 * 24 * 3600.0
# Of what is shown as it comes, and then read for the reason it ended.
_TAIL_BYTES = 1 << 20
_DEFAULT_HOST = "unix:///var/run/docker.sock"
# The same on every machine: a compose file may refer to them, and then a comparison
# would say on one what it does not say on another.
_BARE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/home"}

# What to do about a project that compose refuses.
_MENDING = {
    Fault.CONFIGURATION: "set that variable in the env file, or in the shell",
    Fault.MISSING_FILE: "create that file, or correct its name where it is written",
}

REMOTES = ("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "COMPOSE_EXPERIMENTAL_OCI_REMOTE")
"""Whether compose fetches what a file includes from elsewhere, even to resolve it. It
then starts git, in an environment that the checkout's .env has a part in:
``GIT_SSH_COMMAND`` in there would be run."""

_ENDING_S = 10.0
_CANT_LOOK = (126, 127)  # the container has no such program

Meanwhile = Callable[[], object]


def _nothing() -> None:
    """Done while a command runs that nothing else can be done beside."""


class DockerCli:
    """The `Docker` that *environ* names (``DOCKER_HOST``, ``DOCKER_CONTEXT``).

    *answer_s* is how long the engine may take for one answer. Under *leases* is
    what it makes for a moment.
    """

    def __init__(
        self,
        process: Process,
        environ: Mapping[str, str],
        answer_s: float = _QUICK_S,
        leases: Leases | None = None,
    ) -> None:
        self._process = process
        self._environ = dict(environ)
        self._answer_s = answer_s
        self._leases = leases or Leases(environ)
        self._pinned: dict[str, str] = {}
        self._plugins: Mapping[str, str] | None = None
        self._podman: str | None = None
        self._machine: str | None = None

    # Which engine is it?

    def endpoint(self) -> Endpoint:
        """The variables by which this engine is reached, whatever becomes of its context.

        From here on every command goes there by them. Not those that build: which
        builder they have follows the context, whatever engine that leads to.

        Raises:
            EngineUnavailable: there is no such context.

        """
        self._pinned = self._pinned or self._reached()
        return self._pinned

    def _reached(self) -> dict[str, str]:
        own = {name: self._environ[name] for name in ENDPOINT if self._environ.get(name)}
        for name in {"DOCKER_CERT_PATH", "DOCKER_CONFIG"} & own.keys():
            own[name] = str(Path(own[name]).absolute())
        if "DOCKER_HOST" in own:
            own.pop("DOCKER_CONTEXT", None)
            return own
        host = self._host()
        if host.startswith("tcp:"):  # with keys, which the context has
            context = _configured_context(self._environ)
            return {"DOCKER_CONTEXT": own.get("DOCKER_CONTEXT") or context, **own}
        return {"DOCKER_HOST": host}

    @property
    def _there(self) -> dict[str, str]:
        """The environment for a command to the engine that was resolved, if one was."""
        return {**self._environ, **self._pinned}

    def at(self, endpoint: Endpoint, elsewhere_s: float) -> DockerCli:
        """The engine at *endpoint*; another one than this has *elsewhere_s* for an answer."""
        kept = {k: v for k, v in self._environ.items() if k not in ENDPOINT}
        if config := self._environ.get("DOCKER_CONFIG"):
            kept["DOCKER_CONFIG"] = config
        # An empty one is as good as none, and hides what this process inherited.
        kept |= {k: "" for k in ENDPOINT if k in self._environ and k not in kept}
        found = DockerCli(self._process, {**kept, **endpoint}, self._answer_s, self._leases)
        if endpoint != self._pinned:  # nobody waits for an engine that may be gone
            found._answer_s = min(self._answer_s, elsewhere_s)
        return found

    # Is there an engine?

    def check(self, meanwhile: Meanwhile = _nothing, known: Path | None = None) -> None:
        """Raise `EngineUnavailable` unless engine and compose will do.

        Whether buildx does is of no account before something is built. *known* is a file
        for a look, whose next call tells of the engine anyway: the plugins that were good
        there are not asked again while they are the same.
        """
        self._require_command()
        check_socket(self._host())
        if self._noted(known):
            meanwhile()
            return
        # One call tells of the engine and of both plugins.
        form = "[{{json .ServerVersion}},{{json .ServerErrors}},{{json .ClientInfo.Plugins}}]"
        argv = ("docker", "info", "--format", form)
        try:
            result = self._run_beside(argv, self._answer_s, meanwhile)
        except TimedOut as error:
            gone = engine_gone(error.what)
            gone.fault = Fault.TIMED_OUT
            raise gone from error
        answer = _json(result.stdout, list) if result.returncode == 0 else []
        version, errors, plugins = (*answer, None, None, None)[:3]
        if not isinstance(errors, list | None):
            raise unreadable("It is of another form than docker's.")
        if not version or errors:
            raise engine_gone("\n".join(map(str, errors or ())) or result.stderr)
        needed = [p for p in _tables(plugins or []) if str(p.get("Name")) in NEEDED]
        self._plugins = {p["Name"]: str(p.get("Version", "")) for p in needed}
        check_plugins(self._plugins, ("compose",))
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
            known.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            known.write_text(json.dumps(self._files(plugins)))

    def _files(self, plugins: Iterable[str]) -> dict[str, list[int]]:
        """*plugins* and what chooses them, each with what tells it from another file.

        The user's own plugins win over the machine's: one more there counts.
        """
        command = str(shutil.which("docker", path=self._environ.get("PATH")))
        own = str(_docker_folder(self._environ) / "cli-plugins")
        return {path: _identity(path) for path in (command, own, *plugins)}

    def _require_command(self, instead: str = "") -> None:
        if shutil.which("docker", path=self._environ.get("PATH")) is None:
            raise EngineUnavailable(
                "There is no docker command.",
                cause="Docker is not installed, or not on the PATH.",
                hint=f"install Docker Engine with its compose and buildx plugins{instead}",
            )

    def _host(self) -> str:
        environ = self._there
        if host := environ.get("DOCKER_HOST"):
            return host
        context = environ.get("DOCKER_CONTEXT") or _configured_context(self._environ)
        if context in ("", "default"):
            return _DEFAULT_HOST
        result = self._docker(
            "context", "inspect", "--format", "{{json .Endpoints.docker.Host}}", "--", context
        )
        if result.returncode != 0:
            raise EngineUnavailable(
                f"There is no docker context called {context!r}.",
                cause=last_words(result.stderr),
                hint="docker context use default",
                fault=Fault.CONFIGURATION,
            )
        return str(_json(result.stdout, str))

    def is_local(self) -> bool:
        """Whether the engine is reached on this machine, and so mounts its files."""
        return self._host().startswith("unix://")

    def is_podman(self) -> bool:
        """Whether the engine is Podman: it builds by itself, and leaves checks to systemd."""
        # Much hangs on it: a check that Podman splits, a file that its cache misses.
        return bool(self._podmans_place(self._answer_s))

    def _podmans_place(self, patience_s: float = _GREETING_S) -> str:
        """Where Podman is asked directly; empty: the engine is another one.

        What is behind keys or SSH is not asked: it passes for Docker.
        """
        if self._podman is None:
            from unstale.adapters import engine, podman

            host = self._host()
            place = host.removeprefix("unix://")
            has_keys = bool(self._there.get("DOCKER_TLS_VERIFY"))
            direct = place.startswith("/") or (place.startswith("tcp://") and not has_keys)
            patience_s = min(self._answer_s, patience_s)
            said = engine.greeting(place, patience_s) if direct else {}
            if said is None:  # hung or gone, which the next question tells; asked again then
                return ""
            self._podman = place if podman.is_podman(said) else ""
        return self._podman

    def _checking_health(self) -> contextlib.AbstractContextManager[None]:
        """Run health checks in the meantime, where the engine does not by itself."""
        place = self._podmans_place()
        if not place:
            return contextlib.nullcontext()
        from unstale.adapters import podman
        from unstale.override import LABEL_OWNER

        return podman.checking_health(place, _label_filters({LABEL_OWNER: self._leases.owner}))

    def holder(self, port: int) -> str:
        """Who listens on *port* of this machine, in words; empty: nobody, or it can't be told."""
        from unstale.adapters.listeners import listener

        found = listener(port) if self.is_local() else None
        if found is None:
            return ""
        containers = self.containers({})
        for one in containers:
            if one.id == found.container or any(a.endswith(f":{port}") for _, a in one.ports):
                return f"the container {one.name}"
        return f"{found.program} (pid {found.pid})" if found.pid else "a process of another user"

    # Compose

    def config(
        self,
        target: ComposeTarget,
        meanwhile: Meanwhile = _nothing,
        known: Path | None = None,
    ) -> ResolvedModel:
        """The resolved compose model; *known* is the file of `check`."""
        self._require_command()
        argv = _compose(target, "config", "--format", "json")
        # Docker starts a plugin twice, to ask what it is and to run it; compose
        # also runs alone.
        for plugin in (p for p in self._noted(known) if Path(p).name == "docker-compose"):
            argv = (plugin, *argv[2:])
        result = self._run_beside(argv, self._answer_s, meanwhile)
        if result.returncode != 0:
            raise_unless_refused(result)
            raise self._refused(target, result.stderr, self._environ)
        return ResolvedModel(_model(result.stdout), compose_warnings(result.stderr))

    def resolved(
        self, target: ComposeTarget, *, raw: bool = False, inherited: Sequence[str] = ()
    ) -> ResolvedModel:
        """The model of *target* as nobody's shell decides it, for a comparison."""
        self._require_command(f", {WITHOUT_DOCKER}")
        environ = self._bare(inherited)
        result = self._config(target, environ, raw=raw)
        if result.returncode == 0:
            model = _model(result.stdout)
            if not raw:
                require_env_files_read(model)
            return ResolvedModel(model, compose_warnings(result.stderr))
        raise_unless_refused(result)
        refused = self._refused(target, result.stderr, environ)
        # Services that never run together need not be valid together.
        together = target.profiles == ("*",) and not raw and is_inconsistent(result.stderr)
        apart = self._apart(target, environ) if together else None
        if apart is None:
            raise refused
        return apart

    def _bare(self, inherited: Sequence[str] = ()) -> dict[str, str]:
        """An environment for compose that this shell has no part in, but for *inherited*."""
        # Its plugins may be there, and that is all it needs of a home.
        own = {"DOCKER_CONFIG": str(_docker_folder(self._environ))}
        kept = {k: v for k, v in self._environ.items() if k in {"TMPDIR", *REMOTES, *inherited}}
        return {**_BARE, **own, **kept}

    def _command(self) -> str:
        """Where the docker command is: compose gets another PATH than this process."""
        return shutil.which("docker", path=self._environ.get("PATH")) or "docker"

    def resolved_model(self, model: Mapping[str, object]) -> Mapping[str, object]:
        """What compose makes of *model*, as nobody's shell and no ``.env`` decides it."""
        self._require_command(f", {WITHOUT_DOCKER}")
        # An env file that is empty: without one, compose reads the folder's .env.
        argv = (
            *(self._command(), "compose", "--project-name", "unstale"),
            *("--env-file", os.devnull),
            *("--file", "-", "config", "--format", "json"),
        )
        environ = self._bare()
        stdin = json.dumps(model).encode()
        with _docker_is_there():
            command = Command(argv, self._answer_s, env=environ, inherits=False, stdin=stdin)
            result = self._process.run(command)
        if result.returncode == 0:
            return _model(result.stdout)
        raise_unless_refused(result)
        # For `hazards`, which takes the number of a line from it and a name.
        raise ConfigError("docker compose refuses a file.", cause=compose_words(result.stderr))

    def _apart(self, target: ComposeTarget, environ: Mapping[str, str]) -> ResolvedModel | None:
        """The models of the profiles of *target*, each by itself, as one.

        None if none is good, or one is wrong in itself: a file of it can't be read.
        """
        # Without a profile: that much must be good for any of them to be.
        plain = replace(target, profiles=())
        listed = self._config(plain, environ, "--no-interpolate", "--profiles", form=())
        names = ("", *sorted(listed.stdout.split())) if listed.returncode == 0 else ()
        asked = {
            name: self._config(replace(target, profiles=(name,) if name else ()), environ)
            for name in names
        }
        good = [result for result in asked.values() if result.returncode == 0]
        bad = [result for result in asked.values() if result.returncode != 0]
        if not good or not all(is_inconsistent(result.stderr) for result in bad):
            return None
        return ResolvedModel(
            _merged_models([_model(result.stdout) for result in good]),
            compose_warnings("\n".join(result.stderr for result in good)),
            tuple(name for name, result in asked.items() if result.returncode != 0),
        )

    def _config(
        self,
        target: ComposeTarget,
        environ: Mapping[str, str],
        *flags: str,
        raw: bool = False,
        form: Sequence[str] = ("--format", "json"),
    ) -> CommandResult:
        flags = (*flags, *(("--no-interpolate",) if raw else ()), *form)
        argv = (self._command(), *_compose(target, "config", *flags)[1:])
        with _docker_is_there():
            command = Command(argv, self._answer_s, env=environ, inherits=False)
            return self._process.run(command)

    def _refused(
        self, target: ComposeTarget, words: str, environ: Mapping[str, str]
    ) -> ConfigError:
        """The error for what compose refuses; it names places, never a value."""
        from unstale.adapters.refusals import refusal, refused_as

        # Compose does not say which env file of a service it can't read.
        raw = self._config(target, environ, raw=True)
        own = _env_files(_model(raw.stdout)) if raw.returncode == 0 else ()
        paths = (*target.files, *target.env_files, *own)
        if "remote resource is disabled" in words:
            return ConfigError(
                f"What {', '.join(str(f) for f in target.files)} includes is not here.",
                cause="To fetch it starts git, with what the checkout's .env says to git.",
                hint="if you trust this checkout: UNSTALE_TRUST=1, and the same again",
            )
        fault = refused_as(words)
        return ConfigError(
            f"docker compose refuses {', '.join(str(f) for f in target.files)}.",
            cause=refusal(words, _texts(paths)),
            hint=_MENDING.get(
                fault, "correct the file; `docker compose config --quiet` tells if it is good"
            ),
            fault=fault,
        )

    def config_hashes(self, model: Mapping[str, object]) -> Mapping[str, str]:
        """Service to the hash that compose would label its container with.

        The resolved model goes back in: asked of the files themselves, 2.26
        leaves out of the hash what an ``env_file`` says, and `up` does not.
        """
        # Over stdin, since it holds every secret of the stack.
        argv = ("docker", "compose", "--file", "-", "--profile", "*", "config", "--hash", "*")
        result = self._run(argv, self._answer_s, stdin=json.dumps(model).encode())
        if result.returncode != 0:
            raise ConfigError(
                "docker compose refuses the model that it printed itself.",
                cause=compose_words(result.stderr),
                hint="docker compose version",
            )
        with readable():
            return dict(line.split() for line in result.stdout.splitlines() if line.strip())

    def build(
        self, target: ComposeTarget, services: Sequence[str], options: BuildOptions, on_line: Line
    ) -> None:
        """Build *services*; lines of the build go to *on_line*."""
        is_podman = self.is_podman()
        if self._plugins is not None and not is_podman:
            check_plugins(self._plugins, ("buildx",))
        flags = ["--no-cache"] if options.no_cache else []
        pairs = [argument.partition("=") for argument in options.arguments]
        arguments, env = _pass_on("--build-arg", ((key, value) for key, _, value in pairs))
        argv = _compose(
            target, "build", *flags, *arguments, *services, options=("--progress", "plain")
        )
        lines: deque[str] = deque(maxlen=200)
        result = self._run(
            argv,
            options.deadline_s,
            _both(lines.append, on_line),
            env={**env, **(_PODMAN if is_podman else _BUILDKIT)},
            changes=True,
            tail_bytes=_TAIL_BYTES,
            follows_context=True,
        )
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            failed = _build_failed(services, meaningful(lines)[-_BUILD_LINES:])
            if is_podman and _ONLY_BUILDKIT.search(failed.cause):
                failed.hint = "build it with Docker and load it: docs/engines.md, Podman"
            raise failed

    def up(
        self, target: ComposeTarget, services: Sequence[str], on_line: Line, *, deadline_s: float
    ) -> None:
        """Create and start *services*, detached, without their dependencies."""
        argv = _compose(
            target, "up", "--detach", "--no-deps", "--no-build", "--quiet-pull", *services
        )
        # Compose waits for the health of what one of them needs.
        with self._checking_health():
            result = self._run(argv, deadline_s, on_line, changes=True, tail_bytes=_TAIL_BYTES)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            raise NotReady(
                f"Starting {', '.join(services) or 'the stack'} failed.",
                cause=compose_words(result.stderr),
                hint="see the cause: an image to build, a port that is taken, a wrong mount",
                fault=shortage(result.stderr),
            )

    def run(
        self, target: ComposeTarget, service: str, options: RunOptions, on_line: Line
    ) -> CommandResult:
        """Run a command in a new, named container of *service*, which stays.

        Without ``--rm``: its files and its state are evidence. It is of this process,
        whatever stack it is in: a sweep finds it if this process dies.
        """
        variables, env = _pass_on("--env", options.environment)
        with self._leases.ours(self.endpoint) as labels:
            flags = [
                *(["--name", options.name] if options.name else []),
                *(["--user", options.user] if options.user else []),
                *(["--entrypoint", options.entrypoint] if options.entrypoint else []),
                *_label_flags(labels),
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
        tag = f"UNSTALE_EXEC={os.urandom(8).hex()}"
        argv = ("docker", "exec", *flags, "--env", tag, container, *options.argv)
        try:
            return self._in_container(argv, options, on_line, env)
        except (TimedOut, Interrupted) as error:
            if not self._ended_inside(container, options.user, tag):
                left = f"What was started in the container {container[:12]} may go on there."
                error.cause = "\n".join(filter(None, (error.cause, left)))
            raise

    def _ended_inside(self, container: str, user: str | None, tag: str) -> bool:
        """End what carries *tag* in *container*; whether nothing of it is left."""
        from unstale.adapters.inside import PROGRAMS

        as_user = ("--user", user) if user else ()
        for program in PROGRAMS:
            argv = ("docker", "exec", *as_user, container, *program, tag)
            try:
                result = self._run(argv, min(self._answer_s, _ENDING_S), changes=True)
            except Unavailable:  # a hung or dead engine, which is told elsewhere
                return False
            if result.returncode not in _CANT_LOOK:
                return result.returncode == 0 or NOT_RUNNING.search(result.stderr) is not None
        return False

    def follow_logs(self, target: ComposeTarget, services: Sequence[str], on_line: Line) -> None:
        """Print the services' logs until they end or a signal comes."""
        argv = _compose(target, "logs", "--follow", "--tail", "100", *services)
        result = self._run(argv, _FOREVER_S, on_line, tail_bytes=_TAIL_BYTES)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            raise Unavailable("The logs can't be read.", cause=compose_words(result.stderr))

    def _in_container(
        self,
        argv: Sequence[str],
        options: RunOptions,
        on_line: Line,
        env: Mapping[str, str],
    ) -> CommandResult:
        with self._checking_health():
            result = self._run(
                argv,
                options.deadline_s,
                on_line,
                env=env,
                stdin=options.stdin,
                changes=True,
                tail_bytes=options.tail_bytes,
            )
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
            raise_if_short(result.stderr)
        return result

    # Images

    def image(self, reference: str) -> ImageFact | None:
        """The local image called *reference*, or None."""
        return self.images_called([reference]).get(reference)

    def images_called(self, references: Sequence[str]) -> Mapping[str, ImageFact]:
        """The local images among *references*, all in one question."""
        from unstale.adapters import engine
        from unstale.adapters.docker_facts import image_fact

        # Not by python-on-whales: its import alone takes longer than the answer.
        wanted = tuple(dict.fromkeys(references))
        local = self._host().removeprefix("unix://")
        answers = engine.images(local, wanted) if local.startswith("/") else None
        if answers is not None:
            return {name: image_fact(raw) for name, raw in answers.items()}
        found = self._inspect("image", wanted)
        with readable():
            if len(found) == len(wanted):
                return dict(zip(wanted, map(image_fact, found), strict=True))
            # One is missing, and the answer does not say which name an image answers to.
            singly = ((name, self._inspect("image", [name])) for name in wanted)
            return {name: image_fact(one[0]) for name, one in singly if one}

    def images(self, labels: Mapping[str, str]) -> tuple[ImageFact, ...]:
        """Local images that carry all *labels*, dangling ones included."""
        from unstale.adapters.docker_facts import image_fact

        ids = self._ids(("image", "ls", "--no-trunc", "--quiet"), labels)
        with readable():
            facts = map(image_fact, self._inspect("image", tuple(dict.fromkeys(ids))))
            return tuple(sorted(facts, key=lambda fact: fact.id))

    def image_names(self, repository: str) -> tuple[str, ...]:
        """The names of local images in *repository*."""
        form = "{{.Repository}}:{{.Tag}}"
        result = self._docker("image", "ls", "--format", form, repository)
        raise_unless_done(result, "The images can't be listed.")
        return tuple(result.stdout.split())

    def tag(self, image: str, name: str) -> None:
        """Give the image with the id *image* the name *name*, which another one loses."""
        result = self._docker("image", "tag", "--", image, name, changes=True)
        raise_unless_done(result, f"{image} can't be called {name}.")

    def pull(self, reference: str, platform: str = "") -> bool:
        """Fetch an image from its registry; False if it can't be had."""
        flags = (f"--platform={platform}",) if platform else ()
        argv = ("docker", "pull", "--quiet", *flags, "--", reference)
        result = self._run(argv, _PULL_S, changes=True, tail_bytes=_TAIL_BYTES)
        if result.returncode != 0:
            self._raise_if_gone(result.stderr)
        return result.returncode == 0

    def platform(self) -> str:
        """What the engine runs on, and builds for if nobody says."""
        result = self._docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        raise_unless_done(result, "The engine does not say what it builds for.")
        return result.stdout.strip()

    def platforms(self) -> tuple[str, ...]:
        """What the engine can run, by emulation as well; empty where it does not say."""
        # BuildKit tries it out, on the engine's machine.
        result = self._docker("buildx", "inspect")
        found = re.search(r"^Platforms:\s*(.+)$", result.stdout, re.MULTILINE)
        return tuple(word.strip(" *") for word in found[1].split(",")) if found else ()

    def history(self, image: str) -> tuple[str, ...]:
        """How each layer of *image* was made, newest first."""
        result = self._docker(
            "history", "--no-trunc", "--format", "{{json .CreatedBy}}", "--", image
        )
        raise_unless_done(result, f"The history of {image} can't be read.")
        return tuple(str(_json(line, str)) for line in result.stdout.splitlines())

    def remove_images(self, references: Sequence[str], deadline_s: float | None = None) -> None:
        """Remove images; those in use stay."""
        if references:
            # What python-on-whales is about to run, which the gateway does not see.
            self._process.announce(("docker", "image", "rm", *references), changes=True)
            with translated(ignore=(ABSENT, IN_USE)):
                self._client(deadline_s).image.remove(list(references))

    # Containers, networks, volumes

    def containers(self, labels: Mapping[str, str]) -> tuple[ContainerFact, ...]:
        """Containers in any state that carry all *labels*."""
        from unstale.adapters.docker_facts import container_fact

        if place := self._podmans_place():
            from unstale.adapters import podman

            podman.check_health(place, _label_filters(labels))
        ids = self._ids(("ps", "--all", "--no-trunc", "--quiet"), labels)
        with readable():
            found = tuple(container_fact(raw) for raw in self._inspect("container", ids))
        return tuple(replace(one, ports=self._reachable(one.ports)) for one in found)

    def _reachable(self, ports: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
        """*ports* where they are from here: on the engine's machine, if that is another one."""
        if not ports:
            return ports
        if self._machine is None:
            self._machine = _machine(self._host())
        name = f"[{self._machine}]" if ":" in self._machine else self._machine
        return tuple(
            (port, re.sub(r"^0\.0\.0\.0(?=:)", name, address) if name else address)
            for port, address in ports
        )

    def deaths(self, labels: Mapping[str, str], since: str) -> tuple[Death, ...]:
        """The ends, since an engine's time, of containers that carry all *labels*; in order."""
        from unstale.adapters.docker_facts import deaths

        kinds = ("--filter", "event=die", "--filter", "event=oom", "--format", "{{json .}}")
        filters = [w for label in _label_filters(labels) for w in ("--filter", f"label={label}")]
        result = self._docker("events", "--since", since, "--until", "0s", *kinds, *filters)
        raise_unless_done(result, "`docker events` failed.")
        with readable():
            return deaths([_json(line, dict) for line in result.stdout.splitlines()])

    def room(self) -> EngineRoom | None:
        """What a local engine has room for; None: it is elsewhere, or does not say."""
        from unstale.adapters import engine
        from unstale.adapters.docker_facts import engine_room

        if not self.is_local():
            return None
        socket = self._host().removeprefix("unix://")
        return engine_room(engine.answer(socket, "/info"), engine.answer(socket, "/networks"))

    def networks(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """Networks that carry all *labels*: name to its labels."""
        return self._labelled("network", labels)

    def volumes(self, labels: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
        """Volumes that carry all *labels*: name to its labels."""
        return self._labelled("volume", labels)

    def remove_containers(self, ids: Sequence[str], deadline_s: float | None = None) -> None:
        """Kill and remove containers and their anonymous volumes."""
        if ids:
            self._remove("container", "--force", "--volumes", *ids, deadline_s=deadline_s)

    def remove_networks(self, names: Sequence[str]) -> None:
        """Remove networks."""
        if names:
            self._remove("network", *names)

    def remove_volumes(self, names: Sequence[str]) -> None:
        """Remove volumes."""
        if names:
            self._remove("volume", *names)

    def logs(self, container: str, tail: int) -> tuple[str, ...]:
        """The last *tail* lines of a container, both streams; none if it is gone."""
        lines: list[str] = []
        argv = ("docker", "logs", "--tail", str(tail), container)
        result = self._run(argv, self._answer_s, lines.append, tail_bytes=_TAIL_BYTES)
        if result.returncode == 0:
            return tuple(lines)
        if not ABSENT.search(result.stderr):
            raise_unless_done(result, f"The logs of {container} can't be read.")
        return ()

    def _labelled(self, kind: str, labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        names = self._ids((kind, "ls", "--quiet"), labels)
        with readable():
            return {raw["Name"]: raw.get("Labels") or {} for raw in self._inspect(kind, names)}

    def _ids(self, argv: Sequence[str], labels: Mapping[str, str]) -> list[str]:
        filters = [w for label in _label_filters(labels) for w in ("--filter", f"label={label}")]
        result = self._docker(*argv, *filters)
        raise_unless_done(result, f"`docker {argv[0]}` failed.")
        found = result.stdout.split()
        if not all(map(_LISTED.fullmatch, found)):
            raise unreadable("It lists what is no name of the engine's.")
        return found

    def _inspect(self, kind: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Inspect all at once; what vanished since it was listed is left out."""
        if not ids:
            return []
        result = self._docker("inspect", "--type", kind, "--", *ids)
        wrong = [line for line in result.stderr.splitlines() if not ABSENT.search(line)]
        if result.returncode != 0 and any(wrong):
            raise_unless_done(result, f"`docker inspect --type {kind}` failed.")
        return _tables(_json(result.stdout or "[]", list))

    # Files

    def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        """The files at or under *path* in *image*, without running it."""
        with self._leases.ours(self.endpoint) as labels:
            yield from self._files_in_image(image, path, labels)

    def _files_in_image(
        self, image: str, path: PurePosixPath, labels: Mapping[str, str]
    ) -> Iterator[ArchiveMember]:
        # The name is known before the container is: a signal can't leak it.
        name = f"unstale-inspect-{os.urandom(16).hex()}"
        # The command, which an image need not have, is never run.
        options = ("--pull", "never", "--network", "none", "--name", name, *_label_flags(labels))
        with afterwards(lambda seconds: self.remove_containers([name], seconds)):
            result = self._docker("create", *options, "--", image, "-", changes=True)
            raise_unless_done(result, f"The files of {image} can't be read.")
            yield from self.files_in_container(name, path)

    def files_in_container(
        self,
        container: str,
        path: PurePosixPath,
        allowance: Allowance = ANYTHING,
        *,
        follow: bool = True,
    ) -> Iterator[ArchiveMember]:
        """The files at or under *path* in a container, running or not."""
        from unstale.adapters.docker_files import files

        links = ("--follow-link",) if follow else ()
        argv = ("docker", "cp", *links, f"{container}:{path}", "-")
        command = Command(argv, _ARCHIVE_S, env=self._there)
        return files(lambda: self._process.stream(command), path, allowance)

    # Commands

    def _remove(self, kind: str, *words: str, deadline_s: float | None = None) -> None:
        """Remove objects; one that is gone already is no error.

        Not by python-on-whales: to import it takes longer than to remove, and a
        tear-down after a signal has seconds.
        """
        deadline_s = deadline_s or _REMOVALS * self._answer_s
        argv = ("docker", kind, "rm", *words)
        result = self._run(argv, deadline_s, changes=True)
        lines = meaningful(result.stderr.splitlines())
        if not lines or not all(ABSENT.search(line) for line in lines):
            raise_unless_done(result, "Docker refused.")

    def _client(self, deadline_s: float | None) -> DockerClient:
        """python-on-whales with our deadline and session in front of docker."""
        from python_on_whales import DockerClient

        # Its debug switch prints the whole environment, secrets included.
        os.environ.pop("PYTHON_ON_WHALES_DEBUG", None)
        host = self._there.get("DOCKER_HOST")
        launcher = str(Path(__file__).with_name("launcher.py"))
        deadline_s = deadline_s or _REMOVALS * self._answer_s
        return DockerClient(
            host=host or None,
            context=None if host else self._there.get("DOCKER_CONTEXT") or None,
            client_call=[sys.executable, "-I", "-S", launcher, f"{deadline_s:g}", "docker"],
        )

    def _docker(self, *arguments: str, changes: bool = False) -> CommandResult:
        """Ask a short question; an engine that hangs is as good as gone."""
        try:
            follows = arguments[0] in ("buildx", "context")
            argv = ("docker", *arguments)
            return self._run(argv, self._answer_s, changes=changes, follows_context=follows)
        except TimedOut as error:
            raise engine_gone(error.what) from error

    def _run(
        self,
        argv: Sequence[str],
        deadline_s: float,
        on_line: Line | None = None,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        changes: bool = False,
        tail_bytes: int = 0,
        follows_context: bool = False,
    ) -> CommandResult:
        # The pins last: a variable for a container leads to no other engine.
        pinned = {} if follows_context else self._pinned
        command = Command(
            tuple(argv),
            deadline_s,
            env={**self._environ, **(env or {}), **pinned},
            stdin=stdin,
            changes=changes,
            tail_bytes=tail_bytes,
        )
        self._leases.is_used |= changes
        try:
            with _docker_is_there():
                return self._process.run(command, on_line)
        except TimedOut:
            # Which of the two took too long: the engine does not answer this either, then.
            if deadline_s > self._answer_s:
                raise_unless_done(self._docker("version"), "The Docker engine does not answer.")
            raise

    def _run_beside(
        self, argv: Sequence[str], deadline_s: float, meanwhile: Meanwhile
    ) -> CommandResult:
        """Run a command, and *meanwhile* in the time it takes."""
        command = Command(tuple(argv), deadline_s, env=self._there)
        with contextlib.ExitStack() as stack:
            with _docker_is_there():
                result = stack.enter_context(self._process.started(command))
            meanwhile()
            with _docker_is_there():
                return result()

    def _raise_if_gone(self, stderr: str) -> None:
        """Raise if the engine is gone.

        The words alone prove nothing: a program in a container may print them.
        """
        if GONE.search(stderr) and self._docker("version").returncode != 0:
            raise engine_gone(stderr)


@contextlib.contextmanager
def _docker_is_there() -> Iterator[None]:
    """No docker command is no engine."""
    try:
        yield
    except TimedOut:
        raise
    except Unavailable as error:
        raise EngineUnavailable(error.what, cause=error.cause, hint=error.hint) from error


def _compose(
    target: ComposeTarget, verb: str, *arguments: str, options: Sequence[str] = ()
) -> tuple[str, ...]:
    """The argument list of a compose command.

    Not by python-on-whales: its import takes longer than compose does.
    """
    words = (
        *(word for file in target.files for word in ("--file", str(file))),
        *(f"--profile={name}" for name in target.profiles),
        *(word for file in target.env_files for word in ("--env-file", str(file))),
    )
    project = ("--project-name", target.project)
    return ("docker", "compose", *words, *project, *options, verb, *arguments)


def _merged_models(models: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    """Models of one project, each with services of its own; the first has a name's."""
    sections = dict.fromkeys(key for model in models for key in model)
    found: dict[str, object] = {}
    for key in sections:
        values = [model[key] for model in models if key in model]
        tables = [value for value in values if isinstance(value, dict)]
        found[key] = {k: v for t in reversed(tables) for k, v in t.items()} if tables else values[0]
    return found


def _env_files(model: Mapping[str, Any]) -> tuple[Path, ...]:
    """The env files of a model's services, as far as it is of compose's form."""
    match model.get("services"):
        case dict() as services:
            lists = [s.get("env_file") for s in services.values() if isinstance(s, dict)]
        case _:
            lists = []
    entries = [one for some in lists if isinstance(some, list) for one in some]
    names = [one.get("path") if isinstance(one, dict) else one for one in entries]
    return tuple(Path(name) for name in names if isinstance(name, str))


def _texts(paths: Iterable[Path]) -> dict[str, str]:
    """What is in those of *paths* that can be read."""
    found: dict[str, str] = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # the other: a NUL in a name
            found[str(path)] = path.read_text(encoding="utf-8", errors="replace")
    return found


def _build_failed(services: Sequence[str], lines: Sequence[str]) -> BuildFailed:
    """The error for a build, from its last *lines*."""
    what = f"Building {', '.join(services) or 'the images'} failed"
    cause = "\n".join(lines)
    if base := absent_base(cause):
        name, host = base
        return BuildFailed(
            f"{what}: {host} does not give the base image {name}.",
            cause=cause,
            hint=f"docker pull {name}",
        )
    return BuildFailed(
        f"{what}.",
        cause=cause,
        hint="correct the Dockerfile or what it copies, then build again",
        fault=shortage(cause),
    )


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
            words.append(f"{flag}={key}")
        else:
            words.append(f"{flag}={key}={value}")
    return words, env


def _machine(host: str) -> str:
    """The name of the machine at *host*; empty: this one, behind a socket, or none."""
    try:
        place = urlsplit(host)
    except ValueError:  # docker refuses it with better words
        return ""
    return (place.scheme in ("tcp", "ssh") and place.hostname) or ""


def _label_flags(labels: Mapping[str, str]) -> list[str]:
    return [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]


def _label_filters(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" if value else key for key, value in labels.items()]


def _json(text: str, shape: type = object) -> Any:  # noqa: ANN401 (JSON is of any shape)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(f"It is not JSON: {error}.") from None
    if not isinstance(found, shape):
        raise unreadable("It is of another form than docker's.")
    return found


def _tables(found: Any) -> list[dict[str, Any]]:  # noqa: ANN401 (likewise)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise unreadable("It is of another form than docker's.")
    return found


def _model(text: str) -> dict[str, Any]:
    """A compose model, as far as the rest relies on its form."""
    found: dict[str, Any] = _json(text, dict)
    for section in ("services", "networks", "volumes"):
        table = found.get(section) or {}
        if not isinstance(table, dict) or not all(
            one is None or isinstance(one, dict) for one in table.values()
        ):
            raise unreadable(f"Its {section} are of another form than compose's.")
    return found


# What the engine is and says


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
        settings = read_json((_docker_folder(environ) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(settings.get("currentContext") or "") if isinstance(settings, dict) else ""
