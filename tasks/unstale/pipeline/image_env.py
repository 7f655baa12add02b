"""The variables that images set themselves, by Dockerfile or as the engine has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from unstale import compose
from unstale.errors import ConfigError, EngineUnavailable, Interrupted, UnstaleError
from unstale.facts import ImageFact
from unstale.image import dockerfile, imageconfig
from unstale.image.dockerfile import Unresolved
from unstale.image.plan import Given
from unstale.image.program import resolve
from unstale.parity.model import Item, Source
from unstale.parity.sources import shown
from unstale.ports import Docker

__all__ = ["ImageSays", "Images"]


@dataclass(frozen=True, slots=True)
class ImageSays:
    """What an image gives a container that compose says nothing of."""

    variables: Sequence[Item] = ()
    """Each with its source."""
    words: tuple[str, ...] = ()
    """What it is FROM, and what it starts."""


@dataclass(slots=True)
class Images:
    """Finds what images say; each image is asked for once, however many environments there are."""

    docker: Docker
    environ: Mapping[str, str]
    root: Path
    _images: dict[str, ImageFact | None] = field(default_factory=dict)
    _is_gone: bool = False

    def of(self, model: Mapping[str, object]) -> tuple[Mapping[str, ImageSays], tuple[str, ...]]:
        """What the images of *model* say, by service, and what could not be told.

        An image that is built here sets what its Dockerfile says now, whether it has been
        built or not. Nothing is known of images that are not on this machine.
        """
        found: dict[str, ImageSays] = {}
        notes: list[str] = []
        stack = compose.parse(model)
        for service in stack.services:
            about = f"what the Dockerfile of {service.name} sets was not compared"
            try:
                found[service.name] = self._says(service)
            except Interrupted:
                raise
            except UnstaleError as error:
                notes.append(f"{about}: {error.what}")
            except Unresolved as error:
                notes.append(f"{about}: {error}")
            except OSError as error:
                notes.append(f"{about}: it can't be read ({error.strerror})")
        return found, tuple(notes)

    def _says(self, service: compose.Service) -> ImageSays:
        if service.build is not None:
            return self._built(service.build)
        fact = self._image(service.image)
        if fact is None:
            return ImageSays()  # what it sets follows from its name
        source = Source("image", service.image)
        pairs = (line.partition("=") for line in fact.environment)
        return ImageSays(
            [Item("environment", name, value, source=source) for name, _, value in pairs]
        )

    def _built(self, build: compose.BuildSpec) -> ImageSays:
        """What the Dockerfile says: its own text is read, and nothing of the context."""
        if not build.is_local:
            raise ConfigError("it is built from somewhere else")
        path = build.dockerfile_path
        text = build.dockerfile_inline or path.read_text("utf-8", "surrogateescape")
        parsed = dockerfile.parse(text)
        args = {name: self.environ.get(name) if v is None else v for name, v in build.args}
        given = Given(
            build.target,
            {name: value for name, value in args.items() if value is not None},
            lambda reference, _platform: self._image(reference),
            self._platform,
            self._platform,
        )
        plan = resolve(parsed, given)
        lines = {
            name: one.line
            for stage in plan.chain
            for one in parsed.stages[stage.number].instructions
            if one.name == "ENV"
            for name, _ in dockerfile.name_values(one)
        }
        file = "" if build.dockerfile_inline else shown(path, self.root)
        config = imageconfig.commands(plan.stages[plan.target].config)
        started = (cast("Sequence[str]", config[key] or ()) for key in ("Entrypoint", "Cmd"))
        return ImageSays(
            [
                Item("environment", name, value, source=Source("dockerfile", file, lines.get(name)))
                for name, value in cast("Mapping[str, str]", config["Env"]).items()
            ],
            (*(stage.image for stage in plan.chain), *(word for part in started for word in part)),
        )

    def _image(self, reference: str) -> ImageFact | None:
        if reference not in self._images and not self._is_gone:
            try:
                self._images[reference] = self.docker.image(reference)
            except EngineUnavailable:
                self._is_gone = True
            except Interrupted:
                raise
            except UnstaleError:
                # No reference that an engine takes: the run will say so.
                self._images[reference] = None
        return self._images.get(reference)

    def _platform(self) -> str:
        return "linux/amd64" if self._is_gone else self.docker.platform()
