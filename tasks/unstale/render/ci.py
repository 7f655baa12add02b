"""The log of a CI system: the lines of a step folded away under its name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import assert_never

from unstale.config import CiSystem
from unstale.pipeline.site import Progress, StepResult
from unstale.ports import Line
from unstale.render.console import print_orders

__all__ = ["Folded", "begin", "end"]


def begin(system: CiSystem, name: str, now: float) -> str:
    """What begins a fold called *name*; for GitLab no other fold of the job has that name."""
    match system:
        case "github":
            return f"::group::{name}"
        case "gitlab":
            return f"\x1b[0Ksection_start:{int(now)}:{name}[collapsed=true]\r\x1b[0K{name}"
        case "":
            return ""
        case _ as never:
            assert_never(never)


def end(system: CiSystem, name: str, now: float) -> str:
    """What ends it."""
    match system:
        case "github":
            return "::endgroup::"
        case "gitlab":
            return f"\x1b[0Ksection_end:{int(now)}:{name}\r\x1b[0K"
        case "":
            return ""
        case _ as never:
            assert_never(never)


class Folded:
    """A run's watcher, with a fold around the lines of each step that has some.

    *streams* tells whether a step's lines are shown at all. How it went stays outside:
    who looks for what is red need not unfold.
    """

    def __init__(
        self,
        inner: Progress,
        system: CiSystem,
        streams: Callable[[str], bool],
        *,
        run: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._inner = inner
        self._system = system
        self._streams = streams
        self._run = run
        self._now = now
        self._open = ""

    def begin(self, step: str) -> None:
        """A step begins."""
        self._inner.begin(step)

    def end(self, result: StepResult) -> None:
        """A step ended."""
        self._close()
        self._inner.end(result)

    def command(self, text: str) -> None:
        """A command is run, or has ended."""
        self._inner.command(text)

    def log(self, step: str) -> Line:
        """Where the lines of *step* go; the first one begins its fold."""
        inner = self._inner.log(step)
        if not self._streams(step):
            return inner

        def line(text: str) -> None:
            name = f"{step}-{self._run}"
            if self._open != name:
                self._close()
                self._open = name
                print_orders([begin(self._system, name, self._now())])
            inner(text)

        return line

    def _close(self) -> None:
        if self._open:
            print_orders([end(self._system, self._open, self._now())])
            self._open = ""
