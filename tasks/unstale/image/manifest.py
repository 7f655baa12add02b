"""What a stamp was made of, path by path: it names reasons, it proves nothing.

A manifest travels in a label of the image where it is small enough, so that
another machine can say which files changed. No value of a build argument is in
it, nor anything that a value could be guessed from.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unstale.image.inputs import BuildInputs, records
from unstale.image.plan import Plan, Step
from unstale.image.tree import Record
from unstale.mask import Mask, is_secret, mask_for
from unstale.ports import ImageFact

__all__ = ["Manifest", "base_facts", "decode", "encode", "has_secrets", "manifest", "to_json"]

_VERSION = 1

# A label is part of what every `docker inspect` prints.
_LARGEST_LABEL = 32 * 1024

# A file's reason may be missed once in 2^40, which costs a name and no verdict.
_DIGITS = 10
# That all the rest is equal makes a masked change sound, so these are longer.
_MORE_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a digest, each in short."""

    files: Mapping[str, str]
    """Path -> kind, mode and content; ``name:path`` in an additional context."""
    steps: tuple[tuple[int, str], ...]
    """The line of each step that is needed, and a digest of what it does."""
    config: str
    options: str
    bases: Mapping[str, tuple[tuple[str, ...], str]]
    """Each image that is built on or copied from: its layers, and its Config, which
    is empty if a secret is in it."""


def manifest(inputs: BuildInputs) -> Manifest:
    """The manifest of *inputs*."""
    plan, hide = inputs.plan, _mask(inputs)
    return Manifest(
        files={_path(name, path): _record(one) for name, path, one in records(inputs)},
        steps=() if plan is None else tuple((s.line, _step(s, hide)) for s in _steps(plan)),
        config="" if plan is None else _rest(hide(plan.stages[plan.target].config)),
        options=_rest(hide(json.dumps(inputs.options))),
        bases={
            name: (fact.layers, "" if _has_secret(fact) else fact.config)
            for name, fact in sorted(inputs.bases.items())
        },
    )


def _has_secret(fact: ImageFact) -> bool:
    return any(is_secret(*line.split("=", 1)) for line in fact.environment)


def _mask(inputs: BuildInputs) -> Mask:
    """Hides what a secret's value got into: a label, a destination, another variable."""
    plan = inputs.plan
    lines = (line.partition("=") for fact in inputs.bases.values() for line in fact.environment)
    bases = ((name, value) for name, _, value in lines)
    config = json.loads(plan.stages[plan.target].config) if plan else {}
    seen = [pair for step in _steps(plan) for pair in step.env] if plan else []
    pairs = [*inputs.arguments.items(), *bases, *config.get("Env", ()), *seen]
    return Mask(tuple({s for name, value in pairs for s in mask_for({name: value}).secrets}))


def has_secrets(inputs: BuildInputs) -> bool:
    """Whether a step sees a variable that no manifest may tell of."""
    steps = _steps(inputs.plan) if inputs.plan else ()
    return any(is_secret(*pair) for step in steps for pair in step.env)


def _step(step: Step, hide: Mask) -> str:
    shown = [pair for pair in step.env if not is_secret(*pair)]
    return _rest(hide(json.dumps([step.key, shown], sort_keys=True)))


def _steps(plan: Plan) -> Iterable[Step]:
    return (step for stage in plan.stages.values() for step in stage.steps)


def _path(context: str, path: str) -> str:
    return f"{context}:{path}" if context else path


def _record(record: Record) -> str:
    """Its first letter, its mode, and its content: ``f644:1b2c...``."""
    return f"{record.kind[0]}{record.mode:o}:{_short([record.content.hex(), record.xattrs.hex()])}"


def _short(value: object) -> str:
    return _sha256(value)[:_DIGITS]


def _rest(value: object) -> str:
    return _sha256(value)[:_MORE_DIGITS]


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def to_json(one: Manifest) -> str:
    """*one* as a JSON document, the same for the same manifest."""
    document = {
        "version": _VERSION,
        "files": dict(one.files),
        "steps": one.steps,
        "config": one.config,
        "options": one.options,
        "bases": {name: [layers, config] for name, (layers, config) in one.bases.items()},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def encode(one: Manifest) -> str | None:
    """*one* as a label's value, or None if it is too large for one."""
    packed = zlib.compress(to_json(one).encode(), level=9)
    text = base64.b64encode(packed).decode()
    return text if len(text) <= _LARGEST_LABEL else None


def decode(text: str) -> Manifest | None:
    """The manifest in a label's value or a file's text; None if it can't be read."""
    try:
        if not text.startswith("{"):
            limit = zlib.decompressobj()
            text = limit.decompress(base64.b64decode(text, validate=True), 1 << 26).decode()
        # Any: what a file says is checked by use, right below.
        document: Any = json.loads(text)
        if document["version"] != _VERSION:
            return None
        return Manifest(
            files={str(path): str(record) for path, record in document["files"].items()},
            steps=tuple((int(line), str(digest)) for line, digest in document["steps"]),
            config=str(document["config"]),
            options=str(document["options"]),
            bases={
                str(name): (tuple(map(str, layers)), str(config))
                for name, (layers, config) in document["bases"].items()
            },
        )
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        return None


def base_facts(one: Manifest) -> Mapping[str, ImageFact]:
    """The base images that the stamped build had, as far as they matter to a digest."""
    return {name: _fact(layers, config) for name, (layers, config) in one.bases.items() if config}


def _fact(layers: tuple[str, ...], config: str) -> ImageFact:
    values = json.loads(config)
    return ImageFact(
        id="",
        tags=(),
        created=None,
        labels=values.get("Labels") or {},
        size_bytes=0,
        architecture="",
        os="",
        working_dir=values.get("WorkingDir") or "",
        layers=layers,
        environment=tuple(values.get("Env") or ()),
        config=config,
        on_build=tuple(values.get("OnBuild") or ()),
        is_pulled=True,
    )
