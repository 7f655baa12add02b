"""What the checkout says of itself, and whether it can be meant so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unstale import compose, config
from unstale.adapters.docker import DockerCli
from unstale.adapters.files import DiskFiles
from unstale.compose import Stack
from unstale.config import Environment, Settings
from unstale.doctor.finding import (
    Copy,
    Finding,
    MakeFolder,
    fail,
    not_asked,
    ok,
    untold,
    warn,
)
from unstale.doctor.source import shadowed
from unstale.errors import (
    ConfigError,
    CouldNotTell,
    EngineUnavailable,
    Interrupted,
    MissingFile,
    Outcome,
    UnstaleError,
    outcome_of,
)
from unstale.image.inputs import named_images
from unstale.parity import envfile
from unstale.pipeline.mounted import absent_sources
from unstale.schema import revisions
from unstale.stack.target import target_of
from unstale.survey.neighbours import hidden_tasks

__all__ = [
    "Asked",
    "compose_files",
    "env_files",
    "hidden",
    "images",
    "migrations",
    "mounts",
    "settings",
    "shadowing",
]

_ENDINGS = ("example", "sample", "template", "dist")
_USAGE = Outcome.USAGE


@dataclass(frozen=True, slots=True)
class Asked:
    """Which environment of which project it is about."""

    settings: Settings
    environment: Environment | None
    """None: there is none."""

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.settings.root


def settings(
    root: Path, files: DiskFiles, environ: Mapping[str, str], env: str | None
) -> tuple[Finding, Asked | None]:
    """Whether the settings can be used, and what they are."""
    try:
        found = config.load(root, files, environ)
        config.require_known(found)
        if not env and not any(one.compose_files for one in found.environments.values()):
            seen = f"there is no compose file for an environment in {root}"
            return not_asked("settings", seen), Asked(found, None)
        asked = Asked(found, found.environment(env))
    except Interrupted:
        raise
    except UnstaleError as error:
        said = " ".join(part for part in (error.what, error.cause) if part)
        fix = error.hint or "mend pyproject.toml"
        return fail("settings", said, fix, outcome=outcome_of(error)), None
    environment = found.environment(env)
    return ok("settings", f"{root.name}, environment {environment.name}"), asked


def env_files(asked: Asked) -> Finding:
    """Whether the environment's env files are there, readable and not encrypted."""
    environment = asked.environment
    if environment is None:
        return not_asked("env files", "there is no environment")
    if not environment.env_files:
        return _lone_example(asked, environment)
    for path in environment.env_files:
        try:
            envfile.require_text(path)
        except MissingFile as error:
            example = envfile.example_of(path)
            copies = [Copy(example, path)] if example else []
            fix = error.hint if example is None else f"cp {example} {path}, and fill it in"
            return fail("env files", error.what, fix, *copies, outcome=_USAGE)
        except CouldNotTell as error:
            return untold("env files", error.what, error.hint)
        except ConfigError as error:
            said = f"{error.what} {error.cause}"
            return fail("env files", said, error.hint, outcome=_USAGE)
    names = ", ".join(_shown(path, asked.root) for path in environment.env_files)
    return ok("env files", names)


def _lone_example(asked: Asked, environment: Environment) -> Finding:
    """Of a project that has an example of an env file, and no env file."""
    name = environment.name
    for relative in (f"env/.env.{name}", f"env/{name}.env", f".env.{name}", ".env"):
        path = asked.root / relative
        for ending in _ENDINGS:
            example = path.with_name(f"{path.name}.{ending}")
            if _is_file(example) and not _is_there(path):
                return warn(
                    "env files",
                    f"There is {_shown(example, asked.root)}, and no {relative}.",
                    f"cp {example} {path}, and fill it in",
                    Copy(example, path),
                )
    return not_asked("env files", f"{name} has none")


def _is_file(path: Path) -> bool:
    """Whether it is one, as far as may be looked."""
    # Path.is_file fails below a folder that may not be entered.
    return os.path.isfile(path)  # noqa: PTH113


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - likewise


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def compose_files(asked: Asked, docker: DockerCli) -> tuple[Finding, Stack | None]:
    """Whether compose resolves the files, and to what."""
    environment = asked.environment
    if environment is None:
        return not_asked("compose files", "there is none"), None
    try:
        resolved = docker.config(target_of(asked.settings, environment))
        stack = compose.parse(resolved.model)
    except Interrupted:
        raise
    except EngineUnavailable as error:
        return untold("compose files", error.what, error.hint), None
    except UnstaleError as error:
        said = " ".join(part for part in (error.what, error.cause) if part)
        return fail("compose files", said, error.hint, outcome=outcome_of(error)), None
    names = ", ".join(_shown(path, asked.root) for path in environment.compose_files)
    if not stack.services:
        fix = "look at compose-files in [tool.unstale]"
        return fail("compose files", f"No service is in {names}.", fix, outcome=_USAGE), None
    return ok("compose files", f"{len(stack.services)} services in {names}"), stack


