"""What a stack reaches outside of its containers, read off compose's model. Pure.

A compose file decides what its containers may do. Whoever starts somebody else's is
told what reaches out, and may have it refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unstale.compose import MODEL

__all__ = ["Reach", "env_files", "reaches"]

# Compose's model is JSON of many shapes; it is narrowed here.
Json = Mapping[str, Any]
IsInside = Callable[[str], bool]
"""Whether a path of this machine, links followed, is within the repository."""

_SAID = {
    "privileged": "has all of this machine",
    "device_cgroup_rules": "may use devices",
    "cgroup_parent": "leaves the limits that the engine sets",
    "use_api_socket": "commands the engine",
    "provider": "is a program on this machine, and no container",
    "gpus": "uses this machine's graphics processors",
}
_SHARED = ("pid", "ipc", "network_mode", "userns_mode", "uts", "cgroup")
_SAID_OF_BUILD = {
    "privileged": "is built with all of this machine",
    "entitlements": "is built with more than a build may do",
    "ssh": "is built with your ssh keys",
}
_ELSEWHERE = "is built from what is fetched from elsewhere"
_RUNTIME = "runc"
_NETWORK_FILES = ("nfs", "cifs", "smb")


@dataclass(frozen=True, slots=True)
class Reach:
    """One thing that a service may reach outside of its container."""

    service: str
    path: tuple[str, ...]
    """The field, and where it is a list the entry in it."""
    what: str
    is_usual: bool = False
    """Honest stacks have it as well: it is refused where all is, and else not told."""

    @property
    def field(self) -> str:
        """As it is written in a compose file."""
        return self.path[0] if self.path[0] != "build" else ".".join(self.path[:2])


@MODEL
def reaches(model: Json, is_inside: IsInside) -> tuple[Reach, ...]:
    """All that the services of the resolved *model* reach, in the order of their names."""
    services = model.get("services") or {}
    return tuple(
        reach
        for name in sorted(services)
        for reach in (
            *_container(name, services[name], is_inside),
            *_mounts(name, services[name], model, is_inside),
            *_files(name, services[name], model, is_inside),
            *_build(name, services[name].get("build") or {}, model, is_inside),
        )
    )


@MODEL
def env_files(raw: Json, is_inside: IsInside) -> tuple[Reach, ...]:
    """The env files outside of the repository, which only a model that is not resolved names.

    A path with a variable in it may lead anywhere.
    """
    services = raw.get("services") or {}
    entries = (
        (name, str(one.get("path") if isinstance(one, Mapping) else one))
        for name in sorted(services)
        for one in _listed((services[name] or {}).get("env_file"))
    )
    return tuple(
        Reach(name, ("env_file", path), f"reads {path}, which is not in the repository")
        for name, path in entries
        if "$" in path or not is_inside(path)
    )


def _container(name: str, raw: Json, is_inside: IsInside) -> Iterator[Reach]:
    yield from (Reach(name, (key,), what) for key, what in _SAID.items() if raw.get(key))
    for key in ("post_start", "pre_stop"):
        if any(one.get("privileged") for one in _listed(raw.get(key))):
            yield Reach(name, (key,), "runs a privileged command")
    for key in _SHARED:
        value = str(raw.get(key) or "")
        if value == "host" or value.startswith("container:"):
            whose = "this machine's" if value == "host" else "that of somebody else's container"
            yield Reach(name, (key,), f"shares {whose}")
    yield from _permitted(name, raw)
    credential = raw.get("credential_spec") or {}
    if credential.get("file") and not is_inside(str(credential["file"])):
        yield Reach(name, ("credential_spec",), "reads a file that is not in the repository")


def _permitted(name: str, raw: Json) -> Iterator[Reach]:
    for one in _listed(raw.get("cap_add")):
        yield Reach(name, ("cap_add", str(one)), f"adds {one} to what it may do")
    for one in _listed(raw.get("devices")):
        source = str(one.get("source") if isinstance(one, Mapping) else one).partition(":")[0]
        yield Reach(name, ("devices", source), f"uses {source}")
    resources = (raw.get("deploy") or {}).get("resources") or {}
    if (resources.get("reservations") or {}).get("devices"):
        path = ("deploy", "resources", "reservations", "devices")
        yield Reach(name, path, "uses devices of this machine")
    if raw.get("runtime") not in (None, "", _RUNTIME):
        yield Reach(name, ("runtime",), f"is run by {raw['runtime']}, not as containers are")
    for one in _listed(raw.get("security_opt")):
        if not str(one).startswith("no-new-privileges") or str(one).endswith("false"):
            yield Reach(name, ("security_opt", str(one)), f"replaces a protection: {one}")


def _mounts(name: str, raw: Json, model: Json, is_inside: IsInside) -> Iterator[Reach]:
    volumes = model.get("volumes") or {}
    for mount in raw.get("volumes") or ():
        source, target = str(mount.get("source") or ""), str(mount.get("target"))
        path = ("volumes", target)
        kind = mount.get("type")
        if kind == "bind" and _is_socket(source):
            yield Reach(name, path, f"commands the engine, by {source}")
        elif (kind == "bind" and not is_inside(source)) or kind == "npipe":
            yield Reach(name, path, f"mounts {source}, which is not in the repository")
        elif kind == "volume" and source:
            yield from _volume(name, path, model, volumes.get(source) or {}, is_inside)
    for one in raw.get("volumes_from") or ():
        if str(one).startswith("container:"):
            what = "has the volumes of a container that is not of this stack"
            yield Reach(name, ("volumes_from", str(one)), what)
    networks = model.get("networks") or {}
    for key in raw.get("networks") or ():
        if (networks.get(key) or {}).get("external"):
            yield Reach(name, ("networks", str(key)), "is in others' network", is_usual=True)


def _volume(
    name: str, path: tuple[str, ...], model: Json, volume: Json, is_inside: IsInside
) -> Iterator[Reach]:
    """A named volume may be a folder or a disk of this machine, too."""
    options = volume.get("driver_opts") or {}
    device, kind = str(options.get("device") or ""), str(options.get("type") or "")
    if device and kind != "tmpfs" and not kind.startswith(_NETWORK_FILES) and not is_inside(device):
        yield Reach(name, path, f"mounts {device}, which is not in the repository")
    own = f"{model.get('name')}_"
    if volume.get("external") or not str(volume.get("name") or own).startswith(own):
        yield Reach(name, path, "uses a volume that others have, too", is_usual=True)


def _files(name: str, raw: Json, model: Json, is_inside: IsInside) -> Iterator[Reach]:
    for kind in ("secrets", "configs"):
        yield from _secrets(name, (kind,), raw.get(kind), model.get(kind), is_inside)


def _secrets(
    name: str, path: tuple[str, ...], used: object, known: object, is_inside: IsInside
) -> Iterator[Reach]:
    for one in _listed(used):
        source = str(one.get("source") if isinstance(one, Mapping) else one)
        entry = known.get(source) if isinstance(known, Mapping) else None
        file = str((entry or {}).get("file") or "")
        if file and not is_inside(file):
            yield Reach(name, (*path, source), f"reads {file}, which is not in the repository")


def _build(name: str, raw: Json, model: Json, is_inside: IsInside) -> Iterator[Reach]:
    if not raw:
        return
    said = ((key, what) for key, what in _SAID_OF_BUILD.items() if raw.get(key))
    yield from (Reach(name, ("build", key), what) for key, what in said)
    if raw.get("network") == "host":
        yield Reach(name, ("build", "network"), "is built in this machine's network")
    yield from _context(name, ("build", "context"), str(raw.get("context") or ""), is_inside)
    for key, place in (raw.get("additional_contexts") or {}).items():
        if not str(place).startswith(("docker-image://", "service:", "target:")):
            path = ("build", "additional_contexts", str(key))
            yield from _context(name, path, str(place).removeprefix("oci-layout://"), is_inside)
    used = raw.get("secrets")
    yield from _secrets(name, ("build", "secrets"), used, model.get("secrets"), is_inside)
    for key, place in _read_by(raw):
        if not is_inside(place):
            yield Reach(name, ("build", key), f"uses {place}, which is not in the repository")


def _read_by(raw: Json) -> Iterator[tuple[str, str]]:
    """The files and folders that a build uses beside its contexts."""
    context = str(raw.get("context") or "")
    if context.startswith("/") and raw.get("dockerfile"):
        yield "dockerfile", _joined(context, str(raw["dockerfile"]))
    for key in ("cache_from", "cache_to"):
        for one in _listed(raw.get(key)):
            options = dict(pair.partition("=")[::2] for pair in str(one).split(","))
            if options.get("type") == "local":
                yield key, _joined(context, options.get("src") or options.get("dest") or "")


def _context(name: str, path: tuple[str, ...], place: str, is_inside: IsInside) -> Iterator[Reach]:
    if not place.startswith("/"):
        yield Reach(name, path, _ELSEWHERE)
    elif not is_inside(place):
        yield Reach(name, path, f"sends {place}, which is not in the repository")


def _joined(folder: str, name: str) -> str:
    return name if name.startswith("/") else f"{folder}/{name}"


def _is_socket(source: str) -> bool:
    stem = source.rstrip("/").rpartition("/")[2]
    return stem in ("docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock", "crio.sock")


def _listed(value: object) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)
