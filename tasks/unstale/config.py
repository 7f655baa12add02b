"""[tool.unstale] and UNSTALE_* as one frozen value. The only reader of settings."""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from unstale.errors import ConfigError, Fault, MissingFile, UnknownName
from unstale.ports import Readable

__all__ = [
    "PLAIN_FILES",
    "PLAIN_OVERRIDES",
    "STATE_FOLDER",
    "AllowRule",
    "CiSystem",
    "Deadlines",
    "Environment",
    "KeepSettings",
    "LocalSettings",
    "Pair",
    "ParitySettings",
    "ReceiptSettings",
    "Relation",
    "RunnerSettings",
    "SchemaSettings",
    "Settings",
    "VerifyRule",
    "asks_plain",
    "below_workspace",
    "ci_system",
    "load",
    "parsed",
    "require_known",
]

STATE_FOLDER = ".unstale"
"""The name of the folder that unstale keeps in a checkout."""

PLAIN_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""The files that compose looks for itself, in its order; one of them serves the default
environment, where none is named after that."""
PLAIN_OVERRIDES = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)
"""What it then lays over it, likewise."""

_COMPOSE_FOLDERS = ("docker", "compose", ".")
Setup = Literal["migrate", "create-all", "none"]
_SCHEMA_SETUPS: Mapping[str, Setup] = {
    "migrate": "migrate",
    "create-all": "create-all",
    "none": "none",
}

CiSystem = Literal["github", "gitlab", ""]
"""Whose commands a log may have; empty: nobody's."""

Pair = tuple[str, str]
"""The names of two environments; which one is first does not matter."""

Relation = Literal["host only", "missing", "different", "no effect"]
_RELATIONS: Mapping[str, Relation] = {
    "host only": "host only",
    "missing": "missing",
    "different": "different",
    "no effect": "no effect",
}
# A name becomes a word of commands, and a part of names of files and projects.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SECTIONS = (
    *("default-env", "environments", "runner", "suites", "schema", "verify", "parity", "local"),
    *("deadlines", "receipts", "keep", "strict"),
)
_PARITY = "tool.unstale.parity"
_ALLOW_HEADER = re.compile(
    r"[ \t]*\[\[[ \t]*tool[ \t]*\.[ \t]*unstale[ \t]*\.[ \t]*parity[ \t]*\.[ \t]*allow[ \t]*\]\]"
)

# TOML is typed at run time only; it is narrowed here and nowhere else.
Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment: where its stack and its variables are written."""

    name: str
    compose_files: tuple[Path, ...]
    """Later ones override."""
    env_files: tuple[Path, ...]
    """One or more; later ones override."""
    runner: str | None = None
    """A service, ``host``, or None: found by name among the built services."""
    database: str | None = None
    """A service, ``none``, or None: found by its image."""
    profiles: tuple[str, ...] = ()
    """Compose profiles to switch on, ``*`` for all."""


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """How tests run."""

    command: tuple[str, ...] = ("pytest",)
    """The test command, in the runner."""
    mode: Literal["run", "exec"] = "run"
    """In a new container for each run, or in the running service."""
    junit: str | None = None
    """Where the runner writes JUnit XML; None: told to pytest by a flag."""
    environment: tuple[tuple[str, str], ...] = ()
    """What tests on the host are told: ``{web:5000}`` in a value is where that port is."""


@dataclass(frozen=True, slots=True)
class SchemaSettings:
    """How the database gets its schema."""

    setup: Setup = "migrate"
    """By migrations, by the tests or the application themselves, or not at all."""
    migrate_command: tuple[str, ...] = ("alembic", "upgrade", "head")
    """What brings the database up to date."""
    alembic_ini: str = "alembic.ini"
    """In the runner's container, relative to its working directory."""
    metadata: str | None = None
    """``module:attribute`` of the models; None: what env.py names."""
    service: str | None = None
    """Where the migrate command runs; None: in the runner."""
    seeds: tuple[str, ...] = ()
    """Patterns of data files that the migrations read, where they run."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How tests run on this machine, without Docker."""

    directory: str | None = None
    """What the image's working directory is here; None: where alembic.ini is found."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a part of a run may take, in seconds; what takes longer is ended."""

    engine: float = 20.0
    """One question to the engine."""
    build: float = 1800.0
    """One build of one or more services, with pulling their bases."""
    start: float = 900.0
    """Creating and starting containers, which may have to pull an image first."""
    ready: float = 120.0
    """From started to healthy."""
    migrate: float = 6 * 3600.0
    """One call of the migrate command; it may move data."""
    tests: float = 3600.0
    """One call of the test command."""
    down: float = 30.0
    """Until a stack must be gone."""


