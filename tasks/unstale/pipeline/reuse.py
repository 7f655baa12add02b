"""Whether a run that passed already proves what a new one would prove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unstale.compose import Mount
from unstale.config import Settings
from unstale.errors import CouldNotTell, UsageError
from unstale.image.check import ImageStatus
from unstale.jsontext import read_json
from unstale.mask import is_secret
from unstale.pipeline.images import Bench

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


def subject(bench: Bench, statuses: Sequence[ImageStatus], arguments: Sequence[str]) -> Subject:
    """What a run with *arguments* on the images of *statuses* would prove.

    Inputs of the built images, with their migrations and tests; the other
    images; what compose resolves, variables included; files that are mounted.
    """
    site = bench.site
    if site.runner == "host":
        return Subject("", "the tests run on the host, in no image")
    try:
        parts = (
            [[s.service, s.inputs] for s in statuses],
            _other_images(bench),
            environment_digest(site.model),
            sorted(_mounts(bench)),
            _settings(site.settings),
            list(arguments),
        )
    except CouldNotTell as error:
        return Subject("", error.what)
    text = json.dumps(parts, sort_keys=True, default=str)
    return Subject(f"v1:sha256:{hashlib.sha256(text.encode()).hexdigest()}")


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


def environment_digest(model: Mapping[str, object]) -> str:
    """A digest of what compose resolved; of a secret's value nothing can be guessed.

    Values that are secret by name go through a slow hash, salted by the rest.
    """
    secrets: list[str] = []
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


def _mounts(bench: Bench) -> Iterator[tuple[str, str, str]]:
    """What services see of this machine's files: service, place, digest."""
    for service in bench.site.stack.services:
        for mount in service.mounts:
            if mount.kind == "bind":
                yield service.name, mount.target, _content(bench, mount)
            elif mount.kind == "volume" and _outlives(bench, mount):
                raise CouldNotTell(f"The volume {mount.source} outlives runs.")


def _content(bench: Bench, mount: Mount) -> str:
    path = Path(mount.source)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.is_dir() and path.is_relative_to(bench.site.settings.root):
        return bench.contexts.whole(path).digest(".").hex()
    raise CouldNotTell(f"What is mounted from {path} lies outside of the project.")


def _outlives(bench: Bench, mount: Mount) -> bool:
    return bool(mount.source) and mount.source not in bench.site.stack.own_volumes


def _settings(settings: Settings) -> list[object]:
    runner, schema = settings.runner, settings.schema
    return [
        [runner.command, runner.mode, runner.junit],
        [schema.setup, schema.migrate_command, schema.alembic_ini, schema.metadata],
        [[rule.service, rule.path, rule.grep] for rule in settings.verify],
    ]


def find(bench: Bench, wanted: Subject) -> Path | None:
    """The newest receipt of a run of *wanted* that passed."""
    folder = bench.site.state_folder / "receipts"
    paths = bench.files.glob(folder, "*-*.json")
    return next((path for path in reversed(paths) if _passed(bench, path, wanted)), None)


def _passed(bench: Bench, path: Path, wanted: Subject) -> bool:
    try:
        predicate = read_json(bench.files.read_text(path))["predicate"]
        run = predicate["annotations"]["subject"]
    except (UsageError, ValueError, KeyError, TypeError):
        return False
    return bool(wanted.digest) and predicate["result"] == "PASSED" and run == wanted.digest
