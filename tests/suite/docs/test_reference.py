"""docs/reference.md is what the code says, and what is written by hand says the same."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from unstale.config import load

ROOT = Path(__file__).resolve().parents[3]
OUTPUT = (ROOT / "docs/output.md").read_text(encoding="utf-8")
DOCUMENTS = re.findall(r"^\| .* \| `unstale/([a-z-]+)@1`", OUTPUT, re.MULTILINE)
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/**/*.md", ".github/*.md", "docker/base/*.md")
    for path in sorted(ROOT.glob(pattern))
}
VARIABLE = re.compile(r"\bUNSTALE_[A-Z_]*[A-Z]\b")
TOML = [
    (page, example)
    for page, text in PAGES.items()
    for example in re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = Path(__file__).with_name("reference.py")
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Each table of keys, with the section that was named last before it."""
    for match in re.finditer(r"^\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE):
        sections = re.findall(r"`\[+(tool\.unstale[\w.]*)\]+`", text[: match.start()])
        lines = match[1].splitlines()
        yield sections[-1], [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines]


def test_the_page_is_what_the_code_says(reference: ModuleType) -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.written(), "run: inv reference"


def test_every_option_and_key_says_what_it_is(reference: ModuleType) -> None:
    rows = [line for line in reference.written().splitlines() if line.startswith("| ")]

    assert len(rows) > 200
    assert [line for line in rows if re.search(r"\| +\|", line)] == []


def test_the_keys_that_are_explained_are_those_that_are_read(reference: ModuleType) -> None:
    explained: dict[str, set[str]] = {}
    for section, rows in tables(CONFIGURATION):
        explained.setdefault(section, set()).update(row[0].strip("`") for row in rows)
    folded = {
        section: {key for key in reference.keys(section) if f"`{key}`" in CONFIGURATION}
        for section in ("tool.unstale.local",)
    }
    tables_of_their_own = {short.partition(".")[0] for short, _ in reference.SECTIONS.values()} | {
        "suites"
    }
    read = {section: set(reference.keys(section)) for section in reference.SECTIONS}
    read["tool.unstale"] -= tables_of_their_own

    assert {**explained, **folded} == read


def test_the_defaults_that_are_explained_are_those_of_the_code(reference: ModuleType) -> None:
    told = {}
    for section, rows in tables(CONFIGURATION):
        for key, *_, last in rows:
            literal = re.match(r"`([^`]+)`$|`([^`]+)`:|(\d+)$", last)
            if literal:
                told[section, key.strip("`")] = next(filter(None, literal.groups()))
    wrong = {
        where: value
        for where, value in told.items()
        if tomllib.loads(f"x = {value}")
        != tomllib.loads(f"x = {reference.default(*where).strip('`')}")
    }

    assert len(told) > 14
    assert wrong == {}


def test_every_variable_of_the_code_is_told(reference: ModuleType) -> None:
    known = reference.known_variables()
    composed = {*reference.overriding(), "UNSTALE_WEB_5000", "UNSTALE_EXEC"}

    assert reference.spelt_in_code() <= known
    assert known - composed <= reference.spelt_in_code()


def test_the_variables_that_are_explained_are_those_that_are_read(reference: ModuleType) -> None:
    section = CONFIGURATION.split("\n## Environment variables\n", 1)[1]
    explained = set(re.findall(r"`(UNSTALE_[A-Z_]+)`", section))
    read = {*reference.overriding(), *reference.READ}

    assert explained <= read
    assert {name for name in read if not name.startswith("UNSTALE_DEADLINES_")} <= explained


def test_every_key_of_a_document_is_explained(reference: ModuleType) -> None:
    told = {
        name: "".join(r for r in OUTPUT.splitlines() if f"| `unstale/{name}@1`" in r)
        for name in DOCUMENTS
    }
    missing = {
        name: [key for key in keys if f"`{key}`" not in told[name]]
        for name, keys in reference.documents().items()
        if name in told
    }

    assert {name: keys for name, keys in missing.items() if keys} == {}


def test_every_document_has_a_schema(reference: ModuleType) -> None:
    assert set(reference.documents()) - {"statement"} == set(DOCUMENTS)


def test_every_variable_that_a_page_names_is_there(reference: ModuleType) -> None:
    places = ("bootstrap", "docker/**/*", "tests/suite/**/*.py")
    elsewhere = (path for pattern in places for path in ROOT.glob(pattern) if path.is_file())
    of_this_repository = {
        name
        for path in elsewhere
        for name in VARIABLE.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    named = {(page, name) for page, text in PAGES.items() for name in VARIABLE.findall(text)}

    assert len(named) > 40
    known = reference.known_variables() | of_this_repository
    assert sorted((page, name) for page, name in named if name not in known) == []


@pytest.mark.parametrize(("page", "example"), TOML)
def test_every_example_of_settings_can_be_read(page: str, example: str) -> None:
    if "tool.unstale" in example:
        assert load(ROOT, Everything(example), {}).default_env
    else:
        assert tomllib.loads(example), page


class Everything:
    """A project whose files are all there, and whose pyproject.toml is *text*."""

    def __init__(self, text: str) -> None:
        self._text = text

    def read_text(self, _path: Path) -> str:
        return self._text

    def exists(self, _path: Path) -> bool:
        return True

    def glob(self, _root: Path, _pattern: str) -> tuple[Path, ...]:
        return ()