@dataclass(frozen=True, slots=True)
class ReceiptSettings:
    """Whether receipts are signed, and by which key: where it is, never what it is."""

    sign: Literal["ssh", "hmac"] | None = None
    """How; None: they are not signed."""
    key: Path | None = None
    """The file of the key."""
    key_env: str | None = None
    """The environment variable that holds the key."""
    allowed_signers: Path | None = None
    """Whose ssh signatures count: a file as ``ssh-keygen -Y verify`` reads it."""


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """How much of the past is kept; more of it is removed at the end of a run."""

    runs: int = 50
    """Receipts with their evidence."""
    images: int = 3
    """Earlier images of each service, which have no name any more."""


@dataclass(frozen=True, slots=True)
class VerifyRule:
    """A text that must be in a file of an image."""

    service: str | None
    """Whose image; None: the runner's."""
    path: str
    """Absolute, in the image."""
    grep: str
    """The text, literally."""


@dataclass(frozen=True, slots=True)
class AllowRule:
    """A difference between environments that somebody explained."""

    key: str
    """A pattern: of variables (``*_URL``), or of ``field:item`` (``command:fsync``)."""
    reason: str
    """Why; it is printed beside the difference."""
    pairs: tuple[Pair, ...] = ()
    """Where it holds; empty: everywhere."""
    services: tuple[str, ...] = ()
    """Patterns of services whose containers it is about, and ``env files`` for the env files.

    Empty: all services, and the env files.
    """
    expires: date | None = None
    """The last day on which it holds."""
    relation: Relation | None = None
    """How the two sides may differ; None: in any way."""
    must: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Environment and the value it must have, sorted."""
    line: int | None = field(default=None, compare=False)
    """Where it is written in pyproject.toml, counted from 1; None: not found."""


@dataclass(frozen=True, slots=True)
class ParitySettings:
    """How environments are compared, and what they may differ in."""

    allow: tuple[AllowRule, ...] = ()
    """The differences that are intended, each with its reason."""
    pairs: tuple[Pair, ...] = ()
    """What is compared; empty: every pair of environments that have files."""
    settings: str | None = None
    """``module:Class`` of pydantic Settings that may be imported."""
    code: tuple[Path, ...] = ()
    """Folders whose Python is read; empty: the project."""
    shell: tuple[str, ...] = ()
    """Variables of the caller's shell that compose files may refer to."""
    has_policy: bool = False
    """Whether somebody wrote ``allow`` or ``pairs``, if only an empty one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a project says, or what convention says for it."""

    root: Path
    default_env: str
    """What a task uses without ``--env``."""
    environments: Mapping[str, Environment]
    runner: RunnerSettings
    suites: Mapping[str, tuple[str, ...]]
    """The name of each, and the arguments of its tests."""
    schema: SchemaSettings
    verify: tuple[VerifyRule, ...]
    local: LocalSettings = LocalSettings()
    parity: ParitySettings = ParitySettings()
    deadlines: Deadlines = Deadlines()
    receipts: ReceiptSettings = ReceiptSettings()
    keep: KeepSettings = KeepSettings()
    strict: bool = False
    """Whether what is only suspicious ends a run: a variable that nobody sets."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The environments to compare: as written, or all that have a compose file, by name.

        Where fewer than two have one, all that have an env file.
        """
        known = sorted(self.environments.items())
        composed = [name for name, env in known if env.compose_files]
        named = [name for name, env in known if env.compose_files or env.env_files]
        return self.parity.pairs or tuple(combinations(composed if len(composed) > 1 else named, 2))

    @property
    def state_folder(self) -> Path:
        """Where unstale keeps what it writes in the checkout."""
        return self.root / STATE_FOLDER

    def environment(self, name: str | None = None) -> Environment:
        """The environment called *name*, or the default one.

        Raises:
            UnknownName: it is neither configured nor found by convention.
            MissingFile: it has no compose file, or one is not there.

        """
        wanted = name or self.default_env
        found = self.environments.get(wanted)
        if found is None:
            raise UnknownName(
                "environment",
                wanted,
                self.environments,
                hint=f"add docker/docker-compose.{wanted}.yml, or "
                f"[tool.unstale.environments.{wanted}] to pyproject.toml",
            )
        if not found.compose_files:
            looked = ", ".join(f"{f}/docker-compose.{wanted}.yml" for f in _COMPOSE_FOLDERS)
            raise MissingFile(
                f"The environment {wanted!r} has no compose file.",
                cause=f"Looked for {looked} and compose.{wanted}.yml (.yaml too)"
                + (", and for compose.yml." if wanted == self.default_env else "."),
                hint=f"set compose-files in [tool.unstale.environments.{wanted}]",
            )
        return found


