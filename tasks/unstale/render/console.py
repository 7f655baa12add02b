"""A run on the terminal: progress to stderr, the report to stdout."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.errors import Fault, Outcome, Unavailable, UsageError, exit_code
from unstale.mask import Mask
from unstale.pipeline.site import StepResult
from unstale.ports import Line
from unstale.printable import printable
from unstale.spoken import as_typed

if TYPE_CHECKING:
    from unstale.pipeline.run import RunReport

__all__ = [
    "NEVER_STREAMED",
    "ConsoleProgress",
    "confirmed",
    "echo",
    "is_answerable",
    "note",
    "print_lines",
    "print_orders",
    "relative",
    "report",
    "require_answerable",
]

# What Alembic says of a migration that worked is for the log.
NEVER_STREAMED = ("migrate",)
_LONGEST_LOG = 64 << 20  # in characters, of one step
_FLOOD_S = 0.02  # lines that come sooner after each other are written together


def note(text: str) -> None:
    """A line of progress, on stderr."""
    # Whoever read the progress may be gone (| tee, and Ctrl-C); the run is not.
    with suppress(OSError):
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def echo(mask: Mask, *, verbose: bool = True) -> Line:
    """Where a step's lines go when it is typed alone."""
    return (lambda text: note(mask(text))) if verbose else (lambda _: None)


def print_lines(lines: Sequence[str]) -> None:
    """Lines of a report, on stdout."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stdout.flush()


def print_orders(lines: Sequence[str]) -> None:
    """Lines that a CI system obeys: of ours, to stderr, where no document is."""
    with suppress(OSError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def is_answerable() -> bool:
    """Whether somebody can be asked: the standard input is a terminal."""
    return sys.stdin.isatty()


def require_answerable(doing: str, hint: str) -> None:
    """Refuse to ask before *doing* something, where nobody can answer.

    Raises:
        UsageError: the standard input is not a terminal.

    """
    if not is_answerable():
        raise UsageError(f"{doing} asks first, and there is no terminal to answer on.", hint=hint)


def confirmed(rows: Sequence[str], question: str) -> bool:
    """Show *rows* and ask *question* on the terminal; only a yes counts as one."""
    for row in rows:
        note(row)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class ConsoleProgress:
    """One line a step; its commands and output go to a file, and to the screen if asked.

    The output of a step that fails is shown in any case. Of a flood the file has the
    beginning and the end.
    """

    def __init__(
        self, mask: Mask, folder: Path, *, append: Callable[[Path, str], None], verbose: bool
    ) -> None:
        self._mask = mask
        self._verbose = verbose
        self._logs = folder / "logs"
        self._append = append
        self._tail: dict[str, deque[str]] = {}
        self._size: dict[str, int] = {}
        self._step = ""
        self._unwritten: dict[str, list[str]] = {}
        self._written_at = 0.0

    def begin(self, step: str) -> None:
        """Name the step while it runs, on a terminal."""
        self._step = step
        if self._is_streamed(step) or not sys.stderr.isatty():
            return
        with suppress(OSError):
            sys.stderr.write(f"  … {step}\r")
            sys.stderr.flush()

    def end(self, result: StepResult) -> None:
        """Say how the step went."""
        mark = "✓" if result.outcome is Outcome.PROVEN else "✗"
        detail = self._mask(_one_line(result.detail))
        note(f"  {mark} {result.name:<17} {result.seconds:7.1f} s  {detail}")
        tail = self._tail.get(result.name, deque())
        if result.outcome is not Outcome.PROVEN and not self._is_streamed(result.name):
            for line in list(tail)[-40:]:
                note(f"      {line}")
        if self._size.pop(result.name, 0) > _LONGEST_LOG:
            self._write(result.name, "\n".join(("... lines left out ...", *tail)))
        words = self._mask(result.detail)
        self._write(result.name, f"{result.outcome.value} after {result.seconds:.1f} s: {words}")
        self._flush()
        self._step = ""

    def command(self, text: str) -> None:
        """Write down what is run in the step that goes on, and how it ended."""
        if self._step:
            self._write(self._step, self._mask(text))

    def log(self, step: str) -> Line:
        """Write the step's lines to its log file."""
        tail = self._tail.setdefault(step, deque(maxlen=200))

        def line(text: str) -> None:
            masked = self._mask(text)
            tail.append(masked)
            self._write(step, masked)
            if self._is_streamed(step):
                note(f"    {masked}")

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
        return self._verbose and step not in NEVER_STREAMED


def _one_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def report(found: RunReport, mask: Mask) -> None:
    """The summary of a run: every step and its seconds, verdict, what is next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("result")
    for step in found.state.results:
        good = step.outcome is Outcome.PROVEN
        detail = printable(mask(_one_line(step.detail))) if good else step.outcome.value
        table.add_row(
            Text(step.name), f"{step.seconds:.1f}", Text(detail, style="" if good else "red")
        )
    table.add_row("total", f"{sum(s.seconds for s in found.state.results):.1f}", "")
    console.print(table)
    green = found.outcome is Outcome.PROVEN
    word = "PROVEN" if green else found.outcome.value.upper()
    console.print(Text(f"\n{word} (exit code {exit_code(found.outcome)})", style="bold"))
    for error in found.errors:
        console.print(Text(printable(as_typed(mask(str(error))))))
    for remark in found.remarks:
        console.print(Text(printable(as_typed(mask(f"Note: {remark}.")))))
    if found.state.reused:
        console.print(Text("Nothing was run: an earlier run proves the same."))
    if found.kept:
        console.print(
            Text(f"The stack stands as {found.kept}; {as_typed('inv stack.down')} ends it.")
        )
        for service, port, address in found.ports:
            console.print(Text(f"  {service}:{port} -> {address}"))
    if found.receipt is not None:
        console.print(Text(f"Receipt: {relative(found.receipt)}"))
    if found.state.counts is not None:
        console.print(Text(f"Evidence: {relative(found.folder)}"))


def relative(path: Path) -> str:
    """*path* from here, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
