"""A small build on a real disk, the images it may start from, and what is read of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from unstale.compose import BuildSpec
from unstale.facts import ArchiveMember, ImageFact
from unstale.image.contexts import Contexts
from unstale.image.inputs import BuildInputs, build_inputs

__all__ = ["Checkout", "image_fact", "member"]


def image_fact(
    *layers: str,
    image_id: str = "sha256:1",
    tags: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
    is_pulled: bool = False,
    **config: Any,
) -> ImageFact:
    """An image with *layers* and with *config*, in the names of its Config."""
    if labels is not None:
        config["Labels"] = dict(labels)
    return ImageFact(
        id=image_id,
        tags=tags,
        created=None,
        labels=config.get("Labels", {}),
        size_bytes=1,
        architecture="amd64",
        os="linux",
        working_dir=config.get("WorkingDir", ""),
        layers=layers,
        environment=tuple(config.get("Env", ())),
        config=json.dumps(config, sort_keys=True),
        on_build=tuple(config.get("OnBuild", ())),
        is_pulled=is_pulled,
    )


def member(path: str, content: str | bytes = b"", *, mode: int = 0o644) -> ArchiveMember:
    """A regular file of an image."""
    held = content.encode() if isinstance(content, str) else content
    return ArchiveMember(PurePosixPath(path), mode, None, held)


@dataclass
class Checkout:
    """A folder that is a build context, and the local images by name."""

    root: Path
    images: dict[str, ImageFact] = field(default_factory=dict)

    def write(self, files: Mapping[str, str | bytes]) -> Checkout:
        """Make *files*; a name with a slash at its end is an empty folder."""
        for name, content in files.items():
            place = self.root / name
            folder = place if name.endswith("/") else place.parent
            for missing in reversed([p for p in (folder, *folder.parents) if not p.exists()]):
                missing.mkdir()
                missing.chmod(0o755)
            if not name.endswith("/"):
                place.write_bytes(content.encode() if isinstance(content, str) else content)
                place.chmod(0o644)
        return self

    def spec(self, text: str | None = None, **options: Any) -> BuildSpec:
        """The build section of a service; *text* becomes the Dockerfile."""
        if text is not None:
            self.write({"Dockerfile": text})
        known: dict[str, Any] = {
            "context": str(self.root),
            "dockerfile": "Dockerfile",
            "dockerfile_inline": None,
            "target": None,
            "args": (),
            "additional_contexts": (),
            "platforms": (),
        }
        return BuildSpec(**{**known, **options})

    def inputs(
        self,
        text: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        contexts: Contexts | None = None,
        platform: str = "linux/amd64",
        **options: Any,
    ) -> BuildInputs:
        """What the build reads now."""
        spec = self.spec(text, **options)
        return build_inputs(spec, environ or {}, self.images.get, contexts, lambda: platform)

    def digest(self, text: str | None = None, **options: Any) -> str:
        """The digest of what the build reads, all of which can be told."""
        found = self.inputs(text, **options)
        assert found.unknown == ()
        return found.digest
