"""The JSON of `docker compose config` as values. Pure.

Only what the product decides on is read; compose remains the one parser of
compose files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from unstale.errors import ConfigError, Fault, Unavailable
from unstale.jsontext import narrowed

__all__ = [
    "COMPLETED",
    "MODEL",
    "PROXIES",
    "BuildSpec",
    "External",
    "Mount",
    "Port",
    "Service",
    "Stack",
    "parse",
    "unescaped",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,1023}")

PROXIES = frozenset(
    name
    for stem in ("http", "https", "ftp", "no", "all")
    for name in (f"{stem}_proxy", f"{stem}_proxy".upper())
)
"""Variables that are handed on from the user's docker configuration, unasked: compose
gives them to containers, and BuildKit to every RUN, outside of its cache's keys."""

COMPLETED = "service_completed_successfully"
"""The condition of ``depends_on`` that makes a service a one-shot."""

_LAST_PORT = 65535
_DRIVE = re.compile(r"[A-Za-z]:")
# An empty variable leaves its separator: "app:", "/app", "example.com//app".
_NO_IMAGE = re.compile(r"^[:@/]|[:@/]$|//|\s")

# Compose's model is JSON of many shapes; it is narrowed here and nowhere else.
Json = Mapping[str, Any]

MODEL = narrowed(
    lambda why: Unavailable(
        "The model that compose made of the compose files can't be read.",
        cause=f"It does not have the form that is known here ({why}).",
        hint="docker compose version",
    )
)
"""Decorates what reads a model: where it is of another form, that is an error of ours."""


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """How a service's image is built."""

    context: str
    """An absolute path, or a URL for a remote context."""
    dockerfile: str
    """As written: relative to the context, or absolute."""
    dockerfile_inline: str | None
    target: str | None
    args: tuple[tuple[str, str | None], ...]
    """Sorted; None takes the value of the environment compose runs in."""
    additional_contexts: tuple[tuple[str, str], ...]
    platforms: tuple[str, ...]
    labels: tuple[tuple[str, str], ...] = ()
    """The project's own, sorted."""
    run_options: tuple[str, ...] = ()
    """What every RUN sees: network, host names, limits; as JSON, sorted."""

    @property
    def is_local(self) -> bool:
        """Whether the context is a folder on this machine."""
        return Path(self.context).is_absolute()

    @property
    def dockerfile_path(self) -> Path:
        """Where the Dockerfile is, for a local context without an inline one."""
        return Path(self.context) / self.dockerfile


@dataclass(frozen=True, slots=True)
class Port:
    """A published port."""

    target: int
    published: str
    """Empty: the engine picks one."""
    host_ip: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume entry of a service."""

    kind: str
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the resolved model."""

    name: str
    image: str
    """The tag compose gives the image it builds, or the one it pulls."""
    build: BuildSpec | None
    container_name: str | None
    environment: tuple[tuple[str, str | None], ...]
    ports: tuple[Port, ...]
    mounts: tuple[Mount, ...]
    profiles: tuple[str, ...]
    depends_on: tuple[str, ...]
    has_healthcheck: bool
    working_dir: str | None
    covered: tuple[str, ...] = ()
    """Places over which a tmpfs, a config or a secret lies."""
    has_volumes_from: bool = False
    conditions: tuple[tuple[str, str], ...] = ()
    """Each of *depends_on* with what is waited for, like ``service_healthy``."""
    restart: str = ""
    """As written; empty where the file leaves it to the default, which is no."""
    platform: str = ""
    """``linux/arm64``, if the file asks for one."""
    network_mode: str = ""
    """``host`` and the like; empty for networks of the project."""
    exposed: tuple[int, ...] = ()
    """The ports that it listens on, as far as the file says so; sorted."""
    files: tuple[str, ...] = ()
    """The files of its configs and secrets."""
    entrypoint: tuple[str, ...] | None = None
    """In place of the image's; None: the image's own."""
    check: tuple[str, ...] = ()
    """Its health check's test, ``CMD`` or ``CMD-SHELL`` first; empty: the image's, if any."""

    @property
    def says_it_ends(self) -> bool:
        """Whether the file itself writes that a clean end is the end, not a fault.

        A service with a health check is there to go on, whatever its policy.
        """
        return not self.has_healthcheck and self.restart.startswith(("no", "on-failure"))

    def variable(self, name: str) -> str | None:
        """The value the container gets for *name*, if compose sets one."""
        return dict(self.environment).get(name)


