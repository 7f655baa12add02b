"""Hazards against the real readers: compose's command and python-dotenv. Needs no engine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from dialect_cases import CASES, FILES, SEED, random_files, random_plain_lines
from dialects import CHUNK, SHELL, Compose, Values, compose_values, dotenv_values, unlike

from unstale.parity.hazards import EnvText, Hazard, hazards, is_plain


def written(folder: Path, contents: Iterable[tuple[str, bytes]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name, raw in contents:
        files[name] = folder / f"{name}.env"
        files[name].write_bytes(raw)
    return files


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Compose:
    return Compose(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return written(tmp_path_factory.mktemp("cases"), CASES.items())


@pytest.fixture(scope="module")
def truth(compose: Compose, files: Mapping[str, Path]) -> Mapping[str, Values | None]:
    return compose_values(compose, files)


@pytest.fixture(scope="module")
def accepted(
    compose: Compose, files: Mapping[str, Path], truth: Mapping[str, Values | None]
) -> Mapping[str, tuple[Hazard, ...]]:
    """The hazards of what compose accepts, all by one call."""
    good = {name: path for name, path in files.items() if truth[name] is not None}
    before = compose.calls
    found = found_in(compose, good)
    assert compose.calls == before + 1
    return found


def found_in(compose: Compose, files: Mapping[str, Path]) -> Mapping[str, tuple[Hazard, ...]]:
    texts = [EnvText(path, name, path.read_bytes()) for name, path in files.items()]
    found = hazards(texts, compose, environ=SHELL)
    return {name: tuple(one for one in found if one.file == name) for name in files}


def differing(raw: bytes, compose: Values) -> set[str]:
    dotenv = dotenv_values(raw)
    return {""} if dotenv is None else unlike(compose, dotenv)


def assert_named(found: Iterable[Hazard], keys: set[str], raw: bytes) -> None:
    """Each key of *keys* has its hazard and no other has; one that is no name has a line."""
    found = tuple(found)
    named = {one.key for one in found if one.key}
    nameless = {key for key in keys if not starts_a_line(key, raw)}
    assert named == keys - nameless, (raw, found, keys)
    assert len([one for one in found if not one.key]) == len(nameless), (raw, found, keys)


def starts_a_line(key: str, raw: bytes) -> bool:
    text = raw.decode(errors="replace").removeprefix("\ufeff")
    pattern = rf"(?m)^[^\S\n]*(export[^\S\n]+)?['\"]?{re.escape(key)}['\"]?[^\S\n]*([:=]|$)"
    return bool(re.fullmatch(r"\w[\w.\-\[\]]*", key) and re.search(pattern, text))


def test_there_are_enough_cases_of_both_kinds(truth: Mapping[str, Values | None]) -> None:
    refused = [name for name, values in truth.items() if values is None]

    assert len(CASES) >= 100
    assert 10 <= len(refused) <= 40


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_keys_that_are_read_differently_are_named(
    compose: Compose,
    files: Mapping[str, Path],
    truth: Mapping[str, Values | None],
    accepted: Mapping[str, tuple[Hazard, ...]],
    name: str,
) -> None:
    values = truth[name]

    if values is None:
        (only,) = found_in(compose, {name: files[name]})[name]
        assert only.kind == "compose refuses the file"
        assert only.line is not None
    else:
        assert_named(accepted[name], differing(CASES[name], values), CASES[name])


def test_a_plain_file_is_read_alike(truth: Mapping[str, Values | None]) -> None:
    plain = [name for name, raw in CASES.items() if is_plain(raw.decode(errors="replace"))]

    assert len(plain) > 20
    assert {name: truth[name] for name in plain} == {
        name: dotenv_values(CASES[name]) for name in plain
    }


def test_random_files_have_exactly_the_hazards_that_the_readers_show(
    compose: Compose, tmp_path: Path
) -> None:
    contents = {f"f{number}": raw for number, raw in enumerate(random_files())}
    files = written(tmp_path, contents.items())

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        truths = list(pool.map(partial(compose_values, compose), chunks(files)))
    truth = {name: values for part in truths for name, values in part.items() if values is not None}
    found = found_in(compose, {name: files[name] for name in truth})
    unequal = [name for name, values in truth.items() if differing(contents[name], values)]

    print(  # noqa: T201 - the figures of a run
        f"{FILES} files, seed {SEED}: {FILES - len(truth)} refused, {len(unequal)} unequal"
    )
    for name, values in truth.items():
        assert_named(found[name], differing(contents[name], values), contents[name])
    assert len(unequal) > 0.1 * FILES
    assert len(truth) > 0.5 * FILES


def test_random_plain_lines_are_read_alike(compose: Compose, tmp_path: Path) -> None:
    lines = [raw for raw in random_plain_lines(10 * FILES) if is_plain(raw.decode())]
    contents = {f"f{number}": raw for number, raw in enumerate(lines)}
    files = written(tmp_path, contents.items())

    for part in chunks(files, 10 * CHUNK):
        for name, values in compose_values(compose, part).items():
            assert values == dotenv_values(contents[name]), contents[name]
    assert len(lines) > FILES


def chunks(files: Mapping[str, Path], size: int = CHUNK) -> Iterable[Mapping[str, Path]]:
    items = list(files.items())
    return [dict(items[at : at + size]) for at in range(0, len(items), size)]
