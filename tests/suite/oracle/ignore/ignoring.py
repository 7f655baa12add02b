"""Contexts with an ignore file: random ones, on disk, and as we see them.

UNSTALE_ORACLE_CASES random cases, 150 unless told; UNSTALE_ORACLE_SEED picks others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unstale.image import dockerignore
from unstale.image.tree import ContextTree

CASES = int(os.environ.get("UNSTALE_ORACLE_CASES", "150"))
SEED = int(os.environ.get("UNSTALE_ORACLE_SEED", "3"))


@dataclass(frozen=True, slots=True)
class Context:
    """Paths are bytes; one that ends in a slash is an empty folder."""

    ignore: bytes
    paths: tuple[bytes, ...]

    def write(self, root: Path) -> None:
        for path in self.paths:
            place = os.path.join(os.fsencode(root), path)  # noqa: PTH118 - names are bytes
            folder = place.rpartition(b"/")[0]
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            if not path.endswith(b"/"):
                with open(place, "wb") as file:  # noqa: PTH123
                    file.write(b"x")
        (root / ".dockerignore").write_bytes(self.ignore)


def sent(root: Path) -> set[bytes]:
    """What we say the builder is sent of *root*.

    Raises:
        CouldNotTell: the ignore file can't be applied.

    """
    text = (root / ".dockerignore").read_bytes().decode(errors="surrogateescape")
    tree = ContextTree(root, dockerignore.parse(text))
    return {os.fsencode(path) for path, _ in tree.under(".")} - {b"."}


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


def _paths(choose: random.Random) -> tuple[bytes, ...]:
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


def _lines(choose: random.Random, known: Sequence[str]) -> Iterator[str]:
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


def random_context(number: int) -> Context:
    """A case, always the same one for its number and the seed."""
    choose = random.Random(f"{SEED}:{number}")
    there = _paths(choose)
    known = [os.fsdecode(path).rstrip("/") for path in there]
    # docker-devtools has no JSON on the way, so a byte that is not UTF-8 would stay one.
    lines = [line.replace("\udcff", "\ufffd") for line in _lines(choose, known)]
    text = choose.choice(["\n", "\n", "\n", "\r\n"]).join(lines)
    return Context((choose.choice(["", "", "", "\ufeff"]) + text).encode(), there)
