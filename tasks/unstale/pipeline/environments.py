"""What is known of each environment: its files, its containers, its images, its server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstale.compose import PROXIES
from unstale.config import Environment, Settings
from unstale.errors import ConfigError, MissingFile, UnknownName, UnstaleError, overlooked
from unstale.mask import Mask, mask_for
from unstale.parity import containers, envfile, programs, servers, sources, yaml_lines
from unstale.parity.model import EnvironmentFacts, Item, ServiceFacts
from unstale.parity.report import Home, Remark
from unstale.pipeline.image_env import ImageSays
from unstale.ports import ComposeTarget, Docker, Files, ResolvedModel

if TYPE_CHECKING:
    from unstale.parity.reads import Reads

__all__ = ["EnvFiles", "Ground", "Known", "environment", "known", "with_receipts"]

# Compose names images, networks and volumes after its project: the same for all,
# or every environment would differ in them.
_PROJECT = "parity"
_SILENT = ImageSays()


@dataclass(frozen=True, slots=True)
class Ground:
    """What environments are compared with."""

    settings: Settings
    docker: Docker
    files: Files
    reads: Callable[[], Reads]
    """What the project's code reads."""
    mentions: Callable[[], Collection[str]]
    """What its other programs may read."""
    images: Callable[[Mapping[str, object]], tuple[Mapping[str, ImageSays], tuple[str, ...]]]
    """For a model of compose: what its images say, and what could not be told."""
    receipt: Callable[[str], Mapping[str, Any] | None]
    """The last receipt of an environment, if there is one and it may count."""
    today: date
    files_only: bool = False
    in_shell: str = ""
    """An environment that is asked about as this shell decides it: the one that a run is in."""
    shell: Collection[str] = ()
    """The names of this shell's variables."""

    def inherited(self, name: str) -> tuple[str, ...]:
        """The variables of this shell that compose may see for the environment *name*."""
        if name == self.in_shell:
            return tuple(sorted(self.shell))
        # What a machine needs to reach the world is no difference between environments.
        return tuple(sorted({*self.settings.parity.shell, *PROXIES} & set(self.shell)))


@dataclass(frozen=True, slots=True)
class Known:
    """An environment's facts, and what else was learned with them."""

    facts: EnvironmentFacts
    home: Home
    mask: Mask = field(default_factory=Mask, repr=False)
    """Hides the secrets of its files and containers."""
    paths: tuple[Path, ...] = ()
    """The env files that it reads, those of services included."""
    images: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Service to the ENV of its image."""
    code: frozenset[str] = frozenset()
    """Services that are known to run the project's Python by what their image says."""
    remarks: tuple[Remark, ...] = ()


class EnvFiles:
    """Reads each env file once.

    None for one that is not there or that compose alone can read: it says what is
    wrong. An encrypted one raises `CouldNotTell`.
    """

    def __init__(self) -> None:
        self._known: dict[Path, envfile.EnvFile | None] = {}

    def __call__(self, path: Path) -> envfile.EnvFile | None:
        """The env file *path*."""
        if path not in self._known:
            self._known[path] = None
            with contextlib.suppress(ConfigError, MissingFile):
                self._known[path] = envfile.read(path)
        return self._known[path]


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
            "environment",
            name,
            settings.environments,
            hint=f"add docker/docker-compose.{name}.yml or env/.env.{name}, or type another name",
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
    mask = mask_for([(key, one.value) for key, one in (files or {}).items()])
    found = Known(EnvironmentFacts(env.name, files, None), home, mask, env.env_files)
    if not env.compose_files or ground.files_only:
        return found
    try:
        return _masked(_with_containers(ground, env, found))
    except UnstaleError as error:
        error.hide(mask)
        raise


def _masked(found: Known) -> Known:
    """*found* with the mask of all it knows, which has gone over its notes."""
    files = ((key, one.value) for key, one in (found.facts.files or {}).items())
    items = (i for service in found.facts.services or () for i in service.items)
    hide = mask_for([*files, *((i.item, i.value) for i in items)])
    notes = tuple(hide(note) for note in found.facts.notes)
    return replace(found, facts=replace(found.facts, notes=notes), mask=hide)


@dataclass(frozen=True, slots=True)
class _Models:
    """What compose says of one environment, and what it is made from."""

    resolved: ResolvedModel
    raw: Mapping[str, Any]
    own: tuple[Path, ...]
    """The env files that interpolation uses."""


