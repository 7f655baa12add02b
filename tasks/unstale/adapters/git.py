"""Git, asked through its command line; it only ever reads.

A repository's configuration belongs to whoever made the checkout, and names programs
in many places. None of them runs: what git can't tell without them is unknown.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unstale.errors import Unavailable
from unstale.ports import Command, Process

if TYPE_CHECKING:
    from unstale.facts import CommitFact

__all__ = ["GitCli"]

_FIELDS = "%H%x00%h%x00%cI%x00%s%x00%aI"
_COUNT = 5
_FORMAT = f"--format={_FIELDS}"
_DEADLINE_S = 20.0

# Nobody reads on beyond it; a count stays there.
_MOST_COMMITS = 1000

# Of at most 4 KiB each, half of what macOS takes.
_MOST_ARGUMENTS = 100

# A hook is run with these set, and they would win over `git -C`.
_FROM_HOOKS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
)

# Optional locks: `git status` would refresh the index under a running commit.
# Lazy fetches: a partial clone would go to the network for an old tree, through a
# program that its configuration names. Git before 2.45 does not know that variable,
# but has no transport that is called "none".
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}

# What a configuration makes git run of itself: a monitor of files, hooks, a checker of
# signatures, a pager. A folder that is itself a repository has one that nobody sees.
_OPTIONS = (
    *("--no-pager", "--literal-pathspecs"),
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "log.showSignature=false", "-c", "color.ui=false"),
)

_STATUS = ("status", "--porcelain", "-z", "--no-renames")
_CHANGES = ("--ignore-submodules=all", "--untracked-files=all", "--ignored=matching")
# The folder of a submodule is asked by itself: it has a configuration of its own.
_DIRTY = ("--ignore-submodules=dirty", "--untracked-files=normal")

_BLAMED = re.compile(r"([0-9a-f]{40,64}) \d+ (\d+)(?: \d+)?")
_NO_COMMIT = re.compile(r"0+")

_FILTERS = r"^filter\..*\.(clean|smudge|process|required)$"


class GitCli:
    """The `Git` of one folder.

    Whatever keeps git from answering (no program, no repository, no commit, a
    repository of another user) counts as no repository.
    """

    def __init__(self, process: Process, root: Path) -> None:
        self._process = process
        self._root = root

    def head(self) -> CommitFact | None:
        """The commit that is checked out."""
        return next(iter(self.log(limit=1)), None)

    def is_dirty(self) -> bool | None:
        """Whether tracked files changed or untracked ones exist, in submodules too.

        None if that can't be told: git does not answer, or only a filter knows.
        """
        changes = self._changes(self._root, (), _DIRTY)
        if changes is None:
            return None
        if changes.are_certain:
            return True
        inside = [GitCli(self._process, folder).is_dirty() for folder in self._submodules()]
        if True in inside:
            return True
        return None if changes.unsure or None in inside else False

    def _submodules(self) -> Iterator[Path]:
        """Folders below this one that git has as repositories, and that are there."""
        for entry in (self._ask("ls-files", "--stage", "-z") or "").split("\0"):
            mode, _, name = entry.partition(" ")
            folder = self._root / name.partition("\t")[2]
            if mode == "160000" and os.path.lexists(folder / ".git") and not folder.is_symlink():
                yield folder

    def absent_submodules(self) -> tuple[Path, ...]:
        """Where the repository has a submodule that is not checked out."""
        top = _top(self._root.resolve())
        if top is None or not (top / ".gitmodules").is_file():
            return ()
        listed = self._ask(
            *(
                "config",
                "--null",
                "--file",
                ".gitmodules",
                "--get-regexp",
                r"^submodule\..*\.path$",
            ),
            at=top,
        )
        names = {entry.partition("\n")[2] for entry in (listed or "").split("\0") if entry}
        # A repository of its own has a .git; what is only written there is no submodule.
        empty = sorted(name for name in names if not os.path.lexists(top / name / ".git"))
        known = (
            (self._ask("ls-files", "--stage", "-z", "--", *empty, at=top) or "") if empty else ""
        )
        return tuple(
            top / name
            for mode, _, rest in (entry.partition(" ") for entry in known.split("\0"))
            if mode == "160000" and (name := rest.partition("\t")[2]) in names
        )

    def is_foreign(self) -> bool:
        """Whether git does not answer since the repository belongs to another user."""
        try:
            result = self._process.run(self._command(self._root, ("rev-parse", "--git-dir")))
        except Unavailable:
            return False
        return result.returncode != 0 and "dubious ownership" in result.stderr

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        """Commits reachable from HEAD, newest first, committed after *since*."""
        if since is None:
            return self._commits(f"--max-count={limit}")
        # Git's own --since stops at the first older commit and counts whole
        # seconds; --since-as-filter is too new. It only narrows the search.
        moment = since if since.tzinfo else since.replace(tzinfo=UTC)
        commits = self._commits(f"--since={int(moment.timestamp())}", f"--max-count={limit}")
        return tuple(commit for commit in commits if commit.committed_at > moment)

    def commits_since(self, since: str | datetime) -> tuple[CommitFact, ...] | None:
        """Commits of HEAD that *since*, a commit or a moment, does not have."""
        if isinstance(since, datetime):
            return self.log(since=since, limit=_MOST_COMMITS)
        # A name that begins with a dash would be an option.
        if self._ask("rev-parse", "--verify", "--quiet", f"{since}^{{commit}}") is None:
            return None
        return self._commits(f"--max-count={_MOST_COMMITS}", f"{since}..HEAD", "--")

    def last_commits(self, paths: Sequence[Path]) -> Mapping[Path, CommitFact]:
        """The last commit of each of *paths*, without those that differ from it.

        Four processes a repository (a submodule is one), however many paths.
        """
        found: dict[Path, CommitFact] = {}
        for top, names in _by_repository(paths).items():
            differs = self._changes(top, names)
            if differs is None:
                continue
            asked = {n: p for n, p in names.items() if n not in differs}
            commits = self._last(top, asked) if asked else {}
            boundary = self._boundary(top) if commits else frozenset()
            found |= {asked[n]: c for n, c in commits.items() if c.sha not in boundary}
        return found

    def uncommitted(self, paths: Sequence[Path]) -> frozenset[Path]:
        """Those of *paths* that no commit has as they are now."""
        found: set[Path] = set()
        for top, names in _by_repository(paths).items():
            differs = self._changes(top, names)
            if differs is not None:
                found |= {p for n, p in names.items() if n in differs and n not in differs.unsure}
        return frozenset(found)

    def blamed(
        self, places: Iterable[tuple[Path, int]]
    ) -> Mapping[tuple[Path, int], CommitFact | None]:
        """The commit that brought each line of a file; None for one that no commit has.

        A process a file, and one a repository for all commits. What only a filter could
        tell, and where a shallow clone's history ends, is left out.
        """
        wanted: defaultdict[Path, set[int]] = defaultdict(set)
        for path, line in places:
            wanted[path].add(line)
        found: dict[tuple[Path, int], CommitFact | None] = {}
        for top, names in _by_repository(wanted).items():
            shas = {
                (path, line): sha
                for name, path in names.items()
                for line, sha in self._blame(top, name, wanted[path]).items()
            }
            hashes = sorted({sha for sha in shas.values() if not _NO_COMMIT.fullmatch(sha)})
            commits = {c.sha: c for c in self._named(top, hashes)} if hashes else {}
            boundary = self._boundary(top) if hashes else frozenset()
            for place, sha in shas.items():
                if _NO_COMMIT.fullmatch(sha):
                    found[place] = None
                elif sha in commits and sha not in boundary:
                    found[place] = commits[sha]
        return found

    def _blame(self, top: Path, name: str, lines: Collection[int]) -> Mapping[int, str]:
        """Line to the hash of its commit, all zeros for none; empty if git can't tell."""
        ranges = (word for line in sorted(lines) for word in ("-L", f"{line},{line}"))
        # A configured list of commits to pass over may name a file that is not here.
        options = ("--porcelain", "--root", "--no-textconv", "--no-ignore-revs-file", *ranges)
        try:
            filters = self._filters(top)
            if filters and tuple(self._filtered(top, filters, [name])):
                return {}
            words = (*_without(filters), "blame", *options, "--", name)
            return dict(_lines(self._streamed(top, words)))
        except Unavailable:
            return {}

    def _named(self, top: Path, hashes: Sequence[str]) -> tuple[CommitFact, ...]:
        return self._commits("--no-walk=unsorted", *hashes, "--", at=top)

    def listed(self, suffix: str) -> tuple[Path, ...] | None:
        """Files that end in *suffix* and that git has, or would take, below this folder."""
        which = ("--cached", "--others", "--exclude-standard")
        try:
            chunks = self._process.stream(self._command(self._root, ("ls-files", "-z", *which)))
            names = os.fsdecode(b"".join(chunks)).split("\0")
        except Unavailable:
            return None
        return tuple(self._root / name for name in sorted(set(names)) if name.endswith(suffix))

    def _changes(
        self, top: Path, names: Collection[str], flags: Sequence[str] = _CHANGES
    ) -> _Entries | None:
        """Changed, untracked and ignored paths, at least near *names*; None if git fails."""
        # Named, git looks at them alone; many would not fit into an argument list.
        near = ("--", *names) if 0 < len(names) <= _MOST_ARGUMENTS else ()
        try:
            filters = self._filters(top)
            without = _without(filters)
            output = self._streamed(top, (*without, *_STATUS, *flags, *near))
            entries = [entry for entry in output.split("\0") if entry]
            edited = [entry[3:] for entry in entries if entry.startswith(" M")]
            unsure = self._filtered(top, filters, edited) if filters and edited else ()
        except Unavailable:
            return None
        return _Entries((entry[3:] for entry in entries), frozenset(unsure))

    def _filters(self, top: Path) -> frozenset[str]:
        """The names of the filters that a configuration defines, whosever it is.

        A filter is a command, and git runs it over what may have changed. A user's
        own does what the repository's configuration tells it, as git-lfs does.

        Raises:
            Unavailable: git does not answer, or a name could not be switched off.

        """
        asked = ("config", "-z", "--name-only", "--get-regexp", _FILTERS)
        result = self._process.run(self._command(top, asked))
        keys = [key for key in result.stdout.split("\0") if key]
        names = frozenset(key.partition(".")[2].rpartition(".")[0] for key in keys)
        # `git -c` takes the first "=" for the end of the key.
        if result.returncode not in (0, 1) or any("=" in name for name in names):
            raise Unavailable("Git's filters can't be switched off.")
        return names

    def _filtered(self, top: Path, filters: Collection[str], names: Sequence[str]) -> Iterator[str]:
        """Those of *names* that one of *filters* is for."""
        stdin = os.fsencode("".join(f"{name}\0" for name in names))
        output = self._streamed(top, ("check-attr", "-z", "--stdin", "filter"), stdin)
        fields = iter(output.split("\0"))
        for name, _, value in zip(fields, fields, fields, strict=False):
            if value in filters:
                yield name

    def _streamed(self, top: Path, arguments: Sequence[str], stdin: bytes = b"") -> str:
        return os.fsdecode(b"".join(self._process.stream(self._command(top, arguments, stdin))))

    def _last(self, top: Path, names: Iterable[str]) -> dict[str, CommitFact]:
        """The newest commit that lists each of *names*; reading ends with the last of them.

        A merge lists only what differs from all its parents (``-c``): what came
        with one of them is that branch's commit's.
        """
        missing = set(names)
        # Paths on standard input end at a line's end; one with such a name is an argument.
        odd = [name for name in missing if "\n" in name]
        lines = "".join(f"{name}\n" for name in missing if "\n" not in name)
        mark = os.urandom(16).hex()
        form = f"--format=%x00{mark}%x00{_FIELDS}"
        arguments = ("-z", "-c", "--name-only", "--no-renames", "--no-ext-diff", form)
        log = self._process.stream(
            self._command(
                top,
                ("log", *arguments, "--stdin", "HEAD", "--", *odd),
                stdin=os.fsencode(f"--\n{lines}"),
            )
        )
        found: dict[str, CommitFact] = {}
        # Any: the protocol promises an iterator; a generator ends its command when closed.
        with closing(cast("Any", log)), suppress(Unavailable):
            for commit, listed in _records(_tokens(log), mark):
                for name in _with_parents(listed) & missing:
                    found[name] = commit
                missing -= found.keys()
                if not missing:
                    break
        return found

    def _boundary(self, top: Path) -> frozenset[str]:
        """Where a shallow clone's history was cut: those commits seem to bring everything."""
        common = (self._ask("rev-parse", "--git-common-dir", at=top) or "").rstrip("\n")
        try:
            return frozenset((top / common / "shallow").read_text(encoding="ascii").split())
        except (OSError, ValueError):  # a file that is not git's, or a path that none can be
            return frozenset()

    def _commits(self, *arguments: str, at: Path | None = None) -> tuple[CommitFact, ...]:
        output = self._ask("log", _FORMAT, *arguments, at=at) or ""
        lines = (line.split("\0") for line in output.splitlines())
        return tuple(c for fields in lines if len(fields) == _COUNT and (c := _commit(*fields)))

    def _ask(self, *arguments: str, at: Path | None = None) -> str | None:
        try:
            result = self._process.run(self._command(at or self._root, arguments))
        except Unavailable:
            return None
        return result.stdout if result.returncode == 0 else None

    def _command(self, at: Path, arguments: Sequence[str], stdin: bytes = b"") -> Command:
        return Command(
            ("git", "-C", str(at), *_OPTIONS, *arguments),
            deadline_s=_DEADLINE_S,
            env=_ENVIRONMENT,
            stdin=stdin,
            unset=_FROM_HOOKS,
        )


