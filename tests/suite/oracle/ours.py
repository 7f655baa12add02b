"""The judged side: one call, so that a change of it is a change of one function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scenario import Shown

from unstale.errors import CouldNotTell, MissingFile
from unstale.image.contexts import Contexts
from unstale.image.inputs import Images, build_inputs


@dataclass(frozen=True, slots=True)
class Answer:
    """Our digest of a build's inputs, or why there is none to trust."""

    digest: str
    unknown: tuple[str, ...] = ()


def answer(shown: Shown, images: Images, state: Path) -> Answer:
    """What we say about the inputs of *shown*, with what *state* remembers of its files."""
    contexts = Contexts(state)
    try:
        found = build_inputs(shown.spec, {}, images, contexts)
    except (CouldNotTell, MissingFile) as error:
        return Answer("", (error.what,))
    contexts.save()
    return Answer(found.digest, found.unknown)
