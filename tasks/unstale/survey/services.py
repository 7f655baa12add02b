"""Which service runs the tests, which one is the database. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from unstale.survey.repository import Finding, Repository
from unstale.yamltree import Tree, text_of

__all__ = ["Service", "database", "merged", "of_model", "of_yaml", "runner"]

_POSTGRES = ("postgres", "postgis", "timescale", "pgvector")
_OTHERS = ("mysql", "mariadb", "mongo", "mssql", "oracle", "cockroach", "clickhouse")
_TESTS = re.compile(
    r"\bpytest\b|requirements[-_./]*(?:dev|test)|(?:dev|test)[-_]?requirements"
    r"|--(?:with|extra|group|only-group)[= ](?:dev|tests?)\b|--all-(?:groups|extras)\b"
    r"|\[(?:dev|tests?)\]"
)
# Both install the development group unless they are told not to.
_SYNCS = re.compile(r"\b(?:uv sync|poetry install|pdm (?:install|sync))\b([^\n&;]*)")
_WITHOUT = re.compile(r"--no-(?:dev|default-groups)|--only|--without[= ]\S*dev|--prod")
_PORT = re.compile(r"[0-9]{1,5}")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Service:
    """What is read of a service."""

    name: str
    image: str
    where: str
    """Its file and line."""
    is_built: bool = False
    context: str = ""
    """Relative to the project; empty is its root, ``..`` outside of it."""
    dockerfile: str = "Dockerfile"
    """Relative to the context."""
    target: str = ""
    command: str = ""
    needs: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()
    """TCP ports with a number of their own on this machine: that one, and the container's."""


def of_yaml(services: Mapping[str, tuple[int, Tree]], file: str) -> tuple[Service, ...]:
    """The services as *file* writes them, each with its line; variables stay as they are."""
    folder = posixpath.dirname(file)
    return tuple(
        _written(name, node, f"{file}:{line}", folder)
        for name, (line, node) in sorted(services.items(), key=lambda one: one[0])
    )


def merged(layers: Iterable[Sequence[Service]]) -> tuple[Service, ...]:
    """The services of files that are laid over each other: what a later one says counts."""
    found: dict[str, Service] = {}
    for one in (service for layer in layers for service in layer):
        before = found.get(one.name)
        said = {f.name: v for f in fields(one) if (v := getattr(one, f.name)) and v != f.default}
        found[one.name] = replace(before, **said) if before else one
    return tuple(found[name] for name in sorted(found))


def of_model(
    model: Mapping[str, Any], root: str, written: Sequence[Service] = ()
) -> tuple[Service, ...]:
    """The services as compose resolves them; *written* says where they are."""
    where = {one.name: one.where for one in written}
    services = model.get("services") or {}
    return tuple(
        _resolved(name, services[name] or {}, root, where.get(name, ""))
        for name in sorted(services)
    )


def runner(repository: Repository, services: Sequence[Service]) -> Finding:
    """Who runs the tests: a built service that says test, one with pytest, or the host."""
    built = [one for one in services if one.is_built]
    says_test = [one for one in built if "test" in one.name]
    if says_test:
        chosen = _first(says_test, key=lambda one: "pytest" not in one.command)
        return _of(chosen, _several("built services whose name says test", says_test, chosen))
    commanded = [one for one in built if "pytest" in one.command]
    if commanded:
        chosen = commanded[0]
        return _of(chosen, _several("services whose command is pytest", commanded, chosen))
    equipped = [one for one in built if _installs_tests(repository, one)]
    if equipped:
        chosen = equipped[0]
        place = _dockerfile(chosen)
        several = _several("services whose Dockerfile installs pytest", equipped, chosen)
        doubt = several or f"{place} seems to install pytest, and no service's name says test"
        return _of(chosen, doubt)
    names = ", ".join(one.name for one in built) or "none is built"
    doubt = f"no service says test or installs pytest ({names}); tests run on this machine"
    return Finding("runner", "host", "", doubt if built else "")


def database(repository: Repository, services: Sequence[Service]) -> Finding:
    """The service that is a PostgreSQL; "none" if there is none."""
    found = [one for one in services if _is_postgres(repository, one)]
    if not found:
        other = next((one for one in services if any(w in one.image for w in _OTHERS)), None)
        if other is None:
            return Finding("database", "none", "")
        doubt = f"{other.name} is no PostgreSQL, so nothing is proven of its schema"
        return Finding("database", "none", other.where, doubt)
    needed = {name for one in services if one.is_built for name in one.needs}
    chosen = _first(found, key=lambda one: one.name not in needed)
    return Finding(
        "database", chosen.name, chosen.where, _several("services are a PostgreSQL", found, chosen)
    )


def _of(service: Service, unsure: str) -> Finding:
    return Finding("runner", service.name, service.where, unsure)


def _first(found: Sequence[Service], key: Any) -> Service:  # noqa: ANN401 - of any order
    return min(found, key=lambda one: (key(one), one.name))


