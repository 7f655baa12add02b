"""What compose's model without interpolation has written for an item. Pure.

That model is not normalised: what compose can't take apart without the values of
variables it leaves as a text, or takes apart in the wrong place.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unstale.parity.containers import says_postgres
from unstale.parity.flags import flag_map
from unstale.parity.model import Item

__all__ = ["Written", "as_variables", "texts", "written"]

# Compose's raw model is JSON of many shapes; it is narrowed here.
Json = Mapping[str, Any]

_ENTRYPOINT = "entrypoint "
_VARIABLE = re.compile(r"\$\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Written:
    """The texts that an item is made of."""

    texts: tuple[str, ...] = field(default=(), repr=False)
    is_exact: bool = True
    """Whether they make this item alone, and no other one beside it."""


def written(service: str, raw: Json, item: Item, path: Sequence[str]) -> Written:
    """What *raw*, the model of *service*, has for *item*, of which a line is found at *path*."""
    if item.field == "command":
        return _of_command(service, raw, item.item)
    value: object = raw
    for at, key in enumerate(path):
        if isinstance(value, list):
            return _of_list(value, key, path[:at])
        value = value.get(key) if isinstance(value, Mapping) else None
        if value is None and _is_argument(path[:at]):
            value = f"${{{key}}}"
    # What is in a mapping are other items, too.
    return Written(tuple(texts(value)), is_exact=not isinstance(value, Mapping))


def texts(value: object) -> Iterator[str]:
    """All texts in *value*, keys excepted."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, inner in sorted(value.items()):
                if not key.startswith("x-"):
                    yield from texts(inner)
        case list():
            for inner in value:
                yield from texts(inner)


def as_variables(value: object) -> Mapping[str, str | None]:
    """Variables or build arguments of the raw model, which are a mapping or a list."""
    if isinstance(value, Mapping):
        return {str(k): None if v is None else str(v) for k, v in value.items()}
    pairs = (str(one).partition("=") for one in value) if isinstance(value, list) else ()
    return {name: text if equals else None for name, equals, text in pairs}


def _of_command(service: str, raw: Json, name: str) -> Written:
    value = raw.get("entrypoint" if name.startswith(_ENTRYPOINT) else "command")
    tokens = _tokens(value)
    found = flag_map(tokens, says_postgres=says_postgres(service, raw)) if tokens else {}
    name = name.removeprefix(_ENTRYPOINT)
    # A flag that a variable holds has another name here.
    if name in found:
        return Written((found[name] or "",))
    return Written(tuple(tokens), is_exact=False)


def _tokens(value: object) -> list[str]:
    if not isinstance(value, str):
        return [str(one) for one in value] if isinstance(value, list) else []
    try:
        return shlex.split(value)
    except ValueError:  # a quote that only a variable closes
        return value.split()


def _of_list(value: Sequence[object], key: str, path: Sequence[str]) -> Written:
    found = [one for one in value if _is_called(one, key)]
    if not found and len(value) == 1:
        found = list(value)
    if len(found) != 1:
        return Written(tuple(_text(one) for one in value), is_exact=False)
    text = _text(found[0])
    if _is_argument(path) and text == key:
        return Written((f"${{{key}}}",))
    return Written((text.removeprefix(f"{key}="),))


def _is_called(entry: object, key: str) -> bool:
    """Whether *entry* is asked for by *key*, as the lines of a file are."""
    if isinstance(entry, Mapping):
        names = [str(entry.get(name, "")) for name in ("target", "source")]
    else:
        text = str(entry)
        names = [*_VARIABLE.sub("", text).split(":"), text.partition("=")[0], text]
    return any(name in (key, f"{key}/") for name in names)


def _text(entry: object) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    # Compose tears `${DATA:-data}:/data` at its first colon; here it is whole again.
    first = [str(entry[key]) for key in ("source", "target") if key in entry]
    rest = {key: one for key, one in entry.items() if key not in ("source", "target")}
    return ":".join([*first, *texts(rest)])


def _is_argument(path: Sequence[str]) -> bool:
    """Whether *path* holds arguments of a build: a bare one is a variable's."""
    return tuple(path) == ("build", "args")
