"""Environments compared: where parity meets compose, the engine and the tree."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstale.config import Environment, Pair, Settings
from unstale.errors import (
    ConfigError,
    CouldNotTell,
    Mismatch,
    MissingFile,
    UnknownName,
    UnstaleError,
)
from unstale.mask import mask_for
from unstale.parity import (
    compare,
    containers,
    effects,
    envfile,
    policy,
    servers,
    sources,
    sync,
    yaml_lines,
)
from unstale.parity.hazards import EnvText, hazards
from unstale.parity.matrix import Matrix, marks_of
from unstale.parity.matrix import matrix as as_matrix
from unstale.parity.model import Difference, EnvironmentFacts, Item, ServiceFacts, Source
from unstale.parity.report import AllowedDifference, Home, PairReport, ParityReport, Remark
from unstale.pipeline.image_env import ImageEnv
from unstale.ports import ComposeTarget, Docker, Files

if TYPE_CHECKING:
    from unstale.parity.reads import Reads

__all__ = [
    "Ground",
    "Known",
    "Synced",
    "compared",
    "describe",
    "environment",
    "known",
    "matrix",
    "open_differences",
    "require",
    "summary",
    "synced",
]

_UNKNOWN = Source("image")

# As many as a person reads in one go.
_MOST = 8

# Compose names images, networks and volumes after its project: the same for all,
# or every environment would differ in them.
_PROJECT = "parity"


@dataclass(frozen=True, slots=True)
class Ground:
    """What environments are compared with."""

    settings: Settings
    docker: Docker
    files: Files
    reads: Callable[[], Reads]
    """What the project's code reads."""
    image_env: Callable[[Mapping[str, object]], tuple[ImageEnv, tuple[str, ...]]]
    """For a model of compose: what its images set, and what could not be told."""
    receipt: Callable[[str], Mapping[str, Any] | None]
    """The last receipt of an environment, if there is one and it may count."""
    today: date
    files_only: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """An environment's facts, and what else was learned with them."""

    facts: EnvironmentFacts
    home: Home
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that no text may show."""
    paths: tuple[Path, ...] = ()
    """The env files that it reads, those of services included."""
    remarks: tuple[Remark, ...] = ()


def known(ground: Ground, names: Sequence[str]) -> tuple[Known, ...]:
    """What is known of each environment called in *names*, in their order.

    Raises:
        UnknownName: there is no such environment.
        MissingFile: it has neither an env file nor a compose file, or one is not there.
        ConfigError: a file can't be parsed, or compose refuses it.
        CouldNotTell: a file is encrypted or may not be read.
        EngineUnavailable: there is no docker command with its compose plugin.

    """
    chosen = [environment(ground.settings, name) for name in names]
    # Each waits for a compose of its own.
    with ThreadPoolExecutor(max_workers=max(len(chosen), 1)) as pool:
        return tuple(pool.map(lambda one: _known(ground, one), chosen))


def environment(settings: Settings, name: str) -> Environment:
    """The environment called *name*. Raises `UnknownName` if there is none."""
    if name not in settings.environments:
        raise UnknownName(
            "environment", name, settings.environments, hint="inv env.diff LEFT RIGHT"
        )
    return settings.environments[name]


def _known(ground: Ground, env: Environment) -> Known:
    root = ground.settings.root
    if not env.env_files and (ground.files_only or not env.compose_files):
        raise MissingFile(
            f"The environment {env.name!r} has no env file.",
            cause=f"Looked for env/.env.{env.name}, env/{env.name}.env, .env.{env.name},"
            f" .envs/.{env.name}/.",
            hint=f"write one, or set env-file in [tool.unstale.environments.{env.name}]",
        )
    home = Home(
        sources.shown(env.env_files[0], root) if env.env_files else "",
        sources.shown(env.compose_files[0], root) if env.compose_files else "",
    )
    files = envfile.variables(env.env_files, root) if env.env_files else None
    facts = EnvironmentFacts(env.name, files, None)
    found = Known(facts, home, paths=env.env_files)
    if env.compose_files and not ground.files_only:
        found = _with_containers(ground, env, found)
    elif not ground.files_only:
        note = f"{env.name} has no compose file: its containers were not compared"
        found = replace(found, facts=replace(facts, notes=(note,)))
    return replace(found, secrets=_secrets(found.facts))


def _secrets(facts: EnvironmentFacts) -> tuple[str, ...]:
    pairs = [(key, one.value) for key, one in (facts.files or {}).items()]
    items = (item for service in facts.services or () for item in service.items)
    return mask_for([*pairs, *((item.item, item.value) for item in items)]).secrets


def _with_containers(ground: Ground, env: Environment, so_far: Known) -> Known:
    settings, docker = ground.settings, ground.docker
    root, shell = settings.root, settings.parity.shell
    machine = settings.state_folder / "images.env"
    given = (*((machine,) if machine.exists() else ()), *env.env_files)
    target = ComposeTarget(_PROJECT, env.compose_files, given, ("*",))
    resolved = docker.resolved(target, inherited=shell)
    raw = docker.resolved(target, raw=True, inherited=shell).model
    naming = containers.Naming(root, env.name, tuple(settings.environments))
    services = containers.service_facts(resolved.model, naming)
    services = _with_servers(ground, resolved.model, services)
    lines = yaml_lines.read(env.compose_files, ground.files.read_text)
    read = _Reader()
    own = given or tuple(p for p in [env.compose_files[0].parent / ".env"] if p.is_file())
    defined = sources.definitions([f for p in own if (f := read(p))], root)
    services = sources.attach(services, sources.Sources(raw, read, defined, lines, root, shell))
    images, notes = ground.image_env(resolved.model)
    for name, items in sorted(images.items()):
        for item in items:
            one = {name: {item.item: item.value or ""}}
            services = containers.with_image_env(services, one, item.source or _UNKNOWN)
    raw_services: Any = raw.get("services") or {}
    chains = {p for one in raw_services.values() for p in sources.chain(one or {}, defined)}
    paths = tuple(dict.fromkeys((*env.env_files, *sorted(p for p in chains if p.is_file()))))
    unset = {w.variable for w in resolved.warnings if w.kind == "unset"}
    texts = [f for p in dict.fromkeys((*own, *paths)) if (f := read(p))]
    found = sources.undefined(unset, raw, texts, lines, root)
    refused = (f"{env.name}: compose refuses the profile {p!r}" for p in resolved.refused)
    return replace(
        so_far,
        facts=replace(
            so_far.facts,
            services=services,
            notes=(*refused, *(f"{env.name}: {note}" for note in notes)),
        ),
        paths=paths,
        remarks=tuple(_undefined(one) for one in found),
    )


def _with_servers(
    ground: Ground, model: Mapping[str, object], services: tuple[ServiceFacts, ...]
) -> tuple[ServiceFacts, ...]:
    """*services*, those that are PostgreSQL servers with what files and initdb set."""

    def read(path: Path) -> str | None:
        with contextlib.suppress(UnstaleError):
            return ground.files.read_text(path)
        return None

    root = ground.settings.root
    return tuple(
        _added(
            one, servers.setting_items(servers.server_settings(model, one.name, read, root=root))
        )
        for one in services
    )


def _added(service: ServiceFacts, items: Iterable[Item]) -> ServiceFacts:
    found = sorted((*service.items, *items), key=lambda i: (i.field, i.item))
    return replace(service, items=tuple(found))


def _with_receipts(ground: Ground, pair: Sequence[Known]) -> tuple[EnvironmentFacts, ...]:
    """The facts of two environments, with what their servers said of themselves in a run.

    Only where both have a receipt, and only what nothing that was compared sets already.
    """
    facts = tuple(one.facts for one in pair)
    receipts = [ground.receipt(one.name) for one in facts]
    if ground.files_only or None in receipts:
        return facts
    told = {
        item.item.rpartition(".")[2]
        for one in facts
        for service in one.services or ()
        for item in service.items
        if item.field == "command" or item.item.startswith("postgresql.")
    }
    return tuple(
        _recorded(ground, one, receipt or {}, told)
        for one, receipt in zip(facts, receipts, strict=True)
    )


def _recorded(
    ground: Ground, facts: EnvironmentFacts, receipt: Mapping[str, Any], told: Collection[str]
) -> EnvironmentFacts:
    items = [i for i in servers.receipt_items(receipt) if i.item.partition(".")[2] not in told]
    name = ground.settings.environments[facts.name].database
    found = [s for s in facts.services or () if s.name == name or (not name and _serves(s))]
    if not found:
        return facts
    services = (_added(s, items) if s == found[0] else s for s in facts.services or ())
    return replace(facts, services=tuple(services))


def _serves(service: ServiceFacts) -> bool:
    image = (i.value for i in service.items if (i.field, i.item) == ("image", "name"))
    return any("postgres" in (value or "") for value in image)


class _Reader:
    """Reads each env file once; None for what can't be read, of which compose complains."""

    def __init__(self) -> None:
        self._known: dict[Path, envfile.EnvFile | None] = {}

    def __call__(self, path: Path) -> envfile.EnvFile | None:
        if path not in self._known:
            self._known[path] = None
            with contextlib.suppress(ConfigError, CouldNotTell, MissingFile):
                self._known[path] = envfile.read(path)
        return self._known[path]


