"""What must be there before anything is built, started or removed.

Compose finds some of it out in the middle of `up`, and some it makes up itself: a
folder for a mount that is misspelt, a blank for a variable that nobody sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstale.compose import Service
from unstale.errors import ConfigError, Fault, MissingFile, overlooked
from unstale.mask import is_secret
from unstale.pipeline import addresses, platforms
from unstale.pipeline.images import Bench
from unstale.pipeline.mounted import absent_sources
from unstale.pipeline.site import Ports, Site
from unstale.ports import Files

if TYPE_CHECKING:
    from unstale.parity.sources import Undefined

__all__ = ["blanks", "require", "require_checked_out"]

_SHOWN = 10
# Behind an unescaped $ the rest of a password looks like a variable's name; not so in
# braces, of capitals alone.
_IN_BRACES = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?=[}:?+-])")


def require(ports: Ports, site: Site) -> None:
    """Refuse a stack that can't come up as it is written.

    Raises:
        MissingFile: a file or folder that a service mounts is not there.
        ConfigError: an external network or volume is not there, or tests on this machine
            ask for a port that no service publishes.
        EngineUnavailable: a service asks for a platform that the engine can't run.

    """
    addresses.require(site)
    services = [s for s in site.stack.services if s.name in site.in_play]
    if ports.docker.is_local():
        _require_mounted(services)
    _require_external(ports, site, services)
    platforms.require(ports.docker, {repr(s.name): p for s in services for p in _platforms(s)})


def _require_mounted(services: Iterable[Service]) -> None:
    for service, source in absent_sources(services):
        raise MissingFile(
            f"{service!r} mounts {source}, which is not there.",
            cause="Docker would make an empty folder of it, which belongs to root.",
            hint=f"create it (mkdir -p {source}), or mend the mount in the compose file",
        )


def _require_external(ports: Ports, site: Site, services: Sequence[Service]) -> None:
    names = {s.name for s in services}
    wanted = [one for one in site.stack.external if names.intersection(one.services)]
    for kind, listed in (("network", ports.docker.networks), ("volume", ports.docker.volumes)):
        asked = [one for one in wanted if one.kind == kind]
        there = listed({}) if asked else {}
        for one in asked:
            if one.name not in there:
                raise ConfigError(
                    f"The {kind} {one.name!r} of {', '.join(one.services)} is not there.",
                    cause="It is external: neither compose nor unstale makes it.",
                    hint=f"docker {kind} create {one.name}",
                )


def _platforms(service: Service) -> tuple[str, ...]:
    built = service.build.platforms if service.build else ()
    # Of several the engine takes its own.
    return (service.platform,) if service.platform else built if len(built) == 1 else ()


def require_checked_out(bench: Bench) -> None:
    """Refuse a build context that lacks the files of a submodule.

    Raises:
        ConfigError: a submodule in it is not checked out.

    """
    for path in bench.ports.git.absent_submodules():
        for service in (s for s in bench.services if s.name in bench.site.in_play):
            build = service.build
            if build and build.is_local and not bench.contexts.leaves_out(build, path):
                raise ConfigError(
                    f"The submodule {path} of {service.name!r} is not checked out.",
                    cause="Its folder is part of the build context, and empty.",
                    hint=f"git submodule update --init {path}; or name it in .dockerignore",
                    fault=Fault.CONTENT,
                )


# Variables that nobody sets


@dataclass(frozen=True, slots=True)
class _Blank:
    """A place where compose puts nothing for a variable."""

    place: str
    names: tuple[str, ...]
    """Those that may be told."""

    def __str__(self) -> str:
        names = ", ".join(self.names) or "a variable"
        return f"{self.place}: {names} is not set, so nothing is put there"


def blanks(ports: Ports, files: Files, site: Site) -> tuple[str, ...]:
    """The places where compose puts nothing, since no variable is set, one line each.

    Raises:
        ConfigError: there is one, and the settings are strict, as in CI.

    """
    unset = {w.variable for w in site.warnings if w.kind == "unset"}
    if not unset:
        return ()
    found = tuple(dict.fromkeys(_blanks(ports, files, site, unset)))
    lines = tuple(str(one) for one in found) or ("A variable of a compose or env file is not set.",)
    if not site.settings.strict:
        return lines
    names = sorted({name for one in found for name in one.names})
    env_file = next((str(path) for path in reversed(site.environment.env_files)), "an env file")
    raise ConfigError(
        f"Not set, so left blank: {', '.join(names) or 'a variable of the files below'}.",
        cause="\n".join(lines[:_SHOWN]),
        hint=f"set it in {env_file}, or write ${{NAME:-}} where nothing is meant",
    )


def _blanks(ports: Ports, files: Files, site: Site, unset: set[str]) -> Iterator[_Blank]:
    # Here: a site without a blank does without them.
    from unstale.parity import envfile, sources, yaml_lines

    root, target = site.settings.root, site.target
    raw: Any = ports.docker.resolved(target, raw=True).model
    lines = yaml_lines.read(target.files, files.read_text)
    texts = []
    for path in target.env_files:
        with overlooked():
            texts.append(envfile.read(path))
    for one in sources.undefined(unset, raw, texts, lines, root):
        yield _blank(one, unset, files, root)


def _blank(one: Undefined, unset: set[str], files: Files, root: Path) -> _Blank:
    source = one.source
    if source.file is None or source.line is None or source.kind == "env-file":
        where = f"{source.file}, line {source.line}" if source.line else str(source.file)
        return _Blank(f"{where}: {one.key}" if one.key else where, ())
    text = files.read_text(root / source.file).splitlines()[source.line - 1]
    names = (found["name"] for found in _IN_BRACES.finditer(text))
    told = tuple(dict.fromkeys(n for n in names if n in unset and not is_secret("", n)))
    return _Blank(f"{source.file}, line {source.line}", told)
