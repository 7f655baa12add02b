"""What each service's container gets, from compose's own model. Pure.

Everything in the model of a service becomes an item. What has no rule of its
own is an item of ``other`` with its JSON, so that no difference is silent.

A name never holds a value: names are printed, and a value may be a secret.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from unstale.compose import MODEL, unescaped
from unstale.errors import ConfigError
from unstale.parity import topology
from unstale.parity.flags import flag_map
from unstale.parity.model import Field, Item, ServiceFacts, Source

__all__ = ["Naming", "says_postgres", "service_facts", "with_image_env"]

# Compose's model is JSON of many shapes; it is narrowed here.
Json = Mapping[str, Any]
_Pairs = Iterator[tuple[str, str | None]]

_COMPOSE_LABELS: Final = "com.docker.compose."
# Lists whose order says nothing.
_SETS: Final = frozenset({
    "cap_add", "cap_drop", "group_add", "security_opt", "profiles", "expose", "devices", "links",
    "external_links", "device_cgroup_rules", "entitlements", "platforms", "tags", "ssh",
})  # fmt: skip
# They name an object, or where it is reached from outside; or are mere inputs.
_IDENTITY: Final = frozenset({"container_name", "hostname", "domainname", "env_file"})
_SIZE = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Naming:
    """How an environment calls things, which is left out where two are compared."""

    root: Path
    """The project's folder: paths inside of it are compared relative to it."""
    environment: str = ""
    environments: Collection[str] = ()
    """All of the project's environments: ``ci_data`` and ``test_data`` are one."""


@MODEL
def service_facts(model: Json, naming: Naming) -> tuple[ServiceFacts, ...]:
    """Each service of *model* with everything its container gets, sorted by name.

    *model* is what ``docker compose config --format json`` prints, dollar signs
    doubled as they are there. Definitions of networks, volumes, secrets and
    configs are items of the services that use them. ``command: null`` leaves the
    image's own and has no item; an empty one has.

    Raises:
        ConfigError: it has no service, so nothing would be compared.
        Unavailable: it is of another form.

    """
    plain = unescaped(model)
    services = plain.get("services") or {}
    if not services:
        raise _nothing(naming.environment)
    project = _Project(plain, naming)
    return tuple(_facts(project, name, services[name] or {}) for name in sorted(services))


def with_image_env(
    facts: Iterable[ServiceFacts],
    env: Mapping[str, Mapping[str, str]],
    source: Callable[[str], Source] | Source,
) -> tuple[ServiceFacts, ...]:
    """*facts* with the variables that each service's image sets and compose does not.

    *env* maps services to the ENV of their images; *source* is who decided
    them, or says so for a service.
    """
    return tuple(
        _with_env(
            one, env.get(one.name, {}), source if isinstance(source, Source) else source(one.name)
        )
        for one in facts
    )


def _with_env(facts: ServiceFacts, env: Mapping[str, str], source: Source) -> ServiceFacts:
    # A name without a value (the shell has none) takes the image's away, too.
    known = {item.item for item in facts.items if item.field == "environment"}
    added = [
        Item("environment", key, value, source=source)
        for key, value in env.items()
        if key not in known
    ]
    return ServiceFacts(facts.name, _sorted([*facts.items, *added]))


def _nothing(environment: str) -> ConfigError:
    whose = f" of the environment {environment!r}" if environment else ""
    return ConfigError(
        f"The compose files{whose} define no service: nothing was compared.",
        hint="write its services below 'services:'",
    )


def _facts(project: _Project, name: str, raw: Json) -> ServiceFacts:
    return ServiceFacts(name, _sorted(_items(project, name, raw)))


def _sorted(items: Iterable[Item]) -> tuple[Item, ...]:
    """*items* by field and name, each once; what has the same name is joined."""
    found: dict[tuple[Field, str], Item] = {}
    for item in items:
        key = (item.field, item.item)
        same = found.get(key)
        found[key] = replace(item, value=_json([same.value, item.value])) if same else item
    return tuple(found[key] for key in sorted(found))