def _undefined(found: sources.Undefined) -> Remark:
    text = "a `$` here names a variable that nothing defines, so compose puts nothing there"
    return Remark("undefined-reference", found.key, found.source.file, found.source.line, text)


def compared(ground: Ground, pairs: Sequence[Pair], *, is_whole: bool = False) -> ParityReport:
    """Compare each of *pairs*, and judge what differs by the project's policy.

    *is_whole*: these are all pairs of the project, so that a rule which nobody
    needed is a finding. Raises what `known` raises.
    """
    names = tuple(dict.fromkeys(name for pair in pairs for name in pair))
    found = dict(zip(names, known(ground, names), strict=True))
    reads = ground.reads()
    rules, today = ground.settings.parity.allow, ground.today
    judged = []
    for left, right in pairs:
        differences = _differences(ground, found[left], found[right], reads)
        judged.append(policy.judge((left, right), differences, rules, today))
    facts = [one.facts for one in found.values()]
    return ParityReport(
        pairs=tuple(_pair(one, found) for one in judged),
        hazards=_hazards(ground, found.values()),
        findings=_findings(ground, facts, found.values(), reads),
        policy_findings=(
            *policy.expired(rules, today),
            *policy.unknown(rules, ground.settings.environments),
            *policy.broken(rules, facts, today),
            *(_unused(ground, judged) if is_whole and not ground.files_only else ()),
        ),
        notes=reads.notes,
    )


