"""All environments in one table: as text, as JSON, and as a page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unstale.errors import Outcome
from unstale.parity.matrix import Cell, Matrix, Row
from unstale.render.page import page, text
from unstale.render.parity import plain

__all__ = [
    "RunRow",
    "matrix_document",
    "matrix_page",
    "matrix_text",
    "runs_document",
    "runs_table",
]

_STATES = {
    "empty": "empty",
    "null": "null",
    "missing": "-",
    "no service": ".",
    "not compared": "?",
}
_LEGEND = (
    "Equal letters in a row are equal values; - is missing, empty is set to nothing,",
    "null is a key without a value, . is no such service, ? is not compared.",
)
_EFFECTS = {
    "behaviour": "what runs",
    "value": "value",
    "place": "host or port",
    "none": "no effect",
    "identity": "names",
}
_LONGEST_VALUE = 24
_LONGEST_NAME = 44


# Text


def matrix_text(
    found: Matrix,
    *,
    values_shown: bool = False,
    everything: bool = False,
    identity_shown: bool = False,
    width: int | None = None,
) -> tuple[str, ...]:
    """The table: what differs, or all keys with *everything*.

    Names and published ports are left out unless *identity_shown*. Its lines
    are cut at *width* columns, if it is given.
    """
    rows = [
        row
        for row in found.rows
        if (identity_shown or not row.identity) and (everything or row.differs)
    ]
    heads = ("key", *map(plain, found.environments), "where", "")
    table = _table([heads, *(_line(row, values_shown=values_shown) for row in rows)])
    return (
        *((*(_cut(line, width) for line in table), "", *_LEGEND) if rows else ()),
        _count(found, identity_shown=identity_shown),
        *(plain(note) for note in found.notes),
    )


def _count(found: Matrix, *, identity_shown: bool) -> str:
    rows = [row for row in found.rows if not row.identity]
    differing = {row.path for row in rows if row.differs}
    hidden = {row.path for row in found.rows if row.identity and row.differs}
    folded = f", {len(hidden)} of identity folded" if hidden and not identity_shown else ""
    names = ", ".join(plain(name) for name in found.environments)
    return f"{len(differing)} of {len({r.path for r in rows})} keys differ in {names}{folded}"


def _line(row: Row, *, values_shown: bool) -> tuple[str, ...]:
    name = plain(row.path) + (" (secret)" if row.secret else "")
    shown = values_shown and not row.secret
    cells = (_sign(cell, values_shown=shown) for cell in row.cells)
    return (_cut(name, _LONGEST_NAME), *cells, plain(_places(row)), plain(_note(row)))


def _sign(cell: Cell, *, values_shown: bool) -> str:
    sign = _STATES.get(cell.state, cell.sign)
    if not values_shown or not cell.value:
        return sign
    # repr, because a value may hold control characters of a terminal.
    return f"{sign} {_cut(repr(cell.value), _LONGEST_VALUE)}"


def _places(row: Row) -> str:
    files = ("env files",) if "file" in row.fields else ()
    return ", ".join((*files, *row.services))


def _note(row: Row) -> str:
    mark = row.mark if row.differs else None
    if mark is None:
        return ""
    return mark.text if mark.kind == "place" else f"{mark.kind}: {mark.text}"


def _cut(words: str, width: int | None) -> str:
    return words if width is None or len(words) <= width else f"{words[: width - 1]}…"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# JSON


def matrix_document(found: Matrix, *, values_shown: bool = False) -> dict[str, Any]:
    """The ``env-matrix`` document: every key, equal ones too."""
    return {
        "schema": "unstale/env-matrix@1",
        "environments": list(found.environments),
        "parity": not any(row.differs and not row.identity for row in found.rows),
        "rows": [_row(row, found.environments, values_shown=values_shown) for row in found.rows],
        "notes": list(found.notes),
    }


def _row(row: Row, names: Sequence[str], *, values_shown: bool) -> dict[str, Any]:
    return {
        "key": row.path,
        "item": row.item,
        "fields": list(row.fields),
        "services": list(row.services),
        "secret": row.secret,
        "differs": row.differs,
        "effect": row.effect,
        "mark": {"kind": row.mark.kind, "text": row.mark.text} if row.mark else None,
        "cells": [
            _cell(name, cell, values_shown=values_shown and not row.secret)
            for name, cell in zip(names, row.cells, strict=True)
        ],
    }


def _cell(name: str, cell: Cell, *, values_shown: bool) -> dict[str, Any]:
    source = cell.source
    place = None if source is None else {"file": source.file, "line": source.line}
    entry: dict[str, Any] = {
        "environment": name,
        "class": cell.sign if cell.state == "value" else None,
        "state": cell.state,
        "source": place,
    }
    return {**entry, "value": cell.value} if values_shown else entry


# The page

_STYLE = """
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); }
thead th { background: var(--band); white-space: nowrap; }
tbody th { font-weight: 400; overflow-wrap: break-word; max-width: 28rem; }
tr[data-differs="true"] th { font-weight: 600; }
td.note { color: var(--soft); min-width: 12rem; }
td.cell, td.effect { white-space: nowrap; }
.sign { display: inline-block; min-width: 1.3em; padding: 0 .35em; border-radius: .3rem;
  text-align: center; border: 1px solid var(--line); font-weight: 600; }
