"""What the report of a run tells: its receipt, and the evidence beside it.

A run writes into its receipt what a report needs, so a report can be made again
from there. Evidence is best effort: where it is gone, or too much, the report says so.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from unstale.compose import Stack
from unstale.errors import ConfigError, CouldNotTell, Fault, Outcome, UnstaleError
from unstale.facts import BuildRecord, CommitFact, moment
from unstale.image.check import ImageStatus, Method
from unstale.image.explain import Background
from unstale.image.timeline import Timeline, timeline
from unstale.jsontext import narrowed
from unstale.pipeline.junit import Case, cases, parsed
from unstale.pipeline.receipt import Receipt, of_kind
from unstale.pipeline.shelf import Found
from unstale.pipeline.vouch import Seal
from unstale.ports import Files, Git
from unstale.verdict import Change, Fresh, Missing, Reason, Stale, Unknown, Verdict, word

__all__ = [
    "Excerpt",
    "Pair",
    "Report",
    "Schema",
    "Trouble",
    "errors_told",
    "gathered",
    "tests_of",
    "timeline_of",
    "variables_told",
    "verdicts_told",
]

# What a person reads; the evidence has the rest.
_MOST_REASONS = 50
_LOG_BYTES, _LOG_LINES = 64 << 10, 200
_MOST_LOGS = 20
# A document of 50 MiB passes the tests' own bounds; one so long is no page.
_JUNIT_BYTES = 32 << 20
_RUN = re.compile(r"[0-9a-z]{1,32}")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that went wrong."""

    outcome: str
    what: str
    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class Pair:
    """How two environments compare: names alone."""

    left: str
    right: str
    open: tuple[str, ...]
    allowed: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """What was found in the database."""

    state: str
    explanation: str
    applied: tuple[str, ...]
    heads: tuple[str, ...]
    tables: int
    missing: tuple[str, ...]
    witnesses: tuple[tuple[str, str, str], ...]
    """Who was asked, the answer in a word, and more of it."""
    evidence: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether it is what it should be."""
        return self.state == "current"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The end of a log."""

    name: str
    """The service or the step."""
    text: str
    is_cut: bool
    """Whether there is more before it."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of one run."""

    run: str
    path: Path
    """The receipt."""
    folder: Path
    """The evidence."""
    receipt: Receipt
    seal: Seal
    started: datetime
    errors: tuple[Trouble, ...]
    before: tuple[ImageStatus, ...]
    """What was thought of the images when the run began."""
    after: tuple[ImageStatus, ...]
    """And of those that the tests ran on."""
    parity: tuple[Pair, ...] | None
    """None: the environments were not compared."""
    schema: Schema | None
    """None: it was not asked, or not reached."""
    variables: Mapping[str, tuple[str, ...]]
    """Service to the names of its variables."""
    fallen: tuple[tuple[str, str], ...]
    """The services that did not survive the tests, and how, the first to fall first."""
    unreached: tuple[str, ...]
    """The steps that an earlier one kept from being begun."""
    remarks: tuple[str, ...]
    failures: tuple[Case, ...]
    damage: str
    """Why the failures are names alone; empty if they are not."""
    services: tuple[Excerpt, ...]
    """What services logged, whoever is to blame first."""
    steps: tuple[Excerpt, ...]
    """What red steps logged."""

    @property
    def outcome(self) -> Outcome:
        """What the exit code told."""
        try:
            return Fault(self.receipt.outcome).outcome
        except ValueError:
            return Outcome.UNKNOWN

    @property
    def suspects(self) -> frozenset[str]:
        """The services that fell, or that an error names."""
        texts = "\n".join(f"{one.what}\n{one.cause}" for one in self.errors)
        named = (e.name for e in self.services if re.search(rf"\b{re.escape(e.name)}\b", texts))
        return frozenset((*(service for service, _ in self.fallen), *named))


# What a run writes into its receipt


def errors_told(errors: Iterable[UnstaleError]) -> list[dict[str, str]]:
    """What went wrong, as a receipt has it."""
    return [
        {"outcome": e.fault.value, "what": e.what, "cause": e.cause, "next": e.hint} for e in errors
    ]


def verdicts_told(
    before: Sequence[ImageStatus], after: Sequence[ImageStatus]
) -> dict[str, list[dict[str, object]]]:
    """What was thought of the images at first, and of those that were used."""
    return {"before": [_status_told(s) for s in before], "after": [_status_told(s) for s in after]}


def _status_told(status: ImageStatus) -> dict[str, object]:
    verdict = status.verdict
    reasons = verdict.reasons if isinstance(verdict, Stale) else ()
    return {
        "service": status.service,
        "image": status.image,
        "image_id": status.image_id,
        "built_at": status.built_at.astimezone(UTC).isoformat() if status.built_at else None,
        "verdict": word(verdict),
        "method": status.method,
        "why": verdict.why if isinstance(verdict, Unknown) else None,
        "commits_behind": status.commits_behind,
        "hours_behind": status.hours_behind,
        "reasons": [r.to_json() for r in reasons[:_MOST_REASONS]],
        "reasons_left_out": max(0, len(reasons) - _MOST_REASONS),
        "not_covered": list(status.not_covered),
    }


