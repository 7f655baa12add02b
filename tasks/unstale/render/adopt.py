"""What a Makefile or script becomes, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unstale.spoken import as_typed

if TYPE_CHECKING:
    from unstale.pipeline.adopt import Adopted
    from unstale.survey.adoption import Adoption, Row, Unit
    from unstale.survey.equivalents import Said

__all__ = ["as_document", "as_text", "next_step"]


def as_text(found: Adopted) -> tuple[str, ...]:
    """What each target or option becomes, what was not understood, and the diff."""
    return tuple(_lines(found))


def _lines(found: Adopted) -> Iterator[str]:
    file = found.adoption
    yield f"{file.path}: read, and nothing of it run"
    yield ""
    yield from _units(file)
    yield from _parts(file)
    if file.unknown:
        yield from ("", "Not understood; nothing here replaces it:")
        for row in file.unknown:
            yield f"  {file.path}:{row.line}  {row.text}"
            yield f"      {row.meaning.why}"
    if found.scattered:
        yield from ("", "Left as they are in the Makefile; more than a line and its recipe:")
        yield from (f"  {file.path}:{line}  {_typed(file, unit)}" for unit, line in found.scattered)
    if found.missing:
        yield from ("", "[tool.unstale] is left as it is. The file says otherwise:")
        yield from (
            f"  {_said(one)}  ({one.path or file.path}:{one.line})" for one in found.missing
        )
    if found.tasks.lines:
        yield from ("", "tasks.py is left as it is:")
        yield from (f"  {line}" for line in found.tasks.lines)
    for one in found.obstacles:
        yield from ("", f"Note: {one.what} {one.why} Next: {one.hint}")
    for change in found.changes:
        yield from ("", *change.diff)


def _units(file: Adoption) -> Iterator[str]:
    rows = [(_typed(file, unit), unit) for unit in file.units]
    width = min(max((len(name) for name, _ in rows), default=0), 48)
    for name, unit in rows:
        yield f"  {name:<{width}}  {_becomes(unit)}".rstrip()


def _typed(file: Adoption, unit: Unit) -> str:
    """How people type it today."""
    if not file.is_script:
        return f"make {unit.name}"
    return unit.name if unit.name == file.path else f"{file.path} {unit.name}"


def _becomes(unit: Unit) -> str:
    from unstale.survey.equivalents import Kind

    but = f", but for {', '.join(unit.left)}" if unit.left else ""
    guess = "   (by its name)" if unit.is_guess else ""
    match unit.kind:
        case Kind.TASK:
            return f"-> {as_typed(f'inv {unit.becomes}')}{guess}{but}"
        case Kind.PART:
            return "-> nothing: every run does it"
        case Kind.KEPT:
            return "stays: not about integration tests"
        case Kind.UNKNOWN:
            return "not understood"


def _parts(file: Adoption) -> Iterator[str]:
    """What nobody has to type any more, each reason once."""
    found: dict[str, list[int]] = {}
    for unit in file.units:
        for row in unit.rows:
            if _is_told(row):
                found.setdefault(row.meaning.why, []).append(row.line)
    if found:
        yield from ("", "Nothing replaces, since every run does it:")
    for why, lines in found.items():
        yield f"  line {', '.join(map(str, sorted(set(lines))))}: {why}"


def _is_told(row: Row) -> bool:
    from unstale.survey.equivalents import Kind

    return row.meaning.kind is Kind.PART and row.meaning.why.startswith(("a run", "every"))


def _said(one: Said) -> str:
    value = ", ".join(one.value) if isinstance(one.value, tuple) else one.value
    return f"{'.'.join(one.table)}: {one.key} = {value}"


def next_step(found: Adopted, *, written: bool) -> str:
    """The one command that comes next."""
    if found.changes and not written:
        return as_typed(f"inv adopt {found.adoption.path} --yes")
    return as_typed("inv plan")


def as_document(found: Adopted, *, written: bool) -> dict[str, Any]:
    """The body of ``adopt``."""
    file = found.adoption
    return {
        "file": file.path,
        "units": [
            {
                "name": unit.name,
                "line": unit.line,
                "kind": unit.kind.value,
                "becomes": f"inv {unit.becomes}" if unit.becomes else None,
                "guessed": unit.is_guess,
                "not_replaced": list(unit.left),
                "commands": [_row(row) for row in unit.rows],
            }
            for unit in file.units
        ],
        "not_understood": [_row(row) for row in file.unknown],
        "configuration": [
            {
                "table": ".".join(one.table),
                "key": one.key,
                "value": list(one.value) if isinstance(one.value, tuple) else one.value,
                "file": one.path or file.path,
                "line": one.line,
            }
            for one in file.said
        ],
        "left_in_makefile": [{"name": u.name, "line": line} for u, line in found.scattered],
        "tasks_py": list(found.tasks.lines),
        "obstacles": [{"path": o.path, "what": o.what, "next": o.hint} for o in found.obstacles],
        "changes": [{"path": one.path, "diff": list(one.diff)} for one in found.changes],
        "written": written,
        "next": next_step(found, written=written),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "line": row.line,
        "text": row.text,
        "kind": row.meaning.kind.value,
        "becomes": f"inv {row.meaning.task}" if row.meaning.task else None,
        "why": row.meaning.why or None,
    }