.sign.b { border-color: var(--accent); color: var(--accent); }
.sign.c { border-color: var(--warn); color: var(--warn); border-style: double; border-width: 3px; }
.sign.missing { border-color: var(--bad); color: var(--bad); border-style: dashed; }
.sign.empty, .sign.null { border-style: dotted; border-color: var(--warn); color: var(--warn); }
.sign.unknown { border-color: transparent; color: var(--soft); font-weight: 400; }
.tag { font-size: .8rem; color: var(--soft); border: 1px solid var(--line); border-radius: .3rem;
  padding: 0 .3em; margin-left: .4em; white-space: nowrap; }
form { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; align-items: center; margin: 1rem 0; }
input[type="search"] { font: inherit; padding: .25rem .5rem; border: 1px solid var(--soft);
  border-radius: .3rem; background: var(--page); color: var(--text); min-width: 14rem; }
button { font: inherit; font-weight: 600; background: none; border: 0; padding: 0;
  color: var(--text); cursor: pointer; }
button:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.scroll { overflow-x: auto; }
ul.legend { padding: 0; margin: .5rem 0; list-style: none; display: flex; flex-wrap: wrap;
  gap: .3rem 1.4rem; font-size: .9rem; color: var(--soft); }
@media print { form { display: none; } }
"""

# Neither "<" nor "&" may be in it: the page is XML as well.
_SCRIPT = """
"use strict";
const table = document.querySelector("table"), body = table.tBodies[0];
const form = document.querySelector("form"), shown = document.querySelector("#shown");
const rows = Array.from(body.rows);
function filter() {
  const words = form.words.value.toLowerCase(), all = form.all.checked, names = form.names.checked;
  let count = 0;
  for (const row of rows) {
    const equal = row.dataset.differs !== "true";
    row.hidden = !row.textContent.toLowerCase().includes(words) || (equal ? !all : false)
      || (row.dataset.effect === "identity" ? !names : false);
    count += row.hidden ? 0 : 1;
  }
  shown.textContent = count + " of " + rows.length + " rows shown";
}
function sort(head, column) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = row => row.cells[column].textContent;
  const sorted = rows.slice().sort((a, b) => text(a).localeCompare(text(b)));
  body.append(...(down ? sorted.reverse() : sorted));
}
Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => sort(head, column));
});
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
filter();
"""


def matrix_page(found: Matrix, *, values_shown: bool = False) -> str:
    """One page with every key, that needs nothing else; without scripts it shows all rows."""
    title = f"Environments: {', '.join(found.environments)}"
    heads = ("Key", *found.environments, "Effect", "Where", "Note")
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    notes = "".join(f"<li>{text(note)}</li>" for note in found.notes)
    rows = "".join(
        _page_row(row, found.environments, values_shown=values_shown) for row in found.rows
    )
    body = f"""<p>{text(_count(found, identity_shown=True))}.</p>
{_legend()}
<form hidden="hidden">
<label>Filter <input type="search" name="words" autocomplete="off"/></label>
<label><input type="checkbox" name="all"/> equal ones too</label>
<label><input type="checkbox" name="names"/> names and published ports</label>
<output id="shown"></output>
</form>
<div class="scroll" tabindex="0" role="region" aria-label="Table of keys">
<table>
<caption>One row a key, what matters most first.{_about_values(values_shown=values_shown)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>
{f"<h2>What could not be told</h2><ul>{notes}</ul>" if notes else ""}"""
    return page(title, body, style=_STYLE, script=_SCRIPT)


def _about_values(*, values_shown: bool) -> str:
    return " Secret values are left out." if values_shown else " No value is on this page."


def _legend() -> str:
    words = (
        ("A", "a", "equal letters in a row: equal values"),
        ("-", "missing", "missing"),
        ("empty", "empty", "set to nothing"),
        ("null", "null", "a key without a value"),
        (".", "unknown", "no such service"),
        ("?", "unknown", "not compared"),
    )
    items = (f'<li><span class="sign {c}">{s}</span> {w}</li>' for s, c, w in words)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _page_row(row: Row, names: Sequence[str], *, values_shown: bool) -> str:
    secret = '<span class="tag">secret</span>' if row.secret else ""
    cells = "".join(
        _page_cell(name, cell, values_shown=values_shown and not row.secret)
        for name, cell in zip(names, row.cells, strict=True)
    )
    effect = _EFFECTS[row.effect] if row.differs else "equal"
    return (
        f'<tr data-differs="{str(row.differs).lower()}" data-effect="{row.effect}">'
        f'<th scope="row"><code>{text(row.path)}</code>{secret}</th>{cells}'
        f'<td class="effect">{effect}</td><td>{text(_places(row))}</td>'
        f'<td class="note">{text(_note(row))}</td></tr>\n'
    )


def _page_cell(name: str, cell: Cell, *, values_shown: bool) -> str:
    sign = _STATES.get(cell.state, cell.sign)
    source = cell.source
    line = f":{source.line}" if source and source.line is not None else ""
    place = f"{source.file}{line}" if source and source.file else cell.state
    value = f" <code>{text(cell.value)}</code>" if values_shown and cell.value else ""
    return (
        f'<td class="cell" title="{text(f"{name}: {place}")}">'
        f'<span class="sign {_kind(cell)}">{text(sign)}</span>{value}</td>'
    )


def _kind(cell: Cell) -> str:
    match cell.state:
        case "value":
            return cell.sign.lower() if cell.sign in ("A", "B") else "c"
        case "no service" | "not compared":
            return "unknown"
        case state:
            return state


# test.matrix


@dataclass(frozen=True, slots=True)
class RunRow:
    """What the receipt of one environment's run says."""

    env: str
    outcome: Outcome | None
    """None without a receipt: an expectation is not a result."""
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    """The counts are None if no test was reached."""
    seconds: float | None = None
    detail: str = ""
    receipt: str = ""
    """Its path."""
    image: str = ""
    """The id of the image that ran the tests."""
    migration: str = ""
    """The revision that the database was at."""


def runs_table(rows: Sequence[RunRow]) -> tuple[str, ...]:
    """The results of several environments, as they were asked for."""
    heads = ("environment", "result", "passed", "failed", "skipped", "seconds")
    table = _table([(*heads, "image", "migration", "notes"), *map(_run_line, rows)])
    return (*table, "", *(plain(f"{r.env}: {r.receipt}") for r in rows if r.receipt))


def _run_line(row: RunRow) -> tuple[str, ...]:
    counts = ("-" if n is None else str(n) for n in (row.passed, row.failed, row.skipped))
    seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
    image = row.image.removeprefix("sha256:")[:12] or "-"
    detail = plain(" ".join(row.detail.split()))
    result = "no receipt" if row.outcome is None else row.outcome.value
    return (
        plain(row.env), result, *counts, seconds, image, plain(row.migration) or "-", detail,
    )  # fmt: skip


def runs_document(rows: Sequence[RunRow]) -> dict[str, Any]:
    """The ``test-matrix`` document; ``proven`` only if every environment is."""
    return {
        "schema": "unstale/test-matrix@1",
        "proven": bool(rows) and all(row.outcome is Outcome.PROVEN for row in rows),
        "runs": [
            {
                "environment": row.env,
                "outcome": row.outcome.value if row.outcome else None,
                "passed": row.passed,
                "failed": row.failed,
                "skipped": row.skipped,
                "seconds": None if row.seconds is None else round(row.seconds, 3),
                "image": row.image or None,
                "migration": row.migration or None,
                "detail": row.detail,
                "receipt": row.receipt or None,
            }
            for row in rows
        ],
    }
