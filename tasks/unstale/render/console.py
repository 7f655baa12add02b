"""A run on the terminal: the report to stdout, and lines beside it to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.errors import Outcome, UsageError, decisive, exit_code
from unstale.mask import Mask
from unstale.ports import Line
from unstale.printable import printable
from unstale.render.live import change
from unstale.render.terminal import Look, say, size
from unstale.spoken import as_typed

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from unstale.pipeline.history import Past
    from unstale.pipeline.run import RunReport

__all__ = [
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

_WIDE = 1000  # where no line is to be broken
_NARROW = 64


def note(text: str) -> None:
    """A line of progress, on stderr."""
    say(text)


def echo(mask: Mask, *, verbose: bool = True) -> Line:
    """Where lines go that no step has."""
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


def report(
    found: RunReport, mask: Mask, past: Past, seen: Look, *, page: Path | None, quiet: bool
) -> None:
    """The end of a run: every step and its seconds, verdict, cause, what to type next.

    *past* are the runs before this one, *page* is what this one leaves for a browser.
    """
    from rich.console import Console
    from rich.text import Text

    width = size(1)[0] if seen.is_live else _WIDE
    console = Console(
        file=sys.stdout,
        highlight=False,
        soft_wrap=True,
        width=width,
        color_system="standard" if seen.has_colour else None,
        force_terminal=seen.has_colour,
    )

    def line(text: str, style: str = "") -> None:
        console.print(Text(seen.spelt(printable(as_typed(mask(text)))), style=style))

    green = found.outcome is Outcome.PROVEN
    if not (quiet and green):
        console.print(_table(found, mask, past, seen, is_narrow=width < _NARROW))
        line("")
    word = "PROVEN" if green else found.outcome.value.upper()
    line(f"{word} (exit code {exit_code(found.outcome)})", "bold green" if green else "bold red")
    first = decisive(found.errors)
    for error in found.errors:
        line("\n".join(filter(None, (error.what, error.cause))) if error is first else str(error))
    for text in _besides(found, page):
        line(text)
    if first is not None and first.hint:
        line(f"Next: {first.hint}", "bold")


def _besides(found: RunReport, page: Path | None) -> Iterator[str]:
    """What is to be known of the end besides the verdict, and where more is."""
    yield from (f"Note: {remark}." for remark in found.remarks)
    if found.state.reused:
        yield "Nothing was run: an earlier run proves the same."
    if found.kept:
        yield as_typed(f"The stack stands as {found.kept}; inv stack.down ends it.")
        yield from (f"  {service}:{port} -> {address}" for service, port, address in found.ports)
    if found.receipt is not None:
        yield f"Receipt: {relative(found.receipt)}"
    if found.state.counts is not None:
        yield f"Evidence: {relative(found.folder)}"
    if page is not None:
        yield f"Report: {relative(page)}"


def _table(found: RunReport, mask: Mask, past: Past, seen: Look, *, is_narrow: bool) -> RichTable:
    """Narrow, it has no room for what came of each step."""
    from rich.table import Table
    from rich.text import Text

    results = found.state.results
    seconds = sum(step.seconds for step in results)
    timings = past.timings
    before = past.total(step.name for step in results) if found.outcome is Outcome.PROVEN else None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("step")
    for head in ("seconds", "share", *(["change"] if timings else [])):
        table.add_column(head, justify="right")
    if not is_narrow:
        table.add_column("result", overflow="fold")
    for step in results:
        good = step.outcome is Outcome.PROVEN
        detail = printable(mask(_one_line(step.detail))) if good else step.outcome.value
        timing = timings.get(step.name) if good else None
        table.add_row(
            Text(step.name),
            f"{step.seconds:.1f}",
            f"{step.seconds / seconds:.0%}" if seconds else "",
            *([change(step.seconds, timing.last_s if timing else None)] if timings else []),
            *([] if is_narrow else [Text(seen.spelt(detail), style="" if good else "red")]),
        )
    last = [change(seconds, before.last_s if before else None)] if timings else []
    table.add_row("total", f"{seconds:.1f}", "", *last)
    return table


def _one_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def relative(path: Path) -> str:
    """*path* from here, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
