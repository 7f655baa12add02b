"""A project on a real disk whose images a builder makes that can be told to err."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checkout import Checkout, image_fact, member

from unstale.compose import parse
from unstale.config import Environment, RunnerSettings, SchemaSettings, Settings
from unstale.facts import ArchiveMember, ImageFact
from unstale.mask import Mask
from unstale.pipeline.builds import Build, build
from unstale.pipeline.images import Bench, statuses
from unstale.pipeline.site import Ports, Site
from unstale.ports import BuildOptions, ComposeTarget

if TYPE_CHECKING:
    from conftest import FakeDocker, FakeFiles

__all__ = ["BASE", "TEXT", "Workshop"]

TEXT = "FROM base\nCOPY src /app/\n"
BASE = image_fact("sha256:base", image_id="sha256:b", tags=("base",))


class Workshop:
    """A project with built services, and an engine whose builder can be told to err."""

    def __init__(
        self, checkout: Checkout, ports: Ports, docker: FakeDocker, files: FakeFiles
    ) -> None:
        self.checkout = checkout
        self.ports = ports
        self.docker = docker
        self.files = files
        self.services: dict[str, dict[str, Any]] = {"app": {}}
        """The `build` section of each service."""
        self.more: dict[str, dict[str, Any]] = {}
        """What else the compose file says, by service."""
        self.held: list[Sequence[ArchiveMember]] = []
        """What the images of the next builds hold; then what the tree has."""
        self.during: Callable[[], object] = lambda: None
        """What happens while a build goes on."""
        self.builds: list[tuple[str, Mapping[str, Any], BuildOptions]] = []
        """Each service that was built, with its overlay."""
        self.notes: tuple[str, ...] = ()
        docker.on_build = self._build
        docker.local_images.append(BASE)

    @property
    def bench(self) -> Bench:
        """The bench of a new command."""
        root = self.checkout.root
        services = {
            name: {"build": {"context": str(root), "dockerfile": "Dockerfile", **section}}
            for name, section in self.services.items()
        }
        model = {
            "name": "demo",
            "services": {
                name: {**services.get(name, {}), **self.more.get(name, {})}
                for name in {**services, **self.more}
            },
        }
        environment = Environment("test", (), ())
        settings = Settings(
            root, "test", {"test": environment}, RunnerSettings(), {}, SchemaSettings(), (), ()
        )
        site = Site(
            settings=settings,
            environment=environment,
            stack=parse(model),
            target=ComposeTarget("demo", (root / "compose.yml",)),
            runner="app",
            database=None,
            values=(),
            mask=Mask(),
            owner="me",
            machine_folder=root.parent / "machine",
        )
        return Bench(self.ports, self.files, site, {})

    def _build(self, target: ComposeTarget, services: Sequence[str], options: BuildOptions) -> None:
        text = self.files.texts[target.files[-1]].replace("!reset null", "null")
        overlay = json.loads(text)["services"]
        for name in services:
            section = overlay[name].get("build", {})
            self.builds.append((name, section, options))
            fact = image_fact(
                "sha256:base",
                "sha256:copy",
                image_id=f"sha256:{len(self.builds)}",
                labels=section.get("labels", {}),
            )
            self.docker.local_images.append(fact)
            self.docker.tag(fact.id, overlay[name]["image"])
            self.docker.archives[fact.id] = list(self.held.pop(0) if self.held else self.right())
        self.during()

    def right(self) -> list[ArchiveMember]:
        """What an image holds that was built from the tree as it is."""
        root = self.checkout.root / "src"
        return [member(f"/app/{p.relative_to(root)}", p.read_bytes()) for p in root.rglob("*.py")]

    def build(self, *services: str, **choice: Any) -> None:
        self.notes = build(
            self.bench, services or tuple(self.services), Build(**choice), lambda _: None
        )

    def verdict(self, service: str = "app") -> object:
        return next(s.verdict for s in statuses(self.bench) if s.service == service)

    def image(self, service: str = "app") -> ImageFact:
        found = self.docker.image(f"demo-{service}")
        assert found is not None
        return found

    def ledger(self) -> list[dict[str, Any]]:
        text = self.files.texts.get(self.bench.ledger_path, "")
        return [json.loads(line) for line in text.splitlines()]

    def links(self) -> list[str]:
        """The names that the contexts of the builds so far were sent under."""
        return [Path(section["context"]).name for _, section, _ in self.builds]
