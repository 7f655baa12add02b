"""Git, asked through its command line; it only ever reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from unstale.errors import Unavailable
from unstale.ports import Command, CommitFact, Process

__all__ = ["GitCli"]

_FORMAT = "--format=%H%x00%h%x00%cI%x00%s"
_DEADLINE_S = 20.0

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
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


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

    def is_dirty(self) -> bool:
        """Whether tracked files changed or untracked ones exist."""
        return bool(self._ask("status", "--porcelain"))

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        """Commits reachable from HEAD, newest first, committed after *since*."""
        if since is None:
            return self._commits(f"--max-count={limit}")
        # Git's own --since stops at the first older commit and counts whole
        # seconds; --since-as-filter is too new. It only narrows the search.
        moment = since if since.tzinfo else since.replace(tzinfo=UTC)
        commits = self._commits(f"--since={int(moment.timestamp())}", f"--max-count={limit}")
        return tuple(commit for commit in commits if commit.committed_at > moment)

    def last_commit(self, path: Path) -> CommitFact | None:
        """The last commit of *path*; None if untracked, or changed since."""
        if self._ask("status", "--porcelain", "--ignored", "--", str(path)) != "":
            return None
        return next(iter(self._commits("--max-count=1", "--", str(path))), None)

    def _commits(self, *arguments: str) -> tuple[CommitFact, ...]:
        output = self._ask("log", _FORMAT, *arguments) or ""
        return tuple(_commit(line) for line in output.splitlines() if line.count("\0") == 3)

    def _ask(self, *arguments: str) -> str | None:
        command = Command(
            # Signatures and colours of a user's configuration would join the output.
            (
                "git",
                "-C",
                str(self._root),
                "-c",
                "log.showSignature=false",
                "-c",
                "color.ui=false",
                "--literal-pathspecs",
                *arguments,
            ),
            deadline_s=_DEADLINE_S,
            env=_ENVIRONMENT,
            unset=_FROM_HOOKS,
        )
        try:
            result = self._process.run(command)
        except Unavailable:
            return None
        return result.stdout if result.returncode == 0 else None


def _commit(line: str) -> CommitFact:
    sha, short, moment, subject = line.split("\0")
    return CommitFact(sha, short, datetime.fromisoformat(moment), subject)
