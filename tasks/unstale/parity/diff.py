"""What differs between two environments, and what somebody explained. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from unstale.mask import Mask, is_secret, mask_for

__all__ = ["Allowed", "Different", "EnvDiff", "Kind", "Rule", "diff"]

Kind = Literal["missing_left", "missing_right", "different"]
Values = Mapping[str, str | None]


class Rule(Protocol):
    """A difference that is intended, as the configuration writes it."""

    @property
    def key(self) -> str:
        """The variable, exactly."""
        ...

    @property
    def reason(self) -> str:
        """Why the environments may differ in it."""
        ...


@dataclass(frozen=True, slots=True)
class Different:
    """A variable that both sides have with different values.

    A secret's values are not in here, so nothing downstream can show them.
    """

    key: str
    secret: bool
    left: str | None = None
    """None if it is secret, or a bare ``KEY`` without a value."""
    right: str | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """A difference that a rule explains."""

    key: str
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class EnvDiff:
    """The comparison of two environments; every tuple is sorted by key."""

    missing_left: tuple[str, ...] = ()
    """On the right only."""
    missing_right: tuple[str, ...] = ()
    """On the left only."""
    different: tuple[Different, ...] = ()
    allowed: tuple[Allowed, ...] = ()

    @property
    def parity(self) -> bool:
        """Whether every difference has its reason written down."""
        return not (self.missing_left or self.missing_right or self.different)


def diff(left: Values, right: Values, *, allowed: Sequence[Rule]) -> EnvDiff:
    """Compare two environments by key.

    Absent, without a value (None) and empty are three different things. Values
    are compared as they are: ``1`` is not ``true``.
    """
    reasons = {rule.key: rule.reason for rule in allowed}
    found = dict(_kinds(left, right))
    open_ = {key: kind for key, kind in found.items() if key not in reasons}
    mask = mask_for(left), mask_for(right)
    secrets = _secret_values(left) | _secret_values(right)
    return EnvDiff(
        missing_left=tuple(key for key, kind in open_.items() if kind == "missing_left"),
        missing_right=tuple(key for key, kind in open_.items() if kind == "missing_right"),
        different=tuple(
            _different(key, (left[key], right[key]), mask, secrets)
            for key, kind in open_.items()
            if kind == "different"
        ),
        allowed=tuple(
            Allowed(key, kind, reasons[key]) for key, kind in found.items() if key in reasons
        ),
    )


def _kinds(left: Values, right: Values) -> Iterator[tuple[str, Kind]]:
    for key in sorted({*left, *right}):
        if key not in left:
            yield key, "missing_left"
        elif key not in right:
            yield key, "missing_right"
        elif left[key] != right[key]:
            yield key, "different"


def _secret_values(values: Values) -> frozenset[str]:
    return frozenset(value for key, value in values.items() if value and is_secret(key, value))


def _different(
    key: str,
    pair: tuple[str | None, str | None],
    masks: tuple[Mask, Mask],
    secrets: frozenset[str],
) -> Different:
    if any(_tells(key, value, masks, secrets) for value in pair):
        return Different(key, secret=True)
    return Different(key, secret=False, left=pair[0], right=pair[1])


def _tells(key: str, value: str | None, masks: tuple[Mask, Mask], secrets: frozenset[str]) -> bool:
    """Whether *value* is a secret, or repeats another variable's secret.

    A mask leaves short secrets alone inside a text; a value that is nothing
    but such a secret is still one.
    """
    if is_secret(key, value):
        return True
    if value is None:
        return False
    return value in secrets or any(mask(value) != value for mask in masks)
