"""What is shown of a run while it goes on, and what is kept of it in files."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from unstale.config import ci_system
from unstale.errors import Fault, Outcome, Unavailable, UnstaleError, UsageError, outcome_of
from unstale.mask import Mask
from unstale.pipeline.history import BUILD, Building, Past, RunKind
from unstale.pipeline.site import Progress, StepResult
from unstale.ports import Line
from unstale.printable import printable
from unstale.render import console
from unstale.render.ci import Folded
from unstale.render.console import echo, note
from unstale.render.live import Live, drawn
from unstale.render.terminal import Look, look, marks, write

if TYPE_CHECKING:
    from unstale.pipeline.run import RunReport
    from unstale.project import Project

__all__ = ["NEVER_STREAMED", "ConsoleProgress", "Showing", "View", "alone", "watching"]

# What Alembic says of a migration that worked is for the log.
NEVER_STREAMED = ("migrate",)
_LONGEST_LOG = 64 << 20  # in characters, of one step
_FLOOD_S = 0.02  # lines that come sooner after each other are written together


@dataclass(frozen=True, slots=True)
class View:
    """What a user wants to see of what goes on."""

    verbose: bool = False
    """All that builds and tests print."""
    quiet: bool = False
    """Nothing but the end."""
    plain: bool = False
    """Lines without colours; nothing is drawn."""
    json: bool = False
    """The report is a document."""

    def __post_init__(self) -> None:
        """Refuse what can't be had at once.

        Raises:
            UsageError: quiet and verbose.

        """
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose exclude each other.", hint="one of the two")


class ConsoleProgress:
    """One line a step; its commands and output go to a file, and to the screen if asked.

    The output of a step that fails is shown in any case. Of a flood the file has the
    beginning and the end.
    """

    _indent = "    "
    _most_shown = 40  # lines of a step that failed

    def __init__(
        self,
        mask: Mask,
        folder: Path,
        *,
        append: Callable[[Path, str], None],
        view: View | None = None,
        seen: Look | None = None,
        live: Live | None = None,
        past: Past | None = None,
        planned: Sequence[str] = (),
    ) -> None:
        self._mask = mask
        self._view = view or View()
        self._seen = seen or Look()
        self._live = live
        self._past = past or Past()
        self._logs = folder / "logs"
        self._append = append
        self._tail: dict[str, deque[str]] = {}
        self._size: dict[str, int] = {}
        self._step = ""
        self._unwritten: dict[str, list[str]] = {}
        self._written_at = 0.0
        if live is not None:
            live.start(planned, self._past.timings)

    def begin(self, step: str) -> None:
        """Show the step while it runs, on a terminal."""
        self._step = step
        if self._live is not None:
            self._live.begin(step)

    def end(self, result: StepResult) -> None:
        """Say how the step went."""
        self._tell(replace(result, detail=self._mask(result.detail.partition("\n")[0])))
        tail = self._tail.get(result.name, deque())
        if self._shows_tail(result):
            for line in list(tail)[-self._most_shown :]:
                note(f"{self._indent}  {line}")
        if self._size.pop(result.name, 0) > _LONGEST_LOG:
            self._write(result.name, "\n".join(("... lines left out ...", *tail)))
        words = self._mask(result.detail)
        self._write(result.name, f"{result.outcome.value} after {result.seconds:.1f} s: {words}")
        self._flush()
        self._step = ""

    def _tell(self, result: StepResult) -> None:
        if self._live is not None:
            self._live.end(result)
        elif not self._view.quiet:
            signs = marks(self._seen)
            mark, style = (signs.good, "good") if result.is_green else (signs.bad, "bad")
            rest = printable(f" {result.name:<17} {result.seconds:7.1f} s  {result.detail}")
            write(f"  {self._seen.paint(mark, style)}{rest}")

    def _shows_tail(self, result: StepResult) -> bool:
        return not result.is_green and not self._is_streamed(result.name)

    def command(self, text: str) -> None:
        """Write down what is run in the step that goes on, and how it ended."""
        if self._step:
            masked = self._mask(text)
            self._write(self._step, masked)
            if self._live is not None:
                self._live.last = masked

    def log(self, step: str) -> Line:
        """Write the step's lines to its log file."""
        tail = self._tail.setdefault(step, deque(maxlen=200))

        def line(text: str) -> None:
            masked = self._mask(text)
            tail.append(masked)
            self._write(step, masked)
            if self._live is not None:
                self._live.last = masked
            if self._is_streamed(step):
                note(f"{self._indent}{masked}")

        if step == BUILD and self._past.kind.building is Building.NONE:
            self._past = self._past.building(Building.CACHED)
            if self._live is not None:
                self._live.expect(self._past.timings)
        return line

    def _write(self, step: str, text: str) -> None:
        size = self._size[step] = self._size.get(step, 0) + len(text) + 1
        if size > _LONGEST_LOG:
            return
        # Each time it is opened anew, folder by folder: a flood goes there in pieces.
        self._unwritten.setdefault(step, []).append(f"{text}\n")
        if time.monotonic() - self._written_at > _FLOOD_S:
            self._flush()

    def _flush(self) -> None:
        waiting, self._unwritten = self._unwritten, {}
        self._written_at = time.monotonic()
        for step, texts in waiting.items():
            try:
                self._append(self._logs / f"{step}.log", "".join(texts))
            except Unavailable as error:
                # On a full disk there is no log, and a stack to remove all the same.
                if error.fault is not Fault.RESOURCES:
                    raise

    def _is_streamed(self, step: str) -> bool:
        return self._view.verbose and step not in NEVER_STREAMED


