"""One page that tells a whole run, and needs nothing else: no script, no other file. Pure.

Names, logs and what tests say are other people's text: all of it goes through
`page.text` or `page.block`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from unstale.errors import Outcome, exit_code
from unstale.image.check import ImageStatus
from unstale.image.explain import Background, clock, reason_line
from unstale.image.timeline import Timeline
from unstale.pipeline.junit import Case
from unstale.pipeline.receipt import Step
from unstale.pipeline.report import Excerpt, Pair, Report, Schema, Trouble
from unstale.render.html import TIMELINE_STYLE, figure
from unstale.render.page import block, page, text
from unstale.render.receipt import revision_words, tests_words
from unstale.spoken import as_typed
from unstale.verdict import Stale, Unknown, word

__all__ = ["report"]

_MOST_FAILURES = 50
_MOST_REASONS = 10
_LONGEST = 6000  # characters of one failure, of which the end says what was wrong
_WIDE = 1000

_STYLE = """
body > p.result { font-size: 1.6rem; font-weight: 700; margin: .5rem 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.soft { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 1rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
h1, h2, li, p, summary { overflow-wrap: anywhere; }
pre { background: var(--band); border: 1px solid var(--line); border-radius: 6px; padding: .6rem;
  font: .8rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  direction: ltr; unicode-bidi: isolate; margin: .5rem 0; }
.trouble { border-left: 4px solid var(--bad); padding-left: .8rem; margin: 1rem 0; }
.trouble p { margin: .2rem 0; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0;
  padding: .3rem .7rem; }
summary { cursor: pointer; }
.steps th { font-weight: 600; white-space: nowrap; }
.steps td.bar { width: 38%; }
.steps svg { display: block; width: 100%; height: .9rem; background: var(--band); }
.steps rect { fill: var(--good); } .steps .red rect { fill: var(--bad); }
.steps .idle rect { fill: var(--soft); }
.steps td.time { text-align: right; }
@media (max-width: 45rem) {
  body { margin: 1rem auto; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; }
  ul { padding-left: 1.2rem; }
  .steps thead { display: none; }
  .steps tr { display: grid; grid-template-columns: 1fr auto;
    border-bottom: 1px solid var(--line); padding: .3rem 0; }
  .steps th, .steps td, .steps td.bar { border: 0; width: auto; padding: .15rem 0; }
  .steps td.bar, .steps td.what { grid-column: 1 / -1; }
  .steps td.bar { order: 3; } .steps td.what { order: 4; }
}
"""


def report(shown: Report, drawn: Timeline | None) -> str:
    """The page, as HTML that is well-formed XML too; *drawn* are builds against commits."""
    parts = (
        _result(shown),
        *map(_trouble, shown.errors),
        _remarks(shown),
        _facts(shown),
        _steps(shown.receipt.steps),
        _tests(shown),
        _logs("What the services logged", shown.services, shown.suspects),
        _logs("What the red steps logged", shown.steps, frozenset()),
        _images(shown, drawn),
        _schema(shown),
        _environments(shown),
        _receipt(shown),
    )
    body = "\n".join(filter(None, parts))
    title = f"Run {shown.run} in {shown.receipt.environment}: {shown.receipt.outcome}"
    return page(title, body, style=TIMELINE_STYLE + _STYLE)


def _result(shown: Report) -> str:
    outcome = shown.outcome
    kind = "good" if outcome is Outcome.PROVEN else "bad"
    told = shown.receipt.outcome
    code = exit_code(outcome)
    return f'<p class="result {kind}">{text(told.upper())} <small>(exit code {code})</small></p>'


def _trouble(one: Trouble) -> str:
    cause = f"<pre>{block(one.cause)}</pre>" if one.cause else ""
    hint = f"<p>Next: <code>{text(as_typed(one.hint))}</code></p>" if one.hint else ""
    return (
        f'<div class="trouble"><p><strong>{text(one.what)}</strong> '
        f'<span class="soft">({text(one.outcome)})</span></p>{cause}{hint}</div>'
    )


def _remarks(shown: Report) -> str:
    return _list(text(remark) for remark in shown.remarks)


def _list(items: Iterable[str]) -> str:
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{rows}</ul>" if rows else ""


def _facts(shown: Report) -> str:
    told = shown.receipt
    seconds = sum(step.seconds for step in told.steps)
    rows = (
        ("environment", text(told.environment)),
        ("revision", f"<code>{text(revision_words(told))}</code>"),
        ("started", text(told.started)),
        ("took", f"{seconds:.1f} s in {len(told.steps)} steps"),
        ("tests", text(tests_words(told))),
        ("schema", text(shown.schema.state if shown.schema else "not asked")),
        ("signature", _signature(shown)),
    )
    return _table_of_facts(rows)


def _table_of_facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<dl>{cells}</dl>"


def _signature(shown: Report) -> str:
    seal = shown.seal
    kind = {"valid": "good", "invalid": "bad"}.get(seal.state, "soft")
    return f'<span class="{kind}">{text(seal.state)}</span>: {text(seal.detail)}'


# The steps


def _steps(steps: Sequence[Step]) -> str:
    """Each step at its place in the run: they go one after another."""
    whole = sum(step.seconds for step in steps) or 1.0
    rows: list[str] = []
    at = 0.0
    for step in steps:
        rows.append(_step(step, at / whole, step.seconds / whole))
        at += step.seconds
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Step", "When", "Seconds", "Result")
    )
    body = "\n".join(rows)
    return f"""<h2>Steps</h2>
<table class="steps">
<thead><tr>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>"""


def _step(step: Step, at: float, share: float) -> str:
    is_red = step.outcome != Outcome.PROVEN.value
    kind = "red" if is_red else "idle" if step.detail.startswith("not asked") else "done"
    # Whatever it took, it is seen.
    width = max(share * _WIDE, 2.0)
    x = min(at * _WIDE, _WIDE - width)
    mark = '<span class="bad">✗</span>' if is_red else '<span class="good">✓</span>'
    word = f'<strong class="bad">{text(step.outcome)}</strong> ' if is_red else ""
    first, _, _ = step.detail.partition("\n")
    return (
        f'<tr class="{kind}"><th scope="row">{mark} {text(step.name)}</th>'
        f'<td class="bar"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} 10" '
        f'preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="{x:.1f}" width="{width:.1f}" height="10"/></svg></td>'
        f'<td class="time">{step.seconds:.1f}</td>'
        f'<td class="what">{word}<bdi>{text(first)}</bdi></td></tr>'
    )


# The tests


def _tests(shown: Report) -> str:
    failures = shown.failures
    if not failures:
        return ""
    more = len(failures) - _MOST_FAILURES
    return "\n".join(
        (
            "<h2>Failing tests</h2>",
            *([f'<p class="soft">Names alone: {text(shown.damage)}.</p>'] if shown.damage else []),
            *(_failure(case, is_open=n < 3) for n, case in enumerate(failures[:_MOST_FAILURES])),
            *([f"<p>... and {more} more.</p>"] if more > 0 else []),
        )
    )


def _failure(case: Case, *, is_open: bool) -> str:
    said = case.text.strip() or case.message
    name = f'<span class="bad">✗</span> <bdi><code>{text(case.name)}</code></bdi>'
    if not said:
        return f"<p>{name}</p>"
    cut = len(said) - _LONGEST
    note = f'<p class="soft">The first {cut} characters are left out.</p>' if cut > 0 else ""
    return _details(name, f"{note}<pre>{block(said[-_LONGEST:])}</pre>", is_open=is_open)


def _details(summary: str, body: str, *, is_open: bool) -> str:
    state = ' open="open"' if is_open else ""
    return f"<details{state}><summary>{summary}</summary>{body}</details>"


def _logs(title: str, logs: Sequence[Excerpt], suspects: frozenset[str]) -> str:
    if not logs:
        return ""
    return "\n".join((f"<h2>{title}</h2>", *(_log(one, one.name in suspects) for one in logs)))


def _log(one: Excerpt, is_suspect: bool) -> str:  # noqa: FBT001 - one of two
    name = f"<bdi><code>{text(one.name)}</code></bdi>"
    mark = ' <span class="bad">(named by what went wrong)</span>' if is_suspect else ""
    cut = ' <span class="soft">(its end)</span>' if one.is_cut else ""
    body = f"<pre>{block(one.text)}</pre>" if one.text else '<p class="soft">Nothing.</p>'
    return _details(f"{name}{mark}{cut}", body, is_open=is_suspect)


# The proofs


def _images(shown: Report, drawn: Timeline | None) -> str:
    used = {status.service: status for status in shown.after}
    found = {status.service: status for status in shown.before}
    names = tuple(dict.fromkeys((*found, *used)))
    if not names:
        return '<h2>Images</h2>\n<p class="soft">Not asked.</p>'
    items = _list(_image(found.get(name), used.get(name)) for name in names)
    picture = f"<h2>Builds against commits</h2>\n{figure(drawn)}" if drawn else ""
    return f"<h2>Images</h2>\n{items}\n{picture}".rstrip()


def _image(before: ImageStatus | None, after: ImageStatus | None) -> str:
    status = after or before
    if status is None:
        return ""
    was = f"was {_verdict(before)}, is " if before and before != status else "is "
    made = f", created {clock(status.built_at)}" if status.built_at else ""
    identity = f" <code>{text((status.image_id or 'no image').removeprefix('sha256:')[:12])}</code>"
    told = before if before and before != status else status
    holes = "; ".join(status.not_covered)
    return (
        f"<strong><bdi>{text(status.service)}</bdi></strong> {was}{_verdict(status)}"
        f"{identity}{made}{_list(_reasons(told))}"
        + (f'<p class="soft">Not covered by the proof: {text(holes)}</p>' if holes else "")
    )


def _verdict(status: ImageStatus) -> str:
    found = word(status.verdict)
    kind = {"fresh": "good", "stale": "bad", "missing": "warn"}.get(found, "warn")
    return f'<strong class="{kind}">{text(found)}</strong>'


def _reasons(status: ImageStatus) -> Iterator[str]:
    match status.verdict:
        case Stale(reasons):
            for reason in reasons[:_MOST_REASONS]:
                yield f"<code>{text(reason_line(reason, None, Background()))}</code>"
            if len(reasons) > _MOST_REASONS:
                yield f"and {len(reasons) - _MOST_REASONS} more"
        case Unknown(why):
            yield text(why)
        case _:
            return


def _schema(shown: Report) -> str:
    found = shown.schema
    if found is None:
        return '<h2>Schema</h2>\n<p class="soft">Not asked.</p>'
    kind = "good" if found.is_current else "bad"
    rows = (
        ("state", f'<strong class="{kind}">{text(found.state)}</strong> {text(found.explanation)}'),
        ("applied", f"<code>{text(', '.join(found.applied) or 'none')}</code>"),
        ("heads", f"<code>{text(', '.join(found.heads) or 'none')}</code>"),
        ("tables", _tables(found)),
        *((text(name), f"{text(told)}: {text(detail)}") for name, told, detail in found.witnesses),
    )
    evidence = _list(text(line) for line in found.evidence)
    return f"<h2>Schema</h2>\n{_table_of_facts(rows)}{evidence}"


def _tables(found: Schema) -> str:
    missing = f"; missing: {', '.join(found.missing)}" if found.missing else ""
    return f"{found.tables}{text(missing)}"


def _environments(shown: Report) -> str:
    pairs = shown.parity
    told = (
        '<p class="soft">Not compared.</p>' if pairs is None else _list(_pair(one) for one in pairs)
    )
    names = "".join(
        _details(
            f"Variables of <bdi>{text(service)}</bdi>: {len(names)}, names alone",
            f"<p><code>{text(', '.join(names))}</code></p>",
            is_open=False,
        )
        for service, names in shown.variables.items()
        if names
    )
    return f"<h2>Environments</h2>\n{told}\n{names}".rstrip()


def _pair(one: Pair) -> str:
    parts = (
        ("not explained", "bad", one.open),
        ("could not be told", "warn", one.unknown),
        ("allowed", "soft", one.allowed),
    )
    said = "; ".join(
        f'<span class="{kind}">{title}</span>: <code>{text(", ".join(names))}</code>'
        for title, kind, names in parts
        if names
    )
    return f"{text(one.left)} and {text(one.right)}: {said or 'no difference'}"


def _receipt(shown: Report) -> str:
    told = shown.receipt
    rows = (
        ("file", f"<code>{text(shown.path.name)}</code>"),
        ("signature", _signature(shown)),
        ("subject", f"<code>{text(told.subject or 'none: no later run can cite this one')}</code>"),
        *((f"image {text(name)}", f"<code>{text(i)}</code>") for name, i in told.images.items()),
        ("check it", f"<code>{as_typed('inv receipt.verify')} --receipt {text(shown.run)}</code>"),
    )
    return f"<h2>Receipt</h2>\n{_table_of_facts(rows)}"