def load(root: Path, files: Readable, environ: Mapping[str, str]) -> Settings:
    """Read the settings of the project at *root*.

    Raises:
        ConfigError: pyproject.toml can't be parsed, or a key or value is wrong.

    """
    text = _pyproject(root, files)
    table = _overridden(_tool_table(text), environ)
    _known(table, "tool.unstale", _SECTIONS)
    parity = _parity(root, _table(table, "parity", "tool.unstale"), text)
    configured = _table(table, "environments", "tool.unstale")
    for name in configured:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name[:80]!r} can't be the name of an environment.",
                cause="Letters, digits, '.', '_' and '-' are allowed, the first a letter or digit.",
                hint="mend [tool.unstale.environments] in pyproject.toml",
            )
    found = filter(_NAME.fullmatch, _found_environments(root, files))
    default_env = _string(table, "default-env", "tool.unstale") or "test"
    plain = _plain_compose(root, files)
    names = sorted({*configured, *found, *([default_env] if plain else [])})
    environments = {
        name: _environment(
            root,
            files,
            name,
            _table(configured, name, "tool.unstale.environments"),
            plain if name == default_env else (),
        )
        for name in names
    }
    return Settings(
        root=root,
        default_env=default_env,
        environments=environments,
        runner=_runner(_table(table, "runner", "tool.unstale")),
        suites=_suites(root, files, _table(table, "suites", "tool.unstale")),
        schema=_schema(table.get("schema", {})),
        verify=tuple(_verify(rule) for rule in _rules(table, "verify")),
        local=_local(_table(table, "local", "tool.unstale")),
        parity=parity,
        deadlines=_deadlines(_table(table, "deadlines", "tool.unstale")),
        receipts=_receipts(root, _table(table, "receipts", "tool.unstale")),
        keep=_keep(_table(table, "keep", "tool.unstale")),
        strict=_strict(table, environ),
    )


def trusts_code(environ: Mapping[str, str]) -> bool:
    """Whether the checkout's own code may be run on this machine to answer a question.

    ``UNSTALE_TRUST`` says it. `inv` has run a tasks.py by then, and a caller of the API
    is code itself; the ``unstale`` command says no unless the user says yes.
    """
    return is_on(environ, "UNSTALE_TRUST", "1") and not is_untrusted(environ)


def asks_plain(environ: Mapping[str, str]) -> bool:
    """Whether nothing is to be drawn or coloured: ``UNSTALE_PLAIN``."""
    return is_on(environ, "UNSTALE_PLAIN")


def is_untrusted(environ: Mapping[str, str]) -> bool:
    """Whether stacks must not reach out of their containers: ``UNSTALE_UNTRUSTED``."""
    return is_on(environ, "UNSTALE_UNTRUSTED")


def ci_system(environ: Mapping[str, str]) -> CiSystem:
    """Whose log this is; ``UNSTALE_CI`` names one, or says that it is nobody's."""
    systems: tuple[tuple[str, CiSystem], ...] = (
        ("GITHUB_ACTIONS", "github"),
        ("GITLAB_CI", "gitlab"),
    )
    if not is_on(environ, "UNSTALE_CI", "1"):
        return ""
    said = environ.get("UNSTALE_CI")
    return next(
        (name for variable, name in systems if said == name or environ.get(variable) == "true"), ""
    )


