"""A build as a value: its folders, its Dockerfile, its options. Pure but for `Site`.

Nothing here knows what is right: the engine judges, `ours` is judged.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from unstale.compose import BuildSpec

Kind = Literal["file", "folder", "link", "fifo", "twin"]

# A fixed past: times are set, never inherited from the clock.
_EPOCH_NS = 1_600_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of a folder."""

    kind: Kind = "file"
    text: str = ""
    """A file's content, a link's target, the path whose hard link it is (surrogateescape)."""
    mode: int = 0o644
    mtime_s: int = 0
    xattr: str = ""
    """The value of ``user.oracle``; empty for none."""
    foreign: bool = False
    """Owned by another group."""


def file(text: str = "", mode: int = 0o644) -> Node:
    return Node("file", text, mode)


def folder(mode: int = 0o755) -> Node:
    return Node("folder", mode=mode)


def link(target: str) -> Node:
    return Node("link", target, 0o777)


def fifo() -> Node:
    return Node("fifo", mode=0o644)


def twin(path: str) -> Node:
    """A hard link to *path*."""
    return Node("twin", path)


Entries = Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a build reads; ``@TAG@`` in the Dockerfile is a name of the site's own."""

    context: Entries
    dockerfile: str = "Dockerfile"
    """Relative to the context; ``../beside/...`` is in `beside`."""
    inline: str | None = None
    target: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    beside: Entries = field(default_factory=dict)
    named: Mapping[str, Entries] = field(default_factory=dict)
    """Additional contexts that are folders."""
    named_images: Mapping[str, str] = field(default_factory=dict)
    """Additional contexts that are images: name to `engine.VARIANTS` key, or ``@TAG@``."""
    moving: str = ""
    """The variant that ``@TAG@`` points to; empty: it is not used."""
    root_mode: int = 0o755
    platforms: tuple[str, ...] = ()


def build(text: str, entries: Mapping[str, Node | str] | None = None, **more: Any) -> Scenario:
    """A scenario from a Dockerfile's *text* and its files; a text is a file."""
    found = {k: file(v) if isinstance(v, str) else v for k, v in (entries or {}).items()}
    if "inline" not in more and "dockerfile" not in more:
        found["Dockerfile"] = file(text)
    if "named" in more:
        more["named"] = {
            name: {k: file(v) if isinstance(v, str) else v for k, v in tree.items()}
            for name, tree in more["named"].items()
        }
    return Scenario(found, **more)


def having(scenario: Scenario, **entries: Node | str | None) -> Scenario:
    """*scenario* with other *entries* of the context; None removes one."""
    return having_paths(scenario, entries)


def having_paths(scenario: Scenario, entries: Mapping[str, Node | str | None]) -> Scenario:
    found = dict(scenario.context)
    for path, node in entries.items():
        if node is None:
            found.pop(path)
        else:
            found[path] = file(node) if isinstance(node, str) else node
    return replace(scenario, context=found)


def to_json(scenario: Scenario) -> str:
    return json.dumps(asdict(scenario))


def from_json(text: str) -> Scenario:
    raw = json.loads(text)
    for key in ("context", "beside"):
        raw[key] = {path: Node(**node) for path, node in raw[key].items()}
    raw["named"] = {
        name: {path: Node(**node) for path, node in tree.items()}
        for name, tree in raw["named"].items()
    }
    raw["args"] = tuple((name, value) for name, value in raw["args"])
    raw["platforms"] = tuple(raw["platforms"])
    return Scenario(**raw)


@dataclass(frozen=True, slots=True)
class Shown:
    """A scenario that lies on the disk."""

    scenario: Scenario
    context: Path
    named: Mapping[str, Path]
    tag: str
    """What ``@TAG@`` stands for."""

    @property
    def spec(self) -> BuildSpec:
        """As compose resolves it."""
        scenario = self.scenario
        images = {name: f"docker-image://{image}" for name, image in self.images.items()}
        folders = {name: str(path) for name, path in self.named.items()}
        return BuildSpec(
            context=str(self.context),
            dockerfile=scenario.dockerfile,
            dockerfile_inline=self.inline,
            target=scenario.target,
            args=tuple(sorted(scenario.args)),
            additional_contexts=tuple(sorted({**images, **folders}.items())),
            platforms=scenario.platforms,
        )

    @property
    def inline(self) -> str | None:
        inline = self.scenario.inline
        return None if inline is None else inline.replace("@TAG@", self.tag)

    @property
    def images(self) -> dict[str, str]:
        return {
            name: image.replace("@TAG@", self.tag)
            for name, image in self.scenario.named_images.items()
        }


