"""Variables of tests that mean a service: their default is a port that one publishes. Pure.

``os.environ.get("BASE_URL", "http://localhost:5000")`` is what a developer's own stack answers
at. In a run the port is another one, so the tests are told it under that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unstale.parity.defaults import Known, Read
from unstale.parity.environ_reads import environ_reads
from unstale.parity.pysource import PySource, is_deep, parse
from unstale.survey.python import test_folders
from unstale.survey.repository import Repository
from unstale.survey.services import Service

__all__ = ["Address", "found"]

# Nothing with a user's name or password, and no brace, which has a meaning in our settings.
_LOCAL = re.compile(
    r"(?P<before>(?:[a-z][a-z0-9+.-]*://)?)(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])"
    r":(?P<port>[0-9]{1,5})(?P<after>(?:/[\w./~-]*)?)"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A variable, and what it is to be."""

    variable: str
    value: str
    """With the place of the service, as in ``http://{web:5000}``."""
    place: str
    """Where it is read: file and line."""


def found(repository: Repository, environments: Sequence[Sequence[Service]]) -> tuple[Address, ...]:
    """The variables that mean the same service in each of *environments*; one has to be clear."""
    by_name: dict[str, list[Address | None]] = {}
    for read in _reads(repository):
        by_name.setdefault(read.name, []).append(_address(read, environments))
    return tuple(
        ones[0]
        for _, ones in sorted(by_name.items())
        if ones[0] is not None and {one.value if one else None for one in ones} == {ones[0].value}
    )


def _reads(repository: Repository) -> Iterator[Read]:
    """What the Python files among the tests read of the environment, and with which default."""
    folders = test_folders(repository)
    names = dict.fromkeys(name for folder in folders for name in repository.below(folder))
    for name in names:
        text = repository.text(name) if name.endswith(".py") else ""
        source = _parsed(name, text) if "environ" in text or "getenv" in text else None
        if source is not None:
            reads = environ_reads(source, text.encode())
            yield from (one for one in reads if isinstance(one, Read))


def _parsed(name: str, text: str) -> PySource | None:
    try:
        source = parse(name, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return None if is_deep(source.tree) else source


def _address(read: Read, environments: Sequence[Sequence[Service]]) -> Address | None:
    default = read.default.value if isinstance(read.default, Known) else ""
    local = _LOCAL.fullmatch(default)
    places = {_publisher(one, int(local["port"])) for one in environments} if local else set()
    place = places.pop() if len(places) == 1 else None
    if local is None or place is None:
        return None
    return Address(read.name, f"{local['before']}{place}{local['after']}", read.place)


def _publisher(services: Sequence[Service], port: int) -> str | None:
    places = {
        f"{{{one.name}:{target}}}"
        for one in services
        for published, target in one.ports
        if published == port
    }
    return places.pop() if len(places) == 1 else None