def _without(filters: Iterable[str]) -> tuple[str, ...]:
    """Options that switch *filters* off: an empty command is none."""
    off = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    settings = (f"filter.{name}.{key}={value}" for name in filters for key, value in off)
    return tuple(word for setting in settings for word in ("-c", setting))


class _Entries:
    """What `git status` lists, asked for by path; a folder stands for all below it."""

    def __init__(self, entries: Iterable[str], unsure: frozenset[str]) -> None:
        listed = [entry.removesuffix("/") for entry in entries]
        self.unsure = unsure
        """Of those, the files that only a filter could tell to be changed."""
        self.are_certain = len(listed) > len(unsure)
        """Whether something is changed, whatever a filter would say."""
        self._listed = frozenset(listed)
        self._parents = _with_parents(listed)

    def __contains__(self, name: str) -> bool:
        """Whether *name*, something below it or a folder above it is listed."""
        return name in self._parents or any(
            str(parent) in self._listed for parent in Path(name).parents
        )


def _with_parents(names: Iterable[str]) -> set[str]:
    return {part for name in names for part in (name, *map(str, Path(name).parents))}


def _by_repository(paths: Iterable[Path]) -> Mapping[Path, Mapping[str, Path]]:
    """*paths* by the folder of the repository they are in: name there to path.

    Found on disk, since a path may be gone with all its folders. Links on the
    way are followed, as git knows no path behind one.
    """
    tops: dict[Path, Path | None] = {}
    found: defaultdict[Path, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        folder = path.parent
        if folder not in tops:
            tops[folder] = _top(folder.resolve())
        top = tops[folder]
        if top is not None:
            real = folder.resolve() / path.name
            found[top][str(real.relative_to(top))] = path
    return found


def _top(folder: Path) -> Path | None:
    """The nearest folder upwards with a ``.git``; in worktrees and submodules that is a file."""
    return next((f for f in (folder, *folder.parents) if os.path.lexists(f / ".git")), None)


def _tokens(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\0")
        yield from map(os.fsdecode, whole)
    yield os.fsdecode(rest)


def _records(tokens: Iterator[str], mark: str) -> Iterator[tuple[CommitFact, list[str]]]:
    """Each commit of a log whose format begins with *mark*, and the names it lists."""
    fields: list[str] = []
    for token in tokens:
        if token != mark:
            fields.append(token)
            continue
        if fields:
            yield from _record(fields)
        fields = []
    if fields:
        yield from _record(fields)


def _record(fields: Sequence[str]) -> Iterator[tuple[CommitFact, list[str]]]:
    if len(fields) >= _COUNT:  # fewer come before the first commit
        # Git ends the header with a line's end, or, for a merge, with a zero byte.
        names = [name.removeprefix("\n") for name in fields[_COUNT:]]
        if commit := _commit(*fields[:_COUNT]):
            yield commit, [name for name in names if name]


def _commit(
    sha: str, short: str, committed_at: str, subject: str, authored_at: str
) -> CommitFact | None:
    """A commit; None where its time is none: tools have written zones like -7777."""
    from unstale.facts import CommitFact, moment

    with suppress(ValueError):
        at, written = moment(committed_at), None
        with suppress(ValueError):
            written = moment(authored_at)
        return CommitFact(sha, short, at, subject, written)
    return None


def _lines(porcelain: str) -> Iterator[tuple[int, str]]:
    """Each line that `git blame --porcelain` tells of, and the hash of its commit."""
    for text in porcelain.split("\n"):
        # Before the line itself comes a tab, before all that is told of a commit a word.
        if found := _BLAMED.fullmatch(text):
            yield int(found[2]), found[1]
