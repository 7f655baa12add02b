"""What differs between two environments, folded over services. Pure.

Values are compared as they are, secret ones too: ``1`` is not ``true``. What
comes out holds no value of a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Final

from unstale.mask import Mask, is_secret, joined, mask_for
from unstale.parity import topology
from unstale.parity.flags import ORDER, is_reordered
from unstale.parity.model import (
    Difference,
    EnvironmentFacts,
    Field,
    Item,
    Kind,
    ServiceFacts,
    Source,
    Variable,
)
from unstale.parity.report import Effect, effect
from unstale.parity.urls import difference_in_words, host_only

__all__ = ["MISSING", "Absent", "classes", "compare", "order", "secrecy"]


_Value = tuple[str, str | None]
"""A variable and its value, which may be secret."""


class Absent(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"


MISSING: Final = Absent.MISSING
"""Stands for a variable that is not there, which None (no value) and "" are not."""

# Somebody's own words, in which a short password has no name.
_FREE_TEXT = re.compile(r"(?:entrypoint )?(?:script|word \d+)|test|build\.dockerfile_inline")

_SERVICE: Final[tuple[Field, str]] = ("other", "service")
# The two commands of a service have an order each.
_ENTRYPOINT: Final = "entrypoint "
_ORDERS: Final = (ORDER, f"{_ENTRYPOINT}{ORDER}")
_RANKS: Mapping[Effect, int] = {"behaviour": 0, "value": 1, "place": 2, "none": 3, "identity": 4}


def compare(
    left: EnvironmentFacts, right: EnvironmentFacts, *, secrets: Collection[str] = ()
) -> tuple[Difference, ...]:
    """What differs between *left* and *right*, in the order of `order`.

    Absent, without a value (a bare ``KEY``) and empty are three different
    things. What is the same difference in several services is one. A service
    that only one side has is one difference, whatever it is made of.

    Env files are compared only if both sides have some, and containers only if
    both sides have services: to say that nothing was compared is the caller's.

    *secrets* names variables whose values are secret whatever they are called.
    """
    found = _folded([*_of_files(left, right), *_of_services(left, right)])
    hidden = _hidden(found, (left, right), frozenset(secrets))
    names = {one.name for side in (left, right) for one in side.services or ()}
    told = _Told((left.name, right.name), hidden, frozenset(names))
    folded = (_difference(group, told) for group in found)
    return tuple(sorted(folded, key=order))


def order(difference: Difference) -> tuple[int, str, bool, tuple[str, ...], Kind]:
    """The key to sort by: what matters most comes first, then the name.

    What runs (commands, images, mounts), then values, then URLs whose host or
    port differs, then what is known to have no effect, then mere names. Of
    one variable the env files come before the containers.
    """
    rank = _RANKS[effect(difference)]
    is_contained = difference.field != "file"
    return (rank, difference.path, is_contained, difference.services, difference.kind)


def classes(values: Sequence[str | Absent | None]) -> str:
    """Which of *values* are equal, without showing one: ``A A B``.

    A letter a value, in order of appearance, so the first is always ``A``. Not
    there is ``-``, without a value is ``0``, and empty is ``''``. After ``Z``
    comes ``AA``. The marks are separated by a space, one a value.
    """
    letters: dict[str, str] = {}
    return " ".join(_mark(value, letters) for value in values)


def _mark(value: str | Absent | None, letters: dict[str, str]) -> str:
    if value is MISSING:
        return "-"
    if value is None:
        return "0"
    return letters.setdefault(value, _letters(len(letters))) if value else "''"


def _letters(index: int) -> str:
    text = ""
    while index >= 0:
        index, rest = divmod(index, 26)
        text = chr(ord("A") + rest) + text
        index -= 1
    return text


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a found difference; its value may be secret."""

    value: str | Absent | None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """A difference of one service, or of the env files; its values may be secret."""

    field: Field
    item: str
    left: _Side
    right: _Side
    service: str = ""
    identity: bool = False

    @property
    def sides(self) -> tuple[_Side, _Side]:
        return self.left, self.right

    @property
    def values(self) -> tuple[_Value, ...]:
        """The values that are there, each with the name of its variable."""
        return tuple(
            (self.item, side.value) for side in self.sides if not isinstance(side.value, Absent)
        )

    @property
    def kind(self) -> Kind:
        if self.left.value is MISSING:
            return "missing_left"
        return "missing_right" if self.right.value is MISSING else "different"

    @property
    def is_service(self) -> bool:
        """Whether it is about a whole service, which only one side has."""
        return (self.field, self.item) == _SERVICE

    @property
    def sameness(self) -> tuple[object, ...]:
        alone = self.service if self.is_service else ""
        return (self.field, self.item, self.left.value, self.right.value, self.identity, alone)


