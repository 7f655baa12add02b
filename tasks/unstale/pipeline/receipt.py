"""The receipt of a run: an in-toto Statement with a test-result predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from unstale.errors import (
    ConfigError,
    Fault,
    Interrupted,
    Outcome,
    ReceiptFailed,
    Unavailable,
    UnstaleError,
)
from unstale.facts import CommitFact
from unstale.jsontext import read_json
from unstale.pipeline.junit import Counts
from unstale.pipeline.signature import Envelope, encode
from unstale.pipeline.site import StepResult
from unstale.ports import Files

__all__ = [
    "PREDICATE",
    "STATEMENT",
    "Kept",
    "Receipt",
    "Sign",
    "Step",
    "envelope_path",
    "keep",
    "of_kind",
    "read",
    "statement",
]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
RESULTS = ("PASSED", "WARNED", "FAILED")

_INPUTS_OF = "inputs of "
_DIGEST = re.compile(r"[0-9a-f]{64}")


def statement(
    *,
    outcome: Outcome,
    fault: Fault,
    stale_allowed: bool,
    images: Mapping[str, str],
    inputs: Mapping[str, str],
    head: CommitFact | None,
    dirty: bool | None,
    environment: str,
    schema: Mapping[str, object] | None,
    counts: Counts | None,
    steps: Sequence[StepResult],
    started: datetime,
    more: Mapping[str, object],
) -> dict[str, Any]:
    """The receipt as a JSON document.

    *fault* says in a word why *outcome* is what it is. *images* and *inputs* map
    services to image ids and input digests, *more* are annotations: what the run
    depends on, what the builder did, what was verified. The result is PASSED for a
    proof, WARNED where staleness was allowed with green tests, else FAILED.
    """
    green = outcome is Outcome.PROVEN
    # Without a test (--services) nothing passed, though every step was green.
    passed = "PASSED" if green and counts else "WARNED" if green else "FAILED"
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": service, "digest": {"sha256": image.removeprefix("sha256:")}}
            for service, image in sorted(images.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "result": "WARNED" if stale_allowed and outcome is Outcome.MISMATCH else passed,
            "configuration": [
                {
                    "name": f"{_INPUTS_OF}{service}",
                    "digest": {"unstale": digest},
                }
                for service, digest in sorted(inputs.items())
            ],
            "passedTests": list(counts.passes) if counts else [],
            "failedTests": list(counts.failures) if counts else [],
            "annotations": {
                "outcome": fault.value,
                "started": started.isoformat(timespec="seconds"),
                "environment": environment,
                "revision": head.sha if head else None,
                "dirty": dirty,
                "schema": schema,
                "skipped": counts.skipped if counts else 0,
                **more,
                "steps": [
                    {
                        "name": s.name,
                        "outcome": s.outcome.value,
                        "seconds": round(s.seconds, 3),
                        "detail": s.detail,
                    }
                    for s in steps
                ],
            },
        },
    }


# Keeping it

Sign = Callable[[bytes], Envelope]
"""Signs a receipt's bytes; raises what an `UnstaleError` is."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a run's receipt."""

    path: Path | None
    """None: it could not be written."""
    errors: tuple[UnstaleError, ...] = ()


def envelope_path(path: Path) -> Path:
    """Where the signature of the receipt *path* is."""
    return path.with_name(f"{path.stem}.dsse.json")


def keep(
    files: Files,
    folder: Path,
    stem: str,
    text: Callable[[Sequence[UnstaleError]], str],
    sign: Sign | None,
) -> Kept:
    """Sign a receipt and write it to *folder*, and as the latest one.

    *text* is the receipt, told what went wrong with its signature: what can't be
    signed as it should be does not say that the run passed.
    """
    errors: tuple[UnstaleError, ...] = ()
    raw, envelope = text(()), None
    if sign is not None:
        try:
            envelope = sign(raw.encode())
        except Interrupted:
            raise
        except UnstaleError as error:
            errors = (_failed("The receipt could not be signed.", error),)
            raw = text(errors)
    path = folder / f"{stem}.json"
    try:
        if envelope is not None:
            files.write_atomic(envelope_path(path), encode(envelope))
        files.write_atomic(path, raw)
        files.write_atomic(folder / "latest.json", raw)
    except Unavailable as error:
        # One without the other, or a run that nobody finds as the latest.
        for one in (path, envelope_path(path)):
            with suppress(Unavailable):
                files.remove(one)
        return Kept(None, (*errors, _failed("The receipt could not be written.", error)))
    return Kept(path, errors)


def _failed(what: str, error: UnstaleError) -> ReceiptFailed:
    fault = error.fault if error.fault is Fault.RESOURCES else None
    cause = "\n".join(filter(None, (error.what, error.cause)))
    return ReceiptFailed(what, cause=cause, hint=error.hint, fault=fault)


# Reading it again


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the run, as the receipt tells of it."""

    name: str
    outcome: str
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says."""

    result: str
    """PASSED, WARNED or FAILED."""
    outcome: str
    started: str
    environment: str
    revision: str | None
    """HEAD; None without git."""
    dirty: bool | None
    """Whether there was more than HEAD has; None: it could not be told."""
    images: Mapping[str, str]
    """Service to the id of its image."""
    inputs: Mapping[str, str]
    """Service to the digest of what its image was built from."""
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: int
    schema: Mapping[str, Any] | None
    steps: tuple[Step, ...]
    arguments: tuple[str, ...] = ()
    """What the test command was given."""
    subject: str = ""
    """The digest of all that the result depends on; empty if there is none."""
    environment_digest: str = ""
    """Of what compose resolved; empty if the run had no stack."""
    annotations: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All that it says beside the predicate, of any shape."""
    built: tuple[str, ...] = ()
    """The services that were built."""
    no_cache: bool = False
    """Whether they were built without the layer cache."""


