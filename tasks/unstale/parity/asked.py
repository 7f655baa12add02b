"""What a Settings class said of itself when it was imported. Pure.

The answer is JSON of `unstale.adapters.settings_probe`, hence the ``Any``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unstale.mask import is_secret
from unstale.parity.defaults import Default, Known, NoDefault, NotKnown, Read, Required, Rule
from unstale.parity.environ_reads import default_of

__all__ = ["asked_reads"]

_RULES: Mapping[str, Rule] = {"text": "text", "bool": "bool", "int": "int", "float": "float"}


def asked_reads(found: Mapping[str, Any]) -> tuple[Read, ...]:
    """The reads of the class that gave the answer *found*, in the order of its fields.

    All have the line of the class.
    """
    return tuple(_reads(found))


def _reads(found: Mapping[str, Any]) -> Iterator[Read]:
    is_cased = bool(found["case_sensitive"])
    for one in found["fields"]:
        names = [str(name) if is_cased else str(name).upper() for name in one["names"]]
        rule = _RULES.get(str(one["rule"]))
        for name in names:
            yield Read(
                name,
                str(found["file"]),
                int(found["line"]) or 1,
                "settings",
                _default(one["default"], rule, name, is_customised=found["customised"]),
                rule=rule or "text",
                is_case_sensitive=is_cased,
                ignores_empty=bool(found["ignores_empty"]),
                is_secret=bool(one["secret"]),
                alternatives=tuple(other for other in names if other != name),
            )


def _default(
    given: Mapping[str, Any], rule: Rule | None, name: str, *, is_customised: bool
) -> Default:
    match given["state"]:
        case _ if is_customised:
            return NotKnown()
        case "required":
            return Required()
        case "none":
            return NoDefault()
        case "known":
            return _known(given["value"], rule, name)
        case _:
            return NotKnown()


def _known(value: object, rule: Rule | None, name: str) -> Default:
    if isinstance(value, str) and is_secret(name, value):
        return NotKnown()
    if isinstance(value, str) and rule is None:
        return Known(value)
    return default_of(value, rule) if rule else NotKnown()
