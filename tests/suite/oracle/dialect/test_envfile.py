"""Env files as `unstale` reads them, against python-dotenv itself."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from dialect_cases import CASES, random_files, random_lines, random_plain_lines

from unstale.errors import ConfigError
from unstale.parity.envfile import Entry, parse


def expected(raw: bytes) -> list[tuple[str, str | None]] | None:
    """Key and value of each assignment; None where a line is none to python-dotenv."""
    from dotenv.parser import parse_stream

    text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")
    bindings = list(parse_stream(text))
    if any(binding.error for binding in bindings):
        return None
    return [(one.key, one.value) for one in bindings if one.key is not None]


def is_name(key: str) -> bool:
    return bool(re.fullmatch(r"\w[\w.\-\[\]]*", key))


def assert_read_alike(raw: bytes) -> None:
    wanted = expected(raw)
    try:
        entries: tuple[Entry, ...] | None = parse(Path(".env"), raw).entries
    except ConfigError:
        entries = None

    if entries is None:
        assert wanted is None or b"\0" in raw or not all(map(is_name, dict(wanted))), raw
    else:
        assert [(one.key, one.value) for one in entries] == wanted, raw


@pytest.mark.parametrize("name", [name for name, raw in CASES.items() if b"\xff" not in raw])
def test_each_case_is_read_as_python_dotenv_reads_it(name: str) -> None:
    assert_read_alike(CASES[name])


def test_random_files_are_read_as_python_dotenv_reads_them() -> None:
    for raw in (*random_files(), *random_lines(20_000), *random_plain_lines(3_000)):
        assert_read_alike(raw)