def read(raw: bytes, name: str) -> Receipt:
    """The receipt that is written in *raw*.

    Raises:
        ConfigError: it is no receipt; says what is wrong with *name*.

    """
    try:
        document = read_json(raw.decode())
        return _receipt(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = (
            str(error)
            if isinstance(error, _NoReceiptError)
            else "It is damaged, or something else."
        )
        raise ConfigError(
            f"{name} is no receipt.", cause=why, hint="inv receipt.show", fault=Fault.CONTENT
        ) from None


class _NoReceiptError(ValueError):
    """Says why it is none."""


def _receipt(document: Any) -> Receipt:  # noqa: ANN401 (JSON is of any shape)
    for key, wanted in (("_type", STATEMENT), ("predicateType", PREDICATE)):
        if document[key] != wanted:
            raise _NoReceiptError(f"Its {key} is not {wanted}.")
    predicate = document["predicate"]
    told = predicate["annotations"]
    if predicate["result"] not in RESULTS:
        raise _NoReceiptError(f"Its result is none of {', '.join(RESULTS)}.")
    return Receipt(
        result=predicate["result"],
        outcome=_text(told["outcome"]),
        started=_text(told["started"]),
        environment=_text(told["environment"]),
        revision=None if told["revision"] is None else _text(told["revision"]),
        dirty=None if told["dirty"] is None else of_kind(bool, told["dirty"]),
        images=dict(_subject(one) for one in document["subject"]),
        inputs=dict(_input(one) for one in predicate["configuration"]),
        passed=tuple(map(_text, of_kind(list, predicate["passedTests"]))),
        failed=tuple(map(_text, of_kind(list, predicate["failedTests"]))),
        skipped=of_kind(int, told["skipped"]),
        schema=None if told["schema"] is None else of_kind(dict, told["schema"]),
        steps=tuple(
            Step(
                _text(one["name"]),
                _text(one["outcome"]),
                float(one["seconds"]),
                _text(one["detail"]),
            )
            for one in told["steps"]
        ),
        arguments=tuple(map(_text, of_kind(list, told.get("arguments", [])))),
        subject=_text(told.get("subject", "")),
        environment_digest=_text(told.get("environment_digest", "")),
        annotations=told,
        built=tuple(map(_text, of_kind(list, told.get("built", [])))),
        no_cache=of_kind(bool, told.get("no_cache", False)),
    )


T = TypeVar("T")


def of_kind(kind: type[T], value: object) -> T:
    """*value*, if it is a *kind*; a `TypeError` if not."""
    if not isinstance(value, kind):
        raise TypeError
    return value


def _text(value: object) -> str:
    return of_kind(str, value)


def _subject(one: Mapping[str, Any]) -> tuple[str, str]:
    digest = _text(one["digest"]["sha256"])
    if not _DIGEST.fullmatch(digest):
        raise _NoReceiptError("A subject's digest is none.")
    return _text(one["name"]), f"sha256:{digest}"


def _input(one: Mapping[str, Any]) -> tuple[str, str]:
    return _text(one["name"]).removeprefix(_INPUTS_OF), _text(one["digest"]["unstale"])
