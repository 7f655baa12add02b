"""Random Dockerfiles: likely enough to be read, odd enough to differ."""

from __future__ import annotations

import random
from collections.abc import Sequence

_HEADS = ("", "", "", "", "\ufeff", "# escape=`\n", "#escape = \\ \n", "# syntax=a/b\n# escape=`\n")
_MORE_HEADS = ("# hello\n# escape=`\n", " \t# escape=`\n", "\n# escape=`\n", "# check=x\n", "#\n")
_NAMES = (
    *("RUN", "COPY", "ADD", "ENV", "LABEL", "ARG", "CMD", "ENTRYPOINT", "SHELL", "VOLUME"),
    *("EXPOSE", "FROM", "HEALTHCHECK", "MAINTAINER", "ONBUILD", "STOPSIGNAL", "USER", "WORKDIR"),
)
_BLANKS = (" ", " ", " ", "  ", "\t", "\v", "\f", "\r", "\u00a0", "\u2003")
_WORDS = (
    *(
        "a",
        "b/c",
        "/",
        ".",
        "x=y",
        "x=",
        "=y",
        "x='a b'",
        'x="a b"',
        "x=a\\ b",
        "NONE",
        "CMD",
        "AS",
    ),
    *("$x", "${x}", "${x:-a b}", "${x:-'a b'}", "${", "$", "{x}", "'a b'", '"a b"', "'", '"', "\\"),
    *(
        "\\\\",
        "`",
        "``",
        "\\'",
        '\\"',
        '"a\\"b"',
        "#",
        "# a",
        "\u00e9",
        "\u00e0",
        "\U0001f600",
        "\ufeff",
    ),
    *("<<", "<<<a", "1<<2", "$((1 << 2))", "\u0085", "\x1f"),
)
_FLAGS = (
    *("--from=a", "--chown=1:2", "--link", "--link=x", "--mount=type=bind,target=/a", "--x", "--"),
    *(
        "--a='b c'",
        '--a="b\\"c"',
        "--a=b\\ c",
        "--a=\u00e9",
        "--a=\u00e0b",
        "--a=",
        "-a",
        "---a",
        "--a\\",
    ),
)
_DELIMITERS = (
    "A",
    "B",
    "'A'",
    '"A B"',
    "A\\ B",
    "A'B'",
    "$A",
    "${A}",
    "${A:-B C}",
    "''",
    "A.b",
    "\u00e9",
)
_JSON = (
    *(
        "[]",
        "[ ]",
        '["a"]',
        '["a", "b c"]',
        '["a","\\u00e9\\ud800"]',
        '["a",]',
        '["a" "b"]',
        "['a']",
    ),
    *(
        '["a", 1]',
        "[1e999]",
        "[NaN]",
        "[-Infinity]",
        '["a"',
        '["\\x"]',
        '["a\tb"]',
        '[["a"]]',
        "[null]",
    ),
    *('["\U0001f600"]', "[01]", '[ "a" , "b" ] ', '["<<A"]', '["a\\/b"]'),
)

_INDENTS = ("", " ", "\t")


def random_dockerfile(source: random.Random) -> str:
    """A Dockerfile of a few instructions; the first one is a FROM."""
    parts = [source.choice(_HEADS if source.random() < 0.8 else _MORE_HEADS), "FROM scratch\n"]
    parts += [_instruction(source) for _ in range(source.randint(1, 4))]
    text = "".join(parts)
    if source.random() < 0.15:
        text = text.replace("\n", "\r\n")
    return text if source.random() < 0.8 else text.rstrip("\n")


def _instruction(source: random.Random) -> str:
    name = _cased(source, source.choice(_NAMES))
    if name.upper() == "ONBUILD" and source.random() < 0.9:
        name += _blank(source) + _cased(source, source.choice(_NAMES))
    words = [source.choice(_FLAGS) for _ in range(_few(source, 0.2))]
    heredocs: list[str] = []
    if source.random() < 0.2:
        words.append(source.choice(_JSON))
    else:
        words += [source.choice(_WORDS) for _ in range(_few(source, 0.7))]
        if source.random() < 0.25:
            heredocs = _announced(source, words)
    line = name + "".join(_blank(source) + _broken(source) + word for word in words)
    indent = source.choice(("", "", "", " ", "\t", "\u00a0"))
    end = source.choice(("", "", "", " ", "\t", "\u00a0", " \\", "\\\n", "\\ \t\n", "`\n"))
    comment = source.choice(("", "", "", "", "# a\n", " # b\n", "\n", " \n"))
    return f"{comment}{indent}{line}{end}\n{''.join(heredocs)}"


def _few(source: random.Random, likely: float) -> int:
    count = 0
    while count < 5 and source.random() < likely:
        count += 1
    return count


def _cased(source: random.Random, name: str) -> str:
    return source.choice((name, name, name.lower(), name.title()))


def _blank(source: random.Random) -> str:
    return source.choice(_BLANKS[:4] if source.random() < 0.9 else _BLANKS)


def _broken(source: random.Random) -> str:
    """Sometimes a line end inside the instruction."""
    if source.random() < 0.85:
        return ""
    escape = source.choice(("\\", "\\", "`", "\\\\", "\\ \t"))
    between = source.choice(("", "", "# a\n", "  # a \\\n", "\n", " \t\n", "\n#\n\n"))
    return f"{escape}\n{between}{source.choice(_INDENTS)}"


def _announced(source: random.Random, words: list[str]) -> list[str]:
    """Add heredocs to *words*; the lines that follow."""
    found: list[str] = []
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        delimiter = source.choice(_DELIMITERS)
        dash = source.choice(("", "", "-"))
        head = f"{source.choice(('', '', '', '3', 'x'))}<<{dash}{delimiter}"
        words.insert(source.randint(0, len(words)), head)
        found.append(_body(source, _plain(source, delimiter), dash))
    return found


def _plain(source: random.Random, delimiter: str) -> str:
    """The line that likely ends it."""
    if source.random() < 0.1:
        return delimiter
    return delimiter.replace("'", "").replace('"', "").replace("\\", "")


def _body(source: random.Random, end: str, dash: str) -> str:
    pieces: Sequence[str] = (
        "a",
        "# b",
        "\tc",
        "RUN d \\",
        "",
        "$x ${y}",
        "'",
        end + " ",
        f"\t{end}",
    )
    lines = [source.choice(pieces) for _ in range(source.randint(0, 3))]
    tabs = "\t" * source.choice((0, 0, 1, 2)) if dash or source.random() < 0.1 else ""
    return "".join(f"{line}\n" for line in [*lines, tabs + end])
