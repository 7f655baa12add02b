"""``env.sync``: plan the keys that env files lack, and add them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from unstale.config import Environment, Settings
from unstale.parity import envfile, sources, sync
from unstale.pipeline.environments import environment
from unstale.ports import Files

__all__ = ["Synced", "synced"]


@dataclass(frozen=True, slots=True)
class Synced:
    """One env file, and what `env.sync` would add to it or has added."""

    plan: sync.SyncPlan
    text: str = field(repr=False)
    """As it was."""
    name: str
    """Relative to the project."""


def synced(
    settings: Settings, files: Files, names: Sequence[str], *, write: bool
) -> tuple[Synced, ...]:
    """Plan what the last env file of each environment lacks; with *write*, add it."""
    chosen = [environment(settings, name) for name in names or sorted(settings.environments)]
    everywhere = {
        key: None
        for env in settings.environments.values()
        if env.env_files
        for key in envfile.merged(env.env_files)
    }
    found = tuple(_synced(settings, env, everywhere) for env in chosen if env.env_files)
    if write:
        for one in found:
            if one.plan.additions:
                files.write_atomic(one.plan.path, sync.apply(one.text, one.plan))
    return found


def _synced(settings: Settings, env: Environment, everywhere: Iterable[str]) -> Synced:
    """The last file is the one that decides; what an earlier one has is not missing."""
    path = env.env_files[-1]
    example = envfile.example_of(path)
    document = sync.load(path)
    others = {key for one in env.env_files[:-1] for key in envfile.merged([one])}
    plan = sync.plan(document, sync.load(example) if example else None, set(everywhere) - others)
    kept = tuple(one for one in plan.additions if one.key not in others)
    return Synced(replace(plan, additions=kept), document.text, sources.shown(path, settings.root))
