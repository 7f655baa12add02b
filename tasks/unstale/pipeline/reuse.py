"""Whether a run that passed already proves what a new one would prove."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from unstale.compose import Mount
from unstale.errors import CouldNotTell
from unstale.image.check import ImageStatus
from unstale.mask import is_secret
from unstale.pipeline import shelf
from unstale.pipeline.images import Bench
from unstale.pipeline.site import Site

__all__ = ["Subject", "environment_digest", "find", "subject"]

# Makes guessing a secret from its digest slow; takes some 50 ms here.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}


@dataclass(frozen=True, slots=True)
class Subject:
    """All that the result of a run depends on, as a digest."""

    digest: str
    """Empty where something can't be digested."""
    why_not: str = ""
    """What that is."""
    fixed: str = ""
    """A digest of the part that no container of the run can write to."""
    changed_ns: int = 0
    """When a mounted file was changed last, even if it was changed back."""


def subject(bench: Bench, statuses: Sequence[ImageStatus], arguments: Sequence[str]) -> Subject:
    """What a run with *arguments* on the images of *statuses* would prove.

    Inputs of the built images, with their migrations and tests; the other
    images; what compose resolves, variables included; files that are mounted.
    """
    site = bench.site
    if site.runner == "host":
        return Subject("", "the tests run on the host, in no image")
    try:
        mounts = sorted(_mounts(bench))
        fixed = _digest(
            [
                [[s.service, s.inputs] for s in statuses],
                _other_images(bench),
                environment_digest(site.model, _given(bench)),
                [mount for mount in mounts if mount.read_only],
                _settings(site),
                list(arguments),
            ]
        )
        changed_ns = max(_changes(bench), default=0)
    except CouldNotTell as error:
        return Subject("", error.what)
    return Subject(f"v1:sha256:{_digest([fixed, mounts])}", "", fixed, changed_ns)


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _other_images(bench: Bench) -> dict[str, str]:
    """The services that are not built here: their images' ids."""
    found: dict[str, str] = {}
    for service in bench.site.stack.services:
        if service.build is None:
            fact = bench.image(service.image)
            if fact is None:
                raise CouldNotTell(f"The image {service.image} is not on this machine.")
            found[service.name] = fact.id
    return found


def environment_digest(model: Mapping[str, object], given: Iterable[str] = ()) -> str:
    """A digest of what compose resolved; of a secret's value nothing can be guessed.

    Values that are secret by name, and those *given* beside the model, go
    through a slow hash, salted by the rest.
    """
    secrets = list(given)
    rest = _without_secrets(model, secrets)
    text = json.dumps(rest, sort_keys=True).encode()
    slow = hashlib.scrypt(
        json.dumps(secrets).encode(), salt=hashlib.sha256(text).digest(), **_SCRYPT
    )
    return f"v1:sha256:{hashlib.sha256(text + slow).hexdigest()}"


def _without_secrets(value: object, secrets: list[str]) -> object:
    match value:
        case Mapping():
            return {k: _plain(k, value[k], secrets) for k in sorted(value)}
        case list() | tuple():
            return [_without_secrets(one, secrets) for one in value]
        case _:
            return value


def _plain(name: str, value: object, secrets: list[str]) -> object:
    if isinstance(value, str) and is_secret(name, value):
        secrets.append(value)
        return None
    return _without_secrets(value, secrets)


def _given(bench: Bench) -> Iterator[str]:
    """What the stack's configs and secrets hold; the model only says where it is."""
    for kind, name, entry in _entries(bench):
        match entry:
            case {"content": str()}:
                continue  # it is in the model
            case {"file": str(place)}:
                yield _content(Path(_single(place)))
            case {"environment": str(variable)}:
                yield _value(bench, _single(variable))
            case _:
                raise CouldNotTell(f"What {kind}.{name} holds is not known here.")


def _entries(bench: Bench) -> Iterator[tuple[str, str, object]]:
    for kind in ("configs", "secrets"):
        entries = bench.site.model.get(kind)
        if isinstance(entries, Mapping):
            yield from ((kind, name, entries[name]) for name in sorted(entries))


def _single(text: str) -> str:
    # The model can be read by compose again: it doubles dollar signs.
    return text.replace("$$", "$")


def _value(bench: Bench, variable: str) -> str:
    """What compose takes for *variable*: the environment wins over env files."""
    found = bench.environ.get(variable, dict(bench.site.values).get(variable))
    if found is None:
        raise CouldNotTell(f"The variable {variable} of a config or secret is not known here.")
    return found


class _Seen(NamedTuple):
    """What a service sees of this machine's files."""

    service: str
    place: str
    content: str
    read_only: bool


def _mounts(bench: Bench) -> Iterator[_Seen]:
    for service in bench.site.stack.services:
        for mount in service.mounts:
            if mount.kind == "bind":
                content = _bound(bench, Path(mount.source))
                yield _Seen(service.name, mount.target, content, mount.read_only)
            elif mount.kind == "volume" and _outlives(bench.site, mount):
                raise CouldNotTell(f"The volume {mount.source} outlives runs.")


def _bound(bench: Bench, path: Path) -> str:
    if path.is_file():
        return _content(path)
    if path.is_dir() and path.is_relative_to(bench.site.settings.root):
        return bench.contexts.whole(path).digest(".").hex()
    raise CouldNotTell(f"What is mounted from {path} lies outside of the project.")


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CouldNotTell(f"{path} can't be read: {error.strerror}.") from error


def _outlives(site: Site, mount: Mount) -> bool:
    """Whether a run finds what an earlier one left in the volume."""
    if mount.source and mount.source not in site.stack.own_volumes:
        return True
    match site.model.get("volumes"):
        case {mount.source: {"driver_opts": _}}:
            return True  # it may be a folder of this machine
        case _:
            return False


def _changes(bench: Bench) -> Iterator[int]:
    """When each file was changed that comes into a container by no image."""
    services = bench.site.stack.services
    bound = (Path(m.source) for s in services for m in s.mounts if m.kind == "bind")
    named = (
        Path(_single(entry["file"]))
        for _, _, entry in _entries(bench)
        if isinstance(entry, Mapping) and "file" in entry
    )
    try:
        for path in itertools.chain(bound, named):
            yield path.lstat().st_ctime_ns
            yield path.stat().st_ctime_ns
            if path.is_dir():
                below = bench.contexts.whole(path).under(".")
                yield from ((path / place).lstat().st_ctime_ns for place, _ in below)
    except OSError as error:
        raise CouldNotTell(f"A mounted file can't be read: {error.strerror}.") from error


def _settings(site: Site) -> list[object]:
    """What this project says on how its tests run."""
    runner, schema = site.settings.runner, site.settings.schema
    return [
        [site.runner, site.database, list(site.environment.profiles)],
        [runner.command, runner.mode, runner.junit],
        [schema.setup, schema.migrate_command, schema.alembic_ini, schema.metadata, schema.service],
        [[rule.service, rule.path, rule.grep] for rule in site.settings.verify],
    ]


def find(bench: Bench, wanted: Subject, believes: Callable[[shelf.Found], bool]) -> Path | None:
    """The newest receipt of a run of *wanted* that passed, of those that *believes* takes."""
    if not wanted.digest:
        return None
    for found in shelf.newest(bench.files, bench.site.state_folder / "receipts"):
        told = found.receipt
        if (told.result, told.subject) == ("PASSED", wanted.digest) and believes(found):
            return found.path
    return None
