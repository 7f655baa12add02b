"""Commands that messages tell to type, in the form that their reader types.

Messages are written for ``inv``. Who came by the ``unstale`` command, or mounted the
tasks under another name, is told what works there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextvars import ContextVar

__all__ = ["as_typed", "form_of", "speak"]

# One task, or a chain of them: what follows are options and words.
_TASK = r"(?:(?:test|stack|image|db|env|receipt|ci)\.[a-z]+|adopt|doctor|hook|init|plan|watch|why)"
_COMMAND = re.compile(rf"\binv((?: {_TASK}(?![\w.=/-]))+)")
_OPTION = re.compile(r"\binv (--(?:help|list)\b)")

_form: ContextVar[tuple[str, str]] = ContextVar("form", default=("inv", ""))


def speak(program: str, prefix: str = "") -> None:
    """Let messages name *program*, and *prefix* before the name of each task."""
    _form.set((program, prefix))


def as_typed(text: str) -> str:
    """*text* with each of its commands as this command line would have to say it."""
    program, prefix = _form.get()
    if (program, prefix) == ("inv", ""):
        return text

    def said(found: re.Match[str]) -> str:
        return program + "".join(f" {prefix}{task}" for task in found[1].split())

    return _OPTION.sub(rf"{program} \1", _COMMAND.sub(said, text))


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
