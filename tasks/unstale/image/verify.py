"""Is the fix in the image? Its files, read without running it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from unstale.errors import Fault, TimedOut, UsageError
from unstale.facts import ArchiveMember
from unstale.image.content import Comparison, Difference, compare, roots
from unstale.image.inputs import BuildInputs
from unstale.image.placements import placements
from unstale.image.proof import Proof
from unstale.ports import Command, Docker, Process
from unstale.verdict import Fresh, Reason, Stale, Unknown, Verdict

__all__ = ["Match", "Search", "VerifyResult", "verify"]

# A regular expression can take for ever. Grep's takes a time in proportion to the text,
# unless it refers back to what matched: (a*)*\1.
_GREP_DEADLINE_S = 4.0


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
    path: PurePosixPath | None = None
    """Where it was looked, if not wherever files were copied."""
    pattern: str | None = None
    masked: int = 0
    """Files that differ and over which a bind mount lays the current ones."""
    is_cited: bool = False
    """Whether the comparison is one that was made before, of the same image id."""
    rules: tuple[VerifyResult, ...] = ()
    """What was found of each text that the settings want in an image, if that was asked."""


def verify(
    docker: Docker,
    process: Process,
    image_id: str,
    service: str,
    inputs: BuildInputs,
    *,
    path: PurePosixPath | None = None,
    search: Search | None = None,
    known: Proof | None = None,
) -> VerifyResult:
    """Read the image at *path*, or where files were copied, and compare.

    Binary files are compared but not searched. With a proof that is *known*, all
    copied files were compared before: that is cited, and not done again.

    Raises:
        UsageError: the pattern is empty, no regular expression, or takes for ever.

    """
    if search is not None and not search.pattern:
        raise UsageError("The pattern is empty.", hint="say what to look for: --grep TEXT")
    copied = frozenset(
        one.dest for one in placements(inputs) if path is None or _is_at(one.dest, path)
    )
    if known is None or path is not None:
        seen = compare(docker, image_id, inputs, below=path)
    else:
        seen = Comparison(known.compared, ())
    # What a RUN rewrote is not what was copied, and is none of the builder's faults.
    rewritten = frozenset(known.rewritten if known else ())
    wrong = tuple(one for one in seen.differences if str(one.path) not in rewritten)
    places = (path,) if path is not None else roots(copied) if search else ()
    held = _held(docker, image_id, places, None if path is not None else copied)
    matches = tuple(_matches(process, held, search)) if search and held else ()
    verdict, finding = _judge(
        path=path,
        nothing_there=path is not None and not held,
        differences=wrong,
        search=search,
        matches=matches,
        compared=seen.compared,
    )
    return VerifyResult(
        service,
        image_id,
        verdict,
        matches,
        seen.compared,
        wrong,
        finding,
        path=path,
        pattern=search.pattern if search else None,
        is_cited=known is not None and path is None,
    )


def _is_at(dest: PurePosixPath, path: PurePosixPath) -> bool:
    return dest == path or path in dest.parents


def _held(
    docker: Docker,
    image_id: str,
    places: Iterable[PurePosixPath],
    only: frozenset[PurePosixPath] | None,
) -> dict[PurePosixPath, ArchiveMember]:
    """What is at or below *places*: of the copied files *only* those, or everything.

    A match in a file that the image has from elsewhere says nothing of the tree.
    """
    return {
        member.path: member
        for place in places
        for member in docker.files_in_image(image_id, place)
        if only is None or member.path in only
    }


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
        told = "" if search is None else f"; the pattern was found {len(matches)} times"
        return Stale(reasons), f"bytes differ: {len(differences)} of {compared} copied files{told}"
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
    # Behind -e whatever begins with a dash is a pattern, too.
    argv = ("grep", "-a", "-n", "-E", "-e", pattern)
    command = Command(argv, _GREP_DEADLINE_S, stdin=text, env={"LC_ALL": "C.UTF-8"})
    try:
        result = process.run(command)
    except TimedOut as error:
        raise _bad(pattern, f"It takes more than {_GREP_DEADLINE_S:g} s.") from error
    if result.returncode > 1 or result.returncode < 0:
        raise _bad(pattern, result.stderr.strip())
    found = (line.partition(":")[0] for line in result.stdout.split("\n"))
    yield from (int(number) for number in found if number.isdecimal())


def _bad(pattern: str, cause: str) -> UsageError:
    return UsageError(
        f"The pattern {pattern!r} can't be searched for.",
        cause=cause,
        hint="--grep TEXT looks for the text as it is",
        fault=Fault.CONTENT,
    )