def _several(kind: str, found: Sequence[Service], chosen: Service) -> str:
    others = [one.name for one in found if one != chosen]
    return f"{len(found)} {kind}; {', '.join(others)} may be meant" if others else ""


def _is_postgres(repository: Repository, service: Service) -> bool:
    names = [service.image]
    if service.is_built and not any(word in service.image for word in _POSTGRES):
        names = [base for base, _ in _stages(repository.text(_dockerfile(service)))][-1:]
    return any(word in name for name in names for word in _POSTGRES)


def _installs_tests(repository: Repository, service: Service) -> bool:
    """Whether the stages that the image is made of name pytest, or files of requirements for it."""
    text = repository.text(_dockerfile(service))
    wanted, lines = service.target, ""
    stages = _split(text)
    names = [name for _, name, _ in stages]
    index = names.index(wanted) if wanted in names else len(stages) - 1
    while 0 <= index < len(stages):
        base, _, body = stages[index]
        lines += body
        index = names.index(base) if base in names[:index] else -1
    if _TESTS.search(lines):
        return True
    named = [*_requirements(lines), *(["pyproject.toml"] if _syncs(lines) else [])]
    copied = (posixpath.normpath(posixpath.join(service.context, one)) for one in named)
    return any("pytest" in repository.text(name) for name in copied)


def _syncs(lines: str) -> bool:
    """Whether what pyproject.toml asks for in development is installed, too."""
    options = _SYNCS.findall(lines.replace("\\\n", " "))
    return any(not _WITHOUT.search(one) for one in options)


def _requirements(lines: str) -> Iterable[str]:
    return re.findall(r"[\w./-]*requirements[\w./-]*\.(?:txt|in|lock)|[\w./-]*Pipfile\b", lines)


def _stages(text: str) -> list[tuple[str, str]]:
    return [(base, name) for base, name, _ in _split(text)]


def _split(text: str) -> list[tuple[str, str, str]]:
    """Each stage of a Dockerfile: its base, its name, its lines."""
    stages: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        found = _FROM.match(line)
        if found:
            stages.append((found[1], found[2] or "", ""))
        elif stages and not line.lstrip().startswith("#"):
            base, name, body = stages[-1]
            stages[-1] = (base, name, f"{body}{line}\n")
    return stages


def _dockerfile(service: Service) -> str:
    return posixpath.normpath(posixpath.join(service.context, service.dockerfile))


def _written(name: str, node: Tree, where: str, folder: str) -> Service:
    build = node.at("build")
    context = text_of(build) or text_of(build, "context") or "."
    return Service(
        name=name,
        image=text_of(node, "image") or "",
        where=where,
        is_built=build is not None,
        context=_below(posixpath.join(folder, context)) if build else "",
        dockerfile=text_of(build, "dockerfile") or "Dockerfile",
        target=text_of(build, "target") or "",
        command=_words(node.at("command")),
        needs=_needs(node.at("depends_on")),
        profiles=_needs(node.at("profiles")),
        ports=_numbered(map(_port, ports.entries if (ports := node.at("ports")) else ())),
    )


def _words(node: Tree | None) -> str:
    if node is None:
        return ""
    return node.text or " ".join(one.text or "" for one in node.entries)


def _needs(node: Tree | None) -> tuple[str, ...]:
    if node is None:
        return ()
    return (*node.keys, *(one.text for one in node.entries if one.text))


def _port(node: Tree) -> tuple[str, str, str]:
    """Published, target and protocol, of either form; empty where it is not said."""
    if node.text is None:
        published, target = text_of(node, "published"), text_of(node, "target")
        return published or "", target or "", text_of(node, "protocol") or "tcp"
    numbers, _, protocol = node.text.partition("/")
    published, _, target = numbers.rpartition(":")
    return published.rpartition(":")[2], target, protocol or "tcp"


def _numbered(ports: Iterable[tuple[str, str, str]]) -> tuple[tuple[int, int], ...]:
    """Those of TCP whose numbers are written, and are no variable and no range."""
    return tuple(
        (int(published), int(target))
        for published, target, protocol in ports
        if protocol == "tcp" and _PORT.fullmatch(published) and _PORT.fullmatch(target)
    )


def _resolved(name: str, raw: Mapping[str, Any], root: str, where: str) -> Service:
    build = raw.get("build") or {}
    command = raw.get("command") or ""
    context = str(build.get("context") or "")
    return Service(
        name=name,
        image=str(raw.get("image") or ""),
        where=where,
        is_built=bool(build),
        context=_below(posixpath.relpath(context, root)) if context.startswith("/") else "",
        dockerfile=str(build.get("dockerfile") or "Dockerfile"),
        target=str(build.get("target") or ""),
        command=command if isinstance(command, str) else json.dumps(command),
        needs=tuple(raw.get("depends_on") or ()),
        profiles=tuple(map(str, raw.get("profiles") or ())),
        ports=_numbered(
            (str(p.get("published")), str(p.get("target")), str(p.get("protocol", "tcp")))
            for p in raw.get("ports") or ()
        ),
    )


def _below(path: str) -> str:
    path = posixpath.normpath(path)
    return "" if path == "." else path
