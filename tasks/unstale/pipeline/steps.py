"""The steps, one function each; a run walks them, a task calls one alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unstale import override
from unstale.errors import (
    ConfigError,
    CouldNotTell,
    EngineUnavailable,
    Fault,
    Mismatch,
    NotReady,
    Unavailable,
    UnknownName,
)
from unstale.facts import ContainerFact
from unstale.pipeline import platforms
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.ports import ComposeTarget, Line, RunOptions
from unstale.schema import postgres
from unstale.schema.wait import wait_for_postgres
from unstale.stack.autopsy import autopsy, evidence
from unstale.stack.lifecycle import PROJECT, remove, require_sound, wait_until_up
from unstale.stack.mounts import is_anonymous
from unstale.stack.running import state

if TYPE_CHECKING:
    from unstale.ports import Files

__all__ = [
    "containers",
    "database_container",
    "database_settings",
    "database_up",
    "deploy",
    "down",
    "remove_database",
    "require_running",
    "require_service",
    "save_evidence",
    "save_states",
    "up",
    "with_dependencies",
]


def require_service(site: Site, name: str, *, built: bool = False) -> None:
    """Refuse a service that the compose files do not have, or do not build.

    Raises:
        UnknownName: with the nearest name.

    """
    known = [s.name for s in (site.stack.built if built else site.stack.services)]
    if name not in known:
        raise UnknownName("service", name, known, hint=f"--service {' or '.join(sorted(known))}")


def deploy(
    files: Files,
    site: Site,
    *,
    run: str,
    project: str,
    images: Mapping[str, str],
    unique: bool,
    is_podman: bool,
) -> Deployment:
    """Write the override of a stack and say how compose is to be called for it."""
    labels = {override.LABEL_RUN: run, override.LABEL_OWNER: site.owner}
    folder = site.state_folder / "runs" / run
    path = folder / "compose.override.yml"
    text = override.for_run(site.stack, images, labels, unique=unique, is_podman=is_podman)
    files.write_atomic(path, text)
    target = ComposeTarget(
        project=project,
        files=(*site.environment.compose_files, path),
        env_files=site.target.env_files,
        profiles=site.environment.profiles,
    )
    return Deployment(run, target, tuple(labels.items()), folder, files.write_atomic)


def containers(ports: Ports, deployment: Deployment) -> tuple[ContainerFact, ...]:
    """Every container of the stack, in any state."""
    return ports.docker.containers({PROJECT: deployment.target.project})


def database_container(ports: Ports, site: Site, deployment: Deployment) -> ContainerFact:
    """The database's container.

    Raises:
        ConfigError: the project has no database.
        NotReady: its container is not there.

    """
    if site.database is None:
        raise ConfigError(
            "No database is configured, and no service's image says postgres.",
            hint=f"set database in [tool.unstale.environments.{site.environment.name}]",
        )
    for container in containers(ports, deployment):
        if container.service == site.database and not container.one_off:
            return container
    raise NotReady(f"The database {site.database!r} is not running.", hint="inv stack.up")


def require_running(ports: Ports, container: ContainerFact) -> None:
    """Refuse a database whose container is not up: nobody need wait for that.

    Raises:
        NotReady: it ended, is paused or was never started; the cause is its own last words.

    """
    match container.status:
        case "exited" | "dead":
            memory = " (out of memory)" if container.oom_killed else ""
            at = f" at {container.finished_at}" if container.finished_at else ""
            what = f"ended with exit code {container.exit_code}{memory}{at}"
        case "paused":
            what = "is paused"
        case "created":
            what = "was never started"
        case _:
            return
    unpause = f"docker unpause {container.name}"
    raise NotReady(
        f"The database {container.service!r} is not running: its container {what}.",
        cause=autopsy(ports.docker, container).cause,
        hint=unpause if container.status == "paused" else "inv stack.up",
    )


def database_up(ports: Ports, site: Site, deployment: Deployment, line: Line) -> str:
    """Start the database and what it needs, and wait for the real server."""
    if site.database is None:
        return "not asked: the project has no database"
    needed = with_dependencies(site, site.database)
    _start(ports, site, deployment, needed, line)
    container = database_container(ports, site, deployment)
    if is_postgres(ports, container):
        ready_s = site.settings.deadlines.ready
        wait_for_postgres(ports.docker, ports.clock, container, deadline_s=ready_s)
        return f"{site.database} answered twice"
    return f"{site.database} is up"


def database_settings(
    ports: Ports, site: Site, deployment: Deployment
) -> tuple[postgres.Setting, ...]:
    """The server's settings that are not by default; none where psql can't be asked."""
    try:
        container = database_container(ports, site, deployment)
        return postgres.settings(ports.docker, container)
    except (ConfigError, CouldNotTell, NotReady):
        return ()


def remove_database(ports: Ports, site: Site, deployment: Deployment) -> None:
    """Remove the database's container with its data, if that is all unstale's.

    Raises:
        Mismatch: a volume of it is somebody else's; nothing was removed.

    """
    container = database_container(ports, site, deployment)
    ours = ports.docker.volumes({override.LABEL_RUN: deployment.run}).keys()
    named = {m.name for m in container.mounts if m.kind == "volume" and not is_anonymous(m)}
    folders = {m.source for m in container.mounts if m.kind == "bind" and _holds_data(m.target)}
    if foreign := sorted((named - ours) | folders):
        raise Mismatch(
            f"The data of {container.service!r} is in a place that unstale did not create.",
            cause=f"{', '.join(foreign)}: what unstale did not create it never removes.",
            hint="remove it by hand, if nobody needs it; then inv stack.down stack.up db.migrate",
        )
    ports.docker.remove_containers([container.id])
    ports.docker.remove_volumes(sorted(named & ours))


def _holds_data(target: str) -> bool:
    return target.startswith("/var/lib/postgres") or target == "/bitnami/postgresql"


def is_postgres(ports: Ports, container: ContainerFact) -> bool:
    """Whether psql can be asked in *container*."""
    options = RunOptions(("psql", "--version"), 10.0)
    return ports.docker.execute(container.id, options, lambda _: None).returncode == 0


def with_dependencies(site: Site, name: str) -> tuple[str, ...]:
    """*name* and all the services that it needs."""
    found: list[str] = []
    queue = [name]
    while queue:
        current = queue.pop()
        service = site.stack.service(current)
        if service is None or current in found:
            continue
        found.append(current)
        queue.extend(service.depends_on)
    return tuple(found)


def up(ports: Ports, site: Site, deployment: Deployment, line: Line) -> str:
    """Start every service but the runner, and wait until each is ready."""
    services = site.started_services
    if not services:
        return "nothing to start"
    _start(ports, site, deployment, services, line)
    return ", ".join(services)


def _start(
    ports: Ports, site: Site, deployment: Deployment, services: Sequence[str], line: Line
) -> None:
    """Start *services*, and wait until each is ready, or ended as it may."""
    _require_platform(ports, site, services)
    _require_ports(ports, site, deployment, services)
    project, ends = deployment.target.project, site.stack.one_shots
    limits = site.settings.deadlines
    try:
        ports.docker.up(deployment.target, services, line, deadline_s=limits.start)
    except NotReady as error:
        if error.fault is Fault.RESOURCES:
            raise
        # Compose names a service that failed, and not what it said.
        require_sound(ports.docker, ports.clock, project, services, one_shots=ends)
        raise
    wait_until_up(
        ports.docker, ports.clock, project, services, deadline_s=limits.ready, one_shots=ends
    )


def _require_ports(
    ports: Ports, site: Site, deployment: Deployment, services: Sequence[str]
) -> None:
    """Name who has a port of a service that is to have this machine's own ports.

    All others get theirs from the engine, which picks free ones.
    """
    own = [s for s in site.stack.services if s.name in services and s.network_mode == "host"]
    up = {c.service for c in containers(ports, deployment) if c.status == "running"} if own else ()
    for service in (s for s in own if s.name not in up):
        for port in service.exposed:
            if holder := ports.docker.holder(port):
                raise Unavailable(
                    f"The port {port} of {service.name!r} is taken by {holder}.",
                    cause="With network_mode: host its ports are this machine's.",
                    hint=f"end {holder}, or take network_mode: host from {service.name}",
                    fault=Fault.BUSY,
                )


def _require_platform(ports: Ports, site: Site, services: Sequence[str]) -> None:
    """Refuse images for another machine than the engine's, unless it can emulate that.

    What is not here yet is pulled, and fits or is refused by its registry.
    """
    wanted = {s.image: s.name for s in site.stack.services if s.name in (*services, site.runner)}
    images = ports.docker.images_called(sorted(wanted))
    built_for = {
        f"The image {name} of {wanted[name]!r}": f"{one.os}/{one.architecture}"
        for name, one in images.items()
        if one.architecture
    }
    platforms.require(ports.docker, built_for)


def down(ports: Ports, site: Site, deployment: Deployment) -> str:
    """Remove the stack's objects, whatever signal comes meanwhile."""
    with ports.held():
        labels = dict(deployment.labels)
        count = remove(
            ports.docker,
            ports.clock,
            labels,
            project=deployment.target.project,
            deadline_s=site.settings.deadlines.down,
        )
    return f"{count} objects removed"


