"""What is known of an environment, and what differs between two: frozen values. Pure.

A value that may be a secret travels in fields without a repr. A `Difference`
holds no value of a secret at all, so whatever prints one has nothing to hide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Difference",
    "EnvironmentFacts",
    "Field",
    "Item",
    "Kind",
    "ServiceFacts",
    "Source",
    "Variable",
]

Kind = Literal["missing_left", "missing_right", "different"]

Field = Literal["file", "environment", "image", "command", "healthcheck", "volumes", "other"]
"""``file`` is a variable of the env files; all others are about what a container gets."""

SourceKind = Literal[
    "env-file", "environment", "interpolation", "default", "image", "dockerfile", "compose"
]


@dataclass(frozen=True, slots=True)
class Source:
    """Who decided a value."""

    kind: SourceKind
    file: str = ""
    """Relative to the project, with slashes; an image's name for ``image``."""
    line: int | None = None
    """Counted from 1; None where no line can be named."""
    variable: str = ""
    """The variable that the compose file took it from, for ``interpolation``."""
    variables: tuple[str, ...] = ()
    """All variables that the compose file names there, those of defaults included."""

    @property
    def names(self) -> frozenset[str]:
        """Every variable that had a part in it."""
        return frozenset(name for name in (self.variable, *self.variables) if name)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the env files, merged."""

    value: str | None = dataclasses.field(repr=False)
    """None for a bare ``KEY``, which takes the value of the shell; "" is empty."""
    source: Source


@dataclass(frozen=True, slots=True)
class Item:
    """One fact of what a service's container gets."""

    field: Field
    item: str
    """A variable, a flag, ``build.target``, a mount's target, ``test`` …"""
    value: str | None = dataclasses.field(repr=False)
    """None: the compose file has it without a value (the shell's, or a bare flag)."""
    identity: bool = False
    """Whether it only names things: project, container, network, published port."""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service, as compose resolves it, and with what its image adds."""

    name: str
    items: tuple[Item, ...]
    """Sorted by field and item, each once."""


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """One environment, as it is compared."""

    name: str
    files: Mapping[str, Variable] | None
    """The env files, merged; None where it has none."""
    services: tuple[ServiceFacts, ...] | None
    """Sorted by name; None where it has no compose file, or only files are compared."""
    notes: tuple[str, ...] = ()
    """What could not be told, and of which no secret can be read."""
    interpolated: frozenset[str] = dataclasses.field(default=frozenset(), repr=False)
    """Variables that compose files make something else of than a variable of that name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two environments, in as many services as have it.

    A secret's values are not in here, so nothing downstream can show them.
    """

    field: Field
    item: str
    kind: Kind
    services: tuple[str, ...] = ()
    """Sorted; empty for ``file``."""
    secret: bool = False
    left: str | None = None
    """None if it is secret, missing or without a value."""
    right: str | None = None
    left_source: Source | None = None
    right_source: Source | None = None
    detail: str = ""
    """What can be told without a value: ``only the host differs``, ``empty in ci``."""
    no_effect: str = ""
    """Why it does not matter; empty where it does, or where nobody knows."""
    identity: bool = False

    @property
    def path(self) -> str:
        """How a policy calls it: ``LOG_LEVEL``, or ``command:synchronous_commit``."""
        variable = self.field in ("file", "environment")
        return self.item if variable else f"{self.field}:{self.item}"