def variables_told(stack: Stack) -> dict[str, list[str]]:
    """The names of each service's variables."""
    return {s.name: sorted({name for name, _ in s.environment}) for s in stack.services}


# Reading it again


def gathered(
    files: Files,
    git: Git,
    state_folder: Path,
    found: Found,
    seal: Seal,
    records: Iterable[BuildRecord],
) -> tuple[Report, Timeline | None]:
    """What is told of the run whose receipt was *found*, and its builds beside commits.

    Raises:
        ConfigError: its annotations are none of unstale's.

    """
    with narrowed(lambda why: _refused(found.path, why)):
        report = _report(files, state_folder, found, seal)
    return report, timeline_of(report, git, records)


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path.name} is no receipt that a report can be made of.",
        cause=f"What it says beside the result has another shape ({why}).",
        hint="inv receipt.show --receipt latest",
        fault=Fault.CONTENT,
    )


def _report(files: Files, state_folder: Path, found: Found, seal: Seal) -> Report:
    receipt, more = found.receipt, found.receipt.annotations
    verdicts = of_kind(dict, more.get("verdicts") or {})
    told = more.get("parity")
    run = _run(more, found.path)
    folder = state_folder / "runs" / run
    errors = tuple(map(_trouble, _items(more, "errors")))
    fallen = tuple((_text(one, "service"), _text(one, "how")) for one in _items(more, "fallen"))
    failures, damage = _failures(files, folder, receipt)
    report = Report(
        run=run,
        path=found.path,
        folder=folder,
        receipt=receipt,
        seal=seal,
        started=moment(receipt.started),
        errors=errors,
        before=tuple(map(_status, _items(verdicts, "before"))),
        after=tuple(map(_status, _items(verdicts, "after"))),
        parity=None if told is None else tuple(map(_pair, of_kind(list, told))),
        schema=None if receipt.schema is None else _schema(receipt.schema),
        variables={
            str(service): tuple(of_kind(str, name) for name in of_kind(list, names))
            for service, names in of_kind(dict, more.get("variables") or {}).items()
        },
        fallen=fallen,
        unreached=_texts(more, "unreached"),
        remarks=_texts(more, "remarks"),
        failures=failures,
        damage=damage,
        services=(),
        steps=(),
    )
    return _with_logs(files, report)


def _run(more: Mapping[str, Any], path: Path) -> str:
    """The run's id: it names a folder, and so is nothing else."""
    run = of_kind(str, more.get("run") or path.stem.rpartition("-")[2])
    return run if _RUN.fullmatch(run) else "unknown"


