"""All environments at once: one row a key, and who has the same value. Pure.

A cell tells by a letter which environments agree, so that a secret's row says
as much as any other. A secret's value is not in a `Matrix`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from unstale.parity.compare import MISSING, classes
from unstale.parity.model import Difference, EnvironmentFacts, Field, Item, Source, Variable
from unstale.parity.report import Effect, PairReport, effect

__all__ = ["Cell", "Mark", "Matrix", "Row", "State", "marks_of", "matrix"]

State = Literal["value", "empty", "null", "missing", "no service", "not compared"]
"""``null``: it is there without a value; ``no service``: nothing could have it."""

_UNCOMPARED: Mapping[State, str] = {"no service": ".", "not compared": "?"}
_ORDER: tuple[Effect, ...] = ("behaviour", "value", "place", "none", "identity")

IsSecret = Callable[[str, str | None], bool]
Fact = Variable | Item


@dataclass(frozen=True, slots=True)
class Cell:
    """What one environment has of one key."""

    state: State
    sign: str
    """As `compare.classes` has it: a letter, equal for equal values, or the state's own sign."""
    value: str | None = field(default=None, repr=False)
    """None if it is secret, or not the same in all services of the row."""
    source: Source | None = None

    @property
    def is_compared(self) -> bool:
        """Whether it says something about the key."""
        return self.state not in ("no service", "not compared")


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known about a key that differs."""

    kind: Literal["allowed", "no effect", "place"]
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One key, in all places where the environments stand to each other alike."""

    path: str
    """As a policy calls it."""
    item: str
    fields: tuple[Field, ...]
    services: tuple[str, ...]
    cells: tuple[Cell, ...]
    """One for each environment, in the matrix's order."""
    secret: bool = False
    identity: bool = False
    mark: Mark | None = None

    @property
    def differs(self) -> bool:
        """Whether two environments that can be compared disagree."""
        return len({cell.sign for cell in self.cells if cell.is_compared}) > 1

    @property
    def effect(self) -> Effect:
        """How much it matters if it differs."""
        kind = self.mark.kind if self.mark else ""
        if self.identity:
            return "identity"
        if kind == "no effect":
            return "none"
        if self.fields[0] not in ("file", "environment"):
            return "behaviour"
        return "place" if kind == "place" else "value"


@dataclass(frozen=True, slots=True)
class Matrix:
    """All keys of all environments; what differs first, by effect and then by name."""

    environments: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def matrix(
    environments: Sequence[EnvironmentFacts],
    is_secret: IsSecret,
    marks: Mapping[str, Mark] | None = None,
) -> Matrix:
    """All keys of *environments*, in their order; *marks* are by path.

    *is_secret* is asked with a name and each of its values: one that says yes
    hides the whole row's.
    """
    known = marks or {}
    rows = [
        row
        for path, places in sorted(_places(environments).items())
        for row in _rows(path, places, environments, is_secret, known.get(path))
    ]
    return Matrix(
        tuple(one.name for one in environments),
        tuple(sorted((*rows, *_services(environments, known)), key=_rank)),
        tuple(f"{one.name}: {note}" for one in environments for note in one.notes),
    )


def marks_of(pairs: Iterable[PairReport]) -> Mapping[str, Mark]:
    """What the comparisons in pairs know about each path.

    A path is marked only if nothing about it is open and of effect in any pair.
    """
    found: dict[str, list[Mark | None]] = {}
    for pair in pairs:
        for difference, mark in _marked(pair):
            found.setdefault(difference.path, []).append(mark)
    return {
        path: mark
        for path, marks in sorted(found.items())
        if None not in marks
        for mark in sorted((m for m in marks if m), key=lambda m: (m.kind, m.text))[:1]
    }


def _marked(pair: PairReport) -> Iterator[tuple[Difference, Mark | None]]:
    for allowed in pair.allowed:
        yield allowed.difference, Mark("allowed", allowed.reason)
    for difference in pair.open:
        match effect(difference):
            case "none":
                yield difference, Mark("no effect", difference.no_effect)
            case "place":
                yield difference, Mark("place", difference.detail)
            case _:
                yield difference, None


def _rank(row: Row) -> tuple[object, ...]:
    is_allowed = row.mark is not None and row.mark.kind == "allowed"
    effects = _ORDER.index(row.effect)
    folded = row.effect == "identity"
    return (
        not row.differs,
        folded,
        is_allowed,
        effects,
        row.path,
        "file" not in row.fields,
        row.services,
    )


# Facts by place. A place is a service, or "" for the env files.

_Places = dict[str, dict[int, Fact]]


