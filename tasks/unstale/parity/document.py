"""A comparison of environments as JSON and as text, without secret values."""

from __future__ import annotations

from collections.abc import Iterator

from unstale.parity.diff import Different, EnvDiff

__all__ = ["to_json", "to_text"]


def to_json(
    diff: EnvDiff, left: str, right: str, *, values_shown: bool = False
) -> dict[str, object]:
    """The contract's ``env-diff`` document; *left* and *right* are names.

    With *values_shown*, an entry that is not secret has the two values as well.
    """
    return {
        "schema": "unstale/env-diff@1",
        "left": left,
        "right": right,
        "parity": diff.parity,
        "missing_left": list(diff.missing_left),
        "missing_right": list(diff.missing_right),
        "different": [_entry(item, values_shown=values_shown) for item in diff.different],
        "allowed": [
            {"key": item.key, "kind": item.kind, "reason": item.reason} for item in diff.allowed
        ],
        "services": [],
    }


def to_text(diff: EnvDiff, left: str, right: str, *, values_shown: bool = False) -> tuple[str, ...]:
    """The same as lines for a person, unexplained differences first."""
    return tuple(_lines(diff, left, right, values_shown=values_shown))


def _entry(item: Different, *, values_shown: bool) -> dict[str, object]:
    entry: dict[str, object] = {"key": item.key, "secret": item.secret}
    if values_shown and not item.secret:
        entry |= {"left_value": item.left, "right_value": item.right}
    return entry


def _lines(diff: EnvDiff, left: str, right: str, *, values_shown: bool) -> Iterator[str]:
    for key in diff.missing_left:
        yield f"{key}: missing in {left}"
    for key in diff.missing_right:
        yield f"{key}: missing in {right}"
    for item in diff.different:
        yield f"{item.key}: different{_detail(item, values_shown=values_shown)}"
    for allowed in diff.allowed:
        where = {"missing_left": f"missing in {left}", "missing_right": f"missing in {right}"}
        yield f"{allowed.key}: {where.get(allowed.kind, 'different')}, allowed: {allowed.reason}"
    yield f"{left} and {right} {'are at parity' if diff.parity else 'differ'}"


def _detail(item: Different, *, values_shown: bool) -> str:
    if item.secret:
        return " (secret)"
    if not values_shown:
        return ""
    # repr, because a value may hold control characters of a terminal.
    left, right = ("no value" if v is None else repr(v) for v in (item.left, item.right))
    return f" ({left}, {right})"
