"""Whether a container was created from what compose resolves now. Pure.

Two witnesses. The hash that compose labels a container with is exact: it covers
every setting of the service, and by it `up` decides whether to create the
container anew. (Compose 2.26: only of the resolved model does ``config --hash``
tell that hash; asked of the files it leaves an ``env_file``'s values out.) Where
the hashes differ, the settings themselves are compared, to name what changed.

Neither sees the content of a mounted file: the container does. What a process
read of it when it started is its own affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from unstale.compose import MODEL, PROXIES
from unstale.facts import ContainerFact, ImageFact, MountFact
from unstale.stack.mounts import is_anonymous
from unstale.verdict import Change, Fresh, Reason, Stale, Unknown, Verdict

__all__ = ["CONFIG_HASH", "as_created", "drift", "settings"]

CONFIG_HASH = "com.docker.compose.config-hash"

# The resolved model is JSON of many shapes: only what can be compared with a
# container is read, and only here.
Json = Mapping[str, Any]
Settings = Mapping[str, object]
"""What a reason names, such as ``environment:LOG_LEVEL``, to its value: a secret."""

_OWN_LABELS = "com.docker.compose."
_NANOSECONDS = {"h": 3600e9, "m": 60e9, "s": 1e9, "ms": 1e6, "us": 1e3, "µs": 1e3, "ns": 1}
_DURATION = re.compile(r"([\d.]+)(h|ms|m|s|us|µs|ns)")


@MODEL
def as_created(model: Json, containers: Iterable[ContainerFact], built: Iterable[str]) -> Json:
    """*model* as compose hashed it when it made *containers*, one a service.

    What is built counts with the image that the container has: another image
    is not another configuration. A reference to a service is one to its container.
    """
    by_service = {c.service: c for c in containers}
    built = frozenset(built)
    services = {
        name: _as_created(name, raw, by_service, built)
        for name, raw in (model.get("services") or {}).items()
    }
    return {**model, "services": services}


def _as_created(
    name: str, raw: Json, containers: Mapping[str, ContainerFact], built: frozenset[str]
) -> Json:
    changed = dict(raw)
    if name in built and name in containers:
        changed["image"] = containers[name].image_id
    for key in ("network_mode", "ipc", "pid"):
        kind, _, other = str(raw.get(key) or "").partition(":")
        if kind == "service" and other in containers:
            changed[key] = f"container:{containers[other].id}"
    return changed


@MODEL
def drift(
    model: Json, container: ContainerFact, image: ImageFact | None, expected: str | None
) -> Verdict:
    """Whether *container* has the settings that *model* gives its service.

    *model* is `as_created`; *image* the container's own, for what comes from
    there; *expected* the hash of the service in *model*, None if not known.
    """
    raw = (model.get("services") or {}).get(container.service)
    if raw is None:
        return Stale((Reason(f"service:{container.service}", "removed"),))
    label = container.labels.get(CONFIG_HASH)
    # A reference to the containers of other services has no form in a model.
    known = label is not None and expected is not None and not raw.get("volumes_from")
    if known and label == expected:
        return Fresh()
    found = _differences(settings(model, raw, image), _settings_of(container, raw))
    if found:
        return Stale(found)
    if known:
        return Stale((Reason("configuration", "configuration"),))
    return Unknown(f"{container.name} carries nothing to tell its whole configuration by")


def _differences(now: Settings, then: Settings) -> tuple[Reason, ...]:
    return tuple(
        Reason(name, _change(name, now, then))
        for name in sorted({*now, *then})
        if now.get(name) != then.get(name)
    )


def _change(name: str, now: Settings, then: Settings) -> Change:
    if name not in then:
        return "added"
    return "modified" if name in now else "removed"


# What compose asks for


def settings(model: Json, raw: Json, image: ImageFact | None) -> Settings:
    """The settings of a new container of the service *raw*, made from *image*."""
    base: Json = json.loads(image.config) if image else {}
    entrypoint = _plain(raw.get("entrypoint"))
    # The engine drops the image's CMD where the ENTRYPOINT is not the image's.
    command = _plain(raw.get("command")) or (() if entrypoint else tuple(base.get("Cmd") or ()))
    own = {k: _plain(v) for k, v in (raw.get("environment") or {}).items()}
    labels = {**(base.get("Labels") or {}), **(raw.get("labels") or {})}
    return {
        **_one("image", raw.get("image")),
        **_one("command", command),
        **_one("entrypoint", entrypoint or tuple(base.get("Entrypoint") or ())),
        **_one("user", raw.get("user") or base.get("User")),
        **_one("working_dir", raw.get("working_dir") or base.get("WorkingDir")),
        **_one("healthcheck", _healthcheck(raw.get("healthcheck") or {}, base)),
        **_many("environment", {**_variables(base.get("Env") or ()), **own}),
        **_many("label", _foreign(labels)),
        **_many("mount", _mounts(model, raw, base)),
        **_many("port", _ports(raw.get("ports") or ())),
        **_many("network", _networks(model, raw)),
    }


def _one(name: str, value: object) -> Settings:
    return {name: value} if value else {}


def _many(kind: str, values: Mapping[str, object]) -> Settings:
    return {f"{kind}:{key}": value for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:  # noqa: ANN401 (a word, a list of them, or nothing)
    """*value* without the doubled dollar signs of `config`; lists as tuples."""
    if isinstance(value, list):
        return tuple(_plain(word) for word in value)
    return value.replace("$$", "$") if isinstance(value, str) else value


def _variables(lines: Sequence[str]) -> dict[str, str]:
    # A line without "=" takes the image's variable away.
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _foreign(labels: Mapping[str, str]) -> dict[str, object]:
    return {k: _plain(v) for k, v in labels.items() if not k.startswith(_OWN_LABELS)}


def _healthcheck(raw: Json, base: Json) -> Json:
    named = {
        "Test": ["NONE"] if raw.get("disable") else list(_plain(raw.get("test")) or ()),
        "Interval": _nanoseconds(raw.get("interval")),
        "Timeout": _nanoseconds(raw.get("timeout")),
        "StartPeriod": _nanoseconds(raw.get("start_period")),
        "StartInterval": _nanoseconds(raw.get("start_interval")),
        "Retries": raw.get("retries"),
    }
    return {**(base.get("Healthcheck") or {}), **{k: v for k, v in named.items() if v}}


def _nanoseconds(text: str | None) -> int:
    """Nanoseconds of a duration as compose prints it, such as ``1m5s``."""
    return round(sum(float(n) * _NANOSECONDS[unit] for n, unit in _DURATION.findall(text or "")))


def _mounts(model: Json, raw: Json, base: Json) -> dict[str, object]:
    found: dict[str, object] = dict.fromkeys(base.get("Volumes") or {}, ("volume", ""))
    for entry in raw.get("tmpfs") or ():
        found[entry.partition(":")[0]] = ("tmpfs", "")
    for entry in raw.get("volumes") or ():
        source = entry.get("source") or ""
        if entry["type"] == "volume" and source:
            source = ((model.get("volumes") or {}).get(source) or {}).get("name", source)
        found[entry["target"]] = (entry["type"], "" if entry["type"] == "tmpfs" else source)
    for kind, folder in (("configs", "/"), ("secrets", "/run/secrets")):
        for entry in raw.get(kind) or ():
            file = ((model.get(kind) or {}).get(entry["source"]) or {}).get("file")
            if file:
                target = PurePosixPath(folder, entry.get("target") or entry["source"])
                found[str(target)] = ("bind", file)
    return {str(PurePosixPath(_plain(k))): _plain(v) for k, v in found.items()}


def _ports(entries: Sequence[Json]) -> dict[str, object]:
    found: dict[str, frozenset[str]] = {}
    for entry in entries:
        port = f"{entry['target']}/{entry.get('protocol') or 'tcp'}"
        place = f"{entry.get('host_ip') or ''}:{entry.get('published') or ''}"
        found[port] = found.get(port, frozenset()) | {place}
    return dict(found)


def _networks(model: Json, raw: Json) -> dict[str, object]:
    known = model.get("networks") or {}
    return {
        (known.get(key) or {}).get("name", key): frozenset((entry or {}).get("aliases") or ())
        for key, entry in (raw.get("networks") or {}).items()
    }


# What the container has


def _settings_of(container: ContainerFact, raw: Json) -> Settings:
    config = container.config
    asked = {*(raw.get("environment") or {})}
    environment = {
        k: v for k, v in _variables(config.environment).items() if k in asked or k not in PROXIES
    }
    given = {container.service, container.name, container.id[:12]}
    # With network_mode, the engine's own networks and those of others show.
    networks = config.networks if raw.get("networks") else {}
    return {
        **_one("image", config.image),
        **_one("command", config.command),
        **_one("entrypoint", config.entrypoint),
        **_one("user", config.user),
        **_one("working_dir", config.working_dir),
        **_one("healthcheck", json.loads(config.healthcheck)),
        **_many("environment", environment),
        **_many("label", _foreign(container.labels)),
        **_many("mount", {str(PurePosixPath(m.target)): _mount(m) for m in container.mounts}),
        **_many("port", config.ports),
        **_many("network", {name: names - given for name, names in networks.items()}),
    }


def _mount(mount: MountFact) -> tuple[str, str]:
    if mount.kind == "volume":
        return ("volume", "" if is_anonymous(mount) else mount.name)
    return (mount.kind, mount.source if mount.kind == "bind" else "")
