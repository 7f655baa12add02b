"""Platforms, as compose files and images name them: whether the engine can run them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from unstale.errors import EngineUnavailable, Fault
from unstale.ports import Docker

__all__ = ["require"]

# As containerd reads them.
_SYSTEMS = frozenset({"darwin", "freebsd", "linux", "windows"})
_ALIASES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "armhf": "arm/v7",
    "armel": "arm/v6",
}
# The variant that is meant where none is named.
_PLAIN = ("amd64/v1", "arm64/v8")


def require(docker: Docker, asked: Mapping[str, str]) -> None:
    """Refuse a program for another machine than the engine's, unless it can emulate that.

    *asked* has platforms by what is for them, in words.

    Raises:
        EngineUnavailable: the engine can't run one of them.

    """
    if not asked:
        return
    own = docker.platform()
    wanted = {what: _normal(platform, own) for what, platform in asked.items()}
    if {*wanted.values()} == {own}:
        return
    runs = docker.platforms()
    known = [_normal(one, own) for one in runs]
    for what, platform in sorted(wanted.items()):
        if runs and not any(_is_one(platform, one) or _is_one(one, platform) for one in known):
            raise EngineUnavailable(
                f"{what} is for {platform}, and this engine runs {own}.",
                cause=f"It can run {', '.join(runs)}; a program for another machine ends with"
                " 'exec format error'.",
                hint=f"set platform: {own} in its service and take an image for that, or install"
                f" an emulator for {platform}",
                fault=Fault.CONFIGURATION,
            )


def _is_one(platform: str, known: str) -> bool:
    """Whether *platform* is *known*, or a variant of it."""
    return f"{platform}/".startswith(f"{known}/")


def _normal(platform: str, own: str) -> str:
    """*platform* by its one name; what it leaves out is as in the engine's *own*."""
    system, _, machine = re.sub(r"\(.*?\)|\s", "", platform.lower()).partition("/")
    if not machine:
        own_system, _, own_machine = own.partition("/")
        is_system = system in _SYSTEMS
        system, machine = (system, own_machine) if is_system else (own_system, system)
    name, _, variant = machine.partition("/")
    name = _ALIASES.get(name, name)
    if variant and "/" not in name:
        name += f"/v{variant.removeprefix('v')}"
    return f"{system}/{name.partition('/')[0] if name in _PLAIN else name}"
