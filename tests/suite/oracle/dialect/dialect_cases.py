"""Syntax of env files, one case each, and files of random pieces."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping

SEED = int(os.environ.get("UNSTALE_FUZZ_SEED", "20261126"))
FILES = int(os.environ.get("UNSTALE_FUZZ_CASES", "60"))

CASES: Mapping[str, bytes] = {
    # Plain
    "plain": b"K=v\n",
    "no-final-newline": b"K=v",
    "empty-file": b"",
    "blank-lines": b"\n\nK=v\n\n",
    "comment-line": b"# c\nK=v\n",
    "indented-comment": b"  # c\nK=v\n",
    "comment-with-an-assignment": b"# A=1\nK=v\n",
    "comment-with-an-open-quote": b"# it's \"\nK=v\n",
    "empty-value": b"K=\n",
    "empty-value-at-the-end": b"K=",
    "only-spaces-as-value": b"K=   \n",
    "space-before-the-value": b"K= v\n",
    "space-around-equals": b"K = v\n",
    "space-before-equals": b"K =v\n",
    "tab-around-equals": b"K\t=\tv\n",
    "trailing-spaces": b"K=v   \n",
    "trailing-tab": b"K=v\t\n",
    "inner-spaces": b"K=a b  c\n",
    "indented": b"   K=v\n",
    "indented-by-a-tab": b"\tK=v\n",
    "equals-in-the-value": b"K=a=b==\n",
    "url": b"K=postgresql://host.example.com:5432/db?a=1&b=2\n",
    "json-unquoted": b'K={"a": 1, "b": [2]}\n',
    "list-unquoted": b"K=[1,2]\n",
    "punctuation": b"K=!%&()*+,-./:;<=>?@[]^_{|}~\n",
    "backtick": b"K=`date`\n",
    "duplicate": b"K=1\nK=2\n",
    "two-assignments-in-a-line": b"A=1 B=2\n",
    # Keys
    "export": b"export K=v\n",
    "export-with-spaces": b"export   K=v\n",
    "export-with-a-tab": b"export\tK=v\n",
    "key-called-export": b"export=v\n",
    "bare-export": b"export\n",
    "export-of-a-bare-key": b"export NOPE\n",
    "export-of-a-bare-key-that-the-shell-has": b"export HOSTVAR\n",
    "bare-key": b"NOPE\n",
    "bare-key-that-the-shell-has": b"HOSTVAR\n",
    "bare-key-and-a-space": b"NOPE \n",
    "bare-key-and-a-comment": b"NOPE # c\n",
    "bare-key-before-others": b"NOPE\nK=v\n",
    "lower-case-key": b"key=v\n",
    "key-with-a-dash": b"A-B=v\n",
    "key-with-a-dot": b"a.b=v\n",
    "key-with-an-index": b"a[0]=v\n",
    "key-with-a-leading-digit": b"1K=v\n",
    "key-with-a-slash": b"a/b=v\n",
    "unicode-key": "schl\u00fcssel=v\n".encode(),
    "key-in-single-quotes": b"'K'=v\n",
    "key-in-double-quotes": b'"K"=v\n',
    "key-with-a-space": b"my key=v\n",
    "no-key": b"=v\n",
    "semicolon-comment": b"; c\nK=v\n",
    "junk": b"some words here\n",
    "plus-equals": b"K+=v\n",
    # Colons
    "colon-space": b"K: v\n",
    "colon": b"K:v\n",
    "colon-in-the-key": b"A:B=v\n",
    "colon-with-quotes": b'K: "v w"\n',
    "colon-equals": b"K:=v\n",
    # Comments
    "comment-behind-the-value": b"K=v # c\n",
    "comment-behind-two-spaces": b"K=v  # c # d\n",
    "hash-in-the-value": b"K=a#b\n",
    "hash-first": b"K=#v\n",
    "hash-behind-a-space": b"K= #c\n",
    "hash-behind-a-tab": b"K=v\t#c\n",
    "hash-behind-a-tab-and-a-space": b"K=v\t #c\n",
    "hash-in-single-quotes": b"K='a # b'\n",
    "hash-in-double-quotes": b'K="a # b"\n',
    "comment-behind-single-quotes": b"K='v' # c\n",
    "comment-behind-double-quotes": b'K="v" # c\n',
    "comment-close-to-quotes": b'K="v"# c\n',
    "comment-with-a-quote": b"K=v # it's\n",
    "comment-with-a-dollar": b"K=v # $A ${A}\n",
    # Quotes
    "single-quotes": b"K='v'\n",
    "double-quotes": b'K="v"\n',
    "empty-single-quotes": b"K=''\n",
    "empty-double-quotes": b'K=""\n',
    "spaces-in-quotes": b"K='  v  '\n",
    "double-within-single": b"K='a\"b'\n",
    "single-within-double": b'K="a\'b"\n',
    "quote-in-the-middle": b'K=a"b"c\n',
    "apostrophe": b"K=it's\n",
    "quote-at-the-end": b'K=v"\n',
    "text-behind-quotes": b'A="x"\nK="a"b\n',
    "text-behind-single-quotes": b"K='a'b\n",
    "quoted-twice": b'K="a""b"\n',
    "words-behind-quotes": b'K="a" b\n',
    "space-behind-quotes": b'K="a"  \n',
    "open-double-quote": b'K="a\nL=1\n',
    "open-single-quote": b"K='a\nL=1\n",
    "two-lines-in-double-quotes": b'K="a\nb"\nL=1\n',
    "two-lines-in-single-quotes": b"K='a\nb'\nL=1\n",
    "private-key-in-quotes": b'K="-----BEGIN X-----\nAbC+/d==\n-----END X-----"\n',
    "private-key-without-quotes": b"K=-----BEGIN X-----\nAbC+/d==\n-----END X-----\n",
    # Backslashes
    "backslash-n-unquoted": b"K=a\\nb\n",
    "backslash-n-in-double-quotes": b'K="a\\nb"\n',
    "backslash-n-in-single-quotes": b"K='a\\nb'\n",
    "backslash-t-in-double-quotes": b'K="a\\tb"\n',
    "backslash-r-in-double-quotes": b'K="a\\rb"\n',
    "backslash-a-in-double-quotes": b'K="\\a\\b\\f\\v"\n',
    "unknown-escape": b'K="a\\qb"\n',
    "octal": b'K="\\0101"\n',
    "hexadecimal": b'K="\\x41"\n',
    "unicode-escape": b'K="\\u0041"\n',
    "two-backslashes-unquoted": b"K=a\\\\b\n",
    "two-backslashes-in-double-quotes": b'K="a\\\\b"\n',
    "two-backslashes-in-single-quotes": b"K='a\\\\b'\n",
    "backslash-at-the-end": b"K=a\\\nL=1\n",
    "backslash-before-the-closing-quote": b"K='a\\'\n",
    "escaped-double-quote": b'K="a\\"b"\n',
    "escaped-single-quote": b"K='a\\'b'\n",
    "escaped-space": b"K=a\\ b\n",
    "windows-path": b"K=C:\\new\\table\n",
    # Dollars
    "braces": b"A=1\nK=${A}\n",
    "braces-in-double-quotes": b'A=1\nK="x${A}y"\n',
    "braces-in-single-quotes": b"A=1\nK='${A}'\n",
    "no-braces": b"A=1\nK=$A\n",
    "no-braces-in-double-quotes": b'A=1\nK="$A"\n',
    "no-braces-in-single-quotes": b"A=1\nK='$A'\n",
    "undefined": b"K=${NOPE}\n",
    "undefined-without-braces": b"K=a$NOPE\n",
    "default": b"K=${NOPE:-def}\n",
    "default-of-an-empty-one": b"E=\nK=${E:-def}\n",
    "default-without-a-colon": b"K=${NOPE-def}\n",
    "default-with-a-reference": b"A=1\nK=${NOPE:-${A}}\n",
    "empty-default": b"K=${NOPE:-}\n",
    "default-that-is-not-needed": b"A=1\nK=${A:-def}\n",
    "alternative": b"A=1\nK=${A:+alt}\n",
    "alternative-without-a-colon": b"A=1\nK=${A+alt}\n",
    "required": b"K=${NOPE:?message}\n",
    "required-without-a-colon": b"K=${NOPE?message}\n",
    "required-and-there": b"A=1\nK=${A:?message}\n",
    "assigning-default": b"K=${NOPE:=x}\n",
    "cut": b"A=1\nK=${A%c}\n",
    "open-brace": b"K=${b\n",
    "space-in-braces": b"K=${a b}\n",
    "empty-braces": b"K=${}\n",
    "forward-reference": b"K=${A}\nA=1\n",
    "self-reference": b"K=a\nK=${K}b\n",
    "file-over-shell": b"HOSTVAR=infile\nK=${HOSTVAR}\n",
    "from-the-shell": b"K=${HOSTVAR}\n",
    "two-dollars": b"K=a$$b\n",
    "two-dollars-in-double-quotes": b'K="a$$b"\n',
    "two-dollars-in-single-quotes": b"K='a$$b'\n",
    "two-dollars-and-braces": b"A=1\nK=$${A}\n",
    "escaped-dollar": b"A=1\nK=\\$A\n",
    "escaped-dollar-in-double-quotes": b'A=1\nK="\\$A"\n',
    "escaped-braces-in-double-quotes": b'A=1\nK="\\${A}"\n',
    "dollar-at-the-end": b"K=a$\n",
    "dollar-and-a-digit": b"K=a$1b\n",
    "dollar-and-a-dot": b"K=a$.b\n",
    "bcrypt": b"K=$2b$12$abcdefghijk\n",
    "bcrypt-in-single-quotes": b"K='$2b$12$abcdefghijk'\n",
    "command": b"K=$(date)\n",
    # Bytes
    "crlf": b"A=1\r\nK=v\r\n",
    "crlf-in-double-quotes": b'K="a\r\nb"\r\n',
    "crlf-in-single-quotes": b"K='a\r\nb'\r\n",
    "crlf-behind-quotes": b'K="v"\r\nL=1\r\n',
    "crlf-behind-a-comment": b"K=v # c\r\nL=1\r\n",
    "crlf-behind-a-bare-key": b"NOPE\r\nL=1\r\n",
    "lone-cr": b"K=a\rL=b\n",
    "cr-at-the-end": b"K=a\r",
    "byte-order-mark": b"\xef\xbb\xbfK=v\n",
    "not-utf-8": b"K=\xff\nL=1\n",
    "accent": "K=\u00e9t\u00e9\n".encode(),
    "emoji": "K=\U0001f600\n".encode(),
    "no-break-space-at-the-end": "K=v\u00a0\n".encode(),
    "no-break-space-before-a-hash": "K=v\u00a0#c\n".encode(),
    "wide-space-first": "K=\u3000v\n".encode(),
    "vertical-tab": b"K=a\x0bb\n",
    "form-feed-between": b"K=a\n\x0cL=b\n",
    "line-separator": "K=a\u2028b\n".encode(),
    "next-line": "K=a\u0085b\n".encode(),
    "zero-byte": b"K=a\x00b\n",
    "escape-character": b"K=\x1b[31m\n",
}

_KEYS = ("A", "B", "C_D", "e", "F.G", "HOSTVAR", "export H", "J ", " K", "L-M")
_PIECES = (
    *("a", "b c", "1", "x=y", "#", " #", "\t#", "$", "$$", "$A", "${A}", "${B:-d}", "${NOPE-d}"),
    *("'", '"', "''", '""', "'q r'", '"q r"', "\\", "\\n", "\\$", '\\"', "\\'", "\\\\", ":", " "),
    *("\t", "\u00e9", "\u00a0", "`", "{", "}", "!", "%", "?", "${HOSTVAR}", "/", "@", "=", ";"),
)
_ENDS = ("\n", "\n", "\n", "\n", "\r\n", "", "\n\n", " \n", " # c\n", "\r")
_PLAIN_PIECES = tuple(map(chr, range(0x20, 0x7F)))


def random_files() -> Iterator[bytes]:
    """Files of one to four lines; most go through, for compose refuses a file as a whole."""
    chance = random.Random(SEED)
    for _ in range(FILES):
        yield "".join(_line(chance) for _ in range(chance.randint(1, 4))).encode()


def _line(chance: random.Random) -> str:
    if chance.random() < 0.1:
        return chance.choice(("# c\n", "\n", "BARE\n", "HOSTVAR\n", "K: v\n"))
    value = "".join(chance.choices(_PIECES, k=chance.randint(0, 3)))
    if chance.random() < 0.3:
        quote = chance.choice("'\"")
        value = quote + value.replace(quote, "") + quote
    return f"{chance.choice(_KEYS)}={value}{chance.choice(_ENDS)}"


def random_lines(count: int) -> Iterator[bytes]:
    """Lines around comments and quotes, of few kinds of characters."""
    chance = random.Random(SEED)
    for _ in range(count):
        value = "".join(chance.choices("a #'\"\t\\\u00a0", k=chance.randint(0, 7)))
        yield f"K={value}{chance.choice(_ENDS)}L=1".encode()


def random_plain_lines(count: int) -> Iterator[bytes]:
    """Lines of any printable ASCII; the caller keeps those that are plain."""
    chance = random.Random(SEED)
    for _ in range(count):
        value = "".join(chance.choices(_PLAIN_PIECES, k=chance.randint(0, 6)))
        if chance.random() < 0.5:
            quote = chance.choice("'\"")
            value = quote + value + quote
        yield f"K={value}{chance.choice((chr(10), chr(13) + chr(10), ''))}".encode()
