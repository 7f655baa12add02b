"""Commands that messages tell to type, in the form that their reader types.

Messages are written for ``inv``. Who came by the ``unstale`` command, or mounted the
tasks under another name, is told what works there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["as_typed", "form_of", "speak"]

_OPTION = re.compile(r"\binv (--(?:help|list)\b)")


@dataclass(frozen=True, slots=True)
class _Form:
    """How commands are said."""

    program: str
    prefix: str
    command: re.Pattern[str]
    """One task, or a chain of them; what follows are options and words."""


_form: ContextVar[_Form | None] = ContextVar("form", default=None)


def speak(program: str, prefix: str, known: Collection[str]) -> None:
    """Let messages name *program*, and *prefix* before each of the tasks that are *known*."""
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    is_plain = (program, prefix) == ("inv", "")
    command = re.compile(rf"\binv((?: (?:{names})(?![\w.=/-]))+)")
    _form.set(None if is_plain else _Form(program, prefix, command))


def as_typed(text: str) -> str:
    """*text* with each of its commands as this command line would have to say it."""
    form = _form.get()
    if form is None:
        return text

    def said(found: re.Match[str]) -> str:
        return form.program + "".join(f" {form.prefix}{task}" for task in found[1].split())

    return _OPTION.sub(rf"{form.program} \1", form.command.sub(said, text))


def form_of(argv: Sequence[str], known: Collection[str]) -> tuple[str, str]:
    """The program of *argv*, and what its tasks are mounted under, as far as that shows.

    *known*: the tasks' names where nothing mounts them.
    """
    words = list(argv[1:])
    typed = words[: words.index("--")] if "--" in words else words
    for word in typed:
        prefix, _, _ = word.partition(".")
        if word not in known and word.removeprefix(f"{prefix}.") in known:
            return _program(argv), f"{prefix}."
    return _program(argv), ""


def _program(argv: Sequence[str]) -> str:
    folder, name = os.path.split(argv[0] if argv else "")
    if name == "__main__.py":  # python -m
        name = os.path.split(folder)[1].replace("invoke", "inv")
    return name if name in ("invoke", "unstale") else "inv"
