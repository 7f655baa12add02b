"""Each case was first tried on BuildKit, or is one of patternmatcher's or Go's own."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.errors import CouldNotTell
from unstale.image import goglob
from unstale.image.dockerignore import Rule, Rules, may_hold_exceptions, parse, step


def left_out(text: str, path: str) -> bool:
    """Walk down to *path*, as a build does."""
    rules = parse(text)
    out, said = False, (False,) * len(rules)
    for folder in ancestors(path):
        out, said = step(folder, rules, said)
    return out


def ancestors(path: str) -> Iterator[str]:
    """Also of a path that ends in a slash: then the path without it is a folder."""
    for at, char in enumerate(path):
        if char == "/" and at:
            yield path[:at]
    yield path


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
    # Read twice: what the file's reader leaves, the matcher trims and cleans again.
    ("/ a", "a", True),
    ("*\n!/ a", " a", False),
    ("*\n/!a", "a", False),
    ("*\n./!a", "a", False),
    ("/#a", "#a", True),
    ("\ufeff\ufeffa*", "ab", True),
    ("x\n\ufeffa", "a", False),
    ("\ufeff#a\na", "#a", False),
    ("a\r", "a", True),
    # Go's regular expressions show through.
    ("a{2}*", "aab", True),
    ("a{2}*", "a{2}b", False),
    ("a{2}", "aa", False),
    ("a{2}", "a{2}", True),
    ("a{1,}?", "aab", True),
    ("a{,2}*", "a{,2}", True),
    ("a{01}*", "a{01}", True),
    ("?{3}", "abc", True),
    ("a|b*", "ax", True),
    ("a|b*", "xb", True),
    ("{2}a*", "ab", True),
    ("[[:alpha:]]", "q", True),
    ("[[:alpha:]]", "7", False),
    ("[[:^alpha:]]", "7", True),
    ("[[:alpha:]_]x", "_x", True),
    ("[a*]b", "aa]b", True),
    ("[a?]", "^]", True),
    ("[+-.]x", "-x", True),
    ("[a].x", "a.x", True),
    (r"[\d]", "7", True),
    (r"[\D]", "7", False),
    (r"\w\s*", "a b", True),
    (r"\W*", "-b", True),
    (r"\s*", "\vx", False),
    (r"\s*", "\fx", True),
    ("[[:space:]]*", "\vx", True),
    (r"\x41*", "Ab", True),
    (r"\x{1F600}*", "\U0001f600b", True),
    (r"\101*", "Ab", True),
    (r"\0*", "0", False),
    (r"\Qa.b\E*", r"a\.bc", True),
    (r"\Qa.b\E*", "a.bc", False),
    (r"\bab\b*", "ab-c", True),
    (r"\Bab*", "ab", False),
    (r"a\z*", "a", True),
    (r"a\z*", "ab", False),
    (r"a\/b", "a/b", True),
    ("a[^b]c", "a/c", True),
    ("**a|b", "xa|b", True),
    # Go's check of a pattern stops where it doesn't match the name ".".
    ("a*[a-]x", "ab-x", True),
    ("a*[]b]", "a]", True),
    ("a*[-b]", "a-", True),
    ("x*[[:a*", "x:", True),
    ("a*\\", "ab$c", True),
    ("a*\\", "ab", False),
    ("a**\\", "a/$c", True),
    ("a?b", "a\u263ab", True),
    ("*\u00e9", "x\u00e9", True),
]


@pytest.mark.parametrize(("text", "path", "out"), CASES)
def test_a_path_is_left_out_as_the_builder_does(text: str, path: str, out: bool) -> None:
    assert left_out(text, path) is out


NO, INEXACT, EXACT = "no", "by its parent", "itself"

# What moby/patternmatcher asserts: pattern, path, what it matches.
SINGLE = [
    ("**", "file", EXACT),
    ("**", "file/", EXACT),
    ("**/", "file", EXACT),
    ("**/", "file/", EXACT),
    ("**", "/", EXACT),
    ("**/", "/", EXACT),
    ("**", "dir/file", EXACT),
    ("**/", "dir/file", EXACT),
    ("**", "dir/file/", EXACT),
    ("**/", "dir/file/", EXACT),
    ("**/**", "dir/file", EXACT),
    ("**/**", "dir/file/", EXACT),
    ("dir/**", "dir/file", EXACT),
    ("dir/**", "dir/file/", EXACT),
    ("dir/**", "dir/dir2/file", EXACT),
    ("dir/**", "dir/dir2/file/", EXACT),
    ("**/dir", "dir", EXACT),
    ("**/dir", "dir/file", INEXACT),
    ("**/dir2/*", "dir/dir2/file", EXACT),
    ("**/dir2/*", "dir/dir2/file/", INEXACT),
    ("**/dir2/**", "dir/dir2/dir3/file", EXACT),
    ("**/dir2/**", "dir/dir2/dir3/file/", EXACT),
    ("**file", "file", EXACT),
    ("**file", "dir/file", EXACT),
    ("**/file", "dir/file", EXACT),
    ("**file", "dir/dir/file", EXACT),
    ("**/file", "dir/dir/file", EXACT),
    ("**/file*", "dir/dir/file", EXACT),
    ("**/file*", "dir/dir/file.txt", EXACT),
    ("**/file*txt", "dir/dir/file.txt", EXACT),
    ("**/file*.txt", "dir/dir/file.txt", EXACT),
    ("**/file*.txt*", "dir/dir/file.txt", EXACT),
    ("**/**/*.txt", "dir/dir/file.txt", EXACT),
    ("**/**/*.txt2", "dir/dir/file.txt", NO),
    ("**/*.txt", "file.txt", EXACT),
    ("**/**/*.txt", "file.txt", EXACT),
    ("a**/*.txt", "a/file.txt", EXACT),
    ("a**/*.txt", "a/dir/file.txt", EXACT),
    ("a**/*.txt", "a/dir/dir/file.txt", EXACT),
    ("a/*.txt", "a/dir/file.txt", NO),
    ("a/*.txt", "a/file.txt", EXACT),
    ("a/*.txt**", "a/file.txt", EXACT),
    ("a[b-d]e", "ae", NO),
    ("a[b-d]e", "ace", EXACT),
    ("a[b-d]e", "aae", NO),
    ("a[^b-d]e", "aze", EXACT),
    (".*", ".foo", EXACT),
    (".*", "foo", NO),
    ("abc.def", "abcdef", NO),
    ("abc.def", "abc.def", EXACT),
    ("abc.def", "abcZdef", NO),
    ("abc?def", "abcZdef", EXACT),
    ("abc?def", "abcdef", NO),
    ("**/foo/bar", "foo/bar", EXACT),
    ("**/foo/bar", "dir/foo/bar", EXACT),
    ("**/foo/bar", "dir/dir2/foo/bar", EXACT),
    ("abc/**", "abc", NO),
    ("abc/**", "abc/def", EXACT),
    ("abc/**", "abc/def/ghi", EXACT),
    ("**/.foo", ".foo", EXACT),
    ("**/.foo", "bar.foo", NO),
    ("a(b)c/def", "a(b)c/def", EXACT),
    ("a(b)c/def", "a(b)c/xyz", NO),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", EXACT),
    (
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        EXACT,
    ),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", EXACT),
    (r"a\\", "a\\", EXACT),
    (r"a\*b", "a*b", EXACT),
]

MULTIPLE = [
    (["**", "!util/docker/web"], "util/docker/web/foo", False),
    (["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", True),
    (
        ["**", "!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"],
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        False,
    ),
    (["**", "!dist/*.whl"], "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", False),
]

# What moby/patternmatcher asserts by a test each: patterns, path, left out.
NAMED = [
    (["*"], "fileutils.go", True),
    (["*.go"], "fileutils.go", True),
    (["!fileutils.go", "*.go"], "fileutils.go", True),
    (["docs", "!docs/README.md"], "docs/README.md", False),
    (["docs/", "!docs/README.md"], "docs/README.md", False),
    (["docs/*", "!docs/README.md"], "docs/README.md", False),
    (["*.go", "!fileutils.go"], "fileutils.go", False),
    (["*.go"], ".", False),
    (["!"], "fileutils.go", None),
    ([], "any/path/there", False),
    (["["], "any/path/there", None),
]

# What Go asserts of filepath.Match: pattern, name, matches; None: it is malformed.
MATCH = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "abc", True),
    ("a*", "ab/c", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^b-d]", "abc", False),
    ("ab[^e-g]", "abc", True),
    (r"a\*b", "a*b", True),
    (r"a\*b", "ab", False),
    ("a?b", "a\u263ab", True),
    ("a[^a]b", "a\u263ab", True),
    ("a???b", "a\u263ab", False),
    ("a[^a][^a][^a]b", "a\u263ab", False),
    ("[a-\u03b6]*", "\u03b1", True),
    ("*[a-\u03b6]", "A", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    (r"[\]a]", "]", True),
    (r"[\-]", "-", True),
    (r"[x\-]", "x", True),
    (r"[x\-]", "-", True),
    (r"[x\-]", "z", False),
    (r"[\-x]", "x", True),
    (r"[\-x]", "-", True),
    (r"[\-x]", "a", False),
    ("[]a]", "]", None),
    ("[-]", "-", None),
    ("[x-]", "x", None),
    ("[x-]", "-", None),
    ("[x-]", "z", None),
    ("[-x]", "x", None),
    ("[-x]", "-", None),
    ("[-x]", "a", None),
    ("\\", "a", None),
    ("[a-b-c]", "a", None),
    ("[", "a", None),
    ("[^", "a", None),
    ("[^bc", "a", None),
    ("a[", "a", None),
    ("a[", "ab", None),
    ("*x", "xxx", True),
]


def test_the_tables_hold_every_case() -> None:
    tables = [SINGLE, MULTIPLE, MATCH, NAMED]
    errors = [case for case in (*MATCH, *NAMED) if case[2] is None]

    assert [len(table) for table in tables] == [68, 4, 54, 11]
    assert len(errors) == 17


@pytest.mark.parametrize(("pattern", "path", "what"), SINGLE)
def test_a_pattern_matches_as_patternmatcher_says(pattern: str, path: str, what: str) -> None:
    (rule,) = parse(pattern)

    assert rule.matches(path) is (what == EXACT)
    assert left_out(pattern, path) is (what != NO)


@pytest.mark.parametrize(("patterns", "path", "out"), [*MULTIPLE, *NAMED])
def test_patterns_together_match_as_patternmatcher_says(
    patterns: list[str], path: str, out: bool | None
) -> None:
    if out is None:
        with pytest.raises(CouldNotTell):
            parse("\n".join(patterns))
    else:
        assert left_out("\n".join(patterns), path) is out


@pytest.mark.parametrize(("pattern", "name", "matches"), MATCH)
def test_a_glob_matches_as_go_says(pattern: str, name: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(goglob.BadPattern):
            goglob.translate(pattern)
        with pytest.raises(CouldNotTell):
            parse(pattern)
    else:
        # A path is left out with the folder it is in.
        parents = [goglob.translate(pattern).fullmatch(path) for path in ancestors(name)]

        assert bool(parents[-1]) is matches
        assert left_out(pattern, name) is any(parents)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[", "never closed"),
        ("[a", "never closed"),
        ("[a-", "never closed"),
        ("[]a]", "malformed"),
        ("[-x]", "malformed"),
        ("[\udcff]x*[", "never closed"),
        ("!", "brings nothing back"),
        ("! ", "brings nothing back"),
        ("!/", "brings nothing back"),
        ("a\\", "escapes nothing"),
        (".*[a-]", "malformed"),
        ("?*[]a]", "malformed"),
        ("[.]*\\", "escapes nothing"),
        ("a*[", "never closed"),
        (r"\k*", "nothing to Go"),
        (r"\1*", "nothing to Go"),
        (r"\x4?", "nothing to Go"),
        ("\\\u00e9", "nothing to Go"),
        (r"[\b]", "nothing to Go"),
        (r"\x{D800}*", "can't be"),
        (r"\x{110000}*", "can't be"),
        ("*{2}", "nothing to repeat"),
        ("a{2}{3}*", "nothing to repeat"),
        ("a|{2}*", "nothing to repeat"),
        ("a{2,1}*", "out of range"),
        ("a{1001}*", "out of range"),
        (r"a{40}\Q\E{40}*", "too often"),
        ("[z-a]", "backwards"),
        ("[[:foo:]]", "'foo'"),
        (r"\pL*", "depends on the builder"),
        (r"[\PL]*", "depends on the builder"),
        ("a\tb", "control character"),
        ("a\x7f", "control character"),
        ("a\x00b", "control character"),
        ("x\n\ufeff**a", "byte order mark"),
        ("a" * 65536, "refuses it"),
        ("\ufeff" + "a" * 65533, "refuses it"),
        ("a" * 65535 + "\r", "refuses it"),
    ],
)
def test_what_the_build_refuses_or_go_versions_read_differently_is_an_error(
    pattern: str, why: str
) -> None:
    with pytest.raises(CouldNotTell) as raised:
        parse(pattern)

    assert why in str(raised.value.cause)


def test_the_longest_line_that_the_builder_reads_is_a_pattern() -> None:
    assert left_out("a" * 65535 + "\n", "a" * 65535)
    assert left_out("\ufeff" + "a" * 65532, "a" * 65532)


def test_an_error_names_the_line() -> None:
    with pytest.raises(CouldNotTell, match=r"Line 3 .*'\[a'"):
        parse("# comment\n\n[a\n")


INVALID = [
    # Patterns travel as JSON, so each byte that is not UTF-8 becomes U+FFFD there;
    # a regular expression reads such a byte of a name as U+FFFD too, a comparison doesn't.
    (b"a\xff", b"a\xff", False),
    (b"a\xff", b"a\xef\xbf\xbd", True),
    (b"a\xff*", b"a\xfez", True),
    (b"a\xff*", b"a\xef\xbf\xbdz", True),
    (b"a\xff**", b"a\xffz", False),
    (b"a\xff**", b"a\xef\xbf\xbdz", True),
    (b"a?", b"a\xff", True),
    (b"a?", b"a\xe2\x98", False),
    (b"a??", b"a\xe2\x98", True),
    (b"[a]\xef\xbf\xbd", b"a\xff", True),
    (b"**/*.x", b"\xff/\xff.x", True),
    (b"**/d/*[b]", b"\xff/d/\xffb", True),
]


@pytest.mark.parametrize(("text", "path", "out"), INVALID)
def test_bytes_that_are_not_utf8_match_as_in_the_builder(
    text: bytes, path: bytes, out: bool
) -> None:
    pattern, name = (each.decode(errors="surrogateescape") for each in (text, path))

    assert left_out(pattern, name) is out


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_stars_match_as_those_of_a_shell(pattern: str, name: str) -> None:
    found = goglob.translate(pattern).fullmatch(name) is not None

    assert found is fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*x/*b", "ax/cb", True),
        ("*x/*b", "ax/c/b", False),
        ("*[^a]*b", "x/yb", False),  # a class takes a slash, and the first place is taken
        ("a*", "a/b", False),
    ],
)
def test_no_star_crosses_a_slash(pattern: str, name: str, *, matches: bool) -> None:
    assert bool(goglob.translate(pattern).fullmatch(name)) is matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("?", True),
        ("??", False),
        ("[\ufffd]", True),
        ("[^\ufffd]", False),
        ("[a-\uffff]", True),
        ("[a-\ue000]", False),
        ("[^a]", True),
        ("\ufffd", False),
        ("\udcff", True),
    ],
)
def test_a_glob_reads_a_byte_that_is_not_utf8_as_go_does(pattern: str, matches: bool) -> None:
    name = b"\xff".decode(errors="surrogateescape")

    assert bool(goglob.translate(pattern).fullmatch(name)) is matches


@pytest.mark.parametrize(
    ("text", "folder", "entered"),
    [
        ("a", "a", False),
        ("a\n!a/b", "a", True),
        ("a\n!a/b", "a/b", True),
        ("a\n!a/b", "a/c", False),
        ("a\n!a/b/**", "a/b", True),
        ("a\n!a/b/*", "a", True),
        ("a\n!ab", "a", False),
        ("a\n!b/**", "a", False),
        ("a\n!b/*", "a", False),
        ("a\n!**/b", "c", True),
        ("a\n![b]", "c", True),
    ],
)
def test_a_folder_is_entered_for_what_may_be_brought_back(
    text: str, folder: str, entered: bool
) -> None:
    assert may_hold_exceptions(folder, parse(text)) is entered


# Written anew from what the rules say, with no scope in between.
def asked_one_by_one(
    path: str, rules: tuple[Rule, ...], parent: tuple[bool, ...]
) -> tuple[bool, tuple[bool, ...]]:
    out, said = False, list(parent)
    for at, rule in enumerate(rules):
        if not said[at] and rule.exception is out:
            said[at] = rule.matches(path)
        if said[at]:
            out = not rule.exception
    return out, tuple(said)


PARTS = ["a", "b", "ab", ".x", "a.b", "a\nb", "\u00e9", "\udcff", "a]", "-"]
GLOBS = ["*", "**", "?", "a*", "*b", "**b", "a**", "[ab]", "[^a]", r"\w*", "a.b", "*.b", "{2}", "]"]


def test_a_scope_says_what_asking_every_rule_says() -> None:
    choose = random.Random(3)
    differed = 0
    for _ in range(1500):
        lines = [
            "!" * (choose.random() < 0.3)
            + "/".join(choose.choices(PARTS + GLOBS, k=choose.choice([1, 1, 2, 3])))
            for _ in range(choose.randint(1, 5))
        ]
        try:
            rules = parse("\n".join(lines).replace("a\nb", "ab"))
        except CouldNotTell:
            continue
        said: dict[str, tuple[bool, ...]] = {}
        for _ in range(12):
            for path in ancestors("/".join(choose.choices(PARTS, k=choose.randint(1, 4)))):
                parent = said.get(path.rpartition("/")[0], (False,) * len(rules))
                answer = step(path, rules, parent)
                said[path] = answer[1]
                differed += answer[0]

                assert answer == asked_one_by_one(path, rules, parent), (lines, path)
    assert differed > 1000


def test_rules_that_are_a_plain_tuple_give_the_same_answer() -> None:
    rules = parse("*\n!a")

    assert step("a", tuple(rules), (False, False)) == step("a", rules, (False, False))
    assert isinstance(rules, Rules)
