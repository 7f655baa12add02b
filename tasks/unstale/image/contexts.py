"""Opens build contexts: which ignore file counts, and one walk for all services."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from unstale.compose import BuildSpec
from unstale.errors import CouldNotTell
from unstale.image import dockerignore
from unstale.image.dockerignore import Rules
from unstale.image.statcache import StatCache
from unstale.image.tree import ContextTree

__all__ = ["Contexts", "ignore_file"]


class Contexts:
    """The contexts of one command; services that share a root share its scan.

    *state* is the folder of the stat caches; None keeps them in memory. *hidden*
    is a folder that is left out of every build context: what unstale writes
    itself, which would make each image stale that copies the whole checkout. Not
    *keeps*: the caches in *state* are only read. *seal* is a secret of this machine, by
    which a cache that another one wrote, or a checkout brought, is known.
    """

    def __init__(
        self,
        state: Path | None = None,
        hidden: Path | None = None,
        *,
        keeps: bool = True,
        seal: bytes = b"",
    ) -> None:
        self._state = state
        self._keeps = keeps
        self._seal = seal
        self._hidden = hidden
        self._caches: dict[Path, StatCache] = {}
        self._trees: dict[tuple[Path, Rules], ContextTree] = {}

    def main(self, build: BuildSpec) -> ContextTree:
        """The build context of *build*.

        Raises:
            CouldNotTell: its ignore file has a pattern that can't be applied.

        """
        root = Path(build.context)
        text = _text(ignore_file(build))
        return self.tree(root, dockerignore.parse(f"{text}\n{self._own_line(root, text)}"))

    def leaves_out(self, build: BuildSpec, path: Path) -> bool:
        """Whether the builder never gets to see *path*: another folder's, or ignored."""
        root = Path(build.context)
        if not path.is_relative_to(root):
            return True
        rules = dockerignore.parse(_text(ignore_file(build)))
        return path != root and _is_left_out(path.relative_to(root).as_posix(), rules)

    def lacks(self, build: BuildSpec) -> str:
        """The line that the ignore file of *build* lacks; empty if it lacks none."""
        root = Path(build.context)
        return self._own_line(root, _text(ignore_file(build)))

    def _own_line(self, root: Path, text: str) -> str:
        if self._hidden is None or not self._hidden.is_relative_to(root):
            return ""
        path = self._hidden.relative_to(root).as_posix()
        if _is_left_out(path, dockerignore.parse(text)):
            return ""
        return re.sub(r"([\\*?\[\]!#])", r"\\\1", path)

    def additional(self, root: Path) -> ContextTree:
        """An additional context: its own root's .dockerignore applies, no other."""
        text = _text(followed(root / ".dockerignore"))
        return self.tree(root, dockerignore.parse(f"{text}\n{self._own_line(root, text)}"))

    def lets_in(self, root: Path) -> bool:
        """Whether the ignore file of the additional context *root* lets *hidden* in."""
        return bool(self._own_line(root, _text(followed(root / ".dockerignore"))))

    def whole(self, root: Path) -> ContextTree:
        """The folder *root* with all that is in it, but for *hidden*."""
        return self.tree(root, dockerignore.parse(self._own_line(root, "")))

    def tree(self, root: Path, rules: Rules) -> ContextTree:
        """The folder *root* as *rules* leave it; the same tree for the same question."""
        key = (root, rules)
        if key not in self._trees:
            self._trees[key] = ContextTree(root, rules, self._cache(root))
        return self._trees[key]

    def _cache(self, root: Path) -> StatCache:
        if root not in self._caches:
            name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
            path = None if self._state is None else self._state / f"{name}.cache"
            self._caches[root] = (
                StatCache()
                if path is None
                else StatCache.load(path, keeps=self._keeps, seal=self._seal)
            )
        return self._caches[root]

    def rescan(self) -> None:
        """Look at every folder anew from now on."""
        self._trees.clear()
        for cache in self._caches.values():
            cache.rescan()

    def save(self) -> None:
        """Keep for the next command what was learnt of the files."""
        for cache in self._caches.values():
            cache.save()


def ignore_file(build: BuildSpec) -> Path | None:
    """The ignore file that counts: the Dockerfile's own, even an empty one, wins."""
    common = followed(Path(build.context) / ".dockerignore")
    if build.dockerfile_inline is not None:
        return common
    own = build.dockerfile_path.with_name(build.dockerfile_path.name + ".dockerignore")
    return followed(own) or common


def followed(path: Path) -> Path | None:
    """The file that the builder finds for *path*; None: it goes by no rules, in silence.

    A link is followed inside of its folder, as if that were all there is: an
    absolute target begins there.
    """
    if not path.is_symlink():
        return path if path.is_file() else None
    place = ContextTree(path.parent, dockerignore.parse("")).resolve(path.name)
    found = None if place is None else path.parent / place
    return found if found is not None and found.is_file() else None


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except OSError as error:
        raise CouldNotTell(
            f"{path.name} can't be read: {error.strerror}.", hint=f"ls -l {path}"
        ) from error


def _is_left_out(path: str, rules: Rules) -> bool:
    out, said = False, (False,) * len(rules)
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        out, said = dockerignore.step("/".join(parts[:end]), rules, said)
    return out
