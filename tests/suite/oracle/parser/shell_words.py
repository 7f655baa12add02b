"""Words to expand, hand-written and random, and what the variables are."""

from __future__ import annotations

import random

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "plain": {"a": "abcabc", "e": "", "p": "a/b/c", "n": "new", "s": "a  b", "_x1": "under"},
    "odd": {"a": "$a-$0-$1", "e": "", "p": "/*?\\/", "n": "é🙂é", "s": " \"q\" 'r' ", "_x1": "\\"},
    "empty": {"a": "", "e": "", "p": "-", "n": "}", "s": " ", "_x1": "{}"},
}
"""`u` and `v` are unset in all of them."""

_TABLE = r"""
    x $a ${a} $ab ${a}b $a$e$n "$a" '$a' "'$a'" '"$a"' "\$a" \$a \\$a "\\$a" \a "\a" "a\"b" '\'
    $u ${u} $e ${e} $ $$ $$a $1 $12x $0 ${1} ${12} ${0:-z} $@ $* $# $? $- $! ${@} ${*} ${#} ${-}
    ${?} ${!} ${$} ${@:-z} $_x1 ${_x1} $é ${é:-z} $. a$ "$" ${-:-z} ${#:-z} $a. $a/b $a-b ${%a}
    ${u:-d} ${u-d} ${e:-d} ${e-d} ${a:-d} ${a-d} ${u:-} ${u-} ${u:-$n} ${u:-${n}} ${u:-${v:-z}}
    ${u:-"$n"} ${u:-'$n'} ${u:-\$n} ${u:-a\}b} ${u:-"}"} ${u:-'}'} ${u:-{} ${u:-a:b} ${u:--x}
    ${u:+w} ${u+w} ${e:+w} ${e+w} ${a:+w} ${a+w} ${a:+${n}} ${a:+"w"} ${a+} ${a:+\}}
    ${a?m} ${a:?m} ${e?m} ${a:?} ${a:?${n}}
    ${a#a} ${a#*b} ${a##*b} ${a#b} ${a#?} ${a##?} ${a##} ${a#*} ${a##*} ${a#"a"} ${a#'a'}
    ${a#\*} ${a#\?} ${a#\\} ${a#${p}} ${a:#a} ${u#a} ${e#a} ${p#*/} ${p##*/} ${p#a\/} ${p#/}
    ${a%c} ${a%b*} ${a%%b*} ${a%?} ${a%%?} ${a%*} ${a%%*} ${a%"c"} ${a%\*} ${a%\?} ${a%\\}
    ${a:%c} ${p%/*} ${p%%/*} ${u%c} ${n%?} ${n#?} ${s%b} ${s#*a} ${a%*b*} ${a#*b*} ${a%\}} ${a#\}}
    ${a/b/X} ${a//b/X} ${a/b/} ${a//b/} ${a/*/X} ${a//*/X} ${a/?/X} ${a//?/X} ${a//""/X} ${a/""/X}
    ${a/b/$n} ${a//b/$n} ${a//b/$a} ${a/b/$a} ${a//b/\$0} ${a/b/\$0} ${a//b/'$0'} ${a//b/'$1'}
    ${a//b/'${0}'} ${a//b/'$$'} ${a//b/'$0x'} ${a//b/'$00'} ${a//b/'${x'} ${a//b/'$'} ${a//b/'$-'}
    ${p/\//_} ${p//\//_} ${p//\/b/_} ${a/b/\}} ${a/b/"}"} ${a/b/'}'} ${a/b/\/} ${a/b//} ${u/b/X}
    ${a/\*/X} ${p/\*/X} ${p//\?/X} ${p/\\/X} ${a/.b/X} ${a/[b]/X} ${a/^a/X} ${a/c$/X} ${a/$u/X}
    ${u:-${a#a}} ${u:-${a/b/"x y"}} ${a#${u:-a}} ${a/${u:-b}/${n}} ${a:+${e:-${u-deep}}}
    "${u:-a b}" "${u:-"q"}" "${u:-'q'}" "${a#a}" "${a/b/X}" '${u:-a}' "${u:-\"}" ${u:-"\""}
    a"b"c'd'e "" '' ""'' a""b \' \" "'" '"'
    ` a`b "`" "\`" \` {a} }a a} [a] ~ !a a!b
    #a a#b <<a é
    🙂"""
TABLE = _TABLE.split()
SPACED = (
    "a b",
    "a  b",
    "$s",
    "${s}x y",
    '"a  b" c',
    "${u:-a b}",
    "${u:-a  b}c",
    "a\tb",
    "a\u00a0b",
)
BAD = (
    *("${", "${}", "${:", "${:-x}", "${{a}}", "${a", "${a:", "${a:}", "${a:=x}", "${a=x}", "${a^}"),
    *("${a/b", "${a/b}", "${a//b}", "${a/b/c", "${u?m}", "${u:?m}", "${e:?}", "${u?}", "'a", '"a'),
    *(
        "${a#\\x}",
        "${a/\\x/y}",
        "${a%\\x}",
        "${a:/b/c}",
        "${!a}",
        "${#a}",
        "${ a}",
        "${a }",
        "${a,}",
    ),
    *("${a:1:2}", "${u:-${}", "${u:-'}", "${u:-${u?m}}", '"${a"', "${a@Q}", "${a.b}", "${a#\\"),
)

_PIECES = (
    *(
        "a",
        "b",
        "x",
        "/",
        "*",
        "?",
        "}",
        "{",
        "'",
        '"',
        "\\",
        "`",
        "$",
        "é",
        "-",
        ":",
        "#",
        "%",
        "+",
    ),
    *(
        "$a",
        "$u",
        "$e",
        "${a}",
        "${u}",
        "$n",
        "'b'",
        '"b"',
        '"$a"',
        "\\$",
        "\\}",
        "\\/",
        "\\*",
        "\\\\",
    ),
)
_OPERATORS = (":-", "-", ":+", "+", ":?", "?", "#", "##", "%", "%%", ":#", ":%", "/", "//", "")


def random_word(source: random.Random, depth: int = 0) -> str:
    """A word of a few pieces, substitutions inside substitutions."""
    return "".join(
        _substitution(source, depth)
        if depth < 3 and source.random() < 0.3
        else source.choice(_PIECES)
        for _ in range(source.randint(1, 4))
    )


def _substitution(source: random.Random, depth: int) -> str:
    operator = source.choice(_OPERATORS)
    name = source.choice(("a", "a", "e", "p", "n", "s", "u", "v", "1"))
    if not operator:
        return f"${{{name}}}"
    if operator.startswith("/"):
        return f"${{{name}{operator}{random_word(source, 3)}/{random_word(source, depth + 1)}}}"
    return f"${{{name}{operator}{random_word(source, depth + 1)}}}"
