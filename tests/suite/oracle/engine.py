"""BuildKit as the judge: builds many scenarios in one call and says what came out.

Each build is a cached rebuild under a new base name of its context, so that the
transfer cache can't serve old bytes. One call of `docker buildx bake` a build,
two at once: many targets in one call cost less (0.08 s against 0.17 s) until
one of them fails, which cancels the others.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenario import Shown

LABEL = "dev.unstale.oracle"
_REPOSITORY = "unstale-oracle"

_SHELL = """\
FROM scratch
COPY --chmod=755 busybox /b/busybox
RUN ["/b/busybox", "sh", "-c", \
    "cd /b && ./busybox mkdir -p /bin && ./busybox mkdir -m 1777 /w && ./busybox --install /bin"]
ENV PATH=/bin
RUN echo one > /w/base
"""
_ON = f"FROM {_REPOSITORY}/plain\n"

VARIANTS: Mapping[str, str] = {
    "plain": _SHELL,
    "relabelled": f"{_ON}LABEL base=relabelled\n",
    "moved": f"{_ON}RUN echo two > /w/base\n",
    "env": f"{_ON}ENV SRC=src FROM_BASE=one\n",
    "env2": f"{_ON}ENV SRC=lib FROM_BASE=two\n",
    "onbuild": f"{_ON}ONBUILD COPY src /onbuild/\n",
    "onbuild2": f"{_ON}ONBUILD COPY lib /onbuild/\n",
    "onbuild-run": f"{_ON}ONBUILD RUN cat /proc/sys/kernel/random/uuid > /w/onbuild\n",
}
"""The local base images, by the last part of their name: ``unstale-oracle/KEY``."""


def reference(variant: str) -> str:
    """The name of a base image."""
    return f"{_REPOSITORY}/{variant}"


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made, without times and history."""

    layers: tuple[str, ...]
    config: str
    """The image's Config, platform included, as sorted JSON."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The builder's last words."""

    why: str


Outcome = Built | Refused


class Engine:
    """The local engine. What it makes carries `LABEL` with the run's name."""

    def __init__(self, run: str, work: Path, jobs: int = 2) -> None:
        self.run = run
        self._work = work
        self._jobs = jobs
        self.builds = 0

    def prepare(self) -> None:
        """Make the base images that are not there."""
        missing = [v for v in VARIANTS if not _succeeds("docker", "image", "inspect", reference(v))]
        for variant in missing:
            with tempfile.TemporaryDirectory(prefix=f"base-{variant}-") as place:
                Path(place, "Dockerfile").write_text(VARIANTS[variant])
                if variant == "plain":
                    shutil.copy(_busybox(Path(place)), Path(place, "busybox"))
                label = ("--label", f"{LABEL}.base={variant}")
                _docker("build", "--quiet", *label, "--tag", reference(variant), place)

    def move(self, tag: str, variant: str) -> None:
        """Let *tag* point to *variant*."""
        _docker("tag", reference(variant), tag)

    def build(self, shown: Sequence[Shown]) -> list[Outcome]:
        """Build all; none sees another's second."""
        found = self._build(shown) if shown else []
        _wait_for_the_next_second()
        return found

    def _build(self, shown: Sequence[Shown]) -> list[Outcome]:
        self.builds += len(shown)
        with ThreadPoolExecutor(self._jobs) as pool:
            answers = list(pool.map(self._bake, shown))
        ids = [answer for answer in answers if isinstance(answer, str)]
        facts = {fact["Id"]: _outcome(fact) for fact in self.facts(sorted(set(ids)))} if ids else {}
        return [facts[one] if isinstance(one, str) else one for one in answers]

    def _bake(self, shown: Shown) -> str | Refused:
        """The image's id."""
        with tempfile.TemporaryDirectory(dir=self._work) as place:
            plan, answers = Path(place, "bake.json"), Path(place, "answers.json")
            plan.write_text(json.dumps({"target": {"default": self._target(shown)}}))
            command = ("docker", "buildx", "bake", "--progress=plain", "--file", plan)
            done = subprocess.run(
                (*command, "--metadata-file", answers),
                capture_output=True,
                text=True,
                errors="surrogateescape",
                check=False,
            )
            if done.returncode:
                return Refused(done.stderr[-600:])
            return str(json.loads(answers.read_text())["default"]["containerimage.digest"])

    def facts(self, references: Sequence[str]) -> list[Any]:
        """`docker image inspect` of each."""
        return list(json.loads(_docker("image", "inspect", *references)))

    def remove_images(self) -> None:
        """Remove what this run built; the base images stay."""
        _docker("image", "prune", "--force", "--filter", f"label={LABEL}={self.run}")

    def remove_tags(self, tags: Sequence[str]) -> None:
        if tags:
            _docker("image", "rm", "--force", *tags)

    def prune_cache(self) -> None:
        """Drop the builder's copies of contexts that nobody used for ten minutes.

        A build under a new name leaves about three, and whoever else had one
        loses no more than a transfer. Often, since each pruning goes over all
        records many times: with 27,000 of them it took more than ten minutes,
        in which other builds waited for seconds.
        """
        idle = ("--filter", "until=10m", "--filter", "type=source.local")
        _docker("builder", "prune", "--force", *idle)

    def _target(self, shown: Shown) -> dict[str, Any]:
        spec = shown.spec
        target: dict[str, Any] = {
            "context": spec.context,
            "labels": {LABEL: self.run},
            "output": ["type=image"],
            "args": {name: _literal(value or "") for name, value in spec.args},
            "contexts": dict(spec.additional_contexts),
        }
        if spec.dockerfile_inline is None:
            target["dockerfile"] = str(Path(spec.context) / spec.dockerfile)
        else:
            target["dockerfile-inline"] = _literal(spec.dockerfile_inline)
        if spec.target:
            target["target"] = spec.target
        if spec.platforms:
            target["platforms"] = list(spec.platforms)
        return target


def _outcome(fact: Any) -> Built:
    config = dict(fact["Config"])
    labels = {k: v for k, v in (config.get("Labels") or {}).items() if not k.startswith(LABEL)}
    config["Labels"] = labels
    platform = [fact["Os"], fact["Architecture"], fact.get("Variant", "")]
    layers = tuple(fact["RootFS"].get("Layers") or ())
    return Built(layers, json.dumps([config, platform], sort_keys=True))


def _wait_for_the_next_second() -> None:
    # A layer holds times in whole seconds: a step that runs again within one
    # makes the same layer, and would pass for cached.
    time.sleep(1.01 - time.time() % 1)


def _literal(text: str) -> str:
    # Bake reads strings as HCL templates.
    return text.replace("${", "$${").replace("%{", "%%{")


def _busybox(place: Path) -> Path:
    """A shell without libraries, from the machine or from Debian's archive."""
    local = shutil.which("busybox")
    if (
        local
        and b"not a dynamic executable"
        in subprocess.run(("ldd", local), capture_output=True, check=False).stderr
    ):
        return Path(local)
    subprocess.run(
        ("apt-get", "download", "busybox-static"), cwd=place, check=True, capture_output=True
    )
    package = next(place.glob("busybox-static_*.deb"))
    subprocess.run(("dpkg", "--extract", package, place / "unpacked"), check=True)
    package.unlink()
    return next((place / "unpacked").glob("**/bin/busybox"))


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _docker(*arguments: str) -> str:
    done = subprocess.run(("docker", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"docker {' '.join(arguments[:2])}: {done.stderr[-800:]}")
    return done.stdout
