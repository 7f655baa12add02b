"""``doctor`` as a command: for Invoke's task, and for ``python -m unstale.doctor`` without it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unstale.doctor import script, words
from unstale.doctor.examine import diagnose
from unstale.doctor.finding import Diagnosis, Finding, Mending
from unstale.doctor.mending import Answer, Mended, mend
from unstale.errors import Outcome
from unstale.mask import Mask
from unstale.ports import Line
from unstale.printable import printable
from unstale.project import find_root
from unstale.render import console, document
from unstale.spoken import as_typed

__all__ = ["Options", "run"]


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    env: str | None = None
    json: bool = False
    strict: bool = False
    fix: bool = False
    yes: bool = False
    print_fix: bool = False
    dry: bool = False


def run(options: Options, environ: Mapping[str, str], echo: Line | None = None) -> Outcome:
    """Look, mend if that was asked for, and tell; returns what the command ends with.

    After a mending it looks again: what counts is what is there then.
    """
    root = find_root(Path.cwd())
    mask = Mask()
    found = diagnose(root, environ, options.env, echo=echo)
    done: tuple[Mended, ...] = ()
    if options.fix:
        done = mend(found, root, _confirm(options, mask))
        if any(one.answer == "done" for one in done):
            found = diagnose(root, environ, options.env, echo=echo)
    outcome = found.outcome(strict=options.strict)
    _tell(found, outcome, done, options, mask)
    return Outcome.PROVEN if options.print_fix else outcome


def _tell(
    found: Diagnosis, outcome: Outcome, done: tuple[Mended, ...], options: Options, mask: Mask
) -> None:
    def hide(text: str) -> str:
        return as_typed(printable(mask(text)))

    shell = script.script(found.needs, script.system()) if options.print_fix else ""
    if options.json:
        more: dict[str, object] = {
            "mended": [{"id": m.check, "what": hide(m.words), "answer": m.answer} for m in done]
        }
        more |= {"script": shell} if options.print_fix else {}
        document.write("doctor", words.as_document(found, outcome, hide, more))
    elif options.print_fix:
        sys.stdout.write(shell)
    else:
        verb = {"done": "done", "left": "left as it is", "would": "would do"}
        console.print_lines([f"{verb[m.answer]}: {hide(m.words)}" for m in done])
        console.print_lines([*words.as_text(found, outcome, hide)])


def _confirm(options: Options, mask: Mask) -> Callable[[Finding, Mending], Answer]:
    """What says yes, asks, or only says what would be done."""

    def confirm(finding: Finding, one: Mending) -> Answer:
        if options.yes and not options.dry:
            return "done"
        if options.dry or not sys.stdin.isatty():
            return "would"
        row = mask(f"{finding.check.id}: {finding.seen}")
        return "done" if console.confirmed([row], f"{mask(one.words)}?") else "left"

    return confirm
