"""Holds a stack against the bounds of its repository: told in a run, or refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from unstale.compose import unescaped
from unstale.errors import ConfigError
from unstale.mask import is_secret
from unstale.parity import envfile, yaml_lines
from unstale.pipeline.site import Site
from unstale.ports import Docker, Files
from unstale.stack.policy import Reach, env_files, reaches

__all__ = ["require_none", "told"]

# Compose hands on what an env file sets to the programs that it starts.
_OBEYED = r"(?:LD|DYLD|GIT|DOCKER|BUILDX|BUILDKIT|SSH)_.*|PATH"


def told(site: Site) -> tuple[str, ...]:
    """What of *site* a person should know before it is started, in a line each."""
    found = reaches(unescaped(site.model), _is_inside(site.settings.root))
    return (
        *(f"{r.service}: {r.field}: {r.what}" for r in found if not r.is_usual),
        *(
            f"{s.name}: build.args.{key}: stays readable in the image; a build secret does not"
            for s in site.stack.built
            for key, value in (s.build.args if s.build else ())
            if value and is_secret(key, value)
        ),
    )


def require_none(docker: Docker, files: Files, site: Site, environ: Mapping[str, str]) -> None:
    """Refuse a stack that reaches anything outside of its containers.

    Raises:
        ConfigError: naming each service, field and place.

    """
    is_inside = _is_inside(site.settings.root)
    raw = docker.resolved(site.target, raw=True).model
    found = (*reaches(unescaped(site.model), is_inside), *env_files(raw, is_inside))
    lines = yaml_lines.read(site.environment.compose_files, files.read_text)
    rows = [f"{r.service}: {r.field}{_place(lines, r, site)}: {r.what}" for r in found]
    rows += [f"{path.name}: {name}: changes what docker does" for path, name in _obeyed(site)]
    if rows:
        asked = "--untrusted" if environ.get("UNSTALE_UNTRUSTED") == "flag" else "UNSTALE_UNTRUSTED"
        raise ConfigError(
            "This stack reaches out of its containers, and it is not trusted.",
            cause="\n".join(f"  {row}" for row in rows).lstrip(),
            hint=f"take that out, or leave out {asked} if you trust who wrote it",
        )


def _place(lines: yaml_lines.ComposeLines, reach: Reach, site: Site) -> str:
    found = lines.nearest(reach.service, *reach.path)
    if found is None:
        return ""
    file = found.file
    root = site.settings.root
    name = file.relative_to(root) if file.is_relative_to(root) else file
    return f" ({name}:{found.line})"


def _obeyed(site: Site) -> Iterable[tuple[Path, str]]:
    """What the env files that compose reads set of what other programs obey."""
    beside = site.environment.compose_files[0].parent / ".env"
    for path in site.target.env_files or ((beside,) if beside.is_file() else ()):
        names = sorted(envfile.merged([path]))
        yield from ((path, name) for name in names if re.fullmatch(_OBEYED, name))


def _is_inside(root: Path) -> Callable[[str], bool]:
    """Whether a path is within the repository that *root* is in, links followed.

    A home that is a repository itself is none: all that one has is in there.
    """
    home = Path.home().resolve()
    real = root.resolve()
    above = (f for f in (real, *real.parents) if (f / ".git").exists())
    top = next((f for f in above if f not in (home, *home.parents)), real)

    def is_inside(path: str) -> bool:
        return Path(path).resolve().is_relative_to(top)

    return is_inside
