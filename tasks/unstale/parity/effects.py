"""Whether a difference matters, and which variables nobody uses or nobody sets. Pure.

"No effect" hides a difference, so it is said only where it is certain: every place
that reads the variable agrees, and nothing else but the code is known to use it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from unstale.parity.defaults import ABSENT, Absent, Known, NoDefault, Read, Required, meaning
from unstale.parity.model import Difference, EnvironmentFacts, Item, ServiceFacts, Source
from unstale.parity.near import nearest
from unstale.parity.programs import in_all
from unstale.parity.reads import Reads

__all__ = ["Finding", "FindingKind", "Side", "inert", "no_effect", "with_effects"]

FindingKind = Literal["undefined", "empty", "near-miss", "unreached", "unused", "optional"]

_KINDS: Sequence[FindingKind] = (
    "undefined",
    "empty",
    "near-miss",
    "unreached",
    "unused",
    "optional",
)

# Interpreters and libraries read these themselves, so the code's own default is
# not all there is to it. Nor does anybody write most of them into an env file.
_OTHERS = re.compile(
    r"PATH|HOME|USER|SHELL|TERM|COLUMNS|TMPDIR|TZ|LANG|CI|NO_COLOR|FORCE_COLOR|WEB_CONCURRENCY"
    r"|(?:LC_|LD_|PG|PYTHON|PYTEST_|COVERAGE_|XDG_|GITHUB_|DOCKER_|COMPOSE_|AWS_|OTEL_|SENTRY_"
    r"|UVICORN_|GUNICORN_|SSL_).*|(?:.*_)?PROXY"
)

_MissingOr = str | Absent


@dataclass(frozen=True, slots=True)
class Side:
    """What one side has of a variable."""

    value: str | Absent = field(repr=False)
    names: Collection[str] = ()
    """All variables that are set there."""
    image: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The image's ENV, which stands in for what is not set."""

    def effective(self, name: str) -> str | Absent:
        """What the container gets."""
        return self.image.get(name, ABSENT) if isinstance(self.value, Absent) else self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """A variable that is not used, or not set, as it should be."""

    kind: FindingKind
    """``undefined``: the code needs it, and nothing sets it; ``optional``: the code has
    a default. ``unreached``: set and read, but no container gets it. ``unused``: set
    for nobody. ``empty``: set to nothing, where a default would be better.
    ``near-miss``: read but not set, and another one like it is set but not read."""
    name: str
    file: str
    """Relative to the project, with slashes."""
    line: int | None
    services: tuple[str, ...] = ()
    suggestion: str = ""
    """What to look at; without a value."""


def no_effect(name: str, left: Side, right: Side, reads: Sequence[Read]) -> str:
    """Why it does not matter that *left* and *right* have not the same *name*; "" if it may.

    *reads* are all reads of *name*; none if there may be others. The reason quotes no value.
    """
    values = left.effective(name), right.effective(name)
    if values[0] == values[1] and not isinstance(values[0], Absent):
        return "the image sets the same value"
    if not reads or _OTHERS.fullmatch(name.upper()):
        return ""
    if _is_void(reads, left, right) or not all(_is_same(read, *values) for read in reads):
        return ""
    return _reason(values, reads)


def _is_void(reads: Sequence[Read], left: Side, right: Side) -> bool:
    """Whether another name of the same setting is set, so that no default counts."""
    others = {name.upper() for read in reads for name in read.alternatives}
    names = (name for side in (left, right) for name in (*side.names, *side.image))
    return bool(others) and any(name.upper() in others for name in names)


def _is_same(read: Read, left: _MissingOr, right: _MissingOr) -> bool:
    one, other = meaning(read, left), meaning(read, right)
    return one is not None and one == other


def _reason(values: tuple[_MissingOr, _MissingOr], reads: Sequence[Read]) -> str:
    places = sorted({(read.file, read.line): read.place for read in reads}.items())
    first, others = places[0][1], len(places) - 1
    also = f", and so do {others} more" if others > 1 else ", and so does 1 more" if others else ""
    if not any(isinstance(value, Absent) for value in values):
        return f"{first} reads both as the same{also}"
    if any(isinstance(read.default, NoDefault) for read in reads) or "" in values:
        return f"{first} takes empty and missing for the same{also}"
    return f"{first} has the same default{also}"


