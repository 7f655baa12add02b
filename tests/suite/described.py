"""Every document that a test comes by is held against what is published of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any

from jsonschema import Draft202012Validator

from unstale import schemas

__all__ = ["bodies", "install", "require_described", "validator"]


@cache
def validator(name: str) -> Draft202012Validator:
    """What knows the document called *name*."""
    return Draft202012Validator(
        json.loads(schemas.text(name)), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def require_described(document: Mapping[str, Any]) -> None:
    """Fail on a document that is not as its schema says."""
    said = document.get("schema")
    name = "statement" if said is None else str(said).removeprefix("unstale/").removesuffix("@1")
    # As others read it: tuples are lists there.
    read = json.loads(json.dumps(document))
    wrong = [f"{error.json_path}: {error.message[:300]}" for error in _deepest(name, read)]
    assert not wrong, f"{name}.json of tasks/unstale/schemas: {wrong}"


def _deepest(name: str, document: Any) -> list[Any]:
    """Of alternatives the errors of the first, which is meant nearly always."""
    return [one for error in validator(name).iter_errors(document) for one in _leaves(error)]


def _leaves(error: Any) -> list[Any]:
    first = [one for one in error.context or () if one.schema_path[0] == 0]
    return [leaf for one in first for leaf in _leaves(one)] or [error]


def bodies() -> dict[str, tuple[tuple[Any, str], ...]]:
    """Document to what makes it, or its body."""
    from unstale.doctor import words
    from unstale.pipeline import receipt
    from unstale.render import document, forecast, matrix, parity, setup, stack, why
    from unstale.render import receipt as receipts
    from unstale.schema.status import SchemaStatus

    return {
        "db-status": ((SchemaStatus, "to_json"),),
        "doctor": ((words, "as_document"),),
        "env-check": ((parity, "check_document"),),
        "env-diff": ((parity, "diff_document"),),
        "env-matrix": ((matrix, "matrix_document"),),
        "env-sync": ((parity, "sync_document"),),
        "image-list": ((document, "image_list"),),
        "image-status": ((document, "image_status"), (document, "failure")),
        "image-timeline": ((document, "image_timeline"),),
        "image-verify": ((document, "image_verify"),),
        "init": ((setup, "as_document"),),
        "plan": ((forecast, "as_document"),),
        "receipt": ((receipts, "shown_document"),),
        "receipt-verify": ((receipts, "verified_document"),),
        "run": ((document, "run"),),
        "stack-status": ((stack, "as_document"),),
        "statement": ((receipt, "statement"),),
        "test-matrix": ((matrix, "runs_document"),),
        "why": ((why, "as_document"),),
    }


def install() -> None:
    """Look at each document as it is made: before anybody has the function that makes it."""
    from unstale.render import document

    for name, makers in bodies().items():
        for owner, attribute in makers:
            setattr(owner, attribute, _watched(name, getattr(owner, attribute)))
    plain = document.print_document

    def print_document(shown: Mapping[str, object]) -> None:
        if "$schema" not in shown:  # SARIF has one of its own
            require_described(shown)
        plain(shown)

    document.print_document = print_document


def _watched(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        found = make(*args, **kwargs)
        head = {} if name == "statement" else {"schema": f"unstale/{name}@1"}
        require_described({**head, **found})
        return found

    return made