def _places(environments: Sequence[EnvironmentFacts]) -> dict[str, _Places]:
    """Path to place to the number of the environment to the fact."""
    found: dict[str, _Places] = {}
    for number, environment in enumerate(environments):
        for path, place, fact in _facts(environment):
            found.setdefault(path, {}).setdefault(place, {})[number] = fact
    return found


def _facts(environment: EnvironmentFacts) -> Iterator[tuple[str, str, Fact]]:
    for key, variable in (environment.files or {}).items():
        yield key, "", variable
    for service in environment.services or ():
        for item in service.items:
            yield Difference(item.field, item.item, "different").path, service.name, item


def _rows(
    path: str,
    places: _Places,
    environments: Sequence[EnvironmentFacts],
    is_secret: IsSecret,
    mark: Mark | None,
) -> Iterator[Row]:
    fact = next(one for facts in places.values() for one in facts.values())
    item = fact.item if isinstance(fact, Item) else path
    secret = any(is_secret(item, one.value) for facts in places.values() for one in facts.values())
    lines = [
        (place, _cells(place, facts, environments, secret=secret))
        for place, facts in sorted(places.items())
    ]
    for _, group in groupby(sorted(lines, key=_pattern), key=_pattern):
        folded = list(group)
        names = tuple(place for place, _ in folded)
        yield Row(
            path,
            item,
            _fields(places, names),
            tuple(name for name in names if name),
            _merged([cells for _, cells in folded]),
            secret=secret,
            identity=any(
                isinstance(one, Item) and one.identity
                for name in names
                for one in places[name].values()
            ),
            mark=mark,
        )


def _pattern(line: tuple[str, tuple[Cell, ...]]) -> tuple[str, ...]:
    return tuple(cell.sign for cell in line[1])


def _fields(places: _Places, names: Iterable[str]) -> tuple[Field, ...]:
    facts = (next(iter(places[name].values())) for name in names)
    fields: list[Field] = [one.field if isinstance(one, Item) else "file" for one in facts]
    return tuple(dict.fromkeys(fields))


def _cells(
    place: str,
    facts: Mapping[int, Fact],
    environments: Sequence[EnvironmentFacts],
    *,
    secret: bool,
) -> tuple[Cell, ...]:
    values = [facts[n].value if n in facts else None for n in range(len(environments))]
    states = [
        _present(facts[number].value) if number in facts else _absent(place, environment)
        for number, environment in enumerate(environments)
    ]
    signs = _signs(states, values)
    return tuple(
        Cell(
            states[number],
            signs[number],
            None if secret else values[number],
            facts[number].source if number in facts else None,
        )
        for number in range(len(environments))
    )


def _signs(states: Sequence[State], values: Sequence[str | None]) -> list[str]:
    is_there = ("value", "empty", "null")
    pairs = list(zip(states, values, strict=True))
    letters = classes([value if state in is_there else MISSING for state, value in pairs])
    return [
        _UNCOMPARED.get(state, sign) for state, sign in zip(states, letters.split(" "), strict=True)
    ]


def _present(value: str | None) -> State:
    return "null" if value is None else "value" if value else "empty"


def _absent(place: str, environment: EnvironmentFacts) -> State:
    if not place:
        return "not compared" if environment.files is None else "missing"
    if environment.services is None:
        return "not compared"
    names = {service.name for service in environment.services}
    return "missing" if place in names else "no service"


def _merged(lines: Sequence[tuple[Cell, ...]]) -> tuple[Cell, ...]:
    """The cells of places with the same signs; a value stays only if it is one."""
    return tuple(
        Cell(
            column[0].state,
            column[0].sign,
            column[0].value if len({cell.value for cell in column}) == 1 else None,
            column[0].source,
        )
        for column in zip(*lines, strict=True)
    )


def _services(environments: Sequence[EnvironmentFacts], marks: Mapping[str, Mark]) -> Iterator[Row]:
    """A row for each service that some environment lacks."""
    names = {s.name for one in environments for s in one.services or ()}
    path = "other:service"
    for name in sorted(names):
        states = [_service_state(name, one) for one in environments]
        if "missing" in states:
            signs = _signs(states, ["it is there"] * len(states))
            cells = tuple(Cell(s, sign) for s, sign in zip(states, signs, strict=True))
            yield Row(path, "service", ("other",), (name,), cells, mark=marks.get(path))


def _service_state(name: str, environment: EnvironmentFacts) -> State:
    if environment.services is None:
        return "not compared"
    return "value" if any(s.name == name for s in environment.services) else "missing"