class Site:
    """A place on the disk that shows one scenario after the other.

    Only what differs is rewritten, in place, so that inodes and change times are
    those of a real edit; we are asked about it there, with a warm stat cache. For
    the engine each context gets a new name each time: BuildKit's transfer cache
    goes by it, and may serve old bytes under a known one.
    """

    def __init__(self, root: Path, tag: str) -> None:
        self.tag = tag
        self.tagged = ""
        """The variant that the tag points to; empty: there is no such tag yet."""
        self._root = root
        self._written: dict[str, dict[str, Node]] = {}
        self._sent: dict[str, Path] = {}
        root.mkdir(parents=True)

    @property
    def state(self) -> Path:
        """Where our stat cache may stay between two answers."""
        return self._root / "state"

    def show(self, scenario: Scenario) -> Shown:
        """Write *scenario*, under the names that it always has here."""
        for key, path in self._sent.items():
            path.rename(self._root / key)
        self._sent = {}
        self._tree("context", scenario.context, scenario.root_mode)
        if scenario.beside or "beside" in self._written:
            self._tree("beside", scenario.beside)
        for name, entries in scenario.named.items():
            self._tree(f"named-{name}", entries)
        return self._shown(scenario, {})

    def send(self, scenario: Scenario) -> Shown:
        """The same under names that no builder has seen."""
        for key in self._written.keys() - {"beside"}:
            self._sent[key] = self._root / f"{key}-{uuid.uuid4().hex}"
            (self._root / key).rename(self._sent[key])
        return self._shown(scenario, self._sent)

    def remove(self) -> None:
        shutil.rmtree(self._root)

    def _shown(self, scenario: Scenario, paths: Mapping[str, Path]) -> Shown:
        def place(key: str) -> Path:
            return paths.get(key, self._root / key)

        named = {name: place(f"named-{name}") for name in scenario.named}
        return Shown(scenario, place("context"), named, self.tag)

    def _tree(self, key: str, entries: Entries, root_mode: int = 0o755) -> None:
        path = self._root / key
        path.mkdir(exist_ok=True)
        wanted = {
            name: replace(node, text=node.text.replace("@TAG@", self.tag))
            for name, node in _with_parents(entries).items()
        }
        _sync(path, self._written.get(key, {}), wanted)
        path.chmod(root_mode)
        self._written[key] = wanted


def _with_parents(entries: Entries) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for path in entries:
        parts = path.split("/")
        for end in range(1, len(parts)):
            found.setdefault("/".join(parts[:end]), folder())
    found |= dict(entries)
    # What was below a folder that became a file or a link is gone with it.
    return {path: node for path, node in found.items() if _has_place(path, found)}


def _has_place(path: str, entries: Entries) -> bool:
    above = path.rpartition("/")[0]
    return not above or (entries[above].kind == "folder" and _has_place(above, entries))


def _sync(root: Path, old: Entries, new: Entries) -> None:
    for path in sorted(old, reverse=True):
        if (
            path not in new
            or new[path].kind != old[path].kind
            or old[path].kind in ("link", "twin")
        ):
            target = root / path
            target.rmdir() if old[path].kind == "folder" else target.unlink()
    changed = [p for p in sorted(new) if old.get(p) != new[p] or new[p].kind in ("link", "twin")]
    for path in sorted(changed, key=lambda p: new[p].kind == "twin"):
        _write(root, path, new[path], fresh=path not in old or old[path].kind != new[path].kind)


def _write(root: Path, name: str, node: Node, *, fresh: bool) -> None:
    path = root / name
    match node.kind:
        case "link":
            path.symlink_to(node.text)
            return
        case "twin":
            path.hardlink_to(root / node.text)
            return
        case "folder" if fresh:
            path.mkdir()
        case "fifo" if fresh:
            os.mkfifo(path)
        case "file":
            path.write_bytes(node.text.encode(errors="surrogateescape"))
    _attributes(path, node)


def _attributes(path: Path, node: Node) -> None:
    os.chown(path, -1, _other_group() if node.foreign else os.getegid())
    path.chmod(node.mode)  # after chown, which clears setuid
    if node.kind == "file":
        if node.xattr:
            os.setxattr(path, "user.oracle", node.xattr.encode())
        elif "user.oracle" in os.listxattr(path):
            os.removexattr(path, "user.oracle")
    moment = _EPOCH_NS + node.mtime_s * 10**9
    os.utime(path, ns=(moment, moment))


def _other_group() -> int:
    if os.geteuid() == 0:
        return 4321
    return next(group for group in os.getgroups() if group != os.getegid())
