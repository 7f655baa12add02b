"""Each case was first tried on BuildKit."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from unstale.errors import CouldNotTell
from unstale.image.dockerignore import excluded, parse

CASES = [
    # .dockerignore, path, left out
    ("a", "a", True),
    ("a", "a/b/c", True),
    ("a", "b/a", False),
    ("a", "ab", False),
    ("A", "a", False),
    ("/a", "a", True),
    ("./a", "a", True),
    ("a/", "a", True),
    ("a//b", "a/b", True),
    ("a/../b", "b", True),
    (".", "a", False),
    ("/", "a", False),
    ("../a", "a", False),
    ("*", "a", True),
    ("*", ".hidden", True),
    ("*", "a/b", True),
    ("a*", "ab/c", True),
    ("*/a", "a", False),
    ("*/a", "b/a", True),
    ("*.py", "d/x.py", False),
    ("**/*.py", "x.py", True),
    ("**/*.py", "d/e/x.py", True),
    ("**/x", "x", True),
    ("**/x", "d/yx", False),
    ("**", "a/b", True),
    ("a/**", "a", False),
    ("a/**", "a/b/c", True),
    ("a**", "ab", True),
    ("a**/*.txt", "ab/c/d.txt", True),
    ("a/**/c", "a/c", True),
    ("a/**/c", "a/b/b/c", True),
    ("?", "a", True),
    ("?", "ab", False),
    ("a?b", "a/b", False),
    ("[ab]", "b", True),
    ("[a-c]x", "bx", True),
    ("[^a]", "b", True),
    ("[^a]", "a", False),
    ("[!a]", "b", False),
    ("[!a]", "!", True),
    ("#a", "#a", False),
    (" #a", "#a", True),
    (r"\#a", "#a", True),
    (r"\!a", "!a", True),
    ("\ufeffa", "a", True),
    ("a\r\nb\r\n", "b", True),
    (" a ", "a", True),
    ("\u00a0a\u3000", "a", True),
    ("a b", "a b", True),
    ("*\n! a", "a", False),
    ("*\n!a", "a/b", False),
    ("!a\n*", "a", True),
    ("*\n!a/b", "a/b", False),
    ("*\n!a/b", "a/c", True),
    ("*\n!a\na/c", "a/c", True),
    ("*\n!**/*.py", "d/x.py", False),
    ("a.b", "axb", False),
    ("a+*", "a+", True),
    ("a^b*", "a^bc", False),
    (r"\d*", "5x", True),
    (r"\d*", "dx", False),
    ("a(b)*", "a(b)c", True),
    ("a$*", "a$b", True),
    ("*.{js,ts}", "x.js", False),
    ("*.{js,ts}", "x.{js,ts}", True),
    ("x\n!x/y\nx*", "x/y", False),
]


@pytest.mark.parametrize(("text", "path", "out"), CASES)
def test_a_path_is_left_out_as_the_builder_does(text: str, path: str, *, out: bool) -> None:
    assert excluded(PurePosixPath(path), parse(text)) is out


@pytest.mark.parametrize(
    "pattern",
    [
        "[",
        "[a",
        "[a-",
        "[]a]",
        "[-x]",
        "!",
        "! ",
        "a\\",
        r"\k*",
        "a{2}*",
        "[[:alpha:]]",
        "a" * 65536,
    ],
)
def test_a_pattern_that_the_build_refuses_or_go_reads_otherwise_is_an_error(pattern: str) -> None:
    with pytest.raises(CouldNotTell):
        parse(pattern)


def test_a_name_that_is_not_utf8_matches_as_in_go() -> None:
    path = PurePosixPath(b"a\xff".decode(errors="surrogateescape"))

    assert excluded(path, parse("a?"))
    assert excluded(path, parse("[a]\ufffd"))