def _unused(ground: Ground, judged: Sequence[policy.Judged]) -> tuple[Remark, ...]:
    # Another machine has other receipts, or none.
    rules = [r for r in ground.settings.parity.allow if "pg_settings" not in r.key]
    return policy.unused(judged, rules, ground.today)


def _differences(ground: Ground, left: Known, right: Known, reads: Reads) -> tuple[Difference, ...]:
    """What differs, with what is known of its effect, in the order of `compare.order`."""
    secret = {read.name for read in reads.reads if read.is_secret}
    facts = _with_receipts(ground, (left, right))
    found = compare.compare(facts[0], facts[1], secrets=secret)
    if ground.files_only:
        return found  # without the containers nobody knows who uses a variable
    environments = ground.settings.environments
    on_host = any(environments[one.facts.name].runner == "host" for one in (left, right))
    found = effects.with_effects(
        found, left.facts, right.facts, reads, elsewhere=_loaded(ground, reads), on_host=on_host
    )
    return tuple(sorted(found, key=compare.order))


def _loaded(ground: Ground, reads: Reads) -> frozenset[str]:
    """The variables of env files that the code loads itself."""
    read = _Reader()
    files = (read(ground.settings.root / name) for name in reads.env_files)
    return frozenset(entry.key for file in files if file for entry in file.entries)


