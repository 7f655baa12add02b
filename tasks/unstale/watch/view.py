"""What is known of a project when its files have changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from unstale.compose import Service
from unstale.config import Settings
from unstale.image.check import ImageStatus
from unstale.pipeline.images import needs_build
from unstale.project import Project
from unstale.schema import revisions
from unstale.verdict import Stale, word
from unstale.watch.decision import View

__all__ = ["look"]


def look(project: Project, env: str | None, changes: Collection[str]) -> View:
    """Look at the environment *env* after *changes*. Raises what `Project.site` raises."""
    site, statuses = project.footing(env)
    settings, root = project.settings, project.settings.root
    stale = [one for one in statuses if needs_build(one)]
    return View(
        environment=site.environment.name,
        stale={one.service: _paths(one) for one in stale},
        words={one.service: word(one.verdict) for one in stale},
        mounted={s.name: _mounted(s, root) for s in site.stack.services},
        env_files={
            name: _relative(one.env_files, root) for name, one in settings.environments.items()
        },
        compose_files=_relative(site.environment.compose_files, root),
        migrations=_migrations(settings),
        suites=settings.suites,
        runner=site.runner,
        ignored=_ignored(project, changes),
    )


def _paths(status: ImageStatus) -> tuple[str, ...]:
    verdict = status.verdict
    return tuple(one.path for one in verdict.reasons) if isinstance(verdict, Stale) else ()


def _mounted(service: Service, root: Path) -> tuple[str, ...]:
    """What *service* mounts of the project; a file that it is given at its start, too."""
    sources = [m.source for m in service.mounts if m.kind == "bind"]
    return _relative(map(Path, (*sources, *service.files)), root)


def _relative(paths: Iterable[Path], root: Path) -> tuple[str, ...]:
    return tuple(p.relative_to(root).as_posix() for p in paths if p.is_relative_to(root))


def _migrations(settings: Settings) -> tuple[str, ...]:
    """The folders of migrations, if the project has any."""
    schema, root = settings.schema, settings.root
    if schema.setup != "migrate":
        return ()
    ini = revisions.configuration(root, schema.alembic_ini, settings.local.directory)
    found = revisions.folders(ini, revisions.base(ini, root)) if ini else ()
    return _relative((path.resolve() for path in found), root.resolve())


def _ignored(project: Project, changes: Collection[str]) -> frozenset[str]:
    """Of *changes* what is there and git would not take."""
    listed = project.git.listed("") if changes else None
    if listed is None:
        return frozenset()
    root = project.settings.root
    known = set(listed)
    return frozenset(c for c in changes if (path := root / c) not in known and path.exists())