# A name that a shell, or who else reads this text, puts a variable's value for.
_DOLLAR = re.compile(r"\$\{?([A-Za-z_]\w*)")
_WORD = re.compile(r"[A-Za-z_]\w*")


def _taken(environments: Iterable[EnvironmentFacts]) -> frozenset[str]:
    """Variables that compose files make something else of than themselves."""
    found: set[str] = set()
    for one in environments:
        found |= one.interpolated
        for item in (item for service in one.services or () for item in service.items):
            own = {item.item} if item.field == "environment" else set()
            found |= item.source.names - own if item.source else set()
    return frozenset(found)


def _said(environments: Iterable[EnvironmentFacts]) -> frozenset[str]:
    """Variables that a shell in a container, or who else reads these texts, may use.

    In a command a name is enough: ``printenv LEVEL``.
    """
    services = (service for one in environments for service in one.services or ())
    found: set[str] = set()
    for item in (item for service in services for item in service.items):
        is_run = item.field in ("command", "healthcheck") or item.item.startswith("labels")
        found.update((_WORD if is_run else _DOLLAR).findall(item.value or ""))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the containers of one environment get, by service and name."""

    services: Mapping[str, Mapping[str, str | None]] = field(repr=False)
    images: Mapping[str, Mapping[str, str]] = field(repr=False)

    def of_service(self, service: str, name: str) -> Side | None:
        """What *service* has of *name*; None if nobody can tell, or it is not there."""
        variables = self.services.get(service)
        if variables is None or (name in variables and variables[name] is None):
            return None
        value = variables.get(name)
        image = self.images.get(service, {})
        return Side(ABSENT if value is None else value, variables.keys(), image)


@dataclass(frozen=True, slots=True)
class _Scene:
    """Two environments, and what is known of their code."""

    left: EnvironmentFacts
    right: EnvironmentFacts
    stages: tuple[_Stage, _Stage]
    reads: Reads
    code: Mapping[str, Collection[str]]
    """Services that run the project's code, each with what it has of it."""
    holders: Mapping[str, Collection[str]]
    """Variables that containers get, each with its services."""
    used: frozenset[str]
    """Variables that others than the code may use."""
    on_host: bool

    def in_service(self, service: str, name: str) -> str:
        """Why the difference of *name* does not matter to *service*; "" if it may."""
        left, right = (stage.of_service(service, name) for stage in self.stages)
        if left is None or right is None:
            return ""
        if left.value == right.value and not isinstance(left.value, Absent):
            return "every container gets the same value"
        reads = self.certain(name)
        is_its = any(_is_in(read.file, self.code.get(service, ())) for read in reads)
        return no_effect(name, left, right, reads if is_its else ())

    def certain(self, name: str) -> tuple[Read, ...]:
        """The reads of *name*; none if others may read it."""
        return () if name in self.used else self.reads.all_of(name)

    def in_files(self, name: str) -> str:
        """Why the difference of *name* in the env files does not matter; "" if it may."""
        holders = sorted(self.holders.get(name, ()))
        if name in self.used:
            return ""
        reasons = [self.in_service(service, name) for service in holders]
        if not holders or self.on_host:
            reasons.append(self.on_its_own(name))
        return reasons[0] if all(reasons) else ""

    def on_its_own(self, name: str) -> str:
        """Why it does not matter to code that gets *name* as the env files have it."""
        left, right = (_of_files(one, name) for one in (self.left, self.right))
        if left is None or right is None:
            return ""
        return no_effect(name, left, right, self.certain(name))


def _is_in(file: str, places: Collection[str]) -> bool:
    """Whether *file* is one of *places*, or in one that is a folder."""
    return any(place == "." or f"{file}/".startswith(f"{place.rstrip('/')}/") for place in places)


