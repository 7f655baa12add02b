"""Lines of compose files: anchors, merges, several files, tags of compose's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.errors import MissingFile
from unstale.parity.yaml_lines import ComposeLines, Place, read

ROOT = Path("/project")


def lines(first: str, **others: str) -> ComposeLines:
    """The lines of a.yml, then of those named b, c …; any other is only there to read."""
    texts = {ROOT / f"{name}.yml": text for name, text in {"a": first, **others}.items()}

    def text(path: Path) -> str:
        if path not in texts:
            raise MissingFile(f"There is no file {path}.")
        return texts[path]

    return read([path for path in texts if len(path.stem) == 1], text)


def line(found: Place | None) -> tuple[str, int] | None:
    return (found.file.name, found.line) if found else None


FORMS = """\
services:
  db:
    image: postgres:17
    environment:
      USER: yes
      EMPTY:
    command: [postgres, -c, fsync=off]
    tmpfs: /data:size=1m
  app:
    environment:
      - USER=admin
      - BARE
      # a comment
      - URL=a=b
    command:
      - serve
      - --port=80
      - -cwal_level=minimal
    volumes:
      - ${HOME:-/root}/x:/x:ro
      - type: bind
        source: .
        target: /y
      - named:/z/
    healthcheck:
      test: >-
        one
        two
    build: {context: ., args: [A=1]}
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("db environment USER", 5),
        ("db environment EMPTY", 6),
        ("db image", 3),
        ("db command fsync", 7),
        ("db tmpfs", 8),
        ("app environment USER", 11),
        ("app environment BARE", 12),
        ("app environment URL", 14),
        ("app command", 15),
        ("app command --port", 17),
        ("app volumes /x", 20),
        ("app volumes /y", 21),
        ("app volumes /z", 24),
        ("app healthcheck test", 26),
        ("app build args A", 29),
        ("app environment NONE", None),
        ("app image", None),
        ("web image", None),
        ("db image deeper", None),
    ],
)
def test_each_form_has_its_line(path: str, expected: int | None) -> None:
    service, *rest = path.split()
    found = lines(FORMS).of(service, *rest)

    assert (found.line if found else None) == expected


def test_an_alias_and_a_merge_lead_to_where_it_is_written() -> None:
    text = """\
x-env: &env
  LEVEL: debug
  NAME: base
x-more: &more {EXTRA: 1, LEVEL: lost}
services:
  a:
    environment:
      <<: [*env, *more]
      NAME: own
  b:
    environment: *env
"""
    found = lines(text)

    assert line(found.of("a", "environment", "LEVEL")) == ("a.yml", 2)
    assert line(found.of("a", "environment", "EXTRA")) == ("a.yml", 4)
    assert line(found.of("a", "environment", "NAME")) == ("a.yml", 9)
    assert line(found.of("b", "environment", "NAME")) == ("a.yml", 3)


def test_the_last_file_that_has_something_decides() -> None:
    found = lines(
        "services:\n  a:\n    image: one\n    environment: {K: 1, L: 1}\n",
        b="services:\n  a:\n    environment:\n    - K=2\n",
    )

    assert line(found.of("a", "environment", "K")) == ("b.yml", 4)
    assert line(found.of("a", "environment", "L")) == ("a.yml", 4)
    assert line(found.of("a", "image")) == ("a.yml", 3)


def test_a_later_document_of_a_file_decides() -> None:
    text = "services: {a: {image: one}}\n---\nservices:\n  a: {image: two}\n"

    assert line(lines(text).of("a", "image")) == ("a.yml", 4)


def test_what_a_service_extends_counts_less_than_the_service() -> None:
    found = lines(
        "services:\n  a:\n    extends: {file: base.yml, service: s}\n    image: own\n"
        "  c:\n    extends: a\n",
        base="services:\n  s:\n    image: base\n    environment: {K: 1}\n",
    )

    assert line(found.of("a", "image")) == ("a.yml", 4)
    assert line(found.of("a", "environment", "K")) == ("base.yml", 4)
    assert line(found.of("c", "image")) == ("a.yml", 4)
    assert line(found.of("c", "environment", "K")) == ("base.yml", 4)


@pytest.mark.parametrize("include", ["[inner.yml]", "[{path: [inner.yml]}]", "[{path: inner.yml}]"])
def test_an_included_file_is_looked_into(include: str) -> None:
    found = lines(f"include: {include}\n", inner="services:\n  a:\n    image: x\n")

    assert line(found.of("a", "image")) == ("inner.yml", 3)


@pytest.mark.parametrize(
    "text",
    [
        "include: [a.yml]\nservices: {a: {extends: b}, b: {extends: a}}",
        "services: {a: {extends: {file: none.yml, service: x}}}",
        "services: [a]",
        "services: {a: null}",
        "- a",
        "services: {a: {image: 'open",
        "services: &all {a: *all}",
        "services: {a: &a {<<: *a}}",
        "[" * 5000,
        "services: {? [b] : c, a: [x]}",
        "",
    ],
    ids=[
        *("circle", "no such file", "list", "null", "no mapping", "unparsable"),
        *("alias of itself", "merged into itself", "too deep", "a list for a key", "empty"),
    ],
)
def test_what_can_not_be_told_is_none(text: str) -> None:
    assert lines(text).of("a", "image") is None


def test_tags_of_compose_do_not_hide_a_line() -> None:
    found = lines(
        "services:\n  a:\n    image: one\n    command: [x]\n",
        b="services:\n  a:\n    image: !reset null\n    command: !override\n      - y\n",
    )

    assert line(found.of("a", "image")) == ("a.yml", 3)
    assert line(found.of("a", "command", "y")) == ("b.yml", 5)


def test_the_nearest_is_as_much_of_a_path_as_there_is() -> None:
    found = lines(FORMS)

    assert line(found.nearest("app", "build", "args", "NONE")) == ("a.yml", 29)
    assert found.nearest("app", "user") is None
