"""What compose is to resolve for an environment."""

from __future__ import annotations

from unstale.config import Environment, Settings
from unstale.ports import ComposeTarget
from unstale.stack.names import image_project

__all__ = ["target_of"]


def target_of(settings: Settings, environment: Environment) -> ComposeTarget:
    """The files of *environment*, under the stable project that its images are built in."""
    machine = settings.state_folder / "images.env"
    return ComposeTarget(
        project=image_project(settings.root, environment.name),
        files=environment.compose_files,
        env_files=(*((machine,) if machine.exists() else ()), *environment.env_files),
        profiles=("*",),
    )
