from __future__ import annotations

import pytest

from unstale.image.shell import Unresolved, expand, expand_body, expand_words, tokens

# Each value is what BuildKit gives: tests/suite/oracle/parser asks it for many more.
VARIABLES = {
    "x": "v",
    "empty": "",
    "path": "a/b/c",
    "word": "abcabc",
    "blank": "a  b",
    "dollar": "$0-$1",
    "star": "x*y",
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$x/a", "v/a"),
        ("${x}a", "va"),
        ("$xa", ""),
        ("$unset", ""),
        ("$", "$"),
        ("a$.b", "a$.b"),
        ("$x$x", "vv"),
        ("$blank c", "a  b c"),
    ],
)
def test_a_variable_is_replaced(word: str, value: str) -> None:
    assert expand(word, VARIABLES) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("'$x'", "$x"),
        ('"$x b"', "v b"),
        ("""'"'"'"a""", "\"'a"),
        (r"\$x", "$x"),
        (r"\a\\", "a\\"),
        (r'"\$x\"\\\a"', '$x"\\\\a'),
        (r"'\'", "\\"),
        ("a\\", "a"),
        ('""', ""),
    ],
)
def test_quotes_and_escapes_are_taken_off(word: str, value: str) -> None:
    assert expand(word, VARIABLES) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [("`$x", "$x"), (r"\$x", r"\v"), ('"`$x\\"', "$x\\"), ("c:\\a", "c:\\a")],
)
def test_the_escape_may_be_a_backtick(word: str, value: str) -> None:
    assert expand(word, VARIABLES, "`") == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${unset-d}", "d"),
        ("${empty-d}", ""),
        ("${empty:-d}", "d"),
        ("${x:-d}", "v"),
        ("${unset+w}", ""),
        ("${empty+w}", "w"),
        ("${empty:+w}", ""),
        ("${x:+w}", "w"),
        ("${empty?w}", ""),
        ("${x:?w}", "v"),
        ("${unset:-$x}", "v"),
        ("${unset:-${empty:-${x}}}", "v"),
        ("${unset:-'}'}", "}"),
        (r"${unset:-\}}", "}"),
        ("${unset:-a b}", "a b"),
    ],
)
def test_unset_and_empty_are_told_apart(word: str, value: str) -> None:
    assert expand(word, VARIABLES) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${path#*/}", "b/c"),
        ("${path##*/}", "c"),
        ("${path%/*}", "a/b"),
        ("${path%%/*}", "a"),
        ("${word#b}", "abcabc"),
        ("${word#?}", "bcabc"),
        ("${word%[c]}", "abcabc"),
        (r"${star%\*y}", "x"),
        ("${word:#a}", "bcabc"),
        ("${unset#a}", ""),
        ("${word#${unset:-ab}}", "cabc"),
    ],
)
def test_a_pattern_is_trimmed(word: str, value: str) -> None:
    assert expand(word, VARIABLES) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${word/b/X}", "aXcabc"),
        ("${word//b/X}", "aXcaXc"),
        ("${word//b/}", "acac"),
        ("${word/*/X}", "X"),
        ("${word//*/X}", "X"),
        ('${empty//""/X}', "X"),
        ('${x//""/X}', "XvX"),
        (r"${path//\//_}", "a_b_c"),
        ("${word/b/$path}", "aa/b/ccabc"),
        # Only the one that replaces all reads its text as a template.
        ("${word/b/$dollar}", "a$0-$1cabc"),
        ("${word//b/$dollar}", "ab-cab-c"),
        (r"${word/b/\}}", r"a\}cabc"),
        ("${unset/b/X}", ""),
    ],
)
def test_a_pattern_is_replaced(word: str, value: str) -> None:
    assert expand(word, VARIABLES) == value


@pytest.mark.parametrize("word", ["$1", "$12", "$@", "$*", "$#", "$?", "$-", "$$", "$!", "${1}"])
def test_a_special_parameter_is_unset(word: str) -> None:
    assert expand(f"[{word}]", VARIABLES) == "[]"


@pytest.mark.parametrize(
    "word",
    [
        *("'a", '"a', "${", "${}", "${x", "${:-a}", "${{x}}", "${x:=a}", "${x^}", "${!x}", "${#x}"),
        *("${x/a", "${x/a}", "${x/a/b", "${x:/a/b}", r"${x#\a}", r"${x/\a/b}", "${unset?}"),
        *("${unset:?a}", "${empty:?}", "${unset:-${}", "${x#}", "${x%$empty}"),
    ],
)
def test_a_word_that_the_builder_refuses_is_unresolved(word: str) -> None:
    with pytest.raises(Unresolved):
        expand(word, VARIABLES)


def test_a_message_of_the_dockerfile_is_the_reason() -> None:
    with pytest.raises(Unresolved, match="unset: say it"):
        expand("${unset:?say it}", VARIABLES)


def test_substitutions_nested_beyond_reason_are_unresolved() -> None:
    with pytest.raises(Unresolved):
        expand("${a:-" * 100_000 + "}" * 100_000, {})


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("a  b", ("a", "b")),
        ("'a b' c", ("a b", "c")),
        ("$blank", ("a", "b")),
        ('"$blank"', ("a  b",)),
        ("x${blank}y", ("xa", "by")),
        (r"a\ b", ("a b",)),
        ("'' a", ("a",)),
        ("$empty", ()),
        ("a\u00a0b", ("a", "b")),
    ],
)
def test_words_are_split_after_the_expansion(word: str, words: tuple[str, ...]) -> None:
    assert expand_words(word, VARIABLES) == words


def test_quotes_are_ordinary_in_a_heredoc() -> None:
    assert expand_body("\"$x\" '$x'\n\\$x `a\n", VARIABLES) == "\"v\" 'v'\n$x `a\n"


def test_a_byte_that_is_no_utf8_becomes_a_replacement_character() -> None:
    assert expand("a\udcff", {}) == "a\ufffd"


def test_tokens_keep_what_they_are_told_to_keep() -> None:
    line = "a 'b c' \"$x ${y:-d e}\" \\$f"

    assert tokens(line, quotes=True, escapes=True) == (
        "a",
        "'b c'",
        '"$x ${y:-d e}"',
        "\\$f",
    )
    assert tokens(line, quotes=False, escapes=False) == ("a", "b c", "$x ${y:-d e}", "$f")
