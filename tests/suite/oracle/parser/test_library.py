"""The reader against BuildKit's own parser (v0.12.5, as the `dockerfile` package holds it).

That parser reads lines, flags, words and heredocs; it knows no instruction's
rules, so it takes more than the builder does. What only we refuse is asked of
the engine in `test_engine.py`.
"""

from __future__ import annotations

import os
import random

import pytest
from dockerfile_fuzz import random_dockerfile
from dockerfile_reading import AMBIGUOUS, REFUSED, UNSHOWN, Reading, library, ours

CASES = int(os.environ.get("UNSTALE_ORACLE_CASES", "300"))
SEED = int(os.environ.get("UNSTALE_ORACLE_SEED", "3"))

BATTERY = {
    "continuation": "RUN a \\\n  b\n",
    "comment in a continuation": "RUN a \\\n# why\n  # and\n  b\n",
    "blank line in a continuation": "RUN a \\\n\n \t\n  b\n",
    "blanks after the escape": "RUN a \\ \t\n b\n",
    "escaped escape": "RUN a \\\\\nRUN b\n",
    "three escapes": "RUN a \\\\\\\nRUN b\n",
    "escape alone on a line": "RUN a \\\n\\\nb\n",
    "escape at the end": "RUN a \\\n",
    "escape directive": "RUN a `\nb\\\nRUN c\n",
    "comment after a command": "RUN a # b\n",
    "indented": " \tRUN a\n\t# no\n",
    "lower case": "run a\ncOpY b c\n",
    "tab, form feed, vertical tab": "RUN\t\fa\nRUN\vb\n",
    "no-break space": "RUN a\u00a0\nCOPY a\u00a0b c\n",
    "json": 'RUN ["a", "b c"]\nCOPY ["d e", "f"]\n',
    "json of odd strings": 'CMD ["\\u00e9\\n\\/", "\\ud800", "\U0001f600"]\n',
    "json in single quotes": "RUN ['a', 'b']\n",
    "json of numbers": 'CMD ["a", 1]\n',
    "json, unfinished": 'CMD ["a", "b"\n',
    "json of constants": 'CMD ["a", NaN]\nCMD ["a", 1e999]\n',
    "empty json": "CMD []\nENTRYPOINT [ ]\n",
    "flags": "COPY --from=a --chown=1:2 b c\nCOPY --link b c\n",
    "flags in quotes": "COPY --chown=\"a b\" --chmod='7'5\\5 b c\n",
    "flags end": "RUN -- --mount=a\nRUN --network=none -- b\n",
    "flags beyond ascii": "COPY --chown=\u00e9 b c\nCOPY --chown=\u00e0 b c\n",
    "mounts": "RUN --mount=type=bind,target=/a --mount=type=cache,target=/b c\n",
    "heredoc": "RUN <<EOF\n# kept\n\tCOPY a b\\\n\nEOF\nRUN b\n",
    "heredocs": "COPY <<A <<'B' <<-\"C\" /d\na\nA\nb\nB\n\t\tc\n\tC\n",
    "heredoc of odd names": "RUN <<E'o'F\nEoF\nRUN <<a\\ b\na b\nRUN 3<<$x\n$x\n",
    "heredoc named as a default": "RUN <<${y:-z}\n${y:-z}\n",
    "no heredoc": "RUN echo $((1 << 2))\nRUN cat <<<a\nRUN \"<<A\" '<<'B\nCMD <<C\nRUN a<<D\n",
    "heredoc without an end": "RUN <<EOF\na\n",
    "heredoc in json": 'RUN ["<<EOF"]\nRUN b\n',
    "heredoc of a line that can't be split": "RUN <<EOF ${\nRUN b\n",
    "onbuild": "ONBUILD RUN --mount=type=cache,target=/a b\nonbuild  copy --from=a b c\n",
    "onbuild heredoc": "ONBUILD COPY <<EOF /x\n# q\nEOF\n",
    "onbuild of bad syntax": "ONBUILD LABEL a\n",
    "env": 'ENV a=b c="d e" f=\'g h\' i=j\\ k\nENV l m  n \nLABEL "o p"=q\n',
    "env of one word": "ENV a\n",
    "env without equals": "ENV a=b c\n",
    "arg": "ARG a b=c d='e f'\n",
    "healthcheck": 'HEALTHCHECK --interval=5s CMD ["a"]\nHEALTHCHECK none\nHEALTHCHECK CMD a  b\n',
    "words": "EXPOSE 1  2/udp\nVOLUME a b\nWORKDIR a b \nUSER a\nSTOPSIGNAL 9\nMAINTAINER a b\n",
    "byte order mark inside": "RUN \ufeffa\n",
}
PROLOGUES = {
    "plain": "",
    "byte order mark": "\ufeff",
    "syntax": "#syntax=a/b:1 c\n",
    "comment": "# escape = \\ \n# hello\n# escape=`\n",
}


def _text(body: str, head: str) -> str:
    return f"{head}FROM a AS b\n{body}"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("head", PROLOGUES.values(), ids=PROLOGUES)
@pytest.mark.parametrize("body", BATTERY.values(), ids=BATTERY)
def test_the_battery_is_read_alike(body: str, head: str, line_end: str) -> None:
    text = _text(body, head).replace("\n", line_end)

    assert ours(text) == library(text)


@pytest.mark.parametrize("body", BATTERY.values(), ids=BATTERY)
def test_the_battery_is_read_alike_with_a_backtick_as_escape(body: str) -> None:
    text = _text(body.replace("\\", "`"), "# escape=`\n")

    assert ours(text) == library(text)


@pytest.mark.parametrize("length", [65_535, 65_536])
@pytest.mark.parametrize("end", ["", "\n", "\nRUN b\n"])
def test_the_longest_line_is_the_same(length: int, end: str) -> None:
    text = _text(f"RUN {'a' * (length - 4)}{end}", "")

    assert ours(text) == library(text)


def _is_alike(expected: Reading, found: Reading) -> bool:
    if found == AMBIGUOUS and expected != UNSHOWN:  # a JSON list, and text after it
        return expected == REFUSED or any(line.is_json for line in expected)
    return expected in (found, UNSHOWN)


def test_random_dockerfiles_are_read_alike() -> None:
    source = random.Random(SEED)
    texts = [random_dockerfile(source) for _ in range(CASES)]

    assert [text for text in texts if not _is_alike(library(text), ours(text))] == []