def below_workspace(environ: Mapping[str, str], root: Path) -> str:
    """Where *root* is below the checkout of GitHub's job, with slashes; empty if it is that."""
    workspace = environ.get("GITHUB_WORKSPACE")
    if not workspace:
        return ""
    top, real = Path(workspace).resolve(), root.resolve()
    return real.relative_to(top).as_posix() if top in real.parents else ""


def is_on(environ: Mapping[str, str], name: str, unset: str = "") -> bool:
    """Whether a switch is on: "false" and "no" are off, and not on as they are for Invoke."""
    return environ.get(name, unset).strip().lower() not in ("", "0", "false", "no", "off")


def require_known(settings: Settings) -> None:
    """See that every environment that the policy names is there.

    A pair of which one is misspelt would be compared by nobody.

    Raises:
        ConfigError: ``pairs`` or ``must`` names an environment that is not there.

    """
    parity, known = settings.parity, settings.environments
    _require(parity.pairs, known, f"'pairs' of [{_PARITY}]")
    for rule in parity.allow:
        where = f"the rule for {rule.key!r}" + (f" (line {rule.line})" if rule.line else "")
        _require(rule.pairs, known, f"'pairs' of {where}")
        _require([[name for name, _ in rule.must]], known, f"'must' of {where}")


def _require(groups: Iterable[Iterable[str]], known: Iterable[str], where: str) -> None:
    names = sorted(known)
    for name in (name for group in groups for name in group):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            cause = f"Known: {', '.join(names)}." if names else "None is known."
            raise ConfigError(
                f"There is no environment called {name!r}, which {where} in pyproject.toml names.",
                cause=f"Did you mean {near[0]!r}? {cause}" if near else cause,
                hint="mend pyproject.toml",
            )


def _pyproject(root: Path, files: Readable) -> str:
    path = root / "pyproject.toml"
    return files.read_text(path) if files.exists(path) else ""


def parsed(text: str) -> dict[str, Any]:
    """What *text*, a pyproject.toml, says.

    Raises:
        ConfigError: it can't be parsed.

    """
    try:
        return tomllib.loads(text)
    # ValueError: also a number of 5,000 digits. RecursionError: a thousand brackets.
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "pyproject.toml can't be parsed.",
            cause=f"{error}.",
            hint="mend that line",
            fault=Fault.CONTENT,
        ) from error


def _tool_table(text: str) -> Table:
    return _table(_table(parsed(text), "tool", ""), "unstale", "tool")


def _overridden(table: Table, environ: Mapping[str, str]) -> Table:
    merged = {k: dict(v) if isinstance(v, Mapping) else v for k, v in table.items()}
    if isinstance(merged.get("schema"), str):  # schema = "none", in short
        merged["schema"] = {"setup": merged["schema"]}
    if name := environ.get("UNSTALE_DEFAULT_ENV"):
        merged["default-env"] = name
    for section, key in (
        *(("runner", "mode"), ("runner", "junit"), ("schema", "setup"), ("receipts", "sign")),
        *(("receipts", "key"), ("receipts", "key-env"), ("receipts", "allowed-signers")),
    ):
        if value := environ.get(f"UNSTALE_{section}_{key}".upper().replace("-", "_")):
            merged[section] = {**_table(merged, section, "tool.unstale"), key: value}
    for section, key in (("runner", "command"), ("schema", "migrate-command")):
        variable = f"UNSTALE_{section}_{key}".upper().replace("-", "_")
        if value := environ.get(variable):
            merged[section] = {
                **_table(merged, section, "tool.unstale"),
                key: _words(variable, value),
            }
    for name in (one.name for one in fields(Deadlines)):
        variable = f"UNSTALE_DEADLINES_{name}".upper()
        if value := environ.get(variable):
            merged["deadlines"] = {
                **_table(merged, "deadlines", "tool.unstale"),
                name: _number(variable, value),
            }
    return merged


