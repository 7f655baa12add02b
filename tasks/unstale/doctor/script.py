"""What root has to do, as a script to read before it is run. Pure, but for the system's name."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unstale.doctor.finding import Need

__all__ = ["System", "packages", "script", "system"]

_OS_RELEASE = Path("/etc/os-release")
# Its own engine is too old, its Compose is v1, and it has no buildx.
_OLD_DEBIAN = "12"
_NEWER = ("bookworm", "trixie")

_DEBIAN = {
    "command": "docker-cli",
    "engine": "docker.io",
    "buildx": "docker-buildx",
    "compose": "docker-compose",
}
_PACKAGES: Mapping[str, Mapping[str, str]] = {
    "debian": _DEBIAN,
    # There the client is in the engine's package.
    "ubuntu": {**_DEBIAN, "command": "docker.io", "compose": "docker-compose-v2"},
    "dnf": {**_DEBIAN, "engine": "moby-engine"},
    "brew": {
        "command": "docker",
        "engine": "colima",
        "buildx": "docker-buildx",
        "compose": "docker-compose",
    },
}


@dataclass(frozen=True, slots=True)
class System:
    """What installs packages here."""

    kind: str
    """``debian``, ``ubuntu``, ``dnf`` or ``brew``; empty: none of them."""
    release: str = ""
    has_systemd: bool = False


def system(
    release: Path = _OS_RELEASE,
    which: Callable[[str], str | None] = shutil.which,
    platform: str = sys.platform,
) -> System:
    """The system that this is."""
    fields = _fields(release)
    like = {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}
    has_systemd = Path("/run/systemd/system").is_dir()
    if which("apt-get"):
        kind = "ubuntu" if "ubuntu" in like else "debian" if "debian" in like else ""
        return System(kind, fields.get("VERSION_ID", ""), has_systemd)
    if which("dnf"):
        return System("dnf", fields.get("VERSION_ID", ""), has_systemd)
    is_brew = platform == "darwin" and which("brew")
    return System("brew" if is_brew else "")


def _fields(release: Path) -> Mapping[str, str]:
    try:
        text = release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip("\"'") for key, equals, value in pairs if equals}


def packages(needs: Sequence[Need], on: System) -> tuple[str, ...]:
    """The packages that *needs* are in, each once."""
    names = _PACKAGES.get(on.kind, {})
    return tuple(dict.fromkeys(names[need] for need in needs if need in names))


def script(needs: Sequence[Need], on: System) -> str:
    """A shell script that sees to *needs*; it fetches nothing but packages of this system."""
    body = [*_install(needs, on), *_start(needs, on), *_join(needs)]
    if not body:
        return "# Nothing here needs root.\n"
    return "\n".join(("#!/bin/sh", "# Read it, then run it.", "set -eu", *body)) + "\n"


def _install(needs: Sequence[Need], on: System) -> Sequence[str]:
    if not {*needs} & {*_DEBIAN}:
        return ()
    words = " ".join(packages(needs, on))
    match on.kind:
        case "debian" if on.release == _OLD_DEBIAN:
            return (*_OLD_DEBIAN_INSTALL, f"newer_packages {words}")
        case "debian" | "ubuntu":
            return ("apt-get update", f"apt-get install --yes --no-install-recommends {words}")
        case "dnf":
            return (f"dnf install --assumeyes {words}",)
        case "brew":
            return ("# Not as root: Homebrew refuses that.", f"brew install {words}")
        case _:
            return (
                "# This system's packages are not known here. Install Docker Engine with its",
                "# compose and buildx plugins, and run the doctor again.",
                "exit 1",
            )


def _start(needs: Sequence[Need], on: System) -> Sequence[str]:
    if "start" not in needs:
        return ()
    if on.kind == "brew":
        return ("colima start",)
    if on.has_systemd:
        return ("systemctl start docker",)
    return ("(cd / && setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &)",)


def _join(needs: Sequence[Need]) -> Sequence[str]:
    if "group" not in needs:
        return ()
    return (
        "# To be in the group docker equals root on this machine: its members can mount any",
        "# folder into a container. A rootless engine or Podman needs none of this; think of",
        "# them first, and then take the # away. It counts from the next login on.",
        "# usermod -aG docker USER",
    )


# As ./bootstrap of this project does it: only the named packages come from the newer
# suite, from this system's own mirror, and nothing stays in /etc/apt. An entry of
# apt's sources is named FILE:NUMBER; the number counts stanzas in a deb822 file, and
# lines in one of the older form. Those of others than Debian have no newer suite.
_OLD_DEBIAN_INSTALL = f"""\
newer_packages() {{
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 0755 "$work" # apt fetches as a user of its own
    mkdir -p "$work/sources" "$work/lists/partial" "$work/cache" "$work/packages"
    chown _apt "$work/packages"
    apt-get update
    apt-get install --yes --no-install-recommends debian-archive-keyring
    apt-get indextargets --format '$(SOURCESENTRY)' \\
        'Created-By: Packages' 'Origin: Debian' | sort -u >"$work/entries"
    [ -s "$work/entries" ] || {{ echo "apt knows no Debian mirror here" >&2; exit 5; }}
    while read -r entry; do
        file=${{entry%:*}} number=${{entry##*:}}
        case $file in
        *.sources) awk -v RS= -v n="$number" 'NR == n {{ print $0 "\\n" }}' "$file" ;;
        *) awk -v n="$number" 'NR == n' "$file" ;;
        esac | sed 's/{_NEWER[0]}/{_NEWER[1]}/g' >>"$work/sources/debian.${{file##*.}}"
    done <"$work/entries"
    newer="-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$work/sources"
    newer="$newer -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache"
    apt-get $newer update
    (cd "$work/packages" && apt-get $newer download "$@")
    apt-get install --yes --no-install-recommends --no-remove "$work/packages"/*.deb
}}""".splitlines()
