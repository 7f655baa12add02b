"""What a stamp was made of, path by path.

It names reasons. It proves nothing by itself, but that all else is equal to it is
what lets a mount make a changed file harmless.

A manifest travels in a label of the image where it is small enough, so that
another machine can say which files changed. No value of a build argument is in
it, nor anything that a value could be guessed from; of a base image only what a
digest needs, and nothing of its Config where a secret is in that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from unstale.facts import ImageFact
from unstale.image import imageconfig
from unstale.image.inputs import BuildInputs, records
from unstale.image.plan import Plan, Step
from unstale.image.tree import Record
from unstale.jsontext import read_json
from unstale.mask import Mask, is_secret, joined, mask_for

__all__ = ["Manifest", "base_facts", "decode", "encode", "has_secrets", "manifest", "to_json"]

_VERSION = 1

# A label is part of what every `docker inspect` prints.
_LARGEST_LABEL = 32 * 1024

# No label of that size holds more of a real manifest; a foreign one may be a trap.
_LARGEST_TEXT = 4 * 1024 * 1024

_RECORD = re.compile(r"[flo][0-7]{1,4}:[0-9a-f]{10}")
_DIGEST = re.compile(r"([0-9a-f]{32})?")
_ANY = re.compile(r".*", re.DOTALL)

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
    """Each image that is built on or copied from: its layers, and as JSON what a digest
    needs of its Config; empty if a secret is in that, or if it can't be told what is."""


def manifest(inputs: BuildInputs) -> Manifest:
    """The manifest of *inputs*."""
    plan, hide = inputs.plan, _mask(inputs)
    return Manifest(
        files={_path(name, path): _record(one) for name, path, one in records(inputs)},
        steps=() if plan is None else tuple((s.line, _step(s, hide)) for s in _steps(plan)),
        config="" if plan is None else _rest(hide(plan.stages[plan.target].config)),
        options=_rest(hide(json.dumps(inputs.options))),
        bases={
            name: (fact.layers, _config(plan, name, fact) if plan else "")
            for name, fact in sorted(inputs.bases.items())
        },
    )


def _config(plan: Plan, name: str, fact: ImageFact) -> str:
    """What the digest of *plan* needs of the Config of *fact*, which it calls *name*."""
    if all(stage.image != name for stage in plan.stages.values()):
        return "{}"  # its files are copied, and that is all
    config = imageconfig.needed(fact, is_inherited=plan.chain[0].image == name)
    return "" if _has_secret(config) else json.dumps(config, sort_keys=True)


def _has_secret(value: object, name: str = "") -> bool:
    """Whether *value*, called *name*, is a secret, or what it is made of is one."""
    match value:
        case str():
            # A text may name what it holds: --token=..., or "password=..." of a variable.
            return is_secret(name, value) or is_secret(value)
        case dict():
            return any(_has_secret(one, key) for key, one in value.items())
        case list():
            return any(_has_secret(one) for one in value)
        case _:
            return False


def _mask(inputs: BuildInputs) -> Mask:
    """Hides what a secret's value got into: a label, a destination, another variable."""
    plan = inputs.plan
    lines = (line.partition("=") for fact in inputs.bases.values() for line in fact.environment)
    bases = ((name, value) for name, _, value in lines)
    config = json.loads(plan.stages[plan.target].config) if plan else {}
    seen = [pair for step in _steps(plan) for pair in step.env] if plan else []
    pairs = [*inputs.arguments.items(), *bases, *config.get("Env", ()), *seen]
    return joined(*(mask_for({name: value}) for name, value in pairs))


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
    whole = to_json(one).encode()
    if len(whole) > _LARGEST_TEXT:
        return None
    packed = zlib.compress(whole, level=9)
    text = base64.b64encode(packed).decode()
    return text if len(text) <= _LARGEST_LABEL else None


def decode(text: str) -> Manifest | None:
    """The manifest in a label's value or a file's text; None if it can't be read."""
    try:
        document = read_json(text if text.startswith("{") else _unpacked(text))
        if document["version"] != _VERSION:
            return None
        return Manifest(
            files={path: _like(_RECORD, record) for path, record in document["files"].items()},
            steps=tuple((_number(line), _like(_DIGEST, one)) for line, one in document["steps"]),
            config=_like(_DIGEST, document["config"]),
            options=_like(_DIGEST, document["options"]),
            bases={
                name: (tuple(_like(_ANY, one) for one in layers), _checked(config))
                for name, (layers, config) in document["bases"].items()
            },
        )
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        return None


def _unpacked(text: str) -> str:
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(base64.b64decode(text, validate=True), _LARGEST_TEXT)
    if unpacking.unconsumed_tail:
        raise ValueError("more than `encode` packs")
    return content.decode()


def _like(pattern: re.Pattern[str], value: str) -> str:
    """*value*, if it is a text like *pattern*; a TypeError or ValueError if not."""
    if pattern.fullmatch(value) is None:
        raise ValueError("not what `to_json` writes")
    return value


def _number(value: int) -> int:
    if type(value) is not int:  # 1e999 is a float, and no integer
        raise ValueError("no line")
    return value


def _checked(config: str) -> str:
    if config and not imageconfig.fits(read_json(config)):
        raise ValueError("no Config")
    return config


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