def _number(variable: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{variable} is no number of seconds.") from error


def _words(variable: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ConfigError(f"{variable} can't be split into words: {error}.") from error


def _found_environments(root: Path, files: Readable) -> set[str]:
    found: set[str] = set()
    for folder in _COMPOSE_FOLDERS:
        for stem in ("docker-compose", "compose"):
            for suffix in (".yml", ".yaml"):
                for path in files.glob(root / folder, f"{stem}.*{suffix}"):
                    name = path.name[len(stem) + 1 : -len(suffix)]
                    if name and "." not in name and name not in ("override", "base"):
                        found.add(name)
    for path in files.glob(root / "env", ".env.*"):
        found.add(path.name.removeprefix(".env."))
    return found - {"example", "sample", "template"}


def _environment(
    root: Path, files: Readable, name: str, table: Table, plain: tuple[Path, ...]
) -> Environment:
    where = f"tool.unstale.environments.{name}"
    _known(table, where, ("compose-files", "env-file", "runner", "database", "profiles"))
    written = _strings(table, "compose-files", where)
    conventional = _conventional_compose(root, files, name) or plain
    compose_files = tuple(root / f for f in written) or conventional
    for path in compose_files:
        if not files.exists(path):
            raise MissingFile(
                f"The compose file {_shown(path, root)} of {name!r} does not exist.",
                cause=f"[{where}] of pyproject.toml names it.",
                hint=f"mend compose-files in [{where}] of pyproject.toml",
            )
    env_written = _one_or_more(table, "env-file", where)
    env_files = tuple(root / f for f in env_written) or _conventional_env(root, files, name)
    return Environment(
        name=name,
        compose_files=compose_files,
        env_files=env_files,
        runner=_string(table, "runner", where),
        database=_string(table, "database", where),
        profiles=_strings(table, "profiles", where),
    )


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _conventional_compose(root: Path, files: Readable, name: str) -> tuple[Path, ...]:
    for folder in _COMPOSE_FOLDERS:
        for stem in ("docker-compose", "compose"):
            for suffix in (".yml", ".yaml"):
                path = root / folder / f"{stem}.{name}{suffix}"
                if files.exists(path):
                    return (path,)
    return ()


def _plain_compose(root: Path, files: Readable) -> tuple[Path, ...]:
    """The files that compose itself would take, which name no environment; or ()."""
    for folder in _COMPOSE_FOLDERS:
        base, over = (
            next((p for n in names if files.exists(p := root / folder / n)), None)
            for names in (PLAIN_FILES, PLAIN_OVERRIDES)
        )
        if base is not None:
            return (base, over) if over is not None else (base,)
    return ()


def _conventional_env(root: Path, files: Readable, name: str) -> tuple[Path, ...]:
    for relative in (f"env/.env.{name}", f"env/{name}.env", f".env.{name}"):
        if files.exists(root / relative):
            return (root / relative,)
    return files.glob(root / ".envs" / f".{name}", "*")


def _runner(table: Table) -> RunnerSettings:
    where = "tool.unstale.runner"
    _known(table, where, ("command", "mode", "junit", "environment"))
    mode = _string(table, "mode", where) or "run"
    if mode not in ("run", "exec"):
        raise _bad(where, "mode", mode, ("run", "exec"))
    return RunnerSettings(
        command=_strings(table, "command", where) or ("pytest",),
        mode="exec" if mode == "exec" else "run",
        junit=_string(table, "junit", where),
        environment=_variables(table, "environment", where),
    )


def _schema(raw: object) -> SchemaSettings:
    table = _table({"schema": raw}, "schema", "tool.unstale")
    where = "tool.unstale.schema"
    _known(
        table, where, ("setup", "migrate-command", "alembic-ini", "metadata", "service", "seeds")
    )
    setup = _string(table, "setup", where) or "migrate"
    if setup not in _SCHEMA_SETUPS:
        raise _bad(where, "setup", setup, _SCHEMA_SETUPS)
    default = SchemaSettings()
    return replace(
        default,
        setup=_SCHEMA_SETUPS[setup],
        migrate_command=_strings(table, "migrate-command", where) or default.migrate_command,
        alembic_ini=_string(table, "alembic-ini", where) or default.alembic_ini,
        metadata=_string(table, "metadata", where),
        service=_string(table, "service", where),
        seeds=_strings(table, "seeds", where),
    )


def _receipts(root: Path, table: Table) -> ReceiptSettings:
    where = "tool.unstale.receipts"
    _known(table, where, ("sign", "key", "key-env", "allowed-signers"))
    sign = _string(table, "sign", where)
    if sign not in (None, "ssh", "hmac"):
        raise _bad(where, "sign", sign, ("ssh", "hmac"))
    key, key_env = _string(table, "key", where), _string(table, "key-env", where)
    if (sign and bool(key) == bool(key_env)) or (sign == "ssh" and not key):
        one = "'key', a file" if sign == "ssh" else "'key', a file, or 'key-env', a variable"
        raise ConfigError(
            f"[{where}] says how to sign, and not by which key.",
            cause=f"sign = {sign!r} needs {one}.",
            hint="mend pyproject.toml",
        )
    allowed = _string(table, "allowed-signers", where)
    return ReceiptSettings(
        sign="ssh" if sign == "ssh" else "hmac" if sign else None,
        key=_place(root, key),
        key_env=key_env,
        allowed_signers=_place(root, allowed),
    )


def _place(root: Path, written: str | None) -> Path | None:
    try:
        return root / Path(written).expanduser() if written else None
    except RuntimeError:  # ~nobody
        return root / str(written)


def _keep(table: Table) -> KeepSettings:
    where, default = "tool.unstale.keep", KeepSettings()
    _known(table, where, ("runs", "images"))
    return KeepSettings(
        runs=_count(table, "runs", where, default.runs, least=1),
        images=_count(table, "images", where, default.images, least=0),
    )


def _count(table: Table, key: str, where: str, default: int, *, least: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"'{key}' of [{where}] must be a whole number, {least} or more.")
    return value


def _local(table: Table) -> LocalSettings:
    where = "tool.unstale.local"
    _known(table, where, ("directory",))
    return LocalSettings(directory=_string(table, "directory", where))


def _strict(table: Table, environ: Mapping[str, str]) -> bool:
    """By the variable, by the file, or as CI systems say that they are one."""
    is_said = "UNSTALE_STRICT" in environ
    if not is_said and "strict" in table:
        if not isinstance(table["strict"], bool):
            raise ConfigError(
                "'strict' of [tool.unstale] must be true or false.", hint="mend pyproject.toml"
            )
        return bool(table["strict"])
    return is_on(environ, "UNSTALE_STRICT" if is_said else "CI")


def _deadlines(table: Table) -> Deadlines:
    where = "tool.unstale.deadlines"
    _known(table, where, (one.name for one in fields(Deadlines)))
    for key, value in table.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < float("inf"):
            raise ConfigError(
                f"'{key}' of [{where}] must be a number of seconds above 0.",
                hint="mend pyproject.toml",
            )
    return replace(Deadlines(), **{key: float(value) for key, value in table.items()})


def _suites(root: Path, files: Readable, table: Table) -> Mapping[str, tuple[str, ...]]:
    found = {
        name: (f"tests/{name}",)
        for name in ("unit", "smoke", "regression")
        if files.exists(root / "tests" / name)
    }
    return {**found, **{name: _strings(table, name, "tool.unstale.suites") for name in table}}


def _verify(rule: Table) -> VerifyRule:
    where = "tool.unstale.verify"
    _known(rule, where, ("service", "path", "grep"))
    path, grep = _string(rule, "path", where), _string(rule, "grep", where)
    if not path or not grep:
        raise ConfigError(f"An entry of [[{where}]] lacks 'path' or 'grep'.")
    return VerifyRule(service=_string(rule, "service", where), path=path, grep=grep)


def _parity(root: Path, table: Table, text: str) -> ParitySettings:
    _known(table, _PARITY, ("allow", "pairs", "settings", "code", "shell"))
    settings = _string(table, "settings", _PARITY)
    if settings is not None and not re.fullmatch(r"[\w.]+:\w+", settings):
        raise ConfigError(
            f"settings = {settings!r} of [{_PARITY}] is not possible.",
            cause='It must be "module:Class".',
        )
    rules = _rules(table, "allow")
    lines = _lines_of_rules(text, len(rules))
    return ParitySettings(
        allow=tuple(_allow(rule, line) for rule, line in zip(rules, lines, strict=True)),
        pairs=_pairs(table, _PARITY),
        settings=settings,
        code=tuple(root / folder for folder in _strings(table, "code", _PARITY)),
        shell=_strings(table, "shell", _PARITY),
        has_policy="allow" in table or "pairs" in table,
    )


def _lines_of_rules(text: str, count: int) -> tuple[int | None, ...]:
    """The line of each of the *count* rules, as far as TOML's usual spelling tells."""
    lines = enumerate(text.split("\n"), 1)
    found = tuple(number for number, line in lines if _ALLOW_HEADER.match(line))
    return found if len(found) == count else (None,) * count


def _allow(rule: Table, line: int | None) -> AllowRule:
    where = f"{_PARITY}.allow"
    _known(rule, where, ("key", "reason", "pairs", "service", "expires", "relation", "must"))
    key, reason = _string(rule, "key", where), _string(rule, "reason", where)
    if not key or not reason or not reason.strip():
        raise ConfigError(
            f"An entry of [[{where}]] lacks 'key' or 'reason'.",
            cause="A difference is allowed only where somebody wrote down why.",
        )
    relation = _string(rule, "relation", where)
    if relation is not None and relation not in _RELATIONS:
        raise _bad(where, "relation", relation, _RELATIONS)
    return AllowRule(
        key=key,
        reason=reason,
        pairs=_pairs(rule, where),
        services=_one_or_more(rule, "service", where),
        expires=_date(rule, "expires", where),
        relation=_RELATIONS[relation] if relation else None,
        must=_must(rule, where),
        line=line,
    )


def _pairs(table: Table, where: str) -> tuple[Pair, ...]:
    return tuple(_pair(text, where) for text in _strings(table, "pairs", where))


def _pair(text: str, where: str) -> Pair:
    left, slash, right = text.partition("/")
    if not left or not slash or not right or "/" in right or left == right:
        raise ConfigError(
            f"{text!r} in 'pairs' of [{where}] is not a pair.",
            cause='A pair is two environments with a slash between: "ci/test".',
        )
    return left, right


def _date(table: Table, key: str, where: str) -> date | None:
    value = table.get(key)
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise ConfigError(
        f"'{key}' of [{where}] must be a date, without quotes and without a time: 2030-01-31."
    )


def _must(rule: Table, where: str) -> tuple[tuple[str, str], ...]:
    table = _table(rule, "must", where)
    if not all(isinstance(value, str) for value in table.values()):
        raise ConfigError(
            f"'must' of [{where}] must be environments and values in quotes.",
            hint='must = {ci = "true"}',
        )
    return tuple(sorted(table.items()))


def _variables(table: Table, key: str, where: str) -> tuple[tuple[str, str], ...]:
    found = _table(table, key, where)
    if not all(isinstance(value, str) for value in found.values()):
        raise ConfigError(
            f"'{key}' of [{where}] must be names and values in quotes.",
            hint=f'{key} = {{BASE_URL = "http://{{web:5000}}"}}',
        )
    return tuple(sorted(found.items()))


def _rules(table: Table, key: str) -> tuple[Table, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
        raise ConfigError(f"'{key}' of [tool.unstale] must be a list of tables: [[...{key}]].")
    return tuple(value)


def _table(table: Table, key: str, where: str) -> Table:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"[{where}.{key}] must be a table.".replace("[.", "["))
    return value


def _string(table: Table, key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"'{key}' of [{where}] must be a string.")
    return value


def _strings(table: Table, key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ConfigError(f"'{key}' of [{where}] must be a list of strings.")
    return tuple(value)


def _one_or_more(table: Table, key: str, where: str) -> tuple[str, ...]:
    if isinstance(table.get(key), list):
        return _strings(table, key, where)
    return tuple(filter(None, [_string(table, key, where)]))


def _known(table: Table, where: str, keys: Iterable[str]) -> None:
    names = tuple(keys)
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            raise ConfigError(
                f"[{where}] has no key {key!r}.",
                cause=f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}.",
                hint="mend pyproject.toml",
            )


def _bad(where: str, key: str, value: str, allowed: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"{key} = {value!r} of [{where}] is not possible.", cause=f"One of: {', '.join(allowed)}."
    )