def _of_files(left: EnvironmentFacts, right: EnvironmentFacts) -> Iterator[_Found]:
    if left.files is None or right.files is None:
        return
    for key in {*left.files, *right.files}:
        pair = left.files.get(key), right.files.get(key)
        if not _are_equal(*pair):
            yield _Found("file", key, _side(pair[0]), _side(pair[1]))


def _are_equal(left: Variable | Item | None, right: Variable | Item | None) -> bool:
    return left is not None and right is not None and left.value == right.value


def _side(fact: Variable | Item | None) -> _Side:
    return _Side(fact.value, fact.source) if fact else _Side(MISSING)


def _of_services(left: EnvironmentFacts, right: EnvironmentFacts) -> Iterator[_Found]:
    if left.services is None or right.services is None:
        return
    sides = _by_name(left.services), _by_name(right.services)
    both = topology.known(left.services) & topology.known(right.services)
    for name in sorted({*sides[0], *sides[1]}):
        pair = sides[0].get(name), sides[1].get(name)
        if pair[0] is None or pair[1] is None:
            there, absent = _Side(None), _Side(MISSING)
            ends = (absent, there) if pair[0] is None else (there, absent)
            yield _Found(*_SERVICE, *ends, service=name)
        else:
            yield from _of_service(name, *(_by_item(one, both) for one in pair if one))


def _by_name(services: Iterable[ServiceFacts]) -> dict[str, ServiceFacts]:
    return {service.name: service for service in services}


def _of_service(name: str, *sides: Mapping[tuple[Field, str], Item]) -> Iterator[_Found]:
    found = []
    for what in {*sides[0], *sides[1]}:
        pair = sides[0].get(what), sides[1].get(what)
        if not _are_equal(*pair):
            identity = any(item.identity for item in pair if item)
            ends = _side(pair[0]), _side(pair[1])
            found.append(_Found(*what, *ends, service=name, identity=identity))
    return (one for one in found if not _is_explained(one, found))


def _is_explained(one: _Found, found: Iterable[_Found]) -> bool:
    """Whether *one* is an order of flags that differs only as *found* say already."""
    if one.field != "command" or one.item not in _ORDERS:
        return False
    is_entrypoints = one.item.startswith(_ENTRYPOINT)
    besides = [
        other.item.removeprefix(_ENTRYPOINT)
        for other in found
        if other.field == "command"
        and other.item not in _ORDERS
        and other.item.startswith(_ENTRYPOINT) == is_entrypoints
    ]
    left, right = (_shown(side.value) for side in one.sides)
    return not is_reordered(left, right, besides)


def _by_item(service: ServiceFacts, both: Collection[str]) -> Mapping[tuple[Field, str], Item]:
    """The items of *service*; of what it shares only what is in *both* environments."""
    items = (topology.among(item, service.name, both) for item in service.items)
    return {(item.field, item.item): item for item in items if item}


def _folded(found: Iterable[_Found]) -> list[list[_Found]]:
    """*found* in groups that are one difference each, by service."""
    groups: dict[tuple[object, ...], list[_Found]] = {}
    for one in found:
        groups.setdefault(one.sameness, []).append(one)
    return [sorted(group, key=lambda one: one.service) for group in groups.values()]


@dataclass(frozen=True, slots=True)
class _Told:
    """What is needed to tell of a difference."""

    names: tuple[str, str]
    """Of the environments."""
    hidden: frozenset[_Value] = field(repr=False)
    services: frozenset[str]
    """Of both environments: each is a host."""