def mounts(asked: Asked, stack: Stack, *, is_local: bool) -> Finding:
    """Whether what services mount is there."""
    if not is_local:
        return not_asked("mounts", "the engine mounts what is on its own machine")
    started = [s for s in stack.services if _may_start(s, asked)]
    absent = list(absent_sources(started))
    if not absent:
        return ok("mounts", "every file and folder is there")
    service, source = absent[0]
    more = f" {len(absent) - 1} more are not." if absent[1:] else ""
    files = _meant_as_files(started)
    folders = dict.fromkeys(
        one for _, one in absent if one not in files and _is_a_folder(Path(one), asked.root)
    )
    how = f" (mkdir -p {source})" if source in folders else ""
    return fail(
        "mounts",
        f"{service!r} mounts {source}, which is not there.{more}",
        f"create it{how}, or mend the mount in the compose file",
        *(MakeFolder(Path(one)) for one in folders),
        outcome=_USAGE,
    )


def _may_start(service: compose.Service, asked: Asked) -> bool:
    chosen = asked.environment.profiles if asked.environment else ()
    is_runner = asked.environment is not None and service.name == asked.environment.runner
    return not service.profiles or is_runner or bool({*service.profiles} & {*chosen})


def _meant_as_files(services: Iterable[compose.Service]) -> frozenset[str]:
    """Sources that hold a secret or a config, or lie where a container has a file."""
    return frozenset(
        source
        for service in services
        for source in (
            *service.files,
            *(m.source for m in service.mounts if _is_a_file(m.source, m.target)),
        )
    )


def _is_a_file(source: str, target: str) -> bool:
    """Whether a mount is one of a file, by its names: ``./Caddyfile:/etc/caddy/Caddyfile``."""
    name = PurePosixPath(target).name
    is_titled = name[:1].isupper() and name == Path(source).name
    return bool(PurePosixPath(target).suffix) or name.startswith(".") or is_titled


def _is_a_folder(path: Path, root: Path) -> bool:
    """Whether it was meant to be one of the checkout, by its name."""
    return not path.suffix and not path.name.startswith(".") and path.is_relative_to(root)


def migrations(asked: Asked) -> Finding:
    """Whether the migrations end in one head, as their files say."""
    schema = asked.settings.schema
    if schema.setup != "migrate":
        return not_asked("migrations", f'schema.setup = "{schema.setup}"')
    ini = revisions.configuration(asked.root, schema.alembic_ini, asked.settings.local.directory)
    if ini is None:
        return not_asked("migrations", f"no {schema.alembic_ini} is here")
    heads = revisions.heads(ini, revisions.base(ini, asked.root)) or ()
    name = _shown(ini, asked.root)
    if not heads:
        fix = f"look at script_location in {name}"
        return untold("migrations", f"no migration was found by {name}", fix)
    if len(heads) > 1:
        return fail(
            "migrations",
            f"{len(heads)} heads by {name}: {', '.join(heads)}.",
            f"alembic merge -m merge {' '.join(heads)}",
            outcome=Outcome.MISMATCH,
        )
    return ok("migrations", f"one head, {heads[0]}")


def shadowing(root: Path) -> Finding:
    """Whether something in the project's folder hides what Python is to import."""
    try:
        entries = [(path.name, _is_file(path / "__init__.py")) for path in root.iterdir()]
    except OSError as error:
        return untold("shadowing", f"{root} can't be listed: {error.strerror}", f"ls -ld {root}")
    found = list(shadowed(entries))
    if not found:
        return ok("shadowing", "nothing here has the name of a library")
    said = "; ".join(f"{name} hides {what}" for name, what in found)
    return warn("shadowing", f"{said}.", f"rename {found[0][0]}, or remove its __init__.py")


def hidden(root: Path) -> Finding:
    """Whether tasks.py has tasks that Invoke does not show."""
    path = root / "tasks.py"
    try:
        source = path.read_bytes()
    except OSError:
        return not_asked("hidden tasks", "there is no tasks.py that can be read")
    names = hidden_tasks(source)
    if not names:
        return ok("hidden tasks", "every task of tasks.py is in its collection")
    return warn(
        "hidden tasks",
        f"Invoke does not show {', '.join(names)}: tasks.py has a collection called ns.",
        "add to tasks.py: " + "; ".join(f"ns.add_task({name})" for name in names),
    )


def images(stack: Stack, docker: DockerCli, environ: Mapping[str, str]) -> Finding:
    """Whether the images that are pulled are on this machine; no registry is asked."""
    try:
        wanted = {s.image for s in stack.services if s.build is None and s.image}
        wanted |= {n for s in stack.built if s.build for n in named_images(s.build, environ)}
        # One that a service here builds is none to pull.
        names = sorted(wanted - {s.image for s in stack.built})
        present = docker.images_called(names) if names else {}
    except Interrupted:
        raise
    except UnstaleError as error:
        return untold("images", error.what, error.hint or "inv image.status tells more")
    absent = [name for name in names if name not in present]
    if not absent:
        return ok("images", f"all {len(names)} are here")
    return warn(
        "images",
        f"Not on this machine: {', '.join(absent)}. A build or a start pulls them; whether the "
        "registry can be reached was not tried.",
        f"docker pull {absent[0]}",
    )