def with_effects(
    differences: Iterable[Difference],
    left: EnvironmentFacts,
    right: EnvironmentFacts,
    reads: Reads,
    *,
    code_services: Mapping[str, Collection[str]] | None = None,
    images: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    mentions: Collection[str] = (),
    elsewhere: Collection[str] = (),
    on_host: bool = False,
) -> tuple[Difference, ...]:
    """*differences* between *left* and *right*, those without effect with their reason.

    *code_services* are known to run the project's Python, each with the files and
    folders of the project that it has; they are added to those whose facts say so.
    *images* has the ENV of images by environment and service, where the facts lack
    it. *mentions* are names that programs of the project beside Python use
    (`unstale.parity.reads.mentions`). *elsewhere* are variables that an env file sets
    which the code loads itself (`Reads.env_files`). *on_host*: code runs outside of
    containers, with what the env files have.
    """
    environments = (left, right)
    scene = _Scene(
        left,
        right,
        (_stage(left, images or {}), _stage(right, images or {})),
        reads,
        {**in_all(environments), **(code_services or {})},
        _holders(service for one in environments for service in one.services or ()),
        _taken(environments) | _said(environments) | frozenset(mentions),
        on_host,
    )
    return tuple(_judged(one, scene, elsewhere) for one in differences)


def _stage(
    environment: EnvironmentFacts, images: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> _Stage:
    variables = {one.name: _variables(one) for one in environment.services or ()}
    return _Stage(variables, images.get(environment.name, {}))


def _judged(difference: Difference, scene: _Scene, elsewhere: Collection[str]) -> Difference:
    name = difference.item
    if difference.no_effect or difference.identity or name in elsewhere:
        return difference
    match difference.field:
        case "environment":
            reasons = [scene.in_service(service, name) for service in difference.services]
            reason = reasons[0] if reasons and all(reasons) else ""
        case "file":
            reason = scene.in_files(name)
        case _:
            reason = ""
    return replace(difference, no_effect=reason) if reason else difference


def _variables(service: ServiceFacts) -> dict[str, str | None]:
    return {item.item: item.value for item in service.items if item.field == "environment"}


def _holders(services: Iterable[ServiceFacts]) -> dict[str, set[str]]:
    """Variables that containers get, each with its services."""
    found: dict[str, set[str]] = {}
    for service in services:
        for name in _variables(service):
            found.setdefault(name, set()).add(service.name)
    return found


def _of_files(environment: EnvironmentFacts, name: str) -> Side | None:
    files = environment.files or {}
    if name in files and files[name].value is None:
        return None
    value = files[name].value if name in files else None
    return Side(ABSENT if value is None else value, files.keys())


def inert(
    environments: Sequence[EnvironmentFacts],
    reads: Reads,
    *,
    documented: Collection[str] = (),
    code_services: Mapping[str, Collection[str]] | None = None,
    mentions: Collection[str] = (),
    on_host: bool = False,
) -> tuple[Finding, ...]:
    """Variables that are read and not set, or set and not read, over all *environments*.

    *documented* are keys of the examples, those that are commented out included
    (`EnvFile.commented`): what is optional and documented is no finding.
    *code_services*, *mentions* and *on_host* are those of `with_effects`.

    Sorted by kind, the gravest first, then by name.
    """
    if all(one.files is None and one.services is None for one in environments):
        return ()
    known = _Known(
        environments,
        reads,
        frozenset(documented),
        frozenset({**in_all(environments), **(code_services or {})}),
        _taken(environments),
        _said(environments) | frozenset(mentions) | reads.mentioned,
        on_host,
    )
    found = [*_not_set(known), *_empty(known), *_not_reached(known)]
    return tuple(sorted(set(found), key=_order))


def _order(finding: Finding) -> tuple[object, ...]:
    return (_KINDS.index(finding.kind), finding.name, finding.file, finding.line or 0)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is asked again and again while findings are looked for."""

    environments: Sequence[EnvironmentFacts]
    reads: Reads
    documented: frozenset[str]
    code: frozenset[str]
    """Services that run the project's code."""
    taken: frozenset[str]
    """Variables that compose files make something of."""
    said: frozenset[str]
    """Names that others than the code's reads have."""
    on_host: bool

    def defined(self) -> dict[str, Source]:
        """Variables of env files, each with the first place that sets it."""
        found: dict[str, Source] = {}
        for environment in self.environments:
            for name, variable in (environment.files or {}).items():
                found.setdefault(name, variable.source)
        return found

    def reached(self) -> dict[str, set[str]]:
        """Variables that containers get, each with its services."""
        return _holders(self.services())

    def services(self) -> Iterator[ServiceFacts]:
        """All services, of all environments."""
        for environment in self.environments:
            yield from environment.services or ()

    def is_read(self, name: str) -> bool:
        """Whether some code reads *name*."""
        return bool(self.reads.of(name))

    def may_be_read(self, name: str) -> bool:
        """Whether a program may use *name* that no read names; in containers it is not there."""
        return name in self.said or (self.on_host and self.reads.is_open)


def _not_set(known: _Known) -> Iterator[Finding]:
    defined, reached = known.defined(), known.reached()
    is_set = {*defined, *reached}
    folded = {name.upper() for name in is_set}
    unread = _unread(known, defined, reached)
    for name, reads in known.reads.by_name().items():
        first = reads[0]
        if name in is_set or (not first.is_case_sensitive and name in folded):
            continue
        if _OTHERS.fullmatch(name) or all(_is_covered(read, folded) for read in reads):
            continue
        finding = _unset(name, reads, known.documented)
        near = nearest(name, unread.keys())
        if near is not None:
            text = _near(near, unread[near])
            yield Finding("near-miss", name, first.file, first.line, suggestion=text)
        elif finding is not None:
            yield finding


def _is_covered(read: Read, folded: Collection[str]) -> bool:
    return read.is_whole or any(other.upper() in folded for other in read.alternatives)


def _unset(name: str, reads: Sequence[Read], documented: Collection[str]) -> Finding | None:
    needed = next((read for read in reads if isinstance(read.default, Required)), None)
    if needed is not None:
        text = "the code fails without it, and no env file and no compose file sets it"
        return Finding("undefined", name, needed.file, needed.line, suggestion=text)
    if name in documented:
        return None
    text = "nothing sets or documents it; the code does without"
    return Finding("optional", name, reads[0].file, reads[0].line, suggestion=text)


def _unread(
    known: _Known, defined: Mapping[str, Source], reached: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """Variables that are set for the code, or for nobody, and that no code reads: where."""
    found = {}
    for name in sorted({*defined, *reached}):
        services = reached.get(name, ())
        # What another image gets is that image's: POSTGRES_USER.
        is_for_code = not services or not known.code.isdisjoint(services)
        is_used = known.is_read(name) or name in known.said or _OTHERS.fullmatch(name)
        if is_for_code and not is_used:
            found[name] = _place(defined.get(name))
    return found


def _place(source: Source | None) -> str:
    if source is None or not source.file:
        return "a compose file"
    return source.file if source.line is None else f"{source.file}:{source.line}"


def _near(name: str, place: str) -> str:
    return f"nothing sets it; {place} sets {name}, which no code reads"


def _empty(known: _Known) -> Iterator[Finding]:
    for service in known.services():
        for item in service.items if service.name in known.code else ():
            if item.field == "environment" and item.value == "":
                yield from _defeated(known, item)


def _defeated(known: _Known, item: Item) -> Iterator[Finding]:
    """The default that an empty variable is in the way of."""
    for read in known.reads.of(item.item):
        has_default = isinstance(read.default, Known) and read.default.value != ""
        if not has_default or read.ignores_empty:
            continue
        source = item.source or Source("compose")
        services = sorted(s.name for s in known.services() if item in s.items)
        end = "fails on it" if read.rule != "text" else "does not use its default"
        text = f"it is set and empty, so {read.place} {end}; leave the line out, or fill it in"
        yield Finding("empty", item.item, source.file, source.line, tuple(services), text)
        return


def _not_reached(known: _Known) -> Iterator[Finding]:
    with_services = [one for one in known.environments if one.services]
    if not with_services or len(with_services) < len(known.environments):
        # Where containers are not known, they may get anything.
        return
    reached = known.reached()
    for name, source in sorted(known.defined().items()):
        if name in reached or name in known.taken or _OTHERS.fullmatch(name):
            continue
        reads = known.reads.of(name)
        if reads and not known.on_host:
            text = f"{reads[0].place} reads it, but no container gets it"
            services = tuple(sorted(known.code))
            yield Finding("unreached", name, source.file, source.line, services, text)
        elif not reads and not known.may_be_read(name):
            text = "no container gets it, and no code reads it"
            yield Finding("unused", name, source.file, source.line, suggestion=text)
