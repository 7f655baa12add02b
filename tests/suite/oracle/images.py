"""What the engine knows of the base images, asked once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache

from engine import VARIANTS, reference

from unstale.adapters.docker import DockerCli
from unstale.adapters.process import SystemProcess
from unstale.facts import ImageFact


class Library:
    """The base images by name; a moved tag is a second name."""

    def __init__(self) -> None:
        docker = DockerCli(SystemProcess(), os.environ)
        self._ask = cache(docker.image)

    def lookup(self, tags: Mapping[str, str]) -> Callable[[str], ImageFact | None]:
        """A function from a reference to the image; *tags*: further names to variants."""

        def find(name: str) -> ImageFact | None:
            name = name.removeprefix("docker.io/").removesuffix(":latest")
            variant = tags.get(name) or name.removeprefix("unstale-oracle/")
            return self._ask(reference(variant)) if variant in VARIANTS else None

        return find