class _Alone(ConsoleProgress):
    """A step that was typed alone; without a terminal nothing but its output is shown."""

    _indent = ""
    _most_shown = 200

    def _tell(self, result: StepResult) -> None:
        if self._live is not None:
            self._live.end(result)

    def _shows_tail(self, result: StepResult) -> bool:
        return self._live is not None and super()._shows_tail(result)


@contextmanager
def watching(project: Project, view: View, *, has_report: bool) -> Iterator[Live | None]:
    """Draw what goes on for the length of a block, where that can be seen.

    *has_report*: what is printed after it has the table, too.
    """
    seen = look(sys.stderr, project.environ, plain=view.plain)
    if project.is_dry or view.quiet or not seen.is_live:
        yield None
        return
    with drawn(Live(sys.stderr.fileno(), seen), project.signals.held) as live:
        yield live
        live.stays = not has_report or view.json or not sys.stdout.isatty()


@dataclass(slots=True)
class Showing:
    """How a run is shown, from its first line to its report."""

    project: Project
    view: View
    planned: tuple[str, ...]
    kind: RunKind
    """Of the run that begins next."""
    streams: bool = False
    """Where nothing can be drawn, its output is shown."""
    past: Past = field(default_factory=Past)
    """What was known when the run began."""

    def say(self, lines: Sequence[str]) -> None:
        """Lines beside the report."""
        if not self.view.quiet:
            for one in lines:
                note(one)

    @contextmanager
    def drawn(self, *, has_report: bool = True) -> Iterator[Callable[[Mask, Path], Progress]]:
        """Show what goes on for the length of a block; yields what makes a run's watcher."""
        with watching(self.project, self.view, has_report=has_report) as live:
            verbose = self.view.verbose or (self.streams and live is None and not self.view.quiet)

            def watch(mask: Mask, folder: Path) -> Progress:
                self.past = self.project.past(self.kind)
                shown = ConsoleProgress(
                    mask,
                    folder,
                    append=self.project.files.append,
                    view=replace(self.view, verbose=verbose),
                    seen=self._look(sys.stderr),
                    live=live,
                    past=self.past,
                    planned=self.planned,
                )
                system = ci_system(self.project.environ)
                if live is not None or not (system and verbose):
                    return shown
                return Folded(shown, system, lambda s: s not in NEVER_STREAMED, run=folder.name)

            yield watch

    def report(self, found: RunReport, page: Path | None) -> None:
        """Print the end of a run, which left a *page*."""
        state, past = found.state, self.past
        if not state.built:
            past = past.building(Building.NONE)
        elif past.kind.building is Building.NONE:
            past = past.building(Building.CACHED)
        seen = self._look(sys.stdout)
        console.report(found, self.project.mask, past, seen, page=page, quiet=self.view.quiet)

    def _look(self, stream: TextIO) -> Look:
        return look(stream, self.project.environ, plain=self.view.plain)


@contextmanager
def alone(project: Project, view: View, name: str, *, streams: bool) -> Iterator[Line]:
    """Show the step *name* while a block runs it, and give it a log; yields where its lines go.

    *streams*: where nothing can be drawn, its output is shown.
    """
    with watching(project, view, has_report=False) as live:
        shown = view.verbose or (streams and live is None and not view.quiet)
        if project.is_dry:
            yield echo(project.mask, verbose=shown)
            return
        folder = project.settings.state_folder
        project.files.remove(folder / "logs" / f"{name}.log")
        progress = _Alone(
            project.mask,
            folder,
            append=project.files.append,
            view=replace(view, verbose=shown),
            live=live,
            planned=(name,),
        )
        began = time.monotonic()

        def end(outcome: Outcome, detail: str) -> None:
            progress.end(StepResult(name, outcome, time.monotonic() - began, detail))

        progress.begin(name)
        project.process.noted = progress.command
        try:
            yield progress.log(name)
        except UnstaleError as error:
            end(outcome_of(error), error.what)
            raise
        end(Outcome.PROVEN, "")