def save_states(deployment: Deployment, found: Sequence[ContainerFact]) -> None:
    """Write down what state each container is in."""
    text = json.dumps([state(one) for one in found], indent=2)
    deployment.write(deployment.folder / "containers.json", text + "\n")


def save_evidence(
    ports: Ports, site: Site, deployment: Deployment
) -> tuple[tuple[ContainerFact, ...], str]:
    """Write what a red run looked like: states, logs, tables with row counts.

    Best effort by nature: it runs because something is broken already.
    """
    folder, write = deployment.folder, deployment.write
    found = containers(ports, deployment)
    save_states(deployment, found)
    for container in found:
        name = container.service if not container.one_off else container.name
        text = site.mask(evidence(ports.docker, container, tail=200))
        write(folder / "logs" / f"service-{name}.log", text + "\n")
    if site.database is not None:
        write(folder / "database.txt", site.mask(_database_text(ports, site, deployment)))
    root = site.settings.root
    return found, str(folder.relative_to(root) if folder.is_relative_to(root) else folder)


def _database_text(ports: Ports, site: Site, deployment: Deployment) -> str:
    try:
        container = database_container(ports, site, deployment)
        if container.status != "running":
            return f"The database is {container.status}.\n"
        lines = [f"{name}\t{count}" for name, count in postgres.tables(ports.docker, container)]
        version = ""
        if any(line.startswith("alembic_version\t") for line in lines):
            found = postgres.rows(
                ports.docker, container, "SELECT version_num FROM alembic_version"
            )
            version = ", ".join(row[0] for row in found)
    except EngineUnavailable:
        raise
    except (CouldNotTell, Unavailable) as error:
        return f"{error}\n"
    return "\n".join(["table\trows", *lines, "", f"alembic_version: {version or 'none'}"]) + "\n"
