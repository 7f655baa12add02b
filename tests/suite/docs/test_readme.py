"""The documents say what is there: links, commands, exit codes, tasks, settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from unstale.config import load
from unstale.errors import Outcome, exit_code
from unstale.schema.status import STATES

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "tasks/unstale"
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", ".github/*.md", "docker/base/*.md")
    for path in ROOT.glob(pattern)
)
TASK = re.compile(r"`(?:inv )?((?:test|stack|image|db|env|receipt)\.(?!py`)[a-z]+)\b")


class Disk:
    """The part of the file system that reading settings needs."""

    def read_text(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")

    def exists(self, path: Path) -> bool:
        return path.exists()

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        return tuple(sorted(root.glob(pattern)))

    def write_atomic(self, path: Path, text: str) -> None:
        message = f"reading settings wrote {path}: {text}"
        raise AssertionError(message)


def section(text: str, title: str) -> str:
    """The text below the heading *title*, up to the next of the same level."""
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def known_tasks() -> set[str]:
    from unstale import ns

    return set(ns.task_names)


def anchors(document: Path) -> set[str]:
    """What a link into *document* may name, as GitHub makes it of its headings."""
    text = re.sub(
        r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


def links(document: Path) -> list[tuple[Path, str]]:
    """Files and anchors that *document* links to, without those elsewhere."""
    text = document.read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = [one for one in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in one]
    parts = [one.partition("#") for one in found]
    return [((document.parent / path if path else document), name) for path, _, name in parts]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_relative_link_leads_to_a_file_and_heading(document: Path) -> None:
    for target, anchor in links(ROOT / document):
        assert target.exists(), f"there is no {target}"
        assert not anchor or anchor in anchors(target), f"{target} has no #{anchor}"


def test_every_page_is_reached_and_in_the_index() -> None:
    pages = {path.resolve() for path in ROOT.glob("docs/**/*.md")}
    reached: set[Path] = set()
    ahead = {ROOT / "README.md"}
    while ahead:
        page = ahead.pop().resolve()
        reached.add(page)
        ahead |= {to for to, _ in links(page) if to.suffix == ".md" and to.resolve() not in reached}
    listed = {to.resolve() for to, _ in links(ROOT / "docs/index.md")}

    assert pages - reached == set()
    assert pages - listed == {ROOT / "docs/index.md"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_is_named_of_this_repository_is_there(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    paths = re.findall(
        r"`((?:tests/suite|tasks/unstale|docker/(?:base|service)|docs)/[\w./-]+)`", text
    )
    tests = re.findall(r"`(?:tests/suite/)?([\w/]+\.py)::(test_\w+)`", text)
    missing = [
        f"{path}::{name}"
        for path, name in tests
        if f"def {name}(" not in (ROOT / "tests/suite" / path).read_text(encoding="utf-8")
    ]

    assert missing == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_quick_start_is_two_commands() -> None:
    commands = re.findall(r"^\./bootstrap .*$", section(README, "Quick start"), re.MULTILINE)

    assert commands == [
        "./bootstrap --with-docker inv test.integration --build --no-cache",
        "./bootstrap --with-docker inv check",
    ]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    last = (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().splitlines()[-1]

    assert last == "./bootstrap --with-docker inv check"
    assert "run: .ci/run\n" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


def test_the_lock_has_what_the_told_command_reads() -> None:
    page = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    told = re.search(r"^uv pip compile (.*?)-o requirements\.lock$", page, re.MULTILINE | re.DOTALL)
    assert told is not None
    sources = [ROOT / word for word in told[1].split() if word.endswith((".toml", ".in"))]
    project = tomllib.loads(sources[0].read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for source in sources[1:]:
        lines = source.read_text(encoding="utf-8").splitlines()
        asked += [line for line in lines if re.match(r"[A-Za-z]", line)]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    names = {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in asked}

    assert len(names) > 20
    assert names - locked == set()
    assert "--hash=sha256:" in lock
    assert "://" not in lock  # it names no index, no file and no link


def test_the_transcript_shows_every_step_of_the_table() -> None:
    match = re.search(r"<!-- transcript -->\n```text\n(.*?)```", README, re.DOTALL)
    assert match is not None
    transcript = match[1].replace("_", " ")
    steps = [name.strip("`") for name, _ in rows(section(README, "One run, step by step"))]

    assert [step for step in steps if step.replace("_", " ") not in transcript] == []


def test_every_state_of_the_database_is_explained() -> None:
    page = (ROOT / "docs/schema-proof.md").read_text(encoding="utf-8")

    assert {cells[0].strip("`") for cells in rows(section(page, "States"))} == set(STATES)


def test_every_document_of_a_task_is_described() -> None:
    sources = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    written = {name for text in sources for name in re.findall(r"""write\("([a-z-]+)",""", text)}
    page = (ROOT / "docs/output.md").read_text(encoding="utf-8")

    assert "run" in written
    assert [name for name in sorted(written) if f"`unstale/{name}@1`" not in page] == []


def test_the_exit_codes_are_those_of_the_package() -> None:
    written = {
        outcome: int(code)
        for code, outcomes, _ in rows(section(README, "Exit codes"))
        for outcome in outcomes.split(", ")
    }

    assert written == {outcome.value: exit_code(outcome) for outcome in Outcome}


def test_the_task_table_lists_the_tasks_of_the_package() -> None:
    listed = {
        name
        for cell, _ in rows(section(README, "Tasks"))
        for name in re.findall(r"`([^`]+)`", cell)
    }

    assert listed == known_tasks()


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_task_that_is_mentioned_exists(document: Path) -> None:
    mentioned = set(TASK.findall((ROOT / document).read_text(encoding="utf-8")))

    assert mentioned <= known_tasks()


def test_the_example_of_the_readme_is_a_valid_configuration(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/docker-compose.test.yml").write_text("services: {}\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(example[1], encoding="utf-8")

    settings = load(tmp_path, Disk(), {})

    assert settings.environment().runner == "test-runner"
    assert tomllib.loads(example[1])["tool"]["unstale"]["parity"]["allow"] == [
        {"key": rule.key, "reason": rule.reason} for rule in settings.parity.allow
    ]
