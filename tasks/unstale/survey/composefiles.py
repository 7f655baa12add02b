"""Which compose files there are, and which environment each is about. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unstale.config import PLAIN_FILES, PLAIN_OVERRIDES
from unstale.survey.repository import Repository
from unstale.yamltree import Tree, text_of

__all__ = ["Choice", "Stack", "choices", "default_of", "env_files", "neighbours", "services_of"]

_FILE = re.compile(r"(?:docker-)?compose(?:[.-](?P<name>[A-Za-z0-9][\w.-]*))?\.ya?ml")
# Where a file by another name may be one: `local.yml`, `docker/stack.yml`.
_FOLDERS = ("", "docker", "compose", ".docker", "deploy")
_PARTS = frozenset(
    {
        *("base", "common", "override", "shared", "services"),
        *("example", "sample", "template"),
    }
)
"""Names of files that are laid over, or under, others, or are copied: no environments."""
_TESTS = ("test", "testing", "tests", "ci", "integration", "e2e", "local", "dev", "development")
_LIVE = ("prod", "production", "live", "staging", "stage", "deploy", "release")


@dataclass(frozen=True, slots=True)
class Stack:
    """Files that compose is to read together, and why these."""

    files: tuple[str, ...]
    why: str
    """A rule, in words; empty where there was nothing to choose."""
    is_unsure: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """An environment, and the ways in which its files may belong together, likeliest first."""

    name: str
    stacks: tuple[Stack, ...]
    others: tuple[str, ...] = ()
    """Files of the same environment in other folders, which were not chosen."""


def choices(repository: Repository) -> tuple[Choice, ...]:
    """The environments for which there is a compose file; sorted.

    A file without an environment's name serves the one called test, if nothing else is.
    """
    plain, named = _plain(repository), _named(repository)
    for name in neighbours(repository):
        del named[name]
    found = [_choice(repository, name, files, plain) for name, files in named.items()]
    if plain and "test" not in named:
        found.append(Choice("test", tuple(_plain_stacks(plain))))
    return tuple(sorted(found, key=lambda one: one.name))


def neighbours(repository: Repository) -> dict[str, str]:
    """What looks like an environment and is a stack beside this one: a proxy, a monitor.

    Name to file: one that is whole, builds nothing, and has no service of the file
    without a name.
    """
    plain = services_of(repository, _plain(repository))
    return {
        name: files[0]
        for name, files in _named(repository).items()
        if plain
        and _is_whole(repository, files[0])
        and _is_apart(services_of(repository, files[:1]), plain)
    }


def _is_apart(services: Mapping[str, tuple[int, Tree]], plain: Mapping[str, object]) -> bool:
    builds = any(one.at("build") for _, one in services.values())
    return bool(services) and not builds and services.keys().isdisjoint(plain)


def _named(repository: Repository) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in sorted(_compose_files(repository), key=_rank):
        if (name := _environment(file)) and _PARTS.isdisjoint(name.split(".")):
            found.setdefault(name, []).append(file)
    return found


def default_of(names: Iterable[str]) -> str:
    """The environment that tests run in: by its name, and no live one if there is another."""
    known = sorted(names)
    for wanted in _TESTS:
        if wanted in known:
            return wanted
    says_test = [name for name in known if "test" in name]
    harmless = [name for name in known if not name.startswith(_LIVE)]
    return next(iter((*says_test, *harmless, *known)), "test")


def services_of(repository: Repository, files: Sequence[str]) -> dict[str, tuple[int, Tree]]:
    """The services in *files*, as the last file that has one writes it; each with its line."""
    found: dict[str, tuple[int, Tree]] = {}
    for file in files:
        for document in repository.yaml(file):
            services = document.at("services")
            found |= services.keys if services else {}
    return found


def env_files(repository: Repository, name: str) -> tuple[tuple[str, ...], str]:
    """The env files of the environment *name*, and a lone example, by which to make one."""
    usual = (f"env/.env.{name}", f"env/{name}.env", f".env.{name}")
    for file in (*usual, f"{name}.env", f"docker/.env.{name}", f"docker/{name}.env"):
        if repository.has(file):
            return (file,), ""
    folder = tuple(f for f in repository.files if posixpath.dirname(f) == f".envs/.{name}")
    if folder:
        return folder, ""
    examples = (f"{file}{end}" for file in usual for end in (".example", ".sample", ".template"))
    return (), next((one for one in examples if repository.has(one)), "")


def _choice(
    repository: Repository, name: str, files: Sequence[str], plain: tuple[str, ...]
) -> Choice:
    file, *others = files
    alone = Stack((file,), "")
    base = _base_of(repository, file, plain)
    if not base:
        return Choice(name, (alone,), tuple(others))
    over = Stack((base, file), f"laid over {base}: alone it would not be whole")
    if _is_whole(repository, file):
        why = f"alone it is whole, so {base} is not laid under it"
        return Choice(name, (Stack((file,), why, is_unsure=True), over), tuple(others))
    return Choice(name, (over, alone), tuple(others))


def _base_of(repository: Repository, file: str, plain: Sequence[str]) -> str:
    """What *file* may be laid over: a file without a name beside it, or the plain one."""
    folder = posixpath.dirname(file)
    stems = (*PLAIN_FILES, *(f"{s}.{p}.yml" for s in ("docker-compose", "compose") for p in _BASES))
    beside = (posixpath.join(folder, one) for one in stems)
    return next((one for one in beside if repository.has(one)), plain[0] if plain else "")


_BASES = ("base", "common")


def _is_whole(repository: Repository, file: str) -> bool:
    """Whether compose could read *file* alone."""
    services = {name: one for name, (_, one) in services_of(repository, [file]).items()}
    needed = {name for one in services.values() for name in _names(one.at("depends_on"))}
    has_image = all(
        one.at("image") or one.at("build") or one.at("extends") for one in services.values()
    )
    includes = any(document.at("include") for document in repository.yaml(file))
    return (bool(services) or includes) and has_image and (includes or needed <= services.keys())


def _names(node: Tree | None) -> frozenset[str]:
    if node is None:
        return frozenset()
    return frozenset({*node.keys, *filter(None, (text_of(one) for one in node.entries))})


def _plain(repository: Repository) -> tuple[str, ...]:
    """The files without an environment's name that compose itself would take."""
    for folder in ("docker", "compose", ""):
        files = (posixpath.join(folder, name) for name in PLAIN_FILES)
        if base := next((one for one in files if repository.has(one)), ""):
            overs = (posixpath.join(folder, name) for name in PLAIN_OVERRIDES)
            over = next((one for one in overs if repository.has(one)), "")
            return (base, over) if over else (base,)
    found = [f for f in _compose_files(repository) if _environment(f) == ""]
    return tuple(sorted(found, key=_rank)[:1])