def _models(ground: Ground, env: Environment) -> _Models:
    machine = ground.settings.state_folder / "images.env"
    given = (*((machine,) if machine.exists() else ()), *env.env_files)
    target = ComposeTarget(_PROJECT, env.compose_files, given, ("*",))
    shell = ground.inherited(env.name)
    beside = env.compose_files[0].parent / ".env"
    return _Models(
        ground.docker.resolved(target, inherited=shell),
        ground.docker.resolved(target, raw=True, inherited=shell).model,
        given or ((beside,) if beside.is_file() else ()),
    )


def _with_containers(ground: Ground, env: Environment, so_far: Known) -> Known:
    root, read = ground.settings.root, EnvFiles()
    models = _models(ground, env)
    model = models.resolved.model
    lines = yaml_lines.read(env.compose_files, ground.files.read_text)
    defined = sources.definitions([f for p in models.own if (f := read(p))], root)
    images, notes = ground.images(model)
    services = tuple(
        _written(one, images.get(one.name, _SILENT).variables)
        for one in _services(ground, env, model)
    )
    shell = ground.inherited(env.name)
    found = sources.Sources(models.raw, read, defined, lines, root, shell)
    chains = {
        path
        for one in (models.raw.get("services") or {}).values()
        for path in sources.chain(one or {}, defined)
    }
    paths = (*env.env_files, *sorted(p for p in chains - {*env.env_files} if p.is_file()))
    unset = {w.variable for w in models.resolved.warnings if w.kind == "unset"}
    texts = [f for p in dict.fromkeys((*models.own, *paths)) if (f := read(p))]
    refused = (f"compose refuses the profile {p!r}" for p in models.resolved.refused)
    return replace(
        so_far,
        facts=replace(
            so_far.facts,
            services=sources.attach(services, found),
            notes=(*refused, *notes),
            interpolated=found.interpolated(),
        ),
        paths=paths,
        images={
            name: {i.item: i.value or "" for i in says.variables} for name, says in images.items()
        },
        code=frozenset(
            one.name
            for one in services
            if one.name == env.runner
            or programs.runs_code(one, images.get(one.name, _SILENT).words)
        ),
        remarks=tuple(
            _undefined(one) for one in sources.undefined(unset, models.raw, texts, lines, root)
        ),
    )


def _services(
    ground: Ground, env: Environment, model: Mapping[str, object]
) -> tuple[ServiceFacts, ...]:
    """What the services of *model* get, whether they start, and what their servers are set to."""
    settings = ground.settings

    def read(path: Path) -> str | None:
        with overlooked():
            return ground.files.read_text(path)
        return None

    def more(name: str) -> Iterable[Item]:
        found = servers.server_settings(model, name, read, root=settings.root)
        return (*servers.setting_items(found), _starts(env, model, name))

    naming = containers.Naming(settings.root, env.name, tuple(settings.environments))
    facts = containers.service_facts(model, naming)
    return tuple(_added(one, more(one.name)) for one in facts)


def _written(service: ServiceFacts, image: Iterable[Item]) -> ServiceFacts:
    """*service* with what the project's own Dockerfile sets in its image.

    What base images and pulled ones set is left out: it follows from their name,
    which is compared, and on another machine they may not be there.
    """
    known = {i.item for i in service.items if i.field == "environment"}
    own = (i for i in image if i.source and i.source.line is not None and i.item not in known)
    return _added(service, own)


def _starts(env: Environment, model: Mapping[str, Any], name: str) -> Item:
    profiles = set((model["services"][name] or {}).get("profiles") or ())
    is_started = not profiles or bool(profiles & set(env.profiles))
    return Item("other", "is started", "yes" if is_started else "no")


def _added(service: ServiceFacts, items: Iterable[Item]) -> ServiceFacts:
    found = sorted((*service.items, *items), key=lambda i: (i.field, i.item))
    return replace(service, items=tuple(found))


def _undefined(found: sources.Undefined) -> Remark:
    text = "a `$` here names a variable that nothing defines, so compose puts nothing there"
    return Remark("undefined-reference", found.key, found.source.file, found.source.line, text)


def with_receipts(ground: Ground, pair: Sequence[Known]) -> tuple[EnvironmentFacts, ...]:
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