def _items(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [of_kind(dict, one) for one in of_kind(list, table.get(key) or [])]


def _text(table: Mapping[str, Any], key: str) -> str:
    return of_kind(str, table.get(key) or "")


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(of_kind(str, one) for one in of_kind(list, table.get(key) or []))


def _number(table: Mapping[str, Any], key: str) -> float:
    value = table.get(key) or 0
    return value if isinstance(value, int) and abs(value) < 1 << 53 else of_kind(float, value)


def _moment(table: Mapping[str, Any], key: str) -> datetime | None:
    text = _text(table, key)
    return moment(text) if text else None


def _trouble(one: Mapping[str, Any]) -> Trouble:
    return Trouble(*(_text(one, key) for key in ("outcome", "what", "cause", "next")))


def _pair(one: Mapping[str, Any]) -> Pair:
    texts = (_texts(one, key) for key in ("open", "allowed", "unknown"))
    return Pair(_text(one, "left"), _text(one, "right"), *texts)


def _schema(one: Mapping[str, Any]) -> Schema:
    witnesses = of_kind(dict, one.get("witnesses") or {})
    return Schema(
        state=_text(one, "state"),
        explanation=_text(one, "explanation"),
        applied=_texts(one, "applied"),
        heads=_texts(one, "heads"),
        tables=len(_texts(one, "tables")),
        missing=_texts(one, "missing_tables"),
        witnesses=tuple(
            (str(name), _text(of_kind(dict, said), "verdict"), _text(said, "detail"))
            for name, said in witnesses.items()
        ),
        evidence=_texts(one, "evidence"),
    )


def _status(one: Mapping[str, Any]) -> ImageStatus:
    method = _text(one, "method")
    return ImageStatus(
        service=_text(one, "service"),
        image=_text(one, "image"),
        image_id=_text(one, "image_id") or None,
        built_at=_moment(one, "built_at"),
        verdict=_verdict(one),
        method=_one_of(get_args(Method), method),
        inputs="",
        dependencies="",
        commits_behind=int(_number(one, "commits_behind")),
        hours_behind=_number(one, "hours_behind"),
        not_covered=_texts(one, "not_covered"),
    )


def _one_of(known: Sequence[Any], word: str) -> Any:  # noqa: ANN401 - a literal of its type
    return known[known.index(word)]


def _verdict(one: Mapping[str, Any]) -> Verdict:
    match _text(one, "verdict"):
        case "fresh":
            return Fresh()
        case "stale":
            return Stale(tuple(map(_reason, _items(one, "reasons"))))
        case "missing":
            return Missing()
        case _:
            return Unknown(_text(one, "why"))


def _reason(one: Mapping[str, Any]) -> Reason:
    change = _text(one, "change")
    return Reason(
        path=_text(one, "path"),
        change=_one_of(get_args(Change), change),
        commit=_text(one, "commit") or None,
        masked=bool(one.get("masked")),
        reader=_text(one, "reader"),
        committed_at=_moment(one, "committed_at"),
    )


# The evidence


def tests_of(files: Files, folder: Path) -> tuple[ET.Element | None, str]:
    """The root of the JUnit document in *folder*; None, and why there is none to show."""
    found = files.end_of(folder / "junit.xml", _JUNIT_BYTES)
    if found is None:
        return None, "its JUnit file is not here"
    document, size = found
    if size > _JUNIT_BYTES:
        return None, f"its JUnit file is too large to be shown ({size >> 20} MiB)"
    try:
        return parsed(document), ""
    except CouldNotTell:
        return None, "its JUnit file can't be read"


def _failures(files: Files, folder: Path, receipt: Receipt) -> tuple[tuple[Case, ...], str]:
    """The tests that failed, with their own words; or by name, and why."""
    if not receipt.failed:
        return (), ""
    names = tuple(Case(name, "failed") for name in receipt.failed)
    document, why_not = tests_of(files, folder)
    if document is None:
        return names, why_not
    said = tuple(case for case in cases(document) if case.result == "failed")
    if tuple(case.name for case in said) != receipt.failed:
        return names, "its JUnit file is of another run, or was changed"
    return said, ""


def _with_logs(files: Files, report: Report) -> Report:
    logs = report.folder / "logs"
    found = (
        _excerpt(files, path, path.stem.removeprefix("service-"))
        for path in files.glob(logs, "service-*.log")[:_MOST_LOGS]
    )
    red = (s.name for s in report.receipt.steps if s.outcome != Outcome.PROVEN.value)
    paths = ((name, logs / f"{name}.log") for name in dict.fromkeys(red) if name.isidentifier())
    steps = (_excerpt(files, path, name) for name, path in paths)
    report = replace(report, services=tuple(filter(None, found)), steps=tuple(filter(None, steps)))
    first = [service for service, _ in report.fallen]
    suspects = report.suspects

    def rank(one: Excerpt) -> tuple[int, bool]:
        return (
            first.index(one.name) if one.name in first else len(first),
            one.name not in suspects,
        )

    return replace(report, services=tuple(sorted(report.services, key=rank)))


def _excerpt(files: Files, path: Path, name: str) -> Excerpt | None:
    found = files.end_of(path, _LOG_BYTES)
    if found is None:
        return None
    raw, size = found
    lines = raw.decode("utf-8", "replace").splitlines()
    # The first line of a cut is half a one.
    kept = lines[1 if size > len(raw) else 0 :][-_LOG_LINES:]
    return Excerpt(name, "\n".join(kept), size > len(raw) or len(lines) > len(kept))


# Builds against commits


def timeline_of(report: Report, git: Git, records: Iterable[BuildRecord]) -> Timeline | None:
    """The builds that the run found and made against the commits of its time.

    None if it judged no image, or none was there.
    """
    shown = report.after or report.before
    names = {status.service for status in shown}
    written = [r for r in records if r.service in names and r.image_id in _ids(report)]
    known = {record.image_id for record in written}
    told = [
        BuildRecord(s.service, s.image_id, "", "", dirty=None, built_at=s.built_at)
        for s in dict.fromkeys((*report.before, *report.after))
        if s.image_id and s.built_at and s.image_id not in known
    ]
    builds = {r.image_id: r.built_at for r in (*written, *told)}
    if not builds:
        return None
    since = git.commits_since(min(builds.values())) or ()
    commits = [
        c for c in (*since, *git.log(limit=len(since) + 1)) if c.committed_at <= report.started
    ]
    head = next((c for c in commits if c.sha == report.receipt.revision), None)
    background = Background(head=head, builds=builds, log=_after(since, commits))
    return timeline(report.receipt.environment, shown, (), (*written, *told), commits, background)


def _ids(report: Report) -> frozenset[str]:
    return frozenset(s.image_id for s in (*report.before, *report.after) if s.image_id)


def _after(since: Sequence[CommitFact], commits: Sequence[CommitFact]) -> tuple[CommitFact, ...]:
    return tuple(commit for commit in since if commit in commits)