def _pair(judged: policy.Judged, found: Mapping[str, Known]) -> PairReport:
    left, right = (found[name] for name in judged.pair)
    names = {s.name for one in (left, right) for s in one.facts.services or ()}
    return PairReport(
        left=left.facts.name,
        right=right.facts.name,
        open=judged.open,
        allowed=tuple(AllowedDifference(a.difference, a.rule.reason) for a in judged.allowed),
        identity=judged.identity,
        services=tuple(sorted(names)),
        left_home=left.home,
        right_home=right.home,
        notes=(*left.facts.notes, *right.facts.notes, *_not_compared(left, right)),
    )


def _not_compared(left: Known, right: Known) -> Iterator[str]:
    """What only one of the two has, so that it was held against nothing."""
    for one, other in ((left, right), (right, left)):
        if one.facts.files is not None and other.facts.files is None:
            yield f"{other.facts.name} has no env file: the env files were not compared"


def _hazards(ground: Ground, found: Iterable[Known]) -> tuple[Remark, ...]:
    paths = dict.fromkeys(path for one in found for path in one.paths)
    root = ground.settings.root
    texts = [EnvText(path, sources.shown(path, root), envfile.content(path)) for path in paths]
    try:
        dialect = hazards(texts, ground.docker.resolved_model)
    except UnstaleError:
        if not ground.files_only:
            raise
        return ()  # files are compared without docker, too
    told = [Remark("dialect", one.key, one.file, one.line, one.kind) for one in dialect]
    return tuple(dict.fromkeys([*told, *(r for one in found for r in one.remarks)]))


def _findings(
    ground: Ground, facts: Sequence[EnvironmentFacts], found: Iterable[Known], reads: Reads
) -> tuple[Remark, ...]:
    paths = dict.fromkeys(path for one in found for path in one.paths)
    remarks = [*_of_examples(ground, paths), *_duplicates(ground, paths)]
    if ground.files_only:
        return tuple(remarks)
    told = effects.inert(facts, reads, documented=_documented(paths))
    return (*remarks, *(Remark(f.kind, f.name, f.file, f.line, f.suggestion) for f in told))


def _documented(paths: Iterable[Path]) -> frozenset[str]:
    """The keys of the examples, those that are commented out included."""
    read = _Reader()
    examples = {example for path in paths if (example := envfile.example_of(path))}
    files = [file for example in sorted(examples) if (file := read(example))]
    return frozenset(k for f in files for k in (*f.commented, *(e.key for e in f.entries)))


def _of_examples(ground: Ground, paths: Iterable[Path]) -> Iterator[Remark]:
    """Keys that an env file and the example that documents it do not share."""
    root = ground.settings.root
    for path in paths:
        for gap in envfile.example_gaps([path]):
            name, example = sources.shown(path, root), sources.shown(gap.example, root)
            for key in gap.missing:
                yield Remark("missing-of-example", key, name, None, f"{example} has it")
            for key in gap.undocumented:
                yield Remark("undocumented", key, name, None, f"{example} has it not")


def _duplicates(ground: Ground, paths: Iterable[Path]) -> Iterator[Remark]:
    read = _Reader()
    for path in paths:
        file = read(path)
        for one in file.duplicates if file else ():
            lines = ", ".join(map(str, one.lines))
            name = sources.shown(path, ground.settings.root)
            text = f"assigned on lines {lines}; the last one counts"
            yield Remark("duplicate", one.key, name, one.lines[-1], text)


