"""What the machine has left, and what is left on it."""

from __future__ import annotations

import errno
import importlib.util
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path

from unstale.adapters.docker import DockerCli
from unstale.adapters.files import DiskFiles
from unstale.adapters.leases import Leases
from unstale.compose import Stack
from unstale.doctor.engine import Engine
from unstale.doctor.finding import Finding, Reap, fail, not_asked, ok, untold, warn
from unstale.errors import Interrupted, Unavailable, UnstaleError
from unstale.pipeline.resources import LITTLE_BYTES, size

__all__ = ["bytecode", "clock", "disk", "leftovers", "ports"]

_ENOUGH_BYTES = 5 << 30
_SKEW_S = 2.0
# The heaviest that a command imports.
_COMPILED = ("invoke", "python_on_whales", "rich", "alembic")
_SHOWN = 3


def disk(seen: Engine, files: DiskFiles, root: Path) -> Finding:
    """Whether a run has room: where the engine keeps its data, and in the checkout."""
    # Path.is_dir fails below a folder that may not be looked into.
    is_here = seen.is_local and os.path.isdir(seen.data_root)  # noqa: PTH112
    places = [*([Path(seen.data_root)] if is_here else []), root]
    spaces = [one for place in places if (one := files.space(place))]
    if not spaces:
        return untold("disk", "the file system does not say what is left", "df")
    least = min(spaces, key=lambda one: one.free_bytes)
    said = f"{size(least.free_bytes)} are left on {least.what}"
    fix = "docker system df tells what takes the space; inv image.clean"
    if least.free_bytes < LITTLE_BYTES:
        return fail("disk", f"{said}: too little for a build.", fix)
    if least.free_bytes < _ENOUGH_BYTES:
        return warn("disk", f"{said}: less than 5 GiB.", fix)
    return ok("disk", said)


def clock(seen: Engine, paths: Iterable[Path]) -> Finding:
    """Whether the engine's clock is this machine's, and no file is from the future."""
    future = [(at, path) for path in paths if (at := _changed(path) - time.time()) > _SKEW_S]
    if future:
        ahead, path = max(future)
        return warn(
            "clock",
            f"{path.name} is from the future, by {ahead:.0f} s.",
            "set this machine's clock, or that of the file server; then touch the file",
        )
    if seen.ahead_s is None:
        return untold("clock", "the engine does not say what time it has", "docker info")
    if abs(seen.ahead_s) > _SKEW_S:
        way = "ahead" if seen.ahead_s > 0 else "behind"
        return warn(
            "clock",
            f"The engine's clock is {abs(seen.ahead_s):.0f} s {way}.",
            "restart the engine's virtual machine, or set the clock of its machine",
        )
    return ok("clock", "the engine has the same time")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def ports(docker: DockerCli, stack: Stack) -> Finding:
    """Whether somebody has a port that the compose files want to publish."""
    wanted = {
        (int(p.published), p.host_ip, s.name)
        for s in stack.services
        for p in s.ports
        if p.protocol == "tcp" and p.published.isascii() and p.published.isdigit()
    }
    if not wanted:
        return not_asked("ports", "no compose file asks for a port of its own")
    if not docker.is_local():
        return not_asked("ports", "the engine, and so its ports, are on another machine")
    try:
        taken = [
            f"{port} of {service}: {docker.holder(port) or 'somebody'}"
            for port, address, service in sorted(wanted)
            if _is_taken(port, address)
        ]
    except Unavailable as error:
        return untold("ports", error.what, error.hint)
    if not taken:
        return ok("ports", f"free: {', '.join(str(port) for port, _, _ in sorted(wanted))}")
    return warn(
        "ports",
        f"Taken: {'; '.join(taken)}. unstale's stacks do without: they get free ports.",
        "before a `docker compose up` by hand: end what has it, or `docker compose down`",
    )


def _is_taken(port: int, address: str) -> bool:
    """Whether it can't be bound; one below 1024 may be free, and not for us."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address or "", port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    except (OverflowError, ValueError):  # no port, no address
        return False
    return False


def bytecode(environ: Mapping[str, str]) -> Finding:
    """Whether the libraries of this Python are compiled."""
    specs = [spec for name in _COMPILED if (spec := _found(name))]
    if not specs:
        return not_asked("bytecode", "none of unstale's libraries is installed here")
    if environ.get("PYTHONDONTWRITEBYTECODE"):
        return warn("bytecode", "PYTHONDONTWRITEBYTECODE is set.", "unset PYTHONDONTWRITEBYTECODE")
    bare = [spec.name for spec in specs if not _is_compiled(spec)]
    if not bare:
        return ok("bytecode", "the libraries are compiled")
    folder = Path(str(specs[0].origin)).parents[1]
    return warn(
        "bytecode",
        f"Not compiled: {', '.join(bare)}. uv installs without, unless UV_COMPILE_BYTECODE=1.",
        f"{shlex.quote(sys.executable)} -m compileall -q {shlex.quote(str(folder))}",
    )


def _found(name: str) -> ModuleSpec | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec if spec is not None and spec.has_location else None


def _is_compiled(spec: ModuleSpec) -> bool:
    return spec.cached is None or Path(spec.cached).exists()


def leftovers(leases: Leases) -> Finding:
    """Whether a run that died has left something, as far as its lease tells."""
    try:
        dead = [one.run for one in leases.seen_dead()]
    except Interrupted:
        raise
    except UnstaleError as error:
        return untold("leftovers", error.what, error.hint)
    if not dead:
        return ok("leftovers", "every run that began has ended")
    shown = ", ".join((*dead[:_SHOWN], *(["..."] if dead[_SHOWN:] else [])))
    return warn("leftovers", f"Runs that died: {len(dead)} ({shown}).", "inv stack.reap", Reap())
