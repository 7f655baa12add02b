"""Answers as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from unstale.image.check import LABEL_INPUTS, ImageStatus
from unstale.image.explain import Background, clock, printable, reason_line
from unstale.spoken import as_typed
from unstale.verdict import Missing, Stale, Unknown, word

if TYPE_CHECKING:
    from unstale.image.local import Cleaning, LocalImage
    from unstale.image.verify import VerifyResult
    from unstale.schema.postgres import Setting
    from unstale.schema.status import SchemaStatus

__all__ = [
    "history",
    "history_next",
    "image_clean",
    "image_list",
    "image_status",
    "image_verify",
    "schema",
    "settings",
]


# More reasons than a person reads; --json has them all.
_MOST_REASONS = 10

_METHODS = {
    "digest": "digest",
    "content": "bytes compared",
    "time": "times alone, which prove nothing",
}


def image_status(
    statuses: Sequence[ImageStatus], known: Background, env: str | None = None
) -> tuple[str, ...]:
    """A table, a paragraph for each service that is not fresh, and HEAD below.

    *env* is the environment that was asked for, to be named again in what to type next.
    """
    head = known.head
    return (
        *_table(
            [("service", "verdict", "built (UTC)", "image", "proof"), *map(_row(known), statuses)]
        ),
        *(line for s in statuses for line in _paragraph(s, known, env)),
        *_not_covered(statuses),
        *(
            [f"HEAD {head.short}  {clock(head.committed_at)}  {printable(head.subject)}"]
            if head
            else []
        ),
    )


def _row(known: Background) -> Callable[[ImageStatus], tuple[str, ...]]:
    def row(status: ImageStatus) -> tuple[str, ...]:
        built = known.build_time(status.image_id, status.built_at)
        first = "" if built is None or built.is_exact else " (first)"
        return (
            status.service,
            word(status.verdict),
            clock(built.at).removesuffix(" UTC") + first if built else "never",
            _short(status.image_id) if status.image_id else "none",
            _METHODS[status.method] if status.image_id else "",
        )

    return row


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _paragraph(status: ImageStatus, known: Background, env: str | None) -> list[str]:
    masked = [f"  {status.service}: {r.path}  {_MASKED}" for r in status.masked[:_MOST_REASONS]]
    option = f" --env {env}" if env else ""
    after = as_typed(f"  Next: inv image.build --service {status.service}{option}")
    match status.verdict:
        case Stale(reasons):
            built = known.build_time(status.image_id, status.built_at)
            more = len(reasons) - _MOST_REASONS
            return [
                "",
                f"{status.service}: {known.summary(status)}",
                *(f"  {reason_line(r, built, known)}" for r in reasons[:_MOST_REASONS]),
                *([f"  and {more} more: --json"] if more > 0 else []),
                *masked,
                after,
            ]
        case Unknown(why):
            return ["", f"{status.service}: {why}", *masked, after]
        case Missing():
            return ["", f"{status.service}: there is no image {status.image}", after]
        case _:
            return ["", *masked] if masked else []


_MASKED = "differs, but a bind mount lays the current file over it: no rebuild needed"


def _not_covered(statuses: Sequence[ImageStatus]) -> list[str]:
    services: dict[str, list[str]] = {}
    for status in statuses:
        for what in status.not_covered:
            services.setdefault(what, []).append(status.service)
    found = [f"  {what} ({', '.join(names)})" for what, names in services.items()]
    return ["", "Not covered by the proof:", *found, ""] if found else [""]


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def image_list(
    images: Sequence[LocalImage], layers: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """One line an image, its layers below; *layers* are masked already."""
    if not images:
        return ("There is no image.",)
    heads = ("service", "image", "id", "created (UTC)", "size", "")
    lines = _table([heads, *(_image_row(image) for image in images)])
    return (
        lines[0],
        *(
            line
            for image, first in zip(images, lines[1:], strict=True)
            for line in (
                first,
                *(f"    {printable(layer)}" for layer in layers.get(image.fact.id, ())),
            )
        ),
    )


def _image_row(image: LocalImage) -> tuple[str, ...]:
    fact = image.fact
    marks = (
        *([] if fact.tags else ["dangling"]),
        *(["stamped"] if LABEL_INPUTS in fact.labels else []),
        *([f"in use by {', '.join(image.users)}"] if image.users else []),
    )
    created = clock(fact.created).removesuffix(" UTC") if fact.created else "unknown"
    return (image.service, _names(image), _short(fact.id), created, _size(image), ", ".join(marks))


def _names(image: LocalImage) -> str:
    return ", ".join(image.fact.tags) or "<none>"


def _size(image: LocalImage) -> str:
    return f"{image.fact.size_bytes / 1e6:.1f} MB"


def image_clean(plan: Cleaning, *, done: bool) -> tuple[str, ...]:
    """What goes, or went if *done*, and what stays and why."""
    verb = "removed" if done else "would be removed"
    rows = [
        *((verb, _names(i), _short(i.fact.id), _size(i), "") for i in plan.removed),
        *(("left", _names(k.image), _short(k.image.fact.id), "", k.why) for k in plan.kept),
    ]
    noun = "image" if len(plan.removed) == 1 else "images"
    count = f"{len(plan.removed)} {noun} {verb}, {len(plan.kept)} left."
    return (*(_table(rows) if rows else ()), count)


def image_verify(result: VerifyResult) -> tuple[str, ...]:
    """Where the pattern was found, and which bytes differ."""
    before = " before" if result.is_cited else ""
    about = f"{result.image_id[7:19]}, {result.compared} files compared{before}"
    return (
        f"{result.service}: {word(result.verdict)}   ({about})",
        *(f"  {m.path}:{m.line}" for m in result.matches[:20]),
        *(f"  {d.change}: {d.path}" for d in result.differences[:20]),
        *(line for rule in result.rules for line in _rule(rule)),
    )


def _rule(rule: VerifyResult) -> tuple[str, ...]:
    """What was found of a text that the settings want."""
    where = f"  {rule.service}: {rule.pattern!r} in {rule.path}: "
    found = "".join(f"line {m.line}" for m in rule.matches[:1])
    return (where + (rule.finding or found),)


def schema(status: SchemaStatus | None) -> tuple[str, ...]:
    """The state of the schema, and what each witness says."""
    from unstale.schema.status import suggested

    if status is None:
        return ("not asked: the project has no migrations",)
    missing = f", missing: {', '.join(status.missing_tables)}" if status.missing_tables else ""
    where = status.identity
    database = f"  database {where.database} as {where.user}" if where else ""
    none = "none" if status.was_read else "not read"
    tables = f"{len(status.tables)}{missing}" if status.was_read else none
    detail = status.detail if status.detail not in status.evidence else ""
    return (
        f"{status.state}: {status.explanation}",
        f"  applied  {', '.join(status.applied) or none}",
        f"  heads    {', '.join(status.heads) or none}",
        f"  tables   {tables}",
        *(line for line in (database,) if line),
        *(f"  {one.name:<9} {one.word}: {one.detail}" for one in status.witnesses),
        *(f"  {line}" for line in detail.splitlines()),
        *(f"  {line}" for line in status.evidence),
        *suggested(status),
    )


def history(findings: Sequence[tuple[str, str, str]], ran: int) -> tuple[str, ...]:
    """What a linting of the migrations found; without a finding, that *ran* of them ran."""
    if not findings:
        noun = "migration" if ran == 1 else "migrations"
        return (f"history: {ran} {noun} ran up, down and up again; one head",)
    return tuple(
        f"{rule}: {f'{revision}: ' if revision else ''}{words}"
        for rule, revision, words in findings
    )


_MENDS = {
    "single-head": "alembic merge heads",
    "up-down": "mend the migration, or its downgrade",
    "models": "add to the models what they lack, or alembic revision --autogenerate",
}


def history_next(findings: Sequence[tuple[str, str, str]]) -> str:
    """What to type next, for each rule that was broken."""
    return "; ".join(dict.fromkeys(_MENDS[rule] for rule, _, _ in findings))


def settings(found: Sequence[Setting]) -> tuple[str, ...]:
    """The server's settings that are not by default."""
    if not found:
        return ("Every setting is by default.",)
    rows = [
        ("setting", "value", "source"),
        *((s.name, s.value, s.place or s.source) for s in found),
    ]
    return tuple(_table(rows))
