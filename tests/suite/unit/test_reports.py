"""What a run leaves in its folder and in the log: pages, test cases, annotations."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from told import JUNIT, red

from unstale.errors import Interrupted, Outcome, Unavailable
from unstale.invocations.reports import leave, without_ci
from unstale.mask import Mask
from unstale.pipeline.history import RunKind
from unstale.pipeline.run import RunReport, RunState
from unstale.project import Project
from unstale.render.ci import Folded
from unstale.render.progress import ConsoleProgress, Showing, View


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunReport:
    """A red run in a checkout of its own, whose receipt and evidence are there."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "GITHUB_STEP_SUMMARY", "UNSTALE_CI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pyproject.toml").write_text("[tool.unstale]\n")
    state = tmp_path / ".unstale"
    folder = state / "runs" / "1f0c2a9b"
    folder.mkdir(parents=True)
    (state / "receipts").mkdir()
    (folder / "junit.xml").write_text(JUNIT)
    path = state / "receipts" / "20261112T010203Z-1f0c2a9b.json"
    path.write_text(json.dumps(red("plain")))
    return RunReport(Outcome.TESTS_FAILED, (), RunState(), path, folder)


def test_a_run_leaves_its_page_and_its_steps_as_test_cases(
    tmp_path: Path, ended: RunReport, capsys: pytest.CaptureFixture[str]
) -> None:
    page = leave(Project.open(tmp_path), ended)

    assert page == ended.folder / "report.html"
    assert "assert 500 == 401" in page.read_text()
    names = [suite.get("name") for suite in ET.parse(ended.folder / "report.junit.xml").getroot()]
    assert names == ["unstale", "pytest"]
    assert (ended.folder / "junit.xml").read_text() == JUNIT
    assert capsys.readouterr() == ("", "")


def test_on_github_it_is_told_at_its_lines_and_in_the_summary(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("an earlier one\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    leave(Project.open(tmp_path), ended)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("::error title=unstale%3A tests failed::2 of 3 tests failed.")
    assert summary.read_text().startswith("an earlier one\n### ❌ tests failed in test")


def test_a_summary_that_can_not_be_written_is_a_note_and_costs_no_file(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.md"
    summary.mkdir()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    page = leave(Project.open(tmp_path), ended)

    assert page == ended.folder / "report.html"
    assert page.exists()
    assert (ended.folder / "report.junit.xml").exists()
    err = capsys.readouterr().err
    assert err.startswith("::error title=unstale%3A tests failed::")
    assert "There is no summary of this run: " in err


def test_files_that_can_not_be_written_cost_no_annotation(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (ended.folder / "report.junit.xml").mkdir()

    assert leave(Project.open(tmp_path), ended) is None

    err = capsys.readouterr().err
    assert "There is no report of this run: " in err
    assert "::error title=unstale%3A tests failed::" in err


@pytest.mark.parametrize(
    ("workspace", "file"),
    [
        ("", "services/api/tests/api/test_login.py"),
        ("services/api", "tests/api/test_login.py"),
        ("services/other", "tests/api/test_login.py"),
        (None, "tests/api/test_login.py"),
    ],
)
def test_annotations_name_files_as_the_repository_has_them(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workspace: str | None,
    file: str,
) -> None:
    del ended
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    if workspace is not None:
        monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / workspace))
    root = tmp_path / "services" / "api"
    (root / "tests" / "api").mkdir(parents=True)
    (root / "tests" / "api" / "test_login.py").touch()
    for name in ("pyproject.toml", ".unstale"):
        (tmp_path / name).rename(root / name)
    folder = root / ".unstale" / "runs" / "1f0c2a9b"
    (receipt,) = (root / ".unstale" / "receipts").iterdir()

    leave(Project.open(root), RunReport(Outcome.TESTS_FAILED, (), RunState(), receipt, folder))

    assert re.findall(r"^::error file=([^,]+),line=42,", capsys.readouterr().err, re.MULTILINE) == [
        file
    ]


def test_whoever_says_no_is_told_nothing(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("UNSTALE_CI", "1")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    without_ci(is_off=False)
    assert os.environ["UNSTALE_CI"] == "1"

    without_ci(is_off=True)
    leave(Project.open(tmp_path), ended)

    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "summary.md").exists()


@pytest.mark.parametrize("change", ["no receipt", "a signal"])
def test_without_a_receipt_or_time_there_is_none(
    tmp_path: Path, ended: RunReport, change: str
) -> None:
    given: dict[str, dict[str, Any]] = {
        "no receipt": {"receipt": None},
        "a signal": {"errors": (Interrupted(2),)},
    }

    assert leave(Project.open(tmp_path), replace(ended, **given[change])) is None
    assert not (ended.folder / "report.html").exists()


def test_a_run_that_was_spared_shows_the_page_of_the_earlier_one(
    tmp_path: Path, ended: RunReport
) -> None:
    project = Project.open(tmp_path)
    spared = replace(ended, state=RunState(reused=ended.receipt))
    assert leave(project, spared) is None

    leave(project, ended)

    assert leave(project, spared) == ended.folder / "report.html"


def test_a_page_that_can_not_be_written_changes_no_verdict(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Project.open(tmp_path)

    def full(*_: object) -> None:
        raise Unavailable("No space is left.")

    monkeypatch.setattr(type(project.files), "write_atomic", full)

    assert leave(project, ended) is None
    assert "There is no report of this run: No space is left." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "verbose", "kind"),
    [
        ({"GITHUB_ACTIONS": "true"}, True, Folded),
        ({"GITHUB_ACTIONS": "true"}, False, ConsoleProgress),
        ({}, True, ConsoleProgress),
    ],
)
def test_lines_are_folded_where_a_system_shows_them(
    tmp_path: Path,
    ended: RunReport,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    verbose: bool,
    kind: type,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    showing = Showing(Project.open(tmp_path), View(verbose=verbose), (), RunKind("test"))
    with showing.drawn() as watch:
        assert type(watch(Mask(), ended.folder)) is kind
