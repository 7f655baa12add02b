"""Why each container of a stack is what it should be, or is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from unstale.compose import Service
from unstale.image.check import ImageStatus
from unstale.image.explain import Background
from unstale.parity.model import Item, ServiceFacts, Source
from unstale.pipeline import why_image
from unstale.pipeline.containers import StackStatus, cures, hiding
from unstale.pipeline.explanation import Answer, Cause, Place
from unstale.stack.judge import ContainerStatus
from unstale.verdict import Fresh, Stale, Unknown, word

__all__ = ["Stage", "explain", "nothing_up"]

_MOST_FILES = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """What is known beside the containers."""

    root: Path
    services: Callable[[str], Service | None]
    images: dict[str, ImageStatus]
    """By service, for what is built here."""
    known: Background
    written: Callable[[], tuple[ServiceFacts, ...]]
    """What each service gets, and where that is written; asked only where something drifted."""


def nothing_up(environment: str) -> tuple[Answer, ...]:
    """The answer where no stack stands."""
    summary = "no stack is up, so there is nothing to judge"
    return (Answer(environment, "missing", summary, next="inv stack.up"),)


def explain(status: StackStatus, stage: Stage, service: str | None = None) -> tuple[Answer, ...]:
    """An answer for each container, and for each service that has none."""
    next_ = "; ".join(cures(status))
    found = [_answer(one, stage) for one in status.containers]
    found += [Answer(name, "missing", "there is no container") for name in status.missing]
    wanted = [one for one in found if service is None or one.subject == service]
    if service is not None and not wanted:
        why = (
            "it has no container in a stack that stands: it runs the tests, or waits for a profile"
        )
        return (Answer(service, "not asked", why),)
    return tuple(one if one.verdict == "fresh" else replace(one, next=next_) for one in wanted)


def _answer(status: ContainerStatus, stage: Stage) -> Answer:
    return Answer(
        subject=status.container.service,
        verdict=word(status.verdict),
        summary=f"{status.container.name}, {status.container.status}",
        causes=(
            *_image(status, stage),
            *_configuration(status, stage),
            *_mounts(status, stage),
        ),
        evidence=tuple(_evidence(status)),
    )


def _image(status: ContainerStatus, stage: Stage) -> Iterator[Cause]:
    service = status.container.service
    now = stage.images.get(service)
    if isinstance(status.image, Stale):
        what = f"its service has {_short(now.image_id)} now" if now and now.image_id else ""
        how = "; ".join(
            part for part in (f"runs {_short(status.container.image_id)}", what) if part
        )
        yield Cause("image", how)
    if isinstance(status.source, Stale) and now is not None:
        built = stage.services(service)
        yield from why_image.causes(built, now, stage.known) if built else ()


def _configuration(status: ContainerStatus, stage: Stage) -> Iterator[Cause]:
    if not isinstance(status.configuration, Stale):
        return
    items = _items(status, stage)
    for reason in status.configuration.reasons:
        yield Cause(reason.path, _drifted(reason.path, reason.change), _places(reason.path, items))


def _items(status: ContainerStatus, stage: Stage) -> tuple[Item, ...]:
    """What the compose files give the service now."""
    service = status.container.service
    return next((one.items for one in stage.written() if one.name == service), ())


def _drifted(path: str, change: str) -> str:
    if path.startswith("service:"):
        return "the compose files have no such service any more"
    return {
        "added": "is in the compose files, and not in the container",
        "removed": "is in the container, and no longer in the compose files",
    }.get(change, "is another one in the compose files")


def _places(path: str, items: tuple[Item, ...]) -> tuple[Place, ...]:
    """Where that is written which a setting of a container comes from."""
    kind, _, name = path.partition(":")
    found = (i.source for i in items if i.source and _is_about(i, kind, name))
    return tuple(dict.fromkeys(_place(source) for source in found))


def _is_about(item: Item, kind: str, name: str) -> bool:
    match kind:
        case "environment":
            return (item.field, item.item) == ("environment", name)
        case "mount":
            return item.field == "volumes" and item.item == name
        case "command" | "entrypoint":
            return item.field == "command" and item.item.startswith("entrypoint ") == (
                kind == "entrypoint"
            )
        case "image" | "healthcheck":
            return item.field == kind
        case "port":
            return item.field == "other" and item.item.startswith("ports")
        case _:
            return item.field == "other" and item.item in (kind, f"{kind}s.{name}")


def _place(source: Source) -> Place:
    role = f"from ${{{source.variable}}}" if source.variable else "decides it"
    return Place(source.file, source.line, role)


def _mounts(status: ContainerStatus, stage: Stage) -> Iterator[Cause]:
    over = hiding(status)
    items = _items(status, stage) if over else ()
    for mount, found in over:
        paths = [os.path.relpath(one.placement.source, stage.root) for one in found]
        more = f" and {len(paths) - _MOST_FILES} more" if len(paths) > _MOST_FILES else ""
        what = f"the volume {mount.name[:12]}" if mount.kind == "volume" else f"a {mount.kind}"
        how = f"{what} lies over {', '.join(paths[:_MOST_FILES])}{more}, and shows other bytes"
        notes = ("a build does not change that",)
        yield Cause(
            f"mount:{mount.target}", how, _places(f"mount:{mount.target}", items), notes=notes
        )


def _evidence(status: ContainerStatus) -> Iterator[str]:
    for verdict, good in (
        (
            status.image,
            f"image: it runs {_short(status.container.image_id)}, as its service has it",
        ),
        (status.configuration, "configuration: created from what compose resolves now"),
        (status.mounts, _seen(status)),
        (status.source, "source: its image was built from the files that are here"),
    ):
        match verdict:
            case Fresh():
                yield good
            case Unknown(why):
                yield f"unknown: {why}"
            case _:
                continue


def _seen(status: ContainerStatus) -> str:
    masked = sum(one.effect in ("masked", "derived") for one in status.findings)
    if masked:
        return f"mounts: {masked} copied files are shown as they are here"
    return "mounts: none lies over a copied file"


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