def _plain_stacks(plain: tuple[str, ...]) -> Iterable[Stack]:
    yield Stack(plain, "as compose itself lays them over each other" if len(plain) > 1 else "")
    if len(plain) > 1:
        yield Stack(plain[:1], f"compose refuses it together with {plain[1]}")


def _compose_files(repository: Repository) -> list[str]:
    found = []
    for file in repository.called("*.yml", "*.yaml"):
        folder, _, last = file.rpartition("/")
        is_named = _FILE.fullmatch(last) is not None and file.count("/") <= _DEEPEST
        if (is_named or folder in _FOLDERS) and _has_services(repository, file):
            found.append(file)
    return found


_DEEPEST = 3


def _has_services(repository: Repository, file: str) -> bool:
    """Whether *file* has what a compose file has: by its name alone it may be anything."""
    for document in repository.yaml(file):
        services = document.at("services")
        known = [one for _, one in services.keys.values()] if services else []
        if any(one.keys.keys() & {"image", "build", "extends"} for one in known):
            return True
        if _FILE.fullmatch(file.rpartition("/")[2]) and (known or document.at("include")):
            return True
    return False


def _environment(file: str) -> str:
    """The environment that *file* is named after; "" for none."""
    last = file.rpartition("/")[2]
    found = _FILE.fullmatch(last)
    if found:
        return found["name"] or ""
    return last.rpartition(".")[0]


def _rank(file: str) -> tuple[int, int, str]:
    folder = posixpath.dirname(file)
    usual = ("docker", "compose", "")
    return (
        usual.index(folder) if folder in usual else len(usual),
        file.count("/"),
        file,
    )
