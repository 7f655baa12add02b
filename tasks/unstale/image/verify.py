"""Is the fix in the image? Its files, read without running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from unstale.errors import UsageError
from unstale.image.content import Difference, compare, fetch, roots
from unstale.image.inputs import BuildInputs
from unstale.ports import ArchiveMember, Command, Docker, Process
from unstale.verdict import Fresh, Reason, Stale, Unknown, Verdict

__all__ = ["Match", "Search", "VerifyResult", "verify"]

# A regular expression can take for ever; grep's do not, and this is far above.
_GREP_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in each line."""

    pattern: str
    is_regex: bool = False
    """A POSIX extended regular expression; else the text itself."""


@dataclass(frozen=True, slots=True)
class Match:
    """A line that holds the pattern."""

    path: PurePosixPath
    line: int


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What an image holds, compared with the tree."""

    service: str
    image_id: str
    verdict: Verdict
    matches: tuple[Match, ...]
    compared: int
    """Copied files that were compared byte by byte."""
    differences: tuple[Difference, ...]
    finding: str
    """Why it is not fresh, in a sentence; empty if it is."""


def verify(
    docker: Docker,
    process: Process,
    image_id: str,
    service: str,
    inputs: BuildInputs,
    *,
    path: PurePosixPath | None = None,
    search: Search | None = None,
) -> VerifyResult:
    """Read the image at *path*, or where files were copied, and compare.

    Binary files are compared but not searched.

    Raises:
        UsageError: the pattern is empty or no regular expression.
        TimedOut: the search took too long.

    """
    if search is not None and not search.pattern:
        raise UsageError("The pattern is empty.", hint="say what to look for: --grep TEXT")
    copies = tuple(
        (source, dest) for source, dest in inputs.copies if path is None or _is_at(dest, path)
    )
    places = roots(dest for _, dest in copies) if path is None else (path,)
    held = fetch(docker, image_id, places)
    differences = compare(inputs, held, copies)
    looked_at = held if path is not None else _only(held, copies)
    matches = tuple(_matches(process, looked_at, search)) if search and looked_at else ()
    verdict, finding = _judge(
        path=path,
        nothing_there=not held,
        differences=differences,
        search=search,
        matches=matches,
        compared=len(copies),
    )
    return VerifyResult(service, image_id, verdict, matches, len(copies), differences, finding)


def _is_at(dest: PurePosixPath, path: PurePosixPath) -> bool:
    return dest == path or path in dest.parents


def _only(
    held: Mapping[PurePosixPath, ArchiveMember], copies: tuple[tuple[str, PurePosixPath], ...]
) -> dict[PurePosixPath, ArchiveMember]:
    """The copied files among *held*: a match elsewhere says nothing of the tree."""
    return {dest: held[dest] for _, dest in copies if dest in held}


def _judge(
    *,
    path: PurePosixPath | None,
    nothing_there: bool,
    differences: tuple[Difference, ...],
    search: Search | None,
    matches: tuple[Match, ...],
    compared: int,
) -> tuple[Verdict, str]:
    if path is not None and nothing_there:
        return Stale((Reason(str(path), "added"),)), f"path absent: the image has no {path}"
    if differences:
        reasons = tuple(Reason(str(one.path), one.change) for one in differences)
        return Stale(reasons), f"bytes differ: {len(differences)} of {compared} copied files"
    if search is not None and not matches:
        where = str(path) if path is not None else "the copied files"
        return Stale(()), f"pattern not found: {search.pattern!r} is nowhere in {where}"
    if not compared and not matches:
        why = "nothing was compared: the image copies no file of the tree as it is"
        return Unknown(why), why
    return Fresh(), ""


def _matches(
    process: Process, held: Mapping[PurePosixPath, ArchiveMember], search: Search
) -> Iterator[Match]:
    texts = {
        path: _lines(member.content)
        for path, member in sorted(held.items())
        if member.link is None and b"\0" not in member.content
    }
    if not search.is_regex:
        wanted = search.pattern.encode(errors="surrogateescape")
        for path, lines in texts.items():
            yield from (Match(path, at) for at, line in enumerate(lines, 1) if wanted in line)
        return
    places = [(path, at) for path, lines in texts.items() for at in range(1, len(lines) + 1)]
    everything = b"".join(line + b"\n" for lines in texts.values() for line in lines)
    for number in _grep(process, search.pattern, everything):
        yield Match(*places[number - 1])


def _lines(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _grep(process: Process, pattern: str, text: bytes) -> Iterator[int]:
    """The numbers of the lines of *text* that match, by grep: it can't blow up."""
    argv = ("grep", "-a", "-n", "-E", "-e", pattern)
    result = process.run(Command(argv, _GREP_DEADLINE_S, stdin=text, env={"LC_ALL": "C.UTF-8"}))
    if result.returncode > 1 or result.returncode < 0:
        raise UsageError(
            f"The pattern {pattern!r} can't be searched for.", cause=result.stderr.strip()
        )
    found = (line.partition(":")[0] for line in result.stdout.split("\n"))
    yield from (int(number) for number in found if number.isdecimal())