def matrix(ground: Ground, names: Sequence[str]) -> Matrix:
    """All of the environments called in *names*, one row a key. Raises what `known` raises."""
    found = known(ground, names)
    facts = [one.facts for one in found]
    reads = ground.reads()
    by_name = {one.facts.name: one for one in found}
    judged = [
        policy.judge(
            pair,
            _differences(ground, by_name[pair[0]], by_name[pair[1]], reads),
            ground.settings.parity.allow,
            ground.today,
        )
        for pair in combinations(names, 2)
    ]
    marks = marks_of([_pair(one, by_name) for one in judged])
    secret = {read.name for read in reads.reads if read.is_secret}
    return as_matrix(facts, compare.secrecy(facts, secret), marks)


@dataclass(frozen=True, slots=True)
class Synced:
    """One env file, and what `env.sync` would add to it or has added."""

    plan: sync.SyncPlan
    text: str = field(repr=False)
    """As it was."""
    name: str
    """Relative to the project."""


def synced(
    settings: Settings, files: Files, names: Sequence[str], *, write: bool
) -> tuple[Synced, ...]:
    """Plan what the last env file of each environment lacks; with *write*, add it."""
    chosen = [environment(settings, name) for name in names or sorted(settings.environments)]
    everywhere = {
        key: None
        for env in settings.environments.values()
        if env.env_files
        for key in envfile.merged(env.env_files)
    }
    found = tuple(_synced(settings, env, everywhere) for env in chosen if env.env_files)
    if write:
        for one in found:
            if one.plan.additions:
                files.write_atomic(one.plan.path, sync.apply(one.text, one.plan))
    return found


def _synced(settings: Settings, env: Environment, everywhere: Iterable[str]) -> Synced:
    """The last file is the one that decides; what an earlier one has is not missing."""
    path = env.env_files[-1]
    example = envfile.example_of(path)
    document = sync.load(path)
    others = {key for one in env.env_files[:-1] for key in envfile.merged([one])}
    plan = sync.plan(document, sync.load(example) if example else None, set(everywhere) - others)
    kept = tuple(one for one in plan.additions if one.key not in others)
    return Synced(replace(plan, additions=kept), document.text, sources.shown(path, settings.root))


def require(report: ParityReport) -> None:
    """Raise `Mismatch` unless everything that differs has its reason written down."""
    if report.parity:
        return
    told = [
        f"{one.path} ({pair.left} and {pair.right})" for pair in report.pairs for one in pair.open
    ]
    told += [f"{one.key}: {one.text}" for one in report.policy_findings]
    words = list(dict.fromkeys(told))
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    raise Mismatch(
        "The environments are not what the policy says.",
        cause=f"Nobody explained {', '.join(words[:_MOST])}{more}.",
        hint="inv env.check",
    )


def describe(report: ParityReport, name: str, *, gates: bool) -> str:
    """What a run in the environment called *name* says of *report*, in a line."""
    between = "; ".join(
        f"beside {pair.right if pair.left == name else pair.left}: "
        + ", ".join(part for part in _counts(pair) if part)
        for pair in report.pairs
    )
    return between if gates else f"{between}; not judged, there is no policy (inv env.check)"


def _counts(pair: PairReport) -> Iterator[str]:
    paths = {one.path for one in pair.open}
    allowed = {one.difference.path for one in pair.allowed}
    yield f"{len(paths)} not explained" if paths else ""
    yield f"{len(allowed)} allowed" if allowed else ""
    yield "" if paths or allowed else "no difference"


def summary(report: ParityReport) -> list[dict[str, object]]:
    """What a receipt says of *report*: names, and no value."""
    return [
        {
            "left": pair.left,
            "right": pair.right,
            "parity": pair.parity,
            "open": sorted({one.path for one in pair.open}),
            "allowed": sorted({one.difference.path for one in pair.allowed}),
        }
        for pair in report.pairs
    ]


def open_differences(report: ParityReport) -> Mapping[Pair, Sequence[Difference]]:
    """What nobody explained, by pair: what a baseline is made of."""
    return {(pair.left, pair.right): pair.open for pair in report.pairs}
