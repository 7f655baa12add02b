"""The local images of a stack's services: which there are, and which may go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unstale.compose import Service
from unstale.facts import ContainerFact, ImageFact

__all__ = [
    "UNPROVEN",
    "Cleaning",
    "Kept",
    "LocalImage",
    "cleaning",
    "full_name",
    "local_images",
    "settled",
]

# What compose writes on every image that it builds.
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"

UNPROVEN = "unstale-unproven:"
"""Names that begin so are an image's until its bytes are proven."""


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image of a service."""

    service: str
    fact: ImageFact
    is_current: bool
    """Whether it has the name that compose resolves for the service."""
    users: tuple[str, ...]
    """Names of the containers made from it, running or not."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that stays, and why."""

    image: LocalImage
    why: str


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What `image.clean` removes, and what it leaves."""

    removed: tuple[LocalImage, ...]
    kept: tuple[Kept, ...]


def local_images(
    services: Sequence[Service],
    called: Mapping[str, ImageFact],
    labelled: Iterable[ImageFact],
    containers: Iterable[ContainerFact],
) -> tuple[LocalImage, ...]:
    """The images of the built *services*, each service's current one first.

    *called* are those that have a service's name, *labelled* those that compose
    built for this project, also for services that were renamed or are built no more;
    an image may be both, or only one of them.
    """
    users: dict[str, list[str]] = {}
    for container in containers:
        users.setdefault(container.image_id, []).append(container.name)
    found: dict[str, LocalImage] = {}
    for service in services:
        if fact := called.get(service.image):
            found.setdefault(fact.id, _local(service.name, fact, users, is_current=True))
    for fact in sorted(labelled, key=_age, reverse=True):
        if name := fact.labels.get(_SERVICE, ""):
            found.setdefault(fact.id, _local(name, fact, users, is_current=False))
    return tuple(sorted(found.values(), key=lambda image: (image.service, not image.is_current)))


def _age(fact: ImageFact) -> tuple[float, str]:
    return (fact.created.timestamp() if fact.created else 0.0, fact.id)


def _local(
    service: str, fact: ImageFact, users: Mapping[str, Sequence[str]], *, is_current: bool
) -> LocalImage:
    return LocalImage(service, fact, is_current, tuple(sorted(users.get(fact.id, ()))))


def cleaning(images: Iterable[LocalImage], services: Iterable[Service]) -> Cleaning:
    """Part *images* into those that may go and those that stay.

    An image stays if any container was made from it, or if it has a name that
    is not one of *services*', nor the one that compose gave it when its service was
    called otherwise: somebody else uses it, or means to.
    """
    ours = {full_name(service.image) for service in services}
    removed: list[LocalImage] = []
    kept: list[Kept] = []
    for image in images:
        if why := _why_kept(image, ours):
            kept.append(Kept(image, why))
        else:
            removed.append(image)
    return Cleaning(tuple(removed), tuple(kept))


def settled(plan: Cleaning, left: frozenset[str]) -> Cleaning:
    """What became of *plan*: images whose ids are *left* were not removed."""
    refused = tuple(
        Kept(image, "the engine refused: something began to use it")
        for image in plan.removed
        if image.fact.id in left
    )
    gone = tuple(image for image in plan.removed if image.fact.id not in left)
    return Cleaning(gone, (*plan.kept, *refused))


def _why_kept(image: LocalImage, ours: Iterable[str]) -> str:
    if image.users:
        more = f" and {len(image.users) - 3} more" if len(image.users) > 3 else ""
        return f"in use by {', '.join(image.users[:3])}{more}"
    # A build that was killed leaves a name that stands for "not proven".
    named = {tag for tag in image.fact.tags if not tag.startswith(UNPROVEN)}
    given = full_name(f"{image.fact.labels.get(_PROJECT, '')}-{image.service}")
    foreign = sorted(named - {*ours, given})
    return f"also called {', '.join(foreign)}" if foreign else ""


def full_name(reference: str) -> str:
    """*reference* as the engine lists it: with its tag, without the default registry."""
    name = reference.removeprefix("docker.io/").removeprefix("library/")
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"
