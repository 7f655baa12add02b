"""Faults planted on purpose: each must be found, or the judge is blind there.

Each is a small patch of our own modules, applied while we are asked once more
about a state; the engine's verdict is the same for all.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from unstale.image import contexts, dockerignore, imageconfig, inputs, program, statcache, tree
from unstale.image.contexts import Contexts
from unstale.image.tree import ContextTree

Fault = Callable[[], AbstractContextManager[object]]


def _mode_bits() -> AbstractContextManager[object]:
    return patch.object(tree, "_mode", lambda _mode: 0)


def _link_targets() -> AbstractContextManager[object]:
    head = tree._head

    def without(name: str, mode: int, held: tuple[bytes, bytes]) -> bytes:
        return head(name, mode, (b"", b"") if stat.S_ISLNK(mode) else held)

    return patch.object(tree, "_head", without)


def _empty_folders() -> AbstractContextManager[object]:
    look = ContextTree._look

    def without(self: ContextTree, folder: str) -> Any:
        files, is_any, folders = look(self, folder)
        return files, is_any, tuple((name, head, True) for name, head, _ in folders)

    return patch.object(ContextTree, "_look", without)


def _base_env() -> AbstractContextManager[object]:
    start = imageconfig.start

    def without(fact: Any) -> Any:
        found = start(fact)
        return {**found, "Env": {"PATH": found["Env"]["PATH"]}}

    return patch.object(imageconfig, "start", without)


def _triggers() -> AbstractContextManager[object]:
    begin = program._Interpreter._begin

    def without(self: Any, *given: Any) -> Any:
        state, image = begin(self, *given)
        state.config.pop("OnBuild", None)
        return state, image

    return patch.object(program._Interpreter, "_begin", without)


def _bind_mounts() -> AbstractContextManager[object]:
    mount = program._Interpreter._mount

    def without(self: Any, *given: Any) -> Any:
        return replace(mount(self, *given), reads=())

    return patch.object(program._Interpreter, "_mount", without)


def _unreached_stages() -> AbstractContextManager[object]:
    exact = inputs._exact

    def with_all(start: Any, plan: Any, source: Any) -> Any:
        found = exact(start, plan, source)
        every = [[one.name, one.text] for s in source.stages for one in s.instructions]
        return replace(found, digest=f"{found.digest} {every}")

    return patch.object(inputs, "_exact", with_all)


def _empty_variable() -> AbstractContextManager[object]:
    """An empty source is taken for nothing."""
    clamp, found = program._clamp, inputs.found
    stack = ExitStack()
    stack.enter_context(patch.object(program, "_clamp", lambda s: clamp(s) if s else "\0"))
    stack.enter_context(
        patch.object(inputs, "found", lambda i, r: () if r.path == "\0" else found(i, r))
    )
    return stack


def _named_rules() -> AbstractContextManager[object]:
    """The main ignore file is applied to an additional context."""
    main = Contexts.main

    def remember(self: Any, build: Any) -> Any:
        found = main(self, build)
        rules[0] = found.rules
        return found

    rules: list[Any] = [()]
    stack = ExitStack()
    stack.enter_context(patch.object(Contexts, "main", remember))
    stack.enter_context(
        patch.object(Contexts, "additional", lambda self, root: self.tree(root, rules[0]))
    )
    return stack


def _recursive_glob() -> AbstractContextManager[object]:
    glob = ContextTree.glob

    def deep(self: ContextTree, pattern: str) -> tuple[str, ...]:
        if "**" not in pattern.split("/"):
            return glob(self, pattern)
        depths = ("/".join(["*"] * depth) for depth in range(4))
        forms = (pattern.replace("**", depth) for depth in depths)
        return tuple(sorted({path for form in forms for path in glob(self, form)}))

    return patch.object(ContextTree, "glob", deep)


def _heredocs() -> AbstractContextManager[object]:
    parse = inputs.dockerfile.parse

    def without(text: str) -> Any:
        source = parse(text)
        stages = tuple(
            replace(stage, instructions=tuple(map(_bodiless, stage.instructions)))
            for stage in source.stages
        )
        return replace(source, stages=stages)

    return patch.object(inputs.dockerfile, "parse", without)


def _bodiless(one: Any) -> Any:
    return replace(one, heredocs=tuple(replace(h, body="") for h in one.heredocs))


def _change_times() -> AbstractContextManager[object]:
    """The stat cache goes by size and mtime, as BuildKit does."""
    listed = statcache.listing.of

    def without(place: str) -> Any:
        return [(name, (*at[:4], 0, at[5])) for name, at in listed(place)]

    return patch.object(statcache.listing, "of", without)


def _first_rule_wins() -> AbstractContextManager[object]:
    parse = dockerignore.parse

    def reversed_rules(text: str) -> Any:
        return tuple(reversed(parse(text)))

    return patch.object(contexts.dockerignore, "parse", reversed_rules)


FAULTS: Mapping[str, Fault] = {
    "mode bits are not hashed": _mode_bits,
    "a link's target is not hashed": _link_targets,
    "an empty folder does not count": _empty_folders,
    "ENV of the base image is not known": _base_env,
    "ONBUILD triggers don't fire": _triggers,
    "bind mounts are not read": _bind_mounts,
    "stages count that the target does not need": _unreached_stages,
    "an empty source is nothing": _empty_variable,
    "a named context goes by the main ignore file": _named_rules,
    "two stars match any depth": _recursive_glob,
    "a heredoc's body does not count": _heredocs,
    "the stat cache ignores change times": _change_times,
    "the first ignore rule wins": _first_rule_wins,
}


@contextmanager
def planted(name: str) -> Iterator[Path]:
    """Our modules with the fault *name*; a folder's name for the state it needs."""
    with FAULTS[name]():
        yield Path(f"planted-{list(FAULTS).index(name)}")
