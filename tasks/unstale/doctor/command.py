"""``doctor`` as a command: for Invoke's task, and for ``python -m unstale.doctor`` without it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from unstale.doctor import script, words
from unstale.doctor.examine import diagnose
from unstale.doctor.finding import Diagnosis, Finding, Mending
from unstale.doctor.mending import Answer, Mended, mend
from unstale.errors import Outcome, UnstaleError, outcome_of, worst
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
        if any(one.answer in {"done", "failed"} for one in done):
            found = diagnose(root, environ, options.env, echo=echo)
    failed = (outcome_of(one.error) for one in done if one.error)
    outcome = worst((found.outcome(strict=options.strict), *failed))
    _tell(found, outcome, done, options, mask)
    return Outcome.PROVEN if options.print_fix else outcome


def _tell(
    found: Diagnosis, outcome: Outcome, done: tuple[Mended, ...], options: Options, mask: Mask
) -> None:
    def hide(text: str) -> str:
        return as_typed(printable(mask(text)))

    shell = script.script(found.needs, script.system()) if options.print_fix else ""
    if options.json:
        more: dict[str, object] = {"mended": [_mended(one, hide) for one in done]}
        more |= {"script": shell} if options.print_fix else {}
        document.write("doctor", words.as_document(found, outcome, hide, more))
    elif options.print_fix:
        sys.stdout.write(shell)
    else:
        console.print_lines([line for one in done for line in _lines(one, hide)])
        console.print_lines([*words.as_text(found, outcome, hide)])


_VERBS: Mapping[Answer, str] = {
    "done": "done",
    "left": "left as it is",
    "would": "would do",
    "failed": "failed",
}


def _mended(one: Mended, hide: words.Hide) -> Mapping[str, str]:
    told = {"id": one.check, "what": hide(one.words), "answer": one.answer}
    return told | ({"why": hide(_why(one.error))} if one.error else {})


def _lines(one: Mended, hide: words.Hide) -> Iterator[str]:
    yield f"{_VERBS[one.answer]}: {hide(one.words)}"
    if one.error:
        yield f"  {hide(_why(one.error))}"
        if one.error.hint:
            yield f"  next: {hide(one.error.hint)}"


def _why(error: UnstaleError) -> str:
    return " ".join(part for part in (error.what, error.cause) if part)


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