@dataclass(frozen=True, slots=True)
class External:
    """A network or a volume that must be there before compose begins."""

    kind: Literal["network", "volume"]
    name: str
    """As the engine knows it."""
    services: tuple[str, ...]
    """Who uses it, sorted."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A compose project."""

    name: str
    services: tuple[Service, ...]
    own_volumes: tuple[str, ...]
    """Keys of volumes named after the project: no external or fixed name."""
    own_networks: tuple[str, ...]
    external: tuple[External, ...] = ()

    def service(self, name: str) -> Service | None:
        """The service called *name*."""
        return next((s for s in self.services if s.name == name), None)

    @property
    def built(self) -> tuple[Service, ...]:
        """The services whose images are built here."""
        return tuple(s for s in self.services if s.build is not None)

    @property
    def one_shots(self) -> frozenset[str]:
        """The services whose end with 0 is their success: waited for, or said to end."""
        awaited = {
            name
            for service in self.services
            for name, condition in service.conditions
            if condition == COMPLETED
        }
        return frozenset(awaited | {s.name for s in self.services if s.says_it_ends})


@MODEL
def parse(model: Json) -> Stack:
    """Read the model that ``docker compose config --format json`` prints.

    Raises:
        ConfigError: compose lets something pass that no engine will take.
        Unavailable: it is of another form.

    """
    model = unescaped(model)
    name = str(model["name"])
    services = model.get("services") or {}
    images = {key: _image(name, key, services[key]) for key in services}
    for key, image in images.items():
        _require_word("service", key, _NAME)
        _require_word(f"image of {key!r}", image, _REFERENCE)
    return Stack(
        name=name,
        services=tuple(
            replace(_service(key, services[key], images), files=tuple(_files(model, services[key])))
            for key in sorted(services)
        ),
        own_volumes=_own(name, model.get("volumes") or {}),
        own_networks=_own(name, model.get("networks") or {}),
        external=(*_external("network", model, services), *_external("volume", model, services)),
    )


def _require_word(kind: str, name: str, pattern: re.Pattern[str]) -> None:
    """Refuse what would be an option, or several words, in a command.

    Compose takes ``--privileged`` for the name of a service, and any text for an image.
    """
    if not pattern.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} can't be the name of a {kind.partition(' ')[0]}.",
            cause=f"It is the {kind} in a compose file."
            " Letters, digits, '.', '_' and '-' are allowed, the first a letter or digit.",
            hint="give it another name in the compose file",
            fault=Fault.CONTENT,
        )


def _own(project: str, entries: Json) -> tuple[str, ...]:
    return tuple(
        sorted(
            key
            for key, value in entries.items()
            if not (value or {}).get("external")
            and (value or {}).get("name", f"{project}_{key}") == f"{project}_{key}"
        )
    )


def _external(
    kind: Literal["network", "volume"], model: Json, services: Json
) -> Iterator[External]:
    for key, value in sorted((model.get(f"{kind}s") or {}).items()):
        if (value or {}).get("external"):
            users = tuple(sorted(name for name, raw in services.items() if key in _uses(kind, raw)))
            yield External(kind, str(value.get("name") or key), users)


def _uses(kind: Literal["network", "volume"], raw: Json) -> Iterable[str]:
    if kind == "network":
        return raw.get("networks") or ()
    return [v.get("source") for v in raw.get("volumes") or () if v.get("type") == "volume"]


def _image(project: str, name: str, raw: Json) -> str:
    image = str(raw.get("image") or f"{project}-{name}")
    if _NO_IMAGE.search(image):
        raise ConfigError(
            f"The image of {name!r} is {image!r}, which is no image's name.",
            cause="A variable in it may be empty, or not set.",
            hint=f"mend image: of {name} in the compose file, or set its variable",
            fault=Fault.CONTENT,
        )
    return image


def _service(name: str, raw: Json, images: Mapping[str, str]) -> Service:
    health = raw.get("healthcheck") or {}
    return Service(
        name=name,
        image=images[name],
        build=_build(raw["build"], raw.get("platform"), images) if raw.get("build") else None,
        container_name=_text(raw.get("container_name")),
        environment=tuple(sorted((k, _text(v)) for k, v in (raw.get("environment") or {}).items())),
        ports=tuple(_port(name, p) for p in raw.get("ports") or ()),
        mounts=tuple(_mount(name, v) for v in raw.get("volumes") or ()),
        profiles=tuple(map(str, raw.get("profiles") or ())),
        depends_on=tuple(sorted(raw.get("depends_on") or ())),
        has_healthcheck=bool(health.get("test")) and health["test"] != ["NONE"],
        working_dir=_text(raw.get("working_dir")),
        covered=tuple(_covered(raw)),
        has_volumes_from=bool(raw.get("volumes_from")),
        conditions=_conditions(raw.get("depends_on") or {}),
        restart=str(raw.get("restart") or ""),
        platform=str(raw.get("platform") or ""),
        network_mode=str(raw.get("network_mode") or ""),
        exposed=tuple(sorted(_exposed(raw))),
        entrypoint=None if raw.get("entrypoint") is None else tuple(map(str, raw["entrypoint"])),
        check=tuple(map(str, health.get("test") or ())),
    )


