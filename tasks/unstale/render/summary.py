"""A run as the summary of a GitHub step: Markdown, within its limit. Pure.

Foreign text is written as character references where Markdown could take it for its
own, and as HTML where it is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from unstale.errors import Outcome, exit_code
from unstale.pipeline.junit import Case
from unstale.pipeline.report import Excerpt, Report, Trouble
from unstale.render.page import lines
from unstale.render.receipt import revision_words, tests_words
from unstale.spoken import as_typed
from unstale.verdict import word

__all__ = ["MOST_BYTES", "summary"]

MOST_BYTES = 1 << 20
"""What GitHub takes of one step, all summaries together."""

_LONGEST = 4000  # characters of a failure's end
_LAST_LINES = 40
_PLAIN = frozenset(" ,.;-/")


def summary(shown: Report, room: int) -> str:
    """The Markdown, in at most *room* bytes; what does not fit is left out and counted."""
    blocks = [f"{block}\n\n" for block in _blocks(shown)]
    kept: list[str] = []
    size = 0
    for number, block in enumerate(blocks):
        left_out = _left_out(len(blocks) - number)
        size += len(block.encode())
        # The last one need not make room for that line.
        if size + (len(left_out) if number + 1 < len(blocks) else 0) > room:
            return "".join((*kept, left_out)) if kept else ""
        kept.append(block)
    return "".join(kept)


def _left_out(count: int) -> str:
    return f"{count} more parts do not fit into the summary of a step: see the run's report.\n\n"


def _blocks(shown: Report) -> Iterator[str]:
    outcome, told = shown.outcome, shown.receipt
    mark = "✅" if outcome is Outcome.PROVEN else "❌"
    code = exit_code(outcome)
    yield f"### {mark} {_md(told.outcome)} in {_md(told.environment)} (exit code {code})"
    yield from map(_trouble, shown.errors)
    yield _table(("what", ""), _facts(shown))
    yield from map(_failure, shown.failures)
    yield from (_log(one) for one in shown.services if one.name in shown.suspects)
    yield _table(("step", "seconds", "result"), _steps(shown))
    for remark in shown.remarks:
        yield f"- {_md(remark)}"


def _md(words: str) -> str:
    """*words* on one line, of which Markdown takes nothing for its own."""
    return "".join(
        c if c.isalnum() or c in _PLAIN or not c.isascii() else f"&#{ord(c)};"
        for c in " ".join(lines(words).split())
    )


def _pre(words: str) -> str:
    return f"<pre>{escape(lines(words))}</pre>"


def _trouble(one: Trouble) -> str:
    cause = f"\n\n{_pre(one.cause)}" if one.cause else ""
    hint = f"\n\nNext: <code>{_md(as_typed(one.hint))}</code>" if one.hint else ""
    return f"**{_md(one.what)}**{cause}{hint}"


def _facts(shown: Report) -> Iterator[tuple[str, str]]:
    told = shown.receipt
    yield "revision", _md(revision_words(told))
    yield "tests", _md(tests_words(told))
    for status in shown.after:
        yield f"image {_md(status.service)}", _md(word(status.verdict))
    yield "schema", _md(shown.schema.state if shown.schema else "not asked")
    yield "signature", _md(shown.seal.state)
    yield "receipt", _md(shown.path.name)


def _steps(shown: Report) -> Iterator[tuple[str, str, str]]:
    for step in shown.receipt.steps:
        first, _, _ = step.detail.partition("\n")
        mark = "" if step.outcome == Outcome.PROVEN.value else f"❌ {_md(step.outcome)}: "
        yield _md(step.name), f"{step.seconds:.1f}", f"{mark}{_md(first)}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows))


def _failure(case: Case) -> str:
    said = case.text.strip() or case.message
    return _folded(f"❌ {_md(case.name)}", said[-_LONGEST:])


def _log(one: Excerpt) -> str:
    last = "\n".join(one.text.split("\n")[-_LAST_LINES:])
    return _folded(f"the last lines of {_md(one.name)}", last)


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{_pre(body)}\n\n</details>"