def _difference(group: Sequence[_Found], told: _Told) -> Difference:
    """One difference for *group*; the sources are those of its first service."""
    first = group[0]
    is_hidden = not told.hidden.isdisjoint(first.values)
    left, right = (None if is_hidden else _shown(side.value) for side in first.sides)
    return Difference(
        field=first.field,
        item=first.item,
        kind=first.kind,
        services=tuple(one.service for one in group if one.service),
        secret=is_hidden,
        left=left,
        right=right,
        left_source=first.left.source,
        right_source=first.right.source,
        detail=_detail(first, told),
        identity=first.identity,
    )


def _shown(value: str | Absent | None) -> str | None:
    return value if isinstance(value, str) else None


def _detail(found: _Found, told: _Told) -> str:
    """What can be told of the values without showing one."""
    if found.is_service:
        return ""
    if words := _sense(found):
        return words
    left, right = (side.value for side in found.sides)
    if left and right and isinstance(left, str) and isinstance(right, str):
        return _of_urls(left, right, "image" if found.field == "image" else found.item, told)
    states = (
        (_state(side.value), name) for side, name in zip(found.sides, told.names, strict=True)
    )
    return ", ".join(f"{state} in {name}" for state, name in states if state)


def _of_urls(left: str, right: str, key: str, told: _Told) -> str:
    words = difference_in_words(left, right, key=key, services=told.services) or ""
    is_place = host_only(left, right, key=key, services=told.services)
    return f"only {words}" if is_place and not words.startswith("only ") else words


def _sense(found: _Found) -> str:
    """What a difference means of which the name alone does not tell."""
    if found.field == "command" and found.item in _ORDERS:
        return "the same flags in another order or spelling"
    if (found.field, found.item) == ("other", topology.PEERS):
        return "other services share a network with it"
    if found.field == "volumes" and found.item.endswith(topology.SHARED):
        return "other mounts have the same volume"
    return ""


def _state(value: str | Absent | None) -> str:
    if value is None:
        return "without a value"
    return "empty" if value == "" else ""


def _hidden(
    groups: Iterable[Sequence[_Found]],
    environments: Iterable[EnvironmentFacts],
    names: frozenset[str],
) -> frozenset[_Value]:
    """The values of *groups* that are secret, or repeat a secret of any variable."""
    tells = _tells(names)
    values = {value for group in groups for value in group[0].values}
    secret = {value for value in values if tells(*value)}
    texts = {value for _, value in values - secret if value}
    if texts:
        pairs = {pair for environment in environments for pair in _pairs(environment)}
        repeats = _repeats([pair for pair in pairs if tells(*pair)], names)
        texts = {text for text in texts if repeats(text)}
    return frozenset(secret | {value for value in values if value[1] in texts})


def secrecy(
    environments: Iterable[EnvironmentFacts], names: Collection[str] = ()
) -> Callable[[str, str | None], bool]:
    """Whether a variable's value is secret, or repeats a secret of another one.

    *names* are variables whose values are secret whatever they are called.
    """
    known = frozenset(names)
    tells = _tells(known)
    pairs = {pair for environment in environments for pair in _pairs(environment)}
    repeats = _repeats([pair for pair in pairs if tells(*pair)], known)
    return lambda key, value: tells(key, value) or bool(value and repeats(value))


def _tells(names: frozenset[str]) -> Callable[[str, str | None], bool]:
    """Whether a variable's name or value says that it is secret."""

    @cache
    def tells(key: str, value: str | None) -> bool:
        return key in names or bool(_FREE_TEXT.fullmatch(key)) or is_secret(key, value)

    return tells


def _repeats(secrets: Sequence[_Value], names: frozenset[str]) -> Callable[[str], bool]:
    """Whether a text is one of *secrets*, or has one inside."""
    whole = {value for _, value in secrets if value}
    named = (value for key, value in secrets if value and key in names)
    mask = joined(mask_for(secrets), Mask(tuple(named)))
    # A mask leaves short secrets alone inside a text; a value that is nothing
    # but such a secret is still one.
    return lambda text: text in whole or mask(text) != text


def _pairs(environment: EnvironmentFacts) -> Iterator[_Value]:
    for key, variable in (environment.files or {}).items():
        yield key, variable.value
    for service in environment.services or ():
        yield from ((item.item, item.value) for item in service.items)