def _files(model: Json, raw: Json) -> Iterator[str]:
    for kind in ("configs", "secrets"):
        for one in raw.get(kind) or ():
            given = (model.get(kind) or {}).get(one["source"]) or {}
            if given.get("file"):
                yield str(given["file"])


def _exposed(raw: Json) -> set[int]:
    written = [str(one).partition("/")[0] for one in raw.get("expose") or ()]
    ports = {int(one["target"]) for one in raw.get("ports") or ()}
    return ports | {int(one) for one in written if one.isdigit()}


def _conditions(raw: Json) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str((one or {}).get("condition"))) for name, one in raw.items()))


def _covered(raw: Json) -> Iterator[str]:
    tmpfs = raw.get("tmpfs") or ()
    for place in [tmpfs] if isinstance(tmpfs, str) else tmpfs:
        yield str(place).partition(":")[0]
    for kind, folder in (("configs", "/"), ("secrets", "/run/secrets/")):
        for one in raw.get(kind) or ():
            target = str(one.get("target") or one["source"])
            yield target if target.startswith("/") else folder + target


def unescaped(value: Any) -> Any:  # noqa: ANN401 - see Json
    """*value* with single dollar signs: `config` doubles all, to be read again itself."""
    match value:
        case str():
            return value.replace("$$", "$")
        case Mapping():
            return {key: unescaped(one) for key, one in value.items()}
        case list():
            return [unescaped(one) for one in value]
        case _:
            return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# BuildKit keeps a host's name in a RUN's key and not its address.
_RUN_OPTIONS = ("network", "extra_hosts", "shm_size", "ulimits", "privileged", "entitlements")


def _build(raw: Json, platform: str | None, images: Mapping[str, str]) -> BuildSpec:
    return BuildSpec(
        context=str(raw["context"]),
        dockerfile=str(raw.get("dockerfile") or "Dockerfile"),
        dockerfile_inline=_text(raw.get("dockerfile_inline")),
        target=_text(raw.get("target")),
        args=tuple(sorted((k, _text(v)) for k, v in (raw.get("args") or {}).items())),
        additional_contexts=tuple(
            sorted(
                (name, _context(str(place), images))
                for name, place in (raw.get("additional_contexts") or {}).items()
            )
        ),
        platforms=tuple(map(str, raw.get("platforms") or ((platform,) if platform else ()))),
        labels=tuple(sorted((k, _text(v) or "") for k, v in (raw.get("labels") or {}).items())),
        run_options=tuple(
            json.dumps([key, _host_names(raw[key]) if key == "extra_hosts" else raw[key]])
            for key in sorted(_RUN_OPTIONS)
            if raw.get(key)
        ),
    )


def _context(place: str, images: Mapping[str, str]) -> str:
    """*place*; another service's image by its name."""
    service = place.removeprefix("service:")
    return f"docker-image://{images[service]}" if service != place and service in images else place


def _host_names(hosts: Iterable[str] | Json) -> list[str]:
    return sorted(re.split("[=:]", str(host))[0] for host in hosts)


def _port(service: str, raw: Json) -> Port:
    numbers = (str(raw["target"]), *str(raw.get("published") or "").split("-"))
    for number in filter(None, numbers):
        if not number.isdigit() or int(number) > _LAST_PORT:
            raise ConfigError(
                f"The service {service!r} has a port that there is not.",
                cause=f"Ports go from 1 to {_LAST_PORT}.",
                hint=f"mend ports: of {service} in the compose file",
                fault=Fault.CONTENT,
            )
    return Port(
        target=int(raw["target"]),
        published=str(raw.get("published") or ""),
        host_ip=str(raw.get("host_ip") or ""),
        protocol=str(raw.get("protocol") or "tcp"),
    )


def _mount(service: str, raw: Json) -> Mount:
    target = str(raw["target"])
    if not raw.get("source") and _DRIVE.match(target):
        # Not in the words of a value: the whole entry is the target now.
        raise ConfigError(
            f"The service {service!r} has a volume whose name is one letter.",
            cause=f"Compose takes it for a drive of Windows, and {target[0]!r} for no volume.",
            hint="give the volume a name of two letters or more",
            fault=Fault.CONTENT,
        )
    return Mount(
        kind=str(raw["type"]),
        source=str(raw.get("source") or ""),
        target=str(raw["target"]),
        read_only=bool(raw.get("read_only")),
    )