@dataclass(frozen=True, slots=True)
class _Project:
    """The whole model, and how names in it are folded."""

    model: Json
    naming: Naming

    @property
    def name(self) -> str:
        return str(self.model.get("name") or "")

    def defined(self, kind: str, key: str) -> Json:
        """The definition of a network, volume, secret or config."""
        return (self.model.get(kind) or {}).get(key) or {}

    def folded(self, text: str) -> str:
        """*text* without the names of the project and its environments.

        The names of all environments are folded on all sides, so what is
        called the same in two of them stays the same.
        """
        for separator in "_-":
            if self.name and text.startswith(self.name + separator):
                text = f"{{project}}{separator}{text[len(self.name) + 1 :]}"
        words = re.split(r"([_-])", text)
        named = frozenset(self.naming.environments)
        return "".join("{environment}" if word in named else word for word in words)

    def path(self, text: str) -> str:
        """*text*, relative to the project if it is a path inside of it."""
        root = self.naming.root.as_posix().rstrip("/")
        if text.rstrip("/") == root:
            return "."
        return text.removeprefix(root + "/")

    def leaf(self, value: object) -> str | None:
        """*value* as an item's value: a text as it is, all else as JSON."""
        if value is None:
            return None
        return self.path(value) if isinstance(value, str) else _json(self._paths(value))

    def _paths(self, value: object) -> object:
        match value:
            case str():
                return self.path(value)
            case Mapping():
                return {key: self._paths(one) for key, one in value.items()}
            case list():
                return [self._paths(one) for one in value]
            case _:
                return value

    def flat(self, name: str, value: object) -> _Pairs:
        """Each leaf of *value* under its path, like ``deploy.resources.limits.cpus``."""
        last = name.rpartition(".")[2]
        if isinstance(value, Mapping) and value:
            for key, one in value.items():
                # Compose writes empty ones that nobody wrote: ``placement: {}``.
                if one != {}:
                    yield from self.flat(f"{name}.{key}", one)
        elif isinstance(value, list) and last in _SETS:
            yield name, _json(sorted(map(self._paths, value), key=_json))
        else:
            yield name, self.leaf(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _items(project: _Project, name: str, raw: Json) -> Iterator[Item]:
    yield Item("other", "project", project.name, identity=True)
    yield from topology.shared(project.model, name)
    for key, value in raw.items():
        if key in ("command", "entrypoint"):
            yield from _command(key, name, raw)
        elif value is not None and (rule := _RULES.get(key)):
            yield from rule(project, value, raw)
        else:
            # Of an extension compose hands nothing on.
            is_name = key in _IDENTITY or key.startswith("x-")
            yield from _each("other", project.flat(key, value), identity=is_name)


def _each(field: Field, pairs: _Pairs, *, identity: bool = False) -> Iterator[Item]:
    return (Item(field, name, value, identity=identity) for name, value in pairs)


def _command(key: str, name: str, raw: Json) -> Iterator[Item]:
    prefix = "entrypoint " if key == "entrypoint" else ""
    if raw[key] is None:
        return
    tokens, is_server = _tokens(raw[key]), says_postgres(name, raw)
    if not tokens:
        yield Item("command", f"{prefix}empty", "[]")
    around = _tokens(raw.get("entrypoint") or ())
    found = flag_map(tokens, says_postgres=is_server, entrypoint=around)
    if tokens and not found and not is_server:
        found = {"word 1": tokens[0]}
    yield from _each("command", ((prefix + name, one) for name, one in found.items()))


def _tokens(value: str | Sequence[object]) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else [str(one) for one in value]


def says_postgres(name: str, raw: Json) -> bool:
    """Say whether the image puts ``postgres`` before a command that begins with a dash.

    *raw* is the service as compose has it; its image, or else its name, tells.
    """
    entrypoint = raw.get("entrypoint")
    if entrypoint is not None and not any(str(one).endswith(_STARTERS) for one in entrypoint):
        return False
    return bool(_POSTGRES.search(str(raw.get("image") or name)))


def _environment(_: _Project, value: Json, __: Json) -> Iterator[Item]:
    for key, one in value.items():
        yield Item("environment", key, None if one is None else str(one))


def _image(_: _Project, value: object, raw: Json) -> Iterator[Item]:
    # What is built here is only called that.
    yield Item("image", "name", str(value), identity=bool(raw.get("build")))


def _of_image(key: str) -> _Rule:
    return lambda project, value, _: _each("image", project.flat(key, value))


def _build(project: _Project, value: Json, _: Json) -> Iterator[Item]:
    for key, one in value.items():
        name = f"build.{key}"
        if key == "secrets":
            yield from _granted(project, "image", name, key, one)
        elif key == "extra_hosts":
            yield from _each("image", _hosts(name, one))
        elif key == "ulimits":
            yield from _each("image", _limits(name, one))
        else:
            yield from _each("image", project.flat(name, one), identity=key == "tags")


def _healthcheck(project: _Project, value: Json, _: Json) -> Iterator[Item]:
    for key, one in value.items():
        if key != "test":
            yield from _each("healthcheck", project.flat(key, one))
        elif one == ["NONE"]:
            yield Item("healthcheck", "disable", "true")
        elif one and one[0] == "CMD-SHELL":
            yield Item("healthcheck", "test", " ".join(one[1:]))
        else:
            yield Item("healthcheck", "test", _json(one))


def _volumes(project: _Project, value: Sequence[Json], _: Json) -> Iterator[Item]:
    for mount in value:
        target = posixpath.normpath(str(mount["target"]))
        yield Item("volumes", target, _mount(project, mount))
        if mount["type"] == "volume" and mount.get("source"):
            definition = dict(project.defined("volumes", mount["source"]))
            if definition.get("external"):
                # It is in the mount's own value.
                definition.pop("name", None)
            yield from _definition(project, "volumes", target, definition, separator=" ")


def _mount(project: _Project, mount: Json) -> str:
    kind, access = str(mount["type"]), "ro" if mount.get("read_only") else "rw"
    rest = {k: v for k, v in mount.items() if k not in _MOUNT_KEYS and k != kind}
    options = {**(mount.get(kind) or {}), **rest}
    if kind == "tmpfs":
        words = [*_tmpfs_options(options), *(["ro"] if access == "ro" else [])]
        return _tmpfs_text(words)
    source = _source(project, kind, str(mount.get("source") or ""))
    words = [f"{key}={project.leaf(one)}" for key, one in sorted(options.items())]
    return " ".join([f"{source}:{access}", *words])


def _source(project: _Project, kind: str, source: str) -> str:
    if kind != "volume":
        return f"{kind} {project.path(source)}"
    if not source:
        return "anonymous volume"
    definition = project.defined("volumes", source)
    # An external one lives longer than any environment: its name says which data.
    is_shared = bool(definition.get("external"))
    name = str(definition.get("name") or source) if is_shared else project.folded(source)
    return f"volume {name}"


def _tmpfs_options(options: Json) -> Iterator[str]:
    for key, value in options.items():
        yield f"{key}={value:o}" if key == "mode" and isinstance(value, int) else f"{key}={value}"


def _tmpfs(_: _Project, value: str | Sequence[str], __: Json) -> Iterator[Item]:
    for place in [value] if isinstance(value, str) else value:
        target, *options = place.split(":", 1)
        words = [word for text in options for word in text.split(",") if word]
        yield Item("volumes", posixpath.normpath(target), _tmpfs_text(words))


def _tmpfs_text(words: Iterable[str]) -> str:
    return " ".join(["tmpfs", ",".join(sorted(map(_sized, words)))]).strip()


def _sized(option: str) -> str:
    """*option* with a size in bytes, as compose has it in the long form."""
    key, _, value = option.partition("=")
    size = _SIZE.fullmatch(value)
    if key == "size" and size:
        return f"size={int(size[1]) * 1024 ** ' kmgt'.index(size[2].lower() or ' ')}"
    if key == "mode":
        return f"mode={value.lstrip('0') or '0'}"
    return option


def _granted(
    project: _Project, field: Field, name: str, kind: str, value: Sequence[Json]
) -> Iterator[Item]:
    """Secrets or configs, with their definitions."""
    for one in value:
        key = str(one["source"])
        item = f"{name}.{project.folded(key)}"
        how = {k: f"{v:o}" if k == "mode" and isinstance(v, int) else v for k, v in one.items()}
        del how["source"]
        yield Item(field, item, _json(how))
        yield from _definition(project, field, item, project.defined(kind, key))


def _grants(kind: str) -> _Rule:
    return lambda project, value, _: _granted(project, "other", kind, kind, value)


def _definition(
    project: _Project, field: Field, item: str, definition: Json, *, separator: str = "."
) -> Iterator[Item]:
    """The items of an object's definition; the name compose made up is identity."""
    is_own = not definition.get("external")
    for key, value in definition.items():
        for name, one in project.flat(key, value) if value != {} else ():
            # The text of a config may be anything: no name tells of passwords in it.
            shown = f"{name} (private)" if name == "content" else name
            is_name = name == "name" and is_own
            yield Item(field, f"{item}{separator}{shown}", one, identity=is_name)


def _networks(project: _Project, value: Json, _: Json) -> Iterator[Item]:
    # With one network its name says nothing; with several it says which one.
    alone = len(value) == 1
    yield Item("other", "networks", str(len(value)))
    aliases = sorted(
        {alias for one in value.values() for alias in (one or {}).get("aliases") or ()}
    )
    if aliases:
        yield Item("other", "networks.aliases", _json(aliases))
    for key, one in value.items():
        name = "network" if alone else f"network {project.folded(key)}"
        yield Item("other", f"networks.{key}", "joined", identity=True)
        options = {k: v for k, v in (one or {}).items() if k != "aliases"}
        yield from _each("other", project.flat(name, options) if options else iter(()))
        yield from _definition(project, "other", name, project.defined("networks", key))


def _ports(_: _Project, value: Sequence[Json], __: Json) -> Iterator[Item]:
    for port in value:
        rest = {k: v for k, v in port.items() if k not in ("target", "protocol")}
        item = f"ports.{port['target']}/{port.get('protocol') or 'tcp'}"
        yield Item("other", item, _json(rest), identity=True)


def _depends_on(_: _Project, value: Json, __: Json) -> Iterator[Item]:
    for name, one in value.items():
        how = dict(one or {})
        condition = str(how.pop("condition", ""))
        if how.get("required") is True:
            del how["required"]
        yield Item(
            "other", f"depends_on.{name}", f"{condition} {_json(how) if how else ''}".strip()
        )


def _labels(project: _Project, value: Json, _: Json) -> Iterator[Item]:
    for name, one in project.flat("labels", value):
        is_composes = name.startswith(f"labels.{_COMPOSE_LABELS}")
        yield Item("other", name, one, identity=is_composes)


def _extra_hosts(_: _Project, value: Any, __: Json) -> Iterator[Item]:  # noqa: ANN401 - see Json
    return _each("other", _hosts("extra_hosts", value))


def _hosts(name: str, value: Any) -> _Pairs:  # noqa: ANN401 - see Json
    pairs = value.items() if isinstance(value, Mapping) else map(_host, value)
    for host, address in pairs:
        yield f"{name}.{host}", address if isinstance(address, str) else _json(address)


def _host(text: str) -> tuple[str, str]:
    # 2.26 prints host=address; before it was host:address, and both may hold IPv6.
    host, *address = re.split("[=:]", text, maxsplit=1)
    return host, "".join(address)


def _ulimits(_: _Project, value: Json, __: Json) -> Iterator[Item]:
    return _each("other", _limits("ulimits", value))


def _limits(name: str, value: Json) -> _Pairs:
    for key, one in value.items():
        ends = (one.get("soft"), one.get("hard")) if isinstance(one, Mapping) else (one, one)
        same = ends[0] == ends[1]
        yield f"{name}.{key}", str(ends[0]) if same else ":".join(map(str, ends))


def _volumes_from(_: _Project, value: Sequence[str], __: Json) -> Iterator[Item]:
    yield Item("volumes", "volumes_from", _json(list(value)))


_MOUNT_KEYS: Final = ("type", "source", "target", "read_only")
_STARTERS: Final = ("postgres", "docker-entrypoint.sh")
_POSTGRES: Final = re.compile("postgres|postgis|pgvector|timescale")

# What a key of a service says; its whole service is the last argument.
_Rule = Callable[[_Project, Any, Json], Iterator[Item]]
_RULES: Final[Mapping[str, _Rule]] = {
    "build": _build,
    "configs": _grants("configs"),
    "depends_on": _depends_on,
    "environment": _environment,
    "extra_hosts": _extra_hosts,
    "healthcheck": _healthcheck,
    "image": _image,
    "labels": _labels,
    "networks": _networks,
    "platform": _of_image("platform"),
    "ports": _ports,
    "pull_policy": _of_image("pull_policy"),
    "secrets": _grants("secrets"),
    "tmpfs": _tmpfs,
    "ulimits": _ulimits,
    "volumes": _volumes,
    "volumes_from": _volumes_from,
}
