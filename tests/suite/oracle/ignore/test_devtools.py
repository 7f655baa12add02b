"""Random trees and ignore files, against the builder's own code outside of an engine.

`docker-devtools` walks a context with BuildKit's file sender.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ignoring import CASES, SEED, Context, random_context, sent

from unstale.errors import CouldNotTell

DEVTOOLS = Path(sys.executable).with_name("docker-devtools")


def listed(root: Path) -> set[bytes] | None:
    """What the oracle says is sent; None if it refuses the ignore file."""
    command = (DEVTOOLS, "build-context", "ls", "--whole-context", "-0", root)
    answer = subprocess.run(command, capture_output=True, check=False)
    if answer.returncode:
        assert re.search(rb"(syntax error in|illegal exclusion) pattern", answer.stderr), answer
        return None
    return set(answer.stdout.split(b"\0")) - {b""}


def is_refused_when_asked(line: bytes, root: Path) -> bool:
    """Whether the oracle refuses the pattern once it is asked of a path, exception or not."""
    root.mkdir()
    pattern = line.decode().strip().removeprefix("\ufeff").strip()
    for text in (pattern, pattern.lstrip("!/ ")):
        Context(text.encode(), (b"Dockerfile",)).write(root)
        if listed(root) is None:
            return True
    return False


def ours(root: Path) -> set[bytes] | None:
    try:
        return sent(root)
    except CouldNotTell:
        return None


def test_random_ignore_files_leave_out_what_the_builders_own_walk_does(tmp_path: Path) -> None:
    refused = partly = 0
    for number in range(CASES):
        case = random_context(number)
        root = tmp_path / str(number)
        root.mkdir()
        case.write(root)
        theirs = listed(root)
        got = ours(root)
        if got is None:
            refused += 1
            # A pattern is refused at once, even where no path would ever be asked.
            assert theirs is None or any(
                is_refused_when_asked(line, tmp_path / f"{number}-{at}")
                for at, line in enumerate(case.ignore.splitlines())
            ), (number, case)
        else:
            assert got == theirs, (number, case, got ^ (theirs or set()))
            partly += 0 < len(got - {b".dockerignore", b"Dockerfile"}) < len(case.paths) - 1

    print(  # noqa: T201 - the figures of a long run
        f"{CASES} cases, seed {SEED}: {refused} refused by both, {partly} left out a part"
    )
    assert partly > 0.25 * CASES
    assert 0 < refused < 0.35 * CASES
