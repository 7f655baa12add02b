"""Random trees and ignore files, against the builder's own code outside of an engine.

`docker-devtools` walks a context with BuildKit's file sender. UNSTALE_ORACLE_CASES
cases, 150 unless told; UNSTALE_ORACLE_SEED picks others.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ignoring import Context, sent

from unstale.errors import CouldNotTell

CASES = int(os.environ.get("UNSTALE_ORACLE_CASES", "150"))
SEED = int(os.environ.get("UNSTALE_ORACLE_SEED", "3"))

DEVTOOLS = Path(sys.executable).with_name("docker-devtools")

NAMES = (
    *("a", "b", "c", "ab", "abc", "aa", "A", "a.b", "a.py", "b.py", ".a", ".git", "src", "lib"),
    *("x1", "x2", "12", "a b", " a", "a ", "#a", "!a", "a*", "a?", "[a]", "a{2}", "a|b", "a^b"),
    *("a+b", "(a)", "$a", "a\\b", "a\nb", "a-b", "_", "\u00e9", "\u263a", "a\udcff", "]", "^]"),
)
WILD = (
    *("*", "**", "?", "a*", "*a", "*.py", "a?", "??", "[ab]", "[a-c]", "[^a]", "[^a-c]*", "[!a]"),
    *(
        "**a",
        "a**",
        "*b*",
        ".*",
        "***",
        "a**b",
        "[.]*",
        "[a-]",
        "[z-a]",
        "[",
        "[]a]",
        "[a*]",
        "[?b]",
    ),
    *("[[:alpha:]]*", "[[:^digit:]]", "[[:foo:]]", r"[\d]*", r"[\W]*", r"[\]a]*", r"\a", r"\d*"),
    *(r"\D?", r"\w*", r"\S*", r"\*", r"\[a]", r"a\?", r"\x61*", r"\x{62}*", r"\101*", r"\1", r"\k"),
    *(r"\Qa.b\E*", r"\b*", r"*\B", r"a\z*", "a{2}*", "*{2}", "?{2}", "a{1,}*", "a{,2}*", "{2}a*"),
    *(
        "a|b*",
        "a^b*",
        "a+*",
        "(a)*",
        "$a*",
        "a.*",
        "*]",
        "*\u00e9",
        "?\u263a",
        "\ufffd*",
        "#*",
        "!*",
    ),
    *(".", "..", "", " "),
)


def paths(choose: random.Random) -> tuple[bytes, ...]:
    """Some files and empty folders, in few folders, so that patterns meet."""
    found = ["Dockerfile"]
    folders = [""]
    for _ in range(choose.randint(4, 18)):
        path = choose.choice(folders) + choose.choice(NAMES)
        if path in found or f"{path}/" in folders:
            continue
        if choose.random() < 0.45:
            folders.append(f"{path}/")
            found.append(f"{path}/")
        else:
            found.append(path)
    return tuple(os.fsencode(path) for path in found)


def ignore_lines(choose: random.Random, known: Sequence[str]) -> Iterator[str]:
    for _ in range(choose.choice([1, 1, 2, 2, 3, 4, 6])):
        if choose.random() < 0.06:
            yield choose.choice(
                ["", "# a", " #a", "!", "/", ".", "!/", "/!a", "/ a", "! / a", "..", "../a"]
            )
            continue
        parts = choose.choice(known).split("/") if choose.random() < 0.6 else []
        parts = parts[: choose.randint(1, 4)] or choose.choices(NAMES, k=choose.randint(1, 2))
        for at in range(len(parts)):
            if choose.random() < 0.4:
                parts[at] = choose.choice(WILD)
        if choose.random() < 0.2:
            parts.insert(choose.randint(0, len(parts)), "**")
        line = choose.choice(["/", "/", "/", "/", "//", "/./"]).join(parts)
        line = choose.choice(["", "", "", "", "", "/", "./", "b/../"]) + line
        line += choose.choice(["", "", "", "", "", "/", "/*", "/**"])
        mark = choose.choice(["!", "!", "! ", "!/"]) if choose.random() < 0.35 else ""
        # A line's end in a name would end the pattern; other control characters are refused.
        line = mark + line.replace("\n", "?")
        yield (
            choose.choice(["", "", "", "", " ", "\t", "\u00a0"])
            + line
            + choose.choice(["", "", " "])
        )


def context(choose: random.Random) -> Context:
    there = paths(choose)
    known = [os.fsdecode(path).rstrip("/") for path in there]
    # docker-devtools has no JSON on the way, so a byte that is not UTF-8 would stay one.
    lines = [line.replace("\udcff", "\ufffd") for line in ignore_lines(choose, known)]
    text = choose.choice(["\n", "\n", "\n", "\r\n"]).join(lines)
    return Context((choose.choice(["", "", "", "\ufeff"]) + text).encode(), there)


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
        case = context(random.Random(f"{SEED}:{number}"))
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
