"""A verdict explained, as lines of text and as a JSON document. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from unstale.facts import CommitFact
from unstale.image.explain import clock
from unstale.pipeline.explanation import TAKES, Answer, Cause, Explanation, Place
from unstale.spoken import as_typed

__all__ = ["as_document", "as_text"]

# More than a person reads; --json has them all.
_MOST = 25


def as_text(found: Explanation) -> tuple[str, ...]:
    """A paragraph for each verdict."""
    paragraphs = [list(_paragraph(one)) for one in found.answers]
    lines = [line for lines in paragraphs for line in ("", *lines)][1:]
    return tuple(lines) or ("There is nothing to explain.",)


def _paragraph(answer: Answer) -> Iterator[str]:
    summary = f", {as_typed(answer.summary)}" if answer.summary else ""
    yield f"{answer.subject}: {answer.verdict}{summary}"
    if answer.since is not None:
        yield f"  since {clock(answer.since)}"
    for places, causes in groupby(answer.causes[:_MOST], key=_shared):
        yield from (f"  {_place(place)}" for place in places)
        for cause in causes:
            yield from _cause(cause, is_below=bool(places))
    if len(answer.causes) > _MOST:
        yield f"  and {len(answer.causes) - _MOST} more: --json"
    yield from (f"  {as_typed(line)}" for line in answer.evidence if line)
    if answer.redone:
        yield f"  {answer.redone}"
    if answer.next:
        yield as_typed(f"  Next: {answer.next}")


def _shared(cause: Cause) -> tuple[Place, ...]:
    """The line that takes a file in: of many files it is the same one."""
    is_shared = len(cause.places) == 1 and cause.places[0].role == TAKES
    return (replace(cause.places[0], commit=None),) if is_shared else ()


def _cause(cause: Cause, *, is_below: bool) -> Iterator[str]:
    mark = "+" if cause.is_accepted else "-"
    who = _who(cause.commit, is_uncommitted=cause.is_uncommitted)
    indent = "    " if is_below else "  "
    told = "; ".join((cause.how, *cause.notes))
    yield f"{indent}{mark} {cause.what}: {told}{f'  [{who}]' if who else ''}"
    yield from (f"      {_place(place)}" for place in cause.places if not is_below)


def _place(place: Place) -> str:
    at = f"{place.file}:{place.line}" if place.line is not None else place.file
    text = f": {place.text}" if place.text else ""
    who = _who(place.commit, is_uncommitted=place.is_uncommitted)
    return f"{at} {place.role}{text}{f'  [{who}]' if who else ''}"


def _who(commit: CommitFact | None, *, is_uncommitted: bool) -> str:
    if commit is None:
        return "uncommitted" if is_uncommitted else ""
    return f"{commit.short} {clock(commit.authored_at or commit.committed_at)} {commit.subject}"


# JSON


def as_document(found: Explanation) -> dict[str, Any]:
    """The body of ``why``."""
    return {
        "proof": found.kind,
        "environment": found.environment,
        "answers": [_answer(one) for one in found.answers],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "subject": answer.subject,
        "verdict": answer.verdict,
        "summary": answer.summary,
        "since": _moment(answer.since),
        "commits_behind": answer.behind.commits if answer.behind else None,
        "hours_behind": answer.behind.hours if answer.behind else None,
        "causes": [_cause_entry(one) for one in answer.causes],
        "evidence": list(answer.evidence),
        "rebuild": answer.redone,
        "next": as_typed(answer.next),
    }


def _cause_entry(cause: Cause) -> dict[str, Any]:
    return {
        "what": cause.what,
        "how": cause.how,
        "accepted": cause.is_accepted,
        "commit": _commit(cause.commit),
        "uncommitted": cause.is_uncommitted,
        "notes": list(cause.notes),
        "places": [
            {
                "file": place.file,
                "line": place.line,
                "role": place.role,
                "text": place.text,
                "commit": _commit(place.commit),
                "uncommitted": place.is_uncommitted,
            }
            for place in cause.places
        ],
    }


def _commit(commit: CommitFact | None) -> dict[str, Any] | None:
    if commit is None:
        return None
    return {
        "sha": commit.sha,
        "short": commit.short,
        "authored_at": _moment(commit.authored_at),
        "committed_at": _moment(commit.committed_at),
        "subject": commit.subject,
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
