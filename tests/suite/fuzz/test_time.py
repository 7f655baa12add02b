"""Twice the text takes about twice the time, whatever the text is.

Each reader gets a piece again and again, first *many* times and then twice as often. A
reader that looks back at all it has read would take four times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soup

from unstale.adapters import docker_words
from unstale.image import dockerfile, dockerignore, goregexp, reference, shell
from unstale.mask import Mask, is_secret
from unstale.parity import envfile, flags, reads, servers, sync, urls, yaml_lines
from unstale.pipeline import printed

_MASK = Mask(("heron-72-lake", "ab12"))


def _env(text: str) -> object:
    return envfile.parse(Path("/nowhere/.env"), text.encode())


def _sync(text: str) -> object:
    document = sync.Document(Path("/nowhere/.env"), text)
    return sync.apply(text, sync.plan(document, sync.Document(Path("/x"), "NEW=1\n")))


def _conf(text: str) -> object:
    mount = {"type": "bind", "source": "/p/a", "target": "/var/lib/postgresql/data/postgresql.conf"}
    model = {"services": {"db": {"image": "postgres", "volumes": [mount]}}}
    return servers.server_settings(model, "db", lambda _: text, root=Path("/p"))


# Long enough to be compared.
_ENOUGH_S = 0.005

READERS: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "Dockerfile": (
        lambda text: dockerfile.parse(f"FROM a\n{text}"),
        (
            "RUN a \\\n b\n",
            "COPY <<A /a\nb\nA\n",
            "ENV a=b c='d'\n",
            "# a\n",
            "RUN --a=b --c='d' e\n",
        ),
    ),
    "words of a shell": (
        lambda text: shell.expand_words(text, {"A": "b"}),
        ("$A ", "'a' ", '"a"', "${A:-b}", "\\a", "${A/b/c}"),
    ),
    "ignore file": (dockerignore.parse, ("a/**/b\n", "!*.py\n", "# a\n", "[a-z]?\n")),
    "expression": (goregexp.compile_search, ("a", "[a-z]", "\\d", "(a)", "a*")),
    "reference": (reference.why_refused, ("a", "a/", "a-", "a.", "a__")),
    "env file": (_env, ("A=b\n", "A='b\nc'\n", "# a\n", "A\n", "export A=$B\n", " \n")),
    "sync": (_sync, ("A=b\n", "# A=b\n", "\n")),
    "YAML": (
        lambda text: yaml_lines.read([Path("/a")], lambda _: f"services:\n{text}"),
        (" a: {b: c}\n", " - a\n", " # a\n"),
    ),
    "Python": (
        lambda text: reads.code_reads([("a.py", f"import os\n{text}")]),
        ("A = os.getenv('A', 'b')\n", "class A(BaseSettings):\n    a: int = 5\n", "a = 1\n"),
    ),
    "command": (
        lambda text: flags.flag_map(text.split()),
        ("--a=b ", "-c a=b ", "a ", "-- "),
    ),
    "postgresql.conf": (_conf, ("a = b\n", "a = 'b''c'\n", "# a\n", "'\\\n")),
    "URL": (urls.shown, ("a:b@", "a/", "a=b&", ",a:5432", "?")),
    "secret": (
        lambda text: is_secret("TEXT", text),
        ("a.b ", "a-", "PASSWORD=", "://a:", "a ", "Aa1"),
    ),
    "masked": (
        _MASK,
        (
            "a.b ",
            "a-",
            "PASSWORD=",
            "://a:",
            "x://a:b@c ",
            "x://a:",
            "x://a:b@",
            "a-://",
            "heron-72-lake ",
            "?a=b&",
        ),
    ),
    "pytest's output": (
        lambda text: (printed.node_ids(text), printed.stop(text), printed.deselected(text)),
        ("FAILED a::b - c\n", "!!! a\n", "1 passed in 1s ", "\x1b[31m"),
    ),
    "compose's words": (
        lambda text: (docker_words.compose_words(text), docker_words.compose_warnings(text)),
        ('level=warning msg="a"\n', "near 'a\n", "Container a-1  Starting\n"),
    ),
}


def _seconds(read: Callable[[str], object], text: str) -> float:
    best = 1e9
    for _ in range(3):
        begin = time.process_time()
        with soup.only_ours(goregexp.BadRegexp, shell.Unresolved):
            read(text)
        best = min(best, time.process_time() - begin)
    return best


def _ratio(read: Callable[[str], object], piece: str) -> float:
    """How much longer twice as much takes; 2 where even much takes next to no time."""
    many = 250
    while (once := _seconds(read, piece * many)) < _ENOUGH_S and many * len(piece) < 60_000:
        many *= 2
    return _seconds(read, piece * many * 2) / once if once >= _ENOUGH_S else 2.0


CASES = [(name, piece) for name, (_, pieces) in READERS.items() for piece in pieces]


@pytest.mark.parametrize(("name", "piece"), CASES, ids=[f"{n}: {p!r}" for n, p in CASES])
def test_twice_the_text_takes_twice_the_time(name: str, piece: str) -> None:
    read: Any = READERS[name][0]

    # Another process may have the processor's caches: one of four counts.
    assert any(_ratio(read, piece) < 3 for _ in range(4))


def test_a_reader_that_looks_back_is_found() -> None:
    def looks_back(text: str) -> int:
        return sum(text.count("a", 0, at) for at in range(0, len(text), 50))

    assert _ratio(looks_back, "a" * 50) > 3
